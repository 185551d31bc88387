"""Objects of a simulated glibc process and how names become objects (ELF-1 to ELF-19); used by ``glibc.py``.

The steps are those of glibc's ``_dl_map_object`` and ``_dl_map_object_deps``; failures carry the words of dlerror().
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from abicheck.binary.elf import ElfSlice
from abicheck.host import Host
from abicheck.loader.glibc_search import Candidate, Search, Searcher, default_candidates, directories, expand, origin_of
from abicheck.loader.process import Edge, Failure, FailureKind
from abicheck.model import Attempt

CONDA_RPATH = "$ORIGIN/../lib"  # CL-1: assumed only for an interpreter that cannot be read


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


class Stop(Exception):
    """The load cannot go on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(slots=True)
class State:
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
    optional_tls: int = 0
    checked: frozenset[int] = frozenset()  # objects whose version needs were met: names keep their meaning

    def copy(self) -> State:
        return State(
            list(self.live), dict(self.names), dict(self.sonames), dict(self.idents), self.global_scope,
            dict(self.search_lists), dict(self.dependencies), dict(self.unique), self.static_tls, self.in_static,
            self.optional_tls, self.checked,
        )  # fmt: skip


class Mapper:
    """The link map of one process. ``objects`` and ``edges`` only grow; ``state`` is what a failed load restores."""

    def __init__(self, searcher: Searcher, env: Mapping[str, str]) -> None:
        self.searcher = searcher
        self.host: Host = searcher.host
        self.env = env
        self.objects: list[Object] = []
        self.edges: list[Edge] = []
        self.state = State([], {}, {}, {}, (), {}, {}, {}, 0, frozenset())
        self.defined: dict[Hashable, frozenset[str]] = {}  # version names by file, of all processes of one start
        self._library_path: tuple[str, ...] = ()
        self._levels = self.host.hwcaps_levels(searcher.target.machine)

    def copy(self) -> Mapper:
        other = Mapper(self.searcher, self.env)
        other.objects, other.edges, other.state = list(self.objects), list(self.edges), self.state.copy()
        other.defined, other._library_path = self.defined, self._library_path
        return other

    def path(self, index: int) -> str:
        return self.objects[index].path if index >= 0 else ""

    # -- finding and mapping ---------------------------------------------------

    def open(self, name: str, requester: int, loader: int, event: int) -> int:
        """Steps 1 to 4 of the reference algorithm for one name: reuse, find, or map. Returns an object index."""
        state = self.state
        if "/" in name:
            name = self._expand(name, requester)
        hit = state.names.get(name)
        if hit is None:
            hit = state.sonames.get(name)  # ELF-2; a DT_SONAME with a slash is met by just that text
            if hit is not None:
                state.names[name] = hit
                return self._met(requester, name, hit, "soname", "ELF-2", event)
        if hit is not None:
            return self._met(requester, name, hit, "name", "ELF-1", event)
        search = Search()
        candidate = self._find(search, name, requester)
        if candidate is None:
            self.edge(requester, name, None, "", -1, "ELF-6", event, tuple(search.attempts))
            raise Stop(self._not_found(name, requester, search))
        if candidate.error:
            self.edge(requester, name, None, candidate.how, candidate.owner, "ELF-16", event, tuple(search.attempts))
            failure = self.failure(
                "LOAD_REJECTED", candidate.error, "ELF-16", requester, provider=candidate.path, library=name,
                attempts=tuple(search.attempts),
            )  # fmt: skip
            raise Stop(failure)
        ident = candidate.found.entry.ident if candidate.found and candidate.found.entry else ("unknown", name)
        same = state.idents.get(ident)
        if same is not None:  # ELF-3
            state.names[name] = same
            state.names.setdefault(candidate.path, same)
            return self._met(requester, name, same, "file-id", "ELF-3", event, tuple(search.attempts))
        self._refuse(candidate, requester, name, search, event)
        opened = loader == -1 and requester <= 0 and "/" in name
        how = "opened" if opened else candidate.how
        index = self.add(replace(candidate, how=how), name, requester, loader, event, tuple(search.attempts))
        if loader >= 0 or not opened:
            self.edge(
                requester, name, index, candidate.how, candidate.owner, candidate.rule, event, tuple(search.attempts)
            )
        return index

    def _expand(self, name: str, requester: int) -> str:
        """ELF-7: tokens in a name with a slash mean the requester's directory."""
        if "$" not in name or requester < 0:
            return name
        return expand(name, origin_of(self.objects[requester].path), self.searcher.target) or name

    def _find(self, search: Search, name: str, requester: int) -> Candidate | None:
        """The search order of ELF-6."""
        look = self.searcher
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
        if hit is None and (not self.host.complete or name in self.host.provides):
            return self._host_candidate(name)
        return hit

    def _tag(self, search: Search, name: str, owner: int, tag: str | None, how: str, rule: str) -> Candidate | None:
        if tag is None:
            return None
        obj = self.objects[owner]
        dirs = directories(tag, origin_of(obj.path), self.searcher.target)
        return self.searcher.in_directories(search, name, dirs, how, owner, rule)

    def _host_candidate(self, name: str) -> Candidate:
        """A library that only the unknown part of the host can have: mapped without content (GEN-6)."""
        return Candidate(f"{name}", "default", -1, "ELF-14", None, None)

    def _not_found(self, name: str, requester: int, search: Search) -> Failure:
        if search.other_class:
            other = "ELFCLASS32" if self.searcher.target.elf_class == 64 else "ELFCLASS64"
            text = f"{name}: wrong ELF class: {other}"
            return self.failure(
                "LOAD_REJECTED", text, "ELF-16", requester, library=name, attempts=tuple(search.attempts)
            )
        text = f"{name}: cannot open shared object file: No such file or directory"
        return self.failure("MISSING_LIB", text, "ELF-6", requester, library=name, attempts=tuple(search.attempts))

    def _refuse(self, candidate: Candidate, requester: int, name: str, search: Search, event: int) -> None:
        """Refusals of a file that is a proper library for this machine (ELF-17, ELF-46)."""
        elf = candidate.elf
        if elf is None:
            return
        text, rule = elf.refusal, "ELF-17"
        if event == 0 and elf.noopen and not (elf.pie or elf.etype == 2):
            text = ""  # DF_1_NOOPEN forbids dlopen, not being needed by the program itself
        if not text and _wants_executable_stack(elf) and (self.host.glibc or ()) >= (2, 41):
            text, rule = "cannot enable executable stack as shared object requires: Invalid argument", "ELF-46"
        if text:
            failure = self.failure(
                "LOAD_REJECTED", f"{candidate.path}: {text}", rule, requester, provider=candidate.path, library=name,
                attempts=tuple(search.attempts), needs_host=rule == "ELF-46",
            )  # fmt: skip
            raise Stop(failure)

    def add(
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
        state = self.state
        state.live.append(index)
        if is_program:  # mapped by the kernel: glibc knows neither its name nor its file id
            library_path = self.env.get("LD_LIBRARY_PATH", "")
            if library_path:
                self._library_path = directories(library_path, origin_of(obj.path), self.searcher.target, ":;")
        else:
            state.idents.setdefault(ident, index)
            state.names.setdefault(candidate.path, index)
            state.names.setdefault(name, index)
        if elf is not None and elf.soname:
            state.sonames.setdefault(elf.soname, index)
        return index

    def dependencies(self, root: int, event: int, preloads: Iterable[int]) -> tuple[int, ...]:
        """Breadth-first list of ``root`` (ELF-19), mapping what is missing.

        A filter's filtees are put before it, also when they already stand behind it, and are handled before the list
        goes on; that an auxiliary filtee is not there is ignored, what a filtee itself lacks is not (ELF-18)."""
        order = [root, *dict.fromkeys(preloads)]
        handled: set[int] = set()
        at = 0
        while at < len(order):
            index = order[at]
            if index in handled:
                at += 1
                continue
            handled.add(index)
            direct: list[int] = []
            for name, kind in _requests(self.objects[index].elf):
                try:
                    got = self.open(name, index, index, event)
                except Stop:
                    if kind == "auxiliary":
                        continue
                    raise
                direct.append(got)
                if kind == "required":
                    if got not in order:
                        order.append(got)
                elif got not in order or order.index(got) > order.index(index):
                    order = [i for i in order if i != got]
                    order.insert(order.index(index), got)  # before this one, so it is met next
            if index not in self.state.dependencies:
                self.state.dependencies[index] = (index, *dict.fromkeys(direct))
        self.state.search_lists[root] = tuple(order)
        return tuple(order)

    def initialisation_order(self, root: int, order: tuple[int, ...]) -> tuple[int, ...]:
        """glibc 2.35's _dl_sort_maps_dfs: reverse postorder over the list from its end, the root kept first."""
        visited: set[int] = set()
        within = set(order)
        out: list[int] = []
        for start in reversed(order):
            stack: list[tuple[int, int]] = [(start, 0)] if start not in visited else []
            visited.add(start)
            while stack:
                index, nth = stack.pop()
                deps = self.state.dependencies.get(index, ())
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

    def _met(
        self, requester: int, name: str, index: int, how: str, rule: str, event: int, attempts: tuple[Attempt, ...] = ()
    ) -> int:
        if requester >= 0:
            self.edge(requester, name, index, how, index, rule, event, attempts)
        return index

    def edge(
        self, requester: int, name: str, index: int | None, how: str, owner: int, rule: str, event: int,
        attempts: tuple[Attempt, ...],
    ) -> None:  # fmt: skip
        self.edges.append(Edge(requester, name, "required", index, how, self.path(owner), rule, event, attempts))

    def failure(
        self, kind: FailureKind, message: str, rule: str, requester: int, *, provider: str = "", library: str = "",
        symbol: str = "", version: str = "", attempts: tuple[Attempt, ...] = (), needs_host: bool = False,
    ) -> Failure:  # fmt: skip
        asker = self.path(requester)
        return Failure(kind, message, rule, asker, provider, library, symbol, version, attempts, needs_host)

    def names(self) -> list[tuple[str, ...]]:
        """Of every object: the names, other than its path, under which a later request meets it."""
        out: list[set[str]] = [set() for _ in self.objects]
        for name, index in self.state.names.items():
            if name != self.objects[index].path:
                out[index].add(name)
        for obj in self.objects:
            if obj.elf is not None and obj.elf.soname:
                out[obj.index].add(obj.elf.soname)
        return [tuple(sorted(names)) for names in out]


def _requests(elf: ElfSlice | None) -> list[tuple[str, str]]:
    """What an object asks for: DT_NEEDED in file order, filters and auxiliary filters (ELF-18)."""
    if elf is None:
        return []
    return (
        [(n, "required") for n in elf.needed]
        + [(n, "filter") for n in elf.filter]
        + [(n, "auxiliary") for n in elf.auxiliary]
    )


def _wants_executable_stack(elf: ElfSlice) -> bool:
    unmarked = elf.execstack == "unmarked" and elf.machine in (62, 3, 40)
    return elf.execstack == "executable" or unmarked
