"""The environment as it will be after the install: one view of files, links and owners.

A :class:`View` answers "what is at this path" for the prefix with the transaction laid over it, and for the host.
It looks into *trees* (``trees.py``): the prefix on disk (or in a snapshot, or only in conda's records), a layer of what
pip will add and remove, and the host's file system as far as it is known. Nothing is ever written.

Paths given to a view are absolute, ``/``-separated, and may contain ``.`` and ``..``: links are followed component by
component as a kernel does it (so ``lib/../x`` goes through a link ``lib``), because ELF-8 and MAC-4 depend on it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from abicheck.binary.facts import Binary
from abicheck.binary.reading import read_binary
from abicheck.binary.source import ByteSource
from abicheck.cache import KeptSource, Store
from abicheck.errors import BinaryError
from abicheck.model import FileRef, Origin
from abicheck.trees import Entry, Listing, Tree

T = TypeVar("T")
Status = Literal["file", "dir", "absent", "dangling", "unreadable", "loop", "unknown", "other"]
HEAD = 64  # bytes of a file that its kind is told by
MAX_LINKS = 40  # the kernel's own limit (path_resolution(7))
HOST = Origin("host")
UNOWNED = Origin("unowned")


def anchor(path: str) -> str | None:
    """Where an absolute path starts: ``/``, or the drive of a Windows path (``C:``); None for a relative one."""
    if path.startswith("/"):
        return "/"
    return path[:2] if len(path) > 2 and path[1:3] == ":/" and path[0].isalpha() else None


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a path. ``real`` is the path after all links; ``entry`` the entry there (None unless it exists)."""

    status: Status
    path: str
    real: str
    entry: Entry | None = None


OwnerOf = Callable[[str], Origin | None]


