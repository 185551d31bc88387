"""Puts what abicheck simulates beside what the real loader did: every object, every resolution, every binding.

The real run's opens are the events; nothing else of the real run reaches the simulation.
"""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fixtures.conda_package import native_subdir
from fixtures.elf import read_dynamic
from tests.oracle.real_loader import Open, RealObject, RealRun

from abicheck.host import this_machine
from abicheck.loader import glibc
from abicheck.loader.process import Event, Trace
from abicheck.overlay import View
from abicheck.trees import DiskTree, SplitTree

ARTEFACTS = tomllib.loads((Path(__file__).parent / "artefacts.toml").read_text())


def is_artefact(kind: str, **what: str | None) -> bool:
    """Whether a difference is a proven artefact of the loader's log (artefacts.toml gives each with its proof)."""
    return any(all(what.get(k) == v for k, v in row["match"].items()) for row in ARTEFACTS.get(kind, ()))


def events_of(run: RealRun) -> list[tuple[int, Event]]:
    """The events to put to a simulation, each with the index of the real open it stands for.

    An open with RTLD_GLOBAL whose constructors open more joins the global scope only after them: two events.
    """
    out: list[tuple[int, Event]] = []
    late: list[tuple[int, int, Event]] = []  # (open, last open inside it, event)
    program = run.objects[0].path
    inside = [_last_inside(run, i) for i in range(len(run.opens))]
    for i, real in enumerate(run.opens):
        while late and late[-1][1] < i:
            _, _, event = late.pop()
            out.append((late_index(event, run), event))
        if real.is_probe or real.request in ("", program):
            continue
        nested = inside[i] > i
        out.append((i, _event(real, flags_global=real.flags_global and not nested)))
        if nested and real.flags_global and real.root:
            late.append((i, inside[i], Event(open=real.root, flags_global=True, label=f"{i}")))
    out += [(late_index(event, run), event) for _, _, event in reversed(late)]
    return out


def late_index(event: Event, run: RealRun) -> int:
    return int(event.label)


def _last_inside(run: RealRun, at: int) -> int:
    """The last open that began inside the constructors of open ``at``, else ``at`` itself."""
    inner = [i for i in range(at + 1, len(run.opens)) if run.opens[i].outer == at]
    return max((_last_inside(run, i) for i in inner), default=at)


def _event(real: Open, *, flags_global: bool) -> Event:
    kind = "dlopen" if "/" not in real.request else "import"
    return Event(open=real.request, kind=kind, flags_global=flags_global, caller=real.caller or None)


def simulate(prefix: Path, run: RealRun, env: Mapping[str, str] | None = None) -> Trace:
    """abicheck's loader, given the same prefix, the same machine and the same opens."""
    root, disk, subdir = str(prefix), DiskTree(), native_subdir()
    view = View(root, SplitTree(root, disk, disk), lambda _: None)
    loader_env = {k: v for k, v in (env or {}).items() if k.startswith("LD_")}
    process = glibc.start(view, this_machine(subdir), executable=f"{root}/bin/python", subdir=subdir, env=loader_env)
    for _, event in events_of(run):
        process.load(event)
    return process.trace()


