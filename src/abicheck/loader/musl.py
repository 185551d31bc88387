"""musl's dynamic loader as a simulation (MUSL-1 to MUSL-4; musl 1.2.5, ldso/dynlink.c).

What a process is, how it forks and what it records is glibc's; everything that decides is musl's own: which object
answers a name, where a name is looked for, which definition a reference gets, and what is refused. It is chosen when
the host's libc is musl; conda's own Linux packages are glibc's (MUSL-5).

Not modelled: programs that are started through ``ld-musl-ARCH.so.1`` by hand, and lazy binding (Python binds now).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from abicheck.binary.elf import Definition, ElfSlice, Reference
from abicheck.binary.elf_machines import MACHINES
from abicheck.host import Host
from abicheck.loader import glibc_binding
from abicheck.loader.glibc import PLATFORMS as GLIBC_PLATFORMS
from abicheck.loader.glibc import TARGETS, GlibcProcess, Relocated
from abicheck.loader.glibc_binding import UNDEFINED, UNRESOLVED_WEAK, Resolution
from abicheck.loader.glibc_mapping import Mapper, Object, Stop
from abicheck.loader.glibc_search import Candidate, Search, Searcher, origin_of
from abicheck.loader.process import Event, Failure
from abicheck.model import Attempt
from abicheck.overlay import Found, View

PLATFORMS = GLIBC_PLATFORMS
LIBC = "musl"
DEFAULT_DIRECTORIES = ("/lib", "/usr/local/lib", "/usr/lib")  # unless /etc/ld-musl-ARCH.path names others
# load_library: names that mean libc itself, whatever follows the dot (MUSL-4).
RESERVED = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
LIBC_SYMBOLS = (b"__libc_start_main", b"stdin")  # what load_library knows another libc by
# Names of musl's architectures in /etc/ld-musl-ARCH.path, by ELF machine.
ARCH = {62: "x86_64", 3: "i386", 183: "aarch64", 21: "powerpc64le", 22: "s390x", 40: "armhf", 243: "riscv64"}


@dataclass(slots=True)
class BindingMemory:
    """What binding remembers, by (object, scope); shared by all processes over one view."""

    resolutions: dict[Hashable, Resolution] = field(default_factory=dict)


class MuslMapper(Mapper):
    """The link map of one process: load_library, path_open and fixup_rpath of ldso/dynlink.c."""

    def __init__(self, searcher: Searcher, env: Mapping[str, str]) -> None:
        super().__init__(searcher, env)
        self.libc = -1
        self._environment = split_path(env.get("LD_LIBRARY_PATH", ""))
        self._defaults = default_directories(searcher.view, searcher.host, searcher.target.machine)

    def copy(self) -> MuslMapper:
        other = MuslMapper(self.searcher, self.env)
        other.objects, other.edges, other.state = list(self.objects), list(self.edges), self.state.copy()
        other.libc = self.libc
        return other

    # -- identity (MUSL-2, MUSL-4) ---------------------------------------------

    def open(self, name: str, requester: int, loader: int, event: int) -> int:
        """libc's own names, then short names of earlier searches, then the search, then the inode."""
        state = self.state
        if RESERVED.match(name) or name == self.path(self.libc):
            return self._met(requester, name, self.libc, "name", "MUSL-4", event)
        hit = state.names.get(name) if "/" not in name else None
        if hit is not None:
            return self._met(requester, name, hit, "name", "MUSL-2", event)
        search = Search()
        candidate = self._find(search, name, requester)
        attempts = tuple(search.attempts)
        if candidate is None:
            self.edge(requester, name, None, "", -1, "MUSL-1", event, attempts)
            raise Stop(self._not_found(name, requester, search))
        if candidate.error:
            self.edge(requester, name, None, candidate.how, candidate.owner, "MUSL-1", event, attempts)
            text = _error(name, candidate.error, self._by(requester))
            raise Stop(self.failure("LOAD_REJECTED", text, "MUSL-1", requester, provider=candidate.path, library=name,
                                    attempts=attempts))  # fmt: skip
        ident = candidate.found.entry.ident if candidate.found and candidate.found.entry else ("unknown", name)
        same = state.idents.get(ident)
        if same is not None:
            if "/" not in name:
                state.names.setdefault(name, same)
            return self._met(requester, name, same, "file-id", "MUSL-2", event, attempts)
        if is_libc(candidate.elf):
            return self._met(requester, name, self.libc, "name", "MUSL-4", event, attempts)
        opened = loader == -1 and requester <= 0 and "/" in name
        how = "opened" if opened else candidate.how
        index = self.add(replace(candidate, how=how), name, requester, loader, event, attempts)
        if loader >= 0 or not opened:
            self.edge(requester, name, index, candidate.how, candidate.owner, candidate.rule, event, attempts)
        return index

    def add(
        self, candidate: Candidate, name: str, requester: int, loader: int, event: int, attempts: tuple[Attempt, ...],
        *, is_program: bool = False,
    ) -> int:  # fmt: skip
        index = super().add(candidate, name, requester, loader, event, attempts, is_program=is_program)
        state = self.state
        state.sonames.clear()  # never consulted
        for spelling in (candidate.path, name):
            if "/" in spelling and state.names.get(spelling) == index:
                del state.names[spelling]  # only what was searched for has a short name
        elf = candidate.elf
        if elf is not None:
            # The two tags are one thing; DT_RUNPATH is what counts when there are both (decode_dyn).
            tag = elf.runpath_text if elf.runpath_text is not None else elf.rpath_text
            self.objects[index] = replace(self.objects[index], rpath=tag, runpath=None)
        return index

    # -- search (MUSL-1) ---------------------------------------------------------

    def _find(self, search: Search, name: str, requester: int) -> Candidate | None:
        if "/" in name:
            return self._first(search, [name], "path", requester)
        hit = self._first(search, _in(self._environment, name), "environment", -1)
        at = requester
        while hit is None and at >= 0:
            directories = rpath_directories(self.objects[at].rpath, origin_of(self.objects[at].path))
            hit = self._first(search, _in(directories, name), "rpath", at)
            # needed_by: what dlopen opens counts as needed by the program
            above = self.objects[at].loader
            at = above if above >= 0 else 0 if at > 0 else -1
        hit = hit or self._first(search, _in(self._defaults, name), "default", -1)
        elsewhere = not self.host.complete or name in self.host.provides
        return self._host_candidate(name) if hit is None and elsewhere else hit

    def _first(self, search: Search, paths: Iterable[str], how: str, owner: int) -> Candidate | None:
        """The first file that opens is taken whatever it is: musl does not go on after a file of another kind."""
        for path in paths:
            verdict, found, elf, _ = self.searcher.verify(path)
            search.attempts.append(Attempt(path, "found" if verdict == "ok" else verdict))
            if verdict not in ("absent", "unreadable"):
                error = {"ok": "", "directory": "Is a directory"}.get(verdict, "Exec format error")
                return Candidate(path, how, owner, "MUSL-1", found, elf, error)
        return None

    def _not_found(self, name: str, requester: int, search: Search) -> Failure:
        text = _error(name, "No such file or directory", self._by(requester))
        return self.failure("MISSING_LIB", text, "MUSL-1", requester, library=name, attempts=tuple(search.attempts))

    def _by(self, requester: int) -> str:
        return self.path(requester) if requester > 0 else ""


