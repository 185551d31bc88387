"""ABI602: importing the wheel changes the loader's state for whoever comes later."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import SITE, Bench, paths, rules_of

from abicheck.model import Confidence, Severity
from abicheck.rules import abi602_loader_state_changed as rule

OPEN = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libg.so.1'){})\n"
GLOBALLY = OPEN.format(", mode=ctypes.RTLD_GLOBAL")
G = "int g(void) { return 1; }"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_library_opened_for_everybody(bench: Bench) -> None:
    (finding,) = bench.judged(
        rule, bench.wheel(bench.ext(), {"grid/libg.so.1": bench.lib("a/libg.so.1", G)}, code=GLOBALLY)
    )
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI602", Severity.NOTE, Confidence.HIGH)
    assert finding.what == "`import grid` opens libg.so.1 for the whole process."
    assert finding.why[0].text == "grid/__init__.py:2 does it" and rules_of(finding) == ["ELF-20"]
    assert finding.key == "libg.so.1" and finding.depends_on == () and finding.orders is None
    assert paths(finding) == (f"{SITE}/grid/libg.so.1", None)


def test_opened_privately_it_changes_nothing(bench: Bench) -> None:
    wheel = bench.wheel(bench.ext(), {"grid/libg.so.1": bench.lib("a/libg.so.1", G)}, code=OPEN.format(""))
    assert bench.judged(rule, wheel) == []


def test_unless_it_takes_a_name_of_the_environment(bench: Bench) -> None:
    bench.conda("glib", files={"lib/libg.so.1": bench.lib("b/libg.so.1", G.replace("1", "2"))})
    own = bench.lib("a/libg.so.1", G)
    (finding,) = bench.judged(rule, bench.wheel(bench.ext(), {"grid/libg.so.1": own}, code=OPEN.format("")))
    assert finding.what == "`import grid` opens libg.so.1 by path; it serves every later request for libg.so.1."
    assert finding.severity is Severity.NOTE and rules_of(finding) == ["ELF-2"]


def test_code_that_may_not_run_is_silence(bench: Bench) -> None:
    code = "def later():\n" + "".join(f"    {line}\n" for line in GLOBALLY.splitlines())
    wheel = bench.wheel(bench.ext(), {"grid/libg.so.1": bench.lib("a/libg.so.1", G)}, code=code)
    assert bench.judged(rule, wheel) == []


def test_what_an_imported_neighbour_does_is_the_neighbour_s(bench: Bench) -> None:
    bench.conda("tool", bench.ext(), {f"{SITE}/tool/libg.so.1": bench.lib("a/libg.so.1", G)})
    (bench.maker.root / SITE / "tool" / "__init__.py").write_text(GLOBALLY)
    assert bench.judged(rule, bench.wheel(bench.ext(), code="import tool\n")) == []
