"""Names of modules that compiled code carries: what an extension may import from C.

Hand-written C and Cython's type imports call ``PyImport_ImportModule("scipy.linalg.cython_blas")`` or
``PyCapsule_Import("datetime.datetime_CAPI")``: the name is a NUL-terminated string in the file. ``import`` statements of
Cython source leave their names in the module's table of strings: NUL-terminated up to Cython 3.0, later one text without
separators beside a table of lengths, usually compressed with zlib. Whether and when the code that uses a name runs
cannot be seen, so such imports are possible, never certain.

Source of the formats: Cython's ``Cython/Compiler/Code.py`` (string tables) and ``Cython/Utility/StringTools.c``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from abicheck.binary.source import ByteSource

CHUNK = 4 << 20
MAX_SCAN = 96 << 20  # bytes of one file; names of modules stand among the first read-only data
MAX_TABLE = 8 << 20  # bytes of one string table, unpacked
_DOTTED = re.compile(rb"\0([A-Za-z_]\w{0,60}(?:\.[A-Za-z_]\w{0,60}){1,8})(?=\0)")
_BARE = re.compile(rb"\0([A-Za-z_]\w{0,40})(?=\0)")
_PACKED = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z", re.ASCII)
_CAPSULE = re.compile(r"_?C?_?\w*API\w*\Z")  # the attribute of a C-API capsule: the module before it is imported


def names_in(source: ByteSource, bare: frozenset[str]) -> tuple[str, ...]:
    """Dotted names in a file, and those names of ``bare`` that stand there, each once, in file order.

    Raises ``OSError``. ``bare`` limits what counts as a name without a dot: any word of the code could be one.
    """
    out: dict[str, None] = {}
    wanted = {n.encode() for n in bare}
    carry = b"\0"
    for data in _chunks(source):
        data = carry + data
        found = [(m.start(), m.group(1)) for m in _DOTTED.finditer(data)]
        found += [(m.start(), m.group(1)) for m in _BARE.finditer(data) if m.group(1) in wanted]
        for _, name in sorted(found):
            out[_module_of(name.decode("ascii"))] = None
        carry = data[-600:]
    if "zlib" in out or source.size < CHUNK:
        for text in _table_strings(source):
            if _NAME.match(text) and ("." in text or text in bare):
                out[_module_of(text)] = None
    return tuple(out)


def _module_of(name: str) -> str:
    """A capsule's name without its attribute."""
    module, _, last = name.rpartition(".")
    return module if module and "API" in last and _CAPSULE.match(last) else name


def _chunks(source: ByteSource) -> Iterator[bytes]:
    at, end = 0, min(source.size, MAX_SCAN)
    while at < end:
        data = source.pread(at, min(CHUNK, end - at))
        if not data:
            return
        at += len(data)
        yield data


def _table_strings(source: ByteSource) -> Iterator[str]:
    """Strings of Cython's packed tables: a zlib stream followed (aligned) by the lengths of its strings, 4 bytes each."""
    at = 0
    for data in _chunks(source):
        for match in _PACKED.finditer(data):
            start = at + match.start()
            unpacked = _unpack(source, start)
            if unpacked is not None:
                yield from _split(unpacked[0], source.pread(start + unpacked[1], 4 << 16))
        at += len(data)


def _unpack(source: ByteSource, start: int) -> tuple[bytes, int] | None:
    """(text, packed size) of a complete zlib stream of some length at ``start``."""
    stream = zlib.decompressobj()
    text, at = b"", start
    try:
        while not stream.eof and len(text) < MAX_TABLE:
            data = source.pread(at, 1 << 16 if at > start else 512)
            if not data:
                return None
            text += stream.decompress(data, MAX_TABLE)
            at += len(data)
    except zlib.error:
        return None
    return (text, at - start - len(stream.unused_data)) if stream.eof and len(text) > 64 else None


def _split(text: bytes, after: bytes) -> Iterator[str]:
    """The strings of a table, given what follows it in the file."""
    for skip in range(0, 68):
        if skip + 4 > len(after):
            return
        lengths = memoryview(after[skip : skip + (len(after) - skip) // 4 * 4]).cast("I")
        total = count = 0
        for length in lengths:
            if length > len(text) or total >= len(text):
                break
            total += length
            count += 1
        if total == len(text) and count > 8 and lengths[0]:
            at = 0
            for length in lengths[:count]:
                yield text[at : at + length].decode("utf-8", "replace")
                at += length
            return
