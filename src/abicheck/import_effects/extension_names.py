"""Names of modules that compiled code carries: what an extension may import from C.

Hand-written C and Cython's type imports call ``PyImport_ImportModule("scipy.linalg.cython_blas")`` or
``PyCapsule_Import("datetime.datetime_CAPI")``: the name is a NUL-terminated string in the file. ``import`` statements
of Cython source leave their names in the module's table of strings: NUL-terminated up to Cython 3.0, one text after
that (``string_tables``). Whether and when the code that uses a name runs cannot be seen, so such imports are possible,
never certain.
"""

from __future__ import annotations

import functools
import hashlib
import re
import struct

from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource
from abicheck.evidence.string_tables import table_strings

CHUNK = 4 << 20
PT_LOAD, PF_X = 1, 1
MAX_SCAN = 24 << 20  # bytes of one file; names of modules stand among the first read-only data
MAX_TABLE_FILE = 32 << 20  # bytes of a file whose packed string tables are looked for
_WORD = re.compile(rb"\0([A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)*+)(?=\0)")
LONGEST = 200  # bytes of a name
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z", re.ASCII)
_CAPSULE = re.compile(r"_?C?_?\w*API\w*\Z")  # the attribute of a C-API capsule: the module before it is imported


def names_in(source: ByteSource, bare: frozenset[str]) -> tuple[str, ...]:
    """Dotted names in a file, and those names of ``bare`` that stand there, each once, about in file order.

    Raises ``OSError``. ``bare`` limits what counts as a name without a dot: any word of the code could be one. (From a
    snapshot: those of the environment as it was, which all stand in the list then.)
    """
    return recall(source, "c-names", lambda: _names_in(source, bare), tuple[str, ...], _digest(bare))


@functools.lru_cache(maxsize=256)
def _digest(names: frozenset[str]) -> str:
    return hashlib.blake2b("\0".join(sorted(names)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _names_in(source: ByteSource, bare: frozenset[str]) -> tuple[str, ...]:
    out: dict[str, None] = {}
    wanted = {n.encode() for n in bare}
    packed = False
    for begin, end in _without_code(source, min(source.size, MAX_SCAN)):
        at, carry = begin, b"\0"
        while at < end:
            chunk = source.pread(at, min(CHUNK, end - at))
            if not chunk:
                break
            at += len(chunk)
            data = carry + chunk
            for name in _WORD.findall(data):
                if (b"." in name or name in wanted) and 1 < len(name) <= LONGEST:
                    out[_module_of(name.decode("ascii"))] = None
            packed = packed or b"\0zlib\0" in data or b"LZSS string data" in data
            carry = data[-600:]
    if packed and source.size <= MAX_TABLE_FILE:
        for text in table_strings(source.pread(0, source.size), bare):
            if _NAME.match(text) and ("." in text or text in bare):
                out[_module_of(text)] = None
    return tuple(out)


def _without_code(source: ByteSource, size: int) -> list[tuple[int, int]]:
    """Stretches of a file that can hold text: all but the segments of an ELF file that hold nothing except code.

    Linkers that keep code apart (``-z separate-code``) put it into an executable segment of its own; others put
    read-only data and the file's header there too, at offset 0 (gABI, "Program Header").
    """
    head = source.pread(0, 64)
    if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
        return [(0, size)]
    (table,) = struct.unpack_from("<Q", head, 32)
    width, count = struct.unpack_from("<HH", head, 54)
    rows = source.pread(table, width * count) if width >= 56 else b""
    code = []
    for at in range(0, len(rows) - 55, width or 56):
        kind, flags, offset, _, _, length = struct.unpack_from("<IIQQQQ", rows, at)
        if kind == PT_LOAD and flags & PF_X and offset:
            code.append((offset, offset + length))
    out, done = [], 0
    for first, after in sorted(code):
        if done < first:
            out.append((done, min(first, size)))
        done = max(done, after)
    return [(a, b) for a, b in (*out, (done, size)) if a < b]


def _module_of(name: str) -> str:
    """A capsule's name without its attribute."""
    module, _, last = name.rpartition(".")
    return module if module and "API" in last and _CAPSULE.match(last) else name
