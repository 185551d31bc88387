"""Asks glibc's own loader: runs a prefix's Python under LD_DEBUG and reads what it says, line by line.

What the log gives, and its limits (each met in practice):

* Every dlopen that searches or opens a file says so (``dynamically loaded by``); one that finds the library already
  there shows only as ``opening file=``. Counts of opens tell a finished open from a new one inside its constructors.
* An open that fails says nothing at its end: it is over when another begins before any of its constructors ran.
* A need met by name is not logged at all; the scopes that the log lists show what it was met by.
* ``(RPATH from file X)`` names whoever had that directory first (directories are interned): only the kind is used.
* Bindings outside a relocation are dlsym calls and the loader's own look-ups; they are counted apart.
* A weak reference without a definition, and one bound at link time, leaves no line.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOW = {
    "RPATH": "rpath",
    "RUNPATH": "runpath",
    "LD_LIBRARY_PATH": "environment",
    "system search path": "default",
}
FILE_LINE = re.compile(
    r"file=(.*) \[\d+\];  (needed by|dynamically loaded by|generating link map|destroying link map)(?: (.*) \[\d+\])?"
)
SEARCH_LINE = re.compile(r" search path=.*?\s\((RPATH|RUNPATH|LD_LIBRARY_PATH|system search path)(?: from file .*)?\)$")
DRIVER = """
import json, sys
def run(statements):
    out, names = [], {}
    for statement in statements:
        try:
            exec(statement, names)
            out.append(None)
        except BaseException as e:
            out.append(str(e))
    return out
results = run(json.loads(sys.argv[1]))
with open(sys.argv[2], "w") as f:
    json.dump(results, f)
