"""Evaluating expressions, as far as their values are known; calls on the way are made (see ``calls``)."""

from __future__ import annotations

import builtins
import operator
import posixpath
from collections.abc import Callable
from typing import Any

from abicheck.import_effects import tree as t
from abicheck.import_effects.core import Frame, Raised
from abicheck.import_effects.evaluators import EVALUATORS
from abicheck.import_effects.members import Members
from abicheck.import_effects.values import (
    LAZY,
    THING,
    UNKNOWN,
    BoundValue,
    ClassValue,
    FunctionValue,
    InstanceValue,
    Method,
    ModuleValue,
    NamespaceValue,
    PathValue,
    Started,
    Symbol,
    Thunk,
    Value,
    as_path,
    is_plain,
)

MAX_TEXT = 100_000  # characters of a computed string
_VERSION_FIELDS = ("major", "minor", "micro", "releaselevel", "serial")  # of sys.version_info
_BUILTINS = frozenset(dir(builtins))
_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "|": operator.or_, "&": operator.and_, "^": operator.xor, "<<": operator.lshift,
    ">>": operator.rshift, "**": operator.pow,
}  # fmt: skip
_COMPARES: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class Expressions(Members):
    def evaluate(self, frame: Frame, e: t.Expr | None, want: bool = False) -> Value:
        """The value of ``e``. Without ``want`` calls that load nothing are left out (their value is ``LAZY``)."""
        if e is None:
            return None
        self.steps += 1
        if self.steps > self.limit:
            return UNKNOWN
        kind = type(e)
        if kind is t.Const:
            return e.value  # type: ignore[union-attr]
        if kind is t.Name:
            return self.lookup(frame, e.id, want)  # type: ignore[union-attr]
        return EVALUATORS[kind](self, frame, e, want)

    def store(self, frame: Frame, e: t.Expr) -> Value:
        """``e`` evaluated for its effects; a value nobody asked for yet becomes a :class:`Thunk`."""
        value = self.evaluate(frame, e)
        return Thunk(e, frame) if value is LAZY else value

    def force(self, value: Value) -> Value:
        if not isinstance(value, Thunk):
            return value
        frame = value.frame
        assert isinstance(frame, Frame)
        if self.depth > 30:
            return UNKNOWN
        muted, self.muted, line, sure = self.muted, True, frame.line, self.sure
        self.depth += 1
        try:
            with self.limited():
                return self.evaluate(frame, value.expression, True)
        except Raised:
            return UNKNOWN
        finally:
            self.muted, frame.line, self.sure = muted, line, sure
            self.depth -= 1

    def lookup(self, frame: Frame, name: str, want: bool) -> Value:
        names = frame.names
        if name not in names:
            around = (n for n in (*reversed(frame.scopes), frame.module.env) if name in n)
            found = next(around, None)
            if found is None:
                return self._not_bound(frame, name)
            names = found
        value = names[name]
        if want and isinstance(value, Thunk):
            value = names[name] = self.force(value)
        return value

    def _not_bound(self, frame: Frame, name: str) -> Value:
        """A built-in, or a name of which nothing is seen."""
        if name in _BUILTINS:
            if name == "__debug__":
                return True
            if name == "WindowsError" and self.target.system != "win":
                return self.fail("NameError", UNKNOWN)
            return Symbol("builtins." + name)
        if (
            frame.kind == "module"
            and frame.module.complete
            and any(
                module == frame.module.name and any("NameError" in h.types for h in handlers)
                for handlers, module in self.guards
            )
        ):
            raise Raised("NameError")
        return UNKNOWN

    # -- attributes ------------------------------------------------------------

    def attribute(self, frame: Frame, owner: Value, name: str, want: bool = False) -> Value:
        owner = self.force(owner) if want else owner
        if isinstance(owner, ModuleValue):
            return self._module_attribute(frame, owner, name, want)
        if isinstance(owner, Symbol):
            dotted = f"{owner.name}.{name}"
            if self.target.missing(dotted):
                return self.fail("AttributeError", UNKNOWN)
            if dotted in self.target.constants:
                return self.target.constants[dotted]
            return Symbol(dotted)
        if isinstance(owner, InstanceValue):
            if name in owner.attributes:
                return self.force(owner.attributes[name]) if want else owner.attributes[name]
            found = self.class_member(owner.cls, name)
            if isinstance(found, FunctionValue):
                if found.kind == "property":
                    return self.call(frame, found, [owner], {}, want)
                return found if found.kind == "static" else BoundValue(found, owner)
            if found is UNKNOWN and name == "dlopen":
                return Method(owner, name)
            return found
        if isinstance(owner, ClassValue):
            if name == "__name__":
                return owner.name
            found = self.class_member(owner, name)
            return BoundValue(found, owner) if isinstance(found, FunctionValue) and found.kind == "class" else found
        if isinstance(owner, PathValue):
            return _path_attribute(owner, name)
        if isinstance(owner, tuple) and name in _VERSION_FIELDS and len(owner) == len(_VERSION_FIELDS):
            return owner[_VERSION_FIELDS.index(name)]
        if isinstance(owner, FunctionValue) and name in ("__name__", "__qualname__"):
            return owner.definition.name
        if owner is LAZY or isinstance(owner, Thunk):
            return LAZY
        return Method(owner, name)

    def _module_attribute(self, frame: Frame, owner: ModuleValue, name: str, want: bool) -> Value:
        module = self.modules.get(owner.name)
        if owner.name == "os" and name == "path":
            return ModuleValue("os.path")
        found = self.known(owner.name, name)
        if found is not None:
            return found
        if owner.name == "os.path":
            return Symbol("os.path." + name)
        if module is None:
            return UNKNOWN
        names = module.env if module.state in ("done", "running", "maybe") else self.names_of(module)
        if name in names:
            value = names[name]
            if want and isinstance(value, Thunk):
                value = names[name] = self.force(value)
            return value
        hook = names.get("__getattr__")
        if isinstance(hook, FunctionValue) and not name.startswith("__"):
            # A lazy package loads its submodule now.
            try:
                value = self.call(frame, hook, [name], {}, True)
            except Raised:
                return UNKNOWN
            if value is UNKNOWN and f"{owner.name}.{name}" in self.modules:
                return ModuleValue(f"{owner.name}.{name}")
            return value
        return UNKNOWN if module.spec.kind == "source" else Symbol(f"{owner.name}.{name}")

    def class_member(self, cls: ClassValue, name: str) -> Value:
        """A name of a class or, in order, of its bases."""
        if name in cls.names:
            return self.force(cls.names[name])
        for base in cls.bases:
            base = self.force(base)
            if isinstance(base, ClassValue):
                found = self.class_member(base, name)
                if found is not UNKNOWN:
                    return found
        return UNKNOWN

    # -- operations ------------------------------------------------------------

    def item(self, owner: Value, index: Value) -> Value:
        """``owner[index]``. Raises :class:`Raised` (KeyError, IndexError) when there certainly is no such item."""
        if owner == Symbol("os.environ"):
            if isinstance(index, str) and index not in self.environ:
                return self.fail("KeyError", UNKNOWN)
            return self.environ.get(index, UNKNOWN) if isinstance(index, str) else UNKNOWN
        if owner == Symbol("sys.modules"):
            if isinstance(index, str) and self.is_loaded(index):
                return ModuleValue(index)
            return UNKNOWN
        if isinstance(owner, NamespaceValue):
            module = self.modules.get(owner.module)
            return module.env.get(index, UNKNOWN) if module and isinstance(index, str) else UNKNOWN
        if isinstance(owner, dict):
            if not is_plain(index) or isinstance(index, list | dict | set):
                return UNKNOWN
            if index not in owner:
                return self.fail("KeyError", UNKNOWN)
            return owner[index]
        if isinstance(owner, Started):
            return owner.items[index] if isinstance(index, int) and 0 <= index < len(owner.items) else UNKNOWN
        if isinstance(owner, list | tuple | str) and isinstance(index, int | slice):
            try:
                return owner[index]
            except IndexError:
                return self.fail("IndexError", UNKNOWN)
        return UNKNOWN

    def operate(self, op: str, left: Value, right: Value) -> Value:
        if op == "/" and isinstance(left, PathValue):
            text = as_path(right)
            return PathValue(posixpath.normpath(posixpath.join(left.path, text))) if text is not None else UNKNOWN
        if op == "/" and isinstance(right, PathValue) and isinstance(left, str):
            return PathValue(posixpath.join(left, right.path))
        if op == "+=" and isinstance(left, list):
            items = self.iterate(right)
            if items is None:
                return UNKNOWN
            left.extend(items)
            return left
        if op == "+" and isinstance(left, list | tuple) and isinstance(right, type(left)):
            return left + right  # type: ignore[operator]
        if not (is_plain(left) and is_plain(right)) or op not in (*_OPERATIONS, "+="):
            return UNKNOWN
        if op == "*" and not (isinstance(left, int | float) and isinstance(right, int | float)):
            size = (len(left) if isinstance(left, str | list | tuple) else 1) * (right if isinstance(right, int) else 1)
            if not isinstance(right, int) or size > MAX_TEXT:
                return UNKNOWN
        if op in ("<<", "**") and not (isinstance(left, int) and isinstance(right, int) and 0 <= right <= 64):
            return UNKNOWN
        try:
            return _OPERATIONS["+" if op == "+=" else op](left, right)
        except (TypeError, ValueError, ArithmeticError, KeyError):
            return UNKNOWN

    def compare(self, op: str, left: Value, right: Value) -> Value:
        if op in ("is", "is not"):
            same = _identical(left, right)
            return UNKNOWN if same is None else same == (op == "is")
        if op in ("in", "not in"):
            inside = self.contains(right, left)
            return UNKNOWN if inside is None else inside == (op == "in")
        if isinstance(left, PathValue) and isinstance(right, PathValue):
            left, right = left.path, right.path
        if op in ("==", "!=") and ((left is THING and right is None) or (right is THING and left is None)):
            return op == "!="
        if is_plain(left) and is_plain(right):
            try:
                return bool(_COMPARES[op](left, right))
            except TypeError:
                return UNKNOWN
        return UNKNOWN

    def contains(self, owner: Value, item: Value) -> bool | None:
        if isinstance(item, PathValue):
            item = item.path
        if not is_plain(item):
            return None
        if owner == Symbol("os.environ"):
            return item in self.environ
        if owner == Symbol("sys.modules"):
            return self.is_loaded(item) if isinstance(item, str) else None
        if owner == Symbol("sys.builtin_module_names") and self.context.builtins is not None:
            return item in self.context.builtins
        if isinstance(owner, NamespaceValue):
            module = self.modules.get(owner.module)
            return True if module and item in module.env else None
        if isinstance(owner, str):
            return item in owner if isinstance(item, str) else None
        if isinstance(owner, dict):
            return item in owner if is_plain(list(owner)) else None
        if isinstance(owner, list | tuple | set):
            if item in owner:
                return True
            return False if is_plain(list(owner)) else None
        return None

    def assign(self, frame: Frame, target: t.Expr, value: Value) -> None:
        """Bind a value to a target: a name, a pattern, an attribute or an item."""
        if isinstance(target, t.Name):
            self.bind(frame, target.id, value)
        elif isinstance(target, t.Sequence):
            items = self.iterate(self.force(value))
            if (
                items is not None
                and len(items) == len(target.items)
                and not any(isinstance(x, t.Star) for x in target.items)
            ):
                for part, item in zip(target.items, items, strict=True):
                    self.assign(frame, part, item)
            else:
                for part in target.items:
                    self.assign(frame, part.value if isinstance(part, t.Star) else part, UNKNOWN)
        elif isinstance(target, t.Attr):
            owner = self.evaluate(frame, target.value, True)
            if isinstance(owner, InstanceValue):
                owner.attributes[target.name] = value
            elif isinstance(owner, ClassValue):
                owner.names[target.name] = value
            elif isinstance(owner, ModuleValue) and (owner.name, target.name) == ("sys", "path"):
                items = self.iterate(value)
                self.path = self.path if items is None else items
            elif isinstance(owner, ModuleValue) and owner.name in self.modules:
                self.modules[owner.name].env[target.name] = value
        elif isinstance(target, t.Item):
            self.assign_item(
                frame, self.evaluate(frame, target.value, True), self.evaluate(frame, target.index, True), value
            )

    def assign_item(self, frame: Frame, owner: Value, index: Value, value: Value) -> None:
        if owner == Symbol("os.environ"):
            self.set_environ(frame, index, self.force(value))
        elif owner == Symbol("sys.modules"):
            if isinstance(index, str) and index in self.popped and not self.muted:
                self.modules[index] = self.popped.pop(index)
        elif isinstance(owner, NamespaceValue):
            module = self.modules.get(owner.module)
            if module and isinstance(index, str):
                module.env[index] = value
            elif module:
                module.complete = False
        elif isinstance(owner, dict):
            if isinstance(index, str | int | float | tuple | None) and is_plain(index):
                owner[index] = value
        elif isinstance(owner, list) and isinstance(index, int) and index in range(-len(owner), len(owner)):
            owner[index] = value

    def set_environ(self, frame: Frame, name: Value, value: Value) -> None:
        """``os.environ[name] = value`` or its like."""
        if not isinstance(name, str):
            self.emit(frame, "environ", name="", value=None)
            return
        text = value if isinstance(value, str) else value.path if isinstance(value, PathValue) else None
        self.environ[name] = UNKNOWN if text is None or not self.sure else text
        self.emit(frame, "environ", name=name, value=text)


def _identical(left: Value, right: Value) -> bool | None:
    if left is UNKNOWN or right is UNKNOWN or left is LAZY or right is LAZY:
        return None
    if left is None or right is None:
        return left is right
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right if isinstance(left, bool) and isinstance(right, bool) else None
    if isinstance(left, Symbol | ModuleValue) and type(left) is type(right):
        return True if left == right else None
    return None


def _path_attribute(owner: PathValue, name: str) -> Value:
    if name == "parent":
        return PathValue(posixpath.dirname(owner.path))
    if name == "name":
        return posixpath.basename(owner.path)
    if name == "stem":
        return posixpath.splitext(posixpath.basename(owner.path))[0]
    if name == "suffix":
        return posixpath.splitext(owner.path)[1]
    if name == "suffixes":
        return ["." + s for s in posixpath.basename(owner.path).lstrip(".").split(".")[1:]]
    if name == "parts":
        return tuple(p for p in owner.path.split("/") if p)
    if name == "parents":
        out, at = [], owner.path
        while at not in ("/", "", "."):
            at = posixpath.dirname(at)
            out.append(PathValue(at))
        return out
    return Method(owner, name)
