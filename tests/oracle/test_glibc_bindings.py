"""The simulation against glibc: real prefixes, real wheels, real imports, and every binding must agree.

Five prefixes, ten import orders; fifteen wheels in one process. Imports that fail, roll back or crash count too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conda_side import MakePrefix, Wheels
from tests.oracle.comparison import Comparison, compare, simulate, summary_of
from tests.oracle.real_loader import RealRun, run_python
from tests.oracle.wheels import COMPANIONS, FIFTEEN

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]

BASE = ("python", "pip")
CONDA = ("numpy", "scipy", "h5py", "lxml", "psycopg2", "pyzmq", "shapely", "pyproj", "pillow", "libprotobuf", "tbb")
BESIDE_CONDA = ("pyarrow", "rasterio", "opencv-python-headless", "grpcio", "cryptography")
OPENMP = ("numpy", "scipy", "scikit-learn", "pyzmq", "lxml")
PREFIXES = {
    "fifteen": ((*BASE, "libstdcxx >=12"), tuple(FIFTEEN)),
    "older-libstdcxx": ((*BASE, "libstdcxx ==11.3.0"), tuple(FIFTEEN)),
    "bare": (BASE, tuple(FIFTEEN)),
    "conda-and-wheels": (
        (*BASE, "libstdcxx >=12", *CONDA),
        tuple(w for w in FIFTEEN if w.partition("==")[0] in BESIDE_CONDA),
    ),
    "llvm-openmp": (
        (*BASE, "libstdcxx >=12", "_openmp_mutex 4.5.* *_llvm", "hdf5"),
        (*(w for w in FIFTEEN if w.partition("==")[0] in OPENMP), "lightgbm==4.6.0", "tables==3.10.2"),
    ),
}
EXTRA = {"lightgbm==4.6.0": "import lightgbm", "tables==3.10.2": "import tables"}
EXTRA_COMPANIONS = ("numexpr==2.14.1", "py-cpuinfo==9.0.0", "blosc2==3.12.2", "ndindex==1.10.0", "packaging==25.0")
IMPORTS = {**FIFTEEN, **EXTRA}
CONDA_IMPORTS = (
    "import numpy.linalg", "import scipy.linalg", "import h5py", "import lxml.etree", "import psycopg2", "import zmq",
    "import shapely.geometry", "import pyproj", "import PIL._imaging", "import ssl, sqlite3, readline, bz2, lzma",
)  # fmt: skip
# (prefix, seed): seed 0 is the order of the table; others shuffle it.
ORDERS = (
    ("fifteen", 0), ("fifteen", 1), ("fifteen", 2), ("older-libstdcxx", 0), ("older-libstdcxx", 3), ("bare", 0),
    ("bare", 4), ("conda-and-wheels", 0), ("conda-and-wheels", 5), ("conda-and-wheels", 6), ("llvm-openmp", 0),
    ("llvm-openmp", 7),
)  # fmt: skip


class Totals:
    """What all runs of this file compared; printed at its end."""

    def __init__(self) -> None:
        self.sum = Comparison()
        self.runs: list[str] = []

    def add(self, name: str, run: RealRun, one: Comparison) -> None:
        self.sum += one
        failed = sum(r is not None for r in run.results)
        ended = run.signal or f"status {run.status}"
        self.runs.append(f"{name}: {one.counts}; {failed} statements failed; {ended}")


@pytest.fixture(scope="module")
def totals(request: pytest.FixtureRequest) -> Iterator[Totals]:
    kept = Totals()
    yield kept
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\ncompared with glibc's own loader:", *kept.runs, f"in all: {kept.sum.counts}", sep="\n  ")


def _prefix(name: str, make_prefix: MakePrefix, wheels: Wheels) -> Path:
    specs, requirements = PREFIXES[name]
    extra = EXTRA_COMPANIONS if any(r in EXTRA for r in requirements) else ()
    return make_prefix(f"bindings-{name}", specs, wheels(*requirements, *COMPANIONS, *extra))


def _statements(name: str, seed: int) -> list[str]:
    statements = [IMPORTS[r] for r in PREFIXES[name][1]]
    if name == "conda-and-wheels":
        statements = [*CONDA_IMPORTS, *statements]
    if seed:
        random.Random(seed).shuffle(statements)
    return statements


def _check(totals: Totals, name: str, prefix: Path, run: RealRun, env: dict[str, str] | None = None) -> None:
    one = compare(run, simulate(prefix, run, env), prefix)
    totals.add(name, run, one)
    assert not one.differences, f"{one.counts}\n{summary_of(one.differences)}"


@pytest.mark.parametrize(("name", "seed"), ORDERS)
def test_every_binding_agrees(name: str, seed: int, make_prefix: MakePrefix, wheels: Wheels, totals: Totals) -> None:
    prefix = _prefix(name, make_prefix, wheels)
    run = run_python(prefix, _statements(name, seed))
    assert run.status == 0, run.stderr[-2000:]
    if name == "fifteen":
        assert run.results == [None] * len(FIFTEEN)
    _check(totals, f"{name} {seed}", prefix, run)
