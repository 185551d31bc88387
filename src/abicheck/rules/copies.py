"""Copies of runtimes: which would be live in one process, who brings each, and how they touch. Judges nothing.

Identity comes first (RT-1, ELF-3): what one file serves under two names, what a link leads to, and what a loaded object
of the same name captures is one copy. A copy counts as live when the simulation maps it, when a library that is there
opens it by name at run time (the table says which do), or, weakest, when it is installed for somebody who depends on
it.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from abicheck.binary.facts import Binary
from abicheck.evidence.embedded import embedded
from abicheck.knowledge.library_names import stem
from abicheck.knowledge.runtimes import Recognised, families, member, recognise
from abicheck.loader.capture import is_standard
from abicheck.loader.process import Event, Mapped
from abicheck.loader.scenarios import Group, MovedBinding, Run, loads
from abicheck.model import Origin
from abicheck.rules.scene import Native, Scene

Liveness = Literal["mapped", "needed", "opened", "shipped", "installed"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a runtime.

    ``path``: real path in the view; for a library outside the view, the name it is asked by. ``names``: what the loader
    would call it. ``by_path``: opened by its path, so that an equal name loaded before does not serve instead (ELF-2,
    WIN-2). ``proof``: the text that shows code linked in statically. ``users``: groups whose process holds it.
    ``loaded_by``: the import of the first of them that maps it.
    """

    path: str
    what: Recognised
    origin: Origin
    liveness: Liveness
    names: frozenset[str]
    by_path: bool = False
    proof: str = ""
    users: tuple[Group, ...] = ()
    loaded_by: str = ""

    @property
    def place(self) -> str:
        """Copies of one member at one place are one: MKL and cuDNN come in several files."""
        whole = member(self.what.family, self.what.member).together
        return posixpath.dirname(self.path) if whole else self.path


@dataclass(frozen=True, slots=True)
class Pair:
    """Two copies that one process would hold: ``mine`` is loaded by the subject (and its own when one of them is).

    ``doubtful``: both answer to one install name; a dyld of macOS 12 or later lets the first loaded serve both, an
    older one may map both (MAC-1). ``crossed``: bindings between them, where they are known beforehand."""

    subject: Group
    mine: Copy
    other: Copy
    doubtful: bool = False
    crossed: tuple[Crossing, ...] = ()

    @property
    def inner(self) -> bool:
        """Whether the subject brings both: its makers' choice, the same wherever it is installed."""
        return self.mine.origin == self.other.origin == self.subject.origin

    @property
    def other_label(self) -> str:
        users = self.other.users
        return self.other.loaded_by or (users[0].label if users else self.other.origin.name or "the other")


# -- one process ---------------------------------------------------------------


def exports(binary: Binary | None) -> Callable[[str], bool] | None:
    """How to ask a file for an export by its C name; None when it cannot be asked cheaply."""
    if binary is None:
        return None
    part = binary.slices[0]
    exported = getattr(part, "exported", None)
    if binary.format == "elf" and exported is not None:
        return lambda name: name.encode() in exported
    if binary.format == "macho" and exported is not None:
        return lambda name: "_" + name in exported
    names = {e.name for e in part.exports()}
    return lambda name: name in names


def _recognise(scene: Scene, path: str, *, deep: bool) -> Recognised | None:
    binary, _ = scene.read(path)
    identity = binary.slices[0].identity if binary is not None else None
    named = recognise(identity, posixpath.basename(path))
    if named is not None or not deep:
        return named
    return recognise(identity, posixpath.basename(path), exports(binary))


def _objects(run: Run) -> Iterator[Mapped]:
    """What a run holds beyond the interpreter's own start."""
    return (o for o in run.trace.objects if o.kept and o.event != 0)


def _names(o: Mapped) -> frozenset[str]:
    return frozenset(n.lower() for n in o.names)


@functools.cache
def subject_copies(scene: Scene, group: Group) -> tuple[Copy, ...]:
    """Copies in the process of a subject alone: mapped ones, static ones in its own files, and ones outside the
    view."""
    out: dict[str, Copy] = {}
    for o in _objects(scene.run_of(group)):
        origin = scene.view.origin(o.real)
        what = _recognise(scene, o.real, deep=origin == group.origin)
        if what is not None:
            by_path = o.how == "opened" or (origin == group.origin and opens_by_path(scene, origin, o.real))
            out.setdefault(o.real, Copy(o.real, what, origin, "mapped", _names(o), by_path, users=(group,)))
    natives = scene.natives.get(group.origin, ())
    shipped = _shipped(scene, group, natives, out)
    reached = _reached_by_path(scene, group, natives)
    for copy in (*shipped, *reached, *_static(scene, group, natives, out), *_outside(scene, group, natives)):
        out.setdefault(copy.path, copy)
    return tuple(out.values())


