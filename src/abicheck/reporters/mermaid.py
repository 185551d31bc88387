"""The clash graph for Mermaid, which Markdown pages of many services draw."""

from __future__ import annotations

from abicheck.model import Severity
from abicheck.report import Report
from abicheck.reporters import RenderOptions
from abicheck.reporters._graph import NOTHING, graph_of, shorten

NAME = "mermaid"
SUMMARY = "clash graph for Mermaid"
SUFFIXES = (".mmd", ".mermaid")
MEDIA_TYPE = "text/vnd.mermaid"

MOST_EDGES = 240  # Mermaid draws 500 lines; each finding is two
MOST_LABEL = 60  # and reads 50 000 characters
_STYLE = {
    Severity.ERROR: "stroke:#b3261e,stroke-width:2px",
    Severity.WARNING: "stroke:#8a5a00,stroke-width:2px",
    Severity.NOTE: "stroke:#2f5f8a",
}


def render(report: Report, options: RenderOptions) -> str:
    graph = graph_of(report, options.verbosity >= 1)
    edges = graph.edges[:MOST_EDGES]
    ids: dict[tuple[str, str], str] = {}
    nodes: list[str] = []
    lines: list[str] = []
    styles: list[str] = []

    def node(side: str, name: str) -> str:
        if (side, name) not in ids:
            ids[side, name] = f"{side}{len(ids)}"
            label = f'"{_escape(shorten(name, MOST_LABEL))}"'
            nodes.append(f"  {ids[side, name]}" + (f"([{label}])" if side == "n" else f"[{label}]"))
        return ids[side, name]

    drawn: set[tuple[str, str]] = set()
    for e in edges:
        left, name, right = node("l", e.left), node("n", e.name), node("r", e.right)
        if (left, name) not in drawn:
            drawn.add((left, name))
            lines.append(f"  {left} -->|{e.severity.word}| {name}")
            styles.append(_STYLE[e.severity])
        lines.append(f"  {name} {'-->' if e.firm and e.right != NOTHING else '-.->'} {right}")
        styles.append(_STYLE[e.severity])
    out = ["flowchart LR", *nodes, *lines, *(f"  linkStyle {n} {s}" for n, s in enumerate(styles))]
    if len(graph.edges) > len(edges):
        out.append(f'  more["… {len(graph.edges) - len(edges)} more meetings are left out"]')
    if not edges:
        out.append('  none["no meetings to show"]')
    return "\n".join(out) + "\n"


def _escape(text: str) -> str:
    """Mermaid's own entities for what would end a label or be read as HTML."""
    return "".join(c if c.isalnum() or c in " ._-+/:()…" else f"#{ord(c)};" for c in text)
