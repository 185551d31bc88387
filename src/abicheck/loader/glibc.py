"""glibc's dynamic loader as a simulation (loader-semantics.md GEN-*, ELF-1 to ELF-48, CL-*).

One :class:`GlibcProcess` is one process: the interpreter with what it needs at start, then dlopen after dlopen. The
algorithm is that of section 1.1 of the semantics; each step names its rule. The process judges nothing: it says what
was mapped, why there, what bound where, and with which words glibc gives up.

Not modelled, as the semantics say: constructors that load further libraries, LD_AUDIT, dlmopen.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from abicheck.binary.elf import ElfSlice
from abicheck.host import Host, version_key
from abicheck.loader.glibc_binding import (
    UNDEFINED,
    UNRESOLVED_WEAK,
    VERSION_ASSERT,
    BindingMemory,
    Resolution,
    resolve,
)
from abicheck.loader.glibc_search import Candidate, Search, Searcher, Target, default_candidates, directories, origin_of
from abicheck.loader.process import (
    Bound,
    Edge,
    Event,
    EventResult,
    Failure,
    FailureKind,
    LazyBindings,
    Mapped,
    Process,
    Trace,
)
from abicheck.model import Attempt
from abicheck.overlay import View

PLATFORMS = ("linux-64", "linux-32", "linux-aarch64", "linux-ppc64le", "linux-s390x", "linux-armv7l", "linux-riscv64")

# (class, machine, little) of a conda subdir's executables: for interpreters whose file is not at hand.
TARGETS = {
    "linux-64": Target(64, 62, True), "linux-32": Target(32, 3, True), "linux-aarch64": Target(64, 183, True),
    "linux-ppc64le": Target(64, 21, True), "linux-s390x": Target(64, 22, False), "linux-armv7l": Target(32, 40, True),
    "linux-riscv64": Target(64, 243, True),
}  # fmt: skip
CONDA_RPATH = "$ORIGIN/../lib"  # CL-1: assumed only for an interpreter that cannot be read

# Bytes of static TLS that late-loaded libraries share (ELF-45): glibc elf/dl-tls.c, tls_static_surplus_init with the
# default tunables: (nns - 1) * 144 + nns * 144 + 512 with nns = 4; before 2.32 a constant.
TLS_SURPLUS = 3 * 144 + 4 * 144 + 512
TLS_SURPLUS_BEFORE_2_32 = 1664
# Alignment of the static block: the thread control block's own (sysdeps/x86_64/nptl/tls.h, TLS_TCB_ALIGN).
TLS_ALIGN = 64
X86_ISA_BITS = {1: 1, 2: 2, 4: 3, 8: 4}  # GNU_PROPERTY_X86_ISA_1_{BASELINE,V2,V3,V4} -> level (ELF-48)
GLIBC_STUBS = frozenset(
    {
        "libc.so.6",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "librt.so.1",
        "libutil.so.1",
        "libanl.so.1",
        "libresolv.so.2",
    }
)


@dataclass(frozen=True, slots=True)
class Object:
    """A mapped object. ``elf`` is None when its content is unknown (an absent but recorded file, an unknown host)."""

    index: int
    path: str
    real: str
    ident: Hashable
    elf: ElfSlice | None
    loader: int
    event: int
    requested_as: str
    requested_by: int
    how: str
    how_owner: int
    rule: str
    attempts: tuple[Attempt, ...]
    is_program: bool = False
    answers_to: frozenset[str] = frozenset()
    rpath: str | None = None
    runpath: str | None = None
    provides: frozenset[str] = frozenset()


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


class _Stop(Exception):
    """The load cannot go on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(slots=True)
class _State:
    """Everything a failed load must leave as it was (GEN-3). Copied before each event."""

    live: list[int]
    names: dict[str, int]
    sonames: dict[str, int]
    idents: dict[Hashable, int]
    global_scope: tuple[int, ...]
    search_lists: dict[int, tuple[int, ...]]
    dependencies: dict[int, tuple[int, ...]]
    unique: dict[bytes, int]
    static_tls: int
    in_static: frozenset[int]

    def copy(self) -> _State:
        return _State(
            list(self.live), dict(self.names), dict(self.sonames), dict(self.idents), self.global_scope,
            dict(self.search_lists), dict(self.dependencies), dict(self.unique), self.static_tls, self.in_static,
        )  # fmt: skip


