"""macOS's dynamic loader as a simulation (loader-semantics.md GEN-*, MAC-1 to MAC-24; dyld4, macOS 12 and later).

One :class:`DyldProcess` is one process: the interpreter with what it links, then dlopen after dlopen, each as dyld's
``dlopen_from`` does it: candidate places until one works, dependencies in per-parent batches, every bind at once, all
or nothing. The process judges nothing: it says what was mapped, why there, what bound where, and dyld's words for a no.

Not modelled: constructors that load further libraries, __interpose tuples of inserted libraries (MAC-22), dlclose.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from abicheck.binary.macho import Dylib, MachoSlice
from abicheck.binary.macho_commands import version_text
from abicheck.knowledge.macos_system import LIBSYSTEM, macos_system
from abicheck.loader.dyld_binding import NULL, Image, Missing, Need, Resolver, State
from abicheck.loader.dyld_search import FALLBACK_SDK, OLD_DYLD, Environment, Link, MacHost, Place, Searcher, version
from abicheck.loader.process import (
    Bound,
    Edge,
    Event,
    EventResult,
    Failure,
    FailureKind,
    LazyBindings,
    Mapped,
    Outcome,
    Process,
    Trace,
)
from abicheck.model import Attempt
from abicheck.overlay import View

PLATFORMS = ("osx-64", "osx-arm64")
ARCHES = {"osx-64": "x86_64", "osx-arm64": "arm64"}
CONDA_RPATH = "@loader_path/../lib"  # MAC-25: assumed only for an interpreter that cannot be read
RTLD_NOW, RTLD_LOCAL, RTLD_GLOBAL = 0x2, 0x4, 0x8
NO_THREAD = "Fatal Python error: PyThreadState_Get: no current thread"


class _Stop(Exception):
    """The load cannot go on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class _Met:
    """How a request was met. ``index`` None: it was not, and ``reason`` is dyld's "tried: ..." text."""

    index: int | None
    how: str = ""
    owner: int = -1
    rule: str = ""
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""
    rejected: Place | None = None
    rejected_rule: str = ""


