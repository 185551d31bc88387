"""Names of the Objective-C classes a slice defines (MAC-23), followed from ``__objc_classlist`` to ``class_ro_t``.

The list holds pointers to ``class_t``; its fifth word points to ``class_ro_t``, whose name pointer lies 24 bytes in
(objc4 runtime/objc-runtime-new.h, 64 bit). Pointers are stored plain, or as chained fixups (fixup-chains.h) whose
layout the fixups header names per segment. A class whose pointers cannot be followed is left out, never guessed.
"""

from __future__ import annotations

import struct

from abicheck.binary.macho_commands import Commands, Section, Window
from abicheck.binary.macho_symbols import chained_header
from abicheck.errors import BinaryError

MAX_CLASSES = 1 << 16
MAX_CLASS_NAME = 4096
BLOCK = 1 << 16
_POINTER = (1 << 47) - 1 & ~7  # class_t.data keeps flags in the low bits


class _Memory:
    """Reads a slice by virtual address. Raises ``BinaryError`` for addresses that no segment maps."""

    def __init__(self, window: Window, commands: Commands) -> None:
        self._window, self._commands = window, commands
        self._blocks: dict[int, bytes] = {}
        self._formats: dict[str, int] = {}

    def pointer_formats(self, chained: bytes) -> None:
        """Note which pointer layout each segment's chains use."""
        e, name = self._commands.endian, self._window.name
        start = chained_header(chained, e, name).starts
        try:
            count = struct.unpack_from(e + "I", chained, start)[0]
            for k, segment in enumerate(self._commands.segments[:count]):
                offset = struct.unpack_from(e + "I", chained, start + 4 + 4 * k)[0]
                if offset:
                    self._formats[segment.name] = struct.unpack_from(e + "H", chained, start + offset + 6)[0]
        except struct.error:
            raise BinaryError(name, "has chained fixups that end inside their starts") from None

    def pointer(self, address: int) -> int | None:
        """The address stored at ``address``, None when it is bound to another image or of an unknown layout."""
        segment = next((s for s in self._commands.segments if s.address <= address < s.address + s.filesize), None)
        raw = int.from_bytes(self.read(address, 8), "little" if self._commands.endian == "<" else "big")
        form = self._formats.get(segment.name if segment else "")
        base = self._commands.preferred_base
        if form is None:
            return raw & ((1 << 48) - 1)
        if form in (2, 6):  # DYLD_CHAINED_PTR_64: addresses; _OFFSET: offsets from the base
            return None if raw >> 63 else (raw & (1 << 36) - 1) + (base if form == 6 else 0)
        if form in (1, 9, 12):  # arm64e
            if raw >> 62 & 1:
                return None
            if raw >> 63:
                return (raw & 0xFFFFFFFF) + base
            return (raw & (1 << 43) - 1) + (0 if form == 1 else base)
        return None

    def read(self, address: int, length: int) -> bytes:
        for s in self._commands.segments:
            if s.address <= address and address + length <= s.address + s.filesize:
                return self._bytes(s.offset + address - s.address, length)
        raise BinaryError(self._window.name, f"has a pointer to {address:#x}, where nothing is mapped")

    def name(self, address: int) -> str:
        out = b""
        while len(out) < MAX_CLASS_NAME:
            out += self.read(address + len(out), 1)
            if out.endswith(b"\0"):
                return out[:-1].decode("utf-8", "backslashreplace")
        raise BinaryError(self._window.name, "has a class name that does not end")

    def _bytes(self, offset: int, length: int) -> bytes:
        out = b""
        while length:
            number, inside = divmod(offset, BLOCK)
            if number not in self._blocks:
                size = min(BLOCK, self._window.size - number * BLOCK)
                self._blocks[number] = self._window.read(number * BLOCK, size, "Objective-C data")
            part = self._blocks[number][inside : inside + length]
            if not part:
                raise BinaryError(self._window.name, "ends inside its Objective-C data")
            out, offset, length = out + part, offset + len(part), length - len(part)
        return out


def class_list(commands: Commands) -> Section | None:
    """The section that lists the classes, in whichever data segment the linker put it."""
    sections = (c for s in commands.segments for c in s.sections)
    return next((c for c in sections if c.name == "__objc_classlist"), None)


def class_names(window: Window, commands: Commands, chained: bytes | None) -> tuple[str, ...]:
    """Sorted names of the classes the slice defines; empty for 32-bit slices, whose old runtime has no such list."""
    section = class_list(commands)
    if section is None or not commands.is64:
        return ()
    if section.size > 8 * MAX_CLASSES:
        raise BinaryError(window.name, f"lists {section.size // 8} Objective-C classes")
    memory = _Memory(window, commands)
    if chained:
        memory.pointer_formats(chained)
    names = (_class_name(memory, section.address + 8 * k) for k in range(section.size // 8))
    return tuple(sorted({n for n in names if n}))


def _class_name(memory: _Memory, slot: int) -> str | None:
    try:
        cls = memory.pointer(slot)
        data = memory.pointer(cls + 32) if cls is not None else None
        name = memory.pointer((data & _POINTER) + 24) if data is not None else None
        return memory.name(name) if name is not None else None
    except BinaryError:
        return None  # a class that cannot be followed is not named; the rest of the file stands
