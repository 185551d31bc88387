# ruff: noqa: ARG001 (all handlers of one table have one signature)
"""``os.path``, ``pathlib``, ``glob`` and their like, answered from the view."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from typing import TYPE_CHECKING

from abicheck.import_effects.core import Frame
from abicheck.import_effects.registry import argument, known
from abicheck.import_effects.values import UNKNOWN, FileValue, PathValue, SpecValue, Value, as_path

if TYPE_CHECKING:
    from abicheck.import_effects.statements import Statements

MAX_NAMES = 5000  # of one directory that import-time code lists


def clean(m: Statements, value: Value) -> str | None:
    """A path as the view spells it: ``/`` between parts; None when it is not known."""
    text = as_path(m.force(value))
    return text.replace("\\", "/") if text is not None and m.target.system == "win" else text


def status(m: Statements, path: str) -> str | None:
    """``file``, ``dir``, ``absent``; None where nothing is known (a relative path, a directory of an unknown host)."""
    if not path.startswith("/"):
        return None
    found = m.view.lookup(path).status
    if found in ("file", "unknown"):
        return "file"
    if found == "dir":
        return "dir"
    # Outside the prefix the view may know nothing of the host.
    return "absent" if path.startswith(m.context.prefix + "/") else None


@known("os.path.join")
def _join(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    parts = [clean(m, a) for a in args]
    return posixpath.join(*[p for p in parts if p is not None]) if parts and None not in parts else UNKNOWN


def _simple(name: str, compute: object) -> None:
    def handler(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
        path = clean(m, argument(args, keywords, 0, "path"))
        return UNKNOWN if path is None else compute(path)  # type: ignore[operator]

    known(name)(handler)


def _absolute(path: str) -> Value:
    # The working directory of the process is not known.
    return posixpath.normpath(path) if path.startswith("/") else UNKNOWN


for _name, _compute in {
    "os.path.dirname": posixpath.dirname,
    "os.path.basename": posixpath.basename,
    "os.path.normpath": posixpath.normpath,
    "os.path.normcase": str,
    "os.fspath": str,
    "os.fsdecode": str,
    "os.fsencode": str,
    "os.path.abspath": _absolute,
    "os.path.splitext": posixpath.splitext,
    "os.path.split": posixpath.split,
    "os.path.splitdrive": posixpath.splitdrive,
    "os.path.isabs": posixpath.isabs,
    "os.path.expanduser": lambda p: UNKNOWN if p.startswith("~") else p,
    "os.path.expandvars": lambda p: UNKNOWN if "$" in p or "%" in p else p,
}.items():
    _simple(_name, _compute)


@known("os.path.realpath")
def _realpath(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    path = clean(m, argument(args, keywords, 0, "filename"))
    if path is None or not path.startswith("/"):
        return UNKNOWN
    found = m.view.lookup(path)
    return found.real if found.status in ("file", "dir") else posixpath.normpath(path)


def _test(name: str, accepted: tuple[str, ...]) -> None:
    def handler(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
        return is_there(m, argument(args, keywords, 0, "path"), accepted)

    known(name)(handler)


def is_there(m: Statements, value: Value, accepted: tuple[str, ...]) -> Value:
    path = clean(m, value)
    state = status(m, path) if path is not None else None
    return UNKNOWN if state is None else state in accepted


for _name, _kinds in {
    "os.path.exists": ("file", "dir"),
    "os.path.lexists": ("file", "dir"),
    "os.path.isfile": ("file",),
    "os.path.isdir": ("dir",),
    "os.access": ("file", "dir"),
}.items():
    _test(_name, _kinds)


@known("os.listdir")
def _listdir(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    path = clean(m, argument(args, keywords, 0, "path"))
    names = list_names(m, path) if path is not None else None
    return UNKNOWN if names is None else names


def list_names(m: Statements, path: str) -> list[Value] | None:
    """Names in a directory, sorted (the real order is the file system's). None: not known."""
    state = status(m, path)
    if state == "absent":
        m.fail("FileNotFoundError", None)
        return []
    listing = m.view.listing(path) if state == "dir" else None
    return list(sorted(listing)[:MAX_NAMES]) if listing is not None else None


@known("glob.glob", "glob.iglob")
def _glob(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    pattern = clean(m, argument(args, keywords, 0, "pathname"))
    base = keywords.get("root_dir")
    if pattern is None or base is not None or not pattern.startswith("/"):
        return UNKNOWN
    found = expand(m, pattern)
    return UNKNOWN if found is None else list(found)


def expand(m: Statements, pattern: str) -> list[str] | None:
    """Paths that match a pattern of ``*``, ``?`` and ``[]`` per component (``**`` one level or more), sorted."""
    at = [""]
    for part in pattern.split("/")[1:]:
        if not re.search(r"[*?\[]", part):
            at = [f"{a}/{part}" for a in at if status(m, f"{a}/{part}") in ("file", "dir")]
            continue
        step: list[str] = []
        for directory in at:
            state = status(m, directory or "/")
            if state is None:
                return None
            listing = (m.view.listing(directory or "/") or {}) if state == "dir" else {}
            if part == "**":
                step.append(directory)
                step += [f"{directory}/{n}" for n in sorted(listing) if status(m, f"{directory}/{n}") == "dir"]
            else:
                hidden = part.startswith(".")
                step += [
                    f"{directory}/{n}"
                    for n in sorted(listing)
                    if fnmatch.fnmatchcase(n, part) and hidden >= n.startswith(".")
                ]
        at = step[:MAX_NAMES]
    return at


@known("pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.WindowsPath", "importlib.resources.path")
@known("pathlib.PurePosixPath", "pathlib.PureWindowsPath")
def _path(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    parts = [clean(m, a) for a in args]
    known_parts = [p for p in parts if p is not None]
    return (
        PathValue(posixpath.join(*known_parts) if known_parts else ".") if len(known_parts) == len(parts) else UNKNOWN
    )


@known("importlib.resources.files", "importlib_resources.files")
def _files(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = argument(args, keywords, 0, "anchor")
    name = getattr(name, "name", name)
    module = m.modules.get(name) if isinstance(name, str) else None
    return PathValue(module.spec.locations[0]) if module and module.spec.locations else UNKNOWN


@known("importlib.resources.as_file")
def _as_file(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return argument(args, keywords, 0, "path", UNKNOWN)


@known("builtins.open", "io.open")
def _open(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    path = clean(m, argument(args, keywords, 0, "file"))
    if path is None:
        return UNKNOWN
    if status(m, path) == "absent" and argument(args, keywords, 1, "mode", "r") in ("r", "rb", "rt"):
        return m.fail("FileNotFoundError", UNKNOWN)
    return FileValue(path)


@known("sysconfig.get_path", "sysconfig.get_paths", "distutils.sysconfig.get_python_lib")
def _get_path(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = argument(args, keywords, 0, "name", "purelib")
    context = m.context
    paths: dict[Value, Value] = {
        "purelib": context.site_packages[0],
        "platlib": context.site_packages[0],
        "stdlib": context.stdlib,
        "platstdlib": context.stdlib,
        "scripts": context.prefix + ("/Scripts" if m.target.system == "win" else "/bin"),
        "data": context.prefix,
    }
    return paths.get(name, UNKNOWN) if isinstance(name, str) else UNKNOWN


@known("site.getsitepackages")
def _site_packages(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return list(m.context.site_packages)


@known("site.getusersitepackages")
def _user_site(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return UNKNOWN


@known("sysconfig.get_config_var", "distutils.sysconfig.get_config_var")
def _config(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = argument(args, keywords, 0, "name")
    if name in ("EXT_SUFFIX", "SO"):
        return m.context.extension_suffixes[0] if m.context.extension_suffixes else UNKNOWN
    if name in ("prefix", "exec_prefix", "base"):
        return m.context.prefix
    if name == "LIBDIR":
        return m.context.prefix + "/lib"
    return UNKNOWN


@known("sysconfig.get_config_vars")
def _configs(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return UNKNOWN


@known("importlib.util.spec_from_file_location")
def _spec_from_file(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name, path = argument(args, keywords, 0, "name"), clean(m, argument(args, keywords, 1, "location"))
    return SpecValue(name, path) if isinstance(name, str) and path is not None else UNKNOWN


def path_method(m: Statements, owner: PathValue, name: str, args: list[Value]) -> Value:
    """A method of a ``pathlib`` path."""
    path = owner.path
    if name in ("resolve", "absolute", "expanduser", "readlink", "locate"):
        if not path.startswith("/"):
            return UNKNOWN
        return PathValue(m.view.lookup(path).real if name == "resolve" and status(m, path) != "absent" else path)
    if name in ("exists", "is_file", "is_dir"):
        return is_there(m, owner, {"exists": ("file", "dir"), "is_file": ("file",), "is_dir": ("dir",)}[name])
    if name in ("as_posix", "__str__", "__fspath__"):
        return path
    if name in ("joinpath", "with_name", "with_suffix"):
        parts = [clean(m, a) for a in args]
        if None in parts:
            return UNKNOWN
        texts = [p for p in parts if p is not None]
        if name == "joinpath":
            return PathValue(posixpath.join(path, *texts))
        if name == "with_name":
            return PathValue(posixpath.join(posixpath.dirname(path), texts[0]))
        return PathValue(posixpath.splitext(path)[0] + texts[0])
    if name in ("glob", "rglob") and args and isinstance(args[0], str) and path.startswith("/"):
        found = expand(m, f"{path}/{'**/' if name == 'rglob' else ''}{args[0]}")
        return UNKNOWN if found is None else [PathValue(p) for p in dict.fromkeys(found)]
    if name == "iterdir":
        names = list_names(m, path)
        return UNKNOWN if names is None else [PathValue(f"{path}/{n}") for n in names]
    if name == "open":
        return FileValue(path)
    if name in ("read_text", "read_bytes"):
        return text_of(m, path)
    if name == "is_absolute":
        return path.startswith("/")
    return UNKNOWN


def text_of(m: Statements, path: str) -> Value:
    text = m.read(path)
    return UNKNOWN if text is None else text
