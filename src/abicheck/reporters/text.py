"""For people at a terminal: what will happen, why, what to type; grouped by the two sides that meet."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from abicheck.model import Finding, Severity
from abicheck.report import Judged, Report
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w

NAME = "text"
SUMMARY = "for people"
SUFFIXES = (".txt",)
MEDIA_TYPE = "text/plain"

Span = tuple[str, str]  # text, style of rich
Line = list[Span]
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_LABEL = 5  # width of "why", "do" and the gap after them
_PATHS = 50  # a path column wider than this leaves no room for what is said of the file


def render(report: Report, options: RenderOptions) -> str:
    lines: list[Line] = []
    if options.verbosity > -2:
        if options.header and report.target:
            lines += [[(w.target_line(report), "")], []]
        lines += _findings(report, options)
        if options.verbosity >= 0 or report.skipped:
            lines += _footer(report, options)
    return paint(lines, options)


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


def _findings(report: Report, options: RenderOptions) -> list[Line]:
    everything = options.verbosity >= 1
    groups = w.grouped(report, everything)
    out: list[Line] = []
    for pair, judged in groups:
        if len(groups) > 1:
            out += [[(f"── {w.sides(pair.wheel, pair.conda_package)} ──", "bold")], []]
        for j in judged:
            out += finding_lines(
                j, options, "" if len(groups) > 1 else w.sides(j.finding.wheel, j.finding.conda_package)
            )
            out.append([])
    return out


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
    if f.orders is None:
        return []
    body: list[Line] = []
    for word, phrase in w.order_phrases(f.orders):
        style = "red" if word == "fails" else "green"
        wrapped = _wrap(phrase, options, 2 + _LABEL + 7)
        body.append([(f"{word}  ", style), (wrapped[0], "")])
        body += [[(" " * 7 + line, "")] for line in wrapped[1:]]
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


def _footer(report: Report, options: RenderOptions) -> list[Line]:
    if report.error:
        return []
    out: list[Line] = [[(w.inputs_phrase(report), "")]]
    if report.inputs and all(i.pure for i in report.inputs):
        out.append([("nothing to load: no wheel contains native code", "")])
    counts = w.counts(report)
    if counts:
        out.append(_result_line(report, counts))
    elif not report.skipped:
        out.append([("OK", "bold green"), ("  no ABI problems found", "")])
    elif not any(s.matters for s in report.skipped):
        out.append([("OK", "bold green"), ("  no ABI problems found in what was read", "")])
    out += _left_out(report, options)
    if report.skipped:
        out += _skipped(report, options)
    return out


def _result_line(report: Report, counts: list[str]) -> Line:
    names = sorted(
        {w.project(j.finding.wheel) or w.package(j.finding.conda_package) for j in report.findings if j.shown}
    )
    where = f" in {names[0]}" if len(names) == 1 and names[0] else ""
    parts = [", ".join(counts) + where]
    if not any(j.fails for j in report.findings):
        parts.append(f"threshold is {report.thresholds.fail_on}")
    parts.append(f"exit {report.exit_status}")
    first = next(j for j in report.findings if j.shown)
    parts.append(f"explain: abicheck explain {first.rule.id}")
    return [(" · ".join(parts), "bold")]


def _left_out(report: Report, options: RenderOptions) -> list[Line]:
    out: list[Line] = []
    hidden = w.hidden_phrase(report)
    if hidden and options.verbosity < 1:
        out.append([(f"    hidden: {hidden} (-v to show)", "dim")])
    old = sum(j.baseline == "unchanged" for j in report.findings)
    if old:
        out.append([(f"    in the baseline: {old}", "dim")])
    if report.gone:
        out.append([(f"    gone since the baseline: {len(report.gone)} (--write-baseline to shrink it)", "dim")])
        out += [[(f"      {w.clean(g.text)}", "dim")] for g in report.gone[: w.CAP]]
    if report.suppressed:
        out.append([(f"    suppressed: {len(report.suppressed)} (--no-ignores to show)", "dim")])
    out += [[(f"    {n.kind.replace('-', ' ')}: {w.clean(n.text)}", "yellow")] for n in report.notices]
    return out


def _skipped(report: Report, options: RenderOptions) -> list[Line]:
    matter = [s for s in report.skipped if s.matters]
    out: list[Line] = []
    if matter:
        total = max(report.libraries, len(matter))
        tail = {"incomplete": "so this result is incomplete", "fail": "so this result is incomplete"}
        text = f"{len(matter)} of {w.plural(total, 'library', 'libraries')} could not be read, "
        text += tail.get(report.verdict, "which was allowed") + f" · exit {report.exit_status}"
        out.append([(text, "bold yellow")])
    else:
        out.append([(f"{w.plural(len(report.skipped), 'file')} not analysed; the result does not rest on them", "")])
    cap = len(report.skipped) if options.verbosity >= 1 else w.CAP
    rows = sorted(report.skipped, key=lambda s: (not s.matters, s))
    for s in rows[:cap]:
        where = f"{w.clean(s.container)}!" if s.container else ""
        out.append([(f"  {where}{w.clean(s.path)}   {w.clean(s.reason)}", "")])
    if len(rows) > cap:
        out.append([(f"  … {len(rows) - cap} more (-v)", "dim")])
    if matter and report.verdict == "incomplete":
        out.append([("hint: download the wheel again, or accept with --allow-incomplete", "")])
    return out
