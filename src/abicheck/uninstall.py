"""What pip removes when it replaces an installed distribution, or why it cannot (``req/req_uninstall.py``)."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from abicheck.prefix import Distribution, Prefix, list_folder
from abicheck.wheel import pyc_path


@dataclass(frozen=True, slots=True)
class Removal:
    """Files that go, prefix-relative, sorted; ``refusal``: pip stops instead, saying so."""

    paths: tuple[str, ...] = ()
    refusal: str = ""


def uninstall(prefix: Prefix, dist: Distribution, exists: Callable[[str], bool]) -> Removal:
    """What pip removes with ``dist``. ``exists``: whether a path is there at that moment."""
    info = dist.path
    if info.endswith("/EGG-INFO"):
        listed = list(_tree(prefix, dist.site_packages))
    elif info.endswith(".egg-link"):
        listed = [info]
    elif info.endswith(".egg-info") and prefix.is_folder(info):
        listed = list(_flat_egg_info(prefix, dist))
    elif info.endswith(".egg-info"):
        return Removal(
            refusal=f"Cannot uninstall {dist.display_name} {dist.version}: it is a distutils installed project"
            " and thus we cannot accurately determine which files belong to it"
        )
    elif not dist.has_record:
        hint = f"; it was installed by {dist.installer}" if dist.installer and dist.installer != "pip" else ""
        return Removal(refusal=f"Cannot uninstall {dist.display_name} {dist.version}: no RECORD file was found{hint}")
    else:
        listed = list(_recorded(dist))
    paths: set[str] = set()
    for path in (*listed, *_scripts(prefix, dist)):
        paths.update(_with_bytecode(prefix, path, exists))
    return Removal(tuple(sorted(paths)))


def _recorded(dist: Distribution) -> Iterator[str]:
    """RECORD's files; beside each ``.py`` also the bytecode of old, in the same folder."""
    for path in dist.files:
        yield path
        if path.endswith(".py"):
            yield path + "c"
            yield path + "o"


def _flat_egg_info(prefix: Prefix, dist: Distribution) -> Iterator[str]:
    """The metadata folder and what installed-files.txt lists, else everything below the top-level names."""
    yield from _tree(prefix, dist.path)
    listed = dist.read("installed-files.txt")
    if listed is not None:
        for line in listed.decode("utf-8", "replace").splitlines():
            path = posixpath.normpath(posixpath.join(dist.path, line.strip()))
            if line.strip() and not path.startswith(".."):
                yield path
        return
    names = dist.read("top_level.txt")
    namespaces = (dist.read("namespace_packages.txt") or b"").decode("utf-8", "replace").split()
    for name in (names or b"").decode("utf-8", "replace").split():
        if name not in namespaces:
            base = posixpath.join(dist.site_packages, name)
            yield from _tree(prefix, base)
            yield from (base + suffix for suffix in (".py", ".pyc", ".pyo"))


def _tree(prefix: Prefix, path: str) -> Iterator[str]:
    for name, node in sorted(list_folder(prefix.files, path).items()):
        below = posixpath.join(path, name)
        if node.kind == "dir":
            yield from _tree(prefix, below)
        else:
            yield below


def _scripts(prefix: Prefix, dist: Distribution) -> Iterator[str]:
    """Wrappers of entry points, and scripts of old setuptools (the ``scripts`` folder of its metadata)."""
    layout = prefix.layout
    if layout is None:
        return
    for name in dist.scripts:
        path = posixpath.normpath(posixpath.join(layout.scripts, name))
        yield path
        if layout.windows:
            suffix = "-script.pyw" if name in dist.gui_scripts else "-script.py"
            yield from (path + s for s in (".exe", ".exe.manifest", suffix))
    for name in list_folder(prefix.files, posixpath.join(dist.path, "scripts")):
        yield posixpath.join(layout.scripts, name)
        if layout.windows:
            yield posixpath.join(layout.scripts, name + ".bat")


def _with_bytecode(prefix: Prefix, path: str, exists: Callable[[str], bool]) -> Iterator[str]:
    real = prefix.real_parent(path)
    real = prefix.existing(real) or real
    if not exists(real):
        return
    yield real
    if real.endswith(".py") and prefix.layout is not None:
        yield from _with_bytecode(prefix, pyc_path(real, prefix.layout.cache_tag), exists)
