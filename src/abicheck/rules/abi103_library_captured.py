"""An already loaded library of the same name serves a request that was meant for another file.

## What happens

Two files answer to one name. Whichever is loaded first serves everybody in the process; the other is never looked at.
If its users find all they need there, nothing happens today; if not, their import fails (ABI201, ABI202). In between
lie libraries whose inside differs: a class with another layout, a plug-in protocol, a configuration read twice.

## Why: the loader rule

glibc compares a requested name with every loaded object before it searches (ELF-1), and with their DT_SONAME (ELF-2),
whatever DT_RPATH would have said. dyld does so for `@rpath/` names (MAC-1), Windows for base names, whatever their
directory (WIN-1).

## Example

```
import PySide6.QtCore      libQt6Core.so.6 from the wheel, 6.12
import conda_qt_app        NEEDED libQt6Core.so.6: already there, the environment's 6.4 is not loaded
```

## What to do

1. Take both projects from one side, conda or pip.
2. Or keep them in separate processes.

## When this is wrong

- The two builds are compatible in the part that is used. Libraries that promise to serve older users (libstdc++, zlib)
  are a note at most.

## References

glibc elf/dl-load.c `_dl_lookup_map`; dyld Loader.cpp `getLoader`; Microsoft, "Dynamic-link library search order".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.loader.scenarios import Difference, Meeting, MovedLibrary, loads
from abicheck.model import Fact, Finding, Severity
from abicheck.rules import Rule
from abicheck.rules.builds import compare, is_cxx, older_than_checked
from abicheck.rules.ordered import in_one_order
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, counted, listed, ref

RULE = Rule(
    id="ABI103",
    name="library-captured",
    severity="by consequence",
    classes=("CAPTURED_LIB",),
    platforms=("linux", "osx", "win"),
    summary="An already loaded library of the same name serves the request",
    since="0.1",
)


@dataclass(frozen=True, slots=True)
class Capture:
    """One file that stands in for another in one order. ``before`` and ``after`` are real paths, ``moved`` the needs
    that ``after`` serves; ``both_ways``: in the opposite order ``before`` takes the place of ``after``."""

    name: str
    before: str
    after: str
    moved: tuple[MovedLibrary, ...]
    both_ways: bool


def check(scene: Scene) -> Iterator[Finding]:
    for meeting, diff in scene.differences:
        for capture in _captures(diff, meeting.opposite(diff)):
            twins = compare(scene, capture.before, capture.after)
            if not twins.same_content:
                yield _finding(scene, meeting, diff, capture, twins.upward)


def _captures(diff: Difference, opposite: Difference) -> Iterator[Capture]:
    """Captures that end no load: those are told by the rule that says what is missing then."""
    elsewhere = _moved(opposite)
    for (name, before, after), moved in _moved(diff).items():
        yield Capture(name, before, after, tuple(moved), (name, after, before) in elsewhere)


def _moved(diff: Difference) -> dict[tuple[str, str, str], list[MovedLibrary]]:
    """Needs that another file serves in one order, by the name and both real paths."""
    out: dict[tuple[str, str, str], list[MovedLibrary]] = {}
    failed = {b.failure.library for b in diff.broken}
    for m in diff.libraries:
        if m.before and m.after and m.name not in failed:
            out.setdefault((m.name, m.before, m.after), []).append(m)
    return out


def _finding(scene: Scene, meeting: Meeting, diff: Difference, capture: Capture, upward: bool) -> Finding:
    name, before, after, moved = capture.name, capture.before, capture.after, capture.moved
    winner, loser = ref(scene.view, after), ref(scene.view, before)
    assert winner is not None and loser is not None
    users = [base(m.requester) for m in moved]
    user, first = loads(diff.alone, moved[0].requester), loads(diff.run, after)
    inner = [b for b in diff.bindings if b.before == before and b.after == after and is_cxx(b.symbol)]
    older = older_than_checked(scene, before, after)
    risky = (bool(inner) and not upward) or older is not None
    consequence = "every symbol asked of it is there"
    if inner:
        bind = "binds" if len(inner) == 1 else "bind"
        consequence = f"{counted(len(inner), 'C++ reference')} {bind} to the other build then"
    return in_one_order(
        scene,
        meeting,
        diff,
        rule=RULE.id,
        severity=Severity.WARNING if risky else Severity.NOTE,
        what=f"`{user}` will use {winner.origin.label}'s {name} instead of {loser.origin.label}'s if `{first}` is "
        "imported first.",
        why=(
            Fact(f"serves {name} because {first} loaded it first", winner, loader_rule=moved[0].edge.rule),
            Fact(f"is what {listed(users)} would get alone", loser),
            Fact(consequence),
            *([Fact(older)] if older is not None else []),
        ),
        key=name,
        subject=winner,
        object=loser,
        first=first,
        then=user,
        both_ways=capture.both_ways,
        owners=(loser.origin,),
    )
