"""Names of modules that compiled code carries: what an extension may import from C.

Cython and hand-written C import by ``PyImport_ImportModule("scipy.linalg.cython_blas")``: the name is a NUL-terminated
string in the file. Whether and when that code runs cannot be seen, so such imports are possible, never certain.
"""

from __future__ import annotations

import re

from abicheck.binary.source import ByteSource

CHUNK = 4 << 20
MAX_SCAN = 96 << 20  # bytes of one file; names of modules stand among the first read-only data
_NAME = re.compile(rb"\0([A-Za-z_]\w{0,60}(?:\.[A-Za-z_]\w{0,60}){0,8})(?=\0)")


def names_in(source: ByteSource, bare: frozenset[bytes]) -> tuple[str, ...]:
    """NUL-terminated dotted names in a file, and those of ``bare``, each once, in file order. Raises ``OSError``."""
    out: dict[str, None] = {}
    at, carry = 0, b"\0"
    end = min(source.size, MAX_SCAN)
    while at < end:
        data = source.pread(at, min(CHUNK, end - at))
        if not data:
            break
        at += len(data)
        data = carry + data
        for match in _NAME.finditer(data):
            name = match.group(1)
            if b"." in name or name in bare:
                out[name.decode("ascii")] = None
        carry = data[-600:]
    return tuple(out)
