"""ABI205: the process dies instead of raising ImportError."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.loader.elf_worlds import MODERN
from tests.rules.made_elf import EXT, SITE, Bench, paths, rules_of

from abicheck.model import Confidence, Severity
from abicheck.rules import abi205_load_aborts as rule

Y = "int y(void) { return 1; }"
V1 = {"version_script": "V1 { y; };"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_version_need_without_its_library(bench: Bench) -> None:
    own = bench.lib("a/liby.so.1", Y, **V1)
    bench.ext("y", needed=("a/liby.so.1",), rpath="$ORIGIN")
    whole = bytes(bench.world.data("ext/_ext.so"))
    bench.world.dynamic("ext/_ext.so", "DT_NEEDED", to=0x6FFFFEF0)
    patched = bytes(bench.world.data("ext/_ext.so"))
    assert bench.judged(rule, bench.wheel(whole, {"grid/liby.so.1": own})) == []
    (finding,) = bench.judged(rule, bench.wheel(patched, {"grid/liby.so.1": own}))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI205", Severity.ERROR, Confidence.HIGH)
    assert finding.what.startswith(f"`import grid._ext` will end the process: {EXT} asks for versions of liby.so.1")
    assert finding.key == "liby.so.1" and finding.depends_on == () and finding.orders is None
    assert paths(finding)[0] == f"{SITE}/grid/{EXT}" and set(rules_of(finding)) == {"ELF-37"}


@pytest.mark.parametrize(("glibc", "found"), [((2, 40), 1), ((2, 41), 0)])
def test_an_unversioned_library_where_a_versioned_one_is_meant(
    bench: Bench, glibc: tuple[int, int], found: int
) -> None:
    bench.lib("a/liby.so.1", Y, **V1)
    ext = bench.ext("y", needed=("a/liby.so.1",))
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("b/liby.so.1", Y)})
    findings = bench.judged(rule, bench.wheel(ext), host=replace(MODERN, glibc=glibc))
    assert len(findings) == found
    for finding in findings:
        assert finding.severity is Severity.ERROR and finding.confidence is Confidence.MEDIUM
        assert finding.depends_on == ("host",) and rules_of(finding) == ["ELF-39"]
