"""Answers about files, kept between runs. Losing it costs time and nothing else.

What is kept is what a pure function said of one file's bytes: the import-time tree of a Python source, the module names
and proofs that a scan of a library found. The key is the identity of the file (the *stamp*: path, device, inode, size,
times of modification and of change; for a member of a wheel that of the wheel, with name, size and checksum), the
question, and a fingerprint of abicheck's own code and tables, so that no answer outlives the code that gave it.

The store is one SQLite file in a folder of its own. It is never trusted: each answer carries a checksum and is read
into the type that is expected, and whatever does not fit is worked out again. It is never an error: a folder that
cannot be made, a full or read-only disk, a file that is locked or damaged only mean that nothing is kept.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

T = TypeVar("T")
FILE = "facts.sqlite"
TAG = "CACHEDIR.TAG"
TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# Facts of files that abicheck read; safe to delete.\n"
LIMIT = 256 << 20  # bytes of the file; a larger one is begun anew
CHECK = 8  # bytes of checksum before each value
SETTLED = 2.0  # seconds a file must have been left alone: younger times may not tell two contents apart
BUSY = 0.2  # seconds to wait for another process
PENDING = 16 << 20  # bytes of new answers that are written down at once
_SCHEMA = "CREATE TABLE IF NOT EXISTS facts (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
# What decides the answers: code and tables that read bytes.
_ROOMS = ("binary", "evidence", "import_effects", "knowledge")


def default_directory() -> str:
    """``ABICHECK_CACHE_DIR``, else the user's cache folder of the operating system."""
    chosen = os.environ.get("ABICHECK_CACHE_DIR")
    if chosen:
        return chosen
    import platformdirs

    return platformdirs.user_cache_dir("abicheck", appauthor=False)


class Source(Protocol):
    """The part of ``binary.source.ByteSource`` that a kept source passes on."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    def pread(self, offset: int, length: int) -> bytes: ...


def disk_stamp(path: str, st: os.stat_result) -> Hashable:
    """The stamp of a file of this machine; None for one that was changed a moment ago."""
    if time.time() - max(st.st_mtime, st.st_ctime) < SETTLED:
        return None
    return (path, st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)


class Store:
    """Answers by stamp and question. Use as a context manager: new answers are written down at the end.

    Args:
        folder: made when it is missing; nothing outside it is touched. None keeps the answers in memory, for one run.
    """

    def __init__(self, folder: str | None) -> None:
        self._path = Path(folder or "", FILE)
        self._new: dict[bytes, bytes] = {}
        self._size = 0
        self._base: sqlite3.Connection | None = None
        self._in_memory = folder is None
        if folder is None:
            return
        with suppress(OSError):
            _prepare(Path(folder))
            if self._path.exists() and self._path.stat().st_size > LIMIT:
                self._path.unlink()
            self._base = self._open()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recall(self, stamp: Hashable, question: str, compute: Callable[[], T], kind: Any) -> T:
        """The answer kept, or the computed one, which is then kept. ``kind``: its type, one that msgspec can read.

        Raises what ``compute`` raises; that is not kept.
        """
        key = _key(stamp, question)
        raw = self._new.get(key) or self._read(key)
        if raw is not None and raw[:CHECK] == _checksum(key, raw[CHECK:]):
            with suppress(msgspec.MsgspecError, ValueError, RecursionError):
                known: T = _decoder(kind).decode(raw[CHECK:])
                return known
        answer = compute()
        with suppress(msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
            body = msgspec.msgpack.encode(answer)
            self._new[key] = _checksum(key, body) + body
            self._size += len(body)
            if self._size > PENDING and not self._in_memory:
                self._write()
        return answer

    def close(self) -> None:
        """Write down what is new and let go of the file."""
        self._write()
        if self._base is not None:
            self._base.close()
            self._base = None

    # -- the file --------------------------------------------------------------

    def _open(self) -> sqlite3.Connection | None:
        """The file, begun anew when it is no database; None when that fails too."""
        for _ in range(2):
            try:
                return _connect(self._path)
            except sqlite3.OperationalError:
                return None  # locked, or no place to write
            except sqlite3.DatabaseError:
                self._path.unlink(missing_ok=True)
        return None

    def _read(self, key: bytes) -> bytes | None:
        if self._base is None:
            return None
        try:
            row = self._base.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        except sqlite3.OperationalError:
            return None  # another process is writing
        except sqlite3.DatabaseError:
            self._begin_anew()
            return None
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    def _write(self) -> None:
        rows, self._new, self._size = self._new, {}, 0
        if self._base is None or not rows:
            return
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows.items())
        except sqlite3.OperationalError:
            return  # read-only, full, or another process is writing
        except sqlite3.DatabaseError:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """A damaged file goes; what it held is worked out again."""
        assert self._base is not None
        self._base.close()
        self._base = None
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._base = self._open()


class KeptSource:
    """A file's bytes, opened only when an answer about them is not kept."""

    def __init__(self, opener: Callable[[], Source], store: Store, stamp: Hashable) -> None:
        self._opener, self._store, self._stamp = opener, store, stamp

    @functools.cached_property
    def _source(self) -> Source:
        return self._opener()

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def size(self) -> int:
        return self._source.size

    def pread(self, offset: int, length: int) -> bytes:
        return self._source.pread(offset, length)

    def recall(self, question: str, compute: Callable[[], T], kind: Any) -> T:
        """See :meth:`Store.recall`."""
        return self._store.recall(self._stamp, question, compute, kind)


def count(folder: str) -> int:
    """How many answers a folder keeps; 0 when there is no readable store in it."""
    path = Path(folder, FILE)
    if not path.is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY)) as base:
            return int(base.execute("SELECT count(*) FROM facts").fetchone()[0])
    except sqlite3.Error:
        return 0


def _prepare(folder: Path) -> None:
    """Make the folder, and mark it as one that can be made again, unless somebody else's files are in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / TAG).write_text(TAG_TEXT, encoding="ascii")


def _connect(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=BUSY)
    try:
        base.execute("PRAGMA synchronous = OFF")  # a cache may lose its last answers; it must not wait for the disk
        base.execute("PRAGMA mmap_size = 0")  # a file that another process cuts must give an error, not a signal
        with suppress(sqlite3.OperationalError), base:
            base.execute(_SCHEMA)
        base.execute("SELECT value FROM facts LIMIT 1").fetchone()
    except sqlite3.Error:
        base.close()
        raise
    return base


def _key(stamp: Hashable, question: str) -> bytes:
    return hashlib.blake2b(
        repr((stamp, question)).encode("utf-8", "surrogatepass"), digest_size=16, key=_own()
    ).digest()


def _checksum(key: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=CHECK, key=key).digest()


@functools.cache
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


@functools.cache
def _own() -> bytes:
    """What the answers depend on besides the files: our own code and tables, by size and time, and msgspec."""
    given = f"{msgspec.__version__} {sys.version_info[:3]}"  # the grammar that sources are read with
    found = hashlib.blake2b(given.encode(), digest_size=32)
    spec = importlib.util.find_spec("abicheck")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for room in _ROOMS:
            for row in sorted(_rows(f"{root}/{room}")):
                found.update(repr(row).encode("utf-8", "surrogatepass"))
    return found.digest()


def _rows(folder: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for e in entries:
            if e.is_dir():
                if e.name != "__pycache__":
                    yield from _rows(e.path)
            else:
                st = e.stat()
                yield e.path, st.st_size, st.st_mtime_ns
