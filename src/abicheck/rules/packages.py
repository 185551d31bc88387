"""Which import packages a set of files makes: regular packages and modules, below namespaces if need be."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

_MODULES = (".py", ".so", ".pyd")
DEPTH = 3  # namespaces are looked through this deep (google.cloud.storage)


def import_packages(files: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Regular packages and top-level modules of site-packages-relative files: dotted name to its files, sorted.

    A folder with an ``__init__`` is a regular package; one without is a namespace, and what is below it counts.
    """
    paths = [f for f in files if _counts(f)]
    return {n: tuple(sorted(f)) for n, f in _packages(paths, "", DEPTH).items()}


def _counts(path: str) -> bool:
    first = path.partition("/")[0]
    return (
        "__pycache__" not in path
        and not first.endswith((".dist-info", ".egg-info", ".data", ".libs"))
        and first != ".."
    )


def _packages(paths: list[str], base: str, depth: int) -> dict[str, list[str]]:
    folders: dict[str, list[str]] = {}
    out: dict[str, list[str]] = {}
    for path in paths:
        rest = path[len(base) :]
        first, slash, _ = rest.partition("/")
        if slash:
            folders.setdefault(first, []).append(path)
        elif rest.endswith(_MODULES) and not rest.startswith("__init__."):
            stem = rest.partition(".")[0]
            if stem.isidentifier():
                out.setdefault(_dotted(base, stem), []).append(path)
    for name, inside in folders.items():
        if not name.isidentifier():
            continue
        if any(posixpath.basename(p).startswith("__init__.") and posixpath.dirname(p) == base + name for p in inside):
            out.setdefault(_dotted(base, name), []).extend(inside)
        elif depth > 1:
            for dotted, below in _packages(inside, f"{base}{name}/", depth - 1).items():
                out.setdefault(dotted, []).extend(below)
    return out


def _dotted(base: str, name: str) -> str:
    return base.replace("/", ".") + name
