# ruff: noqa: ARG001 (all evaluators have one signature)
"""One function per kind of expression: what it is worth, as far as that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from abicheck.import_effects import tree as t
from abicheck.import_effects.core import Frame
from abicheck.import_effects.values import (
    LAZY,
    UNKNOWN,
    LambdaValue,
    PathValue,
    Started,
    Thunk,
    Value,
    is_plain,
    truth,
)

if TYPE_CHECKING:
    from abicheck.import_effects.expressions import Expressions


def _attr(m: Expressions, frame: Frame, e: t.Attr, want: bool) -> Value:
    owner = m.evaluate(frame, e.value, want)
    return LAZY if owner is LAZY else m.attribute(frame, owner, e.name, want)


def _item(m: Expressions, frame: Frame, e: t.Item, want: bool) -> Value:
    owner, index = m.evaluate(frame, e.value, want), m.evaluate(frame, e.index, want)
    if LAZY in (owner, index) or isinstance(owner, Thunk) or isinstance(index, Thunk):
        return LAZY
    return m.item(owner, index)


def _span(m: Expressions, frame: Frame, e: t.Span, want: bool) -> Value:
    ends = [m.evaluate(frame, x, want) for x in (e.low, e.high, e.step)]
    return slice(*ends) if all(x is None or isinstance(x, int) for x in ends) else UNKNOWN


def _binary(m: Expressions, frame: Frame, e: t.Binary, want: bool) -> Value:
    left, right = m.evaluate(frame, e.left, want), m.evaluate(frame, e.right, want)
    if LAZY in (left, right) or isinstance(left, Thunk) or isinstance(right, Thunk):
        return LAZY
    return m.operate(e.op, left, right)


def _compare(m: Expressions, frame: Frame, e: t.Compare, want: bool) -> Value:
    left = m.evaluate(frame, e.left, True)
    result: Value = True
    for op, right_e in zip(e.ops, e.rights, strict=True):
        right = m.evaluate(frame, right_e, True)
        step = m.compare(op, left, right)
        if step is False:
            return False
        if step is not True:
            result = UNKNOWN
        left = right
    return result


def _logic(m: Expressions, frame: Frame, e: t.Logic, want: bool) -> Value:
    stop = e.op == "or"
    doubtful = False
    value: Value = UNKNOWN
    for i, part in enumerate(e.values):
        last = i == len(e.values) - 1
        # What decides whether the next part runs must be known.
        if doubtful:
            with m.unsure():
                value = m.evaluate(frame, part, want or not last)
        else:
            value = m.evaluate(frame, part, want or not last)
        if last:
            break
        known = truth(value)
        if known is stop:
            return UNKNOWN if doubtful and not (isinstance(value, bool)) else value
        if known is None:
            doubtful = True
    if doubtful:
        return value if truth(value) is stop and isinstance(value, bool) else UNKNOWN
    return value


def _unary(m: Expressions, frame: Frame, e: t.Unary, want: bool) -> Value:
    value = m.evaluate(frame, e.value, True)
    if e.op == "not":
        known = truth(value)
        return UNKNOWN if known is None else not known
    if isinstance(value, int | float):
        return -value if e.op == "-" else ~value if e.op == "~" and isinstance(value, int) else value
    return UNKNOWN


def _either(m: Expressions, frame: Frame, e: t.Either, want: bool) -> Value:
    known = truth(m.evaluate(frame, e.test, True))
    if known is not None:
        return m.evaluate(frame, e.yes if known else e.no, want)
    with m.unsure():
        yes, no = m.evaluate(frame, e.yes, want), m.evaluate(frame, e.no, want)
    return yes if is_plain(yes) and is_plain(no) and yes == no else UNKNOWN


def _sequence(m: Expressions, frame: Frame, e: t.Sequence, want: bool) -> Value:
    out: list[Value] = []
    for part in e.items:
        if isinstance(part, t.Star):
            more = m.iterate(m.evaluate(frame, part.value, True))
            if more is None:
                return UNKNOWN
            out.extend(more)
        else:
            out.append(m.evaluate(frame, part, True) if want else m.store(frame, part))
    if e.kind == "tuple":
        return tuple(out)
    if e.kind == "set":
        return set(out) if is_plain(out) and all(not isinstance(x, list | dict | set) for x in out) else UNKNOWN
    return out


def _mapping(m: Expressions, frame: Frame, e: t.Mapping, want: bool) -> Value:
    out: dict[Value, Value] = {}
    known = True
    for key_e, value_e in zip(e.keys, e.values, strict=True):
        value = m.evaluate(frame, value_e, True) if want else m.store(frame, value_e)
        if key_e is None:
            value = m.force(value)
            known = known and isinstance(value, dict)
            out |= value if isinstance(value, dict) else {}
            continue
        key = m.evaluate(frame, key_e, True)
        if isinstance(key, str | int | float | bool | None) or (isinstance(key, tuple) and is_plain(key)):
            try:
                out[key] = value
            except TypeError:
                known = False
        else:
            known = False
    return out if known else UNKNOWN


def _text(m: Expressions, frame: Frame, e: t.Text, want: bool) -> Value:
    parts = [m.evaluate(frame, p, True) for p in e.parts]
    if all(isinstance(p, str | int | PathValue) for p in parts):
        return "".join(p.path if isinstance(p, PathValue) else str(p) for p in parts)
    return UNKNOWN


def _comprehension(m: Expressions, frame: Frame, e: t.Comprehension, want: bool) -> Value:
    inner = Frame(frame.module, dict(frame.names), frame.scopes, "function", line=frame.line)
    out: list[Value] = []
    if not _walk(m, inner, e, 0, out):
        return Started(tuple(out)) if out and e.kind in ("list", "generator") else UNKNOWN
    if e.kind == "dict":
        pairs = {p[0]: p[1] for p in out if isinstance(p, tuple) and isinstance(p[0], str | int | tuple)}
        return pairs if len(pairs) == len(out) and is_plain(list(pairs)) else UNKNOWN
    if e.kind == "set":
        return (
            set(out) if is_plain(out) and all(isinstance(x, str | int | float | bool | None) for x in out) else UNKNOWN
        )
    return out


def _walk(m: Expressions, frame: Frame, e: t.Comprehension, level: int, out: list[Value]) -> bool:
    """Run the loops of a comprehension from ``level`` on. False when not all that it gives can be told: ``out`` then
    holds what certainly comes first."""
    if level == len(e.loops):
        element = m.evaluate(frame, e.element, True)
        out.append((element, m.evaluate(frame, e.value, True)) if e.kind == "dict" else element)
        return True
    loop = e.loops[level]
    items = m.iterate(m.evaluate(frame, loop.source, True))
    if items is None:
        with m.unsure():
            m.assign(frame, loop.target, UNKNOWN)
            for test in loop.tests:
                m.evaluate(frame, test, True)
            _walk(m, frame, e, level + 1, [])
        return False
    known = True
    for item in items:
        m.assign(frame, loop.target, item)
        passed = [truth(m.evaluate(frame, test, True)) for test in loop.tests]
        if False in passed:
            continue
        if None in passed:
            with m.unsure():
                _walk(m, frame, e, level + 1, [])
            known = False
        else:
            known = _walk(m, frame, e, level + 1, out if known else []) and known
    return known


def _lambda(m: Expressions, frame: Frame, e: t.Lambda, want: bool) -> Value:
    scopes = frame.scopes if frame.kind != "function" else (*frame.scopes, frame.names)
    return LambdaValue(e, frame.module.name, scopes)


def _walrus(m: Expressions, frame: Frame, e: t.Walrus, want: bool) -> Value:
    value = m.evaluate(frame, e.value, True)
    m.bind(frame, e.name, value)
    return value


def _opaque(m: Expressions, frame: Frame, e: t.Opaque, want: bool) -> Value:
    for part in e.parts:
        m.evaluate(frame, part)
    return UNKNOWN


def _star(m: Expressions, frame: Frame, e: t.Star, want: bool) -> Value:
    m.evaluate(frame, e.value)
    return UNKNOWN


def _call(m: Expressions, frame: Frame, e: t.Call, want: bool) -> Value:
    return m.make_call(frame, e, want)


EVALUATORS: dict[type, Callable[[Any, Frame, Any, bool], Value]] = {
    t.Attr: _attr, t.Item: _item, t.Span: _span, t.Binary: _binary, t.Compare: _compare, t.Logic: _logic,
    t.Unary: _unary, t.Either: _either, t.Sequence: _sequence, t.Mapping: _mapping, t.Text: _text,
    t.Comprehension: _comprehension, t.Lambda: _lambda, t.Walrus: _walrus, t.Opaque: _opaque, t.Star: _star,
    t.Call: _call,
}  # fmt: skip
