"""Truth by doing: the files that pip really writes, overwrites and removes, against those predicted, file by file.

Prefixes are made by a real conda client, wheels come from the registry, and the prefix's own pip installs them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fixtures.download import PIP_ENVIRONMENT
from tests.conda_side import MakePrefix, Wheels

from abicheck.inputs import read_operands
from abicheck.prefix import open_prefix
from abicheck.rules.ownership import clobbers
from abicheck.transaction import Transaction, plan_transaction
from abicheck.wheel import Wheel

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]

SPECS = (
    "python", "pip", "libstdcxx >=12", "numpy", "h5py", "lxml", "scipy", "tbb", "llvm-openmp", "protobuf", "shapely",
    "psycopg2", "pyproj",
)  # fmt: skip
# Each case: what is installed one call after the other; a call may have several wheels.
CASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "replaced numpy, files of egg-info": (("numpy==1.26.4",),),
    "replaced lxml": (("lxml==5.3.0",),),
    "data files over conda's": (("tbb==2021.4.0",), ("intel-openmp==2021.4.0",)),
    "headers, then another version, then the same": (("greenlet==3.1.1",), ("greenlet==2.0.2",), ("greenlet==2.0.2",)),
    "several at once": (("pandas==2.2.3", "numpy==1.26.4", "kiwisolver==1.4.5"),),
    "console scripts": (("pyproj==3.6.1", "tables==3.9.2"),),
    "a top-level module only": (("six==1.16.0",), ("six==1.15.0",)),
    "scripts of a build tool": (("ninja==1.11.1",),),
    "another distribution's files": (("h5py==3.11.0",),),
    "a pure project with many scripts": (("pygments==2.17.2", "docutils==0.20.1"),),
    "one cv2 over another": (("opencv-python-headless==4.10.0.84",), ("opencv-python==4.10.0.84",)),
    "extensions over conda's": (("shapely==2.0.6", "psycopg2-binary==2.9.9", "protobuf==4.25.3"),),
}


@dataclass(frozen=True)
class Change:
    """What one call did to the files of a prefix (prefix-relative paths)."""

    written: frozenset[str]
    overwritten: frozenset[str]
    removed: frozenset[str]


def state(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and link of a prefix: inode, change of content in ns, size."""
    out = {}
    for folder, folders, files in os.walk(root):
        links = [f for f in folders if (Path(folder) / f).is_symlink()]
        for name in (*files, *links):
            path = Path(folder) / name
            at = path.lstat()
            out[path.relative_to(root).as_posix()] = (at.st_ino, at.st_mtime_ns, at.st_size)
    return out


def pip_install(prefix: Path, wheels: Sequence[Path]) -> Change:
    before = state(prefix)
    command = [str(prefix / "bin/python"), "-B", "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    environment = {**os.environ, **PIP_ENVIRONMENT, "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run([*command, *map(str, wheels)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    after = state(prefix)
    written = frozenset(p for p, what in after.items() if before.get(p) != what)
    return Change(written, written & before.keys(), frozenset(before.keys() - after.keys()))


def compiles(wheel: Wheel, member: str) -> bool:
    """Whether the prefix's Python accepts a file: it is of the version that runs this test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(wheel.read(member) or b"", member, "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def predict(prefix: Path, wheels: Sequence[Path]) -> Transaction:
    opened = open_prefix(str(prefix))
    assert opened.layout is not None
    assert opened.interpreter is not None
    assert opened.interpreter.minor == sys.version_info[:2]
    return plan_transaction(opened, read_operands([str(w) for w in wheels], opened), opened.layout, compiles=compiles)


def predicted(transaction: Transaction) -> Change:
    written = frozenset(transaction.written)
    replaced = {p for r in transaction.replaced for p in r.removed if p in written}
    return Change(written, frozenset(o.path for o in transaction.overwritten) | replaced, transaction.removed)


@pytest.fixture
def prefix(make_prefix: MakePrefix, tmp_path: Path) -> Path:
    """A prefix of one's own: hard links to the one that the client made, which pip never writes through."""
    made = make_prefix("pip-truth", SPECS)
    shutil.copytree(made, tmp_path / "env", symlinks=True, copy_function=os.link)
    return tmp_path / "env"


@pytest.mark.parametrize("case", CASES)
def test_pip_does_what_was_predicted(
    prefix: Path, wheels: Wheels, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for call in CASES[case]:
        files = wheels(*call)
        transaction = predict(prefix, files)
        expected = predicted(transaction)
        real = pip_install(prefix, files)
        with capsys.disabled():
            counts = (
                f"{len(real.written)} written, {len(real.overwritten)} of them over others, {len(real.removed)} removed"
            )
            print(f"\n{' '.join(call)}: {counts}")
        assert sorted(expected.written ^ real.written) == []
        assert sorted(expected.removed ^ real.removed) == []
        assert sorted(expected.overwritten ^ real.overwritten) == []


def test_conda_files_that_pip_overwrites_are_those_of_the_records(prefix: Path, wheels: Wheels) -> None:
    """What ABI501 calls clobbered: the real overwritten files that conda-meta lists and pip did not remove first."""
    files = wheels("tbb==2021.4.0")
    transaction = predict(prefix, files)
    owned = {f for r in transaction.prefix.records for f in r.files}
    told = {
        o.path for c in clobbers(transaction.prefix, transaction.overwritten) for kind in c.files.values() for o in kind
    }
    assert told == pip_install(prefix, files).overwritten & owned
    assert "lib/libtbb.so.12" in told


def test_hard_links_of_other_environments_stay_as_they_were(
    prefix: Path, make_prefix: MakePrefix, wheels: Wheels
) -> None:
    """pip unlinks and writes anew: another environment with hard links to the same files keeps them (ABI501's page)."""
    other = make_prefix("pip-truth", SPECS)
    before = state(other)
    pip_install(prefix, wheels("tbb==2021.4.0"))
    assert state(other) == before


def test_pip_refuses_what_was_said_to_be_refused(prefix: Path, wheels: Wheels) -> None:
    site = prefix / "lib/python3.11/site-packages"
    for path in site.glob("scipy-*.dist-info/RECORD"):
        path.unlink()
    (site / "six-1.0.egg-info").write_text("Metadata-Version: 1.0\nName: six\nVersion: 1.0\n")
    for requirement in ("scipy==1.13.1", "six==1.16.0", "pip==25.0"):
        files = wheels(requirement)
        (replacement,) = predict(prefix, files).replaced
        assert replacement.refusal
        command = [
            str(prefix / "bin/python"),
            "-B",
            "-m",
            "pip",
            "install",
            "-q",
            "--no-index",
            "--no-deps",
            str(files[0]),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        said = " ".join(done.stderr.split()).lower()
        assert ("no record file" in said) == ("no RECORD file" in replacement.refusal)
        assert ("distutils" in said) == ("distutils" in replacement.refusal)
