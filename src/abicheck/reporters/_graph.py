"""Who clashes with whom over which name: wheels on the left, contested names in the middle, packages on the right."""

from __future__ import annotations

from dataclasses import dataclass

from abicheck.model import Finding, Severity
from abicheck.report import Report
from abicheck.reporters import _words as w

NOTHING = "on its own"


@dataclass(frozen=True, slots=True)
class Edge:
    """A line of the picture. ``firm`` False: no file of that side takes part (the loader would not get there).
    ``number`` is the finding it stands for, the gravest when several share the line."""

    left: str
    name: str
    right: str
    severity: Severity
    firm: bool
    number: int


@dataclass(frozen=True, slots=True)
class Graph:
    lefts: tuple[str, ...]
    names: tuple[str, ...]
    rights: tuple[str, ...]
    edges: tuple[Edge, ...]


def graph_of(report: Report, everything: bool = False) -> Graph:
    """The graph of what is shown. Columns are ordered by the first edge that needs them, gravest first."""
    edges: dict[tuple[str, str, str], Edge] = {}
    for j in report.findings:
        if not (j.shown or everything):
            continue
        f = j.finding
        key = (w.project(f.wheel) or "the environment", w.clean(f.key), _right(f))
        if key not in edges:
            edges[key] = Edge(*key, f.severity, f.object is not None, j.number)
    ordered = tuple(edges.values())
    return Graph(
        tuple(dict.fromkeys(e.left for e in ordered)),
        tuple(dict.fromkeys(e.name for e in ordered)),
        tuple(dict.fromkeys(e.right for e in ordered)),
        ordered,
    )


def _right(f: Finding) -> str:
    if f.conda_package:
        return w.package(f.conda_package)
    if f.object and f.object.origin != f.wheel:
        return w.clean(f.object.origin.label)
    return NOTHING


def shorten(text: str, most: int) -> str:
    """Text of at most ``most`` characters, its middle left out: both ends of a file name carry meaning."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return text[:head] + "…" + text[len(text) - (most - 1 - head) :]
