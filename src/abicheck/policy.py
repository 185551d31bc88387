"""From findings to a verdict: what is selected, how grave it counts, what is accepted, what fails, what is shown.

Pure functions of the findings, the settings, the baseline and today's date; nothing here reads a file or a clock.
The rules are those of docs/concepts.md, docs/start.md and docs/configuration.md.
"""

from __future__ import annotations

import datetime
import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from abicheck.errors import AbicheckError, InputError
from abicheck.model import Confidence, Finding, Severity
from abicheck.report.settings import Settings, Suppression
from abicheck.report.shapes import (
    Gone,
    Judged,
    Judgement,
    Notice,
    Pair,
    Problem,
    Report,
    RuleRef,
    Suppressed,
    SuppressedBy,
    Thresholds,
    Verdict,
)
from abicheck.rules import Rule, matches

EXPIRY_WARNING = datetime.timedelta(days=14)
# auditwheel writes name-1a2b3c4d.so, delvewheel name-<32 hex digits>.dll: both change with each build.
_BUILD_TAG = re.compile(r"-[0-9a-f]{8,64}(?=\.)")
_SONAME_TAIL = re.compile(r"(\.so\.\d+)(\.\d+)+$")


def fingerprint(finding: Finding) -> str:
    """16 hex digits of rule, project names and contested name: equal for the next version of the same wheel."""
    key = _SONAME_TAIL.sub(r"\1", _BUILD_TAG.sub("", finding.key))
    wheel = finding.wheel.name if finding.wheel else ""
    conda = finding.conda_package.name if finding.conda_package else ""
    text = "\0".join((finding.rule, wheel, conda, key))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# -- severity and confidence -----------------------------------------------------


def fails(finding: Finding, t: Thresholds) -> bool:
    """Whether this finding alone makes the gate fail. Low confidence fails only under ``--strict``."""
    if t.fail_on == "never":
        return False
    sure = finding.confidence >= (Confidence.LOW if t.strict else Confidence.MEDIUM)
    return sure and finding.severity >= Severity[t.fail_on.upper()]


def shown(finding: Finding, t: Thresholds) -> bool:
    """Whether people see it: all that fails; errors are shown one step of confidence earlier than the rest."""
    if fails(finding, t):
        return True
    bar = t.min_confidence
    if finding.severity is Severity.ERROR and bar > Confidence.LOW:
        bar = Confidence(bar - 1)
    return finding.severity >= t.min_severity and finding.confidence >= bar


def exit_status(any_fails: bool, incomplete: bool, t: Thresholds) -> int:
    """0, 1 or 4; docs/start.md. 2 and 3 are never reached with a judgement in hand."""
    if any_fails and not t.exit_zero:
        return 1
    if incomplete and t.strict:
        return 1
    return 4 if incomplete and not t.allow_incomplete else 0


def severity_of(rule: Rule, finding: Finding, settings: Settings) -> Severity:
    """The finding's severity after overrides; those for its package win, then the more exact selector."""
    name = finding.wheel.name if finding.wheel else ""
    tables = [p.severity for p in settings.packages if name and fnmatch.fnmatchcase(name, p.package)]
    for table in [*reversed(tables), settings.severity]:
        hit = _most_exact(rule, table)
        if hit is not None:
            return hit
    return finding.severity


def _most_exact(rule: Rule, table: Mapping[str, Severity]) -> Severity | None:
    hits = [s for s in table if matches(rule, s)]
    if not hits:
        return None
    exact = [s for s in hits if s.upper() == rule.id or s.lower() == rule.name]
    return table[exact[0] if exact else max(hits, key=lambda s: (s.upper().startswith("ABI"), len(s)))]


# -- what is looked at ------------------------------------------------------------


def selected(rule: Rule, settings: Settings) -> bool:
    """Whether the rule runs under ``select``, ``extend_select`` and ``ignore``."""
    wanted = settings.select or ("ABI",)
    on = any(matches(rule, s) for s in (*wanted, *settings.extend_select))
    return on and not any(matches(rule, s) for s in settings.ignore)


def accepts(s: Suppression, rule: Rule, finding: Finding) -> bool:
    """Whether a suppression means this finding (its date is not looked at)."""
    if not matches(rule, s.rule):
        return False
    wheel = finding.wheel.name if finding.wheel else ""
    conda = finding.conda_package.name if finding.conda_package else ""
    files = [p for f in (finding.subject, finding.object) if f for p in (f.path, f.member or f.path)]
    return (
        (not s.wheel or fnmatch.fnmatchcase(wheel, s.wheel))
        and (not s.conda or fnmatch.fnmatchcase(conda, s.conda))
        and (not s.file or any(fnmatch.fnmatchcase(f, s.file) for f in files))
    )


