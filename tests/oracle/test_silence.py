"""The short run of :mod:`tests.oracle.silence`: small popular wheels over two environments, with the same account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conda_side import Channel
from tests.oracle.silence import Bench, Environment, Outcome, Pair, account, lines_of, read_table, summary, true_of

from abicheck.model import Confidence, Fact, Finding, Origin, Remedy, Severity

WARNINGS = 0.2
"""The most warnings that a clean pair may have on average, told replacements of conda's packages apart (issue 4)."""

ENVIRONMENTS, WHEELS = read_table()


@pytest.mark.oracle
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("environment", [e for e in ENVIRONMENTS if e.short], ids=lambda e: e.name)
def test_silence_on_the_harmless(
    environment: Environment, full_channel: Channel, work: Path, record_property: Callable[[str, object], None]
) -> None:
    """No error that running does not show, nothing that fails unsaid, hardly a warning where all works."""
    bench = Bench(work, full_channel.path)
    pairs = [bench.judge(w, environment) for w in WHEELS if w.short]
    told = "\n".join(line for p in pairs for line in lines_of(p))
    numbers = account(pairs)
    print(f"{told}\n{summary(numbers)}")
    record_property("silence", f"{environment.name}: {summary(numbers)}")
    assert numbers.clean >= len(pairs) // 2, told
    wrong = (numbers.errors_false, numbers.errors_on_clean, numbers.unsaid, numbers.replacements_false)
    assert wrong == (0, 0, 0, 0), told
    assert numbers.per_clean_pair_apart <= WARNINGS, told


# -- the account itself ---------------------------------------------------------


def _finding(rule: str, severity: Severity, package: str, key: str = "x") -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        confidence=Confidence.HIGH,
        what=f"`import {package}.part` will fail.",
        why=(Fact("seen"),),
        remedies=(Remedy("do not"),),
        key=key,
        conda_package=Origin("conda", package, "1.0"),
    )


def _pair(outcome: Outcome, *findings: Finding, tried: dict[str, str] | None = None) -> Pair:
    pair = Pair(WHEELS[0], ENVIRONMENTS[0], (Path("numpy-2.0-cp311-cp311-any.whl"),), outcome)
    pair.findings = [(f, true_of(f, pair, tried or {})) for f in findings]
    return pair


def test_an_error_is_true_when_what_it_speaks_of_fails() -> None:
    wrong = _finding("ABI401", Severity.ERROR, "scipy")
    works, breaks = Outcome(()), Outcome((("wheel first", "scipy", "ImportError: no"),))
    other = Outcome((("wheel last", "h5py", "ImportError: no"),))
    pairs = [_pair(works, wrong), _pair(breaks, wrong), _pair(other, wrong), _pair(breaks)]
    pairs.append(_pair(works, wrong, tried={"scipy.part": "ImportError: no"}))
    assert [s for p in pairs for _, s in p.findings] == [False, True, False, True]
    got = account(pairs)
    assert (got.pairs, got.clean, got.errors_true, got.errors_false, got.unsaid) == (5, 2, 2, 2, 1)
    assert got.errors_on_clean == 1


def test_warnings_count_on_clean_pairs_and_replacements_apart() -> None:
    replaced = _finding("ABI502", Severity.WARNING, "numpy", "numpy")
    stays = _finding("ABI502", Severity.WARNING, "scipy", "scipy")
    data = _finding("ABI601", Severity.WARNING, "proj")
    works, breaks = Outcome(()), Outcome((("wheel first", "numpy", "ended with status -6"),))
    got = account([_pair(works, replaced, data), _pair(works, stays), _pair(breaks, data)])
    assert (got.warnings, got.ownership, got.warnings_elsewhere, got.replacements_false) == (3, 2, 1, 1)
    assert (got.per_clean_pair, got.per_clean_pair_apart) == (1.5, 0.5)
