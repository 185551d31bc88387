"""Directory trees: what lies in each directory of this machine, of memory, of conda's records, laid over each other.

A tree lists; it follows no links and knows no owners (``overlay.View`` does). Nothing is ever written.
"""

from __future__ import annotations

import functools
import os
import posixpath
import stat
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from abicheck.binary.source import ByteSource, BytesSource, DiskSource
from abicheck.cache import disk_stamp

EntryKind = Literal["file", "dir", "link", "other", "recorded"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One directory entry.

    ``ident`` is the file's identity (device and inode, or member of a wheel): equal idents are one file (GEN-5).
    ``size`` in bytes; ``target`` of a link as it stands there; ``source`` opens the content. ``recorded``: conda-meta
    lists the file but it is not here (a partial checkout): its content is unknown, not absent. ``member``: the name in
    the wheel that brings it. ``stamp`` tells this content from any other one, in later runs too (``cache``); None when
    nothing does.
    """

    kind: EntryKind
    ident: Hashable = None
    target: str = ""
    size: int = 0
    source: Callable[[], ByteSource] | None = None
    member: str | None = None
    stamp: Hashable = None


Listing = Mapping[str, Entry]


class Tree(Protocol):
    """A source of directory listings. ``path`` is absolute, normal, free of links. None: no such directory."""

    def listing(self, path: str) -> Listing | None: ...


class DiskTree:
    """Directories of this machine, listed once each."""

    def __init__(self) -> None:
        self._seen: dict[str, Listing | None] = {}

    def listing(self, path: str) -> Listing | None:
        if path not in self._seen:
            self._seen[path] = self._read(path)
        return self._seen[path]

    @staticmethod
    def _read(path: str) -> Listing | None:
        try:
            # The root of a Windows drive is "C:" here; to Windows that is the drive's current directory.
            return list_directory(path + "/" if path.endswith(":") else path)
        except OSError:
            return {}  # the host's: what this user may not list, the loaders that he starts do not find either


def list_directory(path: str) -> Listing | None:
    """Entries of a directory of this machine, links not followed; None when it is none. Raises ``OSError``."""
    try:
        with os.scandir(path) as it:
            return {e.name: _disk_entry(e) for e in it}
    except (FileNotFoundError, NotADirectoryError):
        return None


def _disk_entry(e: os.DirEntry[str]) -> Entry:
    path = e.path
    try:
        if e.is_symlink():
            return Entry("link", target=os.readlink(path))
        if e.is_dir(follow_symlinks=False):
            return Entry("dir", ident=path)
        st = os.lstat(path)
    except OSError:
        return Entry("other")
    if not stat.S_ISREG(st.st_mode):
        return Entry("other")
    stamp = disk_stamp(path, st)
    return Entry("file", ident=(st.st_dev, st.st_ino), size=st.st_size, source=lambda: DiskSource(path), stamp=stamp)


class MemoryTree:
    """Files given as a mapping of path to entry; directories follow from the paths. ``root``: the directory above all
    of them, ``""`` for relative paths."""

    def __init__(self, files: Mapping[str, Entry], root: str = "/") -> None:
        self._dirs: dict[str, dict[str, Entry]] = {root: {}}
        for path, entry in files.items():
            parent, name = posixpath.split(path)
            self._directory(parent)[name] = entry

    def _directory(self, path: str) -> dict[str, Entry]:
        if path not in self._dirs:
            parent, name = posixpath.split(path)
            self._directory(parent)[name] = Entry("dir", ident=path)
            self._dirs[path] = {}
        return self._dirs[path]

    def listing(self, path: str) -> Listing | None:
        return self._dirs.get(path)


def bytes_entry(path: str, data: bytes, ident: Hashable = None) -> Entry:
    """A file entry whose content is in memory; its identity is its path unless another one is given."""
    return Entry("file", ident or ("memory", path), size=len(data), source=functools.partial(BytesSource, path, data))


@dataclass(slots=True)
class Layer:
    """What the install changes: files added (absolute path to entry and owner) and files removed."""

    added: dict[str, Entry] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


class LayeredTree:
    """A base tree with a :class:`Layer` over it. Added files replace what was there (pip unlinks and writes; PY-13)."""

    def __init__(self, base: Tree, layer: Layer) -> None:
        self._base = base
        self._added = MemoryTree(layer.added)
        self._removed: dict[str, set[str]] = {}
        for path in layer.removed:
            parent, name = posixpath.split(path)
            self._removed.setdefault(parent, set()).add(name)
        self._seen: dict[str, Listing | None] = {}

    def listing(self, path: str) -> Listing | None:
        if path not in self._seen:
            self._seen[path] = self._merge(path)
        return self._seen[path]

    def _merge(self, path: str) -> Listing | None:
        below, above = self._base.listing(path), self._added.listing(path)
        gone = self._removed.get(path)
        if above is None and not gone:
            return below
        out = {n: e for n, e in (below or {}).items() if not gone or n not in gone}
        for name, entry in (above or {}).items():
            # A directory that exists (or is a link to one) stays what it is; files are replaced.
            if not (entry.kind == "dir" and name in out and out[name].kind in ("dir", "link")):
                out[name] = entry
        return out if out or below is not None or above is not None else None


class RecordedTree:
    """A base tree to which files that only conda's records know are added as ``recorded`` (content unknown). What
    is there stays, but for ``pointers``: files of Git LFS that stand for one of them."""

    def __init__(self, base: Tree, recorded: Iterable[str], pointers: Iterable[str] = ()) -> None:
        self._base = base
        self._pointers = frozenset(pointers)
        self._recorded = MemoryTree({p: Entry("recorded", ident=("recorded", p)) for p in recorded})

    def listing(self, path: str) -> Listing | None:
        below, known = self._base.listing(path), self._recorded.listing(path)
        if known is None:
            return below
        stands = {n for n in known if posixpath.join(path, n) in self._pointers}
        return {**known, **{n: e for n, e in (below or {}).items() if n not in stands}}


class SplitTree:
    """The prefix's tree below its root, the host's (or nothing) elsewhere."""

    def __init__(self, root: str, inside: Tree, outside: Tree | None) -> None:
        self._root, self._inside, self._outside = root, inside, outside
        self._above = {a: posixpath.basename(b) for a, b in _ancestors(root)}

    def listing(self, path: str) -> Listing | None:
        if path == self._root or path.startswith(self._root + "/"):
            return self._inside.listing(path)
        out = self._outside.listing(path) if self._outside else None
        child = self._above.get(path)
        if child is not None and (out is None or child not in out):
            return {**(out or {}), child: Entry("dir", ident=posixpath.join(path, child))}
        return out


class NamedFolders:
    """Some folders of this machine as they lie, another tree (or nothing) elsewhere."""

    def __init__(self, folders: Iterable[str], elsewhere: Tree | None) -> None:
        self._folders = tuple(dict.fromkeys(folders))
        self._disk, self._elsewhere = DiskTree(), elsewhere
        self._above: dict[str, dict[str, Entry]] = {}
        for folder in self._folders:
            for parent, child in _ancestors(folder):
                self._above.setdefault(parent, {})[posixpath.basename(child)] = Entry("dir", ident=child)

    def listing(self, path: str) -> Listing | None:
        if any(path == f or path.startswith(f + "/") for f in self._folders):
            return self._disk.listing(path)
        out = self._elsewhere.listing(path) if self._elsewhere else None
        above = self._above.get(path)
        return out if above is None else {**above, **(out or {})}


def _ancestors(root: str) -> list[tuple[str, str]]:
    """(directory, child on the way to root) for every directory above root."""
    out = []
    while (parent := posixpath.dirname(root)) and parent != root:
        out.append((parent, root))
        root = parent
    return out
