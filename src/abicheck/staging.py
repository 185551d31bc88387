"""Prefix and transaction -> views: the environment as it is, and as it will be after the install (PY-11 to PY-13).

Nothing is written: the files that pip would add and remove become a layer over the prefix's own files.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from abicheck.binary.source import ByteSource
from abicheck.host import Host
from abicheck.model import Origin
from abicheck.overlay import View
from abicheck.prefix import Files, Prefix
from abicheck.trees import (
    DiskTree,
    Entry,
    Layer,
    LayeredTree,
    Listing,
    MemoryTree,
    NamedFolders,
    RecordedTree,
    SplitTree,
    Tree,
    bytes_entry,
)
from abicheck.wheel import Target, Wheel


@dataclass(frozen=True, slots=True)
class Placed:
    """A wheel with the files it will write."""

    wheel: Wheel
    origin: Origin
    targets: tuple[Target, ...]


class FilesTree:
    """The prefix's own files as a tree of absolute paths."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._root = files.root

    def listing(self, path: str) -> Listing | None:
        return self._files.listing(path[len(self._root) + 1 :] if path != self._root else "")


def wheel_origin(wheel: Wheel) -> Origin:
    return Origin("wheel", wheel.display_name, wheel.version)


def view_before(prefix: Prefix, host: Host) -> View:
    """The environment as it is now."""
    return View(prefix.root, _split(prefix, _own_tree(prefix), host), prefix.origin, fold_case=prefix.fold_case)


def view_after(
    prefix: Prefix, host: Host, placed: Iterable[Placed], removed: Iterable[str], before: View | None = None
) -> View:
    """The environment as pip will leave it: ``removed`` (prefix-relative) are files of distributions it uninstalls.
    ``before``: the view of it as it is, when there is one already."""
    places = _Places(before or view_before(prefix, host), prefix.fold_case)
    layer = Layer(removed={places.of(p) for p in removed})
    gone = {prefix.key(p[len(prefix.root) + 1 :]) for p in layer.removed}
    owners: dict[str, Origin] = {}
    for item in placed:
        for target in item.targets:
            entry = _target_entry(item.wheel, target)
            if entry is not None:
                path = places.of(target.path)
                layer.added[path] = entry
                owners[prefix.key(path[len(prefix.root) + 1 :])] = item.origin
    tree = LayeredTree(_own_tree(prefix), layer)

    def owner(path: str) -> Origin | None:
        key = prefix.key(path)
        return owners[key] if key in owners else None if key in gone else prefix.origin(path)

    return View(prefix.root, _split(prefix, tree, host), owner, fold_case=prefix.fold_case)


class _Places:
    """Where a path of the prefix really lies: behind linked directories, and by the names that are there already where
    the platform does not tell letter case apart. The file itself is not followed: pip unlinks it and writes anew."""

    def __init__(self, before: View, fold_case: bool) -> None:
        self._view = before
        self._fold = fold_case
        self._folders: dict[str, str] = {"": before.root}
        self._names: dict[str, dict[str, str]] = {}

    def of(self, path: str) -> str:
        """Absolute place of a prefix-relative path."""
        folder, name = posixpath.split(path)
        if folder not in self._folders:
            at = self.of(folder)
            found = self._view.lookup(at)
            self._folders[folder] = found.real if found.status == "dir" and self._inside(found.real) else at
        here = self._folders[folder]
        return posixpath.join(here, self._spelled(here, name))

    def _inside(self, real: str) -> bool:
        return real.startswith(self._view.root + "/")

    def _spelled(self, folder: str, name: str) -> str:
        if not self._fold:
            return name
        if folder not in self._names:
            self._names[folder] = {n.lower(): n for n in sorted(self._view.listing(folder) or {}, reverse=True)}
        return self._names[folder].setdefault(name.lower(), name)


def _own_tree(prefix: Prefix) -> Tree:
    recorded = [posixpath.join(prefix.root, p) for p in prefix.recorded_paths]
    tree: Tree = FilesTree(prefix.files)
    pointers = [posixpath.join(prefix.root, p) for p in prefix.pointers]
    return RecordedTree(tree, recorded, pointers) if recorded else tree


def _split(prefix: Prefix, tree: Tree, host: Host) -> Tree:
    outside = DiskTree() if host.use_files else _home(prefix)
    if host.named and not host.use_files:
        outside = NamedFolders(host.named, outside)
    return SplitTree(prefix.root, tree, outside)


def _home(prefix: Prefix) -> Tree | None:
    """Where the environment lives, as a link to where its files lie: what this machine looks at is then a copy of it (a
    checkout, a container's layer, a snapshot), and conda wrote the real place into run paths and install names (MAC-2,
    MAC-6). An environment that this machine itself runs is taken as it lies."""
    home = prefix.interpreter.home if prefix.interpreter is not None else ""
    if len(home) < 2 or f"{prefix.root}/".lower().startswith(f"{home}/".lower()):
        return None
    return MemoryTree({home: Entry("link", target=prefix.root)})


def _target_entry(wheel: Wheel, target: Target) -> Entry | None:
    """The entry of a file that pip will write. Generated files (wrappers, RECORD) have content we need not know."""
    if target.member is None:
        return bytes_entry(target.path, b"", ("generated", wheel.filename, target.path))
    member = wheel.member(target.member)
    if member is None:
        return None
    opener: Callable[[], ByteSource] = functools.partial(wheel.source, member)
    return Entry(
        "file", ("wheel", wheel.filename, member.name), size=member.size, source=opener, member=member.name,
        stamp=wheel.stamp(member),
    )  # fmt: skip
