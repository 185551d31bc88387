"""The PE reader beside LIEF, pefile and llvm-readobj, file by file, on the native files of real wheels.

What they disagree on stands in pe_second_opinion.toml with the reason, or the test fails.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.conda_side import Wheels
from tests.requirements import need

from abicheck.binary.pe import PeSlice, claims, read
from abicheck.binary.source import BytesSource

DOCUMENTED = Path(__file__).with_name("pe_second_opinion.toml")
AMD64, WIN32, ARM64 = (
    ("--platform", platform, "--python-version", version)
    for platform, version in (("win_amd64", "3.11"), ("win32", "3.11"), ("win_arm64", "3.12"))
)
WHEELS = {
    AMD64: (
        "numpy==1.26.4", "h5py==3.11.0", "shapely==2.0.6", "psycopg2-binary==2.9.9", "pyzmq==26.0.3", "pillow==10.4.0",
        "lxml==5.3.0", "pandas==2.2.2", "scikit-learn==1.5.1", "pyarrow==15.0.2", "pywin32==306",
        "msvc-runtime==14.44.35112",
        "intel-openmp==2024.2.1", "cryptography==42.0.8",
    ),
    WIN32: ("pillow==10.4.0", "lxml==5.3.0", "pywin32==306", "numpy==1.26.4"),
    ARM64: ("pillow==11.3.0", "lxml==6.0.0", "pywin32==312", "numpy==2.3.1"),
}  # fmt: skip
AT_LEAST = 300
Row = tuple[str, str | int, bool]


class Refusal(Exception):
    """A reader that does not take the file."""


@dataclass
class View:
    """What one reader says. ``imports``: (DLL, name or ordinal, delayed); ``exports``: (name, ordinal, forwarder)."""

    machine: int
    imports: Counter[Row] = field(default_factory=Counter)
    exports: set[tuple[str, int, str]] = field(default_factory=set)
    linker: tuple[int, int] | None = None
    identity: str | None = None
    version: tuple[int, ...] | None = None
    load_flags: int | None = None


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "backslashreplace")


def ours(data: bytes) -> View:
    (pe,) = read(BytesSource("x", data)).slices
    assert isinstance(pe, PeSlice)
    view = View(pe.machine, linker=pe.linker, version=pe.file_version, load_flags=pe.dependent_load_flags)
    for entry in pe.imported:
        for symbol in entry.symbols:
            view.imports[entry.dll, symbol if isinstance(symbol, int) else _text(symbol), entry.delay] += 1
    view.exports = {(e.name or "", e.ordinal or 0, e.forward or "") for e in pe.exports()}
    view.identity = pe.identity
    return view


def by_lief(data: bytes, path: Path) -> View:
    import lief

    del path
    config = lief.PE.ParserConfig()
    for part in ("parse_reloc", "parse_rsrc", "parse_signature", "parse_exceptions", "parse_arm64x_binary"):
        setattr(config, part, False)
    pe = lief.PE.parse(data, config)
    assert isinstance(pe, lief.PE.Binary)
    view = View(int(pe.header.machine.value))
    view.linker = (pe.optional_header.major_linker_version, pe.optional_header.minor_linker_version)
    for delay, dlls in ((False, pe.imports), (True, pe.delay_imports)):
        for dll in dlls:
            for entry in dll.entries:
                view.imports[str(dll.name), entry.ordinal if entry.is_ordinal else str(entry.name), delay] += 1
    table = pe.get_export()
    if table is not None:
        view.identity = str(table.name) or None
        for export in table.entries:
            forward = export.forward_information
            target = f"{forward.library}.{forward.function}" if export.is_forwarded and forward else ""
            if export.address or target:
                view.exports.add((str(export.name), export.ordinal, target))
    configuration = pe.load_configuration
    view.load_flags = (configuration.dependent_load_flags or 0) if configuration is not None else 0
    return view


def by_pefile(data: bytes, path: Path) -> View:
    import pefile

    del path
    pefile.MAX_IMPORT_SYMBOLS = pefile.MAX_SYMBOL_EXPORT_COUNT = 1 << 20
    pefile.MAX_SYMBOL_NAME_LENGTH = pefile.MAX_IMPORT_NAME_LENGTH = 1 << 16
    pe = pefile.PE(data=data, fast_load=True, max_symbol_exports=1 << 20)
    wanted = ("EXPORT", "IMPORT", "DELAY_IMPORT", "RESOURCE", "LOAD_CONFIG")
    pe.parse_data_directories([pefile.DIRECTORY_ENTRY[f"IMAGE_DIRECTORY_ENTRY_{w}"] for w in wanted])
    view = View(pe.FILE_HEADER.Machine)
    view.linker = (pe.OPTIONAL_HEADER.MajorLinkerVersion, pe.OPTIONAL_HEADER.MinorLinkerVersion)
    for delay, attribute in ((False, "DIRECTORY_ENTRY_IMPORT"), (True, "DIRECTORY_ENTRY_DELAY_IMPORT")):
        for dll in getattr(pe, attribute, []):
            for entry in dll.imports:
                symbol = entry.ordinal if entry.import_by_ordinal else _text(entry.name)
                view.imports[_text(dll.dll), symbol, delay] += 1
    table = getattr(pe, "DIRECTORY_ENTRY_EXPORT", None)
    for export in table.symbols if table else ():
        if export.address or export.forwarder:
            view.exports.add((_text(export.name), export.ordinal, _text(export.forwarder)))
    if table:
        view.identity = _text(pe.get_string_at_rva(table.struct.Name)) or None
    for info in getattr(pe, "VS_FIXEDFILEINFO", ())[:1]:
        high, low = info.FileVersionMS, info.FileVersionLS
        view.version = (high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF)
    return view


def by_llvm(data: bytes, path: Path) -> View:
    del data
    command = ["llvm-readobj-19", "--file-headers", "--coff-imports", "--coff-exports", str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise Refusal(done.stderr.decode().rpartition("file.dll': ")[2].strip())
    text = done.stdout.decode("utf-8", "backslashreplace")
    view = View(int(re.search(r"Machine: \S+ \(0x(\w+)\)", text)[1], 16))  # type: ignore[index]
    kind = dll = name = forward = ""
    ordinal, there = 0, True
    for line in text.splitlines():
        word, _, value = line.strip().partition(": ")
        if line.startswith(("Import {", "DelayImport {", "Export {")):
            kind, dll, name, forward, ordinal, there = line.partition(" ")[0], "", "", "", 0, True
        elif line.startswith("}") and kind == "Export":
            if there:
                view.exports.add((name, ordinal, forward))
            kind = ""
        elif kind == "Export" and word == "RVA":
            there = value != "0x0"
        elif kind == "Export" and word == "Ordinal":
            ordinal = int(value)
        elif kind == "Export" and word == "ForwardedTo":
            forward = value
        elif word == "Name":
            name = dll = value
        elif kind.endswith("Import") and word == "Symbol":
            match = re.fullmatch(r"(.*) ?\((\d+)\)", value)
            assert match, line
            symbol: str | int = match[1].rstrip(" ") or int(match[2])
            view.imports[dll, symbol, kind == "DelayImport"] += 1
    return view


def differences(mine: View, theirs: View) -> Iterator[tuple[str, str]]:
    """(what, detail) of every disagreement; what the other reader does not say (None) is left out."""
    for row, count in ((mine.imports - theirs.imports) + (theirs.imports - mine.imports)).items():
        yield "import", f"{row}: {mine.imports[row]} against {theirs.imports[row]} ({count})"
    for row in mine.exports ^ theirs.exports:
        yield "export", f"{row}: {'only ours' if row in mine.exports else 'only theirs'}"
    for what in ("machine", "linker", "identity", "version", "load_flags"):
        a, b = getattr(mine, what), getattr(theirs, what)
        if b is not None and a != b:
            yield what, f"{a} against {b}"


def against(mine: View, opinion: Callable[[bytes, Path], View], data: bytes, path: Path) -> list[tuple[str, str]]:
    try:
        return list(differences(mine, opinion(data, path)))
    except Refusal as e:
        return [("refused", str(e))]


OPINIONS: dict[str, Callable[[bytes, Path], View]] = {"lief": by_lief, "pefile": by_pefile, "llvm": by_llvm}


def natives(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                head = member.read(64)
            if claims(head):
                yield f"{wheel.name.partition('-')[0]}/{info.filename}", archive.read(info)


@pytest.mark.network
@pytest.mark.slow
def test_real_files_read_as_three_others_read_them(wheels: Wheels, tmp_path: Path) -> None:
    need("lief", "llvm-objdump")
    known = [Documented(**row) for row in tomllib.loads(DOCUMENTED.read_text("utf-8")).get("difference", [])]
    used: set[Documented] = set()
    new: list[str] = []
    counts: Counter[str] = Counter()
    for options, requirements in WHEELS.items():
        for wheel in wheels(*requirements, options=options):
            counts["wheels"] += 1
            for name, data in natives(wheel):
                mine = ours(data)
                counts.update(files=1, imports=mine.imports.total(), exports=len(mine.exports), **{options[1]: 1})
                path = tmp_path / "file.dll"
                path.write_bytes(data)
                for reader, opinion in OPINIONS.items():
                    for what, detail in against(mine, opinion, data, path):
                        row = next((d for d in known if d.covers(reader, name, what)), None)
                        used.update([row] if row else [])
                        counts["documented differences"] += row is not None
                        if row is None:
                            new.append(f"{reader} {name} {what} {detail}")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    assert not new, "\n".join(new[:60])
    assert counts["files"] >= AT_LEAST
    assert used == set(known), f"documented but not seen: {set(known) - used}"


@dataclass(frozen=True)
class Documented:
    """A known disagreement: which reader, which file (a regular expression), about what; and who is right, and why."""

    reader: str
    file: str
    what: str
    reason: str

    def covers(self, reader: str, file: str, what: str) -> bool:
        return (self.reader, self.what) == (reader, what) and re.fullmatch(self.file, file) is not None


def test_llvm_and_ours_on_a_file_with_everything(tmp_path: Path) -> None:
    """The file that the other tests write is one that LLVM reads in the same way."""
    need("llvm-objdump")
    from tests.binary.pe_samples import Exported, build

    data = build(
        imports={"a.dll": ["f", 3], "b.dll": ["g"]},
        delayed={"c.dll": ["h", 9]},
        exports=["one", Exported(None, 7), Exported("two", 9, forward="d.two")],
    )
    path = tmp_path / "all.dll"
    path.write_bytes(data)
    found: list[Any] = list(differences(ours(data), by_llvm(data, path)))
    assert not found
