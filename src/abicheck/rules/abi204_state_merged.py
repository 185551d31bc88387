"""Unique or weak definitions of two different builds become one object.

## What happens

Two libraries each carry a static variable of a template or inline function, and the process keeps only the first. If
both were built from the same source that is what C++ asks for. If the versions differ, one of them works on an object
of the other's layout or in the other's state: it crashes, in one import order and not in the other.

## Why: the loader rule

GCC marks such variables STB_GNU_UNIQUE: the first definition that is bound serves all objects, those opened with
RTLD_LOCAL included, whatever its version (ELF-30). dyld coalesces weak definitions of all images that are not hidden
(MAC-18), and Python's extensions are not (MAC-17).

## Example

```
one.so   reg::Holder<int>::c   4 bytes
two.so   reg::Holder<int>::c   1 MiB     binds to one.so's if that was imported first: it reads past the end
```

## What to do

1. Take both projects from conda: they are built against one version of the shared headers.
2. Or keep them in separate processes.
3. The authors can build with `-fno-gnu-unique` or hide their symbols.

## When this is wrong

- The merged objects are constants: then nothing is said. They have one layout in both builds: then this is a note. An
  object made at run time has, when its size is one; where only a pointer is kept (`static T *object = new T`), when
  both builds allocate as much for what it points to (read from x86-64 code; where it cannot be read, the warning
  stays). Where the sizes differ it is a warning, no error: who makes the object is who calls first.

## References

glibc elf/dl-lookup.c `do_lookup_unique`; dyld Loader.cpp `addWeakDefsToMap`; GCC manual, `-fno-gnu-unique`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from abicheck.binary.elf import ElfSlice
from abicheck.binary.macho import MachoSlice
from abicheck.evidence.first_objects import first_objects
from abicheck.knowledge.library_names import stem
from abicheck.loader.capture import is_standard
from abicheck.loader.scenarios import Difference, Meeting, MovedBinding, loads
from abicheck.model import Fact, Finding, Severity
from abicheck.rules import Rule
from abicheck.rules.builds import compare
from abicheck.rules.ordered import in_one_order
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, counted, listed, ref

RULE = Rule(
    id="ABI204",
    name="state-merged",
    severity="by consequence",
    classes=("COALESCED_STATE",),
    platforms=("linux", "osx"),
    summary="Unique or weak definitions of two different builds become one object",
    since="0.1",
)


@dataclass(frozen=True, slots=True)
class Size:
    """One definition: bytes (0 when the format does not say) and whether it can be written."""

    size: int
    writable: bool


def check(scene: Scene) -> Iterator[Finding]:
    for meeting, diff in scene.differences:
        elsewhere = {before for before, _ in _merges(meeting.opposite(diff))}
        for (before, after), moved in _merges(diff).items():
            if not compare(scene, before, after).same_content:
                # Each order has its own victim; neither is the cure when the other merges the same pair.
                yield from _finding(scene, meeting, diff, before, after, moved, both_ways=after in elsewhere)


def _merges(diff: Difference) -> dict[tuple[str, str], list[MovedBinding]]:
    """What becomes one object in one order, by the files (whose definition is lost, whose serves)."""
    groups: dict[tuple[str, str], list[MovedBinding]] = {}
    for b in diff.bindings:
        if b.merged and b.before and b.after:
            groups.setdefault((b.before, b.after), []).append(b)
    return groups


@dataclass(frozen=True, slots=True)
class Merged:
    """Symbols whose definitions in two files became one, sorted. ``sizes``: of all of them, the definition that is lost
    and the one that serves; ``clash``: those of two sizes; ``mutable``: those that either side can write; ``unlike``:
    of these the guards of objects that are made at run time, by one build's constructor for the other's methods, and
    that nothing shows to have one layout; ``made``: bytes that the two sides allocate for each of these, where known.
    """

    sizes: Mapping[str, tuple[Size | None, Size | None]]
    clash: tuple[str, ...]
    mutable: tuple[str, ...]
    unlike: tuple[str, ...]
    made: Mapping[str, tuple[int | None, int | None]]

    @property
    def worst(self) -> tuple[str, ...]:
        """The symbols to tell of."""
        return self.clash or self.differing or self.unlike or self.mutable

    @property
    def differing(self) -> tuple[str, ...]:
        """Guards of objects that the two builds make of different sizes: the one made smaller is used past its end."""
        return tuple(s for s, (own, served) in self.made.items() if own and served and served != own)

    @property
    def objects(self) -> int:
        """How many objects are shared, their guards not counted."""
        told = self.mutable or self.clash
        return sum(not _is_guard(s) for s in told) or len(told)


def _merged(scene: Scene, before: str, after: str, moved: Iterable[MovedBinding]) -> Merged:
    sizes = {b.symbol: (definition(scene, before, b.symbol), definition(scene, after, b.symbol)) for b in moved}
    clash = sorted(s for s, (a, b) in sizes.items() if a and b and a.size != b.size and a.size and b.size)
    mutable = sorted(s for s, (a, b) in sizes.items() if (a and a.writable) or (b and b.writable))
    guards = [s for s in mutable if _is_guard(s) and not is_standard(s)]
    unlike = [s for s in guards if not _has_one_layout(scene, before, after, s)]
    made = {s: (_made(scene, before, s), _made(scene, after, s)) for s in unlike}
    return Merged(sizes, tuple(clash), tuple(mutable), tuple(unlike), made)


def _is_guard(symbol: str) -> bool:
    return symbol.lstrip("_").startswith("ZGV")


def _has_one_layout(scene: Scene, before: str, after: str, guard: str) -> bool:
    """Whether what a guard stands for is laid out alike in both files, as far as sizes tell: its own, and when it has
    the size of a pointer, that of what is allocated for it."""
    name = guard.replace("ZGV", "Z", 1)
    mine, theirs = definition(scene, before, name), definition(scene, after, name)
    if mine is None or theirs is None or not mine.size or mine.size != theirs.size:
        return False
    part = scene.slice(before)
    if isinstance(part, ElfSlice) and mine.size != part.elf_class // 8:
        return True
    made = _made(scene, before, guard)
    return made is not None and made == _made(scene, after, guard)


def _made(scene: Scene, path: str, guard: str) -> int | None:
    """Bytes that a file's code allocates for the object of a guard, None when that cannot be read."""
    return _all_made(scene, path).get(guard)


