"""ABI104: the wheel's own library is there and is not reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import EXT, SITE, Bench, paths, rules_of

from abicheck.model import Confidence, Severity
from abicheck.rules import abi104_library_shadowed as rule

Y1, Y2 = "int y(void) { return 1; }", "int y(void) { return 2; }"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def shadowed(bench: Bench, theirs: str, **tags: str) -> Path:
    own = bench.lib("a/liby.so.1", Y1)
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("b/liby.so.1", theirs)})
    return bench.wheel(bench.ext("y", needed=("a/liby.so.1",), **tags), {"grid/liby.so.1": own})


def test_without_a_path_tag_the_environment_comes_first(bench: Bench) -> None:
    (finding,) = bench.judged(rule, shadowed(bench, Y2))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI104", Severity.WARNING, Confidence.HIGH)
    assert finding.what == "grid will use conda ylib 1.0's liby.so.1, not the copy that its wheel ships."
    assert finding.key == "liby.so.1" and finding.depends_on == () and finding.orders is None
    assert paths(finding) == (f"{SITE}/grid/{EXT}", "lib/liby.so.1") and rules_of(finding) == ["CL-1"]
    assert finding.conda_package is not None and finding.conda_package.name == "ylib"
    assert any("which is not reached" in f.text for f in finding.why)


def test_with_a_tag_of_its_own_it_is_reached(bench: Bench) -> None:
    assert bench.judged(rule, shadowed(bench, Y2, rpath="$ORIGIN")) == []
    assert bench.judged(rule, shadowed(bench, Y2, runpath="$ORIGIN")) == []


def test_the_same_content_is_a_note(bench: Bench) -> None:
    (finding,) = bench.judged(rule, shadowed(bench, Y1))
    assert finding.severity is Severity.NOTE
