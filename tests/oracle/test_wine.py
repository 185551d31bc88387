"""abicheck's Windows loader beside Wine's: real wheels alone and in pairs, and one small case for each rule."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fixtures.work import fingerprint, is_current, locked
from tests.conda_side import Wheels
from tests.oracle import windows_cases
from tests.oracle.windows_cases import CASES, Case
from tests.oracle.wine import build_prefix, environment, keep_running, observe, unpack
from tests.oracle.wine_comparison import compare, documented, simulate, view_of
from tests.requirements import need

from abicheck.host import Host
from abicheck.loader.windows import start
from abicheck.loader.windows_binding import BindingMemory

pytestmark = pytest.mark.oracle

WINDOWS = ("--platform", "win_amd64", "--python-version", "3.11")
WHEELS = (
    "numpy==1.26.4", "scipy==1.13.1", "h5py==3.11.0", "pyarrow==15.0.2", "shapely==2.0.6", "psycopg2-binary==2.9.9",
    "pyzmq==26.0.3", "pillow==10.4.0", "lxml==5.3.0", "grpcio==1.64.1", "contourpy==1.2.1", "cryptography==42.0.8",
    "onnxruntime==1.18.1", "cffi==1.16.0", "pycparser==2.22", "pyproj==3.7.0", "certifi==2025.11.12", "pymssql==2.3.2",
    "llvmlite==0.43.0",
)  # fmt: skip
IMPORTS = {
    "numpy": "import numpy, numpy.random",
    "scipy": "import scipy.linalg, scipy.sparse, scipy.special",
    "h5py": "import h5py",
    "pyarrow": "import pyarrow, pyarrow.parquet",
    "shapely": "import shapely",
    "psycopg2": "import psycopg2",
    "zmq": "import zmq",
    "pillow": "import PIL._imaging, PIL._imagingft",
    "lxml": "import lxml.etree",
    "grpc": "import grpc",
    "contourpy": "import contourpy",
    "cryptography": "import cryptography.hazmat.bindings._rust",
    "onnxruntime": "import onnxruntime",
    "pyproj": "import pyproj",
    "pymssql": "import pymssql",
    "llvmlite": "import llvmlite.binding",
}
PAIRS = (
    ("h5py", "pyarrow"), ("pyarrow", "h5py"), ("scipy", "shapely"), ("zmq", "contourpy"), ("contourpy", "zmq"),
    ("psycopg2", "cryptography"), ("cryptography", "psycopg2"), ("lxml", "pillow"), ("grpc", "onnxruntime"),
    ("pyproj", "shapely"), ("shapely", "pyproj"), ("pymssql", "psycopg2"), ("llvmlite", "pymssql"),
)  # fmt: skip


@pytest.fixture(scope="module")
def prefix(work: Path) -> Path:
    need("wine64", "network")
    built = build_prefix(work)
    keep_running(built)
    return built


@pytest.fixture(scope="module")
def with_wheels(prefix: Path, work: Path, wheels: Wheels) -> Path:
    stamp, wanted = prefix / ".wheels", fingerprint(WHEELS)  # in the prefix, so that it goes with it
    with locked(work, "wine"):
        if not is_current(stamp, wanted):
            for wheel in wheels(*WHEELS, options=WINDOWS):
                unpack(prefix, wheel)
            stamp.write_text(wanted)
    return prefix


@pytest.fixture(scope="module")
def memory() -> BindingMemory:
    return BindingMemory()


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("names", [(n,) for n in IMPORTS] + list(PAIRS), ids="+".join)
def test_real_wheels_load_as_in_wine(with_wheels: Path, memory: BindingMemory, names: tuple[str, ...]) -> None:
    """The same modules, in the same order, each import served by the same file, the same DLLs missing."""
    observed = observe(with_wheels, "\n".join(IMPORTS[n] for n in names))
    assert (observed.exception, observed.finished) == ("", True)
    view = view_of(with_wheels)
    process = simulate(view, observed.events, memory)
    new = [d for d in compare(view, observed, process) if not any(k.covers(d) for k in documented())]
    print(
        f"{'+'.join(names)}: {len(observed.mapped)} modules, {len(observed.requests)} requests, {len(new)} differences"
    )
    assert not new, "\n".join(map(str, new))
    assert len(observed.mapped) > 4 and len(observed.requests) > 50
    failed = [r.failure for r in process.results if r.outcome == "failed" and r.event.kind == "import"]
    assert not failed


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_each_rule_as_in_wine(prefix: Path, case: Case) -> None:
    need("mingw")
    windows_cases.lay_out(prefix, case)
    extra = {k: _windows_path(v, prefix) for k, v in (case.env or {}).items()}
    observed = observe(prefix, windows_cases.program(prefix, case), extra)
    assert observed.finished
    view = view_of(prefix)
    env = {"PATH": (case.env or {}).get("WINEPATH", "").format(prefix=view.root)}
    process = start(view, Host(), executable=f"{view.root}/python.exe", subdir="win-64", env=env)
    for event in windows_cases.events(observed, case):
        process.load(event if not isinstance(event, tuple) else windows_cases.Event(event[1], kind=event[0]))  # type: ignore[arg-type]
    differences = compare(view, observed, process)
    if not case.wine_lets_pass:
        assert not differences, "\n".join(map(str, differences))
    mapped = {view.relative(m.path).lower() for m in process.record.objects}
    assert mapped >= {s.lower() for s in case.served}
    assert not mapped & {a.lower() for a in case.absent}
    last = process.results[-1]
    assert (last.outcome == "failed") is bool(case.fails)
    if case.fails:
        assert last.failure is not None and case.fails in last.failure.message
        assert bool(observed.exception) is not bool(case.wine_lets_pass)
    if "conflicts" in case.fails:
        assert last.failure is not None and observed.exception == f"ImportError: {last.failure.message}"
    assert case.check is None or case.check(observed)


@pytest.mark.network
def test_a_wheel_that_lost_one_of_its_dlls(with_wheels: Path) -> None:
    """h5py's extension with hdf5.dll but without the zlib.dll beside it, which that DLL needs."""
    lonely = with_wheels / "lonely"
    lonely.mkdir(exist_ok=True)
    for name in ("_errors.cp311-win_amd64.pyd", "hdf5.dll"):
        shutil.copy(with_wheels / "Lib/site-packages/h5py" / name, lonely)
    path = "Z:" + str((lonely / "_errors.cp311-win_amd64.pyd").resolve())
    observed = observe(
        with_wheels,
        "import importlib.util\n"
        f"importlib.util.module_from_spec(importlib.util.spec_from_file_location('_errors', {path!r}))",
    )
    assert observed.exception.startswith("ImportError: DLL load failed while importing _errors: ")
    view = view_of(with_wheels)
    process = simulate(view, observed.events)
    assert not compare(view, observed, process)
    failure = process.results[-1].failure
    assert failure is not None
    assert (failure.library, view.relative(failure.requester)) == ("zlib.dll", "lonely/hdf5.dll")


def _windows_path(text: str, prefix: Path) -> str:
    return text.format(prefix="Z:" + str(prefix.resolve())).replace("/", "\\")


def test_every_documented_difference_has_a_reason() -> None:
    assert all(len(d.reason) > 40 for d in documented())


def test_wine_is_told_to_take_the_prefixs_runtime_first(tmp_path: Path) -> None:
    assert "*msvcp140=n,b" in environment(tmp_path / "env")["WINEDLLOVERRIDES"]
