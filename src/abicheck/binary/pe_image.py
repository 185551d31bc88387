"""The frame of a PE file: headers, sections, and reading by address. Shared by the table readers beside it.

Layout facts are from Microsoft's "PE Format" (MicrosoftDocs/win32 desktop-src/Debug/pe-format.md). Sizes are bytes,
addresses (``rva``) are relative to the image base. Nothing here trusts a number of the file: every window is checked
against the file's size, and everything read beyond the headers is charged to a budget, so that a hostile file ends in
``BinaryError`` after bounded work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct, error, unpack_from

from abicheck.binary.source import ByteSource
from abicheck.errors import BinaryError

HEAD = 4096
CHUNK = 1 << 16
MAX_SECTIONS = 2048  # the loader itself stops at 96 (Windows XP) or 65 535; real files have fewer than 40
MAX_LFANEW = 1 << 20
MAX_NAME = 1 << 16  # MSVC cuts decorated names at 4096 characters
MAX_BUDGET = 1 << 28
SECTION = Struct("<8sIIIIIIHHI")
EXECUTABLE = 0x20000000
PE32, PE32PLUS = 0x10B, 0x20B


@dataclass(frozen=True, slots=True)
class Section:
    """``start``/``end``: addresses it covers; ``raw``/``raw_end``: the file offsets that fill its beginning."""

    start: int
    end: int
    raw: int
    raw_end: int
    executable: bool


@dataclass(slots=True)
class Image:
    """A PE file that can be read by address.

    ``directories`` are (address, size) in the order of the PE specification, as many as the file declares (at most 16).
    ``rich``: the Microsoft linker's "Rich" block stands before the PE header.
    """

    source: ByteSource
    machine: int
    plus: bool
    characteristics: int
    linker: tuple[int, int]
    image_base: int
    image_size: int
    subsystem: int
    subsystem_version: tuple[int, int]
    dll_characteristics: int
    headers_size: int
    rich: bool
    directories: tuple[tuple[int, int], ...]
    sections: tuple[Section, ...]
    _chunks: dict[int, bytes] = field(default_factory=dict)
    _budget: int = 0
    _last: Section | None = None

    def directory(self, index: int) -> tuple[int, int]:
        """(address, size) of a data directory; (0, 0) when the file has none."""
        return self.directories[index] if index < len(self.directories) else (0, 0)

    def fail(self, problem: str) -> BinaryError:
        return BinaryError(self.source.name, problem)

    def charge(self, amount: int) -> None:
        """Take ``amount`` bytes of work off the budget. Raises ``BinaryError`` when it is used up (tables that overlap
        themselves would otherwise be read again and again)."""
        self._budget -= amount
        if self._budget < 0:
            raise self.fail("has tables that overlap or repeat without end")

    def section_at(self, rva: int) -> Section:
        for section in self.sections:
            if section.start <= rva < section.end:
                return section
        if 0 <= rva < self.headers_size:
            return Section(0, self.headers_size, 0, self.headers_size, False)
        raise self.fail(f"points to address {rva:#x}, which is in none of its sections")

    def at(self, rva: int, length: int) -> bytes:
        """``length`` bytes at an address; what a section does not take from the file is zero. Raises ``BinaryError``
        when they leave the section or the file ends early."""
        section = self.section_at(rva)
        if length < 0 or rva + length > section.end:
            raise self.fail(f"has a table of {length} bytes at {rva:#x} that leaves its section")
        self.charge(length)
        offset = section.raw + rva - section.start
        here = max(0, min(length, section.raw_end - offset))
        data = self._bytes(offset, here)
        if len(data) < here:
            raise self.fail(f"ends after {self.source.size} of at least {offset + here} bytes")
        return data if here == length else data + bytes(length - here)

    def room(self, rva: int) -> int:
        """How many bytes there are from an address to the end of its section."""
        return self.section_at(rva).end - rva

    def name(self, rva: int) -> bytes:
        """The zero-terminated string at an address, without its end. Raises ``BinaryError`` (no end, outside)."""
        section = self.section_at(rva)
        offset = section.raw + rva - section.start
        if offset >= section.raw_end:
            return b""
        chunk, within = self._chunk(offset)
        end = chunk.find(b"\0", within)
        if end >= 0 and offset + end - within <= section.raw_end:
            self.charge(end - within + 1)
            return chunk[within:end]
        data = self._bytes(offset, min(MAX_NAME, section.raw_end - offset))
        text, stop, _ = data.partition(b"\0")
        if not stop and len(data) >= MAX_NAME:
            raise self.fail(f"has a name at {rva:#x} without an end")
        if not stop and section.raw_end - offset > len(data):
            raise self.fail(f"ends after {self.source.size} bytes, within a name")
        self.charge(len(text) + 1)
        return text

    def hint_name(self, rva: int) -> tuple[int, bytes]:
        """A hint/name entry: a 16-bit number and a zero-terminated name. Most lie whole in one chunk of the file."""
        section = self._last
        if section is None or not section.start <= rva < section.end:
            section = self._last = self.section_at(rva)
        offset = section.raw + rva - section.start
        chunk = self._chunks.get(offset // CHUNK, b"")
        within = offset % CHUNK
        end = chunk.find(b"\0", within + 2)
        if end < 0 or offset + end - within >= section.raw_end:
            return unpack_from("<H", self.at(rva, 2))[0], self.name(rva + 2)
        self.charge(end - within + 1)
        return chunk[within] | chunk[within + 1] << 8, chunk[within + 2 : end]

    def _chunk(self, offset: int) -> tuple[bytes, int]:
        index = offset // CHUNK
        chunk = self._chunks.get(index)
        if chunk is None:
            chunk = self._chunks[index] = self.source.pread(index * CHUNK, CHUNK)
        return chunk, offset - index * CHUNK

    def _bytes(self, offset: int, length: int) -> bytes:
        if length > CHUNK:
            return self.source.pread(offset, length)
        chunk, within = self._chunk(offset)
        if within + length <= CHUNK:
            return chunk[within : within + length]
        return chunk[within:] + self._chunk((offset // CHUNK + 1) * CHUNK)[0][: within + length - CHUNK]


def open_image(source: ByteSource) -> Image:
    """Read the headers. Raises ``BinaryError`` when they are not those of a PE image, ``OSError`` from the source."""
    head = source.pread(0, HEAD)
    try:
        return _headers(source, head)
    except error:
        raise BinaryError(source.name, f"ends after {source.size} bytes, within its headers") from None


def _headers(source: ByteSource, head: bytes) -> Image:
    (lfanew,) = unpack_from("<I", head, 60)
    if lfanew > MAX_LFANEW or lfanew + 24 > source.size:
        raise BinaryError(source.name, "is not a PE library: its MZ header leads to no PE header")
    if lfanew + 2048 > len(head):
        head = source.pread(0, lfanew + 8192)
    if head[lfanew : lfanew + 4] != b"PE\0\0":
        raise BinaryError(source.name, "is not a PE library: its MZ header leads to no PE header")
    machine, count, _, _, _, optional_size, characteristics = unpack_from("<HHIIIHH", head, lfanew + 4)
    at = lfanew + 24
    magic, major, minor = unpack_from("<HBB", head, at)
    if magic not in (PE32, PE32PLUS):
        raise BinaryError(source.name, f"has an optional header of unknown kind {magic:#x}")
    plus = magic == PE32PLUS
    image_base = unpack_from("<Q", head, at + 24)[0] if plus else unpack_from("<I", head, at + 28)[0]
    section_alignment, file_alignment = unpack_from("<II", head, at + 32)
    subsystem_version = unpack_from("<HH", head, at + 48)
    image_size, headers_size = unpack_from("<II", head, at + 56)
    subsystem, dll_characteristics = unpack_from("<HH", head, at + 68)
    table = at + (112 if plus else 96)
    declared = min(unpack_from("<I", head, table - 4)[0], 16, max(0, (at + optional_size - table) // 8))
    directories = tuple(unpack_from("<II", head, table + 8 * k) for k in range(declared))
    if count > MAX_SECTIONS:
        raise BinaryError(source.name, f"claims to have {count} sections")
    first = at + optional_size
    if first + SECTION.size * count > len(head):
        head = source.pread(0, first + SECTION.size * count)
    flat = section_alignment < 4096  # such an image is mapped as it lies in the file
    sections = tuple(
        _section(SECTION.unpack_from(head, first + SECTION.size * k), file_alignment, flat) for k in range(count)
    )
    _check_length(source, sections, max(file_alignment, 512))
    return Image(
        source=source,
        machine=machine,
        plus=plus,
        characteristics=characteristics,
        linker=(major, minor),
        image_base=image_base,
        image_size=image_size,
        subsystem=subsystem,
        subsystem_version=subsystem_version,
        dll_characteristics=dll_characteristics,
        headers_size=min(headers_size, source.size),
        rich=b"Rich" in head[64:lfanew],
        directories=directories,
        sections=sections,
        _budget=min(MAX_BUDGET, 4 * source.size + (1 << 20)),
    )


def _section(row: tuple[bytes, int, int, int, int, int, int, int, int, int], alignment: int, flat: bool) -> Section:
    _, virtual, start, raw_size, raw, _, _, _, _, flags = row
    virtual = virtual or raw_size
    if not flat and alignment >= 512:
        raw &= ~511  # the loader maps whole sectors
    # The mapping covers whole pages, and takes from the file no more than that.
    end = start + (virtual + 4095 & ~4095)
    return Section(start, end, raw, raw + min(raw_size, end - start), bool(flags & EXECUTABLE))


def _check_length(source: ByteSource, sections: tuple[Section, ...], slack: int) -> None:
    """A file that was cut short is refused by the loader as no valid image; the last sector may be short."""
    wanted = max((s.raw_end for s in sections if s.raw_end > s.raw), default=0)
    if wanted - slack >= source.size:
        raise BinaryError(source.name, f"ends after {source.size} of {wanted} bytes")
