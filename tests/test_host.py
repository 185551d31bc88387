"""The third party: what is known of the machine where the environment will run."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from tests.requirements import compiler, need, not_run

from abicheck.binary.elf import ElfSlice
from abicheck.binary.reading import read_binary
from abicheck.binary.source import DiskSource
from abicheck.errors import UsageError
from abicheck.host import (
    NOTHING,
    CacheEntry,
    Host,
    declared,
    default_directories,
    libstdcxx_nodes,
    read_ld_so_cache,
    this_machine,
    this_platform,
    version_key,
)

LDCONFIG = shutil.which("ldconfig") or shutil.which("/sbin/ldconfig")
X86_64 = 62
_ROW = re.compile(r'\t(?P<name>\S+) \((?P<abi>[^)]*?)(?:, hwcap: "(?P<hwcap>[^"]+)")?\) => (?P<path>.+)')
_ABIS = {"libc6,x86-64": 0x0303, "libc6": 0x0003, "libc6,AArch64": 0x0A03, "libc6,x32": 0x0803}


def ldconfig(*arguments: str) -> str:
    need("glibc")
    if LDCONFIG is None:
        not_run("needs ldconfig, which comes with glibc")
    assert LDCONFIG is not None
    return subprocess.run([LDCONFIG, *arguments], capture_output=True, text=True, check=True).stdout


def printed(text: str) -> list[tuple[str, CacheEntry]]:
    """What ``ldconfig -p`` prints, as entries (those of an ABI that the table above knows)."""
    rows = [m for line in text.splitlines() if (m := _ROW.fullmatch(line)) is not None and m["abi"] in _ABIS]
    return [(m["name"], CacheEntry(m["path"], _ABIS[m["abi"]], m["hwcap"] or "")) for m in rows]


def flat(cache: dict[str, tuple[CacheEntry, ...]]) -> list[tuple[str, CacheEntry]]:
    known = set(_ABIS.values())
    return sorted(((n, e) for n, found in cache.items() for e in found if e.flags in known), key=repr)


# -- ld.so.cache (ELF-14) -----------------------------------------------------------------


def test_the_cache_of_this_machine_as_ldconfig_prints_it() -> None:
    theirs = printed(ldconfig("-p"))
    assert len(theirs) > 5
    assert flat(read_ld_so_cache("/etc/ld.so.cache")) == sorted(theirs, key=repr)


def test_a_cache_with_hwcaps_subdirectories(tmp_path: Path) -> None:
    """Made by ldconfig itself: the best level that the CPU has wins, the plain file serves the rest (ELF-15)."""
    need("x86_64")
    folder = tmp_path / "lib"
    compiler().shared(folder / "liby_hw.so.1", "int y(void) { return 1; }", "-nostdlib", soname="liby_hw.so.1")
    for level in ("v2", "v3"):
        (folder / "glibc-hwcaps" / f"x86-64-{level}").mkdir(parents=True)
        shutil.copy(folder / "liby_hw.so.1", folder / "glibc-hwcaps" / f"x86-64-{level}")
    (tmp_path / "conf").write_text(f"{folder}\n")
    ldconfig("-X", "-f", str(tmp_path / "conf"), "-C", str(tmp_path / "cache"))
    cache = read_ld_so_cache(str(tmp_path / "cache"))
    assert flat(cache) == sorted(printed(ldconfig("-p", "-C", str(tmp_path / "cache"))), key=repr)
    host = Host(cache=cache)
    hwcaps = f"{folder}/glibc-hwcaps/x86-64-"
    for levels, path in (
        (("x86-64-v4", "x86-64-v3", "x86-64-v2"), f"{hwcaps}v3/liby_hw.so.1"),
        (("x86-64-v2",), f"{hwcaps}v2/liby_hw.so.1"),
        ((), f"{folder}/liby_hw.so.1"),
    ):
        assert host.cached("liby_hw.so.1", X86_64, levels) == path


def test_only_entries_of_the_machine_count() -> None:
    host = Host(cache={"libz.so.1": (CacheEntry("/lib32/libz.so.1", 0x0003), CacheEntry("/lib64/libz.so.1", 0x0303))})
    assert host.cached("libz.so.1", X86_64, ()) == "/lib64/libz.so.1"
    assert host.cached("libz.so.1", 3, ()) == "/lib32/libz.so.1"
    assert host.cached("libz.so.1", 183, ()) is None and host.cached("libz.so", X86_64, ()) is None


def test_damaged_caches_are_no_caches(tmp_path: Path) -> None:
    need("glibc")
    real = Path("/etc/ld.so.cache").read_bytes()
    path = tmp_path / "cache"
    assert read_ld_so_cache(str(tmp_path / "none")) == {}
    start = real.find(b"glibc-ld.so.cache1.1")
    assert start >= 0
    huge = bytearray(real)
    struct.pack_into("=I", huge, start + 20, 0xFFFFFFFF)
    for data in (b"", b"ld.so-1.7.0", real[: start + 30], bytes(huge), real[: start + 48 + 24]):
        path.write_bytes(data)
        assert read_ld_so_cache(str(path)) == {}, data[:30]
    for at in range(start + 20, start + 48 + 240, 7):
        hostile = bytearray(real)
        hostile[at : at + 4] = b"\xff\xff\xff\xff"
        path.write_bytes(bytes(hostile))
        read_ld_so_cache(str(path))  # any answer, no exception


# -- this machine ---------------------------------------------------------------------------


def test_this_machine_describes_itself() -> None:
    need("glibc", "x86_64")
    host = this_machine("linux-64")
    assert host.kind == "auto" and host.complete and host.use_files and host.libc == "glibc"
    assert host.glibc is not None and host.glibc >= (2, 17)
    assert host.directories and Path(host.directories[0]).is_dir()
    assert host.cached("libc.so.6", X86_64, ()) is not None
    assert host.facts()["glibc"] == ".".join(map(str, host.glibc))
    assert 1 <= (host.cpu_level or 0) <= 4


def test_nothing_is_said_of_another_platform() -> None:
    other = "win-64" if this_platform() != "win-64" else "linux-64"
    host = this_machine(other)
    assert (host.complete, host.use_files, host.facts()) == (False, False, {})
    assert "another platform" in host.label


def test_the_cpu_level_as_the_loader_itself_tells_it() -> None:
    need("glibc", "x86_64")
    loader = Path("/lib64/ld-linux-x86-64.so.2")
    said = subprocess.run([str(loader), "--help"], capture_output=True, text=True, check=False).stdout
    if "glibc-hwcaps" not in said:
        not_run("needs glibc 2.33 or later, whose loader prints its hwcaps levels")
    theirs = tuple(re.findall(r"^  (x86-64-v\d) \(supported, searched\)", said, re.M))
    assert this_machine("linux-64").hwcaps_levels(X86_64) == theirs


def test_the_default_directories_as_the_loader_itself_tells_them() -> None:
    need("glibc", "x86_64")
    said = subprocess.run(["/lib64/ld-linux-x86-64.so.2", "--help"], capture_output=True, text=True, check=False).stdout
    theirs = re.findall(r"^  (/\S+) \(system search path\)", said, re.M)
    if not theirs:
        not_run("needs glibc 2.33 or later, whose loader prints its search path")
    assert list(default_directories(X86_64)) == theirs


def test_levels_need_a_known_cpu() -> None:
    assert Host(cpu_level=3).hwcaps_levels(X86_64) == ("x86-64-v3", "x86-64-v2")
    assert Host(cpu_level=1).hwcaps_levels(X86_64) == () == Host().hwcaps_levels(X86_64)
    assert Host(cpu_level=4).hwcaps_levels(183) == ()


# -- declared hosts ---------------------------------------------------------------------------


def test_single_facts() -> None:
    host = declared("glibc=2.28, libstdcxx=3.4.25,cpu=x86-64-v3", "linux-64")
    assert (host.kind, host.libc, host.glibc, host.cpu_level) == ("declared", "glibc", (2, 28), 3)
    assert not host.complete and not host.use_files
    assert host.facts() == {"glibc": "2.28", "cpu": "x86-64-v3", "libstdcxx": "3.4.25"}
    assert "GLIBCXX_3.4.25" in host.provides["libstdc++.so.6"]
    assert "GLIBCXX_3.4.26" not in host.provides["libstdc++.so.6"]


def test_versions_of_macos_and_windows() -> None:
    assert declared("macos=13", "osx-arm64").macos == (13, 0) == declared("macos=13.0.1", "osx-64").macos
    assert declared("windows=10.0.20348", "win-64").windows_build == 20348
    assert declared("windows=20348", "win-64").facts() == {"windows": "20348"}
    assert declared("macos=13.0", "osx-64").libc == ""


@pytest.mark.parametrize(
    "text",
    ["glibc", "glibc=", "glibc=2", "glibc=abc1", "musl=1.2", "cpu=v9", "cpu=2x", "libstdcxx=13", "macos=thirteen",
     "glibc=2.28,", "windows=10.0.20348.2340", "glibc=2." + "9" * 5000],
)  # fmt: skip
def test_what_is_not_understood_is_said(text: str) -> None:
    with pytest.raises(UsageError) as told:
        declared(text, "linux-64")
    assert told.value.reference == "host-not-understood" and "glibc=2.28" in told.value.hint


def test_a_host_of_which_nothing_is_known() -> None:
    assert NOTHING.facts() == {} and NOTHING.cached("libz.so.1", X86_64, ()) is None
    assert not NOTHING.complete and NOTHING.hwcaps_levels(X86_64) == ()


# -- version nodes ------------------------------------------------------------------------------


def test_versions_compare_as_numbers() -> None:
    assert version_key("GLIBCXX_3.4.30") == (3, 4, 30)
    assert version_key("GLIBC_2.9") < version_key("GLIBC_2.10") and version_key("") == ()


def test_the_nodes_of_this_machines_libstdcxx() -> None:
    """The table against the real file: a declared version promises what that library defines, no more, no less."""
    need("glibc", "x86_64")
    path = this_machine("linux-64").cached("libstdc++.so.6", X86_64, ())
    if path is None:
        not_run("needs libstdc++.so.6: apt-get install libstdc++6")
    assert path is not None
    with DiskSource(path) as source:
        binary = read_binary(source)
        assert binary is not None and isinstance(binary.slices[0], ElfSlice)
        defined = {d.name for d in binary.slices[0].verdef if d.name.startswith(("GLIBCXX_3", "CXXABI_1"))}
    defined = {d for d in defined if "LDBL" not in d}
    top = max((d for d in defined if d.startswith("GLIBCXX_")), key=version_key)
    promised = {n for n in libstdcxx_nodes(top.removeprefix("GLIBCXX_")) if n.startswith(("GLIBCXX_3", "CXXABI_1"))}
    assert promised == defined


def test_the_first_libstdcxx_has_its_first_nodes_only() -> None:
    assert {n for n in libstdcxx_nodes("3.4") if n[-1].isdigit() and "TM" not in n and "FLOAT" not in n} == {
        "GLIBCXX_3.4", "CXXABI_1.3",
    }  # fmt: skip
    assert "CXXABI_1.3.11" in libstdcxx_nodes("3.4.25") and "CXXABI_1.3.12" not in libstdcxx_nodes("3.4.25")
