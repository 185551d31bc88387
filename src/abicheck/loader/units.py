"""Extension modules -> units: what Python is certain to have loaded before each of them, as loader events.

An extension module is a file in site-packages or lib-dynload whose suffix the interpreter imports (PY-7). Importing
``pkg.sub._ext`` runs ``pkg/__init__.py`` and ``pkg/sub/__init__.py`` first; what those load comes from
``import_effects`` (read from source, never run).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from abicheck.import_effects import Effect, ImportContext, derive
from abicheck.loader.process import Event
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
        if module not in found or rank < found[module][0]:
            found[module] = rank, path
    return sorted((Extension(p, m) for m, (_, p) in found.items()), key=lambda e: e.module)


def events_of(effects: Iterable[Effect]) -> Iterator[Event]:
    """Loader events of what an import is certain to do; uncertain effects are left out (they are told elsewhere)."""
    for e in effects:
        event = event_of(e)
        if event is not None and e.certain:
            yield event


def event_of(e: Effect) -> Event | None:
    """One effect as an event; None for effects that ask nothing of the loader."""
    chain = f"{e.because}" if e.because else ""
    if e.kind == "extension":
        return Event(e.path, "import", flags_global=e.flags_global, label=f"import {e.module}", certain=e.certain,
                     optional=e.optional, because=chain)  # fmt: skip
    if e.kind == "dlopen":
        return Event(e.path or e.name, "dlopen", flags_global=e.flags_global, local_hint=e.local,
                     legacy_search=e.legacy_search, label=f"import {e.module}", certain=e.certain, optional=e.optional,
                     because=chain)  # fmt: skip
    if e.kind == "dll-directory" and e.path:
        return Event(e.path, "dll-directory", label=f"import {e.module}", certain=e.certain, because=chain)
    return None


def unit_of(who: Importer, extension: Extension, loaded: set[str] | None = None) -> Unit:
    """An extension with the events of its import. ``loaded``: modules imported before in the same process."""
    events = list(events_of(derive(who.context, extension.module, loaded)))
    own = [i for i, e in enumerate(events) if e.open == extension.path]
    if own:
        events = events[: own[0] + 1]
        # The unit's own load decides its fate, whatever stands around its import.
        events[-1] = replace(events[-1], certain=True, optional=False)
    else:
        events.append(Event(extension.path, "import", label=f"import {extension.module}"))
    return Unit(extension.path, extension.module, tuple(events))


def top_level_names(who: Importer, paths: Sequence[str]) -> list[str]:
    """What a user would import: top-level packages and modules among the paths; for a namespace package its children."""
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
            module = module_of(who, posixpath.join(root, *prefix, first))
            name = module.rpartition(".")[2] if module else None
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


def demanded(who: Importer, names: Iterable[str]) -> dict[str, Effect]:
    """Files that importing the names is certain to load and that no handler excuses: path -> the effect that does it."""
    out: dict[str, Effect] = {}
    for name in names:
        for e in derive(who.context, name, None):
            if e.kind in ("extension", "dlopen") and e.path and e.certain and not e.optional:
                out.setdefault(e.path, e)
    return out


def group_of(who: Importer, origin: Origin, paths: Sequence[str], *, together: bool) -> Group:
    """All extension modules of one owner. ``together``: each unit carries only what earlier units did not load yet
    (one process); otherwise every unit carries its whole import (a process each)."""
    wanted = demanded(who, top_level_names(who, paths)) if paths else {}
    first = {p: n for n, p in enumerate(wanted)}
    found = sorted(extensions(who, paths), key=lambda e: (first.get(e.path, len(first)), e.module))
    loaded: set[str] | None = set() if together else None
    units = (unit_of(who, e, loaded) for e in found)
    return Group(origin, tuple(replace(u, demanded=u.path in wanted) for u in units))
