"""The layout number of a proj.db, read from its bytes (ABI601). SQLite opens the copy in memory and runs one query."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource

MAX_DATABASE = 64 << 20
_QUERY = "SELECT key, value FROM metadata WHERE key LIKE 'DATABASE.LAYOUT.VERSION.%' OR key = 'PROJ.VERSION'"


class ProjLayout(NamedTuple):
    """``major`` and ``minor`` of the layout, None in databases written before PROJ 7.2 numbered it."""

    major: int | None
    minor: int | None
    proj: str


def proj_layout(source: ByteSource) -> ProjLayout | None:
    """The layout of a database, None when the bytes are no such database. Raises ``OSError``."""
    return recall(source, "proj-layout", lambda: _proj_layout(source), ProjLayout | None)


def _proj_layout(source: ByteSource) -> ProjLayout | None:
    if source.size > MAX_DATABASE or source.pread(0, 16) != b"SQLite format 3\0":
        return None
    connection = sqlite3.connect(":memory:")
    try:
        data = bytearray(source.pread(0, source.size))
        data[18:20] = b"\x01\x01"  # a copy in memory has no write-ahead log
        connection.deserialize(bytes(data))
        rows = dict(connection.execute(_QUERY))
    except (sqlite3.Error, OverflowError):
        return None
    finally:
        connection.close()

    def number(key: str) -> int | None:
        text = str(rows.get(key, ""))
        return int(text) if text.isdigit() else None

    return ProjLayout(
        number("DATABASE.LAYOUT.VERSION.MAJOR"),
        number("DATABASE.LAYOUT.VERSION.MINOR"),
        str(rows.get("PROJ.VERSION", "")),
    )
