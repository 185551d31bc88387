# ruff: noqa: ARG001 (all handlers of one table have one signature)
"""Statements that decide what runs next: conditions, loops, ``try``, ``with``, and the ways out of a block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from abicheck.import_effects import tree as t
from abicheck.import_effects.branches import join
from abicheck.import_effects.core import Frame, Raised, Signal, caught_by
from abicheck.import_effects.values import (
    LAZY,
    THING,
    UNKNOWN,
    ClassValue,
    FileValue,
    FunctionValue,
    InstanceValue,
    PathValue,
    Symbol,
    Value,
    truth,
)

if TYPE_CHECKING:
    from abicheck.import_effects.statements import Statements

MAX_ROUNDS = 200  # of a while loop


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
                join(frame.names, [dict(frame.names), names])
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
    join(frame.names, [dict(frame.names), names])
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
    try:
        end = m.block(frame, s.body)
    except Raised:
        m.unclear = True
        raise
    for source, _ in s.items:
        if isinstance(source, t.Call):
            value = m.evaluate(frame, source.function)
            if isinstance(value, ClassValue):
                leave = m.class_member(value, "__exit__")
                if isinstance(leave, FunctionValue):
                    m.call(frame, leave, [InstanceValue(value)], {}, False)
    return end


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
    if m.raises(kind):
        raise Raised(kind)


def _jump(m: Statements, frame: Frame, s: t.Jump) -> Signal:
    return Signal("break" if s.kind == "break" else "continue")


Runner = Callable[[Any, Frame, Any], Signal | None]
FLOW: Mapping[type, Runner] = {
    t.If: _if,
    t.Try: _try,
    t.For: _for,
    t.While: _while,
    t.With: _with,
    t.Return: _return,
    t.Raise: _raise,
    t.Jump: _jump,
}
