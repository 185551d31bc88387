"""ELF files, read as the loader reads them: program headers, PT_DYNAMIC and hash tables, never section headers (GEN-4).

``read`` fetches what it needs in a few windows, checks every size and offset against the file and its segments, and
gives one :class:`ElfSlice`. Only a large string table of a file on disk stays there until a symbol name is asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from abicheck.binary.elf_hash import GnuHash, HashTable, read_gnu_hash, read_sysv_hash, sysv_count
from abicheck.binary.elf_header import MAGIC, HeaderVerdict, header_verdict
from abicheck.binary.elf_image import (
    PF_W,
    PF_X,
    PT_GNU_RELRO,
    PT_GNU_STACK,
    PT_INTERP,
    PT_LOAD,
    PT_TLS,
    Dynamic,
    Image,
    grouped,
    open_image,
    read_dynamic,
)
from abicheck.binary.elf_machines import EM_MIPS
from abicheck.binary.elf_notes import read_notes
from abicheck.binary.elf_records import Definition, Reference
from abicheck.binary.elf_slice import (
    DF_1_NOW,
    DF_BIND_NOW,
    DF_SYMBOLIC,
    DF_TEXTREL,
    ElfSlice,
)
from abicheck.binary.elf_symbols import NAME_SHARING, Exports, SymbolTable
from abicheck.binary.elf_versions import (
    DT_VERDEF,
    DT_VERNEED,
    VerDef,
    VerNeed,
    VerNeedVersion,
    VersionName,
    name_offsets,
    raw_verdef,
    raw_verneed,
    verdef_of,
    verneed_of,
    version_names,
)
from abicheck.binary.facts import Binary
from abicheck.binary.source import ByteSource, DiskSource
from abicheck.errors import BinaryError

__all__ = [
    "Definition",
    "ElfSlice",
    "Exports",
    "HeaderVerdict",
    "Reference",
    "VerDef",
    "VerNeed",
    "VerNeedVersion",
    "claims",
    "header_verdict",
    "read",
]

NEEDED, PLTRELSZ, HASH, STRTAB, SYMTAB, RELA, RELASZ, STRSZ = 1, 2, 4, 5, 6, 7, 8, 10
SONAME, RPATH, SYMBOLIC, REL, RELSZ, PLTREL, TEXTREL, JMPREL, BIND_NOW = 14, 15, 16, 17, 18, 20, 22, 23, 24
RUNPATH, FLAGS, RELR = 29, 30, 36
GNU_HASH, VERSYM, RELACOUNT, RELCOUNT, FLAGS_1 = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFF9, 0x6FFFFFFA, 0x6FFFFFFB
AUXILIARY, FILTER = 0x7FFFFFFD, 0x7FFFFFFF

SMALL_STRINGS = 1 << 16  # string tables up to this size are read at once and kept
MANY = 1 << 13  # relocations: above this, repeated words are dropped at once
GAP = 1 << 12  # strings nearer than this are read together


def claims(head: bytes) -> bool:
    """Whether a file that starts so is an ELF file (or says it is)."""
    return head[:4] == MAGIC


def read(source: ByteSource) -> Binary:
    """Facts of an ELF file.

    Raises ``BinaryError`` when the file is cut off, or a table leads out of the file or its segment; ``OSError`` when
    the source fails.
    """
    image = open_image(source)
    dynamic = read_dynamic(image)
    return Binary("elf", (_slice(image, dynamic or Dynamic({}, {NEEDED: [], AUXILIARY: [], FILTER: []}), dynamic),))


def _slice(image: Image, d: Dynamic, found: Dynamic | None) -> ElfSlice:
    tags = d.tags
    strings = _Strings(image, tags)
    raw_needs = raw_verneed(image, tags[DT_VERNEED]) if DT_VERNEED in tags else []
    raw_defs = raw_verdef(image, tags[DT_VERDEF]) if DT_VERDEF in tags else []
    single = [tags[t] for t in (SONAME, RPATH, RUNPATH) if t in tags]
    text = strings.texts([*single, *(o for os in d.repeated.values() for o in os), *name_offsets(raw_needs, raw_defs)])
    verneed, verdef = verneed_of(raw_needs, text), verdef_of(raw_defs, text)
    names = version_names(verneed, verdef)
    # The loader looks at DT_VERSYM only when some version table has an index above 0 (_dl_check_map_versions).
    meaningful = any(v.index for n in verneed for v in n.versions) or any(v.index for v in verdef)
    symbols = _symbols(image, tags, strings, names if VERSYM in tags and meaningful else None)
    flags, flags_1 = tags.get(FLAGS, 0), tags.get(FLAGS_1, 0)
    stack = next((s for s in reversed(image.segments) if s.type == PT_GNU_STACK), None)
    tls = next((s for s in reversed(image.segments) if s.type == PT_TLS and s.memsz), None)
    notes = read_notes(image)

    def optional(tag: int) -> str | None:
        return text(tags[tag]) if tag in tags else None

    return ElfSlice(
        elf_class=image.layout.elf_class,
        little=image.layout.little,
        machine=image.machine,
        osabi=image.osabi,
        etype=image.etype,
        interp=_interp(image),
        has_dynamic=found is not None,
        has_loadable=any(s.type == PT_LOAD for s in image.segments),
        page_limit=_page_limit(image),
        soname=optional(SONAME),
        needed=tuple(text(o) for o in d.repeated[NEEDED]),
        rpath_text=optional(RPATH),
        runpath_text=optional(RUNPATH),
        auxiliary=tuple(text(o) for o in d.repeated[AUXILIARY]),
        filter=tuple(text(o) for o in d.repeated[FILTER]),
        dt_flags=flags,
        dt_flags_1=flags_1,
        symbolic=SYMBOLIC in tags or bool(flags & DF_SYMBOLIC),
        textrel=TEXTREL in tags or bool(flags & DF_TEXTREL),
        bind_now=BIND_NOW in tags or bool(flags & DF_BIND_NOW) or bool(flags_1 & DF_1_NOW),
        tls=(tls.memsz, tls.align) if tls else None,
        execstack="unmarked" if stack is None else "executable" if stack.flags & PF_X else "not",
        isa_needed=notes.isa_needed,
        relr=RELR in tags,
        build_id=notes.build_id,
        verneed=verneed,
        verdef=verdef,
        has_versym=symbols.versym is not None,
        has_verdef=DT_VERDEF in tags,
        symbols=symbols,
    )


def _page_limit(image: Image) -> int:
    """The power of two that all differences between a PT_LOAD's address and offset are multiples of; at most 1 GiB."""
    limit = 1 << 30
    for s in image.segments:
        if s.type == PT_LOAD and (apart := abs(s.vaddr - s.offset)):
            limit = min(limit, apart & -apart)
    return limit


