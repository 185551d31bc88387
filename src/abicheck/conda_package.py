"""Conda packages as archives: the files of a ``.conda`` or ``.tar.bz2``, streamed; no link is followed.

Formats: conda's ``.conda`` is a zip with ``info-*.tar.zst`` and ``pkg-*.tar.zst`` (CEP "conda-package format v2"); the
older form is one bzip2-compressed tar. The tar reader here knows what conda-build and rattler-build write (POSIX ustar,
pax records, GNU long names) and refuses the rest by name; Python's reader holds a header's claims in memory unbounded.
"""

from __future__ import annotations

import bz2
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import zstandard

from abicheck.binary.source import ByteSource, BytesSource
from abicheck.errors import InputError

BLOCK = 512
MAX_MEMBERS = 1_000_000
MAX_TOTAL = 64 << 30  # bytes of all files unpacked; the largest packages of any channel are below 8 GiB
MAX_EXTENSION = 1 << 20  # bytes of a pax record or a GNU long name
MAX_FILE = 8 << 30
IN_MEMORY = 32 << 20  # larger files are kept in an unnamed temporary file while they are looked at
WINDOW = 1 << 28  # zstd's largest at the levels conda tools use is 128 MiB
CHUNK = 1 << 20
REGULAR, LINKS, EXTENSIONS = b"0\x007", b"12", b"LKxg"


class Stream(Protocol):
    """What the tar reader needs: the next bytes, fewer only at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One regular file while the stream stands in front of its content.

    ``head``: its first 64 bytes. ``open`` gives the content by random access and must be called before the next file
    is asked for; it returns None for a file over the limit.
    """

    name: str
    size: int
    head: bytes
    _rest: _Rest

    def open(self) -> ByteSource | None:
        return self._rest.source(self.name, self.head, self.size) if self.size <= MAX_FILE else None


def is_conda_package(path: str) -> bool:
    """By its name, as conda itself decides."""
    return path.endswith((".conda", ".tar.bz2"))


def packed_files(path: str, *, head: int = 64) -> Iterator[PackedFile]:
    """Every regular file of a package, in archive order; links and directories are passed over.

    Raises ``InputError``: unreadable, not such an archive, cut off, hostile names or sizes, an unknown entry type.
    """
    name = os.path.basename(path)
    try:
        if path.endswith(".conda"):
            yield from _conda(path, name, head)
        else:
            with bz2.open(path) as stream:
                yield from _tar(stream, name, head)
    except (EOFError, zipfile.BadZipFile, zlib.error, zstandard.ZstdError, NotImplementedError) as e:
        raise _bad(name, f"is damaged or cut off ({e})") from e
    except OSError as e:
        if e.errno is None:  # bz2's word for data that is none
            raise _bad(name, f"is damaged ({e})") from e
        raise InputError("unreadable-package", f"{path} cannot be read: {e.strerror or e}.") from e


def _bad(name: str, what: str) -> InputError:
    return InputError(
        "not-a-conda-package", f"{name} {what}.", "download the package again, and check its hash against the channel"
    )


def _conda(path: str, name: str, head: int) -> Iterator[PackedFile]:
    with zipfile.ZipFile(path) as archive:
        parts = [i for i in archive.infolist() if i.filename.endswith(".tar.zst") and "/" not in i.filename]
        if not any(i.filename.startswith("pkg-") for i in parts):
            raise _bad(name, "has no pkg-*.tar.zst: it is not a .conda package")
        for part in sorted(parts, key=lambda i: i.filename):
            if part.flag_bits & 1:
                raise _bad(name, f"has an encrypted part, {part.filename!r}; conda cannot read it either")
            with archive.open(part) as packed:
                reader = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(packed, read_size=CHUNK)
                yield from _tar(reader, name, head)


class _Reader:
    """A stream that counts, and gives exactly what is asked."""

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream, self._name = stream, name
        self.total = 0

    def exactly(self, size: int) -> bytes:
        out = b""
        while len(out) < size:
            piece = self._stream.read(size - len(out))
            if not piece:
                raise _bad(self._name, f"ends after {self.total + len(out)} unpacked bytes, within a file")
            out = out + piece if out else piece
        self.total += size
        if self.total > MAX_TOTAL:
            raise _bad(self._name, f"unpacks to more than {MAX_TOTAL >> 30} GiB")
        return out

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.exactly(min(size, CHUNK)))

    def drain(self) -> None:
        """Read to the end, so that the compressed stream checks itself."""
        while self._stream.read(CHUNK):
            pass


