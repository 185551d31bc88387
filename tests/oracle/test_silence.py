"""The short run of :mod:`tests.oracle.silence`: small popular wheels over two environments, with the same account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conda_side import Channel
from tests.oracle.silence import Bench, Environment, account, lines_of, read_table, summary

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]

WARNINGS = 0.2
"""The most warnings that a clean pair may have on average, told replacements of conda's packages apart (issue 4)."""

ENVIRONMENTS, WHEELS = read_table()


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
    assert (numbers.errors_false, numbers.unsaid, numbers.replacements_false) == (0, 0, 0), told
    assert numbers.per_clean_pair_apart <= WARNINGS, told
