"""The simulation beside Wine, request by request: what was mapped, in which order, who served whom, what is missing."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.oracle.wine import Observed, in_windows

from abicheck.host import Host
from abicheck.loader.process import Event
from abicheck.loader.windows import WindowsProcess, start
from abicheck.loader.windows_binding import BindingMemory
from abicheck.loader.windows_modules import PROGRAM, Module
from abicheck.overlay import View
from abicheck.trees import DiskTree, SplitTree

SYSTEM, NOT_ASKED = "(Windows)", "not asked"
DOCUMENTED = Path(__file__).with_name("wine_differences.toml")


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """``kind``: mapped, order, served, missing, forward. Paths are relative to the prefix; ``name`` is a DLL name."""

    kind: str
    by: str
    name: str
    wine: str
    ours: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.by} wants {self.name}: Wine {self.wine}, abicheck {self.ours}"


@dataclass(frozen=True, slots=True)
class Documented:
    """A difference between Wine and Windows that is known: a pattern for each field, and why Windows is as we say."""

    kind: str
    by: str
    name: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        pairs = ((difference.kind, self.kind), (difference.by, self.by), (difference.name, self.name))
        return all(fnmatch.fnmatchcase(value.lower(), pattern.lower()) for value, pattern in pairs)


def documented() -> list[Documented]:
    return [Documented(**row) for row in tomllib.loads(DOCUMENTED.read_text("utf-8"))["difference"]]


def nobody(path: str) -> None:
    """The owner of every file: it does not matter here."""


def view_of(prefix: Path) -> View:
    root = str(prefix.resolve())
    return View(root, SplitTree(root, DiskTree(), None), nobody, fold_case=True)


def simulate(
    view: View, events: Iterable[tuple[str, str] | Event], memory: BindingMemory | None = None
) -> WindowsProcess:
    """The process that goes through the events Python reported (or written as :class:`Event`)."""
    process = start(view, Host(), executable=f"{view.root}/python.exe", subdir="win-64", memory=memory)
    for event in events:
        process.load(event if isinstance(event, Event) else Event(event[1], kind=event[0]))  # type: ignore[arg-type]
    return process


def compare(view: View, observed: Observed, process: WindowsProcess) -> list[Difference]:
    """Everything in which the two disagree."""
    return sorted({*_mapped(view, observed, process), *_requests(view, observed, process)})


def _place(view: View, path: str | None) -> str:
    if path is None:
        return "nothing"
    return SYSTEM if in_windows(path) else view.relative(path).lower()


def _mapped(view: View, observed: Observed, process: WindowsProcess) -> list[Difference]:
    wine = [_place(view, p) for p in observed.mapped]
    ours = [_place(view, m.path) for m in process.record.objects if not m.system]
    extra = [Difference("mapped", "", n, "maps it", "does not") for n in sorted(set(wine) - set(ours))]
    extra += [Difference("mapped", "", n, "does not", "maps it") for n in sorted(set(ours) - set(wine))]
    if not extra and wine != ours:
        at = next(i for i, (a, b) in enumerate(zip(wine, ours, strict=False)) if a != b)
        extra.append(Difference("order", "", f"#{at}", wine[at], ours[at]))
    return extra


def _requests(view: View, observed: Observed, process: WindowsProcess) -> list[Difference]:
    """Each import of each module that is not Wine's own: who served it. Both sides may ask the same twice.

    What Wine's own modules ask for is its own affair, and so is what they forward to: of the requests that only Wine
    makes, those that lead outside Windows count. An API set stands in the log under the name of the module behind it.
    """
    wine = {
        (_place(view, by), name.lower()): _place(view, got)
        for by, name, got in _asked(view, observed)
        if not in_windows(by)
    }
    ours: dict[tuple[str, str], str] = {}
    forwarded: dict[tuple[str, str], str] = {}
    for requester, name, got in _edges(process):
        into = ours if any(e.dll == name for e in requester.imports()) else forwarded
        into[_place(view, requester.path), name.lower()] = _place(view, got)
    out = []
    # Wine books the target of a forwarder on the importing module, not on the DLL that forwards.
    served = {(name, got) for (_, name), got in wine.items()}
    out += [
        Difference("forward", by, n, NOT_ASKED, got) for (by, n), got in forwarded.items() if (n, got) not in served
    ]
    targets = {(name, got) for (_, name), got in forwarded.items()}
    wine = {key: got for key, got in wine.items() if key in ours or (key[1], got) not in targets}
    for by, name in sorted(wine.keys() | ours.keys()):
        theirs, mine = wine.get((by, name), NOT_ASKED), ours.get((by, name), NOT_ASKED)
        if theirs != mine and (theirs, mine) != (SYSTEM, NOT_ASKED):
            kind = "missing" if "nothing" in (theirs, mine) else "served"
            out.append(Difference(kind, by, name, theirs, mine))
    return out


def _edges(process: WindowsProcess) -> Iterator[tuple[Module, str, str | None]]:
    objects = process.record.objects
    for edge in process.record.edges:
        of_python = edge.requester == PROGRAM and edge.event > 0  # a ctypes load, which is no import of python.exe
        if edge.kind == "required" and not of_python and edge.how != "api-set":
            yield objects[edge.requester], edge.name, objects[edge.provider].path if edge.provider is not None else None


def _asked(view: View, observed: Observed) -> list[tuple[str, str, str | None]]:
    """(by, name, got) of each import. The program's own stand first in the log, without a requester."""
    out = []
    starting = True
    for request in observed.requests:
        if request.by is not None:
            out.append((request.by, request.name, request.got))
        elif starting and "/" not in request.name:
            out.append((f"{view.root}/python.exe", request.name, request.got))
        elif not in_windows(request.name):
            starting = False
    return out
