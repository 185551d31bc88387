"""Mach-O files: thin, fat and fat64, both byte orders, read as dyld reads them (GEN-4, MAC-10, MAC-12, MAC-20).

One :class:`MachoSlice` per architecture. Load commands and the raw symbol tables (a few per cent of a file) are read
at once, so that no file stays open; symbols are decoded when somebody asks.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, field
from functools import cached_property

from abicheck.binary import macho_commands as mc
from abicheck.binary import macho_objc as mo
from abicheck.binary import macho_symbols as ms
from abicheck.binary.facts import Binary, Export, Format, Import, Need
from abicheck.binary.macho_commands import Commands, Dylib, Window
from abicheck.binary.macho_symbols import Bind, TrieExport
from abicheck.binary.source import ByteSource
from abicheck.errors import BinaryError

__all__ = ["Bind", "Dylib", "MachoSlice", "TrieExport", "claims", "read"]

# Sections of writable segments whose content is fixed once it is bound: constants, pointers, what the runtimes own.
_FIXED = ("__const", "__got", "__la_symbol_ptr", "__nl_symbol_ptr", "__mod_init_func", "__cfstring", "__objc_")
ORDINAL_WORDS = {ms.SELF: "self", ms.MAIN: "main", ms.FLAT: "flat", ms.WEAK: "weak"}


def claims(head: bytes) -> bool:
    """Whether a file that starts so is Mach-O. Java classes share the fat magic: theirs counts no plausible slices."""
    if head[:4] in mc.THIN_MAGICS:
        return len(head) >= 28
    step = mc.FAT_MAGICS.get(head[:4])
    if step is None or len(head) < 8 + step:
        return False
    count = int.from_bytes(head[4:8], "big")
    form = ">iiIII" if step == 20 else ">iiQQI"
    _, _, offset, _, align = struct.unpack_from(form, head, 8)
    return 0 < count <= mc.MAX_SLICES and bool(offset >= 8 + count * step and align <= 32)


def read(source: ByteSource) -> Binary:
    """Facts of all slices. Raises ``BinaryError``."""
    return Binary("macho", tuple(_slice(arch, sub, window) for arch, sub, window in mc.slices(source)))


@dataclass(frozen=True, slots=True)
class _Tables:
    """Raw symbol tables of a slice; empty bytes where it has none."""

    bind: bytes = b""
    weak: bytes = b""
    lazy: bytes = b""
    chained: bytes = b""
    trie: bytes = b""
    symbols: bytes = b""
    strings: bytes = b""


@dataclass(frozen=True)
class MachoSlice:
    """One architecture of a Mach-O file (facts.Slice).

    ``dylibs`` are what ordinals count from 1: every dylib command except LC_LAZY_LOAD_DYLIB (MAC-10). ``filetype``:
    execute, dylib, bundle, object, ..., or ``archive`` for a fat member that is a static library and holds no facts.
    ``platform`` is ``macos`` or another word of Apple's, None when no command says; ``min_os`` and ``sdk`` are packed
    xxxx.yy.zz, 0 when unknown. ``signed``: has LC_CODE_SIGNATURE. ``uuid`` as dyld prints it, None without LC_UUID.
    """

    name: str
    arch: str
    subtype: int
    filetype: str
    identity: str | None = None
    versions: tuple[int, int] = (0, 0)
    needs: tuple[Need, ...] = ()
    dylibs: tuple[Dylib, ...] = ()
    rpath: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    platforms: tuple[tuple[str, int, int], ...] = ()
    signed: bool = False
    uuid: str | None = None
    objc_classes: tuple[str, ...] = ()
    has_dyld_info: bool = False
    _endian: str = "<"
    _is64: bool = True
    _base: int = 0
    _code: tuple[tuple[int, int], ...] = ()
    _state: tuple[tuple[int, int], ...] = ()
    _tables: _Tables = field(default_factory=_Tables, repr=False)

    @property
    def format(self) -> Format:
        return "macho"

    @property
    def runpath(self) -> tuple[str, ...]:
        """Mach-O has no second kind of run path."""
        return ()

    @property
    def platform(self) -> str | None:
        """The platform that counts: macOS when a zippered file names it among others."""
        names = [p for p, _, _ in self.platforms]
        return "macos" if "macos" in names else names[0] if names else None

    @property
    def min_os(self) -> int:
        return next((m for p, m, _ in self.platforms if p == self.platform), 0)

    @property
    def sdk(self) -> int:
        return next((s for p, _, s in self.platforms if p == self.platform), 0)

    @property
    def floors(self) -> dict[str, str]:
        """Oldest system per platform: ``{"macos": "11.0"}``."""
        return {p: mc.version_text(m) for p, m, _ in self.platforms}

    # -- imports -------------------------------------------------------------

    @cached_property
    def binds(self) -> tuple[Bind, ...]:
        """Every symbol the slice wants, distinct, in dyld's order: bind, lazy, then weak (which override)."""
        t = self._tables
        if t.chained:
            return tuple(ms.chained_binds(t.chained, self._endian, self.name))
        if self.has_dyld_info:
            found = ms.bind_opcodes(t.bind, "bind", self.name) + ms.bind_opcodes(t.lazy, "lazy", self.name)
            return tuple(found + ms.bind_opcodes(t.weak, "weak", self.name))
        return tuple(ms.undefined(self._symbols, "two-level" in self.flags))

    def library(self, ordinal: int) -> str | None:
        """Install name for an ordinal, ``self``, ``main``, ``flat``, ``weak``, or None when it counts too far."""
        if ordinal <= 0:
            return ORDINAL_WORDS.get(ordinal)
        return self.dylibs[ordinal - 1].name if ordinal <= len(self.dylibs) else None

    def imports(self) -> list[Import]:
        """Distinct imports, sorted. A name may stand twice: once by its dylib and once as ``weak`` (MAC-18)."""
        rows = {Import(b.name, None, self.library(b.ordinal), b.weak_import) for b in self.binds}
        return sorted(rows, key=lambda i: (i.name or "", i.library or "", i.weak))

    # -- exports -------------------------------------------------------------

    @cached_property
    def exported(self) -> dict[str, int]:
        """Name to where its facts stand (for :meth:`export`): the set of names that dyld finds in this image."""
        if self._tables.trie:
            return ms.trie_names(self._tables.trie, self.name)
        return dict.fromkeys(self._defined, -1)

    def export(self, name: str) -> TrieExport | None:
        """What the image says of one exported name; None when it does not export it."""
        at = self.exported.get(name)
        if at is None:
            return None
        return self._defined[name] if at < 0 else ms.trie_payload(self._tables.trie, at, self.name)

    def reexports(self, name: str) -> bool:
        """Whether an exported name is a re-export (a peek: its payload is not decoded)."""
        at = self.exported.get(name, -1)
        return at >= 0 and bool(self._tables.trie[at] & 0x08)  # the flags of known kinds fit one byte

    @cached_property
    def strong_exports(self) -> frozenset[str]:
        """Exported names that are not weak definitions: in weak lookup they win over weak ones (MAC-18)."""
        trie = self._tables.trie
        if trie:
            return frozenset(n for n, at in self.exported.items() if not trie[at] & 0x04)
        return frozenset(n for n, e in self._defined.items() if not e.weak)

    @cached_property
    def coalesced(self) -> dict[str, bool]:
        """Weak definitions that the slice itself uses through weak lookup, so that another image's definition can take
        their place (MAC-18), and whether each is state that is written to (data, thread-local), not code or constants.
        Empty for images without MH_WEAK_DEFINES, which take no part."""
        if "weak-defines" not in self.flags:
            return {}
        out = {}
        for name in {b.name for b in self.binds if b.ordinal == ms.WEAK}:
            entry = self.export(name)
            if entry is not None and entry.weak and entry.ordinal is None:
                at = entry.address + self._base
                out[name] = entry.kind == "thread-local" or any(a <= at < b for a, b in self._state)
        return out

    @property
    def build_id(self) -> str | None:
        """What tells builds apart without comparing bytes: LC_UUID, which linkers derive from the content."""
        return self.uuid

    def is_code(self, export: TrieExport) -> bool:
        """Whether an export's address lies in a section of instructions."""
        at = export.address + self._base
        return export.kind == "regular" and any(a <= at < b for a, b in self._code)

    def exports(self) -> list[Export]:
        """Everything dyld would find, sorted. ``type``: func, object, tls, absolute, or notype for a re-export, whose
        ``forward`` is ``library:name``."""
        return sorted((self._export(n) for n in self.exported), key=lambda e: e.name or "")

    def _export(self, name: str) -> Export:
        e = self.export(name)
        assert e is not None
        binding = "weak" if e.weak else "global"
        if e.ordinal is not None:
            return Export(name, binding=binding, forward=f"{self.library(e.ordinal) or '?'}:{e.imported or name}")
        kind = {"thread-local": "tls", "absolute": "absolute"}.get(e.kind) or ("func" if self.is_code(e) else "object")
        return Export(name, binding=binding, type=kind)

    @cached_property
    def _symbols(self) -> list[ms.Symbol]:
        return ms.nlist(self._tables.symbols, self._tables.strings, self._endian, self._is64, self.name)

    @cached_property
    def _defined(self) -> dict[str, TrieExport]:
        return ms.defined(self._symbols, self._base)


