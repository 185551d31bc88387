"""Sizes of the objects that functions make when they are first called, read from compiled code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.requirements import need

from abicheck.binary.source import BytesSource, DiskSource
from abicheck.evidence.first_objects import first_objects

GUARD, OTHER = "_ZGVZN1SIiE3getEvE3one", "_ZGVZN1SIcE3getEvE3one"
SOURCE = """
#include <mutex>
#include <vector>
template<class T> struct S {
    std::vector<T> all; std::mutex lock; long more[ROOM];
    static S *get() { static S *one = new S; return one; }
    void add(T t) { std::lock_guard<std::mutex> held(lock); all.push_back(t); }
};
int *other() { return new int[77]; }
void one(int i) { S<int>::get()->add(i); }
void two(char c) { S<int>::get()->add(c); S<char>::get()->add(c); delete other(); }
"""


def build(folder: Path, source: str, *options: str) -> DiskSource:
    need("gcc", "x86_64")
    out = folder / "m.so"
    command = ["g++", "-shared", "-fPIC", "-w", "-x", "c++", "-", "-o", str(out), *options]
    subprocess.run(command, input=source.encode(), check=True, timeout=60)
    return DiskSource(str(out))


@pytest.mark.parametrize(
    "options",
    [("-O0",), ("-O1",), ("-O2",), ("-O3",), ("-Os",), ("-O2", "-fno-plt"), ("-O2", "-fcf-protection", "-Wl,-z,now")],
)
@pytest.mark.parametrize("room", [1, 5])
def test_what_a_function_allocates(tmp_path: Path, options: tuple[str, ...], room: int) -> None:
    got = first_objects(build(tmp_path, SOURCE, *options, f"-DROOM={room}"))
    assert {g: got.get(g) for g in (GUARD, OTHER)} == dict.fromkeys((GUARD, OTHER), 24 + 40 + 8 * room)


def test_an_object_that_is_not_allocated_has_no_such_size(tmp_path: Path) -> None:
    text = SOURCE.replace("static S *one = new S; return one;", "static S one; return &one;")
    assert first_objects(build(tmp_path, text, "-O2", "-DROOM=1")) == {}


def test_a_choice_of_two_sizes_is_unknown(tmp_path: Path) -> None:
    text = """
    template<class T> struct S {
        static T *get(int n) { static T *one = n ? (T *)new T : (T *)new long[5]; return one; }
    };
    int *one(int n) { return S<int>::get(n); }
    """
    assert first_objects(build(tmp_path, text, "-O2")) == {}


def test_other_files_say_nothing() -> None:
    assert first_objects(BytesSource("a.so", b"text")) == {}
    assert first_objects(BytesSource("a.so", b"\x7fELF\x02\x01" + bytes(10))) == {}
