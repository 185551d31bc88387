"""Modules of pybind11 or nanobind that work with another project's C++ classes, and are not in one registry with it.

Judges nothing: ABI402 makes findings of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.evidence.bound_types import BoundTypes, bound_types
from abicheck.evidence.extensions import shared
from abicheck.loader.scenarios import Group, Unit
from abicheck.model import Origin
from abicheck.overlay import View
from abicheck.rules.cython_functions import module_files, renewed
from abicheck.rules.scene import Scene


@dataclass(frozen=True, slots=True)
class Strangers:
    """A module that imports another project's module from its own code and knows some of its classes by their C++
    names (``classes``, mangled), though the two keep their classes in different registries (``own``, ``theirs``) of one
    ``kind``, pybind11 or nanobind."""

    group: Group
    unit: Unit
    module: str
    path: str
    giver: Origin
    kind: str
    own: str
    theirs: str
    classes: tuple[str, ...]


def strangers(scene: Scene) -> Iterator[Strangers]:
    """Such modules of the subjects, and those of others whose partner a subject replaces by one of another registry."""
    for group in scene.subjects:
        for unit in group.units:
            yield from _strangers(scene, group, unit)
    new = {m: was for m, was in renewed(scene).items() if _bound(scene.view, module_files(scene)[m]) is not None}
    for group in scene.bystanders if new else ():
        for unit in group.units:
            for found in _strangers(scene, group, unit):
                was = _bound(scene.before, new[found.module]) if new.get(found.module) else None
                mine = _bound(scene.view, unit.path)
                if found.module in new and (was is None or (mine is not None and mine.shares(was))):
                    yield found


def _strangers(scene: Scene, group: Group, unit: Unit) -> Iterator[Strangers]:
    mine = _bound(scene.view, unit.path)
    for name in mine.imports if mine is not None else ():
        for module, path in _behind(scene, name):
            origin, theirs = scene.view.origin(scene.view.lookup(path).real), _bound(scene.view, path)
            if mine is None or theirs is None or origin == group.origin:
                continue
            if mine.kind != theirs.kind or mine.shares(theirs):
                continue
            common = tuple(sorted(set(mine.classes) & set(theirs.classes)))
            if common:
                yield Strangers(group, unit, module, path, origin, mine.kind, mine.ids[0], theirs.ids[0], common)
                return


def _behind(scene: Scene, name: str) -> Iterator[tuple[str, str]]:
    """The extension modules that importing a name may load: itself, or those of a package of that name."""
    files = module_files(scene)
    if name in files:
        yield name, files[name]
        return
    yield from ((m, p) for m, p in files.items() if m.startswith(f"{name}."))


def plain(mangled: str) -> str:
    """A nested name as it is written in C++ where it is simple: N5ceres12CostFunctionE is ceres::CostFunction."""
    rest, parts = mangled.removeprefix("N").removesuffix("E"), []
    while (digits := re.match(r"\d+", rest)) is not None:
        end = digits.end() + int(digits[0])
        parts.append(rest[digits.end() : end])
        rest = rest[end:]
    return mangled if rest else "::".join(parts)


@functools.cache
def _bound(view: View, path: str) -> BoundTypes | None:
    found = view.lookup(path)
    if found.status != "file":
        return None
    try:
        source = view.open(found)
        ids = shared(source)  # asked of every extension; the rest only where there is something to share
        return bound_types(source) if ids.pybind11 or ids.nanobind else None
    except OSError:
        return None
