"""Copies of runtimes inside files of other purposes: linked in statically, and named by nothing (RT-2).

Reading every file for the texts of every runtime would take longer than everything else, and most copies that nobody
sees do nothing to each other. So it is looked for only where it decides something: LLVM's OpenMP in what the
environment's packages load, when a subject brings a copy of it; and every runtime in two files between which a binding
of its own symbols moved.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterator

from abicheck.evidence.embedded import embedded
from abicheck.knowledge.runtimes import Recognised, families, recognise
from abicheck.loader.capture import is_standard
from abicheck.loader.scenarios import Group
from abicheck.rules.copies import Copy, Crossing, Pair, exports, pairs, shared_constant, standing_copies, subject_copies
from abicheck.rules.scene import Scene


@functools.cache
def hidden_pairs(scene: Scene) -> tuple[Pair, ...]:
    """Pairs of which at least one copy is recognised by nothing but its content."""
    known = {frozenset((p.mine.path, p.other.path)) for p in pairs(scene)}
    found = {frozenset((p.mine.path, p.other.path)): p for p in (*_openmp(scene), *_crossed(scene))}
    return tuple(p for files, p in found.items() if files not in known)


def _openmp(scene: Scene) -> Iterator[Pair]:
    mine = [(g, c) for g in scene.subjects for c in subject_copies(scene, g) if c.what.member == "kmp"]
    if not mine:
        return
    there = {c.path for c in standing_copies(scene) if c.liveness == "mapped"}
    for copy in _standing_static(scene):
        for group, own in mine:
            if own.path != copy.path and own.path not in there:
                yield Pair(group, own, copy)


def _standing_static(scene: Scene) -> Iterator[Copy]:
    """LLVM's OpenMP inside files that the environment's packages load."""
    seen = set()
    for bare in scene.bystanders:
        group = scene.full(bare)
        for o in scene.stage.scout.run(group).trace.objects:
            if not o.kept or o.event == 0 or o.real in seen or not o.real.startswith(scene.view.root + "/"):
                continue
            seen.add(o.real)
            origin = scene.view.origin(o.real)
            if origin in scene.subject_origins or recognise(None, posixpath.basename(o.real)) is not None:
                continue
            what, proof = _inside(scene, o.real, "openmp")
            if what is not None and what.member == "kmp":
                yield Copy(o.real, what, origin, "mapped", frozenset(), True, proof, (group,), group.label)


def _inside(scene: Scene, real: str, family: str) -> tuple[Recognised | None, str]:
    """A runtime of the family inside a file, and the text that shows it."""
    inside = scene.view.ask(real, lambda source: embedded(source, family))
    return (
        (Recognised(family, inside[0].member, "static", inside[0].version), inside[0].proof) if inside else (None, "")
    )


def _crossed(scene: Scene) -> Iterator[Pair]:
    """Runtimes in two files between which one of their own symbols moved or was merged."""
    found: dict[tuple[str, frozenset[str]], dict[tuple[str, str], tuple[Crossing, Group]]] = {}
    for meeting, diff in scene.differences:
        order = (diff.first.label, diff.second.label)
        for b in diff.bindings:
            if b.after is None or b.before is None or b.before == b.after or is_standard(b.symbol):
                continue
            if b.before not in diff.run.by_real:
                continue  # captured as a whole (ELF-2): only the other copy is there
            family = _family_of(b.symbol)
            if family is not None and not shared_constant(scene, b):
                at = found.setdefault((family, frozenset((b.before, b.after))), {})
                at.setdefault(order, (Crossing(b, order), meeting.a))
    for (family, files), by_order in found.items():
        (group, *_) = (g for _, g in by_order.values())
        copies = [_copy(scene, real, family, group) for real in sorted(files, key=lambda f: not _of(scene, group, f))]
        if len(copies) == 2 and copies[0] is not None and copies[1] is not None:
            yield Pair(group, copies[0], copies[1], crossed=tuple(c for c, _ in by_order.values()))


def _family_of(symbol: str) -> str | None:
    return next((f.name for f in families() for m in f.members if m.symbols and m.symbols.search(symbol)), None)


def _of(scene: Scene, group: Group, real: str) -> bool:
    return scene.view.origin(real) == group.origin


def _copy(scene: Scene, real: str, family: str, group: Group) -> Copy | None:
    """The copy of a family in a file: by name, by what it exports, or by its content."""
    binary, _ = scene.read(real)
    identity = binary.slices[0].identity if binary is not None else None
    what, proof = recognise(identity, posixpath.basename(real), exports(binary)), ""
    if what is None or what.family != family:
        what, proof = _inside(scene, real, family)
    if what is None:
        return None
    origin = scene.view.origin(real)
    users = (group,) if origin == group.origin else tuple(g for g in scene.bystanders if g.origin == origin)
    return Copy(real, what, origin, "mapped", frozenset(), True, proof, users)
