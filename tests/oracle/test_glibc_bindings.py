"""The simulation against glibc: real prefixes, real wheels, real imports, and every binding must agree.

Five prefixes, ten import orders; fifteen wheels in one process. Imports that fail, roll back or crash count too.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.conda_side import MakePrefix, Wheels
from tests.oracle.comparison import compare, simulate, summary_of
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


Record = Callable[[str, object], None]


def _check(prefix: Path, run: RealRun, record: Record, env: dict[str, str] | None = None) -> None:
    one = compare(run, simulate(prefix, run, env), prefix)
    record("compared", one.counts)
    assert not one.differences, f"{one.counts}\n{summary_of(one.differences)}"


@pytest.mark.parametrize(("name", "seed"), ORDERS)
def test_every_binding_agrees(
    name: str, seed: int, make_prefix: MakePrefix, wheels: Wheels, record_property: Record
) -> None:
    prefix = _prefix(name, make_prefix, wheels)
    run = run_python(prefix, _statements(name, seed))
    assert run.status == 0, run.stderr[-2000:]
    if name == "fifteen":
        assert run.results == [None] * len(FIFTEEN)
    _check(prefix, run, record_property)


def test_the_comparison_is_as_wide_as_promised() -> None:
    """At least fifteen wheels in one process, five prefixes, ten import orders."""
    assert len(FIFTEEN) >= 15
    assert len(PREFIXES) >= 5
    assert len(ORDERS) >= 10
    assert {name for name, _ in ORDERS} == set(PREFIXES)


def test_the_comparison_sees_a_difference(make_prefix: MakePrefix, wheels: Wheels) -> None:
    """A simulation with one wrong binding, one wrong object or one missing load does not pass."""
    prefix = _prefix("conda-and-wheels", make_prefix, wheels)
    run = run_python(prefix, ["import zlib", "import numpy.linalg"])
    trace = simulate(prefix, run)
    assert not compare(run, trace, prefix).differences
    index, bound = next((i, b) for i, b in reversed(list(trace.bindings.items())) if len(b) > 1)
    wrong = msgspec.structs.replace(bound[0], provider=index)
    moved = dataclasses.replace(trace, bindings={**trace.bindings, index: (wrong, *bound[1:])})
    assert len(compare(run, moved, prefix).differences) == 1
    lost = dataclasses.replace(trace, bindings={**trace.bindings, index: bound[1:]})
    assert len(compare(run, lost, prefix).differences) == 1
    elsewhere = msgspec.structs.replace(trace.objects[-1], how="cache")
    other = dataclasses.replace(trace, objects=[*trace.objects[:-1], elsewhere])
    assert len(compare(run, other, prefix).differences) == 1
    shorter = dataclasses.replace(run, opens=run.opens[:-1])
    assert compare(run, simulate(prefix, shorter), prefix).differences
