"""The record of a simulated Windows process: modules, edges, failures, and the state that a failed load undoes."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from abicheck.binary.pe import PeSlice
from abicheck.binary.pe_tables import DllImports
from abicheck.host import Host
from abicheck.knowledge.windows_system import SYSTEM_DIRECTORY
from abicheck.loader.process import Edge, Failure, FailureKind, Mapped
from abicheck.loader.windows_search import SearchPath, slashes, with_suffix
from abicheck.model import Attempt
from abicheck.overlay import Found, View

PROGRAM = 0  # index of python.exe, in whose name Python's own loads stand
# System error messages (FormatMessage) as Python repeats them.
ERRORS = {
    126: "The specified module could not be found.",
    127: "The specified procedure could not be found.",
    193: "%1 is not a valid Win32 application.",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What does not change during a process."""

    view: View
    host: Host
    arch: str
    env: Mapping[str, str]
    conda: bool
    binds: bool


@dataclass(frozen=True, slots=True)
class Module:
    """One mapped module. ``pe`` None: a DLL of the system, or a file whose content is unknown. ``how``, ``owner`` and
    ``rule`` are those of ``process.Mapped``."""

    index: int
    path: str
    found: Found | None
    pe: PeSlice | None
    event: int
    requested_as: str
    requested_by: int
    how: str
    owner: str
    rule: str
    attempts: tuple[Attempt, ...]

    @property
    def base(self) -> str:
        return posixpath.basename(self.path).lower()

    @property
    def real(self) -> str:
        return self.found.real if self.found is not None else self.path

    @property
    def system(self) -> bool:
        """Part of Windows, known by name only."""
        return self.found is None

    def imports(self) -> Iterator[DllImports]:
        """What it imports at load time, in the file's order."""
        return (e for e in (self.pe.imported if self.pe is not None else ()) if not e.delay)

    def delayed(self) -> Iterator[DllImports]:
        return (e for e in (self.pe.imported if self.pe is not None else ()) if e.delay)


@dataclass(frozen=True, slots=True)
class Want:
    """One name that somebody asks for. ``requester`` None: the event itself, on behalf of the program."""

    requester: Module | None
    name: str

    @property
    def file(self) -> str:
        return with_suffix(self.name)

    @property
    def lower(self) -> str:
        return self.file.lower()

    @property
    def by(self) -> int:
        return self.requester.index if self.requester is not None else PROGRAM

    @property
    def path(self) -> str:
        return self.requester.path if self.requester is not None else ""


