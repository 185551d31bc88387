"""Lines of spans: how a finding looks to a person, shared by the formats that speak to people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from abicheck.model import Finding, Severity
from abicheck.report import Judged
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w

Span = tuple[str, str]  # text, style of rich
Line = list[Span]
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_LABEL = 5  # width of "why", "do" and the gap after them
_PATHS = 50  # a path column wider than this leaves no room for what is said of the file


def paint(lines: Iterable[Line], options: RenderOptions) -> str:
    """Lines of spans as text, coloured when the options say so."""
    if not options.color:
        text = "".join("".join(t for t, _ in line).rstrip() + "\n" for line in lines)
        return w.to_ascii(text) if options.ascii else text
    from rich.console import Console
    from rich.text import Text

    console = Console(color_system="standard", force_terminal=True, no_color=False, width=100_000, highlight=False)
    with console.capture() as capture:
        for line in lines:
            spans = [(w.to_ascii(t) if options.ascii else t, style) for t, style in line]
            console.print(Text.assemble(*spans), soft_wrap=True)
    return capture.get()


def finding_lines(j: Judged, options: RenderOptions, who: str) -> list[Line]:
    """One finding. ``who`` is told beside the rule unless empty (a heading above has told it)."""
    f = j.finding
    word = f.severity.word
    rest = (f" · {who}" if who else "") + f" · confidence {f.confidence.word}"
    if not j.shown:
        rest += " · in the baseline" if j.baseline == "unchanged" else " · hidden"
    out: list[Line] = [[(word, _STYLES[f.severity]), (f" {j.rule.id} {j.rule.name}", "bold"), (rest, "dim")]]
    out += [[("  " + line, "")] for line in _wrap(w.sentence(f.what), options, 2)]
    if w.tells_assumption(f):
        out += [[("  " + line, "dim")] for line in _wrap(f"assumed: {w.sentence(f.assumption)}", options, 2)]
    if j.remark:
        out.append([("  " + w.clean(j.remark), "yellow")])
    out += [[], *_why(f, options), *_orders(f, options)]
    if f.remedies:
        out += [[], *_do(f, options)]
    return out


def _why(f: Finding, options: RenderOptions) -> list[Line]:
    lines, left = w.evidence(f, None if options.verbosity >= 1 else w.CAP)
    paths = [len(e.path) for e in lines if e.path]
    column = min(max(paths, default=0), _PATHS)
    body: list[Line] = []
    for e in lines:
        if e.path:
            body += _file_line(e.path, e.text, column, options)
        else:
            body += [[(line, "")] for line in _wrap(w.sentence(e.text), options, 2 + _LABEL)]
        if options.verbosity >= 1:
            body += [[(f"  {w.clean(a.path)}  ", "dim"), (w.clean(a.outcome), "dim")] for a in e.fact.attempts]
    if left:
        body.append([(f"… {left} more (-v)", "dim")])
    return _labelled("why", body)


def _file_line(path: str, text: str, column: int, options: RenderOptions) -> list[Line]:
    """A path and what is said of it: side by side when the path is short, below each other when it is not."""
    indent = 2 + _LABEL
    side_by_side = len(path) <= column and (options.width is None or options.width - indent - column >= 30)
    if not side_by_side:
        below = _wrap(text, options, indent + 4)
        return [[(path, "bold")], *([("    " + line, "")] for line in below)]
    wrapped = _wrap(text, options, indent + column + 3)
    first: Line = [(path.ljust(column) + "   ", "bold"), (wrapped[0], "")]
    return [first, *([(" " * (column + 3) + line, "")] for line in wrapped[1:])]


def _orders(f: Finding, options: RenderOptions) -> list[Line]:
    rows = w.order_phrases(f)
    if not rows:
        return []
    column = max(len(word) for word, _, _ in rows) + 2
    body: list[Line] = []
    for word, phrase, happens in rows:
        wrapped = _wrap(phrase, options, 2 + _LABEL + column)
        body.append([(word.ljust(column), _STYLES[f.severity] if happens else "green"), (wrapped[0], "")])
        body += [[(" " * column + line, "")] for line in wrapped[1:]]
    return [[], *_labelled("if", body)]


def _do(f: Finding, options: RenderOptions) -> list[Line]:
    body: list[Line] = []
    rows = w.remedy_lines(f.remedies, options.target_flag)
    for n, (command, text) in enumerate(rows):
        lead = "" if n == 0 else "or  "
        if not command:
            body += [[(line, "")] for line in _wrap(lead + text, options, 2 + _LABEL)]
            continue
        room = options.width is None or len(lead + command) + len(text) + 5 + 2 + _LABEL <= options.width
        body.append([(lead, "dim"), (command, "bold green"), (f"   ({text})" if room else "", "dim")])
        if not room:
            body += [[("    " + line, "dim")] for line in _wrap(f"({text})", options, 2 + _LABEL + 4)]
    return _labelled("do", body)


def _labelled(label: str, body: list[Line]) -> list[Line]:
    """Lines indented under a label that stands before the first."""
    first = [(f"  {label.ljust(_LABEL)}", "bold")]
    return [(first if n == 0 else [(" " * (2 + _LABEL), "")]) + line for n, line in enumerate(body)]


def _wrap(text: str, options: RenderOptions, indent: int) -> list[str]:
    if options.width is None:
        return [text]
    width = max(options.width - indent, 20)
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
