"""The clash graph for Graphviz."""

from __future__ import annotations

from abicheck.model import Severity
from abicheck.report import Report
from abicheck.reporters import RenderOptions
from abicheck.reporters._graph import NOTHING, graph_of

NAME = "dot"
SUMMARY = "clash graph for Graphviz"
SUFFIXES = (".dot", ".gv")
MEDIA_TYPE = "text/vnd.graphviz"

_COLOR = {Severity.ERROR: "#b3261e", Severity.WARNING: "#8a5a00", Severity.NOTE: "#2f5f8a"}


def render(report: Report, options: RenderOptions) -> str:
    graph = graph_of(report, options.verbosity >= 1)
    lines = ["digraph abicheck {", "  rankdir=LR;", "  node [shape=box, fontname=Helvetica];"]
    for side, names, shape in (("l", graph.lefts, "box"), ("n", graph.names, "ellipse"), ("r", graph.rights, "box")):
        lines += [f"  {_quote(f'{side}:{name}')} [label={_quote(name)}, shape={shape}];" for name in names]
    drawn: set[tuple[str, str]] = set()
    for e in graph.edges:
        style = f"color={_quote(_COLOR[e.severity])}"
        first = (f"l:{e.left}", f"n:{e.name}")
        if first not in drawn:
            drawn.add(first)
            lines.append(f"  {_quote(first[0])} -> {_quote(first[1])} [{style}, label={_quote(e.severity.word)}];")
        dashed = "" if e.firm and e.right != NOTHING else ", style=dashed"
        lines.append(f"  {_quote(f'n:{e.name}')} -> {_quote(f'r:{e.right}')} [{style}{dashed}];")
    return "\n".join([*lines, "}"]) + "\n"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
