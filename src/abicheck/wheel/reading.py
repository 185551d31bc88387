"""Read one wheel: names, tags, requirements, members, natives. Opened, never unpacked; nothing is written."""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from abicheck.binary.reading import HEAD, is_binary
from abicheck.binary.source import ByteSource
from abicheck.cache import disk_stamp
from abicheck.distinfo import (
    RecordRow,
    parse_entry_points,
    parse_metadata,
    parse_record,
    parse_wheel_file,
    script_name,
)
from abicheck.errors import InputError
from abicheck.wheel.archive import Archive, Limits

MAX_METADATA = 64 << 20
ProblemKind = Literal[
    "record-missing",
    "record-incomplete",
    "record-size",
    "member-doubled",
    "member-case-twins",
    "member-link",
    "member-unreadable",
    "scheme-unknown",
    "name-mismatch",
    "version-mismatch",
    "not-utf8",
    "wheel-version",
    "script-invalid",
    "requirement-invalid",
]


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive: its name there, unpacked size in bytes, CRC-32, and whether it starts like a binary."""

    name: str
    size: int
    crc: int
    is_native: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a wheel. ``refused``: pip would not install it. ``member``: the file meant, or empty."""

    kind: ProblemKind
    text: str
    member: str = ""
    refused: bool = False


@dataclass(frozen=True, eq=False)
class Wheel:
    """One wheel. ``tags`` come from the file name (they decide for pip), ``wheel_tags`` from the WHEEL file.

    ``console_scripts``/``gui_scripts``: entry points, name to value. ``record_hashes``: member name to sha256 in
    hex, for the members RECORD vouches for. ``requested_extras``: what the operand asked for (``x.whl[extra]``).
    """

    path: str
    filename: str
    name: str
    display_name: str
    version: str
    build: str
    tags: frozenset[Tag]
    wheel_tags: frozenset[Tag]
    root_is_purelib: bool
    generator: str
    requires_python: str
    requires_dist: tuple[str, ...]
    provides_extra: tuple[str, ...]
    dist_info: str
    members: tuple[Member, ...]
    record: tuple[RecordRow, ...]
    console_scripts: dict[str, str]
    gui_scripts: dict[str, str]
    problems: tuple[Problem, ...]
    archive: Archive = field(repr=False)
    requested_extras: frozenset[str] = frozenset()

    @functools.cached_property
    def natives(self) -> tuple[Member, ...]:
        """Members that start like a shared library, executable or archive of them, whatever their suffix."""
        return tuple(m for m in self.members if m.is_native)

    @functools.cached_property
    def record_hashes(self) -> Mapping[str, str]:
        return {row.path: row.sha256 for row in self.record if row.sha256}

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the whole file, in hex. Raises ``OSError``."""
        return self._digest("sha256")

    def digest(self, algorithm: str) -> str:
        """The same by another algorithm of :mod:`hashlib`."""
        return self.sha256 if algorithm == "sha256" else self._digest(algorithm)

    def _digest(self, algorithm: str) -> str:
        digest, at = hashlib.new(algorithm), 0
        while chunk := self.archive.file.pread(at, 1 << 20):
            digest.update(chunk)
            at += len(chunk)
        return digest.hexdigest()

    @functools.cached_property
    def _by_name(self) -> Mapping[str, Member]:
        return {m.name: m for m in self.members}

    def member(self, name: str) -> Member | None:
        return self._by_name.get(name)

    def source(self, member: Member) -> ByteSource:
        """The member's bytes by random access. Raises ``OSError`` when they are not what the archive promises."""
        item = self.archive.item(member.name)
        if item is None:
            raise FileNotFoundError(f"{self.filename}!{member.name}")
        return self.archive.source(item)

    @functools.cached_property
    def _stamp(self) -> Hashable:
        try:
            return disk_stamp(os.path.abspath(self.path), os.stat(self.path))
        except OSError:
            return None

    def stamp(self, member: Member) -> Hashable:
        """What tells this member's content from any other, in later runs too; None when the wheel is too new to say."""
        return None if self._stamp is None else (self._stamp, member.name, member.size, member.crc)

    def read(self, name: str, limit: int = MAX_METADATA) -> bytes | None:
        """A member whole; None when there is none. Raises ``OSError``."""
        return self.archive.read(name, limit)

    def with_extras(self, extras: frozenset[str]) -> Wheel:
        """The same wheel, asked for with extras."""
        return replace(self, requested_extras=extras)


