"""SARIF 2.1.0, for code-scanning services and editors.

A wheel has no source line and a service refuses a result without one, so the physical location is the manifest line
that asked for the wheel; the two files are logical locations and stand in the message. Rules are not tagged as
security: that would turn a reliability finding into a vulnerability.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from abicheck.model import Confidence, FileRef, Severity
from abicheck.report import Judged, Report, RuleRef, Suppressed
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w
from abicheck.rules import all_rules

NAME = "sarif"
SUMMARY = "SARIF 2.1.0, for code scanning"
SUFFIXES = (".sarif", ".sarif.json")
MEDIA_TYPE = "application/sarif+json"

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST_RESULTS = 25_000  # GitHub refuses a run with more
_PRECISION = {Confidence.HIGH: "high", Confidence.MEDIUM: "medium", Confidence.LOW: "low"}

Json = dict[str, Any]


def render(report: Report, options: RenderOptions) -> str:
    """One run. Results are what is shown, what a baseline knows and what is suppressed; what is hidden is not."""
    visible = [j for j in report.findings if j.shown or j.baseline == "unchanged"]
    results = [_result(report, j, options) for j in visible] + [_silent(report, s, options) for s in report.suppressed]
    used = sorted({j.rule for j in visible} | {s.rule for s in report.suppressed})
    order = {rule.id: n for n, rule in enumerate(used)}
    for result in results:
        result["ruleIndex"] = order[result["ruleId"]]
    run: Json = {
        "tool": {"driver": _driver(report, used, visible)},
        "invocations": [_invocation(report, len(results))],
        "results": results[:MOST_RESULTS],
        "columnKind": "unicodeCodePoints",
    }
    if report.target:
        run["automationDetails"] = {"id": f"abicheck/{w.clean(report.target.name)}-{report.target.platform}/"}
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=options.ascii) + "\n"


def _driver(report: Report, used: list[RuleRef], visible: list[Judged]) -> Json:
    pages = {r.rule.id: r.page.markdown(r.rule) for r in all_rules()}
    sure = {j.rule.id: j.finding.confidence for j in sorted(visible, key=lambda j: j.finding.confidence)}
    return {
        "name": "abicheck",
        "semanticVersion": report.tool_version,
        "rules": [_rule(rule, pages.get(rule.id, ""), sure.get(rule.id, Confidence.HIGH)) for rule in used],
    }


def _rule(rule: RuleRef, page: str, confidence: Confidence) -> Json:
    explain = f"abicheck explain {rule.id}"
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.summary or rule.name},
        "help": {"text": explain, "markdown": page or f"`{explain}`"},
        "defaultConfiguration": {"level": rule.level.word},
        "properties": {
            "tags": ["abi", *rule.platforms],
            "precision": _PRECISION[confidence],
            "problem.severity": {Severity.NOTE: "recommendation"}.get(rule.level, rule.level.word),
        },
    }


def _result(report: Report, j: Judged, options: RenderOptions) -> Json:
    f = j.finding
    file, line = w.location(report, j)
    out: Json = {
        "ruleId": j.rule.id,
        "level": f.severity.word,
        "kind": "fail",
        "message": {"text": _message(j, options)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(w.clean(file).replace("\\", "/")), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": line},
                },
                "logicalLocations": _logical([f.subject, f.object]),
            }
        ],
        "partialFingerprints": {"abicheck/v1": j.fingerprint},
        "properties": {
            "confidence": f.confidence.word,
            "dependsOn": sorted(f.depends_on),
            "loaderRules": sorted({fact.loader_rule for fact in f.why if fact.loader_rule}),
            "fails": j.fails,
        },
    }
    if not out["locations"][0]["logicalLocations"]:
        del out["locations"][0]["logicalLocations"]
    if j.baseline != "none":
        out["baselineState"] = j.baseline
    return out


def _message(j: Judged, options: RenderOptions) -> str:
    f = j.finding
    lines, left = w.evidence(f)
    why = "; ".join(f"{e.path} {e.text}" if e.path else e.text for e in lines)
    more = f"; {left} more" if left else ""
    fix = w.one_line(j, options.target_flag).removeprefix(w.sentence(f.what)).strip()
    assumed = f" Assumed: {w.sentence(f.assumption)}" if f.assumption else ""
    who = w.sides(f.wheel, f.conda_package)
    return f"{who}: {w.sentence(f.what)}{assumed} Why: {w.sentence(why + more)} {fix}".strip()


def _logical(files: list[FileRef | None]) -> list[Json]:
    out = []
    for f in files:
        if f is not None:
            owner = "-".join(p for p in (f.origin.name, f.origin.version) if p)
            name = f"{f.origin.kind}:{owner}!{f.member or f.path}" if owner else f"{f.origin.kind}!{f.path}"
            out.append({"fullyQualifiedName": w.clean(name), "kind": "resource"})
    return out


def _silent(report: Report, s: Suppressed, options: RenderOptions) -> Json:
    out = _result(report, Judged(0, s.rule, s.finding, False, False, s.fingerprint), options)
    until = f" (until {s.by.until})" if s.by.until else ""
    text = w.clean(s.by.reason) + until
    out["suppressions"] = [{"kind": "external", "status": "accepted", "justification": text}]
    return out


def _invocation(report: Report, results: int) -> Json:
    notes = [_notification("error" if s.matters else "note", "not-analysed", _where(s.container, s.path, s.reason))
             for s in report.skipped]  # fmt: skip
    if report.error:
        text = f"{report.error.message} {report.error.hint}".strip()
        notes.append(_notification("error", report.error.reference, text))
    if results > MOST_RESULTS:
        notes.append(_notification("warning", "results-cut", f"{results - MOST_RESULTS} results are left out"))
    done = report.error is None and not any(s.matters for s in report.skipped)
    out: Json = {"executionSuccessful": done, "exitCode": report.exit_status}
    if notes:
        out["toolExecutionNotifications"] = notes
    return out


def _where(container: str, path: str, reason: str) -> str:
    return f"{container}!{path}: {reason}" if container else f"{path}: {reason}"


def _notification(level: str, reference: str, text: str) -> Json:
    return {"level": level, "descriptor": {"id": reference}, "message": {"text": w.clean(text)}}
