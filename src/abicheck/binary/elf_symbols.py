"""Dynamic symbols as the loader meets them: definitions by hash table, references by relocation.

Tables are kept as the file has them (24 bytes a symbol) and decoded when asked; names are bytes until somebody prints
them. Source of the rules: glibc 04e750e7 ``elf/dl-lookup.c`` (``check_match``, ``do_lookup_x``), ``elf/dl-reloc.c``
(``resolve_map``), ``elf/do-rel.h``.
"""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from abicheck.binary.elf_hash import HashTable
from abicheck.binary.elf_image import Layout
from abicheck.binary.elf_machines import EM_MIPS, MACHINES
from abicheck.binary.elf_versions import VersionName
from abicheck.errors import BinaryError

Binding = Literal["global", "weak", "unique"]
ReferenceKind = Literal["plt", "data", "copy", "tls"]

SHN_UNDEF, SHN_ABS = 0, 0xFFF1
STT_TLS = 6
HIDDEN = 0x8000
NAME_SHARING = 64  # times the string table that names may add up to; real files stay below 2
TYPES = {0: "notype", 1: "object", 2: "func", 5: "common", 6: "tls", 10: "ifunc"}  # all others are never found (ELF-28)
STB_GNU_UNIQUE = 10  # whatever EI_OSABI says: do_lookup_x does not look there
BINDINGS: dict[int, Binding] = {1: "global", 2: "weak", STB_GNU_UNIQUE: "unique"}
DEFAULT, INTERNAL, HIDDEN_VISIBILITY, PROTECTED = 0, 1, 2, 3


class Definition(NamedTuple):
    """A symbol that a look-up in this file can find.

    ``version_index``: DT_VERSYM without bit 15 (0 when there is none); ``hidden_version``: bit 15. ``version``: the
    name of that index, None for local, global and base. ``visibility``: ``default`` or ``protected``.
    ``is_undef_plt``: not defined here, but has a value: the address of a PLT entry that stands for the function (found
    by data references only, ELF-28). ``writable``: lies where the process may write after relocation (false for
    constants, RELRO and code).
    """

    index: int  # type: ignore[assignment]
    version_index: int
    hidden_version: bool
    version: str | None
    binding: Binding
    type: str
    visibility: str
    shndx: int
    is_undef_plt: bool
    value: int
    size: int
    writable: bool


class Reference(NamedTuple):
    """A symbol that relocations of this file look up. One for each symbol and kind.

    ``version``: name asked for, None when unversioned; ``version_hidden``: the reference insists on it (bit 15 of
    vna_other: no fall-back to unversioned definitions, ELF-38); ``version_file``: the file that a version need names.
    ``kind``: ``plt`` and ``tls`` never take an undefined symbol's PLT address, ``copy`` skips the executable.
    ``defined_here``: this file defines it too (ELF-27, ELF-41); ``protected``: and always binds to itself (ELF-31).
    """

    name: bytes
    version: str | None
    version_hidden: bool
    version_file: str | None
    weak: bool
    index: int  # type: ignore[assignment]
    kind: ReferenceKind
    defined_here: bool
    protected: bool


def split_info(info: int, layout: Layout, machine: int) -> tuple[int, int]:
    """(symbol index, type) of an r_info word."""
    if layout.elf_class == 32:
        return info >> 8, info & 0xFF
    if machine == EM_MIPS and layout.little:
        return info & 0xFFFFFFFF, info >> 56  # this one ABI stores r_info as separate fields
    return info >> 32, info & 0xFFFFFFFF


class Undefined(NamedTuple):
    """An undefined global or weak symbol of the table, whether or not a relocation uses it."""

    name: bytes
    version: str | None
    file: str | None
    weak: bool