def _interp(image: Image) -> str | None:
    segment = next((s for s in image.segments if s.type == PT_INTERP), None)
    if segment is None or segment.filesz == 0:
        return None
    return _decode(image.bytes_at(segment.offset, min(segment.filesz, GAP), "interpreter name").split(b"\0")[0])


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class _Strings:
    """The dynamic string table: a few strings now, all of it when symbol names are wanted.

    DT_STRSZ only says how much to read first: the loader never looks at it, so names may lie beyond.
    """

    def __init__(self, image: Image, tags: dict[int, int]) -> None:
        self._image = image
        self.room = self._offset = 0
        self._small = b""
        if STRTAB in tags:
            self._offset, room = image.place(tags[STRTAB], "string table")
            self.room = min(room, image.source.size - self._offset)
            self.size = min(tags.get(STRSZ, self.room), self.room)
            if self.size <= SMALL_STRINGS:
                self._small = image.bytes_at(self._offset, self.size, "string table")

    def texts(self, offsets: Iterable[int]) -> Callable[[int], str]:
        """Read the strings at these offsets; gives the look-up from offset to text."""
        out: dict[int, str] = {}
        left = self.room * NAME_SHARING + (1 << 20)
        for group in _near(sorted(set(offsets))):
            if group[-1] >= self.room:
                raise BinaryError(
                    self._image.source.name,
                    f"has a name at {grouped(group[-1])} of {grouped(self.room)} bytes of its string table",
                )
            start, data = 0, self._small
            if group[-1] >= len(data):
                start = group[0]
                data = self._piece(start, group[-1] - start + GAP)
            for offset in group:
                end = data.find(b"\0", offset - start)
                if end < 0:  # longer than expected, or cut by the window
                    start, data = offset, self._piece(offset, self.room - offset)
                    end = data.find(b"\0")
                    end = len(data) if end < 0 else end
                out[offset] = _decode(data[offset - start : end])
                left -= end - (offset - start)
                if left < 0:
                    raise BinaryError(self._image.source.name, "has names that overlap without end")
        return out.__getitem__

    def _piece(self, start: int, length: int) -> bytes:
        return self._image.bytes_at(self._offset + start, min(length, self.room - start), "string table")

    def reach(self, last: int) -> Callable[[], bytes]:
        """A function that gives the table, long enough for a name at offset ``last``."""
        if last >= self.room:
            raise BinaryError(
                self._image.source.name,
                f"has a symbol name at {grouped(last)} of {grouped(self.room)} bytes of its string table",
            )
        image, offset, whole = self._image, self._offset, self._small
        size = self.size if last < self.size else self.room
        if len(whole) != size:
            if isinstance(image.source, DiskSource):
                return lambda: image.bytes_at(offset, size, "string table")
            # Other sources hold the file in memory or have to inflate it again: take the strings, let go of the rest.
            whole = image.bytes_at(offset, size, "string table")
        return lambda: whole


