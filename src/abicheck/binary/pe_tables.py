"""Import, delay-import and export tables of a PE file, read in bulk.

pefile stops silently at 8192 exports and at 8192 imports of a whole file, and is thirty times slower;
real wheels are above those limits. Names stay bytes until somebody prints them.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass
from struct import Struct, unpack_from

from abicheck.binary.pe_image import Image, Section

EXPORT_DIRECTORY, IMPORT_DIRECTORY, DELAY_DIRECTORY = 0, 1, 13
IMPORT = Struct("<IIIII")
DELAY = Struct("<IIIIIIII")
MAX_DLLS = 4096
MAX_SYMBOLS = 1 << 20
DELAY_RVA_BASED = 1  # else the descriptor holds virtual addresses (tools before Visual C++ 7)


@dataclass(frozen=True, slots=True)
class DllImports:
    """What one descriptor asks of one DLL. ``symbols``: names as stored, or ordinals; ``hints`` beside them (an index
    into the provider's name table, a guess that may be wrong; 0 for ordinals)."""

    dll: str
    symbols: tuple[bytes | int, ...]
    hints: tuple[int, ...]
    delay: bool = False


@dataclass(frozen=True, slots=True)
class ExportTable:
    """The export directory.

    ``names[i]`` is exported with ordinal ``ordinals[i]`` (already with ``base`` added), in the table's order. The
    ordinals ``base .. base+count-1`` exist except those in ``holes``. ``forwards``: ordinal to ``DLL.name`` or
    ``DLL.#ordinal``. ``data``: ordinals whose address is in a section that holds no code.
    """

    dll: str
    base: int
    count: int
    names: tuple[bytes, ...]
    ordinals: tuple[int, ...]
    holes: frozenset[int]
    forwards: dict[int, bytes]
    data: frozenset[int]

    def has_ordinal(self, ordinal: int) -> bool:
        return self.base <= ordinal < self.base + self.count and ordinal not in self.holes


def text(name: bytes) -> str:
    """A name as text: UTF-8, which ASCII is; bytes that are none stay visible."""
    return name.decode("utf-8", "backslashreplace")


def read_imports(image: Image) -> tuple[DllImports, ...]:
    """Descriptors of the import directory in the file's order. Raises ``BinaryError``."""
    rva, _ = image.directory(IMPORT_DIRECTORY)
    out: list[DllImports] = []
    while rva:
        lookup, _, _, name, addresses = IMPORT.unpack(image.at(rva, IMPORT.size))
        if not name or not addresses:  # the loader's own end conditions
            break
        if len(out) >= MAX_DLLS:
            raise image.fail(f"imports from more than {MAX_DLLS} libraries")
        symbols, hints = _thunks(image, lookup or addresses, 0)
        out.append(DllImports(text(image.name(name)), symbols, hints))
        rva += IMPORT.size
    return tuple(out)


def read_delay_imports(image: Image) -> tuple[DllImports, ...]:
    """Descriptors of the delay-import directory. Raises ``BinaryError``."""
    rva, _ = image.directory(DELAY_DIRECTORY)
    out: list[DllImports] = []
    while rva:
        attributes, name, _, addresses, lookup, _, _, _ = DELAY.unpack(image.at(rva, DELAY.size))
        if not name:
            break
        if len(out) >= MAX_DLLS:
            raise image.fail(f"delay-imports from more than {MAX_DLLS} libraries")
        base = 0 if attributes & DELAY_RVA_BASED else image.image_base
        table = lookup or addresses
        symbols, hints = _thunks(image, table - base, base) if table else ((), ())
        out.append(DllImports(text(image.name(name - base)), symbols, hints, delay=True))
        rva += DELAY.size
    return tuple(out)


def _thunks(image: Image, rva: int, base: int) -> tuple[tuple[bytes | int, ...], tuple[int, ...]]:
    """A zero-terminated lookup table: names (through hint/name entries) and ordinals, in order."""
    size, code, flag = (8, "Q", 1 << 63) if image.plus else (4, "I", 1 << 31)
    entries: list[int] = []
    step = 64
    while True:
        room = image.room(rva) // size
        take = min(step, room)
        if not take:
            break  # the section ends before the terminator; what follows it would be zero
        values = unpack_from(f"<{take}{code}", image.at(rva, take * size))
        if 0 in values:
            entries.extend(values[: values.index(0)])
            break
        entries.extend(values)
        if len(entries) > MAX_SYMBOLS:
            raise image.fail(f"has an import table of more than {MAX_SYMBOLS} symbols")
        rva += take * size
        step *= 4
        if take == room:
            break
    return _hint_names(image, entries, flag, base)


def _hint_names(
    image: Image, entries: list[int], flag: int, base: int
) -> tuple[tuple[bytes | int, ...], tuple[int, ...]]:
    symbols: list[bytes | int] = []
    hints: list[int] = []
    for entry in entries:
        if entry & flag:
            symbols.append(entry & 0xFFFF)
            hints.append(0)
        else:
            rva = (entry & 0x7FFFFFFF if base == 0 else entry - base) & 0xFFFFFFFF
            hint, name = image.hint_name(rva)
            symbols.append(name)
            hints.append(hint)
    return tuple(symbols), tuple(hints)


def read_exports(image: Image) -> ExportTable | None:
    """The export directory, None when there is none. Raises ``BinaryError``."""
    rva, size = image.directory(EXPORT_DIRECTORY)
    if not rva:
        return None
    dll, base, functions, named, at_functions, at_names, at_ordinals = unpack_from("<IIIIIII", image.at(rva, 40), 12)
    if max(functions, named) > MAX_SYMBOLS:
        raise image.fail(f"claims to export {max(functions, named)} symbols")
    addresses = _array(image, at_functions, functions, "I", 4)
    pointers = _array(image, at_names, named, "I", 4)
    indexes = _array(image, at_ordinals, named, "H", 2)
    names = _export_names(image, pointers)
    holes = frozenset(base + i for i, a in enumerate(addresses) if not a)
    end = rva + size
    forwards = {base + i: image.name(a) for i, a in enumerate(addresses) if rva <= a < end}
    return ExportTable(
        dll=text(image.name(dll)) if dll else "",
        base=base,
        count=functions,
        names=names,
        ordinals=tuple(base + i for i in indexes),
        holes=holes,
        forwards=forwards,
        data=_data(image.sections, addresses, base) - holes - forwards.keys(),
    )


def _array(image: Image, rva: int, count: int, code: str, size: int) -> tuple[int, ...]:
    return unpack_from(f"<{count}{code}", image.at(rva, count * size)) if count else ()


def _export_names(image: Image, pointers: tuple[int, ...]) -> tuple[bytes, ...]:
    """Names in table order. Linkers write them one after another, so that one cut gives all; else one by one."""
    if not pointers:
        return ()
    low, high = min(pointers), max(pointers)
    if pointers[0] == low and pointers[-1] == high and high - low < 256 * len(pointers):
        last = image.name(high)
        section = image.section_at(low)
        if high + len(last) < section.end:
            parts = image.at(low, high + len(last) - low).split(b"\0")
            if len(parts) == len(pointers) and _follow_each_other(parts, pointers):
                return tuple(parts)
    return tuple(map(image.name, pointers))


def _follow_each_other(parts: list[bytes], pointers: tuple[int, ...]) -> bool:
    ends = itertools.accumulate(map(len, parts))
    return all(map(operator.eq, (pointers[0] + n + e for n, e in enumerate(ends, 1)), pointers[1:]))


def _data(sections: tuple[Section, ...], addresses: tuple[int, ...], base: int) -> frozenset[int]:
    code = [(s.start, s.end) for s in sections if s.executable]
    if len(code) == 1:
        (low, high) = code[0]
        return frozenset(base + i for i, a in enumerate(addresses) if not low <= a < high)
    return frozenset(base + i for i, a in enumerate(addresses) if not any(low <= a < high for low, high in code))
