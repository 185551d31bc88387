"""The report as the JSON document of docs/output.md, and back.

Written key by key on purpose: what the world reads must not change because a class did. Minor versions add optional
keys; a major version is announced one release ahead. Equal reports give equal documents: lists come sorted from policy
or are sorted here, there is no time in it, and paths are those of the prefix, the wheel or the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from abicheck.errors import InputError
from abicheck.model import Attempt, Confidence, Fact, FileRef, Finding, Orders, Origin, Remedy, Severity, Skipped
from abicheck.report.shapes import (
    Gone,
    HostInfo,
    InputInfo,
    Judged,
    Notice,
    Pair,
    Problem,
    Report,
    RequestedBy,
    RuleRef,
    Suppressed,
    SuppressedBy,
    TargetInfo,
    Thresholds,
    Verdict,
)

SCHEMA_VERSION = "1.0"
PROGRAM = "abicheck"
# One letter for each thing a finding may depend on; nothing but "C" when a finding depends on nothing.
_CODES = {"import-order": "O", "environment": "E", "host": "H", "python-code": "D"}

Document = dict[str, Any]


def to_dict(report: Report) -> Document:
    out: Document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": PROGRAM, "version": report.tool_version, "rules": len(report.rules)},
        "verdict": report.verdict.value,
        "exit_code": report.exit_status,
        "target": _target(report.target) if report.target else None,
        "inputs": [_input(i) for i in report.inputs],
        "thresholds": _thresholds(report.thresholds),
        "findings": [_judged(j) for j in report.findings],
        "pairs": [_pair(p) for p in report.pairs],
        "suppressed": [_suppressed(s) for s in report.suppressed],
        "skipped": [_skipped(s) for s in report.skipped],
        "gone": [{"fingerprint": g.fingerprint, "text": g.text} for g in report.gone],
        "notices": [{"kind": n.kind, "text": n.text} for n in report.notices],
        "catalogue": [_catalogued(r) for r in report.rules],
        "anchor": {"file": report.anchor.file, "line": report.anchor.line},
        "summary": {
            "error": report.count(Severity.ERROR),
            "warning": report.count(Severity.WARNING),
            "note": report.count(Severity.NOTE),
            "hidden": report.hidden,
            "suppressed": len(report.suppressed),
            "skipped": len(report.skipped),
        },
    }
    if report.today:
        out["today"] = report.today
    if report.error:
        out["error"] = {
            "reference": report.error.reference,
            "message": report.error.message,
            "hint": report.error.hint,
        }
    return out


def _target(target: TargetInfo) -> Document:
    return {
        "name": target.name,
        "platform": target.platform,
        "python": target.python,
        "packages": target.packages,
        "chosen_by": target.chosen_by,
        "host": {"facts": dict(sorted(target.host.facts.items())), "assumption": target.host.assumption},
    }


def _input(i: InputInfo) -> Document:
    by = i.requested_by
    return {
        "kind": i.kind,
        "filename": i.filename,
        "name": i.name,
        "version": i.version,
        "sha256": i.sha256 or None,
        "libraries": i.libraries,
        "pure": i.pure,
        "requested_by": {"file": by.file, "line": by.line} if by else None,
    }


def _thresholds(t: Thresholds) -> Document:
    return {
        "fail_on": t.fail_on,
        "min_severity": t.min_severity.word,
        "min_confidence": t.min_confidence.word,
        "strict": t.strict,
        "exit_zero": t.exit_zero,
        "allow_incomplete": t.allow_incomplete,
    }


def _judged(j: Judged) -> Document:
    return {
        "number": j.number,
        "rule": _rule(j.rule),
        **_finding(j.finding),
        "fails": j.fails,
        "shown": j.shown,
        "fingerprint": j.fingerprint,
        "baseline": j.baseline,
        "remark": j.remark or None,
        "docs": f"rules/{j.rule.id}",
    }


def _rule(rule: RuleRef) -> Document:
    return {
        "id": rule.id,
        "name": rule.name,
        "class": rule.classes[0] if rule.classes else None,
        "classes": list(rule.classes),
    }


def _catalogued(rule: RuleRef) -> Document:
    platforms = list(rule.platforms)
    return {**_rule(rule), "severity": rule.level.word, "platforms": platforms, "summary": rule.summary}


def _finding(f: Finding) -> Document:
    orders = None
    if f.orders:
        orders = {"fails": [list(o) for o in f.orders.fails], "works": [list(o) for o in f.orders.works]}
    return {
        "severity": f.severity.word,
        "confidence": f.confidence.word,
        "depends_on": sorted(f.depends_on),
        "certainty": sorted(_CODES[d] for d in f.depends_on) or ["C"],
        "wheel": _origin(f.wheel) if f.wheel else None,
        "conda_package": _package(f.conda_package) if f.conda_package else None,
        "subject": _file(f.subject) if f.subject else None,
        "object": _file(f.object) if f.object else None,
        "key": f.key,
        "what": f.what,
        "assumptions": [f.assumption] if f.assumption else [],
        "why": [_fact(fact, f) for fact in f.why],
        "remedies": [{"text": r.text, "command": r.command} for r in f.remedies],
        "runtime": f.runtime,
        "orders": orders,
    }


def _package(o: Origin) -> Document:
    # Almost always of kind "conda"; "pip" when the wheel meets what an earlier pip install left.
    return {"kind": o.kind, "name": o.name, "version": o.version, "build": o.build, "channel": o.channel}


def _origin(o: Origin) -> Document:
    out = {"kind": o.kind, "name": o.name, "version": o.version, "build": o.build, "channel": o.channel}
    return {k: v for k, v in out.items() if v or k in ("kind", "name", "version")}


def _file(f: FileRef) -> Document:
    return {"origin": _origin(f.origin), "path": f.path, "member": f.member}


def _fact(fact: Fact, finding: Finding) -> Document:
    out: Document = {"fact": fact.text}
    if fact.file is not None:
        # A file that the finding already describes is named, not described again.
        names = {"subject": finding.subject, "object": finding.object}
        out["file"] = next((n for n, f in names.items() if f == fact.file), None) or _file(fact.file)
    if fact.symbol or fact.version:
        out["symbol"] = {"name": fact.symbol, "version": fact.version}
    if fact.loader_rule:
        out["loader_rule"] = fact.loader_rule
    if fact.attempts:
        out["attempts"] = [{"path": a.path, "outcome": a.outcome} for a in fact.attempts]
    return out


def _pair(p: Pair) -> Document:
    return {
        "wheel": _origin(p.wheel) if p.wheel else None,
        "conda_package": _package(p.conda_package) if p.conda_package else None,
        "worst": p.worst.word,
        "findings": list(p.findings),
    }


def _suppressed(s: Suppressed) -> Document:
    return {
        "rule": s.rule.id,
        "fingerprint": s.fingerprint,
        "suppression": {"reason": s.by.reason, "until": s.by.until or None, "source": s.by.source},
        "finding": {"rule": _rule(s.rule), **_finding(s.finding)},
    }


def _skipped(s: Skipped) -> Document:
    return {"path": s.path, "container": s.container or None, "reason": s.reason, "matters": s.matters}


# -- and back ------------------------------------------------------------------


def from_dict(d: Mapping[str, Any]) -> Report:
    version = d.get("schema_version")
    if not isinstance(version, str) or version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        raise InputError("report-version", f"this is no abicheck report of schema {SCHEMA_VERSION}: {version!r}")
    try:
        return _report(d)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise InputError("report-malformed", f"the report lacks or misspells something: {e}") from e


def _report(d: Mapping[str, Any]) -> Report:
    error = d.get("error")
    rules = tuple(_read_rule(r) for r in d["catalogue"])
    by_id = {r.id: r for r in rules}
    return Report(
        tool_version=d["tool"]["version"],
        rules=rules,
        verdict=Verdict(d["verdict"]),
        exit_status=d["exit_code"],
        target=_read_target(d["target"]) if d["target"] else None,
        inputs=tuple(_read_input(i) for i in d["inputs"]),
        thresholds=_read_thresholds(d["thresholds"]),
        findings=tuple(_read_judged(j, by_id) for j in d["findings"]),
        pairs=tuple(_read_pair(p) for p in d["pairs"]),
        suppressed=tuple(_read_suppressed(s, by_id) for s in d["suppressed"]),
        skipped=tuple(Skipped(s["path"], s["reason"], s["matters"], s["container"] or "") for s in d["skipped"]),
        gone=tuple(Gone(g["fingerprint"], g["text"]) for g in d.get("gone", ())),
        notices=tuple(Notice(n["kind"], n["text"]) for n in d.get("notices", ())),
        error=Problem(error["reference"], error["message"], error["hint"]) if error else None,
        today=d.get("today", ""),
        anchor=RequestedBy(d["anchor"]["file"], d["anchor"]["line"]),
    )


def _read_target(t: Mapping[str, Any]) -> TargetInfo:
    host = HostInfo(dict(t["host"]["facts"]), t["host"]["assumption"])
    return TargetInfo(t["name"], t["platform"], t["python"], t["packages"], t["chosen_by"], host)


def _read_input(i: Mapping[str, Any]) -> InputInfo:
    by = i["requested_by"]
    return InputInfo(
        i["kind"],
        i["filename"],
        i["name"],
        i["version"],
        i["sha256"] or "",
        i["libraries"],
        i["pure"],
        RequestedBy(by["file"], by["line"]) if by else None,
    )


def _read_thresholds(t: Mapping[str, Any]) -> Thresholds:
    return Thresholds(
        t["fail_on"],
        Severity[t["min_severity"].upper()],
        Confidence[t["min_confidence"].upper()],
        t["strict"],
        t["exit_zero"],
        t["allow_incomplete"],
    )


def _read_rule(r: Mapping[str, Any]) -> RuleRef:
    level = Severity[r["severity"].upper()]
    return RuleRef(r["id"], r["name"], tuple(r["classes"]), level, tuple(r["platforms"]), r["summary"])


def _read_judged(j: Mapping[str, Any], rules: Mapping[str, RuleRef]) -> Judged:
    return Judged(
        j["number"],
        rules[j["rule"]["id"]],
        _read_finding(j),
        j["fails"],
        j["shown"],
        j["fingerprint"],
        j["baseline"],
        j["remark"] or "",
    )


def _read_suppressed(s: Mapping[str, Any], rules: Mapping[str, RuleRef]) -> Suppressed:
    by = s["suppression"]
    return Suppressed(
        rules[s["rule"]],
        _read_finding(s["finding"]),
        s["fingerprint"],
        SuppressedBy(by["reason"], by["until"] or "", by["source"]),
    )


def _read_finding(f: Mapping[str, Any]) -> Finding:
    subject, obj = _read_file(f["subject"]), _read_file(f["object"])
    orders = f["orders"]
    return Finding(
        rule=f["rule"]["id"],
        severity=Severity[f["severity"].upper()],
        confidence=Confidence[f["confidence"].upper()],
        what=f["what"],
        why=tuple(_read_fact(w, {"subject": subject, "object": obj}) for w in f["why"]),
        remedies=tuple(Remedy(r["text"], r["command"]) for r in f["remedies"]),
        key=f["key"],
        wheel=_read_origin(f["wheel"]) if f["wheel"] else None,
        conda_package=_read_package(f["conda_package"]),
        subject=subject,
        object=obj,
        depends_on=tuple(f["depends_on"]),
        assumption=f["assumptions"][0] if f["assumptions"] else "",
        runtime=f["runtime"],
        orders=Orders(_read_lists(orders["fails"]), _read_lists(orders["works"])) if orders else None,
    )


def _read_lists(lists: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(entry) for entry in lists)


def _read_origin(o: Mapping[str, Any]) -> Origin:
    return Origin(o["kind"], o["name"], o["version"], o.get("build", ""), o.get("channel", ""))


def _read_package(p: Mapping[str, Any] | None) -> Origin | None:
    return Origin(p["kind"], p["name"], p["version"], p["build"], p["channel"]) if p else None


def _read_file(f: Mapping[str, Any] | None) -> FileRef | None:
    return FileRef(f["path"], _read_origin(f["origin"]), f["member"]) if f else None


def _read_fact(w: Mapping[str, Any], known: Mapping[str, FileRef | None]) -> Fact:
    file, symbol = w.get("file"), w.get("symbol") or {}
    return Fact(
        text=w["fact"],
        file=known[file] if isinstance(file, str) else _read_file(file),
        symbol=symbol.get("name"),
        version=symbol.get("version"),
        loader_rule=w.get("loader_rule"),
        attempts=tuple(Attempt(a["path"], a["outcome"]) for a in w.get("attempts", ())),
    )


def _read_pair(p: Mapping[str, Any]) -> Pair:
    wheel = _read_origin(p["wheel"]) if p["wheel"] else None
    return Pair(wheel, _read_package(p["conda_package"]), Severity[p["worst"].upper()], tuple(p["findings"]))