def _near(offsets: list[int]) -> list[list[int]]:
    """Sorted numbers in groups with no gap of ``GAP`` or more."""
    out: list[list[int]] = []
    for o in offsets:
        if out and o - out[-1][-1] < GAP:
            out[-1].append(o)
        else:
            out.append([o])
    return out


def _symbols(
    image: Image, tags: dict[int, int], strings: _Strings, versions: dict[int, VersionName] | None
) -> SymbolTable:
    layout = image.layout
    relocations = _relocations(image, tags)
    table: HashTable | None = None
    if SYMTAB in tags and STRTAB in tags:
        if GNU_HASH in tags:
            table = read_gnu_hash(image, tags[GNU_HASH])
        elif HASH in tags:
            table = read_sysv_hash(image, tags[HASH])
    named = max(relocations, default=0) >> (32 if layout.elf_class == 64 else 8)
    count = max(_count(image, tags, table), named + 1) if SYMTAB in tags and STRTAB in tags else 0
    raw = image.table(tags[SYMTAB], count * layout.sym.size, "symbol table") if count else b""
    if not count and named:
        raise BinaryError(image.source.name, "has relocations against symbols but no symbol table")
    fetch: Callable[[], bytes] = bytes
    if count:
        words = image.numbers(raw, "I")
        fetch = strings.reach(max(words[:: layout.sym.size // 4]))
    versym = None
    if versions is not None and count:
        versym = image.numbers(image.table(tags[VERSYM], count * 2, "symbol versions"), "H")
    return SymbolTable(
        name=image.source.name,
        layout=layout,
        machine=image.machine,
        raw=raw,
        count=count,
        versym=versym,
        versions=versions or {},
        hash=table,
        relocations=relocations,
        fetch=fetch,
        writable=_writable(image),
    )


def _count(image: Image, tags: dict[int, int], table: HashTable | None) -> int:
    """Entries of the symbol table, by what the hash tables say; 0 when they do not."""
    if isinstance(table, GnuHash):
        if table.chain:
            return table.count
        return sysv_count(image, tags[HASH]) if HASH in tags else 0
    return table.count if table else 0


def _relocations(image: Image, tags: dict[int, int]) -> array[int]:
    """r_info words in file order, without the leading relative ones that DT_RELACOUNT/DT_RELCOUNT announce."""
    rel, rela = image.layout.rel_sizes
    out: array[int] = array(image.layout.word)
    plt = rela if tags.get(PLTREL, RELA) == RELA else rel
    for start, size, entry, relative in (
        (RELA, RELASZ, rela, RELACOUNT),
        (REL, RELSZ, rel, RELCOUNT),
        (JMPREL, PLTRELSZ, plt, 0),
    ):
        total = tags.get(size, 0) // entry
        skip = min(tags.get(relative, 0), total) if relative else 0
        if start not in tags or total == skip:
            continue
        data = image.table(tags[start] + skip * entry, (total - skip) * entry, "relocations")
        words = image.numbers(data, image.layout.word)
        infos = words[1 :: entry // words.itemsize]
        if len(infos) > MANY:  # most are relative, of a linker that does not count them
            infos = array(infos.typecode, dict.fromkeys(infos))
        out += infos
    if image.machine == EM_MIPS and image.layout.little and image.layout.elf_class == 64:
        # This one ABI stores r_info as separate fields: symbol, special symbol, three types.
        out = array(out.typecode, ((info & 0xFFFFFFFF) << 32 | info >> 56 for info in out))
    return out


def _writable(image: Image) -> tuple[tuple[int, int], ...]:
    """Address ranges that stay writable after relocation: PF_W segments without the RELRO part."""
    relro = next((s for s in reversed(image.segments) if s.type == PT_GNU_RELRO), None)
    out: list[tuple[int, int]] = []
    for s in image.segments:
        if s.type == PT_LOAD and s.flags & PF_W:
            start, end = s.vaddr, s.vaddr + s.memsz
            if relro and relro.vaddr <= start < relro.vaddr + relro.memsz:
                start = min(relro.vaddr + relro.memsz, end)
            if start < end:
                out.append((start, end))
    return tuple(sorted(out))