@dataclass(frozen=True, slots=True)
class Baseline:
    """Findings that were there when the tool was adopted: fingerprint to a readable line."""

    entries: Mapping[str, str]


def read_baseline(text: str, name: str) -> Baseline:
    """Parse a baseline file. Raises ``InputError``; ``name`` is the file's name for the message."""
    try:
        data = json.loads(text)
        if data["schema"] != 1:
            raise InputError("baseline-version", f"{name} is a baseline of schema {data['schema']}, this reads 1")
        return Baseline({str(f["fingerprint"]): str(f["text"]) for f in data["findings"]})
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        hint = "write a new one with --write-baseline"
        raise InputError("baseline-malformed", f"{name} is not a baseline file ({e})", hint) from e


def write_baseline(report: Report) -> str:
    """The baseline that accepts every finding of this report that is not suppressed, a line each."""
    entries = {j.fingerprint: _baseline_line(j.rule, j.finding) for j in report.findings}
    rows = [{"fingerprint": f, "text": entries[f]} for f in sorted(entries, key=lambda f: (entries[f], f))]
    return json.dumps({"schema": 1, "findings": rows}, indent=2, ensure_ascii=False) + "\n"


def _baseline_line(rule: RuleRef, finding: Finding) -> str:
    sides = [o.name for o in (finding.wheel, finding.conda_package) if o]
    return f"{rule.id} {rule.name}: {' with '.join(sides) or 'prefix'}, {finding.key}"


# -- judging ----------------------------------------------------------------------


@dataclass(slots=True)
class _Consulted:
    """What the walk over the findings found out about the suppressions."""

    used: set[int]
    expired: set[int]
    dated: bool = False


def judge(
    judgement: Judgement,
    settings: Settings,
    rules: Iterable[Rule],
    *,
    version: str,
    today: datetime.date,
    baseline: Baseline | None = None,
) -> Report:
    """Decide. ``rules`` is the whole catalogue; a finding of a rule outside it is a mistake of ours (``KeyError``)."""
    by_id = {r.id: r for r in rules}
    active = {r.id: _ref(r) for r in by_id.values() if selected(r, settings)}
    consulted = _Consulted(set(), set())
    kept: list[tuple[Rule, Finding, str]] = []
    silent: list[Suppressed] = []
    for finding in dict.fromkeys(judgement.findings):
        rule = by_id[finding.rule]
        if rule.id not in active:
            continue
        finding = replace(finding, severity=severity_of(rule, finding, settings))
        by, remark = _silenced(rule, finding, settings, today, consulted)
        if by is None:
            kept.append((rule, finding, remark))
        else:
            silent.append(Suppressed(active[rule.id], finding, fingerprint(finding), by))
    kept.sort(key=lambda k: _order(k[1]))
    judged = tuple(_judged(n, active[k[0].id], *k[1:], settings.thresholds, baseline) for n, k in enumerate(kept, 1))
    ran = tuple(sorted(active.values()))
    return _report(judgement, settings, judged, silent, consulted, ran, version, today, baseline)


def _ref(rule: Rule) -> RuleRef:
    return RuleRef(rule.id, rule.name, rule.classes, rule.usual, rule.platforms, rule.summary)


def _order(f: Finding) -> tuple[int, str, str, str, str, str, str]:
    """Errors first, then by wheel, rule, file; the rest only makes the order total."""
    wheel = f.wheel.name if f.wheel else ""
    conda = f.conda_package.name if f.conda_package else ""
    return (-f.severity, wheel, f.rule, f.subject.path if f.subject else "", f.key, conda, f.what)


def _silenced(
    rule: Rule, finding: Finding, settings: Settings, today: datetime.date, consulted: _Consulted
) -> tuple[SuppressedBy | None, str]:
    """Who silences the finding, and a remark when somebody no longer does."""
    remark = ""
    for n, s in enumerate(settings.suppressions):
        if not accepts(s, rule, finding):
            continue
        consulted.dated |= s.until is not None
        if s.until is not None and s.until < today:
            consulted.expired.add(n)
            remark = f"suppressed until {s.until.isoformat()} by {s.source}; expired"
            continue
        consulted.used.add(n)
        if not settings.no_ignores:
            return SuppressedBy(s.reason, s.until.isoformat() if s.until else "", s.source), ""
    name = finding.wheel.name if finding.wheel else ""
    for p in () if settings.no_ignores else settings.packages:
        if name and fnmatch.fnmatchcase(name, p.package) and any(matches(rule, i) for i in p.ignore):
            return SuppressedBy(p.reason, "", p.source), ""
    return None, remark


