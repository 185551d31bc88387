"""What a rule may ask: every load that fails, every meeting and what it changes, on the ground of files and owners.

A scene is a stage (files and processes) with the questions already worked out, each once, when first asked. It decides
nothing: it does not know which difference is bad.
"""

from __future__ import annotations

import functools
import posixpath
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from abicheck.binary.elf import ElfSlice
from abicheck.binary.facts import Slice
from abicheck.binary.macho import MachoSlice
from abicheck.binary.pe import PeSlice
from abicheck.loader.process import Event, EventResult, Failure
from abicheck.loader.scenarios import (
    Difference,
    Group,
    MovedLibrary,
    Unit,
    difference,
    displaced,
    loads,
    moved_libraries,
)
from abicheck.loader.units import bare_group, fatal_although_guarded, group_of, whole_unit
from abicheck.model import Orders, Origin, Skipped
from abicheck.rules.ground import Native, native_name
from abicheck.rules.meetings import Meetings
from abicheck.rules.sites import Importance, ImportSites, rank
from abicheck.rules.wording import in_order

__all__ = ["LoadFailure", "Native", "Scene"]
ET_EXEC = 2  # gABI: a program at a fixed address
Situation = Literal["alone", "after", "damaged"]


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """One load that fails, and when.

    ``alone``: the import of the subject itself fails here. ``after``: it loads alone and fails when ``cause`` was
    imported first. ``damaged``: an extension that loads today and no longer will, because files changed.
    ``importance``: ``demanded`` (importing the project is certain to do it), ``reachable`` (a module of the project
    imports it unguarded), ``optional`` (every import of it is guarded or inside a function), ``unreferenced``.
    ``cause_import``: the import of ``cause`` that brings what decides.
    """

    situation: Situation
    unit: Unit
    owner: Origin
    subject: Origin
    result: EventResult
    importance: Importance
    cause: Group | None = None
    cause_import: str = ""
    orders: Orders | None = None

    @property
    def failure(self) -> Failure:
        assert self.result.failure is not None
        return self.result.failure

    @property
    def rank(self) -> int:
        """0 for the gravest importance."""
        return rank(self.importance)

    @property
    def action(self) -> str:
        """What a program does that fails, as people write it."""
        return f"`import {self.unit.module}`" if self.unit.module else f"opening {posixpath.basename(self.unit.path)}"


