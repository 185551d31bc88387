"""What all loaders share: the events put to a process and the record of what it did with them.

A loader (``glibc.py``, ``musl.py``, ``dyld.py``, ``windows.py``) simulates one process: it takes events in order and
returns what was mapped, how each need was met, what every symbolic reference binds to and what failed. It judges
nothing. Paths here are absolute paths of the *view* (``overlay.View``): the prefix root, then as the loader would
spell them (not normalised, GEN-5). Reports make them prefix-relative.

The records that a run makes by the hundred thousand are structs of msgspec, which are made several times as fast as
frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import msgspec

from abicheck.model import Attempt

Outcome = Literal["loaded", "failed", "aborted", "unknown"]

# Loader classes that a failing load can carry.
FailureKind = Literal["MISSING_LIB", "MISSING_SYMBOL", "MISSING_VERSION", "LOAD_REJECTED", "PROCESS_ABORT", "UNKNOWN"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing Python asks of the loader.

    ``open`` is an absolute path (an import, or a dlopen by path) or a bare name (ctypes-style). ``caller`` is the path
    of the object that contains the dlopen call, for bare names (ELF-10: its RPATH chain serves that one lookup);
    None means the interpreter's ``_ctypes``/executable. ``dll_directory`` events (WIN-6) carry a directory and load
    nothing. ``flags_global``: RTLD_GLOBAL. ``local_hint``: RTLD_LOCAL passed explicitly (macOS, MAC-17). ``lazy``:
    opened without RTLD_NOW (ELF-44). ``deepbind``: RTLD_DEEPBIND (ELF-25).
    ``label`` is what a person would write (``import fastgrid``); ``certain`` is False when the Python code that leads
    here may not run; ``because`` says which line does (``fastgrid/__init__.py:3``).
    """

    open: str
    kind: Literal["import", "dlopen", "dll-directory"] = "import"
    flags_global: bool = False
    local_hint: bool = False
    lazy: bool = False
    deepbind: bool = False
    legacy_search: bool = False
    caller: str | None = None
    label: str = ""
    certain: bool = True
    optional: bool = False
    because: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a load failed. ``message`` is the real loader's text. ``requester`` is the file that asked, ``provider`` the
    file that was chosen (or refused), both as paths of the view; either may be empty."""

    kind: FailureKind
    message: str
    rule: str
    requester: str = ""
    provider: str = ""
    library: str = ""
    symbol: str = ""
    version: str = ""
    attempts: tuple[Attempt, ...] = ()
    needs_host: bool = False


class Mapped(msgspec.Struct, frozen=True):
    """One object the loader mapped. ``how`` is a word of ``trace-1.schema.json``; ``how_owner`` the file whose tag or
    whose name served; ``rule`` the loader rule. ``kept`` is False when the load that brought it was undone (GEN-3)."""

    index: int
    path: str
    real: str
    names: tuple[str, ...]
    event: int
    requested_as: str
    requested_by: str
    how: str
    how_owner: str
    rule: str
    kept: bool
    attempts: tuple[Attempt, ...] = ()


class Edge(msgspec.Struct, frozen=True):
    """How one need of one object was met. ``provider`` is an index into the mapped objects, None when nothing did."""

    requester: int
    name: str
    kind: str
    provider: int | None
    how: str
    how_owner: str
    rule: str
    event: int
    attempts: tuple[Attempt, ...] = ()


class Bound(msgspec.Struct, frozen=True):
    """What one symbolic reference binds to. ``provider`` None: an unresolved weak reference (binds to 0).

    ``merged`` marks a binding that the process-wide table of unique symbols (ELF-30) or weak coalescing (MAC-18)
    decided; ``rule`` names the rule when it is not the plain scope search."""

    symbol: str
    version: str | None
    provider: int | None
    merged: bool = False
    rule: str = ""


class EventResult(msgspec.Struct, frozen=True):
    event: Event
    outcome: Outcome
    failure: Failure | None = None
    root: int | None = None


@dataclass(slots=True)
class Trace:
    """The whole record. ``bindings[i]`` are those of ``objects[i]``, made when it was relocated, in file order."""

    events: list[EventResult] = field(default_factory=list)
    objects: list[Mapped] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    bindings: Mapping[int, tuple[Bound, ...]] = field(default_factory=dict)


class LazyBindings(Mapping[int, tuple[Bound, ...]]):
    """Bindings by object index, decoded one object at a time."""

    def __init__(self, indices: Iterable[int], decode: Callable[[int], tuple[Bound, ...]]) -> None:
        self._indices = tuple(indices)
        self._decode = decode

    def __getitem__(self, index: int) -> tuple[Bound, ...]:
        if index not in self._indices:
            raise KeyError(index)
        return self._decode(index)

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)


class Process(Protocol):
    """A running process: load, look, fork. ``fork`` is cheap; the copy and the original do not influence each other."""

    def load(self, event: Event) -> EventResult: ...
    def fork(self) -> Process: ...
    def trace(self) -> Trace:
        """The record so far. Cheap to make: ``bindings`` is a mapping that decodes an object's rows when asked."""

    def same_bindings(self, index: int, other: Process, other_index: int) -> bool:
        """True when it is certain, without comparing row by row, that an object binds here as it does there."""


@runtime_checkable
class ReservesTls(Protocol):
    """A process in which libraries that come late share a small room for thread-local storage (ELF-45)."""

    @property
    def static_tls_share(self) -> float:
        """What the late libraries want of that room, 1.0 being all of it; known without binding."""


@runtime_checkable
class ComparesRows(Protocol):
    """A process that finds differing bindings without making a record of each one."""

    def apart(self, index: int, other: Process, other_index: int) -> tuple[tuple[Bound, ...], tuple[Bound, ...]] | None:
        """Of an object here and the same object there: all rows of every name whose provider differs, here and there,
        in the file's order; None when the two cannot be compared so."""
