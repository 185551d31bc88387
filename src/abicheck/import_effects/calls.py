"""Calls at import time: which functions are worth entering, and entering them."""

from __future__ import annotations

import re

from abicheck.import_effects import tree as t
from abicheck.import_effects.core import MAX_CALL_STEPS, MAX_DEPTH, Frame, Module
from abicheck.import_effects.expressions import Expressions
from abicheck.import_effects.values import (
    LAZY,
    THING,
    UNKNOWN,
    BoundValue,
    ClassValue,
    FunctionValue,
    InstanceValue,
    LambdaValue,
    Method,
    ModuleValue,
    Symbol,
    Thunk,
    Value,
)

# Text that can change what is loaded. Seen in comments and strings too: then a function is entered for nothing.
INTERESTING = re.compile(
    r"^\s*(?:import\s|from\s+[\w.]+\s+import\b)|__import__|import_module|CDLL|PyDLL|WinDLL|OleDLL|windll|cdll|oledll|"
    r"LoadLibrary|dlopen|load_library|load_dynamic|AddDllDirectory|SetDllDirectory|add_dll_directory|putenv|"
    r"environ\s*(?:\[[^\]]*\]\s*=[^=]|\.(?:setdefault|update|pop)|\.__setitem__)|exec_module|load_module|\bexec\(|"
    r"sys\.path\b|sys\.modules|\bexecfile\(",
    re.MULTILINE,
)
MAX_IDLE = 6  # walks of a function without any effect, after which it is taken to have none
MAX_IDLE_WORDS = 24  # the same for one that is given a single word
_CALLED = re.compile(r"([A-Za-z_][\w.]*)\s*\(")
_SINKS = frozenset({"dlopen", "LoadLibraryExW", "LoadLibraryExA", "LoadLibraryW", "LoadLibraryA", "AddDllDirectory"})


