"""Mach-O containers and load commands: which slices a file has and what each one's header promises.

Layouts are those of Apple's ``<mach-o/fat.h>`` and ``<mach-o/loader.h>``. A slice is read through a window that cannot
look outside it; every count and offset is checked before it is used. Nothing here decodes symbols.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from abicheck.binary.facts import NeedKind
from abicheck.binary.source import ByteSource
from abicheck.errors import BinaryError

FAT_MAGICS = {b"\xca\xfe\xba\xbe": 20, b"\xca\xfe\xba\xbf": 32}  # bytes of one fat_arch; both are big-endian on disk
THIN_MAGICS = {  # first bytes: (struct byte order, 64 bit)
    b"\xcf\xfa\xed\xfe": ("<", True),
    b"\xce\xfa\xed\xfe": ("<", False),
    b"\xfe\xed\xfa\xcf": (">", True),
    b"\xfe\xed\xfa\xce": (">", False),
}
ARCHIVE_MAGIC = b"!<arch>\n"
MAX_SLICES = 40  # a Java class file has the fat magic and 45 or more where the number of slices stands
MAX_COMMANDS_SIZE = 16 << 20
CPU_64, CPU_64_32 = 0x01000000, 0x02000000
CPU_NAMES = {
    7: "i386", 7 | CPU_64: "x86_64", 12: "arm", 12 | CPU_64: "arm64", 12 | CPU_64_32: "arm64_32",
    18: "ppc", 18 | CPU_64: "ppc64",
}  # fmt: skip
SUBTYPE_NAMES = {
    (7 | CPU_64, 8): "x86_64h",
    (12 | CPU_64, 2): "arm64e",
    (12, 9): "armv7",
    (12, 11): "armv7s",
    (12, 12): "armv7k",
}
FILETYPES = {
    1: "object", 2: "execute", 4: "core", 5: "preload", 6: "dylib", 7: "dylinker", 8: "bundle", 9: "dylib-stub",
    10: "dsym", 11: "kext",
}  # fmt: skip
FLAGS = {
    0x1: "no-undefs", 0x4: "dyldlink", 0x80: "two-level", 0x100: "force-flat", 0x8000: "weak-defines",
    0x10000: "binds-to-weak", 0x100000: "no-reexported-dylibs", 0x200000: "pie",
    0x400000: "dead-strippable", 0x800000: "has-tlv",
}  # fmt: skip
PLATFORMS = {
    1: "macos", 2: "ios", 3: "tvos", 4: "watchos", 5: "bridgeos", 6: "mac-catalyst", 7: "ios-simulator",
    8: "tvos-simulator", 9: "watchos-simulator", 10: "driverkit", 11: "visionos", 12: "visionos-simulator",
}  # fmt: skip
VERSION_MIN = {0x24: "macos", 0x25: "ios", 0x2F: "tvos", 0x30: "watchos"}
LC_REQ_DYLD = 0x80000000
DYLIB_KINDS: dict[int, NeedKind] = {0x0C: "required", 0x18: "weak", 0x1F: "reexport", 0x23: "upward", 0x20: "delay"}
DELAY_MARK = 0x1A741800  # dylib_use_command: this where the time stamp stands, the name at offset 28, then flags


@dataclass(frozen=True, slots=True)
class Dylib:
    """One LC_*_DYLIB. Versions are packed xxxx.yy.zz as the file has them. ``kind`` as ``inspect`` prints it."""

    name: str
    kind: NeedKind
    compatibility: int = 0
    current: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A mapped range: virtual address and size, file offset and size (from the slice's start), and its sections.
    ``writable``: stays so after dyld has bound it (initial protection, and no SG_READ_ONLY)."""

    name: str
    address: int
    vmsize: int
    offset: int
    filesize: int
    sections: tuple[Section, ...] = ()
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    segment: str
    name: str
    address: int
    size: int
    flags: int

    @property
    def is_code(self) -> bool:
        """S_ATTR_PURE_INSTRUCTIONS or S_ATTR_SOME_INSTRUCTIONS."""
        return bool(self.flags & 0x80000400)


Span = tuple[int, int]  # offset from the slice's start, size


