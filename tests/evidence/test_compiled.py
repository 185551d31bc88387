"""What extensions demand, read from code compiled from the very checks that NumPy's and Cython's headers contain."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.requirements import need

from abicheck.binary.source import DiskSource
from abicheck.evidence.embedded import Embedded, banner_version, embedded
from abicheck.evidence.extensions import TypeSize, shared
from abicheck.evidence.image import images
from abicheck.evidence.numpy_api import NumpyApi, numpy_api
from abicheck.knowledge.runtimes import member

SOURCES = Path(__file__).parent / "sources"
NUMPY_1, NUMPY_2, CYTHON = ((SOURCES / f"{name}.c").read_text() for name in ("numpy_1", "numpy_2", "cython"))


def build(folder: Path, source: str, *options: str) -> DiskSource:
    need("gcc", "x86_64")
    out = folder / "m.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", str(out), *options],
        input=source.encode(), check=True, timeout=60,
    )  # fmt: skip
    return DiskSource(str(out))


@pytest.mark.parametrize("optimise", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("level", [0xD, 0xE, 0xF, 0x10, 0x11])
def test_numpy_1(tmp_path: Path, optimise: str, level: int) -> None:
    got = numpy_api(build(tmp_path, NUMPY_1, optimise, f"-DLEVEL={level}"))
    assert got is not None and got.era == 1 and got.oldest == ""
    # Unoptimised code may move numbers through memory; then the number is unknown, never wrong.
    assert got.level == level or (optimise == "-O0" and got.level is None)


def test_numpy_2(tmp_path: Path) -> None:
    assert numpy_api(build(tmp_path, NUMPY_2, "-O2", "-DLEVEL=14")) == NumpyApi(2, "1.20", None)


def test_an_extension_that_only_mentions_numpy_demands_nothing(tmp_path: Path) -> None:
    text = 'const char *s = "numpy.core._multiarray_umath", *t = "numpy._core.multiarray failed to import";'
    assert numpy_api(build(tmp_path, text)) is None


@pytest.mark.parametrize("optimise", ["-O1", "-O2", "-O3", "-Os"])
def test_sizes_and_ids(tmp_path: Path, optimise: str) -> None:
    got = shared(build(tmp_path, CYTHON, optimise))
    assert got.cython == ("_cython_3_0_11",)
    assert got.pybind11 == ("__pybind11_internals_v5_gcc_libstdcpp_cxxabi1018__",)
    assert got.sizes == (
        TypeSize("greenlet", "greenlet", 40),
        TypeSize("numpy", "dtype", 96),
        TypeSize("numpy", "ndarray", 80),
    )


def test_a_check_compiled_in_place(tmp_path: Path) -> None:
    inlined = CYTHON.replace("__attribute__((noipa)) static", "static inline __attribute__((always_inline))")
    truth = {TypeSize("numpy", "ndarray", 80), TypeSize("numpy", "dtype", 96), TypeSize("greenlet", "greenlet", 40)}
    assert set(shared(build(tmp_path, inlined, "-O2")).sizes) <= truth  # what is not understood is not claimed


def test_a_static_runtime_without_any_name(tmp_path: Path) -> None:
    text = (
        'static const char *a = "__KMP_REGISTERED_LIB_%d_%d", *b = "LLVM OMP version: 5.0.20140926";'
        "const char *use(int n) { return n ? a : b; }"
    )
    assert embedded(build(tmp_path, text, "-s", "-fvisibility=hidden")) == (
        Embedded("openmp", "kmp", "__KMP_REGISTERED_LIB_", "5.0.20140926"),
    )


def test_mentioning_a_runtimes_variable_is_not_having_it(tmp_path: Path) -> None:
    text = 'const char *s = "KMP_DUPLICATE_LIB_OK=TRUE OMP_NUM_THREADS GOMP_CPU_AFFINITY libiomp5 PROJ_LIB";'
    assert embedded(build(tmp_path, text)) == ()


BANNERS = r"""
const char *s[] = {
  "OpenSSL 1.1.1k  25 Mar 2021", "HDF5 library version: 1.10.8", "Rel. 9.1.1, December 1st, 2022",
  "GDAL 3.8.5, released 2024/04/02", "3.11.1-CAPI-1.17.1", "Qt 5.15.0 (x86_64-little_endian-lp64 shared)",
  "x\0003.40.1\000y", "\00020914-GITv2.9.14"};
"""


@pytest.mark.parametrize(
    ("family", "name", "version"),
    [
        ("openssl", "libcrypto", "1.1.1k"),
        ("hdf5", "hdf5", "1.10.8"),
        ("proj", "proj", "9.1.1"),
        ("gdal", "gdal", "3.8.5"),
        ("geos", "geos", "3.11.1"),
        ("qt", "qt5", "5.15.0"),
        ("qt", "qt6", ""),
        ("sqlite", "sqlite", "3.40.1"),
        ("libxml2", "libxml2", "20914"),
        ("java", "jvm", ""),
    ],
)
def test_banners(tmp_path: Path, family: str, name: str, version: str) -> None:
    assert banner_version(build(tmp_path, BANNERS), member(family, name)) == version


JUNK = (b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\0" * 40, b"MZ" + b"\0" * 100, b"\xcf\xfa\xed\xfe" + b"\xff" * 60, b"t")


def test_files_that_are_no_images_give_nothing() -> None:
    for data in JUNK:
        assert all(not image.segments for image in images(data))
