"""macOS's dynamic loader as a simulation (GEN-*, MAC-1 to MAC-24; dyld4, macOS 12 and later).

One :class:`DyldProcess` is one process: the interpreter with what it links, then dlopen after dlopen, each as dyld's
``dlopen_from`` does it: candidate places until one works, dependencies in per-parent batches, every bind at once, all
or nothing. The process judges nothing: it says what was mapped, why there, what bound where, and dyld's words for a no.

Not modelled: constructors that load further libraries, __interpose tuples of inserted libraries (MAC-22), dlclose.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from abicheck.knowledge.macos_system import macos_system
from abicheck.loader.dyld_binding import NULL, Image, Missing, Resolver
from abicheck.loader.dyld_mapping import Mapper, Met, Stop
from abicheck.loader.dyld_search import BindingMemory, Environment, Link, MacHost, Searcher
from abicheck.loader.process import (
    Bound,
    Event,
    EventResult,
    Failure,
    LazyBindings,
    Mapped,
    Outcome,
    Process,
    Trace,
)
from abicheck.overlay import View

PLATFORMS = ("osx-64", "osx-arm64")
ARCHES = {"osx-64": "x86_64", "osx-arm64": "arm64"}
RTLD_NOW, RTLD_LOCAL, RTLD_GLOBAL = 0x2, 0x4, 0x8
NO_THREAD = "Fatal Python error: PyThreadState_Get: no current thread"


class DyldProcess:
    """See the module. Made by :func:`start`; implements ``loader.process.Process``."""

    def __init__(self, mapper: Mapper, binds: bool) -> None:
        self.binds = binds
        self.bound_to: dict[int, tuple[int, ...]] = {}
        self.results: list[EventResult] = []
        self.unkept: frozenset[int] = frozenset()
        self._mapper = mapper

    @property
    def images(self) -> list[Image]:
        """Every image ever mapped, undone ones included, by index."""
        return self._mapper.images

    # -- Process -------------------------------------------------------------

    def fork(self) -> DyldProcess:
        other = DyldProcess(self._mapper.copy(), self.binds)
        other.bound_to, other.results, other.unkept = dict(self.bound_to), list(self.results), self.unkept
        return other

    def load(self, event: Event) -> EventResult:
        """dlopen, as Python's import or ctypes would call it. A failing load is undone (GEN-3)."""
        if event.kind == "dll-directory":
            return self._record(EventResult(event, "loaded"))
        if not self.images:  # the interpreter does not start: what it would load cannot be said
            return self._record(EventResult(event, "unknown", self.results[0].failure))
        if self.dead:
            last = next(r for r in self.results if r.outcome == "aborted")
            return self._record(EventResult(event, "aborted", last.failure))
        before, mapped, number = self._mapper.state.copy(), len(self.images), len(self.results)
        try:
            root = self._dlopen(event, number)
        except Stop as stop:
            self._mapper.state = before
            self.unkept |= frozenset(range(mapped, len(self.images)))
            return self._record(EventResult(event, "failed", stop.failure))
        fatal = self._second_python(event, root)
        if fatal is not None:  # what was mapped stays: the process dies after the load, when the module initialises
            return self._record(EventResult(event, "aborted", fatal, root))
        outcome: Outcome = "unknown" if self.images[root].slice is None and not self.images[root].cached else "loaded"
        return self._record(EventResult(event, outcome, None, root))

    def trace(self) -> Trace:
        return Trace(
            list(self.results),
            [self._mapped(i) for i in self.images],
            list(self._mapper.edges),
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
        return tuple(self._mapper.state.loaded)

    @property
    def hidden(self) -> frozenset[int]:
        """Images opened RTLD_LOCAL: invisible to flat and weak lookup (MAC-17)."""
        return self._mapper.state.hidden

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
            i.index, i.path, i.path, names, i.event, i.requested_as, self._mapper.path(i.requested_by), i.how,
            self._mapper.path(i.how_owner), i.rule, i.index not in self.unkept, i.attempts,
        )  # fmt: skip

    def _path(self, index: int) -> str:
        return self.images[index].path if index >= 0 else ""

    # -- start ---------------------------------------------------------------

    def begin(self, executable: str) -> EventResult:
        """Map the interpreter and what it links, in event 0. The kernel resolves the program's own path (MAC-4)."""
        event = Event(executable, kind="dlopen", label="start")
        self.results.append(EventResult(event, "loaded"))
        found = self._mapper.searcher.view.lookup(executable)
        s = None
        if found.status == "file":
            verdict = self._mapper.searcher.verify(found, linked=False)
            if verdict.slice is None:
                text = f"{executable}: {verdict.reason}"
                self.results[0] = EventResult(event, "failed", Failure("LOAD_REJECTED", text, verdict.rule, executable))
                return self.results[0]
            s = verdict.slice
        ident = found.entry.ident if found.entry is not None else ("unknown", found.real)
        self._mapper.searcher.program = found.real
        main = self._mapper.add(Image(0, found.real, ident, s, False, 0, executable, -1, "program", -1, "MAC-4"))
        try:
            chain = (self._mapper.link(main),)
            inserted = self._insert(chain)
            for top in (main, *inserted):
                self._mapper.dependents(top, chain, 0)
            self._bind(self._mapper.state.loaded, "")
        except Stop as stop:
            self.results[0] = EventResult(event, "failed", stop.failure, main)
            return self.results[0]
        self.results[0] = EventResult(event, "loaded" if s else "unknown", None, main)
        return self.results[0]

    def _insert(self, chain: tuple[Link, ...]) -> list[int]:
        """DYLD_INSERT_LIBRARIES come before the program in load order (RuntimeState::loadInsertedLibraries)."""
        out: list[int] = []
        for name in self._mapper.searcher.env.insert:
            met = self._mapper.get(name, chain, 0, 0, static=True, old_sdk=False)
            if met.index is None:
                raise Stop(
                    self._mapper.failure("MISSING_LIB", met.reason, "MAC-8", library=name, attempts=met.attempts)
                )
            if met.index not in out and met.index != 0:
                out.append(met.index)
        if out:
            self._mapper.state.loaded.remove(0)
            self._mapper.state.loaded.append(0)
        return out

    # -- dlopen --------------------------------------------------------------

    def _dlopen(self, event: Event, number: int) -> int:
        local = event.local_hint or (event.kind == "dlopen" and event.caller is None and not event.flags_global)
        mode = RTLD_NOW | (RTLD_GLOBAL if event.flags_global else RTLD_LOCAL if local else 0)
        before = f"dlopen({event.open}, 0x{mode:04X}): "
        caller = self._caller(event)
        chain = (self._mapper.link(caller), self._mapper.link(0))
        count = len(self._mapper.state.loaded)
        met = self._mapper.get(event.open, chain, caller, number, static=False, old_sdk=self._mapper.old_sdk(caller))
        if met.index is None:
            raise Stop(self._not_opened(event, met, before))
        root = met.index
        if self.images[root].event != number:
            self._mapper.edge(caller, event.open, "required", met, number)
        self._show_or_hide(root, local, new=root in self._mapper.state.loaded[count:])
        try:
            self._mapper.dependents(root, (self._mapper.link(root), *chain), number)
        except Stop as stop:
            raise Stop(_prefixed(stop.failure, before)) from None
        self._bind(self._mapper.state.loaded[count:], before)
        return root

    def _caller(self, event: Event) -> int:
        """Whose code calls dlopen: the program for imports, ctypes' own module for ctypes (MAC-6)."""
        live = self._mapper.state.loaded
        if event.caller is not None:
            real = self._mapper.searcher.view.lookup(event.caller).real
            return next((i for i in live if self.images[i].path in (event.caller, real)), 0)
        if event.kind == "dlopen":
            ctypes = (i for i in live if posixpath.basename(self.images[i].path).startswith("_ctypes."))
            return next(ctypes, 0)
        return 0

    def _not_opened(self, event: Event, met: Met, before: str) -> Failure:
        refused = met.rejected is not None
        bare = "/" not in event.open  # where such a name is looked for depends on the host (MAC-7)
        return self._mapper.failure(
            "LOAD_REJECTED" if refused else "MISSING_LIB",
            before + met.reason,
            met.rejected_rule if refused else "MAC-5",
            requester=0,
            provider=met.rejected.path if met.rejected else "",
            library=event.open,
            attempts=met.attempts,
            needs_host=bare or self._mapper.system_library(event.open),
        )

    def _show_or_hide(self, root: int, local: bool, new: bool) -> None:
        """MAC-17: only a newly mapped top image is hidden by RTLD_LOCAL; opening without it shows it again."""
        state = self._mapper.state
        if local and new:
            state.hidden |= {root}
        elif not local and root in state.hidden:
            state.hidden -= {root}
        else:
            return
        state.weak_first, state.strong_first, state.flat = {}, {}, {}
        for index in state.loaded:
            if index not in state.hidden:
                state.note_weak(self.images[index])

    # -- binding -----------------------------------------------------------------

    def _bind(self, new: list[int], before: str) -> None:
        if not self.binds:
            return
        resolver = Resolver(self.images, self._mapper.state)
        for index in new:
            image = self.images[index]
            if image.slice is None:
                continue
            bound = resolver.bind(image)
            if isinstance(bound, Missing):
                raise Stop(self._mapper.not_bound(image, bound, before))
            self.bound_to[index] = bound

    def _second_python(self, event: Event, root: int) -> Failure | None:
        """MAC-21: a module whose C-API is bound to a libpython, while the interpreter is in the program, calls into an
        interpreter that nobody initialised as soon as it is imported."""
        s, program = self.images[root].slice, self.images[0].slice
        if event.kind != "import" or s is None or program is None or root not in self.bound_to:
            return None
        for b, at in zip(s.binds, self.bound_to[root], strict=True):
            if at > 0 and b.name.startswith("_Py") and b.ordinal > 0 and b.name in program.exported:
                provider = self._mapper.path(at)
                text = f"{NO_THREAD} ({b.name} of {posixpath.basename(self.images[root].path)} is bound to {provider})"
                library = s.library(b.ordinal) or ""
                return self._mapper.failure("PROCESS_ABORT", text, "MAC-21", root, provider, library, b.name)
        return None


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


def start(
    view: View,
    host: MacHost,
    *,
    executable: str,
    subdir: str,
    env: Mapping[str, str] | None = None,
    memory: BindingMemory | None = None,
    binds: bool = True,
) -> DyldProcess:
    """Start a prefix's interpreter.

    Args:
        executable: absolute path of the program in the view (``bin/python``; links are followed).
        subdir: conda subdir of the prefix; decides the architecture of the process.
        env: the DYLD_* variables the user declared; nothing of this process's environment (MAC-8).
        memory: shared between processes over one view and host, so that each file is judged once.
        binds: False leaves out binding: what is mapped and why.

    Raises ``UsageError`` for a declared variable that is not simulated.
    """
    searcher = Searcher(
        view, host, macos_system(), ARCHES[subdir], Environment.of(env or {}), memory or BindingMemory()
    )
    process = DyldProcess(Mapper(searcher), binds)
    process.begin(executable)
    return process
