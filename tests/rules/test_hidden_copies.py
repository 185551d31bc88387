"""ABI301 and ABI302: copies of runtimes inside files of other purposes, where two of them meet."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import SITE, Bench, paths

from abicheck.model import Severity
from abicheck.rules import abi301_duplicate_openmp as openmp
from abicheck.rules import abi302_duplicate_runtime as runtime

KMP = 'extern "C" const char *y(int n) { return n ? "__KMP_REGISTERED_LIB_%d" : "LLVM OMP version: 5.0.20140926"; }'
USES = 'extern "C" const char *y(int n) { return n ? "KMP_BLOCKTIME" : "libomp.so"; }'
# A registry with a guard, made at run time, as protobuf's are; beside it the text of protobuf's own message.
PROTOBUF = """
namespace google { namespace protobuf { inline int make() { volatile int n = %d; return n; }
template <class T> struct Registry { static T &get() { static T v = make(); return v; } }; } }
extern "C" const char *message() { return "File already exists in database: "; }
extern "C" int y(void) { return ++google::protobuf::Registry<int>::get(); }
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def static(bench: Bench, where: str, source: str, *flags: str) -> bytes:
    """An extension with a runtime inside."""
    init = 'extern "C" void *PyInit__ext(void) { return 0; }'
    more = ("-fno-threadsafe-statics", *flags)  # no C++ runtime to ask
    return bench.lib(f"{where}/_ext.so", f"{source}\n{init}", *more, language="c++", soname=None)


def test_a_static_openmp_of_the_environment(bench: Bench) -> None:
    bench.conda("tool", static(bench, "a", KMP))
    own = bench.lib("b/libiomp5.so", 'extern "C" int z(void) { return 1; }', language="c++")
    made = bench.wheel(bench.ext("z", needed=("b/libiomp5.so",), rpath="$ORIGIN"), {"grid/libiomp5.so": own})
    (f,) = bench.judged(openmp, made)
    assert f.severity is Severity.ERROR and "the process will abort" in f.what
    assert paths(f) == (f"{SITE}/grid/libiomp5.so", f"{SITE}/tool/_ext.cpython-312-x86_64-linux-gnu.so")
    assert any("__KMP_REGISTERED_LIB_" in w.text and "linked into this file" in w.text for w in f.why)


def test_a_library_that_only_speaks_of_openmp(bench: Bench) -> None:
    bench.conda("tool", static(bench, "a", USES))
    own = bench.lib("b/libiomp5.so", 'extern "C" int z(void) { return 1; }', language="c++")
    made = bench.wheel(bench.ext("z", needed=("b/libiomp5.so",), rpath="$ORIGIN"), {"grid/libiomp5.so": own})
    assert bench.judged(openmp, made) == []


def test_static_copies_whose_registries_are_merged(bench: Bench) -> None:
    bench.conda("tool", static(bench, "a", PROTOBUF % 1))
    found = bench.judged(runtime, bench.wheel(static(bench, "b", PROTOBUF % 2)))
    assert [(f.severity, f.runtime) for f in found] == [(Severity.ERROR, "protobuf")]
    assert "6google8protobuf" in next(w.symbol for w in found[0].why if w.symbol)


def test_static_copies_that_stay_apart(bench: Bench) -> None:
    bench.conda("tool", static(bench, "a", PROTOBUF % 1, "-fvisibility=hidden"))
    assert bench.judged(runtime, bench.wheel(static(bench, "b", PROTOBUF % 2, "-fvisibility=hidden"))) == []


def test_a_merged_object_of_something_else(bench: Bench) -> None:
    """Both have protobuf inside, and what is merged is not its own."""
    other = PROTOBUF.replace("namespace google { namespace protobuf", "namespace mine { namespace things")
    other = other.replace("google::protobuf::", "mine::things::")
    bench.conda("tool", static(bench, "a", other % 1))
    assert bench.judged(runtime, bench.wheel(static(bench, "b", other % 2))) == []
