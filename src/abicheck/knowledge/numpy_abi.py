"""NumPy's C-ABI by release (``numpy_abi.toml``, PY-16): feature numbers and object sizes.

Versions are release tuples: (1, 26), (2, 0). What is later than the table knows is never guessed downwards.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

Release = tuple[int, int]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("abicheck.knowledge").joinpath("numpy_abi.toml").read_text("utf-8"))


def release(version: str) -> Release | None:
    """Major and minor number of a version text, None when it has none."""
    m = re.match(r"(\d+)\.(\d+)", version)
    return (int(m[1]), int(m[2])) if m else None


def feature_level(numpy: Release) -> int | None:
    """The C-API feature number that this NumPy reports; None for releases older than the table.

    For releases newer than the table the newest known number is a lower bound, which is what comparing needs: an
    extension that asks for no more than it is accepted.
    """
    return _at(_table()["levels"], numpy)


def known(numpy: Release) -> bool:
    """Whether the table covers this release (later ones may offer more than :func:`feature_level` says)."""
    newest = release(_table()["newest"])
    assert newest is not None
    return numpy <= newest


def first_with_level(level: int) -> str | None:
    """The first NumPy release whose feature number is at least ``level``; None when the table knows none."""
    for version, number in _table()["levels"]:
        if number >= level:
            return str(version)
    return None


def object_size(type_name: str, numpy: Release) -> int | None:
    """Bytes of an object of ``numpy.ndarray`` or ``numpy.dtype`` of this release on 64-bit machines; None for
    others."""
    rows = _table()["sizes"].get(type_name)
    return _at(rows, numpy) if rows is not None else None


def sized_types() -> tuple[str, ...]:
    """Types whose sizes the table has."""
    return tuple(_table()["sizes"])


def first_with_size(type_name: str, size: int) -> str | None:
    """The first release whose object of that type has at least ``size`` bytes, if the newest still has."""
    rows = _table()["sizes"][type_name]
    return next((str(v) for v, b in rows if b >= size), None) if rows[-1][1] >= size else None


def releases_of_two(python: tuple[int, int]) -> tuple[str, ...]:
    """One release of each NumPy 2.x that pip may choose for a Python; empty for a Python that is too old for any."""
    two = _table()["two"]
    oldest = release(two["python"])
    return tuple(two["releases"]) if oldest is not None and python >= oldest else ()


def _at(rows: list[list[Any]], numpy: Release) -> int | None:
    out = None
    for version, value in rows:
        first = release(version)
        if first is not None and first <= numpy:
            out = int(value)
    return out
