"""What a subject's tags promise, and which of its files a process really maps: shared by ABI002, ABI003 and ABI004."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from packaging.tags import Tag

from abicheck.distinfo import parse_wheel_file
from abicheck.host import version_key
from abicheck.knowledge.policies import Policy, policy
from abicheck.loader.process import Failure
from abicheck.model import Origin
from abicheck.rules.scene import LoadFailure, Native, Scene


def tags_of(scene: Scene, subject: Origin) -> frozenset[Tag]:
    """Tags of a wheel's name; for a distribution that is installed already, those of its WHEEL file. Empty: unknown."""
    for placed in scene.stage.placed:
        if placed.origin == subject:
            return placed.wheel.tags
    for dist in scene.prefix.distributions:
        if dist.origin == subject:
            text = scene.view.read_text(posixpath.join(scene.view.root, dist.path, "WHEEL"))
            return parse_wheel_file(text.encode()).tags if text else frozenset()
    return frozenset()


def mapped(scene: Scene, subject: Origin) -> tuple[Native, ...]:
    """Native files of a subject that importing it maps, or tries to map: nobody else can be hurt by what they need."""
    group = next((g for g in scene.subjects if g.origin == subject), None)
    if group is None:
        return ()
    reached = {u.path for u in group.units} | {e.open for e in group.prelude}
    if group.units or group.prelude:
        reached |= {o.real for o in scene.run_of(group).trace.objects}
    return tuple(n for n in scene.natives[subject] if n.path in reached)


def strictest(policies: Iterable[Policy]) -> Policy | None:
    """Of several promises the one that allows least: a wheel with many tags makes all of them."""
    return min(policies, key=lambda p: p.glibc or (9, 9), default=None)


def glibc_promise(scene: Scene, subject: Origin) -> Policy | None:
    """The strictest manylinux promise of a subject's tags; None when it makes none."""
    found = (policy(t.platform) for t in tags_of(scene, subject))
    return strictest(p for p in found if p is not None and p.glibc is not None)


def breaks_promise(scene: Scene, failure: Failure) -> bool:
    """Whether a missing version of glibc's is above what the tags of the file's own wheel promise."""
    promise = glibc_promise(scene, scene.view.origin(scene.view.lookup(failure.requester).real))
    allowed = promise.ceilings.get("GLIBC") if promise is not None else None
    return allowed is not None and version_key(failure.version) > version_key(allowed)


def by_importance(f: LoadFailure) -> tuple[int, str]:
    """Sort key: what importing the project is certain to load comes first."""
    return f.rank, name_of(f)


def name_of(f: LoadFailure) -> str:
    """The module that is loaded, or the file when no import names it."""
    return f.unit.module or posixpath.basename(f.unit.path)
