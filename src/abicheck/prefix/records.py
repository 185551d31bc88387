"""conda-meta records and package indexes as typed data, in every layout that conda, mamba and rattler have written.

The lists of paths are by far the largest part of a record: what is needed of all records is decoded at once, ``paths``
(hashes and path types) when somebody asks.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from abicheck.model import Origin

PathType = Literal["hardlink", "softlink", "directory", "entry-point", "pyc", "other"]
_PATH_TYPES: Mapping[str, PathType] = {
    "hardlink": "hardlink",
    "softlink": "softlink",
    "directory": "directory",
    "pyc_file": "pyc",
    "unix_python_entry_point": "entry-point",
    "windows_python_entry_point_script": "entry-point",
    "windows_python_entry_point_exe": "entry-point",
    "linked_package_record": "other",
}


@dataclass(frozen=True, slots=True)
class PathInfo:
    """What a record says of one file. Hashes in hex or empty; ``size`` -1 when not given.

    ``sha256``: of the file in the package; ``sha256_in_prefix``: as linked (differs when a path was written into it).
    """

    sha256: str = ""
    sha256_in_prefix: str = ""
    size: int = -1
    path_type: PathType = "hardlink"
    placeholder: bool = False

    @property
    def expected(self) -> str:
        """The hash the file in the prefix should have, empty when the record does not tell."""
        if self.sha256_in_prefix:
            return self.sha256_in_prefix
        return "" if self.placeholder or self.path_type == "softlink" else self.sha256


@dataclass(frozen=True, eq=False)
class CondaRecord:
    """One installed conda package. ``files`` are prefix-relative as they lie there (noarch paths already placed)."""

    name: str
    version: str
    build: str
    build_number: int
    channel: str
    subdir: str
    depends: tuple[str, ...]
    constrains: tuple[str, ...]
    files: tuple[str, ...]
    noarch: str
    requested: bool
    requested_specs: tuple[str, ...]
    site_packages: str
    url: str
    source: str
    load_paths: Callable[[], Mapping[str, PathInfo]] = field(repr=False)

    @functools.cached_property
    def paths(self) -> Mapping[str, PathInfo]:
        """What the record says of each file; a file without ``paths_data`` has an empty :class:`PathInfo`."""
        known = self.load_paths()
        return {f: known.get(f, _NOTHING) for f in self.files}

    @functools.cached_property
    def origin(self) -> Origin:
        return Origin("conda", self.name, self.version, self.build, channel_name(self.channel))


_NOTHING = PathInfo()


class RawHead(msgspec.Struct):
    """A record without its hashes. Every key may be missing; odd types are taken as they come and judged later."""

    name: Any = None
    version: Any = None
    build: Any = None
    build_string: Any = None
    build_number: Any = 0
    channel: Any = None
    subdir: Any = None
    depends: Any = None
    constrains: Any = None
    files: Any = None
    noarch: Any = None
    requested_spec: Any = None
    requested_specs: Any = None
    python_site_packages_path: Any = None
    url: Any = None


class RawPath(msgspec.Struct):
    path: Any = msgspec.field(default=None, name="_path")
    path_type: Any = None
    sha256: Any = None
    sha256_in_prefix: Any = None
    size_in_bytes: Any = None
    prefix_placeholder: Any = None


class RawPaths(msgspec.Struct):
    paths: list[RawPath] = []


class RawTail(msgspec.Struct):
    paths_data: RawPaths | None = None


DAMAGED = (msgspec.MsgspecError, RecursionError)  # no JSON of the right shape, or nested without end
_HEAD = msgspec.json.Decoder(RawHead)
_TAIL = msgspec.json.Decoder(RawTail)
_PATHS = msgspec.json.Decoder(RawPaths)


def parse_record(data: bytes, source: str, place: Callable[[str, str], str]) -> CondaRecord:
    """One ``conda-meta/*.json``. ``source`` names it in messages; ``place`` maps a package path (and the record's own
    site-packages directory) to where it is linked. Raises ``ValueError`` when it is not a record."""
    try:
        head = _HEAD.decode(data)
    except DAMAGED as e:
        raise ValueError(str(e)) from e
    files = tuple(f.replace("\\", "/") for f in strings(head.files))

    def load() -> Mapping[str, PathInfo]:
        return _record_paths(data, set(files), lambda p: place(p, _text(head.python_site_packages_path)))

    if not files:
        files = tuple(load())
    return make_record(head, source, files, load)


def make_record(
    head: RawHead, source: str, files: tuple[str, ...], load: Callable[[], Mapping[str, PathInfo]]
) -> CondaRecord:
    """A record of what was decoded. A missing name or version comes from the file name (``name-version-build``)."""
    stem = posixpath.basename(source).removesuffix(".json")
    parts = stem.rsplit("-", 2) if stem.count("-") >= 2 else [stem, "", ""]
    specs = strings(head.requested_specs) or strings([head.requested_spec])
    specs = tuple(s for s in specs if s and s != "None")
    return CondaRecord(
        name=_text(head.name) or parts[0],
        version=_text(head.version) or parts[1],
        build=_text(head.build) or _text(head.build_string) or parts[2],
        build_number=head.build_number if isinstance(head.build_number, int) else 0,
        channel=_channel(head.channel),
        subdir=_text(head.subdir),
        depends=strings(head.depends),
        constrains=strings(head.constrains),
        files=files,
        noarch=_noarch(head.noarch),
        requested=bool(specs),
        requested_specs=specs,
        site_packages=_text(head.python_site_packages_path),
        url=_text(head.url),
        source=source,
        load_paths=load,
    )


def parse_head(data: bytes) -> RawHead:
    """``info/index.json`` of a package. Raises ``ValueError``."""
    try:
        return _HEAD.decode(data)
    except DAMAGED as e:
        raise ValueError(str(e)) from e


def package_paths(data: bytes) -> Mapping[str, PathInfo]:
    """``info/paths.json`` of a package: path inside the package to what is said of it. Raises ``ValueError``."""
    try:
        return dict(_infos(_PATHS.decode(data).paths))
    except DAMAGED as e:
        raise ValueError(str(e)) from e


def channel_name(channel: str) -> str:
    """The last words of a channel's address: ``conda-forge`` of ``https://host/conda-forge/linux-64``."""
    plain = channel.rstrip("/")
    parts = [p for p in plain.split("/") if p]
    if "://" not in plain:
        return plain
    if parts and (parts[-1] == "noarch" or parts[-1].partition("-")[0] in ("linux", "osx", "win")):
        parts.pop()
    tail = parts[2:]
    return "/".join(tail[-2:]) if tail[-2:-1] == ["pkgs"] else (tail[-1] if tail else plain)


def strings(value: Any) -> tuple[str, ...]:
    """The strings of a list; empty for anything else (records in the wild have null, "" and {} there)."""
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(v for v in value if isinstance(v, str))


def _record_paths(data: bytes, files: set[str], place: Callable[[str], str]) -> Mapping[str, PathInfo]:
    """conda leaves ``_path`` of noarch packages as in the package; others write the place in the prefix."""
    try:
        tail = _TAIL.decode(data)
    except DAMAGED:
        return {}
    if tail.paths_data is None:
        return {}
    infos = _infos(tail.paths_data.paths)
    return {(p if p in files else place(p)): info for p, info in infos}


def _infos(rows: Iterable[RawPath]) -> Iterable[tuple[str, PathInfo]]:
    for row in rows:
        if isinstance(row.path, str) and row.path:
            yield (
                row.path.replace("\\", "/"),
                PathInfo(
                    _text(row.sha256).lower(),
                    _text(row.sha256_in_prefix).lower(),
                    row.size_in_bytes if isinstance(row.size_in_bytes, int) else -1,
                    _PATH_TYPES.get(_text(row.path_type), "hardlink"),
                    bool(row.prefix_placeholder),
                ),
            )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _channel(value: Any) -> str:
    """A string, or (old conda) an object with a name."""
    if isinstance(value, dict):
        return _text(value.get("name"))
    return _text(value)


def _noarch(value: Any) -> str:
    """``python``, ``generic`` or empty; old records say ``true``."""
    if value is True:
        return "generic"
    return _text(value)
