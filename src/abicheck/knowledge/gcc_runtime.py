"""Which GCC release a version node of libstdc++ or libgcc_s came with (gcc_runtime.toml, with its source)."""

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
