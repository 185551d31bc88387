"""The files people copy into their CI: they parse, they call options there are, and the action's steps run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from abicheck.__main__ import with_command
from abicheck.cli import app

REPO = Path(__file__).resolve().parents[1]
CI = REPO / "docs" / "ci"


def known_options(command: str) -> set[str]:
    """The long and short options of a command, read from its own help."""
    env = {**os.environ, "PYTHONPATH": str(REPO / "src"), "COLUMNS": "300"}
    done = subprocess.run(
        [sys.executable, "-m", "abicheck", command, "--help"], capture_output=True, text=True, env=env, timeout=60
    )
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout))


def calls_in(text: str) -> list[list[str]]:
    """Every call of abicheck in a file: its arguments up to the end of the command."""
    text = re.sub(r"\\\n|>-\n", " ", text)
    text = re.sub(r"\n\s+(?=--)", " ", text)
    found = re.findall(r"(?:^|[\s/\"'])abicheck ((?:[^\n&|;\"']|\"\$[A-Z_]+\")+)", text)
    return [shlex.split(f, comments=False) for f in found]


@pytest.mark.parametrize("file", sorted(p.name for p in CI.iterdir()))
def test_recipes_call_options_there_are(file):
    text = (CI / file).read_text(encoding="utf-8")
    if file.endswith((".yml", ".yaml")):
        assert yaml.safe_load(text)
    if file.endswith(".toml"):
        assert tomllib.loads(text)
    for call in calls_in(text):
        command, *rest = with_command(call)
        used = {word.partition("=")[0] for word in rest if word.startswith("-")}
        if command in {c.name or (c.callback.__name__ if c.callback else "") for c in app.registered_commands}:
            assert used <= known_options(command), call


def test_pre_commit_hook():
    (hook,) = yaml.safe_load((REPO / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split() == ["abicheck", "check"] and hook["pass_filenames"] is False
    assert re.search(hook["files"], "requirements-dev.txt") and not re.search(hook["files"], "src/a.py")


def test_recipe_needs_what_the_project_needs():
    recipe = yaml.safe_load((REPO / "recipe" / "recipe.yaml").read_text())
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    run = {r.replace(" ", "") for r in recipe["requirements"]["run"] if not r.startswith("python ")}
    assert run == {d.replace(" ", "") for d in project["dependencies"]}
    assert recipe["context"]["version"] == project["version"]
    assert recipe["package"]["name"] == project["name"]
    assert project["requires-python"] == f">={recipe['context']['python_min']}"


def test_versions_agree():
    import abicheck

    assert tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"] == abicheck.__version__


# -- the action ---------------------------------------------------------------------------


ACTION = yaml.safe_load((REPO / "action.yml").read_text(encoding="utf-8"))
STEPS = {s["name"]: s for s in ACTION["runs"]["steps"]}


def test_action_interpolates_nothing_into_scripts():
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), "pinned to a hash"


def test_every_input_is_used():
    text = json.dumps(ACTION["runs"])
    assert all(f"inputs.{name}" in text for name in ACTION["inputs"])


def step(name: str, inputs: dict[str, str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one step as a runner would: inputs through its env block, in bash -e."""
    given = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()} | inputs

    def value(expression: str) -> str:
        return re.sub(
            r"\$\{\{ (?:inputs\.([\w-]+)|steps\.check\.outputs\.(\w+)) \}\}",
            lambda m: given[m[1]] if m[1] else env[m[2].upper()],
            expression,
        )

    declared = {k: value(v) for k, v in STEPS[name].get("env", {}).items()}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]
    return subprocess.run(command, capture_output=True, text=True, env={**env, **declared}, timeout=120)


@pytest.fixture
def runner(tmp_path):
    """The variables a runner sets, and an abicheck that writes down how it was called."""
    wooden = tmp_path / "abicheck"
    wooden.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"open({str(tmp_path / 'called.json')!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
        "print('::error file=requirements.txt,line=1,title=ABI201::it breaks')\n"
        "sys.exit(int(os.environ.get('WOODEN_STATUS', '0')))\n"
    )
    wooden.chmod(0o755)
    return {
        "PATH": os.environ["PATH"],
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_ENV": str(tmp_path / "env"),
        "ABICHECK": str(wooden),
    }


def outputs(runner: dict[str, str]) -> dict[str, str]:
    lines = Path(runner["GITHUB_OUTPUT"]).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash runs the action's steps")
@pytest.mark.parametrize("status", ["0", "1", "2", "3", "4"])
def test_action_keeps_the_status(runner, tmp_path, status):
    done = step("Check", {"wheels": "wheelhouse a.whl", "prefix": "./env"}, runner | {"WOODEN_STATUS": status})
    assert done.returncode == 0 and done.stdout.startswith("::error ")
    assert outputs(runner) == {"status": status, "sarif": "abicheck.sarif"}
    assert step("Result", {}, runner | {"STATUS": status}).returncode == int(status)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash runs the action's steps")
def test_action_passes_inputs_as_words_and_runs_none_of_them(runner, tmp_path):
    hostile = "$(touch pwned) `touch pwned` ; touch pwned *"
    step("Check", {"wheels": hostile, "name": "a b", "args": "--strict --ignore ABI5", "sarif": "x y.sarif"}, runner)
    called = json.loads((tmp_path / "called.json").read_text())
    assert called == [
        "check", "$(touch", "pwned)", "`touch", "pwned`", ";", "touch", "pwned", "*", "--format", "github",
        "--fail-on", "error", "--name", "a b", "--output", "sarif=x y.sarif", "--strict", "--ignore", "ABI5",
    ]  # fmt: skip
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.network
@pytest.mark.slow
def test_action_for_real(tmp_path, make_prefix, wheels):
    """All steps in their order, with the package built from this source: annotations, SARIF, job summary, status."""
    prefix = make_prefix(
        "gate", ("python 3.11.*", "pip", "libstdcxx >=12", "numpy", "scipy", "h5py", "shapely", "lxml")
    )
    house = tmp_path / "wheelhouse"
    house.mkdir()
    for wheel in wheels("numpy==2.2.6"):
        shutil.copy(wheel, house)
    keep = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "HOME", "PATH"))}
    env = keep | {f"GITHUB_{n}": str(tmp_path / n.lower()) for n in ("OUTPUT", "ENV", "STEP_SUMMARY")}
    env["RUNNER_TEMP"] = str(tmp_path)
    inputs = {
        "wheels": str(house), "prefix": str(prefix), "package": str(REPO), "python": sys.executable,
        "args": "--anchor requirements.txt", "sarif": str(tmp_path / "abicheck.sarif"),
    }  # fmt: skip
    done = step("Install abicheck beside the environment it judges", inputs, env)
    assert done.returncode == 0, done.stderr
    env |= dict(line.split("=", 1) for line in Path(env["GITHUB_ENV"]).read_text().splitlines())
    done = step("Check", inputs, env)
    assert done.returncode == 0, done.stderr
    assert "::error file=requirements.txt,line=1,title=ABI401 numpy-abi" in done.stdout
    assert json.loads((tmp_path / "abicheck.sarif").read_text())["runs"][0]["results"]
    assert Path(env["GITHUB_STEP_SUMMARY"]).read_text().startswith("<!-- abicheck:")
    status = outputs(env)["status"]
    assert (status, step("Result", inputs, env | {"STATUS": status}).returncode) == ("1", 1)