def read_wheel(path: str, *, limits: Limits | None = None) -> Wheel:
    """Read the wheel at ``path``. Raises ``InputError``: not a wheel, truncated, hostile, no dist-info."""
    filename = os.path.basename(path)
    try:
        name, version, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as e:
        raise InputError(
            "not-a-wheel",
            f"{filename} does not have the name of a wheel: {e}.",
            "pip refuses it too; the form is NAME-VERSION-PYTHON-ABI-PLATFORM.whl",
        ) from e
    archive = Archive(path, limits)
    dist_info = _dist_info(archive, name)
    described = parse_metadata(_required(archive, dist_info, "METADATA"))
    wheel_file = parse_wheel_file(_required(archive, dist_info, "WHEEL"))
    record_data = _optional(archive, f"{dist_info}/RECORD")
    record = parse_record(record_data) if record_data is not None else ()
    points = parse_entry_points(_optional(archive, f"{dist_info}/entry_points.txt") or b"")
    console, gui = dict(points.get("console_scripts", {})), dict(points.get("gui_scripts", {}))
    members = tuple(_members(archive))
    problems = [
        *_encoding_problems(archive, dist_info),
        *_identity_problems(name, str(version), described.name, described.version, wheel_file.version),
        *_member_problems(archive),
        *_record_problems(record_data, record, members, dist_info),
        *_metadata_problems(described.requires_dist, [*console.items(), *gui.items()], dist_info),
    ]
    return Wheel(
        path=path,
        filename=filename,
        name=name,
        display_name=described.name or str(name),
        version=str(version),
        build="".join(str(b) for b in build),
        tags=tags,
        wheel_tags=wheel_file.tags,
        root_is_purelib=wheel_file.root_is_purelib,
        generator=wheel_file.generator,
        requires_python=described.requires_python,
        requires_dist=described.requires_dist,
        provides_extra=described.provides_extra,
        dist_info=dist_info,
        members=members,
        record=record,
        console_scripts=console,
        gui_scripts=gui,
        problems=tuple(problems),
        archive=archive,
    )


def _dist_info(archive: Archive, name: str) -> str:
    """The one ``.dist-info`` folder, as pip picks it. Raises ``InputError``."""
    folders = sorted({i.name.split("/", 1)[0] for i in archive.items if "/" in i.name})
    folders = [f for f in folders if f.endswith(".dist-info")]
    if len(folders) != 1:
        what = (
            "no .dist-info folder" if not folders else f"{len(folders)} .dist-info folders ({', '.join(folders[:3])})"
        )
        raise InputError(
            "not-a-wheel", f"{archive.filename} has {what}, so pip refuses it.", "build or download it again"
        )
    if not canonicalize_name(folders[0]).startswith(canonicalize_name(name)):
        raise InputError(
            "not-a-wheel",
            f"{archive.filename} holds {folders[0]}, which is not of the project in its name, so pip refuses it.",
            "was the file renamed?",
        )
    return folders[0]


def _required(archive: Archive, dist_info: str, name: str) -> bytes:
    data = _optional(archive, f"{dist_info}/{name}")
    if data is None:
        raise InputError("not-a-wheel", f"{archive.filename} has no {dist_info}/{name}, so pip refuses it.")
    return data


def _optional(archive: Archive, name: str) -> bytes | None:
    try:
        return archive.read(name, MAX_METADATA)
    except OSError as e:
        raise InputError("truncated-wheel", f"{e}.", "download the wheel again") from e


def _members(archive: Archive) -> list[Member]:
    native = {item.name for item, head in archive.heads(HEAD) if not item.link and is_binary(head)}
    return [Member(i.name, i.size, i.crc, i.name in native) for i in archive.items]


