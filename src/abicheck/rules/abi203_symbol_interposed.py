"""A reference binds into a copy of a library that it was not built against.

## What happens

Two copies of a library are in the process, and calls of one end in the other. Names that both have go to one copy,
names that only one has stay: functions of one version work on data of another. That crashes, aborts or gives wrong
results.

## Why: the loader rule

Every symbolic relocation is looked up by name in the global scope first, then in the list of the library that was
opened (ELF-21, ELF-27): also those of a library to its own exported functions. What is in the global scope (the
interpreter, LD_PRELOAD, anything opened with RTLD_GLOBAL and all it needs; ELF-20) therefore wins, even over a copy
that the wheel bundles under a changed name (CL-5). A definition under another version node is skipped (ELF-38), one
without versions is not (ELF-39). macOS looks up only flat and weak references this way (MAC-16, MAC-18).

## Example

```
ctypes.CDLL("libhdf5.so.103", RTLD_GLOBAL)      HDF5 1.10, in the global scope
import tables                                   its own HDF5 1.14 calls H5* functions: 1,021 of them now go to 1.10
```

## What to do

1. Do not open the first library globally, or import the other project in a process of its own.
2. Take both projects from conda, where they share one copy.

## When this is wrong

- The two copies are the same version: then this is a note.
- The other library means to serve in its place (one OpenMP or BLAS runtime for another): a note, too.

## References

glibc elf/dl-lookup.c `do_lookup_x`; dyld Loader.cpp `resolveSymbol`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from abicheck.binary.elf_slice import ElfSlice
from abicheck.knowledge.runtimes import Recognised, recognise
from abicheck.loader.capture import is_standard
from abicheck.loader.scenarios import Difference, Meeting, MovedBinding, loads
from abicheck.model import Fact, Finding, Severity
from abicheck.rules import Rule
from abicheck.rules.builds import compare, is_cxx
from abicheck.rules.ordered import in_one_order
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, listed, ref

RULE = Rule(
    id="ABI203",
    name="symbol-interposed",
    severity="by consequence",
    classes=("INTERPOSED_SYMBOL", "MIXED_COPY"),
    platforms=("linux", "osx"),
    summary="A reference binds into a copy it was not built against",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    for meeting, diff in scene.differences:
        elsewhere = _strays(meeting.opposite(diff))
        for (before, after), moved in _strays(diff).items():
            both_ways = (after, before) in elsewhere
            yield from _finding(scene, meeting, diff, before, after, moved, both_ways=both_ways)


def _strays(diff: Difference) -> dict[tuple[str, str], list[MovedBinding]]:
    """References that another file defines in one order, by both real paths (alone, together). Not among them: what is
    merged (ABI204) and what follows a library that was captured as a whole (ABI103)."""
    captured = {(m.before, m.after) for m in diff.libraries}
    groups: dict[tuple[str, str], list[MovedBinding]] = {}
    for b in diff.bindings:
        if b.merged or not b.before or not b.after or (b.before, b.after) in captured:
            continue
        # Inline functions of the C++ library are the same everywhere, as long as nobody opens a copy for all.
        if not is_standard(b.symbol) or _opened_globally(diff, b.after):
            groups.setdefault((b.before, b.after), []).append(b)
    return groups


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
    twins = compare(scene, before, after)
    if twins.same_content:
        return
    winner, loser, user = ref(scene.view, after), ref(scene.view, before), ref(scene.view, moved[0].object)
    assert winner is not None and loser is not None
    user_import, first = loads(diff.alone, moved[0].object), loads(diff.run, after)
    stays = _stays(diff, before, {b.object for b in moved})
    inner = any(b.object == before for b in moved)
    mixed = twins.same_library and not (twins.upward or twins.same_version) and bool(stays or inner)
    names = listed(b.symbol for b in moved)
    stranger = not (mixed or twins.same_library or twins.upward) and _own_code_displaced(scene, before, after, moved)
    last = (
        f"the rest still uses {base(before)}"
        + (f" ({_count(stays)} of the same files)" if stays else "")
        + ": functions of one build work on data of the other"
        if mixed
        else f"{base(before)} calls that instead of a function of its own, which does something else for all it knows"
        if stranger
        else "the definition is used by whoever was loaded first, and serves all"
    )
    yield in_one_order(
        scene,
        meeting,
        diff,
        rule=RULE.id,
        severity=Severity.WARNING if stranger else _severity(mixed, moved[0].rule),
        what=f"{_count(len(moved))} of `{user_import}` will bind to {winner.origin.label}'s {_brief(after)} instead "
        f"of {_brief(before)} if `{first}` is imported first.",
        why=(
            Fact(f"refers to {names}", user, moved[0].symbol, moved[0].version),
            Fact(f"defines them and is searched first once {first} is loaded", winner, moved[0].symbol,
                 loader_rule=moved[0].rule or "ELF-21"),
            Fact("defines them too, and serves when it is alone", loser),
            Fact(last, loader_rule="CL-5" if mixed else None),
        ),
        key=f"{base(before)} {moved[0].symbol}",
        subject=user,
        object=winner,
        first=first,
        then=user_import,
        both_ways=both_ways,
    )  # fmt: skip


def _runtime(part: ElfSlice, path: str) -> Recognised | None:
    """The runtime that a library is a copy of."""
    return recognise(part.soname, base(path), lambda name: name.encode() in part.exported)


def _own_code_displaced(scene: Scene, before: str, after: str, moved: list[MovedBinding]) -> bool:
    """Whether a library loses functions or variables of its own to a stranger that happens to define the names: C names
    with strong definitions in both, and not two runtimes of which one may stand for the other. (A C++ name says what
    it is; another static copy of it is the same function.)"""
    mine, theirs = scene.slice(before), scene.slice(after)
    if not isinstance(mine, ElfSlice) or not isinstance(theirs, ElfSlice):
        return False
    one, other = _runtime(mine, before), _runtime(theirs, after)
    if one is not None and other is not None and one.family == other.family:
        return False
    own = (b.symbol.encode("utf-8", "surrogateescape") for b in moved if b.object == before and not is_cxx(b.symbol))
    return any(_is_strong(mine, name) and _is_strong(theirs, name) for name in own)


def _is_strong(part: ElfSlice, name: bytes) -> bool:
    return any(d.binding == "global" for d in part.exported.get(name, ()))


def _opened_globally(diff: Difference, real: str) -> bool:
    """Whether a file came into the process with RTLD_GLOBAL (ELF-20)."""
    at = diff.run.by_real.get(real)
    return at is not None and at.event > 0 and diff.run.trace.events[at.event].event.flags_global


def _severity(mixed: bool, rule: str) -> Severity:
    """Two-level names keep most references of a macOS image where they belong: only the flat ones stray (MAC-15)."""
    if not mixed:
        return Severity.NOTE
    return Severity.WARNING if rule.startswith("MAC") else Severity.ERROR


def _brief(path: str) -> str:
    """A file's name without the tag of the interpreter, which says nothing here and fills the sentence."""
    return re.sub(r"\.(?:cpython-|cp|abi)\d+[^.]*(?=\.(?:so|pyd)$)", "", base(path))


def _count(references: int) -> str:
    return "1 reference" if references == 1 else f"{references} references"


def _stays(diff: Difference, provider: str, users: set[str]) -> int:
    """How many references of the same objects still bind to the old provider."""
    count = 0
    objects = diff.run.trace.objects
    for path in sorted(users):
        at = diff.run.by_real.get(path)
        if at is not None:
            rows = diff.run.trace.bindings.get(at.index, ())
            count += sum(b.provider is not None and objects[b.provider].real == provider for b in rows)
    return count
