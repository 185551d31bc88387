"""What macOS provides: names of one library, guesses, first versions, and what dyld enforces."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from abicheck.knowledge.macos_system import LIBSYSTEM, macos_system

METAL = "/System/Library/Frameworks/Metal.framework"


@pytest.mark.parametrize(
    "path, name",
    [
        (LIBSYSTEM, LIBSYSTEM),
        ("/usr/lib/libz.dylib", "/usr/lib/libz.1.dylib"),
        (f"{METAL}/Versions/A/Metal", f"{METAL}/Metal"),
        (f"{METAL}/Versions/Current/Metal", f"{METAL}/Metal"),
        (f"{METAL}/Metal", f"{METAL}/Metal"),
        ("/usr/lib/libunheard.dylib", "/usr/lib/libunheard.dylib"),
        ("/usr/local/lib/libz.dylib", None),
        ("/opt/env/lib/libz.1.dylib", None),
    ],
)
def test_one_name_for_each_library(path: str, name: str | None) -> None:
    assert macos_system().canonical(path) == name


def test_a_guess_needs_a_known_library() -> None:
    system = macos_system()
    assert system.listed("/usr/lib/libsqlite3.dylib")
    assert not system.listed("/usr/lib/libunheard.dylib")


def test_first_versions() -> None:
    system = macos_system()
    assert system.first(f"{METAL}FX.framework/MetalFX") is None  # another directory, not a prefix of a name
    assert system.first("/System/Library/Frameworks/MetalFX.framework/MetalFX") == (13, 0)
    assert system.first("/usr/lib/swift/libswiftCore.dylib") == (10, 14, 4)
    assert system.first("/usr/lib/libz.1.dylib") is None


@pytest.mark.parametrize(
    "check, macos, sdk, enforced",
    [
        ("duplicate-rpath", (15, 4), (15, 4), True),
        ("duplicate-rpath", (15, 3), (15, 4), False),
        ("duplicate-rpath", (15, 5), (15, 0), False),
        ("duplicate-rpath", (26, 1), (15, 4), False),
        ("duplicate-rpath", (26, 1), (26, 0), True),
        ("duplicate-rpath", None, (26, 0), False),
        ("uuid", (15, 4), (12, 0), True),
        ("uuid", (15, 4), (11, 3), False),
    ],
)
def test_header_checks(check: str, macos: tuple[int, ...] | None, sdk: tuple[int, ...], enforced: bool) -> None:
    assert macos_system().enforces(check, macos, sdk) is enforced


def test_every_table_and_row_names_its_source() -> None:
    raw = tomllib.loads(files("abicheck.knowledge").joinpath("macos_system.toml").read_text("utf-8"))
    for table in [*(t for t in raw.values() if isinstance(t, dict)), *raw["enforced"]]:
        assert table["source"] and len(table["date"]) == 10


def test_what_a_launch_brings_is_of_the_cache() -> None:
    system = macos_system()
    assert all(system.canonical(p) == p and system.listed(p) for p in system.launch)
    assert {system.canonical(p) for p in system.aliases} == set(system.aliases.values())
