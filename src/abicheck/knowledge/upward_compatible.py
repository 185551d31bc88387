"""Libraries whose newer builds serve older users by contract (``upward_compatible.toml``, with its sources)."""

from __future__ import annotations

import functools
import re
import tomllib
from importlib.resources import files


@functools.cache
def _stems() -> re.Pattern[str]:
    data = tomllib.loads((files("abicheck.knowledge") / "upward_compatible.toml").read_text("utf-8"))
    return re.compile("|".join(stem for row in data["library"] for stem in row["stems"]), re.IGNORECASE)


def is_upward_compatible(stem: str) -> bool:
    """Whether any newer build of a library may stand in for an older one. ``stem``: its name as
    :func:`abicheck.knowledge.library_names.stem` gives it."""
    return _stems().fullmatch(stem) is not None
