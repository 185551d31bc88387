"""State of one simulated interpreter, shared by the parts that evaluate, run and import (each a mix-in class).

The interpreter is abstract: values may be unknown, both branches of an unknown condition are walked, and every effect
says whether it is certain. ``sure`` is that flag for the code being walked. Nothing is executed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from abicheck.import_effects import tree as t
from abicheck.import_effects.facts import Effect, EffectKind, ImportContext, Link
from abicheck.import_effects.finder import Finder, Spec
from abicheck.import_effects.summary import read_function, summarize
from abicheck.import_effects.target import Target
from abicheck.import_effects.values import Value

MAX_DEPTH = 14  # calls and imports inside calls; real import-time code stays far below
MAX_STEPS = 6_000_000  # expressions per session; a guard against pathological loops, not a limit of real packages
MAX_VALUE_STEPS = 3_000  # expressions spent on one value that decides nothing by itself
MAX_CALL_STEPS = 40_000  # expressions spent on one call that may load something
State = Literal["new", "running", "maybe", "done", "skipped", "given"]


class Raised(Exception):
    """The code being walked certainly raises; ``kind`` is the exception's last name (``ModuleNotFoundError``)."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(eq=False, slots=True)
class Signal:
    """How a block ended early: ``return`` (with a value), ``break`` or ``continue``."""

    kind: Literal["return", "break", "continue"]
    value: Value = None


@dataclass(eq=False, slots=True)
class Module:
    """One entry of ``sys.modules``. ``given``: imported before this session began, so its names are read only when
    somebody asks; ``maybe``: only uncertain code imported it; ``skipped``: it can reach nothing native."""

    name: str
    spec: Spec
    env: dict[str, Value] = field(default_factory=dict)
    state: State = "new"
    complete: bool = True
    walked: bool = False  # ``env`` was filled without effects
    source: str = ""
    file: str = ""  # its path as chains give it, once that was asked for

    @property
    def is_package(self) -> bool:
        return self.spec.locations is not None


@dataclass(eq=False, slots=True)
class Frame:
    """Where code runs: a module's top level, a class body or a function. ``names`` receives assignments."""

    module: Module
    names: dict[str, Value]
    scopes: tuple[dict[str, Value], ...] = ()
    kind: Literal["module", "class", "function"] = "module"
    globals: set[str] = field(default_factory=set)
    returns: list[Value] = field(default_factory=list)
    line: int = 0


IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError"})
_ALL = frozenset({"Exception", "BaseException"})
# For the exceptions that are raised here and have parents of their own: the names that catch them.
_CATCHES: Mapping[str, frozenset[str]] = {
    "ModuleNotFoundError": IMPORT_ERRORS | _ALL,
    "FileNotFoundError": frozenset({"FileNotFoundError", "OSError", "IOError", "EnvironmentError"}) | _ALL,
    "OSError": frozenset({"OSError", "IOError", "EnvironmentError", "WindowsError"}) | _ALL,
    "KeyError": frozenset({"KeyError", "LookupError"}) | _ALL,
    "IndexError": frozenset({"IndexError", "LookupError"}) | _ALL,
    "UnicodeDecodeError": frozenset({"UnicodeDecodeError", "UnicodeError", "ValueError"}) | _ALL,
    "SystemExit": frozenset({"SystemExit", "BaseException"}),
    "NotImplementedError": frozenset({"NotImplementedError", "RuntimeError"}) | _ALL,
}


def caught_by(handlers: tuple[t.Handler, ...], kind: str) -> t.Handler | None:
    """The first handler that catches an exception of this name."""
    names = _CATCHES.get(kind) or _ALL | {kind}
    return next((h for h in handlers if not h.types or names & set(h.types) or "?" in h.types), None)