class _Rest:
    """The unread part of the file the stream stands in."""

    def __init__(self, reader: _Reader, left: int) -> None:
        self._reader, self.left = reader, left

    def source(self, name: str, head: bytes, size: int) -> ByteSource:
        left, self.left = self.left, 0
        if size <= IN_MEMORY:
            return BytesSource(name, head + self._reader.exactly(left))
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the source is dropped
        file.write(head)
        while left:
            piece = self._reader.exactly(min(left, CHUNK))
            file.write(piece)
            left -= len(piece)
        file.flush()
        return _SpooledSource(name, size, file)


@dataclass(frozen=True, slots=True)
class _SpooledSource:
    name: str
    size: int
    file: BinaryIO

    def pread(self, offset: int, length: int) -> bytes:
        self.file.seek(offset)
        return self.file.read(length)


def _tar(stream: Stream, name: str, head: int) -> Iterator[PackedFile]:
    reader = _Reader(stream, name)
    extra: dict[str, str] = {}
    for _ in range(MAX_MEMBERS):
        block = reader.exactly(BLOCK)
        if not block.strip(b"\0"):
            reader.drain()
            return
        _check_sum(block, name)
        kind, size = block[156:157], _number(block[124:136], name)
        if kind in EXTENSIONS:
            extra.update(_extension(reader, kind, size, name))
            continue
        member = extra.get("path") or _name(block)
        size = _pax_size(extra["size"], name) if "size" in extra else size
        sparse = any(k.startswith("GNU.sparse") for k in extra)
        extra = {}
        if kind in LINKS or kind == b"5":
            reader.skip(_padded(size) if kind == b"5" else 0)
            continue
        if kind not in (REGULAR[:1], REGULAR[1:2], REGULAR[2:]) or sparse:
            raise _bad(
                name, f"has an entry of type {kind.decode('latin-1')!r} that conda packages do not have, {member!r}"
            )
        _check_name(member, name)
        if member.endswith("/"):  # directories as the oldest tar wrote them
            continue
        start = reader.exactly(min(size, head))
        rest = _Rest(reader, size - len(start))
        yield PackedFile(member, size, start, rest)
        reader.skip(rest.left + _padded(size) - size)
    raise _bad(name, f"has more than {MAX_MEMBERS} files")


def _extension(reader: _Reader, kind: bytes, size: int, name: str) -> dict[str, str]:
    """What a pax record (x: next file, g: all files) or a GNU long name (L; K for link targets) says."""
    if size > MAX_EXTENSION:
        raise _bad(name, f"has an extended header of {size} bytes")
    data = reader.exactly(_padded(size))[:size]
    if kind == b"K" or kind == b"g":
        return {}
    if kind == b"L":
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    out = {}
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or not len(length) + 1 < int(length) <= len(data):
            raise _bad(name, "has a malformed pax record")
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        out[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    return out


def _pax_size(text: str, name: str) -> int:
    if not text.isdecimal():
        raise _bad(name, f"has a pax record with the size {text!r}")
    return int(text)


def _number(field: bytes, name: str) -> int:
    """A tar number: octal digits, or binary when its first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if value > MAX_TOTAL:
            raise _bad(name, f"has a file of {value} bytes")
        return value
    digits = field.strip(b" \0")
    if digits and (digits.strip(b"01234567") or len(digits) > 11):
        raise _bad(name, "has a header whose size is no number: the archive is damaged")
    return int(digits or b"0", 8)


def _check_sum(block: bytes, name: str) -> None:
    wanted = block[148:156].strip(b" \0")
    actual = sum(block) - sum(block[148:156]) + 8 * 32
    if not wanted or wanted.strip(b"01234567") or int(wanted, 8) != actual:
        raise _bad(name, "has a file header with a wrong checksum: the archive is damaged")


def _name(block: bytes) -> str:
    name = block[:100].split(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].split(b"\0")[0] + b"/" + name
    return name.decode("utf-8", "surrogateescape")


def _check_name(member: str, name: str) -> None:
    parts = member.split("/")
    if not member or member.startswith("/") or ".." in parts or "\\" in member or any(ord(c) < 32 for c in member):
        raise _bad(name, f"has a file whose name no package may have, {member!r}")


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK
