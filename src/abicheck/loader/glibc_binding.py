"""Symbol binding as glibc does it: which definition each symbolic relocation gets (ELF-27 to ELF-41).

Works on ordered *scopes* of objects and knows nothing of files or searching. The answer for one object in one scope
is remembered by the identity of the files, so that scenarios which share a scope share the work, and so that "nothing
changed" is one comparison.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from abicheck.binary.elf import Definition, ElfSlice, Reference
from abicheck.binary.elf_hash import gnu_hash

# A weak reference without definition binds to 0 (ELF-29); a function that is bound lazily, to nothing yet (ELF-44).
UNRESOLVED_WEAK = -1
UNDEFINED = -2  # a strong reference without definition: the load fails (ELF-44)
VERSION_ASSERT = -3  # ELF-39: the library named by the version need carries no versions; glibc <= 2.40 asserts


class InScope(Protocol):
    """What binding needs to know of a loaded object. ``elf`` is None for objects whose content is unknown."""

    @property
    def ident(self) -> Hashable: ...
    @property
    def elf(self) -> ElfSlice | None: ...
    @property
    def is_program(self) -> bool: ...
    @property
    def answers_to(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where the references of one object go, by position in the scope it was searched in.

    ``positions[i]`` belongs to ``elf.references[i]``. ``unique`` lists the indices of references whose search hit a
    STB_GNU_UNIQUE definition: the process-wide table decides those (ELF-30). ``stop`` is the index of the first
    reference that makes the load fail, or -1.
    """

    positions: array[int]
    unique: tuple[int, ...]
    stop: int


Candidates = dict[bytes, list[tuple[int, tuple[Definition, ...]]]]
Offer = tuple[bytes, tuple[Definition, ...]]  # a name, and its definitions in one object


@dataclass(frozen=True, slots=True)
class Wanted:
    """Names an object refers to, by halved GNU hash. ``hashes`` are the keys: two frozensets meet in the time of the
    smaller one, the keys of a dictionary would take that of the larger."""

    names: Mapping[int, tuple[bytes, ...]]
    hashes: frozenset[int]


@dataclass(slots=True)
class BindingMemory:
    """What binding remembers, shared by all processes that are simulated over one view.

    ``resolutions`` by (object, scope); ``defined``: halved GNU hashes of everything an object's table holds, by object
    (None: no such table); ``wanted``: what an object refers to; ``offers``: by object and provider, which of these
    names the provider defines.
    """

    resolutions: dict[Hashable, Resolution] = field(default_factory=dict)
    defined: dict[Hashable, frozenset[int] | None] = field(default_factory=dict)
    wanted: dict[Hashable, Wanted] = field(default_factory=dict)
    offers: dict[Hashable, dict[Hashable, tuple[Offer, ...]]] = field(default_factory=dict)


def resolve(
    memory: BindingMemory,
    owner: InScope,
    scope: Sequence[InScope],
    *,
    own_first: bool,
    asserts_versions: bool,
    lazy: bool = False,
) -> Resolution:
    """Bind all references of ``owner``.

    Args:
        scope: the objects in search order: the global scope, then the list of the root.
        own_first: DT_SYMBOLIC: the object itself is searched before the scope (ELF-25); position ``len(scope)`` means
            the object itself.
        asserts_versions: glibc up to 2.40 (ELF-39).
        lazy: functions are looked up when they are called: an undefined one is no obstacle (ELF-44).
    """
    key = (owner.ident, tuple(o.ident for o in scope), own_first, asserts_versions, lazy)
    hit = memory.resolutions.get(key)
    if hit is None:
        hit = memory.resolutions[key] = _resolve(memory, owner, scope, own_first, asserts_versions, lazy)
    return hit


def _resolve(
    memory: BindingMemory,
    owner: InScope,
    scope: Sequence[InScope],
    own_first: bool,
    asserts_versions: bool,
    lazy: bool,
) -> Resolution:
    elf = owner.elf
    assert elf is not None
    candidates = _candidates(memory, owner, scope)
    unknown = [(i, o) for i, o in enumerate(scope) if o.elf is None]
    own = len(scope)
    unversioned = [o.elf is not None and not o.elf.has_versym for o in scope] if asserts_versions else []
    positions = array("i")
    unique: list[int] = []
    stop = -1
    for n, ref in enumerate(elf.references):
        at, definition = UNRESOLVED_WEAK, None
        if own_first:
            definition = match(elf, elf.exported.get(ref.name, ()), ref)
            at = own if definition else at
        if definition is None:
            at, definition = _search(ref, candidates.get(ref.name, ()), scope)
        if unknown and at != own:
            at, definition = _through_unknown(ref, at, definition, unknown)
        if definition is not None and definition.binding == "unique":
            unique.append(n)
        if at == UNRESOLVED_WEAK and ref.protected and ref.defined_here:
            at = own
        elif at >= 0 and ref.protected:
            at = own  # ELF-31: a protected definition serves its own object
        if at == UNRESOLVED_WEAK and not ref.weak and not (lazy and ref.kind == "plt"):
            positions.append(UNDEFINED)
            stop = n
            break
        if unversioned and definition is not None and at < own and unversioned[at] and _asserts(ref, scope[at]):
            positions.append(VERSION_ASSERT)
            stop = n
            break
        positions.append(at)
    return Resolution(positions, tuple(unique), stop)


