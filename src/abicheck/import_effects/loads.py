# ruff: noqa: ARG001 (all handlers of one table have one signature)
"""The calls that load libraries or change how they are loaded (ELF-24, WIN-6, WIN-8, CL-11, PY-10)."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from abicheck.import_effects.core import Frame
from abicheck.import_effects.paths import clean, status
from abicheck.import_effects.registry import argument, known
from abicheck.import_effects.values import THING, UNKNOWN, Method, PathValue, Symbol, Value, is_plain

if TYPE_CHECKING:
    from abicheck.import_effects.statements import Statements

LIBRARY = Symbol("ctypes.CDLL()")


def open_library(m: Statements, frame: Frame, name: Value, mode: Value, *, python: bool, legacy: bool = False) -> Value:
    """One dlopen or LoadLibrary by path or bare name. ``python``: ctypes, whose default mode is RTLD_LOCAL (ELF-24) and
    which always binds at once. RTLD_NOLOAD loads nothing: it asks whether the library is there."""
    name = m.force(name)
    if name is None:
        return LIBRARY  # CDLL(None): the program itself
    text = clean(m, name)
    if text is None:
        what = "ctypes" if python else "dlopen"
        m.emit(frame, "unknown", name=f"{what} opens a library whose name is computed")
        return LIBRARY
    mode = m.force(mode)
    flags = mode if isinstance(mode, int) else 0
    if flags & m.target.rtld_noload:
        return LIBRARY
    # ctypes adds RTLD_NOW, cffi does where neither is given.
    lazily = not python and flags & 3 == m.target.constants.get("os.RTLD_LAZY")
    modes = m.target.modes(flags if lazily else flags | m.target.default_flags)
    local = m.target.system == "osx" and bool(flags & m.target.rtld_local)
    if m.target.system == "win" and "/" not in text and not posixpath.splitext(text)[1]:
        text += ".dll"
    if "/" in text:
        if not text.startswith("/"):
            m.emit(frame, "unknown", name=f"a library by relative path: {text}")
            return LIBRARY
        if status(m, text) == "absent":
            return m.fail("OSError", LIBRARY)
        which = {"path": posixpath.normpath(text)}
    elif text:
        which = {"name": text}
    else:
        return LIBRARY
    m.emit(frame, "dlopen", local=local, legacy_search=legacy, **modes, **which)
    return LIBRARY


@known("ctypes.CDLL", "ctypes.PyDLL", "ctypes.WinDLL", "ctypes.OleDLL")
def _cdll(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    if argument(args, keywords, 2, "handle") is not None:
        return LIBRARY
    mode = argument(args, keywords, 1, "mode", m.target.constants["ctypes.DEFAULT_MODE"])
    name = argument(args, keywords, 0, "name")
    winmode = m.force(keywords.get("winmode", args[5] if len(args) > 5 else None))
    legacy = m.target.system == "win" and winmode == 0
    return open_library(m, frame, name, mode, python=True, legacy=legacy)


@known("ctypes.cdll.LoadLibrary", "ctypes.pydll.LoadLibrary", "ctypes.windll.LoadLibrary", "ctypes.oledll.LoadLibrary")
def _load_library(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = argument(args, keywords, 0, "name")
    return open_library(m, frame, name, m.target.constants["ctypes.DEFAULT_MODE"], python=True)


@known("numpy.ctypeslib.load_library")
def _numpy_load(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name, where = clean(m, argument(args, keywords, 0, "libname")), clean(m, argument(args, keywords, 1, "loader_path"))
    if name is None or where is None:
        m.emit(frame, "unknown", name="numpy.ctypeslib opens a library whose name is computed")
        return LIBRARY
    directory = posixpath.dirname(where) if status(m, where) == "file" else where
    endings = {"linux": (".so",), "osx": (".dylib", ".so"), "win": (".dll",)}[m.target.system]
    names = [name] if posixpath.splitext(name)[1] else [name + e for e in (*endings, *m.context.extension_suffixes)]
    for candidate in names:
        path = posixpath.join(directory, candidate)
        if status(m, path) == "file":
            return open_library(m, frame, path, 0, python=True)
    return m.fail("OSError", LIBRARY)


@known("ctypes.util.find_library")
def _find_library(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    """A ctypes/util.py patched by conda looks in the prefix first (CL-11); after that it is the host's turn."""
    name = argument(args, keywords, 0, "name")
    if not isinstance(name, str):
        return UNKNOWN
    patched = "sys.prefix" in (m.read(m.context.stdlib + "/ctypes/util.py") or "")
    if patched and m.target.system in ("linux", "osx"):
        for ending in (".so", ".dylib") if m.target.system == "linux" else (".dylib", ".so"):
            path = f"{m.context.prefix}/lib/lib{name}{ending}"
            if status(m, path) == "file":
                return path
    m.emit(frame, "unknown", name=f"find_library({name!r}) asks the host")
    return UNKNOWN


