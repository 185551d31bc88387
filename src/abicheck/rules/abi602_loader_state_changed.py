"""Import-time code of the wheel changes the loader's state for everybody who comes later.

## What happens

Importing the package opens libraries for the whole process, adds a directory in which all later DLLs are looked for, or
preloads libraries by path. What is imported afterwards is loaded under these changed rules.

## Why: the loader rule

A library opened with RTLD_GLOBAL is searched, with all it needs, for every later library's symbols (ELF-20, ELF-23).
`os.add_dll_directory` holds for the process until its handle is closed (WIN-6). A library opened by path answers to its
name from then on (ELF-2, WIN-2).

## Example

```
torch/__init__.py:  ctypes.CDLL("libtorch_global_deps.so", mode=ctypes.RTLD_GLOBAL)
```

## What to do

Nothing by itself: if something breaks because of it, that is a finding of its own.

## When this is wrong

- The code stands in a branch that does not run on this platform and that the source does not show as such.

## References

Python documentation, `ctypes`, `sys.setdlopenflags`, `os.add_dll_directory`; dlopen(3).
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.loader.process import Event
from abicheck.loader.scenarios import Group
from abicheck.model import Confidence, Fact, Finding, Severity
from abicheck.rules import Rule
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, listed, ref, sentence

RULE = Rule(
    id="ABI602",
    name="loader-state-changed",
    severity="note/warning",
    classes=("PRELOAD_EFFECT",),
    platforms=("linux", "osx", "win"),
    summary="Import-time code opens libraries globally, adds DLL directories or preloads by path",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    for group in scene.subjects:
        events = dict.fromkeys((*group.prelude, *(e for u in group.units for e in u.events)))
        own = [e for e in events if _is_its_own(scene, group, e)]
        opened = [e for e in own if e.flags_global]
        added = [e for e in own if e.kind == "dll-directory"]
        if opened:
            yield _note(scene, group, opened, "opens {} for the whole process", "ELF-20")
        if added:
            yield _note(scene, group, added, "adds {} to where all later DLLs are looked for", "WIN-6")
        names = [(e, n) for e in own if not e.flags_global and (n := _also_in_the_environment(scene, e))]
        if names:
            what = f"opens {{}} by path; it serves every later request for {listed(n for _, n in names)}"
            yield _note(
                scene, group, [e for e, _ in names], what, {"win": "WIN-2", "osx": "MAC-1"}.get(scene.system, "ELF-2")
            )


def _is_its_own(scene: Scene, group: Group, event: Event) -> bool:
    """Whether code of the group itself opens it, not code that it imports."""
    source = event.because.rpartition(":")[0]
    if not source or (event.kind == "import" and not event.flags_global):
        return False
    places = (f"{root}/{source}" for root in scene.importer.roots)
    found = next((p for p in places if scene.view.lookup(p).status == "file"), None)
    return found is not None and scene.view.origin(scene.view.lookup(found).real) == group.origin


def _also_in_the_environment(scene: Scene, event: Event) -> str:
    """The name under which a preloaded library answers from now on, if the environment's libraries have it too."""
    if event.kind != "dlopen" or "/" not in event.open:
        return ""
    real = scene.view.lookup(event.open).real
    part = scene.slice(real)
    name = base(real) if scene.system == "win" else base(part.identity or "") if part is not None else ""
    folders = ("Library/bin", "") if scene.system == "win" else ("lib",)
    others = [scene.view.lookup(f"{scene.view.root}/{folder}/{name}") for folder in folders] if name else []
    return name if any(o.status == "file" and o.real != real for o in others) else ""


def _note(scene: Scene, group: Group, events: list[Event], text: str, rule: str) -> Finding:
    names = listed(base(e.open) for e in events)
    return Finding(
        rule=RULE.id,
        severity=Severity.NOTE,
        confidence=Confidence.HIGH,
        what=sentence(f"`import {group.label}` {text.format(names)}."),
        why=(Fact(f"{events[0].because} does it", ref(scene.view, events[0].open), loader_rule=rule),),
        remedies=(),
        key=base(events[0].open),
        wheel=group.origin,
        subject=ref(scene.view, events[0].open),
    )
