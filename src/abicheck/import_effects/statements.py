# ruff: noqa: ARG001 (all handlers of one table have one signature)
"""Walking statements: conditions, loops, ``try``, definitions; both branches where the condition cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from abicheck.import_effects import tree as t
from abicheck.import_effects.calls import Calls
from abicheck.import_effects.core import IMPORT_ERRORS, Frame, Raised, Signal, caught_by
from abicheck.import_effects.values import (
    LAZY,
    THING,
    UNKNOWN,
    ClassValue,
    FileValue,
    FunctionValue,
    InstanceValue,
    ModuleValue,
    PathValue,
    Symbol,
    Value,
    truth,
)

MAX_ITEMS = 2000  # of a loop over known items
MAX_ROUNDS = 200  # of a while loop
_FATAL = frozenset({"sys.exit", "os._exit", "os.abort", "builtins.exit", "builtins.quit"})


class Statements(Calls):
    def block(self, frame: Frame, body: tuple[t.Stmt, ...]) -> Signal | None:
        outer, self.running = self.running, frame
        try:
            for s in body:
                end = _RUNNERS[type(s)](self, frame, s)
                if end is not None:
                    return end
            return None
        finally:
            self.running = outer

    # -- conditions --------------------------------------------------------------

    def branch(self, frame: Frame, body: tuple[t.Stmt, ...]) -> tuple[Signal | Raised | None, dict[str, Value]]:
        """One branch under an unknown condition: how it ends, and the names as it leaves them."""
        before = dict(frame.names)
        module_before = dict(frame.module.env) if frame.names is not frame.module.env else None
        end: Signal | Raised | None
        try:
            end = self.block(frame, body)
        except Raised as raised:
            end = raised
        after = dict(frame.names)
        _reset(frame.names, before)
        if module_before is not None and frame.globals:
            for name in frame.globals:
                if frame.module.env.get(name) is not module_before.get(name):
                    frame.module.env[name] = UNKNOWN
        return end, after

    def unknown_if(self, frame: Frame, body: tuple[t.Stmt, ...], orelse: tuple[t.Stmt, ...]) -> Signal | None:
        sure = self.sure
        self.sure = False
        self.unknowns += 1
        ends = [self.branch(frame, body), self.branch(frame, orelse)]
        self.sure = sure and not self.doubt
        open_ends = [names for end, names in ends if end is None]
        if open_ends:
            _join(frame.names, open_ends)
        signals = [end for end, _ in ends if isinstance(end, Signal)]
        raises = [end for end, _ in ends if isinstance(end, Raised)]
        if len(raises) == 2:
            raise raises[0]
        if raises and self.may_survive(frame, raises[0].kind):
            # It may have been raised, and something around would go on: nothing is certain until there.
            self.doubt, self.sure = True, False
        if not open_ends and signals:
            for end in signals[1:] if len(signals) > 1 else ():
                if end.kind == "return" and signals[0].kind == "return":
                    frame.returns.append(end.value)
            return signals[0]
        for end in signals:
            if end.kind == "return":
                frame.returns.append(end.value)
            self.sure = False  # until the function or the loop ends
        return None

    def iterate(self, value: Value) -> list[Value] | None:
        """The items of a value, None when they are not known."""
        value = self.force(value)
        if isinstance(value, list | tuple):
            return list(value[:MAX_ITEMS])
        if isinstance(value, set):
            return sorted(value, key=repr)
        if isinstance(value, dict):
            return list(value)
        if isinstance(value, str) and len(value) < 200:
            return list(value)
        if isinstance(value, range):
            return list(value[:MAX_ITEMS])
        return None

    def may_survive(self, frame: Frame, kind: str) -> bool:
        """Whether code around would go on after an exception that may have been raised here.

        A failed import counts wherever it is caught; any other exception only in the module that raises it: a broad
        ``except`` around an import does not make all checks of the imported code likely to fail.
        """
        return any(
            (kind in IMPORT_ERRORS or module == frame.module.name) and caught_by(handlers, kind) is not None
            for handlers, module in self.guards
        )


def _reset(names: dict[str, Value], to: dict[str, Value]) -> None:
    names.clear()
    names.update(to)


def _join(names: dict[str, Value], ends: list[dict[str, Value]]) -> None:
    """Names after branches that may all have been taken: unknown where they differ, kept where only one sets them."""
    merged = dict(ends[0])
    for other in ends[1:]:
        for name, value in other.items():
            if name not in merged:
                merged[name] = value
            elif merged[name] is not value and not _same(merged[name], value):
                merged[name] = UNKNOWN
    _reset(names, merged)


def _same(a: Value, b: Value) -> bool:
    return type(a) is type(b) and isinstance(a, str | int | float | tuple | Symbol | PathValue) and a == b


# -- one function per kind of statement ------------------------------------------


def _import(m: Statements, frame: Frame, s: t.Import) -> None:
    frame.line = s.line
    m.do_import(frame, s)


def _from(m: Statements, frame: Frame, s: t.From) -> None:
    frame.line = s.line
    m.do_from(frame, s)


def _assign(m: Statements, frame: Frame, s: t.Assign) -> None:
    frame.line = s.line
    value = m.store(frame, s.value)
    for target in s.targets:
        m.assign(frame, target, value)


def _do(m: Statements, frame: Frame, s: t.Do) -> None:
    frame.line = s.line
    m.evaluate(frame, s.value)
    e = s.value
    if isinstance(e, t.Call):
        called = e.function
        if isinstance(called, t.Attr | t.Name):
            value = m.evaluate(frame, called)
            if isinstance(value, Symbol) and value in _EXITS:
                raise Raised("SystemExit")


_EXITS = frozenset(Symbol(n) for n in _FATAL)


def _if(m: Statements, frame: Frame, s: t.If) -> Signal | None:
    frame.line = s.line
    known = truth(m.evaluate(frame, s.test, True))
    if known is not None:
        return m.block(frame, s.body if known else s.orelse)
    return m.unknown_if(frame, s.body, s.orelse)


def _try(m: Statements, frame: Frame, s: t.Try) -> Signal | None:
    sure, doubt, flags = m.sure, m.doubt, m.flags
    end: Signal | None = None
    caught: Raised | None = None
    escaped: Raised | None = None
    catching = bool(s.handlers) and any(
        not h.types
        or {"ImportError", "ModuleNotFoundError", "Exception", "BaseException", "OSError", "?"} & set(h.types)
        for h in s.handlers
    )
    m.catching += catching
    m.guards.append((s.handlers, frame.module.name))
    m.doubt = False
    depth, links = m.depth, len(m.chain)
    try:
        end = m.block(frame, s.body)
    except Raised as raised:
        caught = raised
        m.depth = depth
        del m.chain[links:]
    m.catching -= catching
    m.guards.pop()
    doubted, m.doubt = m.doubt, doubt
    m.sure = sure and not doubt
    if caught is not None:
        handler = caught_by(s.handlers, caught.kind)
        try:
            if handler is None:
                raise caught
            if handler.name:
                frame.names[handler.name] = THING
            m.handling.append(caught.kind)
            end = m.block(frame, handler.body)
            m.handling.pop()
        except Raised as raised:
            if raised is not caught:
                m.handling.pop()
            escaped = raised
    else:
        handler = caught_by(s.handlers, "ImportError") if doubted else None
        if handler is not None:
            # The body may have failed half-way: the handler may run.
            m.sure = False
            before_end, names = m.branch(frame, handler.body)
            if before_end is None:
                _join(frame.names, [dict(frame.names), names])
            m.sure = sure and not m.doubt
        if end is None:
            try:
                end = m.block(frame, s.orelse)
            except Raised as raised:
                escaped = raised
    final = m.block(frame, s.final)
    if final is not None:
        return final
    if escaped is not None:
        raise escaped
    if m.muted:
        m.flags = flags
    return end


def _for(m: Statements, frame: Frame, s: t.For) -> Signal | None:
    frame.line = s.line
    items = m.iterate(m.evaluate(frame, s.source, True))
    if items is None:
        return _maybe_loop(m, frame, s.body, s.orelse, s.target)
    sure = m.sure
    for item in items:
        m.assign(frame, s.target, item)
        end = m.block(frame, s.body)
        if end is not None and end.kind == "break":
            m.sure = sure and not m.doubt
            return None
        if end is not None and end.kind == "return":
            return end
        if end is not None and end.kind == "continue" and not frame.returns:
            m.sure = m.sure or (sure and not m.doubt and not _broke(s.body))
    if not frame.returns:
        m.sure = sure and not m.doubt
    return m.block(frame, s.orelse)


def _broke(body: tuple[t.Stmt, ...]) -> bool:
    """Whether a loop's body holds a ``break``: after a possible one, later rounds are not certain."""
    for s in body:
        if isinstance(s, t.Jump) and s.kind == "break":
            return True
        for part in ("body", "orelse", "final"):
            if not isinstance(s, t.For | t.While | t.Def | t.Class) and _broke(getattr(s, part, ())):
                return True
        if isinstance(s, t.Try) and any(_broke(h.body) for h in s.handlers):
            return True
    return False


