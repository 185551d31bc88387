"""What one ``pip install`` does to a prefix: what it writes, removes, overwrites, leaves alone, and finds lacking.

Pure functions over the prefix's metadata and the wheels. The order and the refusals are pip's own
(``operations/install/wheel.py``, ``req/req_uninstall.py``, the resolver's topological order).
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from abicheck.inputs.markers import marker_environment, marker_holds
from abicheck.inputs.requests import Inputs, Missing, Request
from abicheck.prefix import CondaRecord, Distribution, Layout, Prefix
from abicheck.uninstall import Removal, uninstall
from abicheck.wheel import Target, Wheel, plan_install


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One wheel that pip will install, and the files it writes (paths as they are after links in the prefix)."""

    request: Request
    targets: tuple[Target, ...]

    @property
    def wheel(self) -> Wheel:
        return self.request.wheel


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """An installed distribution that a wheel takes the place of. ``removed``: files that go with it (prefix-relative).

    ``refusal``: why pip cannot remove it (then pip stops), in pip's words; empty when it can.
    """

    dist: Distribution
    wheel: Wheel
    removed: tuple[str, ...]
    refusal: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Unchanged:
    """A wheel whose version is installed already: pip leaves it alone."""

    request: Request
    dist: Distribution


Lack = Literal["fetch", "replace", "conflict"]


@dataclass(frozen=True, slots=True, eq=False)
class Unsatisfied:
    """A requirement of a wheel that neither the prefix nor the transaction meets.

    ``kind``: fetch (nothing of that name is there), replace (another version is there: pip replaces it), conflict (the
    transaction's own wheel of that name does not meet it: pip refuses). ``installed``: what is there now.
    """

    requirement: str
    name: NormalizedName
    specifier: str
    needed_by: Wheel
    kind: Lack
    installed: Distribution | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Overwrite:
    """A file that exists and that a wheel writes over. ``owners``: conda packages whose records list it; ``dist``: the
    distribution that pip put it there for; ``by``: another wheel of the transaction that wrote it before; ``link``: it
    is a symbolic link now, and becomes a file."""

    path: str
    wheel: Wheel
    target: Target
    owners: tuple[CondaRecord, ...]
    dist: Distribution | None = None
    by: Wheel | None = None
    link: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Obstacle:
    """What stops pip in the middle: ``path`` is a directory where the wheel has a file (``folder``), or a file where
    the wheel has a directory. ``target``: the first file that pip cannot write."""

    path: str
    wheel: Wheel
    target: Target
    folder: bool