def _candidates(memory: BindingMemory, owner: InScope, scope: Sequence[InScope]) -> Candidates:
    """Who in the scope has which of the names that ``owner`` refers to, in search order.

    The hashes that glibc compares are compared as sets first: most objects of a scope have none of the names, and then
    no name of theirs is read."""
    wanted = _wanted(memory, owner)
    out: Candidates = {}
    known = memory.offers.setdefault(owner.ident, {})
    for position, item in enumerate(scope):
        if item.elf is None:
            continue
        offers = known.get(item.ident)
        if offers is None:
            offers = known[item.ident] = _offers(wanted, item.elf, _defined(memory, item))
        for name, definitions in offers:
            out.setdefault(name, []).append((position, definitions))
    return out


def _offers(wanted: Wanted, elf: ElfSlice, defined: frozenset[int] | None) -> tuple[Offer, ...]:
    """Those of the wanted names that an object defines."""
    hits = wanted.hashes if defined is None else wanted.hashes & defined
    return tuple(elf.symbols.exported.find_all([name for h in hits for name in wanted.names[h]]).items())


def _wanted(memory: BindingMemory, owner: InScope) -> Wanted:
    hit = memory.wanted.get(owner.ident)
    if hit is None:
        assert owner.elf is not None
        found: dict[int, tuple[bytes, ...]] = {}
        for name in {r.name for r in owner.elf.references}:
            h = gnu_hash(name) >> 1
            found[h] = (name,) if h not in found else (*found[h], name)
        hit = memory.wanted[owner.ident] = Wanted(found, frozenset(found))
    return hit


def _defined(memory: BindingMemory, item: InScope) -> frozenset[int] | None:
    if item.ident not in memory.defined:
        assert item.elf is not None
        words = item.elf.gnu_hashes()
        # The lowest bit of a chain word ends the chain; it is not part of the hash.
        memory.defined[item.ident] = None if words is None else frozenset(w >> 1 for w in words)
    return memory.defined[item.ident]


def _search(
    ref: Reference, candidates: Sequence[tuple[int, tuple[Definition, ...]]], scope: Sequence[InScope]
) -> tuple[int, Definition | None]:
    """First acceptable definition in the scope (ELF-21, ELF-29: weak and strong are equal)."""
    for position, definitions in candidates:
        item = scope[position]
        if ref.kind == "copy" and item.is_program:
            continue  # ELF-28
        assert item.elf is not None
        found = match(item.elf, definitions, ref)
        if found is not None:
            return position, found
    return UNRESOLVED_WEAK, None


def _through_unknown(
    ref: Reference, at: int, definition: Definition | None, unknown: Sequence[tuple[int, InScope]]
) -> tuple[int, Definition | None]:
    """Let objects whose content is unknown take part: the library a version need names is believed to have it; for
    the rest an unknown object only serves what nobody else defines."""
    for position, item in unknown:
        if at >= 0 and position > at:
            break
        if ref.version_file is not None and ref.version_file in item.answers_to:
            return position, None
        if item.is_program and ref.name.startswith((b"Py", b"_Py")):
            return position, None
    if at < 0 and not ref.weak:
        return unknown[-1][0], None
    return at, definition


def match(elf: ElfSlice, definitions: Sequence[Definition], ref: Reference) -> Definition | None:
    """glibc's check_match over the definitions of one name in one object (ELF-28, ELF-38, ELF-39, ELF-40)."""
    version = ref.version
    candidate: Definition | None = None
    defaults = 0
    for d in definitions:
        if d.is_undef_plt and ref.kind in ("plt", "tls"):
            continue  # thread-local relocations are of the PLT class too (elf_machine_type_class)
        if version is not None:
            unversioned = d.version is None and not d.hidden_version and not ref.version_hidden
            if not elf.has_versym or d.version == version or unversioned:
                return d
        elif not elf.has_versym or d.version_index < 3:
            return d
        elif not d.hidden_version:
            defaults += 1
            candidate = candidate or d
    return candidate if defaults == 1 else None


def _asserts(ref: Reference, provider: InScope) -> bool:
    """ELF-39: a versioned reference met by the very library its version need names (one without a version table)."""
    return ref.version_file is not None and ref.version_file in provider.answers_to