def _judged(
    number: int, rule: RuleRef, finding: Finding, remark: str, t: Thresholds, baseline: Baseline | None
) -> Judged:
    print_ = fingerprint(finding)
    if baseline is None:
        return Judged(number, rule, finding, fails(finding, t), shown(finding, t), print_, "none", remark)
    if print_ in baseline.entries:
        return Judged(number, rule, finding, False, False, print_, "unchanged", remark)
    return Judged(number, rule, finding, fails(finding, t), shown(finding, t), print_, "new", remark)


def _report(
    judgement: Judgement,
    settings: Settings,
    judged: tuple[Judged, ...],
    silent: list[Suppressed],
    consulted: _Consulted,
    ran: tuple[RuleRef, ...],
    version: str,
    today: datetime.date,
    baseline: Baseline | None,
) -> Report:
    t = settings.thresholds
    any_fails = any(j.fails for j in judged)
    incomplete = any(s.matters for s in judgement.skipped)  # ABI901 has no findings of its own
    verdict = Verdict.PASS
    if any_fails or (incomplete and t.strict):
        verdict = Verdict.FAIL
    elif incomplete and not t.allow_incomplete:
        verdict = Verdict.INCOMPLETE
    return Report(
        tool_version=version,
        rules=ran,
        verdict=verdict,
        exit_status=exit_status(any_fails, incomplete, t),
        target=judgement.target,
        inputs=tuple(sorted(judgement.inputs, key=lambda i: (i.name, i.filename))),
        thresholds=t,
        findings=judged,
        pairs=pairs_of(judged),
        suppressed=tuple(sorted(silent, key=lambda s: _order(s.finding))),
        skipped=tuple(sorted(set(judgement.skipped))),
        gone=_gone(judged, silent, baseline),
        notices=_notices(settings, consulted, today),
        today=today.isoformat() if consulted.dated else "",
        anchor=settings.anchor,
    )


def pairs_of(judged: Iterable[Judged]) -> tuple[Pair, ...]:
    """Wheel and conda package of every finding, gravest first, with the numbers of their findings."""
    groups: dict[tuple[object, ...], list[Judged]] = {}
    for j in judged:
        sides = (j.finding.wheel, j.finding.conda_package)
        key = tuple((o.kind, o.name, o.version) if o else None for o in sides)
        groups.setdefault(key, []).append(j)
    pairs = [
        Pair(
            group[0].finding.wheel,
            group[0].finding.conda_package,
            max(j.finding.severity for j in group),
            tuple(j.number for j in group),
        )
        for group in groups.values()
    ]
    return tuple(sorted(pairs, key=lambda p: (-p.worst, p.findings[0])))


def _gone(judged: tuple[Judged, ...], silent: list[Suppressed], baseline: Baseline | None) -> tuple[Gone, ...]:
    if baseline is None:
        return ()
    here = {j.fingerprint for j in judged} | {s.fingerprint for s in silent}
    return tuple(sorted(Gone(f, text) for f, text in baseline.entries.items() if f not in here))


def _notices(settings: Settings, consulted: _Consulted, today: datetime.date) -> tuple[Notice, ...]:
    out = []
    for n, s in enumerate(settings.suppressions):
        if n in consulted.expired:
            assert s.until is not None
            out.append(Notice("expired-suppression", f"{s.label}: ended {s.until.isoformat()} ({s.source})"))
        elif n not in consulted.used:
            out.append(Notice("unused-suppression", f"{s.label}: matches nothing ({s.source})"))
        elif s.until is not None and s.until - today <= EXPIRY_WARNING:
            out.append(Notice("expiring-suppression", f"{s.label}: ends {s.until.isoformat()} ({s.source})"))
    return tuple(sorted(out))


def failed(error: AbicheckError, version: str, status: int | None = None) -> Report:
    """The report of a run that judged nothing."""
    problem = Problem(error.reference, error.message, error.hint)
    return Report(version, (), Verdict.ERROR, error.exit_status if status is None else status, error=problem)