@dataclass(frozen=True, slots=True, eq=False)
class Transaction:
    """Everything one call does. ``removed``: paths that are gone afterwards; ``written``: path to the plan whose file
    stays there."""

    prefix: Prefix
    plans: tuple[Plan, ...]
    replaced: tuple[Replacement, ...] = ()
    unchanged: tuple[Unchanged, ...] = ()
    unsatisfied: tuple[Unsatisfied, ...] = ()
    missing: tuple[Missing, ...] = ()
    overwritten: tuple[Overwrite, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    removed: frozenset[str] = frozenset()
    written: Mapping[str, tuple[Plan, Target]] = field(default_factory=dict)

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        return tuple(p.wheel for p in self.plans)


def plan_transaction(
    prefix: Prefix, inputs: Inputs, layout: Layout, *, compiles: Callable[[Wheel, str], bool] | None = None
) -> Transaction:
    """Work out what installing ``inputs`` into ``prefix`` does. Nothing is run, fetched or written.

    ``compiles``: whether the prefix's Python accepts a ``.py`` member (else pip leaves no bytecode of it); default:
    all.
    """
    going, unchanged = _split(prefix, inputs.requests)
    ordered = install_order(prefix, going)
    state = _State(prefix)
    plans, replaced = [], []
    for request in ordered:
        dist = prefix.distribution(request.wheel.name)
        if dist is not None:
            removal = uninstall(prefix, dist, state.exists)
            state.remove(removal)
            replaced.append(Replacement(dist, request.wheel, removal.paths, removal.refusal))
        plan = _plan(prefix, request, layout, compiles)
        state.write(plan)
        plans.append(plan)
    return Transaction(
        prefix=prefix,
        plans=tuple(plans),
        replaced=tuple(replaced),
        unchanged=tuple(unchanged),
        unsatisfied=tuple(unsatisfied(prefix, [r.wheel for r in inputs.requests])),
        missing=inputs.missing,
        overwritten=tuple(state.overwritten),
        obstacles=tuple(state.obstacles),
        removed=frozenset(state.removed),
        written=state.written,
    )


def _split(prefix: Prefix, requests: Iterable[Request]) -> tuple[list[Request], list[Unchanged]]:
    """pip does not reinstall a version that is there already, not even from a wheel given by path; an editable install
    gives way all the same (``resolution/resolvelib/resolver.py``)."""
    going, unchanged = [], []
    for request in requests:
        dist = prefix.distribution(request.wheel.name)
        if dist is not None and _equal(dist.version, request.wheel.version) and not dist.editable:
            unchanged.append(Unchanged(request, dist))
        else:
            going.append(request)
    return going, unchanged


def _equal(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _plan(prefix: Prefix, request: Request, layout: Layout, compiles: Callable[[Wheel, str], bool] | None) -> Plan:
    """The wheel's targets with directories that are links in the prefix followed (``lib64`` -> ``lib``)."""
    accepts = functools.partial(compiles, request.wheel) if compiles is not None else None
    raw = plan_install(
        request.wheel, layout, requested=request.requested, direct_url=request.direct_url, compiles=accepts
    )
    targets = {(real := prefix.real_parent(t.path)): Target(real, t.member, t.kind) for t in raw}
    return Plan(request, tuple(targets.values()))


class _State:
    """The prefix's files while pip works through the transaction, wheel by wheel."""

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix
        self.removed: set[str] = set()
        self.written: dict[str, tuple[Plan, Target]] = {}
        self.overwritten: list[Overwrite] = []
        self.obstacles: list[Obstacle] = []
        self._names: dict[str, str] = {}
        self._folders: set[str] = set()  # no file stands in their place

    def exists(self, path: str) -> bool:
        """Whether a file is there now: written before, or in the prefix and not yet removed."""
        return path in self.written or (path not in self.removed and self._prefix.has(path))

    def remove(self, removal: Removal) -> None:
        self._folders.clear()
        for path in removal.paths:
            self.written.pop(path, None)
            self.removed.add(path)

    def write(self, plan: Plan) -> None:
        for target in plan.targets:
            there = self._prefix.existing(target.path)
            path = self._spelled(there or target.path)
            obstacle = self._obstacle(plan, target, path, there is not None)
            if obstacle is not None:
                self.obstacles.append(obstacle)
                return
            earlier = self.written.get(path)
            if earlier is not None:
                by = earlier[0].wheel
                self.overwritten.append(Overwrite(path, plan.wheel, target, (), by=by))
            elif path not in self.removed and self._prefix.has(path, follow=False) and not self._is_folder(path):
                self._note(plan, target, path)
            self.removed.discard(path)
            self.written[path] = (plan, target)

    def _spelled(self, path: str) -> str:
        """A path by the name under which it was written first, where letter case does not count."""
        return self._names.setdefault(self._prefix.key(path), path)

    def _obstacle(self, plan: Plan, target: Target, path: str, there: bool) -> Obstacle | None:
        """A directory in the place of a file, or a file in the place of a directory above it: an OSError stops pip."""
        prefix = self._prefix
        if there and self._is_folder(path) and self._holds_files(path):
            return Obstacle(path, plan.wheel, target, True)
        folder = posixpath.dirname(path)
        while folder and folder not in self._folders:
            if folder in self.written or (folder not in self.removed and prefix.is_file(folder)):
                return Obstacle(folder, plan.wheel, target, False)
            self._folders.add(folder)
            folder = posixpath.dirname(folder)
        return None

    def _is_folder(self, path: str) -> bool:
        return self._prefix.is_folder(path) and not self._prefix.is_link(path)

    def _holds_files(self, folder: str) -> bool:
        """Whether anything is left in a directory: pip removes those that become empty."""
        listing = self._prefix.files.listing(folder) or {}
        paths = ((posixpath.join(folder, n), e) for n, e in listing.items())
        return any(self._holds_files(p) if e.kind == "dir" else p not in self.removed for p, e in paths)

    def _note(self, plan: Plan, target: Target, path: str) -> None:
        owners, dist = self._prefix.owners(path), self._prefix.pip_owner(path)
        link = self._prefix.is_link(path)
        self.overwritten.append(Overwrite(path, plan.wheel, target, owners, dist, link=link))


# -- requirements --------------------------------------------------------------


def requirements_of(prefix: Prefix, lines: Iterable[str], extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """Requires-Dist lines that apply to the prefix's interpreter. A line that is none is left out (pip says so)."""
    if prefix.interpreter is None:
        return
    environment = marker_environment(prefix.interpreter, prefix.subdir)
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if marker_holds(requirement.marker, environment, extras):
            yield requirement


def unsatisfied(prefix: Prefix, wheels: Sequence[Wheel]) -> Iterator[Unsatisfied]:
    """What the wheels require and will not find, extras of requirements on installed projects followed."""
    own = {w.name: w for w in wheels}
    for wheel in wheels:
        seen: set[tuple[str, frozenset[str]]] = set()
        for requirement in requirements_of(prefix, wheel.requires_dist, wheel.requested_extras):
            yield from _check(prefix, own, wheel, requirement, seen)


def _check(
    prefix: Prefix, own: Mapping[str, Wheel], wheel: Wheel, requirement: Requirement,
    seen: set[tuple[str, frozenset[str]]],
) -> Iterator[Unsatisfied]:  # fmt: skip
    name = canonicalize_name(requirement.name)
    key = (name, frozenset(requirement.extras))
    if key in seen:
        return
    seen.add(key)
    specifier = str(requirement.specifier)
    mate, dist = own.get(name), prefix.distribution(name)
    if mate is not None:
        if not holds(requirement, mate.version):
            yield Unsatisfied(str(requirement), name, specifier, wheel, "conflict", dist)
        lines: Iterable[str] = mate.requires_dist
    elif dist is None:
        yield Unsatisfied(str(requirement), name, specifier, wheel, "fetch")
        return
    elif not holds(requirement, dist.version):
        yield Unsatisfied(str(requirement), name, specifier, wheel, "replace", dist)
        return
    else:
        lines = dist.requires_dist
    if requirement.extras:
        plain = {str(r) for r in requirements_of(prefix, lines)}
        for below in requirements_of(prefix, lines, requirement.extras):
            if str(below) not in plain:
                yield from _check(prefix, own, wheel, below, seen)


def holds(requirement: Requirement, version: str) -> bool:
    """Whether a version meets a requirement, as pip asks it of what is installed (pre-releases count). A version that
    is told elsewhere (an ``.egg-link``) is not judged."""
    if not version:
        return True
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


# -- order ---------------------------------------------------------------------


def install_order(prefix: Prefix, requests: Sequence[Request]) -> tuple[Request, ...]:
    """The order pip installs in: what others need first; ties by name, backwards (``get_topological_weights``)."""
    graph = _graph(prefix, requests)
    weights: dict[str, int] = {}
    left = dict(graph)
    while True:
        leaves = [n for n, below in left.items() if not any(b in left for b in below)]
        if not leaves:
            break
        # The resolver's graph has a root that stays: n nodes here are n + 1 there.
        weights |= dict.fromkeys(leaves, len(left))
        for name in leaves:
            del left[name]
    for name in left:  # a cycle: deeper first is not defined, so all at the root's depth
        weights[name] = 0
    return tuple(sorted(requests, key=lambda r: (weights[r.wheel.name], r.wheel.name), reverse=True))


def _graph(prefix: Prefix, requests: Sequence[Request]) -> Mapping[str, set[str]]:
    """Who needs whom: the wheels, and the installed distributions reached from them."""
    wheels = {r.wheel.name: r.wheel for r in requests}
    graph: dict[str, set[str]] = {}
    todo: list[tuple[str, frozenset[str]]] = [(n, w.requested_extras) for n, w in wheels.items()]
    seen = set(todo)
    while todo:
        name, extras = todo.pop()
        wheel, dist = wheels.get(NormalizedName(name)), prefix.distribution(name)
        lines = wheel.requires_dist if wheel is not None else dist.requires_dist if dist is not None else ()
        below = graph.setdefault(name, set())
        for requirement in requirements_of(prefix, lines, extras):
            needed = canonicalize_name(requirement.name)
            if needed in wheels or prefix.distribution(needed) is not None:
                below.add(needed)
                item = (needed, frozenset(requirement.extras))
                if item not in seen:
                    seen.add(item)
                    todo.append(item)
        below.discard(name)
    return graph


def site_relative(layout: Layout, path: str) -> str | None:
    """A path below site-packages as Python sees it, None for others."""
    return path[len(layout.purelib) + 1 :] if path.startswith(posixpath.join(layout.purelib, "")) else None
