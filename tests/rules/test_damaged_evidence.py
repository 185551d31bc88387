"""Findings of the gate that rest on a damaged file of conda say so; a whole environment gets no such word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.rules.made_elf import Bench

from abicheck.engine import check
from abicheck.model import Confidence, Fact, FileRef, Finding, Origin, Remedy, Severity
from abicheck.prefix import open_prefix
from abicheck.report import CheckOptions
from abicheck.rules.damaged_evidence import tell_damage

Y = "int y(void) { return 1; }"
OTHER = "int z(void) { return 1; }"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def errors(bench: Bench, wheel: Path) -> list[Finding]:
    found = check([str(wheel)], prefix=str(bench.maker.root), options=CheckOptions(host="glibc=2.41", use_cache=False))
    return [f for f in found.findings if f.rule != "ABI505" and f.severity != "note"]


def words(finding: Finding) -> list[str]:
    return [f.text for f in finding.why if f.loader_rule == "PY-13"]


def test_a_library_that_was_cut_off_after_conda_linked_it(bench: Bench) -> None:
    whole = bench.lib("x/liby.so.1", Y)
    bench.conda("ylib", files={"lib/liby.so.1": whole})
    wheel = bench.wheel(bench.ext("y", needed=("x/liby.so.1",)))
    assert errors(bench, wheel) == []
    bench.maker.write("lib/liby.so.1", whole[:100])
    (finding,) = errors(bench, wheel)
    assert words(finding) == [f"is not what conda linked: it ends after 100 of {len(whole)} bytes"]


def test_any_file_that_a_finding_names(tmp_path: Path) -> None:
    """Evidence counts as well as subject and object; notes are not worth the reading."""
    maker = Maker(tmp_path / "env")
    maker.python()
    maker.record("ylib", "1.0", {"lib/liby.so.1": b"conda's", "lib/libw.so.1": b"whole"})
    maker.write("lib/liby.so.1", b"somebody else's")
    origin = Origin("conda", "ylib", "1.0")
    why = (Fact("lacks it", FileRef("lib/liby.so.1", origin)), Fact("has it", FileRef("lib/libw.so.1", origin)))
    finding = Finding(
        rule="ABI201", severity=Severity.ERROR, confidence=Confidence.HIGH, what="It will fail.", why=why,
        remedies=(Remedy("do it"),), key="y",
    )  # fmt: skip
    prefix = open_prefix(str(maker.root))
    (told,) = tell_damage(prefix, [finding])
    assert words(told) == ["is not what conda linked: it was altered since"]
    note = replace(finding, severity=Severity.NOTE)
    assert tell_damage(prefix, [note]) == (note,)


def test_a_library_that_never_had_it_is_no_damage(bench: Bench) -> None:
    bench.lib("x/liby.so.1", Y)
    wheel = bench.wheel(bench.ext("y", needed=("x/liby.so.1",)))
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("z/liby.so.1", OTHER)})
    (finding,) = errors(bench, wheel)
    assert words(finding) == []
