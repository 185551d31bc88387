"""The command line with its real engine, a real prefix and real wheels: every format, every command, every status."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from tests.wording import problems

from abicheck.report import Report
from abicheck.reporters import names, render
from abicheck.schemas import schema

pytestmark = [pytest.mark.network, pytest.mark.slow]

REPO = Path(__file__).resolve().parents[1]
SPECS = ("python 3.11.*", "pip", "libstdcxx >=12", "numpy", "scipy", "h5py", "shapely", "lxml")
CLASHING = ("numpy==2.2.6", "shapely==2.0.6", "h5py==3.11.0")
QUIET = ("markupsafe==3.0.2",)


@pytest.fixture(scope="module")
def prefix(make_prefix):
    return make_prefix("gate", SPECS)


@pytest.fixture(scope="module")
def clashing(wheels):
    return [str(w) for w in wheels(*CLASHING)]


@pytest.fixture(scope="module")
def quiet(wheels):
    return [str(w) for w in wheels(*QUIET)]


def abicheck(*argv, cwd=None, env=None):
    """The program as a user runs it: (status, stdout, stderr)."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("ABICHECK_", "CONDA_", "LD_", "GITHUB_"))}
    command = [sys.executable, "-m", "abicheck", *map(str, argv)]
    environment = {**keep, "PYTHONPATH": str(REPO / "src"), **(env or {})}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=600)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def clash(prefix, clashing, tmp_path_factory):
    """One run over everything that clashes, with every format as a file."""
    folder = tmp_path_factory.mktemp("clash")
    (folder / "envs").mkdir()
    (folder / "envs" / "prod").symlink_to(prefix)
    outputs = [part for form in names() for part in ("-o", f"{form}=report.{form}")]
    status, out, err = abicheck(*clashing, "-p", "envs/prod", *outputs, cwd=folder)
    return folder, status, out, err


def document(clash):
    return json.loads((clash[0] / "report.json").read_text(encoding="utf-8"))


def test_gate_fails_and_says_why(clash):
    _, status, out, err = clash
    assert status == 1, err
    assert "error ABI401 numpy-abi" in out and "[" in out and "conda install -p envs/prod" in out
    assert err.startswith("target: prod · linux-64 · python 3.11.")


def test_document_fits_its_schema(clash):
    jsonschema.Draft202012Validator(schema("report-1")).validate(document(clash))
    assert {i["name"].lower() for i in document(clash)["inputs"]} == {"numpy", "shapely", "h5py"}


def test_every_format_is_the_same_report(clash):
    """What the program wrote is what the document says, in each format."""
    folder, *_ = clash
    report = Report.from_dict(document(clash))
    for form in names():
        text = (folder / f"report.{form}").read_text(encoding="utf-8")
        if form in ("json", "gitlab", "junit", "dot", "mermaid", "sarif", "html"):
            from abicheck.reporters import RenderOptions

            assert text == render(report, form, RenderOptions(target_flag="-p envs/prod", header=True)), form
    assert ET.fromstring((folder / "report.junit").read_bytes()).tag == "testsuites"


def test_no_path_of_this_machine(clash, prefix):
    folder, *_ = clash
    for form in names():
        text = (folder / f"report.{form}").read_text(encoding="utf-8")
        assert str(prefix) not in text and str(folder) not in text, form


def test_words_of_every_finding(clash):
    report = Report.from_dict(document(clash))
    assert report.findings
    assert [p for j in report.findings for p in problems(j.finding)] == []


def test_again_gives_the_same_bytes(clash, prefix, clashing):
    folder, *_ = clash
    environment = {"LD_LIBRARY_PATH": "/nowhere", "LD_PRELOAD": "", "PYTHONHASHSEED": "7"}
    _, out, _ = abicheck(*reversed(clashing), "-p", "envs/prod", "-f", "json", cwd=folder, env=environment)
    assert out == (folder / "report.json").read_text(encoding="utf-8")


def test_quiet_wheel_passes(prefix, quiet, tmp_path):
    status, out, err = abicheck(*quiet, "-p", prefix, cwd=tmp_path)
    assert (status, err.count("target:")) == (0, 1)
    assert "OK  no ABI problems found" in out


def test_prefix_is_not_touched(prefix, clashing, clash):
    before = sorted((p, p.lstat().st_mtime_ns) for p in (prefix / "conda-meta").iterdir())
    abicheck(*clashing, "-p", prefix, "-qq")
    assert sorted((p, p.lstat().st_mtime_ns) for p in (prefix / "conda-meta").iterdir()) == before


