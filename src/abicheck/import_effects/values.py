"""Values as far as source can tell them.

Plain Python values stand for themselves (``str int float bool None tuple list dict set``); everything else is one of
the classes here. ``UNKNOWN`` is what cannot be told; ``THING`` is an object about which only its existence is known (it
is true in a condition, not None, and not a path).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from abicheck.import_effects import tree as t


class _Mark:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


UNKNOWN = _Mark("UNKNOWN")
THING = _Mark("THING")
LAZY = _Mark("LAZY")  # a value that could be computed but was not asked for

Value = object


@dataclass(eq=False, slots=True)
class ModuleValue:
    name: str


class Symbol(msgspec.Struct, frozen=True):
    """Something of the standard library (or of a known package) that is known by its dotted name."""

    name: str


class PathValue(msgspec.Struct, frozen=True):
    """A ``pathlib`` path."""

    path: str


class FileValue(msgspec.Struct, frozen=True):
    """An open text file."""

    path: str


class CodeValue(msgspec.Struct, frozen=True):
    """What ``compile`` gives: the source text and where it came from."""

    text: str
    path: str


class SpecValue(msgspec.Struct, frozen=True):
    """A module spec: of a file by path (``spec_from_file_location``) or of a module that ``find_spec`` found."""

    name: str
    path: str


class Started(msgspec.Struct, frozen=True):
    """A list of which only the first items are known (at least one); more may follow."""

    items: tuple[Value, ...]


@dataclass(eq=False, slots=True)
class FunctionValue:
    """A function of some source file. ``scopes``: the local names around it, innermost last."""

    definition: t.Def
    module: str
    scopes: tuple[dict[str, Value], ...]
    kind: str = ""  # "static" | "class" | "property" | "context" | ""


@dataclass(eq=False, slots=True)
class LambdaValue:
    definition: t.Lambda
    module: str
    scopes: tuple[dict[str, Value], ...]


@dataclass(eq=False, slots=True)
class ClassValue:
    name: str
    module: str
    names: dict[str, Value]
    bases: tuple[Value, ...]


@dataclass(eq=False, slots=True)
class InstanceValue:
    cls: ClassValue
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class BoundValue:
    """A method with its object: of an :class:`InstanceValue`, or (``name``) of a plain value."""

    function: Value
    owner: Value


@dataclass(eq=False, slots=True)
class Method:
    """``value.name`` of a value that is no module or instance: called by name."""

    owner: Value
    name: str


@dataclass(eq=False, slots=True)
class Thunk:
    """An expression whose value nobody asked for yet; its effects were accounted for when it stood in the code."""

    expression: t.Expr
    frame: object


@dataclass(eq=False, slots=True)
class NamespaceValue:
    """``globals()``: the names of a module as a mapping."""

    module: str


def is_plain(value: Value, depth: int = 4) -> bool:
    """Whether a value is fully known plain data."""
    if value is None or isinstance(value, str | int | float):
        return True
    if depth and isinstance(value, list | tuple | set | frozenset):
        return all(is_plain(v, depth - 1) for v in value)
    if depth and isinstance(value, dict):
        return all(is_plain(k, depth - 1) and is_plain(v, depth - 1) for k, v in value.items())
    return False


def truth(value: Value) -> bool | None:
    """``bool(value)``, None when it cannot be told."""
    if value is UNKNOWN or value is LAZY:
        return None
    if isinstance(value, list | tuple | dict | set | str | int | float) or value is None:
        return bool(value)
    if isinstance(value, InstanceValue):
        return None if {"__bool__", "__len__"} & value.cls.names.keys() else True
    return True


def as_path(value: Value) -> str | None:
    """The text of a path-like value, ``/``-separated; None when it is not known."""
    if isinstance(value, PathValue):
        return value.path
    return value if isinstance(value, str) else None