class DyldProcess:
    """See the module. Made by :func:`start`; implements ``loader.process.Process``."""

    def __init__(self, view: View, host: MacHost, searcher: Searcher, binds: bool) -> None:
        self.view, self.host, self.binds = view, host, binds
        self.images: list[Image] = []
        self.bound_to: dict[int, tuple[int, ...]] = {}
        self.edges: list[Edge] = []
        self.results: list[EventResult] = []
        self.unkept: frozenset[int] = frozenset()
        self._searcher = searcher
        self._state = State()

    # -- Process -------------------------------------------------------------

    def fork(self) -> DyldProcess:
        other = DyldProcess(self.view, self.host, self._searcher, self.binds)
        other.images, other.bound_to = list(self.images), dict(self.bound_to)
        other.edges, other.results = list(self.edges), list(self.results)
        other.unkept, other._state = self.unkept, self._state.copy()
        return other

    def load(self, event: Event) -> EventResult:
        """dlopen, as Python's import or ctypes would call it. A failing load is undone (GEN-3)."""
        if event.kind == "dll-directory":
            return self._record(EventResult(event, "loaded"))
        if self.dead:
            last = next(r for r in self.results if r.outcome == "aborted")
            return self._record(EventResult(event, "aborted", last.failure))
        before, mapped, number = self._state.copy(), len(self.images), len(self.results)
        try:
            root = self._dlopen(event, number)
        except _Stop as stop:
            self._state = before
            self.unkept |= frozenset(range(mapped, len(self.images)))
            aborted = stop.failure.kind == "PROCESS_ABORT"
            return self._record(EventResult(event, "aborted" if aborted else "failed", stop.failure))
        outcome: Outcome = "unknown" if self.images[root].slice is None and not self.images[root].cached else "loaded"
        return self._record(EventResult(event, outcome, None, root))

    def trace(self) -> Trace:
        return Trace(
            list(self.results),
            [self._mapped(i) for i in self.images],
            list(self.edges),
            LazyBindings(sorted(self.bound_to), self.bound),
        )

    def same_bindings(self, index: int, other: Process, other_index: int) -> bool:
        if not isinstance(other, DyldProcess):
            return False
        mine, theirs = self.bound_to.get(index), other.bound_to.get(other_index)
        if mine is None or theirs is None or self.images[index].slice is not other.images[other_index].slice:
            return mine is theirs
        pairs = set(zip(mine, theirs, strict=True))
        return all(a == b if a < 0 or b < 0 else self.images[a].path == other.images[b].path for a, b in pairs)

    @property
    def dead(self) -> bool:
        return any(r.outcome == "aborted" for r in self.results)

    @property
    def live(self) -> tuple[int, ...]:
        """Indices of the images that are mapped now, in dyld's load order."""
        return tuple(self._state.loaded)

    @property
    def hidden(self) -> frozenset[int]:
        """Images opened RTLD_LOCAL: invisible to flat and weak lookup (MAC-17)."""
        return self._state.hidden

    def bound(self, index: int) -> tuple[Bound, ...]:
        """The bindings of one image as records; binds that a weak bind of the same name replaced are left out."""
        s = self.images[index].slice
        assert s is not None
        rules = {0: "MAC-15", -1: "MAC-15", -2: "MAC-16", -3: "MAC-18"}
        return tuple(
            Bound(b.name, None, None if at == NULL else at, b.ordinal == -3, rules.get(b.ordinal, ""))
            for b, at in zip(s.binds, self.bound_to[index], strict=True)
            if at >= NULL
        )

    def _record(self, result: EventResult) -> EventResult:
        self.results.append(result)
        return result

    def _mapped(self, i: Image) -> Mapped:
        names = (i.install_name,) if i.install_name else ((i.path,) if i.cached else ())
        return Mapped(
            i.index, i.path, i.path, names, i.event, i.requested_as, self._path(i.requested_by), i.how,
            self._path(i.how_owner), i.rule, i.index not in self.unkept, i.attempts,
        )  # fmt: skip

    def _path(self, index: int) -> str:
        return self.images[index].path if index >= 0 else ""

    # -- start ---------------------------------------------------------------

    def begin(self, executable: str) -> EventResult:
        """Map the interpreter and what it links, in event 0. The kernel resolves the program's own path (MAC-4)."""
        event = Event(executable, kind="dlopen", label="start")
        self.results.append(EventResult(event, "loaded"))
        found = self.view.lookup(executable)
        s = None
        if found.status == "file":
            verdict = self._searcher.verify(found, linked=False)
            if verdict.slice is None:
                text = f"{executable}: {verdict.reason}"
                self.results[0] = EventResult(event, "failed", Failure("LOAD_REJECTED", text, verdict.rule, executable))
                return self.results[0]
            s = verdict.slice
        ident = found.entry.ident if found.entry is not None else ("unknown", found.real)
        self._searcher.program = found.real
        main = self._add(Image(0, found.real, ident, s, False, 0, executable, -1, "program", -1, "MAC-4"))
        try:
            chain = (self._link(main),)
            inserted = self._insert(chain)
            for top in (main, *inserted):
                self._dependents(top, chain, 0)
            self._bind(self._state.loaded, "")
        except _Stop as stop:
            self.results[0] = EventResult(event, "failed", stop.failure, main)
            return self.results[0]
        self.results[0] = EventResult(event, "loaded" if s else "unknown", None, main)
        return self.results[0]

    def _insert(self, chain: tuple[Link, ...]) -> list[int]:
        """DYLD_INSERT_LIBRARIES come before the program in load order (RuntimeState::loadInsertedLibraries)."""
        out: list[int] = []
        for name in self._searcher.env.insert:
            met = self._get(name, chain, 0, 0, static=True, old_sdk=False)
            if met.index is None:
                raise _Stop(self._failure("MISSING_LIB", met.reason, "MAC-8", library=name, attempts=met.attempts))
            if met.index not in out and met.index != 0:
                out.append(met.index)
        if out:
            self._state.loaded.remove(0)
            self._state.loaded.append(0)
        return out

    # -- dlopen --------------------------------------------------------------

    def _dlopen(self, event: Event, number: int) -> int:
        local = event.local_hint or (event.kind == "dlopen" and event.caller is None and not event.flags_global)
        mode = RTLD_NOW | (RTLD_GLOBAL if event.flags_global else RTLD_LOCAL if local else 0)
        before = f"dlopen({event.open}, 0x{mode:04X}): "
        caller = self._caller(event)
        chain = (self._link(caller), self._link(0))
        count = len(self._state.loaded)
        met = self._get(event.open, chain, caller, number, static=False, old_sdk=self._old_sdk(caller))
        if met.index is None:
            raise _Stop(self._not_opened(event, met, before))
        root = met.index
        if root < len(self.images) and self.images[root].event != number:
            self._edge(caller, event.open, "required", met, number)
        self._show_or_hide(root, local, new=root in self._state.loaded[count:])
        try:
            self._dependents(root, (self._link(root), *chain), number)
        except _Stop as stop:
            raise _Stop(_prefixed(stop.failure, before)) from None
        self._bind(self._state.loaded[count:], before)
        self._second_python(event, root)
        return root

    def _caller(self, event: Event) -> int:
        """Whose code calls dlopen: the program for imports, ctypes' own module for ctypes (MAC-6)."""
        live = self._state.loaded
        if event.caller is not None:
            real = self.view.lookup(event.caller).real
            return next((i for i in live if self.images[i].path in (event.caller, real)), 0)
        if event.kind == "dlopen":
            ctypes = (i for i in live if posixpath.basename(self.images[i].path).startswith("_ctypes."))
            return next(ctypes, 0)
        return 0

    def _not_opened(self, event: Event, met: _Met, before: str) -> Failure:
        refused = met.rejected is not None
        bare = "/" not in event.open  # where such a name is looked for depends on the host (MAC-7)
        return self._failure(
            "LOAD_REJECTED" if refused else "MISSING_LIB",
            before + met.reason,
            met.rejected_rule if refused else "MAC-5",
            requester=0,
            provider=met.rejected.path if met.rejected else "",
            library=event.open,
            attempts=met.attempts,
            needs_host=bare or self._system_library(event.open),
        )

    def _show_or_hide(self, root: int, local: bool, new: bool) -> None:
        """MAC-17: only a newly mapped top image is hidden by RTLD_LOCAL; opening without it shows it again."""
        state = self._state
        if local and new:
            state.hidden |= {root}
        elif not local and root in state.hidden:
            state.hidden -= {root}
        else:
            return
        state.weak_first, state.strong_first = {}, {}
        for index in state.loaded:
            if index not in state.hidden:
                state.note_weak(self.images[index])

    # -- finding and mapping ---------------------------------------------------

    def _get(
        self, asked: str, chain: tuple[Link, ...], requester: int, event: int, *, static: bool, old_sdk: bool
    ) -> _Met:
        """dyld's getLoader: an image that answers already, else the first place that can be mapped (MAC-1, MAC-5)."""
        name = asked if asked.startswith("@rpath/") else f"@rpath/{asked}"
        if name == asked or (not static and "/" not in asked and not asked.startswith("@")):
            hit = self._state.names.get(name)
            if hit is not None:
                return _Met(hit, self._by(hit, name), hit, "MAC-1")
        attempts: list[Attempt] = []
        tried: list[str] = []
        rejected: tuple[Place, str] | None = None
        for place in self._searcher.places(asked, chain, static=static, old_sdk=old_sdk):
            hit = self._state.names.get(place.path)
            if hit is not None:
                attempts.append(Attempt(place.path, "found"))
                return _Met(hit, self._by(hit, place.path), hit, "MAC-2", tuple(attempts))
            cached = self._searcher.cached(place)
            if cached is not None:
                attempts.append(Attempt(place.path, "found"))
                index = self._cached(place, cached, asked, requester, event, tuple(attempts))
                return _Met(index, "shared-cache", -1, "MAC-9", tuple(attempts))
            met, reason, rule = self._file(place, asked, requester, event, static, attempts)
            if met is not None:
                return met
            if rule and rejected is None:
                rejected = place, rule
            tried.append(f"'{place.path}' ({reason})")
        link = self._link_into_cache(asked, requester, event, attempts)
        if link is not None:
            return link
        return _Met(
            None, "", -1, "MAC-5", tuple(attempts), self._tried(asked, chain, tried),
            rejected[0] if rejected else None, rejected[1] if rejected else "",
        )  # fmt: skip

    def _by(self, hit: int, name: str) -> str:
        """In which way an image answered to a name."""
        image = self.images[hit]
        if image.cached:
            return "shared-cache"
        return "path" if image.path == name else "install-name"

    @staticmethod
    def _tried(asked: str, chain: tuple[Link, ...], tried: list[str]) -> str:
        if tried:
            return "tried: " + ", ".join(tried)
        if asked.startswith("@rpath/") and not any(link.rpaths for link in chain):
            return "no LC_RPATH's found"
        return "no LC_RPATH's used.  They may be invalid, eg, not start with '@loader_path' or '@executable_path'"

    def _cached(
        self, place: Place, name: str, asked: str, requester: int, event: int, attempts: tuple[Attempt, ...]
    ) -> int:
        ident = ("cache", name)
        hit = self._state.idents.get(ident)
        if hit is not None:
            return hit
        index = self._add(
            Image(len(self.images), place.path, ident, None, True, event, asked, requester, "shared-cache", -1, "MAC-9",
                  attempts)
        )  # fmt: skip
        if name == LIBSYSTEM:
            for path in self._searcher.system.launch:
                self._cached(Place(path, "shared-cache", -1, "MAC-9"), path, path, index, event, ())
        return index

    def _file(
        self, place: Place, asked: str, requester: int, event: int, static: bool, attempts: list[Attempt]
    ) -> tuple[_Met | None, str, str]:
        """(how a file at a place serves, else None and dyld's reason, and the rule of a refusal)."""
        found = self.view.lookup(place.path)
        if found.status not in ("file", "unknown") or found.entry is None:
            attempts.append(Attempt(place.path, "directory" if found.status == "dir" else "absent"))
            return None, "not a file" if found.status == "dir" else self._searcher.not_there(place), ""
        hit = self._state.idents.get(found.entry.ident)
        if hit is not None:
            attempts.append(Attempt(place.path, "found"))
            return _Met(hit, "file-id", hit, "MAC-3", tuple(attempts)), "", ""
        verdict = self._searcher.verify(found, linked=static)
        attempts.append(Attempt(place.path, verdict.outcome))
        if verdict.slice is None and not verdict.unknown:
            return None, verdict.reason, verdict.rule
        opened = not static and place.how == "path"
        how = "opened" if opened else place.how
        index = self._add(
            Image(len(self.images), found.real, found.entry.ident, verdict.slice, False, event, asked, requester, how,
                  place.owner if not opened else -1, place.rule, tuple(attempts))
        )  # fmt: skip
        return _Met(index, how, place.owner, place.rule, tuple(attempts)), "", ""

    def _link_into_cache(self, asked: str, requester: int, event: int, attempts: list[Attempt]) -> _Met | None:
        """A link on disk to a library that is only in the cache (getLoader's last resort: realpath)."""
        found = self.view.lookup(asked)
        if found.status != "dangling":
            return None
        place = Place(found.real, "shared-cache", -1, "MAC-9", guess=True)
        name = self._searcher.cached(place)
        if name is None:
            return None
        attempts.append(Attempt(found.real, "found"))
        index = self._cached(place, name, asked, requester, event, tuple(attempts))
        return _Met(index, "shared-cache", -1, "MAC-9", tuple(attempts))

    def _add(self, image: Image) -> int:
        self.images.append(image)
        state = self._state
        state.loaded.append(image.index)
        state.idents.setdefault(image.ident, image.index)
        for name in (image.path, image.install_name):
            if name:
                state.names.setdefault(name, image.index)
        state.note_weak(image)
        return image.index

    def _link(self, index: int) -> Link:
        image = self.images[index]
        if image.slice is None and index == 0:
            return Link(0, image.path, (CONDA_RPATH,))
        return Link(index, image.path, image.slice.rpath if image.slice is not None else ())

    def _old_sdk(self, index: int) -> bool:
        """Whether an image still gets the default fallback directories (MAC-7)."""
        s = self.images[index].slice
        return s is not None and version(s.sdk) < FALLBACK_SDK

    # -- dependencies ----------------------------------------------------------

    def _dependents(self, top: int, chain: tuple[Link, ...], event: int) -> None:
        """Load what an image links: all its direct needs, then each one's own, in depth (MAC-14)."""
        todo: list[tuple[int, tuple[Link, ...]]] = [(top, chain)]
        while todo:
            index, chain = todo.pop()
            if index in self._state.needs:
                continue
            image = self.images[index]
            if image.slice is None:
                self._state.needs[index] = ()
                continue
            inner = (self._link(index), *chain)
            needs = tuple(self._need(image, dylib, inner, event) for dylib in _linked(image.slice))
            self._state.needs[index] = needs
            todo.extend((n.provider, inner) for n in reversed(needs) if n.provider is not None)

    def _need(self, image: Image, dylib: Dylib, chain: tuple[Link, ...], event: int) -> Need:
        name, state = dylib.name, self._state
        hit = state.names.get(name) if name.startswith("/") else None
        if hit is not None:
            met = _Met(hit, self._by(hit, name), hit, "MAC-2")
        else:
            met = self._get(name, chain, image.index, event, static=True, old_sdk=self._old_sdk(image.index))
        self._edge(image.index, name, dylib.kind, met, event)
        if met.index is None and dylib.kind != "weak":
            raise _Stop(self._not_linked(image, dylib, met))
        if met.index is not None:
            self._compatible(image, dylib, met.index)
        return Need(met.index, dylib.kind == "reexport")

    def _compatible(self, image: Image, dylib: Dylib, provider: int) -> None:
        """MAC-11: only macOS 11 and older compare compatibility versions."""
        s = self.images[provider].slice
        if s is None or self.host.macos is None or self.host.macos >= OLD_DYLD or s.versions[0] >= dylib.compatibility:
            return
        need, have = version_text(dylib.compatibility), version_text(s.versions[0])
        text = (
            f"Incompatible library version: {posixpath.basename(image.path)} requires version {need} or later, "
            f"but {posixpath.basename(self._path(provider))} provides version {have}"
        )
        raise _Stop(
            self._failure(
                "LOAD_REJECTED", text, "MAC-11", image.index, self._path(provider), dylib.name, needs_host=True
            )
        )

    def _not_linked(self, image: Image, dylib: Dylib, met: _Met) -> Failure:
        text = (
            f"Library not loaded: {dylib.name}\n  Referenced from: {self._reference(image)}{self._too_new(image)}\n"
            f"  Reason: {met.reason}"
        )
        refused = met.rejected is not None
        return self._failure(
            "LOAD_REJECTED" if refused else "MISSING_LIB",
            text,
            met.rejected_rule if refused else "MAC-5",
            image.index,
            met.rejected.path if met.rejected else "",
            dylib.name,
            attempts=met.attempts,
            needs_host=self._system_library(dylib.name),
        )

    def _system_library(self, name: str) -> bool:
        return self._searcher.system.canonical(name) is not None

    @staticmethod
    def _reference(image: Image) -> str:
        uuid = image.slice.uuid if image.slice is not None else None
        return f"<{uuid or 'no uuid'}> {image.path}"

    def _too_new(self, image: Image) -> str:
        """dyld's remark on a file built for a newer system (MAC-13): it explains, it does not refuse."""
        s = image.slice
        if s is None or self.host.macos is None or version(s.min_os) <= self.host.macos:
            return ""
        return f" (built for macOS {version_text(s.min_os)} which is newer than running OS)"

    # -- binding -----------------------------------------------------------------

    def _bind(self, new: list[int], before: str) -> None:
        if not self.binds:
            return
        resolver = Resolver(self.images, self._state)
        for index in new:
            image = self.images[index]
            if image.slice is None:
                continue
            bound = resolver.bind(image)
            if isinstance(bound, Missing):
                raise _Stop(self._not_bound(image, bound, before))
            self.bound_to[index] = bound

    def _not_bound(self, image: Image, missing: Missing, before: str) -> Failure:
        name, place = missing.bind.name, missing.place
        reference = f"{self._reference(image)}{self._too_new(image)}"
        expected = self._reference(self.images[place]) if place is not None else "<no uuid> unknown"
        text, rule = {
            "flat": (f"symbol not found in flat namespace '{name}'", "MAC-16"),
            "weak": (
                f"Symbol not found: {name}\n  Referenced from: {reference}\n"
                "  Expected as weak-def export from some loaded dylib",
                "MAC-18",
            ),
            "ordinal": (
                f"unknown library ordinal {missing.bind.ordinal} in {image.path} when binding '{name}'",
                "MAC-15",
            ),
            "two-level": (
                f"Symbol not found: {name}\n  Referenced from: {reference}\n  Expected in:     {expected}",
                "MAC-15",
            ),
        }[missing.text]
        library = (image.slice.library(missing.bind.ordinal) if image.slice is not None else None) or ""
        provider = self._path(place) if place is not None else ""
        return self._failure("MISSING_SYMBOL", before + text, rule, image.index, provider, library, name)

    def _second_python(self, event: Event, root: int) -> None:
        """MAC-21: a module whose C-API is bound to a libpython, while the interpreter is in the program, calls into an
        interpreter that nobody initialised as soon as it is imported."""
        s, program = self.images[root].slice, self.images[0].slice
        if event.kind != "import" or s is None or program is None or root not in self.bound_to:
            return
        for b, at in zip(s.binds, self.bound_to[root], strict=True):
            if at > 0 and b.name.startswith("_Py") and b.ordinal > 0 and b.name in program.exported:
                provider = self._path(at)
                text = f"{NO_THREAD} ({b.name} of {root_name(self.images[root].path)} is bound to {provider})"
                raise _Stop(
                    self._failure("PROCESS_ABORT", text, "MAC-21", root, provider, s.library(b.ordinal) or "", b.name)
                )

    # -- records -------------------------------------------------------------------

    def _edge(self, requester: int, name: str, kind: str, met: _Met, event: int) -> None:
        self.edges.append(
            Edge(requester, name, kind, met.index, met.how, self._path(met.owner), met.rule, event, met.attempts)
        )

    def _failure(
        self, kind: FailureKind, message: str, rule: str, requester: int = -1, provider: str = "", library: str = "",
        symbol: str = "", *, attempts: tuple[Attempt, ...] = (), needs_host: bool = False,
    ) -> Failure:  # fmt: skip
        return Failure(
            kind,
            message,
            rule,
            self._path(requester),
            provider,
            library,
            symbol,
            attempts=attempts,
            needs_host=needs_host,
        )


