"""glibc's dynamic loader as a simulation (GEN-*, ELF-1 to ELF-48, CL-*).

One :class:`GlibcProcess` is one process: the interpreter with what it needs at start, then dlopen after dlopen. The
algorithm is that of section 1.1 of the semantics; each step names its rule. The process judges nothing: it says what
was mapped, why there, what bound where, and with which words glibc gives up.

Not modelled, as the semantics say: constructors that load further libraries, LD_AUDIT, dlmopen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from abicheck.binary.elf import ElfSlice
from abicheck.host import Host
from abicheck.loader.glibc_binding import (
    UNDEFINED,
    UNRESOLVED_WEAK,
    VERSION_ASSERT,
    BindingMemory,
    Resolution,
    resolve,
)
from abicheck.loader.glibc_checks import TLS_SURPLUS, check_cpu, check_versions, take_static_tls
from abicheck.loader.glibc_mapping import Mapper, Object, Stop
from abicheck.loader.glibc_search import Candidate, Searcher, Target
from abicheck.loader.process import Bound, Event, EventResult, Failure, LazyBindings, Mapped, Process, Trace
from abicheck.overlay import View

PLATFORMS = ("linux-64", "linux-32", "linux-aarch64", "linux-ppc64le", "linux-s390x", "linux-armv7l", "linux-riscv64")

# (class, machine, little) of a conda subdir's executables: for interpreters whose file is not at hand.
TARGETS = {
    "linux-64": Target(64, 62, True), "linux-32": Target(32, 3, True), "linux-aarch64": Target(64, 183, True),
    "linux-ppc64le": Target(64, 21, True), "linux-s390x": Target(64, 22, False), "linux-armv7l": Target(32, 40, True),
    "linux-riscv64": Target(64, 243, True),
}  # fmt: skip
VERSION_ASSERTION = (
    "Inconsistency detected by ld.so: dl-lookup.c: check_match: Assertion "
    "`version->filename == NULL || ! _dl_name_match_p (version->filename, map)' failed!"
)


@dataclass(frozen=True, slots=True)
class Relocated:
    """What one object was bound to: its resolution, the scope the positions mean (object indices, the object itself
    last), and what the process-wide table of unique symbols decided instead (reference index -> object index)."""

    resolution: Resolution
    scope: tuple[int, ...]
    merged: Mapping[int, int]

    def provider(self, n: int) -> int:
        """Object index that serves reference ``n``, or a negative code of ``glibc_binding``."""
        if n in self.merged:
            return self.merged[n]
        at = self.resolution.positions[n]
        return self.scope[at] if at >= 0 else at


class GlibcProcess:
    """See the module. Made by :func:`start`; implements ``loader.process.Process``."""

    def __init__(self, mapper: Mapper, memory: BindingMemory, binds: bool) -> None:
        self.binds = binds
        self.relocated: dict[int, Relocated] = {}
        self.results: list[EventResult] = []
        self.unkept: frozenset[int] = frozenset()
        self._mapper = mapper
        self._memory = memory

    @property
    def objects(self) -> list[Object]:
        """Every object ever mapped, undone ones included, by index."""
        return self._mapper.objects

    # -- Process -------------------------------------------------------------

    def fork(self) -> GlibcProcess:
        other = GlibcProcess(self._mapper.copy(), self._memory, self.binds)
        other.relocated, other.results, other.unkept = dict(self.relocated), list(self.results), self.unkept
        return other

    def load(self, event: Event) -> EventResult:
        """dlopen, as Python's import or ctypes would call it. A failing load is undone (GEN-3)."""
        if event.kind == "dll-directory":
            return self._record(EventResult(event, "loaded"))
        if not self.objects:  # the interpreter does not start: what it would load cannot be said
            return self._record(EventResult(event, "unknown", self.results[0].failure))
        if self.dead:
            last = next(r for r in self.results if r.outcome == "aborted")
            return self._record(EventResult(event, "aborted", last.failure))
        before, mapped, number = self._mapper.state.copy(), len(self.objects), len(self.results)
        try:
            root = self._dlopen(event, number)
        except Stop as stop:
            after = self._mapper.state
            self._mapper.state = before
            gone = frozenset(range(mapped, len(self.objects)))
            self.unkept |= gone
            before.unique = {k: v for k, v in after.unique.items() if v not in gone}
            # Names that a staying object was met by stay with it (add_name_to_object is not undone).
            before.names |= {k: v for k, v in after.names.items() if v not in gone}
            aborted = stop.failure.kind == "PROCESS_ABORT"
            return self._record(EventResult(event, "aborted" if aborted else "failed", stop.failure))
        known = self.objects[root].elf is not None
        return self._record(EventResult(event, "loaded" if known else "unknown", None, root))

    def trace(self) -> Trace:
        path, names = self._mapper.path, self._mapper.names()
        objects = [
            Mapped(
                o.index, o.path, o.real, names[o.index], o.event, o.requested_as, path(o.requested_by), o.how,
                path(o.how_owner), o.rule, o.index not in self.unkept, o.attempts,
            )
            for o in self.objects
        ]  # fmt: skip
        bindings = LazyBindings(sorted(self.relocated), self.bound)
        return Trace(list(self.results), objects, list(self._mapper.edges), bindings)

    def same_bindings(self, index: int, other: Process, other_index: int) -> bool:
        if not isinstance(other, GlibcProcess):
            return False
        mine, theirs = self.relocated.get(index), other.relocated.get(other_index)
        if mine is None or theirs is None:
            return mine is theirs
        return mine.resolution is theirs.resolution and not mine.merged and not theirs.merged

    def apart(self, index: int, other: Process, other_index: int) -> tuple[tuple[Bound, ...], tuple[Bound, ...]] | None:
        """See :class:`ComparesRows`. Providers are compared by real path."""
        if not isinstance(other, GlibcProcess) or self.objects[index].elf is not other.objects[other_index].elf:
            return None
        elf = self.objects[index].elf
        if elf is None or index not in self.relocated or other_index not in other.relocated:
            return None
        mine, theirs = self._providers(index), other._providers(other_index)
        references = elf.references
        differing = [n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b]
        differing += range(min(len(mine), len(theirs)), max(len(mine), len(theirs)))
        if not differing:
            return (), ()
        names = {(references[n].name, references[n].version) for n in differing}
        rows = [n for n, r in enumerate(references) if (r.name, r.version) in names]
        return self._rows(index, rows), other._rows(other_index, rows)

    def _providers(self, index: int) -> list[str | int]:
        """For every reference that was looked up: the real path of what serves it, or a code of ``glibc_binding``."""
        done = self.relocated[index]
        real = [self.objects[i].real for i in done.scope]
        out: list[str | int] = [real[at] if at >= 0 else at for at in done.resolution.positions]
        for n, at in done.merged.items():
            out[n] = self.objects[at].real if at >= 0 else at
        return out

    @property
    def dead(self) -> bool:
        return any(r.outcome == "aborted" for r in self.results)

    @property
    def live(self) -> tuple[int, ...]:
        """Indices of the objects that are mapped now, in load order."""
        return tuple(self._mapper.state.live)

    @property
    def global_scope(self) -> tuple[int, ...]:
        return self._mapper.state.global_scope

    @property
    def static_tls_used(self) -> int:
        """Bytes that libraries loaded after the start took from the static TLS surplus (ELF-45)."""
        return self._mapper.state.static_tls

    @property
    def static_tls_users(self) -> tuple[Object, ...]:
        """Whose storage lies in what was taken, the biggest first."""
        inside = self._mapper.state.in_static
        users = (o for o in self.objects if o.event > 0 and o.index in inside and o.elf and o.elf.tls)
        return tuple(sorted(users, key=lambda o: -(o.elf.tls[0] if o.elf and o.elf.tls else 0)))

    @property
    def static_tls_share(self) -> float:
        """See :class:`ReservesTls`: what those want that access their own storage as initial-exec."""
        late = (self.objects[i] for i in self.live if self.objects[i].event > 0)
        return sum(o.elf.tls[0] for o in late if o.elf and o.elf.tls and o.elf.uses_ie_tls) / TLS_SURPLUS

    def bound(self, index: int) -> tuple[Bound, ...]:
        """The bindings of one object as records."""
        return self._rows(index, range(len(self.relocated[index].resolution.positions)))

    def _rows(self, index: int, numbers: Iterable[int]) -> tuple[Bound, ...]:
        done, elf = self.relocated[index], self.objects[index].elf
        assert elf is not None
        references, looked_up = elf.references, len(done.resolution.positions)
        out = []
        for n in numbers:
            if n >= looked_up:
                break
            ref = references[n]
            at = done.provider(n)
            if at in (UNDEFINED, VERSION_ASSERT):
                continue
            merged = n in done.merged
            rule = "ELF-30" if merged else ""
            name = ref.name.decode("utf-8", "surrogateescape")
            out.append(Bound(name, ref.version, None if at == UNRESOLVED_WEAK else at, merged, rule))
        return tuple(out)

    # -- start ---------------------------------------------------------------

    def begin(self, executable: str) -> EventResult:
        """Map the interpreter and what it needs, in event 0 (ELF-19, ELF-20, ELF-26)."""
        mapper, event = self._mapper, Event(executable, kind="dlopen", label="start")
        self.results.append(EventResult(event, "loaded"))
        found = mapper.searcher.view.lookup(executable)
        elf = None
        if found.status == "file":
            verdict, _, elf, error = mapper.searcher.verify(found.real)
            if verdict != "ok":
                text = error or f"{executable}: cannot execute binary file"
                return self._started(EventResult(event, "failed", Failure("LOAD_REJECTED", text, "ELF-16", executable)))
        # ELF-8: the program's own path is resolved by the kernel.
        program = Candidate(found.real, "program", -1, "ELF-20", found, elf)
        main = mapper.add(program, executable, -1, -1, 0, (), is_program=True)
        self._interpreter(elf)
        try:
            order = mapper.dependencies(main, 0, self._preloads(main))
            mapper.state.global_scope = order
            self._settle(main, order, event, at_start=True)
        except Stop as stop:
            return self._started(EventResult(event, "failed", stop.failure, main))
        mapper.state.in_static = frozenset(mapper.state.live)
        mapper.state.static_tls = 0
        return self._started(EventResult(event, "loaded" if elf else "unknown", None, main))

    def _preloads(self, main: int) -> list[int]:
        """ELF-26: what LD_PRELOAD names; a file that is not there or no library is ignored, with a word on stderr."""
        out = []
        for name in self._mapper.env.get("LD_PRELOAD", "").replace(":", " ").split():
            with contextlib.suppress(Stop):
                out.append(self._mapper.open(name, main, main, 0))
        return out

    def _started(self, result: EventResult) -> EventResult:
        self.results[0] = result
        return result

    def _interpreter(self, elf: ElfSlice | None) -> None:
        """The kernel maps ld.so itself beside the program; libraries then meet it by soname."""
        if elf is None or elf.interp is None:
            return
        verdict, found, loader, _ = self._mapper.searcher.verify(elf.interp)
        if verdict == "ok":
            self._mapper.add(Candidate(elf.interp, "program", 0, "ELF-20", found, loader), elf.interp, 0, 0, 0, ())

    # -- dlopen --------------------------------------------------------------

    def _dlopen(self, event: Event, number: int) -> int:
        mapper = self._mapper
        root = mapper.open(event.open, self._caller(event), -1, number)
        if root not in mapper.state.search_lists:
            self._settle(root, mapper.dependencies(root, number, []), event, at_start=False)
        if event.flags_global:
            state = mapper.state
            state.global_scope += tuple(i for i in state.search_lists[root] if i not in state.global_scope)
        return root

    def _caller(self, event: Event) -> int:
        """The object whose path tags serve a bare-name dlopen (ELF-10); the program when nobody is named."""
        if event.caller is not None:
            for i in self._mapper.state.live:
                if event.caller in (self.objects[i].path, self.objects[i].real):
                    return i
        return 0

    def _settle(self, root: int, order: tuple[int, ...], event: Event, *, at_start: bool) -> None:
        """Version checks, refusals, then relocation, dependencies first (steps 5 to 7)."""
        state = self._mapper.state
        for index in order:
            if index not in state.checked:
                check_versions(self._mapper, index)
        state.checked |= frozenset(order)
        for index in order:
            if index not in self.relocated:
                check_cpu(self._mapper, index)
        initfini = self._mapper.initialisation_order(root, order)
        self._mapper.state.dependencies[root] = initfini
        if not self.binds:
            return
        for index in reversed(initfini):
            if index not in self.relocated and self.objects[index].elf is not None:
                self._relocate(index, event)
        if at_start:
            for o in self.objects:
                if o.index not in self.relocated and o.elf is not None:
                    self._relocate(o.index, event)  # ld.so relocates itself last

    # -- relocation ----------------------------------------------------------

    def _scope(self, index: int, *, deepbind: bool = False) -> tuple[int, ...]:
        """The objects searched for one object's references: the global scope, then its root's list (ELF-21); the other
        way round for what an open with RTLD_DEEPBIND maps (ELF-25)."""
        root, state = index, self._mapper.state
        while self.objects[root].loader > 0:
            root = self.objects[root].loader
        local = () if root == 0 or self.objects[root].loader == 0 else state.search_lists.get(root, (root,))
        return local + state.global_scope if deepbind else state.global_scope + local

    def _relocate(self, index: int, event: Event) -> None:
        obj, host = self.objects[index], self._mapper.host
        elf = obj.elf
        assert elf is not None
        scope = self._scope(index, deepbind=event.deepbind)
        lazy = event.lazy and not elf.bind_now and not self._mapper.env.get("LD_BIND_NOW")
        # Later objects of a file that is mapped twice have equal idents; scope positions keep them apart.
        asserts = host.libc == "glibc" and host.glibc is not None and host.glibc <= (2, 40)
        resolution = resolve(
            self._memory, obj, [self.objects[i] for i in scope], own_first=elf.symbolic, asserts_versions=asserts,
            lazy=lazy,
        )  # fmt: skip
        ours = (*scope, index)
        merged: dict[int, int] = {}
        for n in resolution.unique:
            ref = elf.references[n]
            first = self._mapper.state.unique.setdefault(ref.name, ours[resolution.positions[n]])
            if first != ours[resolution.positions[n]]:
                merged[n] = first
        done = Relocated(resolution, ours, merged)
        if any(elf.tls_users):
            looked_up = zip(elf.references, range(len(resolution.positions)), strict=False)
            take_static_tls(self._mapper, index, {r.index: done.provider(n) for r, n in looked_up if r.kind == "tls"})
        self.relocated[index] = done
        if resolution.stop >= 0:
            raise Stop(self._unbound(obj, resolution))

    def _unbound(self, obj: Object, resolution: Resolution) -> Failure:
        """Why the reference at which binding stopped ends the load (ELF-39, ELF-44)."""
        assert obj.elf is not None
        ref = obj.elf.references[resolution.stop]
        name, version = ref.name.decode("utf-8", "backslashreplace"), ref.version or ""
        if resolution.positions[resolution.stop] == VERSION_ASSERT:
            return self._mapper.failure(
                "PROCESS_ABORT", VERSION_ASSERTION, "ELF-39", obj.index, symbol=name, version=version, needs_host=True
            )
        text = f"{obj.path}: undefined symbol: {name}" + (f", version {version}" if version else "")
        return self._mapper.failure(
            "MISSING_SYMBOL", text, "ELF-44", obj.index, symbol=name, version=version,
            library=ref.version_file or "", provider=self._answering(ref.version_file),
        )  # fmt: skip

    def _answering(self, name: str | None) -> str:
        at = self._mapper.state.names.get(name) if name else None
        return self._mapper.path(at) if at is not None else ""

    def _record(self, result: EventResult) -> EventResult:
        self.results.append(result)
        return result


def start(
    view: View,
    host: Host,
    *,
    executable: str,
    subdir: str,
    env: Mapping[str, str] | None = None,
    memory: BindingMemory | None = None,
    binds: bool = True,
) -> GlibcProcess:
    """Start a prefix's interpreter.

    Args:
        executable: absolute path of the program in the view (``bin/python``; links are followed).
        subdir: conda subdir of the prefix; what the process accepts when the program itself cannot be read.
        env: LD_LIBRARY_PATH and LD_PRELOAD if the user declared them; nothing of this process's environment.
        memory: shared between processes over one view, so that equal scopes are bound once.
        binds: False leaves out relocation: what is mapped and why, at a fraction of the cost.
    """
    mapper = Mapper(Searcher(view, host, TARGETS[subdir]), env or {})
    process = GlibcProcess(mapper, memory if memory is not None else BindingMemory(), binds)
    process.begin(executable)
    return process
