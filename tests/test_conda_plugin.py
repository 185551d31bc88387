"""The plugin against conda's hook specification: with conda itself when it is importable, else with its shapes.

conda is not on the package index, so most machines run this with the shapes; tried by hand with conda 26.7.1.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tests.reporters import samples

from abicheck import engine

REPO = Path(__file__).resolve().parents[1]


@dataclasses.dataclass
class Shape:
    """conda.plugins.types.Conda*: keyword arguments kept as attributes."""

    name: str
    action: Any = None
    summary: str | None = None
    description: str | None = None
    parameter: Any = None


class Parameter:
    def __init__(self, default: str, *, validation: Any, **_: Any) -> None:
        self.default, self.validation = default, validation


def shapes(prefix: str, mode: str) -> dict[str, types.ModuleType]:
    """Modules with the names the plugin imports, as conda's documentation gives them."""
    modules = {n: types.ModuleType(n) for n in (
        "conda", "conda.base", "conda.base.constants", "conda.base.context", "conda.common",
        "conda.common.configuration", "conda.exceptions", "conda.plugins", "conda.plugins.types",
    )}  # fmt: skip
    plugins = types.SimpleNamespace(abicheck_on_solve=mode)
    context = types.SimpleNamespace(envs_dirs=("/envs",), root_prefix="/root", target_prefix=prefix, plugins=plugins)
    modules["conda.base.constants"].__dict__.update(OK_MARK="OK", X_MARK="X")
    modules["conda.base.context"].__dict__.update(context=context)
    modules["conda.common.configuration"].__dict__.update(PrimitiveParameter=Parameter)
    modules["conda.exceptions"].__dict__.update(CondaError=type("CondaError", (Exception,), {}))
    modules["conda.plugins"].__dict__.update(hookimpl=lambda f: f)
    names = ("CondaSubcommand", "CondaHealthCheck", "CondaPostSolve", "CondaSetting")
    modules["conda.plugins.types"].__dict__.update(dict.fromkeys(names, Shape))
    return modules


@pytest.fixture
def plugin(monkeypatch, tmp_path):
    """The plugin's module under a conda whose target is a folder and whose setting is the argument."""

    def load(mode: str = "warn"):
        for name, module in shapes(str(tmp_path), mode).items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, "abicheck.conda_plugin", raising=False)
        return importlib.import_module("abicheck.conda_plugin")

    yield load
    sys.modules.pop("abicheck.conda_plugin", None)


def package(name, version, build="0"):
    return types.SimpleNamespace(name=name, version=version, build=build)


OLD = [package("libstdcxx", "13.2.0"), package("libgomp", "13.2.0"), package("zlib", "1.3")]
NEW = [package("libstdcxx", "12.3.0"), package("zlib", "1.3"), package("numpy", "2.2")]


def test_hooks_yield_what_conda_expects(plugin):
    p = plugin()
    (command,), (check,), (setting,), (solve,) = map(
        list, (p.conda_subcommands(), p.conda_health_checks(), p.conda_settings(), p.conda_post_solves())
    )
    assert {command.name, check.name, solve.name} == {"abicheck"} and setting.name == "abicheck_on_solve"
    assert setting.parameter.default == "off"
    assert setting.parameter.validation("warn") is True
    assert "not one of" in setting.parameter.validation("maybe")


def test_entry_point_names_the_module():
    import tomllib

    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["conda"] == {"abicheck": "abicheck.conda_plugin"}


def test_import_loads_nothing_of_abicheck(tmp_path):
    """The module is imported on nearly every conda command, so it must be light until a callback runs."""
    for name in shapes("x", "off"):
        path = tmp_path / Path(*name.split("."))
        path.mkdir(parents=True, exist_ok=True)
        (path / "__init__.py").write_text(
            "OK_MARK = X_MARK = context = PrimitiveParameter = None\n"
            "CondaSubcommand = CondaHealthCheck = CondaPostSolve = CondaSetting = None\n"
            "class CondaError(Exception): pass\n"
            "def hookimpl(f): return f\n"
        )
    code = "import sys, abicheck.conda_plugin; print([m for m in sys.modules if m.startswith('abicheck')])"
    env = {"PYTHONPATH": f"{tmp_path}:{REPO / 'src'}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)
    assert done.stdout.strip() == "['abicheck', 'abicheck.conda_plugin']", done.stderr


@pytest.mark.parametrize(("argv", "status"), [(("--version",), 0), (("explain", "ABI201"), 0), (("explain", "x"), 2)])
def test_subcommand_gives_the_status(plugin, monkeypatch, argv, status, capsys):
    monkeypatch.delenv("CONDA_ENVS_DIRS", raising=False)
    assert plugin().subcommand(argv) == status
    import os

    assert os.environ.pop("CONDA_ENVS_DIRS") == "/envs"
    os.environ.pop("CONDA_ROOT", None)


@pytest.mark.parametrize(
    ("found", "mark"), [((), "OK abicheck: nothing will break"), ((samples.MISSING_VERSION,), "X abicheck: something")]
)
def test_health_check_prints_the_audit(plugin, monkeypatch, capsys, found, mark, tmp_path):
    from abicheck.report import Judgement

    judgement = Judgement(samples.PROD, (samples.FASTGRID_WHEEL,), found)
    monkeypatch.setattr(engine, "audit", lambda _prefix, **_: judgement, raising=False)
    assert plugin().health_check(str(tmp_path), False) is None
    out = capsys.readouterr().out
    assert mark in out and ("ABI201" in out) is bool(found)


def test_health_check_that_cannot_judge_says_so(plugin, monkeypatch, capsys, tmp_path):
    from abicheck.errors import InputError

    def fail(_prefix, *, options):
        raise InputError("not-a-prefix", "no conda-meta here")

    monkeypatch.setattr(engine, "audit", fail, raising=False)
    plugin().health_check(str(tmp_path), False)
    assert "X abicheck: could not judge (status 2)" in capsys.readouterr().out


def test_replacements(plugin):
    assert plugin().replacements(OLD, NEW) == {
        "libgomp": "13.2.0 0 -> removed",
        "libstdcxx": "13.2.0 0 -> 12.3.0 0",
    }


@pytest.fixture
def relied(plugin, monkeypatch):
    def load(mode):
        p = plugin(mode)
        found = (
            p.Reliance("fastgrid 2.4.0", "lib/libstdc++.so.6", "libstdcxx"),
            p.Reliance("x 1", "lib/libz.so", "zlib"),
        )
        asked = []
        monkeypatch.setattr(p, "reliances", lambda prefix: asked.append(prefix) or found)
        return p, asked

    return load


def test_reverse_question_warns(relied, capsys):
    p, _ = relied("warn")
    assert p.post_solve("repodata.json", OLD, NEW) is None
    err = capsys.readouterr().err
    assert "fastgrid 2.4.0 loads lib/libstdc++.so.6 of libstdcxx (13.2.0 0 -> 12.3.0 0)" in err
    assert "zlib" not in err, "what stays is not told"


def test_reverse_question_stops_when_told(relied):
    p, _ = relied("error")
    with pytest.raises(p.WheelsRelyOnThis, match="fastgrid"):
        p.post_solve("repodata.json", OLD, NEW)


def test_reverse_question_is_off_by_default(relied, capsys):
    p, asked = relied("off")
    p.post_solve("repodata.json", OLD, NEW)
    assert asked == [] and capsys.readouterr().err == ""


def test_nothing_replaced_asks_nothing(relied):
    p, asked = relied("warn")
    p.post_solve("repodata.json", NEW, NEW)
    assert asked == []