def _maybe_loop(
    m: Statements, frame: Frame, body: tuple[t.Stmt, ...], orelse: tuple[t.Stmt, ...], target: t.Expr | None
) -> Signal | None:
    """A loop of which it is not known how often it runs: once, under doubt."""
    sure, m.sure = m.sure, False
    if target is not None:
        m.assign(frame, target, UNKNOWN)
    end, names = m.branch(frame, body)
    _join(frame.names, [dict(frame.names), names])
    m.sure = sure and not m.doubt
    if isinstance(end, Signal) and end.kind == "return":
        frame.returns.append(end.value)
        m.sure = False
    if isinstance(end, Raised) and m.may_survive(frame, end.kind):
        m.doubt, m.sure = True, False
    return m.block(frame, orelse)


def _while(m: Statements, frame: Frame, s: t.While) -> Signal | None:
    frame.line = s.line
    sure = m.sure
    for _ in range(MAX_ROUNDS):
        unknowns = m.unknowns
        known = truth(m.evaluate(frame, s.test, True))
        if known is False:
            return m.block(frame, s.orelse)
        if known is None:
            return _maybe_loop(m, frame, s.body, s.orelse, None)
        end = m.block(frame, s.body)
        if end is not None and end.kind == "return":
            return end
        if end is not None and end.kind == "break":
            m.sure = (sure and not m.doubt) if not frame.returns else m.sure
            return None
        if m.unknowns != unknowns:
            return None  # it may have ended already
    return None


