"""Severity times confidence, selection, suppressions, baseline, status."""

from __future__ import annotations

import datetime
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reporters import samples

from abicheck import policy
from abicheck.errors import InputError
from abicheck.model import Confidence, Severity, Skipped
from abicheck.report import Judgement, Thresholds
from abicheck.report.settings import PackageRules, Settings, Suppression

FINDING = samples.MISSING_VERSION
E, W, N = Severity.ERROR, Severity.WARNING, Severity.NOTE
H, M, L = Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW


def judged(*findings, skipped=(), settings=None, baseline=None, today=samples.TODAY):
    judgement = Judgement(samples.PROD, (samples.FASTGRID_WHEEL,), findings, skipped)
    return policy.judge(judgement, settings or Settings(), samples.RULES, version="1", today=today, baseline=baseline)


# user-experience.md section 6, the table: fail, show, hidden.
TABLE = {
    (E, H): "fail", (E, M): "fail", (E, L): "show",
    (W, H): "show", (W, M): "show", (W, L): "hidden",
    (N, H): "hidden", (N, M): "hidden", (N, L): "hidden",
}  # fmt: skip


@pytest.mark.parametrize(("cell", "expected"), TABLE.items(), ids=lambda v: str(v))
def test_default_table(cell, expected):
    report = judged(replace(FINDING, severity=cell[0], confidence=cell[1]))
    j = report.findings[0]
    assert ("fail" if j.fails else "show" if j.shown else "hidden") == expected
    assert report.exit_status == (1 if expected == "fail" else 0)
    assert report.verdict == ("fail" if expected == "fail" else "pass")


@pytest.mark.parametrize("cell", TABLE)
def test_fail_on_warning_adds_the_second_row(cell):
    finding = replace(FINDING, severity=cell[0], confidence=cell[1])
    assert policy.fails(finding, Thresholds("warning")) is (cell[0] >= W and cell[1] >= M)


@pytest.mark.parametrize("cell", TABLE)
def test_fail_on_never_fails_nothing(cell):
    assert not policy.fails(replace(FINDING, severity=cell[0], confidence=cell[1]), Thresholds("never"))


@pytest.mark.parametrize("cell", TABLE)
def test_strict_fails_everything(cell):
    strict = Thresholds("note", N, L, strict=True)
    finding = replace(FINDING, severity=cell[0], confidence=cell[1])
    assert policy.fails(finding, strict) and policy.shown(finding, strict)


@given(
    st.sampled_from(list(Severity)), st.sampled_from(list(Confidence)),
    st.sampled_from(["error", "warning", "note", "never"]), st.sampled_from(list(Severity)),
    st.sampled_from(list(Confidence)), st.booleans(),
)  # fmt: skip
def test_what_fails_is_shown(severity, confidence, fail_on, least, sure, strict):
    finding, t = replace(FINDING, severity=severity, confidence=confidence), Thresholds(fail_on, least, sure, strict)
    assert policy.shown(finding, t) or not policy.fails(finding, t)


# contract.md section 3: (a finding fails, something is unread, allowed, exit zero, strict) to status.
@pytest.mark.parametrize(
    ("fails", "unread", "allow", "zero", "strict", "status"),
    [
        (False, False, False, False, False, 0),
        (True, False, False, False, False, 1),
        (True, True, False, False, False, 1),
        (False, True, False, False, False, 4),
        (False, True, True, False, False, 0),
        (True, True, True, False, False, 1),
        (True, False, False, True, False, 0),
        (True, True, False, True, False, 4),
        (False, True, False, False, True, 1),
    ],
)
def test_status(fails, unread, allow, zero, strict, status):
    t = Thresholds(exit_zero=zero, allow_incomplete=allow, strict=strict)
    skipped = (samples.SHORT,) if unread else ()
    report = judged(*([FINDING] if fails else []), skipped=skipped, settings=Settings(thresholds=t))
    assert report.exit_status == status


def test_what_does_not_matter_is_not_incomplete():
    report = judged(skipped=(Skipped("lib/odd.a", "is an archive", matters=False),))
    assert (report.verdict, report.exit_status, len(report.skipped)) == ("pass", 0, 1)


