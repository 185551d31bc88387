"""Who else brings the import packages that a wheel brings: shared by the rules about files and about names."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from abicheck.model import Origin
from abicheck.prefix import CondaRecord, Distribution, Prefix
from abicheck.rules.ownership import is_twin, wheel_origin
from abicheck.rules.packages import import_packages
from abicheck.transaction import Transaction, site_relative
from abicheck.wheel import Wheel

_INCIDENTAL = frozenset({"tests", "test", "testing", "docs", "doc", "examples", "example", "benchmarks", "benchmark",
                         "scripts", "tools", "samples"})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Provider:
    """Somebody who puts files into site-packages. ``files``: relative to it."""

    origin: Origin
    project: str
    files: tuple[str, ...]
    dist: Distribution | None = None
    record: CondaRecord | None = None
    wheel: Wheel | None = None

    @functools.cached_property
    def packages(self) -> Mapping[str, tuple[str, ...]]:
        """What it lets people import: dotted name to files."""
        return import_packages(self.files)


@dataclass(frozen=True, eq=False)
class Overlap:
    """Two projects with files in the same import packages. ``names``: those packages, dotted and sorted."""

    one: Provider
    other: Provider
    names: tuple[str, ...]

    @property
    def serious(self) -> tuple[str, ...]:
        """Without folders of tests and the like, which nobody imports."""
        return tuple(n for n in self.names if n.partition(".")[0] not in _INCIDENTAL)

    @property
    def files(self) -> frozenset[str]:
        """Files of the first project in the packages that somebody imports."""
        return frozenset(f for n in self.serious for f in self.one.packages[n])

    @property
    def remains(self) -> bool:
        """Whether a file of the other is still there when the first one's are written over it."""
        return any(set(self.other.packages[n]) - set(self.one.packages[n]) for n in self.names)


@functools.lru_cache(maxsize=1)  # two rules ask
def overlaps(transaction: Transaction) -> tuple[Overlap, ...]:
    """Wheels against what is installed and stays, and against each other."""
    prefix = transaction.prefix
    layout = prefix.layout
    if layout is None:
        return ()
    gone = {r.dist.name for r in transaction.replaced} | {p.wheel.name for p in transaction.plans}
    mine = []
    for plan in transaction.plans:
        paths = [p for t in plan.targets if t.kind == "file" and (p := site_relative(layout, t.path)) is not None]
        mine.append(Provider(wheel_origin(plan.wheel), plan.wheel.name, tuple(paths), wheel=plan.wheel))
    removed = frozenset(path for r in transaction.replaced for path in r.removed)
    others = [p for p in _providers(prefix, removed) if p.project not in gone]
    found = []
    for n, one in enumerate(mine):
        wheel = transaction.plans[n].wheel
        for other in (*mine[n + 1 :], *others):
            if other.record is not None and other.dist is None and is_twin(prefix, wheel, other.record):
                continue
            found.append(_overlap(prefix, one, other))
    return tuple(o for o in found if o is not None)


def installed_overlaps(prefix: Prefix) -> Iterator[Overlap]:
    """For an audit: distributions of pip against everybody else."""
    found = list(_providers(prefix, frozenset()))
    for n, one in enumerate(found):
        for other in found[n + 1 :]:
            if "pip" in (one.origin.kind, other.origin.kind):
                first, second = (one, other) if one.origin.kind == "pip" else (other, one)
                overlap = _overlap(prefix, first, second)
                if overlap is not None:
                    yield overlap


def _providers(prefix: Prefix, removed: frozenset[str]) -> Iterator[Provider]:
    """Installed distributions, and conda packages with importable files that no distribution of theirs accounts for.

    ``removed``: what pip takes away first does not overlap with anything.
    """
    layout = prefix.layout
    if layout is None:
        return
    by_owner: dict[str, list[Distribution]] = {}
    for dist in prefix.distributions:
        if dist.owner is not None and dist.by_conda:
            by_owner.setdefault(dist.owner.name, []).append(dist)
        else:
            yield Provider(dist.origin, dist.name, _inside(prefix, dist.files, removed), dist)
    for record in prefix.records:
        files = _inside(prefix, record.files, removed)
        if not files or prefix.is_hollowed(record):
            continue
        dists = by_owner.get(record.name, [])
        if len(dists) == 1:
            yield Provider(record.origin, dists[0].name, files, dists[0], record)
        else:
            yield Provider(record.origin, record.name, files, None, record)


def _inside(prefix: Prefix, paths: Iterable[str], removed: frozenset[str]) -> tuple[str, ...]:
    layout = prefix.layout
    assert layout is not None
    return tuple(p for path in paths if path not in removed and (p := site_relative(layout, path)) is not None)


def _overlap(prefix: Prefix, one: Provider, other: Provider) -> Overlap | None:
    if one.project == other.project:
        return None
    ours, theirs = one.packages, other.packages
    shared = sorted(ours.keys() & theirs.keys())
    names = tuple(s for s in shared if not _is_shared_namespace(prefix, s, ours, theirs))
    return Overlap(one, other, names) if names else None


def _is_shared_namespace(
    prefix: Prefix, name: str, ours: Mapping[str, tuple[str, ...]], theirs: Mapping[str, tuple[str, ...]]
) -> bool:
    """Old namespaces have an ``__init__`` that everybody ships alike: pkgutil's or pkg_resources' one line."""
    init = name.replace(".", "/") + "/__init__.py"
    if init not in ours[name] or init not in theirs[name] or prefix.layout is None:
        return False
    data = prefix.read(f"{prefix.layout.purelib}/{init}") or b""
    return b"extend_path" in data or b"declare_namespace" in data
