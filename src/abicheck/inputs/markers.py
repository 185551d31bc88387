"""The prefix's side of markers and tags: what ``Requires-Dist`` and a lock file mean *there*, never on this machine."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags, mac_platforms
from packaging.version import InvalidVersion, Version

from abicheck.prefix import Interpreter

# subdir -> (platform_machine as Python gives it there, architecture in wheel tags)
_MACHINES = {
    "linux-64": ("x86_64", "x86_64"),
    "linux-32": ("i686", "i686"),
    "linux-aarch64": ("aarch64", "aarch64"),
    "linux-ppc64le": ("ppc64le", "ppc64le"),
    "linux-s390x": ("s390x", "s390x"),
    "linux-armv7l": ("armv7l", "armv7l"),
    "linux-riscv64": ("riscv64", "riscv64"),
    "osx-64": ("x86_64", "x86_64"),
    "osx-arm64": ("arm64", "arm64"),
    "win-64": ("AMD64", "win_amd64"),
    "win-32": ("x86", "win32"),
    "win-arm64": ("ARM64", "win_arm64"),
}
_NAMES = {"linux": ("posix", "Linux", "linux"), "osx": ("posix", "Darwin", "darwin"), "win": ("nt", "Windows", "win32")}
_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalVM"}
NEWEST_GLIBC = 60  # more than any wheel promises; which glibc there is decides another rule, not the choice of a file
NEWEST_MACOS = (40, 0)


def marker_environment(interpreter: Interpreter, subdir: str) -> dict[str, str]:
    """The marker variables of the prefix's interpreter. Release and version of its kernel are not known: empty."""
    os_name, system, sys_platform = _NAMES.get(subdir.partition("-")[0], ("", "", ""))
    major, minor = interpreter.minor
    return {
        "implementation_name": interpreter.implementation,
        "implementation_version": interpreter.version,
        "os_name": os_name,
        "platform_machine": _MACHINES.get(subdir, ("", ""))[0],
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": interpreter.version,
        "platform_python_implementation": _IMPLEMENTATIONS.get(interpreter.implementation, interpreter.implementation),
        "python_version": f"{major}.{minor}",
        "sys_platform": sys_platform,
    }


def marker_holds(marker: Marker | None, environment: dict[str, str], extras: Iterable[str] = ()) -> bool:
    """Whether a requirement applies, with no extra or with any of those asked for."""
    if marker is None:
        return True
    try:
        return any(marker.evaluate({**environment, "extra": e}) for e in ("", *extras))
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


@functools.cache
def supported_tags(interpreter: Interpreter, subdir: str) -> tuple[Tag, ...]:
    """Tags of wheels that fit the interpreter on the newest system of its platform, best first (PY-1, PY-3 to PY-5)."""
    platforms = list(_platforms(subdir))
    own: Iterator[Tag]
    if interpreter.implementation == "cpython":
        own = cpython_tags(interpreter.minor, list(interpreter.abi_tags), platforms)
    else:
        short = "pp" if interpreter.implementation == "pypy" else "graalpy"
        own = generic_tags(f"{short}{interpreter.minor[0]}{interpreter.minor[1]}", interpreter.abi_tags, platforms)
    name = f"{'cp' if interpreter.implementation == 'cpython' else 'pp'}{interpreter.minor[0]}{interpreter.minor[1]}"
    return (*own, *compatible_tags(interpreter.minor, name, platforms))


def _platforms(subdir: str) -> Iterator[str]:
    system = subdir.partition("-")[0]
    arch = _MACHINES.get(subdir, ("", ""))[1]
    if system == "osx":
        yield from mac_platforms(NEWEST_MACOS, arch)
    elif system == "win":
        yield arch
    elif system == "linux":
        legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        for minor in range(NEWEST_GLIBC, 4, -1):
            yield f"manylinux_2_{minor}_{arch}"
            if minor in legacy:
                yield f"{legacy[minor]}_{arch}"
        yield f"linux_{arch}"


def rank(tags: frozenset[Tag], supported: tuple[Tag, ...]) -> int | None:
    """How good a wheel fits, 0 best; None when it does not."""
    return next((n for n, tag in enumerate(supported) if tag in tags), None)


def python_suits(requires: str, version: str) -> bool:
    """Requires-Python as pip reads it: prereleases count, and what cannot be read is no condition."""
    try:
        return SpecifierSet(requires).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True
