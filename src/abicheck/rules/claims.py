"""Which of ABI002, ABI003 and ABI004 speaks of a failing load that ABI101, 102, 201 and 202 would otherwise tell.

One cause, one finding: a load that fails because the file was built for another machine, Python or system is told as
that, not as the missing library or symbol in which it shows.
"""

from __future__ import annotations

import re
from typing import Literal

from abicheck.binary.facts import Binary
from abicheck.loader.process import Failure
from abicheck.rules.promises import breaks_promise
from abicheck.rules.scene import Scene

Claimant = Literal["ABI002", "ABI003", "ABI004"]

FORMATS = {"linux": "elf", "osx": "macho", "win": "pe"}
_ARCHES = {
    "linux-64": "x86_64", "linux-32": "i686", "linux-aarch64": "aarch64", "linux-ppc64le": "ppc64le",
    "linux-s390x": "s390x", "linux-armv7l": "armv7l", "linux-riscv64": "riscv64", "osx-64": "x86_64",
    "osx-arm64": "arm64", "win-64": "x86_64", "win-32": "i386", "win-arm64": "arm64",
}  # fmt: skip
_SUITS = {"osx-64": ("x86_64", "x86_64h"), "win-arm64": ("arm64", "arm64x")}
_PYTHON_DLL = re.compile(r"python3(\d{1,2})(t?)(_d)?\.dll", re.IGNORECASE)
_LIBPYTHON = re.compile(r"libpython3\.(\d+)(t?)(d?)[\w.]*\.(?:so|dylib)\b")
_FRAMEWORK = re.compile(r"Python(T?)\.framework/Versions/3\.(\d+)(t?)/")
_MUSL_LIBC = re.compile(r"libc\.musl-\w+\.so\.1|ld-musl-\w+\.so\.1|libc\.so")


def claimant(scene: Scene, failure: Failure) -> Claimant | None:
    """The rule that speaks of a failure instead of the one of its loader class; None when none does."""
    if failure.kind == "MISSING_SYMBOL":
        return "ABI003" if is_python_symbol(failure.symbol) else None
    if failure.kind in ("MISSING_LIB", "LOAD_REJECTED"):
        if failure.rule == "WIN-20" or other_python(scene, failure.library):
            return "ABI003"
        if failure.rule == "ELF-48":
            return "ABI004"
        if alien_file(scene, failure) is not None or needs_musl(scene, failure):
            return "ABI002"
    if failure.kind == "MISSING_VERSION" and is_glibc_floor(scene, failure):
        return "ABI002" if breaks_promise(scene, failure) else "ABI004"
    return None


def is_python_symbol(symbol: str) -> bool:
    """Whether a symbol has a name of Python's C-API: ``Py...``, ``_Py...`` (Mach-O: with one more underscore)."""
    return symbol.startswith(("Py", "_Py", "__Py"))


def other_python(scene: Scene, library: str) -> str:
    """``3.10`` or ``3.13t`` when a library's name is that of another interpreter's Python library; empty otherwise."""
    i = scene.interpreter
    dll = _PYTHON_DLL.fullmatch(library.rpartition("/")[2])
    if dll is not None:
        found = int(dll[1]), dll[2], "d" if dll[3] else ""
    elif lib := _LIBPYTHON.search(library):
        found = int(lib[1]), lib[2], lib[3]
    elif framework := _FRAMEWORK.search(library):
        found = int(framework[2]), framework[3] or framework[1].lower(), ""
    else:
        return ""
    same = found == (i.minor[1], "t" if i.free_threaded else "", "d" if i.debug else "")
    return "" if same else f"3.{found[0]}{found[1]}{found[2]}"


def is_glibc_floor(scene: Scene, failure: Failure) -> bool:
    """Whether a missing version is one of the host's own glibc (ELF-43)."""
    ours = failure.provider.startswith(scene.view.root + "/")
    return failure.version.startswith("GLIBC_") and not ours


def needs_musl(scene: Scene, failure: Failure) -> bool:
    """Whether a subject's file asks for musl's libc on a glibc system (MUSL-5)."""
    return (
        scene.system == "linux"
        and scene.host.libc != "musl"
        and _MUSL_LIBC.fullmatch(failure.library) is not None
        and scene.view.origin(failure.requester) in scene.subject_origins
    )


def alien_file(scene: Scene, failure: Failure) -> str | None:
    """The subject's file that this failure is about and that is not for this process; None when there is none."""
    paths = [
        failure.provider,
        failure.library,
        *(a.path for a in failure.attempts if a.outcome not in ("absent", "found")),
    ]
    for path in dict.fromkeys(paths):
        if path.startswith("/") and scene.view.origin(scene.view.lookup(path).real) in scene.subject_origins:
            binary, _ = scene.read(path)
            if binary is not None and alien(scene, binary):
                return path
    return None


def alien(scene: Scene, binary: Binary) -> str:
    """What a file is for that a process of the environment cannot map: ``aarch64``, ``macOS``; empty when it can."""
    if binary.format != FORMATS[scene.system]:
        return {"elf": "Linux", "macho": "macOS", "pe": "Windows"}[binary.format]
    if not suits(scene.subdir, binary):
        return " and ".join(dict.fromkeys(s.arch for s in binary.slices))
    return ""


def suits(subdir: str, binary: Binary) -> bool:
    """Whether a file of the right format has code for the environment's processor."""
    wanted = _SUITS.get(subdir, (_ARCHES.get(subdir, ""),))
    return any(s.arch in wanted for s in binary.slices)


def process_arch(subdir: str) -> str:
    """The word for the processor of an environment's processes, as ``Slice.arch`` says it."""
    return _ARCHES.get(subdir, "")
