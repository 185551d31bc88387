"""A zip archive read safely and by random access: names judged, sizes bounded, nothing extracted, nothing written.

Python's ``zipfile`` reads the central directory (it is careful and it is what pip uses, so both see the same members);
what it would believe is checked here before a byte is inflated. All refusals are :class:`InputError`.
"""

from __future__ import annotations

import os
import posixpath
import struct
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from abicheck.binary.source import ByteSource, BytesSource, DiskSource
from abicheck.errors import InputError
from abicheck.wheel.recent import Recent
from abicheck.wheel.streams import DeflatedSource, ForeignSource, MemberError, StoredSource, inflate_head

WHOLE = 96 << 20  # members up to this many bytes are inflated at once
MAX_RATIO = 1100  # deflate cannot exceed 1032:1, so more is a lie or an attack
MAX_MEMBERS = 400_000
MAX_DIRECTORY = 256 << 20
MAX_TOTAL = 64 << 30
MAX_NAME = 255  # bytes of one name, on every file system that conda environments live on; deeper trees are no package's
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)  # what Python unpacks
_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_recent = Recent()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what an archive may claim. ``total``: bytes of all members unpacked; ``ratio``: unpacked to packed."""

    total: int = MAX_TOTAL
    ratio: int = MAX_RATIO
    members: int = MAX_MEMBERS
    directory: int = MAX_DIRECTORY


@dataclass(frozen=True, slots=True)
class Item:
    """One member as the central directory gives it (sizes in bytes). ``offset``: where its local header starts."""

    name: str
    size: int
    packed: int
    crc: int
    method: int
    offset: int
    executable: bool
    link: bool


class Archive:
    """An opened, checked archive.

    ``items``: the files (no directories), in the archive's order, the last of equal names only.
    ``doubles``: names that occur more than once (pip writes the last one, twice).
    """

    def __init__(self, path: str, limits: Limits | None = None) -> None:
        """Open and check. Raises ``InputError``: unreadable, not a zip, truncated, hostile."""
        self.path = path
        self.filename = os.path.basename(path)
        limits = limits or Limits()
        try:
            self._file = DiskSource(path)
        except OSError as e:
            raise InputError("unreadable-wheel", f"{path} cannot be read: {e.strerror or e}.") from e
        _check_directory(self._file, self.filename, limits)
        infos = _central_directory(path, self.filename)
        files = [i for i in infos if not i.filename.endswith("/")]
        for info in infos:
            _check_name(self.filename, info.filename)
        for info in files:
            _check_member(self.filename, info, limits, self._file.size)
        _check_total(self.filename, files, limits, self._file.size)
        seen: dict[str, Item] = {}
        doubles: list[str] = []
        for info in files:
            if info.filename in seen:
                doubles.append(info.filename)
                del seen[info.filename]
            seen[info.filename] = _item(info)
        _check_folders(self.filename, seen)
        self.items = tuple(seen.values())
        self.doubles = tuple(dict.fromkeys(doubles))
        self._by_name = seen

    @property
    def file(self) -> DiskSource:
        """The archive's own bytes."""
        return self._file

    def item(self, name: str) -> Item | None:
        return self._by_name.get(name)

    def source(self, item: Item) -> ByteSource:
        """The member's bytes. Raises ``OSError`` when they are not what the archive promises (``pread`` may, later)."""
        label = f"{self.filename}!{item.name}"
        start = self._data_start(item)
        if item.method == zipfile.ZIP_STORED:
            return StoredSource(label, self._file, start, item)
        if item.method != zipfile.ZIP_DEFLATED:
            return ForeignSource(label, self.path, item)
        source = DeflatedSource(label, self._file, start, item)
        if item.size > WHOLE:
            return source
        key = (self, item.offset)  # an archive equals only itself
        data = _recent.get(key)
        if data is None:
            data = source.whole()
            _recent.put(key, data)
        return BytesSource(label, data)

    def read(self, name: str, limit: int) -> bytes | None:
        """A small member whole; None when there is none of that name. Raises ``OSError`` (also when over ``limit``)."""
        item = self.item(name)
        if item is None:
            return None
        if item.size > limit:
            raise MemberError(f"{self.filename}!{name}: {item.size} bytes, over the limit of {limit}")
        source = self.source(item)
        return source.pread(0, source.size)

    def heads(self, length: int) -> Iterator[tuple[Item, bytes]]:
        """The first ``length`` bytes of every member, in file order.

        Raises ``InputError`` for one that cannot be unpacked: pip stops there too."""
        for item in sorted(self.items, key=lambda i: i.offset):
            yield item, self._head(item, length)

    def _head(self, item: Item, length: int) -> bytes:
        if item.size == 0:
            return b""
        try:
            start = self._data_start(item)
            if item.method == zipfile.ZIP_STORED:
                return self._file.pread(start, min(length, item.size))
            if item.method == zipfile.ZIP_DEFLATED:
                return inflate_head(self._file, start, item.packed, min(length, item.size))
            return ForeignSource(item.name, self.path, item).pread(0, length)
        except OSError as e:
            raise _bad("truncated-wheel", self.filename, f"has a member that cannot be unpacked ({e})") from e

    def _data_start(self, item: Item) -> int:
        raw = self._file.pread(item.offset, _LOCAL.size)
        if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
            raise MemberError(f"{self.filename}!{item.name}: no local header at byte {item.offset}")
        name_length, extra_length = _LOCAL.unpack(raw)[-2:]
        return int(item.offset + _LOCAL.size + name_length + extra_length)


def _bad(reference: str, filename: str, what: str) -> InputError:
    return InputError(
        reference, f"{filename} {what}.", "download the wheel again, and check its hash against the index"
    )


