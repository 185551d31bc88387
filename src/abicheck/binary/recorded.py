"""What a reader looked at in a file, kept, so that the file can be read again where it is not.

A snapshot of a prefix does not store facts (their shape differs by format and grows with every release) but the bytes
that the readers asked for: a few per cent of a library. Reading the record is reading the file: the same code, the same
facts, the same errors.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from abicheck.binary.reading import read_binary
from abicheck.binary.source import ByteSource
from abicheck.errors import BinaryError

Window = tuple[int, bytes]
NEAR = 64  # windows nearer than this become one: their frame would cost as much as the gap


@dataclass(frozen=True, slots=True)
class Record:
    """The size of a file in bytes, and pieces of it as (offset, content), ascending, apart from each other."""

    size: int
    windows: tuple[Window, ...]


class RecordedSource:
    """A file of which only a record is at hand. Raises ``OSError`` for bytes that nobody recorded."""

    def __init__(self, name: str, record: Record) -> None:
        self.name, self.size = name, record.size
        self._windows = record.windows
        self._starts = [offset for offset, _ in record.windows]

    def pread(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        at = bisect_right(self._starts, offset) - 1
        if at >= 0:
            start, data = self._windows[at]
            if offset + length <= start + len(data):
                return data[offset - start : offset - start + length]
        raise OSError(f"bytes {offset} to {offset + length} are not in the snapshot")


class _Listening:
    """A source that remembers what it gave."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.name, self.size = source.name, source.size
        self.windows: list[Window] = []

    def pread(self, offset: int, length: int) -> bytes:
        data = self._source.pread(offset, length)
        if data:
            self.windows.append((offset, data))
        return data


def record(source: ByteSource) -> Record | None:
    """Everything the readers look at in a file; None when it is of no format they know.

    A damaged file is recorded up to where its reader gave up. Raises ``OSError`` when the medium fails.
    """
    listening = _Listening(source)
    try:
        binary = read_binary(listening)
        if binary is None:
            return None
        for s in binary.slices:  # tables are decoded, and on some media read, when somebody asks
            s.imports(), s.exports(), s.flags, s.floors, getattr(s, "references", None)
    except BinaryError:
        pass  # reading the record fails in the same place, with the same words
    return Record(source.size, _joined(listening.windows, source))


def _joined(windows: Iterable[Window], source: ByteSource) -> tuple[Window, ...]:
    """Windows sorted, overlaps and small gaps closed."""
    spans: list[list[int]] = []
    for offset, data in sorted(windows, key=lambda w: (w[0], len(w[1]))):
        end = offset + len(data)
        if spans and offset <= spans[-1][1] + NEAR:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([offset, end])
    return tuple((start, source.pread(start, end - start)) for start, end in spans)
