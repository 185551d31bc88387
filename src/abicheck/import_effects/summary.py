"""Source text to :mod:`tree`: a pure function of the text, so its result can be kept for as long as the file lives."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import TypeGuard

import msgspec

from abicheck.import_effects import tree as t
from abicheck.import_effects.grammar import parse
from abicheck.import_effects.strip import strip_bodies

MAX_LITERAL = 256  # longer list, tuple and dict displays are data tables: never the list of libraries to open
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.BitOr: "|"}
_OPERATORS |= {ast.BitAnd: "&", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>", ast.Pow: "**", ast.MatMult: "@"}
_COMPARES = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_COMPARES |= {ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"}
_UNARY = {ast.Not: "not", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}


# What CPython says of source that it does not compile; nesting beyond its parser's stack is a MemoryError.
NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)
TOO_DEEP = "nests too deeply to be read"


# Ways to give a module names that no statement of it shows.
DYNAMIC = frozenset({"globals()", "exec(", "setattr(", "vars()", "locals()", "sys.modules[", "__dict__"})
NAMED_CHARACTER = "\\N{"
WORDS = (*sorted(DYNAMIC), "sys.modules", NAMED_CHARACTER)


def summarize(source: str) -> t.ModuleSummary:
    """The import-time tree of a module. Never raises: source that is no Python gives a summary that says so."""
    return msgspec.structs.replace(_summarize(source), words=tuple(w for w in WORDS if w in source))


def _summarize(source: str) -> t.ModuleSummary:
    stripped, ranges = strip_bodies(source)
    try:
        parsed = parse(stripped)
    except NO_PYTHON:
        ranges = {}
        try:
            parsed = parse(source)
        except NO_PYTHON as e:
            return t.ModuleSummary((), f"is not valid Python ({e})" if str(e) else TOO_DEEP)
    reader = _Reader(ranges, annotations=not _has_postponed_annotations(parsed.body))
    try:
        return t.ModuleSummary(reader.block(parsed.body))
    except RecursionError:
        return t.ModuleSummary((), TOO_DEEP)


def read_function(source: str, first: int, last: int) -> t.FunctionSummary | None:
    """The body of the function whose ``def`` stands on line ``first`` (1-based) and that ends on ``last``.

    None when those lines are no function by themselves (they always are for a :class:`tree.Def` of this source).
    """
    lines = source.split("\n")[first - 1 : last]
    indented = lines[0][:1] in " \t"
    text = ("if 1:\n" if indented else "") + "\n".join(lines) + "\n"
    try:
        parsed: ast.stmt = parse(text).body[0]
    except (*NO_PYTHON, IndexError):
        return None
    if indented and isinstance(parsed, ast.If):
        parsed = parsed.body[0]
    if not isinstance(parsed, ast.FunctionDef):
        return None
    reader = _Reader({}, annotations=False, shift=first - 2 if indented else first - 1)
    return t.FunctionSummary(reader.block(parsed.body), _is_generator(parsed))


def _has_postponed_annotations(body: Sequence[ast.stmt]) -> bool:
    return any(
        isinstance(s, ast.ImportFrom) and s.module == "__future__" and any(a.name == "annotations" for a in s.names)
        for s in body[:10]
    )


def _is_generator(function: ast.FunctionDef) -> bool:
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            todo.extend(ast.iter_child_nodes(node))
    return False


class _Reader:
    """Turns nodes of ``ast`` into nodes of ``tree``.

    Args:
        ranges: first to last line of the functions whose bodies were blanked.
        annotations: whether annotations are evaluated when their function or variable is defined.
        shift: added to line numbers, for text that is a part of a file.
    """

    def __init__(self, ranges: dict[int, int], *, annotations: bool, shift: int = 0) -> None:
        self._ranges, self._annotations, self._shift = ranges, annotations, shift

    # -- statements ----------------------------------------------------------

    def block(self, body: Iterable[ast.stmt]) -> tuple[t.Stmt, ...]:
        out: list[t.Stmt] = []
        for node in body:
            out.extend(self._statement(node))
        return tuple(out)

    def _statement(self, s: ast.stmt) -> Iterable[t.Stmt]:
        method = getattr(self, "_on_" + type(s).__name__, None)
        if method is None:
            return ()  # pass, nonlocal, type aliases: nothing is loaded
        made = method(s)
        return made if isinstance(made, tuple) else (made,)

    def _line(self, node: ast.stmt | ast.expr) -> int:
        return node.lineno + self._shift

    def _on_Import(self, s: ast.Import) -> t.Stmt:
        return t.Import(tuple((a.name, a.asname or "") for a in s.names), self._line(s))

    def _on_ImportFrom(self, s: ast.ImportFrom) -> t.Stmt | tuple[t.Stmt, ...]:
        if s.module == "__future__":
            return ()
        return t.From(s.module or "", s.level, tuple((a.name, a.asname or "") for a in s.names), self._line(s))

    def _on_Assign(self, s: ast.Assign) -> t.Stmt:
        return t.Assign(tuple(self.expr(x) for x in s.targets), self.expr(s.value), self._line(s))

    def _on_AnnAssign(self, s: ast.AnnAssign) -> tuple[t.Stmt, ...]:
        out: list[t.Stmt] = []
        if s.value is not None:
            out.append(t.Assign((self.expr(s.target),), self.expr(s.value), self._line(s)))
        if self._annotations:
            out.extend(t.Do(x, self._line(s)) for x in self._annotation(s.annotation))
        return tuple(out)

    def _on_AugAssign(self, s: ast.AugAssign) -> t.Stmt:
        target = self.expr(s.target)
        op = "+=" if isinstance(s.op, ast.Add) else _OPERATORS[type(s.op)]
        return t.Assign((target,), t.Binary(op, target, self.expr(s.value)), self._line(s))

    def _on_Expr(self, s: ast.Expr) -> t.Stmt | tuple[t.Stmt, ...]:
        if isinstance(s.value, ast.Constant):
            return ()
        return t.Do(self.expr(s.value), self._line(s))

    def _on_Assert(self, s: ast.Assert) -> t.Stmt:
        return t.Do(self.expr(s.test), self._line(s))

    def _on_If(self, s: ast.If) -> t.Stmt:
        return t.If(self.expr(s.test), self.block(s.body), self.block(s.orelse), self._line(s))

    def _on_Try(self, s: ast.Try) -> t.Stmt:
        handlers = tuple(t.Handler(_caught(h.type), h.name or "", self.block(h.body)) for h in s.handlers)
        return t.Try(self.block(s.body), handlers, self.block(s.orelse), self.block(s.finalbody), self._line(s))

    _on_TryStar = _on_Try

    def _on_For(self, s: ast.For) -> t.Stmt:
        body, orelse = self.block(s.body), self.block(s.orelse)
        return t.For(self.expr(s.target), self.expr(s.iter), body, orelse, self._line(s))

    def _on_While(self, s: ast.While) -> t.Stmt:
        return t.While(self.expr(s.test), self.block(s.body), self.block(s.orelse), self._line(s))

    def _on_With(self, s: ast.With) -> t.Stmt:
        items = tuple((self.expr(i.context_expr), self._maybe(i.optional_vars)) for i in s.items)
        return t.With(items, self.block(s.body), self._line(s))

    def _on_Match(self, s: ast.Match) -> t.Stmt:
        # Which case is taken is not followed: each is a branch under an unknown condition.
        chain: tuple[t.Stmt, ...] = ()
        for case in reversed(s.cases):
            chain = (t.If(t.Opaque(), self.block(case.body), chain, self._line(s)),)
        return t.With(((self.expr(s.subject), None),), chain, self._line(s))

    def _on_FunctionDef(self, s: ast.FunctionDef | ast.AsyncFunctionDef) -> t.Stmt:
        evaluated = [self.expr(d) for d in (*s.args.defaults, *(d for d in s.args.kw_defaults if d)) if _does(d)]
        if self._annotations:
            for arg in (*s.args.posonlyargs, *s.args.args, *s.args.kwonlyargs):
                evaluated.extend(self._annotation(arg.annotation))
            evaluated.extend(self._annotation(s.returns))
        last = self._ranges.get(s.lineno, s.end_lineno or s.lineno)
        return t.Def(
            s.name,
            self._params(s.args),
            tuple(self.expr(d) for d in s.decorator_list),
            tuple(evaluated),
            self._line(s),
            last + self._shift,
            isinstance(s, ast.FunctionDef),
        )

    _on_AsyncFunctionDef = _on_FunctionDef

    def _params(self, args: ast.arguments) -> tuple[t.Param, ...]:
        plain = [*args.posonlyargs, *args.args]
        without = len(plain) - len(args.defaults)
        out = [
            t.Param(a.arg, "pos", self.expr(args.defaults[i - without]) if i >= without else None)
            for i, a in enumerate(plain)
        ]
        if args.vararg:
            out.append(t.Param(args.vararg.arg, "*", None))
        out.extend(t.Param(a.arg, "kw", self._maybe(d)) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True))
        if args.kwarg:
            out.append(t.Param(args.kwarg.arg, "**", None))
        return tuple(out)

    def _annotation(self, node: ast.expr | None) -> tuple[t.Expr, ...]:
        """Only dotted names: ``scipy.sparse.csr_matrix`` can make a lazy package load a submodule."""
        if node is None or isinstance(node, ast.Name | ast.Constant):
            return ()
        return tuple(self.expr(n) for n in ast.walk(node) if isinstance(n, ast.Attribute) and _is_dotted(n))

    def _on_ClassDef(self, s: ast.ClassDef) -> t.Stmt:
        return t.Class(
            s.name,
            tuple(self.expr(b) for b in s.bases),
            tuple((k.arg or "", self.expr(k.value)) for k in s.keywords),
            tuple(self.expr(d) for d in s.decorator_list),
            self.block(s.body),
            self._line(s),
        )

    def _on_Return(self, s: ast.Return) -> t.Stmt:
        return t.Return(self._maybe(s.value))

    def _on_Raise(self, s: ast.Raise) -> t.Stmt:
        return t.Raise(self._maybe(s.exc), self._line(s))

    def _on_Break(self, _: ast.Break) -> t.Stmt:
        return t.Jump("break")

    def _on_Continue(self, _: ast.Continue) -> t.Stmt:
        return t.Jump("continue")

    def _on_Delete(self, s: ast.Delete) -> t.Stmt:
        return t.Del(tuple(self.expr(x) for x in s.targets))

    def _on_Global(self, s: ast.Global) -> t.Stmt:
        return t.Global(tuple(s.names))

    # -- expressions ---------------------------------------------------------

    def _maybe(self, e: ast.expr | None) -> t.Expr | None:
        return None if e is None else self.expr(e)

    def expr(self, e: ast.expr) -> t.Expr:
        if isinstance(e, ast.Name):
            return t.Name(e.id)
        if isinstance(e, ast.Constant):
            return t.Const(e.value) if _is_plain(e.value) else t.Opaque()
        if isinstance(e, ast.Attribute):
            return t.Attr(self.expr(e.value), e.attr)
        method = getattr(self, "_of_" + type(e).__name__, None)
        if method is None:
            return t.Opaque(tuple(self.expr(c) for c in ast.iter_child_nodes(e) if isinstance(c, ast.expr)))
        made: t.Expr = method(e)
        return made

    def _of_Call(self, e: ast.Call) -> t.Expr:
        args = tuple(self.expr(a) for a in e.args)
        keywords = tuple((k.arg or "", self.expr(k.value)) for k in e.keywords)
        return t.Call(self.expr(e.func), args, keywords, self._line(e))

    def _of_Subscript(self, e: ast.Subscript) -> t.Expr:
        return t.Item(self.expr(e.value), self.expr(e.slice))

    def _of_Slice(self, e: ast.Slice) -> t.Expr:
        return t.Span(self._maybe(e.lower), self._maybe(e.upper), self._maybe(e.step))

    def _of_BinOp(self, e: ast.BinOp) -> t.Expr:
        return t.Binary(_OPERATORS[type(e.op)], self.expr(e.left), self.expr(e.right))

    def _of_UnaryOp(self, e: ast.UnaryOp) -> t.Expr:
        if (
            isinstance(e.op, ast.USub)
            and isinstance(e.operand, ast.Constant)
            and isinstance(e.operand.value, int | float)
        ):
            return t.Const(-e.operand.value) if _is_plain(-e.operand.value) else t.Opaque()
        return t.Unary(_UNARY[type(e.op)], self.expr(e.operand))

    def _of_Compare(self, e: ast.Compare) -> t.Expr:
        ops = tuple(_COMPARES[type(o)] for o in e.ops)
        return t.Compare(self.expr(e.left), ops, tuple(self.expr(c) for c in e.comparators))

    def _of_BoolOp(self, e: ast.BoolOp) -> t.Expr:
        return t.Logic("and" if isinstance(e.op, ast.And) else "or", tuple(self.expr(v) for v in e.values))

    def _of_IfExp(self, e: ast.IfExp) -> t.Expr:
        return t.Either(self.expr(e.test), self.expr(e.body), self.expr(e.orelse))

    def _of_List(self, e: ast.List | ast.Tuple | ast.Set) -> t.Expr:
        if len(e.elts) > MAX_LITERAL:
            return t.Opaque(tuple(self.expr(x) for x in e.elts if _does(x)))
        return t.Sequence(type(e).__name__.lower(), tuple(self.expr(x) for x in e.elts))

    _of_Tuple = _of_List
    _of_Set = _of_List

    def _of_Dict(self, e: ast.Dict) -> t.Expr:
        if len(e.values) > MAX_LITERAL:
            return t.Opaque(tuple(self.expr(x) for x in e.values if _does(x)))
        return t.Mapping(tuple(self._maybe(k) for k in e.keys), tuple(self.expr(v) for v in e.values))

    def _of_JoinedStr(self, e: ast.JoinedStr) -> t.Expr:
        parts: list[t.Expr] = []
        for part in e.values:
            if isinstance(part, ast.FormattedValue):
                plain = part.format_spec is None and part.conversion in (-1, ord("s"))
                parts.append(self.expr(part.value) if plain else t.Opaque((self.expr(part.value),)))
            else:
                parts.append(self.expr(part))
        return t.Text(tuple(parts))

    def _of_Starred(self, e: ast.Starred) -> t.Expr:
        return t.Star(self.expr(e.value))

    def _of_NamedExpr(self, e: ast.NamedExpr) -> t.Expr:
        return t.Walrus(e.target.id, self.expr(e.value))

    def _of_Lambda(self, e: ast.Lambda) -> t.Expr:
        return t.Lambda(tuple(a.arg for a in (*e.args.posonlyargs, *e.args.args)), self.expr(e.body))

    def _of_ListComp(self, e: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> t.Expr:
        kind = {"ListComp": "list", "SetComp": "set", "GeneratorExp": "generator"}[type(e).__name__]
        return t.Comprehension(kind, self.expr(e.elt), None, self._loops(e.generators))

    _of_SetComp = _of_ListComp
    _of_GeneratorExp = _of_ListComp

    def _of_DictComp(self, e: ast.DictComp) -> t.Expr:
        return t.Comprehension("dict", self.expr(e.key), self.expr(e.value), self._loops(e.generators))

    def _loops(self, generators: list[ast.comprehension]) -> tuple[t.Loop, ...]:
        return tuple(t.Loop(self.expr(g.target), self.expr(g.iter), tuple(map(self.expr, g.ifs))) for g in generators)


def _does(e: ast.expr) -> bool:
    """Whether evaluating an expression can do more than give a value: a call, or an attribute (a lazy package's)."""
    return not isinstance(e, ast.Constant | ast.Name)


def _is_plain(value: object) -> TypeGuard[str | int | float | bool | None]:
    """Values a summary keeps: no bytes, no integers that a message pack cannot hold."""
    return value is None or isinstance(value, str | float) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _is_dotted(e: ast.expr) -> bool:
    while isinstance(e, ast.Attribute):
        e = e.value
    return isinstance(e, ast.Name)


def _caught(e: ast.expr | None) -> tuple[str, ...]:
    """Names of the exceptions a handler catches; empty for a bare ``except``, ("?",) when they are computed."""
    if e is None:
        return ()
    parts = e.elts if isinstance(e, ast.Tuple) else [e]
    return tuple(p.id if isinstance(p, ast.Name) else p.attr if isinstance(p, ast.Attribute) else "?" for p in parts)
