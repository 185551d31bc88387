"""One interpreter from its start on: import modules one after the other and collect what they load."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from abicheck.import_effects import library as _library  # noqa: F401 (registers what it knows)
from abicheck.import_effects import loads, methods
from abicheck.import_effects.core import Frame, Raised
from abicheck.import_effects.facts import Effect
from abicheck.import_effects.finder import Spec
from abicheck.import_effects.registry import KNOWN
from abicheck.import_effects.statements import Statements
from abicheck.import_effects.values import UNKNOWN, Method, Symbol, Value

RECURSION_LIMIT = 12_000  # Python frames; they do not use the C stack (CPython 3.11 on)
_OBJECTS = frozenset(
    {"os.environ", "sys.modules", "ctypes.cdll", "ctypes.pydll", "ctypes.windll", "ctypes.oledll", "os.path"}
    | {"ctypes.pythonapi", "sys.builtin_module_names", "sys.flags", "sys.implementation", "sys.version_info"}
    | {"builtins.list", "sys.exit", "os._exit", "os.abort"}
)
_FOLDERS = ("ctypes.cdll.", "ctypes.pydll.", "ctypes.windll.", "ctypes.oledll.")


@contextlib.contextmanager
def deep_recursion() -> Iterator[None]:
    """Room for long import chains: each imported module and each call takes about a dozen frames here."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Session(Statements):
    """The modules imported so far, the search path, the environment and the dlopen flags of one process.

    ``imports`` derives one import after those before it; the effects of each are returned once.
    """

    def imports(self, name: str) -> list[Effect]:
        """Effects of ``import name`` now, in order. One that fails ends in an ``unknown`` effect that says so."""
        start = len(self.effects)
        self.sure, self.doubt = True, False
        try:
            with deep_recursion():
                self.import_module(name)
        except Raised as raised:
            self.emit(None, "unknown", name=f"import {name} fails: {raised}", module=name)
        except RecursionError:
            self.emit(None, "unknown", name=f"import {name} nests too deeply to be followed", module=name)
        del self.chain[:]
        return self.effects[start:]

    def locate(self, name: str) -> Spec | None:
        """Where ``import name`` would find the module; nothing is imported."""
        path = self.search_path()
        spec = None
        dotted = ""
        for part in name.split("."):
            dotted = f"{dotted}.{part}" if dotted else part
            spec = self.finder.find(dotted, path)
            if spec is None:
                return None
            path = spec.locations or ()
        return spec

    def given(self, names: set[str]) -> None:
        """Modules that were imported before: their code does not run again."""
        for name in sorted(names):
            if name not in self.modules:
                muted, self.muted = self.muted, True
                try:
                    module = self.import_module(name)
                except Raised:
                    continue
                finally:
                    self.muted = muted
                if module is not None:
                    module.state = "given"

    def is_symbol(self, dotted: str) -> bool:
        return dotted in KNOWN or dotted in _OBJECTS or dotted in self.target.calls or dotted.startswith(_FOLDERS)

    def call_symbol(self, frame: Frame, name: str, args: list[Value], keywords: dict[str, Value]) -> Value:
        handler = KNOWN.get(name)
        if handler is not None:
            return handler(self, frame, [self.force(a) for a in args], {k: self.force(v) for k, v in keywords.items()})
        if name in self.target.calls:
            return self.target.calls[name]
        owner, _, last = name.rpartition(".")
        if self.is_sink(last) and owner != "ctypes.CDLL()":
            return self.call_method(frame, Method(UNKNOWN, last), [self.force(a) for a in args], keywords)
        if last in ("LoadLibraryExW", "LoadLibraryW", "AddDllDirectory"):
            return self.call_method(frame, Method(UNKNOWN, last), [self.force(a) for a in args], keywords)
        return UNKNOWN

    def call_method(self, frame: Frame, method: Method, args: list[Value], keywords: dict[str, Value]) -> Value:
        return methods.call_method(self, frame, method, args, keywords)

    def attribute(self, frame: Frame, owner: Value, name: str, want: bool = False) -> Value:
        if isinstance(owner, Symbol) and owner.name + "." in _FOLDERS:
            return loads.load_by_attribute(self, frame, f"{owner.name}.{name}")
        return super().attribute(frame, owner, name, want)
