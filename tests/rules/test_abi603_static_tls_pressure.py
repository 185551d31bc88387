"""ABI603: how much of glibc's reserve for thread-local storage a project takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import EXT, SITE, Bench, paths, rules_of

from abicheck.loader.glibc_checks import TLS_SURPLUS
from abicheck.model import Confidence, Severity
from abicheck.rules import abi603_static_tls_pressure as rule


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def wheel(bench: Bench, size: int, model: str = "initial-exec") -> Path:
    source = f"static __thread char t[{size}]; void *PyInit__ext(void) {{ return &t[1]; }}"
    return bench.wheel(bench.lib("ext/_ext.so", source, f"-ftls-model={model}", soname=None))


def test_most_of_the_reserve_is_a_warning(bench: Bench) -> None:
    (finding,) = bench.judged(rule, wheel(bench, 1300))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI603", Severity.WARNING, Confidence.MEDIUM)
    assert f"takes 1300 of about {TLS_SURPLUS} bytes of static TLS" in finding.what
    assert finding.depends_on == ("host",) and finding.assumption == "with glibc's default tunables"
    assert finding.key == EXT and paths(finding) == (f"{SITE}/grid/{EXT}", None)
    assert rules_of(finding) == ["ELF-45"] and finding.orders is None
    assert finding.why[1].text == f"1 library takes part: {EXT}"


def test_what_another_library_reaches_into_counts_as_that_library_s(bench: Bench) -> None:
    own = bench.lib("a/libt.so.1", "__thread char t[1300];")
    source = "extern __thread char t[1300]; void *PyInit__ext(void) { return &t[1]; }"
    options = {"needed": ("a/libt.so.1",), "soname": None, "rpath": "$ORIGIN/../grid.libs"}
    ext = bench.lib("ext/_ext.so", source, "-ftls-model=initial-exec", **options)
    (finding,) = bench.judged(rule, bench.wheel(ext, {"grid.libs/libt.so.1": own}))
    assert "takes 1312 of" in finding.what and finding.key == "libt.so.1"  # 32 bytes apart


def test_a_part_of_it_is_silence(bench: Bench) -> None:
    assert bench.judged(rule, wheel(bench, 600)) == []


def test_what_does_not_fit_at_all_is_abi102_s(bench: Bench) -> None:
    assert bench.judged(rule, wheel(bench, 3000)) == []


def test_tls_that_is_allocated_late_takes_nothing(bench: Bench) -> None:
    assert bench.judged(rule, bench.wheel(bench.ext())) == []
