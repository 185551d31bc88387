"""Real failures, and their variants that work: the simulation and the gate beside what the process really does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.conda_side import Channel, MakePrefix, Wheels
from tests.oracle.observation import Seen, gate, observe, under_changed_system
from tests.oracle.situations import OK, SITUATIONS, Expected, Situation, Variant
from tests.requirements import need

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]

CASES = [(s, v) for s in SITUATIONS for v in s.variants]


def _installed(situation: Situation, make_prefix: MakePrefix, wheels: Wheels) -> Path:
    """The prefix after pip has had its way."""
    files = wheels(*situation.wheels, *situation.also)
    return make_prefix(f"failures-{situation.name}", situation.specs, files)


def _filled(text: str, prefix: Path, older: Path) -> str:
    return text.format_map(
        {"prefix": prefix, "older-folder": older / "lib", "older-libstdcxx": older / "lib/libstdc++.so.6.0.29"}
    )


def _changed(situation: Situation, prefix: Path, older: Path, asked: dict[str, Any]) -> Any:
    need("mount-namespace")
    return under_changed_system([_filled(o, prefix, older) for o in situation.system], asked)


@pytest.fixture(scope="session")
def older_libstdcxx(make_prefix: MakePrefix) -> Path:
    """A prefix whose lib holds the libstdc++ of GCC 11."""
    return make_prefix("older-libstdcxx", ("libstdcxx ==11.3.0",))


@pytest.mark.parametrize(("situation", "variant"), CASES, ids=lambda v: getattr(v, "name", ""))
def test_process_and_simulation_agree(
    situation: Situation,
    variant: Variant,
    make_prefix: MakePrefix,
    wheels: Wheels,
    older_libstdcxx: Path,
    record_property: Callable[[str, object], None],
) -> None:
    prefix = _installed(situation, make_prefix, wheels)
    env = {k: _filled(v, prefix, older_libstdcxx) for k, v in variant.env}
    if situation.system:
        asked = {"prefix": str(prefix), "statements": variant.statements, "env": env}
        seen = Seen(**_changed(situation, prefix, older_libstdcxx, asked))
    else:
        seen = observe(prefix, variant.statements, env)
    record_property("compared", seen.counts)
    _check_outcome(seen, variant)
    for part, how in variant.mapped:
        assert any(part in path and how == found for path, found in seen.mapped), (part, how, seen.mapped)
    for owner, provider in variant.binds:
        assert any(owner in o and provider in p for o, _, p in seen.bindings), (owner, provider)
    assert not seen.differences, "\n".join([seen.counts, *seen.differences[:40]])


def _check_outcome(seen: Seen, variant: Variant) -> None:
    if variant.outcome == OK:
        assert seen.signal is None
        assert not [r for r in seen.results if r], seen.text
    elif variant.outcome.startswith("SIG"):
        assert seen.signal == variant.outcome, seen.text[-2000:]
    else:
        assert re.search(variant.outcome, seen.text), seen.text[-2000:]
        if variant.predictable:
            assert any(re.search(variant.outcome, m) for m in seen.predicted), seen.predicted


@pytest.mark.parametrize("situation", [s for s in SITUATIONS if s.wheels], ids=lambda s: s.name)
def test_gate_says_so_before_the_install(
    situation: Situation, make_prefix: MakePrefix, wheels: Wheels, older_libstdcxx: Path, full_channel: Channel
) -> None:
    prefix = make_prefix(f"before-{situation.name}", situation.specs, wheels(*situation.also))
    files = wheels(*situation.wheels)
    if situation.system:
        asked = {"prefix": str(prefix), "wheels": [str(f) for f in files]}
        findings = _changed(situation, prefix, older_libstdcxx, asked)
    else:
        findings = gate(prefix, files)
    shown = "\n".join(f"{f['rule']} {f['severity']}: {f['what']} {f['fails']} {f['works']}" for f in findings)
    for expected in situation.expected:
        assert any(_is(expected, f) for f in findings), f"{expected}\n{shown}"
    wanted = {e.rule for e in situation.expected}
    if situation.clean:
        assert not [f for f in findings if f["severity"] != "note" and f["rule"] not in wanted], shown


def _is(expected: Expected, finding: dict[str, Any]) -> bool:
    words = " ".join([finding["what"], *finding["why"], str(finding["subject"]), str(finding["object"])])
    return (
        finding["rule"] == expected.rule
        and finding["severity"] == expected.severity
        and bool(re.search(expected.says, words))
        and _has_order(finding["fails"], expected.fails)
        and _has_order(finding["works"], expected.works)
    )


def _has_order(orders: Sequence[Sequence[str]], wanted: tuple[str, ...]) -> bool:
    if not wanted:
        return True
    for order in orders:
        places = [next((i for i, load in enumerate(order) if w in load), -1) for w in wanted]
        if places == sorted(places) and -1 not in places:
            return True
    return False
