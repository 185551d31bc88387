"""Environment variables that will be set when a program runs: by activating the environment, or by importing a
wheel."""

from __future__ import annotations

import ast
import functools
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.evidence.activation import settings as script_settings
from abicheck.evidence.activation import shell_of
from abicheck.import_effects import derive
from abicheck.import_effects.grammar import parse
from abicheck.knowledge.data_directories import directories
from abicheck.loader.scenarios import Group
from abicheck.model import FileRef, Origin
from abicheck.rules.scene import Scene

ENVIRONMENT = Origin("unowned", "the environment's variables")
SHELL = Origin("unowned", "the calling shell")


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable. ``path``: absolute path in the view when the value is a place there, else ''. ``setter``: who sets
    it; ``file``: where, with ``line``. ``by_import``: set by importing, else by activation. ``certain``:
    unconditional."""

    name: str
    path: str
    value: str
    setter: Origin
    file: FileRef
    line: int
    by_import: str = ""
    certain: bool = True


@functools.cache
def variables(scene: Scene) -> tuple[Variable, ...]:
    """Variables of the data-directory table that the shell, activation or a subject's import sets, each once by name
    and place."""
    known = {n for d in directories() for n in d.names}
    found = (*_given(scene), *_activation(scene), *_state(scene), *_imports(scene, known))
    out: dict[tuple[str, str], Variable] = {}
    for v in found:
        if v.name in known:
            out.setdefault((v.name, v.path or v.value), v)
    return tuple(out.values())


def _activation(scene: Scene) -> Iterator[Variable]:
    windows = scene.system == "win"
    # The same line stands in the scripts for each shell: the one most people run is cited.
    for script in sorted(scene.prefix.activation, key=lambda s: shell_of(s.path) != "posix"):
        shell = shell_of(script.path)
        if shell is None or (shell == "cmd") != windows:
            continue  # one shell speaks for the others: packages ship the same lines for each
        origin = scene.prefix.origin(script.path) or Origin("unowned")
        for s in script_settings(script.text, shell):
            path = posixpath.join(scene.view.root, s.path) if s.path is not None else ""
            if path and scene.view.lookup(path).status == "absent" and s.conditional:
                continue  # the branch for another layout
            where = FileRef(script.path, origin)
            yield Variable(s.name, path, s.value, origin, where, s.line, certain=not s.conditional or bool(path))


def _given(scene: Scene) -> Iterator[Variable]:
    """Variables of the calling shell that were named on the command line."""
    for name, value in scene.stage.env.items():
        inside = value.startswith(scene.view.root + "/")
        yield Variable(name, value if inside else "", value, SHELL, FileRef("--env", SHELL), 0)


def _state(scene: Scene) -> Iterator[Variable]:
    for name, value in scene.prefix.environment.items():
        inside = value.startswith(scene.view.root + "/")
        where = FileRef("conda-meta/state", ENVIRONMENT)
        yield Variable(name, value if inside else "", value, ENVIRONMENT, where, 0)


def _imports(scene: Scene, known: set[str]) -> Iterator[Variable]:
    for group in scene.subjects:
        sources = _mentioning(scene, group.origin, known)
        if not sources:
            continue
        derived = set()
        for v in _derived(scene, group, known):
            derived.add(v.name)
            yield v
        for path, text in sources:
            for v in _written(scene, group, path, text, known):
                if v.name not in derived:
                    yield v


def _derived(scene: Scene, group: Group, known: set[str]) -> Iterator[Variable]:
    """What importing the project's names is seen to set."""
    loaded: set[str] = set()
    for name in group.imports:
        for e in derive(scene.importer.context, name, loaded):
            if e.kind != "environ" or e.removed or e.value is None or e.name not in known:
                continue
            source, _, line = e.because.rpartition(":")
            at = posixpath.join(scene.view.root, source)
            file = scene.view.ref(at) if source else FileRef(name, group.origin)
            path = posixpath.normpath(e.value) if e.value.startswith(scene.view.root + "/") else ""
            number = int(line) if line.isdigit() else 0
            yield Variable(e.name, path, e.value, group.origin, file, number, name, e.certain)


def _written(scene: Scene, group: Group, path: str, text: str, known: set[str]) -> Iterator[Variable]:
    """Assignments in files that no import statement reaches (a project may read and execute its own settings file)."""
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript)):
            continue
        key = node.targets[0].slice
        name = key.value if isinstance(key, ast.Constant) else None
        if not isinstance(name, str) or name not in known or "environ" not in ast.unparse(node.targets[0].value):
            continue
        place = _beside(path, node.value)
        value = ast.unparse(node.value)
        file = scene.view.ref(path)
        yield Variable(name, place, value, group.origin, file, node.lineno, group.label, certain=False)


def _beside(path: str, value: ast.expr) -> str:
    """The place that ``os.path.join(os.path.dirname(... __file__ ...), "a", "b")`` names, '' for other expressions."""
    if not (isinstance(value, ast.Call) and ast.unparse(value.func).endswith("path.join") and value.args):
        return ""
    parts = [a.value for a in value.args[1:] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    first = ast.unparse(value.args[0])
    if len(parts) != len(value.args) - 1 or "__file__" not in first:
        return ""
    start = posixpath.dirname(path)
    for _ in range(first.count("dirname") - 1):
        start = posixpath.dirname(start)
    return posixpath.normpath(posixpath.join(start, *parts))


def _mentioning(scene: Scene, origin: Origin, known: set[str]) -> list[tuple[str, str]]:
    """Sources of a project that name one of the variables: absolute path and text."""
    out = []
    for path in scene.files_of(origin):
        text = scene.view.read_text(path) if path.endswith(".py") else None
        if text is not None and any(n in text for n in known):
            out.append((path, text))
    return out