def root_name(path: str) -> str:
    return posixpath.basename(path)


def _prefixed(failure: Failure, before: str) -> Failure:
    f = failure
    return Failure(
        f.kind,
        before + f.message,
        f.rule,
        f.requester,
        f.provider,
        f.library,
        f.symbol,
        f.version,
        f.attempts,
        f.needs_host,
    )


def _linked(s: MachoSlice) -> Iterator[Dylib]:
    """What an image links; one that links nothing is given libSystem (MAC-10)."""
    if s.dylibs:
        yield from s.dylibs
    else:
        yield Dylib(LIBSYSTEM, "required")


def start(
    view: View,
    host: MacHost,
    *,
    executable: str,
    subdir: str,
    env: Mapping[str, str] | None = None,
    binds: bool = True,
) -> DyldProcess:
    """Start a prefix's interpreter.

    Args:
        executable: absolute path of the program in the view (``bin/python``; links are followed).
        subdir: conda subdir of the prefix; decides the architecture of the process.
        env: the DYLD_* variables the user declared; nothing of this process's environment (MAC-8).
        binds: False leaves out binding: what is mapped and why.

    Raises ``UsageError`` for a declared variable that is not simulated.
    """
    searcher = Searcher(view, host, macos_system(), ARCHES[subdir], executable, Environment.of(env or {}))
    process = DyldProcess(view, host, searcher, binds)
    process.begin(executable)
    return process
