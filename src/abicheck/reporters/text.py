"""For people at a terminal: what will happen, why, what to type; grouped by the two sides that meet."""

from __future__ import annotations

from abicheck.report import Report
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w
from abicheck.reporters._lines import Line, finding_lines, paint

NAME = "text"
SUMMARY = "for people"
SUFFIXES = (".txt",)
MEDIA_TYPE = "text/plain"


def render(report: Report, options: RenderOptions) -> str:
    lines: list[Line] = []
    if options.verbosity > -2:
        if options.header and report.target:
            lines += [[(w.target_line(report), "")], []]
        lines += _findings(report, options)
        if options.verbosity >= 0 or report.skipped:
            lines += _footer(report, options)
    return paint(lines, options)


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
        tail = {"incomplete": "so this result is incomplete", "fail": "so this result is incomplete"}
        text = f"{_how_many(report, len(matter), all(s.container for s in matter))} could not be read, "
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
        again = ["download the wheel again"] if any(s.container for s in matter) else []
        again += [] if all(s.container for s in matter) else ["reinstall the package that owns the file"]
        out.append([(f"hint: {' or '.join(again)}, or accept with --allow-incomplete", "")])
    return out


def _how_many(report: Report, count: int, of_inputs: bool) -> str:
    """``1 of 14 libraries`` of what was to be judged; files of the environment are counted alone."""
    if not of_inputs:
        return w.plural(count, "file")
    return f"{count} of {w.plural(max(report.libraries, count), 'library', 'libraries')}"
