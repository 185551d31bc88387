"""ABI103: who is loaded first under a name serves everybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import Bench, paths, rules_of
from tests.rules.pairs_elf import GRID_FIRST, MINE, THEIRS, TOOL_FIRST, pair
from tests.wheel.making import make_wheel

from abicheck.model import Confidence, Severity
from abicheck.rules import abi103_library_captured as rule

Y1, Y2 = "int y(void) { return 1; }", "int y(void) { return 2; }"
CXX1, CXX2 = Y1.replace(" y(", " _Z1yv("), Y2.replace(" y(", " _Z1yv(")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_both_orders_are_told_and_c_libraries_are_a_note(bench: Bench) -> None:
    by_key = {f.orders.fails[0]: f for f in bench.judged(rule, pair(bench, Y1, Y2)) if f.orders}
    assert set(by_key) == {GRID_FIRST, TOOL_FIRST}
    finding = by_key[GRID_FIRST]
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI103", Severity.NOTE, Confidence.MEDIUM)
    assert finding.depends_on == ("import-order",) and finding.assumption == "if grid is imported first"
    assert finding.orders is not None and finding.orders.works == (), "the other order captures the wheel's copy"
    assert finding.key == "liby.so.1" and paths(finding) == (MINE, THEIRS)
    assert rules_of(finding) == ["ELF-1"]
    assert finding.conda_package is not None and finding.conda_package.name == "tool"
    assert paths(by_key[TOOL_FIRST]) == (THEIRS, MINE)


def test_references_to_cxx_functions_are_a_warning(bench: Bench) -> None:
    found = bench.judged(rule, pair(bench, CXX1, CXX2, "_Z1yv"))
    assert [f.severity for f in found] == [Severity.WARNING] * 2
    assert all(any("1 C++ reference" in x.text for x in f.why) for f in found)


def test_the_order_that_captures_nothing_is_told_as_the_one_that_works(bench: Bench) -> None:
    """The wheel opens its copy by path, a request that conda's cannot serve."""
    own, other = bench.lib("a/liby.so.1", Y1), bench.lib("b/liby.so.1", Y2)
    bench.conda("tool", bench.ext("y", needed=("b/liby.so.1",)), {THEIRS: other})
    code = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'liby.so.1'))\n"
    (finding,) = bench.judged(rule, bench.wheel(bench.ext(), {"grid/liby.so.1": own}, code=code))
    assert finding.orders is not None
    assert [order[0] for order in (*finding.orders.fails, *finding.orders.works)] == ["grid", "tool._ext"]


def test_equal_content_is_silence(bench: Bench) -> None:
    assert bench.judged(rule, pair(bench, Y1, Y1)) == []


def test_other_names_are_silence(bench: Bench) -> None:
    assert bench.judged(rule, pair(bench, Y1, Y2, name="liby-0a1b2c3d.so.1")) == []


def test_a_library_that_nobody_else_wants_is_silence(bench: Bench) -> None:
    own = bench.lib("a/liby.so.1", Y1)
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("b/liby.so.1", Y2)})
    wheel = bench.wheel(bench.ext("y", needed=("a/liby.so.1",), rpath="$ORIGIN"), {"grid/liby.so.1": own})
    assert bench.judged(rule, wheel) == []


@pytest.mark.parametrize(
    ("name", "theirs", "severity"),
    [("cudnn", "9.1.0", Severity.WARNING), ("cudnn", "9.10.2", Severity.NOTE), ("ynet", "9.1.0", Severity.NOTE)],
)
def test_a_library_whose_users_refuse_an_older_one(bench: Bench, name: str, theirs: str, severity: Severity) -> None:
    """cuDNN's soname has the major number only; who was built for 9.5 compares when it runs."""
    own = bench.lib(f"a/lib{name}.so.9", Y1)
    ext = bench.ext("y", needed=(f"a/lib{name}.so.9",), rpath=f"$ORIGIN/../nvidia/{name}/lib")
    other = bench.lib(f"b/lib{name}.so.9", Y2)
    bench.maker.record(name, theirs, {f"lib/lib{name}.so.9": other})
    bench.conda("tool", bench.ext("y", needed=(f"b/lib{name}.so.9",)))
    grid = bench.wheel(ext)
    brought = {f"nvidia/{name}/lib/lib{name}.so.9": own}
    libraries = make_wheel(bench.folder / "wheels", f"nvidia_{name}_cu12", "9.5.0.50", brought, tag="py3-none-any")
    found = {f.orders.fails[0]: f for f in bench.judged(rule, grid, libraries) if f.orders}
    after_conda, after_wheel = found["tool._ext", "grid"], found["grid", "tool._ext"]
    assert after_conda.severity is severity
    assert any(f"{theirs} serves instead of 9.5.0.50" in f.text for f in after_conda.why) is (severity > Severity.NOTE)
    # The newer one harms conda's users only where it is the older one.
    assert (after_wheel.severity > Severity.NOTE) is (name == "cudnn" and theirs == "9.10.2")
