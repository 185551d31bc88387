"""Environment variables that will be set when a program runs: by activating the environment, or by importing a
wheel."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.evidence.activation import settings as script_settings
from abicheck.evidence.activation import shell_of
from abicheck.import_effects import derive
from abicheck.knowledge.data_directories import directories
from abicheck.model import FileRef, Origin
from abicheck.rules.scene import Scene

ENVIRONMENT = Origin("unowned", "the environment's variables")


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
    """Variables of the data-directory table that activation or a subject's import sets, each once by name and place."""
    known = {n for d in directories() for n in d.names}
    found = (*_activation(scene), *_state(scene), *_imports(scene, known))
    out: dict[tuple[str, str], Variable] = {}
    for v in found:
        if v.name in known:
            out.setdefault((v.name, v.path or v.value), v)
    return tuple(out.values())


def _activation(scene: Scene) -> Iterator[Variable]:
    windows = scene.system == "win"
    for script in scene.prefix.activation:
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


def _state(scene: Scene) -> Iterator[Variable]:
    for name, value in scene.prefix.environment.items():
        inside = value.startswith(scene.view.root + "/")
        where = FileRef("conda-meta/state", ENVIRONMENT)
        yield Variable(name, value if inside else "", value, ENVIRONMENT, where, 0)


def _imports(scene: Scene, known: set[str]) -> Iterator[Variable]:
    for group in scene.subjects:
        if not _mentions(scene, group.origin, known):
            continue
        loaded: set[str] = set()
        for name in group.imports:
            for e in derive(scene.importer.context, name, loaded):
                if e.kind != "environ" or e.removed or e.value is None or e.name not in known:
                    continue
                source, _, line = e.because.rpartition(":")
                file = (
                    scene.view.ref(posixpath.join(scene.view.root, source)) if source else FileRef(name, group.origin)
                )
                path = posixpath.normpath(e.value) if e.value.startswith(scene.view.root + "/") else ""
                yield Variable(
                    e.name, path, e.value, group.origin, file, int(line) if line.isdigit() else 0, name, e.certain
                )


def _mentions(scene: Scene, origin: Origin, known: set[str]) -> bool:
    """Whether any source of a project names one of the variables at all."""
    sources = (scene.view.read_text(p) for p in scene.files_of(origin) if p.endswith(".py"))
    return any(text is not None and any(n in text for n in known) for text in sources)
