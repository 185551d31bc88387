"""What compiled modules of different projects look up in each other's modules when they are imported, and do not find.

Judges nothing: ABI402 makes findings of it. A C function counts as missing only when the file that will be imported is
known and certainly has none of that name and signature; a type as too small only when both sizes are read (PY-17).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from abicheck.evidence.cython_api import CythonApi, Need, cython_api
from abicheck.evidence.extensions import TypeSize, shared
from abicheck.evidence.type_objects import TypeObject, type_objects
from abicheck.loader.scenarios import Group, Unit
from abicheck.model import Origin
from abicheck.overlay import View
from abicheck.rules.scene import Scene


@dataclass(frozen=True, slots=True)
class Lack:
    """A module that will not import, for want of functions of another project's module.

    ``module`` and ``path``: where they are looked up; ``missing``: names that are not there; ``changed``: needs whose
    name is there with another signature; ``small``: a type that it was compiled for, and the bytes that one there has.
    """

    group: Group
    unit: Unit
    module: str
    path: str
    giver: Origin
    missing: tuple[Need, ...] = ()
    changed: tuple[Need, ...] = ()
    small: tuple[TypeSize, int] | None = None


@dataclass(frozen=True, slots=True)
class _Giver:
    module: str
    path: str
    origin: Origin
    api: CythonApi


def lacks(scene: Scene) -> Iterator[Lack]:
    """What no longer fits because of the subjects: their own look-ups, and those of others in modules they replace."""
    for group in scene.subjects:
        for unit in group.units:
            yield from _lacks(scene, group, unit, None)
    new = renewed(scene)
    if new:
        for group in scene.bystanders:
            for unit in group.units:
                yield from _lacks(scene, group, unit, new)


@functools.cache
def renewed(scene: Scene) -> Mapping[str, str]:
    """Modules of the subjects that others may have been compiled for, with the file that was there before. In an
    install those that are there already, in an audit all (what stood there before is not known: '')."""
    out: dict[str, str] = {}
    for unit in (u for g in scene.subjects for u in g.units):
        if scene.view is scene.before:
            out[unit.module] = ""
            continue
        was = next((p for p in _spellings(scene, unit.path) if scene.before.lookup(p).status == "file"), None)
        if was is not None:
            out[unit.module] = was
    return out


def _spellings(scene: Scene, path: str) -> Iterator[str]:
    """The files that Python would take for the same module."""
    suffixes = scene.interpreter.extension_suffixes
    stem = next((path.removesuffix(s) for s in suffixes if path.endswith(s)), path)
    return (stem + s for s in suffixes)


def _lacks(scene: Scene, group: Group, unit: Unit, new: Mapping[str, str] | None) -> Iterator[Lack]:
    yield from _small(scene, group, unit, new)
    api = _api(scene.view, unit.path)
    if api is None:
        return
    groups: dict[int, list[Need]] = {}
    for need in api.needs:
        groups.setdefault(need.group, []).append(need)
    for needs in groups.values():
        giver = _giver(scene, api, needs, unit.path)
        if giver is None or giver.origin == group.origin or (new is not None and giver.module not in new):
            continue
        was = _api(scene.before, new[giver.module]) if new else None
        lost = [
            n
            for n in needs
            if not giver.api.may_give(n.name, n.signature)
            and not _elsewhere(scene, api, n, unit.path)
            and (was is None or was.may_give(n.name, n.signature))
        ]
        if lost:
            changed = tuple(n for n in lost if giver.api.may_name(n.name))
            missing = tuple(n for n in lost if n not in changed)
            yield Lack(group, unit, giver.module, giver.path, giver.origin, missing, changed)


def _small(scene: Scene, group: Group, unit: Unit, new: Mapping[str, str] | None) -> Iterator[Lack]:
    """Types that are smaller than the module was compiled for: Cython refuses them ("size changed")."""
    for want in _sizes(scene.view, unit.path):
        path = module_files(scene).get(want.module)
        if path is None or (new is not None and want.module not in new):
            continue
        origin, have = scene.view.origin(scene.view.lookup(path).real), _size_of(scene.view, path, want)
        if origin == group.origin or have is None or have >= want.size:
            continue
        before = _size_of(scene.before, new[want.module], want) if new else None
        if before is None or before >= want.size:
            yield Lack(group, unit, want.module, path, origin, small=(want, have))


def _sizes(view: View, path: str) -> tuple[TypeSize, ...]:
    said = view.ask(path, shared)
    return said.sizes if said is not None else ()


def _size_of(view: View, path: str, want: TypeSize) -> int | None:
    """Bytes of the type's objects as a file describes it; None when it describes no such type, or one whose objects
    vary in size."""
    described = {t.size for t in _types(view, path) if t.name == f"{want.module}.{want.name}" and not t.item}
    return described.pop() if len(described) == 1 else None


@functools.cache
def _types(view: View, path: str) -> tuple[TypeObject, ...]:
    found = view.lookup(path)
    try:
        return type_objects(view.open(found)) if found.status == "file" else ()
    except OSError:
        return ()


def _giver(scene: Scene, api: CythonApi, needs: list[Need], own: str) -> _Giver | None:
    """The module that needs of one group are looked up in. Where the file does not say: the one that fits best, unless
    what one of the two gives itself may be among the needs; then it must know all names."""
    if needs[0].module:
        return _module(scene, needs[0].module)
    best, most = None, (0, 0)
    for name in api.modules:
        giver = _module(scene, name)
        if giver is None or giver.path == own or giver.api.known == "nothing":
            continue
        named = sum(giver.api.may_name(n.name) for n in needs)
        given = sum(giver.api.may_give(n.name, n.signature) for n in needs)
        sure = named == len(needs) or not (api.mixed or giver.api.mixed)
        if sure and (given, named) > most and 2 * (given if api.mixed else named) >= len(needs):
            best, most = giver, (given, named)
    return best


def _elsewhere(scene: Scene, api: CythonApi, need: Need, own: str) -> bool:
    """Whether another module that this one names gives the function, or may: then that may be the one asked."""
    givers = (_module(scene, name) for name in api.modules)
    return any(g is not None and g.path != own and g.api.may_give(need.name, need.signature) for g in givers)


def _module(scene: Scene, name: str) -> _Giver | None:
    path = module_files(scene).get(name)
    api = _api(scene.view, path) if path is not None else None
    return _Giver(name, path, scene.view.origin(scene.view.lookup(path).real), api) if path and api else None


@functools.cache
def module_files(scene: Scene) -> Mapping[str, str]:
    """Import names of extension modules to their files, after the install."""
    out: dict[str, str] = {}
    for group in (*scene.subjects, *scene.bystanders):
        for unit in group.units:
            out.setdefault(unit.module, unit.path)
    return out


@functools.cache
def _api(view: View, path: str) -> CythonApi | None:
    return view.ask(path, cython_api)
