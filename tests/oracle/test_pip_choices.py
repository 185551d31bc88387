"""Truth by doing: wheels that pip really refuses, and the files it really chooses, against what abicheck says.

The wheels are made here; the prefix and its pip are real (``test_pip_truth.py`` compares what is written).
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
from pathlib import Path

import pytest
from fixtures.download import PIP_ENVIRONMENT
from tests.conda_side import MakePrefix
from tests.oracle.test_pip_truth import SPECS
from tests.wheel.making import make_wheel

from abicheck.admission import refusal
from abicheck.host import NOTHING
from abicheck.inputs import read_operands
from abicheck.prefix import open_prefix
from abicheck.wheel import read_wheel

pytestmark = [pytest.mark.oracle, pytest.mark.slow]
ANY = "py3-none-any"


@pytest.fixture(scope="module")
def prefix(make_prefix: MakePrefix) -> Path:
    return make_prefix("pip-truth", SPECS)


def pip(prefix: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """pip of the prefix; what it installs goes to a folder of its own (``--target``), so the prefix stays as it is."""
    environment = {**os.environ, **PIP_ENVIRONMENT, "PIP_CONFIG_FILE": os.devnull}
    command = [str(prefix / "bin/python"), "-B", "-m", "pip", "install", "-q", "--no-index", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("made", "is_refused"),
    [
        ({"with_record": False}, True),
        ({"requires": ["six (>=1.8.*)"]}, True),
        ({"requires": ["six (>=1.8)"]}, False),
        ({"entry_points": "[console_scripts]\ngrid = grid\n"}, True),
        ({"entry_points": "[console_scripts]\ngrid = grid:main [fast]\n"}, False),
        ({"files": {"grid-2.4.data/lib/x.txt": b""}}, True),
        ({"files": {"grid-2.4.data/data/x.txt": b""}}, False),
        ({"raw": [("grid/unlisted.py", b"")]}, False),
    ],
)
def test_broken_wheels(prefix: Path, tmp_path: Path, made: dict[str, object], is_refused: bool) -> None:
    wheel = make_wheel(tmp_path, "grid", "2.4", tag=ANY, **made)  # type: ignore[arg-type]
    done = pip(prefix, "--no-deps", "--target", str(tmp_path / "there"), str(wheel))
    opened = open_prefix(str(prefix))
    assert opened.interpreter is not None
    said = refusal(read_wheel(str(wheel)), opened.interpreter, opened.subdir, NOTHING)
    assert ((done.returncode != 0), said is not None) == (is_refused, is_refused), done.stderr


@pytest.fixture
def house(tmp_path: Path) -> Path:
    folder = tmp_path / "house"
    for name, version in (("local", "2.0"), ("local", "2.0+cpu"), ("local", "2.0+cu118"), ("grid", "1.0"),
                          ("grid", "1.0.post1"), ("early", "1.0"), ("early", "2.0rc1"), ("epoch", "1!1.0"),
                          ("epoch", "2.0"), ("Up_per.Case", "1.0")):  # fmt: skip
        make_wheel(folder, name, version, {f"{name}.py": b""}, tag=ANY)
    for build in ("1", "2", "10"):
        made = make_wheel(folder / "x", "built", "1.0", {"built.py": b""}, tag=ANY)
        made.rename(folder / f"built-1.0-{build}-{ANY}.whl")
    for tag in ("cp311-cp311-manylinux_2_17_x86_64", "cp311-abi3-manylinux_2_17_x86_64", ANY, "cp311-cp311-win_amd64"):
        make_wheel(folder, "native", "1.0", {"native.py": b""}, tag=tag)
    return folder


def chosen(prefix: Path, house: Path, *words: str) -> list[str]:
    done = pip(prefix, "--dry-run", "--find-links", str(house), "--report", "-", *words)
    assert done.returncode == 0, done.stderr
    urls = [i["download_info"]["url"] for i in json.loads(done.stdout)["install"]]
    return sorted(urllib.parse.unquote(u.rpartition("/")[2]) for u in urls)


PINNED = ("local==2.0", "local==2.0+cpu", "local===2.0", "built==1.0", "grid==1.0", "epoch==1!1", "native==1.0",
          "up-per-case==1.0.0", "numpy==1.24.2")  # fmt: skip


@pytest.mark.parametrize("operand", PINNED)
def test_pinned_names(prefix: Path, house: Path, operand: str) -> None:
    found = read_operands([operand], open_prefix(str(prefix)), find_links=[str(house)])
    assert sorted(r.wheel.filename for r in found.requests) == chosen(prefix, house, operand)
    assert found.missing == ()


def test_a_folder_of_wheels(prefix: Path, house: Path) -> None:
    found = read_operands([str(house)], open_prefix(str(prefix)))
    names = [r.wheel.name for r in found.requests]
    assert sorted(r.wheel.filename for r in found.requests) == chosen(prefix, house, *names)