class GlibcProcess:
    """See the module. Made by :func:`start`; implements ``loader.process.Process``."""

    def __init__(
        self, view: View, host: Host, searcher: Searcher, memory: BindingMemory, env: Mapping[str, str], binds: bool
    ) -> None:
        self.binds = binds
        self.view = view
        self.host = host
        self.env = env
        self.objects: list[Object] = []
        self.relocated: dict[int, Relocated] = {}
        self.edges: list[Edge] = []
        self.results: list[EventResult] = []
        self.unkept: frozenset[int] = frozenset()
        self._searcher = searcher
        self._memory = memory
        self._state = _State([], {}, {}, {}, (), {}, {}, {}, 0, frozenset())
        self._library_path = (
            directories(env.get("LD_LIBRARY_PATH", ""), "", searcher.target.machine, ":;")
            if env.get("LD_LIBRARY_PATH")
            else ()
        )
        self._levels = host.hwcaps_levels(searcher.target.machine)

    # -- Process -------------------------------------------------------------

    def fork(self) -> GlibcProcess:
        other = GlibcProcess(self.view, self.host, self._searcher, self._memory, self.env, self.binds)
        other.objects = list(self.objects)
        other.relocated = dict(self.relocated)
        other.edges = list(self.edges)
        other.results = list(self.results)
        other.unkept = self.unkept
        other._state = self._state.copy()
        return other

    def load(self, event: Event) -> EventResult:
        """dlopen, as Python's import or ctypes would call it. A failing load is undone (GEN-3)."""
        if event.kind == "dll-directory":
            return self._record(EventResult(event, "loaded"))
        if self.dead:
            return self._record(EventResult(event, "aborted", self.results[-1].failure))
        before, mapped = self._state.copy(), len(self.objects)
        number = len(self.results)
        try:
            root = self._dlopen(event, number)
        except _Stop as stop:
            unique = self._state.unique
            self._state = before
            gone = frozenset(range(mapped, len(self.objects)))
            self.unkept |= gone
            self._state.unique = {k: v for k, v in unique.items() if v not in gone}
            aborted = stop.failure.kind == "PROCESS_ABORT"
            return self._record(EventResult(event, "aborted" if aborted else "failed", stop.failure))
        known = self.objects[root].elf is not None
        return self._record(EventResult(event, "loaded" if known else "unknown", None, root))

    def trace(self) -> Trace:
        path = [o.path for o in self.objects]
        objects = [
            Mapped(
                o.index, o.path, o.real, self._names_of(o), o.event, o.requested_as,
                path[o.requested_by] if o.requested_by >= 0 else "", o.how, path[o.how_owner] if o.how_owner >= 0 else "",
                o.rule, o.index not in self.unkept, o.attempts,
            )
            for o in self.objects
        ]  # fmt: skip
        return Trace(list(self.results), objects, list(self.edges), LazyBindings(sorted(self.relocated), self.bound))

    def same_bindings(self, index: int, other: Process, other_index: int) -> bool:
        if not isinstance(other, GlibcProcess):
            return False
        mine, theirs = self.relocated.get(index), other.relocated.get(other_index)
        if mine is None or theirs is None:
            return mine is theirs
        return mine.resolution is theirs.resolution and not mine.merged and not theirs.merged

    @property
    def dead(self) -> bool:
        return any(r.outcome == "aborted" for r in self.results)

    @property
    def live(self) -> tuple[int, ...]:
        """Indices of the objects that are mapped now, in load order."""
        return tuple(self._state.live)

    @property
    def global_scope(self) -> tuple[int, ...]:
        return self._state.global_scope

    @property
    def static_tls_used(self) -> int:
        """Bytes that libraries loaded after the start took from the static TLS surplus (ELF-45)."""
        return self._state.static_tls

    def search_list(self, root: int) -> tuple[int, ...]:
        """Breadth-first list of an object that was opened (ELF-19)."""
        return self._state.search_lists.get(root, ())

    def bound(self, index: int) -> tuple[Bound, ...]:
        """The bindings of one object as records."""
        done, elf = self.relocated[index], self.objects[index].elf
        assert elf is not None
        out = []
        for n in range(len(done.resolution.positions)):
            ref = elf.references[n]
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
        event = Event(executable, kind="dlopen", label="start")
        self.results.append(EventResult(event, "loaded"))
        found = self.view.lookup(executable)
        elf = None
        if found.status == "file":
            verdict, _, elf, error = self._searcher.verify(found.real)
            if verdict != "ok":
                failure = Failure(
                    "LOAD_REJECTED", error or f"{executable}: cannot execute binary file", "ELF-16", executable
                )
                self.results[0] = EventResult(event, "failed", failure)
                return self.results[0]
        # ELF-8: the program's own path is resolved by the kernel.
        real = found.real
        main = self._add(
            Candidate(real, "program", -1, "ELF-20", found, elf), executable, -1, -1, 0, (), is_program=True
        )
        self._interpreter(elf)
        try:
            preloads = [
                self._open(name, main, main, 0) for name in self.env.get("LD_PRELOAD", "").replace(":", " ").split()
            ]
            order = self._dependencies(main, 0, preloads)
            self._state.global_scope = order
            self._settle(main, order, at_start=True)
        except _Stop as stop:
            self.results[0] = EventResult(event, "failed", stop.failure, main)
            return self.results[0]
        self._state.in_static = frozenset(self._state.live)
        self._state.static_tls = 0
        self.results[0] = EventResult(event, "loaded" if elf else "unknown", None, main)
        return self.results[0]

    def _interpreter(self, elf: ElfSlice | None) -> None:
        """The kernel maps ld.so itself beside the program; libraries then meet it by soname."""
        if elf is None or elf.interp is None:
            return
        verdict, found, loader, _ = self._searcher.verify(elf.interp)
        if verdict == "ok":
            self._add(Candidate(elf.interp, "program", 0, "ELF-20", found, loader), elf.interp, 0, 0, 0, ())

    # -- mapping -------------------------------------------------------------

    def _dlopen(self, event: Event, number: int) -> int:
        caller = self._caller(event)
        root = self._open(event.open, caller, -1, number)
        known = self._state.search_lists.get(root)
        if known is None:
            order = self._dependencies(root, number, [])
            self._settle(root, order, at_start=False)
        if event.flags_global:
            known = self._state.search_lists[root]
            self._state.global_scope += tuple(i for i in known if i not in self._state.global_scope)
        return root

    def _caller(self, event: Event) -> int:
        """The object whose path tags serve a bare-name dlopen (ELF-10); the program when nobody is named."""
        if event.caller is not None:
            for i in self._state.live:
                if event.caller in (self.objects[i].path, self.objects[i].real):
                    return i
        return 0

    def _open(self, name: str, requester: int, loader: int, event: int) -> int:
        """Steps 1 to 4 of the reference algorithm for one name: reuse, find, or map. Returns an object index."""
        state = self._state
        if "/" in name:
            name = self._expand(name, requester)
        hit = state.names.get(name)
        if hit is None and "/" not in name:
            hit = state.sonames.get(name)  # ELF-2
            if hit is not None:
                state.names[name] = hit
                return self._met(requester, name, hit, "soname", "ELF-2", event)
        if hit is not None:
            return self._met(requester, name, hit, "name", "ELF-1", event)
        search = Search()
        candidate = self._find(search, name, requester)
        if candidate is None:
            self._edge(requester, name, None, "", -1, "ELF-6", event, tuple(search.attempts))
            raise _Stop(self._not_found(name, requester, search))
        if candidate.error:
            self._edge(requester, name, None, candidate.how, candidate.owner, "ELF-16", event, tuple(search.attempts))
            raise _Stop(
                self._failure("LOAD_REJECTED", candidate.error, "ELF-16", requester, provider=candidate.path, library=name,
                              attempts=tuple(search.attempts))
            )  # fmt: skip
        ident = candidate.found.entry.ident if candidate.found and candidate.found.entry else ("unknown", name)
        same = state.idents.get(ident)
        if same is not None:  # ELF-3
            state.names[name] = same
            state.names.setdefault(candidate.path, same)
            return self._met(requester, name, same, "file-id", "ELF-3", event, tuple(search.attempts))
        self._refuse(candidate, requester, name, search, event)
        opened = loader == -1 and requester <= 0 and "/" in name
        how = "opened" if opened else candidate.how
        index = self._add(replace(candidate, how=how), name, requester, loader, event, tuple(search.attempts))
        if loader >= 0 or not opened:
            self._edge(
                requester, name, index, candidate.how, candidate.owner, candidate.rule, event, tuple(search.attempts)
            )
        return index

    def _expand(self, name: str, requester: int) -> str:
        """ELF-7: tokens in a name with a slash mean the requester's directory."""
        if "$" not in name or requester < 0:
            return name
        dirs = directories(name, origin_of(self.objects[requester].path), self._searcher.target.machine)
        return dirs[0] if dirs else name

    def _find(self, search: Search, name: str, requester: int) -> Candidate | None:
        """The search order of ELF-6."""
        look = self._searcher
        if "/" in name:  # ELF-7
            verdict, found, elf, error = look.verify(name)
            if verdict in ("absent", "unreadable", "wrong-class", "wrong-machine"):
                search.attempts.append(Attempt(name, verdict))
                search.other_class |= verdict == "wrong-class"
                return None
            search.attempts.append(Attempt(name, "found" if verdict == "ok" else verdict))
            return Candidate(name, "path", requester, "ELF-7", found, elf, error)
        asker = self.objects[requester]
        if asker.runpath is None:  # ELF-9, ELF-11
            seen_program = False
            at = requester
            while at >= 0:
                hit = self._tag(search, name, at, self.objects[at].rpath, "rpath", "ELF-9")
                if hit is not None:
                    return hit
                seen_program |= at == 0
                at = self.objects[at].loader
            if not seen_program:
                hit = self._tag(search, name, 0, self.objects[0].rpath, "rpath", "CL-1")
                if hit is not None:
                    return hit
        hit = look.in_directories(search, name, self._library_path, "environment", -1, "ELF-13")
        if hit is None and asker.runpath is not None:
            hit = self._tag(search, name, requester, asker.runpath, "runpath", "ELF-11")
        if hit is None:
            nodeflib = asker.elf is not None and asker.elf.nodeflib
            hit = default_candidates(look, search, name, self._levels, nodeflib)
        if hit is None and not self.host.complete:
            return self._host_candidate(name)
        return hit

    def _tag(self, search: Search, name: str, owner: int, tag: str | None, how: str, rule: str) -> Candidate | None:
        if tag is None:
            return None
        obj = self.objects[owner]
        dirs = directories(tag, origin_of(obj.path), self._searcher.target.machine)
        return self._searcher.in_directories(search, name, dirs, how, owner, rule)

    def _host_candidate(self, name: str) -> Candidate:
        """A library that only the unknown part of the host can have: mapped without content (GEN-6)."""
        return Candidate(f"{name}", "default", -1, "ELF-14", None, None)

    def _not_found(self, name: str, requester: int, search: Search) -> Failure:
        if search.other_class:
            other = "ELFCLASS32" if self._searcher.target.elf_class == 64 else "ELFCLASS64"
            return self._failure("LOAD_REJECTED", f"{name}: wrong ELF class: {other}", "ELF-16", requester, library=name,
                                 attempts=tuple(search.attempts))  # fmt: skip
        text = f"{name}: cannot open shared object file: No such file or directory"
        return self._failure("MISSING_LIB", text, "ELF-6", requester, library=name, attempts=tuple(search.attempts))

    def _refuse(self, candidate: Candidate, requester: int, name: str, search: Search, event: int) -> None:
        """Refusals of a file that is a proper library for this machine (ELF-17, ELF-46)."""
        elf = candidate.elf
        if elf is None:
            return
        text, rule = elf.refusal, "ELF-17"
        if event == 0 and elf.noopen and not (elf.pie or elf.etype == 2):
            text = ""  # DF_1_NOOPEN forbids dlopen, not being needed by the program itself
        if not text and self._wants_executable_stack(elf) and self.host.glibc is not None and self.host.glibc >= (2, 41):
            text, rule = "cannot enable executable stack as shared object requires: Invalid argument", "ELF-46"
        if text:
            raise _Stop(
                self._failure("LOAD_REJECTED", f"{candidate.path}: {text}", rule, requester, provider=candidate.path,
                              library=name, attempts=tuple(search.attempts), needs_host=rule == "ELF-46")
            )  # fmt: skip

    def _wants_executable_stack(self, elf: ElfSlice) -> bool:
        unmarked = elf.execstack == "unmarked" and elf.machine in (62, 3, 40)
        return elf.execstack == "executable" or unmarked

    def _add(
        self,
        candidate: Candidate,
        name: str,
        requester: int,
        loader: int,
        event: int,
        attempts: tuple[Attempt, ...],
        *,
        is_program: bool = False,
    ) -> int:
        index = len(self.objects)
        elf, found = candidate.elf, candidate.found
        real = found.real if found is not None else candidate.path
        ident = found.entry.ident if found is not None and found.entry is not None else ("unknown", name)
        answers = {name, candidate.path} | ({elf.soname} if elf is not None and elf.soname else set())
        runpath = elf.runpath_text if elf is not None else None
        rpath = elf.rpath_text if elf is not None and runpath is None else None
        if is_program and elf is None:
            rpath = CONDA_RPATH
        obj = Object(
            index, candidate.path, real, ident, elf, loader, event, name, requester, candidate.how, candidate.owner,
            candidate.rule, attempts, is_program, frozenset(answers), rpath, runpath,
            self.host.provides.get(name, frozenset()),
        )  # fmt: skip
        self.objects.append(obj)
        state = self._state
        state.live.append(index)
        state.idents.setdefault(ident, index)
        if not is_program:
            state.names.setdefault(candidate.path, index)
            state.names.setdefault(name, index)
        if elf is not None and elf.soname:
            state.sonames.setdefault(elf.soname, index)
        return index

    # -- dependencies --------------------------------------------------------

    def _dependencies(self, root: int, event: int, preloads: Iterable[int]) -> tuple[int, ...]:
        """Breadth-first list of ``root`` (ELF-19), mapping what is missing; filters come before their owner (ELF-18)."""
        order = [root, *dict.fromkeys(preloads)]
        at = 0
        while at < len(order):
            index = order[at]
            elf = self.objects[index].elf
            direct: list[int] = []
            for name, kind in _requests(elf):
                try:
                    got = self._open(name, index, index, event)
                except _Stop:
                    if kind == "auxiliary":
                        continue
                    raise
                direct.append(got)
                if got not in order:
                    if kind == "required":
                        order.append(got)
                    else:
                        order.insert(order.index(index), got)
                        at += 1
            if index not in self._state.dependencies:
                self._state.dependencies[index] = (index, *dict.fromkeys(direct))
            at += 1
        self._state.search_lists[root] = tuple(order)
        return tuple(order)

    def _settle(self, root: int, order: tuple[int, ...], *, at_start: bool) -> None:
        """Version checks, refusals, then relocation, dependencies first (steps 5 to 7)."""
        for index in order:
            self._check_versions(index)
        fresh = [i for i in order if i not in self.relocated or i in self.unkept]
        for index in fresh:
            self._check_cpu(index)
        initfini = self._sorted(root, order)
        self._state.dependencies[root] = initfini
        if not self.binds:
            return
        for index in reversed(initfini):
            if index not in self.relocated and self.objects[index].elf is not None:
                self._relocate(index)
        if at_start:
            for o in self.objects:
                if o.index not in self.relocated and o.elf is not None:
                    self._relocate(o.index)  # ld.so relocates itself last

    def _sorted(self, root: int, order: tuple[int, ...]) -> tuple[int, ...]:
        """glibc 2.35's _dl_sort_maps_dfs: reverse postorder over the list from its end, the root kept first."""
        visited: set[int] = set()
        within = set(order)
        out: list[int] = []
        for start in reversed(order):
            stack: list[tuple[int, int]] = [(start, 0)] if start not in visited else []
            visited.add(start)
            while stack:
                index, nth = stack.pop()
                deps = self._state.dependencies.get(index, ())
                while nth < len(deps) and (deps[nth] in visited or deps[nth] == 0):
                    nth += 1
                if nth < len(deps):
                    stack.append((index, nth + 1))
                    visited.add(deps[nth])
                    stack.append((deps[nth], 0))
                else:
                    out.append(index)
        ordered = [i for i in reversed(out) if i in within]
        return (root, *(i for i in ordered if i != root))

    # -- checks --------------------------------------------------------------

    def _check_versions(self, index: int) -> None:
        """Every needed version must be defined by the object that answers to the file name (ELF-36, ELF-37, ELF-42)."""
        obj = self.objects[index]
        if obj.elf is None:
            return
        for need in obj.elf.verneed:
            at = self._state.names.get(need.file)
            if at is None:
                raise _Stop(
                    self._failure("PROCESS_ABORT", "Inconsistency detected by ld.so: dl-version.c: _dl_check_map_versions: "
                                  "Assertion `needed != NULL' failed!", "ELF-37", index, library=need.file)
                )  # fmt: skip
            provider = self.objects[at]
            for version in need.versions:
                if version.weak or self._defines(provider, need.file, version.name):
                    continue
                text = f"{provider.path}: version `{version.name}' not found (required by {obj.path})"
                raise _Stop(
                    self._failure("MISSING_VERSION", text, "ELF-36", index, provider=provider.path, library=need.file,
                                  version=version.name, attempts=provider.attempts,
                                  needs_host=not provider.path.startswith(self.view.root + "/"))
                )  # fmt: skip

    def _defines(self, provider: Object, file: str, version: str) -> bool:
        if provider.elf is not None:
            return not provider.elf.has_verdef or any(d.name == version for d in provider.elf.verdef)
        if provider.provides:
            return version in provider.provides
        glibc = self.host.glibc
        if glibc is not None and file in GLIBC_STUBS and version.startswith("GLIBC_2"):
            return version_key(version) <= glibc  # ELF-43
        if glibc is not None and version == "GLIBC_ABI_DT_RELR":
            return glibc >= (2, 36)  # ELF-42
        return True

    def _check_cpu(self, index: int) -> None:
        """ELF-48: an object that was built for a higher x86-64 level than the CPU has."""
        obj = self.objects[index]
        if obj.elf is None or self.host.cpu_level is None or (self.host.glibc or (2, 33)) < (2, 33):
            return
        needed = max((level for bit, level in X86_ISA_BITS.items() if obj.elf.isa_needed & bit), default=0)
        if needed > self.host.cpu_level:
            text = f"{obj.path}: CPU ISA level is lower than required"
            raise _Stop(self._failure("LOAD_REJECTED", text, "ELF-48", index, provider=obj.path, needs_host=True))

    # -- relocation ----------------------------------------------------------

    def _scope(self, index: int) -> tuple[tuple[int, ...], int]:
        """The objects searched for one object's references: the global scope, then its root's list (ELF-21)."""
        root = index
        while self.objects[root].loader > 0:
            root = self.objects[root].loader
        shared = self._state.global_scope
        local = () if root == 0 or self.objects[root].loader == 0 else self._state.search_lists.get(root, (root,))
        return shared + local, len(shared)

    def _relocate(self, index: int) -> None:
        obj = self.objects[index]
        elf = obj.elf
        assert elf is not None
        self._static_tls(index)
        scope, shared = self._scope(index)
        # Later objects of a file that is mapped twice have equal idents; scope positions keep them apart.
        asserts = self.host.libc == "glibc" and self.host.glibc is not None and self.host.glibc <= (2, 40)
        resolution = resolve(
            self._memory, obj, [self.objects[i] for i in scope], shared,
            own_first=elf.symbolic, asserts_versions=asserts,
        )  # fmt: skip
        ours = (*scope, index)
        merged: dict[int, int] = {}
        for n in resolution.unique:
            ref = elf.references[n]
            first = self._state.unique.setdefault(ref.name, ours[resolution.positions[n]])
            if first != ours[resolution.positions[n]]:
                merged[n] = first
        self.relocated[index] = Relocated(resolution, ours, merged)
        if resolution.stop >= 0:
            ref = elf.references[resolution.stop]
            name = ref.name.decode("utf-8", "backslashreplace")
            if resolution.positions[resolution.stop] == VERSION_ASSERT:
                raise _Stop(
                    self._failure("PROCESS_ABORT", "Inconsistency detected by ld.so: dl-lookup.c: check_match: Assertion "
                                  "`version->filename == NULL || ! _dl_name_match_p (version->filename, map)' failed!",
                                  "ELF-39", index, symbol=name, version=ref.version or "", needs_host=True)
                )  # fmt: skip
            suffix = f", version {ref.version}" if ref.version else ""
            raise _Stop(
                self._failure("MISSING_SYMBOL", f"{obj.path}: undefined symbol: {name}{suffix}", "ELF-44", index, symbol=name,
                              version=ref.version or "", library=ref.version_file or "",
                              provider=self._answering(ref.version_file))
            )  # fmt: skip

    def _answering(self, name: str | None) -> str:
        at = self._state.names.get(name) if name else None
        return self.objects[at].path if at is not None else ""

    def _static_tls(self, index: int) -> None:
        """ELF-45: initial-exec TLS of an object that comes after the start takes from a fixed surplus."""
        obj = self.objects[index]
        if obj.elf is None or not obj.elf.uses_ie_tls or obj.elf.tls is None or obj.event == 0:
            return
        if index in self._state.in_static:
            return
        size, align = obj.elf.tls
        align = max(align, 1)
        before = self.host.glibc is not None and self.host.glibc < (2, 32)
        free = (TLS_SURPLUS_BEFORE_2_32 if before else TLS_SURPLUS) + self._tls_slack() - self._state.static_tls
        if align > max(TLS_ALIGN, self._start_alignment()) or size > free:
            text = f"{obj.path}: cannot allocate memory in static TLS block"
            raise _Stop(self._failure("LOAD_REJECTED", text, "ELF-45", index, provider=obj.path, needs_host=True))
        rest = (free - size) // align * align
        self._state.static_tls += free - rest
        self._state.in_static |= {index}

    def _start_alignment(self) -> int:
        tls = [o.elf.tls for o in self.objects if o.event == 0 and o.elf is not None and o.elf.tls is not None]
        return max((a for _, a in tls), default=1)

    def _tls_slack(self) -> int:
        """What rounding the static block up to its alignment leaves over (glibc elf/dl-tls.c, _dl_determine_tlsoffset)."""
        used = 0
        for o in self.objects:
            if o.event == 0 and o.elf is not None and o.elf.tls is not None:
                size, align = o.elf.tls
                used = -(-(used + size) // max(align, 1)) * max(align, 1)
        alignment = max(TLS_ALIGN, self._start_alignment())
        return -(used + TLS_SURPLUS) % alignment

    # -- records -------------------------------------------------------------

    def _record(self, result: EventResult) -> EventResult:
        self.results.append(result)
        return result

    def _met(
        self, requester: int, name: str, index: int, how: str, rule: str, event: int, attempts: tuple[Attempt, ...] = ()
    ) -> int:
        if requester >= 0:
            self._edge(requester, name, index, how, index, rule, event, attempts)
        return index

    def _edge(
        self, requester: int, name: str, index: int | None, how: str, owner: int, rule: str, event: int,
        attempts: tuple[Attempt, ...],
    ) -> None:  # fmt: skip
        owner_path = self.objects[owner].path if owner >= 0 else ""
        self.edges.append(Edge(requester, name, "required", index, how, owner_path, rule, event, attempts))

    def _failure(
        self, kind: FailureKind, message: str, rule: str, requester: int, *, provider: str = "", library: str = "",
        symbol: str = "", version: str = "", attempts: tuple[Attempt, ...] = (), needs_host: bool = False,
    ) -> Failure:  # fmt: skip
        path = self.objects[requester].path if requester >= 0 else ""
        return Failure(kind, message, rule, path, provider, library, symbol, version, attempts, needs_host)

    def _names_of(self, obj: Object) -> tuple[str, ...]:
        names = {n for n, i in self._state.names.items() if i == obj.index and n != obj.path}
        if obj.elf is not None and obj.elf.soname:
            names.add(obj.elf.soname)
        return tuple(sorted(names))


def _requests(elf: ElfSlice | None) -> list[tuple[str, str]]:
    """What an object asks for: DT_NEEDED in file order, filters and auxiliary filters (ELF-18)."""
    if elf is None:
        return []
    return (
        [(n, "required") for n in elf.needed]
        + [(n, "filter") for n in elf.filter]
        + [(n, "auxiliary") for n in elf.auxiliary]
    )


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
    searcher = Searcher(view, host, TARGETS[subdir])
    process = GlibcProcess(view, host, searcher, memory if memory is not None else BindingMemory(), env or {}, binds)
    process.begin(executable)
    return process
