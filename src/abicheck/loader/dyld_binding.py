"""Which image serves a symbol: two-level, flat and weak lookup (MAC-10, MAC-15 to MAC-20).

The rules are those of dyld's Loader.cpp (``resolveSymbol``, ``hasExportedSymbol``), dyld-1378. Images without readable
content (the shared cache, files that only conda's records know) export whatever is asked of them: what they really
hold is not known here, so nothing is ever called missing on their account.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from abicheck.binary import macho_symbols as ms
from abicheck.binary.macho import Bind, MachoSlice
from abicheck.model import Attempt

NULL = -1  # a weak import that nothing serves: bound to 0
OVERRIDDEN = -2  # a bind whose place a weak bind of the same name then takes
LARGE_PROGRAM = 5000  # weak look-ups after which dyld remembers first answers (Loader.cpp resolveSymbol)
CXX = "/usr/lib/libc++.1.dylib"
# What libc++ and libc++abi define weakly for everybody (Apple's linker binds these both to libc++ and weakly): operator
# new and delete in all forms, type information of the standard exceptions and of the fundamental types.
_RUNTIME = re.compile(r"__Z(nw|na|dl|da)[a-zA-Z]|__ZT[ISV](St\d+[a-z_]+|P?K?[a-z]|Dn)$")
_PYTHON = ("_Py", "__Py")
OBJC = "/usr/lib/libobjc.A.dylib"
# Names of namespace std and __cxxabiv1 in Itanium mangling, and the C++ ABI's own functions: libc++ and libc++abi.
_CXX_RUNTIME = re.compile(
    r"__Z(T[ISV]|GV|Z|T[hv]n?\d+_(n?\d+_)?)?(N[VKO]*)?(St|S[abdios]|10__cxxabiv1)|__Z(nw|na|dl|da)[a-zA-Z]|___((cxa|gxx)_|dynamic_cast$)"
)
_OBJC_RUNTIME = re.compile(r"__?objc_")
# Apple's frameworks name what they export with a prefix of capitals: NSString, CFRelease, kCFNull, OBJC_CLASS_$_NSView.
_FRAMEWORK_NAME = re.compile(r"(?!__Z)_(__?)?k?[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Image:
    """A mapped image. ``path`` is the kernel's real path (MAC-4), or the name the shared cache knows it by. ``slice``
    is None where the content is not known: in the cache (``cached``), or a file that is recorded but absent."""

    index: int
    path: str
    ident: Hashable
    slice: MachoSlice | None
    cached: bool
    event: int
    requested_as: str
    requested_by: int
    how: str
    how_owner: int
    rule: str
    attempts: tuple[Attempt, ...] = ()

    @property
    def install_name(self) -> str | None:
        """The second name it answers to (MAC-1): LC_ID_DYLIB of a dylib."""
        return self.slice.identity if self.slice is not None and self.slice.filetype == "dylib" else None

    @property
    def weak_defines(self) -> bool:
        return self.slice is not None and "weak-defines" in self.slice.flags


@dataclass(frozen=True, slots=True)
class Need:
    """One ordinal of an image: the image that meets it (None: absent and allowed to be) and whether it re-exports."""

    provider: int | None
    reexport: bool


@dataclass(slots=True)
class State:
    """Everything a failed load must leave as it was (GEN-3). Copied before each event."""

    loaded: list[int] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    idents: dict[Hashable, int] = field(default_factory=dict)
    needs: dict[int, tuple[Need, ...]] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()
    weak_first: dict[str, int] = field(default_factory=dict)
    strong_first: dict[str, int] = field(default_factory=dict)
    cache_weak: dict[str, int] = field(default_factory=dict)
    weak_lookups: int = 0
    weak_map: dict[str, int] = field(default_factory=dict)
    flat: dict[str, tuple[int, int | None]] = field(default_factory=dict)  # name: images looked at, the one found
    unreadable: int | None = None  # the first image whose exports nobody knows, system libraries aside

    def copy(self) -> State:
        return State(
            list(self.loaded), dict(self.names), dict(self.idents), dict(self.needs), self.hidden,
            dict(self.weak_first), dict(self.strong_first), dict(self.cache_weak), self.weak_lookups,
            dict(self.weak_map), dict(self.flat), self.unreadable,
        )  # fmt: skip

    def note_weak(self, image: Image) -> None:
        """A visible image with weak definitions joins: it serves the names nobody before it defined (MAC-18)."""
        if image.slice is None or not image.weak_defines:
            return
        for name in image.slice.exported:
            self.weak_first.setdefault(name, image.index)
        for name in image.slice.strong_exports:
            self.strong_first.setdefault(name, image.index)


@dataclass(frozen=True, slots=True)
class Missing:
    """A symbol that dyld does not find. ``place`` is the image it was expected in, None for flat and weak lookup."""

    bind: Bind
    text: Literal["two-level", "flat", "weak", "ordinal"]
    place: int | None = None


class Resolver:
    """Looks symbols up in one state of one process. ``images``: all images by index; index 0 is the program."""

    def __init__(self, images: list[Image], state: State) -> None:
        self._images, self._state = images, state

    def bind(self, image: Image) -> tuple[int, ...] | Missing:
        """Providers of an image's binds, in their order, or the first that dyld cannot serve."""
        assert image.slice is not None
        binds = image.slice.binds
        needs = self._state.needs.get(image.index, ())
        weak_names = {b.name for b in binds if b.kind == "weak"}
        out: list[int] = []
        for b in binds:
            found = self._two_level(image, needs, b) if b.ordinal >= ms.MAIN else self._special(image, b)
            if found is None and not (b.weak_import or b.kind == "weak"):
                return self._missing(image, needs, b)
            out.append(NULL if found is None else found)
            if b.name in weak_names and b.kind != "weak" and found is not None and self._images[found].cached:
                # The linker binds what a dylib defines weakly twice: by ordinal and by weak lookup.
                self._state.cache_weak.setdefault(b.name, found)
        if weak_names:
            out = self._overridden(binds, out)
        return tuple(out)

    @staticmethod
    def _overridden(binds: tuple[Bind, ...], out: list[int]) -> list[int]:
        taken = {b.name for b, at in zip(binds, out, strict=True) if b.kind == "weak" and at >= 0}
        return [
            OVERRIDDEN if (b.kind != "weak" and b.name in taken) or (b.kind == "weak" and at == NULL) else at
            for b, at in zip(binds, out, strict=True)
        ]

    def _missing(self, image: Image, needs: tuple[Need, ...], b: Bind) -> Missing:
        if b.ordinal > len(needs) or b.ordinal < ms.WEAK:
            return Missing(b, "ordinal")
        if b.ordinal in (ms.FLAT, ms.WEAK):
            return Missing(b, "flat" if b.ordinal == ms.FLAT else "weak")
        place = {ms.SELF: image.index, ms.MAIN: 0}.get(b.ordinal)
        return Missing(b, "two-level", needs[b.ordinal - 1].provider if place is None else place)

    def _two_level(self, image: Image, needs: tuple[Need, ...], b: Bind) -> int | None:
        """Ordinals from MAIN up: one image and what it re-exports, nothing else (MAC-15)."""
        if b.ordinal > 0:
            target = needs[b.ordinal - 1].provider if b.ordinal <= len(needs) else None
        else:
            target = image.index if b.ordinal == ms.SELF else 0
        return None if target is None else self.exported(target, b.name, True, set())

    def exported(self, index: int, name: str, follow: bool, seen: set[int]) -> int | None:
        """The image that defines ``name`` when asked of image ``index``; ``follow``: also what it re-exports whole."""
        if index in seen:
            return None
        seen.add(index)
        s = self._images[index].slice
        if s is None:
            return index
        needs = self._state.needs.get(index, ())
        if name in s.exported:
            if not s.reexports(name):
                return index
            entry = s.export(name)
            assert entry is not None and entry.ordinal is not None
            target = needs[entry.ordinal - 1].provider if 0 < entry.ordinal <= len(needs) else None
            if target is None:
                return None
            renamed = bool(entry.imported) and entry.imported != name
            return self.exported(target, entry.imported or name, follow or renamed, set() if renamed else seen)
        if follow:
            for need in needs:
                if need.reexport and need.provider is not None:
                    found = self.exported(need.provider, name, True, seen)
                    if found is not None:
                        return found
        return None

    def _special(self, image: Image, b: Bind) -> int | None:
        if b.ordinal == ms.FLAT:
            return self._flat(image, b.name)
        return self._weak(image, b) if b.ordinal == ms.WEAK else None

    def _flat(self, image: Image, name: str) -> int | None:
        """The first visible image that exports the name, the asker itself even when hidden (MAC-16)."""
        state = self._state
        if image.index in state.hidden:
            found = self._flat_search(name, 0, visible_too=image.index)
        else:
            done, found = state.flat.get(name, (0, None))
            if found is None:
                found = self._flat_search(name, done)
                state.flat[name] = len(state.loaded), found
        if found is not None:
            return found
        if state.unreadable is not None:
            return state.unreadable
        return None if name.startswith(_PYTHON) else self._flat_in_cache(image, name)

    def _flat_search(self, name: str, start: int, visible_too: int = -1) -> int | None:
        for index in self._state.loaded[start:]:
            s = self._images[index].slice
            if s is None or name not in s.exported or (index in self._state.hidden and index != visible_too):
                continue
            if self.exported(index, name, False, set()) is not None:
                return index
        return None

    def _flat_in_cache(self, image: Image, name: str) -> int | None:
        """Where a name that no file exports may come from: a system library, whose exports are not known here.

        The linker of a two-level image left to flat lookup what the libraries at hand did not have. Such a name is
        believed when it is of a library that every process has (C++ and Objective-C runtimes), or is named as Apple's
        frameworks name things and a framework is loaded. A truly flat image may find anything in what it links.
        """
        assert image.slice is not None
        state = self._state
        needs = state.needs.get(image.index, ())
        system = [n.provider for n in needs if n.provider is not None and self._images[n.provider].cached]
        if "two-level" not in image.slice.flags or "force-flat" in image.slice.flags:
            return system[0] if system else None
        if _CXX_RUNTIME.match(name):
            return state.idents.get(("cache", CXX))
        if _OBJC_RUNTIME.match(name):
            return state.idents.get(("cache", OBJC))
        if not _FRAMEWORK_NAME.match(name) or not any(".framework/" in self._images[i].path for i in state.loaded):
            return None
        own = next((i for i in system if ".framework/" in self._images[i].path), None)
        return own if own is not None else state.idents.get(("cache", OBJC))

    def _weak(self, image: Image, b: Bind) -> int | None:
        """The first visible image with weak definitions that has the name; a strong definition replaces (MAC-18)."""
        state, name = self._state, b.name
        state.weak_lookups += 1
        large = state.weak_lookups > LARGE_PROGRAM
        if large and name in state.weak_map:
            return state.weak_map[name]
        found = state.weak_first.get(name)
        if found is not None:
            first = self._images[found].slice
            if first is not None and name not in first.strong_exports:
                found = state.strong_first.get(name, found)
        system = self._weak_in_cache(b)
        if system is not None and (found is None or state.loaded.index(system) < state.loaded.index(found)):
            found = system
        if found is None and image.index in state.hidden:
            found = self.exported(image.index, name, False, set())
        if found is None:
            found = self._assumed(image, b)
        if found is not None and large:
            state.weak_map.setdefault(name, found)
        return found

    def _weak_in_cache(self, b: Bind) -> int | None:
        """The system library known to define a name weakly: by another image's linker, or by the C++ standard."""
        state = self._state
        if b.name in state.cache_weak:
            return state.cache_weak[b.name]
        if _RUNTIME.match(b.name):
            return state.idents.get(("cache", CXX))
        return None

    def _assumed(self, image: Image, b: Bind) -> int | None:
        """No readable image defines it: libc++ or an unreadable file, when the asker links it."""
        if b.kind == "weak":
            return None  # opcode weak binds may fail: the bind or the own definition stays
        needs = [n.provider for n in self._state.needs.get(image.index, ()) if n.provider is not None]
        linked = [self._images[i] for i in needs]
        unreadable = next((i.index for i in linked if i.slice is None and not i.cached), None)
        if unreadable is not None:
            return unreadable
        system = [i for i in linked if i.cached]
        cxx = next((i.index for i in system if i.path == CXX), None)
        return cxx if cxx is not None else next((i.index for i in system if "libSystem" not in i.path), None)
