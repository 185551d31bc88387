"""Folders of wheels: which file pip would take for a project, and finding ``name==version`` in ``--find-links``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    BuildTag,
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from abicheck.errors import InputError
from abicheck.inputs.markers import rank
from abicheck.inputs.requests import PassedOver

SOURCE_SUFFIXES = (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One wheel file by its name alone. ``rank``: how well it fits the prefix, 0 best; None: it does not. ``build``:
    its build tag, which breaks ties."""

    path: str
    name: NormalizedName
    version: Version
    rank: int | None
    build: BuildTag = ()

    @property
    def filename(self) -> str:
        return os.path.basename(self.path)


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """Folders searched for wheels by name (``--find-links``). ``sources``: names and versions with source archives."""

    folders: tuple[str, ...]
    wheels: Mapping[NormalizedName, tuple[Candidate, ...]] = field(default_factory=dict)
    sources: frozenset[tuple[NormalizedName, Version]] = frozenset()
    by_file: Mapping[str, str] = field(default_factory=dict)

    def best(self, name: NormalizedName, wanted: SpecifierSet) -> Candidate | None:
        """The file pip would take for a pinned requirement (``==2.0`` is met by ``2.0+cpu``, and that is newer); one
        that does not fit only when there is no other."""
        meeting = [c for c in self.wheels.get(name, ()) if wanted.contains(c.version, prereleases=True)]
        return max(sorted(meeting, key=lambda c: c.filename), key=_preference, default=None)


def open_wheelhouse(folders: Iterable[str], supported: tuple[Tag, ...]) -> Wheelhouse:
    """List the folders of ``--find-links``. Raises ``InputError``: a folder that is none, an address."""
    places = tuple(dict.fromkeys(folders))
    wheels: dict[NormalizedName, list[Candidate]] = {}
    sources: set[tuple[NormalizedName, Version]] = set()
    by_file: dict[str, str] = {}
    for place in places:
        path = place.removeprefix("file://")
        if "://" in path:
            raise InputError(
                "not-a-folder",
                f"--find-links {place} is an address; abicheck fetches nothing.",
                f"pip download --no-deps -d wheelhouse NAME --find-links {place}, then --find-links wheelhouse",
            )
        if not os.path.isdir(path):
            raise InputError(
                "no-such-folder", f"There is no folder at --find-links {place}.", "give a folder of wheels"
            )
        for entry in sorted(os.listdir(path)):
            full = f"{path.rstrip('/')}/{entry}"
            by_file.setdefault(entry, full)
            candidate = candidate_of(full, supported)
            if candidate is not None:
                wheels.setdefault(candidate.name, []).append(candidate)
            else:
                sources |= _source(entry)
    return Wheelhouse(places, {k: tuple(v) for k, v in wheels.items()}, frozenset(sources), by_file)


def candidate_of(path: str, supported: tuple[Tag, ...]) -> Candidate | None:
    """A file as a candidate, by its name; None when it has no wheel's name."""
    try:
        name, version, build, tags = parse_wheel_filename(os.path.basename(path))
    except InvalidWheelFilename:
        return None
    return Candidate(path, name, version, rank(tags, supported) if supported else 0, build)


def _source(entry: str) -> set[tuple[NormalizedName, Version]]:
    try:
        return {parse_sdist_filename(entry)}
    except InvalidSdistFilename:
        return set()


def _preference(candidate: Candidate) -> tuple[bool, Version, int, BuildTag]:
    """pip's own order (``package_finder.py``): newest version, best tag, highest build."""
    return candidate.rank is not None, candidate.version, -(candidate.rank or 0), candidate.build


def choose(
    candidates: Iterable[Candidate], suits: Callable[[Candidate], bool]
) -> tuple[list[Candidate], list[PassedOver]]:
    """Of a folder's wheels, the one pip would install for each project: it fits, highest version, best tag.

    ``suits``: whether the metadata inside accepts the prefix's Python; pip goes on to the next best if not. A project
    none of whose wheels fits keeps its best-named one, so that it is judged (ABI001) and not forgotten.
    """
    by_name: dict[NormalizedName, list[Candidate]] = {}
    for candidate in candidates:
        by_name.setdefault(candidate.name, []).append(candidate)
    chosen, passed = [], []
    for name in sorted(by_name):
        everything = sorted(by_name[name], key=lambda c: c.filename)
        pool = [c for c in everything if c.rank is not None] or everything
        pool = [c for c in pool if not c.version.is_prerelease] or pool
        ordered = sorted(pool, key=_preference, reverse=True)
        best = next((c for c in ordered if c.rank is not None and suits(c)), ordered[0])
        chosen.append(best)
        passed += [PassedOver(c.filename, _why_not(c, best)) for c in everything if c is not best]
    return chosen, passed


def _why_not(other: Candidate, best: Candidate) -> str:
    if other.rank is None and best.rank is not None:
        return "does not fit this environment"
    return f"pip prefers {best.filename}"
