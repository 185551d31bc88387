"""Small ELF files for the tests of the reader: built by the machine's compilers, or changed byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

from abicheck.binary.elf import ElfSlice
from abicheck.binary.reading import read_binary
from abicheck.binary.source import BytesSource

PT_DYNAMIC = 2


def slice_of(data: bytes | Path, name: str = "sample.so") -> ElfSlice:
    """The facts of an ELF file given as bytes or as a path."""
    binary = read_binary(BytesSource(name, data.read_bytes() if isinstance(data, Path) else data))
    assert binary is not None
    assert binary.format == "elf"
    (only,) = binary.slices
    assert isinstance(only, ElfSlice)
    return only


def without_sections(data: bytes) -> bytes:
    """The file as ``sstrip`` would leave it: no section headers, only their absence noted."""
    out = bytearray(data)
    if data[4] == 2:
        struct.pack_into("<Q", out, 40, 0)
        out[58:64] = bytes(6)
    else:
        end = "<" if data[5] == 1 else ">"
        struct.pack_into(end + "I", out, 32, 0)
        out[46:52] = bytes(6)
    return bytes(out)


def program_headers(data: bytes) -> list[tuple[int, int]]:
    """[(offset in the file of a program header, its type)] of a 64-bit little-endian file."""
    (phoff,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    return [(phoff + 56 * i, struct.unpack_from("<I", data, phoff + 56 * i)[0]) for i in range(count)]


def dynamic_entries(data: bytes) -> list[tuple[int, int, int]]:
    """[(offset in the file of an entry, tag, value)] of a 64-bit little-endian file."""
    at = next(o for o, t in program_headers(data) if t == PT_DYNAMIC)
    offset, _, _, size = struct.unpack_from("<QQQQ", data, at + 8)
    return [(o, *struct.unpack_from("<QQ", data, o)) for o in range(offset, offset + size, 16)]


def with_tag(data: bytes, old: int, new: int, value: int | None = None) -> bytes:
    """The file with the first dynamic entry of tag ``old`` turned into tag ``new`` (and another value)."""
    out = bytearray(data)
    at, _, before = next(e for e in dynamic_entries(data) if e[1] == old)
    struct.pack_into("<QQ", out, at, new, before if value is None else value)
    return bytes(out)


def with_segment_type(data: bytes, old: int, new: int) -> bytes:
    """The file with the first program header of type ``old`` turned into type ``new``."""
    out = bytearray(data)
    struct.pack_into("<I", out, next(o for o, t in program_headers(data) if t == old), new)
    return bytes(out)
