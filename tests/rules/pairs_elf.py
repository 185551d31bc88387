"""A wheel ``grid`` and a conda package ``tool`` that each bring a library of their own under one name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.rules.made_elf import SITE, Bench

MINE, THEIRS = f"{SITE}/grid.libs/liby.so.1", "lib/liby.so.1"
GRID_FIRST, TOOL_FIRST = ("grid", "tool._ext"), ("tool._ext", "grid")


def pair(
    bench: Bench, mine: str, theirs: str, calls: str = "y", their_calls: str = "", *,
    mine_as: dict[str, Any] | None = None, theirs_as: dict[str, Any] | None = None, name: str = "liby.so.1",
) -> Path:  # fmt: skip
    """The wheel; the conda package is put into the environment. Sources of the two libraries, functions called."""
    own = bench.lib(f"a/{name}", mine, **(mine_as or {}))
    extension = bench.ext(calls, needed=(f"a/{name}",), rpath="$ORIGIN/../grid.libs")
    other = bench.lib("b/liby.so.1", theirs, **(theirs_as or {}))
    bench.conda("tool", bench.ext(their_calls or calls, needed=("b/liby.so.1",)), {THEIRS: other})
    return bench.wheel(extension, {f"grid.libs/{name}": own})
