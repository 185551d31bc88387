"""The public interface: light to import, typed, documented, and the command line's equal."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.reporters import samples
from tests.test_cli import catalogue

import abicheck
from abicheck import engine
from abicheck.report import CheckOptions, Judgement

REPO = Path(__file__).resolve().parents[1]


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)


def test_import_is_light():
    code = "import sys; before = set(sys.modules); import abicheck; print(sorted(set(sys.modules) - before))"
    done = run(code)
    assert done.stdout.strip() == "['__future__', 'abicheck']", done.stderr


@pytest.mark.parametrize("module", ["abicheck", "abicheck.engine", "abicheck.policy", "abicheck.rules"])
def test_neither_typer_nor_rich_nor_conda(module):
    code = f"import sys, {module}, abicheck; abicheck.Report, abicheck.check; "
    code += "print([m for m in ('typer', 'rich', 'conda', 'jinja2') if m in sys.modules])"
    done = run(code)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_public_name_is_there_and_documented():
    for name in abicheck.__all__:
        thing = getattr(abicheck, name)
        assert name == "__version__" or thing.__doc__, name
    assert set(abicheck.__all__) <= set(dir(abicheck))
    with pytest.raises(AttributeError):
        abicheck.no_such_name  # noqa: B018


@pytest.fixture
def wooden(monkeypatch):
    judgement = Judgement(samples.PROD, (samples.FASTGRID_WHEEL,), (samples.MISSING_VERSION,))
    asked = {}

    def answer(*args, **kwargs):
        asked.update(args=args, **kwargs)
        return judgement

    monkeypatch.setattr(engine, "check", answer, raising=False)
    monkeypatch.setattr(engine, "audit", answer, raising=False)
    monkeypatch.setattr("abicheck.rules.all_rules", catalogue)
    return asked


def test_check_returns_a_report_and_prints_nothing(wooden, capsys):
    report = abicheck.check(["wheelhouse/"], prefix="envs/prod", options=CheckOptions(host="none"))
    assert isinstance(report, abicheck.Report)
    assert (report.verdict, [f.rule.id for f in report.findings]) == ("fail", ["ABI201"])
    assert report.verdict is abicheck.Verdict.FAIL
    assert [f.rule for f in report.findings] == ["ABI201"]
    assert report.findings[0].rule != "ABI202" and report.findings[0].rule in report.rules
    first, found = report.findings[0], report.findings[0].finding
    assert (first.severity, first.confidence, first.what) == (found.severity, found.confidence, found.what)
    assert (first.why[0].fact, first.remedies) == (found.why[0].text, found.remedies)
    assert report.target.chosen_by == "api"
    assert (wooden["args"], wooden["prefix"], wooden["options"].host) == ((("wheelhouse/",),), "envs/prod", "none")
    assert capsys.readouterr() == ("", "")


def test_settings_decide(wooden):
    lenient = abicheck.Settings(thresholds=abicheck.Thresholds(fail_on="never"))
    assert abicheck.audit("envs/prod", settings=lenient).verdict == "pass"


def test_render(wooden):
    report = abicheck.check(["x.whl"], prefix="p")
    assert '"version": "2.1.0"' in abicheck.render(report, "sarif")
    assert "conda install -p x" in abicheck.render(report, "text", target_flag="-p x")
    with pytest.raises(abicheck.UsageError):
        abicheck.render(report, "yaml")


def test_errors_are_of_one_tree():
    assert issubclass(abicheck.UsageError, abicheck.AbicheckError)
    assert issubclass(abicheck.InputError, abicheck.AbicheckError)


TYPED = """
from typing import assert_type
import abicheck

report = abicheck.check(["a.whl"], prefix="p")
assert_type(report, abicheck.Report)
assert_type(report.findings[0].finding, abicheck.Finding)
assert_type(report.findings[0].finding.severity, abicheck.Severity)
assert_type(report.findings[0].finding.why[0].text, str)
assert_type(abicheck.render(report, "sarif"), str)
assert_type(report.exit_status, int)
assert_type(report.verdict, abicheck.Verdict)
assert_type(report.findings[0].why[0].fact, str)
assert_type(abicheck.__version__, str)
"""


@pytest.mark.slow
def test_types_are_what_they_say(tmp_path):
    from tests.requirements import not_run

    if importlib.util.find_spec("mypy") is None:
        not_run("needs mypy: pip install --group lint")
    file = tmp_path / "typed.py"
    file.write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)]
    env = {**os.environ, "MYPYPATH": str(REPO / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300)
    ours = [line for line in done.stdout.splitlines() if line.startswith("typed.py")]
    assert ours == [], done.stdout + done.stderr
