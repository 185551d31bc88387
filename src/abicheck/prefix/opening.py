"""From a path to a :class:`Prefix`: what kind it is, near misses when it is none, names of environments."""

from __future__ import annotations

import difflib
import os
import posixpath
from collections.abc import Iterator

import msgspec

from abicheck.errors import InputError
from abicheck.model import Skipped
from abicheck.prefix.files import LIMIT, DiskFiles, MappedFiles, read_bytes
from abicheck.prefix.interpreter import find_interpreter
from abicheck.prefix.reading import Place, Prefix, placer
from abicheck.prefix.records import CondaRecord, PathInfo, make_record, package_paths, parse_head, parse_record
from abicheck.prefix.snapshot import open_snapshot
from abicheck.prefix.snapshot_file import is_snapshot
from abicheck.trees import Entry, Listing


def open_prefix(path: str) -> Prefix:
    """Open what ``path`` names. Raises ``InputError``: neither an environment, a snapshot, nor unpacked packages."""
    # Python runs from the real directory, whatever link led to it.
    full = os.path.realpath(os.path.expanduser(path))
    root = full.replace(os.sep, "/").rstrip("/") or "/"
    if os.path.isfile(full):
        if is_snapshot(full):
            return open_snapshot(full)
        raise InputError(
            "not-a-prefix",
            f"{path} is a file, and not a snapshot of an environment.",
            "give the environment's folder, or a file written by `abicheck snapshot`",
        )
    if not os.path.isdir(full):
        raise InputError("no-such-prefix", f"There is no environment at {path}.", _near_misses(full))
    if is_environment(full):
        return _open_directory(root)
    packages = list(_unpacked(root))
    if packages:
        return _open_packages(root, packages)
    raise InputError(
        "not-a-prefix", f"{path} is not a conda environment (no conda-meta folder with records).", _near_misses(full)
    )


def is_environment(path: str) -> bool:
    """Whether a folder is one: ``conda-meta/history`` or a record in ``conda-meta``."""
    try:
        names = os.listdir(posixpath.join(path, "conda-meta"))
    except OSError:
        return False
    return any(n == "history" or n.endswith(".json") for n in names)


def _near_misses(path: str) -> str:
    """Environments near a path that is none: below it, around it, above it."""
    places = [posixpath.join(path, ".pixi", "envs"), posixpath.join(path, "envs"), path, os.path.dirname(path)]
    hits: list[str] = []
    for place in places:
        names = _folders(place)
        close = difflib.get_close_matches(os.path.basename(path), names, n=3, cutoff=0.5)
        ordered = close + ([n for n in names if n not in close] if place != os.path.dirname(path) else [])
        hits += [posixpath.join(place, n) for n in ordered if is_environment(posixpath.join(place, n))]
    parent = os.path.dirname(path)
    while parent != os.path.dirname(parent):
        if is_environment(parent):
            hits.append(parent)
            break
        parent = os.path.dirname(parent)
    shown = list(dict.fromkeys(os.path.relpath(h) if len(os.path.relpath(h)) < len(h) else h for h in hits))[:3]
    if shown:
        return f"did you mean {' or '.join(f'`{s}`' for s in shown)}?"
    return "`conda env list` shows where environments are"


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir())
    except OSError:
        return []


def _open_directory(root: str) -> Prefix:
    files = DiskFiles(root)
    return assemble(root, "directory", display_name(root), files, read_records(files))


def display_name(root: str) -> str:
    """What people call the environment: its folder's name, ``base`` for an installation of conda itself."""
    is_base = os.path.isdir(f"{root}/condabin") or (os.path.isdir(f"{root}/envs") and os.path.isdir(f"{root}/pkgs"))
    return "base" if is_base else posixpath.basename(root)


def read_records(files: DiskFiles) -> Iterator[tuple[str, bytes]]:
    """The raw records of ``conda-meta``: prefix-relative path and bytes (empty when unreadable)."""
    for name, node in sorted((files.listing("conda-meta") or {}).items()):
        if name.endswith(".json") and node.kind in ("file", "link"):
            path = f"conda-meta/{name}"
            yield path, read_bytes(files, path, 4 * LIMIT) or b""


def assemble(
    root: str, kind: str, display: str, files: DiskFiles | MappedFiles, raw: Iterator[tuple[str, bytes]]
) -> Prefix:
    """A prefix of its raw records. The python record comes first: noarch paths of the others depend on it."""
    first: list[tuple[str, bytes]] = []
    later: list[tuple[str, bytes]] = []
    for path, data in raw:
        (first if posixpath.basename(path).startswith(("python-", "pypy", "graalpy")) else later).append((path, data))
    site = "lib/python3/site-packages"
    windows = False
    place = placer(lambda: site, lambda: windows)
    records, problems = _parse_all(first, place)
    probe = Prefix(root, kind, display, files, records)
    interpreter = find_interpreter(records, files, probe.subdir)
    if interpreter is not None:
        site, windows = interpreter.site_packages, probe.subdir.startswith("win-")
    more, bad = _parse_all(later, place)
    return Prefix(root, kind, display, files, [*records, *more], [*problems, *bad])