class MuslProcess(GlibcProcess):
    """See the module. Made by :func:`start`; implements ``loader.process.Process``."""

    _mapper: MuslMapper

    def __init__(self, mapper: MuslMapper, found: BindingMemory, binds: bool) -> None:
        super().__init__(mapper, glibc_binding.BindingMemory(), binds)
        self._found = found

    def fork(self) -> MuslProcess:
        other = MuslProcess(self._mapper.copy(), self._found, self.binds)
        other.relocated, other.results, other.unkept = dict(self.relocated), list(self.results), self.unkept
        return other

    def _interpreter(self, elf: ElfSlice | None) -> None:
        """The loader is libc; it is there before anything is searched (MUSL-4)."""
        mapper = self._mapper
        path = elf.interp if elf is not None and elf.interp and "ld-musl" in elf.interp else "libc.so"
        found: Found | None = None
        loader: ElfSlice | None = None
        if path.startswith("/"):
            verdict, found, loader, _ = mapper.searcher.verify(path)
            if verdict != "ok":
                found = loader = None
        mapper.libc = mapper.add(Candidate(path, "program", 0, "MUSL-4", found, loader), path, 0, 0, 0, ())

    def _settle(self, root: int, order: tuple[int, ...], event: Event, *, at_start: bool) -> None:
        """Relocation in load order, the program last at start; versions and CPU levels are not compared (MUSL-3)."""
        self._mapper.state.dependencies[root] = order
        if not self.binds:
            return
        rest = [i for i in order if i != root]
        for index in [*rest, root] if at_start else order:
            if index not in self.relocated and self.objects[index].elf is not None:
                self._relocate(index, event)

    def _relocate(self, index: int, _event: Event) -> None:
        obj = self.objects[index]
        elf = obj.elf
        assert elf is not None
        scope = self._scope(index)
        resolution = resolve(self._found, obj, [self.objects[i] for i in scope])
        self.relocated[index] = Relocated(resolution, (*scope, index), {})
        if resolution.stop >= 0:
            raise Stop(self._unbound(obj, resolution))
        if obj.event > 0 and _initial_exec(elf):
            named = next((r.name for r in elf.references if r.kind == "tls" and r.defined_here), b"")
            symbol = named.decode("utf-8", "backslashreplace")
            text = (
                f"Error relocating {obj.path}: {symbol}: initial-exec TLS resolves to dynamic definition in {obj.path}"
            )
            raise Stop(self._mapper.failure("LOAD_REJECTED", text, "MUSL-4", index, provider=obj.path))

    def _unbound(self, obj: Object, resolution: Resolution) -> Failure:
        assert obj.elf is not None
        ref = obj.elf.references[resolution.stop]
        name = ref.name.decode("utf-8", "backslashreplace")
        text = f"Error relocating {obj.path}: {name}: symbol not found"
        return self._mapper.failure("MISSING_SYMBOL", text, "MUSL-3", obj.index, symbol=name,
                                    library=ref.version_file or "")  # fmt: skip