def test_baseline_and_suppression(prefix, clashing, tmp_path):
    status, _, _ = abicheck(*clashing, "-p", prefix, "--write-baseline", "base.json", cwd=tmp_path)
    assert status == 1
    status, out, _ = abicheck(*clashing, "-p", prefix, "--baseline", "base.json", cwd=tmp_path)
    assert status == 0 and "in the baseline:" in out
    (tmp_path / "abicheck.toml").write_text(
        '[[suppressions]]\nrule = "ABI"\nwheel = "*"\nreason = "all accepted"\npermanent = true\n'
    )
    assert abicheck(*clashing, "-p", prefix, cwd=tmp_path)[0] == 0


# -- the other commands --------------------------------------------------------------------


def test_trace(prefix, clashing, tmp_path):
    wheel = next(w for w in clashing if "shapely" in w)
    status, out, err = abicheck(
        "trace", "--import", "shapely", "--wheel", wheel, "-p", prefix, "-f", "json", "--bindings", cwd=tmp_path
    )
    assert status == 0, err
    jsonschema.Draft202012Validator(schema("trace-1")).validate(json.loads(out))
    status, out, _ = abicheck("trace", "--import", "shapely", "--wheel", wheel, "-p", prefix, cwd=tmp_path)
    assert "libgeos" in out and "[RPATH" in out.replace("own RPATH", "RPATH") and "wheel shapely 2.0.6" in out


def test_inspect(quiet, clashing, tmp_path):
    wheel = next(w for w in clashing if "shapely" in w)
    status, out, err = abicheck("inspect", wheel, "-f", "json", cwd=tmp_path)
    assert status == 0, err
    jsonschema.Draft202012Validator(schema("inspect-1")).validate(json.loads(out))
    status, out, _ = abicheck("inspect", *quiet, cwd=tmp_path)
    assert "imports" in out and "elf" in out


def test_audit(make_prefix, wheels):
    from tests.conda_side import pip_install

    prefix = make_prefix("gate-audited", SPECS)
    for info in prefix.glob("lib/python3.11/site-packages/MarkupSafe*"):
        shutil.rmtree(info)
    pip_install(prefix, wheels(*QUIET))
    status, out, err = abicheck("audit", "-p", prefix, "-f", "json")
    found = json.loads(out)
    jsonschema.Draft202012Validator(schema("report-1")).validate(found)
    assert status == found["exit_code"] and [i["kind"] for i in found["inputs"]] == ["installed"], err


# -- input errors of the contract ------------------------------------------------------------


@pytest.fixture
def bad(tmp_path, quiet):
    """Operands that are not what they should be."""
    (tmp_path / "x-1.0.tar.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "x-1.0-py3-none-any.whl").write_bytes(b"not a zip")
    whole = Path(quiet[0]).read_bytes()
    (tmp_path / Path(quiet[0]).name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "operand", ["x-1.0.tar.gz", "x-1.0-py3-none-any.whl", "gone.whl", "empty", "truncated", "no-such-*.whl"]
)
def test_bad_operand(bad, prefix, quiet, operand):
    operand = Path(quiet[0]).name if operand == "truncated" else operand
    status, out, err = abicheck(operand, "-p", prefix, "-f", "json", cwd=bad)
    assert status == 2, err
    found = json.loads(out)
    jsonschema.Draft202012Validator(schema("report-1")).validate(found)
    assert found["error"]["message"]
    assert err.startswith("error: ") and "Traceback" not in err


@pytest.mark.parametrize("place", ["gone", "empty"])
def test_bad_prefix(bad, quiet, place):
    status, _, err = abicheck(*quiet, "-p", place, cwd=bad)
    assert status == 2 and "hint:" in err


def test_snapshot_gives_the_same_report(prefix, clashing, tmp_path):
    """A picture of the environment, taken elsewhere, is judged as the environment itself."""
    status, _, err = abicheck("snapshot", "-p", prefix, "-o", "gate.snapshot", cwd=tmp_path)
    assert status == 0 and "written: gate.snapshot" in err
    (tmp_path / "gate").symlink_to(prefix)
    numpy = next(w for w in clashing if "numpy" in w)
    here = abicheck(numpy, "-p", "gate", "-f", "json", cwd=tmp_path)
    there = abicheck(numpy, "-p", "gate.snapshot", "-f", "json", cwd=tmp_path)
    assert here[:2] == there[:2]


def test_host_file(prefix, quiet, tmp_path):
    status, _, _ = abicheck("snapshot", "--host", "-o", "host.json", cwd=tmp_path)
    assert status == 0
    status, _, err = abicheck(*quiet, "-p", prefix, "--host", "host.json", cwd=tmp_path)
    assert status == 0 and "host:" in err
