"""Which load orders can differ, and what differs in them (GEN-1, GEN-2; docs/why.md).

A *unit* is one extension module with what Python is certain to load before it; a *group* is all units of one owner (a
wheel, a conda package, an installed distribution). Groups are run alone; two groups are run together, in both orders,
only when they share a capture key: a name that each resolves to another file, a unique symbol that both define, a
library that one of them interposes, or the global scope. What then differs from the group alone is a
:class:`Difference`. Nothing here says whether a difference is bad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from abicheck.loader.process import Bound, ComparesRows, Edge, Event, EventResult, Failure, Mapped, Process, Trace
from abicheck.model import Origin


@dataclass(frozen=True, slots=True)
class Unit:
    """One extension module. ``path`` is its file in the view; ``module`` its import name; ``events`` what is loaded for
    it beyond its group's prelude, itself last. ``demanded``: the prelude loads it."""

    path: str
    module: str
    events: tuple[Event, ...]
    demanded: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """What one owner loads. ``prelude``: what importing its top-level names is certain to load, in that order;
    ``units``: its extension modules; ``imports``: the top-level names that reach them."""

    origin: Origin
    units: tuple[Unit, ...]
    imports: tuple[str, ...] = ()
    prelude: tuple[Event, ...] = ()

    @property
    def label(self) -> str:
        """What a user would import to load it: the first top-level name of the owner, else its first module."""
        return self.imports[0] if self.imports else self.units[0].module if self.units else self.origin.name

    @property
    def certain(self) -> Group:
        """The group without the modules that only other code of the owner imports."""
        return Group(self.origin, tuple(u for u in self.units if u.demanded), self.imports, self.prelude)


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What became of a unit: the first of its events that did not load, or its own result."""

    unit: Unit
    result: EventResult


@dataclass(slots=True)
class Run:
    """One simulated process: which groups it loaded in which order, and what came of every unit and prelude event."""

    groups: tuple[Group, ...]
    process: Process
    results: dict[str, UnitResult] = field(default_factory=dict)
    prelude: dict[str, EventResult] = field(default_factory=dict)
    _trace: Trace | None = None
    _by_real: dict[str, Mapped] | None = None

    @property
    def trace(self) -> Trace:
        if self._trace is None:
            self._trace = self.process.trace()
        return self._trace

    @property
    def by_real(self) -> dict[str, Mapped]:
        """Kept objects by real path (the first, when one file is mapped twice)."""
        if self._by_real is None:
            self._by_real = {}
            for o in self.trace.objects:
                if o.kept:
                    self._by_real.setdefault(o.real, o)
        return self._by_real


def loads(run: Run, real: str) -> str:
    """What a user writes to bring a file into the process: the import that mapped it first, or the group's label."""
    at = run.by_real.get(real)
    if at is not None and at.event > 0:
        event = run.trace.events[at.event].event
        module = event.label.removeprefix("import ")
        for group in run.groups:
            # What importing the project does anyway is called by the project's name.
            if event in group.prelude:
                top = module.partition(".")[0]
                return next((n for n in group.imports if n == module or n.partition(".")[0] == top), module)
        if module != event.label:
            return module
    return run.groups[-1].label if run.groups else ""


@dataclass(frozen=True, slots=True)
class MovedLibrary:
    """A need that another file serves now: ``before`` and ``after`` are real paths (None: nothing served it)."""

    requester: str
    name: str
    before: str | None
    after: str | None
    edge: Edge


@dataclass(frozen=True, slots=True)
class MovedBinding:
    """A symbol of ``object`` (real path) whose provider changed; providers are real paths, None for a weak 0."""

    object: str
    symbol: str
    version: str | None
    before: str | None
    after: str | None
    merged: bool
    rule: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A unit that loaded alone and fails together (or the other way round: ``cured``)."""

    unit: Unit
    failure: Failure
    outcome: Literal["failed", "aborted"]


@dataclass(frozen=True, slots=True)
class Difference:
    """What one order changes for the group that comes second: ``first`` was loaded before ``second``. ``cured``: paths
    of units that fail alone and load now."""

    first: Group
    second: Group
    run: Run
    alone: Run
    broken: tuple[Broken, ...]
    libraries: tuple[MovedLibrary, ...]
    bindings: tuple[MovedBinding, ...]
    cured: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        return not (self.broken or self.libraries or self.bindings or self.cured)


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two groups in one process, in both orders. ``keys``: the contested names that made them meet."""

    a: Group
    b: Group
    keys: tuple[str, ...]
    a_first: Difference
    b_first: Difference

    def opposite(self, order: Difference) -> Difference:
        """The other order of the same two groups."""
        return self.b_first if order is self.a_first else self.a_first


