"""What Python calls installed in a prefix: each .dist-info and .egg-info of site-packages, each .egg and .egg-link of
old, its installer, its files."""

from __future__ import annotations

import functools
import hashlib
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
from packaging.utils import canonicalize_name

from abicheck.distinfo import RecordRow, parse_entry_points, parse_metadata, parse_record
from abicheck.model import Origin
from abicheck.prefix.files import Files, list_folder, read_bytes, resolve
from abicheck.prefix.records import CondaRecord


@dataclass(frozen=True, eq=False)
class Distribution:
    """One installed distribution.

    ``path``: prefix-relative, of its ``.dist-info``/``.egg-info`` folder (or file, for distutils' own), of the
    ``EGG-INFO`` of an egg, or of an ``.egg-link`` (then the version is empty: it is told elsewhere). ``installer``:
    what INSTALLER says (``conda``, ``pip``, ``uv``; empty without one). ``owner``: the conda record that lists its
    metadata.
    """

    name: str
    display_name: str
    version: str
    path: str
    installer: str
    requires_dist: tuple[str, ...]
    requires_python: str
    has_record: bool
    owner: CondaRecord | None
    files_of: Files = field(repr=False)

    @property
    def site_packages(self) -> str:
        return posixpath.dirname(self.path)

    @functools.cached_property
    def by_conda(self) -> bool:
        """Whether conda put it there, and pip has not put its own over it since.

        Packages that were built with pip carry INSTALLER ``pip`` themselves: then the files must be as conda linked.
        """
        if self.owner is None:
            return False
        return self.installer in ("", "conda") or all(map(self._as_linked, ("INSTALLER", "RECORD")))

    def _as_linked(self, name: str) -> bool:
        path = posixpath.join(self.path, name)
        info = self.owner.paths.get(path) if self.owner is not None else None
        if info is None:
            return False
        data = self.read(name)
        return not info.expected or (data is not None and hashlib.sha256(data).hexdigest() == info.expected)

    @functools.cached_property
    def editable(self) -> bool:
        """Whether it was installed with ``pip install -e`` (direct_url.json says so, PEP 610 and 660) or by ``setup.py
        develop``."""
        if self.path.endswith(".egg-link"):
            return True
        try:
            said = msgspec.json.decode(self.read("direct_url.json") or b"{}")
        except msgspec.MsgspecError:
            return False
        info = said.get("dir_info") if isinstance(said, dict) else None
        return isinstance(info, dict) and info.get("editable") is True

    @functools.cached_property
    def record(self) -> tuple[RecordRow, ...]:
        """Rows of RECORD as written (paths relative to site-packages); empty without a RECORD."""
        data = read_bytes(self.files_of, posixpath.join(self.path, "RECORD")) if self.has_record else None
        return parse_record(data) if data is not None else ()

    @functools.cached_property
    def rows(self) -> dict[str, RecordRow]:
        """Rows of RECORD by prefix-relative path; rows that lead out of the prefix are left out."""
        placed = ((self.place(row.path), row) for row in self.record)
        return {path: row for path, row in placed if path is not None}

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self.rows)

    def place(self, path: str) -> str | None:
        """A RECORD path as a prefix-relative one; None when it leads out of the prefix."""
        path = path.replace("\\", "/")
        root = self.files_of.root
        if path.startswith("/") or path[1:2] == ":":
            norm = posixpath.normpath(path)
            return norm[len(root) + 1 :] if norm.startswith(root + "/") else None
        norm = posixpath.normpath(posixpath.join(self.site_packages, path))
        return None if norm.startswith("../") or norm in ("..", ".") else norm

    @functools.cached_property
    def _points(self) -> Mapping[str, Mapping[str, str]]:
        return parse_entry_points(self.read("entry_points.txt") or b"")

    @property
    def scripts(self) -> tuple[str, ...]:
        """Names of its console and gui entry points."""
        return (*self._points.get("console_scripts", {}), *self.gui_scripts)

    @property
    def gui_scripts(self) -> tuple[str, ...]:
        return tuple(self._points.get("gui_scripts", {}))

    @functools.cached_property
    def top_level(self) -> tuple[str, ...]:
        """Import names: top_level.txt if it has one, else what RECORD's paths show."""
        text = self.read("top_level.txt")
        if text is not None:
            return tuple(dict.fromkeys(n.strip() for n in text.decode("utf-8", "replace").splitlines() if n.strip()))
        return import_names(row.path for row in self.record)

    def read(self, name: str) -> bytes | None:
        """A file of its metadata folder."""
        return read_bytes(self.files_of, posixpath.join(self.path, name))

    @functools.cached_property
    def origin(self) -> Origin:
        if self.owner is not None and self.by_conda:
            return self.owner.origin
        return Origin("pip", self.name, self.version)


