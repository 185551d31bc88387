"""Symbol versions: DT_VERNEED, DT_VERDEF and the table of names by index that the loader makes of them.

Source: gABI "Symbol Versioning"; glibc 04e750e7 ``elf/dl-version.c`` ``_dl_check_map_versions``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from abicheck.binary.elf_image import Image, grouped
from abicheck.errors import BinaryError

DT_VERDEF, DT_VERNEED = 0x6FFFFFFC, 0x6FFFFFFE
VER_FLG_BASE, VER_FLG_WEAK = 1, 2
MAX_VERSIONS = 1 << 16  # an index has 15 bits; twice that many records say nothing more
FIRST_PIECE = 1 << 12

Text = Callable[[int], str]


class VerNeedVersion(NamedTuple):
    """One version asked of a file. ``index``: without bit 15; ``hidden``: bit 15 of vna_other (ELF-38)."""

    name: str
    hash: int
    weak: bool
    index: int  # type: ignore[assignment]
    hidden: bool


class VerNeed(NamedTuple):
    """All versions asked of one file, in file order."""

    file: str
    versions: tuple[VerNeedVersion, ...]


class VerDef(NamedTuple):
    """One version that the file defines. The base entry names the file itself and is never matched."""

    name: str
    hash: int
    index: int  # type: ignore[assignment]
    is_base: bool
    weak: bool


class VersionName(NamedTuple):
    """What an index of DT_VERSYM stands for (``struct r_found_version``). ``file`` None: defined here."""

    name: str
    hidden: bool
    file: str | None


class _Walker:
    """Bytes from an address on, fetched in growing pieces: the tables do not say how long they are."""

    def __init__(self, image: Image, address: int, what: str) -> None:
        self._image, self._what = image, what
        self._offset, self._room = image.place(address, what)
        self._data = b""
        self._left = MAX_VERSIONS

    def fields(self, at: int, form: struct.Struct) -> tuple[int, ...]:
        end = at + form.size
        if end > self._room:
            raise BinaryError(
                self._image.source.name, f"has {self._what} that lead {grouped(end - self._room)} bytes out"
            )
        self._left -= 1
        if self._left < 0:
            raise BinaryError(self._image.source.name, f"has more than {grouped(MAX_VERSIONS)} records of {self._what}")
        if end > len(self._data):
            want = min(self._room, max(end, FIRST_PIECE, 4 * len(self._data)))
            want = min(want, max(end, self._image.source.size - self._offset))
            self._data = self._image.bytes_at(self._offset, want, self._what)
        return form.unpack_from(self._data, at)


Raw = tuple[int, tuple[tuple[int, ...], ...]]


def raw_verneed(image: Image, address: int) -> list[Raw]:
    """[(name offset of the file, ((hash, flags, other, name offset), ...)), ...]; names are read later, all at once."""
    walk = _Walker(image, address, "version needs")
    need, aux = struct.Struct(image.layout.end + "HHIII"), struct.Struct(image.layout.end + "IHHII")
    out: list[Raw] = []
    at = 0
    while True:
        version, _, file, first, following = walk.fields(at, need)
        if version != 1:
            raise BinaryError(image.source.name, f"has version needs of unsupported version {version}")
        rows = []
        here = at + first
        while True:
            *row, step = walk.fields(here, aux)
            rows.append(tuple(row))
            if not step:
                break
            here += step
        out.append((file, tuple(rows)))
        if not following:
            return out
        at += following


def raw_verdef(image: Image, address: int) -> list[tuple[int, ...]]:
    """[(flags, index, hash, name offset), ...]; only the first name counts, the others are its parents'."""
    walk = _Walker(image, address, "version definitions")
    entry, aux = struct.Struct(image.layout.end + "HHHHIII"), struct.Struct(image.layout.end + "II")
    out: list[tuple[int, ...]] = []
    at = 0
    while True:
        version, flags, index, _, digest, first, following = walk.fields(at, entry)
        if version != 1:
            raise BinaryError(image.source.name, f"has version definitions of unsupported version {version}")
        name, _ = walk.fields(at + first, aux)
        out.append((flags, index, digest, name))
        if not following:
            return out
        at += following


def name_offsets(needs: list[Raw], defs: list[tuple[int, ...]]) -> list[int]:
    """Every string offset the two raw tables use."""
    return [o for file, rows in needs for o in (file, *(r[3] for r in rows))] + [d[3] for d in defs]


def verneed_of(needs: list[Raw], text: Text) -> tuple[VerNeed, ...]:
    return tuple(
        VerNeed(
            text(file),
            tuple(
                VerNeedVersion(text(name), digest, bool(flags & VER_FLG_WEAK), other & 0x7FFF, bool(other & 0x8000))
                for digest, flags, other, name in rows
            ),
        )
        for file, rows in needs
    )


def verdef_of(defs: list[tuple[int, ...]], text: Text) -> tuple[VerDef, ...]:
    return tuple(
        VerDef(text(name), digest, index & 0x7FFF, bool(flags & VER_FLG_BASE), bool(flags & VER_FLG_WEAK))
        for flags, index, digest, name in defs
    )


def version_names(needs: tuple[VerNeed, ...], defs: tuple[VerDef, ...]) -> dict[int, VersionName]:
    """Index to name, needs first and definitions over them, base left out, as glibc fills ``l_versions``."""
    out = {v.index: VersionName(v.name, v.hidden, need.file) for need in needs for v in need.versions}
    for d in defs:
        if not d.is_base:
            before = out.get(d.index)
            out[d.index] = VersionName(d.name, before.hidden if before else False, None)
    return out