class View:
    """One look at everything a process in this environment could open. See the module's docstring.

    Args:
        root: absolute path of the prefix, normal, ``/``-separated.
        tree: usually ``SplitTree(root, prefix with layer, host)``.
        owner: prefix-relative path to the origin that will own it, None when nobody does.
        fold_case: True for Windows and macOS targets (file names compare without case).
    """

    def __init__(self, root: str, tree: Tree, owner: OwnerOf, *, fold_case: bool = False) -> None:
        self.root = root
        self.store: Store | None = None  # where answers about files are kept between runs; None: nowhere
        self._tree = tree
        self._owner = owner
        self._fold = fold_case
        self._dirs: dict[str, str | None] = {"/": "/"}
        self._folded: dict[str, dict[str, str]] = {}
        self._found: dict[str, Found] = {}
        self._binaries: dict[Hashable, Binary | BinaryError | None] = {}
        self._heads: dict[Hashable, tuple[bytes, int]] = {}

    # -- paths ---------------------------------------------------------------

    def lookup(self, path: str) -> Found:
        """Resolve ``path`` as the kernel would. Never raises; a path that is not absolute is ``absent``."""
        hit = self._found.get(path)
        if hit is None:
            hit = self._found[path] = self._walk(path)
        return hit

    def listing(self, path: str) -> Listing | None:
        """Entries of the directory at ``path`` (links followed), or None when it is not a directory."""
        at = self.lookup(path)
        return self._tree.listing(at.real) if at.status == "dir" else None

    def _walk(self, path: str) -> Found:
        if anchor(path) is None:
            return Found("absent", path, path)
        parent, name = posixpath.split(path.rstrip("/") or "/")
        # The directory part is shared by many look-ups: resolve it once.
        if parent not in self._dirs:
            self._dirs[parent] = self._resolve_dir(parent)
        base = self._dirs[parent]
        if base is None:
            return Found("absent", path, path)
        return self._follow(base, [name], path)

    def _resolve_dir(self, path: str) -> str | None:
        start = anchor(path + "/") or "/"
        found = self._follow(start, [p for p in path.removeprefix(start).split("/") if p], path)
        return found.real if found.status == "dir" else None

    def _follow(self, at: str, parts: list[str], asked: str) -> Found:
        links = 0
        todo = list(reversed(parts))
        entry: Entry | None = Entry("dir", ident=at)
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at = posixpath.dirname(at) or at
                continue
            entry, actual = self._entry(at, part)
            here = posixpath.join(at, actual)
            if entry is None:
                return Found("dangling" if links else "absent", asked, posixpath.join(here, *reversed(todo)))
            if entry.kind == "link":
                links += 1
                if links > MAX_LINKS:
                    return Found("loop", asked, here)
                target = entry.target.replace("\\", "/") if self._fold else entry.target
                start = anchor(target)
                if start is not None:
                    at, target = start, target.removeprefix(start)
                todo.extend(reversed(target.split("/")))
                entry = Entry("dir", ident=at)
                continue
            if entry.kind == "dir":
                at = here
                continue
            if any(p not in ("", ".") for p in todo):
                return Found("absent", asked, here)  # ENOTDIR
            status: Status = {"file": "file", "recorded": "unknown"}.get(entry.kind, "other")  # type: ignore[assignment]
            return Found(status, asked, here, entry)
        return Found("dir", asked, at, Entry("dir", ident=at))

    def _entry(self, directory: str, name: str) -> tuple[Entry | None, str]:
        listing = self._tree.listing(directory)
        if listing is None:
            return None, name
        entry = listing.get(name)
        if entry is not None or not self._fold:
            return entry, name
        if directory not in self._folded:
            self._folded[directory] = {n.lower(): n for n in sorted(listing, reverse=True)}
        actual = self._folded[directory].get(name.lower())
        return (listing[actual], actual) if actual is not None else (None, name)

    # -- content -------------------------------------------------------------

    def open(self, found: Found) -> ByteSource:
        """The bytes of a found file. Raises ``OSError`` when there are none to read."""
        if self.store is None or found.entry is None or found.entry.source is None or found.entry.stamp is None:
            return self._source(found)
        return KeptSource(found.entry.source, self.store, found.entry.stamp)

    @staticmethod
    def _source(found: Found) -> ByteSource:
        if found.entry is None or found.entry.source is None:
            raise FileNotFoundError(found.path)
        return found.entry.source()

    def head(self, found: Found) -> tuple[bytes, int]:
        """The first ``HEAD`` bytes of a found file and its size in bytes. Those of a binary that was read are at hand:
        a library that lies packed in a wheel need not be unpacked again for them. Raises ``OSError``."""
        known = self._heads.get(found.entry.ident) if found.entry is not None else None
        if known is not None:
            return known
        source = self.open(found)
        return source.pread(0, HEAD), source.size

    def keeps(self, path: str) -> bool:
        """Whether what a reader says of the file at a path is kept, so that it is worked out once."""
        entry = self.lookup(path).entry
        return self.store is not None and entry is not None and entry.stamp is not None

    def ask(self, path: str, reader: Callable[[ByteSource], T]) -> T | None:
        """What a reader says of the bytes at a path; None when no file is there or it cannot be read (that is told by
        who reads the file's tables)."""
        found = self.lookup(path)
        if found.status != "file":
            return None
        try:
            return reader(self.open(found))
        except OSError:
            return None

    def recall(self, path: str, question: str, compute: Callable[[], T], kind: Any) -> T:
        """What ``compute`` says of the file's content alone, from an earlier run when there is a store. ``kind``: the
        answer's type. Raises what ``compute`` raises."""
        entry = self.lookup(path).entry
        if self.store is None or entry is None or entry.stamp is None:
            return compute()
        return self.store.recall(entry.stamp, question, compute, kind)

    def read_text(self, path: str, limit: int = 4 << 20) -> str | None:
        """Text of a file as UTF-8 (undecodable bytes replaced); None for no readable file or over ``limit`` bytes."""
        found = self.lookup(path)
        if found.status != "file" or found.entry is None or found.entry.size > limit:
            return None
        try:
            source = self._source(found)
            return source.pread(0, source.size).decode("utf-8", "replace")
        except OSError:
            return None

    def binary(self, found: Found) -> Binary | None:
        """Facts of a found file, read once per identity; None when it is not a binary. Raises ``BinaryError``."""
        if found.entry is None:
            return None
        key = found.entry.ident
        if key not in self._binaries:
            self._binaries[key] = self._read(found)
        hit = self._binaries[key]
        if isinstance(hit, BinaryError):
            raise hit
        return hit

    def _read(self, found: Found) -> Binary | BinaryError | None:
        assert found.entry is not None
        try:
            source = self._source(found)
            self._heads[found.entry.ident] = source.pread(0, HEAD), source.size
            return read_binary(source)
        except BinaryError as e:
            return e
        except OSError as e:
            return BinaryError(found.path, f"cannot be read ({e.strerror or e})")

    # -- names for people ----------------------------------------------------

    def relative(self, path: str) -> str:
        """Prefix-relative and normal for paths in the prefix, normal and absolute otherwise."""
        norm = posixpath.normpath(path)
        if norm == self.root:
            return "."
        return norm[len(self.root) + 1 :] if norm.startswith(self.root + "/") else norm

    def origin(self, real: str) -> Origin:
        """Who brings the file at a real path."""
        if not real.startswith(self.root + "/"):
            return HOST
        return self._owner(self.relative(real)) or UNOWNED

    def ref(self, real: str) -> FileRef:
        """The file at a real path, as findings name it."""
        found = self.lookup(real)
        return FileRef(self.relative(real), self.origin(real), found.entry.member if found.entry else None)
