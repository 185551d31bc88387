"""The table of what Windows itself provides: its shape, and facts that many programs rely on."""

from __future__ import annotations

import re

import pytest

from abicheck.knowledge.windows_system import RELEASE_BUILDS, SystemDll, is_api_set, windows_system


def test_names_are_lower_case_single_and_dated() -> None:
    system = windows_system()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", system.date)
    assert len(system.dlls) > 600
    for name, dll in system.dlls.items():
        assert name == name.lower() == dll.name
        assert dll.since and set(dll.since) <= {"x86_64", "i386", "arm64"}
        assert set(dll.since.values()) | set(dll.until.values()) <= set(RELEASE_BUILDS)
        assert not is_api_set(name) and system.installed_by(name) is None


@pytest.mark.parametrize(
    "name", ["kernel32.dll", "ucrtbase.dll", "bcrypt.dll", "dbghelp.dll", "ws2_32.dll", "d3d11.dll"]
)
@pytest.mark.parametrize("machine", ["x86_64", "i386", "arm64"])
def test_what_every_windows_10_has(name: str, machine: str) -> None:
    assert windows_system().dlls[name].on(machine, None) is True


@pytest.mark.parametrize("name", ["msvcp140.dll", "vcruntime140_1.dll", "vcomp140.dll", "mfc140u.dll", "nvcuda.dll"])
def test_what_an_installer_brings_is_not_part_of_windows(name: str) -> None:
    system = windows_system()
    assert name not in system.dlls
    assert system.installed_by(name)


@pytest.mark.parametrize("name", ["zlib.dll", "sqlite3.dll", "libssl-3.dll", "hdf5.dll", "python3.dll", "zlib1.dll"])
def test_what_no_windows_has(name: str) -> None:
    system = windows_system()
    assert name not in system.dlls and name not in system.known and system.installed_by(name) is None


def test_presence_by_build() -> None:
    dll = SystemDll("x.dll", {"x86_64": "11"}, {"i386": "10"})
    assert [dll.on("x86_64", b) for b in (None, 19045, 22000)] == [None, False, True]
    assert dll.on("arm64", 30000) is False
    gone = SystemDll("y.dll", {"x86_64": "7"}, {"x86_64": "10"})
    assert [gone.on("x86_64", b) for b in (None, 19045, 22631)] == [None, True, False]


@pytest.mark.parametrize(
    ("name", "virtual"),
    [
        ("api-ms-win-crt-runtime-l1-1-0.dll", True),
        ("api-ms-win-core-synch-l1-2-0", True),
        ("ext-ms-win-ntuser-window-l1-1-4.dll", True),
        ("api-tools.dll", False),
        ("apisetschema.dll", False),
    ],
)
def test_api_sets_by_name(name: str, virtual: bool) -> None:
    assert is_api_set(name) is virtual


def test_hosts_of_api_sets() -> None:
    system = windows_system()
    assert system.api_set_host("api-ms-win-crt-heap-l1-1-0") == "ucrtbase.dll"
    assert system.api_set_host("api-ms-win-core-com-l1-1-0") == "combase.dll", "the longest family decides"
    assert system.api_set_host("api-ms-win-unheard-l1-1-0") == "api-ms-win-unheard-l1-1-0"
