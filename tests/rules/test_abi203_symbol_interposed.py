"""ABI203: a reference goes to a copy it was not built against."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import SITE, Bench, paths, rules_of

from abicheck.model import Confidence, Severity
from abicheck.rules import abi203_symbol_interposed as rule

GLOBALLY = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '{}'), mode=ctypes.RTLD_GLOBAL)\n"
OTHER = "int g(void) { return 2; } int h(void) { return 3; } int use_g(void) { return g() + h(); }"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def opened(bench: Bench, name: str, source: str, code: str = GLOBALLY, theirs: str = OTHER) -> Path:
    """A wheel that opens a library of its own for the whole process; conda's tool has libnet.so.1."""
    own = bench.lib(f"a/{name}", source)
    net = bench.lib("b/libnet.so.1", theirs)
    bench.conda("tool", bench.ext("use_g", needed=("b/libnet.so.1",)), {"lib/libnet.so.1": net})
    return bench.wheel(bench.ext(), {f"grid/{name}": own}, code=code.format(name))


def test_a_stranger_of_the_same_name_serves_and_it_is_told(bench: Bench) -> None:
    (finding,) = bench.judged(rule, opened(bench, "libother.so", "int g(void) { return 1; }"))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI203", Severity.WARNING, Confidence.MEDIUM)
    assert any("instead of a function of its own" in f.text for f in finding.why)
    assert finding.depends_on == ("import-order",)
    assert finding.orders is not None
    assert (finding.orders.fails[0][0], finding.orders.works[0][-1]) == ("grid", "grid")
    assert f"{SITE}/grid/libother.so" in paths(finding) and "ELF-21" in rules_of(finding)
    assert finding.conda_package is not None and finding.conda_package.name == "tool"


def test_two_builds_of_one_library_that_mix_are_graver(bench: Bench) -> None:
    """The wheel's older libnet has g and not h: the rest of conda's libnet works on the other's data (ELF-27)."""
    (mixed,) = bench.judged(rule, opened(bench, "libnet-0a1b2c3d.so.1", "int g(void) { return 1; }"))
    assert mixed.severity >= Severity.WARNING
    assert any("functions of one build work on data of the other" in f.text for f in mixed.why)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ("__attribute__((weak)) int g(void) { return 1; }", OTHER),
        ("int g(void) { return 1; }", OTHER.replace("int g(", "__attribute__((weak)) int g(", 1)),
    ],
)
def test_inline_functions_are_notes(bench: Bench, mine: str, theirs: str) -> None:
    """Weak definitions are repeated in every library by design."""
    found = bench.judged(rule, opened(bench, "libother.so", mine, theirs=theirs))
    assert all(f.severity is Severity.NOTE for f in found)


@pytest.mark.parametrize(("name", "function"), [("libstdc++.so.6", "g"), ("libnet.so.1", "_ZdlPvm")])
def test_what_others_are_meant_to_replace_is_a_note(bench: Bench, name: str, function: str) -> None:
    """Libraries carry parts of a newer libstdc++ linked in, and replace its operators: everybody works on."""
    theirs = OTHER.replace("g(", f"{function}(").replace(f"use_{function}", "use_g")
    net = bench.lib(f"b/{name}", theirs)
    bench.conda("tool", bench.ext("use_g", needed=(f"b/{name}",)), {f"lib/{name}": net})
    own = bench.lib("a/libother.so", f"int {function}(void) {{ return 1; }}")
    wheel = bench.wheel(bench.ext(), {"grid/libother.so": own}, code=GLOBALLY.format("libother.so"))
    (finding,) = bench.judged(rule, wheel)
    assert finding.severity is Severity.NOTE


def test_one_runtime_for_another_is_a_note(bench: Bench) -> None:
    """An OpenMP runtime that is opened for all serves the users of another one: that is what it is made for."""
    gomp = "void GOMP_parallel(void) {} void GOMP_barrier(void) { GOMP_parallel(); }"
    kmp = f"{gomp} void __kmpc_fork_call(void) {{}} void __kmpc_global_thread_num(void) {{}}"
    net = bench.lib("b/libgomp.so.1", gomp)
    bench.conda("tool", bench.ext("GOMP_barrier", needed=("b/libgomp.so.1",)), {"lib/libgomp.so.1": net})
    own = bench.lib("a/libiomp5.so", kmp)
    wheel = bench.wheel(bench.ext(), {"grid/libiomp5.so": own}, code=GLOBALLY.format("libiomp5.so"))
    (finding,) = bench.judged(rule, wheel)
    assert finding.severity is Severity.NOTE


def test_opened_privately_it_interposes_nobody(bench: Bench) -> None:
    code = GLOBALLY.replace(", mode=ctypes.RTLD_GLOBAL", "")
    assert bench.judged(rule, opened(bench, "libother.so", "int g(void) { return 1; }", code)) == []


def test_names_that_nobody_shares_are_silence(bench: Bench) -> None:
    assert bench.judged(rule, opened(bench, "libother.so", "int nobody(void) { return 1; }")) == []


def test_a_library_that_binds_inside_is_silence(bench: Bench) -> None:
    theirs = OTHER.replace("int g(", '__attribute__((visibility("hidden"))) int g(')
    assert bench.judged(rule, opened(bench, "libother.so", "int g(void) { return 1; }", theirs=theirs)) == []