def _parse_all(raw: list[tuple[str, bytes]], place: Place) -> tuple[list[CondaRecord], list[Skipped]]:
    records, problems = [], []
    for path, data in raw:
        try:
            records.append(parse_record(data, path, place))
        except ValueError as e:
            if posixpath.basename(path) in ("state.json", "pixi.json", "frozen.json"):
                continue
            problems.append(Skipped(path, f"is not a conda record ({e})"))
    return records, problems


# -- a folder of unpacked packages -------------------------------------------


def _unpacked(root: str) -> Iterator[str]:
    """Package folders at or below a path: those with ``info/index.json``, at most two levels down (``linux-64/x``)."""
    if os.path.isfile(posixpath.join(root, "info", "index.json")):
        yield root
        return
    for name in _folders(root):
        path = posixpath.join(root, name)
        if os.path.isfile(posixpath.join(path, "info", "index.json")):
            yield path
        else:
            for below in _folders(path):
                if os.path.isfile(posixpath.join(path, below, "info", "index.json")):
                    yield posixpath.join(path, below)


def _open_packages(root: str, folders: list[str]) -> Prefix:
    """Lay packages over each other as a client would link them; their own paths become places in the prefix."""
    site = "lib/python3/site-packages"
    windows = False
    place = placer(lambda: site, lambda: windows)
    heads: dict[str, CondaRecord] = {}
    problems: list[Skipped] = []
    order = sorted(folders, key=lambda f: (not posixpath.basename(f).startswith(("python-", "pypy")), f))
    nodes: dict[str, Entry] = {}
    for folder in order:
        files = DiskFiles(folder)
        try:
            record, mapped = _package(folder, files, place)
        except ValueError as e:
            problems.append(Skipped(posixpath.basename(folder), f"is not an unpacked conda package ({e})"))
            continue
        heads[folder] = record
        nodes |= mapped
        if record.name in ("python", "pypy"):
            probe = Prefix(root, "packages", root, files, [record])
            interpreter = find_interpreter([record], files, probe.subdir)
            if interpreter is not None:
                site, windows = interpreter.site_packages, probe.subdir.startswith("win-")
    return Prefix(root, "packages", posixpath.basename(root), MappedFiles(root, nodes), heads.values(), problems)


def _package(folder: str, files: DiskFiles, place: Place) -> tuple[CondaRecord, Listing]:
    """One unpacked package. Raises ``ValueError``."""
    head = parse_head(read_bytes(files, "info/index.json") or b"")
    data = read_bytes(files, "info/paths.json")
    infos = package_paths(data) if data else {}
    listed = infos or dict.fromkeys(
        (read_bytes(files, "info/files") or b"").decode("utf-8", "replace").split("\n"), None
    )
    noarch = head.noarch == "python"
    mapped: dict[str, Entry] = {}
    said: dict[str, PathInfo] = {}
    for path in listed or _walk(files, ""):
        if not path or posixpath.normpath(path).startswith(("..", "/")):
            continue
        own, _, name = path.rpartition("/")
        node = (files.listing(own) or {}).get(name)
        target = place(path, "") if noarch else path
        if infos:
            said[target] = infos[path]
        if node is not None:
            mapped[target] = node
    for path in _entry_point_scripts(files) if noarch else ():
        mapped[place(f"python-scripts/{path}", "")] = Entry("other")
    record = make_record(head, posixpath.basename(folder), tuple(dict.fromkeys([*said, *mapped])), lambda: said)
    return record, mapped


def _walk(files: DiskFiles, folder: str) -> Iterator[str]:
    for name, node in sorted((files.listing(folder) or {}).items()):
        path = posixpath.join(folder, name)
        if node.kind == "dir":
            if path != "info":
                yield from _walk(files, path)
        else:
            yield path


def _entry_point_scripts(files: DiskFiles) -> tuple[str, ...]:
    data = read_bytes(files, "info/link.json")
    try:
        link = msgspec.json.decode(data) if data else {}
    except (msgspec.MsgspecError, RecursionError):
        return ()
    noarch = link.get("noarch") if isinstance(link, dict) else None
    points = noarch.get("entry_points") if isinstance(noarch, dict) else None
    return tuple(p.partition("=")[0].strip() for p in points or () if isinstance(p, str))
