"""Import-time code of the wheel changes the loader's state for everybody who comes later.

## What happens

Importing the package opens libraries for the whole process, adds a directory in which all later DLLs are looked for, or
preloads libraries by path. What is imported afterwards is loaded under these changed rules. Told only where somebody
else could notice: a library that is in the process from the start, or a directory whose DLLs have names that nobody
else has or asks for, changes nothing for others.

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

import posixpath
from collections.abc import Iterable, Iterator

from abicheck.loader.process import Event
from abicheck.loader.scenarios import Group
from abicheck.model import Confidence, Fact, Finding, Origin, Severity
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
        opened = [e for e in own if e.flags_global and _is_news(scene, group, e)]
        added = [e for e in own if e.kind == "dll-directory" and _holds_names_of_others(scene, group, e.open)]
        if opened:
            yield _note(scene, group, opened, f"opens {_names(opened)} for the whole process", "ELF-20")
        if added:
            text = f"adds {_names(added)} to where all later DLLs are looked for"
            yield _note(scene, group, added, text, "WIN-6")
        taken = [(e, n) for e in own if not e.flags_global and (n := _also_in_the_environment(scene, e))]
        if taken:
            paths, names = _names(e for e, _ in taken), listed(n for _, n in taken)
            whom = names if names != paths else "that name" if len({n for _, n in taken}) == 1 else "these names"
            rule = {"win": "WIN-2", "osx": "MAC-1"}.get(scene.system, "ELF-2")
            text = f"opens {paths} by path; it serves every later request for {whom}"
            yield _note(scene, group, [e for e, _ in taken], text, rule)


def _names(events: Iterable[Event]) -> str:
    return listed(base(e.open) for e in events)


def _is_its_own(scene: Scene, group: Group, event: Event) -> bool:
    """Whether code of the group itself opens it, not code that it imports."""
    source = event.because.rpartition(":")[0]
    if not source or (event.kind == "import" and not event.flags_global):
        return False
    places = (f"{root}/{source}" for root in scene.importer.roots)
    found = next((p for p in places if scene.view.lookup(p).status == "file"), None)
    return found is not None and scene.view.origin(scene.view.lookup(found).real) == group.origin


def _is_news(scene: Scene, group: Group, event: Event) -> bool:
    """Whether it loads, and is not in the process from the start: what the interpreter loads is in the global scope
    anyway (ELF-20)."""
    trace = scene.run_of(group).trace
    result = next((r for r in trace.events if r.event == event), None)
    if result is None or result.outcome == "unknown":
        return True
    return result.outcome == "loaded" and (result.root is None or trace.objects[result.root].event != 0)


def _holds_names_of_others(scene: Scene, group: Group, directory: str) -> bool:
    """Whether a DLL in it answers to a name that somebody else has a file of, or asks for."""
    root = scene.view.lookup(directory).real
    own = [posixpath.basename(p).lower() for p in scene.files_of(group.origin) if posixpath.dirname(p) == root]
    dlls = frozenset(n for n in own if n.endswith(".dll"))
    return not own or bool(dlls and dlls & _names_of_others(scene, group.origin))


def _names_of_others(scene: Scene, origin: Origin) -> frozenset[str]:
    """Base names of DLLs that anybody else has or needs, in lower case (WIN-1)."""
    out = {posixpath.basename(f).lower() for r in scene.prefix.records for f in r.files if f.lower().endswith(".dll")}
    for other, natives in scene.natives.items():
        for native in natives if other != origin else ():
            out.add(posixpath.basename(native.path).lower())
            parts = native.binary.slices if native.binary is not None else ()
            out.update(base(need.name).lower() for part in parts for need in part.needs)
    for bare in scene.bystanders:
        for unit in bare.units:
            part = scene.slice(unit.path)
            out.update(base(need.name).lower() for need in (part.needs if part is not None else ()))
    return frozenset(out)


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


def _importing(group: Group, event: Event) -> str:
    """The import that does it: the project's own name when the code belongs to that package."""
    module = event.label.removeprefix("import ")
    own = module == event.label or module.partition(".")[0] == group.label.partition(".")[0]
    return group.label if own else module


def _note(scene: Scene, group: Group, events: list[Event], text: str, rule: str) -> Finding:
    return Finding(
        rule=RULE.id,
        severity=Severity.NOTE,
        confidence=Confidence.HIGH,
        what=sentence(f"`import {_importing(group, events[0])}` {text}."),
        why=(Fact(f"{events[0].because} does it", ref(scene.view, events[0].open), loader_rule=rule),),
        remedies=(),
        key=base(events[0].open),
        wheel=group.origin,
        subject=ref(scene.view, events[0].open),
    )