@functools.cache
def _all_made(scene: Scene, path: str) -> Mapping[str, int]:
    return scene.view.ask(path, first_objects) or {}


def _severity(scene: Scene, before: str, after: str, merged: Merged) -> Severity | None:
    """None for constants of one size: whichever copy serves, nothing changes."""
    if merged.clash or (merged.mutable and _is_cxx_runtime(scene, before) and _is_cxx_runtime(scene, after)):
        return Severity.ERROR
    if merged.unlike:
        return Severity.WARNING
    return Severity.NOTE if merged.mutable else None


def _finding(
    scene: Scene,
    meeting: Meeting,
    diff: Difference,
    before: str,
    after: str,
    moved: list[MovedBinding],
    *,
    both_ways: bool,
) -> Iterator[Finding]:
    merged = _merged(scene, before, after, moved)
    severity = _severity(scene, before, after, merged)
    if severity is None:
        return
    user, brings = loads(diff.alone, before), loads(diff.run, after)
    symbol = merged.worst[0]
    lost, serving = merged.sizes[symbol]
    winner, loser = ref(scene.view, after), ref(scene.view, before)
    assert winner is not None and loser is not None
    shared = counted(merged.objects, "static object")
    yield in_one_order(
        scene,
        meeting,
        diff,
        rule=RULE.id,
        severity=severity,
        what=f"`{user}` will share {shared} with {winner.origin.label} ({base(after)}) if `{brings}` is imported "
        "first.",
        why=(
            Fact(f"defines {symbol}{_bytes(lost)} for itself{_allocates(merged, 0)}", loser, symbol),
            Fact(f"defines it{_bytes(serving)}{_allocates(merged, 1)}; it is loaded first, so its object serves both",
                 winner, symbol, loader_rule=moved[0].rule or "ELF-30"),
            Fact(f"merged: {listed(merged.worst)}"),
        ),
        key=f"{base(before)} {symbol}",
        subject=loser,
        object=winner,
        first=brings,
        then=user,
        both_ways=both_ways,
    )  # fmt: skip


def _bytes(definition: Size | None) -> str:
    return f" of {definition.size} bytes" if definition is not None and definition.size else ""


def _allocates(merged: Merged, side: int) -> str:
    """What a side allocates for the object that is told of."""
    size = merged.made.get(merged.worst[0], (None, None))[side]
    return f" and makes an object of {counted(size, 'byte')} for it" if size is not None else ""


def _is_cxx_runtime(scene: Scene, path: str) -> bool:
    """Whether a file is a copy of GNU's C++ standard library, by its name."""
    binary, _ = scene.read(path)
    return binary is not None and stem(base(path)).name == "libstdc++"


def definition(scene: Scene, path: str, symbol: str) -> Size | None:
    """Size and writability of a symbol's definition in a file; None when the format does not tell."""
    part = scene.slice(path)
    if isinstance(part, MachoSlice):
        state = part.coalesced.get(symbol)
        return Size(0, state) if state is not None else None
    if not isinstance(part, ElfSlice):
        return None
    found = part.exported.get(symbol.encode("utf-8", "surrogateescape"), ())
    return Size(found[0].size, bool(found[0].writable)) if found else None
