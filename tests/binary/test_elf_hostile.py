"""Files that lie: the reader says what is wrong with them, and never anything but ``BinaryError``, in bounded time."""

from __future__ import annotations

import functools
import struct
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fixtures.compilers import zig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.binary.elf_samples import dynamic_entries, program_headers, slice_of, with_tag
from tests.requirements import need

from abicheck.binary.elf import ElfSlice
from abicheck.errors import BinaryError

SOURCE = """
extern int away(int); extern int data; extern __thread int tls;
__attribute__((weak)) int soft(int x) { return x + data; }
__asm__(".symver old_f, f@ONE"); __asm__(".symver new_f, f@@TWO");
int old_f(void) { return 1; } int new_f(void) { return 2; }
int work(int x) { return away(x) + soft(x) + tls; }
"""
SECONDS = 0.5


@functools.cache
def sample(target: str, style: str) -> bytes:
    """One library of about 8 kB with every kind of table."""
    compiler = zig(target)
    assert compiler is not None
    with TemporaryDirectory() as scratch:
        made = compiler.shared(
            Path(scratch) / "lib.so",
            SOURCE,
            "-nostdlib",
            "-Wl,-s",
            f"-Wl,--hash-style={style}",
            soname="libsample.so.1",
            rpath="$ORIGIN",
            version_script="ONE { global: f; work; soft; }; TWO { global: f; } ONE;",
        )
        return made.read_bytes()


def use(data: bytes) -> ElfSlice | None:
    """Ask a file everything; None when it is refused."""
    try:
        s = slice_of(data)
        s.exports(), s.imports(), s.flags, s.floors, s.references, s.uses_ie_tls, s.refusal, s.arch
        for name in [b"work", b"soft", b"f", b"", b"nothing", *list(s.exported)[:50]]:
            s.exported.get(name)
    except BinaryError as e:
        assert e.problem and "\n" not in e.problem
        return None
    return s


