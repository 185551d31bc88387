"""Where Python's import system finds a module: ``sys.path`` order and FileFinder's precedence (PY-7), by the view."""

from __future__ import annotations

import posixpath
import sys

from abicheck.import_effects.facts import ImportContext, Spec, SpecKind

__all__ = ["Finder", "Spec"]

# Standard modules that exist on some systems only, and those that need a library at build time and are never built in.
# Source: docs.python.org/3/py-modindex.html (availability notes) and the names of CPython's Modules/Setup.stdlib.in.
_WINDOWS_ONLY = frozenset(
    {"_winapi", "msvcrt", "nt", "winreg", "winsound", "_overlapped", "_wmi", "_msi", "ntsecuritycon"}
)
_POSIX_ONLY = frozenset(
    {"posix", "pwd", "grp", "fcntl", "termios", "resource", "syslog", "readline", "crypt", "_crypt", "spwd", "nis"}
    | {"_posixsubprocess", "_posixshmem", "_curses", "_curses_panel", "_dbm", "_gdbm", "ossaudiodev"}
)
_OSX_ONLY = frozenset({"_scproxy"})
_NEVER_BUILT_IN = frozenset(
    {"_tkinter", "_gdbm", "_dbm", "nis", "ossaudiodev", "spwd", "_testcapi", "idlelib", "ensurepip"}
)


class Finder:
    """Finds modules for one context; its answers are shared with all others of the context."""

    def __init__(self, context: ImportContext) -> None:
        self._view = context.view
        self._suffixes = (*context.extension_suffixes, ".py", ".pyc")
        self._extensions = frozenset(context.extension_suffixes)
        self._specs, self._listings = context.places.specs, context.places.listings
        self.editable: dict[str, str] = {}  # top-level name to the directory or file that stands for it
        self._builtins = context.builtins
        self._absent = (
            _NEVER_BUILT_IN
            | {
                "linux": _WINDOWS_ONLY | _OSX_ONLY,
                "osx": _WINDOWS_ONLY,
                "win": _POSIX_ONLY | _OSX_ONLY,
            }[context.system]
        )
        self._stdlib = (context.stdlib, context.dynload)

    def find(self, name: str, path: tuple[str, ...]) -> Spec | None:
        """The module ``name`` on ``path`` (``sys.path``, or the parent's ``__path__``); None: ModuleNotFoundError."""
        key = (name, path)
        if key not in self._specs:
            self._specs[key] = self._find(name, path)
        found = self._specs[key]
        if name in self.editable and (found is None or found.kind == "namespace") and not self._is_standard(name):
            where, tail = posixpath.split(self.editable[name])
            return self._on_path(name, posixpath.splitext(tail)[0], (where,)) or found
        return found

    def _is_standard(self, name: str) -> bool:
        """Whether a name is the standard library's, where no list tells which of its modules are built in."""
        return self._builtins is None and "." not in name and name in sys.stdlib_module_names

    def _find(self, name: str, path: tuple[str, ...]) -> Spec | None:
        if self._builtins is not None and name in self._builtins:
            return Spec(name, "builtin")
        tail = name.rpartition(".")[2]
        # Built-in modules come before sys.path. Without a list: a standard name without a file is one.
        if self._is_standard(name):
            return (
                self._on_path(name, tail, self._stdlib)
                or self._guessed_builtin(name)
                or self._on_path(name, tail, path)
            )
        return self._on_path(name, tail, path)

    def _guessed_builtin(self, name: str) -> Spec | None:
        return None if name in self._absent else Spec(name, "builtin")

    def _on_path(self, name: str, tail: str, path: tuple[str, ...]) -> Spec | None:
        portions: list[str] = []
        for directory in path:
            names = self._names(directory)
            if names is None:
                continue
            base = f"{directory}/{tail}"
            if names.get(tail) == "dir":
                inside = self._names(base) or {}
                for suffix in self._suffixes:
                    if inside.get("__init__" + suffix) == "file":
                        return Spec(name, self._kind(suffix), f"{base}/__init__{suffix}", (base,))
            for suffix in self._suffixes:
                if names.get(tail + suffix) == "file":
                    return Spec(name, self._kind(suffix), base + suffix)
            if names.get(tail) == "dir":
                portions.append(base)
        return Spec(name, "namespace", "", tuple(portions)) if portions else None

    def _kind(self, suffix: str) -> SpecKind:
        return "extension" if suffix in self._extensions else "source" if suffix == ".py" else "bytecode"

    def _names(self, directory: str) -> dict[str, str] | None:
        """Entries of a directory: name to "file" or "dir" (links followed)."""
        if directory not in self._listings:
            self._listings[directory] = self._list(directory)
        return self._listings[directory]

    def _list(self, directory: str) -> dict[str, str] | None:
        listing = self._view.listing(directory)
        if listing is None:
            return None
        out = {}
        for name, entry in listing.items():
            kind: str = entry.kind
            if kind == "link":
                kind = self._view.lookup(f"{directory}/{name}").status
            out[name] = "file" if kind in ("recorded", "unknown") else kind
        return out

    def submodules(self, locations: tuple[str, ...]) -> list[str]:
        """Names of the modules directly inside a package, sorted."""
        out: set[str] = set()
        for directory in locations:
            for name, kind in (self._names(directory) or {}).items():
                if kind == "dir":
                    out.add(name)
                    continue
                suffix = next((s for s in self._suffixes if name.endswith(s)), None)
                if suffix is not None:
                    out.add(name[: -len(suffix)])
        return sorted(n for n in out if n.isidentifier() and n != "__init__" and n != "__pycache__")
