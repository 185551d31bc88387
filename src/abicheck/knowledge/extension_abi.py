"""Agreements between extension modules of different projects (``extension_abi.toml``, PY-17)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ObjectSize:
    """A type whose size extensions check. ``rows``: (first release, bytes); 0 bytes: depends on the Python version but
    is more than ``larger_than``. ``shrank``/``grew``: what follows when the provider's object is smaller or larger
    than the one the extension was compiled for."""

    module: str
    type: str
    distribution: str
    rows: tuple[tuple[tuple[int, ...], int], ...]
    larger_than: int
    shrank: Literal["import-error", "crash", "nothing"]
    grew: Literal["import-error", "crash", "nothing"]
    text: str
    source: str

    def size(self, version: str) -> int | None:
        """Bytes in that release of the distribution; 0 for "more than ``larger_than``"; None when unknown."""
        have = _numbers(version)
        found = None
        for first, bytes_ in self.rows:
            if first <= have:
                found = bytes_
        return found

    def first_with(self, bytes_: int) -> str | None:
        """The first release whose object has exactly that size."""
        return next((".".join(map(str, v)) for v, b in self.rows if b == bytes_), None)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Two extension modules that pass objects of an embedded library of ``family``. ``parts``: how many numbers of the
    library's version must agree; ``check``: text of a test that the consumer makes at import."""

    provider: str
    consumer: str
    family: str
    parts: int
    check: str
    text: str
    source: str


def _numbers(version: str) -> tuple[int, ...]:
    m = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, m[0].split("."))) if m else ()


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("abicheck.knowledge").joinpath("extension_abi.toml").read_text("utf-8"))


@cache
def object_sizes() -> tuple[ObjectSize, ...]:
    """All size rows of the table."""
    return tuple(
        ObjectSize(
            r["module"], r["type"], r["distribution"], tuple((_numbers(v), b) for v, b in r["rows"]), r["larger_than"],
            r["shrank"], r["grew"], r["text"], r["source"],
        )
        for r in _table()["size"]
    )  # fmt: skip


@cache
def exchanges() -> tuple[Exchange, ...]:
    """All rows of objects handed between extensions."""
    return tuple(Exchange(**r) for r in _table()["exchange"])
