"""The door to ``windows_system.toml``: what the Windows system itself provides to the loader (sources stand there)."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

SYSTEM_DIRECTORY = "C:/Windows/System32"
API_SET = re.compile(r"(?:api|ext)-.+-l\d+-\d+-\d+(?:\.dll)?")
# First build of each client release the table speaks of (Microsoft, "Windows release information").
RELEASE_BUILDS = {"7": 7600, "8": 9200, "8.1": 9600, "10": 10240, "11": 22000}
OLDEST_ASSUMED = "10"  # conda's Python needs it; what is newer depends on the host


@dataclass(frozen=True, slots=True)
class SystemDll:
    """One DLL of the system: machine word to the release that first has it, and to the last one when it is gone."""

    name: str
    since: Mapping[str, str]
    until: Mapping[str, str]

    def on(self, machine: str, build: int | None) -> bool | None:
        """Whether a system of that machine and build has it; None when that depends on a build that is not known."""
        first = self.since.get(machine)
        if first is None:
            return False
        last = self.until.get(machine)
        if build is None:
            if last is not None or RELEASE_BUILDS[first] > RELEASE_BUILDS[OLDEST_ASSUMED]:
                return None
            return True
        return build >= RELEASE_BUILDS[first] and (last is None or build < RELEASE_BUILDS["11"])


@dataclass(frozen=True, slots=True)
class Assembly:
    """A side-by-side assembly: the DLLs in it, and whether the system itself has it."""

    dlls: frozenset[str]
    system: bool


@dataclass(frozen=True, slots=True)
class WindowsSystem:
    """All names are lower case. ``installed``: who installs what (a text for people) and the pattern of its names."""

    date: str
    dlls: Mapping[str, SystemDll]
    known: frozenset[str]
    api_sets: tuple[tuple[str, str], ...]
    installed: tuple[tuple[str, re.Pattern[str]], ...]
    assemblies: Mapping[str, Assembly]

    def api_set_host(self, name: str) -> str:
        """The module that usually answers for an API set (for display); the set's own name when no family fits."""
        return next((host for prefix, host in self.api_sets if name.startswith(prefix)), name)

    def installed_by(self, name: str) -> str | None:
        """What puts a DLL of that name into System32 on machines that have it; None when nothing known does."""
        return next((who for who, pattern in self.installed if pattern.fullmatch(name)), None)


@functools.cache
def windows_system() -> WindowsSystem:
    """The table, read once."""
    text = resources.files("abicheck.knowledge").joinpath("windows_system.toml").read_text("utf-8")
    data = tomllib.loads(text)
    dlls = {
        name: SystemDll(name, group["since"], group.get("until", {}))
        for group in data["dlls"]
        for name in group["names"].split()
    }
    return WindowsSystem(
        date=data["about"]["date"],
        dlls=dlls,
        known=frozenset(data["known"]["names"].split()),
        api_sets=tuple(sorted(data["api_sets"].items(), key=lambda pair: -len(pair[0]))),
        installed=tuple((who, re.compile(pattern)) for who, pattern in data["installed"].items()),
        assemblies={n: Assembly(frozenset(a["dlls"]), a["system"]) for n, a in data["assemblies"].items()},
    )


def is_api_set(name: str) -> bool:
    """Whether a lower-case DLL name is an API set contract (WIN-10), with or without ``.dll``."""
    return API_SET.fullmatch(name) is not None