def _slice(arch: str, sub: int, window: Window) -> MachoSlice:
    if window.size >= 8 and window.read(0, 8, "the first bytes") == mc.ARCHIVE_MAGIC:
        return MachoSlice(window.name, arch, sub, "archive")
    c = mc.read_commands(window)
    needs = tuple(Need(d.name, d.kind) for d in c.dylibs)
    tables = _tables(window, c)
    flags = {word for bit, word in mc.FLAGS.items() if c.flags & bit}
    if c.signature is not None:
        flags.add("signed")
    sections = [s for segment in c.segments for s in segment.sections]
    return MachoSlice(
        window.name,
        mc.arch_name(c.cputype, c.cpusubtype),
        c.cpusubtype,
        mc.FILETYPES.get(c.filetype, f"filetype-{c.filetype}"),
        identity=c.identity.name if c.identity else None,
        versions=(c.identity.compatibility, c.identity.current) if c.identity else (0, 0),
        needs=needs,
        dylibs=tuple(d for d in c.dylibs if d.kind != "delay"),
        rpath=tuple(c.rpaths),
        flags=frozenset(flags),
        platforms=tuple(c.platforms),
        signed=c.signature is not None,
        uuid=str(uuid.UUID(bytes=c.uuid)).upper() if c.uuid else None,
        objc_classes=mo.class_names(window, c, tables.chained),
        has_dyld_info=c.dyld_info is not None,
        _endian=c.endian,
        _is64=c.is64,
        _base=c.preferred_base,
        _code=tuple((s.address, s.address + s.size) for s in sections if s.is_code),
        _state=tuple(
            (s.address, s.address + s.size)
            for segment in c.segments
            if segment.writable
            for s in segment.sections
            if not s.name.startswith(_FIXED) and not s.is_code
        ),
        _tables=tables,
    )


