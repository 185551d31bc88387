"""How many bytes the first caller allocates for an object that ``static T *object = new T`` keeps, from x86-64 code.

The pointer that such a function keeps has one size in every build; what it points to has not. The compiler writes that
size beside the call that makes the object: after ``__cxa_guard_acquire(guard)`` comes ``mov edi, size`` and a call of
``operator new``. Both calls go through the global offset table, whose words the relocations name.

Source: Itanium C++ ABI 3.3.3 (one-time construction); psABI x86-64, "Procedure Linkage Table". Other machines, and
files whose C++ runtime is inside them, give nothing here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping

from abicheck.binary.elf_image import Image as Frame
from abicheck.binary.elf_image import open_image, read_dynamic
from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource
from abicheck.errors import BinaryError
from abicheck.evidence.image import MAX_IMAGE, Image, images

_STRTAB, _SYMTAB, _TABLES = 5, 6, ((7, 8), (23, 2))  # DT_RELA and DT_JMPREL with their sizes
_GLOB_DAT, _JUMP_SLOT = 6, 7
_ACQUIRE, _NEW, _GUARD = b"__cxa_guard_acquire", b"_Znwm", b"_ZGV"
# mov reg, [rip+disp32]: the address of a guard, from its word of the table.
_LOAD = re.compile(rb"[\x48\x4c]\x8b[\x05\x0d\x15\x1d\x25\x2d\x35\x3d](?=....)", re.DOTALL)
_CALL = re.compile(rb"(?=\xe8....|\xff\x15....)", re.DOTALL)  # also those that begin inside of what looks like another
# test eax, eax; je; mov edi, imm32. Unoptimised code makes a truth value first, and sets a flag for its clean-up.
_FIRST = re.compile(
    rb"\x85\xc0(?:\x0f\x95\xc0\x84\xc0)?(?:\x74.|\x0f\x84....)(?:\xbb....|\x41[\xb8-\xbf]....)?\xbf(....)", re.DOTALL
)
_RDI = 7
REACH = 1024  # the slow path of a function stands behind the fast one
MANY = 1 << 14  # uses of guards; a file with more was made to keep us busy
NEAR = 40  # no register is kept in between


def first_objects(source: ByteSource) -> Mapping[str, int]:
    """Bytes allocated for the objects of a file, by the mangled name of their guard; only where every place in the code
    says the same. Raises ``OSError``."""
    return recall(source, "first-objects", lambda: _first_objects(source), dict[str, int])


def _first_objects(source: ByteSource) -> dict[str, int]:
    if source.size > MAX_IMAGE or source.pread(0, 6) != b"\x7fELF\x02\x01":
        return {}
    try:
        words = _words(open_image(source))
    except BinaryError:
        return {}  # told by who reads the file's tables
    if not any(name.startswith(_GUARD) for name in words.values()):
        return {}
    said: dict[str, set[int | None]] = {}
    for image in images(source.pread(0, source.size)):
        if image.machine == "x86_64":
            for guard, size in _said(image, words):
                said.setdefault(guard.decode("ascii", "replace"), set()).add(size)
    single = ((guard, next(iter(sizes))) for guard, sizes in said.items() if len(sizes) == 1)
    return {guard: size for guard, size in sorted(single) if size is not None}


def _words(frame: Frame) -> dict[int, bytes]:
    """Address of a word of the global offset table -> the symbol it will hold; only what matters here."""
    dynamic = read_dynamic(frame)
    if dynamic is None or _SYMTAB not in dynamic.tags or _STRTAB not in dynamic.tags:
        return {}
    symbols, (strings, room) = dynamic.tags[_SYMTAB], frame.place(dynamic.tags[_STRTAB], "string table")
    text = frame.bytes_at(strings, room, "string table")
    out: dict[int, bytes] = {}
    for table, length in _TABLES:
        if table not in dynamic.tags or length not in dynamic.tags:
            continue
        raw = frame.table(dynamic.tags[table], dynamic.tags[length] // 24 * 24, "relocations")
        for address, info, _ in struct.iter_unpack("<QQq", raw):
            if info & 0xFFFFFFFF in (_GLOB_DAT, _JUMP_SLOT):
                (at,) = struct.unpack("<I", frame.table(symbols + 24 * (info >> 32), 4, "symbol table"))
                name = text[at : max(at, text.find(b"\0", at))]
                if name.startswith(_GUARD) or name in (_ACQUIRE, _NEW):
                    out[address] = name
    return out


def _said(image: Image, words: Mapping[int, bytes]) -> Iterator[tuple[bytes, int | None]]:
    """(guard, bytes) of each place that makes an object; None where something else is done first."""
    left = MANY
    for segment in image.code:
        shift, end = segment.address - segment.offset, segment.offset + segment.size
        for m in _LOAD.finditer(image.data, segment.offset, end):
            (distance,) = struct.unpack_from("<i", image.data, m.end())
            guard = words.get(m.end() + 4 + shift + distance, b"")
            if guard.startswith(_GUARD):
                left -= 1
                if left < 0:
                    return
                register = (m[0][0] & 4) << 1 | m[0][2] >> 3
                after = _acquired(image, words, m.end() + 4, shift, register)
                if after is not None:
                    yield guard, _allocated(image, words, after, shift)


def _acquired(image: Image, words: Mapping[int, bytes], at: int, shift: int, register: int) -> int | None:
    """Where the code goes on after ``__cxa_guard_acquire`` of what the register holds since ``at``."""
    copy = bytes((0x48 | (register >> 3) << 2, 0x89, 0xC0 | (register & 7) << 3 | _RDI))
    for call, length in _calls(image, words, at, REACH, shift, _ACQUIRE):
        if register == _RDI and call - at < NEAR:
            return call + length
        if copy in image.data[max(at, call - 12) : call]:
            return call + length
    return None


def _allocated(image: Image, words: Mapping[int, bytes], at: int, shift: int) -> int | None:
    """The size with which ``operator new`` is called at ``at``, when that is the first thing done."""
    m = _FIRST.match(image.data, at)
    called = m is not None and any(call == m.end() for call, _ in _calls(image, words, m.end(), 1, shift, _NEW))
    return int.from_bytes(m[1], "little") if m is not None and called else None


def _calls(
    image: Image, words: Mapping[int, bytes], at: int, reach: int, shift: int, wanted: bytes
) -> Iterator[tuple[int, int]]:
    """(file offset, length) of the calls of a function between ``at`` and ``at + reach``."""
    for m in _CALL.finditer(image.data, at, at + reach + 6):
        if m.start() >= at + reach:
            return
        length = 5 if image.data[m.start()] == 0xE8 else 6
        end = m.start() + length
        target = end + shift + struct.unpack_from("<i", image.data, end - 4)[0]
        word: int | None = target if length == 6 else _jumps_by(image, target)
        if word is not None and words.get(word) == wanted:
            yield m.start(), length


def _jumps_by(image: Image, address: int) -> int | None:
    """The word of the table by which a stub of the procedure linkage table jumps; None for other code."""
    at = image.offset_of(address)
    if at is None:
        return None
    skipped = 4 if image.data[at : at + 4] == b"\xf3\x0f\x1e\xfa" else 0  # endbr64
    skipped += image.data[at + skipped : at + skipped + 1] == b"\xf2"  # bnd
    jump = image.data[at + skipped : at + skipped + 6]
    if len(jump) < 6 or jump[:2] != b"\xff\x25":
        return None
    return address + skipped + 6 + int(struct.unpack_from("<i", jump, 2)[0])
