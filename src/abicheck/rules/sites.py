"""Where a project's own Python code imports one of its extension modules, and whether it survives the failure.

An extension that fails is grave when importing the project loads it, and nothing when every import of it stands inside
``try ... except ImportError`` or inside a function that may never run. Source is parsed, never executed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from abicheck.import_effects.grammar import parse
from abicheck.loader.units import Importer
from abicheck.overlay import View

Importance = Literal["demanded", "reachable", "unreferenced", "optional"]  # gravest first
_SCALE = get_args(Importance)
_EXCUSES = {"ImportError", "ModuleNotFoundError", "OSError", "Exception", "BaseException", "EnvironmentError"}


@dataclass(frozen=True, slots=True)
class Site:
    """One import statement that names the module; ``guarded``: a failure there does not reach the importer."""

    file: str
    line: int
    guarded: bool


def rank(importance: Importance) -> int:
    """0 for the gravest: what sorts things that are told as one."""
    return _SCALE.index(importance)


class ImportSites:
    """Import statements of one owner's Python files, found when asked for.

    Args:
        paths: absolute paths of the owner's files in the view.
    """

    def __init__(self, view: View, importer: Importer, paths: Iterable[str]) -> None:
        self._view = view
        self._importer = importer
        self._sources = tuple(sorted(p for p in paths if p.endswith(".py")))
        self._texts: dict[str, str] = {}
        self._parsed: dict[str, list[tuple[frozenset[str], int, bool]]] = {}

    def importance(self, module: str) -> Importance:
        """What the project's code says of one of its extension modules. Never ``demanded``: that needs the imports
        followed."""
        sites = list(self.sites(module))
        if not sites:
            return "unreferenced"
        return "optional" if all(s.guarded for s in sites) else "reachable"

    def sites(self, module: str) -> Iterator[Site]:
        """Statements that import ``module`` (dotted), in file order."""
        leaf = module.rpartition(".")[2]
        for path in self._sources:
            if leaf in self._text(path):
                for names, line, guarded in self._statements(path):
                    if module in names:
                        yield Site(self._view.relative(path), line, guarded)

    def _statements(self, path: str) -> list[tuple[frozenset[str], int, bool]]:
        """(names it may import, line, guarded) of every import statement in a file, parsed once."""
        if path not in self._parsed:
            package = self._package(path)
            try:
                found = _imports(parse(self._text(path)).body, False)
                self._parsed[path] = [(frozenset(_names(n, package)), n.lineno, guarded) for n, guarded in found]
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._parsed[path] = []
        return self._parsed[path]

    def names_file(self, path: str) -> bool:
        """Whether some Python file of the project has a library's name, with or without its suffix, in quotes."""
        name = path.rpartition("/")[2]
        wanted = re.compile(rf"""["'/](?:{re.escape(name)}|{re.escape(name.partition(".")[0])})["']""")
        return any(wanted.search(self._text(p)) for p in self._sources)

    def _text(self, path: str) -> str:
        if path not in self._texts:
            self._texts[path] = self._view.read_text(path) or ""
        return self._texts[path]

    def _package(self, path: str) -> str:
        for root in self._importer.roots:
            if path.startswith(root + "/"):
                return ".".join(path[len(root) + 1 :].split("/")[:-1])
        return ""


def _imports(body: Iterable[ast.stmt], guarded: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, guarded
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _imports(node.body, True)
        elif isinstance(node, ast.Try | ast.TryStar):
            yield from _imports(node.body, guarded or any(map(_excuses, node.handlers)))
            for handler in node.handlers:
                yield from _imports(handler.body, True)
            yield from _imports((*node.orelse, *node.finalbody), guarded)
        elif isinstance(node, ast.If):
            yield from _imports((*node.body, *node.orelse), True)
        elif isinstance(node, ast.ClassDef | ast.With | ast.For | ast.While):
            yield from _imports(node.body, guarded)


def _excuses(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches a failed import and does not raise again at once."""
    if any(isinstance(n, ast.Raise) for n in handler.body):
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(k is None or (isinstance(k, ast.Name) and k.id in _EXCUSES) for k in kinds)


def _names(node: ast.Import | ast.ImportFrom, package: str) -> set[str]:
    """Dotted names a statement may import."""
    if isinstance(node, ast.Import):
        return {a.name for a in node.names}
    base = node.module or ""
    if node.level:
        parts = package.split(".") if package else []
        keep = len(parts) - (node.level - 1)
        base = ".".join([*parts[: max(keep, 0)], *([node.module] if node.module else [])])
    return {base} | {f"{base}.{a.name}" for a in node.names}
