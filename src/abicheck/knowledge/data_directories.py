"""Variables that lead a library to data, plugins or settings (``data_directories.toml``), for ABI601."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from abicheck.knowledge.library_names import Stem, spellings


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """One variable (or its spellings) and the library that reads it; fields as the table explains them. Severities are
    the words note, warning, error."""

    names: tuple[str, ...]
    family: str
    stems: re.Pattern[str]
    kind: Literal["data", "plugins", "modules", "config", "certificates"]
    replaces: bool
    compare: Literal["proj-layout", "library-version", "nothing"]
    parts: int
    differ: str
    same: str
    unknown: str
    outcome: str
    says: str
    own_place: frozenset[str]
    own_place_since: str
    own_place_but: frozenset[str]
    marker: str
    empty: bool
    source: str
    date: str

    def read_by(self, name: Stem) -> bool:
        """Whether a library of that name reads the variable."""
        return any(self.stems.fullmatch(s) for s in spellings(name))

    def heeds_its_user(self, version: str) -> bool:
        """Whether a version of the library takes the place that its user names before the variable's."""
        return (
            bool(version) and version not in self.own_place_but and _numbers(version) >= _numbers(self.own_place_since)
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version))


@cache
def directories() -> tuple[DataDirectory, ...]:
    """All rows of the table."""
    raw = tomllib.loads(files("abicheck.knowledge").joinpath("data_directories.toml").read_text("utf-8"))
    return tuple(
        DataDirectory(
            names=tuple(r["names"]),
            family=r["family"],
            stems=re.compile("|".join(f"(?:{s})" for s in r["stems"]), re.IGNORECASE),
            kind=r["kind"],
            replaces=r["replaces"],
            compare=r["compare"],
            parts=r.get("parts", 0),
            differ=r["differ"],
            same=r["same"],
            unknown=r["unknown"],
            outcome=r["outcome"],
            says=r.get("says", ""),
            own_place=frozenset(r.get("own_place", ())),
            own_place_since=r.get("own_place_since", "0"),
            own_place_but=frozenset(r.get("own_place_but", ())),
            marker=r.get("marker", ""),
            empty=r.get("empty", False),
            source=r["source"],
            date=r.get("date", raw["date"]),
        )
        for r in raw["directory"]
    )


def reading(variable: str) -> DataDirectory | None:
    """The row that names a variable, None for variables the table does not know."""
    return next((d for d in directories() if variable in d.names), None)