def _with(m: Statements, frame: Frame, s: t.With) -> Signal | None:
    frame.line = s.line
    suppressed = False
    for source, target in s.items:
        value = m.evaluate(frame, source, True)
        if value == Symbol("contextlib.suppress()"):
            suppressed = True
        entered: Value = value if isinstance(value, FileValue | PathValue) else UNKNOWN
        if isinstance(value, InstanceValue):
            enter = m.class_member(value.cls, "__enter__")
            if isinstance(enter, FunctionValue):
                entered = m.call(frame, enter, [value], {}, False)
                entered = UNKNOWN if entered is LAZY else entered
        if target is not None:
            m.assign(frame, target, entered)
    if suppressed:
        return _try(m, frame, t.Try(s.body, (t.Handler((), "", ()),), (), (), s.line))
    end = m.block(frame, s.body)
    for source, _ in s.items:
        if isinstance(source, t.Call):
            value = m.evaluate(frame, source.function)
            if isinstance(value, ClassValue):
                leave = m.class_member(value, "__exit__")
                if isinstance(leave, FunctionValue):
                    m.call(frame, leave, [InstanceValue(value)], {}, False)
    return end


def _def(m: Statements, frame: Frame, s: t.Def) -> None:
    frame.line = s.first
    for part in s.evaluated:
        m.evaluate(frame, part)
    scopes = frame.scopes if frame.kind != "function" else (*frame.scopes, frame.names)
    function = FunctionValue(s, frame.module.name, scopes)
    _decorate(m, frame, s.decorators, function)
    m.bind(frame, s.name, function)


