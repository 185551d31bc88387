"""The two pictures of the HTML page, drawn by arithmetic. Colours come from the page's style by class name."""

from __future__ import annotations

from html import escape

from abicheck.model import Finding
from abicheck.reporters import _words as w
from abicheck.reporters._graph import NOTHING, Graph, shorten

_COLUMNS = ((10, 190), (275, 210), (560, 230))  # x and width of the boxes of each column
_WIDTH = 800
_ROW = 44
_BOX = 30
_CHAR = 7.3  # width of a character of the drawing's font, generously
_MOST_ROWS = 60


def clash_graph(graph: Graph) -> str:
    """Three columns of boxes and the lines between them; empty when there is nothing to draw. A line leads to its
    finding. More than 60 names are cut, and the drawing says so."""
    names = graph.names[:_MOST_ROWS]
    edges = [e for e in graph.edges if e.name in set(names)]
    if not edges:
        return ""
    columns = (
        [n for n in graph.lefts if any(e.left == n for e in edges)],
        list(names),
        [n for n in graph.rights if any(e.right == n for e in edges)],
    )
    rows = max(len(c) for c in columns)
    height = rows * _ROW + 40 + (20 if len(graph.names) > len(names) else 0)
    at = {(side, n): _row_y(k, len(c), rows) for side, c in enumerate(columns) for k, n in enumerate(c)}
    out = [
        f'<svg class="graph" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="graph-title">',
        '<title id="graph-title">Which wheel meets which package over which name</title>',
    ]
    for x, title in zip((10, 275, 560), ("brought by pip", "contested name", "what it meets"), strict=True):
        out.append(f'<text class="head" x="{x}" y="18">{title}</text>')
    for e in edges:
        y0, y1, y2 = at[0, e.left], at[1, e.name], at[2, e.right]
        dash = "" if e.firm and e.right != NOTHING else " dashed"
        left = _curve(_COLUMNS[0][0] + _COLUMNS[0][1], y0, _COLUMNS[1][0], y1)
        right = _curve(_COLUMNS[1][0] + _COLUMNS[1][1], y1, _COLUMNS[2][0], y2)
        title = escape(f"{e.severity.word}: {e.left} and {e.right} over {e.name}")
        out.append(f'<a href="#f{e.number}"><title>{title}</title><path class="line {e.severity.word}" d="{left}"/>')
        out.append(f'<path class="line {e.severity.word}{dash}" d="{right}"/></a>')
    for side, column in enumerate(columns):
        for name in column:
            worst = max(e.severity for e in edges if name == (e.left, e.name, e.right)[side])
            out.append(_box(side, name, at[side, name], worst.word))
    if len(graph.names) > len(names):
        out.append(f'<text class="head" x="275" y="{height - 8}">… {len(graph.names) - len(names)} more names</text>')
    return "".join([*out, "</svg>"])


def _row_y(k: int, of: int, rows: int) -> float:
    """The middle of the k-th of ``of`` boxes, spread over the height of ``rows``."""
    return 32 + (k + 0.5) * rows * _ROW / of


def _curve(x0: float, y0: float, x1: float, y1: float) -> str:
    mid = (x0 + x1) / 2
    return f"M{x0:g} {y0:g} C{mid:g} {y0:g} {mid:g} {y1:g} {x1:g} {y1:g}"


def _box(side: int, name: str, y: float, severity: str) -> str:
    x, width = _COLUMNS[side]
    label = escape(shorten(name, int((width - 16) / _CHAR)))
    kind = ("wheel", "name", "conda")[side] if name != NOTHING else "none"
    if side == 2 and name.startswith("wheel "):
        kind = "wheel"
    radius = 15 if side == 1 else 5
    return (
        f'<g class="box {kind} {severity}"><title>{escape(name)}</title>'
        f'<rect x="{x}" y="{y - _BOX / 2:g}" width="{width}" height="{_BOX}" rx="{radius}"/>'
        f'<text x="{x + width / 2:g}" y="{y + 4.5:g}" text-anchor="middle">{label}</text></g>'
    )


_LANE = 168
_STEP = 46


def timeline(f: Finding) -> str:
    """Two lanes of loads from top to bottom, an order in which the finding happens and one in which it does not; the
    first of each. Empty when the order does not matter."""
    if f.orders is None or not (f.orders.fails or f.orders.works):
        return ""
    bad, good = w.order_words(f)
    lanes = [("fails", bad, f.orders.fails[0])] if f.orders.fails else []
    lanes += [("works", good, f.orders.works[0])] if f.orders.works else []
    steps = max(len(order) for _, _, order in lanes) + 2
    width, height = _LANE * len(lanes) + 8 * (len(lanes) + 1), steps * _STEP + 10
    spoken = "; ".join(f"{word}: {', then '.join(w.clean(s) for s in order)}" for _, word, order in lanes)
    out = [
        f'<svg class="timeline" viewBox="0 0 {width} {height}" style="max-width:{width * 1.25:g}px" role="img">',
        f"<title>{escape(spoken)}</title>",
    ]
    for n, (kind, word, order) in enumerate(lanes):
        x = 8 + n * (_LANE + 8)
        labels = ["python starts", *order]
        bottom = (len(labels)) * _STEP + 20
        out.append(f'<path class="time {kind}" d="M{x + _LANE / 2:g} 20 V{bottom}"/>')
        for k, label in enumerate(labels):
            last = kind == "fails" and k == len(labels) - 1
            out.append(_step(x, 6 + k * _STEP, w.clean(label), "bad" if last else "start" if k == 0 else "load"))
        verdict = f"✓ {word}" if kind == "works" else f"✗ {word} here"
        out.append(_step(x, 6 + len(labels) * _STEP, verdict, kind))
    return "".join([*out, "</svg>"])


def _step(x: float, y: float, label: str, kind: str) -> str:
    text = escape(shorten(label, int((_LANE - 12) / _CHAR)))
    return (
        f'<g class="step {kind}"><title>{escape(label)}</title>'
        f'<rect x="{x}" y="{y}" width="{_LANE}" height="28" rx="5"/>'
        f'<text x="{x + _LANE / 2:g}" y="{y + 18.5:g}" text-anchor="middle">{text}</text></g>'
    )
