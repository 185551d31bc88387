"""The table of runtimes: whole, sourced, quiet by default, and right about names, exports and consequences."""

import pytest

from abicheck.knowledge import runtimes
from abicheck.knowledge.runtimes import Recognised, consequence, families, family, recognise

SYSTEMS = runtimes.SYSTEMS


def test_every_row_has_a_source_and_a_date() -> None:
    for f in families():
        assert f.rule in ("ABI301", "ABI302", "ABI303")
        assert f.state and f.pairs
        for row in (*f.members, *f.pairs):
            assert row.source and row.date


def test_families_asked_for_are_there() -> None:
    have = {f.name for f in families()}
    assert have >= {
        "openmp", "cxx", "blas", "tbb", "mpi", "cuda", "qt", "sdl", "glib", "hdf5", "netcdf", "gdal", "proj", "geos",
        "protobuf", "grpc", "abseil", "openssl", "sqlite", "libxml2", "python", "malloc", "ffmpeg", "llvm", "java",
    }  # fmt: skip


def test_two_copies_that_merely_live_side_by_side_are_at_most_a_note() -> None:
    """The table must not cry wolf: only pairs that are known to end a process may say more (corpus N01-N24)."""
    loud = {(f.name, p.members) for f in families() for p in f.pairs if p.when == "live" and p.severity != "note"}
    assert loud == {
        ("openmp", ("kmp", "kmp")),
        ("blas", ("mkl", "mklml")),
        ("tbb", ("tbbmalloc_proxy", "tbbmalloc_proxy")),
        ("mpi", ("*", "*")),
        ("qt", ("*", "*")),
        ("java", ("jvm", "jvm")),
    }


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("libomp.so.5", ("openmp", "kmp")),
        ("libiomp5.so", ("openmp", "kmp")),
        ("libiomp5md.dll", ("openmp", "kmp")),
        ("libomp140.x86_64.dll", ("openmp", "kmp")),
        ("libgomp-a34b3233.so.1.0.0", ("openmp", "gnu")),
        ("vcomp140.dll", ("openmp", "vcomp")),
        ("libscipy_openblas64_-56d6093b.so", ("blas", "openblas")),
        ("libgdal-rasterio-1b1cfd8e.so.34", ("gdal", "gdal")),
        ("libQt5Core-d92f2856.so.5.15.0", ("qt", "qt5")),
        ("Qt6Core.dll", ("qt", "qt6")),
        ("libhdf5_serial.so.103", ("hdf5", "hdf5")),
        ("libtbb.so.12", ("tbb", "tbb")),
        ("libcrypto-e63abc84.so.1.1", ("openssl", "libcrypto")),
    ],
)
def test_names(identity: str, expected: tuple[str, str]) -> None:
    got = recognise(identity)
    assert got is not None and (got.family, got.member) == expected


@pytest.mark.parametrize(
    "identity",
    ["libgfortran.so.5", "libz.so.1", "libiompstubs5.so", "libtbbbind.so.3", "libompd.so", "libgomp-plugin-nvptx.so.1",
     "libprojection.so.1", "libgeoshape.so", "libmpicalc.so", "libssl.so.3", "libQt5Gui.so.5", "libpng16.so.16"],
)  # fmt: skip
def test_other_names(identity: str) -> None:
    assert recognise(identity) is None


def test_a_runtime_without_a_telling_name_is_known_by_its_exports() -> None:
    kmp = {"__kmpc_fork_call", "__kmpc_global_thread_num", "GOMP_parallel", "GOMP_barrier"}
    assert recognise("_solver.so", "", kmp.__contains__) == Recognised("openmp", "kmp", "exports")
    gnu = {"GOMP_parallel", "GOMP_barrier"}
    assert recognise(None, "_solver.so", gnu.__contains__) == Recognised("openmp", "gnu", "exports")
    assert recognise("_solver.so", "", {"PyInit__solver"}.__contains__) is None


def test_a_runtime_without_descriptors_cannot_fill_a_second_table() -> None:
    """protobuf's lite runtime has no table of descriptors; only full ones end a process when they meet on Linux."""
    verify = "_ZN6google8protobuf8internal13VerifyVersionEiiPKc"
    pool = "_ZN6google8protobuf14DescriptorPool14generated_poolEv"
    lite, full = recognise("_a.so", "", {verify}.__contains__), recognise("_a.so", "", {verify, pool}.__contains__)
    assert lite is not None and full is not None
    assert (lite.member, full.member) == ("protobuf-lite", "protobuf")
    named = recognise("libprotobuf-lite.so.32")
    assert named is not None and named.member == "protobuf-lite"
    meets = frozenset({"meet"})
    for other, loud in (("protobuf", True), ("protobuf-lite", False)):
        row = consequence("protobuf", other, "protobuf", "linux", meets)
        assert row is not None and (row.severity == "error") is loud
    mac = consequence("protobuf", "protobuf-lite", "protobuf", "osx", meets)
    assert mac is not None and mac.severity == "error"


def test_exports_overrule_a_name_of_the_same_family() -> None:
    """conda's libgomp.so.1 can be LLVM's library under another name (RT-1)."""
    kmp = {"__kmpc_fork_call", "__kmpc_global_thread_num"}
    got = recognise("libgomp.so.1", "", kmp.__contains__)
    assert got is not None and got.member == "kmp"


def test_error_15_on_every_system() -> None:
    for system in SYSTEMS:
        row = consequence("openmp", "kmp", "kmp", system, frozenset())
        assert row is not None and (row.outcome, row.severity, row.confidence) == ("abort", "error", "medium")


def test_mixed_openmp_does_not_abort() -> None:
    for a, b in (("gnu", "gnu"), ("kmp", "gnu"), ("gnu", "kmp")):
        row = consequence("openmp", a, b, "linux", frozenset())
        assert row is not None and row.severity == "note"


def test_hdf5_aborts_only_when_symbols_meet() -> None:
    apart = consequence("hdf5", "hdf5", "hdf5", "linux", frozenset())
    together = consequence("hdf5", "hdf5", "hdf5", "linux", frozenset({"meet"}))
    assert apart is not None and apart.severity == "note"
    assert together is not None and (together.severity, together.outcome) == ("error", "abort")


def test_qt_aborts_when_a_variable_leads_to_the_others_plugins() -> None:
    row = consequence("qt", "qt5", "qt5", "linux", frozenset({"setting"}))
    assert row is not None and (row.severity, row.outcome) == ("error", "abort")
    alone = consequence("qt", "qt5", "qt6", "linux", frozenset())
    assert alone is not None and alone.severity == "note"


def test_harmful_advice_is_named() -> None:
    assert any(name == "KMP_DUPLICATE_LIB_OK" for name, _ in family("openmp").harmful)


def test_a_wrong_table_is_refused() -> None:
    text = (
        'date = "2026-01-01"\n[[family]]\nname="x"\ntitle="x"\nrule="ABI302"\nstate="s"\n'
        '[[family.member]]\nname="a"\ntitle="a"\nstems=["a"]\nsource="s"\n'
        '[[family.pair]]\nmembers=["a","b"]\nwhen="live"\noutcome="crash"\nseverity="note"\nconfidence="high"\n'
        'condition="c"\ntext="t"\nsource="s"\n'
    )
    with pytest.raises(ValueError, match="no such member"):
        runtimes.parse(text)
    with pytest.raises(ValueError, match="contract"):
        runtimes.parse(text.replace('"a","b"', '"a","a"').replace('severity="note"', 'severity="bad"'))
    with pytest.raises(KeyError):
        family("no such family")
