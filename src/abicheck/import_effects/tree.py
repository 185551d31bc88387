"""The small tree a module's source is reduced to: what runs when it is imported, nothing else.

Plain frozen records (msgspec structs), so that a summary can be kept in a cache or a snapshot and read back without
parsing Python again. Function bodies are not in the tree of a module: most are never run by an import. A ``Def`` says
on which lines its function lies; :func:`~abicheck.import_effects.summary.read_function` reads the body when called.
"""

from __future__ import annotations

from typing import Union

import msgspec


class Node(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of all nodes. ``line`` (where there is one) counts from 1 in the file."""


# -- expressions -------------------------------------------------------------


class Const(Node, frozen=True):
    value: str | int | float | bool | None


class Name(Node, frozen=True):
    id: str


class Attr(Node, frozen=True):
    value: Expr
    name: str


class Call(Node, frozen=True):
    function: Expr
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...]  # name "" is a ``**mapping``
    line: int


class Item(Node, frozen=True):
    value: Expr
    index: Expr


class Span(Node, frozen=True):
    """``value[low:high:step]``'s index."""

    low: Expr | None
    high: Expr | None
    step: Expr | None


class Binary(Node, frozen=True):
    op: str
    left: Expr
    right: Expr


class Compare(Node, frozen=True):
    left: Expr
    ops: tuple[str, ...]
    rights: tuple[Expr, ...]


class Logic(Node, frozen=True):
    op: str  # "and" | "or"
    values: tuple[Expr, ...]


class Unary(Node, frozen=True):
    op: str  # "not" | "-" | "+" | "~"
    value: Expr


class Either(Node, frozen=True):
    test: Expr
    yes: Expr
    no: Expr


class Sequence(Node, frozen=True):
    kind: str  # "list" | "tuple" | "set"
    items: tuple[Expr, ...]


class Mapping(Node, frozen=True):
    keys: tuple[Expr | None, ...]  # None is a ``**mapping``
    values: tuple[Expr, ...]


class Text(Node, frozen=True):
    """An f-string: the parts in order, each converted with ``str()``."""

    parts: tuple[Expr, ...]


class Star(Node, frozen=True):
    value: Expr


class Loop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    target: Expr
    source: Expr
    tests: tuple[Expr, ...]


class Comprehension(Node, frozen=True):
    kind: str  # "list" | "set" | "dict" | "generator"
    element: Expr
    value: Expr | None  # of a dict
    loops: tuple[Loop, ...]


class Lambda(Node, frozen=True):
    params: tuple[str, ...]
    body: Expr


class Walrus(Node, frozen=True):
    name: str
    value: Expr


class Opaque(Node, frozen=True):
    """Something whose value is not followed; ``parts`` are evaluated, in order, for what they do."""

    parts: tuple[Expr, ...] = ()


Expr = Union[  # noqa: UP007 (forward references)
    Const, Name, Attr, Call, Item, Span, Binary, Compare, Logic, Unary, Either, Sequence, Mapping, Text, Star,
    Comprehension, Lambda, Walrus, Opaque,
]  # fmt: skip


# -- statements --------------------------------------------------------------


class Import(Node, frozen=True):
    names: tuple[tuple[str, str], ...]  # (dotted module, alias or "")
    line: int


class From(Node, frozen=True):
    module: str
    level: int
    names: tuple[tuple[str, str], ...]  # (name or "*", alias or "")
    line: int


class Assign(Node, frozen=True):
    targets: tuple[Expr, ...]
    value: Expr
    line: int


class Do(Node, frozen=True):
    """An expression statement."""

    value: Expr
    line: int


class If(Node, frozen=True):
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    line: int


class Handler(msgspec.Struct, frozen=True, array_like=True, gc=False):
    types: tuple[str, ...]  # last parts of the exceptions' names; empty: catches everything
    name: str
    body: tuple[Stmt, ...]


class Try(Node, frozen=True):
    body: tuple[Stmt, ...]
    handlers: tuple[Handler, ...]
    orelse: tuple[Stmt, ...]
    final: tuple[Stmt, ...]
    line: int


class For(Node, frozen=True):
    target: Expr
    source: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    line: int


class While(Node, frozen=True):
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    line: int


class With(Node, frozen=True):
    items: tuple[tuple[Expr, Expr | None], ...]
    body: tuple[Stmt, ...]
    line: int


class Param(msgspec.Struct, frozen=True, array_like=True, gc=False):
    name: str
    kind: str  # "pos" | "kw" | "*" | "**"
    default: Expr | None


class Def(Node, frozen=True):
    """A function definition. ``evaluated``: defaults and annotations that can do something, in Python's order."""

    name: str
    params: tuple[Param, ...]
    decorators: tuple[Expr, ...]
    evaluated: tuple[Expr, ...]
    first: int
    last: int
    runs: bool  # False for ``async def``


class Class(Node, frozen=True):
    name: str
    bases: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...]
    decorators: tuple[Expr, ...]
    body: tuple[Stmt, ...]
    line: int


class Return(Node, frozen=True):
    value: Expr | None


class Raise(Node, frozen=True):
    value: Expr | None
    line: int


class Jump(Node, frozen=True):
    kind: str  # "break" | "continue"


class Del(Node, frozen=True):
    targets: tuple[Expr, ...]


class Global(Node, frozen=True):
    names: tuple[str, ...]


Stmt = Union[  # noqa: UP007 (forward references)
    Import, From, Assign, Do, If, Try, For, While, With, Def, Class, Return, Raise, Jump, Del, Global
]  # fmt: skip


class ModuleSummary(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What importing one source file runs. ``problem`` is not empty when the source is no valid Python: then the import
    raises SyntaxError and ``body`` is empty. ``words``: those of ``summary.WORDS`` that stand anywhere in the text."""

    body: tuple[Stmt, ...]
    problem: str = ""
    words: tuple[str, ...] = ()


class FunctionSummary(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The body of one function. ``generator``: calling it runs nothing until somebody iterates."""

    body: tuple[Stmt, ...]
    generator: bool