def _encoding_problems(archive: Archive, dist_info: str) -> list[Problem]:
    """Files that pip decodes before it installs anything, and stops at (PY-11)."""
    out = []
    for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt"):
        try:
            (_optional(archive, f"{dist_info}/{name}") or b"").decode("utf-8")
        except UnicodeDecodeError as e:
            text = f"its {name} is not UTF-8 (byte {e.object[e.start]:#04x} at {e.start})"
            out.append(Problem("not-utf8", text, f"{dist_info}/{name}", refused=True))
    return out


def _identity_problems(name: str, version: str, said: str, said_version: str, wheel_version: str) -> list[Problem]:
    out = []
    if said and canonicalize_name(said) != name:
        out.append(Problem("name-mismatch", f"the file name says {name}, its METADATA {said}", refused=True))
    if said_version and said_version != version and not _same_version(said_version, version):
        # pip takes the file all the same; only when it looks for a version by name does it go on to the next one.
        out.append(Problem("version-mismatch", f"the file name says {version}, its METADATA {said_version}"))
    major = wheel_version.partition(".")[0]
    if not major.isdecimal() or int(major) > 1:
        out.append(Problem("wheel-version", f"Wheel-Version is {wheel_version or 'missing'}, not 1.x", refused=True))
    return out


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _member_problems(archive: Archive) -> list[Problem]:
    out = [Problem("member-doubled", "stands twice in the archive; pip keeps the last", n) for n in archive.doubles]
    folded: dict[str, str] = {}
    for item in archive.items:
        twin = folded.setdefault(item.name.lower(), item.name)
        if twin != item.name:
            out.append(Problem("member-case-twins", f"differs only in case from {twin}", item.name))
        if item.link:
            out.append(
                Problem("member-link", "is a symbolic link; pip writes its target's name into a plain file", item.name)
            )
        parts = item.name.split("/")
        if parts[0].endswith(".data") and len(parts) > 1 and not _known_scheme(parts):
            what = f"{item.name} is in no scheme of the .data folder"
            out.append(Problem("scheme-unknown", what, item.name, refused=True))
    return out


def _known_scheme(parts: list[str]) -> bool:
    return len(parts) > 2 and parts[1] in ("purelib", "platlib", "headers", "scripts", "data")


def _record_problems(
    data: bytes | None, record: tuple[RecordRow, ...], members: tuple[Member, ...], dist_info: str
) -> list[Problem]:
    if data is None:
        return [Problem("record-missing", f"there is no {dist_info}/RECORD", refused=True)]
    sizes = {m.name: m.size for m in members}
    out = []
    listed = set()
    for row in record:
        listed.add(row.path)
        if row.path.startswith("/") or ".." in posixpath.normpath(row.path).split("/"):
            out.append(Problem("record-incomplete", "RECORD lists a path outside the wheel", row.path))
        elif row.path in sizes and row.size >= 0 and row.size != sizes[row.path]:
            text = f"RECORD says {row.size} bytes, the archive {sizes[row.path]}; pip does not compare them"
            out.append(Problem("record-size", text, row.path))
    own = {f"{dist_info}/{n}" for n in ("RECORD", "RECORD.jws", "RECORD.p7s")}
    out += [
        Problem("record-incomplete", "RECORD does not list it; pip installs it all the same", n)
        for n in sizes
        if n not in listed and n not in own
    ]
    return out


def _metadata_problems(requires: tuple[str, ...], scripts: list[tuple[str, str]], dist_info: str) -> list[Problem]:
    """Lines that pip reads before it installs, or when it makes the wrappers, and stops at (PY-11, PY-19)."""
    out = []
    for line in requires:
        try:
            Requirement(line)
        except InvalidRequirement:
            text = f"its requirement {line!r} is not valid"
            out.append(Problem("requirement-invalid", text, f"{dist_info}/METADATA", refused=True))
    for name, value in scripts:
        if script_name(name, value) is None:
            text = f"its entry point {name!r} names no function ({value})"
            out.append(Problem("script-invalid", text, f"{dist_info}/entry_points.txt", refused=True))
    return out
