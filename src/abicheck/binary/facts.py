"""The shape of what is read from a binary: plain facts, no judgement.

A *slice* is what one process would map: an ELF file has one, a PE file has one, a Mach-O file has one per
architecture. All slices answer the questions of :class:`Slice` (what ``inspect`` prints, ``inspect-1.schema.json``,
and what platform-independent rules may ask). What only one format has stands in that format's own class, which
lives beside its reader (``elf.ElfSlice``, ``macho.MachoSlice``, ``pe.PeSlice``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Format = Literal["elf", "macho", "pe"]
NeedKind = Literal["required", "weak", "reexport", "upward", "delay"]


@dataclass(frozen=True, slots=True)
class Need:
    """One dependency entry, in the file's own order. ``name`` is as stored."""

    name: str
    kind: NeedKind = "required"


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """A symbol that the file wants. ``library`` as ``inspect`` prints it; ``name`` is None for imports by ordinal."""

    name: str | None
    version: str | None = None
    library: str | None = None
    weak: bool = False
    ordinal: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Export:
    """A symbol that the loader would find in the file. ELF ``binding``: global, weak, unique. PE ``forward``:
    DLL.name."""

    name: str | None
    version: str | None = None
    default: bool = True
    binding: str = "global"
    type: str = "notype"
    ordinal: int | None = None
    forward: str | None = None


class Slice(Protocol):
    """What every format can say. Cheap members are plain attributes; symbol lists are decoded when asked for."""

    @property
    def format(self) -> Format: ...
    @property
    def arch(self) -> str:
        """x86_64, i686, aarch64, armv7l, ppc64le, s390x, riscv64 (ELF); x86_64, x86_64h, arm64, arm64e, i386 (Mach-O);
        x86_64, i386, arm64, arm64ec, arm64x (PE); else the machine number as text."""

    @property
    def identity(self) -> str | None:
        """DT_SONAME, LC_ID_DYLIB, or the export directory's DLL name."""

    @property
    def needs(self) -> tuple[Need, ...]: ...
    @property
    def rpath(self) -> tuple[str, ...]: ...
    @property
    def runpath(self) -> tuple[str, ...]: ...
    @property
    def flags(self) -> frozenset[str]: ...
    @property
    def floors(self) -> dict[str, str]:
        """Greatest version asked of each family (GLIBC, GLIBCXX, CXXABI, GCC ...), or {"macos": "11.0"}, {"msvc":
        "14.40"}."""

    def imports(self) -> list[Import]: ...
    def exports(self) -> list[Export]: ...


@dataclass(frozen=True, slots=True)
class Binary:
    """One file: its format and its slices (at least one)."""

    format: Format
    slices: tuple[Slice, ...]

    def slice_for(self, arch: str) -> Slice | None:
        """The slice of exactly that architecture, or None. Loaders with softer rules choose for themselves."""
        return next((s for s in self.slices if s.arch == arch), None)