"""


@dataclass
class Open:
    """One dlopen. ``root``: the object it was for, as the loader names it; None while unknown or when it failed."""

    request: str
    caller: str
    root: str | None = None
    flags_global: bool = False
    failed: bool = True
    last_tried: str = ""
    outer: int = -1  # index of the open whose constructors made this one; -1: none

    @property
    def is_probe(self) -> bool:
        """An RTLD_NOLOAD question of native code: the file was found, and not mapped."""
        by_python = Path(self.caller).name.startswith(("python", "_ctypes."))
        return self.failed and self.root is None and not by_python and Path(self.last_tried or self.request).is_file()


@dataclass
class RealObject:
    """One mapped object, in the order of mapping. ``how``: a word of contract.md section 5, or ``preload``."""

    path: str
    real: str
    request: str
    by: str
    how: str
    event: int  # index into opens; -1 at program start
    kept: bool = True


@dataclass
class RealRun:
    """What really happened. ``bindings``: (object, symbol, version) -> providers; indices into ``objects``."""

    opens: list[Open] = field(default_factory=list)
    objects: list[RealObject] = field(default_factory=list)
    bindings: dict[tuple[int, str, str | None], set[int]] = field(default_factory=dict)
    lookups: int = 0
    scopes: dict[int, list[int]] = field(default_factory=dict)  # root -> its local scope, at its first relocation
    unloaded: list[int] = field(default_factory=list)
    results: list[str | None] = field(default_factory=list)  # per statement: the exception's text
    status: int = 0
    signal: str | None = None
    stderr: str = ""
    stdout: str = ""


class _Parser:
    """Reads one process's log. The state is what the loader is in the middle of."""

    def __init__(self, executable: str) -> None:
        self.run = RealRun()
        self._index: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._pending: list[int] = []
        self._initialising: dict[int, bool] = {}
        self._promoted: set[str] = set()
        self._last_done: int | None = None
        self._request, self._by, self._how, self._file = "", "", "path", ""
        self._relocating = ""
        self._scope_of = ""
        self._scoped: set[int] = set()  # objects whose block of scopes has been read
        self._starting = True
        self._executable = executable
        self._map(executable, executable, "", "program")

    # -- objects

    def _map(self, path: str, request: str, by: str, how: str) -> int:
        event = self._pending[-1] if self._pending else -1
        self.run.objects.append(RealObject(path, os.path.realpath(path), request, by, how, event))
        self._index[path] = len(self.run.objects) - 1
        if event >= 0 and self.run.opens[event].root is None:
            self.run.opens[event].root = path
        return self._index[path]

    def _object(self, path: str) -> int:
        """Index of a live object; the loader's own (ld.so, the kernel's vdso) appear without having been mapped."""
        name = path or self._executable
        if name not in self._index:
            self.run.objects.append(RealObject(name, os.path.realpath(name), name, "", "unlogged", -1))
            self._index[name] = len(self.run.objects) - 1
        return self._index[name]

    # -- lines

    def line(self, text: str) -> None:
        if text.startswith("binding file "):
            self._binding(text)
        elif text.startswith("file="):
            self._file_line(text)
        elif text.startswith("  trying file="):
            self._file = text[14:]
            if self._pending and self.run.opens[self._pending[-1]].request == self._request:
                self.run.opens[self._pending[-1]].last_tried = self._file
        elif text.startswith(" search path="):
            found = SEARCH_LINE.match(text)
            if found:
                self._how = HOW[found[1]]
        elif text.startswith(" search cache="):
            self._how = "cache"
        elif text.startswith("relocation processing: "):
            self._relocating = text[23:].removesuffix(" (lazy)") or self._executable
        elif text.startswith("calling init: "):
            self._relocating = ""
            if self._pending:
                self._initialising[self._pending[-1]] = True
        elif text.startswith("opening file="):
            self._relocating = ""
            self._opened(text)
        elif text.startswith("add ") and text.endswith(" to global scope"):
            self._promote(text[4 : text.rfind(" [")])
        elif text.startswith("closing file="):
            path, _, count = text[13:].rpartition("; direct_opencount=")
            self._counts[path] = int(count)
        elif text.startswith("object="):
            self._scope_of = text[7 : text.rfind(" [")] or self._executable
            self._scoped |= self.run.scopes.keys()
        elif text.startswith(" scope ") and self._scope_of:
            self._scope(text)
        elif text.startswith(("initialize program: ", "transferring control: ")):
            self._relocating, self._starting = "", False

    def _binding(self, text: str) -> None:
        head, _, symbol = text.partition(": ")
        who, _, whom = head[13:].partition(" to ")
        who, whom = who[: who.rfind(" [")] or self._executable, whom[: whom.rfind(" [")] or self._executable
        if who != self._relocating:
            self.run.lookups += 1
            return
        name, _, version = symbol.partition("`")[2].partition("'")
        version = version.strip()
        key = (self._object(who), name, version[1:-1] if version else None)
        self.run.bindings.setdefault(key, set()).add(self._object(whom))

    def _file_line(self, text: str) -> None:
        found = FILE_LINE.match(text)
        if not found:
            return
        name, verb, by = found[1], found[2], found[3]
        if verb == "generating link map":
            path = self._file or name
            # LD_PRELOAD's are searched like any other, but nobody needs them.
            self._map(path, name, self._by, self._how if self._file else "path")
        elif verb == "destroying link map":
            index = self._index.pop(name, None)
            if index is not None:
                self._unmap(index)
        else:
            if verb == "dynamically loaded by":
                self._begin(name, by or self._executable)
            self._request, self._by, self._how, self._file = name, by or self._executable, "path", ""

    def _unmap(self, index: int) -> None:
        event = self.run.objects[index].event
        if event in self._pending and not self._initialising.get(event):
            self.run.objects[index].kept = False  # the open that brought it failed
        else:
            self.run.unloaded.append(index)

    def _begin(self, request: str, caller: str) -> None:
        self._relocating = ""
        while self._pending and not self._initialising.get(self._pending[-1]):
            self._pending.pop()  # it ended without a word: it failed
        self.run.opens.append(Open(request, caller, outer=self._pending[-1] if self._pending else -1))
        self._pending.append(len(self.run.opens) - 1)

    def _opened(self, text: str) -> None:
        path, _, count = text[13:].partition(" [")
        shown = int(count.rpartition("=")[2])
        waiting = [e for e in self._pending if self.run.opens[e].root in (path, None)]
        known = self._counts.get(path, 0)
        self._counts[path] = shown
        owner = next((e for e in reversed(waiting) if self.run.opens[e].root == path), None)
        if owner is not None and shown == known + (0 if self._was_counted(owner) else 1):
            self._finish(owner, path)
            return
        fresh = next((e for e in reversed(waiting) if self.run.opens[e].root is None), None)
        if fresh is not None and fresh == self._pending[-1]:
            self._finish(fresh, path)  # a search that ended at an object already there
            return
        outer = self._pending[-1] if self._pending else -1
        self.run.opens.append(Open(path, "", path, path in self._promoted, failed=False, outer=outer))
        self._promoted.discard(path)
        self._last_done = len(self.run.opens) - 1

    def _was_counted(self, event: int) -> bool:
        """Whether another open of the same object finished inside this one (so the count already includes it)."""
        return any(o.root == self.run.opens[event].root for o in self.run.opens[event + 1 :])

    def _finish(self, event: int, path: str) -> None:
        done = self.run.opens[event]
        done.root, done.failed = path, False
        done.flags_global = done.flags_global or path in self._promoted
        self._promoted.discard(path)
        del self._pending[self._pending.index(event) :]
        self._last_done = event

    def _promote(self, path: str) -> None:
        for event in reversed(self._pending):
            if self.run.opens[event].root == path:
                self.run.opens[event].flags_global = True
                return
        if self._last_done is not None and self.run.opens[self._last_done].root == path:
            self.run.opens[self._last_done].flags_global = True
        else:
            self._promoted.add(path)

    def _scope(self, text: str) -> None:
        members = [m or self._executable for m in text.partition(": ")[2].split(" ")]
        owner = self._index.get(self._scope_of)
        if owner is None or members[0] != self._scope_of or self._starting or owner in self._scoped:
            return
        event = self.run.objects[owner].event
        if event >= 0 and self.run.opens[event].root == self._scope_of:
            # DT_SYMBOLIC puts a list of the object alone in front: the list that follows in the same block counts.
            self.run.scopes[owner] = [self._object(m) for m in members if m]

    def done(self) -> RealRun:
        return self.run