@dataclass(slots=True)
class SymbolTable:
    """The symbols of one file.

    Args:
        name: of the file, for messages.
        raw: the symbol table, ``count`` entries. versym: one number for each, or None (also when no version table gives
            the numbers a meaning: the loader ignores them then).
        relocations: distinct r_info words of the symbolic relocations, in file order.
        fetch: reads the string table.
    """

    name: str
    layout: Layout
    machine: int
    raw: bytes
    count: int
    versym: array[int] | None
    versions: dict[int, VersionName]
    hash: HashTable | None
    relocations: array[int]
    fetch: Callable[[], bytes]
    writable: tuple[tuple[int, int], ...]
    _strings: bytes | None = None
    _exported: Exports | None = None
    _references: tuple[Reference, ...] | None = None
    _starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts = [start for start, _ in self.writable]

    # -- rows ------------------------------------------------------------------

    @property
    def strings(self) -> bytes:
        """The string table; read when first needed. Raises ``OSError`` when the medium fails then."""
        if self._strings is None:
            data = self.fetch()
            self._strings = data if data.endswith(b"\0") else data + b"\0"
        return self._strings

    def row(self, index: int) -> tuple[int, int, int, int, int, int]:
        """(name offset, info, other, shndx, value, size) of a symbol."""
        form = self.layout.sym
        if self.layout.elf_class == 64:
            name, info, other, shndx, value, size = form.unpack_from(self.raw, index * form.size)
        else:
            name, value, size, info, other, shndx = form.unpack_from(self.raw, index * form.size)
        return name, info, other, shndx, value, size

    def rows(self, start: int, stop: int) -> Iterator[tuple[int, int, int, int, int, int]]:
        form = self.layout.sym
        piece = memoryview(self.raw)[start * form.size : stop * form.size]
        if self.layout.elf_class == 64:
            yield from form.iter_unpack(piece)
            return
        for name, value, size, info, other, shndx in form.iter_unpack(piece):
            yield name, info, other, shndx, value, size

    def text(self, offset: int) -> bytes:
        strings = self.strings
        return strings[offset : strings.index(b"\0", offset)]

    def _version(self, index: int) -> tuple[int, VersionName | None]:
        """(DT_VERSYM number, name it stands for)"""
        if self.versym is None:
            return 0, None
        number = self.versym[index]
        return number, self.versions.get(number & 0x7FFF)

    # -- definitions -----------------------------------------------------------

    @property
    def exported(self) -> Exports:
        if self._exported is None:
            self._exported = Exports(self)
        return self._exported

    def definition(self, index: int, row: tuple[int, int, int, int, int, int] | None = None) -> Definition | None:
        """The symbol at ``index`` if a look-up could end there (ELF-28), else None."""
        _, info, other, shndx, value, size = row or self.row(index)
        binding = BINDINGS.get(info >> 4)
        kind = TYPES.get(info & 15)
        visibility = other & 3
        if binding is None or kind is None or visibility in (INTERNAL, HIDDEN_VISIBILITY):
            return None
        if not value and (shndx == SHN_UNDEF or (shndx != SHN_ABS and info & 15 != STT_TLS)):
            return None
        number, named = self._version(index)
        return Definition(
            index,
            number & 0x7FFF,
            bool(number & HIDDEN),
            named.name if named else None,
            binding,
            kind,
            "protected" if visibility == PROTECTED else "default",
            shndx,
            shndx == SHN_UNDEF,
            value,
            size,
            shndx not in (SHN_UNDEF, SHN_ABS) and self._is_writable(value),
        )

    def _is_writable(self, address: int) -> bool:
        at = bisect.bisect_right(self._starts, address) - 1
        return at >= 0 and address < self.writable[at][1]

    def find(self, name: bytes) -> tuple[Definition, ...]:
        """What the loader finds under a name: bloom filter, bucket, chain, then the name itself."""
        if self.hash is None:
            return ()
        out: list[Definition] = []
        strings, wanted = self.strings, name + b"\0"
        for index in self.hash.find(name):
            row = self.row(index)
            if strings.startswith(wanted, row[0]):
                found = self.definition(index, row)
                if found is not None:
                    out.append(found)
        return tuple(out)

    def definitions(self) -> Iterator[tuple[bytes, Definition]]:
        """All of them with their names, in the order the loader meets them."""
        if self.hash is None:
            return
        indexes = self.hash.indexes()
        if isinstance(indexes, range):
            rows = self.rows(indexes.start, indexes.stop)
        else:
            rows = map(self.row, indexes)
        names = _Budget(self)
        for index, row in zip(indexes, rows, strict=True):
            found = self.definition(index, row)
            if found is not None:
                yield names.text(row[0]), found

    def has_unique(self) -> bool:
        """Whether a look-up can find an STB_GNU_UNIQUE symbol here (ELF-30)."""
        if self.hash is None:
            return False
        size, at = self.layout.sym.size, 4 if self.layout.elf_class == 64 else 12
        infos = self.raw[at::size]
        if not any(i >> 4 == STB_GNU_UNIQUE for i in set(infos)):
            return False
        return any(infos[i] >> 4 == STB_GNU_UNIQUE and self.definition(i) for i in self.hash.indexes())

    # -- references ------------------------------------------------------------

    @property
    def references(self) -> tuple[Reference, ...]:
        if self._references is None:
            self._references = tuple(self._walk_relocations())
        return self._references

    def relocation_types(self) -> frozenset[int]:
        """Types of all relocations but the leading relative ones, symbolic or not."""
        return frozenset(split_info(info, self.layout, self.machine)[1] for info in self.relocations)

    def kind_of(self, rtype: int) -> ReferenceKind | None:
        """How a relocation type looks its symbol up; None when it does not. Unknown machines: always as data."""
        machine = MACHINES.get(self.machine)
        if machine is None:
            return "data"
        if rtype in machine.quiet:
            return None
        if rtype in machine.plt:
            return "plt"
        if rtype in machine.tls:
            return "tls"
        return "copy" if rtype == machine.copy else "data"

    def _walk_relocations(self) -> Iterator[Reference]:
        seen: set[tuple[int, ReferenceKind]] = set()
        names = _Budget(self)
        for info in self.relocations:
            index, rtype = split_info(info, self.layout, self.machine)
            kind = self.kind_of(rtype) if index else None
            if kind is None or (index, kind) in seen:
                continue
            seen.add((index, kind))
            offset, symbol_info, other, shndx, _, _ = self.row(index)
            if symbol_info >> 4 == 0 or other & 3 in (INTERNAL, HIDDEN_VISIBILITY):
                continue  # bound inside without a look-up (resolve_map)
            named = self._version(index)[1]
            yield Reference(
                names.text(offset),
                named.name if named and named.name else None,
                bool(named and named.hidden),
                named.file if named else None,
                symbol_info >> 4 == 2,
                index,
                kind,
                shndx != SHN_UNDEF,
                other & 3 == PROTECTED,
            )

    def undefined(self) -> Iterator[Undefined]:
        """Undefined symbols of the whole table: the ones before the hashed part, and any that the hash table holds."""
        shndx = (
            memoryview(self.raw).cast("H")[3::12]
            if self.layout.elf_class == 64
            else (memoryview(self.raw).cast("H")[7::8])
        )
        names = _Budget(self)
        for index in [i for i, s in enumerate(shndx.tolist()) if s == SHN_UNDEF]:
            offset, info, other, _, _, _ = self.row(index)
            if info >> 4 not in BINDINGS or other & 3 in (INTERNAL, HIDDEN_VISIBILITY):
                continue
            name = names.text(offset)
            if name:
                _, named = self._version(index)
                yield Undefined(name, named.name if named else None, named.file if named else None, info >> 4 == 2)


