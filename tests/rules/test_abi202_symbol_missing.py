"""ABI202: the file that serves lacks a symbol."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import EXT, SITE, Bench, paths, rules_of
from tests.rules.pairs_elf import GRID_FIRST, MINE, TOOL_FIRST, pair

from abicheck.model import Confidence, Severity
from abicheck.rules import abi202_symbol_missing as rule

Y, YZ = "int y(void) { return 1; }", "int y(void) { return 1; } int z(void) { return 2; }"
NEW, OLD = "_Z1fRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", "_Z1fRKSs"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def function(name: str) -> str:
    return f"int {name}(void) {{ return 1; }}"


def test_the_environment_s_library_lacks_it(bench: Bench) -> None:
    bench.lib("a/liby.so.1", YZ)
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("b/liby.so.1", Y)})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("y z", needed=("a/liby.so.1",))))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI202", Severity.ERROR, Confidence.HIGH)
    assert finding.what == "`import grid._ext` will fail: undefined symbol z."
    assert finding.key == "z" and finding.depends_on == () and finding.orders is None
    assert paths(finding)[0] == f"{SITE}/grid/{EXT}" and rules_of(finding) == ["ELF-44"]


def test_the_wheel_s_copy_breaks_the_environment_in_one_order(bench: Bench) -> None:
    (finding,) = bench.judged(rule, pair(bench, Y, YZ, "y", "y z"))
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.MEDIUM)
    assert finding.orders is not None
    assert (finding.orders.fails, finding.orders.works) == ((GRID_FIRST,), (TOOL_FIRST,))
    assert finding.depends_on == ("import-order",) and finding.key == "z"
    assert finding.conda_package is not None and finding.conda_package.name == "tool"
    # The reference has no version that would name the library: what served it alone does.
    assert paths(finding)[:2] == (f"{SITE}/tool/{EXT}", MINE) and "ELF-2" in rules_of(finding)
    assert finding.object is not None and finding.object.path == MINE
    assert finding.why[0].text == "needs z from liby.so.1"


def test_of_a_symbol_in_a_version_the_symbol_is_named(bench: Bench) -> None:
    """The version node is there, the symbol is not in it (ELF-38)."""
    script = {"version_script": "V1 { y; z; };"}
    bench.lib("a/liby.so.1", YZ, **script)
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("b/liby.so.1", Y, **script)})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("y z", needed=("a/liby.so.1",))))
    assert finding.why[0].text == "needs z from liby.so.1" and finding.why[0].version == "V1"
    assert paths(finding) == (f"{SITE}/grid/{EXT}", "lib/liby.so.1")
    assert finding.remedies[0].command == 'conda install -n env "ylib>1.0"'


def test_a_variable_of_the_shell_that_leads_past_the_wheel_s_own_copy(bench: Bench) -> None:
    """LD_LIBRARY_PATH beats a DT_RUNPATH (ELF-6): the file that was taken is named, not only who fails."""
    own = bench.lib("a/liby.so.1", YZ)
    ext = bench.ext("z", needed=("a/liby.so.1",), runpath="$ORIGIN/../grid.libs")
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("b/liby.so.1", Y)})
    wheel = bench.wheel(ext, {"grid.libs/liby.so.1": own})
    assert list(rule.check(bench.scene(wheel))) == []
    env = {"LD_LIBRARY_PATH": f"{bench.maker.root}/lib"}
    (finding,) = rule.check(bench.scene(wheel, env=env))
    assert paths(finding) == (f"{SITE}/grid/{EXT}", "lib/liby.so.1")
    assert finding.why[0].text == "needs z from liby.so.1"
    assert finding.conda_package is not None and finding.conda_package.name == "ylib"


def test_a_symbol_that_nobody_displaced_has_no_library(bench: Bench) -> None:
    """A load that fails for its own reasons in every order is not blamed on a library of another name."""
    bench.conda("tool", bench.ext("y", needed=()), {"lib/liby.so.1": bench.lib("b/liby.so.1", Y)})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("nothere")))
    assert finding.object is None and finding.why[0].text == "is what cannot be loaded"


def test_the_twin_with_the_other_string_is_named(bench: Bench) -> None:
    bench.lib("a/libs.so.1", function(NEW))
    bench.conda("slib", files={"lib/libs.so.1": bench.lib("b/libs.so.1", function(OLD))})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext(NEW, needed=("a/libs.so.1",))))
    twin = finding.why[-1]
    assert twin.symbol == OLD and twin.loader_rule == "CL-8"
    assert twin.file is not None and twin.file.path == "lib/libs.so.1"


def test_a_function_that_only_shifts_its_references_is_no_twin(bench: Bench) -> None:
    """``S0_`` and ``S1_`` are blanked to compare names; two plain functions are not each other's twins for that."""
    bench.lib("a/libs.so.1", function("_Z1fP1AS0_"))
    bench.conda("slib", files={"lib/libs.so.1": bench.lib("b/libs.so.1", function("_Z1fP1AS1_"))})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("_Z1fP1AS0_", needed=("a/libs.so.1",))))
    assert [f.loader_rule for f in finding.why if f.loader_rule] == ["ELF-44"]


def test_a_weak_reference_is_silence(bench: Bench) -> None:
    source = "__attribute__((weak)) int z(void); void *PyInit__ext(void) { return z ? (void *)1 : 0; }"
    assert bench.judged(rule, bench.wheel(bench.lib("ext/_ext.so", source, soname=None))) == []


def test_the_c_api_is_another_rule_s_affair(bench: Bench) -> None:
    assert bench.judged(rule, bench.wheel(bench.ext("PyNothing_Known"))) == []


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs", True),
        ("_ZN3c105ErrorC2ENS_14SourceLocationESs", True),
        ("_ZN5Class3SsaEv", False),
        ("_Z1fRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", False),
        ("lessSs", False),
    ],
)
def test_the_old_string_is_known_by_its_place_in_the_name(name: str, old: bool) -> None:
    assert rule.is_old(name) is old


def test_no_order_is_told_as_working_when_each_breaks_the_other(bench: Bench) -> None:
    """Each library has a function that the other lacks: whoever is imported second fails."""
    found = bench.judged(rule, pair(bench, Y + " int a(void) { return 1; }", YZ, "y a", "y z"))
    fails = {f.orders.fails[0] for f in found if f.orders}
    assert fails == {GRID_FIRST, ("tool._ext", "grid._ext")}
    assert all(f.orders is not None and f.orders.works == () for f in found)
    assert not any("order that works" in r.text for f in found for r in f.remedies)
