"""The Windows loader as a simulation: one process that maps DLLs in the order Python asks for them (WIN-1 to WIN-24).

Identity is the base name, whatever the directory (WIN-1); a load by full path compares files (WIN-2); directories are
fixed by the top-level call for its whole tree (WIN-4); each import binds in the DLL it names and nowhere else (WIN-16).

Where the documentation is silent the result says so: an edge then carries WIN-2 (which of two modules of one name
serves), WIN-5 (order among added directories) or WIN-13 (a file for another machine was passed over). The order of
``objects`` is that of a depth-first walk; Windows 10 maps in parallel and promises none.

DLLs of the system are objects without facts: their exports are taken to be complete, and what they load themselves is
not followed. Which there are is in knowledge/windows_system.toml. After a failed load Windows frees what it had mapped;
that it leaves nothing behind (GEN-3) is a model too.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace

from abicheck.host import Host
from abicheck.loader.process import Bound, Event, EventResult, Failure, LazyBindings, Outcome, Process, Trace
from abicheck.loader.windows_binding import Binder, BindingMemory
from abicheck.loader.windows_mapping import Mapper
from abicheck.loader.windows_modules import ERRORS, Load, Module, Record, Settings, Want
from abicheck.loader.windows_search import (
    ACTIVATED,
    CONDA_DIRECTORIES,
    Directories,
    Searcher,
    SearchPath,
    directory_of,
    path_directories,
    slashes,
    spelled,
)
from abicheck.model import Attempt
from abicheck.overlay import View

PLATFORMS = ("win-64", "win-32", "win-arm64")
ARCH = {"win-64": "x86_64", "win-32": "i386", "win-arm64": "arm64"}
PYTHON_DLL = re.compile(r"python(3)(\d+)(t?)(_d)?\.dll", re.IGNORECASE)
VERSIONED_PYTHON = re.compile(r"python\d{2,}t?(?:_d)?\.dll", re.IGNORECASE)
START_RUNTIME = re.compile(r"python3\d+t?(_d)?\.dll|vcruntime140(_1)?\.dll")
Version = tuple[int, int]


class WindowsProcess:
    """See the module. Made by :func:`start`; implements ``loader.process.Process``."""

    def __init__(self, mapper: Mapper, memory: BindingMemory) -> None:
        self._mapper = mapper
        self._binder = Binder(mapper, memory)
        self.results: list[EventResult] = []
        self.python: Version | None = None
        self.python_dll = ""

    @property
    def record(self) -> Record:
        return self._mapper.record

    # -- Process -------------------------------------------------------------

    def fork(self) -> WindowsProcess:
        m = self._mapper
        copy = Mapper(m.settings, m.searcher, m.directories, m.record.copy())
        other = WindowsProcess(copy, self._binder.memory)
        other._binder.done = dict(self._binder.done)
        other.results = list(self.results)
        other.python, other.python_dll = self.python, self.python_dll
        return other

    def load(self, event: Event) -> EventResult:
        """What Python asks: an import (WIN-4), a ctypes load (WIN-8), a directory (WIN-6). Failures are undone."""
        result = self._add_directory(event) if event.kind == "dll-directory" else self._load(event)
        self.results.append(result)
        return result

    def trace(self) -> Trace:
        bindings = LazyBindings(sorted(self._binder.done), self.bound)
        return Trace(list(self.results), self.record.mapped(), list(self.record.edges), bindings)

    def same_bindings(self, index: int, other: Process, other_index: int) -> bool:
        if not isinstance(other, WindowsProcess):
            return False
        if self.record.objects[index].pe is not other.record.objects[other_index].pe:
            return False
        return self._providers_of(index) == other._providers_of(other_index)

    def bound(self, index: int) -> tuple[Bound, ...]:
        """The bindings of one object as records, in the file's order. Delay imports bind later or never (WIN-18)."""
        return tuple(row for dll in self._binder.done[index] for row in dll.rows())

    @property
    def live(self) -> tuple[int, ...]:
        """Indices of the modules that are mapped now, in load order."""
        return tuple(m.index for m in self.record.objects if m.index not in self.record.unkept)

    @property
    def user_directories(self) -> tuple[str, ...]:
        """The directories of os.add_dll_directory and conda's own, in the order they are searched."""
        return self._mapper.user_directories

    def _providers_of(self, index: int) -> list[tuple[str, list[str]]]:
        objects = self.record.objects
        return [
            (objects[b.provider].real, [objects[i].real for i in b.forwarded.values()])
            for b in self._binder.done.get(index, ())
        ]

    # -- start ---------------------------------------------------------------

    def begin(self, executable: str, python: Version | None) -> None:
        """Map the interpreter and what it imports in event 0; then its runtime adds conda's directories (WIN-7)."""
        load, legacy = Load(0), self._mapper.directories.legacy()
        verdict, found, pe = self._mapper.searcher.verify(executable)
        refused = verdict in ("bad-header", "wrong-machine")
        program = self.record.add(
            load,
            Want(None, executable),
            spelled(executable, found),
            "program",
            "WIN-4",
            found=found,
            pe=None if refused else pe,
        )
        self._mapper.walk(load, program, legacy)
        if program.pe is None:
            self._assume_runtime(load, program, legacy)
        if refused:
            load.fail("LOAD_REJECTED", 193, "WIN-13", Want(None, executable), provider=executable)
        elif not load.failures and self._mapper.settings.binds:
            self._binder.bind(load)
        self._name_runtime(python)
        problem = next(iter(load.failures or load.unknown or load.unreadable()), None)
        outcome: Outcome = "loaded" if problem is None else "unknown"
        event = Event(executable, kind="dlopen", label="start")
        self.results.append(EventResult(event, "failed" if load.failures else outcome, problem, program.index))
        if self._mapper.settings.conda:
            self.record.state.user = self._conda_directories()

    def _assume_runtime(self, load: Load, program: Module, path: SearchPath) -> None:
        """The program cannot be read: what lies beside it and every python.exe imports is taken as loaded (WIN-22)."""
        application = self._mapper.directories.application
        for name in sorted(self._mapper.settings.view.listing(application) or ()):
            if START_RUNTIME.fullmatch(name.lower()):
                self._mapper.by_name(load, Want(program, name), path)

    def _name_runtime(self, python: Version | None) -> None:
        self.python = python
        for module in self.record.objects:
            match = PYTHON_DLL.fullmatch(module.base)
            if match:
                self.python_dll = module.path
                self.python = python or (int(match[1]), int(match[2]))
                return

    def _conda_directories(self) -> tuple[str, ...]:
        """What conda's patched CPython adds, in the order of its calls (WIN-7). Up to 3.10 a variable makes it take the
        entries of PATH as well; before 3.8 the search order is another and reads PATH anyway."""
        if self._before_38:
            return ()
        root = directory_of(self.python_dll) or self._mapper.directories.application
        five = tuple(posixpath.join(root, d) for d in CONDA_DIRECTORIES)
        enabled = self._mapper.settings.env.get("CONDA_DLL_SEARCH_MODIFICATION_ENABLE", "0")
        if self.python is not None and self.python <= (3, 10) and enabled != "0":
            entries = tuple(reversed(self._mapper.directories.path))
            return entries + tuple(d for d in five if d not in entries)
        return five

    @property
    def _before_38(self) -> bool:
        return self.python is not None and self.python < (3, 8)

    # -- events --------------------------------------------------------------

    def _add_directory(self, event: Event) -> EventResult:
        directory = slashes(event.open).rstrip("/")
        status = self._mapper.settings.view.lookup(directory).status
        if status != "dir":
            text = f"[WinError 2] The system cannot find the file specified: '{event.open}'"
            attempt = Attempt(directory, status)
            return EventResult(event, "failed", Failure("MISSING_LIB", text, "WIN-6", attempts=(attempt,)))
        self.record.state.user = (*self.record.state.user, directory)
        return EventResult(event, "loaded")

    def _load(self, event: Event) -> EventResult:
        record, load = self.record, Load(len(self.results), self.record.objects[0].path)
        if event.kind == "import":
            self._preload_python3()
        before, count = record.state.copy(), len(record.objects)
        root = self._top(event, load)
        if root is not None and not load.failures and self._mapper.settings.binds:
            self._binder.bind(load)
        if root is not None and not load.failures and event.kind == "import":
            self._check_python_version(load, root)
        if load.failures or root is None:
            record.state = before
            record.unkept |= frozenset(range(count, len(record.objects)))
            return EventResult(event, "failed", _said(load.failures[0], event))
        self._mapper.delay_edges(load)
        problem = next(iter(load.unknown or load.unreadable()), None)
        return EventResult(event, "loaded" if problem is None else "unknown", problem, root.index)

    def _preload_python3(self) -> None:
        """Before its first extension CPython loads python3.dll (python3t.dll) from beside pythonXY.dll (WIN-20).

        A failure of this is of no consequence to the import."""
        record, load = self.record, Load(len(self.results))
        match = PYTHON_DLL.fullmatch(posixpath.basename(self.python_dll))
        if record.state.python3_done or match is None:
            return
        record.state.python3_done = True
        path = posixpath.join(directory_of(self.python_dll), f"python3{match[3]}{match[4] or ''}.dll")
        before, count = record.state.copy(), len(record.objects)
        module = self._mapper.open(load, path, self._mapper.directories.modern("", self.user_directories), "WIN-20")
        if module is not None and not load.failures and self._mapper.settings.binds:
            self._binder.bind(load)
        if load.failures:
            record.state = before
            record.unkept |= frozenset(range(count, len(record.objects)))

    def _top(self, event: Event, load: Load) -> Module | None:
        """Load what the event names; None after a failure, which is in ``load``."""
        name, directories = slashes(event.open), self._mapper.directories
        if "/" not in name:
            old = event.legacy_search or self._before_38
            path = directories.legacy() if old else directories.modern("", self.user_directories)
            return self._mapper.by_name(load, Want(None, name), path)
        # Code that asks for the altered order by name (LoadLibraryExW) gets it whatever ctypes would do.
        if event.kind == "dlopen" and self._before_38 and not event.legacy_search:  # ctypes then had no flags to give
            return self._mapper.open(load, name, directories.legacy())
        if event.legacy_search or self._before_38:
            return self._mapper.open(load, name, directories.altered(name))
        return self._mapper.open(load, name, directories.modern(name, self.user_directories))

    def _check_python_version(self, load: Load, root: Module) -> None:
        """CPython refuses an extension that imports another version's DLL, after it has loaded (WIN-20)."""
        own = posixpath.basename(self.python_dll).lower()
        named = next((e.dll for e in root.imports() if VERSIONED_PYTHON.fullmatch(e.dll)), None)
        if own and named is not None and named.lower() != own:
            text = f"Module use of {named} conflicts with this version of Python."
            load.failures.append(Failure("LOAD_REJECTED", text, "WIN-20", root.path, library=named))


