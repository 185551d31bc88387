"""Byte sources over members of an archive: stored, deflated (random access over checkpoints), and the rare others.

A deflate stream cannot be entered in the middle, but ``zlib`` can copy its state: one copy every few MiB makes every
later look-back cost a few MiB of inflating instead of everything before it, in a few MB of memory.
"""

from __future__ import annotations

import zipfile
import zlib
from bisect import bisect_right
from collections import OrderedDict
from typing import Protocol

from abicheck.binary.source import DiskSource

STEP = 4 << 20  # bytes of output between checkpoints, at least
MAX_CHECKPOINTS = 192
BLOCK = 1 << 20  # the unit that is kept
KEPT = 12
READ = 1 << 18


class MemberError(OSError):
    """A member's bytes are not what the archive's directory promises."""


class Sized(Protocol):
    """What a stream must know of its member: sizes in bytes and the CRC-32 of the unpacked bytes."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def packed(self) -> int: ...
    @property
    def crc(self) -> int: ...


def inflate_head(file: DiskSource, start: int, packed: int, length: int) -> bytes:
    """The first ``length`` unpacked bytes of the deflate stream of ``packed`` bytes at ``start``.

    Raises ``MemberError``.
    """
    engine = zlib.decompressobj(-15)
    out = b""
    at, step = 0, 512
    try:
        while len(out) < length and at < packed and not engine.eof:
            chunk = file.pread(start + at, min(step, packed - at))
            if not chunk:
                break
            at += len(chunk)
            out += engine.decompress(chunk, length - len(out))
    except zlib.error as e:
        raise MemberError(f"{file.name}: {e}") from e
    return out


class StoredSource:
    """A member that is not compressed: a window of the archive."""

    def __init__(self, name: str, file: DiskSource, start: int, item: Sized) -> None:
        self.name = name
        self.size = item.size
        self._file, self._start = file, start

    def pread(self, offset: int, length: int) -> bytes:
        if offset >= self.size:
            return b""
        length = min(length, self.size - offset)
        out = self._file.pread(self._start + offset, length)
        while len(out) < length:
            more = self._file.pread(self._start + offset + len(out), length - len(out))
            if not more:
                raise MemberError(f"{self.name}: the archive ends inside this member")
            out += more
        return out


class _Point:
    """A place to start inflating from: ``out`` bytes were given, ``into`` bytes of the packed stream were eaten."""

    __slots__ = ("crc", "engine", "into", "out")

    def __init__(self, out: int, into: int, engine: zlib._Decompress, crc: int) -> None:
        self.out, self.into, self.engine, self.crc = out, into, engine, crc


class DeflatedSource:
    """A deflated member, read at any place without holding it whole and without touching a disk."""

    def __init__(self, name: str, file: DiskSource, start: int, item: Sized) -> None:
        self.name = name
        self.size = item.size
        self._packed, self._crc = item.packed, item.crc
        self._file, self._start = file, start
        step = max(STEP, -(-item.size // MAX_CHECKPOINTS))
        self._step = -(-step // BLOCK) * BLOCK
        self._points = [_Point(0, 0, zlib.decompressobj(-15), 0)]
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def whole(self) -> bytes:
        """All bytes at once, CRC checked. Raises ``MemberError``. For small members only."""
        raw = self._file.pread(self._start, self._packed)
        engine = zlib.decompressobj(-15)
        try:
            data = engine.decompress(raw, self.size + 1)
        except zlib.error as e:
            raise MemberError(f"{self.name}: damaged deflate stream ({e})") from e
        self._judge_end(len(data), zlib.crc32(data))
        return data

    def pread(self, offset: int, length: int) -> bytes:
        """See :class:`ByteSource`. Raises ``MemberError`` when the stream is damaged, too short or too long."""
        end = min(offset + max(length, 0), self.size)
        if offset >= end:
            return b""
        first, last = offset // BLOCK, (end - 1) // BLOCK
        parts = [self._block(n) for n in range(first, last + 1)]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return data[offset - first * BLOCK : end - first * BLOCK]

    def _block(self, number: int) -> bytes:
        hit = self._blocks.get(number)
        if hit is not None:
            self._blocks.move_to_end(number)
            return hit
        at = number * BLOCK
        point = self._points[bisect_right(self._points, at, key=lambda p: p.out) - 1]
        engine, into, out, crc = point.engine.copy(), point.into, point.out, point.crc
        pending = engine.unconsumed_tail
        while True:
            want = min(BLOCK, self.size - out)
            data, into, pending = self._inflate(engine, into, pending, want)
            crc = zlib.crc32(data, crc)
            here = out // BLOCK
            out += len(data)
            if len(data) < want:
                raise MemberError(f"{self.name}: unpacks to {out} bytes, not the {self.size} the directory promises")
            if out == self.size:
                extra = self._inflate(engine, into, pending, 1)[0]
                self._judge_end(out + len(extra), crc)
            elif out % self._step == 0 and out > self._points[-1].out:
                self._points.append(_Point(out, into, engine.copy(), crc))
            self._keep(here, data)
            if here == number:
                return data

    def _inflate(self, engine: zlib._Decompress, into: int, pending: bytes, want: int) -> tuple[bytes, int, bytes]:
        """Up to ``want`` more bytes; the packed position after it; the packed bytes read but not yet eaten."""
        parts: list[bytes] = []
        got = 0
        while got < want and not engine.eof:
            if not pending:
                pending = self._file.pread(self._start + into, min(READ, self._packed - into))
                into += len(pending)
            try:
                data = engine.decompress(pending, want - got)
            except zlib.error as e:
                raise MemberError(f"{self.name}: damaged deflate stream ({e})") from e
            if not data and not pending:
                break
            pending = engine.unconsumed_tail
            parts.append(data)
            got += len(data)
        return b"".join(parts), into, pending

    def _judge_end(self, size: int, crc: int) -> None:
        if size != self.size:
            more = "more than" if size > self.size else f"{size} bytes, not"
            raise MemberError(f"{self.name}: unpacks to {more} the {self.size} bytes the directory promises")
        if crc != self._crc:
            raise MemberError(f"{self.name}: its checksum differs from the one in the archive")

    def _keep(self, number: int, data: bytes) -> None:
        self._blocks[number] = data
        self._blocks.move_to_end(number)
        while len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)


class ForeignSource:
    """A member packed with bzip2, lzma or whatever else this Python's ``zipfile`` can read. Going back starts over."""

    def __init__(self, name: str, path: str, item: Sized) -> None:
        self.name = name
        self.size = item.size
        try:
            archive = zipfile.ZipFile(path)
            self._member = archive.open(item.name)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, KeyError) as e:
            raise MemberError(f"{name}: {e}") from e

    def pread(self, offset: int, length: int) -> bytes:
        try:
            self._member.seek(offset)
            return self._member.read(min(length, max(self.size - offset, 0)))
        except (zipfile.BadZipFile, EOFError, zlib.error, ValueError) as e:
            raise MemberError(f"{self.name}: {e}") from e
