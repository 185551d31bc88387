"""One page to send to somebody: verdict, who meets whom, and for each finding the files, the search, the orders and the
command. One file that asks nothing of any network, with light and dark colours, for phone, desktop and paper.

The page carries the JSON document, so it can be read back. Its script only copies commands; without it everything can
still be read and selected. All text is escaped by Jinja2: file names come from wheels nobody has vetted.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from importlib import resources
from typing import Any

from abicheck.model import Finding
from abicheck.report import Judged, Report
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w
from abicheck.reporters._graph import graph_of
from abicheck.reporters._svg import clash_graph, timeline

NAME = "html"
SUMMARY = "one page, for sharing"
SUFFIXES = (".html", ".htm")
MEDIA_TYPE = "text/html"

Json = dict[str, Any]
_SPAN = re.compile(r"`([^`'\n]+)`")
_DEPENDS = {
    "import-order": "depends on the import order",
    "environment": "depends on environment variables",
    "host": "depends on the machine it runs on",
    "python-code": "depends on which code runs",
}


def render(report: Report, options: RenderOptions) -> str:
    style, script = _asset("report.css"), _asset("report.js")
    groups = w.grouped(report)
    graph = graph_of(report)
    page: str = _template().render(
        report=report,
        verdict=w.verdict_sentence(report),
        tone={"pass": "ok", "fail": "error", "incomplete": "warning", "error": "error"}[report.verdict],
        target=report.target,
        date=options.date,
        counts=w.counts(report),
        inputs_phrase=w.inputs_phrase(report),
        host=w.host_phrase(report),
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        matrix=_matrix(report),
        graph=graph,
        graph_svg=clash_graph(graph),
        groups=[(w.sides(p.wheel, p.conda_package), [_card(j, options) for j in js]) for p, js in groups],
        hidden=[_row(j) for j in report.findings if not j.shown],
        suppressed=[(_row_of(s.rule.id, s.rule.name, s.finding), s.by) for s in report.suppressed],
        document=_embedded(report),
    )
    return page if not options.ascii else page.encode("ascii", "xmlcharrefreplace").decode("ascii")


@functools.cache
def _template() -> Any:
    import jinja2

    source = jinja2.PackageLoader("abicheck.reporters", "_templates")
    env = jinja2.Environment(loader=source, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    env.filters |= {"clean": w.clean, "ticks": _ticks}
    return env.get_template("report.html.j2")


def _ticks(text: str) -> Any:
    """Escaped text whose `spans in backticks` are code. A loader's own quotes, `so', stay what they are."""
    from markupsafe import Markup, escape

    parts = _SPAN.split(text)
    pieces = (Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))
    return Markup("").join(pieces)


@functools.cache
def _asset(name: str) -> str:
    return (resources.files("abicheck.reporters") / "_templates" / name).read_text(encoding="utf-8")


def _embedded(report: Report) -> str:
    """The document as it may stand in a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(report.to_dict(), ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _matrix(report: Report) -> Json:
    """Wheels as columns, packages as rows; a cell holds the worst severity and the numbers of shown findings."""
    groups = w.grouped(report)
    wheels = list(dict.fromkeys(w.project(p.wheel) or "the environment" for p, _ in groups))
    packages = list(dict.fromkeys(w.package(p.conda_package) or "alone" for p, _ in groups))
    cells: dict[tuple[str, str], Json] = {}
    for pair, judged in groups:
        key = (w.package(pair.conda_package) or "alone", w.project(pair.wheel) or "the environment")
        worst = max(j.finding.severity for j in judged)
        cells[key] = {"worst": worst.word, "numbers": [j.number for j in judged]}
    return {"wheels": wheels, "rows": [(p, [cells.get((p, name)) for name in wheels]) for p in packages]}


def _card(j: Judged, options: RenderOptions) -> Json:
    f = j.finding
    lines, _ = w.evidence(f, None)
    files = [e for e in lines if e.path]
    return {
        "number": j.number,
        "id": j.rule.id,
        "name": j.rule.name,
        "summary": j.rule.summary,
        "severity": f.severity.word,
        "confidence": f.confidence.word,
        "fails": j.fails,
        "depends": [_DEPENDS[d] for d in sorted(f.depends_on)],
        "what": w.sentence(f.what),
        "assumption": w.sentence(f.assumption) if w.tells_assumption(f) else "",
        "remark": w.clean(j.remark),
        "sides": [_side(f, "subject"), _side(f, "object")] if f.subject or f.object else [],
        "rules": sorted({fact.loader_rule for fact in f.why if fact.loader_rule}),
        "files": [(e.path, e.text) for e in files],
        "prose": [w.sentence(e.text) for e in lines if not e.path],
        "searches": [
            [(w.clean(a.path), w.clean(a.outcome), a.outcome == "found") for a in fact.attempts]
            for fact in f.why
            if fact.attempts
        ],
        "orders": w.order_phrases(f),
        "timeline": timeline(f),
        "remedies": w.remedy_lines(f.remedies, options.target_flag),
    }


def _side(f: Finding, which: str) -> Json:
    """One of the two boxes: the file and who brings it; ``path`` empty when there is no such file."""
    ref = f.subject if which == "subject" else f.object
    if ref is None:
        return {"path": "", "owner": "nothing there", "kind": "none"}
    kind = {"wheel": "wheel", "conda": "conda", "pip": "pip"}.get(ref.origin.kind, "host")
    return {"path": w.path_of(ref), "owner": w.clean(ref.origin.label), "kind": kind}


def _row(j: Judged) -> tuple[str, str, str, str, str]:
    return (
        *_row_of(j.rule.id, j.rule.name, j.finding),
        "in the baseline" if j.baseline == "unchanged" else "below the bar",
    )


def _row_of(rule: str, name: str, f: Finding) -> tuple[str, str, str, str]:
    return (f"{rule} {name}", f.severity.word, w.sides(f.wheel, f.conda_package), w.sentence(f.what))
