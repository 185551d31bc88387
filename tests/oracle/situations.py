"""Real ways to break, each with the variants that work: what is installed, what is run, what must come out.

Every one was seen first in a real process; the texts are the loader's own.
"""

from __future__ import annotations

from dataclasses import dataclass

BASE = ("python", "pip", "libstdcxx >=12")
OK = "ok"


@dataclass(frozen=True)
class Variant:
    """Statements run in one process. ``outcome``: ``ok``, a signal, or a pattern of the loader's or Python's message.

    ``mapped``: (part of a path, how) of libraries that must be mapped. ``binds``: (object, provider) parts of paths of
    which at least one binding must exist. ``predictable``: loading fails, not what Python does afterwards.
    """

    statements: tuple[str, ...]
    outcome: str = OK
    env: tuple[tuple[str, str], ...] = ()
    mapped: tuple[tuple[str, str], ...] = ()
    binds: tuple[tuple[str, str], ...] = ()
    predictable: bool = True


@dataclass(frozen=True)
class Expected:
    """A finding of the gate. ``says``: a pattern that its sentence or reasons match. ``fails``/``works``: the order, as
    names of which each must appear in this order in one of the finding's load lists."""

    rule: str
    severity: str
    says: str = ""
    fails: tuple[str, ...] = ()
    works: tuple[str, ...] = ()


@dataclass(frozen=True)
class Situation:
    """A prefix, the wheels that are to come in, and what happens then. ``system``: options of changed_system.sh.

    ``clean``: the gate must give neither error nor warning besides what is ``expected``.
    """

    name: str
    specs: tuple[str, ...]
    wheels: tuple[str, ...]
    variants: tuple[Variant, ...]
    expected: tuple[Expected, ...] = ()
    also: tuple[str, ...] = ()  # pure companions, installed but not judged
    system: tuple[str, ...] = ()
    clean: bool = False


MLX = ("mlx==0.32.4", "mlx-cpu==0.32.4")
NUMPY = "numpy==2.4.6"
GLIBCXX = r"version `GLIBCXX_3.4.30' not found \(required by .*libmlx\.so\)"
HDF5 = 'ctypes.CDLL("libhdf5_serial.so.103", ctypes.RTLD_GLOBAL)'

