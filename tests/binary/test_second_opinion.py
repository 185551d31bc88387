"""Other readers are asked about files that ours refuses."""

from __future__ import annotations

import sys

import pytest

from abicheck.binary.second_opinion import LIMIT, second_opinion
from abicheck.binary.source import BytesSource, DiskSource


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the interpreter that runs this must be an ELF file")
def test_a_sound_elf_file_is_read_by_pyelftools() -> None:
    with DiskSource(sys.executable) as source:
        assert second_opinion(source).startswith("pyelftools reads it")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the interpreter that runs this must be an ELF file")
def test_a_cut_elf_file_is_refused_by_pyelftools_too() -> None:
    with DiskSource(sys.executable) as source:
        head = source.pread(0, 4096)
    assert second_opinion(BytesSource("cut.so", head)) == "pyelftools cannot read it either"


@pytest.mark.parametrize(
    ("data", "reader"), [(b"MZ" + bytes(80), "pefile"), (b"\xcf\xfa\xed\xfe" + b"\xff" * 60, "macholib")]
)
def test_rubbish_behind_a_magic_is_refused(data: bytes, reader: str) -> None:
    assert second_opinion(BytesSource("rubbish", data)) == f"{reader} cannot read it either"


def test_nobody_is_asked_about_other_files_and_giants() -> None:
    class Giant:
        name, size = "giant.so", LIMIT + 1

        def pread(self, offset: int, length: int) -> bytes:
            raise AssertionError(f"{length} bytes at {offset} are not to be read")

    assert second_opinion(BytesSource("text", b"hello")) == ""
    assert second_opinion(Giant()) == ""