def test_ignoring_the_rule_of_unread_files_does_not_make_them_read():
    report = judged(skipped=(samples.SHORT,), settings=Settings(ignore=("ABI901",)))
    assert report.exit_status == 4


# -- selection and severity ------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (Settings(), {"ABI201", "ABI301"}),
        (Settings(select=("ABI2",)), {"ABI201"}),
        (Settings(select=("duplicate-openmp",)), {"ABI301"}),
        (Settings(select=("ABI2",), extend_select=("DUP_RUNTIME",)), {"ABI201", "ABI301"}),
        (Settings(ignore=("MISSING_VERSION",)), {"ABI301"}),
        (Settings(select=("ABI201",), ignore=("ABI2",)), set()),
    ],
)
def test_select_and_ignore(settings, kept):
    report = judged(FINDING, samples.TWO_OPENMP, settings=settings)
    assert {j.rule.id for j in report.findings} == kept


def test_only_rules_that_ran_are_counted():
    assert [r.id for r in judged(settings=Settings(select=("ABI2",))).rules] == ["ABI201"]


@pytest.mark.parametrize(
    ("settings", "severity"),
    [
        (Settings(severity={"ABI201": W}), W),
        (Settings(severity={"symbol-version-missing": N}), N),
        (Settings(severity={"ABI": N, "ABI2": W}), W),
        (Settings(severity={"ABI2": N, "symbol-version-missing": W}), W),
        (Settings(severity={"ABI201": N}, packages=(PackageRules("fast*", severity={"ABI2": W}),)), W),
        (Settings(packages=(PackageRules("other", severity={"ABI2": W}),)), E),
    ],
)
def test_severity_override(settings, severity):
    assert judged(FINDING, settings=settings).findings[0].finding.severity is severity


def test_lowered_severity_no_longer_fails():
    report = judged(FINDING, settings=Settings(severity={"ABI201": W}))
    assert (report.exit_status, report.count(W)) == (0, 1)


# -- suppressions ------------------------------------------------------------------------

UNTIL = datetime.date(2026, 12, 31)
SUPPRESSION = Suppression("ABI201", "ticket 88", wheel="fastgrid", until=UNTIL, source="abicheck.toml")


def test_suppressed_finding_is_kept_apart_and_does_not_fail():
    report = judged(FINDING, settings=Settings(suppressions=(SUPPRESSION,)))
    assert (report.exit_status, report.findings) == (0, ())
    assert report.suppressed[0].by.reason == "ticket 88"
    assert report.to_dict()["suppressed"][0]["suppression"]["until"] == "2026-12-31"
    assert report.today == samples.TODAY.isoformat()


@pytest.mark.parametrize(
    ("change", "hit"),
    [({"wheel": "fast*"}, True), ({"wheel": "slow"}, False), ({"wheel": "", "conda": "libstdcxx"}, True),
     ({"wheel": "", "conda": "libgomp"}, False), ({"wheel": "", "file": "lib/libstdc++.*"}, True),
     ({"wheel": "", "file": "fastgrid/_core.*"}, True), ({"rule": "ABI3"}, False), ({"conda": "libgomp"}, False)],
)  # fmt: skip
def test_suppression_means_all_its_fields(change, hit):
    report = judged(FINDING, settings=Settings(suppressions=(replace(SUPPRESSION, **change),)))
    assert bool(report.suppressed) is hit


def test_suppression_holds_on_its_last_day_and_not_after():
    settings = Settings(suppressions=(SUPPRESSION,))
    assert judged(FINDING, settings=settings, today=UNTIL).suppressed
    after = judged(FINDING, settings=settings, today=UNTIL + datetime.timedelta(1))
    assert after.exit_status == 1
    assert after.findings[0].remark == "suppressed until 2026-12-31 by abicheck.toml; expired"
    assert [n.kind for n in after.notices] == ["expired-suppression"]


def test_end_of_a_suppression_is_announced_two_weeks_ahead():
    settings = Settings(suppressions=(SUPPRESSION,))
    for days, kinds in ((15, []), (14, ["expiring-suppression"])):
        report = judged(FINDING, settings=settings, today=UNTIL - datetime.timedelta(days))
        assert [n.kind for n in report.notices] == kinds


