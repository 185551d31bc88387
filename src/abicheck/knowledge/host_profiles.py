"""Named hosts for ``--host NAME``: what a default installation of a system offers (``host_profiles.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class HostProfile:
    """One named system. Versions are text, '' when they do not apply.

    ``libstdcxx``, ``cxxabi``, ``gcc``: the newest GLIBCXX_, CXXABI_ and GCC_ nodes of the system's libstdc++.so.6 and
    libgcc_s.so.1. ``libraries``: sonames that a minimal installation has, those of glibc included. A library that is
    not listed may be installed all the same. ``cpu`` is the x86-64 level that the system itself requires.
    """

    name: str
    title: str
    system: Literal["linux", "osx", "win"]
    glibc: str
    musl: str
    libstdcxx: str
    cxxabi: str
    gcc: str
    zlib: str
    macos: str
    windows: int | None
    cpu: int | None
    libraries: tuple[str, ...]
    date: str


@cache
def _profiles() -> Mapping[str, HostProfile]:
    """All profiles by name, aliases included (a tag like manylinux_2_28 names the image that builds for it)."""
    raw = tomllib.loads(files("abicheck.knowledge").joinpath("host_profiles.toml").read_text("utf-8"))
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in raw["profile"]}
    out: dict[str, HostProfile] = {}
    for row in raw["profile"]:
        own = raw["glibc_libraries"] if "glibc" in row else []
        profile = _profile(row, rows, own, raw["date"])
        for name in (row["name"], *row.get("also", ())):
            out[name] = profile
    return out


def _profile(row: dict[str, Any], rows: Mapping[str, dict[str, Any]], own: list[str], date: str) -> HostProfile:
    libraries = row.get("libraries") or rows.get(row.get("base", ""), {}).get("libraries", [])
    return HostProfile(
        name=row["name"],
        title=row["title"],
        system=row["system"],
        glibc=row.get("glibc", ""),
        musl=row.get("musl", ""),
        libstdcxx=row.get("libstdcxx", ""),
        cxxabi=row.get("cxxabi", ""),
        gcc=row.get("gcc", ""),
        zlib=row.get("zlib", ""),
        macos=row.get("macos", ""),
        windows=row.get("windows"),
        cpu=row.get("cpu"),
        libraries=tuple(sorted({*libraries, *own})),
        date=row.get("date", date),
    )


def profile(name: str) -> HostProfile | None:
    """The profile of that name or alias, None when there is none."""
    return _profiles().get(name)


def names() -> tuple[str, ...]:
    """Names of all profiles, aliases included, in the table's order."""
    return tuple(_profiles())
