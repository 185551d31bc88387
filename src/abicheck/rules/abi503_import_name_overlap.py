"""Another distribution provides the same import package under another name.

## What happens

Two projects put files into one package folder (`opencv-python` and conda's `opencv` both bring `cv2`). The second one
installed overwrites what has the same name and leaves the rest of the first in place, so the import may mix modules of
both. Removing either removes files of the other.

## Why: the loader rule

All of site-packages is one folder for the importer: a package folder wins over a module of the same name, and inside a
folder the extension suffixes decide (PY-7). pip compares project names, not files, so it sees no conflict (PY-18).
Folders without an `__init__` (namespaces) are made to be shared and do not count.

## Example

```
cv2/__init__.py, cv2/cv2.abi3.so     opencv-python 4.10
cv2.cpython-312-x86_64-linux-gnu.so  conda py-opencv 4.10      (never imported again: the folder wins)
```

## What to do

1. Keep one of the two: remove the other first.
2. Prefer the one that the rest of the environment was built for.

## When this is wrong

- One project is a stub or a compatibility shim of the other and says so.
- The shared name is a folder of tests or examples that nobody imports (then this is a note).

## References

Python language reference, section 5 (import system); pip `_internal/operations/install/wheel.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from abicheck.model import Confidence, Fact, FileRef, Finding, Origin, Remedy, Severity
from abicheck.prefix import CondaRecord, Distribution, Prefix
from abicheck.rules import Rule
from abicheck.rules.ownership import is_twin, twin_of, wheel_origin
from abicheck.rules.packages import import_packages
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_install, listed, sentence
from abicheck.transaction import Transaction, site_relative

RULE = Rule(
    id="ABI503",
    name="import-name-overlap",
    severity="warning",
    classes=("OWNERSHIP",),
    platforms=("linux", "osx", "win"),
    summary="Another distribution provides the same import package under another name",
    since="0.1",
)
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

    @functools.cached_property
    def packages(self) -> Mapping[str, tuple[str, ...]]:
        """What it lets people import: dotted name to files."""
        return import_packages(self.files)


def check(scene: Scene) -> Iterator[Finding]:
    if scene.transaction is not None:
        yield from judge(scene.transaction)
    else:
        yield from judge_installed(scene.prefix)


def judge(transaction: Transaction) -> Iterator[Finding]:
    """Wheels against what is installed and stays, and against each other."""
    prefix = transaction.prefix
    layout = prefix.layout
    if layout is None:
        return
    gone = {r.dist.name for r in transaction.replaced} | {p.wheel.name for p in transaction.plans}
    mine = []
    for plan in transaction.plans:
        paths = [p for t in plan.targets if t.kind == "file" and (p := site_relative(layout, t.path)) is not None]
        mine.append(Provider(wheel_origin(plan.wheel), plan.wheel.name, tuple(paths)))
    others = [p for p in providers(prefix) if p.project not in gone]
    for n, one in enumerate(mine):
        wheel = transaction.plans[n].wheel
        for other in (*mine[n + 1 :], *others):
            if other.record is not None and other.dist is None and is_twin(prefix, wheel, other.record):
                continue
            yield from _overlap(prefix, one, other)


def judge_installed(prefix: Prefix) -> Iterator[Finding]:
    """For an audit: distributions of pip against everybody else."""
    found = list(providers(prefix))
    for n, one in enumerate(found):
        for other in found[n + 1 :]:
            pips = [p for p in (one, other) if p.origin.kind == "pip"]
            if pips and one.project != other.project:
                first = pips[0]
                yield from _overlap(prefix, first, other if first is one else one)


def providers(prefix: Prefix) -> Iterator[Provider]:
    """Installed distributions, and conda packages with importable files that no distribution of theirs accounts for."""
    layout = prefix.layout
    if layout is None:
        return
    by_owner: dict[str, list[Distribution]] = {}
    for dist in prefix.distributions:
        if dist.owner is not None and dist.by_conda:
            by_owner.setdefault(dist.owner.name, []).append(dist)
        else:
            yield Provider(dist.origin, dist.name, _inside(prefix, dist.files), dist)
    for record in prefix.records:
        files = _inside(prefix, record.files)
        if not files or prefix.is_hollowed(record):
            continue
        dists = by_owner.get(record.name, [])
        if len(dists) == 1:
            yield Provider(record.origin, dists[0].name, files, dists[0], record)
        else:
            yield Provider(record.origin, record.name, files, None, record)


def _inside(prefix: Prefix, paths: Iterable[str]) -> tuple[str, ...]:
    layout = prefix.layout
    assert layout is not None
    return tuple(p for path in paths if (p := site_relative(layout, path)) is not None)


def _overlap(prefix: Prefix, one: Provider, other: Provider) -> Iterator[Finding]:
    if one.project == other.project:
        return
    ours, theirs = one.packages, other.packages
    shared = sorted(ours.keys() & theirs.keys())
    shared = [s for s in shared if not _is_shared_namespace(prefix, s, ours, theirs)]
    if not shared:
        return
    serious = [s for s in shared if s.partition(".")[0] not in _INCIDENTAL]
    name = (serious or shared)[0]
    same = sorted(set(ours[name]) & set(theirs[name]))
    layout = prefix.layout
    assert layout is not None
    subject = FileRef(f"{layout.purelib}/{_face(ours[name])}", one.origin)
    target = FileRef(f"{layout.purelib}/{_face(theirs[name])}", other.origin)
    also = f" (and {len(shared) - 1} more)" if len(shared) > 1 else ""
    twin = twin_of(prefix, one.project)
    remedies = [Remedy(f"keep one of the two: remove {other.origin.label} first", _remove(prefix, other))]
    if twin is not None and twin.record is None and one.origin.kind == "wheel":
        remedies.append(Remedy("or take the conda package of the project", conda_install(prefix.display, twin.conda)))
    yield Finding(
        rule=RULE.id,
        severity=Severity.WARNING if serious else Severity.NOTE,
        confidence=Confidence.HIGH,
        what=sentence(f"`import {name}` will find files of both {one.origin.label} and {other.origin.label}{also}."),
        why=(
            Fact(f"brings {name} with {len(ours[name])} files", subject, loader_rule="PY-18"),
            Fact(f"brings {name} with {len(theirs[name])} files", target, loader_rule="PY-18"),
            Fact(_mixture(same, theirs[name]), loader_rule="PY-7"),
        ),
        remedies=tuple(remedies),
        key=name,
        wheel=one.origin,
        conda_package=other.origin if other.origin.kind == "conda" else None,
        subject=subject,
        object=target,
    )


def _face(paths: tuple[str, ...]) -> str:
    """The file that stands for a package: its ``__init__``, else a module, else the first."""
    return min(paths, key=lambda p: ("/__init__." not in p, not p.endswith((".py", ".so", ".pyd")), p.count("/"), p))


def _mixture(same: list[str], theirs: tuple[str, ...]) -> str:
    left = len(theirs) - len(same)
    if not same:
        return f"no file has the same name: all {left} of the other stay and may be imported with these"
    return f"{len(same)} files have the same name, the later install wins: {listed(same)}; {left} of the other stay"


def _remove(prefix: Prefix, provider: Provider) -> str:
    if provider.origin.kind == "conda":
        return f"conda remove -n {prefix.display} {provider.origin.name}"
    return f"pip uninstall {provider.project}"


def _is_shared_namespace(
    prefix: Prefix, name: str, ours: Mapping[str, tuple[str, ...]], theirs: Mapping[str, tuple[str, ...]]
) -> bool:
    """Old namespaces have an ``__init__`` that everybody ships alike: pkgutil's or pkg_resources' one line."""
    init = name.replace(".", "/") + "/__init__.py"
    if init not in ours[name] or init not in theirs[name] or prefix.layout is None:
        return False
    data = prefix.read(f"{prefix.layout.purelib}/{init}") or b""
    return b"extend_path" in data or b"declare_namespace" in data
