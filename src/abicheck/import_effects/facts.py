"""What goes in and what comes out: the context of an interpreter, and the effects an import has on the loader."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from abicheck.import_effects.tree import FunctionSummary, ModuleSummary
from abicheck.overlay import View

SpecKind = Literal["source", "extension", "bytecode", "namespace", "builtin"]
EffectKind = Literal["extension", "dlopen", "dll-directory", "environ", "setdlopenflags", "unknown"]


@dataclass(slots=True)
class Memory:
    """What was learnt about immutable files, by their identity (``Entry.ident``); share it between contexts.

    ``summaries`` may be filled from a cache or a snapshot before use. ``names`` are the module names an extension's
    bytes mention. ``calls`` are the names that a function's text calls; None when the text itself can load something.
    ``unread`` says of sources (paths in the view) that an import is certain to come to why they could not be read.
    """

    summaries: dict[Hashable, ModuleSummary] = field(default_factory=dict)
    functions: dict[tuple[Hashable, int], FunctionSummary | None] = field(default_factory=dict)
    names: dict[Hashable, tuple[str, ...]] = field(default_factory=dict)
    calls: dict[tuple[Hashable, int], tuple[str, ...] | None] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


class Spec(msgspec.Struct, frozen=True):
    """A module that was found. ``path`` is its file; ``locations`` its ``__path__`` when it is a package."""

    name: str
    kind: SpecKind
    path: str = ""
    locations: tuple[str, ...] | None = None


@dataclass(slots=True)
class Places:
    """What was found where for one context: shared by all its sessions, for the view does not change.

    ``specs`` by name and search path; ``listings``: names in a directory, to "file" or "dir"; ``mentioned``: modules
    that an extension's bytes name, by all that decides which of them are there; ``top_level``: names by search path.
    """

    specs: dict[tuple[str, tuple[str, ...]], Spec | None] = field(default_factory=dict)
    listings: dict[str, dict[str, str] | None] = field(default_factory=dict)
    mentioned: dict[Hashable, tuple[str, ...]] = field(default_factory=dict)
    top_level: dict[tuple[str, ...], frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportContext:
    """The interpreter whose import is derived. All paths are absolute paths of ``view``.

    Args:
        platform: conda subdir (``linux-64``, ``osx-arm64``, ``win-64``).
        version: Python's (major, minor).
        extension_suffixes: as the interpreter has them, in its order (PY-7).
        builtins: names compiled into the interpreter. None: every standard module that has no file counts as built in.
        environ: variables set before the interpreter starts; all others count as unset (``--env``).
        libc: ``glibc`` or ``musl`` where the platform is Linux.
        awaited: projects that pip will bring and of which no file is here, as import names (lower case, ``_``). Their
            modules exist then and their content is unknown. What such a project requires in turn is unknown too, so an
            import that nothing guards is taken to find its module as well.
    """

    view: View
    platform: str
    version: tuple[int, int]
    site_packages: tuple[str, ...]
    stdlib: str
    dynload: str
    extension_suffixes: tuple[str, ...]
    builtins: frozenset[str] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    libc: str = "glibc"
    awaited: frozenset[str] = frozenset()
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)
    places: Places = field(default_factory=Places, init=False, compare=False, repr=False)

    @property
    def prefix(self) -> str:
        return self.view.root

    @property
    def system(self) -> Literal["linux", "osx", "win"]:
        return "win" if self.platform.startswith("win") else "osx" if self.platform.startswith("osx") else "linux"


class Link(msgspec.Struct, frozen=True):
    """One step of an import chain: ``line`` of ``file`` (prefix-relative), run as part of ``module``."""

    module: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that an import does to the loader's state, in the order Python does it (PY-10).

    Attributes:
        kind: ``extension`` loads ``path`` (module ``module``); ``dlopen`` opens ``path`` or, by bare name, ``name``;
            ``dll-directory`` adds ``path`` (WIN-6); ``environ`` sets variable ``name`` to ``value`` (None: not known,
            or removed when ``removed``); ``setdlopenflags`` sets the flags for later imports; ``unknown`` is code
            that loads something that cannot be told from the source: ``name`` says what it is.
        flags_global: RTLD_GLOBAL; for an extension it follows from ``sys.setdlopenflags`` (ELF-24).
        local: RTLD_LOCAL was written explicitly (MAC-17).
        lazy: opened without RTLD_NOW: functions are bound when they are called (ELF-44).
        deepbind: RTLD_DEEPBIND: its own libraries are searched first (ELF-25).
        legacy_search: Windows, ``winmode=0`` or an altered search path (WIN-8).
        module: dotted name of the module that is loaded, else of the one whose code does it.
        certain: happens in every run of this import that succeeds. Otherwise it may: it stands under a condition that
            cannot be told, or it is an import that compiled code names.
        optional: stands inside a ``try`` that survives its failure.
        by_now: certain, but it may have happened earlier: an uncertain effect before this one names it, or it is one of
            the standard library's and compiled code ran before, which can import those without a trace.
        because: ``pkg/__init__.py:12``, the line that does it.
        chain: the import statements that lead there, outermost first.
    """

    kind: EffectKind
    path: str = ""
    name: str = ""
    flags_global: bool = False
    local: bool = False
    lazy: bool = False
    deepbind: bool = False
    legacy_search: bool = False
    module: str = ""
    certain: bool = True
    optional: bool = False
    by_now: bool = False
    because: str = ""
    chain: tuple[Link, ...] = ()
    value: str | None = None
    removed: bool = False
