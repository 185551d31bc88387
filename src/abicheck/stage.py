"""What is judged, put together once: prefix, host, transaction, the two views, and how to start a process in them."""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from abicheck.errors import InputError
from abicheck.host import NOTHING, Host, declared, libstdcxx_nodes, this_machine, version_key
from abicheck.host_file import read_host_file
from abicheck.import_effects import ImportContext, Memory, startup_effects
from abicheck.knowledge.host_profiles import HostProfile, profile
from abicheck.loader import loader_for
from abicheck.loader.process import Process
from abicheck.loader.scenarios import Simulator
from abicheck.loader.units import Importer, events_of, importer
from abicheck.overlay import View
from abicheck.prefix import Interpreter, Layout, Prefix
from abicheck.staging import Placed


@dataclass(frozen=True, eq=False)
class Stage:
    """Everything a judgement rests on. ``before`` is the environment now, ``after`` as pip will leave it; without a
    transaction they are one view."""

    prefix: Prefix
    interpreter: Interpreter
    layout: Layout
    subdir: str
    host: Host
    env: Mapping[str, str]
    placed: tuple[Placed, ...]
    removed: frozenset[str]
    before: View
    after: View
    awaited: frozenset[str] = frozenset()  # import names of projects that pip will fetch and that nobody gave
    imports: Memory = field(default_factory=Memory, repr=False)  # of both views: what is the same file is read once
    _memory: dict[str, object] = field(default_factory=dict, repr=False)

    def starter(self, view: View, *, binds: bool = True) -> Callable[[], Process]:
        """How to start the prefix's interpreter in a view. Processes over one view share what they bound."""
        loader = loader_for(self.subdir, self.host.libc)
        make_memory = getattr(loader, "BindingMemory", None)
        key = "before" if view is self.before else "after"
        if make_memory is not None and key not in self._memory:
            self._memory[key] = make_memory()
        start: Callable[..., Process] = loader.start
        return functools.partial(
            start, view, self.host, executable=posixpath.join(view.root, self.interpreter.executable),
            subdir=self.subdir, env=self.env, memory=self._memory.get(key), binds=binds,
        )  # fmt: skip

    def _interpreter_in(self, view: View, who: Importer, *, binds: bool = True) -> Callable[[], Process]:
        """How to start the interpreter and let it read its ``.pth`` files, as it does before any import."""
        start = self.starter(view, binds=binds)

        def begin() -> Process:
            process = start()
            for event in events_of(startup_effects(who.context)):
                process.load(event)
            return process

        return begin

    @functools.cached_property
    def simulator(self) -> Simulator:
        return Simulator(self._interpreter_in(self.after, self.importer))

    @functools.cached_property
    def simulator_before(self) -> Simulator:
        if self.before is self.after:
            return self.simulator
        return Simulator(self._interpreter_in(self.before, self.importer_before))

    @functools.cached_property
    def scout(self) -> Simulator:
        """Processes that map and do not bind: who reaches which file, at a fraction of the cost."""
        return Simulator(self._interpreter_in(self.after, self.importer, binds=False))

    @functools.cached_property
    def importer(self) -> Importer:
        return importer(self.import_context(self.after))

    @functools.cached_property
    def importer_before(self) -> Importer:
        return self.importer if self.before is self.after else importer(self.import_context(self.before))

    def import_context(self, view: View) -> ImportContext:
        root, layout = view.root, self.layout
        return ImportContext(
            view=view,
            platform=self.subdir,
            version=self.interpreter.minor,
            site_packages=tuple(posixpath.join(root, d) for d in dict.fromkeys((layout.purelib, layout.platlib))),
            stdlib=posixpath.join(root, layout.stdlib),
            dynload=posixpath.join(root, layout.dynload),
            extension_suffixes=self.interpreter.extension_suffixes,
            environ=self.env,
            awaited=self.awaited if view is self.after else frozenset(),
            memory=self.imports,
        )


def choose_host(text: str, subdir: str) -> Host:
    """``--host``: auto, none, single facts, a profile's name or a host file (docs/concepts.md).

    Raises ``UsageError`` when it is none of these, ``InputError`` when nothing tells the platform (no package records).
    """
    if not subdir:
        raise InputError(
            "platform-unknown",
            "Nothing tells which platform the environment is for: its conda-meta folder has no package records.",
            "say it: --platform linux-64",
        )
    if text == "auto":
        return this_machine(subdir)
    if text in ("none", ""):
        return NOTHING
    if os.path.isfile(text):
        return read_host_file(text, subdir)
    known = profile(text)
    if known is not None:
        return _from_profile(known, subdir)
    return declared(text, subdir)


def _from_profile(known: HostProfile, subdir: str) -> Host:
    """A distribution's default installation. What it does not list may be installed all the same, so nothing is missing
    for certain; what it lists is there, with the version nodes the profile gives."""
    provides: dict[str, frozenset[str]] = dict.fromkeys(known.libraries, frozenset())
    if known.libstdcxx:
        provides["libstdc++.so.6"] = libstdcxx_nodes(known.libstdcxx)
    return Host(
        "profile",
        known.name,
        subdir,
        libc="glibc" if known.glibc else "musl" if known.musl else "",
        glibc=version_key(known.glibc) if known.glibc else None,
        macos=version_key(known.macos) if known.macos else None,
        windows_build=known.windows,
        cpu_level=known.cpu,
        provides=provides,
    )


def require_interpreter(prefix: Prefix) -> tuple[Interpreter, Layout]:
    """The prefix's Python. Raises ``InputError`` when it has none: then nothing can be imported there."""
    if prefix.interpreter is None or prefix.layout is None:
        raise InputError(
            "no-python",
            f"{prefix.display} has no Python: no python record in conda-meta and no interpreter in it",
            "abicheck judges what `import` will do; choose the environment that the wheel is installed into",
        )
    return prefix.interpreter, prefix.layout
