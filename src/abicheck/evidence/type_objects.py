"""Sizes of the Python types that a compiled module defines, read from their static descriptions.

A type of C or Cython is a ``PyTypeObject`` or a ``PyType_Spec`` in the module's data: a pointer to its full name
("pkg.mod.Type"), then the size of its objects and of their items. The pointer is filled in when the file is mapped: in
ELF its value stands in a relocation (offset, kind RELATIVE, value) or, with DT_RELR, in its place; in Mach-O in its
place, where a chained fixup keeps other things in the upper bits; in PE in its place, as an absolute address.

Source: CPython Include/cpython/object.h (PyTypeObject), Include/object.h (PyType_Spec); gABI, "Relocation".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource
from abicheck.evidence.image import MAX_IMAGE, Image, images

_NAME = re.compile(rb"(?<=\0)[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)++(?=\0)")
_RELATIVE = (8, 1027)  # R_X86_64_RELATIVE, R_AARCH64_RELATIVE
_CHAINED = (1 << 36) - 1  # the target in a 64-bit chained fixup (mach-o/fixup-chains.h)
_HAS_VERSION_TAG = 1 << 18  # in Py_TPFLAGS_DEFAULT
# Reference counts of static objects: one, or those of objects that are never freed (PEP 683; 3.12 and 3.14).
_COUNTS = (1, 0x3FFFFFFF, 0xFFFFFFFF, 0xC0000000)
SIZES = range(16, 1 << 14)


@dataclass(frozen=True, slots=True, order=True)
class TypeObject:
    """A type's full name, and the bytes of its objects and of each of their items."""

    name: str
    size: int
    item: int


def type_objects(source: ByteSource) -> tuple[TypeObject, ...]:
    """The types that a file describes, sorted; those of 64-bit x86 and ARM files only. Raises ``OSError``."""
    return recall(source, "type-objects", lambda: _type_objects(source), tuple[TypeObject, ...])


def _type_objects(source: ByteSource) -> tuple[TypeObject, ...]:
    if source.size > MAX_IMAGE:
        return ()
    data = source.pread(0, source.size)
    return tuple(sorted({found for image in images(data) for found in _found(image)}))


def _found(image: Image) -> Iterator[TypeObject]:
    names = dict(_names(image))
    base = _image_base(image)
    for segment in image.segments:
        if segment.code and segment.offset:
            continue
        start = segment.offset + -segment.offset % 8
        words = memoryview(image.data)[start : start + (segment.offset + segment.size - start) // 8 * 8].cast("Q")
        for i, word in enumerate(words):
            value = word - base if word >> 40 == base >> 40 else word & _CHAINED
            if value not in names:
                continue
            if i > 1 and words[i - 1] in _RELATIVE:
                place: int | None = image.offset_of(words[i - 2])
            else:
                place = start + 8 * i
            described = _described(image.data, place, names[value]) if place is not None else None
            if described is not None:
                yield described


def _names(image: Image) -> Iterator[tuple[int, str]]:
    for segment in image.segments:
        if not (segment.code and segment.offset):
            for m in _NAME.finditer(image.data, segment.offset, segment.offset + segment.size):
                yield segment.address + m.start() - segment.offset, m[0].decode("ascii")


def _image_base(image: Image) -> int:
    """What a PE file's absolute addresses begin at (PE32+ optional header, ImageBase); 0 for other formats."""
    if image.data[:2] != b"MZ":
        return 0
    (header,) = struct.unpack_from("<I", image.data, 60)
    (base,) = struct.unpack_from("<Q", image.data, header + 24 + 24)
    return int(base)


def _described(data: bytes, place: int, name: str) -> TypeObject | None:
    """The type whose name's pointer is at ``place``, None when something else has that pointer."""
    if place < 24 or place + 40 > len(data):
        return None
    count, _, variable, _, size, item = struct.unpack_from("<QQQQqq", data, place - 24)
    if count & 0xFFFFFFFF in _COUNTS and count >> 48 < 16 and variable == 0 and size in SIZES and 0 <= item < 1 << 12:
        return TypeObject(name, size, item)
    size, item, flags = struct.unpack_from("<iiI", data, place + 8)
    if flags & _HAS_VERSION_TAG and size in SIZES and 0 <= item < 1 << 12:
        return TypeObject(name, size, item)
    return None
