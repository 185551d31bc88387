"""One bounded pass over a file's bytes for many patterns at once.

Every pattern has a literal that must occur; literals are looked for with ``bytes.find``, which runs at memory speed
(a regular expression runs at a hundredth of it), and an expression is tried only around a literal that was found.
Pieces overlap, so that what straddles a border is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from abicheck.binary.source import ByteSource

PIECE = 8 << 20
OVERLAP = 4096
REACH = 256


@dataclass(frozen=True, slots=True)
class Around:
    """An expression to be tried on the bytes around each occurrence of ``anchor`` (``REACH`` bytes to either side)."""

    anchor: bytes
    expression: re.Pattern[bytes]


Pattern = bytes | Around


def scan(
    source: ByteSource, patterns: Mapping[str, Pattern], *, limit: int = 4, piece: int = PIECE
) -> dict[str, tuple[bytes, ...]]:
    """Which patterns occur in a file, each with up to ``limit`` different texts in file order.

    A literal gives itself; an expression its first group, or the whole match when it has none. Patterns that do not
    occur are absent from the result. Raises ``OSError`` when the source cannot be read.
    """
    found: dict[str, list[bytes]] = {name: [] for name in patterns}
    todo = dict(patterns)
    offset = 0
    tail = b""
    while todo and offset < source.size:
        data = source.pread(offset, piece)
        if not data:
            break
        window = tail + data
        for name, pattern in list(todo.items()):
            for text in _texts(window, pattern):
                if text not in found[name]:
                    found[name].append(text)
                if len(found[name]) >= (1 if isinstance(pattern, bytes) else limit):
                    del todo[name]
                    break
        offset += len(data)
        tail = window[-OVERLAP:]
    return {name: tuple(texts) for name, texts in found.items() if texts}


def _texts(window: bytes, pattern: Pattern) -> Iterator[bytes]:
    if isinstance(pattern, bytes):
        if pattern in window:
            yield pattern
        return
    at = window.find(pattern.anchor)
    while at >= 0:
        start, end = max(0, at - REACH), at + len(pattern.anchor) + REACH
        for m in pattern.expression.finditer(window, start, end):
            text = m[1] if pattern.expression.groups else m[0]
            if text is not None:
                yield text
        at = window.find(pattern.anchor, at + len(pattern.anchor))
