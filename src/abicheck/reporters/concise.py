"""One line per finding, for logs and editors: ``file:line: ABI201 symbol-version-missing error: what [sides]``."""

from __future__ import annotations

from abicheck.report import Report
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w

NAME = "concise"
SUMMARY = "one line per finding"
SUFFIXES: tuple[str, ...] = ()
MEDIA_TYPE = "text/plain"


def render(report: Report, options: RenderOptions) -> str:
    lines = []
    for j in report.findings:
        if not (j.shown or options.verbosity >= 1):
            continue
        file, line = w.location(report, j)
        f = j.finding
        head = f"{w.clean(file)}:{line}: {j.rule.id} {j.rule.name} {f.severity.word}/{f.confidence.word}"
        lines.append(f"{head}: {w.one_line(j, options.target_flag)} [{w.sides(f.wheel, f.conda_package)}]")
    for s in report.skipped:
        where = f"{w.clean(s.container)}!" if s.container else ""
        if s.matters or options.verbosity >= 1:
            lines.append(f"{where}{w.clean(s.path)}: ABI901 not-analysed: {w.clean(s.reason)}")
    text = "".join(line + "\n" for line in lines)
    return w.to_ascii(text) if options.ascii else text
