"""C++ classes that modules of pybind11 and nanobind share, or do not, read from the modules alone (PY-17).

Such a module keeps the classes that it shows to Python in a registry that all modules with the same id use. The id
names the layout of the registry, the compiler and the C++ library. A module with another id does not know those
classes: it can neither return nor take an object of one nor derive from one. pybind11 2.13.7 and later ask a foreign
object itself (``_pybind11_conduit_v1_``) when it is an argument, which works between two registries of one compiler.

That one module works with another's classes is seen from three things together: its code imports the other by name, and
both hold the names of the same classes (``typeid``). Only x86-64 ELF code is followed.

Source: pybind11 include/pybind11/detail/internals.h, conduit/pybind11_platform_abi_id.h, detail/cpp_conduit.h;
nanobind src/nb_internals.cpp.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource
from abicheck.evidence.code import loads
from abicheck.evidence.extensions import shared
from abicheck.evidence.image import Image, images
from abicheck.evidence.scan import scan

_DOTTED = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_CLASS = re.compile(rb"(?<=\0)N[0-9]\w{3,300}E(?=\0)")
# Namespaces of libraries that many projects compile into themselves and show to nobody.
_PRIVATE = re.compile(
    rb"N(?:8pybind11|8nanobind|9__gnu_cxx|10__cxxabiv1|12_GLOBAL__N_1|3fmt|8nlohmann|5Eigen|5boost|4absl|6google|3tbb"
    rb"|6spdlog|3re2)"
)
_CONDUIT = b"_pybind11_conduit_v1_"
_LAYOUT = re.compile(r"__pybind11_internals_v\d+")
_CALL = re.compile(rb"\xe8....|\xff\x15....", re.DOTALL)
_JUMP = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\xf2?\xff\x25(....)", re.DOTALL)
NEAR = 40  # bytes from the load of an argument to its call
BODY = 48  # bytes in which a function that only passes its argument on calls the other
LARGEST = 256 << 20
PT_DYNAMIC = 2
STRTAB, SYMTAB, RELA, RELASZ, PLTRELSZ, JMPREL = 5, 6, 7, 8, 2, 23


@dataclass(frozen=True, slots=True)
class BoundTypes:
    """What a module shares. ``ids``: its registries; ``conduit``: it asks and answers foreign objects; ``imports``:
    modules that its own code imports by name; ``classes``: mangled names of classes it knows."""

    ids: tuple[str, ...]
    conduit: bool = False
    imports: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """pybind11 or nanobind."""
        return "pybind11" if self.ids[0].startswith("__pybind11") else "nanobind"

    def shares(self, other: BoundTypes) -> bool:
        """Whether objects of one can reach the other at all."""
        if set(self.ids) & set(other.ids):
            return True
        platforms = {_LAYOUT.sub("", i) for i in self.ids} & {_LAYOUT.sub("", i) for i in other.ids}
        return self.conduit and other.conduit and bool(platforms)


def bound_types(source: ByteSource) -> BoundTypes | None:
    """What a file of pybind11 or nanobind shares; None for others. Raises ``OSError``."""
    return recall(source, "bound-types", lambda: _bound_types(source), BoundTypes | None)


def _bound_types(source: ByteSource) -> BoundTypes | None:
    found = shared(source)
    ids = found.pybind11 or found.nanobind
    if not ids:
        return None
    conduit = bool(scan(source, {"conduit": _CONDUIT}))
    if source.size > LARGEST:
        return BoundTypes(ids, conduit)
    data = source.pread(0, source.size)
    imports = sorted({name for image in images(data) for name in _imports(image)})
    pieces = [(i.data, s) for i in images(data) for s in i.segments if not (s.code and s.offset)]
    named = (c for of, s in pieces for c in _CLASS.findall(of, s.offset, s.offset + s.size))
    classes = {c for c in named if not _PRIVATE.match(c)}
    return BoundTypes(ids, conduit, tuple(imports), tuple(sorted(c.decode("ascii") for c in classes)))


def _imports(image: Image) -> Iterator[str]:
    """Names that the code gives to ``PyImport_ImportModule``, itself or through a function that passes them on."""
    slots = _slots(image, b"PyImport_ImportModule")
    if not slots or image.windows:
        return
    for position in (1, 2):
        for at, name in loads(image, position, lambda t: len(t) > 2 and _DOTTED.fullmatch(t) is not None):
            call = _CALL.search(image.data, at + 7, at + 7 + NEAR)
            if call is not None and _leads_to(image, call, slots, direct=position == 1):
                yield name.decode("ascii")


def _leads_to(image: Image, call: re.Match[bytes], slots: frozenset[int], *, direct: bool) -> bool:
    """Whether a call ends in one of the functions whose addresses the loader writes into ``slots``."""
    target = _target(image, call)
    if target is None or call[0][:1] == b"\xff":
        return direct and target in slots
    jump = _JUMP.match(image.data, target)
    if jump is not None:
        return direct and _address(image, jump.end()) + struct.unpack("<i", jump[1])[0] in slots
    inner = _CALL.search(image.data, target, target + BODY)
    return inner is not None and inner[0][:1] == b"\xe8" and _through(image, inner, slots)


def _through(image: Image, call: re.Match[bytes], slots: frozenset[int]) -> bool:
    target = _target(image, call)
    jump = _JUMP.match(image.data, target) if target is not None else None
    return jump is not None and _address(image, jump.end()) + struct.unpack("<i", jump[1])[0] in slots


def _target(image: Image, call: re.Match[bytes]) -> int | None:
    """File offset of a called function; for a call through memory the address of the slot."""
    if call[0][:1] == b"\xff":
        return _address(image, call.end()) + int(struct.unpack_from("<i", call[0], 2)[0])
    return image.offset_of(_address(image, call.end()) + struct.unpack_from("<i", call[0], 1)[0])


def _address(image: Image, offset: int) -> int:
    segment = next(s for s in image.segments if s.offset <= offset - 1 < s.offset + s.size)
    return segment.address + offset - segment.offset


def _slots(image: Image, symbol: bytes) -> frozenset[int]:
    """Addresses into which the loader writes that of a function (gABI: DT_JMPREL and DT_RELA, by symbol)."""
    table = _dynamic(image)
    places = {key: image.offset_of(table[key]) for key in (STRTAB, SYMTAB, RELA, JMPREL) if key in table}
    strings, symbols = places.get(STRTAB), places.get(SYMTAB)
    if strings is None or symbols is None:
        return frozenset()
    out = set()
    for start, size in ((places.get(JMPREL), table.get(PLTRELSZ, 0)), (places.get(RELA), table.get(RELASZ, 0))):
        if start is None:
            continue
        for place, info, _ in struct.iter_unpack("<QQq", image.data[start : start + size - size % 24]):
            if info >> 32:
                (name,) = struct.unpack_from("<I", image.data, symbols + 24 * (info >> 32))
                if image.data.startswith(symbol + b"\0", strings + name):
                    out.add(place)
    return frozenset(out)


def _dynamic(image: Image) -> dict[int, int]:
    """Tags of an ELF file's dynamic section; none for others."""
    data = image.data
    if data[:4] != b"\x7fELF":
        return {}
    (table,) = struct.unpack_from("<Q", data, 32)
    width, count = struct.unpack_from("<HH", data, 54)
    for n in range(count):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", data, table + n * width)
        if kind == PT_DYNAMIC:
            return dict(reversed(list(struct.iter_unpack("<qQ", data[offset : offset + size - size % 16]))))
    return {}