def _shipped(scene: Scene, group: Group, natives: Iterable[Native], known: Mapping[str, Copy]) -> Iterator[Copy]:
    """Runtimes among the subject's own files that no simulated load reached, though another of its files needs them."""
    wanted = {
        posixpath.basename(need.name).lower()
        for native in natives
        for part in (native.binary.slices if native.binary is not None else ())
        for need in part.needs
    }
    for native in natives:
        identity = native.binary.slices[0].identity if native.binary is not None else None
        names = frozenset(posixpath.basename(n).lower() for n in (native.path, identity) if n)
        what = recognise(identity, posixpath.basename(native.path))
        if what is not None and native.path not in known and names & wanted:
            by_path = opens_by_path(scene, group.origin, native.path)
            yield Copy(native.path, what, group.origin, "shipped", names, by_path, users=(group,))


def _reached_by_path(scene: Scene, group: Group, natives: Iterable[Native]) -> Iterator[Copy]:
    """Runtimes that the subject's other libraries would map when its code opens them: those that no simulated load
    reached, because the code that opens them could not be followed. The runtimes among them are not opened themselves:
    a package may ship one for others to use."""
    done = {o.real for o in _objects(scene.run_of(group))} | {u.path for u in group.units}
    process = scene.stage.scout.base().process.fork()
    for native in natives:
        own = native.binary is not None and _recognise(scene, native.path, deep=False) is not None
        if native.path not in done and native.binary is not None and not own:
            process.load(Event(native.path, "dlopen", label=group.label))
    for o in process.trace().objects:
        what = _recognise(scene, o.real, deep=False) if o.kept and o.event != 0 else None
        if what is not None:
            yield Copy(o.real, what, scene.view.origin(o.real), "shipped", _names(o), users=(group,))


_OPENS = re.compile(r"\b(?:CDLL|WinDLL|PyDLL|OleDLL|LoadLibrary\w*)\(")
_EVERY = re.compile(r"\*\.(?:dll|so|dylib)\b")


def opens_by_path(scene: Scene, origin: Origin, path: str) -> bool:
    """Whether a project's sources open its libraries one by one: with a pattern for all of a kind, or this one by name.

    Loads that the derivation of imports follows are known better; this is for those that it cannot follow."""
    return any(_EVERY.search(t) or posixpath.basename(path) in t for t in _opening_sources(scene, origin))


@functools.cache
def _opening_sources(scene: Scene, origin: Origin) -> tuple[str, ...]:
    texts = (scene.view.read_text(p) for p in scene.files_of(origin) if p.endswith(".py"))
    # A plain search is many times as fast, and most sources have neither word.
    likely = (t for t in texts if t is not None and ("DLL(" in t or "LoadLibrary" in t))
    return tuple(t for t in likely if _OPENS.search(t))


def _static(scene: Scene, group: Group, natives: Iterable[Native], known: Mapping[str, Copy]) -> Iterator[Copy]:
    """OpenMP linked into a file of another purpose. Other static runtimes stay apart unless they export, and then the
    exports tell; OpenMP's copies find each other through the process's environment however hidden they are (RT-1)."""
    for native in natives:
        named = recognise(None, posixpath.basename(native.path))
        if native.path in known or native.binary is None or named is not None:
            continue
        for e in scene.view.ask(native.path, lambda source: embedded(source, "openmp")) or ():
            what = Recognised(e.family, e.member, "static", e.version)
            yield Copy(native.path, what, group.origin, "mapped", frozenset(), True, e.proof, (group,))


def _outside(scene: Scene, group: Group, natives: Iterable[Native]) -> Iterator[Copy]:
    """Runtimes that the subject's files ask for by an absolute path outside the prefix (a package manager's folder on
    macOS): another file than any in the prefix, wherever it is found."""
    for native in natives:
        for part in native.binary.slices if native.binary is not None else ():
            for need in part.needs:
                if not need.name.startswith("/") or need.name.startswith(("/usr/lib/", "/System/")):
                    continue
                what = recognise(need.name)
                if what is not None and scene.view.lookup(need.name).status in ("absent", "unknown"):
                    names = frozenset({need.name.lower()})
                    yield Copy(need.name, what, Origin("host"), "needed", names, users=(group,))


# -- the rest of the environment -----------------------------------------------


@functools.cache
def standing_copies(scene: Scene) -> tuple[Copy, ...]:
    """Copies that the environment's other packages would load, each once with those who do."""
    found: dict[str, list[Group]] = {}
    mapped: dict[str, Mapped] = {}
    for bare in scene.bystanders:
        group = scene.full(bare)
        for o in _objects(scene.stage.scout.run(group)):
            found.setdefault(o.real, []).append(group)
            mapped.setdefault(o.real, o)
    out = []
    for real, users in found.items():
        what = _recognise(scene, real, deep=False)
        if what is not None:
            o = mapped[real]
            origin, by_path = scene.view.origin(real), o.how == "opened"
            by = _importing(users[0], loads(scene.stage.scout.run(users[0]), real))
            out.append(Copy(real, what, origin, "mapped", _names(o), by_path, users=tuple(users), loaded_by=by))
    return (*out, *_installed(scene, {c.path for c in out}))


def _importing(group: Group, module: str) -> str:
    """The project's name when the module is of its first package; else the module, as of the standard library, whose
    modules have nothing to do with each other."""
    same = module.partition(".")[0] == group.label.partition(".")[0]
    return group.label if same or not module else module


