"""Markdown for a pull request or a job summary: a table of what and what to do, the evidence folded below.

Begins with a comment that names the target, by which a bot finds its own comment again. Stays within the service's
limit (``RenderOptions.limit``): the table first, then as much evidence as fits, and a line that counts the rest.
"""

from __future__ import annotations

import re

from abicheck.report import Judged, Report
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w
from abicheck.reporters._lines import finding_lines, paint

NAME = "markdown"
SUMMARY = "for pull requests and job summaries"
SUFFIXES = (".md", ".markdown")
MEDIA_TYPE = "text/markdown"

_RESERVE = 2_000  # heading, footer and the lines that count what is left out


def render(report: Report, options: RenderOptions) -> str:
    import jinja2

    source = jinja2.PackageLoader("abicheck.reporters", "_templates")
    env = jinja2.Environment(loader=source, autoescape=False, trim_blocks=True, lstrip_blocks=True)
    env.filters |= {"cell": cell, "code": code}
    shown = [j for j in report.findings if j.shown or options.verbosity >= 1]
    room = max(options.limit - _RESERVE, 0)
    rows, room = _fitting([_row(j, options) for j in shown], room)
    blocks, _ = _fitting([block(j, options) for j in shown[: len(rows)]], room)
    target = report.target
    page = env.get_template("report.md.j2").render(
        marker=f"{target.name}-{target.platform}".replace("--", "-").replace(">", "") if target else "error",
        report=report,
        verdict=w.verdict_sentence(report),
        rows=rows,
        rows_left=len(shown) - len(rows),
        blocks=blocks,
        blocks_left=len(shown) - len(blocks),
        skipped=[(f"{s.container}!{s.path}" if s.container else s.path, s.reason) for s in report.skipped if s.matters],
        until=sorted(s.by.until for s in report.suppressed if s.by.until)[:1],
        hidden=w.hidden_phrase(report),
        wheels=w.wheels_phrase(report.inputs),
        libraries=w.plural(report.libraries, "library", "libraries"),
    )
    return w.to_ascii(page) if options.ascii else page


def _fitting(pieces: list[str], room: int) -> tuple[list[str], int]:
    """As many pieces as fit into so many characters, and the room that is left."""
    kept = []
    for piece in pieces:
        if len(piece) + 1 > room:
            break
        kept.append(piece)
        room -= len(piece) + 1
    return kept, room


def _row(j: Judged, options: RenderOptions) -> str:
    f = j.finding
    todo = next((code(command) for command, _ in w.remedy_lines(f.remedies, options.target_flag) if command), "")
    if not todo and f.remedies:
        todo = cell(f.remedies[0].text)
    return f"| {f.severity.word} | {cell(w.sides(f.wheel, f.conda_package))} | {cell(f.what)} | {todo} |"


def block(j: Judged, options: RenderOptions) -> str:
    """One finding as on a terminal, in a fence that nothing in it can close."""
    plain = RenderOptions(verbosity=options.verbosity, target_flag=options.target_flag)
    who = w.sides(j.finding.wheel, j.finding.conda_package)
    body = paint(finding_lines(j, plain, who), plain).rstrip()
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{body}\n{fence}"


def cell(value: str) -> str:
    """Text for a table cell: no HTML, no cell border, no link or picture made of a file name."""
    out = w.clean(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return out.replace("|", "\\|").replace("](", "]\\(").replace("![", "!\\[")


def code(value: str) -> str:
    """A code span that its content cannot close."""
    value = w.clean(value).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", value)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{ticks}{pad}{value}{pad}{ticks}"