class Core(ABC):
    """The state, the record of effects, and what the parts ask of each other."""

    def __init__(self, context: ImportContext) -> None:
        self.context = context
        self.view = context.view
        self.target = Target(context)
        self.finder = Finder(context)
        self.modules: dict[str, Module] = {}
        self.path: list[Value] = [context.stdlib, context.dynload, *context.site_packages]
        self.known_path: tuple[list[Value], tuple[str, ...]] = ([], ())  # ``path`` when it was last looked at
        self.popped: dict[str, Module] = {}  # taken out of sys.modules by code
        self.environ: dict[str, Value] = dict(context.environ)
        self.effects: list[Effect] = []
        self.sure = True
        self.doubt = False  # something that a try around would catch may have been raised
        self.catching = 0  # try statements around that would catch an ImportError
        self.guards: list[tuple[tuple[t.Handler, ...], str]] = []  # handlers around, with the module they stand in
        self.running: Frame | None = None  # the innermost block
        self.handling: list[str] = []  # exceptions whose handlers are being walked
        self.unclear = False  # an exception passed something that may have caught it
        self.muted = False  # values are computed again: their effects stand already
        self.flags = self.target.default_flags
        self.depth = 0
        self.steps = 0
        self.limit = MAX_STEPS  # of steps, for what is computed now
        self.unknowns = 0  # conditions so far that could not be told
        self.idle: dict[tuple[str, int], int] = {}  # walks of a function that did nothing
        self.active: dict[tuple[str, int], int] = {}  # functions being walked
        self.chain: list[Link] = []
        self.compiled_ran = False  # an extension that is not the standard library's was loaded
        self.seen: dict[Hashable, bool] = {}  # what has been emitted (value: certainly)
        self.matters_memo: dict[tuple[str, int], bool] = {}

    # -- the parts' interface ------------------------------------------------

    @abstractmethod
    def evaluate(self, frame: Frame, e: t.Expr | None, want: bool = False) -> Value: ...
    @abstractmethod
    def force(self, value: Value) -> Value: ...
    @abstractmethod
    def call(
        self, frame: Frame, function: Value, args: list[Value], keywords: dict[str, Value], want: bool
    ) -> Value: ...
    @abstractmethod
    def make_call(self, frame: Frame, e: t.Call, want: bool) -> Value: ...
    @abstractmethod
    def block(self, frame: Frame, body: tuple[t.Stmt, ...]) -> Signal | None: ...
    @abstractmethod
    def import_module(self, name: str) -> Module | None: ...
    @abstractmethod
    def attribute(self, frame: Frame, owner: Value, name: str, want: bool = False) -> Value: ...
    @abstractmethod
    def iterate(self, value: Value) -> list[Value] | None: ...

    # -- effects -------------------------------------------------------------

    def emit(self, frame: Frame | None, kind: EffectKind, **more: Any) -> None:
        """Record an effect of the code at ``frame``'s line; loading a file again counts once, as for the loader."""
        if self.muted:
            return
        key: Hashable | None = None
        if kind in ("extension", "dlopen"):
            key = (kind, more.get("path") or more.get("name"), more.get("flags_global", False))
            before = self.seen.get(key)
            if before or (before is False and not self.sure):
                return
            standard = str(more.get("path", "")).startswith(self.context.dynload + "/")
            more["by_now"] = self.sure and (before is False or (standard and self.compiled_ran))
            self.compiled_ran = self.compiled_ran or (kind == "extension" and not standard)
            self.seen[key] = self.sure
        elif kind == "unknown":
            key = (kind, more.get("name"), self.because(frame))
            if key in self.seen:
                return
            self.seen[key] = True
        module = more.pop("module", "") or (frame.module.name if frame else "")
        effect = Effect(
            kind,
            module=module,
            certain=self.sure,
            optional=self.catching > 0,
            because=self.because(frame),
            chain=tuple(self.chain),
            **more,
        )
        self.effects.append(effect)

    def because(self, frame: Frame | None) -> str:
        if frame is None:
            return (
                f"{self.short(self.view.root + '/' + self.chain[-1].file)}:{self.chain[-1].line}" if self.chain else ""
            )
        return f"{self.label(frame.module)}:{frame.line}"

    def label(self, module: Module) -> str:
        """A module's file as people write it."""
        return self.short(module.spec.path)

    def short(self, path: str) -> str:
        """A file's path relative to the ``sys.path`` entry it was found in."""
        for directory in (*self.context.site_packages, self.context.dynload, self.context.stdlib):
            if path.startswith(directory + "/"):
                return path[len(directory) + 1 :]
        return self.view.relative(path)

    def fail(self, kind: str, otherwise: Value) -> Value:
        """A certain failure: raised where this module's own code catches it. Elsewhere the import is taken to succeed,
        so what was derived must be wrong, and ``otherwise`` is the value."""
        here = self.running.module.name if self.running else ""
        if any(module == here and caught_by(handlers, kind) for handlers, module in self.guards):
            raise Raised(kind)
        return otherwise

    def raises(self, kind: str) -> bool:
        """Whether a ``raise`` is followed. One that nothing around catches would end the import, which is taken to
        succeed: whatever led there was judged wrongly."""
        return kind in IMPORT_ERRORS or any(caught_by(handlers, kind) for handlers, _ in self.guards)

    @contextmanager
    def limited(self, steps: int = MAX_VALUE_STEPS) -> Iterator[None]:
        """A bounded computation: beyond ``steps`` expressions everything is unknown."""
        before, self.limit = self.limit, min(self.limit, self.steps + steps)
        try:
            yield
        finally:
            self.limit = before

    @contextmanager
    def unsure(self) -> Iterator[None]:
        before, self.sure = self.sure, False
        try:
            yield
        finally:
            self.sure = before and not self.doubt

    def search_path(self) -> tuple[str, ...]:
        """Those entries of ``sys.path`` that are known."""
        if self.known_path[0] != self.path:
            self.known_path = (list(self.path), tuple(p for p in self.path if isinstance(p, str)))
        return self.known_path[1]

    # -- sources -------------------------------------------------------------

    def read(self, path: str) -> str | None:
        return self.view.read_text(path)

    def identity(self, path: str) -> Hashable:
        entry = self.view.lookup(path).entry
        return (entry.ident, entry.size) if entry is not None else path

    def summary(self, module: Module) -> t.ModuleSummary | None:
        """The module's tree; None when its source cannot be read here (a recorded file)."""
        key = self.identity(module.spec.path)
        known = self.context.memory.summaries.get(key)
        if known is None:
            try:
                known = self.view.recall(module.spec.path, "summary", lambda: self._summarized(module), t.ModuleSummary)
            except OSError:
                source = self.source(module)
                if source is None:
                    return None
                known = summarize(source)
            self.context.memory.summaries[key] = known
        return known

    def says(self, module: Module, word: str) -> bool:
        """Whether one of ``summary.WORDS`` stands in a module's source."""
        summary = self.summary(module)
        return summary is not None and word in summary.words

    def _summarized(self, module: Module) -> t.ModuleSummary:
        """Raises ``OSError`` when there is no text: an unreadable file may be readable next time."""
        source = self.source(module)
        if not source:
            raise OSError("no text")
        return summarize(source)

    def source(self, module: Module) -> str | None:
        if not module.source:
            module.source = self.read(module.spec.path) or ""
        return module.source or ("" if self.view.lookup(module.spec.path).status == "file" else None)

    def body_of(self, module: Module, definition: t.Def) -> t.FunctionSummary | None:
        key = (self.identity(module.spec.path), definition.first)
        functions = self.context.memory.functions
        if key not in functions:
            source = self.source(module)
            functions[key] = read_function(source, definition.first, definition.last) if source else None
        return functions[key]