@dataclass(slots=True)
class Commands:
    """What the load commands of one slice say, in file order."""

    endian: str
    is64: bool
    cputype: int
    cpusubtype: int
    filetype: int
    flags: int
    identity: Dylib | None = None
    dylibs: list[Dylib] = field(default_factory=list)
    rpaths: list[str] = field(default_factory=list)
    platforms: list[tuple[str, int, int]] = field(default_factory=list)  # name, packed minimum OS, packed SDK
    segments: list[Segment] = field(default_factory=list)
    uuid: bytes | None = None
    signature: Span | None = None
    symtab: tuple[int, int, int, int] | None = None  # symbol offset, count, string offset, size
    dysymtab: tuple[int, int, int, int] | None = None  # first and number of defined externals, of undefined symbols
    dyld_info: dict[str, Span] | None = None
    exports_trie: Span | None = None
    chained: Span | None = None

    @property
    def preferred_base(self) -> int:
        """Where __TEXT wants to be mapped: what chained offsets and trie addresses count from."""
        return next((s.address for s in self.segments if s.name == "__TEXT"), 0)


class Window:
    """The bytes of one slice. ``read`` gives exactly what was asked or raises: no table may reach outside its slice."""

    def __init__(self, source: ByteSource, base: int, size: int) -> None:
        self._source, self._base, self.size = source, base, size
        self.name = source.name

    def read(self, offset: int, length: int, what: str) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise BinaryError(self.name, f"{what} lies outside the slice ({offset}+{length} of {self.size} bytes)")
        data = self._source.pread(self._base + offset, length)
        while len(data) < length:  # a source may answer with less than asked before its end
            more = self._source.pread(self._base + offset + len(data), length - len(data))
            if not more:
                raise BinaryError(self.name, f"ends inside {what}")
            data += more
        return data


def slices(source: ByteSource) -> list[tuple[str, int, Window]]:
    """(architecture, cpu subtype, window) for every slice, thin files having one.

    Raises ``BinaryError`` when the fat header's ranges lie outside the file or overlap its own table.
    """
    head = source.pread(0, 8)
    step = FAT_MAGICS.get(head[:4])
    if step is None:
        cpu, sub = _cpu(source, head)
        return [(arch_name(cpu, sub), sub, Window(source, 0, source.size))]
    count = int.from_bytes(head[4:8], "big")
    if not 0 < count <= MAX_SLICES:
        raise BinaryError(source.name, f"has a fat header of {count} slices")
    table = Window(source, 0, source.size).read(8, count * step, "the fat header")
    out = []
    for at in range(0, len(table), step):
        cpu, sub, offset, size = struct.unpack_from(">iiII" if step == 20 else ">iiQQ", table, at)
        cpu, sub = cpu & 0xFFFFFFFF, sub & 0xFFFFFF
        if offset < 8 + len(table) or offset + size > source.size:
            raise BinaryError(source.name, f"has a slice outside the file ({offset}+{size} of {source.size} bytes)")
        out.append((arch_name(cpu, sub), sub, Window(source, offset, size)))
    return out


def _cpu(source: ByteSource, head: bytes) -> tuple[int, int]:
    order = THIN_MAGICS.get(head[:4])
    raw = source.pread(4, 8)
    if order is None or len(raw) < 8:
        raise BinaryError(source.name, "is too short for a Mach-O header")
    cpu, sub = struct.unpack(order[0] + "II", raw)
    return cpu, sub & 0xFFFFFF


def arch_name(cpu: int, sub: int) -> str:
    """facts.Slice's word for an architecture; its number when nobody named it."""
    return SUBTYPE_NAMES.get((cpu, sub)) or CPU_NAMES.get(cpu) or f"cpu-{cpu:#x}"


def read_commands(window: Window) -> Commands:
    """Header and load commands of one slice. Raises ``BinaryError``."""
    head = window.read(0, 28, "the Mach-O header")
    order = THIN_MAGICS.get(head[:4])
    if order is None:
        raise BinaryError(window.name, "has a slice that is not Mach-O")
    endian, is64 = order
    cpu, sub, filetype, count, size, flags = struct.unpack(endian + "6I", head[4:28])
    if size > MAX_COMMANDS_SIZE or count * 8 > size:
        raise BinaryError(window.name, f"has {count} load commands in {size} bytes")
    data = window.read(32 if is64 else 28, size, "the load commands")
    out = Commands(endian, is64, cpu, sub & 0xFFFFFF, filetype, flags)
    at = 0
    for _ in range(count):
        if at + 8 > size:
            raise BinaryError(window.name, "has load commands that end early")
        command, length = struct.unpack_from(endian + "II", data, at)
        if length < 8 or at + length > size:
            raise BinaryError(window.name, f"has a load command {command:#x} of {length} bytes")
        try:
            _take(out, command, data[at : at + length])
        except struct.error:
            raise BinaryError(window.name, f"has a load command {command:#x} too short ({length} bytes)") from None
        at += length
    return out


