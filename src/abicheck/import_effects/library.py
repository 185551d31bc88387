# ruff: noqa: ARG001 (all handlers of one table have one signature)
"""Built-in functions and ``importlib``, as far as import-time code uses them to decide what to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from abicheck.import_effects.core import Frame, Raised
from abicheck.import_effects.registry import argument, known
from abicheck.import_effects.values import (
    THING,
    UNKNOWN,
    ClassValue,
    FunctionValue,
    InstanceValue,
    ModuleValue,
    NamespaceValue,
    PathValue,
    Started,
    Symbol,
    Value,
    as_path,
    is_plain,
    truth,
)

if TYPE_CHECKING:
    from abicheck.import_effects.statements import Statements

# -- looking at things -------------------------------------------------------------


@known("builtins.hasattr")
def _hasattr(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    if len(args) != 2 or not isinstance(args[1], str):
        return UNKNOWN
    owner, name = args[0], args[1]
    if isinstance(owner, ModuleValue | Symbol) and m.target.missing(f"{owner.name}.{name}"):
        return False
    try:
        found = m.attribute(frame, owner, name, True)
    except Raised:
        return False
    if isinstance(owner, ModuleValue) and owner.name == "sys" and name[:1].isupper():
        # Flags that programs leave there for others; sys itself has no such name.
        return name in m.modules["sys"].env if "sys" in m.modules else False
    if isinstance(owner, ModuleValue):
        module = m.modules.get(owner.name)
        if found is UNKNOWN or module is None:
            done = module is not None and module.spec.kind == "source" and m.is_complete(module)
            return False if done and module is not None and name not in module.env else UNKNOWN
        if isinstance(found, Symbol) and module.spec.kind != "source" and not m.is_symbol(found.name):
            return UNKNOWN
        return True
    return UNKNOWN if found is UNKNOWN or not isinstance(owner, Symbol | InstanceValue) else True


@known("builtins.getattr")
def _getattr(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    if len(args) < 2 or not isinstance(args[1], str):
        return UNKNOWN
    if len(args) > 2:
        there = _hasattr(m, frame, args[:2], {})
        if there is False:
            return args[2]
        if there is UNKNOWN:
            return UNKNOWN
    return m.attribute(frame, args[0], args[1], True)


@known("builtins.setattr")
def _setattr(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    if len(args) == 3 and isinstance(args[1], str):
        owner = args[0]
        if isinstance(owner, InstanceValue):
            owner.attributes[args[1]] = args[2]
        elif isinstance(owner, ModuleValue) and owner.name in m.modules:
            m.modules[owner.name].env[args[1]] = args[2]
        elif isinstance(owner, ClassValue):
            owner.names[args[1]] = args[2]
    return None


_DATA = frozenset(
    f"builtins.{n}" for n in ("type", "str", "bytes", "int", "float", "bool", "list", "tuple", "dict", "set")
)


@known("builtins.isinstance")
def _isinstance(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    value = args[0] if args else UNKNOWN
    kinds = args[1] if len(args) > 1 else UNKNOWN
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    names = {k.name for k in wanted if isinstance(k, Symbol)}
    if isinstance(value, ClassValue | FunctionValue) and names <= _DATA:
        # A decorated one may be something else by now, but hardly plain data, nor a class a function.
        return isinstance(value, ClassValue) and "builtins.type" in names if len(names) == len(wanted) else UNKNOWN
    if value is not None and not isinstance(value, str | int | float | list | tuple | dict | set | PathValue):
        return UNKNOWN
    own = {f"builtins.{c.__name__}" for c in type(value).__mro__}
    if isinstance(value, PathValue):
        own = {"pathlib.Path", "pathlib.PurePath", "os.PathLike", "builtins.object"}
    if names & own:
        return True
    return False if len(names) == len(wanted) and all(n.startswith("builtins.") for n in names) else UNKNOWN


@known("builtins.globals")
def _globals(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return NamespaceValue(frame.module.name)


@known("builtins.locals", "builtins.vars")
def _locals(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    if args:
        return NamespaceValue(args[0].name) if isinstance(args[0], ModuleValue) else UNKNOWN
    return NamespaceValue(frame.module.name) if frame.kind == "module" else dict(frame.names)


# -- plain values --------------------------------------------------------------------


def _collect(kind: type) -> None:
    def handler(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
        if not args:
            return kind()
        items = m.iterate(args[0])
        if items is None:
            return UNKNOWN
        if kind is set and not is_plain(items):
            return UNKNOWN
        try:
            return kind(items)
        except TypeError:
            return UNKNOWN

    known("builtins." + kind.__name__)(handler)


for _kind in (list, tuple, set):
    _collect(_kind)


@known("builtins.frozenset")
def _frozenset(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    items = m.iterate(args[0]) if args else []
    return (
        set(items)
        if items is not None and is_plain(items) and not any(isinstance(i, list | dict) for i in items)
        else UNKNOWN
    )


@known("builtins.dict", "collections.OrderedDict")
def _dict(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    start = m.force(args[0]) if args else {}
    if isinstance(start, list | tuple) and all(
        isinstance(p, tuple | list) and len(p) == 2 and is_plain(p[0]) for p in start
    ):
        start = {p[0]: p[1] for p in start if isinstance(p, tuple | list)}
    return {**start, **keywords} if isinstance(start, dict) else UNKNOWN


@known("builtins.sorted", "builtins.reversed")
def _sorted(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    items = m.iterate(args[0]) if args else None
    if items is None:
        return UNKNOWN
    if all(isinstance(i, PathValue) for i in items):
        items.sort(key=lambda p: as_path(p) or "")
    elif is_plain(items) and "key" not in keywords:
        try:
            items.sort()
        except TypeError:
            return UNKNOWN
    if m.force(keywords.get("reverse")) is True:
        items.reverse()
    return items


@known("builtins.reversed")
def _reversed(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    items = m.iterate(args[0]) if args else None
    return UNKNOWN if items is None else items[::-1]


@known("builtins.enumerate")
def _enumerate(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    items = m.iterate(args[0]) if args else None
    return UNKNOWN if items is None else list(enumerate(items))


@known("builtins.zip")
def _zip(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    columns = [m.iterate(a) for a in args]
    full = [c for c in columns if c is not None]
    return list(zip(*full, strict=False)) if len(full) == len(columns) else UNKNOWN


@known("builtins.range")
def _range(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    numbers = [a for a in args if isinstance(a, int)]
    return range(*numbers) if numbers and len(numbers) == len(args) <= 3 and 0 not in numbers[2:] else UNKNOWN


@known("builtins.len")
def _len(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    value = args[0] if args else UNKNOWN
    return len(value) if isinstance(value, str | list | tuple | dict | set | range) else UNKNOWN


@known("builtins.str")
def _str(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    value = args[0] if args else ""
    return value.path if isinstance(value, PathValue) else str(value) if isinstance(value, str | int) else UNKNOWN


@known("builtins.int", "builtins.float")
def _number(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    value = args[0] if args else 0
    try:
        return int(value) if isinstance(value, str | int) and len(args) < 2 else UNKNOWN
    except ValueError:
        return UNKNOWN


@known("builtins.bool")
def _bool(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    known_truth = truth(args[0]) if args else False
    return UNKNOWN if known_truth is None else known_truth


def _quantifier(name: str, stop: bool) -> None:
    def handler(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
        items = m.iterate(args[0]) if args else None
        if items is None:
            return UNKNOWN
        truths = [truth(m.force(i)) for i in items]
        return stop if stop in truths else UNKNOWN if None in truths else not stop

    known(name)(handler)


_quantifier("builtins.any", True)
_quantifier("builtins.all", False)


@known("builtins.callable")
def _callable(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return True if args and isinstance(args[0], FunctionValue | ClassValue) else UNKNOWN


@known("builtins.next")
def _next(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    if args and isinstance(args[0], Started):
        return args[0].items[0]
    items = m.iterate(args[0]) if args else None
    if items is None:
        return UNKNOWN
    return items[0] if items else args[1] if len(args) > 1 else m.fail("StopIteration", UNKNOWN)


@known("builtins.iter", "builtins.list.copy", "builtins.repr")
def _iter(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    value = args[0] if args else UNKNOWN
    return list(value) if isinstance(value, list | tuple) else UNKNOWN


@known("builtins.map", "builtins.filter")
def _map(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    items = m.iterate(args[1]) if len(args) == 2 else None
    return (
        UNKNOWN if items is None else [m.call(frame, args[0], [i], {}, True) for i in items] if frame.line else UNKNOWN
    )


@known("builtins.print", "warnings.warn", "warnings.filterwarnings", "warnings.simplefilter")
def _nothing(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return None


@known("packaging.version.Version", "packaging.version.parse", "distutils.version.LooseVersion")
def _version(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    """A version as the tuple of its release: enough for the comparisons import-time code makes."""
    text = m.force(argument(args, keywords, 0, "version"))
    try:
        return Version(text).release if isinstance(text, str) else UNKNOWN
    except InvalidVersion:
        return UNKNOWN


@known("contextlib.suppress")
def _suppress(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return Symbol("contextlib.suppress()")


@known("functools.partial")
def _partial(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return args[0] if args and len(args) == 1 and not keywords else UNKNOWN


@known("typing.cast", "typing_extensions.cast")
def _cast(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return argument(args, keywords, 1, "val", UNKNOWN)


@known(
    "ctypes.c_wchar_p", "ctypes.c_char_p", "ctypes.c_int", "ctypes.c_uint", "ctypes.c_ulong", "ctypes.c_uint32",
    "ctypes.wintypes.LPCWSTR", "ctypes.wintypes.LPWSTR", "ctypes.wintypes.LPCSTR", "ctypes.wintypes.DWORD",
)  # fmt: skip
def _as_c(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    """A value dressed for a C function, as ``LoadLibraryExW(c_wchar_p(path), None, 8)`` wants it."""
    return args[0] if len(args) == 1 else UNKNOWN


@known("copy.copy", "copy.deepcopy")
def _copy(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    value = args[0] if args else UNKNOWN
    return list(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value


@known("cffi.FFI")
def _ffi(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    return THING
