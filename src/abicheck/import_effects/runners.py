# ruff: noqa: ARG001 (all handlers of one table have one signature)
"""One function per kind of statement that only does something: imports, assignments, definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from abicheck.import_effects import tree as t
from abicheck.import_effects.core import Frame, Raised
from abicheck.import_effects.flow import FLOW, Runner
from abicheck.import_effects.values import (
    BoundValue,
    ClassValue,
    FunctionValue,
    InstanceValue,
    LambdaValue,
    ModuleValue,
    Symbol,
    Value,
)

if TYPE_CHECKING:
    from abicheck.import_effects.statements import Statements

_FATAL = frozenset({"sys.exit", "os._exit", "os.abort", "builtins.exit", "builtins.quit"})
_EXITS = frozenset(Symbol(n) for n in _FATAL)
_KINDS = {
    "builtins.staticmethod": "static",
    "builtins.classmethod": "class",
    "builtins.property": "property",
    "functools.cached_property": "property",
    "contextlib.contextmanager": "context",
}


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


def _def(m: Statements, frame: Frame, s: t.Def) -> None:
    frame.line = s.first
    for part in s.evaluated:
        m.evaluate(frame, part)
    scopes = frame.scopes if frame.kind != "function" else (*frame.scopes, frame.names)
    function = FunctionValue(s, frame.module.name, scopes)
    if s.decorators:
        _decorate(m, frame, s.decorators, function)
    m.bind(frame, s.name, function)


def _decorate(m: Statements, frame: Frame, decorators: tuple[t.Expr, ...], value: Value) -> None:
    """Call the decorators for what they do. What they return counts as the thing decorated: nearly all wrap it."""
    made = [(m.evaluate(frame, d), d) for d in decorators]
    for decorator, _ in reversed(made):
        if isinstance(decorator, Symbol) and isinstance(value, FunctionValue) and decorator.name in _KINDS:
            value.kind = _KINDS[decorator.name]
        elif isinstance(decorator, FunctionValue | BoundValue | InstanceValue | LambdaValue):
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


RUNNERS: Mapping[type, Runner] = {
    **FLOW,
    t.Import: _import,
    t.From: _from,
    t.Assign: _assign,
    t.Do: _do,
    t.Def: _def,
    t.Class: _class,
    t.Del: _del,
    t.Global: _global,
}
