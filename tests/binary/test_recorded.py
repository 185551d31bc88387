"""A record of what the readers looked at gives the same facts as the file."""

from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fixtures.compilers import run, zig
from tests.requirements import need

from abicheck.binary.facts import Slice
from abicheck.binary.reading import read_binary
from abicheck.binary.recorded import NEAR, Record, RecordedSource, record
from abicheck.binary.source import BytesSource, DiskSource
from abicheck.errors import BinaryError

SOURCE = """
#ifdef _WIN32
#define SHARED __declspec(dllexport)
int __stdcall DllMain(void *module, unsigned reason, void *more) { return 1; }
#else
#define SHARED __attribute__((visibility("default")))
#endif
SHARED int shared_value = 3;
SHARED int shared_call(void) { return shared_value; }
static const char filler[200000] = "x"; const char *fill(int i) { return filler + i; }
"""
TARGETS = {
    "x86_64-linux-gnu": ("-nostdlib",),
    "powerpc-linux-gnueabi": ("-nostdlib",),
    "aarch64-macos": (),
    "x86_64-windows-gnu": ("-nostdlib", "-Wl,--entry=DllMain", "-fno-sanitize=all"),
}


@functools.cache
def library(target: str) -> bytes:
    need("zig")
    compiler = zig(target)
    assert compiler is not None
    with TemporaryDirectory() as scratch:
        text, out = Path(scratch) / "s.c", Path(scratch) / "out"
        text.write_text(SOURCE)
        run([*compiler.commands["c"], "-shared", "-O1", str(text), "-o", str(out), *TARGETS[target]])
        return out.read_bytes()


def facts(s: Slice) -> list[object]:
    more = [getattr(s, n, None) for n in ("references", "refusal", "uses_ie_tls")]
    plain = [s.format, s.arch, s.identity, s.needs, s.rpath, s.runpath, s.flags, s.floors]
    return [*plain, s.imports(), s.exports(), *more]


@pytest.mark.parametrize("target", TARGETS)
def test_same_facts_from_a_part_of_the_file(target: str) -> None:
    data = library(target)
    kept = record(BytesSource("lib", data))
    assert kept is not None and kept.size == len(data)
    again, first = read_binary(RecordedSource("lib", kept)), read_binary(BytesSource("lib", data))
    assert again is not None and first is not None
    assert any(e.name in ("shared_call", "_shared_call") for e in first.slices[0].exports())
    assert [facts(s) for s in again.slices] == [facts(s) for s in first.slices]
    assert sum(len(d) for _, d in kept.windows) < len(data) / 2
    ends = [(o, o + len(d)) for o, d in kept.windows]
    assert all(before[1] + NEAR < after[0] for before, after in pairwise(ends))
    assert all(data[o : o + len(d)] == d for o, d in kept.windows)


def test_a_record_of_a_record_is_the_same() -> None:
    kept = record(BytesSource("lib", library("x86_64-linux-gnu")))
    assert kept is not None
    assert record(RecordedSource("lib", kept)) == kept


def test_other_files_have_no_record(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"plain text " * 50)
    with DiskSource(str(tmp_path / "t")) as source:
        assert record(source) is None


def test_damage_is_recorded_too() -> None:
    cut = library("x86_64-linux-gnu")[:150_000]
    kept = record(BytesSource("lib", cut))
    assert kept is not None
    with pytest.raises(BinaryError) as original:
        read_binary(BytesSource("lib", cut))
    with pytest.raises(BinaryError) as again:
        read_binary(RecordedSource("lib", kept))
    assert str(again.value) == str(original.value)


def test_windows() -> None:
    source = RecordedSource("f", Record(100, ((0, b"abcdef"), (90, b"0123456789"))))
    assert source.pread(2, 3) == b"cde"
    assert source.pread(95, 50) == b"56789"
    assert source.pread(100, 5) == b"" == source.pread(200, 5) == source.pread(3, 0)
    for offset, length in ((4, 3), (50, 1), (80, 20)):
        with pytest.raises(OSError, match="not in the snapshot"):
            source.pread(offset, length)
