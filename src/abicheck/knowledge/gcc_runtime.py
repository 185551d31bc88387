"""Which GCC release a version node of libstdc++ or libgcc_s came with (``gcc_runtime.toml``, with its source)."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib.resources import files


@functools.cache
def _table() -> Mapping[str, Mapping[str, str]]:
    data = tomllib.loads((files("abicheck.knowledge") / "gcc_runtime.toml").read_text("utf-8"))
    return {family: rows for family, rows in data.items() if isinstance(rows, dict)}


def gcc_of_node(node: str) -> str | None:
    """``GLIBCXX_3.4.32`` gives ``13.2``; None for a node the table does not know."""
    family, _, number = node.partition("_")
    return _table().get(family, {}).get(number)


def cxxabi_beside(glibcxx: str) -> str:
    """The newest CXXABI node of a libstdc++ whose newest GLIBCXX node is ``glibcxx``: ``3.4.25`` gives ``1.3.11``."""
    gcc = max((_numbers(g) for n, g in _table()["GLIBCXX"].items() if _numbers(n) <= _numbers(glibcxx)), default=())
    return max((n for n, g in _table()["CXXABI"].items() if _numbers(g) <= gcc), key=_numbers, default="1.3")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
