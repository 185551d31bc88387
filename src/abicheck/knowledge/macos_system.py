"""Door to ``macos_system.toml``: what macOS provides in its shared cache, under which names and since when (MAC-9)."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from dataclasses import dataclass

Version = tuple[int, ...]
LIBSYSTEM = "/usr/lib/libSystem.B.dylib"


@dataclass(frozen=True, slots=True)
class MacosSystem:
    """The tables, typed. Paths are absolute; ``since`` keys are directories (frameworks) or files."""

    prefixes: tuple[str, ...]
    launch: tuple[str, ...]
    since: tuple[tuple[str, Version], ...]
    libraries: frozenset[str]
    aliases: dict[str, str]
    enforced: tuple[tuple[str, Version, Version], ...]

    def canonical(self, path: str) -> str | None:
        """The one path the shared cache knows a library by, None when ``path`` is not where such libraries are.

        ``X.framework/X`` and ``X.framework/Versions/Current/X`` answer as ``X.framework/Versions/A/X`` would; which
        letter a framework's version has does not matter to anybody who only needs identity.
        """
        if not path.startswith(self.prefixes):
            return None
        if path in self.aliases:
            return self.aliases[path]
        head, dot, tail = path.rpartition(".framework/")
        if dot and tail.startswith("Versions/") and tail.count("/") == 2:
            return f"{head}.framework/{tail.rpartition('/')[2]}"
        return path

    def listed(self, canonical: str) -> bool:
        """Whether a guess at a system library (a bare name, a run path) is one we know to exist. Frameworks count as
        soon as their own directory is named; /usr/lib only by the list."""
        return canonical in self.libraries or (canonical.startswith("/System/Library/Frameworks/"))

    def first(self, canonical: str) -> Version | None:
        """The first macOS that has the library, None when it is older than this table or not in it."""
        return next((v for start, v in self.since if f"{canonical}/".startswith(f"{start.rstrip('/')}/")), None)

    def enforces(self, check: str, macos: Version | None, sdk: Version) -> bool:
        """Whether the running dyld refuses files of that SDK for ``check``; never when the macOS is unknown."""
        rows = [(m, s) for c, m, s in self.enforced if c == check and macos is not None and m <= macos]
        return bool(rows) and sdk >= max(rows)[1]


def _version(text: str) -> Version:
    return tuple(int(p) for p in text.split("."))


@functools.cache
def macos_system() -> MacosSystem:
    """The tables, read once."""
    raw = tomllib.loads(importlib.resources.files(__package__).joinpath("macos_system.toml").read_text("utf-8"))
    meta = ("source", "date")
    return MacosSystem(
        tuple(raw["shared_cache"]["prefixes"]),
        tuple(raw["launch"]["libraries"]),
        tuple((k, _version(v)) for k, v in raw["since"].items() if k not in meta),
        frozenset(f"/usr/lib/{n}" for n in raw["libraries"]["names"]),
        {k: v for k, v in raw["aliases"].items() if k not in meta},
        tuple((r["check"], _version(r["macos"]), _version(r["sdk"])) for r in raw["enforced"]),
    )
