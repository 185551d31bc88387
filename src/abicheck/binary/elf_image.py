"""The frame of an ELF file: header, program headers, PT_DYNAMIC, and where in the file an address lies.

Nothing here looks at section headers (GEN-4). Every size is checked against the file before bytes are asked for.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from sys import byteorder
from typing import NamedTuple

from abicheck.binary.source import ByteSource
from abicheck.errors import BinaryError

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_TLS = 1, 2, 3, 4, 7
PT_GNU_STACK, PT_GNU_RELRO, PT_GNU_PROPERTY = 0x6474E551, 0x6474E552, 0x6474E553
PF_X, PF_W = 1, 2
FIRST_READ = 4096
MAX_TABLE = 1 << 31  # no dynamic table of a loadable file comes near; keeps a lying size from asking for the moon


class Segment(NamedTuple):
    """One program header."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int
    align: int


class Layout(NamedTuple):
    """Struct formats of one class and byte order. Sizes in bytes."""

    elf_class: int
    little: bool
    end: str
    dyn: struct.Struct
    sym: struct.Struct
    word: str

    @property
    def rel_sizes(self) -> tuple[int, int]:
        """(bytes of a REL entry, bytes of a RELA entry)"""
        return (16, 24) if self.elf_class == 64 else (8, 12)


@dataclass(frozen=True, slots=True)
class Image:
    """An opened ELF file. ``head``: its first bytes, so that small files cost one read."""

    source: ByteSource
    head: bytes
    layout: Layout
    osabi: int
    etype: int
    machine: int
    segments: tuple[Segment, ...]

    def bytes_at(self, offset: int, length: int, what: str) -> bytes:
        """Exactly ``length`` bytes of the file. Raises ``BinaryError`` when they are not all there."""
        if length < 0 or length > MAX_TABLE:
            raise BinaryError(self.source.name, f"claims {grouped(length)} bytes for its {what}")
        end = offset + length
        if end <= len(self.head):
            return self.head[offset:end]
        if end > self.source.size:
            raise BinaryError(
                self.source.name, f"ends after {grouped(self.source.size)} of {grouped(end)} bytes (reading its {what})"
            )
        data = self.source.pread(offset, length)
        if len(data) != length:
            raise BinaryError(self.source.name, f"gave {grouped(len(data))} of {grouped(length)} bytes of its {what}")
        return data

    def place(self, address: int, what: str) -> tuple[int, int]:
        """(file offset, bytes from there to the end of its segment's file part) of a virtual address."""
        for s in self.segments:
            if s.type == PT_LOAD and s.vaddr <= address < s.vaddr + s.filesz:
                return s.offset + address - s.vaddr, s.vaddr + s.filesz - address
        raise BinaryError(self.source.name, f"has its {what} at address {address:#x}, outside its segments")

    def table(self, address: int, length: int, what: str) -> bytes:
        """``length`` bytes at a virtual address, all of one segment."""
        if length == 0:
            return b""
        offset, room = self.place(address, what)
        if length > room:
            raise BinaryError(
                self.source.name, f"claims {grouped(length)} bytes for its {what} where {grouped(room)} are left"
            )
        return self.bytes_at(offset, length, what)

    def numbers(self, data: bytes, code: str) -> array[int]:
        """``data`` as unsigned numbers of array type ``code``, in our byte order. An odd rest is dropped."""
        out = array(code)
        out.frombytes(data[: len(data) // out.itemsize * out.itemsize])
        if self.layout.little != (byteorder == "little"):
            out.byteswap()
        return out


def grouped(number: int) -> str:
    """90112 -> ``90 112``."""
    return f"{number:,}".replace(",", " ")


def _layout(elf_class: int, little: bool) -> Layout:
    end = "<" if little else ">"
    wide = elf_class == 64
    return Layout(
        elf_class,
        little,
        end,
        struct.Struct(end + ("QQ" if wide else "II")),
        struct.Struct(end + ("IBBHQQ" if wide else "IIIBBH")),
        "Q" if wide else "I",
    )


_LAYOUTS = {(c, little): _layout(c, little) for c in (32, 64) for little in (True, False)}


def open_image(source: ByteSource) -> Image:
    """Read the header and the program headers.

    Raises ``BinaryError`` for a class, byte order or table size no ELF file has, or when the tables are cut off.
    """
    head = source.pread(0, FIRST_READ)
    if len(head) < 16 or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise BinaryError(source.name, "starts like an ELF file but its header is cut off or damaged")
    layout = _LAYOUTS[(64 if head[4] == 2 else 32, head[5] == 1)]
    wide = layout.elf_class == 64
    size = 64 if wide else 52
    if len(head) < size:
        raise BinaryError(source.name, f"ends after {source.size} of {size} bytes (reading its header)")
    etype, machine = struct.unpack_from(layout.end + "HH", head, 16)
    (phoff,) = struct.unpack_from(layout.end + layout.word, head, 32 if wide else 28)
    phentsize, phnum = struct.unpack_from(layout.end + "HH", head, 54 if wide else 42)
    image = Image(source, head, layout, head[7], etype, machine, ())
    if phnum == 0:
        return image
    entry = 56 if wide else 32
    if phentsize != entry:
        raise BinaryError(source.name, f"has program headers of {phentsize} bytes instead of {entry}")
    raw = image.bytes_at(phoff, phnum * entry, "program headers")
    return Image(source, head, layout, head[7], etype, machine, tuple(_segments(raw, layout)))


def _segments(raw: bytes, layout: Layout) -> list[Segment]:
    if layout.elf_class == 64:
        rows = struct.iter_unpack(layout.end + "IIQQQQQQ", raw)
        return [Segment(t, fl, off, va, fsz, msz, al) for t, fl, off, va, _, fsz, msz, al in rows]
    rows = struct.iter_unpack(layout.end + "IIIIIIII", raw)
    return [Segment(t, fl, off, va, fsz, msz, al) for t, off, va, _, fsz, msz, fl, al in rows]


class Dynamic(NamedTuple):
    """PT_DYNAMIC: last value of each tag (ELF-9), and all values of the tags that may repeat, in file order."""

    tags: dict[int, int]
    repeated: dict[int, list[int]]


REPEATING = (1, 0x7FFFFFFD, 0x7FFFFFFF)  # DT_NEEDED, DT_AUXILIARY, DT_FILTER


def read_dynamic(image: Image) -> Dynamic | None:
    """The dynamic section up to DT_NULL; None when there is none (static programs, objects, split debug files).

    Also checks that the file is as long as its segments say: a loader would die on the missing pages.
    """
    segment = next((s for s in reversed(image.segments) if s.type == PT_DYNAMIC), None)
    if segment is None or segment.filesz == 0:
        return None
    end = max((s.offset + s.filesz for s in image.segments if s.type == PT_LOAD), default=0)
    if end > image.source.size:
        raise BinaryError(image.source.name, f"ends after {grouped(image.source.size)} of {grouped(end)} bytes")
    # The loader goes by the address (l_ld = p_vaddr); the offset says the same in every file a linker makes.
    offset, room = image.place(segment.vaddr, "dynamic section")
    raw = image.bytes_at(offset, min(segment.filesz, room), "dynamic section")
    entry = image.layout.dyn
    tags: dict[int, int] = {}
    repeated: dict[int, list[int]] = {t: [] for t in REPEATING}
    for tag, value in entry.iter_unpack(raw[: len(raw) // entry.size * entry.size]):
        if tag == 0:
            return Dynamic(tags, repeated)
        if tag in repeated:
            repeated[tag].append(value)
        tags[tag] = value
    raise BinaryError(image.source.name, "has a dynamic section without an end")
