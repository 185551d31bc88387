"""Symbols of a Mach-O slice as dyld sees them: bind opcodes, chained fixups, the export trie, and nlist for old files.

MAC-20: imports come from LC_DYLD_CHAINED_FIXUPS or from LC_DYLD_INFO's three bind tables, exports from the export
trie; the symbol table counts only where those do not exist. Encodings follow ``<mach-o/loader.h>`` (BIND_OPCODE_*,
EXPORT_SYMBOL_FLAGS_*), ``<mach-o/fixup-chains.h>`` and ``<mach-o/nlist.h>``. All functions take raw tables and raise
``BinaryError``; time and memory stay proportional to the table's size whatever it holds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

from abicheck.errors import BinaryError

BindKind = Literal["bind", "lazy", "weak", "chained", "undefined"]
SELF, MAIN, FLAT, WEAK = 0, -1, -2, -3  # special ordinals (MAC-15)
MAX_NAME = 1 << 17
NAME_GROWTH = 256  # text of all exported names: at most so many times the trie (real ones stay below 30)


class Bind(NamedTuple):
    """One symbol a slice wants. ``ordinal`` counts dylib commands from 1 (MAC-10) or is SELF, MAIN, FLAT, WEAK."""

    name: str
    ordinal: int
    weak_import: bool
    kind: BindKind


class TrieExport(NamedTuple):
    """What an export trie says of a name. ``address`` counts from the image's base. For a re-export ``ordinal`` and
    ``imported`` (the name there, empty when equal) say where it comes from."""

    weak: bool
    kind: Literal["regular", "thread-local", "absolute"]
    address: int = 0
    resolver: bool = False
    ordinal: int | None = None
    imported: str = ""


def _uleb(data: bytes, at: int, source: str) -> tuple[int, int]:
    """(value, next offset) of an unsigned LEB128 of at most ten bytes."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise BinaryError(source, "has a number that does not end in its symbol tables")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _string(data: bytes, at: int, source: str) -> tuple[bytes, int]:
    end = data.find(b"\0", at)
    if end < 0 or end - at > MAX_NAME:
        raise BinaryError(source, "has a symbol name that does not end")
    return data[at:end], end + 1


def text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


# -- bind opcodes ------------------------------------------------------------

_DONE, _ORDINAL_IMM, _ORDINAL_ULEB, _SPECIAL, _SYMBOL, _TYPE, _ADDEND, _SEGMENT = range(0x00, 0x80, 0x10)
_ADD_ADDRESS, _BIND, _BIND_ADD, _BIND_SCALED, _BIND_TIMES, _THREADED = range(0x80, 0xE0, 0x10)


def bind_opcodes(data: bytes, kind: Literal["bind", "lazy", "weak"], source: str) -> list[Bind]:
    """Distinct binds of one opcode table in order. ``weak`` tables bind by weak lookup whatever ordinal they name."""
    out: dict[Bind, None] = {}
    name, ordinal, weak_import = None, WEAK if kind == "weak" else SELF, False
    threaded = False
    at = 0
    while at < len(data):
        opcode, immediate = data[at] & 0xF0, data[at] & 0x0F
        at += 1
        if opcode == _DONE:
            if kind != "lazy":  # lazy tables put one after each symbol
                break
        elif opcode == _ORDINAL_IMM:
            ordinal = immediate
        elif opcode == _ORDINAL_ULEB:
            ordinal, at = _uleb(data, at, source)
        elif opcode == _SPECIAL:
            ordinal = immediate - 16 if immediate else SELF
        elif opcode == _SYMBOL:
            name, at = _string(data, at, source)
            weak_import = bool(immediate & 1)
        elif opcode in (_ADDEND, _SEGMENT, _ADD_ADDRESS):
            _, at = _uleb(data, at, source)
        elif opcode in (_BIND, _BIND_ADD, _BIND_SCALED, _BIND_TIMES):
            if name is None:
                raise BinaryError(source, "binds a symbol without a name")
            out[Bind(text(name), WEAK if kind == "weak" else ordinal, weak_import and kind != "weak", kind)] = None
            for _ in range({_BIND_ADD: 1, _BIND_TIMES: 2}.get(opcode, 0)):
                _, at = _uleb(data, at, source)
        elif opcode == _THREADED:  # arm64e before chained fixups: a table size, then chains to walk
            threaded = True
            if immediate == 0:
                _, at = _uleb(data, at, source)
            elif immediate != 1:
                raise BinaryError(source, f"has an unknown threaded bind opcode {immediate}")
        elif opcode != _TYPE:
            raise BinaryError(source, f"has an unknown bind opcode {opcode:#04x}")
    if threaded and kind != "bind":
        raise BinaryError(source, "has threaded binds outside its bind table")
    return list(out)


# -- chained fixups ----------------------------------------------------------


class ChainedHeader(NamedTuple):
    """dyld_chained_fixups_header."""

    version: int
    starts: int
    imports: int
    symbols: int
    total: int
    format: int
    compression: int


def chained_header(data: bytes, endian: str, source: str) -> ChainedHeader:
    if len(data) < 28:
        raise BinaryError(source, "has chained fixups shorter than their header")
    return ChainedHeader(*struct.unpack_from(endian + "7I", data, 0))