@dataclass
class Comparison:
    """Counts of what was compared, and every difference as one line."""

    opens: int = 0
    objects: int = 0
    resolutions: int = 0
    scopes: int = 0
    bindings: int = 0
    artefacts: int = 0
    differences: list[str] = field(default_factory=list)

    def __iadd__(self, other: Comparison) -> Comparison:
        for name in ("opens", "objects", "resolutions", "scopes", "bindings", "artefacts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.differences += other.differences
        return self

    @property
    def counts(self) -> str:
        return (
            f"{self.opens} opens, {self.objects} objects, {self.resolutions} resolutions, {self.scopes} scopes, "
            f"{self.bindings} bindings compared; {self.artefacts} log artefacts; {len(self.differences)} differences"
        )


def compare(run: RealRun, trace: Trace, prefix: Path) -> Comparison:
    """Everything the log says against everything the simulation says."""
    out = Comparison()
    pairs = _pair_objects(run, trace, prefix, out)
    _compare_opens(run, trace, out, prefix)
    _compare_scopes(run, trace, pairs, out, prefix)
    _compare_bindings(run, trace, pairs, out, prefix)
    return out


def _short(path: str, prefix: Path) -> str:
    return path.replace(f"{prefix}/", "")


def _pair_objects(run: RealRun, trace: Trace, prefix: Path, out: Comparison) -> dict[int, int]:
    """Real object index -> simulated one: the n-th mapping of a path is the n-th mapping of it. Compares each pair."""
    simulated: dict[str, list[int]] = {}
    for mapped in trace.objects:
        simulated.setdefault(mapped.path, []).append(mapped.index)
    pairs: dict[int, int] = {0: 0}  # the program: the log calls it by argv[0], the simulation by its real path
    order: list[tuple[int, int]] = []
    for i, real in enumerate(run.objects[1:], 1):
        mine = simulated.get(real.path, [])
        if not mine:
            if real.how != "unlogged" or not is_artefact("objects", path=real.path):
                out.differences.append(
                    f"not predicted: {_short(real.path, prefix)} ({real.how}, by {_short(real.by, prefix)})"
                )
            else:
                out.artefacts += 1
            continue
        pairs[i] = mine.pop(0)
        if real.how == "unlogged":
            continue
        out.objects += 1
        order.append((i, pairs[i]))
        _compare_object(real, run.objects[0].path, trace, pairs[i], prefix, out)
    if sorted(order) != sorted(order, key=lambda p: p[1]):
        out.differences.append("the objects are mapped in another order")
    for path, rest in simulated.items():
        for index in rest:
            if trace.objects[index].how != "program" and not is_artefact("objects", path=path):
                out.differences.append(f"only predicted: {_short(path, prefix)} ({trace.objects[index].how})")
    return pairs


def _compare_object(real: RealObject, program: str, trace: Trace, index: int, prefix: Path, out: Comparison) -> None:
    mapped = trace.objects[index]
    out.resolutions += 1
    requester = program if mapped.requested_by == trace.objects[0].path else mapped.requested_by
    how = real.how
    if how in ("rpath", "runpath"):
        # The log's word is that of whoever had the folder first; only an owner of DT_RUNPATH is served by RUNPATH.
        dynamic = read_dynamic(Path(os.path.realpath(real.by)))
        how = "runpath" if dynamic is not None and dynamic.runpath is not None else "rpath"
        out.artefacts += how != real.how
    said = {
        "real path": (real.real, mapped.real),
        "request": (real.request, mapped.requested_as),
        "kept": (real.kept, mapped.kept),
        "how": ({"path": "opened"}.get(how, how), {"path": "opened"}.get(mapped.how, mapped.how)),
    }
    if "/" not in real.request:
        said["requester"] = (real.by, requester)
    for what, (theirs, ours) in said.items():
        if theirs != ours:
            name = _short(real.path, prefix)
            out.differences.append(f"{name}: {what}: real {theirs!r}, predicted {ours!r}")


def _compare_opens(run: RealRun, trace: Trace, out: Comparison, prefix: Path) -> None:
    wanted, results = events_of(run), trace.events[1:]  # event 0 is the start
    if len(wanted) != len(results):
        out.differences.append(f"{len(wanted)} opens were real, {len(results)} simulated")
    for (i, event), result in zip(wanted, results, strict=False):
        out.opens += 1
        real = run.opens[i]
        if real.failed != (result.outcome != "loaded"):
            theirs = "failed" if real.failed else "loaded"
            message = result.failure.message if result.failure else ""
            out.differences.append(
                f"open {_short(event.open, prefix)}: real {theirs}, predicted {result.outcome} {message}"
            )


def _compare_scopes(run: RealRun, trace: Trace, pairs: dict[int, int], out: Comparison, prefix: Path) -> None:
    """The local scope the log lists for an opened object is the breadth-first closure of the predicted edges."""
    needs: dict[int, list[int]] = {}
    for edge in trace.edges:
        # DT_NEEDED is met in the event that maps its owner; later edges of it are its own dlopen calls.
        if edge.provider is not None and edge.event == trace.objects[edge.requester].event:
            needs.setdefault(edge.requester, []).append(edge.provider)
    for root, members in run.scopes.items():
        if root not in pairs or not trace.objects[pairs[root]].kept:
            continue
        out.scopes += 1
        closure = [pairs[root]]
        for at in closure:
            closure += [p for p in dict.fromkeys(needs.get(at, ())) if p not in closure]
        theirs = [pairs.get(m, -1) for m in members]
        if closure != theirs:
            real_names = [_short(run.objects[m].path, prefix) for m in members]
            ours = [_short(trace.objects[c].path, prefix) for c in closure]
            out.differences.append(
                f"scope of {_short(run.objects[root].path, prefix)}: real {real_names}, predicted {ours}"
            )


def _compare_bindings(run: RealRun, trace: Trace, pairs: dict[int, int], out: Comparison, prefix: Path) -> None:
    predicted: dict[tuple[int, str, str | None], set[int | None]] = {}
    for index, bound in trace.bindings.items():
        for b in bound:
            predicted.setdefault((index, b.symbol, b.version), set()).add(b.provider)
    name = lambda i: _short(trace.objects[i].path, prefix) if i is not None else None  # noqa: E731
    seen = set()
    for (owner, symbol, version), providers in run.bindings.items():
        real_owner = run.objects[owner].path
        key = (pairs.get(owner, -1), symbol, version)
        seen.add(key)
        theirs = {pairs.get(p) for p in providers}
        ours = predicted.get(key)
        if ours == theirs:
            out.bindings += 1
        elif ours is None and not run.objects[owner].kept and owner in pairs and pairs[owner] not in trace.bindings:
            out.artefacts += 1  # refused for its TLS in the middle of its relocation: what it had bound is undone
        elif is_artefact("bindings", object=os.path.basename(real_owner), symbol=symbol):
            out.artefacts += 1
        else:
            real_names = sorted(_short(run.objects[p].path, prefix) for p in providers)
            mine = sorted(str(name(p)) for p in ours) if ours is not None else "nothing"
            out.differences.append(
                f"{_short(real_owner, prefix)}: {symbol} {version}: real {real_names}, predicted {mine}"
            )
    for key in predicted.keys() - seen:
        index, symbol, version = key
        if predicted[key] <= {None} or is_artefact(
            "bindings", object=os.path.basename(trace.objects[index].path), symbol=symbol
        ):
            continue  # an unresolved weak reference leaves no line in the log
        mine = sorted(str(name(p)) for p in predicted[key])
        out.differences.append(f"{name(index)}: {symbol} {version}: real nothing, predicted {mine}")


def summary_of(differences: Sequence[str], limit: int = 60) -> str:
    """The differences, and how many more there are."""
    more = len(differences) - limit
    return "\n".join([*differences[:limit], *([f"... and {more} more"] if more > 0 else [])])


def duplicates(run: RealRun) -> Counter[str]:
    """How often each library name is mapped: what makes a process interesting."""
    return Counter(os.path.basename(o.path).partition("-")[0].partition(".so")[0] for o in run.objects)
