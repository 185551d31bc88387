"""GitHub workflow commands: annotations on the manifest line that asked for the wheel.

GitHub shows ten errors, ten warnings and ten notices of a step and drops the rest without a word, so the gravest come
first and one notice counts what is left. The job summary is the ``markdown`` format; the command line writes it.
"""

from __future__ import annotations

from abicheck.model import Severity
from abicheck.report import Report
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w

NAME = "github"
SUMMARY = "GitHub annotations, and the job summary where a job has one"
SUFFIXES: tuple[str, ...] = ()
MEDIA_TYPE = "text/plain"

MOST_PER_LEVEL = 10
_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render(report: Report, options: RenderOptions) -> str:
    rows: list[tuple[str, str]] = []
    if report.error:
        text = f"{report.error.message} {report.error.hint}".strip()
        rows.append(("error", _command("error", report, None, report.error.reference, text)))
    for s in (s for s in report.skipped if s.matters):
        where = f"{s.container}!{s.path}" if s.container else s.path
        title = "ABI901 not-analysed"
        rows.append(("error", _command("error", report, None, title, f"{where} could not be read: {s.reason}")))
    for j in (j for j in report.findings if j.shown):
        level = _LEVEL[j.finding.severity]
        title = f"{j.rule.id} {j.rule.name}: {w.sides(j.finding.wheel, j.finding.conda_package)}"
        rows.append((level, _command(level, report, w.location(report, j), title, w.one_line(j, options.target_flag))))
    kept, left = _capped(rows)
    if left:
        kept.append(_command("notice", report, None, "abicheck", f"and {left} more; see the job summary or the report"))
    return "".join(line + "\n" for line in kept)


def _capped(rows: list[tuple[str, str]]) -> tuple[list[str], int]:
    """At most ten of each level, nine notices so that one remains for the count; and how many are left out."""
    room = {"error": MOST_PER_LEVEL, "warning": MOST_PER_LEVEL, "notice": MOST_PER_LEVEL - 1}
    kept = []
    for level, line in rows:
        if room[level] > 0:
            room[level] -= 1
            kept.append(line)
    return kept, len(rows) - len(kept)


def _command(level: str, report: Report, at: tuple[str, int] | None, title: str, text: str) -> str:
    file, line = at or (report.anchor.file, report.anchor.line)
    return f"::{level} file={_property(file)},line={line},title={_property(title)}::{_data(w.clean(text))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(w.clean(text)).replace(":", "%3A").replace(",", "%2C")