@st.composite
def damaged(draw: st.DrawFn, target: str, style: str) -> bytes:
    """The sample with a few numbers or bytes overwritten, or an end cut off."""
    data = bytearray(sample(target, style))
    for _ in range(draw(st.integers(1, 4))):
        width = draw(st.sampled_from([1, 2, 4, 8]))
        # Most of what matters lies in the first 3 kB and in PT_DYNAMIC.
        limit = draw(st.sampled_from([64, 700, 3000, len(data)])) - width
        at = draw(st.integers(0, max(0, limit)))
        at -= at % width if draw(st.booleans()) else 0
        value = draw(
            st.one_of(
                st.sampled_from([0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 64) - 1, 1 << 63, len(data)]),
                st.integers(0, (1 << 64) - 1),
                st.integers(0, 4096),
            )
        )
        order = draw(st.sampled_from(["little", "big"]))
        data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
    if draw(st.integers(0, 3)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


@pytest.mark.parametrize("target", ["x86_64-linux-gnu", "powerpc-linux-gnueabi", "s390x-linux-gnu"])
@pytest.mark.parametrize("style", ["gnu", "sysv"])
def test_damage_gives_a_binary_error_or_facts(target: str, style: str) -> None:
    need("zig")
    assert use(sample(target, style)) is not None

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(damaged(target, style))
    def check(data: bytes) -> None:
        if data[:4] != b"\x7fELF":
            return
        started = time.process_time()
        use(data)
        assert time.process_time() - started < SECONDS

    check()


@pytest.mark.parametrize("target", ["x86_64-linux-gnu", "powerpc-linux-gnueabi"])
def test_every_cut_is_noticed(target: str) -> None:
    """A file that ends before its segments do is refused, wherever it ends; a longer one is fine."""
    need("zig")
    data = sample(target, "gnu")
    ends = _end_of_segments(data)
    for length in [*range(5, ends, 37), ends - 1]:
        with pytest.raises(BinaryError, match=r"ends after|cut off"):
            slice_of(data[:length])
    assert slice_of(data[:ends]).exports() == slice_of(data + b"more").exports()


def _end_of_segments(data: bytes) -> int:
    wide, end = data[4] == 2, "<" if data[5] == 1 else ">"
    (phoff,) = struct.unpack_from(end + ("Q" if wide else "I"), data, 32 if wide else 28)
    size, count = struct.unpack_from(end + "HH", data, 54 if wide else 42)
    ends = []
    for i in range(count):
        at = phoff + i * size
        (kind,) = struct.unpack_from(end + "I", data, at)
        offset, length = (
            (struct.unpack_from(end + "Q", data, at + 8)[0], struct.unpack_from(end + "Q", data, at + 32)[0])
            if wide
            else (struct.unpack_from(end + "I", data, at + 4)[0], struct.unpack_from(end + "I", data, at + 16)[0])
        )
        if kind == 1:
            ends.append(offset + length)
    return max(ends)


TAGS = {"string table": 5, "symbol table": 6, "GNU hash table": 0x6FFFFEF5, "symbol versions": 0x6FFFFFF0}


@pytest.mark.parametrize("what", TAGS)
def test_tables_outside_the_file_are_named(what: str) -> None:
    need("zig")
    data = with_tag(sample("x86_64-linux-gnu", "gnu"), TAGS[what], TAGS[what], value=1 << 40)
    with pytest.raises(
        BinaryError, match=rf"sample\.so: has its {what} at address 0x10000000000, outside its segments"
    ):
        slice_of(data)


def test_lying_sizes_are_named() -> None:
    need("zig")
    data = sample("x86_64-linux-gnu", "gnu")
    with pytest.raises(BinaryError, match=r"claims [\d ]+ bytes for its relocations where [\d ]+ are left"):
        slice_of(with_tag(data, 8, 8, value=24 << 40))
    endless = bytearray(data)
    for at, tag, _ in dynamic_entries(data):
        if tag == 0:
            struct.pack_into("<Q", endless, at, 1)
    with pytest.raises(BinaryError, match="dynamic section without an end"):
        slice_of(bytes(endless))
    versions = bytearray(data)
    (verdef,) = [v for _, t, v in dynamic_entries(data) if t == 0x6FFFFFFC]
    struct.pack_into("<H", versions, verdef, 9)  # the first segment maps the file from its start: address = offset
    with pytest.raises(BinaryError, match="version definitions of unsupported version 9"):
        slice_of(bytes(versions))


def test_string_size_is_not_believed() -> None:
    """The loader never looks at DT_STRSZ: a small lie changes nothing."""
    need("zig")
    data = sample("x86_64-linux-gnu", "gnu")
    assert slice_of(with_tag(data, 10, 10, value=1)).exports() == slice_of(data).exports()
    assert slice_of(with_tag(data, 10, 10, value=1 << 50)).exports() == slice_of(data).exports()


def test_names_without_end_do_not_fill_the_memory() -> None:
    """A string table without a NUL, and thousands of symbols whose names all run to its end."""
    count = 50_000
    blob = _library_with(b"a" * 400_000, count)
    started = time.process_time()
    with pytest.raises(BinaryError, match="overlap without end"):
        slice_of(blob).exports()
    assert time.process_time() - started < 5


def test_circles_in_a_hash_table_end() -> None:
    blob = _library_with(b"\0f\0" + bytes(60), 30, circle=True)
    s = slice_of(blob)
    assert s.exported.get(b"nothing") is None
    started = time.process_time()
    assert len(s.exports()) <= 30
    assert time.process_time() - started < SECONDS


def _library_with(strings: bytes, count: int, circle: bool = False) -> bytes:
    """A hand-made x86-64 library with ``count`` symbols, DT_HASH of one bucket, and the given string table."""
    symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", 1 + i % 40, 0x12, 0, 1, 64, 1) for i in range(count))
    chain = [0, *range(2, count + 1), 1 if circle else 0]
    table = struct.pack(f"<II I {count + 1}I", 1, count + 1, 1, *chain)
    at = 64 + 2 * 56
    dynamic_at, dynamic_size = at, 6 * 16
    hash_at = dynamic_at + dynamic_size
    symbols_at = hash_at + len(table)
    strings_at = symbols_at + len(symbols)
    total = strings_at + len(strings)
    tags = [(4, hash_at), (5, strings_at), (6, symbols_at), (10, len(strings)), (11, 24), (0, 0)]
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, total, total, 4096)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, dynamic_at, dynamic_at, 0, dynamic_size, dynamic_size, 8)
    body = b"".join(struct.pack("<QQ", *t) for t in tags)
    return header + load + dynamic + body + table + symbols + strings


def test_many_program_headers() -> None:
    """65 535 of them, all PT_LOAD: read, and in time."""
    blob = bytearray(_library_with(b"\0f\0" + bytes(60), 2))
    headers = bytes(blob[program_headers(bytes(blob))[0][0] :][:112])
    filler = struct.pack("<IIQQQQQQ", 1, 6, 0, 1 << 30, 0, 8, 8, 4096) * 65_533
    moved = len(blob)
    blob += headers + filler
    struct.pack_into("<Q", blob, 32, moved)
    struct.pack_into("<H", blob, 56, 65_535)
    started = time.process_time()
    assert use(bytes(blob)) is not None
    assert time.process_time() - started < 3