class Calls(Expressions):
    def make_call(self, frame: Frame, e: t.Call, want: bool) -> Value:
        function = self.evaluate(frame, e.function, True)
        frame.line = e.line
        wanted = self.wants_arguments(function)
        args: list[Value] = []
        keywords: dict[str, Value] = {}
        exact = True
        for part in e.args:
            if isinstance(part, t.Star):
                more = self.iterate(self.evaluate(frame, part.value, True))
                exact = exact and more is not None
                args.extend(more or ())
            else:
                args.append(self.evaluate(frame, part, True) if wanted else self.store(frame, part))
        for name, part in e.keywords:
            if name:
                keywords[name] = self.evaluate(frame, part, True) if wanted else self.store(frame, part)
            else:
                more_keywords = self.evaluate(frame, part, True)
                if isinstance(more_keywords, dict):
                    keywords |= {k: v for k, v in more_keywords.items() if isinstance(k, str)}
                else:
                    exact = False
        frame.line = e.line
        if not exact:
            args.append(UNKNOWN)
        return self.call(frame, function, args, keywords, want)

    def wants_arguments(self, function: Value) -> bool:
        if isinstance(function, Symbol):
            return self.is_symbol(function.name)
        return isinstance(function, Method | BoundValue) and not isinstance(function, BoundValue)

    def call(self, frame: Frame, function: Value, args: list[Value], keywords: dict[str, Value], want: bool) -> Value:
        if isinstance(function, Symbol):
            return self.call_symbol(frame, function.name, args, keywords)
        if isinstance(function, Method):
            return self.call_method(frame, function, [self.force(a) for a in args], keywords)
        if isinstance(function, BoundValue):
            return self.call(frame, function.function, [function.owner, *args], keywords, want)
        if isinstance(function, FunctionValue):
            if self.matters(function) and (want or not self._is_idle(function, args)):
                with self.limited(MAX_CALL_STEPS):
                    return self._counted(frame, function, args, keywords)
            if not want:
                return LAZY
            with self.limited():
                return self._enter(frame, function, args, keywords)
        if isinstance(function, ClassValue):
            return self._instantiate(frame, function, args, keywords, want)
        if isinstance(function, InstanceValue):
            found = self.class_member(function.cls, "__call__")
            if isinstance(found, FunctionValue):
                return self.call(frame, found, [function, *args], keywords, want)
        if isinstance(function, LambdaValue):
            return self._enter_lambda(frame, function, args)
        return UNKNOWN

    def _is_idle(self, function: FunctionValue, args: list[Value]) -> bool:
        """Whether a function was walked several times and did nothing: a decorator, used on every definition. A word
        that it was not given before may be the one for which it does something (``hashlib``'s constructors)."""
        walks = self.idle.get((function.module, function.definition.first), 0)
        return walks >= (MAX_IDLE_WORDS if len(args) == 1 and isinstance(args[0], str) else MAX_IDLE)

    def _counted(self, frame: Frame, function: FunctionValue, args: list[Value], keywords: dict[str, Value]) -> Value:
        key = (function.module, function.definition.first)
        before = (len(self.effects), len(self.modules), len(self.environ))
        value = self._enter(frame, function, args, keywords)
        if before == (len(self.effects), len(self.modules), len(self.environ)):
            self.idle[key] = self.idle.get(key, 0) + 1
        return value

    def call_symbol(self, frame: Frame, name: str, args: list[Value], keywords: dict[str, Value]) -> Value:
        raise NotImplementedError

    def call_method(self, frame: Frame, method: Method, args: list[Value], keywords: dict[str, Value]) -> Value:
        raise NotImplementedError

    # -- entering ----------------------------------------------------------------

    def _instantiate(
        self, frame: Frame, cls: ClassValue, args: list[Value], keywords: dict[str, Value], want: bool
    ) -> Value:
        instance = InstanceValue(cls)
        for name in ("__init__", "__post_init__"):
            found = self.class_member(cls, name)
            if isinstance(found, FunctionValue) and (want or self.matters(found)):
                self._enter(frame, found, [instance, *args] if name == "__init__" else [instance], keywords)
        return instance

    def _enter_lambda(self, frame: Frame, function: LambdaValue, args: list[Value]) -> Value:
        module = self.modules.get(function.module)
        if module is None or self.depth > MAX_DEPTH:
            return UNKNOWN
        names: dict[str, Value] = dict.fromkeys(function.definition.params, UNKNOWN)
        names |= dict(zip(function.definition.params, args, strict=False))
        self.depth += 1
        try:
            return self.evaluate(
                Frame(module, names, function.scopes, "function", line=frame.line), function.definition.body, True
            )
        finally:
            self.depth -= 1

    def _enter(self, frame: Frame, function: FunctionValue, args: list[Value], keywords: dict[str, Value]) -> Value:
        """Walk a function's body. What it returns is unknown when it may return in several ways."""
        module = self.modules.get(function.module)
        d = function.definition
        if module is None or not d.runs or self.depth > MAX_DEPTH:
            return UNKNOWN
        body = self.body_of(module, d)
        if body is None or (body.generator and function.kind != "context"):
            return UNKNOWN
        key = (function.module, d.first)
        active = self.active.get(key, 0)
        if active > 1 or self.steps > self.limit:
            return UNKNOWN  # recursion is followed once
        names = self._arguments(frame, function, args, keywords)
        inner = Frame(module, names, function.scopes, "function", line=d.first)
        sure, self.depth = self.sure, self.depth + 1
        self.active[key] = active + 1
        self.chain.append(self.here(frame))
        try:
            end = self.block(inner, body.body)
        finally:
            self.chain.pop()
            self.depth -= 1
            self.active[key] = active
            self.sure = sure and not self.doubt
        last = end.value if end is not None and end.kind == "return" else None
        if inner.returns:
            inner.returns.append(last)
            return _merged([self.force(v) for v in inner.returns])
        return THING if body.generator else last

    def _arguments(
        self, frame: Frame, function: FunctionValue, args: list[Value], keywords: dict[str, Value]
    ) -> dict[str, Value]:
        names: dict[str, Value] = {}
        left = dict(keywords)
        rest = list(args)
        module = self.modules[function.module]
        outside = Frame(module, {}, function.scopes, "function", line=frame.line)
        for p in function.definition.params:
            if p.kind == "*":
                names[p.name] = tuple(rest)
                rest = []
            elif p.kind == "**":
                names[p.name] = left
                left = {}
            elif p.kind == "pos" and rest:
                names[p.name] = rest.pop(0)
            elif p.name in left:
                names[p.name] = left.pop(p.name)
            elif p.default is not None:
                names[p.name] = self.store(outside, p.default)
            else:
                names[p.name] = UNKNOWN
        return names

    # -- what is worth entering ----------------------------------------------------

    def matters(self, function: FunctionValue, depth: int = 0) -> bool:
        """Whether a function, or one that it calls by name, can load something. Judged by its text."""
        key = (function.module, function.definition.first)
        known = self.matters_memo.get(key)
        if known is not None:
            return known
        module = self.modules.get(function.module)
        if module is None or not function.definition.runs:
            return False
        self.matters_memo[key] = False  # a recursive call adds nothing
        called = self._called(module, function.definition)
        found = called is None
        if called is not None and depth < (1 if self.is_stdlib(module) else 6):
            for name in called:
                callee = self._static(module, function, name)
                if isinstance(callee, ClassValue):
                    callee = self.class_member(callee, "__init__")
                if isinstance(callee, FunctionValue) and self.matters(callee, depth + 1):
                    found = True
                    break
        self.matters_memo[key] = found
        return found

    def _called(self, module: Module, d: t.Def) -> tuple[str, ...] | None:
        """Names that a function's text calls, each once; None when the text can load something by itself."""
        key, memo = (self.identity(module.spec.path), d.first), self.context.memory.calls
        if key not in memo:
            text = self._text(module, d)
            memo[key] = None if INTERESTING.search(text) else tuple(dict.fromkeys(_CALLED.findall(text)))
        return memo[key]

    def is_stdlib(self, module: Module) -> bool:
        path = module.spec.path
        inside = path.startswith((self.context.stdlib + "/", self.context.dynload + "/"))
        return inside and not path.startswith(self.context.site_packages)

    def _text(self, module: Module, d: t.Def) -> str:
        lines = self.lines(module)
        return "\n".join(lines[d.first - 1 : d.last])

    def lines(self, module: Module) -> list[str]:
        known = self.line_memo.get(module.name)
        if known is None:
            known = self.line_memo[module.name] = (self.source(module) or "").split("\n")
        return known

    @property
    def line_memo(self) -> dict[str, list[str]]:
        memo: dict[str, list[str]] = self.__dict__.setdefault("_lines", {})
        return memo

    def _static(self, module: Module, function: FunctionValue, name: str) -> Value:
        """What a dotted name in a function's text stands for, without evaluating anything."""
        root, *rest = name.split(".")
        value: Value = UNKNOWN
        for names in (*reversed(function.scopes), module.env):
            if root in names:
                value = names[root]
                break
        for part in rest:
            if isinstance(value, ModuleValue) and value.name in self.modules:
                value = self.modules[value.name].env.get(part, UNKNOWN)
            elif isinstance(value, InstanceValue):
                value = self.class_member(value.cls, part)
            elif isinstance(value, ClassValue):
                value = self.class_member(value, part)
            else:
                return UNKNOWN
        return value

    def is_sink(self, name: str) -> bool:
        """Whether calling a method of this name on an unknown object opens a library (cffi, kernel32)."""
        return name in _SINKS


def _merged(values: list[Value]) -> Value:
    first = values[0]
    for other in values[1:]:
        if isinstance(other, Thunk) or type(other) is not type(first):
            return UNKNOWN
        if other is not first and not (isinstance(first, str | int | float | tuple | None) and other == first):
            return UNKNOWN
    return first