_KINDS = {
    "builtins.staticmethod": "static",
    "builtins.classmethod": "class",
    "builtins.property": "property",
    "functools.cached_property": "property",
    "contextlib.contextmanager": "context",
}


def _decorate(m: Statements, frame: Frame, decorators: tuple[t.Expr, ...], value: Value) -> None:
    """Call the decorators for what they do. What they return counts as the thing decorated: nearly all wrap it."""
    made = [(m.evaluate(frame, d), d) for d in decorators]
    for decorator, _ in reversed(made):
        if isinstance(decorator, Symbol) and isinstance(value, FunctionValue) and decorator.name in _KINDS:
            value.kind = _KINDS[decorator.name]
        elif isinstance(decorator, FunctionValue):
            m.call(frame, decorator, [value], {}, False)


def _class(m: Statements, frame: Frame, s: t.Class) -> None:
    frame.line = s.line
    bases = tuple(m.store(frame, b) for b in s.bases)
    for _, e in s.keywords:
        m.evaluate(frame, e)
    scopes = frame.scopes if frame.kind != "function" else (*frame.scopes, frame.names)
    inner = Frame(frame.module, {}, scopes, "class", line=s.line)
    m.block(inner, s.body)
    cls = ClassValue(s.name, frame.module.name, inner.names, bases)
    _decorate(m, frame, s.decorators, cls)
    for base in bases:
        hook = m.class_member(base, "__init_subclass__") if isinstance(base, ClassValue) else None
        if isinstance(hook, FunctionValue):
            m.call(frame, hook, [cls], {}, False)
    m.bind(frame, s.name, cls)


def _return(m: Statements, frame: Frame, s: t.Return) -> Signal:
    return Signal("return", None if s.value is None else m.store(frame, s.value))


def _raise(m: Statements, frame: Frame, s: t.Raise) -> None:
    frame.line = s.line
    kind = m.handling[-1] if m.handling else "Exception"
    e = s.value
    if e is not None:
        m.evaluate(frame, e)
        called = e.function if isinstance(e, t.Call) else e
        kind = called.name if isinstance(called, t.Attr) else called.id if isinstance(called, t.Name) else kind
    if kind not in IMPORT_ERRORS and not any(caught_by(handlers, kind) for handlers, _ in m.guards):
        return  # the import is taken to succeed: whatever led here was judged wrongly
    raise Raised(kind)


def _jump(m: Statements, frame: Frame, s: t.Jump) -> Signal:
    return Signal("break" if s.kind == "break" else "continue")


def _del(m: Statements, frame: Frame, s: t.Del) -> None:
    for target in s.targets:
        if isinstance(target, t.Name):
            frame.names.pop(target.id, None)
        elif isinstance(target, t.Item):
            owner = m.evaluate(frame, target.value, True)
            index = m.evaluate(frame, target.index, True)
            if owner == Symbol("os.environ") and isinstance(index, str):
                m.environ.pop(index, None)
                m.emit(frame, "environ", name=index, removed=True)
            elif owner == Symbol("sys.modules") and isinstance(index, str):
                m.modules.pop(index, None)
            elif isinstance(owner, dict):
                owner.pop(index, None)
        elif isinstance(target, t.Attr):
            owner = m.evaluate(frame, target.value, True)
            if isinstance(owner, ModuleValue) and owner.name in m.modules:
                m.modules[owner.name].env.pop(target.name, None)


def _global(m: Statements, frame: Frame, s: t.Global) -> None:
    frame.globals |= set(s.names)


_RUNNERS: dict[type, Callable[[Any, Frame, Any], Signal | None]] = {
    t.Import: _import, t.From: _from, t.Assign: _assign, t.Do: _do, t.If: _if, t.Try: _try, t.For: _for,
    t.While: _while, t.With: _with, t.Def: _def, t.Class: _class, t.Return: _return, t.Raise: _raise, t.Jump: _jump,
    t.Del: _del, t.Global: _global,
}  # fmt: skip
