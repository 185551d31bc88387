"""Where pip puts what (PY-11): every file that installing a wheel writes, prefix-relative, without writing any.

The order and the special cases are those of pip's ``operations/install/wheel.py`` and of the script maker it carries.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from abicheck.distinfo import script_name

if TYPE_CHECKING:
    from abicheck.wheel.reading import Wheel

TargetKind = Literal["file", "script", "generated", "pyc"]
_VERSIONED = {"pip": re.compile(r"pip(\d+(\.\d+)?)?$"), "easy_install": re.compile(r"easy_install(-\d+\.\d+)?$")}


class InstallLayout(Protocol):
    """The directories pip installs into, prefix-relative, ``/``-separated, ``""`` for the prefix itself."""

    @property
    def purelib(self) -> str: ...
    @property
    def platlib(self) -> str: ...
    @property
    def scripts(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def headers(self) -> str: ...
    @property
    def windows(self) -> bool: ...
    @property
    def python(self) -> tuple[int, int]: ...
    @property
    def cache_tag(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Target:
    """One file that pip writes. ``path`` is prefix-relative; ``member`` the archive name, None when pip makes it.

    ``kind``: file (copied), script (copied, its first line may be rewritten), generated (wrappers, INSTALLER ...), pyc.
    """

    path: str
    member: str | None
    kind: TargetKind


def plan_install(
    wheel: Wheel,
    layout: InstallLayout,
    *,
    requested: bool = True,
    direct_url: bool = True,
    dist_name: str | None = None,
    compiles: Callable[[str], bool] | None = None,
) -> tuple[Target, ...]:
    """Every file that ``pip install`` of this wheel writes, each path once (the last writer wins), in pip's order.

    Args:
        requested: the wheel is named by the user (pip writes REQUESTED), not dragged in.
        direct_url: it is installed from a path or an address (pip writes direct_url.json), not from an index.
        dist_name: the name in the headers directory; default: the normalised name, as for a wheel given by path.
        compiles: whether a ``.py`` member is accepted by the target's compiler; default: all are (a file with a syntax
            error gets no ``.pyc``).
    """
    targets: dict[str, Target] = {}

    def put(target: Target) -> None:
        targets.pop(target.path, None)
        targets[target.path] = target

    for target in _copied(wheel, layout, dist_name or wheel.name):
        put(target)
    for path in sorted(targets):
        member = targets[path].member
        if path.endswith(".py") and (compiles is None or (member is not None and compiles(member))):
            put(Target(pyc_path(path, layout.cache_tag), None, "pyc"))
    for path in _wrappers(wheel, layout):
        put(Target(path, None, "generated"))
    info = posixpath.join(_root(wheel, layout), wheel.dist_info)
    for name, wanted in (
        ("INSTALLER", True),
        ("direct_url.json", direct_url),
        ("REQUESTED", requested),
        ("RECORD", True),
    ):
        if wanted:
            put(Target(posixpath.join(info, name), None, "generated"))
    return tuple(targets.values())


def pyc_path(path: str, cache_tag: str) -> str:
    """Where the compiler puts the bytecode of ``path`` (``a/b.py`` -> ``a/__pycache__/b.cpython-312.pyc``)."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, "__pycache__", f"{name.rpartition('.')[0]}.{cache_tag}.pyc")


def installed_path(wheel: Wheel, layout: InstallLayout, member: str, dist_name: str | None = None) -> str | None:
    """Where one member lands, or None when pip refuses it (an unknown scheme of the ``.data`` folder)."""
    first, _, rest = member.partition("/")
    if not (first.endswith(".data") and rest):
        return posixpath.normpath(posixpath.join(_root(wheel, layout), member))
    scheme, _, below = rest.partition("/")
    base = {
        "purelib": layout.purelib,
        "platlib": layout.platlib,
        "headers": posixpath.join(layout.headers, dist_name or wheel.name),
        "scripts": layout.scripts,
        "data": layout.data,
    }.get(scheme)
    return posixpath.normpath(posixpath.join(base, below)) if base is not None and below else None


def _root(wheel: Wheel, layout: InstallLayout) -> str:
    return layout.purelib if wheel.root_is_purelib else layout.platlib


def _copied(wheel: Wheel, layout: InstallLayout, dist_name: str) -> Iterator[Target]:
    """Members in pip's order: the root, the other schemes, then scripts without the wrappers that setuptools left."""
    root, other, scripts = [], [], []
    for member in wheel.members:
        path = installed_path(wheel, layout, member.name, dist_name)
        if path is None:
            continue
        parts = member.name.split("/", 2)
        if not parts[0].endswith(".data"):
            root.append(Target(path, member.name, "file"))
        elif len(parts) > 2 and parts[1] == "scripts":
            if _bare(posixpath.basename(path)) not in wheel.console_scripts | wheel.gui_scripts:
                scripts.append(Target(path, member.name, "script"))
        else:
            other.append(Target(path, member.name, "file"))
    yield from root
    yield from other
    yield from scripts


def _bare(name: str) -> str:
    """The entry point a file in the scripts folder would be a wrapper of."""
    low = name.lower()
    for suffix in (".exe", "-script.py", ".pya"):
        if low.endswith(suffix):
            return name[: -len(suffix)]
    return name


def _wrappers(wheel: Wheel, layout: InstallLayout) -> Iterator[str]:
    console = dict(wheel.console_scripts)
    names: list[str | None] = []
    major, minor = layout.python
    for base, versions in (("pip", ("", f"{major}", f"{major}.{minor}")), ("easy_install", ("", f"-{major}.{minor}"))):
        value = console.pop(base, None)
        if value:
            names += [script_name(base + v, value) for v in versions]
            console = {k: v for k, v in console.items() if not _VERSIONED[base].match(k)}
    names += [script_name(k, v) for k, v in (console | wheel.gui_scripts).items()]
    for name in names:
        if name is not None:
            path = posixpath.normpath(posixpath.join(layout.scripts, name))
            yield _launcher(path) if layout.windows else path


def _launcher(path: str) -> str:
    """On Windows every wrapper is an ``.exe``; a name that ends in ``.py`` or ``.pyw`` loses that first."""
    stem, suffix = posixpath.splitext(path)
    return (stem if suffix.startswith(".py") else path) + ".exe"