class _Budget:
    """Names of one walk over a table. Linkers let names share their ends, but not without bound: a file whose names add
    up to many times its string table is made to exhaust memory."""

    def __init__(self, table: SymbolTable) -> None:
        self._table = table
        self._left = len(table.strings) * NAME_SHARING + (1 << 20)

    def text(self, offset: int) -> bytes:
        """The string at an offset. Raises ``BinaryError``."""
        name = self._table.text(offset)
        self._left -= len(name)
        if self._left < 0:
            raise BinaryError(self._table.name, "has symbol names that overlap without end")
        return name


class Exports(Mapping[bytes, tuple[Definition, ...]]):
    """Name to definitions. ``get`` and ``[]`` search the hash table as the loader does, without decoding the rest;
    iteration, ``len`` and ``in`` of everything decode the table once."""

    __slots__ = ("_found", "_table", "_whole")

    def __init__(self, table: SymbolTable) -> None:
        self._table = table
        self._found: dict[bytes, tuple[Definition, ...]] = {}
        self._whole: dict[bytes, tuple[Definition, ...]] | None = None

    def find(self, name: bytes) -> tuple[Definition, ...]:
        """Definitions of a name in the order the loader meets them; empty when there are none."""
        hit = self._found.get(name)
        if hit is None:
            hit = self._table.find(name)
            if hit:
                self._found[name] = hit
        return hit

    def __getitem__(self, name: bytes) -> tuple[Definition, ...]:
        hit = self.find(name)
        if not hit:
            raise KeyError(name)
        return hit

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and bool(self.find(name))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def items(self) -> ItemsView[bytes, tuple[Definition, ...]]:
        """(name, definitions) of the whole table."""
        return self._all().items()

    def values(self) -> ValuesView[tuple[Definition, ...]]:
        """Definitions of the whole table, by name."""
        return self._all().values()

    def _all(self) -> dict[bytes, tuple[Definition, ...]]:
        if self._whole is None:
            whole: dict[bytes, list[Definition]] = {}
            for name, found in self._table.definitions():
                whole.setdefault(name, []).append(found)
            self._whole = {name: tuple(found) for name, found in whole.items()}
        return self._whole