def _error(name: str, reason: str, by: str) -> str:
    return f"Error loading shared library {name}: {reason}" + (f" (needed by {by})" if by else "")


def _in(directories: Iterable[str], name: str) -> list[str]:
    return [f"{d.rstrip('/')}/{name}" for d in directories if d.startswith("/")]


def split_path(text: str) -> tuple[str, ...]:
    """Elements of a search path: colons and line ends part them, empty ones do not count (path_open)."""
    return tuple(d for d in re.split(r"[:\n]+", text) if d)


def rpath_directories(tag: str | None, origin: str) -> tuple[str, ...]:
    """Directories of a path tag. ``$ORIGIN`` is the only token; a tag with another one is void as a whole."""
    if not tag:
        return ()
    if re.search(r"\$(?!ORIGIN|\{ORIGIN\})", tag):
        return ()
    return split_path(re.sub(r"\$ORIGIN|\$\{ORIGIN\}", lambda _: origin, tag))


def default_directories(view: View, host: Host, machine: int) -> tuple[str, ...]:
    """What ``/etc/ld-musl-ARCH.path`` of the host says, else the built-in three."""
    if host.use_files and machine in ARCH:
        text = view.read_text(f"/etc/ld-musl-{ARCH[machine]}.path")
        if text:
            return split_path(text)
    return DEFAULT_DIRECTORIES


def is_libc(elf: ElfSlice | None) -> bool:
    """Whether a file is a libc, of whatever make: it is then not loaded, musl's own serves instead."""
    return elf is not None and all(name in elf.exported for name in LIBC_SYMBOLS)


def _initial_exec(elf: ElfSlice) -> bool:
    """Whether it has initial-exec relocations to thread-local storage of its own; those to libc's (errno) are fine."""
    machine = MACHINES.get(elf.machine)
    asked = elf.static_tls or bool(machine and machine.ie & elf.symbols.relocation_types())
    return asked and elf.tls is not None


# -- binding ---------------------------------------------------------------------


def resolve(memory: BindingMemory, owner: Object, scope: Sequence[Object]) -> Resolution:
    """Bind all references of ``owner``: the first visible definition in the scope, whatever its version (find_sym)."""
    key = (owner.ident, tuple(o.ident for o in scope))
    hit = memory.resolutions.get(key)
    if hit is None:
        hit = memory.resolutions[key] = _resolve(owner, scope)
    return hit


def _resolve(owner: Object, scope: Sequence[Object]) -> Resolution:
    assert owner.elf is not None
    positions = array("i")
    for n, ref in enumerate(owner.elf.references):
        at = _position(ref, scope)
        if at == UNRESOLVED_WEAK and not ref.weak:
            positions.append(UNDEFINED)
            return Resolution(positions, (), n)
        positions.append(at)
    return Resolution(positions, (), -1)


def _position(ref: Reference, scope: Sequence[Object]) -> int:
    unknown = -1
    for position, item in enumerate(scope):
        if item.elf is None:
            # What is not known may have it; libc and an unread program certainly have what is theirs.
            unknown = position if unknown < 0 or not item.is_program else unknown
            continue
        if ref.kind == "copy" and item.is_program:
            continue
        if any(visible(d, ref) for d in item.elf.exported.get(ref.name, ())):
            return position
    return unknown if unknown >= 0 and not ref.weak else UNRESOLVED_WEAK


def visible(definition: Definition, ref: Reference) -> bool:
    """Whether a definition can be found: hidden versions never (MUSL-3), PLT addresses only by data references."""
    return not definition.hidden_version and not (definition.is_undef_plt and ref.kind in ("plt", "tls"))


def start(
    view: View,
    host: Host,
    *,
    executable: str,
    subdir: str,
    env: Mapping[str, str] | None = None,
    memory: BindingMemory | None = None,
    binds: bool = True,
) -> MuslProcess:
    """Start a prefix's interpreter on a musl system. Arguments as ``glibc.start``."""
    mapper = MuslMapper(Searcher(view, host, TARGETS[subdir]), env or {})
    process = MuslProcess(mapper, memory if memory is not None else BindingMemory(), binds)
    process.begin(executable)
    return process
