"""ABI201: the file that serves lacks a version node."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import EXT, SITE, Bench, paths, rules_of
from tests.rules.pairs_elf import GRID_FIRST, MINE, THEIRS, TOOL_FIRST, pair

from abicheck.model import Confidence, Severity
from abicheck.rules import abi201_symbol_version_missing as rule

Y, YZ = "int y(void) { return 1; }", "int y(void) { return 1; } int z(void) { return 2; }"
OLD, NEW = {"version_script": "V1 { y; };"}, {"version_script": "V1 { y; }; V2 { z; } V1;"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_environment_s_library_is_too_old(bench: Bench) -> None:
    new = bench.lib("a/liby.so.1", YZ, **NEW)
    assert new
    ext = bench.ext("y z", needed=("a/liby.so.1",))
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("b/liby.so.1", Y, **OLD)})
    (finding,) = bench.judged(rule, bench.wheel(ext))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI201", Severity.ERROR, Confidence.HIGH)
    assert finding.what == "`import grid._ext` will fail: version `V2' not found in the liby.so.1 it gets."
    assert finding.depends_on == () and finding.key == "V2" and finding.orders is None
    assert paths(finding) == (f"{SITE}/grid/{EXT}", "lib/liby.so.1") and rules_of(finding)[0] == "ELF-36"
    assert finding.conda_package is not None and finding.conda_package.name == "ylib"
    assert (finding.remedies[0].text, finding.remedies[0].command) == (
        "or a later ylib, if it has V2", 'conda install -n env "ylib>1.0"'
    )  # fmt: skip


def test_the_wheel_s_old_copy_breaks_the_environment_in_one_order(bench: Bench) -> None:
    """The wheel loads, and loads fine with anybody; what fails is conda's own package, and only after it."""
    (finding,) = bench.judged(rule, pair(bench, Y, YZ, "y", "y z", mine_as=OLD, theirs_as=NEW))
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.MEDIUM), "the gate fails for it"
    assert finding.what == (
        "`import tool._ext` will fail if grid is imported first: version `V2' not found in the liby.so.1 it gets."
    )
    assert finding.depends_on == ("import-order",) and finding.key == "V2"
    assert finding.orders is not None
    assert (finding.orders.fails, finding.orders.works) == ((GRID_FIRST,), (TOOL_FIRST,))
    assert paths(finding) == (f"{SITE}/tool/{EXT}", MINE)
    assert rules_of(finding) == ["ELF-36", "ELF-2"]
    assert finding.wheel is not None and finding.wheel.name == "grid"
    assert finding.conda_package is not None and finding.conda_package.name == "tool"
    assert finding.remedies[0].command == "python -c 'import tool._ext; import grid'"


def test_a_module_that_only_a_function_of_the_neighbour_imports_fails_no_gate(bench: Bench) -> None:
    wheel = pair(bench, Y, YZ, "y", "y z", mine_as=OLD, theirs_as=NEW)
    (bench.maker.root / SITE / "tool" / "__init__.py").write_text("def later():\n    from . import _ext\n")
    (finding,) = bench.judged(rule, wheel)
    assert finding.severity is Severity.NOTE and "would fail if grid is imported first" in finding.what


def _parts(bench: Bench, *names: str, good: str = "") -> Path:
    """A wheel whose import loads nothing: its users import the modules, which bring their own new liby.so.1. The
    environment's ``tool`` has an old one."""
    suffix = EXT.removeprefix("_ext")
    own = bench.lib("a/liby.so.1", YZ, **NEW)
    files = {"grid.libs/liby.so.1": own}
    for n in names:
        calls = "" if n == good else "z"
        needed = () if n == good else ("a/liby.so.1",)
        files[f"grid/{n}{suffix}"] = bench.ext(calls, needed=needed, name=n, rpath="$ORIGIN/../grid.libs")
    old = bench.lib("b/liby.so.1", Y, **OLD)
    bench.conda("tool", bench.ext("y", needed=("b/liby.so.1",)), {THEIRS: old})
    return bench.wheel(None, files)


def test_most_modules_of_a_project_that_loads_nothing_by_itself(bench: Bench) -> None:
    """Nobody can use it without one of them: no word on what the program imports is needed, one finding tells all."""
    (finding,) = bench.judged(rule, _parts(bench, "core", "draw", "_glue", "plain", good="plain"))
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.MEDIUM)
    assert finding.what.startswith("`import grid.core` will fail if tool._ext is imported first: ")
    assert finding.depends_on == ("import-order",)
    assert any(f.text == "3 modules fail in this way: grid.core, grid.draw, grid._glue" for f in finding.why)


@pytest.mark.parametrize("names", [("_one", "_two"), ("one", "plain")])
def test_half_of_the_modules_or_private_ones_may_never_be_imported(bench: Bench, names: tuple[str, ...]) -> None:
    (finding,) = bench.judged(rule, _parts(bench, *names, good="plain"))
    assert finding.severity is Severity.WARNING and "python-code" in finding.depends_on


def test_the_newer_copy_of_the_wheel_harms_nobody(bench: Bench) -> None:
    assert bench.judged(rule, pair(bench, YZ, Y, "y", "y", mine_as=NEW, theirs_as=OLD)) == []


def test_a_mangled_name_harms_nobody(bench: Bench) -> None:
    wheel = pair(bench, Y, YZ, "y", "y z", mine_as=OLD, theirs_as=NEW, name="liby-0a1b2c3d.so.1")
    assert bench.judged(rule, wheel) == []
