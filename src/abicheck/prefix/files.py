"""The files of a prefix, wherever they lie: a directory of this machine, unpacked packages, a snapshot.

Paths are prefix-relative and ``/``-separated, ``""`` is the prefix itself. Nothing is written.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from abicheck.model import Skipped
from abicheck.trees import Entry, Listing, MemoryTree, list_directory

LIMIT = 64 << 20  # no metadata or source file is larger
MAX_LINKS = 40
State = Literal["present", "absent", "empty", "pointer", "dangling", "directory", "unreadable"]
_POINTER = b"version https://git-lfs.github.com/spec/"


class NotKept(OSError):
    """A file that is there, and whose content (or this part of it) a snapshot does not hold."""


class Files(Protocol):
    """What the prefix reader asks of a medium.

    ``listing``: entries of one directory, links not followed, names as they are; None when it is none. ``fold``: names
    compare without case there (set by whoever learns the platform). ``unlisted``: directories that were asked for and
    could not be listed, so far; they look empty.
    """

    root: str
    fold: bool

    @property
    def unlisted(self) -> Sequence[Skipped]: ...

    def listing(self, path: str) -> Listing | None: ...


class DiskFiles:
    """A directory of this machine, listed lazily, each directory once."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.fold = False
        self.unlisted: list[Skipped] = []
        self._seen: dict[str, Listing | None] = {}

    def listing(self, path: str) -> Listing | None:
        if path not in self._seen:
            self._seen[path] = self._read(path)
        return self._seen[path]

    def _read(self, path: str) -> Listing | None:
        try:
            return list_directory(posixpath.join(self.root, path))
        except OSError as e:
            self.unlisted.append(Skipped(path, f"is a directory that cannot be listed ({e.strerror})"))
            return {}


class MappedFiles:
    """Files given one by one (unpacked packages, snapshots): prefix-relative path to node; directories follow."""

    def __init__(self, root: str, entries: Mapping[str, Entry]) -> None:
        self.root = root
        self.fold = False
        self.unlisted: Sequence[Skipped] = ()
        self._tree = MemoryTree(entries, "")

    def listing(self, path: str) -> Listing | None:
        return self._tree.listing(path)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a path leads: the place after all links, and what is there (None: nothing, or outside the prefix)."""

    path: str
    node: Entry | None
    linked: bool


def resolve(files: Files, path: str) -> Resolved:
    """Follow links inside the prefix, component by component. A link that leaves the prefix leads to nothing."""
    todo = [p for p in reversed(path.split("/")) if p not in ("", ".")]
    at, links = "", 0
    node: Entry | None = Entry("dir", "")
    while todo:
        part = todo.pop()
        if part == "..":
            at = posixpath.dirname(at)
            continue
        node, part = _entry(files, at, part)
        if node is None:
            return Resolved(posixpath.join(at, part, *reversed(todo)), None, links > 0)
        if node.kind == "link":
            links += 1
            target = _inside(files.root, at, node.target)
            if links > MAX_LINKS or target is None:
                return Resolved(posixpath.join(at, part), None, True)
            base, parts = target
            at = base
            todo.extend(reversed(parts))
            node = Entry("dir", at)
            continue
        if node.kind != "dir" and todo:
            return Resolved(posixpath.join(at, part, *reversed(todo)), None, links > 0)
        at = posixpath.join(at, part)
    return Resolved(at, node, links > 0)


def _entry(files: Files, folder: str, name: str) -> tuple[Entry | None, str]:
    """An entry and its name as it is there (another case of it where the platform does not tell cases apart)."""
    listing = files.listing(folder)
    if listing is None:
        return None, name
    node = listing.get(name)
    if node is None and files.fold:
        low = name.lower()
        for other in listing:
            if other.lower() == low:
                return listing[other], other
    return node, name


def list_folder(files: Files, path: str) -> Listing:
    """Entries of a directory of the prefix, links followed; empty when it is none."""
    at = resolve(files, path)
    return (files.listing(at.path) or {}) if at.node is not None and at.node.kind == "dir" else {}


def _inside(root: str, at: str, target: str) -> tuple[str, list[str]] | None:
    """Where to go on for a link's target: a base and the components after it; None when it leaves the prefix."""
    target = target.replace("\\", "/")
    if target.startswith("/"):
        if target != root and not target.startswith(root + "/"):
            return None
        return "", [p for p in target[len(root) :].split("/") if p not in ("", ".")]
    parts = [p for p in target.split("/") if p not in ("", ".")]
    depth = len([p for p in at.split("/") if p])
    for part in parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return None
    return at, parts


def read_bytes(files: Files, path: str, limit: int = LIMIT) -> bytes | None:
    """Content of a file of the prefix, links followed; None when there is none, it is over ``limit``, or unreadable."""
    node = resolve(files, path).node
    if node is None or node.kind != "file" or node.source is None or node.size > limit:
        return None
    try:
        source = node.source()
        return source.pread(0, source.size)
    except OSError:
        return None


def content_state(files: Files, path: str) -> State:
    """Whether a path of the prefix has real content. ``pointer``: a Git LFS pointer stands in its place."""
    at = resolve(files, path)
    if at.node is None:
        return "dangling" if at.linked else "absent"
    if at.node.kind == "dir":
        return "directory"
    if at.node.kind != "file" or at.node.source is None:
        return "unreadable"
    if at.node.size == 0:
        return "empty"
    if at.node.size > 1024:
        return "present"
    try:
        head = at.node.source().pread(0, len(_POINTER))
    except NotKept:
        return "present"  # pointers are kept
    except OSError:
        return "unreadable"
    return "pointer" if head == _POINTER else "present"
