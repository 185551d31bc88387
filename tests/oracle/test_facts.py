"""Each fact of ``facts.py`` on the real loader and on the simulation: same objects, bindings and words."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conda_side import Channel, build_prefix
from tests.oracle import facts, facts_corners
from tests.oracle.bench import FACTS, Bench, Fact
from tests.requirements import compiler, need

pytestmark = [pytest.mark.oracle, pytest.mark.network]
assert facts.__doc__ and facts_corners.__doc__  # importing the tables registers the facts


@pytest.fixture(scope="session")
def python_prefix(channel: Channel) -> Path:
    """A prefix with an interpreter and nothing else worth mentioning; benches link to its files."""
    return build_prefix(channel, "facts", ["python"])


@pytest.mark.parametrize("fact", FACTS, ids=lambda f: f.name)
def test_fact(fact: Fact, python_prefix: Path, work: Path) -> None:
    need(*fact.needs)
    bench = Bench(work / "facts" / fact.name, python_prefix, compiler())
    for variant in fact.steps(bench):
        bench.check(variant)


def test_there_are_as_many_facts_as_were_measured() -> None:
    assert len(FACTS) >= 38
