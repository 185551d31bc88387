"""What an extension module shares with others at run time, read from its own bytes (PY-17).

Types of other modules that it subclasses or reaches into, with the size it was compiled for (Cython's
``__Pyx_ImportType`` compares it at import and refuses a smaller object); the ids under which pybind11, nanobind and
Cython keep types that several modules share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource
from abicheck.evidence.code import loads, number_near, text_near
from abicheck.evidence.image import MAX_IMAGE, Image, images
from abicheck.evidence.scan import Around, Pattern, scan

_SIZE_CHECK = b"%.200s.%.200s size changed, may indicate binary incompatibility. Expected "
_NANOBIND_FORMAT = b"__nb_internals_"
_PATTERNS: dict[str, Pattern] = {
    "size": _SIZE_CHECK,
    "pybind11": Around(b"__pybind11_internals_v", re.compile(rb"__pybind11_internals_v[0-9]+[0-9A-Za-z_]*?__(?=\x00)")),
    "nanobind": _NANOBIND_FORMAT,
    "cython": Around(b"\x00_cython_", re.compile(rb"(?<=\x00)_cython_[0-9][0-9a-z_]*(?=\x00)")),
}
# nanobind puts its id together from an ABI tag, a text of its own ("v15_system_libcpp_abi1").
_NANOBIND_TAG = Around(
    b"\x00v", re.compile(rb"(?<=\x00)v[0-9]{1,2}_[a-z0-9_]*(?:abi|cxx|lib|msc|gcc|system)[a-z0-9_]*(?=\x00)")
)


@dataclass(frozen=True, slots=True, order=True)
class TypeSize:
    """A type of another module and the size in bytes that this extension was compiled for."""

    module: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Shared:
    """Ids of shared-type registries, and the foreign types that are size-checked at import."""

    pybind11: tuple[str, ...] = ()
    nanobind: tuple[str, ...] = ()
    cython: tuple[str, ...] = ()
    sizes: tuple[TypeSize, ...] = ()


def shared(source: ByteSource) -> Shared:
    """What one extension shares. Raises ``OSError``. Sizes are read from x86-64 code only and stay empty for others."""
    return recall(source, "shared", lambda: _shared(source), Shared)


def _shared(source: ByteSource) -> Shared:
    hits = scan(source, _PATTERNS)
    sizes: tuple[TypeSize, ...] = ()
    if "size" in hits and source.size <= MAX_IMAGE:
        sizes = type_sizes(source.pread(0, source.size))

    def texts(key: str) -> tuple[str, ...]:
        return tuple(t.decode("ascii") for t in hits.get(key, ()))

    nanobind: tuple[str, ...] = ()
    if "nanobind" in hits:
        nanobind = tuple(t.decode("ascii") for t in scan(source, {"tag": _NANOBIND_TAG}).get("tag", ()))
    return Shared(texts("pybind11"), nanobind, texts("cython"), sizes)


def type_sizes(data: bytes) -> tuple[TypeSize, ...]:
    """Types with sizes that the code passes to Cython's size check, sorted. Of several slices the first that is
    read."""
    for image in images(data):
        found = {*_by_call(image), *_by_message(image)}
        if found:
            return tuple(sorted(found))
    return ()


_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_.]*")


def _name(text: bytes | None) -> str | None:
    return text.decode("ascii") if text is not None and len(text) < 100 and _NAME.fullmatch(text) else None


def _by_call(image: Image) -> Iterator[TypeSize]:
    """``__Pyx_ImportType(module object, module name, type name, size, ...)`` as a call of its own."""
    for position, other in ((3, 2), (2, 3)):
        for at, text in loads(image, position, lambda t: _name(t) is not None and len(t) > 2):
            one, two = _name(text), _name(text_near(image, at, other))
            size = number_near(image, at, 4)
            if one is not None and two is not None and size is not None and 16 <= size < 1 << 14 and size % 8 == 0:
                yield TypeSize(two, one, size) if position == 3 else TypeSize(one, two, size)


def _by_message(image: Image) -> Iterator[TypeSize]:
    """The same check compiled in place: ``PyErr_Format(error, text, module name, type name, size, found)``."""
    if image.windows:
        return  # the size is on the stack there
    for at, _ in loads(image, 2, lambda t: t.startswith(_SIZE_CHECK)):
        module, name = (_name(text_near(image, at, n, copies=False)) for n in (3, 4))
        size = number_near(image, at, 5)
        if module is not None and name is not None and size is not None:
            yield TypeSize(module, name, size)
