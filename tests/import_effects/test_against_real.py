"""Derived loads against those of real imports, for thirty packages in one real prefix.

Certain loads all happen, in the order derived; of the loads that really happen at least 95 % are derived.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conda_side import MakePrefix, Wheels
from tests.import_effects.real import judge
from tests.oracle.wheels import COMPANIONS, FIFTEEN

from abicheck.import_effects import Memory

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]

MORE = (
    "pandas==3.1.1", "matplotlib==3.11.2", "numba==0.68.1", "msgspec==0.22.0", "orjson==3.13.0",
    "pydantic-core==2.50.4",
    "bcrypt==5.0.0", "zstandard==0.25.0", "greenlet==3.5.6", "ujson==6.1.0", "sqlalchemy==2.1.9", "lightgbm==4.6.0",
    "tables==3.10.2", "rtree==1.4.1", "aiohttp==3.14.5",
)  # fmt: skip
WITH_THEM = (
    "python-dateutil==2.9.0.post0", "six==1.17.0", "tzdata==2026.6", "contourpy==1.3.3", "cycler==0.12.1",
    "fonttools==4.68.0", "kiwisolver==1.5.1", "packaging==25.0", "llvmlite==0.50.0", "numexpr==2.14.1",
    "py-cpuinfo==9.0.0", "blosc2==3.12.2", "ndindex==1.10.0", "aiohappyeyeballs==2.7.1", "aiosignal==1.4.0",
    "frozenlist==1.8.0", "multidict==7.2.1", "propcache==0.5.4", "yarl==1.25.1", "idna==3.20",
)  # fmt: skip
# Each line is one process; several names are imported in that order.
IMPORTS = (
    "numpy", "psycopg2", "h5py", "pyarrow", "lxml.etree", "zmq", "shapely", "rasterio", "pyproj", "cv2", "grpc",
    "cryptography.x509", "PIL.Image", "scipy.linalg", "sklearn", "pandas", "matplotlib.pyplot", "numba", "msgspec",
    "orjson", "pydantic_core", "bcrypt", "zstandard", "greenlet", "ujson", "sqlalchemy", "lightgbm", "tables", "rtree",
    "aiohttp", "ssl sqlite3 asyncio", "scipy.stats pandas.plotting sklearn.ensemble", "shapely cv2 scipy.signal",
)  # fmt: skip


@pytest.fixture(scope="module")
def prefix(make_prefix: MakePrefix, wheels: Wheels) -> Path:
    files = wheels(*FIFTEEN, *COMPANIONS, *MORE, *WITH_THEM)
    return make_prefix("import-events", ("python", "pip", "libstdcxx >=12"), files)


def test_derived_loads_are_those_of_real_imports(prefix: Path, record_property: Callable[[str, object], None]) -> None:
    memory = Memory()
    rows = [judge(prefix, names.split(), memory) for names in IMPORTS]
    for row in rows:
        record_property("compared", str(row))
        print(row)
    assert [(r.module, r.problem) for r in rows if r.problem] == []
    assert [(r.module, r.wrong) for r in rows if r.wrong] == []
    assert [(r.module, r.disordered) for r in rows if r.disordered] == []
    real, predicted = sum(r.real for r in rows), sum(r.predicted for r in rows)
    missed = {r.module: r.missed for r in rows if r.missed}
    assert predicted >= 0.95 * real, missed
