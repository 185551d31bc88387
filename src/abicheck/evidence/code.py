"""Constants beside known texts in x86-64 code: the size and number arguments of calls whose text arguments identify
them.

A compiler loads a call's arguments within a few instructions of one another; a text's address comes from
``lea reg, [rip+distance]``, a small number from ``mov reg, imm32``. That is enough to read what a call was given
without disassembling anything else. Other machines give nothing here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from abicheck.evidence.image import Image

# lea reg, [rip+disp32] and mov reg32, imm32 by argument position, for the two calling conventions.
_LEA = {
    False: {1: b"\x48\x8d\x3d", 2: b"\x48\x8d\x35", 3: b"\x48\x8d\x15", 4: b"\x48\x8d\x0d"},
    True: {1: b"\x48\x8d\x0d", 2: b"\x48\x8d\x15", 3: b"\x4c\x8d\x05", 4: b"\x4c\x8d\x0d"},
}
_MOV = {
    False: {3: b"\xba", 4: b"\xb9", 5: b"\x41\xb8"},
    True: {3: b"\x41\xb8", 4: b"\x41\xb9"},
}
# Register numbers of the arguments (rdi 7, rsi 6, rdx 2, rcx 1, r8 8, r9 9).
_ARGUMENT = {False: {1: 7, 2: 6, 3: 2, 4: 1}, True: {1: 1, 2: 2, 3: 8, 4: 9}}
_CALL = re.compile(rb"\xe8....|\xff\x15....", re.DOTALL)
NEAR = 40
KEPT = 4096  # how far back a kept address is looked for


def loads(
    image: Image, position: int, wanted: Callable[[bytes], bool], longest: int = 256
) -> Iterator[tuple[int, bytes]]:
    """(file offset, text) of instructions that load a wanted text as the call's n-th argument (1-based). Texts of
    ``longest`` bytes and more are not seen."""
    if image.machine != "x86_64":
        return
    opcode = _LEA[image.windows][position]
    texts: dict[int, bytes | None] = {}  # most addresses are loaded many times
    for segment in image.code:
        end = segment.offset + segment.size
        shift = segment.address - segment.offset + 7
        at = image.data.find(opcode, segment.offset, end)
        while 0 <= at <= end - 7:
            target = at + shift + int.from_bytes(image.data[at + 3 : at + 7], "little", signed=True)
            if target not in texts:
                text = image.text_at(target, longest)
                texts[target] = text if text is not None and wanted(text) else None
            found = texts[target]
            if found is not None:
                yield at, found
            at = image.data.find(opcode, at + 1, end)


def text_near(image: Image, at: int, position: int, *, copies: bool = True) -> bytes | None:
    """The text given as the n-th argument of the same call as the instruction at ``at``; None when none is seen.

    Either its address is loaded right there, or it is copied from a register that was loaded before (compilers keep an
    address that several calls use). ``copies`` False: only the former, where control flow may come from elsewhere.
    """
    found = _nearest(image.data, at, _LEA[image.windows][position], 3, size=7)
    if found is None:
        return _copied_text(image, at, _ARGUMENT[image.windows][position]) if copies else None
    return _target(image, *found)


def _target(image: Image, offset: int, distance: int) -> bytes | None:
    segment = next((s for s in image.code if s.offset <= offset < s.offset + s.size), None)
    return image.text_at(segment.address + (offset - segment.offset) + 7 + distance) if segment else None


def _copied_text(image: Image, at: int, register: int) -> bytes | None:
    window = image.data[max(0, at - NEAR) : at + NEAR]
    for source in range(16):
        copy = bytes((0x48 | (source >> 3) << 2 | register >> 3, 0x89, 0xC0 | (source & 7) << 3 | (register & 7)))
        if source != register and copy in window:
            lea = bytes((0x48 | (source >> 3) << 2, 0x8D, (source & 7) << 3 | 5))
            k = image.data.rfind(lea, max(0, at - KEPT), at + NEAR)
            return _target(image, k, struct.unpack_from("<i", image.data, k + 3)[0]) if k >= 0 else None
    return None


def number_near(image: Image, at: int, position: int) -> int | None:
    """The number loaded as the n-th argument of the same call as the instruction at ``at``; None when none is seen."""
    opcode = _MOV[image.windows].get(position)
    if opcode is None:
        return None
    found = _nearest(image.data, at, opcode, len(opcode), size=len(opcode) + 4)
    return found[1] if found is not None and 0 <= found[1] < 1 << 16 else None


def _nearest(data: bytes, at: int, opcode: bytes, operand: int, size: int) -> tuple[int, int] | None:
    """(offset, signed 32-bit operand) of the opcode nearest to ``at`` that belongs to the same call.

    What stands behind, up to the call, is preferred; what stands before may belong to an earlier call, so the search
    backwards ends at a call instruction.
    """
    behind = data[at + 7 : at + 7 + NEAR]
    call = _CALL.search(behind)
    k = behind.find(opcode, 0, call.start() if call else len(behind))
    if k >= 0 and k + size <= len(behind):
        return at + 7 + k, struct.unpack_from("<i", behind, k + operand)[0]
    start = max(0, at - NEAR)
    before = data[start:at]
    last = None
    for m in _CALL.finditer(before):
        last = m
    k = before.rfind(opcode, last.end() if last else 0)
    if k >= 0 and k + size <= len(before):
        return start + k, struct.unpack_from("<i", before, k + operand)[0]
    return None
