"""What the ids mean that findings and traces cite (``ELF-36``): ``loader_rules.toml``, each with its source."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class LoaderRule:
    """One behaviour of a loader, of Python or of a packaging tool. ``family``: the title of its group; ``says``: one
    sentence or two."""

    id: str
    family: str
    says: str
    source: str


@functools.cache
def loader_rules() -> Mapping[str, LoaderRule]:
    """All of them by id, family after family."""
    table = tomllib.loads((files("abicheck.knowledge") / "loader_rules.toml").read_text("utf-8"))
    return {
        name: LoaderRule(name, table["families"][name.partition("-")[0]], row["says"], row["source"])
        for name, row in table["rules"].items()
    }
