"""Just enough of an image to follow a code reference to a string: where file offsets are mapped, and which are code.

Used to read constants that compilers put beside a known text (sizes, API levels). Only 64-bit little-endian x86 and
ARM images of ELF, Mach-O (thin, or one slice of a fat file) and PE are understood; others give no segments, and the
readers above then say that they do not know.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAX_IMAGE = 64 << 20  # extension modules whose constants are worth reading are far smaller


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of the file as it is mapped: file offset, virtual address, length, whether it holds code."""

    offset: int
    address: int
    size: int
    code: bool


@dataclass(frozen=True, slots=True)
class Image:
    """Bytes of one slice with its segments. ``machine`` is x86_64 or arm64; ``windows``: the Win64 calling
    convention."""

    data: bytes
    machine: str
    windows: bool
    segments: tuple[Segment, ...]

    def offset_of(self, address: int) -> int | None:
        """File offset of a virtual address, None outside the file."""
        for s in self.segments:
            if s.address <= address < s.address + s.size:
                return s.offset + address - s.address
        return None

    def text_at(self, address: int, limit: int = 256) -> bytes | None:
        """The NUL-terminated text at an address, None when there is none."""
        at = self.offset_of(address)
        if at is None:
            return None
        end = self.data.find(b"\0", at, at + limit)
        return self.data[at:end] if end >= 0 else None

    @property
    def code(self) -> Iterator[Segment]:
        return (s for s in self.segments if s.code)


def images(data: bytes) -> tuple[Image, ...]:
    """The slices of a file that can be followed; none for formats or machines that are not understood."""
    try:
        return tuple(_images(data))
    except (struct.error, IndexError):
        return ()


def _images(data: bytes) -> Iterator[Image]:
    magic = data[:4]
    if magic == b"\x7fELF" and data[4:6] == b"\x02\x01":
        yield from _elf(data)
    elif magic == b"\xcf\xfa\xed\xfe":
        yield from _macho(data)
    elif magic in (b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"):
        yield from _fat(data, magic == b"\xca\xfe\xba\xbf")
    elif magic[:2] == b"MZ":
        yield from _pe(data)


def _elf(data: bytes) -> Iterator[Image]:
    machine = {62: "x86_64", 183: "arm64"}.get(struct.unpack_from("<H", data, 18)[0])
    if machine is None:
        return
    (table,) = struct.unpack_from("<Q", data, 32)
    entry, count = struct.unpack_from("<HH", data, 54)
    segments = []
    for n in range(count):
        kind, flags, offset, address, _, size = struct.unpack_from("<IIQQQQ", data, table + n * entry)
        if kind == 1:  # PT_LOAD
            segments.append(Segment(offset, address, size, bool(flags & 1)))
    yield Image(data, machine, False, tuple(segments))


def _macho(data: bytes) -> Iterator[Image]:
    machine = {0x01000007: "x86_64", 0x0100000C: "arm64"}.get(struct.unpack_from("<I", data, 4)[0])
    if machine is None:
        return
    (count,) = struct.unpack_from("<I", data, 16)
    at, segments = 32, []
    for _ in range(count):
        command, length = struct.unpack_from("<II", data, at)
        if command == 0x19:  # LC_SEGMENT_64
            address, _, offset, size, _, protection = struct.unpack_from("<QQQQii", data, at + 24)
            segments.append(Segment(offset, address, size, bool(protection & 4)))
        at += length
    yield Image(data, machine, False, tuple(segments))


def _fat(data: bytes, wide: bool) -> Iterator[Image]:
    (count,) = struct.unpack_from(">I", data, 4)
    for n in range(min(count, 16)):
        if wide:
            offset, size = struct.unpack_from(">QQ", data, 8 + n * 32 + 8)
        else:
            offset, size = struct.unpack_from(">II", data, 8 + n * 20 + 8)
        part = data[offset : offset + size]
        if part[:4] == b"\xcf\xfa\xed\xfe":
            yield from _macho(part)


def _pe(data: bytes) -> Iterator[Image]:
    (header,) = struct.unpack_from("<I", data, 60)
    if data[header : header + 4] != b"PE\0\0":
        return
    machine = {0x8664: "x86_64", 0xAA64: "arm64"}.get(struct.unpack_from("<H", data, header + 4)[0])
    if machine is None:
        return
    sections, optional = struct.unpack_from("<H", data, header + 6)[0], struct.unpack_from("<H", data, header + 20)[0]
    table = header + 24 + optional
    segments = []
    for n in range(sections):
        _, address, size, offset = struct.unpack_from("<IIII", data, table + n * 40 + 8)
        (traits,) = struct.unpack_from("<I", data, table + n * 40 + 36)
        segments.append(Segment(offset, address, size, bool(traits & 0x20000000)))
    yield Image(data, machine, True, tuple(segments))
