"""What a binary reader reads from: a named, seekable run of bytes, wherever it lies."""

from __future__ import annotations

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
    """A file on disk, opened once, read with ``os.pread`` (a file that shrinks gives short reads, never a signal)."""

    def __init__(self, path: str, name: str | None = None) -> None:
        """Open ``path`` for reading. Raises ``OSError``. ``name`` is what messages call it (default: the path)."""
        self.name = name or path
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.open(path, flags)
        self.size = os.fstat(self._fd).st_size

    def pread(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._fd, length, offset)
        os.lseek(self._fd, offset, os.SEEK_SET)  # Windows has no pread
        return os.read(self._fd, length)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> DiskSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
