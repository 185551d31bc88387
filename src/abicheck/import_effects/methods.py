# ruff: noqa: ARG001 (all handlers of one table have one signature)
"""Methods of plain values: text, lists, mappings, open files; and of objects known by a name only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abicheck.import_effects.core import Frame
from abicheck.import_effects.importlib_calls import load_file
from abicheck.import_effects.loads import is_path_to_file, open_library, sink_method
from abicheck.import_effects.paths import path_method, text_of
from abicheck.import_effects.values import (
    THING,
    UNKNOWN,
    CodeValue,
    FileValue,
    Method,
    ModuleValue,
    NamespaceValue,
    PathValue,
    SpecValue,
    Symbol,
    Value,
    as_path,
    is_plain,
)

if TYPE_CHECKING:
    from abicheck.import_effects.statements import Statements

_TEXT = frozenset(
    {"lower", "upper", "strip", "lstrip", "rstrip", "split", "rsplit", "startswith", "endswith", "replace", "format"}
    | {"join", "partition", "rpartition", "find", "rfind", "count", "isdigit", "title", "capitalize", "zfill", "encode"}
    | {"splitlines", "removeprefix", "removesuffix", "casefold", "index", "isidentifier", "isalpha", "isnumeric"}
)


def call_method(m: Statements, frame: Frame, method: Method, args: list[Value], keywords: dict[str, Value]) -> Value:
    owner, name = m.force(method.owner), method.name
    if isinstance(owner, str):
        return _text_method(owner, name, [as_path(a) if isinstance(a, PathValue) else a for a in args], keywords)
    if isinstance(owner, list):
        return _list_method(m, owner, name, args)
    if isinstance(owner, dict):
        return _dict_method(m, owner, name, args)
    if isinstance(owner, set):
        return _set_method(m, owner, name, args)
    if isinstance(owner, tuple) and name in ("index", "count") and is_plain(owner) and is_plain(args):
        return owner.count(args[0]) if name == "count" else UNKNOWN
    if isinstance(owner, PathValue):
        return path_method(m, owner, name, args)
    if isinstance(owner, FileValue):
        return _file_method(m, owner, name)
    if isinstance(owner, NamespaceValue):
        return _namespace_method(m, owner, name, args)
    if isinstance(owner, SpecValue) or (isinstance(owner, Method) and isinstance(owner.owner, SpecValue)):
        return _spec_method(m, frame, owner, name, args)
    if isinstance(owner, Symbol | CodeValue | ModuleValue):
        return UNKNOWN
    if m.is_sink(name):
        return sink_method(m, frame, method, args, keywords)
    if name == "load_library" and args and is_path_to_file(m, args[0]):
        return open_library(m, frame, args[0], 0, python=True)
    return UNKNOWN


def _text_method(owner: str, name: str, args: list[Value], keywords: dict[str, Value]) -> Value:
    if name not in _TEXT or not is_plain(args) or not is_plain(list(keywords.values())):
        return UNKNOWN
    if name == "join" and args and isinstance(args[0], range):
        return UNKNOWN
    try:
        result = getattr(owner, name)(*args, **keywords)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        return UNKNOWN
    return owner if name == "encode" else result


def _list_method(m: Statements, owner: list[Value], name: str, args: list[Value]) -> Value:
    if name == "append" and args:
        owner.append(args[0])
    elif name == "extend" and args:
        owner.extend(m.iterate(args[0]) or [UNKNOWN])
    elif name == "insert" and len(args) == 2:
        owner.insert(args[0] if isinstance(args[0], int) else 0, args[1])
    elif name == "pop":
        at = args[0] if args and isinstance(args[0], int) else -1
        return owner.pop(at) if -len(owner) <= at < len(owner) else UNKNOWN
    elif name == "remove" and args and args[0] in owner:
        owner.remove(args[0])
    elif name == "reverse":
        owner.reverse()
    elif name == "clear":
        owner.clear()
    elif name == "copy":
        return list(owner)
    elif name == "sort" and all(isinstance(x, str) for x in owner):
        owner.sort(key=str)
    elif name == "index" and args and args[0] in owner:
        return owner.index(args[0])
    elif name == "count" and args and is_plain(owner) and is_plain(args):
        return owner.count(args[0])
    return None


def _dict_method(m: Statements, owner: dict[Value, Value], name: str, args: list[Value]) -> Value:
    first = args[0] if args else None
    hashable = isinstance(first, str | int | float | bool | None) or (isinstance(first, tuple) and is_plain(first))
    if name == "get":
        return m.force(owner.get(first, args[1] if len(args) > 1 else None)) if hashable else UNKNOWN
    if name == "pop":
        return m.force(owner.pop(first, args[1] if len(args) > 1 else UNKNOWN)) if hashable else UNKNOWN
    if name == "setdefault":
        return owner.setdefault(first, args[1] if len(args) > 1 else None) if hashable else UNKNOWN
    if name == "keys":
        return list(owner)
    if name == "values":
        return [m.force(v) for v in owner.values()]
    if name == "items":
        return [(k, m.force(v)) for k, v in owner.items()]
    if name == "copy":
        return dict(owner)
    if name == "update" and isinstance(first, dict):
        owner.update(first)
        return None
    return UNKNOWN


def _set_method(m: Statements, owner: set[Value], name: str, args: list[Value]) -> Value:
    if (
        name in ("add", "discard", "remove")
        and args
        and is_plain(args[0])
        and not isinstance(args[0], list | dict | set)
    ):
        (owner.add if name == "add" else owner.discard)(args[0])
        return None
    items = m.iterate(args[0]) if args else None
    if items is not None and is_plain(items) and all(isinstance(i, str | int) for i in items):
        if name == "update":
            owner.update(items)
            return None
        if name in ("union", "difference", "intersection"):
            return getattr(owner, name)(items)
        if name in ("issubset", "issuperset", "isdisjoint"):
            return getattr(owner, name)(items)
    return set(owner) if name == "copy" else UNKNOWN


def _file_method(m: Statements, owner: FileValue, name: str) -> Value:
    if name == "read":
        return text_of(m, owner.path)
    if name in ("readlines", "__iter__"):
        text = text_of(m, owner.path)
        return text.splitlines(keepends=True) if isinstance(text, str) else UNKNOWN
    return UNKNOWN


def _namespace_method(m: Statements, owner: NamespaceValue, name: str, args: list[Value]) -> Value:
    module = m.modules.get(owner.module)
    if module is None:
        return UNKNOWN
    first = args[0] if args else None
    if name == "update" and isinstance(first, dict) and all(isinstance(k, str) for k in first):
        module.env |= {k: v for k, v in first.items() if isinstance(k, str)}
        return None
    if name == "update":
        module.complete = False
    if name == "get" and isinstance(first, str):
        return module.env.get(first, args[1] if len(args) > 1 else None)
    if name == "keys":
        return list(module.env)
    return UNKNOWN


def _spec_method(m: Statements, frame: Frame, owner: Value, name: str, args: list[Value]) -> Value:
    """``spec.loader.exec_module(module)`` and ``spec.loader.load_module()``."""
    spec = owner.owner if isinstance(owner, Method) else owner
    if isinstance(spec, SpecValue) and name in ("exec_module", "load_module"):
        if not spec.path:
            return UNKNOWN
        return load_file(m, frame, spec.name, spec.path, run=True)
    return THING if name == "create_module" else UNKNOWN
