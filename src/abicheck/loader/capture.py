"""Capture keys: what two groups must share before their order can change anything (GEN-2).

A name that each resolves to another file, a unique symbol that both define, a library that one of them interposes, the
global scope, a symbol of a flat look-up, the room for static thread-local storage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from abicheck.loader.process import ReservesTls
from abicheck.loader.scenarios import Run


@dataclass(frozen=True, slots=True)
class Reach:
    """What a group's process holds beyond the interpreter's, for finding capture keys.

    ``names``: every name asked for or answered to -> real path. ``own``: real paths it brought. ``interposed``:
    libraries whose references an object outside their dependencies serves. ``opens_globally``: something of it enters
    the global scope. ``flat``: symbols of its own files that flat look-up bound to its own files (MAC-16).
    ``static_tls``: its share of the room for static thread-local storage (ELF-45).
    """

    names: dict[str, str]
    own: frozenset[str]
    interposed: frozenset[str]
    opens_globally: bool
    flat: frozenset[str] = frozenset()
    static_tls: float = 0.0


def reach(run: Run, base: Run) -> Reach:
    """Capture keys of a group that was run alone (``interposed`` only where the processes bind)."""
    started = set(base.by_real)
    objects = run.trace.objects
    names: dict[str, str] = {}
    # What a failed load had found counts too: somebody else's copy of it may cure the failure.
    for o in sorted(objects, key=lambda o: not o.kept):
        for n in o.names:
            if not n.startswith(_PRIVATE):
                names.setdefault(n, o.real)
    for e in sorted(run.trace.edges, key=lambda e: not objects[e.requester].kept):
        if e.provider is not None and not e.name.startswith(_PRIVATE):
            names.setdefault(e.name, objects[e.provider].real)
    own = frozenset(run.by_real) - started
    opens = any(r.event.flags_global and r.outcome == "loaded" for r in run.trace.events)
    tls = run.process.static_tls_share if isinstance(run.process, ReservesTls) else 0.0
    return Reach(names, own, interposed(run), opens, _flat(run, own), tls)


NEARLY_ALL = 0.8  # of the room for static TLS: alignment costs some
# Requests that mean a place, not a name: nothing loaded before can serve them (MAC-4).
_PRIVATE = ("@loader_path/", "@executable_path/")


def _flat(run: Run, own: frozenset[str]) -> frozenset[str]:
    """Symbols that flat look-up found in the group's own files: whoever exports them first would serve instead."""
    objects, out = run.trace.objects, set()
    for index, rows in run.trace.bindings.items():
        if objects[index].kept and objects[index].real in own:
            flat = [(b.symbol, b.provider) for b in rows if b.rule == "MAC-16"]
            out |= {symbol for symbol, at in flat if at is not None and objects[at].real in own}
    return frozenset(out)


def interposed(run: Run) -> frozenset[str]:
    """Libraries that bind to an object outside their own dependencies: whoever loads them first decides (ELF-22). The
    C++ standard library's inline functions are the same everywhere and do not count."""
    objects, trace = run.trace.objects, run.trace
    needs: dict[int, set[int]] = {}
    for e in trace.edges:
        if e.provider is not None:
            needs.setdefault(e.requester, set()).add(e.provider)
    started = {o.index for o in objects if o.event == 0}
    roots = {r.root for r in trace.events if r.root is not None}
    out = set()
    for o in objects:
        if not o.kept or o.event == 0 or o.index in roots or any(map(_LOADER.fullmatch, o.names)):
            continue
        closure = _closure(o.index, needs) | started
        rows = trace.bindings.get(o.index, ())
        if any(b.provider is not None and b.provider not in closure and not is_standard(b.symbol) for b in rows):
            out.add(o.real)
    return frozenset(out)


# The dynamic loader binds to the C library that needs it. Both are in every process from its start, also in one whose
# interpreter is not here to say so.
_LOADER = re.compile(r"ld(?:64|-linux[\w-]*)?\.so\.\d")


# Itanium manglings of namespace std and __gnu_cxx, and what hangs on them (typeinfo, vtables, guards, and GTt: the
# transaction clones that the static part of a toolset's libstdc++ leaves in every library).
_STANDARD = re.compile(r"_Z(T[ISV]|GV|GT[tn]|Z|)(N[VKO]*)?(St|S[abdios]|N?9__gnu_cxx|N?10__cxxabiv1)")


def is_standard(symbol: str) -> bool:
    """Whether a symbol is of the C++ standard library: an inline function or constant that every build repeats."""
    # Mach-O names carry one more underscore in front.
    return bool(_STANDARD.match(symbol[1:] if symbol.startswith("__Z") else symbol))


def _closure(index: int, needs: dict[int, set[int]]) -> set[int]:
    seen, todo = {index}, [index]
    while todo:
        for n in needs.get(todo.pop(), ()):
            if n not in seen:
                seen.add(n)
                todo.append(n)
    return seen


@dataclass(frozen=True, slots=True)
class UniqueSymbol:
    """One unique definition: bytes, and whether the object can be written to."""

    size: int
    writable: bool


def contested(
    mine: Reach,
    other: Reach,
    unique: Callable[[str], Mapping[str, UniqueSymbol]],
    exported: Callable[[str], Container[str]],
) -> tuple[str, ...]:
    """The capture keys two groups share, sorted; empty when neither order can change anything that matters.

    ``unique`` gives the unique symbols that a file defines (ELF-30): shared constants of one size change nothing.
    ``exported`` gives what a file offers to flat look-ups (MAC-16).
    """
    keys = {n for n in mine.names.keys() & other.names.keys() if mine.names[n] != other.names[n]}
    keys |= {f"interposed {r}" for r in mine.interposed & other.own}
    if mine.opens_globally or other.opens_globally:
        keys.add("the global scope")
    if mine.static_tls and other.static_tls and mine.static_tls + other.static_tls > NEARLY_ALL:
        keys.add("static TLS")
    keys |= {f"flat {s}" for s in _served(mine.flat, other.own - mine.own, exported)}
    keys |= {f"flat {s}" for s in _served(other.flat, mine.own - other.own, exported)}
    a, b = _owners(mine.own - other.own, unique), _owners(other.own - mine.own, unique)
    keys |= {f"unique {s}" for s in a.keys() & b.keys() if a[s].writable or b[s].writable or a[s].size != b[s].size}
    return tuple(sorted(keys))


def _served(symbols: frozenset[str], files: Iterable[str], exported: Callable[[str], Container[str]]) -> set[str]:
    if not symbols:
        return set()
    return {s for f in files for names in (exported(f),) for s in symbols if s in names}


def _owners(files: Iterable[str], unique: Callable[[str], Mapping[str, UniqueSymbol]]) -> dict[str, UniqueSymbol]:
    return {s: d for f in sorted(files) for s, d in unique(f).items()}