def _said(failure: Failure, event: Event) -> Failure:
    """The failure with the text Python prints: dynload_win.c for an import, ctypes/__init__.py otherwise."""
    number = next((n for n, text in ERRORS.items() if text == failure.message), None)
    if number is None:
        return failure
    name = posixpath.basename(slashes(event.open))
    if event.kind == "import":
        module = name.partition(".")[0]
        return replace(failure, message=f"DLL load failed while importing {module}: {failure.message}")
    if number == 126:
        text = f"Could not find module '{event.open}' (or one of its dependencies)."
        return replace(failure, message=f"{text} Try using the full path with constructor syntax.")
    return replace(failure, message=f"[WinError {number}] {failure.message}")


def start(
    view: View,
    host: Host,
    *,
    executable: str,
    subdir: str,
    env: Mapping[str, str] | None = None,
    memory: BindingMemory | None = None,
    binds: bool = True,
    conda: bool = True,
    python: Version | None = None,
) -> WindowsProcess:
    """Start a prefix's interpreter.

    Args:
        executable: absolute path of ``python.exe`` in the view.
        subdir: win-64, win-32 or win-arm64; the machine of the process.
        env: PATH and CONDA_DLL_SEARCH_MODIFICATION_ENABLE if the user declared them; nothing of this process's own.
        memory: shared between processes over one view.
        binds: False leaves out the binding of symbols (error 127 and forwarders).
        conda: the interpreter is conda's, which adds five directories (WIN-7); False for python.org's.
        python: its version, when the name of its DLL does not tell.
    """
    declared = dict(env or {})
    application = directory_of(executable)
    path = path_directories(declared)
    if not path and conda:
        # An activated environment, the usual case; only the legacy order (WIN-9) and CPython before 3.8 read PATH.
        path = tuple(posixpath.join(application, d) if d else application for d in ACTIVATED)
    settings = Settings(view, host, ARCH[subdir], declared, conda, binds)
    mapper = Mapper(settings, Searcher(view, ARCH[subdir]), Directories(application, path), Record())
    process = WindowsProcess(mapper, memory or BindingMemory())
    process.begin(executable, python)
    return process