@dataclass(slots=True)
class Load:
    """One top-level load under way. ``program``: path of the executable. ``unknown``: what only the host can tell.
    ``paths``: the search order that the imports of a module follow."""

    event: int
    program: str = ""
    failures: list[Failure] = field(default_factory=list)
    unknown: list[Failure] = field(default_factory=list)
    mapped: list[Module] = field(default_factory=list)
    paths: dict[int, SearchPath] = field(default_factory=dict)

    def fail(
        self,
        kind: FailureKind,
        error: int,
        rule: str,
        want: Want,
        *,
        provider: str = "",
        symbol: str = "",
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        """Note what the loader refuses. A load by path is named by its file, in the name of the program that asked."""
        message, library = ERRORS[error], posixpath.basename(slashes(want.name))
        self.failures.append(
            Failure(kind, message, rule, want.path or self.program, provider, library, symbol, attempts=attempts)
        )

    def unreadable(self) -> list[Failure]:
        """One record for each new module whose content is not known: what it needs and exports could not be checked."""
        return [
            Failure(
                "UNKNOWN",
                f"the content of {posixpath.basename(m.path)} is not known",
                "GEN-6",
                m.path,
                m.path,
                m.requested_as,
            )
            for m in self.mapped
            if m.pe is None and not m.system
        ]

    def doubt(self, rule: str, want: Want, text: str, attempts: tuple[Attempt, ...] = ()) -> None:
        failure = Failure("UNKNOWN", text, rule, want.path, library=want.name, attempts=attempts, needs_host=True)
        self.unknown.append(failure)


@dataclass(slots=True)
class State:
    """Everything a failed load must leave as it was (GEN-3). ``by_base``: modules of one base name, in load order.
    ``user``: directories added at run time, in the order of the calls."""

    by_base: dict[str, tuple[int, ...]] = field(default_factory=dict)
    by_file: dict[object, int] = field(default_factory=dict)
    user: tuple[str, ...] = ()
    python3_done: bool = False

    def copy(self) -> State:
        return State(dict(self.by_base), dict(self.by_file), self.user, self.python3_done)


@dataclass(slots=True)
class Record:
    """What happened so far. ``providers``: requester to the DLL names it imports to the modules that serve them."""

    state: State = field(default_factory=State)
    objects: list[Module] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    providers: dict[int, dict[str, int]] = field(default_factory=dict)
    unkept: frozenset[int] = frozenset()

    def copy(self) -> Record:
        return Record(self.state.copy(), list(self.objects), list(self.edges), dict(self.providers), self.unkept)

    def serving(self, lower: str) -> Module | None:
        """The module that answers to a base name now: the first of them (WIN-1)."""
        loaded = self.state.by_base.get(lower)
        return self.objects[loaded[0]] if loaded else None

    def same_file(self, path: str, found: Found) -> Module | None:
        index = self.state.by_file.get(identity(path, found))
        return self.objects[index] if index is not None else None

    def add(
        self,
        load: Load,
        want: Want,
        path: str,
        how: str,
        rule: str,
        *,
        owner: str = "",
        found: Found | None = None,
        pe: PeSlice | None = None,
        attempts: tuple[Attempt, ...] = (),
    ) -> Module:
        """Map a file, or with ``found`` None a DLL of the system."""
        module = Module(len(self.objects), path, found, pe, load.event, want.name, want.by, how, owner, rule, attempts)
        self.objects.append(module)
        load.mapped.append(module)
        self.state.by_base[module.base] = (*self.state.by_base.get(module.base, ()), module.index)
        if found is not None:
            self.state.by_file[identity(path, found)] = module.index
        return module

    def add_system(self, load: Load, want: Want, lower: str, how: str, rule: str) -> Module:
        """The system's DLL of that name, mapped now unless it is mapped already."""
        serving = self.serving(lower)
        if serving is not None and serving.system:
            return serving
        return self.add(load, want, f"{SYSTEM_DIRECTORY}/{lower}", how, rule)

    def edge(
        self,
        load: Load,
        want: Want,
        provider: Module | None,
        how: str,
        rule: str,
        *,
        owner: str = "",
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        index = provider.index if provider is not None else None
        self.edges.append(Edge(want.by, want.name, "required", index, how, owner, rule, load.event, attempts))
        if index is not None:
            # a new mapping, since forks share the old one
            self.providers[want.by] = {**self.providers.get(want.by, {}), want.name: index}

    def mapped(self) -> list[Mapped]:
        """All modules as the shared record has them. Their names are in lower case, as the loader compares them."""
        return [
            Mapped(
                index=m.index,
                path=m.path,
                real=m.real,
                names=tuple(sorted({m.base, posixpath.basename(slashes(m.requested_as)).lower()})),
                event=m.event,
                requested_as=m.requested_as,
                requested_by=self.objects[m.requested_by].path if m.index != PROGRAM else "",
                how=m.how,
                how_owner=m.owner,
                rule=m.rule,
                kept=m.index not in self.unkept,
                attempts=m.attempts,
            )
            for m in self.objects
        ]


def identity(path: str, found: Found) -> object:
    """What makes two opened files one module: the file, else the path without case (WIN-2)."""
    ident = found.entry.ident if found.entry is not None else None
    return ident if ident is not None else path.lower()
