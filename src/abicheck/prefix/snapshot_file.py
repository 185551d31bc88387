"""The container of a snapshot: compressed frames, read one at a time, and an index at the end.

Layout: magic, frames (zstandard), index (zstandard, msgpack), then index offset and length (two little-endian u64) and
the magic again. Nothing in it is executed; sizes are bounded when it is read.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, TypeVar

import msgspec
import zstandard

from abicheck.errors import InputError

MAGIC = b"abicheck-snap-1\n"
_TAIL = struct.Struct("<QQ16s")
MAX_FRAME = 1 << 30
T = TypeVar("T")


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """Where a frame lies in the file, and its unpacked size, in bytes."""

    offset: int
    packed: int
    size: int


class FrameWriter:
    """Writes frames one after the other, then the index."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = file.write(MAGIC)

    @property
    def written(self) -> int:
        """Bytes so far."""
        return self._at

    def add(self, data: bytes, level: int = 12) -> Frame:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level, source_size=len(data), window_log=max(10, min(27, len(data).bit_length())), write_checksum=True
        )
        packed = zstandard.ZstdCompressor(compression_params=parameters).compress(data)
        frame = Frame(self._at, len(packed), len(data))
        self._at += self._file.write(packed)
        return frame

    def finish(self, index: object) -> None:
        frame = self.add(msgspec.msgpack.encode(index))
        self._file.write(_TAIL.pack(frame.offset, frame.packed, MAGIC))


class FrameReader:
    """Reads frames of a snapshot on demand."""

    def __init__(self, path: str) -> None:
        """Open ``path``. Raises ``InputError`` when it is no snapshot or is cut off."""
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        except OSError as e:
            raise InputError("unreadable-snapshot", f"{path} cannot be read: {e.strerror or e}.") from e
        self._size = os.fstat(self._fd).st_size
        tail = self._pread(max(0, self._size - _TAIL.size), _TAIL.size)
        if self._pread(0, len(MAGIC)) != MAGIC or len(tail) != _TAIL.size:
            raise InputError("not-a-snapshot", f"{path} is not a snapshot of an environment.")
        self._index_at, self._index_packed, magic = _TAIL.unpack(tail)
        if magic != MAGIC:
            raise InputError("truncated-snapshot", f"{path} is cut off.", "copy it again")

    def index(self, kind: type[T]) -> T:
        """The index. Raises ``InputError`` when it is damaged or of another version."""
        frame = Frame(self._index_at, self._index_packed, MAX_FRAME)
        try:
            return msgspec.msgpack.decode(self.read(frame), type=kind)
        except msgspec.MsgspecError as e:
            raise self._damaged(str(e)) from e

    def read(self, frame: Frame) -> bytes:
        """A frame's bytes. Raises ``InputError`` when it is damaged: one file of an environment may be left out of an
        answer, a part of its picture may not."""
        if not 0 <= frame.offset <= frame.offset + frame.packed <= self._size:
            raise self._damaged("a part of it would lie outside the file")
        packed = self._pread(frame.offset, frame.packed)
        try:
            if zstandard.frame_content_size(packed) > min(frame.size, MAX_FRAME):
                raise self._damaged("a part of it is larger than it should be")
            return zstandard.ZstdDecompressor().decompress(packed, max_output_size=min(frame.size, MAX_FRAME))
        except zstandard.ZstdError as e:
            raise self._damaged(str(e)) from e

    def _damaged(self, what: str) -> InputError:
        return InputError("damaged-snapshot", f"{self.path} is damaged ({what}).", "copy it again, or make it again")

    def _pread(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._fd, length, offset)
        os.lseek(self._fd, offset, os.SEEK_SET)  # Windows has no pread
        return os.read(self._fd, length)

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1


def is_snapshot(path: str) -> bool:
    """Whether a file begins like one."""
    try:
        with open(path, "rb") as f:
            return f.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