def import_names(paths: Iterator[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Top-level names that site-packages-relative paths make importable (packages, modules, extension modules)."""
    names: dict[str, None] = {}
    for path in paths:
        first, _, rest = path.partition("/")
        if first in ("", "..", ".", "__pycache__") or first.endswith(
            (".dist-info", ".egg-info", ".data", ".libs", ".pth")
        ):
            continue
        if rest:
            if first.isidentifier():
                names[first] = None
        else:
            stem, _, suffix = first.partition(".")
            if stem.isidentifier() and first.endswith((".py", ".so", ".pyd")) and suffix:
                names[stem] = None
    return tuple(names)


def find_distributions(
    files: Files, folders: tuple[str, ...], owner: Callable[[str], CondaRecord | None]
) -> Iterator[Distribution]:
    """All distributions of the given site-packages folders, by folder and name."""
    for folder in folders:
        for entry, node in sorted(list_folder(files, folder).items()):
            path = posixpath.join(folder, entry)
            if entry.endswith((".dist-info", ".egg-info")):
                kind = resolve(files, path).node if node.kind == "link" else node
                if kind is not None and kind.kind in ("dir", "file"):
                    yield _distribution(files, path, kind.kind == "dir", owner, entry.rpartition(".")[0])
            elif entry.endswith(".egg"):
                inside = resolve(files, posixpath.join(path, "EGG-INFO")).node
                if inside is not None and inside.kind == "dir":
                    yield _distribution(files, posixpath.join(path, "EGG-INFO"), True, owner, entry.rpartition(".")[0])
            elif entry.endswith(".egg-link"):
                yield _linked(files, path, owner)


def _linked(files: Files, path: str, owner: Callable[[str], CondaRecord | None]) -> Distribution:
    """A project that lies elsewhere (``setup.py develop``); what it is there is not part of the environment."""
    display = posixpath.basename(path).removesuffix(".egg-link")
    return Distribution(
        name=canonicalize_name(display), display_name=display, version="", path=path, installer="", requires_dist=(),
        requires_python="", has_record=False, owner=owner(path), files_of=files,
    )  # fmt: skip


def _distribution(
    files: Files, path: str, folder: bool, owner: Callable[[str], CondaRecord | None], stem: str
) -> Distribution:
    def read(name: str) -> bytes | None:
        return read_bytes(files, posixpath.join(path, name) if folder else path)

    parts = stem.split("-")
    described = parse_metadata(read("METADATA" if path.endswith(".dist-info") else "PKG-INFO") or b"")
    listing = list_folder(files, path) if folder else {}
    installer = read("INSTALLER") if folder and "INSTALLER" in listing else None
    display = described.name or parts[0]
    holder = next(
        (r for r in map(owner, (posixpath.join(path, n) for n in sorted(listing))) if r is not None), owner(path)
    )
    return Distribution(
        name=canonicalize_name(display),
        display_name=display,
        version=described.version or (parts[1] if len(parts) > 1 else ""),
        path=path,
        installer=(installer or b"").decode("utf-8", "replace").strip().lower(),
        requires_dist=described.requires_dist,
        requires_python=described.requires_python,
        has_record=folder and "RECORD" in listing,
        owner=holder,
        files_of=files,
    )
