"""The door to ``msvc_runtime.toml``: which runtime is too old for whom, and where that is known to end in a crash."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files

Toolset = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Break:
    """A change that an older runtime does not bear. ``sure``: the imports prove that the user was built that way."""

    since: Toolset
    file: str
    any_of: frozenset[str]
    none_of: frozenset[str]
    what: str
    source: str
    sure: bool

    def concerns(self, file: str, imported: Collection[str], offered: Toolset, wanted: Toolset) -> bool:
        """Whether a user that imports these symbols from ``file`` meets the change with the runtime ``offered``."""
        names = set(imported)
        between = offered < self.since and (self.sure or wanted >= self.since)
        return between and file == self.file and bool(names & self.any_of) and not names & self.none_of


@dataclass(frozen=True, slots=True)
class MsvcRuntime:
    """``files``: the DLLs whose version counts (pattern over lower-case names)."""

    files: re.Pattern[str]
    conda_package: str
    breaks: tuple[Break, ...]
    source: str

    def is_member(self, name: str) -> bool:
        return self.files.fullmatch(name.lower()) is not None

    def broken(self, file: str, imported: Collection[str], offered: Toolset, wanted: Toolset) -> Break | None:
        """The gravest known break for a user; None when being older is all that is known."""
        return next((b for b in self.breaks if b.concerns(file.lower(), imported, offered, wanted)), None)


def toolset(text: str) -> Toolset:
    """``14.40`` as numbers."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


@functools.cache
def msvc_runtime() -> MsvcRuntime:
    data = tomllib.loads((files("abicheck.knowledge") / "msvc_runtime.toml").read_text("utf-8"))
    breaks = tuple(
        Break(
            toolset(row["since"]), row["file"], frozenset(row["any_of"]), frozenset(row.get("none_of", ())),
            row["what"], row["source"], sure,
        )
        for kind, sure in (("break", True), ("doubt", False))
        for row in data[kind]
    )  # fmt: skip
    return MsvcRuntime(re.compile(data["files"]), data["conda_package"], breaks, data["source"])
