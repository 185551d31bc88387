"""What a wheel's platform tag promises: the manylinux and musllinux policies (``policies.toml``).

A ceiling says what a wheel *may* ask for. Whether the environment has it is the loader's question, not this table's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_LEGACY = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
_TAG = re.compile(r"(?P<kind>manylinux|musllinux)_(?P<major>[0-9]+)_(?P<minor>[0-9]+)_(?P<arch>\w+)")
_OLD_TAG = re.compile(r"(?P<name>manylinux1|manylinux2010|manylinux2014)_(?P<arch>\w+)")


@dataclass(frozen=True, slots=True)
class Policy:
    """One platform tag as a promise.

    ``glibc`` is (2, n) for manylinux and None for musllinux (``musl`` then holds its version). ``libraries`` may be
    taken from the system. ``ceilings`` gives the newest version node per family ("GLIBC", "GLIBCXX", "CXXABI", "GCC",
    "ZLIB") that the tag allows; families that are absent are not limited ("GLIBC_ABI": the
    pseudo-version of ELF-42 that manylinux_2_36 and later may ask for). Only x86_64 has ceilings besides GLIBC in the
    table.
    """

    tag: str
    arch: str
    glibc: tuple[int, int] | None
    musl: tuple[int, int] | None
    libraries: frozenset[str]
    ceilings: Mapping[str, str]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("abicheck.knowledge").joinpath("policies.toml").read_text("utf-8"))


def policy(tag: str) -> Policy | None:
    """The promise of a platform tag (``manylinux_2_17_x86_64``, ``manylinux2014_x86_64``, ``musllinux_1_2_aarch64``).

    None for tags that promise nothing of the kind (``linux_x86_64``, ``macosx_11_0_arm64``, ``any``).
    """
    old = _OLD_TAG.fullmatch(tag)
    if old is not None:
        return _manylinux(tag, _LEGACY[old["name"]], old["arch"])
    m = _TAG.fullmatch(tag)
    if m is None:
        return None
    version = int(m["major"]), int(m["minor"])
    if m["kind"] == "musllinux":
        return Policy(tag, m["arch"], None, version, frozenset(_table()["musl"]["names"]), {})
    if version[0] != 2:
        return None
    return _manylinux(tag, version[1], m["arch"])


def _manylinux(tag: str, minor: int, arch: str) -> Policy:
    ceilings = {"GLIBC": f"2.{minor}"}
    if arch == "x86_64":
        for row in _table()["ceiling"]:
            if row["from"] <= minor:
                ceilings |= {k: v for k, v in row.items() if k != "from"}
    return Policy(tag, arch, (2, minor), None, libraries(minor), ceilings)


def libraries(minor: int) -> frozenset[str]:
    """Libraries that manylinux_2_<minor> leaves to the system."""
    return frozenset(n for row in _table()["libraries"] if row["from"] <= minor for n in row["names"])


def allowed_from_system(name: str) -> bool:
    """Whether some manylinux policy leaves this soname to the system (what conda may therefore serve, CL-2)."""
    return name in libraries(1 << 16)