def chained_binds(data: bytes, endian: str, source: str) -> list[Bind]:
    """Imports of LC_DYLD_CHAINED_FIXUPS, in table order (distinct: addends of one symbol are one bind)."""
    head = chained_header(data, endian, source)
    if head.version != 0:
        raise BinaryError(source, f"has chained fixups of unknown version {head.version}")
    if not head.total:
        return []
    if head.compression:  # dyld itself reads plain names only
        raise BinaryError(source, f"has compressed symbol names (format {head.compression}) in its chained fixups")
    step = {1: 4, 2: 8, 3: 16}.get(head.format)
    if step is None:
        raise BinaryError(source, f"has an unknown format {head.format} of chained imports")
    if head.imports + head.total * step > len(data) or head.symbols > len(data):
        raise BinaryError(source, "has chained imports that reach beyond their table")
    table, pool = data[head.imports : head.imports + head.total * step], data[head.symbols :]
    rows: Iterator[tuple[int, int, int]]
    if head.format == 3:
        words = (w for w, _ in struct.iter_unpack(endian + "QQ", table))
        rows = ((_signed(w & 0xFFFF, 16), w >> 16 & 1, w >> 32) for w in words)
    else:
        words = (w[0] for w in struct.iter_unpack(endian + ("I" if head.format == 1 else "Ii"), table))
        rows = ((_signed(w & 0xFF, 8), w >> 8 & 1, w >> 9) for w in words)
    out: dict[Bind, None] = {}
    for ordinal, weak_import, offset in rows:
        if offset >= len(pool):
            raise BinaryError(source, "has an import whose name lies outside the names")
        name, _ = _string(pool, offset, source)
        out[Bind(text(name), ordinal, bool(weak_import), "chained")] = None
    return list(out)


def _signed(value: int, bits: int) -> int:
    """The top fifteen values of an ordinal field are the special, negative ones (fixup-chains.h)."""
    return value - (1 << bits) if value > (1 << bits) - 16 else value


# -- export trie -------------------------------------------------------------


def trie_names(data: bytes, source: str) -> dict[str, int]:
    """Exported name to the offset of its payload (see :func:`trie_payload`).

    Each node is visited once: a trie that loops or shares nodes is refused.
    """
    out: dict[str, int] = {}
    if not data:
        return out
    size = len(data)
    budget = NAME_GROWTH * size + MAX_NAME
    seen = bytearray(size)
    todo = [(0, b"")]
    while todo:
        at, prefix = todo.pop()
        if at >= size or seen[at]:
            raise BinaryError(source, "has an export trie that loops or leaves its table")
        seen[at] = 1
        length = data[at]
        at += 1
        if length & 0x80:
            length, at = _uleb(data, at - 1, source)
        if length:
            if at + length > size:
                raise BinaryError(source, "has an export that lies outside its trie")
            out[text(prefix)] = at
            at += length
        if at >= size:
            raise BinaryError(source, "has an export trie that ends inside a node")
        children = data[at]
        at += 1
        for _ in range(children):
            end = data.find(b"\0", at)
            if end < 0:
                raise BinaryError(source, "has an export trie with a name that does not end")
            name = prefix + data[at:end]
            budget -= len(name)
            if budget < 0 or len(name) > MAX_NAME:
                raise BinaryError(source, "has an export trie with impossibly long names")
            at = end + 1
            child, at = _uleb(data, at, source)
            todo.append((child, name))
    return out


def trie_payload(data: bytes, at: int, source: str) -> TrieExport:
    """What a trie says at one payload offset."""
    flags, at = _uleb(data, at, source)
    kind: Literal["regular", "thread-local", "absolute"] = "regular"
    if flags & 3:
        kind = "thread-local" if flags & 3 == 1 else "absolute"
    weak = bool(flags & 0x04)
    if flags & 0x08:
        ordinal, at = _uleb(data, at, source)
        name, _ = _string(data, at, source)
        return TrieExport(weak, kind, ordinal=ordinal, imported=text(name))
    address, _ = _uleb(data, at, source)
    return TrieExport(weak, kind, address, resolver=bool(flags & 0x10))


# -- symbol table (only where there is nothing better) ------------------------


class Symbol(NamedTuple):
    """One nlist entry: its name, n_type, n_desc and value."""

    name: str
    type: int
    desc: int
    value: int


def nlist(table: bytes, strings: bytes, endian: str, is64: bool, source: str) -> list[Symbol]:
    """Entries of a symbol table, debugging ones (N_STAB) left out."""
    out = []
    for strx, kind, _sect, desc, value in struct.iter_unpack(endian + ("IBBHQ" if is64 else "IBBHI"), table):
        if kind & 0xE0:
            continue
        if strx >= len(strings):
            raise BinaryError(source, "has a symbol whose name lies outside the string table")
        name, _ = _string(strings, strx, source)
        out.append(Symbol(text(name), kind, desc, value))
    return out


def undefined(symbols: list[Symbol], two_level: bool) -> list[Bind]:
    """Imports of a file that has no dyld tables: undefined externals, their ordinal in n_desc when two-level."""
    out: dict[Bind, None] = {}
    for s in symbols:
        if s.type & 0x0E == 0 and s.type & 1 and not s.value:
            raw = s.desc >> 8
            ordinal = {0xFD: FLAT, 0xFE: FLAT, 0xFF: MAIN}.get(raw, raw) if two_level else FLAT
            out[Bind(s.name, ordinal, bool(s.desc & 0x40), "undefined")] = None
    return list(out)


def defined(symbols: list[Symbol], base: int) -> dict[str, TrieExport]:
    """Exports of a file that has no trie: external and not private, defined in a section or absolute."""
    return {
        s.name: TrieExport(bool(s.desc & 0x80), "regular" if s.type & 0x0E == 0x0E else "absolute", s.value - base)
        for s in symbols
        if s.type & 1 and not s.type & 0x10 and s.type & 0x0E in (0x0E, 0x02)
    }
