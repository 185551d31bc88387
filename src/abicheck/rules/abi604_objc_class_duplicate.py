"""Two images define one Objective-C class.

## What happens

When both projects are loaded in one process, macOS prints `objc[...]: Class X is implemented in both ... One of the two
will be used. Which one is undefined.` and uses the class of the image that was loaded first for both. With equal builds
nothing else follows; with two versions of a library its windows, players or recorders misbehave or crash.

## Why: the loader rule

Objective-C class names are one flat namespace per process, whatever two-level namespace, install names or RTLD_LOCAL
say (MAC-23). The runtime registers the classes of every image it maps; a name that is taken keeps its first class.

## Example

```
objc[4121]: Class SDLApplication is implemented in both .../pygame/.dylibs/libSDL2-2.0.0.dylib
and .../cv2/.dylibs/libSDL2-2.0.0.dylib. One of the two will be used. Which one is undefined.
```

## What to do

1. Take the conda build of the project: it shares the environment's copy of the library.
2. Use the two projects in separate processes.

## When this is wrong

- The two copies are of one version: then the message is all there is.
- Your program never loads both files.

## References

objc4 runtime/objc-class.mm and objc-runtime-new.mm (`addNamedClass`); opencv/opencv-python issue 1219.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.binary.macho import MachoSlice
from abicheck.loader.scenarios import Group, Run
from abicheck.model import Confidence, Fact, Finding, Origin, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.builds import compare
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, conda_among, listed, ref, sentence

RULE = Rule(
    id="ABI604",
    name="objc-class-duplicate",
    severity="warning",
    classes=("DUP_LIB", "COALESCED_STATE"),
    platforms=("osx",),
    summary="Two images define one Objective-C class",
    since="0.1",
)


@dataclass(frozen=True, slots=True)
class Clash:
    """Two files of two owners and the class names that both define."""

    mine: str
    theirs: str
    owner: Origin
    classes: tuple[str, ...]


def check(scene: Scene) -> Iterator[Finding]:
    if scene.system != "osx":
        return
    mapped = [(g, _classes(scene, scene.run_of(g))) for g in scene.subjects]
    for n, (group, mine) in enumerate(mapped):
        if mine:
            for other, theirs in mapped[n + 1 :]:
                yield from _findings(scene, group, other.origin, mine, theirs)
            for bare in scene.bystanders:
                theirs = _classes(scene, scene.stage.scout.run(bare))
                yield from _findings(scene, group, bare.origin, mine, theirs)


def _classes(scene: Scene, run: Run) -> dict[str, frozenset[str]]:
    """Class names by the real path of every image that a group's process maps beside the interpreter's own."""
    out = {}
    for o in run.trace.objects:
        if o.kept and o.event > 0:
            names = _defined(scene, o.real)
            if names:
                out[o.real] = names
    return out


def _defined(scene: Scene, path: str) -> frozenset[str]:
    part = scene.slice(path)
    return frozenset(part.objc_classes) if isinstance(part, MachoSlice) else frozenset()


def _findings(
    scene: Scene, group: Group, other: Origin, mine: dict[str, frozenset[str]], theirs: dict[str, frozenset[str]]
) -> Iterator[Finding]:
    for a, names in sorted(mine.items()):
        for b, taken in sorted(theirs.items()):
            both = names & taken
            # A file that both map is one image; a file of the subject's own is no meeting.
            if both and a != b and a not in theirs and b not in mine:
                yield _finding(scene, group, Clash(a, b, other, tuple(sorted(both))))


def _finding(scene: Scene, group: Group, clash: Clash) -> Finding:
    mine, theirs = ref(scene.view, clash.mine), ref(scene.view, clash.theirs)
    assert mine is not None and theirs is not None
    same = compare(scene, clash.mine, clash.theirs).same_content
    first, more = clash.classes[0], len(clash.classes) - 1
    named = f"class {first}" + (f" and {more} more" if more else "")
    return Finding(
        rule=RULE.id,
        severity=Severity.NOTE if same else Severity.WARNING,
        confidence=Confidence.MEDIUM,
        what=sentence(
            f"{base(clash.mine)} of {group.origin.label} and {base(clash.theirs)} of {theirs.origin.label} both define "
            f"the Objective-C {named}; whichever is loaded first serves both."
        ),
        why=(
            Fact(f"defines {listed(clash.classes)}", mine, loader_rule="MAC-23"),
            Fact("defines them too" if not same else "defines them too, in an equal build", theirs),
        ),
        remedies=(
            use_conda_build(scene, group.origin.name),
            Remedy(f"or keep {group.origin.name} and {clash.owner.name} in separate processes"),
        ),
        key=first,
        wheel=group.origin,
        conda_package=conda_among(theirs.origin),
        subject=mine,
        object=theirs,
        depends_on=("import-order",),
        assumption=f"if {group.origin.name} and {clash.owner.name} are loaded in one process",
    )
