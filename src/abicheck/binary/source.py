"""What a binary reader reads from: a named, seekable run of bytes, wherever it lies."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Protocol


class ByteSource(Protocol):
    """Random access to one file's bytes. Readers ask for windows and never for the whole file.

    ``pread`` returns at most ``length`` bytes at ``offset`` (bytes from the start of the file); fewer only at
    the end of the file, an empty string beyond it. It raises ``OSError`` when the medium fails.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    def pread(self, offset: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class BytesSource:
    """A file that is already in memory (small wheel members, tests)."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def pread(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


class DiskSource:
    """A file on disk, read with ``os.pread`` (a file that shrinks gives short reads, never a signal).

    A thousand facts may each keep a source for tables they have not needed yet, and a process has few descriptors:
    after ``close`` a read opens the file for that one read. It must still be the same file (``OSError`` ESTALE
    otherwise).
    """

    def __init__(self, path: str, name: str | None = None) -> None:
        """Open ``path`` for reading. Raises ``OSError``. ``name`` is what messages call it (default: the path)."""
        self.name = name or path
        self._path = os.path.abspath(path)
        self._fd = -1  # for __del__, should the next line raise
        self._fd, self._identity = self._open()
        self.size = self._identity[2]

    def _open(self) -> tuple[int, tuple[int, int, int, int]]:
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        fd = os.open(self._path, flags)
        st = os.fstat(fd)
        return fd, (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns)

    def pread(self, offset: int, length: int) -> bytes:
        if self._fd >= 0:
            return _pread(self._fd, offset, length)
        fd, identity = self._open()
        try:
            if identity != self._identity:
                raise OSError(errno.ESTALE, "changed while it was being read", self.name)
            return _pread(fd, offset, length)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Give the descriptor back. The source stays usable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> DiskSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _pread(fd: int, offset: int, length: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, length, offset)
    os.lseek(fd, offset, os.SEEK_SET)  # Windows has no pread
    return os.read(fd, length)
