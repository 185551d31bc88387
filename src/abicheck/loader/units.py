"""Extension modules -> units: what Python is certain to have loaded before each of them, as loader events.

An extension module is a file in site-packages or lib-dynload whose suffix the interpreter imports (PY-7). Importing
``pkg.sub._ext`` runs ``pkg/__init__.py`` and ``pkg/sub/__init__.py`` first; what those load comes from
``import_effects`` (read from source, never run).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from abicheck.errors import BinaryError
from abicheck.import_effects import Effect, ImportContext, derive, fatal_loads, new_session
from abicheck.loader.process import Event, EventResult
from abicheck.loader.scenarios import Group, Unit
from abicheck.model import Origin
from abicheck.overlay import View


@dataclass(frozen=True, slots=True)
class Extension:
    """One importable extension file: absolute path in the view and the import name that loads it."""

    path: str
    module: str


@dataclass(frozen=True, slots=True)
class Importer:
    """What decides whether a file is an extension module: the places and suffixes of one interpreter."""

    context: ImportContext
    roots: tuple[str, ...]

    @property
    def view(self) -> View:
        return self.context.view


def importer(context: ImportContext) -> Importer:
    """The interpreter's import roots (site-packages, lib-dynload), absolute in its view."""
    return Importer(context, tuple(dict.fromkeys((*context.site_packages, context.dynload))))


def module_of(who: Importer, path: str) -> str | None:
    """The import name that loads this file, or None when no import does (PY-7)."""
    for root in who.roots:
        if path.startswith(root + "/"):
            break
    else:
        return None
    inside = path[len(root) + 1 :]
    folder, file = posixpath.split(inside)
    for suffix in who.context.extension_suffixes:
        name = file.removesuffix(suffix)
        if file.endswith(suffix) and name.isidentifier():
            parts = [*folder.split("/"), name] if folder else [name]
            if all(p.isidentifier() for p in parts):
                return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return None


def extensions(who: Importer, paths: Iterable[str]) -> list[Extension]:
    """The extension modules among absolute paths, sorted; of two files for one name, the one Python takes."""
    found: dict[str, tuple[int, str]] = {}
    for path in sorted(paths):
        module = module_of(who, path)
        if module is None:
            continue
        rank = next(i for i, s in enumerate(who.context.extension_suffixes) if path.endswith(s))
        if bare_suffix(who, path) and not has_init(who.view, path, module):
            continue
        if module not in found or rank < found[module][0]:
            found[module] = rank, path
    return sorted((Extension(p, m) for m, (_, p) in found.items()), key=lambda e: e.module)


def bare_suffix(who: Importer, path: str) -> bool:
    """Whether an importable file has a suffix that plain libraries have too (``.so``, ``.pyd``), without an ABI tag."""
    suffix = next(s for s in who.context.extension_suffixes if path.endswith(s))
    return suffix.count(".") == 1


def has_init(view: View, path: str, module: str) -> bool:
    """Whether a file with a bare suffix exports the module's init function: a plain library lies beside extensions
    under such a name too. What cannot be read counts as one (its load will tell)."""
    leaf = module.rpartition(".")[2]
    wanted = {f"PyInit_{leaf}", f"_PyInit_{leaf}", f"PyModExport_{leaf}", f"_PyModExport_{leaf}"}
    try:
        binary = view.binary(view.lookup(path))
    except BinaryError:
        return True
    if binary is None:
        return view.lookup(path).status == "unknown"
    part = binary.slices[0]
    exported = getattr(part, "exported", None)
    if exported is not None:
        return any(w.encode() in exported for w in wanted)
    return any(e.name in wanted for e in part.exports())


def events_of(effects: Iterable[Effect]) -> Iterator[Event]:
    """Loader events of what an import is certain to do; uncertain effects are left out (they are told elsewhere)."""
    for e in effects:
        event = event_of(e)
        if event is not None and e.certain:
            yield event


def event_of(e: Effect) -> Event | None:
    """One effect as an event; None for effects that ask nothing of the loader."""
    chain = f"{e.because}" if e.because else ""
    if e.kind in ("extension", "dlopen"):
        return Event(
            e.path or e.name, "import" if e.kind == "extension" else "dlopen", flags_global=e.flags_global,
            local_hint=e.local, lazy=e.lazy, deepbind=e.deepbind, legacy_search=e.legacy_search,
            label=f"import {e.module}", certain=e.certain, optional=e.optional, because=chain,
        )  # fmt: skip
    if e.kind == "dll-directory" and e.path:
        return Event(e.path, "dll-directory", label=f"import {e.module}", certain=e.certain, because=chain)
    return None


