"""What is read from one ELF file: :class:`ElfSlice`."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from abicheck.binary.elf_hash import GnuHash
from abicheck.binary.elf_header import ET_DYN
from abicheck.binary.elf_machines import MACHINES, arch_name
from abicheck.binary.elf_records import Definition, Reference
from abicheck.binary.elf_symbols import SymbolTable
from abicheck.binary.elf_versions import VerDef, VerNeed
from abicheck.binary.facts import Export, Format, Import, Need

DF_SYMBOLIC, DF_TEXTREL, DF_BIND_NOW, DF_STATIC_TLS = 0x2, 0x4, 0x8, 0x10
DF_1_NOW, DF_1_NODELETE, DF_1_NOOPEN, DF_1_NODEFLIB, DF_1_PIE = 0x1, 0x8, 0x40, 0x800, 0x08000000

SMALLEST_PAGE = 4096  # of all machines conda knows

# FAMILY_1.2.3 and the few that write FAMILY_1_2_3; a letter may follow the number (OPENSSL_1_0_2d).
_FAMILY = re.compile(r"([A-Za-z]\w*?)_(\d+(?:[._]\d+)*)([a-z]?)")


@dataclass(frozen=True, slots=True, eq=False)
class ElfSlice:
    """Facts of one ELF file as the loader sees it (GEN-4). Satisfies ``facts.Slice``.

    Everything is read and checked by ``elf.read``; symbol data stays packed in ``symbols`` and is decoded on demand.
    Strings are UTF-8 with undecodable bytes as surrogates (PEP 383).

    Attributes:
        has_dynamic: False for static programs, object files and split debug files.
        rpath_text, runpath_text: DT_RPATH and DT_RUNPATH as stored, last entry (ELF-9); the loader ignores the first
            when the second exists.
        filter, auxiliary: DT_FILTER and DT_AUXILIARY (ELF-18).
        execstack: PT_GNU_STACK with PF_X, without, or none (then the machine's ABI decides, ELF-46).
        isa_needed: X86_ISA_1_NEEDED bits of the first GNU property note (ELF-48).
        tls: (size in memory, alignment) of PT_TLS, None without one or when it is empty.
        has_versym: DT_VERSYM exists and a version table gives it a meaning (ELF-39).
        has_loadable: some PT_LOAD exists.
        page_limit: largest page size in bytes with which its segments can be mapped (address and offset agree modulo
            the page size in all of them): an aarch64 file for 4 KiB pages is refused where pages are 64 KiB.
    """

    elf_class: int
    little: bool
    machine: int
    osabi: int
    etype: int
    interp: str | None
    has_dynamic: bool
    has_loadable: bool
    page_limit: int
    soname: str | None
    needed: tuple[str, ...]
    rpath_text: str | None
    runpath_text: str | None
    auxiliary: tuple[str, ...]
    filter: tuple[str, ...]
    dt_flags: int
    dt_flags_1: int
    symbolic: bool
    textrel: bool
    bind_now: bool
    tls: tuple[int, int] | None
    execstack: Literal["executable", "not", "unmarked"]
    isa_needed: int
    relr: bool
    build_id: str | None
    verneed: tuple[VerNeed, ...]
    verdef: tuple[VerDef, ...]
    has_versym: bool
    has_verdef: bool
    symbols: SymbolTable = field(repr=False)

    # -- facts.Slice -----------------------------------------------------------

    @property
    def format(self) -> Format:
        return "elf"

    @property
    def arch(self) -> str:
        return arch_name(self.machine, self.elf_class, self.little)

    @property
    def identity(self) -> str | None:
        return self.soname

    @property
    def needs(self) -> tuple[Need, ...]:
        return tuple(Need(n) for n in self.needed)

    @property
    def rpath(self) -> tuple[str, ...]:
        return tuple(self.rpath_text.split(":")) if self.rpath_text else ()

    @property
    def runpath(self) -> tuple[str, ...]:
        return tuple(self.runpath_text.split(":")) if self.runpath_text else ()

    @property
    def flags(self) -> frozenset[str]:
        words = {
            "symbolic": self.symbolic,
            "static-tls": self.static_tls,
            "bind-now": self.bind_now,
            "textrel": self.textrel,
            "execstack": self.execstack == "executable",
            "nodelete": self.nodelete,
            "pie": self.pie,
            "noopen": self.noopen,
            "nodeflib": self.nodeflib,
            "relr": self.relr,
            "unique": self.symbols.has_unique(),
        }
        return frozenset(w for w, on in words.items() if on)

    @property
    def floors(self) -> dict[str, str]:
        """Greatest version of each family that some file must define; weak needs never fail (ELF-36)."""
        best: dict[str, tuple[tuple[int, ...], str]] = {}
        for need in self.verneed:
            for version in need.versions:
                match = _FAMILY.fullmatch(version.name)
                if match is None or version.weak:
                    continue
                number = match[2].replace("_", ".")
                key = (tuple(map(int, number.split("."))), match[3])
                best[match[1]] = max(best.get(match[1], (key[0], "")), key)
        return {f: ".".join(map(str, v)) + letter for f, (v, letter) in sorted(best.items())}

    def imports(self) -> list[Import]:
        """Undefined symbols, sorted."""
        rows = {Import(_printable(u.name), u.version, u.file, u.weak) for u in self.symbols.undefined()}
        return sorted(rows, key=lambda i: (i.name or "", i.version or "", i.library or "", i.weak))

    def exports(self) -> list[Export]:
        """Symbols that the hash table leads to and that are defined here (ELF-34), sorted."""
        rows = {
            Export(_printable(name), d.version, not d.hidden_version, d.binding, d.type)
            for name, d in self.symbols.definitions()
            if not d.is_undef_plt
        }
        return sorted(rows, key=lambda e: (e.name or "", e.version or "", e.default, e.binding, e.type))

    # -- what only the loader asks -----------------------------------------------

    @property
    def exported(self) -> Mapping[bytes, tuple[Definition, ...]]:
        """What a look-up by name can find here, by name (ELF-28, ELF-34)."""
        return self.symbols.exported

    @property
    def references(self) -> tuple[Reference, ...]:
        """What relocating this file looks up, in file order (ELF-27)."""
        return self.symbols.references

    def gnu_hashes(self) -> array[int] | None:
        """Stored hashes of all hashed symbols, one word each, or None without DT_GNU_HASH. The lowest bit is not part
        of the hash: a name may be here when ``h`` or ``h ^ 1`` is, ``h = elf_hash.gnu_hash(name)``. Scanning many
        files for many names costs 4 bytes a symbol this way; every hit has to be confirmed with ``exported``."""
        table = self.symbols.hash
        return table.chain if isinstance(table, GnuHash) else None

    @property
    def static_tls(self) -> bool:
        return bool(self.dt_flags & DF_STATIC_TLS)

    @property
    def uses_ie_tls(self) -> bool:
        """Whether it takes space from the static TLS block (ELF-45): says so, or has initial-exec relocations."""
        machine = MACHINES.get(self.machine)
        return self.static_tls or bool(machine and machine.ie & self.symbols.relocation_types())

    @property
    def tls_users(self) -> tuple[frozenset[int], frozenset[int]]:
        """Symbol indexes whose thread-local storage this file wants in the static block: must be, had better be (TLS
        descriptors). 0 and symbols bound inside stand for the file itself."""
        machine = MACHINES.get(self.machine)
        if machine is None:
            return frozenset(), frozenset()
        return self.symbols.symbols_of(machine.ie), self.symbols.symbols_of(machine.desc)

    @property
    def nodelete(self) -> bool:
        return bool(self.dt_flags_1 & DF_1_NODELETE)

    @property
    def noopen(self) -> bool:
        return bool(self.dt_flags_1 & DF_1_NOOPEN)

    @property
    def nodeflib(self) -> bool:
        return bool(self.dt_flags_1 & DF_1_NODEFLIB)

    @property
    def pie(self) -> bool:
        return bool(self.dt_flags_1 & DF_1_PIE)

    @property
    def refusal(self) -> str:
        """What glibc says when asked to dlopen this file although it is no library (ELF-17); empty when it is one.

        The same holds for what a dlopen'ed file needs (dl-open.c passes __RTLD_DLOPEN on); only at program start is
        DF_1_NOOPEN no obstacle: see ``noopen``.
        """
        if self.page_limit < SMALLEST_PAGE:
            return "ELF load command address/offset not page-aligned"
        if not self.has_loadable:
            return "object file has no loadable segments"
        if self.etype != ET_DYN:
            return "cannot dynamically load executable"
        if not self.has_dynamic:
            return "object file has no dynamic section"
        if self.pie:
            return "cannot dynamically load position-independent executable"
        return "shared object cannot be dlopen()ed" if self.noopen else ""


def _printable(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
