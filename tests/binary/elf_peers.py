"""What other readers of ELF say about a file, in one shape, so that it can be compared with ours.

All three read section headers; ours never does (GEN-4). What is compared: names, needs, paths, version tables,
symbols with their versions, and (where the peer reads them) relocations.
"""

from __future__ import annotations

import io
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from abicheck.binary.elf import ElfSlice

Row = tuple[Any, ...]
BOUND_INSIDE = ("STV_HIDDEN", "STV_INTERNAL")
SAMPLE_FILES, SAMPLE_SIZE = 60, 400_000


@dataclass
class Facts:
    """One reader's view. A peer leaves None what it does not read.

    ``imports``: (name, version, file, weak); ``exports``: (name, version, default, binding, type); ``references``:
    (symbol index, relocation type); ``verneed``: (file, ((name, hash, weak, index), ...)); ``verdef``: (name, hash,
    index, base, weak).
    """

    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: str | None = None
    runpath: str | None = None
    imports: set[Row] = field(default_factory=set)
    exports: set[Row] = field(default_factory=set)
    verneed: tuple[Row, ...] | None = None
    verdef: tuple[Row, ...] | None = None
    references: set[Row] | None = None
    symbols: int | None = None


def ours(s: ElfSlice) -> Facts:
    return Facts(
        s.soname,
        s.needed,
        s.rpath_text,
        s.runpath_text,
        {(i.name, i.version, i.library, i.weak) for i in s.imports()},
        {(e.name, e.version, e.default, e.binding, e.type) for e in s.exports()},
        tuple((n.file, tuple((v.name, v.hash, v.weak, v.index) for v in n.versions)) for n in s.verneed),
        tuple(tuple(d) for d in s.verdef),
        {(r.index, r.kind) for r in s.references},
        s.symbols.count,
    )


