"""PT_NOTE: the build id, and the CPU level an x86 file needs (ELF-48).

Source: glibc 04e750e7 ``sysdeps/x86/dl-prop.h`` ``_dl_process_property_note`` (order of segments: ``elf/dl-load.c``);
gABI "Note Section" (entries are padded to the alignment of their segment).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from abicheck.binary.elf_image import PT_GNU_PROPERTY, PT_NOTE, Image
from abicheck.binary.elf_machines import EM_386, EM_X86_64

NT_GNU_BUILD_ID, NT_GNU_PROPERTY_TYPE_0 = 3, 5
X86_ISA_1_NEEDED = 0xC0008002
MAX_NOTES = 1 << 16


class Notes(NamedTuple):
    build_id: str | None
    isa_needed: int


def read_notes(image: Image) -> Notes:
    """Build id (hex) and ISA bits. Segments are taken from the last to the first, as the loader does."""
    build_id: str | None = None
    isa: int | None = None
    left = 16 * MAX_NOTES
    for segment in reversed(image.segments):
        if segment.type not in (PT_NOTE, PT_GNU_PROPERTY):
            continue
        left -= segment.filesz
        if left < 0:
            break
        if segment.offset + segment.filesz > image.source.size or segment.filesz > MAX_NOTES:
            continue  # notes are optional: a loader that cannot use them goes on without
        data = image.bytes_at(segment.offset, segment.filesz, "notes")
        for kind, content in _gnu_notes(data, image.layout.end, segment.align):
            if kind == NT_GNU_BUILD_ID and segment.type == PT_NOTE:
                build_id = content.hex()
            elif kind == NT_GNU_PROPERTY_TYPE_0 and isa is None and segment.align == image.layout.elf_class // 8:
                isa = _isa(content, image.layout.end, image.layout.elf_class // 8)
    if image.machine not in (EM_X86_64, EM_386):
        isa = 0
    return Notes(build_id, isa or 0)


def _gnu_notes(data: bytes, end: str, align: int) -> Iterator[tuple[int, bytes]]:
    """(type, content) of notes whose owner is GNU."""
    pad = 8 if align == 8 else 4
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(end + "III", data, at)
        content = at + _up(12 + name_size, pad)
        if content + size > len(data):
            return
        if data[at + 12 : at + 12 + name_size] == b"GNU\0":
            yield kind, data[content : content + size]
        at = content + _up(size, pad)


def _isa(content: bytes, end: str, pad: int) -> int:
    """X86_ISA_1_NEEDED of one property array; 0 when it has none or breaks the rules (types ascend, sizes fit)."""
    at = last = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(end + "II", content, at)
        if kind < last or at + 8 + size > len(content):
            return 0
        if kind == X86_ISA_1_NEEDED:
            return int(struct.unpack_from(end + "I", content, at + 8)[0]) if size == 4 else 0
        last = kind
        at += 8 + _up(size, pad)
    return 0


def _up(number: int, unit: int) -> int:
    return (number + unit - 1) // unit * unit