def parse_log(log: Path, executable: str) -> RealRun:
    """The run that a log (``LD_DEBUG=libs,files,versions,scopes,bindings,reloc``) tells of."""
    parser = _Parser(executable)
    with log.open(errors="surrogateescape") as lines:
        for line in lines:
            parser.line(line[line.find(":\t") + 2 :].rstrip("\n"))
    return parser.done()


def run_python(
    prefix: Path,
    statements: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> RealRun:
    """Run statements one by one in the prefix's Python, each failure caught and noted, under the loader's eyes.

    The executable is ``bin/python``. A process that dies leaves its log, and no results.
    """
    executable = str(prefix / "bin" / "python")
    with tempfile.TemporaryDirectory(prefix="oracle") as scratch:
        results = Path(scratch) / "results.json"
        environment = {
            "PATH": f"{prefix}/bin:/usr/bin:/bin",
            "HOME": scratch,
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            **(env or {}),
        }
        debug = {
            "LD_BIND_NOW": "1",
            "LD_DEBUG": "libs,files,versions,scopes,bindings,reloc",
            "LD_DEBUG_OUTPUT": f"{scratch}/ld",
        }
        command = [executable, "-X", "faulthandler", "-c", DRIVER, json.dumps(list(statements)), str(results)]
        process = subprocess.Popen(
            command,
            env={**environment, **debug},
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        run = parse_log(Path(scratch) / f"ld.{process.pid}", executable)
        run.status, run.stdout, run.stderr = (
            process.returncode,
            out.decode(errors="replace"),
            err.decode(errors="replace"),
        )
        if process.returncode < 0:
            run.signal = signal.Signals(-process.returncode).name
        if results.exists():
            run.results = json.loads(results.read_text())
        return run