def system_libraries() -> list[Path]:
    """A fixed, bounded choice of this machine's libraries: every n-th small one, and the C and C++ runtimes."""
    folders = [Path(f"/usr/lib/{platform.machine()}-linux-gnu"), Path("/usr/lib64"), Path("/lib64")]
    found = {p.resolve() for folder in folders if folder.is_dir() for p in folder.glob("*.so*")}
    small = sorted(p for p in found if p.is_file() and 1000 < p.stat().st_size < SAMPLE_SIZE and _is_elf(p))
    runtimes = sorted(p for p in found if re.match(r"(libc\.so\.6|libc-2|libstdc\+\+\.so|libm\.so|libpthread)", p.name))
    step = max(1, len(small) // SAMPLE_FILES)
    return [*small[::step][:SAMPLE_FILES], *(p for p in runtimes if _is_elf(p))]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as f:
        return f.read(4) == b"\x7fELF"


# -- pyelftools ---------------------------------------------------------------

_BIND = {"STB_GLOBAL": "global", "STB_WEAK": "weak", "STB_LOOS": "unique"}
_TYPE = {
    "STT_NOTYPE": "notype",
    "STT_OBJECT": "object",
    "STT_FUNC": "func",
    "STT_COMMON": "common",
    "STT_TLS": "tls",
    "STT_LOOS": "ifunc",
}


def pyelftools(data: bytes, s: ElfSlice) -> Facts:
    """``s`` only gives the kinds of relocation types, so that both speak of the same thing."""
    file = ELFFile(io.BytesIO(data))
    out = Facts()
    needed = []
    for segment in file.iter_segments("PT_DYNAMIC"):
        for tag in segment.iter_tags():
            match tag.entry.d_tag:
                case "DT_NEEDED":
                    needed.append(tag.needed)
                case "DT_SONAME":
                    out.soname = tag.soname
                case "DT_RPATH":
                    out.rpath = tag.rpath
                case "DT_RUNPATH":
                    out.runpath = tag.runpath
    out.needed = tuple(needed)
    sections = {x["sh_type"]: x for x in file.iter_sections()}
    names = _version_tables(sections, out)
    table = sections.get("SHT_DYNSYM")
    if table is None:
        return out
    out.symbols = table.num_symbols()
    versions = sections.get("SHT_GNU_versym")
    for index, symbol in enumerate(table.iter_symbols()):
        bind = _BIND.get(symbol["st_info"]["bind"])
        if not symbol.name or bind is None or symbol["st_other"]["visibility"] in BOUND_INSIDE:
            continue
        number = _number(versions.get_symbol(index)["ndx"]) if versions else 0
        version, library = names.get(number & 0x7FFF, (None, None))
        if symbol["st_shndx"] == "SHN_UNDEF":
            out.imports.add((symbol.name, version, library, bind == "weak"))
        elif (kind := _TYPE.get(symbol["st_info"]["type"])) is not None and (
            symbol["st_value"] or symbol["st_shndx"] == "SHN_ABS" or kind == "tls"
        ):
            out.exports.add((symbol.name, version, not number & 0x8000, bind, kind))
    out.references = _pyelftools_references(file, table, s)
    return out


def _number(ndx: int | str) -> int:
    return ndx if isinstance(ndx, int) else {"VER_NDX_LOCAL": 0, "VER_NDX_GLOBAL": 1}[ndx]


def _version_tables(sections: dict[str, Any], out: Facts) -> dict[int, tuple[str, str | None]]:
    """Fill ``out.verneed`` and ``out.verdef``; index to (version, file it is asked of)."""
    names: dict[int, tuple[str, str | None]] = {}
    needs, defs = sections.get("SHT_GNU_verneed"), sections.get("SHT_GNU_verdef")
    rows: list[Row] = []
    for need, auxiliary in needs.iter_versions() if needs else ():
        versions = [(a.name, a["vna_hash"], bool(a["vna_flags"] & 2), a["vna_other"] & 0x7FFF) for a in auxiliary]
        names.update({v[3]: (v[0], need.name) for v in versions})
        rows.append((need.name, tuple(versions)))
    out.verneed = tuple(rows)
    rows = []
    for entry, auxiliary in defs.iter_versions() if defs else ():
        name, flags = next(iter(auxiliary)).name, entry["vd_flags"]
        rows.append((name, entry["vd_hash"], entry["vd_ndx"], bool(flags & 1), bool(flags & 2)))
        if not flags & 1:
            names[entry["vd_ndx"]] = (name, None)
    out.verdef = tuple(rows)
    return names


def _pyelftools_references(file: Any, table: Any, s: ElfSlice) -> set[Row]:
    out: set[Row] = set()
    for section in file.iter_sections():
        # Allocated relocation sections that speak of .dynsym are the dynamic ones.
        if section["sh_type"] not in ("SHT_REL", "SHT_RELA") or not section["sh_flags"] & 2:
            continue
        if file.get_section(section["sh_link"]).name != table.name:
            continue
        for relocation in section.iter_relocations():
            index, kind = relocation["r_info_sym"], s.symbols.kind_of(relocation["r_info_type"])
            if not index or kind is None or (index, kind) in out:
                continue
            symbol = table.get_symbol(index)
            if symbol["st_info"]["bind"] != "STB_LOCAL" and symbol["st_other"]["visibility"] not in BOUND_INSIDE:
                out.add((index, kind))
    return out


# -- LIEF ----------------------------------------------------------------------


def lief_facts(data: bytes) -> Facts:
    import lief

    lief.logging.disable()
    file = lief.ELF.parse(list(data))
    assert file is not None
    tags = lief.ELF.DynamicEntry.TAG

    def last(tag: Any, attribute: str) -> str | None:
        return next((getattr(e, attribute) for e in reversed(list(file.dynamic_entries)) if e.tag == tag), None)

    out = Facts(
        last(tags.SONAME, "name"), tuple(file.libraries), last(tags.RPATH, "rpath"), last(tags.RUNPATH, "runpath")
    )
    kinds, binds = lief.ELF.Symbol.TYPE, lief.ELF.Symbol.BINDING
    types = {
        kinds.NOTYPE: "notype",
        kinds.OBJECT: "object",
        kinds.FUNC: "func",
        kinds.COMMON: "common",
        kinds.TLS: "tls",
        kinds.GNU_IFUNC: "ifunc",
    }
    bindings = {binds.GLOBAL: "global", binds.WEAK: "weak", binds.GNU_UNIQUE: "unique"}
    hidden = (lief.ELF.Symbol.VISIBILITY.HIDDEN, lief.ELF.Symbol.VISIBILITY.INTERNAL)
    for symbol in file.dynamic_symbols:
        bind = bindings.get(symbol.binding)
        if not symbol.name or bind is None or symbol.visibility in hidden:
            continue
        numbered = symbol.symbol_version
        named = numbered is not None and numbered.has_auxiliary_version
        version = numbered.symbol_version_auxiliary.name if numbered is not None and named else None
        if symbol.shndx == 0:
            out.imports.add((symbol.name, version, bind == "weak"))
        elif symbol.type in types and (symbol.value or symbol.shndx == 0xFFF1 or symbol.type == kinds.TLS):
            default = numbered is None or not numbered.value & 0x8000
            out.exports.add((symbol.name, version, default, bind, types[symbol.type]))
    out.symbols = len(file.dynamic_symbols)
    return out


# -- readelf -------------------------------------------------------------------

# binutils writes an unknown or OS-specific binding in two words (``<OS specific>: 10``).
_LINE = re.compile(
    r"^\s*\d+: [0-9a-f]+\s+\S+\s+(?P<type>\S+)\s+(?P<bind><OS specific>: \d+|\S+)\s+(?P<visibility>\S+)"
    r"(?:\s+\[.*?\])?\s+(?P<section>\S+)(?:\s(?P<name>\S.*))?$"
)
# readelf calls binding 10 unique only when EI_OSABI says GNU; the loader does not look there (ELF-30).
_READELF_BIND = {"GLOBAL": "global", "WEAK": "weak", "UNIQUE": "unique", "<OS specific>: 10": "unique"}


def have_readelf() -> bool:
    return shutil.which("readelf") is not None


def readelf(path: Path) -> Facts:
    run = subprocess.run(
        ["readelf", "-W", "--dyn-syms", "-d", str(path)], capture_output=True, check=True, env={"LC_ALL": "C"}
    )
    text = run.stdout.decode("utf-8", "surrogateescape")

    def tag(name: str) -> list[str]:
        return re.findall(rf"\({name}\).*\[(.*)\]", text)

    out = Facts(
        (tag("SONAME") or [None])[-1],
        tuple(tag("NEEDED")),
        (tag("RPATH") or [None])[-1],
        (tag("RUNPATH") or [None])[-1],
    )
    for line in text.splitlines():
        match = _LINE.match(line)
        bind = _READELF_BIND.get(match["bind"]) if match else None
        if not match or bind is None or not match["name"] or match["visibility"] in ("HIDDEN", "INTERNAL"):
            continue
        name, at, version = re.sub(r" \(\d+\)$", "", match["name"]).partition("@")
        if match["section"] == "UND":
            out.imports.add((name, version.lstrip("@") or None, bind == "weak"))
        elif match["type"] in ("NOTYPE", "OBJECT", "FUNC", "COMMON", "TLS", "IFUNC"):
            default = not at or version.startswith("@")
            out.exports.add((name, version.lstrip("@") or None, default, bind, match["type"].lower()))
    return out
