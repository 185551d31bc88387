"""The ground that rules stand on: files and their facts, who owns what, before the install and after it.

The lower half of a scene: nothing here starts a process.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from abicheck.admission import Refusal
from abicheck.binary.elf import ElfSlice
from abicheck.binary.facts import Binary, Slice
from abicheck.binary.macho import MachoSlice
from abicheck.binary.source import ByteSource
from abicheck.errors import BinaryError
from abicheck.evidence.cython_api import cython_api
from abicheck.evidence.embedded import embedded
from abicheck.evidence.extensions import shared
from abicheck.evidence.numpy_api import numpy_api
from abicheck.host import Host
from abicheck.loader.capture import UniqueSymbol
from abicheck.loader.dyld import ARCHES
from abicheck.loader.dyld_search import LOADABLE
from abicheck.loader.units import Importer, bare_suffix, has_init, module_of
from abicheck.model import FileRef, Origin, Skipped
from abicheck.overlay import View
from abicheck.prefix import Interpreter, Layout, Prefix
from abicheck.stage import Stage

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Native:
    """A native file of a subject (a wheel, or a distribution under audit). ``module``: its import name, or None when it
    is no extension module that this interpreter imports (PY-7). ``problem``: why it could not be read."""

    path: str
    ref: FileRef
    binary: Binary | None
    problem: str | None
    module: str | None


def _nobody(_label: str, _done: int, _total: int) -> None:
    """Nobody watches."""


class Ground:
    """Files, owners and facts of one judgement.

    Args:
        stage: prefix, host and views.
        subjects: whose risk is judged: the wheels of the transaction, or what pip installed (audit).
        transaction: what pip will do besides writing files (replace, fetch); None for an audit.
    """

    def __init__(
        self, stage: Stage, subjects: Iterable[Origin], transaction: Any = None, refused: Iterable[Refusal] = ()
    ) -> None:
        self.stage = stage
        self.subject_origins = tuple(subjects)
        self.transaction = transaction
        self.refused = tuple(refused)
        self.tell: Callable[[str, int, int], None] = _nobody  # what is being done, how many of how many are done
        self._unique: dict[str, Mapping[str, UniqueSymbol]] = {}

    def counted(self, label: str, items: Sequence[T]) -> Iterator[T]:
        """The items one after the other, telling how far the work on them is."""
        for n, item in enumerate(items):
            self.tell(label, n, len(items))
            yield item
        self.tell(label, len(items), len(items))

    # -- the ground ----------------------------------------------------------

    @property
    def view(self) -> View:
        """The environment after the install."""
        return self.stage.after

    @property
    def before(self) -> View:
        return self.stage.before

    @property
    def prefix(self) -> Prefix:
        return self.stage.prefix

    @property
    def interpreter(self) -> Interpreter:
        return self.stage.interpreter

    @property
    def layout(self) -> Layout:
        return self.stage.layout

    @property
    def host(self) -> Host:
        return self.stage.host

    @property
    def subdir(self) -> str:
        return self.stage.subdir

    @property
    def system(self) -> str:
        """linux, osx or win."""
        return self.subdir.partition("-")[0]

    @property
    def wheels(self) -> tuple[Any, ...]:
        return tuple(p.wheel for p in self.stage.placed)

    @property
    def importer(self) -> Importer:
        return self.stage.importer

    # -- files ---------------------------------------------------------------

    @functools.cached_property
    def _owned(self) -> Mapping[Origin, tuple[str, ...]]:
        """Absolute paths by owner, after the install: files of wheels, of conda packages, of pip's distributions."""
        root = self.view.root
        out: dict[Origin, list[str]] = {}
        written = {self.prefix.key(t.path) for p in self.stage.placed for t in p.targets}
        for placed in self.stage.placed:
            out.setdefault(placed.origin, []).extend(posixpath.join(root, t.path) for t in placed.targets)
        for record in self.prefix.records:
            rest = [f for f in record.files if self.prefix.key(f) not in written and f not in self.stage.removed]
            mine = [f for f in rest if self.prefix.origin(f) == record.origin] if self._has_pip else rest
            out.setdefault(record.origin, []).extend(posixpath.join(root, f) for f in mine)
        for dist in self.prefix.distributions:
            if not dist.by_conda:
                files = [f for f in dist.files if self.prefix.key(f) not in written and f not in self.stage.removed]
                out.setdefault(dist.origin, []).extend(posixpath.join(root, f) for f in files)
        return {k: tuple(dict.fromkeys(v)) for k, v in out.items()}

    @functools.cached_property
    def _has_pip(self) -> bool:
        return any(not d.by_conda for d in self.prefix.distributions)

    def files_of(self, origin: Origin) -> tuple[str, ...]:
        """Absolute paths that an owner has after the install."""
        return self._owned.get(origin, ())

    @functools.cached_property
    def natives(self) -> Mapping[Origin, tuple[Native, ...]]:
        """Native files of the subjects, by subject, in path order."""
        return {o: self.natives_of(o) for o in self.counted("reading libraries", self.subject_origins)}

    @functools.cache  # noqa: B019 - a scene lives as long as the process that judges it
    def natives_of(self, origin: Origin) -> tuple[Native, ...]:
        """Native files of one subject, in path order."""
        return tuple(self._natives_of(origin))

    def _natives_of(self, origin: Origin) -> Iterator[Native]:
        wheel_natives = {
            posixpath.join(self.view.root, t.path)
            for p in self.stage.placed if p.origin == origin
            for t in p.targets if t.member is not None and (m := p.wheel.member(t.member)) is not None and m.is_native
        }  # fmt: skip
        if origin.kind == "wheel":
            paths: Iterable[str] = sorted(wheel_natives)
        else:
            paths = sorted(p for p in self.files_of(origin) if native_name(p))
        for path in paths:
            binary, problem = self.read(path)
            if binary is None and problem is None and origin.kind != "wheel":
                continue
            module = self._module(path)
            if origin.kind == "wheel" and binary is not None and self.view.keeps(path):
                self.view.ask(path, _ask_extension if module else _ask_library)
            yield Native(path, self.view.ref(path), binary, problem, module)

    def _module(self, path: str) -> str | None:
        """The import name of an extension module; a library whose name has no tag of an interpreter needs an init
        function to be one."""
        module = module_of(self.importer, path)
        if module is None or not bare_suffix(self.importer, path) or has_init(self.view, path, module):
            return module
        return None

    def slice(self, path: str) -> Slice | None:
        """Facts of a file as a process of this platform would map it (MAC-12 for files with several slices)."""
        binary, _ = self.read(path)
        if binary is None:
            return None
        wanted = LOADABLE.get(ARCHES.get(self.subdir, ""), ())
        return next((s for a in wanted for s in binary.slices if s.arch == a), binary.slices[0])

    def read(self, path: str) -> tuple[Binary | None, str | None]:
        """Facts of a file, or why there are none."""
        found = self.view.lookup(path)
        if found.status == "unknown":
            return None, "is listed in the environment's records but is not here"
        if found.status != "file":
            return None, None
        try:
            return self.view.binary(found), None
        except BinaryError as e:
            return None, e.problem

    def view_text(self, message: str) -> str:
        """A loader's message without this machine's paths: the prefix is written ``$PREFIX``."""
        return " ".join(message.replace(self.view.root, "$PREFIX").split())

    def unique_symbols(self, real: str) -> Mapping[str, UniqueSymbol]:
        """Unique symbols a file defines (ELF-30); none for formats without them."""
        if real not in self._unique:
            self._unique[real] = self._read_unique(real)
        return self._unique[real]

    def _read_unique(self, real: str) -> Mapping[str, UniqueSymbol]:
        part = self.slice(real)
        if isinstance(part, MachoSlice):
            return {n: UniqueSymbol(0, state) for n, state in part.coalesced.items()}
        if not isinstance(part, ElfSlice) or "unique" not in part.flags:
            return {}
        return {
            name.decode("utf-8", "replace"): UniqueSymbol(d.size, bool(d.writable))
            for name, definitions in part.exported.items()
            for d in definitions
            if d.binding == "unique"
        }

    def exported_names(self, real: str) -> Container[str]:
        """Names a Mach-O image offers to flat look-ups (MAC-16); nothing for other formats."""
        part = self.slice(real)
        return part.exported if isinstance(part, MachoSlice) else ()

    # -- what was not understood --------------------------------------------

    @functools.cached_property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that could not be read although the verdict may depend on them."""
        out = [
            Skipped(n.ref.member or n.ref.path, self._problem(n), True, o.name)
            for o, natives in self.natives.items()
            for n in natives
            if n.problem is not None
        ]
        return tuple(sorted(out))

    def _problem(self, native: Native) -> str:
        """Why a file was not analysed, and what another reader says of it."""
        # Three more readers are a tenth of a second to import; they are rarely asked.
        from abicheck.binary.second_opinion import second_opinion

        assert native.problem is not None
        found = self.view.lookup(native.path)
        if found.status != "file" or found.entry is None or found.entry.source is None:
            return native.problem
        try:
            opinion = second_opinion(self.view.open(found))
        except OSError:
            return native.problem
        return f"{native.problem}; {opinion}" if opinion else native.problem


# Rules go through all libraries of all wheels, each rule for itself. What they ask of every one is asked while it is
# unpacked, and kept: unpacking all of them again for each rule costs more than everything that is done with them.


def _ask_library(source: ByteSource) -> None:
    embedded(source, "openmp")


def _ask_extension(source: ByteSource) -> None:
    _ask_library(source)
    shared(source)
    cython_api(source)
    numpy_api(source)


def native_name(path: str) -> bool:
    """Whether a file of an installed distribution is worth opening; content decides afterwards."""
    name = posixpath.basename(path)
    return name.endswith((".so", ".pyd", ".dll", ".dylib")) or ".so." in name
