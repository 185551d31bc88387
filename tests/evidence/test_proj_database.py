"""Layout numbers of a proj.db, from bytes."""

import sqlite3

from abicheck.binary.source import BytesSource
from abicheck.evidence.proj_database import ProjLayout, proj_layout


def database(rows: dict[str, str]) -> bytes:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE metadata(key TEXT NOT NULL PRIMARY KEY, value TEXT)")
    db.executemany("INSERT INTO metadata VALUES (?, ?)", rows.items())
    db.commit()
    return bytes(db.serialize())


def test_layout() -> None:
    data = database(
        {"DATABASE.LAYOUT.VERSION.MAJOR": "1", "DATABASE.LAYOUT.VERSION.MINOR": "2", "PROJ.VERSION": "9.1.1"}
    )
    assert proj_layout(BytesSource("proj.db", data)) == ProjLayout(1, 2, "9.1.1")


def test_old_database_has_no_numbers() -> None:
    assert proj_layout(BytesSource("proj.db", database({"EPSG.VERSION": "v9.8"}))) == ProjLayout(None, None, "")


def test_other_files() -> None:
    assert proj_layout(BytesSource("proj.db", b"not a database")) is None
    empty = sqlite3.connect(":memory:")
    empty.execute("CREATE TABLE other(x)")
    assert proj_layout(BytesSource("proj.db", bytes(empty.serialize()))) is None
    assert proj_layout(BytesSource("proj.db", database({})[:1000])) is None
