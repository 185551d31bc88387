"""Whether the failure of a guarded load ends the import after all: the import is walked with that load refused.

``try: CDLL(path)`` / ``except OSError`` says nothing by itself: the handler may do without the library, open another
one, or note the error for a ``raise`` further down. So the walk goes on behind the refusal, and the import ends there
only if an exception certainly leaves it. Whatever is not certain on that way (an exit under a condition that cannot be
told, a context manager or decorator that may catch, a handler for exceptions whose classes are not known) is taken to
save the import. The same walk without the refusal must come through: else it was misread, not ended by the load.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from abicheck.import_effects import tree as t
from abicheck.import_effects.core import Frame, Raised, Signal, caught_by
from abicheck.import_effects.facts import EffectKind, ImportContext
from abicheck.import_effects.session import Session, deep_recursion
from abicheck.import_effects.startup import start
from abicheck.import_effects.values import FunctionValue, Value

MAX_STEPS_AFTER = 20_000  # expressions walked behind a refused load; what ends an import over it stands near
# Calls that raise when the library cannot be loaded; others (kernel32's) return null.
_RAISING = frozenset(
    {"ctypes.CDLL", "ctypes.PyDLL", "ctypes.WinDLL", "ctypes.OleDLL", "numpy.ctypeslib.load_library"}
    | {f"ctypes.{loader}.LoadLibrary" for loader in ("cdll", "pydll", "windll", "oledll")}
)
_HARMLESS = frozenset({"lru_cache", "cache", "staticmethod", "classmethod", "property", "cached_property"})


def fatal_loads(context: ImportContext, module: str, refused: Mapping[str, str]) -> frozenset[str]:
    """Those of the loads that fail over which ``import module`` certainly raises: one that does it by itself, or one
    without which the others do not. ``refused``: what is opened, as in ``Effect.path``, with the exception's name."""
    if not refused or not _raises(context, module, refused, refuse=True):
        return frozenset()
    if _raises(context, module, refused, refuse=False):
        return frozenset()  # misread: the loads have nothing to do with it
    if len(refused) == 1:
        return frozenset(refused)

    def ends(opened: Mapping[str, str]) -> bool:
        return _raises(context, module, opened, refuse=True)

    return frozenset(
        o for o in refused if ends({o: refused[o]}) or not ends({k: v for k, v in refused.items() if k != o})
    )


def _raises(context: ImportContext, module: str, refused: Mapping[str, str], *, refuse: bool) -> bool:
    session = _Refusing(context, refused, refuse=refuse)
    start(session)
    session.sure, session.doubt = True, False
    try:
        with deep_recursion():
            session.import_module(module)
    except Raised as raised:
        if not refuse:
            return True  # whatever it is
        return raised.kind == session.raised and not session.unclear
    except (_TooFarError, RecursionError):
        return False
    return False


class _TooFarError(Exception):
    """The walk behind a refused load took too long."""


class _Refusing(Session):
    """A session in which loads fail. ``home``: the top-level package whose code met the first of them, "" before;
    from then on every ``raise`` of that package counts and every function is entered, as in Python."""

    def __init__(self, context: ImportContext, refused: Mapping[str, str], *, refuse: bool) -> None:
        super().__init__(context)
        self.left, self.refuse = dict(refused), refuse
        self.home, self.changed = "", False
        self.raised = ""  # the exception that its code raised last
        self.opening = False  # inside a call that raises when it cannot load
        self.last = 0  # the step after which it is too far

    def call_symbol(self, frame: Frame, name: str, args: list[Value], keywords: dict[str, Value]) -> Value:
        before, self.opening = self.opening, name in _RAISING
        try:
            return super().call_symbol(frame, name, args, keywords)
        finally:
            self.opening = before

    def emit(self, frame: Frame | None, kind: EffectKind, **more: Any) -> None:
        opened = str(more.get("path") or more.get("name"))
        if kind == "dlopen" and opened in self.left and self.sure and not self.muted:
            self._refuse(frame, opened)
        elif self.home and (kind != "environ" or self.target.system == "win"):
            self.changed = True  # what was loaded or set since may help a second attempt
        super().emit(frame, kind, **more)

    def _refuse(self, frame: Frame | None, opened: str) -> None:
        kind = self.left.pop(opened)  # a second attempt counts as one under other conditions
        if not self.opening or frame is None or self.changed:
            return
        if not self.home:
            self.home, self.last = frame.module.name.partition(".")[0], self.steps + MAX_STEPS_AFTER
            self.unclear = False
        if self.refuse:
            self._look_around(kind)
            self.raised = kind
            raise Raised(kind)

    def _look_around(self, kind: str) -> None:
        """An exception on its way: whether handlers may catch it of which their names do not say so."""
        raised = getattr(builtins, kind, None)
        for handlers, _ in self.guards:
            told = caught_by(handlers, kind) is not None
            for name in (n for h in handlers for n in h.types if n not in ("Exception", "BaseException")):
                catching = getattr(builtins, name, None)
                if not isinstance(catching, type) or not isinstance(raised, type):
                    self.unclear = True  # its classes are not known
                else:
                    self.unclear = self.unclear or (issubclass(raised, catching) and not told)

    def raises(self, kind: str) -> bool:
        if self.running is None or self.home != self.running.module.name.partition(".")[0]:
            return super().raises(kind)
        self._look_around(kind)
        self.raised = kind
        return True

    def block(self, frame: Frame, body: tuple[t.Stmt, ...]) -> Signal | None:
        if self.home and self.steps > self.last:
            raise _TooFarError
        return super().block(frame, body)

    def branch(self, frame: Frame, body: tuple[t.Stmt, ...]) -> tuple[Signal | Raised | None, dict[str, Value]]:
        end, names = super().branch(frame, body)
        if isinstance(end, Signal) or (end is not None and any(handlers for handlers, _ in self.guards)):
            self.unclear = True  # what follows may not run
        return end, names

    @contextmanager
    def unsure(self) -> Iterator[None]:
        with super().unsure():
            try:
                yield
            except Raised:
                self.unclear = True  # from a part of an expression that may not be evaluated
                raise

    def matters(self, function: FunctionValue, depth: int = 0) -> bool:
        return self.home != "" or super().matters(function, depth)

    def _is_idle(self, function: FunctionValue, args: list[Value]) -> bool:
        return not self.home and super()._is_idle(function, args)

    def _enter(self, frame: Frame, function: FunctionValue, args: list[Value], keywords: dict[str, Value]) -> Value:
        try:
            return super()._enter(frame, function, args, keywords)
        except Raised:
            if not all(_is_harmless(d) for d in function.definition.decorators):
                self.unclear = True
            raise


def _is_harmless(decorator: t.Expr) -> bool:
    """Whether a decorator lets exceptions pass."""
    called = decorator.function if isinstance(decorator, t.Call) else decorator
    name = called.name if isinstance(called, t.Attr) else called.id if isinstance(called, t.Name) else ""
    return name in _HARMLESS