SITUATIONS = (
    Situation(
        "glibcxx-prefix-older",
        ("python", "pip", "libstdcxx ==11.3.0"),
        (*MLX, NUMPY),
        (
            Variant(("import numpy", "import mlx.core"), GLIBCXX, mapped=(("lib/libstdc++.so.6.0.29", "rpath"),)),
            Variant(("import mlx.core", "import numpy")),
        ),
        (Expected("ABI201", "error", r"GLIBCXX_3\.4\.30", fails=("numpy", "mlx"), works=("mlx", "numpy")),),
    ),
    Situation(
        "glibcxx-system-older",
        BASE,
        (*MLX, NUMPY),
        (
            Variant(("import mlx.core",), GLIBCXX),
            Variant(("import numpy", "import mlx.core")),
        ),
        (Expected("ABI201", "error", r"GLIBCXX_3\.4\.30", fails=("mlx",), works=("numpy", "mlx")),),
        system=("--replace", "{older-libstdcxx}", "libstdc++.so.6"),
    ),
    Situation(
        "glibcxx-by-library-path",
        BASE,
        MLX,
        (Variant(("import mlx.core",), GLIBCXX, env=(("LD_LIBRARY_PATH", "{older-folder}"),)),),
        clean=True,
    ),
    Situation(
        "runpath-takes-the-systems",
        BASE,
        ("pyarrow==22.0.0",),
        (Variant(("import pyarrow",), mapped=(("libstdc++.so.6", "cache"),)),),
        clean=True,
    ),
    Situation(
        "same-soname-qt6",
        (*BASE, "qt6-core"),
        ("PySide6-Essentials==6.10.1", "shiboken6==6.10.1"),
        (
            Variant(
                ("import ctypes", 'ctypes.CDLL("libQt6Core.so.6")', "import PySide6.QtCore"),
                r"undefined symbol: \S+, version Qt_6|version `Qt_6\S*' not found",
            ),
            Variant(("import PySide6.QtCore", "import ctypes", 'ctypes.CDLL("libQt6Core.so.6")')),
        ),
    ),
    Situation(
        "hdf5-interposed",
        (*BASE, "hdf5"),
        ("tables==3.10.2", "netCDF4==1.7.3", "h5py==3.16.0"),
        (
            Variant(
                ("import ctypes", HDF5, "import tables", 'tables.open_file("a.h5", "w")'),
                "SIGABRT",
                binds=(("tables", "lib/libhdf5_serial"),),
            ),
            Variant(
                ("import ctypes", HDF5, "import netCDF4", 'netCDF4.Dataset("a.nc", "w")'),
                "SIGSEGV",
                binds=(("netCDF4", "lib/libhdf5_serial"),),
            ),
            Variant(
                ("import ctypes", HDF5, "import h5py", 'h5py.File("a.h5", "w")["x"] = [1]'),
                "Not a datatype",
                binds=(("h5py", "lib/libhdf5_serial"),),
                predictable=False,
            ),
            Variant(
                ("import h5py", 'h5py.File("a.h5", "w")["x"] = [1]'),
                "Not a datatype",
                env=(("LD_PRELOAD", "{prefix}/lib/libhdf5_serial.so.103"),),
                binds=(("h5py", "lib/libhdf5_serial"),),
                predictable=False,
            ),
            Variant(
                (
                    "import ctypes",
                    'ctypes.CDLL("libhdf5_serial.so.103")',
                    "import tables",
                    'tables.open_file("a.h5", "w").close()',
                )
            ),
        ),
        also=(NUMPY, "numexpr==2.14.1", "py-cpuinfo==9.0.0", "blosc2==3.12.2", "ndindex==1.10.0", "packaging==25.0",
              "cftime==1.6.5", "certifi==2025.11.12", "typing_extensions==4.15.0"),
    ),
    Situation(
        "needed-not-found",
        BASE,
        ("mlx==0.32.4",),
        (Variant(("import mlx.core",), "libmlx.so: cannot open shared object file: No such file or directory"),),
        (Expected("ABI101", "error", r"libmlx\.so"),),
    ),
    Situation(
        "undefined-symbol",
        BASE,
        ("mlx==0.32.4", "mlx-cpu==0.30.0"),
        (Variant(("import mlx.core",), r"core\S+: undefined symbol: _ZN3mlx4core\w+"),),
        (Expected("ABI202", "error", r"mlx"),),
    ),
    Situation(
        "needed-not-found-system",
        BASE,
        ("pyodbc==5.3.0",),
        (Variant(("import pyodbc",), "libodbc.so.2: cannot open shared object file: No such file or directory"),),
        (Expected("ABI101", "error", r"libodbc\.so\.2"),),
        system=("--hide", "libodbc.so.2"),
    ),
    Situation(
        "openmp-error-15",
        (*BASE, "_openmp_mutex 4.5.* *_llvm"),
        ("lightgbm==4.6.0", "intel-openmp==2025.3.0"),
        (
            Variant(
                (
                    "import ctypes, sys, numpy as n, lightgbm as l",
                    'data = l.Dataset(n.random.rand(99, 3), label=n.random.rand(99))',
                    'l.train({"verbose": -1, "num_threads": 2}, data, 2)',
                    'ctypes.CDLL(sys.prefix + "/lib/libiomp5.so").omp_get_max_threads()',
                ),
                "SIGABRT",
                mapped=(("lib/libomp.so.5", "rpath"),),
            ),
        ),
        also=(NUMPY, "scipy==1.17.1", "narwhals==2.13.0"),
    ),
    Situation(
        "openmp-two-gnu",
        BASE,
        ("lightgbm==4.6.0", "scikit-learn==1.8.0"),
        (
            Variant(
                ("import lightgbm", "import sklearn.utils._openmp_helpers"),
                mapped=(("lib/libgomp.so.1", "rpath"),),
            ),
        ),
        also=(NUMPY, "scipy==1.17.1", "narwhals==2.13.0", "joblib==1.5.2", "threadpoolctl==3.6.0"),
    ),
    Situation(
        "static-tls",
        (*BASE, "jemalloc"),
        (),
        (
            Variant(("import ctypes", 'ctypes.CDLL("libjemalloc.so.2")'), "cannot allocate memory in static TLS block"),
            Variant(
                ("import ctypes", 'ctypes.CDLL("libjemalloc.so.2")'),
                env=(("LD_PRELOAD", "{prefix}/lib/libjemalloc.so.2"),),
            ),
        ),
    ),
    Situation(
        "numpy-abi",
        (*BASE, "numpy <2", "scipy"),
        (NUMPY,),
        (Variant(("import scipy.linalg",), r"numpy.core.multiarray failed to import|_ARRAY_API", predictable=False),),
        (Expected("ABI401", "error", r"scipy"),),
    ),
    Situation(
        "numpy-abi-untouched", (*BASE, "numpy <2", "scipy"), (), (Variant(("import scipy.linalg",)),)
    ),
    Situation(
        "clobber",
        (*BASE, "tbb"),
        ("tbb==2022.3.0",),
        (Variant(("import ctypes", 'ctypes.CDLL("libtbb.so.12")', 'ctypes.CDLL("libtbb.so")')),),
        (Expected("ABI501", "warning", r"lib/libtbb\.so"),),
        also=("tcmlib==1.4.1",),
    ),
    Situation(
        "unique-across-wheels",
        BASE,
        ("shapely==2.1.2", "rasterio==1.4.3"),
        (Variant(("import shapely", "import rasterio"), binds=(("rasterio.libs/libgeos", "shapely.libs/libgeos"),)),),
        also=(NUMPY, "affine==2.4.0", "attrs==25.4.0", "certifi==2025.11.12", "click==8.3.1", "cligj==0.7.2",
              "pyparsing==3.2.5", "click-plugins==1.1.1.2"),
    ),
    Situation(
        "extension-captures-libstdcxx",
        BASE,
        (NUMPY,),
        (Variant(("import numpy",), binds=(("lib/libstdc++.so.6", "_multiarray_umath"),)),),
        clean=True,
    ),
)  # fmt: skip
