"""ABI204: two definitions of one static object become one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import SITE, Bench, paths, rules_of

from abicheck.model import Confidence, Severity
from abicheck.rules import abi204_state_merged as rule

STATIC = (
    "template<class T> struct S {{ static int v[{0}]; }}; template<class T> int S<T>::v[{0}]; "
    'extern "C" int y(void) {{ return S<int>::v[0]++; }}'
)
CONSTANT = STATIC.replace("static int v", "static const int v").replace(
    "int S<T>::v[{0}]", "const int S<T>::v[{0}] = {{1}}"
)
CONSTANT = CONSTANT.replace("v[0]++", "v[1]")
SYMBOL = "_ZN1SIiE1vE"
RUNTIME = """
extern "C" int __cxa_guard_acquire(long long *g) {{ return !*g; }}
extern "C" void __cxa_guard_release(long long *g) {{ *g = 1; }}
char heap[1024];
void *operator new(decltype(sizeof 0)) {{ return heap; }}
"""
# An object made at run time: the pointer that the function keeps has one size, what it points to has that of a build.
MADE = (
    RUNTIME
    + """
template<class T> struct S {{ long room[{0}]; static S *get() {{ static S *v = new S; return v; }} }};
extern "C" int y(void) {{ return S<int>::get()->room[0]++; }}
"""
)
# The whole object lies in the static storage, so its size tells its layout.
KEPT = (
    RUNTIME
    + """
int made(void) {{ return 1; }}
template<class T> struct S {{ long room[3]; S() {{ room[0] = made(); }}
                             static S *get() {{ static S v; return &v; }} }};
extern "C" int y(void) {{ return S<int>::get()->room[0]++; }}
"""
)
HIDDEN_SIZE = MADE.replace("new S;", "make();") + "template<class T> S<T> *S<T>::make() {{ return new S; }}"
HIDDEN_SIZE = HIDDEN_SIZE.replace("static S *get()", "static S *make(); static S *get()")
FIRST = "-O2", "-w", "-fno-exceptions"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def two(bench: Bench, mine: str, theirs: str, *flags: str) -> Path:
    own = bench.lib("a/libone.so", mine, *flags, language="c++")
    ext = bench.ext("y", needed=("a/libone.so",), rpath="$ORIGIN")
    other = bench.lib("b/libtwo.so", theirs + " int other;", *flags, language="c++")
    bench.conda("tool", bench.ext("y", needed=("b/libtwo.so",)), {"lib/libtwo.so": other})
    return bench.wheel(ext, {"grid/libone.so": own})


def test_another_size_is_an_error_in_both_orders(bench: Bench) -> None:
    found = {
        f.orders.fails[0]: f for f in bench.judged(rule, two(bench, STATIC.format(4), STATIC.format(8))) if f.orders
    }
    assert set(found) == {("grid", "tool._ext"), ("tool._ext", "grid")}
    finding = found["grid", "tool._ext"]
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI204", Severity.ERROR, Confidence.MEDIUM)
    assert "will share 1 static object with wheel grid 2.0" in finding.what
    assert finding.depends_on == ("import-order",) and SYMBOL in finding.key
    assert all(f.orders is not None and f.orders.works == () for f in found.values())  # each order has its victim
    assert paths(finding) == ("lib/libtwo.so", f"{SITE}/grid/libone.so") and rules_of(finding) == ["ELF-30"]
    assert any(f"{SYMBOL} of 32 bytes" in f.text for f in finding.why) and any(
        "16 bytes" in f.text for f in finding.why
    )


def test_the_same_size_is_a_note(bench: Bench) -> None:
    found = bench.judged(rule, two(bench, STATIC.format(4), STATIC.format(4)))
    assert {f.severity for f in found} == {Severity.NOTE}


def test_constants_of_one_size_are_silence(bench: Bench) -> None:
    assert bench.judged(rule, two(bench, CONSTANT.format(4), CONSTANT.format(4))) == []


def test_weak_definitions_stay_apart(bench: Bench) -> None:
    """clang and ``-fno-gnu-unique`` make weak symbols, which nothing merges across private scopes."""
    assert bench.judged(rule, two(bench, STATIC.format(4), STATIC.format(8), "-fno-gnu-unique")) == []


def test_one_library_alone_is_silence(bench: Bench) -> None:
    own = bench.lib("a/libone.so", STATIC.format(4), language="c++")
    wheel = bench.wheel(bench.ext("y", needed=("a/libone.so",), rpath="$ORIGIN"), {"grid/libone.so": own})
    assert bench.judged(rule, wheel) == []


def test_made_objects_of_one_size_are_a_note(bench: Bench) -> None:
    """As two builds of one release, the one inside an extension module: real processes run in both orders."""
    found = bench.judged(rule, two(bench, MADE.format(8), MADE.format(8), *FIRST))
    assert len(found) == 2 and {f.severity for f in found} == {Severity.NOTE}
    assert all("will share 1 static object with" in f.what for f in found)  # its guard is no object of its own


def test_a_made_object_of_another_size_is_a_warning(bench: Bench) -> None:
    """Who makes the object is who calls first, not who is loaded first: code of the larger build may run past its end.
    (In a real process: the mutex that it expects there is asserted upon or not, by what the heap holds.)"""
    found = {
        f.orders.fails[0]: f for f in bench.judged(rule, two(bench, MADE.format(4), MADE.format(8), *FIRST)) if f.orders
    }
    assert set(found) == {("grid", "tool._ext"), ("tool._ext", "grid")}
    assert {f.severity for f in found.values()} == {Severity.WARNING}
    texts = [f.text for f in found["grid", "tool._ext"].why]
    assert any("makes an object of 64 bytes for it" in t for t in texts)
    assert any("makes an object of 32 bytes for it; it is loaded first" in t for t in texts)


def test_a_made_object_of_unknown_size_is_a_warning(bench: Bench) -> None:
    found = bench.judged(rule, two(bench, HIDDEN_SIZE.format(8), HIDDEN_SIZE.format(8), "-O0", *FIRST[1:]))
    assert len(found) == 2 and {f.severity for f in found} == {Severity.WARNING}


def test_an_object_that_is_kept_itself_shows_its_size(bench: Bench) -> None:
    found = bench.judged(rule, two(bench, KEPT.format(), KEPT.format(), *FIRST))
    assert len(found) == 2 and {f.severity for f in found} == {Severity.NOTE}