def unit_of(extension: Extension, effects: Iterable[Effect]) -> Unit:
    """An extension with the effects of its import beyond what was imported before."""
    events = list(events_of(effects))
    own = [i for i, e in enumerate(events) if e.open == extension.path]
    if own:
        events = events[: own[0] + 1]
        # The unit's own load decides its fate, whatever stands around its import.
        events[-1] = replace(events[-1], certain=True, optional=False)
    else:
        events.append(own_event(extension))
    return Unit(extension.path, extension.module, tuple(events), demanded=False)


def whole_unit(who: Importer, unit: Unit) -> Unit:
    """A unit with everything that its import loads in a fresh interpreter."""
    extension = Extension(unit.path, unit.module)
    return unit_of(extension, derive(who.context, unit.module))


def own_event(extension: Extension) -> Event:
    return Event(extension.path, "import", label=f"import {extension.module}")


def top_level_names(who: Importer, paths: Sequence[str]) -> list[str]:
    """What a user would import: top-level packages and modules among the paths; a namespace package's children."""
    out: set[str] = set()
    files = set(paths)
    for root in who.roots:
        below = [p[len(root) + 1 :] for p in paths if p.startswith(root + "/")]
        out.update(_names(who, below, files, root, ()))
    return sorted(out)


def _names(who: Importer, below: list[str], files: set[str], root: str, prefix: tuple[str, ...]) -> Iterator[str]:
    folders: dict[str, list[str]] = {}
    for path in below:
        first, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(first, []).append(rest)
            continue
        name = first.removesuffix(".py") if first.endswith(".py") else None
        if name is None:
            path = posixpath.join(root, *prefix, first)
            module = module_of(who, path)
            real = module is not None and (not bare_suffix(who, path) or has_init(who.view, path, module))
            name = module.rpartition(".")[2] if module is not None and real else None
        if name and name.isidentifier() and name != "__init__":
            yield ".".join((*prefix, name))
    for folder, inside in folders.items():
        if not folder.isidentifier():
            continue
        here = posixpath.join(root, *prefix, folder, "__init__.py")
        if here in files or who.view.lookup(here).status == "file":
            yield ".".join((*prefix, folder))
        elif len(prefix) < 3:
            yield from _names(who, inside, files, root, (*prefix, folder))


def bare_group(who: Importer, origin: Origin, candidates: Sequence[str], paths: Sequence[str]) -> Group:
    """The extension modules of one owner without what their imports load first: cheap, for finding who meets whom.

    ``candidates``: those of its ``paths`` that can be extension modules."""
    found = extensions(who, candidates)
    units = tuple(Unit(e.path, e.module, (own_event(e),), demanded=False) for e in found)
    return Group(origin, units, _public(top_level_names(who, paths) if units else [], units))


def _public(names: Sequence[str], units: Iterable[Unit]) -> tuple[str, ...]:
    """Those of the top-level names that lead to the units, the private ones only when there are no others."""
    tops = {u.module.partition(".")[0] for u in units}
    reached = [n for n in names if n.partition(".")[0] in tops]
    return tuple(n for n in reached if not n.startswith("_")) or tuple(reached)


def group_of(who: Importer, origin: Origin, paths: Sequence[str]) -> Group:
    """All extension modules of one owner, with the prelude that importing its top-level names is certain to load."""
    found = extensions(who, paths)
    names = top_level_names(who, paths) if found or paths else []
    session = new_session(who.context)
    prelude: list[Event] = []
    wanted: set[str] = set()
    for name in names:
        for effect in session.imports(name):
            event = event_of(effect)
            if event is not None and effect.certain:
                prelude.append(event)
                if not effect.optional:
                    wanted.add(event.open)
    units = []
    for e in found:
        if e.path in wanted:
            units.append(Unit(e.path, e.module, (own_event(e),)))
        else:
            units.append(unit_of(e, session.imports(e.module)))
    return Group(origin, tuple(units), _public(names, units) or tuple(names[:1]), tuple(prelude))


def fatal_although_guarded(who: Importer, group: Group, failed: Iterable[EventResult]) -> frozenset[str]:
    """Of guarded loads that fail, those (``Event.open``) over which importing the project fails all the same: what its
    code does without them ends in an exception (PY-10)."""
    by_name: dict[str, dict[str, str]] = {}
    for r in failed:
        module = r.event.label.removeprefix("import ")
        name = next((n for n in group.imports if module == n or module.startswith(n + ".")), None)
        if name is not None and r.failure is not None:
            # ctypes says it like this on Windows; of other reasons, and elsewhere, it is the plain error.
            absent = who.context.system == "win" and r.failure.kind == "MISSING_LIB"
            by_name.setdefault(name, {})[r.event.open] = "FileNotFoundError" if absent else "OSError"
    found = (fatal_loads(who.context, name, refused) for name, refused in by_name.items())
    return frozenset().union(*found)