def test_suppression_that_meets_nothing_is_reported():
    report = judged(settings=Settings(suppressions=(SUPPRESSION,)))
    assert [n.kind for n in report.notices] == ["unused-suppression"]
    assert report.today == ""


def test_no_ignores_shows_all():
    settings = Settings(
        suppressions=(SUPPRESSION,), packages=(PackageRules("fastgrid", ("ABI3",), reason="x"),), no_ignores=True
    )
    report = judged(FINDING, samples.TWO_OPENMP, settings=settings)
    assert (len(report.findings), len(report.suppressed), report.exit_status) == (2, 0, 1)


def test_package_ignore_is_a_suppression_with_its_reason():
    report = judged(FINDING, settings=Settings(packages=(PackageRules("fast*", ("ABI2",), reason="tested upstream"),)))
    assert report.suppressed[0].by.reason == "tested upstream"


@given(st.lists(st.sampled_from([FINDING, samples.TWO_OPENMP, samples.TWO_OPENSSL, samples.TWIN]), max_size=4))
def test_suppressing_and_no_ignores_is_the_identity(findings):
    """What a suppression hides comes back unchanged."""
    settings = Settings(suppressions=(Suppression("ABI", "all", wheel="*"),), no_ignores=True)
    plain = judged(*findings)
    assert judged(*findings, settings=settings).findings == plain.findings


@given(st.permutations([FINDING, samples.TWO_OPENMP, samples.TWO_OPENSSL, samples.TWIN, samples.CAPTURED]))
def test_order_of_findings_does_not_matter(findings):
    assert judged(*findings) == judged(*reversed(findings))


def test_equal_findings_count_once():
    assert len(judged(FINDING, FINDING).findings) == 1


# -- baseline -----------------------------------------------------------------------------


def test_baseline_round():
    before = judged(FINDING)
    base = policy.read_baseline(policy.write_baseline(before), "old.json")
    same = judged(FINDING, baseline=base)
    assert (same.exit_status, same.findings[0].baseline, same.findings[0].shown) == (0, "unchanged", False)
    more = judged(FINDING, samples.TWO_OPENMP, baseline=base)
    assert (more.exit_status, [j.baseline for j in more.findings]) == (1, ["unchanged", "new"])
    less = judged(baseline=base)
    assert [g.text for g in less.gone] == ["ABI201 symbol-version-missing: fastgrid with libstdcxx, libstdc++.so.6"]


@given(st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}", fullmatch=True), st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
       st.from_regex(r"1(\.[0-9]){0,2}", fullmatch=True))  # fmt: skip
def test_fingerprint_survives_a_version_bump(version, tag, tail):
    """No version, no path, no build tag of a repair tool is part of it."""
    old = replace(samples.TWO_OPENMP, key="libgomp-a34b3233.so.1.0.0")
    new = replace(
        old,
        key=f"libgomp-{tag}.so.{tail}",
        wheel=replace(samples.FASTGRID, version=version),
        conda_package=replace(samples.LIBGOMP, version=version, build="other"),
        subject=replace(samples.OMP_REF, path=f"elsewhere/{tag}"),
    )
    assert policy.fingerprint(new) == policy.fingerprint(old)


def test_fingerprint_tells_things_apart():
    variants = [
        FINDING,
        samples.TWO_OPENMP,
        replace(FINDING, key="libz.so.1"),
        replace(FINDING, wheel=samples.NETBITS),
        replace(FINDING, conda_package=samples.OPENSSL),
        replace(FINDING, conda_package=None),
    ]
    assert all(policy.fingerprint(a) != policy.fingerprint(b) for a, b in itertools.combinations(variants, 2))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2, "findings": []}', '{"schema": 1, "findings": [1]}'])
def test_bad_baseline_is_an_input_error(text):
    with pytest.raises(InputError):
        policy.read_baseline(text, "x.json")


def test_pairs_hold_the_worst_severity_and_all_numbers():
    other = replace(FINDING, severity=W, key="libz.so.1")
    report = judged(FINDING, other, samples.TWO_OPENMP)
    assert [(p.worst, p.findings) for p in report.pairs] == [(E, (1, 3)), (E, (2,))]