def _take(out: Commands, command: int, raw: bytes) -> None:
    """Note one load command. Raises ``struct.error`` when it is shorter than its own layout."""
    e = out.endian
    plain = command & ~LC_REQ_DYLD
    if plain in DYLIB_KINDS:
        out.dylibs.append(_dylib(e, raw, DYLIB_KINDS[plain]))
    elif plain == 0x0D:
        out.identity = _dylib(e, raw, "required")
    elif plain == 0x1C:
        out.rpaths.append(_text(raw, struct.unpack_from(e + "I", raw, 8)[0]))
    elif plain in (0x01, 0x19):
        out.segments.append(_segment(e, raw, plain == 0x19))
    elif plain == 0x02:
        out.symtab = struct.unpack_from(e + "4I", raw, 8)
    elif plain == 0x0B:
        out.dysymtab = struct.unpack_from(e + "4I", raw, 16)
    elif plain == 0x22:
        n = struct.unpack_from(e + "10I", raw, 8)
        out.dyld_info = {k: (n[i], n[i + 1]) for k, i in (("bind", 2), ("weak", 4), ("lazy", 6), ("export", 8))}
    elif plain == 0x33:
        out.exports_trie = struct.unpack_from(e + "II", raw, 8)
    elif plain == 0x34:
        out.chained = struct.unpack_from(e + "II", raw, 8)
    elif plain == 0x1D:
        out.signature = struct.unpack_from(e + "II", raw, 8)
    elif plain == 0x1B:
        out.uuid = struct.unpack_from("16s", raw, 8)[0]
    elif plain == 0x32:
        platform, minimum, sdk = struct.unpack_from(e + "3I", raw, 8)
        out.platforms.append((PLATFORMS.get(platform, f"platform-{platform}"), minimum, sdk))
    elif plain in VERSION_MIN:
        minimum, sdk = struct.unpack_from(e + "2I", raw, 8)
        out.platforms.append((VERSION_MIN[plain], minimum, sdk))


def _dylib(e: str, raw: bytes, kind: NeedKind) -> Dylib:
    offset, stamp, current, compatibility = struct.unpack_from(e + "4I", raw, 8)
    if stamp == DELAY_MARK and offset == 28 and len(raw) >= 28:
        use = struct.unpack_from(e + "I", raw, 24)[0]
        kind = "reexport" if use & 2 else "upward" if use & 4 else "weak" if use & 1 else kind
    return Dylib(_text(raw, offset), kind, compatibility, current)


def _text(raw: bytes, offset: int) -> str:
    """The NUL-terminated string of a load command (lc_str), which must begin inside it."""
    if offset >= len(raw):
        raise struct.error
    return raw[offset:].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _segment(e: str, raw: bytes, is64: bool) -> Segment:
    name, address, vmsize, offset, filesize = struct.unpack_from(e + ("16s4Q" if is64 else "16s4I"), raw, 8)
    _, protection, count, marks = struct.unpack_from(e + "4I", raw, 56 if is64 else 40)
    at, step = (72, 80) if is64 else (56, 68)
    if at + count * step > len(raw):
        raise struct.error
    sections = []
    for k in range(count):
        here = at + k * step
        sect, seg, start, size = struct.unpack_from(e + ("16s16sQQ" if is64 else "16s16sII"), raw, here)
        flags = struct.unpack_from(e + "I", raw, here + (64 if is64 else 56))[0]
        sections.append(Section(_name(seg), _name(sect), start, size, flags))
    writable = bool(protection & 2) and not marks & 0x10
    return Segment(_name(name), address, vmsize, offset, filesize, tuple(sections), writable)


def _name(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def version_text(packed: int) -> str:
    """``11.0`` or ``10.15.4`` of a packed xxxx.yy.zz."""
    major, minor, patch = packed >> 16, packed >> 8 & 0xFF, packed & 0xFF
    return f"{major}.{minor}.{patch}" if patch else f"{major}.{minor}"
