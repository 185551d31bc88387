"""Second opinion: pyelftools, which decodes everything from section headers, one object for each symbol."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from zipfile import ZipFile

import pytest
from tests.binary.elf_peers import ours, pyelftools, system_libraries
from tests.binary.elf_samples import slice_of
from tests.conda_side import Wheels
from tests.requirements import need

COMPARED = ("soname", "needed", "rpath", "runpath", "verneed", "verdef", "imports", "exports", "references")


def compare(name: str, data: bytes) -> Counter[str]:
    """Assert that both say the same; how much was compared."""
    s = slice_of(data, name)
    mine, theirs = ours(s), pyelftools(data, s)
    for what in COMPARED:
        assert getattr(mine, what) == getattr(theirs, what), f"{name}: {what}"
    assert theirs.symbols is None or mine.symbols == theirs.symbols, f"{name}: symbols"
    counts = Counter(files=1, imports=len(mine.imports), exports=len(mine.exports), versions=len(mine.verneed or ()))
    counts["references"] = len(mine.references or ())
    return counts


def test_system_libraries() -> None:
    need("glibc")
    total: Counter[str] = Counter()
    for path in system_libraries():
        total += compare(str(path), path.read_bytes())
    print(dict(total))
    assert total["files"] > 5 and total["imports"] > 500 and total["exports"] > 500 and total["references"] > 500


# One small wheel of every Linux machine that conda and PyPI know.
WHEELS = [
    ("cffi==1.17.1", "manylinux2014_aarch64"),
    ("cffi==1.17.1", "manylinux2014_i686"),
    ("cffi==1.17.1", "manylinux2014_ppc64le"),
    ("cffi==1.17.1", "manylinux2014_s390x"),
    ("kiwisolver==1.4.8", "manylinux2014_s390x"),
    ("kiwisolver==1.4.8", "musllinux_1_2_x86_64"),
    ("rpds-py==0.27.1", "manylinux2014_armv7l"),
    ("markupsafe==3.0.3", "manylinux_2_39_riscv64"),
]


@pytest.mark.network
@pytest.mark.parametrize(("requirement", "tag"), WHEELS)
def test_wheels_of_every_machine(requirement: str, tag: str, wheels: Wheels) -> None:
    (wheel,) = wheels(requirement, options=("--platform", tag, "--python-version", "3.12"))
    assert _compare_wheel(wheel)["files"] >= 1


def _compare_wheel(wheel: Path) -> Counter[str]:
    total: Counter[str] = Counter()
    with ZipFile(wheel) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if data[:4] == b"\x7fELF":
                total += compare(f"{wheel.name}!{name}", data)
    return total
