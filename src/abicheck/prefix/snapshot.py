"""One portable file with all that judging a prefix needs; ``open_prefix`` takes it wherever it takes the folder.

It holds conda's records and hashes, every directory listing, Python sources (without documentation), metadata of
distributions, activation, and of each native file the windows that its reader asked for and the answers to questions
about all of it (:mod:`abicheck.binary.recall`). So the same readers give the same facts from it, and the report from
the file equals the report from the folder.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from abicheck.binary.source import ByteSource, BytesSource
from abicheck.errors import InputError
from abicheck.model import Skipped
from abicheck.prefix.damage import Damaged, Kind
from abicheck.prefix.files import NotKept
from abicheck.prefix.reading import Prefix
from abicheck.prefix.records import CondaRecord, PathInfo, PathType
from abicheck.prefix.snapshot_file import Frame, FrameReader
from abicheck.trees import Entry, Listing

VERSION = 1
PATH_TYPES: tuple[PathType, ...] = ("hardlink", "softlink", "directory", "entry-point", "pyc", "other")
HAS_HASH, PLACEHOLDER = 0x80, 0x40
SOURCE = re.compile(r"\.(py|pth)$|(^|/)\.load-order-[^/]*$")


# Bytes of file names that are no UTF-8 (Python's surrogates, which msgpack does not take), as private characters.
_KEPT = {0xDC00 + byte: 0x10DC00 + byte for byte in range(0x80, 0x100)}
_REAL = {there: here for here, there in _KEPT.items()}


def kept_name(name: str) -> str:
    """A name or path as the snapshot holds it."""
    return name if name.isascii() else name.translate(_KEPT)


def real_name(name: str) -> str:
    """The name or path that a snapshot holds so."""
    return name if name.isascii() else name.translate(_REAL)


class RecordRow(msgspec.Struct, array_like=True, frozen=True):
    """A conda record without its hashes; ``paths`` is the frame with those."""

    name: str
    version: str
    build: str
    build_number: int
    channel: str
    subdir: str
    depends: tuple[str, ...]
    constrains: tuple[str, ...]
    files: tuple[str, ...]
    noarch: str
    requested: bool
    requested_specs: tuple[str, ...]
    site_packages: str
    url: str
    source: str
    paths: Frame


class PathColumns(msgspec.Struct, array_like=True, frozen=True):
    """What a record says of its files, in their order. ``kinds``: path type and flags, a byte each; ``hashes``: 32
    bytes for each file that has one."""

    kinds: bytes
    sizes: tuple[int, ...]
    hashes: bytes


class EntryRow(msgspec.Struct, array_like=True, frozen=True):
    """One directory entry. ``inode``: number of its group of hard links, 0 for none."""

    kind: str
    target: str = ""
    size: int = 0
    inode: int = 0


class Part(msgspec.Struct, array_like=True, frozen=True):
    """A file's kept bytes inside a frame. ``windows``: (offset in the file, length), one after the other in the frame;
    empty: the whole content, as kept (``length`` bytes). ``answers``: kept answers to questions."""

    frame: int
    start: int
    length: int
    windows: tuple[tuple[int, int], ...] = ()
    answers: dict[str, bytes] = {}


class DamageRow(msgspec.Struct, array_like=True, frozen=True):
    path: str
    kind: str
    records: tuple[int, ...]
    dist: str
    size: int
    expected: int


class Index(msgspec.Struct, frozen=True):
    """``folders``: directory to its entries, each still packed (decoded when listed)."""

    version: int
    root: str
    display: str
    records: tuple[RecordRow, ...]
    problems: tuple[tuple[str, str], ...]
    folders: dict[str, msgspec.Raw]
    frames: tuple[Frame, ...]
    parts: Frame
    damage: tuple[DamageRow, ...]
    left_out: tuple[str, ...] = ()
    host: bytes | None = None


@dataclass(frozen=True, slots=True)
class ExcerptSource:
    """A native file of which some windows are kept. Reading elsewhere raises ``NotKept``, never gives zeros."""

    name: str
    size: int
    windows: tuple[tuple[int, int], ...]
    data: bytes
    answers: Mapping[str, bytes]

    def pread(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        at = 0
        for start, kept in self.windows:
            if start <= offset and offset + length <= start + kept:
                begin = at + offset - start
                return self.data[begin : begin + length]
            at += kept
        if length == 0:
            return b""
        raise NotKept(f"{self.name}: bytes {offset} to {offset + length} are not in the snapshot")


@dataclass(frozen=True, slots=True)
class KeptText:
    """A small file kept whole, or a source without its documentation (``answers`` are about the original)."""

    name: str
    data: bytes
    answers: Mapping[str, bytes]

    @property
    def size(self) -> int:
        return len(self.data)

    def pread(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


class SnapshotFiles:
    """The files of a snapshot, each directory decoded when first listed."""

    def __init__(self, reader: FrameReader, index: Index) -> None:
        self.root = real_name(index.root)
        self.fold = False
        self.unlisted: tuple[Skipped, ...] = ()  # what its writer could not list is among the prefix's problems
        self._reader, self._index = reader, index
        self._seen: dict[str, Listing | None] = {}
        self._frames: dict[int, bytes] = {}

    def listing(self, path: str) -> Listing | None:
        if path not in self._seen:
            raw = self._index.folders.get(kept_name(path))
            self._seen[path] = None if raw is None else self._decode(path, raw)
        return self._seen[path]

    def _decode(self, folder: str, raw: msgspec.Raw) -> Listing:
        rows = msgspec.msgpack.decode(raw, type=dict[str, EntryRow])
        named = ((real_name(name), row) for name, row in rows.items())
        return {name: self._node(posixpath.join(folder, name), row) for name, row in named}

    def _node(self, path: str, row: EntryRow) -> Entry:
        if row.kind == "dir":
            return Entry("dir", path)
        if row.kind == "link":
            return Entry("link", target=real_name(row.target))
        if row.kind != "file":
            return Entry("other")
        ident: Hashable = ("inode", row.inode) if row.inode else ("snapshot", path)
        return Entry("file", ident, size=row.size, source=functools.partial(self._open, path, row.size))

    @functools.cached_property
    def _parts(self) -> Mapping[str, Part]:
        return msgspec.msgpack.decode(self._reader.read(self._index.parts), type=dict[str, Part])

    def excerpts(self) -> Iterator[tuple[str, Callable[[], ByteSource]]]:
        """The files of which windows are kept, native files among them, by path, and how to open each (``OSError``)."""
        for path in sorted(real_name(p) for p, part in self._parts.items() if part.windows):
            folder, name = posixpath.split(path)
            node = (self.listing(folder) or {}).get(name)
            if node is not None and node.source is not None:
                yield path, node.source

    def _open(self, path: str, size: int) -> ByteSource:
        part = self._parts.get(kept_name(path))
        name = posixpath.join(self.root, path)
        if part is None:
            if size == 0:
                return BytesSource(name, b"")
            raise NotKept(f"{name}: its content is not in the snapshot")
        if part.frame not in self._frames:
            self._frames[part.frame] = self._reader.read(self._index.frames[part.frame])
        data = self._frames[part.frame][part.start : part.start + part.length]
        if part.windows:
            return ExcerptSource(name, size, part.windows, data, part.answers)
        return KeptText(name, data, part.answers)


class SnapshotPrefix(Prefix):
    """A prefix read from a snapshot. ``left_out``: packages whose sources did not fit; ``host``: what was kept of the
    machine, as it was given."""

    def __init__(self, reader: FrameReader, index: Index) -> None:
        records = [_record(reader, row) for row in index.records]
        problems = [Skipped(real_name(path), real_name(reason)) for path, reason in index.problems]
        kept = SnapshotFiles(reader, index)
        super().__init__(kept.root, "snapshot", real_name(index.display), kept, records, problems)
        self.excerpts = kept.excerpts
        self._rows = index.damage
        self._numbered = records
        self.left_out = index.left_out
        self.host = index.host

    @functools.cached_property
    def damage(self) -> tuple[Damaged, ...]:
        """As found when the snapshot was made."""
        dists = {d.path: d for d in self.distributions}
        return tuple(_damaged(row, self._numbered, dists.get(row.dist)) for row in self._rows)


def _damaged(row: DamageRow, records: list[CondaRecord], dist: object) -> Damaged:
    kind: Kind = row.kind  # type: ignore[assignment]
    owners = tuple(records[n] for n in row.records)
    return Damaged(row.path, kind, owners, dist, row.size, row.expected)  # type: ignore[arg-type]


def open_snapshot(path: str) -> SnapshotPrefix:
    """Open a snapshot file. Raises ``InputError``: not one, cut off, damaged, of another version."""
    reader = FrameReader(path)
    index = reader.index(Index)
    if index.version != VERSION:
        raise InputError(
            "unknown-snapshot", f"{path} is a snapshot of format {index.version}; known is {VERSION}.", "make it again"
        )
    return SnapshotPrefix(reader, index)


def _record(reader: FrameReader, row: RecordRow) -> CondaRecord:
    return CondaRecord(
        name=row.name, version=row.version, build=row.build, build_number=row.build_number, channel=row.channel,
        subdir=row.subdir, depends=row.depends, constrains=row.constrains, files=row.files, noarch=row.noarch,
        requested=row.requested, requested_specs=row.requested_specs, site_packages=row.site_packages, url=row.url,
        source=row.source, load_paths=functools.partial(_paths, reader, row),
    )  # fmt: skip


def _paths(reader: FrameReader, row: RecordRow) -> Mapping[str, PathInfo]:
    columns = msgspec.msgpack.decode(reader.read(row.paths), type=PathColumns)
    out: dict[str, PathInfo] = {}
    at = 0
    for path, kind, size in zip(row.files, columns.kinds, columns.sizes, strict=True):
        digest = ""
        if kind & HAS_HASH:
            digest = columns.hashes[at : at + 32].hex()
            at += 32
        out[path] = PathInfo("", digest, size, PATH_TYPES[kind & 0x3F], bool(kind & PLACEHOLDER))
    return out