def _tables(window: Window, c: Commands) -> _Tables:
    """Read the tables that dyld would use; the symbol table only when one of them is missing (MAC-20)."""

    def take(span: mc.Span | None, what: str) -> bytes:
        return window.read(*span, what) if span and span[1] else b""

    info = c.dyld_info or {}
    chained = take(c.chained, "the chained fixups")
    trie = take(c.exports_trie or info.get("export"), "the export trie")
    symbols = strings = b""
    has_trie = bool(trie) or c.exports_trie is not None or c.dyld_info is not None
    if not (has_trie and (chained or c.dyld_info is not None)) and c.symtab and c.filetype != 1:
        symbols, strings = _symbol_table(window, c)
    if chained:
        return _Tables(chained=chained, trie=trie, symbols=symbols, strings=strings)
    return _Tables(
        take(info.get("bind"), "the bind table"),
        take(info.get("weak"), "the weak bind table"),
        take(info.get("lazy"), "the lazy bind table"),
        b"",
        trie,
        symbols,
        strings,
    )


def _symbol_table(window: Window, c: Commands) -> tuple[bytes, bytes]:
    """The external symbols (defined and undefined; all when LC_DYSYMTAB does not part them) and the string table."""
    assert c.symtab is not None
    symoff, nsyms, stroff, strsize = c.symtab
    step = 16 if c.is64 else 12
    ranges = [(c.dysymtab[0], c.dysymtab[1]), (c.dysymtab[2], c.dysymtab[3])] if c.dysymtab else [(0, nsyms)]
    if any(first + count > nsyms for first, count in ranges):
        raise BinaryError(window.name, "has a symbol table smaller than its index says")
    parts = [window.read(symoff + step * a, step * n, "the symbol table") for a, n in ranges if n]
    return b"".join(parts), window.read(stroff, strsize, "the string table")
