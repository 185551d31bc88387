"""Make a snapshot of a prefix: read everything once, keep what judging needs, write one file."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from abicheck.binary.reading import HEAD, is_binary
from abicheck.binary.recall import Recorder, digest
from abicheck.binary.source import ByteSource
from abicheck.errors import InputError
from abicheck.prefix.damage import Damaged
from abicheck.prefix.reading import Prefix
from abicheck.prefix.records import CondaRecord, PathInfo
from abicheck.prefix.slimming import IMPORTED, TESTS, USES_TESTS, imports_only, slim
from abicheck.prefix.snapshot import (
    HAS_HASH,
    PATH_TYPES,
    PLACEHOLDER,
    SOURCE,
    VERSION,
    DamageRow,
    EntryRow,
    Index,
    Part,
    PathColumns,
    RecordRow,
    kept_name,
)
from abicheck.prefix.snapshot_file import Frame, FrameWriter
from abicheck.trees import Entry

SKIPPED_FOLDERS = frozenset({"pkgs", "envs", ".git"})  # of a base prefix: the package cache and the other environments
FRAME = 16 << 20  # unpacked bytes of sources or windows in one frame
GAP = 128  # windows nearer than this become one
HEADER = 4096  # of every native file: what loaders look at before they read tables
TARGET = 24_500_000  # packed bytes of a whole snapshot; sources of pure packages are left out beyond it
INDEX_BYTES = 23  # of those, for each file in the index (measured)
RATIO = 0.17  # packed to slimmed sources, for what is not packed yet
SMALL = 300_000  # bytes of a package's sources that are always worth their place
LARGE = 120 << 20  # bytes of sources from which stronger packing is worth its time
TEXT_LIMIT = 4 << 20
_METADATA = re.compile(r"(\.(dist-info|egg-info|egg-link)|/EGG-INFO)(/|$)")
_POINTER = b"version https://git-lfs"

Examine = Callable[[ByteSource], None]


@dataclass(frozen=True, slots=True)
class Written:
    """What a snapshot became. Sizes in bytes; ``left_out``: import packages whose sources did not fit."""

    size: int
    natives: int
    sources: int
    left_out: tuple[str, ...]


def write_snapshot(
    prefix: Prefix, path: str, *, examine: Examine, also: Callable[[str], bool] | None = None, host: bytes | None = None
) -> Written:
    """Write a snapshot of ``prefix`` to ``path``. Raises ``InputError`` when the file cannot be written.

    Args:
        examine: reads one native file in every way that judging may (its tables, and questions about all of it).
        also: further files (by path) that are to be examined though they are no binaries.
        host: a description of the machine to keep with it.
    """
    temporary = f"{path}.part"
    try:
        with open(temporary, "wb") as file:
            written = _Maker(prefix, FrameWriter(file), examine, also or (lambda _: False)).make(host)
        os.replace(temporary, path)
        return Written(os.path.getsize(path), *written)
    except OSError as e:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise InputError("cannot-write", f"{path} cannot be written: {e.strerror or e}.") from e


class _Maker:
    def __init__(self, prefix: Prefix, out: FrameWriter, examine: Examine, also: Callable[[str], bool]) -> None:
        self.prefix, self.out, self.examine, self.also = prefix, out, examine, also
        self.folders: dict[str, dict[str, EntryRow]] = {}
        self.files: dict[str, Entry] = {}
        self.frames: list[Frame] = []
        self.parts: dict[str, Part] = {}
        self.inodes: dict[object, list[str]] = {}
        self.level = 12
        self._buffer = bytearray()
        self._waiting: list[tuple[str, int, int, tuple[tuple[int, int], ...], dict[str, bytes]]] = []

    def make(self, host: bytes | None) -> tuple[int, int, tuple[str, ...]]:
        self._walk()
        self._number_inodes()
        natives = self._natives()
        self._metadata()
        records = tuple(self._record(r) for r in self.prefix.records)
        sources, left_out = self._sources()
        index = Index(
            version=VERSION,
            root=kept_name(self.prefix.root),
            display=kept_name(self.prefix.display),
            records=records,
            problems=tuple((kept_name(p.path), kept_name(p.reason)) for p in self.prefix.problems),
            folders={k: msgspec.Raw(msgspec.msgpack.encode(v)) for k, v in self.folders.items()},
            frames=tuple(self.frames),
            parts=self.out.add(msgspec.msgpack.encode(self.parts)),
            damage=tuple(self._damage(d) for d in self.prefix.damage),
            left_out=left_out,
            host=host,
        )
        self.out.finish(index)
        return natives, sources, left_out

    # -- listings ------------------------------------------------------------

    def _walk(self) -> None:
        todo = [""]
        while todo:
            folder = todo.pop()
            self.folders[kept_name(folder)], below = self._listed(folder)
            todo += reversed(below)

    def _listed(self, folder: str) -> tuple[dict[str, EntryRow], list[str]]:
        """One directory's rows, and the directories in it that are to be walked too."""
        rows: dict[str, EntryRow] = {}
        below = []
        for name, node in sorted((self.prefix.files.listing(folder) or {}).items()):
            if not folder and name in SKIPPED_FOLDERS:
                continue
            path = posixpath.join(folder, name)
            rows[kept_name(name)] = EntryRow(node.kind, kept_name(node.target), node.size)
            if node.kind == "dir":
                below.append(path)
            elif node.kind == "file":
                self.files[kept_name(path)] = node
                self.inodes.setdefault(node.ident, []).append(kept_name(path))
        return rows, below

    def _number_inodes(self) -> None:
        """Hard links inside the prefix are one file to a loader (GEN-5): such files share a number."""
        groups = [paths for paths in self.inodes.values() if len(paths) > 1]
        for number, paths in enumerate(groups, 1):
            for path in paths:
                folder, name = posixpath.split(path)
                row = self.folders[folder][name]
                self.folders[folder][name] = EntryRow(row.kind, row.target, row.size, number)

    # -- contents ------------------------------------------------------------

    def _keep(self, path: str, data: bytes, windows: tuple[tuple[int, int], ...], answers: dict[str, bytes]) -> None:
        self._waiting.append((path, len(self._buffer), len(data), windows, answers))
        self._buffer += data
        if len(self._buffer) >= FRAME:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        self.frames.append(self.out.add(bytes(self._buffer), self.level))
        for path, start, length, windows, answers in self._waiting:
            self.parts[path] = Part(len(self.frames) - 1, start, length, windows, answers)
        self._buffer, self._waiting = bytearray(), []

    def _natives(self) -> int:
        count = 0
        for path, node in self.files.items():
            if node.size < 4 or node.source is None or SOURCE.search(path):
                continue
            try:
                source = node.source()
                head = source.pread(0, HEAD)
                if head.startswith(_POINTER) or not (is_binary(head) or self.also(path)):
                    continue
                recorder = Recorder(source)
                recorder.pread(0, HEADER)
                self.examine(recorder)
                digest(recorder)
                windows = _merged(recorder.windows, source.size)
                data = b"".join(source.pread(at, length) for at, length in windows)
            except OSError:
                continue
            self._keep(path, data, windows, recorder.answers)
            count += 1
        self._flush()
        return count

    def _metadata(self) -> None:
        """Small files that are read as text: distributions, history, activation, Git LFS pointers."""
        for path, node in self.files.items():
            if path in self.parts or node.source is None or node.size > TEXT_LIMIT or not self._is_metadata(path, node):
                continue
            try:
                source = node.source()
                data = source.pread(0, source.size)
            except OSError:
                continue
            if path.endswith(("/METADATA", "/PKG-INFO")):
                data = data.partition(b"\n\n")[0] + b"\n" if b"\r\n\r\n" not in data else data
            self._keep(path, data, (), {})
        self._flush()

    def _is_metadata(self, path: str, node: Entry) -> bool:
        if path.startswith("conda-meta/"):
            return not path.endswith(".json")
        if _METADATA.search(path):
            return not SOURCE.search(path)
        if path.startswith(("etc/conda/activate.d/", "etc/conda/env_vars.d/")):
            return True
        return node.size <= 1024 and self.prefix.content_state(path) == "pointer"

    def _sources(self) -> tuple[int, tuple[str, ...]]:
        """Python sources by package: those with native code, the small ones, those that import native ones, the rest.

        Of pure packages the last and largest are left out when they do not fit.
        """
        budget = TARGET - INDEX_BYTES * len(self.files) - self.out.written
        packages: dict[tuple[bool, str], list[str]] = {}
        native = {self._package(p) for p in self.parts if self.parts[p].windows}
        for path in self.files:
            if SOURCE.search(path) and path not in self.parts:
                name = self._package(path)
                packages.setdefault((name not in native and not name.endswith(".pth"), name), []).append(path)
        self.level = 16 if sum(self.files[p].size for paths in packages.values() for p in paths) > LARGE else 12
        count, packed = 0, 0
        left_out: list[str] = []
        natives = frozenset(n.partition(".")[0] for n in native)
        sizes = {k: sum(self.files[p].size for p in packages[k]) for k in packages}
        far = {k: k[0] and not self._reaches(packages[k], natives) for k in packages}
        order = sorted(packages, key=lambda k: (k[0], sizes[k] > SMALL, far[k], sizes[k], k[1]))
        for pure, name in order:
            if pure and packed + RATIO * len(self._buffer) > budget:
                left_out.append(name)
                continue
            before = len(self.frames)
            shorten = not self._imports_tests(packages[pure, name])
            for path in packages[pure, name]:
                count += self._source(path, shorten and TESTS.search(path) is not None)
            packed += sum(f.packed for f in self.frames[before:])
        self._flush()
        return count, tuple(sorted(left_out))

    def _package(self, path: str) -> str:
        """Import package a file belongs to; ``""`` for what lies outside site-packages (the standard library)."""
        layout = self.prefix.layout
        base = f"{layout.purelib}/" if layout is not None else "\0"
        return path[len(base) :].partition("/")[0] if path.startswith(base) else ""

    def _reaches(self, paths: list[str], natives: frozenset[str]) -> bool:
        """Whether importing a package of these files is likely to import a package with native code, or ctypes."""
        for path in paths:
            text = self.prefix.read(path) if TESTS.search(path) is None else None
            if text is not None and any((m[1] or m[2]).decode() in natives for m in IMPORTED.finditer(text)):
                return True
        return False

    def _imports_tests(self, paths: list[str]) -> bool:
        """Whether code of a package outside its tests imports from them: then they are code like any other."""
        for path in paths:
            if TESTS.search(path) is None:
                text = self.prefix.read(path)
                if text is not None and USES_TESTS.search(text):
                    return True
        return False

    def _source(self, path: str, shorten: bool) -> bool:
        node = self.files[path]
        if node.source is None or node.size > TEXT_LIMIT:
            return False
        try:
            source = node.source()
            recorder = Recorder(source)
            data = source.pread(0, source.size)
            if self.prefix.pip_owner(path) is not None:
                digest(recorder)
        except OSError:
            return False
        if path.endswith(".py"):
            text = data.decode("utf-8", "replace")
            data = (imports_only(text) if shorten else slim(text)).encode("utf-8", "replace")
        self._keep(path, data, (), recorder.answers)
        return True

    # -- records -------------------------------------------------------------

    def _record(self, record: CondaRecord) -> RecordRow:
        infos = record.paths
        kinds, sizes, hashes = bytearray(), [], bytearray()
        for path in record.files:
            info = infos.get(path, PathInfo())
            kind = PATH_TYPES.index(info.path_type) | (PLACEHOLDER if info.placeholder else 0)
            raw = bytes.fromhex(info.expected) if re.fullmatch(r"[0-9a-f]{64}", info.expected) else b""
            kinds.append(kind | (HAS_HASH if raw else 0))
            sizes.append(info.size)
            hashes += raw
        columns = PathColumns(bytes(kinds), tuple(sizes), bytes(hashes))
        return RecordRow(
            record.name, record.version, record.build, record.build_number, record.channel, record.subdir,
            record.depends, record.constrains, record.files, record.noarch, record.requested, record.requested_specs,
            record.site_packages, record.url, record.source, self.out.add(msgspec.msgpack.encode(columns), 3),
        )  # fmt: skip

    def _damage(self, item: Damaged) -> DamageRow:
        numbers = {id(r): n for n, r in enumerate(self.prefix.records)}
        owners = tuple(numbers[id(r)] for r in item.records)
        return DamageRow(item.path, item.kind, owners, item.dist.path if item.dist else "", item.size, item.expected)


def _merged(windows: Iterable[tuple[int, int]], size: int) -> tuple[tuple[int, int], ...]:
    """Windows in file order, near ones joined, within the file."""
    out: list[tuple[int, int]] = []
    for start, length in sorted(windows):
        end = min(start + length, size)
        if length <= 0 or start >= size:
            continue
        if out and start <= out[-1][0] + out[-1][1] + GAP:
            begin = out[-1][0]
            out[-1] = (begin, max(out[-1][0] + out[-1][1], end) - begin)
        else:
            out.append((start, end - start))
    return tuple(out)
