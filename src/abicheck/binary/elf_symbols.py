"""Dynamic symbols as the loader meets them: definitions by hash table, references by relocation.

Tables are kept as the file has them (24 bytes a symbol) and decoded when asked; names are bytes until somebody prints
them. Source of the rules: glibc 04e750e7 ``elf/dl-lookup.c`` (``check_match``, ``do_lookup_x``), ``elf/dl-reloc.c``
(``resolve_map``), ``elf/do-rel.h``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from itertools import repeat, tee
from typing import Any

from abicheck.binary.elf_hash import GnuHash, HashTable
from abicheck.binary.elf_image import Layout
from abicheck.binary.elf_machines import MACHINES
from abicheck.binary.elf_records import Binding, Definition, Reference, ReferenceKind, Undefined
from abicheck.binary.elf_versions import VersionName
from abicheck.errors import BinaryError

SymbolRow = tuple[int, int, int, int, int, int]  # name offset, info, other, shndx, value, size

SHN_UNDEF, SHN_ABS = 0, 0xFFF1
HIDDEN = 0x8000
UNVERSIONED = VersionName("", False, None)
NAME_SHARING = 64  # times the string table that names may add up to; real files stay below 2
TYPES = {0: "notype", 1: "object", 2: "func", 5: "common", 6: "tls", 10: "ifunc"}  # all others are never found (ELF-28)
STB_GNU_UNIQUE = 10  # whatever EI_OSABI says: do_lookup_x does not look there
BINDINGS: dict[int, Binding] = {1: "global", 2: "weak", STB_GNU_UNIQUE: "unique"}
DEFAULT, INTERNAL, HIDDEN_VISIBILITY, PROTECTED = 0, 1, 2, 3
BOUND_INSIDE = (INTERNAL, HIDDEN_VISIBILITY)
# st_info of every symbol that a look-up may accept
ACCEPTED = {b << 4 | t: (binding, kind) for b, binding in BINDINGS.items() for t, kind in TYPES.items()}
CODE = ("func", "ifunc")


@dataclass(slots=True)
class SymbolTable:
    """The symbols of one file.

    Args:
        name: of the file, for messages.
        raw: the symbol table, ``count`` entries. versym: one number for each, or None (also when no version table gives
            the numbers a meaning: the loader ignores them then).
        relocations: r_info words in file order, without the leading relative ones; repeated where the file repeats.
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
    _types: frozenset[int] | None = None
    _starts: list[int] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts, self._ends = [start for start, _ in self.writable], [end for _, end in self.writable]

    # -- rows ------------------------------------------------------------------

    @property
    def strings(self) -> bytes:
        """The string table; read when first needed. Raises ``OSError`` when the medium fails then."""
        if self._strings is None:
            data = self.fetch()
            self._strings = data if data.endswith(b"\0") else data + b"\0"
        return self._strings

    def row(self, index: int) -> SymbolRow:
        """(name offset, info, other, shndx, value, size) of a symbol."""
        form = self.layout.sym
        if self.layout.elf_class == 64:
            name, info, other, shndx, value, size = form.unpack_from(self.raw, index * form.size)
        else:
            name, value, size, info, other, shndx = form.unpack_from(self.raw, index * form.size)
        return name, info, other, shndx, value, size

    def rows(self, start: int, stop: int) -> Iterator[SymbolRow]:
        form = self.layout.sym
        piece = memoryview(self.raw)[start * form.size : stop * form.size]
        if self.layout.elf_class == 64:
            yield from form.iter_unpack(piece)
            return
        for name, value, size, info, other, shndx in form.iter_unpack(piece):
            yield name, info, other, shndx, value, size

    def names(self, offsets: Iterable[int]) -> Iterator[bytes]:
        """The strings at some offsets.

        Linkers let names share their ends, but not without bound: a file whose names add up to many times its string
        table is made to exhaust memory. Raises ``BinaryError`` then.
        """
        strings = self.strings
        end_of = strings.index
        left = len(strings) * NAME_SHARING + (1 << 20)
        for offset in offsets:
            end = end_of(b"\0", offset)
            left -= end - offset
            if left < 0:
                raise BinaryError(self.name, "has symbol names that overlap without end")
            yield strings[offset:end]

    def _numbers(self, indexes: Iterable[int]) -> Iterator[int]:
        """DT_VERSYM of some symbols."""
        versym = self.versym
        return repeat(0) if versym is None else map(versym.__getitem__, indexes)

    # -- definitions -----------------------------------------------------------

    @property
    def exported(self) -> Exports:
        if self._exported is None:
            self._exported = Exports(self)
        return self._exported

    def definition(self, index: int) -> Definition | None:
        """The symbol at ``index`` if a look-up could end there (ELF-28), else None."""
        return next((found for _, found in self._accepted((index,), (self.row(index),))), None)

    def _accepted(self, indexes: Sequence[int], rows: Iterable[SymbolRow]) -> Iterator[tuple[int, Definition]]:
        """(name offset, symbol) of those that a look-up could end at."""
        versions, starts, ends = self.versions, self._starts, self._ends
        for index, row, number in zip(indexes, rows, self._numbers(indexes), strict=False):
            offset, info, other, shndx, value, size = row
            accepted = ACCEPTED.get(info)
            if accepted is None or other & 3 in BOUND_INSIDE:
                continue
            binding, kind = accepted
            if not value and (shndx == SHN_UNDEF or (shndx != SHN_ABS and kind != "tls")):
                continue
            writable = False
            if kind not in CODE and shndx != SHN_ABS and shndx != SHN_UNDEF:
                at = bisect_right(starts, value)
                writable = at > 0 and value < ends[at - 1]
            named = versions.get(number & 0x7FFF)
            yield (
                offset,
                Definition(
                    index,
                    number & 0x7FFF,
                    number >= HIDDEN,
                    named.name if named else None,
                    binding,
                    kind,
                    "protected" if other & 3 == PROTECTED else "default",
                    shndx,
                    shndx == SHN_UNDEF,
                    value,
                    size,
                    writable,
                ),
            )

    def find(self, name: bytes) -> tuple[Definition, ...]:
        """What the loader finds under a name."""
        return self.find_all((name,)).get(name, ())

    def find_all(self, names: Iterable[bytes]) -> dict[bytes, tuple[Definition, ...]]:
        """What the loader finds under each name: bloom filter, bucket, chain, then the name itself. Names without a
        definition are left out."""
        out: dict[bytes, tuple[Definition, ...]] = {}
        if self.hash is None:
            return out
        find, row, strings = self.hash.find, self.row, self.strings
        asked: list[bytes] = []
        indexes: list[int] = []
        rows: list[SymbolRow] = []
        for name in names:
            for index in find(name):
                found = row(index)
                if strings.startswith(name + b"\0", found[0]):
                    asked.append(name)
                    indexes.append(index)
                    rows.append(found)
        named = dict(zip(indexes, asked, strict=True))
        for _, d in self._accepted(indexes, rows):
            out[named[d.index]] = (*out.get(named[d.index], ()), d)
        return out

    def definitions(self) -> Iterator[tuple[bytes, Definition]]:
        """All of them with their names, in the order the loader meets them."""
        if self.hash is None:
            return
        indexes = self.hash.indexes()
        rows = self.rows(indexes.start, indexes.stop) if isinstance(indexes, range) else map(self.row, indexes)
        # One walk gives offsets to the names and symbols to the caller, side by side.
        offsets, found = tee(self._accepted(indexes, rows))
        yield from zip(self.names(o for o, _ in offsets), (d for _, d in found), strict=True)

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

    @property
    def _split(self) -> tuple[int, int]:
        """(shift to the symbol index, mask of the type) of an r_info word."""
        return (32, 0xFFFFFFFF) if self.layout.elf_class == 64 else (8, 0xFF)

    def relocation_types(self) -> frozenset[int]:
        """Types of all relocations but the leading relative ones, symbolic or not."""
        if self._types is None:
            mask = self._split[1]
            self._types = frozenset(info & mask for info in self.relocations)
        return self._types

    def symbols_of(self, rtypes: frozenset[int]) -> frozenset[int]:
        """Indexes of the symbols that relocations of these types name; 0 stands for the file's own local ones."""
        if rtypes.isdisjoint(self.relocation_types()):
            return frozenset()
        shift, mask = self._split
        return frozenset(info >> shift for info in self.relocations if info & mask in rtypes)

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
        shift, mask = self._split
        kinds = {rtype: self.kind_of(rtype) for rtype in self.relocation_types()}
        wanted = dict.fromkeys(
            (info >> shift, kind) for info in self.relocations if info >> shift and (kind := kinds[info & mask])
        )
        walk = []
        for index, kind in wanted:
            offset, info, other, shndx, _, _ = self.row(index)
            if info >> 4 and other & 3 not in BOUND_INSIDE:  # else bound inside without a look-up (resolve_map)
                walk.append((offset, info, other, shndx, index, kind))
        numbers = self._numbers([w[4] for w in walk])
        for (_, info, other, shndx, index, kind), number, name in zip(
            walk, numbers, self.names(w[0] for w in walk), strict=False
        ):
            version, hidden, file = self.versions.get(number & 0x7FFF, UNVERSIONED)
            yield Reference(
                name,
                version or None,
                hidden,
                file,
                info >> 4 == 2,
                index,
                kind,
                shndx != SHN_UNDEF,
                other & 3 == PROTECTED,
            )

    def undefined(self) -> Iterator[Undefined]:
        """Undefined symbols of the whole table: the ones before the hashed part, and any that the hash table holds."""
        halves = memoryview(self.raw).cast("H")  # zero is zero in either byte order
        sections = halves[3::12] if self.layout.elf_class == 64 else halves[7::8]
        first = self.hash.first if isinstance(self.hash, GnuHash) else self.count
        indexes = [i for i, section in enumerate(sections[:first].tolist()) if section == SHN_UNDEF]
        hashed = sections[first:].tolist()
        if SHN_UNDEF in hashed:  # executables: the addresses of their PLT entries
            indexes += [i for i, section in enumerate(hashed, first) if section == SHN_UNDEF]
        walk = []
        for index in indexes:
            offset, info, other, _, _, _ = self.row(index)
            if info >> 4 in BINDINGS and other & 3 not in BOUND_INSIDE:
                walk.append((offset, info, index))
        numbers = self._numbers([w[2] for w in walk])
        for (_, info, _), number, name in zip(walk, numbers, self.names(w[0] for w in walk), strict=False):
            version, _, file = self.versions.get(number & 0x7FFF, UNVERSIONED)
            if name:
                yield Undefined(name, version or None, file, info >> 4 == 2)


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
        if self._whole is not None:
            return self._whole.get(name, ())
        hit = self._found.get(name)
        return hit if hit is not None else self.find_all((name,)).get(name, ())

    def find_all(self, names: Iterable[bytes]) -> dict[bytes, tuple[Definition, ...]]:
        """Definitions of many names; those that are not here are left out."""
        known = self._found if self._whole is None else self._whole
        out = {n: known[n] for n in names if n in known}
        if self._whole is None:
            new = self._table.find_all([n for n in names if n not in known])
            self._found |= new
            out |= new
        return out

    def get(self, name: bytes, default: Any = None, /) -> Any:
        """As of a dict; without the exception that a miss costs in ``Mapping.get``."""
        return self.find(name) or default

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
