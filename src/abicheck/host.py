"""The third party: what neither the wheel nor the prefix brings (GEN-6, ELF-14, ELF-43).

A host is an *input*. ``auto`` describes this machine (only when the prefix is for its platform), ``none`` knows
nothing, a declaration knows single facts, a named profile or a host file knows a distribution. Whatever is not known
stays unknown: the loaders then answer "unknown", never "missing".
"""

from __future__ import annotations

import os
import platform
import re
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from abicheck.errors import UsageError
from abicheck.knowledge.gcc_runtime import cxxabi_beside

HostKind = Literal["auto", "none", "declared", "profile", "file"]

# ld.so.cache entry flags by ELF machine (glibc sysdeps/generic/ldconfig.h: FLAG_ELF_LIBC6 with the ABI's high byte).
CACHE_FLAGS = {62: 0x0303, 3: 0x0003, 183: 0x0A03, 40: 0x0903, 21: 0x0503, 22: 0x0403, 243: 0x1003}
MULTIARCH = {
    62: "x86_64-linux-gnu", 3: "i386-linux-gnu", 183: "aarch64-linux-gnu", 40: "arm-linux-gnueabihf",
    21: "powerpc64le-linux-gnu", 22: "s390x-linux-gnu", 243: "riscv64-linux-gnu",
}  # fmt: skip
SUBDIR_OF_MACHINE = {
    ("Linux", "x86_64"): "linux-64", ("Linux", "aarch64"): "linux-aarch64", ("Linux", "ppc64le"): "linux-ppc64le",
    ("Linux", "s390x"): "linux-s390x", ("Linux", "i686"): "linux-32", ("Linux", "armv7l"): "linux-armv7l",
    ("Linux", "riscv64"): "linux-riscv64", ("Darwin", "x86_64"): "osx-64", ("Darwin", "arm64"): "osx-arm64",
    ("Windows", "AMD64"): "win-64", ("Windows", "ARM64"): "win-arm64", ("Windows", "x86"): "win-32",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One line of ld.so.cache. ``hwcap`` is the glibc-hwcaps subdirectory it belongs to (``x86-64-v3``), or empty."""

    path: str
    flags: int
    hwcap: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """What is known of the machine where the environment will run.

    ``complete`` says that a library which is not found here is really absent; otherwise its absence proves nothing.
    ``provides`` lists libraries without files: soname to the version nodes they define (empty: any).
    ``cpu_level`` is the x86-64 micro-architecture level 1..4, None when unknown. ``named``: folders of this machine
    that the question itself names; they are looked at whatever else is known.
    """

    kind: HostKind = "none"
    label: str = "none"
    platform: str = ""
    complete: bool = False
    use_files: bool = False
    libc: Literal["glibc", "musl", ""] = ""
    glibc: tuple[int, ...] | None = None
    macos: tuple[int, ...] | None = None
    windows_build: int | None = None
    cpu_level: int | None = None
    cache: Mapping[str, tuple[CacheEntry, ...]] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    provides: Mapping[str, frozenset[str]] = field(default_factory=dict)
    named: tuple[str, ...] = ()

    def cached(self, name: str, machine: int, levels: tuple[str, ...]) -> str | None:
        """What ld.so.cache answers for a soname: the best hwcaps match, else the plain entry (ELF-14, ELF-15)."""
        want = CACHE_FLAGS.get(machine)
        plain = None
        best: tuple[int, str] | None = None
        for entry in self.cache.get(name, ()):
            if want is not None and entry.flags != want:
                continue
            if not entry.hwcap:
                plain = plain or entry.path
            elif entry.hwcap in levels and (best is None or levels.index(entry.hwcap) < best[0]):
                best = levels.index(entry.hwcap), entry.path
        return best[1] if best else plain

    def hwcaps_levels(self, machine: int) -> tuple[str, ...]:
        """glibc-hwcaps subdirectory names this CPU has, best first; none when the CPU is unknown."""
        if machine != 62 or self.cpu_level is None:
            return ()
        return tuple(f"x86-64-v{n}" for n in range(self.cpu_level, 1, -1))

    def facts(self) -> dict[str, str]:
        """The facts a report prints: names and values as text, only what is known."""
        out = {}
        if self.glibc:
            out["glibc"] = ".".join(map(str, self.glibc))
        if self.macos:
            out["macos"] = ".".join(map(str, self.macos))
        if self.windows_build:
            out["windows"] = str(self.windows_build)
        if self.cpu_level:
            out["cpu"] = f"x86-64-v{self.cpu_level}"
        for soname, nodes in sorted(self.provides.items()):
            top = max((n for n in nodes if n.startswith("GLIBCXX_")), key=version_key, default="")
            if top:
                out["libstdcxx" if soname == "libstdc++.so.6" else soname] = top.removeprefix("GLIBCXX_")
        return out


NOTHING = Host()


def version_key(text: str) -> tuple[int, ...]:
    """The numbers of a version or version node, for comparing (``GLIBCXX_3.4.30`` gives (3, 4, 30))."""
    return tuple(map(int, re.findall(r"\d+", text)))


def this_platform() -> str:
    """The conda subdir of the machine that runs this, or an empty string for machines conda does not know."""
    return SUBDIR_OF_MACHINE.get((platform.system(), platform.machine()), "")


def this_machine(target: str) -> Host:
    """Describe this machine for a prefix of the conda subdir ``target``; nothing when it is for another platform."""
    if this_platform() != target:
        return Host(label="auto: the prefix is for another platform, so the host is unknown")
    if target.startswith("linux"):
        return _this_linux(target)
    if target.startswith("osx"):
        release = tuple(map(int, platform.mac_ver()[0].split(".")[:2]))
        return Host("auto", "this machine", target, complete=True, use_files=True, macos=release)
    build = int(getattr(sys, "getwindowsversion")().build)  # noqa: B009 - exists on Windows only
    return Host("auto", "this machine", target, complete=True, use_files=True, windows_build=build)


def _this_linux(target: str) -> Host:
    machine = {"linux-64": 62, "linux-32": 3, "linux-aarch64": 183, "linux-ppc64le": 21, "linux-s390x": 22}.get(
        target, 0
    )
    version = _confstr_glibc()
    return Host(
        "auto",
        "this machine",
        target,
        complete=True,
        use_files=True,
        libc="glibc" if version else "musl",
        glibc=version,
        cpu_level=_cpu_level() if machine == 62 else None,
        cache=read_ld_so_cache("/etc/ld.so.cache"),
        directories=default_directories(machine),
    )


def _confstr_glibc() -> tuple[int, ...] | None:
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError, AttributeError):
        return None
    return version_key(text)[:2] if text.startswith("glibc") else None


def default_directories(machine: int) -> tuple[str, ...]:
    """glibc's built-in directories: Debian's multiarch ones where they exist, lib64 otherwise (ELF-14)."""
    triple = MULTIARCH.get(machine, "")
    if triple and os.path.isdir(f"/lib/{triple}"):
        return (f"/lib/{triple}", f"/usr/lib/{triple}", "/lib", "/usr/lib")
    return ("/lib64", "/usr/lib64") if machine in (62, 21, 22, 183) else ("/lib", "/usr/lib")


# The flags of each x86-64 level (x86-64 psABI, "Micro-Architecture Levels") as Linux spells them in /proc/cpuinfo.
_LEVELS = (
    ("cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"),
    ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"),
    ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
)


def _cpu_level() -> int:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
            found = re.search(r"^flags\s*:(.*)$", f.read(), re.M)
    except OSError:
        return 1
    flags = set(found[1].split()) if found else set()
    level = 1
    for needed in _LEVELS:
        if not flags.issuperset(needed):
            break
        level += 1
    return level


def read_ld_so_cache(path: str) -> dict[str, tuple[CacheEntry, ...]]:
    """Parse ld.so.cache as glibc 2.2 and later write it (elf/cache.c, dl-cache.h). Unreadable: an empty mapping."""
    try:
        with open(path, "rb") as f:
            data = f.read(64 << 20)
    except OSError:
        return {}
    at = data.find(b"glibc-ld.so.cache1.1")
    if at < 0 or len(data) < at + 48:
        return {}
    count, _strings, _flags, extension = struct.unpack_from("=IIB3xI", data, at + 20)
    if at + 48 + count * 24 > len(data):
        return {}

    def text(offset: int) -> str:
        end = data.find(b"\0", at + offset)
        return data[at + offset : end].decode("utf-8", "replace")

    hwcaps = _hwcap_names(data, at, extension, text)
    out: dict[str, list[CacheEntry]] = {}
    for i in range(count):
        flags, key, value, _os, hwcap = struct.unpack_from("=iIIIQ", data, at + 48 + i * 24)
        subdir = ""
        if hwcap:
            if not hwcap >> 62 & 1 or (hwcap & 0xFFFFFFFF) >= len(hwcaps):
                continue  # legacy hwcap bits: directories that glibc 2.37 and later no longer search
            subdir = hwcaps[hwcap & 0xFFFFFFFF]
        out.setdefault(text(key), []).append(CacheEntry(text(value), flags, subdir))
    return {k: tuple(v) for k, v in out.items()}


def _hwcap_names(data: bytes, at: int, extension: int, text: Callable[[int], str]) -> list[str]:
    """Names of the glibc-hwcaps subdirectories, from the cache's extension section (tag 1)."""
    if not extension or at + extension + 8 > len(data):
        return []
    magic, count = struct.unpack_from("=II", data, at + extension)
    if magic != 0xEAA42174 or count > 64:
        return []
    for i in range(count):
        tag, _flags, offset, size = struct.unpack_from("=IIII", data, at + extension + 8 + i * 16)
        if tag == 1 and at + offset + size <= len(data):
            return [text(o) for (o,) in struct.iter_unpack("=I", data[at + offset : at + offset + size // 4 * 4])]
    return []


# What can be declared, and how each value is written.
_FACTS = {
    "glibc": r"2\.\d{1,3}", "libstdcxx": r"3\.4(\.\d{1,3})?", "macos": r"\d{1,3}(\.\d{1,3}){0,2}",
    "windows": r"(10\.0\.)?\d{1,6}", "cpu": r"x86-64-v[1-4]",
}  # fmt: skip


def declared(text: str, target: str) -> Host:
    """A host from single facts: ``glibc=2.28,libstdcxx=3.4.25,macos=13.0,windows=20348,cpu=x86-64-v3``.

    Raises ``UsageError`` for an unknown key or a value that is no version.
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        key, _, value = part.strip().partition("=")
        if key not in _FACTS or not re.fullmatch(_FACTS[key], value):
            raise UsageError(
                "host-not-understood",
                f"--host {text}: `{part.strip()}` is not understood",
                "use auto, none, a profile name, a host file, or facts like glibc=2.28,libstdcxx=3.4.25,macos=13.0",
            )
        values[key] = value
    provides: dict[str, frozenset[str]] = {}
    if "libstdcxx" in values:
        provides["libstdc++.so.6"] = libstdcxx_nodes(values["libstdcxx"])
    return Host(
        "declared",
        text,
        target,
        libc="glibc" if target.startswith("linux") else "",
        glibc=version_key(values["glibc"]) if "glibc" in values else None,
        macos=(*version_key(values["macos"]), 0)[:2] if "macos" in values else None,
        windows_build=int(values["windows"].removeprefix("10.0.")) if "windows" in values else None,
        cpu_level=int(values["cpu"][-1]) if "cpu" in values else None,
        provides=provides,
    )


def libstdcxx_nodes(top: str) -> frozenset[str]:
    """Version nodes of a libstdc++ whose newest GLIBCXX node is ``top`` (``3.4.25``)."""
    last = version_key(top)[-1] if len(version_key(top)) > 2 else 0
    nodes = {"GLIBCXX_3.4"} | {f"GLIBCXX_3.4.{n}" for n in range(1, last + 1)} | {"CXXABI_1.3"}
    nodes |= {f"CXXABI_1.3.{n}" for n in range(1, (version_key(cxxabi_beside(top))[2:] or (0,))[0] + 1)}
    return frozenset(nodes | {"CXXABI_TM_1", "CXXABI_FLOAT128"})
