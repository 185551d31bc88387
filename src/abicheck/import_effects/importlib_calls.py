# ruff: noqa: ARG001 (all handlers of one table have one signature)
"""Imports that are calls: ``importlib``, ``__import__``, files by path, ``exec``; ``sys.modules`` changed by hand."""

from __future__ import annotations

import csv
import posixpath
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from abicheck.import_effects.core import Frame, Module
from abicheck.import_effects.finder import Spec
from abicheck.import_effects.paths import clean, status
from abicheck.import_effects.registry import argument, known
from abicheck.import_effects.summary import summarize
from abicheck.import_effects.values import (
    UNKNOWN,
    CodeValue,
    ModuleValue,
    NamespaceValue,
    PathValue,
    SpecValue,
    Value,
    truth,
)

if TYPE_CHECKING:
    from abicheck.import_effects.statements import Statements


def module_value(m: Statements, name: str) -> Value:
    module = m.import_module(name)
    return ModuleValue(module.name if module else name)


@known("importlib.import_module")
def _import_module(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name, package = argument(args, keywords, 0, "name"), argument(args, keywords, 1, "package")
    if not isinstance(name, str):
        m.emit(frame, "unknown", name="importlib.import_module of a name that is computed")
        return UNKNOWN
    if name.startswith("."):
        if not isinstance(package, str):
            m.emit(frame, "unknown", name="importlib.import_module relative to a package that is computed")
            return UNKNOWN
        level = len(name) - len(name.lstrip("."))
        parts = package.split(".")
        name = ".".join([*parts[: len(parts) - level + 1], name[level:]])
    with m.linked(m.here(frame)):
        return module_value(m, name)


@known("builtins.__import__", "importlib.__import__")
def _dunder_import(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name, listed = argument(args, keywords, 0, "name"), argument(args, keywords, 3, "fromlist")
    level = argument(args, keywords, 4, "level", 0)
    if not isinstance(name, str) or not isinstance(level, int):
        m.emit(frame, "unknown", name="__import__ of a name that is computed")
        return UNKNOWN
    name = m.absolute(frame.module, name, level)
    with m.linked(m.here(frame)):
        module_value(m, name)
        for part in m.iterate(listed) or ():
            module = m.modules.get(name)
            if isinstance(part, str) and part != "*" and module is not None:
                m.member(frame, module, part)
    return ModuleValue(name if truth(listed) else name.partition(".")[0])


@known("importlib.util.find_spec", "importlib.find_loader", "pkgutil.find_loader", "pkgutil.get_loader")
def _find_spec(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = argument(args, keywords, 0, "name")
    if not isinstance(name, str) or name.startswith("."):
        return UNKNOWN
    with m.linked(m.here(frame)):
        spec = m.find_spec(name)
    return SpecValue(name, spec.path) if spec is not None else None


@known("importlib.util.module_from_spec", "importlib._bootstrap._load")
def _module_from_spec(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    spec = argument(args, keywords, 0, "spec")
    if not isinstance(spec, SpecValue):
        m.emit(frame, "unknown", name="a module is made from a spec that is computed")
        return UNKNOWN
    return load_file(m, frame, spec.name, spec.path, run=False)


@known("imp.load_dynamic", "imp.load_source")
def _load_dynamic(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name, path = argument(args, keywords, 0, "name"), clean(m, argument(args, keywords, 1, "path"))
    if not isinstance(name, str) or path is None:
        m.emit(frame, "unknown", name="imp loads a file whose name is computed")
        return UNKNOWN
    return load_file(m, frame, name, path, run=True)


def load_file(m: Statements, frame: Frame, name: str, path: str, *, run: bool) -> Value:
    """A module from a file by path. An extension is opened at once; Python source runs when ``run`` says so."""
    state = status(m, path)
    if state == "absent":
        return m.fail("FileNotFoundError", UNKNOWN)
    if state is None:
        m.emit(frame, "unknown", name=f"loads {path}, which cannot be seen")
        return UNKNOWN
    native = path.endswith(m.context.extension_suffixes) or not path.endswith((".py", ".pyc"))
    package = posixpath.basename(path) == "__init__.py"
    spec = Spec(name, "extension" if native else "source", path, (posixpath.dirname(path),) if package else None)
    module = m.modules.get(name)
    if module is None or module.spec.path != path:
        module = Module(name, spec)
        key = name if native else f"{name}@{path}"
        m.modules.setdefault(key, module)
        module = m.modules[key]
        module.name = key
    if module.state == "new" and (native or run):
        with m.linked(m.here(frame)):
            m.run_module(module)
    return ModuleValue(module.name)


@known("builtins.exec", "builtins.eval")
def _exec(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    code = args[0] if args else UNKNOWN
    if isinstance(code, str):
        code = CodeValue(code, "<string>")
    if not isinstance(code, CodeValue):
        # Most exec at import time defines functions; what it runs is not seen.
        frame.module.complete = False
        return UNKNOWN
    around = _namespace(m, args[1], frame) if len(args) > 1 else frame.names
    inside = _namespace(m, args[2], frame) if len(args) > 2 else around
    if around is None or inside is None:
        return UNKNOWN
    scopes = (around,) if inside is not around else ()
    m.block(Frame(frame.module, inside, scopes, line=frame.line), summarize(code.text).body)
    return None


def _namespace(m: Statements, value: Value, frame: Frame) -> dict[str, Value] | None:
    """The mapping that ``exec`` is given, as names."""
    if isinstance(value, NamespaceValue):
        return m.modules[value.module].env if value.module in m.modules else None
    if value is None:
        return frame.names
    return value if isinstance(value, dict) and all(isinstance(k, str) for k in value) else None


@known("builtins.compile")
def _compile(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    text = args[0] if args else None
    return CodeValue(text, str(args[1]) if len(args) > 1 else "") if isinstance(text, str) else UNKNOWN


@known("sys.modules.pop")
def _modules_pop(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = args[0] if args else None
    if not isinstance(name, str) or name not in m.modules:
        return args[1] if len(args) > 1 else UNKNOWN
    if not m.muted:
        m.popped[name] = m.modules.pop(name)
    return ModuleValue(name)


@known("sys.modules.get", "sys.modules.setdefault")
def _modules_get(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    name = args[0] if args else None
    if isinstance(name, str):
        return ModuleValue(name) if m.is_loaded(name) else args[1] if len(args) > 1 else None
    return UNKNOWN


@known("importlib.metadata.files", "importlib_metadata.files")
def _distribution_files(m: Statements, frame: Frame, args: list[Value], keywords: dict[str, Value]) -> Value:
    """The files of an installed distribution, from its RECORD."""
    name = args[0] if args else None
    if not isinstance(name, str):
        return UNKNOWN
    for directory in m.context.site_packages:
        for entry in m.view.listing(directory) or {}:
            if entry.endswith(".dist-info") and canonicalize_name(
                entry.rpartition("-")[0].split("-")[0]
            ) == canonicalize_name(name):
                record = m.read(f"{directory}/{entry}/RECORD")
                rows = csv.reader((record or "").splitlines())
                return [PathValue(f"{directory}/{row[0]}") for row in rows if row] if record is not None else None
    return m.fail("PackageNotFoundError", UNKNOWN)