def _installed(scene: Scene, known: set[str]) -> Iterator[Copy]:
    """Libraries of conda packages that no simulated load reached: opened at run time by one that is there, or installed
    because another package depends on their owner."""
    needed_by = dependants(scene)
    opened = _opened_by_name(scene)
    seen = set(known)
    for record in scene.prefix.records:
        for file in record.files:
            what = recognise(None, posixpath.basename(file)) if _is_library(file) else None
            if what is None:
                continue
            found = scene.view.lookup(posixpath.join(scene.view.root, file))
            if found.status not in ("file", "unknown") or found.real in seen or not needed_by.get(record.name):
                continue
            seen.add(found.real)
            origin = scene.view.origin(found.real)
            if origin in scene.subject_origins:
                continue
            liveness: Liveness = "opened" if stem(file).name.lower() in opened else "installed"
            yield Copy(found.real, what, origin, liveness, frozenset({posixpath.basename(file).lower()}))


def _is_library(path: str) -> bool:
    name = posixpath.basename(path).lower()
    return name.endswith((".dylib", ".dll", ".so")) or ".so." in name


def dependants(scene: Scene) -> Mapping[str, tuple[str, ...]]:
    """Conda package name to the packages that name it in their dependencies, mutexes aside."""
    out: dict[str, list[str]] = {}
    for record in scene.prefix.records:
        if record.name.startswith("_"):
            continue
        for spec in record.depends:
            out.setdefault(spec.split()[0] if spec else "", []).append(record.name)
    return {k: tuple(v) for k, v in out.items()}


def _opened_by_name(scene: Scene) -> frozenset[str]:
    """Stems that some runtime in the prefix opens by name when it runs."""
    opens = {m.name: m.opens for f in families() for m in f.members if m.opens}
    out: set[str] = set()
    for record in scene.prefix.records:
        for file in record.files:
            what = recognise(None, posixpath.basename(file)) if _is_library(file) else None
            if what is not None and what.member in opens:
                out.update(s.lower() for s in opens[what.member])
    return frozenset(out)


# -- pairs ---------------------------------------------------------------------


@functools.cache
def pairs(scene: Scene) -> tuple[Pair, ...]:
    """Every two copies of one family that would be in one process because of a subject: it brings one of them, or it
    is the first to load one that is there."""
    standing = standing_copies(scene)
    there = {c.path for c in standing if c.liveness == "mapped" and c.origin not in scene.subject_origins}
    out: dict[frozenset[str], Pair] = {}
    for group in scene.subjects:
        mine = sorted(subject_copies(scene, group), key=lambda c: c.origin != group.origin)
        beside = [c for g in scene.subjects if g is not group for c in subject_copies(scene, g)]
        for n, a in enumerate(mine):
            for b in (*mine[n + 1 :], *beside, *standing):
                if a.what.family != b.what.family or a.place == b.place or {a.path, b.path} <= there:
                    continue  # two that others load today are not this install's doing
                doubtful = not distinct(a, b) and scene.system == "osx"
                if doubtful or distinct(a, b):
                    out.setdefault(frozenset((a.place, b.place)), Pair(group, a, b, doubtful))
    return tuple(out.values())


def distinct(a: Copy, b: Copy) -> bool:
    """Whether one process would really map both: not when whoever is first serves requests for the other."""
    if a.path == b.path:
        return False
    shared = {n for n in a.names & b.names if not n.startswith("/")}
    return not shared or a.by_path or b.by_path


@dataclass(frozen=True, slots=True)
class Crossing:
    """One binding between two copies that moved or was merged, in one order of import."""

    binding: MovedBinding
    order: tuple[str, str]


@functools.cache
def crossings(scene: Scene) -> Mapping[frozenset[str], tuple[Crossing, ...]]:
    """Pairs of files (real paths) between which bindings moved or objects were merged, one example for each order.

    What belongs to the C++ standard library is the same everywhere and does not count.
    """
    out: dict[frozenset[str], dict[tuple[str, str], Crossing]] = {}
    for _, diff in scene.differences:
        order = (diff.first.label, diff.second.label)
        for b in diff.bindings:
            if b.after is None or is_standard(b.symbol) or shared_constant(scene, b):
                continue
            for one in (b.before, b.object):
                if one is not None and one != b.after:
                    out.setdefault(frozenset((one, b.after)), {}).setdefault(order, Crossing(b, order))
    return {files: tuple(found.values()) for files, found in out.items()}


def shared_constant(scene: Scene, b: MovedBinding) -> bool:
    """Whether sharing a merged object exchanges nothing: it has one size on both sides and no guard, so it was
    initialised by constants (a table in a header, a flag that a function keeps)."""
    if not b.merged or b.before is None or b.after is None:
        return False
    one, two = (scene.unique_symbols(p) for p in (b.before, b.after))
    guard = "_ZGV" + b.symbol.removeprefix("_Z")
    mine, theirs = one.get(b.symbol), two.get(b.symbol)
    same = mine is not None and theirs is not None and mine.size == theirs.size
    return same and not b.symbol.startswith("_ZGV") and not (guard in one or guard in two)