def _check_directory(file: DiskSource, filename: str, limits: Limits) -> None:
    """Find the end record and judge its claims before anybody loads the directory it announces."""
    if file.size == 0:
        raise _bad("not-a-wheel", filename, "is empty, not a zip archive")
    head = file.pread(0, 64)
    if head.startswith(b"version https://git-lfs"):
        raise InputError("not-a-wheel", f"{filename} is a Git LFS pointer, not the wheel itself.", "git lfs pull")
    tail_at = max(0, file.size - (_END.size + 65535))
    tail = file.pread(tail_at, _END.size + 65535)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        looks_cut = head[:4] == b"PK\x03\x04"
        raise _bad(
            "truncated-wheel" if looks_cut else "not-a-wheel",
            filename,
            f"ends without a zip directory: it is cut off after {file.size} bytes"
            if looks_cut
            else "is not a zip archive",
        )
    _, _, _, _, count, size, _, _ = _END.unpack_from(tail, at)
    locator = tail.rfind(b"PK\x06\x07", 0, at)
    if locator >= 0 and len(tail) - locator >= 20:
        (end64,) = struct.unpack_from("<Q", tail, locator + 8)
        raw = file.pread(end64, _END64.size)
        if len(raw) == _END64.size and raw[:4] == b"PK\x06\x06":
            count, size = _END64.unpack(raw)[7:9]
    if count > limits.members:
        raise _bad("hostile-wheel", filename, f"announces {count} members, over the limit of {limits.members}")
    if size > limits.directory:
        raise _bad(
            "hostile-wheel", filename, f"announces a directory of {size} bytes, over the limit of {limits.directory}"
        )


def _central_directory(path: str, filename: str) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as z:
            return z.infolist()
    except UnicodeDecodeError as e:
        raise _bad("hostile-wheel", filename, "has a member whose name is not the UTF-8 it claims to be") from e
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, NotImplementedError, struct.error, EOFError) as e:
        raise _bad("truncated-wheel", filename, f"has a zip directory that cannot be read ({e})") from e
    except OSError as e:
        raise InputError("unreadable-wheel", f"{path} cannot be read: {e.strerror or e}.") from e


def _check_name(filename: str, name: str) -> None:
    """Names that could leave the site-packages directory on some platform; pip refuses most of them too."""
    shown = name.encode("unicode_escape").decode("ascii")
    if name.startswith(("/", "\\")):
        raise _bad("hostile-wheel", filename, f"has a member with an absolute name, '{shown}'")
    if len(name) > 1 and name[1] == ":":
        raise _bad("hostile-wheel", filename, f"has a member with a drive letter in its name, '{shown}'")
    if "\\" in name:
        raise _bad("hostile-wheel", filename, f"has a member with a backslash in its name, '{shown}'")
    if ".." in name.split("/"):
        raise _bad("hostile-wheel", filename, f"has a member that climbs out of its folder, '{shown}'")
    if not name or any(ord(c) < 32 for c in name):
        raise _bad("hostile-wheel", filename, f"has a member with control characters in its name, '{shown}'")
    parts = name.split("/")
    if len(parts) > MAX_NAME or any(len(p.encode("utf-8", "surrogatepass")) > MAX_NAME for p in parts):
        raise _bad("hostile-wheel", filename, f"has a member whose name no file system takes, '{shown[:60]}...'")


def _check_folders(filename: str, names: Collection[str]) -> None:
    """A member that lies below another one, which is a file: pip cannot write both."""
    seen: set[str] = set()
    for name in names:
        folder = posixpath.dirname(name)
        while folder and folder not in seen:
            if folder in names:
                raise _bad("hostile-wheel", filename, f"has a file and a folder of one name, {folder!r}")
            seen.add(folder)
            folder = posixpath.dirname(folder)


def _check_member(filename: str, info: zipfile.ZipInfo, limits: Limits, archive_size: int) -> None:
    if info.flag_bits & 0x1:
        raise _bad("hostile-wheel", filename, f"has an encrypted member, {info.filename!r}; pip cannot read it either")
    if info.compress_type not in METHODS:
        what = f"has a member packed by a method that pip cannot unpack ({info.compress_type}), {info.filename!r}"
        raise _bad("unreadable-wheel", filename, what)
    if info.header_offset < 0 or info.header_offset + info.compress_size > archive_size:
        raise _bad("truncated-wheel", filename, f"has a member outside the file, {info.filename!r}")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise _bad("hostile-wheel", filename, f"gives two sizes for the stored member {info.filename!r}")
    if info.compress_type == zipfile.ZIP_DEFLATED and info.file_size > limits.ratio * max(info.compress_size, 1):
        what = f"claims that {info.compress_size} bytes unpack to {info.file_size}, more than deflate can"
        raise _bad("hostile-wheel", filename, f"{what} ({info.filename!r})")


def _check_total(filename: str, files: list[zipfile.ZipInfo], limits: Limits, archive_size: int) -> None:
    total = sum(i.file_size for i in files)
    if total > limits.total:
        raise _bad("hostile-wheel", filename, f"unpacks to {total} bytes, over the limit of {limits.total}")
    if sum(i.compress_size for i in files) > archive_size:
        raise _bad("hostile-wheel", filename, "has members that overlap each other")


def _item(info: zipfile.ZipInfo) -> Item:
    mode = info.external_attr >> 16
    return Item(
        info.filename,
        info.file_size,
        info.compress_size,
        info.CRC,
        info.compress_type,
        info.header_offset,
        executable=bool(mode & 0o111),
        link=(mode & 0o170000) == 0o120000,
    )