class Scene(Meetings):
    """See the module."""

    # -- what fails ----------------------------------------------------------

    @functools.cached_property
    def failures(self) -> tuple[LoadFailure, ...]:
        """All loads that fail because of the subjects: alone, after one another, or because files changed."""
        return (*(self._with_cure(f) for f in self._alone), *self._after, *self._damaged)

    def _with_cure(self, f: LoadFailure) -> LoadFailure:
        """A failure that another import, made first, prevents: with both orders."""
        for _, diff in self.differences:
            if diff.second.origin == f.owner and f.unit.path in diff.cured:
                orders = Orders(((f.unit.module,),), ((diff.first.label, f.unit.module),))
                return replace(f, orders=orders)
        return f

    @functools.cached_property
    def _alone(self) -> tuple[LoadFailure, ...]:
        out = []
        for group in self.counted("loading each alone", self.subjects):
            paths = {u.path for u in group.units}
            for unit, result in self._results(group):
                if result.outcome in ("failed", "aborted") and result.failure is not None:
                    result = self._passing_over(group, result)
                    importance = self.importance(group, unit) if unit.path in paths else "demanded"
                    out.append(LoadFailure("alone", unit, group.origin, group.origin, result, importance))
            out += self._loose(group)
        return tuple(out)

    def _passing_over(self, group: Group, result: EventResult) -> EventResult:
        """A symbol without a version is missing although a library that the project brings has it, because another file
        of that library's name was found: then that is what the failure is over."""
        failure = result.failure
        if failure is None or failure.kind != "MISSING_SYMBOL" or failure.provider:
            return result
        symbol = failure.symbol.encode("utf-8", "surrogateescape")
        own = {
            str(n.binary.slices[0].identity): self.view.lookup(n.path).real
            for n in self.natives.get(group.origin, ())
            if n.binary is not None
            and isinstance(n.binary.slices[0], ElfSlice)
            and symbol in n.binary.slices[0].exported
        }
        trace = self.stage.simulator.run(group).trace
        for e in trace.edges:
            if e.name in own and e.provider is not None and trace.objects[e.requester].path == failure.requester:
                found = trace.objects[e.provider]
                if found.real != own[e.name]:
                    return _over(result, e.name, found.path)
        return result

    def _loose(self, group: Group) -> Iterator[LoadFailure]:
        """Libraries of a subject that no import is seen to load but that its Python code names: opened as ctypes would,
        after everything else of the project. Of variants for different libraries it is enough that one loads."""
        run = self.stage.simulator.run(group)
        loading, failing = set(), []
        # What these did is told already; a guarded one is not: its code may go on without the library, or may not.
        tried = {r.event.open for r in run.trace.events if not r.event.optional}
        for native in self.natives[group.origin]:
            real = self.view.lookup(native.path).real
            if native.path in tried and real not in run.by_real:
                continue
            if native.module or native.binary is None or real in run.by_real or _is_program(native.binary.slices[0]):
                loading.add(variant_key(native.path))
                continue
            if not self.sites(group.origin).names_file(native.path):
                continue
            result = run.process.fork().load(Event(native.path, "dlopen"))
            if result.outcome in ("failed", "aborted") and result.failure is not None:
                failing.append((native.path, result, result.failure.kind == "MISSING_LIB"))
            else:
                loading.add(variant_key(native.path))
        opened = {r.event.open: r for r in run.trace.events if r.event.optional and r.outcome == "failed"}
        met = [r for path, r in opened.items() if path in {f[0] for f in failing}]
        fatal = fatal_although_guarded(self.importer, group, met)
        for path, result, missing in failing:
            if path in fatal:
                event = opened[path].event
                unit = Unit(path, event.label.removeprefix("import "), (event,))
                yield LoadFailure("alone", unit, group.origin, group.origin, opened[path], "demanded")
                continue
            unit = Unit(path, "", (result.event,), demanded=False)
            spared = missing and variant_key(path) in loading
            importance: Importance = "optional" if spared else "unreferenced"
            yield LoadFailure("alone", unit, group.origin, group.origin, result, importance)

    def _results(self, group: Group) -> Iterator[tuple[Unit, EventResult]]:
        """Every unit by itself, and what else importing the project is certain to open."""
        simulator = self.stage.simulator
        for unit in group.units:
            yield unit, self._by_itself(group, unit)
        units = {u.path for u in group.units}
        for event in group.prelude:
            if event.open not in units and not event.optional:
                result = simulator.run(group).prelude[event.open]
                yield Unit(event.open, event.label.removeprefix("import "), (event,)), result

    @functools.cached_property
    def _after(self) -> tuple[LoadFailure, ...]:
        """What one order breaks. A unit that fails in an order is told with that order and, if it is so, the other."""
        out = []
        for meeting, diff in self.differences:
            if not diff.broken:
                continue
            sure = self._broken_by_import(diff)
            subject = diff.second.origin if diff.second.origin in self.subject_origins else meeting.a.origin
            spoiled = self._spoiled(meeting.opposite(diff))
            for broken in diff.broken:
                result = _with_provider(diff, diff.run.results[broken.unit.path].result)
                importance = self.importance(diff.second, broken.unit)
                if importance == "demanded" and broken.unit.path not in sure:
                    importance = "reachable"
                first, module = self._brought_by(diff, result.failure or broken.failure), broken.unit.module
                orders = in_order(first, module, opposite_works=first not in spoiled)
                out.append(
                    LoadFailure("after", broken.unit, diff.second.origin, subject, result, importance, diff.first,
                                first, orders)
                )  # fmt: skip
        return tuple(out)

    def _spoiled(self, diff: Difference) -> frozenset[str]:
        """Imports of the second group that cannot be relied on in an order: the modules that fail, and the project's
        own name when it is certain to load one of them."""
        demanded = any(self.importance(diff.second, b.unit) == "demanded" for b in diff.broken)
        return frozenset(b.unit.module for b in diff.broken) | ({diff.second.label} if demanded else frozenset())

    def _brought_by(self, diff: Difference, failure: Failure) -> str:
        """The import of the first project that mapped the file which decides the failure."""
        provider = self.view.lookup(failure.provider).real if failure.provider.startswith("/") else ""
        at = diff.run.by_real.get(provider)
        return loads(diff.run, provider) if at is not None and at.event > 0 else diff.first.label

    def _broken_by_import(self, diff: Difference) -> frozenset[str]:
        """Units that already fail when only what importing the first project is certain to load came before them."""
        certain = self.as_imported(diff.first.origin).certain
        if certain == diff.first or not certain.prelude:
            return frozenset(b.unit.path for b in diff.broken) if certain == diff.first else frozenset()
        return frozenset(b.unit.path for b in difference(self.stage.simulator, certain, diff.second).broken)

    @functools.cached_property
    def _damaged(self) -> tuple[LoadFailure, ...]:
        """Extensions of others that load today and fail after the install, alone: files were replaced or removed."""
        if self.view is self.before:
            return ()
        out = []
        for group in self.bystanders:
            for unit, result in self._changed_units(group):
                subject = self._culprit(result)
                out.append(LoadFailure("damaged", unit, group.origin, subject, result, self.importance(group, unit)))
        return tuple(out)

    def _changed_units(self, bare: Group) -> Iterator[tuple[Unit, EventResult]]:
        """Units that load in the environment as it is and not as it will be. Only packages that map a file which the
        install writes or removes are run in full."""
        if not self._touched(bare):
            return
        group = self.full(bare)
        after = self.stage.simulator.run(group)
        failing = [u for u in group.units if after.results[u.path].result.outcome in ("failed", "aborted")]
        if not failing:
            return
        before = self._group_before(group)
        was = self.stage.simulator_before.run(before)
        for unit in failing:
            old = was.results.get(unit.path)
            if old is not None and old.result.outcome == "loaded":
                result = after.results[unit.path].result
                if result.failure is not None:
                    yield unit, result

    def _touched(self, bare: Group) -> bool:
        """Whether a package's libraries are not those of before the install."""
        root, changed = self.view.root, self.changed_paths
        run = self.stage.scout.run(bare)
        if any(r.result.outcome in ("failed", "aborted") for r in run.results.values()):
            return bool(changed)
        return any(o.real[len(root) + 1 :] in changed for o in run.trace.objects if o.real.startswith(root + "/"))

    @functools.cached_property
    def changed_paths(self) -> frozenset[str]:
        """Prefix-relative paths of natives that the install writes over something or removes."""
        written = {t.path for p in self.stage.placed for t in p.targets if t.member is not None}
        there = {p for p in written if self.before.lookup(posixpath.join(self.before.root, p)).status != "absent"}
        outside = {p for p in written - there if not p.startswith(self.layout.platlib + "/") and native_name(p)}
        return frozenset(p for p in there if native_name(p)) | outside | self.stage.removed

    def _group_before(self, group: Group) -> Group:
        paths = [p for p in self.files_of(group.origin) if self.before.lookup(p).status in ("file", "unknown")]
        if not group.prelude:
            return bare_group(self.stage.importer_before, group.origin, paths, paths)
        return group_of(self.stage.importer_before, group.origin, paths)

    @functools.cached_property
    def taken_over(self) -> tuple[tuple[Group, MovedLibrary], ...]:
        """Needs of others that a subject's file serves after the install, where another file served before: it came to
        stand earlier in their search. Files that were overwritten where they lie are another matter."""
        if self.view is self.before:
            return ()
        mine = {self.view.lookup(n.path).real for natives in self.natives.values() for n in natives}
        out = []
        for bare in self.bystanders:
            group = self.full(bare)
            run = self.stage.scout.run(group)
            if not any(o.kept and o.real in mine for o in run.trace.objects):
                continue
            was = self.stage.simulator_before.run(self._group_before(group))
            out += [(group, m) for m in moved_libraries(was, run) if m.before and m.after in mine]
        return tuple(out)

    def _culprit(self, result: EventResult) -> Origin:
        """The wheel whose file takes part in a failure; the first of the transaction when none does by name."""
        failure = result.failure
        assert failure is not None
        for path in (failure.provider, failure.requester):
            if path.startswith("/"):
                origin = self.view.origin(self.view.lookup(path).real)
                if origin in self.subject_origins:
                    return origin
        return self.subject_origins[0]

    def _by_itself(self, group: Group, unit: Unit) -> EventResult:
        """A unit after its project's prelude. One that needs more gets all that its own import loads; deriving that is
        dear, so it is done only when the short way fails and the long one, after its siblings, does not."""
        simulator = self.stage.simulator
        bare = simulator.after_prelude(group, replace(unit, events=unit.events[-1:]))
        if bare.outcome in ("loaded", "unknown"):
            return bare
        among = simulator.run(group).results[unit.path].result
        if among.outcome in ("failed", "aborted"):
            return among
        return simulator.fresh(whole_unit(self.importer, unit))

    def importance(self, group: Group, unit: Unit) -> Importance:
        """How sure it is that a program that uses the project loads this unit."""
        if unit.demanded or unit.path in {u.path for u in self.as_imported(group.origin).certain.units}:
            return "demanded"
        return self.sites(group.origin).importance(unit.module)

    @functools.cache  # noqa: B019 - a scene lives as long as the process that judges it
    def sites(self, origin: Origin) -> ImportSites:
        """Where an owner's Python code imports its extension modules."""
        return ImportSites(self.view, self.importer, self.files_of(origin))

    @functools.cached_property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that could not be read although the verdict may depend on them: the subjects' own, whatever their loads
        map, and the interpreter, without which no load can be followed."""
        out = [*super().skipped, *self._unread(), *self._unread_sources()]
        start = self.simulator.base().trace.events[0]
        path = posixpath.join(self.view.root, self.interpreter.executable)
        failure = start.failure
        if failure is not None and failure.kind == "LOAD_REJECTED" and path in (failure.requester, failure.provider):
            reason = f"the interpreter cannot be started: {self.view_text(failure.message)}"
            out.append(Skipped(self.interpreter.executable, reason))
        return tuple(sorted(out))

    def _unread(self) -> Iterator[Skipped]:
        """Files of others that the subjects' processes map and whose tables are damaged. What only a record knows of is
        another matter: a partial copy of an environment."""
        simulator = self.stage.simulator
        runs = [simulator.base().trace, *(simulator.run(g).trace for g in self.subjects)]
        own = {self.view.lookup(n.path).real for natives in self.natives.values() for n in natives}
        for real in sorted({o.real for trace in runs for o in trace.objects} - own):
            problem = self.read(real)[1] if self.view.lookup(real).status == "file" else None
            if problem is not None:
                yield Skipped(self.view.relative(real), problem)

    def _unread_sources(self) -> Iterator[Skipped]:
        """Sources that imports came to and that no Python of our age can read."""
        version = self.importer.context.version
        newer = version > sys.version_info[:2]
        hint = f"; abicheck may read it when it runs on Python {version[0]}.{version[1]}" if newer else ""
        for path, problem in self.importer.context.memory.unread.items():
            yield Skipped(self.view.relative(path), problem + hint)


def _with_provider(diff: Difference, result: EventResult) -> EventResult:
    """A failure over a symbol without a version says which library was asked for it, too, if that was another alone."""
    failure = result.failure
    if failure is None or failure.kind != "MISSING_SYMBOL" or failure.provider:
        return result
    found = displaced(diff, failure)
    if found is None:
        return result
    return _over(result, found[0], found[1].path)


def _over(result: EventResult, library: str, provider: str) -> EventResult:
    assert result.failure is not None
    failure = replace(result.failure, library=library, provider=provider)
    return EventResult(result.event, result.outcome, failure, result.root)


def variant_key(path: str) -> str:
    """What builds of one library for different versions or makes of another share: all but numbers and what stands
    behind the first dot of the file's name.

    >>> variant_key("p/MPI.mpich.so") == variant_key("p/MPI.openmpi.so"), variant_key("p/libcore4.so")
    (True, 'p/libcore')
    """
    folder, _, name = path.rpartition("/")
    return f"{folder}/{re.sub('[0-9]+', '', name.partition('.')[0])}"


def _is_program(part: Slice) -> bool:
    """Whether a binary is started, not opened."""
    if isinstance(part, ElfSlice):
        return bool(part.interp or part.pie or part.etype == ET_EXEC)
    if isinstance(part, MachoSlice):
        return part.filetype not in ("dylib", "bundle")
    return isinstance(part, PeSlice) and not part.is_dll