class Simulator:
    """Runs groups in processes over one view; equal runs are made once.

    Args:
        start: gives a fresh process with the interpreter and what it loads at start.
    """

    def __init__(self, start: Callable[[], Process]) -> None:
        self._start = start
        self._runs: dict[tuple[Group, ...], Run] = {}

    def base(self) -> Run:
        """The interpreter alone."""
        if () not in self._runs:
            self._runs[()] = Run((), self._start())
        return self._runs[()]

    def run(self, *groups: Group) -> Run:
        """All units of the groups, one group after the other."""
        key = groups
        hit = self._runs.get(key)
        if hit is not None:
            return hit
        before = self.run(*groups[:-1]) if len(groups) > 1 else self.base()
        process = before.process.fork()
        run = Run(groups, process, dict(before.results), dict(before.prelude))
        _prelude(run, groups[-1])
        for unit in groups[-1].units:
            done = run.prelude.get(unit.path)
            run.results[unit.path] = UnitResult(unit, done if done is not None else load_unit(process, unit))
        self._runs[key] = run
        return run

    def after_prelude(self, group: Group, unit: Unit) -> EventResult:
        """One unit in a process of its own, after its group's prelude."""
        bare = self.run(group.certain)
        done = bare.prelude.get(unit.path)
        return done if done is not None else load_unit(bare.process.fork(), unit)

    def fresh(self, unit: Unit) -> EventResult:
        """One unit in a process of its own."""
        return load_unit(self.base().process.fork(), unit)

    def forget(self, *groups: Group) -> None:
        """Drop a run that is no longer needed (pairs are many, and each holds a process)."""
        self._runs.pop(groups, None)


def _prelude(run: Run, group: Group) -> None:
    for event in group.prelude:
        run.prelude[event.open] = run.process.load(event)


def load_unit(process: Process, unit: Unit) -> EventResult:
    """Put a unit's events to a process. The result is the unit's own; a certain event before it that fails ends it."""
    result: EventResult | None = None
    for event in unit.events:
        result = process.load(event)
        if result.outcome == "aborted":
            return result
        if result.outcome == "failed" and event.certain and not event.optional and event is not unit.events[-1]:
            return result
    assert result is not None
    return result


# -- differences ---------------------------------------------------------------


def difference(simulator: Simulator, first: Group, second: Group) -> Difference:
    """Load ``first``, then ``second``; what of ``second`` is not as when it is alone."""
    alone, together = simulator.run(second), simulator.run(first, second)
    broken, cured = [], set()
    for unit in second.units:
        before, after = alone.results[unit.path].result, together.results[unit.path].result
        if after.failure is not None and after.outcome in ("failed", "aborted") and before.outcome == "loaded":
            broken.append(Broken(unit, after.failure, "aborted" if after.outcome == "aborted" else "failed"))
        elif before.outcome in ("failed", "aborted") and after.outcome == "loaded":
            cured.add(unit.path)
    return Difference(
        first, second, together, alone, tuple(broken), tuple(moved_libraries(alone, together)),
        tuple(_moved_bindings(alone, together)), frozenset(cured),
    )  # fmt: skip


def displaced(diff: Difference, failure: Failure) -> tuple[str, Mapped] | None:
    """For a symbol that is missing in this order only and names no library: the name under which the file that served
    it alone was asked for, and what answers to that name here. None when no such name can be told."""
    there, here = diff.alone.trace, diff.run.trace
    users = {o.index for o in there.objects if o.kept and o.path == failure.requester}
    symbol, version = failure.symbol, failure.version or None
    rows = (b for i in users if i in there.bindings for b in there.bindings[i])
    served = next((b.provider for b in rows if b.symbol == symbol and b.version == version), None)
    if served is None:
        return None
    was = there.objects[served]
    for e in here.edges:
        now = here.objects[e.provider] if e.provider is not None else None
        if now is not None and now.kept and now.real != was.real and e.name in {*was.names, was.requested_as}:
            return e.name, now
    return None


def moved_libraries(alone: Run, together: Run) -> Iterator[MovedLibrary]:
    """Needs of the objects that both runs hold, served by another file."""
    real = [o.real for o in together.trace.objects]
    served: dict[tuple[str, str], Edge] = {}
    for e in together.trace.edges:
        if together.trace.objects[e.requester].kept:
            served.setdefault((real[e.requester], e.name), e)
    objects = alone.trace.objects
    seen = set()
    for e in alone.trace.edges:
        key = (objects[e.requester].real, e.name)
        if objects[e.requester].event == 0 or not objects[e.requester].kept or key in seen or key not in served:
            continue
        seen.add(key)
        now = served[key]
        before = objects[e.provider].real if e.provider is not None else None
        after = real[now.provider] if now.provider is not None else None
        if before != after:
            yield MovedLibrary(key[0], e.name, before, after, now)


def _moved_bindings(alone: Run, together: Run) -> Iterator[MovedBinding]:
    """Symbols of the objects that both runs hold, bound to another file."""
    for path, mine in alone.by_real.items():
        theirs = together.by_real.get(path)
        if theirs is None or mine.event == 0 or alone.process.same_bindings(mine.index, together.process, theirs.index):
            continue
        process = alone.process
        rows = process.apart(mine.index, together.process, theirs.index) if isinstance(process, ComparesRows) else None
        if rows is None:
            rows = alone.trace.bindings.get(mine.index, ()), together.trace.bindings.get(theirs.index, ())
        yield from _compare(path, _by_symbol(alone.trace, rows[0]), _by_symbol(together.trace, rows[1]))


def _by_symbol(trace: Trace, rows: Iterable[Bound]) -> dict[tuple[str, str | None], tuple[str | None, Bound]]:
    objects = trace.objects
    return {(b.symbol, b.version): (objects[b.provider].real if b.provider is not None else None, b) for b in rows}


def _compare(
    path: str,
    before: dict[tuple[str, str | None], tuple[str | None, Bound]],
    after: dict[tuple[str, str | None], tuple[str | None, Bound]],
) -> Iterator[MovedBinding]:
    for key, (was, _) in before.items():
        now, bound = after.get(key, (was, None))
        if bound is not None and now != was:
            yield MovedBinding(path, key[0], key[1], was, now, bound.merged, bound.rule)
