"""C functions and classes that Cython modules share, read from code compiled from what Cython generates (PY-17)."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from tests.evidence.test_compiled import SOURCES, build

from abicheck.binary.source import BytesSource
from abicheck.evidence.cython_api import CythonApi, Need, cython_api
from abicheck.evidence.extensions import TypeSize, shared
from abicheck.evidence.type_objects import TypeObject, type_objects

SOURCE = (SOURCES / "cython_api.c").read_text()
FILL = "int (struct box *, double)"


def made(tmp_path: Path, kind: str, *options: str, fill: str = FILL, size: int = 40) -> CythonApi | None:
    return cython_api(build(tmp_path, SOURCE, *options, f"-D{kind}", f'-DFILL="{fill}"', f"-DSIZE={size}"))


@pytest.mark.parametrize("optimise", ["-O1", "-O2", "-O3", "-Os"])
def test_needs(tmp_path: Path, optimise: str) -> None:
    got = made(tmp_path, "IMPORTS", optimise)
    assert got is not None and got.modules == ("box.core",)
    # A compiler may keep the module's name in a register; then the module is not said.
    assert {n.module for n in got.needs} <= {"", "box.core"} and {n.group for n in got.needs} == {0}
    assert [(n.name, n.signature) for n in got.needs] == [("fill", FILL), ("empty_box", "void (struct box *)")]


@pytest.mark.parametrize("optimise", ["-O0", "-O2", "-Os"])
def test_what_is_given(tmp_path: Path, optimise: str) -> None:
    got = made(tmp_path, "EXPORTS", optimise)
    assert got is not None and (got.known, got.needs) == ("texts", ())
    assert got.may_give("fill", FILL) and got.may_give("empty_box", "void (struct box *)")
    assert got.may_name("fill") and not got.may_give("fill", "int (struct box *, float)")
    assert not got.may_name("drain") and got.may_name("box")  # a shorter text may be the end of a longer one


def test_sizes_on_both_sides(tmp_path: Path) -> None:
    options = ("-O2", '-DFILL="void (void)"', "-DSIZE=40")
    assert TypeObject("box.core.Box", 40, 0) in type_objects(build(tmp_path, SOURCE, *options, "-DEXPORTS"))
    got = shared(build(tmp_path, SOURCE, *options, "-DIMPORTS")).sizes
    assert got == (TypeSize("box.core", "Box", 40),)


@pytest.mark.parametrize("link", ["-Wl,-z,nopack-relative-relocs", "-Wl,-z,pack-relative-relocs"])
def test_types_under_both_kinds_of_relocations(tmp_path: Path, link: str) -> None:
    source = build(tmp_path, SOURCE, "-O2", "-DEXPORTS", '-DFILL="void (void)"', "-DSIZE=48", link)
    assert TypeObject("box.core.Box", 48, 0) in type_objects(source)


def test_a_type_specification(tmp_path: Path) -> None:
    text = (
        "struct spec { const char *name; int size, item; unsigned flags; void *slots; };"
        'struct spec one = {"box.core.Spec", 56, 8, 1 << 18, 0}, other = {"box.core.other", 56, 0, 1, 0};'
    )
    assert type_objects(build(tmp_path, text)) == (TypeObject("box.core.Spec", 56, 8),)


def packed(*tables: bytes, also: tuple[bytes, ...] = ()) -> BytesSource:
    """A file with a packed table of constants as Cython 3.2 lays it out: the text, and beside it the lengths."""
    names = (b"__main__", b"__name__", b"__test__", b"Box", b"core", b"append", b"close", b"items", b"values", b"self")
    constants = (*names, b"other", *also, *tables)
    text = b"".join(constants)
    lengths = b"".join(len(c).to_bytes(4, "little") for c in constants)
    padding = b"\xff" * 66
    table = padding + lengths + padding + zlib.compress(text) + padding
    return BytesSource("m.so", b"\0zlib\0" + table + b"\0__pyx_capi__\0")


TABLE = b"int (double)\0\0void (struct box *)\0fill\0pour\0empty_box"
FOUND = (("fill", "int (double)"), ("pour", "int (double)"), ("empty_box", "void (struct box *)"))


def test_a_packed_table_of_exports() -> None:
    got = cython_api(packed(TABLE, also=(b"__pyx_capi__",)))
    assert got is not None and (got.known, got.gives, got.needs) == ("all", FOUND, ())
    assert got.may_give("pour", "int (double)") and not got.may_give("pour", "void (struct box *)")
    assert not got.may_name("drain")


def test_packed_tables_of_what_is_needed() -> None:
    source = packed(TABLE)
    data = source.pread(0, source.size) + b"\0%.200s does not export expected C %.8s %.200s\0box.core\0"
    got = cython_api(BytesSource("m.so", data))
    assert got is not None and (got.known, got.gives, got.mixed) == ("all", (), False)
    assert got.needs == tuple(Need(0, "", *f) for f in FOUND) and got.modules == ("box.core",)


def test_a_packed_table_that_cannot_be_read() -> None:
    got = cython_api(BytesSource("m.so", b"\0zlib\0 something else"))
    assert got is not None and got.known == "nothing" and got.may_give("anything", "at all")


def test_constants_that_are_no_tables() -> None:
    got = cython_api(packed(b"some\0text", b"a(\0b", b"int (int)\0two words", also=(b"__pyx_capi__",)))
    assert got is not None and got.gives == ()


def test_no_cython_module(tmp_path: Path) -> None:
    assert cython_api(build(tmp_path, 'const char *s = "no capsules here";')) is None
