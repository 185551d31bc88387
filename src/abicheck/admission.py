"""Whether pip lets a wheel in: tags against the environment's interpreter, platform and host (PY-1 to PY-6, MUSL-5).

pip goes by the tags of the file *name*; what the WHEEL file says is not compared. A wheel that is refused is not
installed, so nothing else that might be said about it happens.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from packaging.tags import Tag
from packaging.version import InvalidVersion, Version

from abicheck.binary.elf import ElfSlice
from abicheck.errors import BinaryError
from abicheck.host import Host
from abicheck.inputs.markers import python_suits, supported_tags
from abicheck.overlay import View
from abicheck.prefix import Interpreter
from abicheck.wheel import Problem, Wheel

Reason = Literal["platform", "libc", "glibc", "macos", "macos-minor", "python", "requires-python", "broken"]

_MANYLINUX = re.compile(r"manylinux_2_(?P<minor>\d+)_(?P<arch>\w+)")
_LEGACY = re.compile(r"manylinux(?P<name>1|2010|2014)_(?P<arch>\w+)")
_LEGACY_MINOR = {"1": 5, "2010": 12, "2014": 17}
_MUSLLINUX = re.compile(r"musllinux_1_(?P<minor>\d+)_(?P<arch>\w+)")
_MACOSX = re.compile(r"macosx_(?P<major>\d+)_(?P<minor>\d+)_(?P<arch>\w+)")
STRICT_PIP = Version("24.1")  # its release notes: legacy versions and specifiers are not supported any more
NEWEST_MUSL = 2  # musllinux_1_N: no release of musl is above 1.2, so no wheel promises more


@dataclass(frozen=True, slots=True)
class PlatformTag:
    """A platform tag taken apart. ``system``: linux, osx, win, any, or the tag itself when it is none of these.
    ``libc``: glibc, musl or empty. ``floor``: glibc, musl or macOS version that it asks for, empty when none."""

    text: str
    system: str
    arch: str
    libc: str = ""
    floor: tuple[int, ...] = ()


def platform_tag(text: str) -> PlatformTag:
    """Take a platform tag apart; never fails."""
    if text == "any":
        return PlatformTag(text, "any", "")
    if m := _MANYLINUX.fullmatch(text):
        return PlatformTag(text, "linux", m["arch"], "glibc", (2, int(m["minor"])))
    if m := _LEGACY.fullmatch(text):
        return PlatformTag(text, "linux", m["arch"], "glibc", (2, _LEGACY_MINOR[m["name"]]))
    if m := _MUSLLINUX.fullmatch(text):
        return PlatformTag(text, "linux", m["arch"], "musl", (1, int(m["minor"])))
    if m := _MACOSX.fullmatch(text):
        return PlatformTag(text, "osx", m["arch"], "", (int(m["major"]), int(m["minor"])))
    if text.startswith("linux_"):
        return PlatformTag(text, "linux", text.removeprefix("linux_"))
    if text == "win32":
        return PlatformTag(text, "win", "win32")
    if text.startswith("win_"):
        return PlatformTag(text, "win", text)
    return PlatformTag(text, text, "")


@dataclass(frozen=True, slots=True, eq=False)
class Refusal:
    """Why pip refuses a wheel. ``tag``: the wheel's tag that comes nearest to fitting; ``reasons``: what is wrong with
    that one; ``accepted``: all tags that this environment takes, best first; ``problem``: what is wrong inside the
    wheel when that is the reason (``broken``)."""

    wheel: Wheel
    tag: Tag
    reasons: tuple[Reason, ...]
    accepted: tuple[Tag, ...]
    problem: Problem | None = None

    @property
    def host_decides(self) -> bool:
        """Whether the refusal rests on what is known of the host and on nothing else."""
        return set(self.reasons) <= {"glibc", "macos"}


def built_for_musl(view: View, interpreter: Interpreter, host: Host) -> bool:
    """Whether the environment's Python runs on musl: its own file says so (packaging reads PT_INTERP, MUSL-5). What the
    host has decides only when the file cannot be read."""
    try:
        binary = view.binary(view.lookup(posixpath.join(view.root, interpreter.executable)))
    except BinaryError:
        binary = None
    part = binary.slices[0] if binary is not None else None
    if isinstance(part, ElfSlice) and part.interp is not None:
        return "ld-musl" in part.interp
    return host.libc == "musl"


def accepted_tags(interpreter: Interpreter, subdir: str, host: Host, *, musl: bool = False) -> tuple[Tag, ...]:
    """Tags that pip accepts there, best first. What is unknown of the host excludes nothing (GEN-6).

    ``musl``: the interpreter is built for musl, as no conda package is (:func:`built_for_musl`)."""
    tags = supported_tags(interpreter, subdir)
    if musl:
        tags = tuple(_for_musl(tags))
    return tuple(t for t in tags if not _platform_reason(platform_tag(t.platform), host))


def _for_musl(tags: Iterable[Tag]) -> Iterator[Tag]:
    """The same interpreter on musl: musllinux instead of manylinux (packaging reads PT_INTERP, MUSL-5)."""
    done: set[tuple[str, str]] = set()
    for tag in tags:
        platform = platform_tag(tag.platform)
        if platform.libc != "glibc":
            yield tag
        elif (tag.interpreter, tag.abi) not in done:
            done.add((tag.interpreter, tag.abi))
            for minor in range(NEWEST_MUSL, -1, -1):
                yield Tag(tag.interpreter, tag.abi, f"musllinux_1_{minor}_{platform.arch}")


def _platform_reason(tag: PlatformTag, host: Host) -> Reason | None:
    if tag.libc == "glibc" and host.glibc is not None and tag.floor > host.glibc[:2]:
        return "glibc"
    if tag.system == "osx" and host.macos is not None and tag.floor > host.macos[:2]:
        return "macos"
    return None


def refusal(
    wheel: Wheel, interpreter: Interpreter, subdir: str, host: Host, *, musl: bool = False, pip: str = ""
) -> Refusal | None:
    """Why pip would not install the wheel there; None when it would. ``pip``: its version there, empty: the newest."""
    accepted = accepted_tags(interpreter, subdir, host, musl=musl)
    if wheel.tags.isdisjoint(accepted):
        tag, reasons = _nearest(wheel.tags, accepted, subdir, host)
        return Refusal(wheel, tag, reasons, accepted)
    if not python_suits(wheel.requires_python, interpreter.version):
        best = next(t for t in accepted if t in wheel.tags)
        return Refusal(wheel, best, ("requires-python",), accepted)
    problem = next((p for p in wheel.problems if p.refused and _is_refused(p, pip)), None)
    if problem is not None:
        best = next(t for t in accepted if t in wheel.tags)
        return Refusal(wheel, best, ("broken",), accepted, problem)
    return None


def _is_refused(problem: Problem, pip: str) -> bool:
    """pip took requirements that are none (``torch (>=1.8.*)``) until it parsed metadata strictly."""
    if problem.kind != "requirement-invalid":
        return True
    try:
        return not pip or Version(pip) >= STRICT_PIP
    except InvalidVersion:
        return True


def _nearest(tags: Iterable[Tag], accepted: tuple[Tag, ...], subdir: str, host: Host) -> tuple[Tag, tuple[Reason, ...]]:
    found = [(_reasons(t, accepted, subdir, host), t) for t in sorted(tags, key=str)]
    reasons, tag = min(
        found, key=lambda f: (len(f[0]), [_RANK[r] for r in f[0]], platform_tag(f[1].platform).floor, str(f[1]))
    )
    return tag, reasons


_RANK: dict[Reason, int] = {
    "glibc": 0, "macos": 0, "macos-minor": 1, "python": 2, "libc": 3, "platform": 4, "requires-python": 5, "broken": 6,
}  # fmt: skip


def _reasons(tag: Tag, accepted: tuple[Tag, ...], subdir: str, host: Host) -> tuple[Reason, ...]:
    out: list[Reason] = []
    platforms = {t.platform for t in accepted}
    if tag.platform not in platforms:
        out.append(_misfit(platform_tag(tag.platform), platforms, subdir, host))
    if (tag.interpreter, tag.abi) not in {(t.interpreter, t.abi) for t in accepted}:
        out.append("python")
    return tuple(out) or ("python",)


def _misfit(tag: PlatformTag, platforms: set[str], subdir: str, host: Host) -> Reason:
    mine = [platform_tag(p) for p in platforms]
    if tag.system != subdir.partition("-")[0] or not any(p.arch == tag.arch for p in mine):
        return "platform"
    if tag.system == "linux" and tag.libc and not any(p.libc == tag.libc for p in mine):
        return "libc"
    if tag.system == "osx" and tag.floor >= (11,) and tag.floor[1]:
        return "macos-minor"
    return _platform_reason(tag, host) or "platform"
