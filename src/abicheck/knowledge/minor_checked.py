"""Libraries whose users refuse an older release when they run (``minor_checked.toml``, with its sources)."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class MinorChecked:
    """One row; fields as the table explains them."""

    stems: re.Pattern[str]
    packages: frozenset[str]
    refuses: str

    def is_of(self, project: str) -> bool:
        """Whether a conda package or a project on PyPI has the library's version as its own."""
        return not self.packages.isdisjoint(re.split(r"[-_.]", project.lower()))


@functools.cache
def _rows() -> tuple[MinorChecked, ...]:
    data = tomllib.loads((files("abicheck.knowledge") / "minor_checked.toml").read_text("utf-8"))
    return tuple(
        MinorChecked(re.compile("|".join(r["stems"]), re.IGNORECASE), frozenset(r["packages"]), r["refuses"])
        for r in data["library"]
    )


def minor_checked(stem: str) -> MinorChecked | None:
    """The row of a library; ``stem``: its name as :func:`abicheck.knowledge.library_names.stem` gives it."""
    return next((row for row in _rows() if row.stems.fullmatch(stem)), None)
