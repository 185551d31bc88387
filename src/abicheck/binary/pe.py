"""PE images (.dll, .pyd, .exe): headers, imports, delay imports, exports, load configuration, version and manifest.

``read`` takes what the loader would take (GEN-4): data directories, never section names. One file has one slice.

**What "msvc" among the floors means.** ``MajorLinkerVersion.MinorLinkerVersion`` is the version of Microsoft's toolset
(14.40 is Visual Studio 2022 17.10) only if Microsoft's linker wrote it: that linker leaves a "Rich" block before the PE
header, which GNU ld (2.x), lld (always 14.0) and others do not. The toolset matters to nobody unless the file uses the
shared runtime of the 14.x family. So the floor is given when the block is there, the major version is 14 and the file
imports vcruntime140*, msvcp140*, concrt140, vccorlib140 or vcomp140 (mangled copies included); else there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import unpack_from

from abicheck.binary.facts import Binary, Export, Format, Import, Need
from abicheck.binary.pe_image import Image, open_image
from abicheck.binary.pe_resources import Assembly, Resources, Version, read_resources
from abicheck.binary.pe_tables import (
    DELAY_DIRECTORY,
    DllImports,
    ExportTable,
    read_delay_imports,
    read_exports,
    read_imports,
    text,
)
from abicheck.binary.source import ByteSource

LOAD_CONFIG_DIRECTORY, TLS_DIRECTORY, CLR_DIRECTORY = 10, 9, 14
IS_DLL = 0x2000
I386, AMD64, ARM64, ARM64EC, ARM64X, ARMNT = 0x14C, 0x8664, 0xAA64, 0xA641, 0xA64E, 0x1C4
ARCHES = {I386: "i386", AMD64: "x86_64", ARM64: "arm64", ARM64EC: "arm64ec", ARM64X: "arm64x", ARMNT: "armv7"}
# Offsets in the load configuration, 32 and 64 bit (winnt.h, IMAGE_LOAD_CONFIG_DIRECTORY).
DEPENDENT_LOAD_FLAGS = {False: 54, True: 78}
CHPE_METADATA = 200
DLL_CHARACTERISTICS = {
    0x0020: "high-entropy-va",
    0x0040: "dynamic-base",
    0x0080: "force-integrity",
    0x0100: "nx-compat",
    0x0200: "no-isolation",
    0x0400: "no-seh",
    0x0800: "no-bind",
    0x1000: "app-container",
    0x4000: "guard-cf",
}
MSVC_RUNTIME = re.compile(
    r"(?:vcruntime140|msvcp140|concrt140|vccorlib140|vcomp140)(?:_[a-z0-9_]+)?(?:-[0-9a-f]+)?\.dll"
)


@dataclass(frozen=True, slots=True)
class PeSlice:
    """The facts of one PE file. Names are as stored; ``imported`` keeps the file's order, delay descriptors last.

    ``machine`` is the header's number; ``arch`` also knows hybrid images (an ARM64EC file has the x64 number, an ARM64X
    file the ARM64 one; the load configuration tells). ``dependent_load_flags``: WIN-14; 0 means none.
    """

    arch: str
    machine: int
    is_dll: bool
    imported: tuple[DllImports, ...]
    export_table: ExportTable | None
    linker: tuple[int, int]
    rich: bool
    subsystem: int
    subsystem_version: tuple[int, int]
    dll_characteristics: int
    dependent_load_flags: int
    file_version: Version | None
    product_version: Version | None
    assemblies: tuple[Assembly, ...]
    flags: frozenset[str]
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()

    @property
    def format(self) -> Format:
        return "pe"

    @property
    def identity(self) -> str | None:
        return self.export_table.dll or None if self.export_table else None

    @property
    def needs(self) -> tuple[Need, ...]:
        """Each DLL once, where the file first names it; one that is also imported at load time counts as required."""
        kinds: dict[str, Need] = {}
        for entry in self.imported:
            kinds.setdefault(entry.dll, Need(entry.dll, "delay" if entry.delay else "required"))
        return tuple(kinds.values())

    @property
    def floors(self) -> dict[str, str]:
        """``{"msvc": "14.40"}``; see the module's text for when."""
        if not self.rich or self.linker[0] != 14:
            return {}
        if not any(MSVC_RUNTIME.fullmatch(i.dll.lower()) for i in self.imported):
            return {}
        return {"msvc": f"14.{self.linker[1]:02d}"}

    def imports(self) -> list[Import]:
        """All imports, delayed ones too, sorted by DLL, then by name, then ordinals."""
        rows = {(e.dll, s) for e in self.imported for s in e.symbols}
        out = [
            Import(None, library=dll, ordinal=s) if isinstance(s, int) else Import(text(s), library=dll)
            for dll, s in rows
        ]
        return sorted(out, key=lambda i: (i.library or "", i.name is None, i.name or "", i.ordinal or 0))

    def exports(self) -> list[Export]:
        """All exports, sorted by name; those without a name follow, by ordinal."""
        table = self.export_table
        if table is None:
            return []
        out = [self._export(table, text(n), o) for n, o in zip(table.names, table.ordinals, strict=True)]
        named = set(table.ordinals)
        out += [
            self._export(table, None, o)
            for o in range(table.base, table.base + table.count)
            if o not in named and o not in table.holes
        ]
        return sorted(out, key=lambda e: (e.name is None, e.name or "", e.ordinal or 0))

    @staticmethod
    def _export(table: ExportTable, name: str | None, ordinal: int) -> Export:
        forward = table.forwards.get(ordinal)
        kind = "notype" if forward is not None else "object" if ordinal in table.data else "func"
        return Export(name, type=kind, ordinal=ordinal, forward=None if forward is None else text(forward))


