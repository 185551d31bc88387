"""GitLab code quality report: an array of issues for the merge-request widget.

The widget hides ``check_name``, so the rule stands in the description; it merges issues of one fingerprint, so those
are made unique within the file.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from abicheck.model import Severity
from abicheck.report import Judged, Report
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w

NAME = "gitlab"
SUMMARY = "GitLab code quality"
SUFFIXES = (".codequality.json",)
MEDIA_TYPE = "application/json"

Json = dict[str, Any]


def render(report: Report, options: RenderOptions) -> str:
    issues = [_of_finding(report, j, options) for j in report.findings if j.shown]
    for s in (s for s in report.skipped if s.matters):
        where = f"{s.container}!{s.path}" if s.container else s.path
        issues.append(_issue(report, "not-analysed", f"ABI901 {where} could not be read: {s.reason}", "major"))
    if report.error:
        text = f"{report.error.message} {report.error.hint}".strip()
        issues.append(_issue(report, report.error.reference, text, "blocker"))
    return json.dumps(_unique(issues), indent=2, ensure_ascii=options.ascii) + "\n"


def _of_finding(report: Report, j: Judged, options: RenderOptions) -> Json:
    file, line = w.location(report, j)
    f = j.finding
    who = w.sides(f.wheel, f.conda_package)
    return {
        "description": f"{j.rule.id} {j.rule.name}: {who}: {w.one_line(j, options.target_flag)}",
        "check_name": j.rule.name,
        "fingerprint": j.fingerprint,
        "severity": _severity(j),
        "location": {"path": w.clean(file), "lines": {"begin": line}},
    }


def _severity(j: Judged) -> str:
    if j.finding.severity is Severity.ERROR:
        return "critical" if j.fails else "major"
    return "minor" if j.finding.severity is Severity.WARNING else "info"


def _issue(report: Report, name: str, text: str, severity: str) -> Json:
    text = w.clean(text)
    return {
        "description": text,
        "check_name": name,
        "fingerprint": hashlib.sha256(f"{name}\0{text}".encode()).hexdigest()[:16],
        "severity": severity,
        "location": {"path": report.anchor.file, "lines": {"begin": report.anchor.line}},
    }


def _unique(issues: list[Json]) -> list[Json]:
    """The same issues; the second of one fingerprint gets one made of it and its number."""
    seen: dict[str, int] = {}
    for issue in issues:
        first = issue["fingerprint"]
        seen[first] = seen.get(first, 0) + 1
        if seen[first] > 1:
            issue["fingerprint"] = hashlib.sha256(f"{first} {seen[first]}".encode()).hexdigest()[:16]
    return issues