@known("os.add_dll_directory")
def _add_dll_directory(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    path = clean(m, argument(args, keywords, 0, "path"))
    if path is None or not path.startswith("/"):
        m.emit(frame, "unknown", name="os.add_dll_directory of a directory that is computed")
    elif status(m, path) == "absent":
        return m.fail("FileNotFoundError", THING)
    else:
        m.emit(frame, "dll-directory", path=posixpath.normpath(path))
    return THING


@known("sys.setdlopenflags")
def _setdlopenflags(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    flags = argument(args, keywords, 0, "flags")
    if isinstance(flags, int):
        if not m.muted:
            m.flags = flags
        m.emit(frame, "setdlopenflags", value=str(flags), flags_global=bool(flags & m.target.rtld_global))
    else:
        m.emit(frame, "unknown", name="sys.setdlopenflags with a value that is computed")
    return None


@known("sys.getdlopenflags")
def _getdlopenflags(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return m.flags


@known("os.putenv")
def _putenv(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    m.set_environ(frame, argument(args, keywords, 0, "key"), argument(args, keywords, 1, "value"))
    return None


@known("os.unsetenv", "os.environ.pop")
def _unsetenv(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = argument(args, keywords, 0, "key")
    before = m.environ.pop(name, argument(args, keywords, 1, "default")) if isinstance(name, str) else UNKNOWN
    m.emit(frame, "environ", name=name if isinstance(name, str) else "", removed=True)
    return before


@known("os.environ.get", "os.getenv")
def _getenv(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = argument(args, keywords, 0, "key")
    default = argument(args, keywords, 1, "default")
    return m.environ.get(name, default) if isinstance(name, str) else UNKNOWN


@known("os.environ.setdefault")
def _setdefault(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name, value = argument(args, keywords, 0, "key"), argument(args, keywords, 1, "value")
    if isinstance(name, str) and name in m.environ:
        return m.environ[name]
    m.set_environ(frame, name, value)
    return value


@known("os.environ.update")
def _update(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    given = m.force(args[0]) if args else {}
    pairs = dict(given) if isinstance(given, dict) else {}
    if args and not isinstance(given, dict):
        m.set_environ(frame, UNKNOWN, UNKNOWN)
    for name, value in {**pairs, **keywords}.items():
        m.set_environ(frame, name, value)
    return None


@known("os.environ.copy")
def _environ_copy(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return dict(m.environ)


def sink_method(m: Statements, frame: Frame, method: Method, args: list[Value], keywords: dict[str, Value]) -> Value:
    """A method whose name says that it opens a library, on an object of which nothing else is known."""
    if method.name == "AddDllDirectory":
        return _add_dll_directory(m, frame, args, keywords)
    name = argument(args, keywords, 0, "name")
    if method.name == "dlopen":
        text = clean(m, name)
        if text and not set(text) & set("./\\"):
            # cffi takes what is no file's name for what a linker's -l takes, and asks as ctypes does.
            name = _find_library(m, frame, [text], {})
            if name is UNKNOWN:
                return LIBRARY
        return open_library(m, frame, name, argument(args, keywords, 1, "flags", 0), python=False)
    altered = argument(args, keywords, 2, "flags", 0)
    return open_library(m, frame, name, 0, python=True, legacy=isinstance(altered, int) and bool(altered & 8))


def load_by_attribute(m: Statements, frame: Frame, dotted: str) -> Value:
    """``ctypes.windll.kernel32``: the attribute's name is a library's."""
    name = dotted.rpartition(".")[2]
    if name.startswith("_") or name in ("LoadLibrary",):
        return Symbol(dotted)
    return open_library(m, frame, name, 0, python=True)


def is_path_to_file(m: Statements, value: Value) -> bool:
    path = clean(m, value) if is_plain(value) or isinstance(value, PathValue) else None
    return path is not None and status(m, path) == "file"