def claims(head: bytes) -> bool:
    """Whether a file may be a PE image: the MZ signature, and room for the PE header's offset, which ``read`` follows.

    Nothing else starts so but DOS programs, which ``read`` then finds to be no PE library.
    """
    return head[:2] == b"MZ" and len(head) >= 64


def read(source: ByteSource) -> Binary:
    """Facts of a PE file. Raises ``BinaryError`` (no PE header, cut short, tables outside the file), ``OSError``."""
    image = open_image(source)
    dependent_load_flags, hybrid = _load_config(image)
    resources = read_resources(image)
    return Binary(
        "pe",
        (
            PeSlice(
                arch=_arch(image.machine, hybrid),
                machine=image.machine,
                is_dll=bool(image.characteristics & IS_DLL),
                imported=read_imports(image) + read_delay_imports(image),
                export_table=read_exports(image),
                linker=image.linker,
                rich=image.rich,
                subsystem=image.subsystem,
                subsystem_version=image.subsystem_version,
                dll_characteristics=image.dll_characteristics,
                dependent_load_flags=dependent_load_flags,
                file_version=resources.file_version,
                product_version=resources.product_version,
                assemblies=resources.assemblies,
                flags=_flags(image, resources, dependent_load_flags),
            ),
        ),
    )


def _load_config(image: Image) -> tuple[int, bool]:
    """(DependentLoadFlags, whether hybrid ARM64EC metadata is there). The structure's first word is its length."""
    rva, directory_size = image.directory(LOAD_CONFIG_DIRECTORY)
    if not rva or directory_size < 4:
        return 0, False
    room = image.room(rva)
    declared = unpack_from("<I", image.at(rva, 4))[0] if room >= 4 else 0
    size = min(declared or directory_size, room, 1024)
    data = image.at(rva, size)
    at = DEPENDENT_LOAD_FLAGS[image.plus]
    flags = unpack_from("<H", data, at)[0] if size >= at + 2 else 0
    hybrid = image.plus and size >= CHPE_METADATA + 8 and unpack_from("<Q", data, CHPE_METADATA)[0] != 0
    return flags, hybrid


def _arch(machine: int, hybrid: bool) -> str:
    if hybrid and machine == AMD64:
        return "arm64ec"
    if hybrid and machine == ARM64:
        return "arm64x"
    return ARCHES.get(machine, f"{machine:#x}")


def _flags(image: Image, resources: Resources, dependent_load_flags: int) -> frozenset[str]:
    words = {word for bit, word in DLL_CHARACTERISTICS.items() if image.dll_characteristics & bit}
    words.add("dll" if image.characteristics & IS_DLL else "executable")
    if image.directory(DELAY_DIRECTORY)[0]:
        words.add("delay-imports")
    if image.directory(TLS_DIRECTORY)[0]:
        words.add("tls")
    if image.directory(CLR_DIRECTORY)[0]:
        words.add("managed")
    if resources.assemblies:
        words.add("side-by-side")
    if not resources.readable:
        words.add("resources-unreadable")
    if dependent_load_flags:
        words.add(f"dependent-load-flags:{dependent_load_flags:#x}")
    return frozenset(words)
