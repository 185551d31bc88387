"""The search finds another file than the one that was shipped with, or built for, the requester.

## What happens

A library of the wheel is there, under the right name, and is not used: an equally named one stands earlier in the
search. Or the other way round: the wheel puts a library into a directory that conda's packages search, and they take
it.

## Why: the loader rule

A file without DT_RPATH of its own inherits that of the interpreter, `$ORIGIN/../lib`, so the environment's library
comes before the one beside it (ELF-9, CL-1). A file with DT_RUNPATH skips the environment and reaches the system's
(ELF-11). Files of a wheel's data scheme land in `lib/`, on the interpreter's own path (PY-12). On Windows the directory
of the `.pyd` and that of python.exe come before added directories (WIN-4), and a directory that a `.pth` file of the
wheel adds at start-up is searched for everybody, before or after the environment's own (WIN-6; WIN-5: the order is not
documented, and the result is a model's).

## Example

```
pkg/_core.so              NEEDED libfoo.so.1, no DT_RPATH
pkg/libs/libfoo.so.1      shipped with it
lib/libfoo.so.1           from conda foo 1.2: this one is found
```

## What to do

1. Take the conda build of the project.
2. Tell the wheel's authors: the extension needs a DT_RPATH to its own libraries.

## When this is wrong

- The two files are compatible builds: then this is a note.

## References

glibc elf/dl-load.c `_dl_map_new_object`; pip operations/install/wheel.py (where data files go).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from abicheck.loader.process import Edge, Mapped
from abicheck.loader.scenarios import Group, MovedLibrary
from abicheck.model import Confidence, Fact, Finding, Severity
from abicheck.rules import Rule
from abicheck.rules.builds import compare
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, conda_among, listed, ref, sentence, tried

RULE = Rule(
    id="ABI104",
    name="library-shadowed",
    severity="by consequence",
    classes=("SHADOWED_LIB",),
    platforms=("linux", "osx", "win"),
    summary="The search picks another file than the one shipped with or built for the requester",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    for group in scene.subjects:
        if group.units:
            yield from _passed_over(scene, group)
    yield from _taken_over(scene)


def _passed_over(scene: Scene, group: Group) -> Iterator[Finding]:
    """Libraries the wheel ships under the name that was asked for, while another file serves."""
    shipped: dict[str, str] = {}
    for native in scene.natives[group.origin]:
        for name in (base(native.path), native.binary.slices[0].identity if native.binary else None):
            if name:
                shipped.setdefault(_name(scene, name), native.path)
    run = scene.run_of(group)
    objects = run.trace.objects
    seen: set[tuple[str, str]] = set()
    for edge in run.trace.edges:
        own = shipped.get(_name(scene, edge.name))
        if edge.provider is None or own is None or not objects[edge.requester].kept:
            continue
        requester, provider = objects[edge.requester], objects[edge.provider]
        real = scene.view.lookup(own).real
        if provider.real == real or not provider.real.startswith("/"):
            continue
        if scene.view.origin(requester.real) != group.origin:
            continue
        if scene.view.origin(provider.real) == group.origin or (edge.name, provider.real) in seen:
            continue
        seen.add((edge.name, provider.real))
        yield _finding(scene, group, edge, requester, provider, real)


def _taken_over(scene: Scene) -> Iterator[Finding]:
    """Libraries of the wheel that others will take, because they come to stand before the ones found today."""
    moved: dict[tuple[str, str, str], list[tuple[Group, MovedLibrary]]] = {}
    for group, m in scene.taken_over:
        assert m.before and m.after
        if not compare(scene, m.before, m.after).same_content:
            moved.setdefault((m.name, m.before, m.after), []).append((group, m))
    for (name, before, after), who in moved.items():
        yield _taken(scene, name, before, after, who)


def _taken(scene: Scene, name: str, before: str, after: str, who: list[tuple[Group, MovedLibrary]]) -> Finding:
    twins = compare(scene, before, after)
    found, passed = ref(scene.view, after), ref(scene.view, before)
    user, edge = ref(scene.view, who[0][1].requester), who[0][1].edge
    assert found is not None and passed is not None
    labels = list(dict.fromkeys(group.label for group, _ in who))
    place = f"{edge.how} of {posixpath.basename(edge.how_owner) or 'the search'}"
    certain = edge.rule != "WIN-5"  # the order of added directories is not documented: a model's
    return Finding(
        rule=RULE.id,
        severity=Severity.NOTE if twins.same_content or twins.upward else Severity.WARNING,
        confidence=Confidence.HIGH if certain else Confidence.MEDIUM,
        what=sentence(
            f"`import {labels[0]}` will use the {name} of {found.origin.label} instead of {passed.origin.label}'s."
        ),
        why=(
            Fact(f"needs {name}", user),
            Fact(
                f"is found first after the install ({place})", found, loader_rule=edge.rule,
                attempts=tried(scene.view, edge.attempts),
            ),
            Fact("is what is found today" + ("" if certain else "; which of the two directories comes first is not "
                 "documented, so either project may get the other's"), passed),
            *([Fact(f"the same holds for {listed(labels[1:])}")] if labels[1:] else ()),
        ),
        remedies=(use_conda_build(scene, found.origin.name),),
        key=f"{name} taken",
        wheel=found.origin,
        conda_package=conda_among(passed.origin, who[0][0].origin),
        subject=found,
        object=passed,
    )  # fmt: skip


def _name(scene: Scene, name: str) -> str:
    """Windows compares names without case (WIN-1)."""
    return name.lower() if scene.system == "win" else name


def _finding(scene: Scene, group: Group, edge: Edge, requester: Mapped, provider: Mapped, own: str) -> Finding:
    twins = compare(scene, own, provider.real)
    asked, served, shipped = (ref(scene.view, p) for p in (requester.real, provider.real, own))
    assert served is not None and shipped is not None
    harmless = twins.same_content or twins.upward
    conda = conda_among(served.origin)
    return Finding(
        rule=RULE.id,
        severity=Severity.NOTE if harmless else Severity.WARNING,
        # Where the order of directories is not documented the result is a model's (WIN-5).
        confidence=Confidence.HIGH if conda and edge.rule != "WIN-5" else Confidence.MEDIUM,
        what=sentence(
            f"{group.label} will use {served.origin.label}'s {edge.name}, not the copy that its wheel ships."
        ),
        why=(
            Fact(f"needs {edge.name}", asked),
            Fact(f"is found first ({edge.how} of {posixpath.basename(edge.how_owner) or 'the system'})", served,
                 loader_rule=edge.rule, attempts=tried(scene.view, edge.attempts)),
            Fact("is the wheel's own copy, which is not reached", shipped),
        ),
        remedies=(use_conda_build(scene, group.origin.name),),
        key=edge.name,
        wheel=group.origin,
        conda_package=conda,
        subject=asked,
        object=served,
        depends_on=() if conda else ("host",),
        assumption="" if conda else f"on this host ({scene.host.label})",
    )  # fmt: skip
