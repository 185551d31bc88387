"""ABI301 and ABI302: which copies are two, which are one, and what is said of each (RT-1 to RT-6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.rules.made_osx import SITE, SUFFIX, conda_extension, environment, extension, judged, library, wheel

from abicheck.model import Confidence, Finding, Severity
from abicheck.rules import abi301_duplicate_openmp as openmp
from abicheck.rules import abi302_duplicate_runtime as runtime

KMP = ("__kmpc_fork_call", "__kmpc_global_thread_num", "omp_get_max_threads")
GNU = ("GOMP_parallel", "GOMP_barrier")


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return environment(tmp_path / "env")


def bundled(maker: Maker, identity: str, *exports: str, text: bytes = b"", name: str = "learn") -> Path:
    """A delocated wheel: its library lies beside the extension, under an install name of its own."""
    leaf = identity.rpartition("/")[2]
    files = {
        f"{name}/_ext{SUFFIX}": extension("_ext", f"@loader_path/.dylibs/{leaf}"),
        f"{name}/.dylibs/{leaf}": library(identity, *exports, seed=7, text=text),
    }
    return wheel(maker.root.parent, name, files)


def conda_openmp(maker: Maker, identity: str = "@rpath/libomp.dylib", *exports: str) -> None:
    leaf = identity.rpartition("/")[2]
    maker.record("llvm-openmp", "18.1.8", {f"lib/{leaf}": library(identity, *(exports or KMP))})


def one(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [f.what for f in findings]
    return findings[0]


# -- OpenMP --------------------------------------------------------------------


def test_two_llvm_runtimes_abort(maker: Maker) -> None:
    conda_openmp(maker)
    conda_extension(maker, "torch", "@rpath/libomp.dylib", depends=["llvm-openmp"])
    f = one(judged(openmp, maker, bundled(maker, "/DLC/learn/.dylibs/libomp.dylib", *KMP)))
    assert (f.severity, f.confidence, f.runtime) == (Severity.ERROR, Confidence.MEDIUM, "openmp")
    assert f.subject is not None and f.object is not None and f.conda_package is not None
    assert f.subject.path == f"{SITE}/learn/.dylibs/libomp.dylib" and f.object.path == "lib/libomp.dylib"
    assert f.conda_package.name == "llvm-openmp"
    assert "the process will abort" in f.what and "torch" in f.what
    assert f.orders is not None and set(f.orders.fails) == {("learn", "torch"), ("torch", "learn")}
    assert any("OMP: Error #15" in w.text for w in f.why)
    assert any("KMP_DUPLICATE_LIB_OK" in r.text and r.text.startswith("do not") for r in f.remedies)


def test_a_mangled_name_is_undone(maker: Maker) -> None:
    conda_openmp(maker)
    conda_extension(maker, "torch", "@rpath/libomp.dylib")
    f = one(judged(openmp, maker, bundled(maker, "/DLC/learn/.dylibs/libomp-0a1b2c3d.dylib")))
    assert f.severity is Severity.ERROR and any("mangling" in w.text for w in f.why)


def test_a_name_that_says_nothing_is_seen_by_its_exports(maker: Maker) -> None:
    conda_openmp(maker)
    conda_extension(maker, "torch", "@rpath/libomp.dylib")
    f = one(judged(openmp, maker, bundled(maker, "/DLC/learn/.dylibs/libparallel.dylib", *KMP)))
    assert f.severity is Severity.ERROR and any("by what it exports" in w.text for w in f.why)


def test_a_static_runtime_without_any_name(maker: Maker) -> None:
    conda_openmp(maker)
    conda_extension(maker, "torch", "@rpath/libomp.dylib")
    text = b"\0__KMP_REGISTERED_LIB_%d_%d\0LLVM OMP version: 5.0.20140926\0"
    made = wheel(maker.root.parent, "solve", {f"solve/_ext{SUFFIX}": extension("_ext", text=text)})
    f = one(judged(openmp, maker, made))
    assert f.severity is Severity.ERROR
    assert any("linked into this file" in w.text and "__KMP_REGISTERED_LIB_" in w.text for w in f.why)
    assert any("5.0.20140926" in w.text for w in f.why)


def test_a_runtime_outside_the_environment(maker: Maker) -> None:
    """A wheel that names a package manager's libomp by absolute path (LightGBM 3.3.0 on macOS)."""
    conda_openmp(maker)
    conda_extension(maker, "torch", "@rpath/libomp.dylib")
    files = {f"boost/_ext{SUFFIX}": extension("_ext", "/usr/local/opt/libomp/lib/libomp.dylib")}
    f = one(judged(openmp, maker, wheel(maker.root.parent, "boost", files)))
    assert f.severity is Severity.ERROR and "host" in f.depends_on


def test_installed_for_somebody_is_weaker_than_loaded(maker: Maker) -> None:
    conda_openmp(maker)
    maker.record(
        "numerics", "1.0", {"lib/libnumerics.dylib": library("@rpath/libnumerics.dylib")}, depends=["llvm-openmp >=17"]
    )
    f = one(judged(openmp, maker, bundled(maker, "/DLC/learn/.dylibs/libomp.dylib", *KMP)))
    assert f.severity is Severity.WARNING and any("another package depends on it" in w.text for w in f.why)


def test_installed_for_nobody_is_silence(maker: Maker) -> None:
    conda_openmp(maker)
    assert judged(openmp, maker, bundled(maker, "/DLC/learn/.dylibs/libomp.dylib", *KMP)) == []


def test_mkl_opens_its_runtime_by_name(maker: Maker) -> None:
    maker.record("intel-openmp", "2023.1.0", {"lib/libiomp5.dylib": library("@rpath/libiomp5.dylib", *KMP)})
    maker.record(
        "mkl", "2023.1.0", {"lib/libmkl_rt.2.dylib": library("@rpath/libmkl_rt.2.dylib")}, depends=["intel-openmp"]
    )
    f = one(judged(openmp, maker, bundled(maker, "/DLC/learn/.dylibs/libomp.dylib", *KMP)))
    assert f.severity is Severity.ERROR and any("opened by name at run time" in w.text for w in f.why)


def test_one_install_name_is_one_runtime_on_a_recent_system(maker: Maker) -> None:
    """The first loaded serves everybody who asks by that string (MAC-1); older systems may map both: a doubt, said
    so."""
    conda_openmp(maker)
    conda_extension(maker, "torch", "@rpath/libomp.dylib")
    files = {
        f"learn/_ext{SUFFIX}": extension("_ext", "@rpath/libomp.dylib", rpaths=("@loader_path/.dylibs",)),
        "learn/.dylibs/libomp.dylib": library("@rpath/libomp.dylib", *KMP, seed=7),
    }
    f = one(judged(openmp, maker, wheel(maker.root.parent, "learn", files)))
    assert (f.severity, f.confidence) == (Severity.WARNING, Confidence.LOW) and "may be in one process" in f.what


def test_one_install_name_of_a_harmless_runtime_is_silence(maker: Maker) -> None:
    conda_openmp(maker, "@rpath/libgomp.1.dylib", *GNU)
    conda_extension(maker, "torch", "@rpath/libgomp.1.dylib")
    files = {
        f"learn/_ext{SUFFIX}": extension("_ext", "@rpath/libgomp.1.dylib", rpaths=("@loader_path/.dylibs",)),
        "learn/.dylibs/libgomp.1.dylib": library("@rpath/libgomp.1.dylib", *GNU, seed=7),
    }
    assert judged(openmp, maker, wheel(maker.root.parent, "learn", files)) == []


LOOP = b"""
import ctypes, glob, os, surely_missing
for p in glob.glob(os.path.join(os.path.dirname(__file__), "*.dylib")):
    ctypes.CDLL(p)
"""


def test_libraries_that_a_wheel_opens_one_by_one(maker: Maker) -> None:
    """ctranslate2 and torch open every library of their folder by path, so an equal name loaded before does not serve
    (ELF-2, WIN-2); the code that does it cannot always be followed."""
    conda_openmp(maker)
    conda_extension(maker, "torch", "@rpath/libomp.dylib")
    files = {
        f"learn/_ext{SUFFIX}": extension("_ext", "@rpath/libomp.dylib", rpaths=("@loader_path/.dylibs",)),
        "learn/.dylibs/libomp.dylib": library("@rpath/libomp.dylib", *KMP, seed=7),
    }
    f = one(judged(openmp, maker, wheel(maker.root.parent, "learn", files, code=LOOP)))
    assert f.severity is Severity.ERROR


def test_a_runtime_that_only_the_wheels_own_libraries_need(maker: Maker) -> None:
    """A wheel whose libraries are opened by code that cannot be followed: what they need is in use all the same."""
    maker.record("mkl", "2018.0", {"lib/libmkl_rt.dylib": library("@rpath/libmkl_rt.dylib")})
    conda_extension(maker, "numeric", "@rpath/libmkl_rt.dylib")
    files = {
        "net/libnet.dylib": library("@rpath/libnet.dylib", needs=("@rpath/libmklml.dylib",)),
        "net/libmklml.dylib": library("@rpath/libmklml.dylib", seed=9),
    }
    f = one(judged(runtime, maker, wheel(maker.root.parent, "net", files, code=b"from .base import start\n")))
    assert f.severity is Severity.ERROR and any("needed by other libraries of the wheel" in w.text for w in f.why)


def test_condas_alias_link_is_no_second_copy(maker: Maker) -> None:
    conda_openmp(maker)
    (maker.root / "lib" / "libgomp.1.dylib").symlink_to("libomp.dylib")
    conda_extension(maker, "torch", "@rpath/libomp.dylib")
    made = wheel(maker.root.parent, "boost", {f"boost/_ext{SUFFIX}": extension("_ext", "@rpath/libgomp.1.dylib")})
    assert judged(openmp, maker, made) == []


def test_one_hashed_copy_in_two_wheels_is_one_runtime(maker: Maker) -> None:
    two = [bundled(maker, "@rpath/libgomp-a34b3233.1.dylib", *GNU, name=n) for n in ("learn", "boost")]
    assert judged(openmp, maker, *two) == []


def test_two_gnu_runtimes_are_a_note(maker: Maker) -> None:
    conda_openmp(maker, "@rpath/libgomp.1.dylib", *GNU)
    conda_extension(maker, "boost", "@rpath/libgomp.1.dylib")
    f = one(judged(openmp, maker, bundled(maker, "/DLC/learn/.dylibs/libgomp.1.dylib", *GNU)))
    assert f.severity is Severity.NOTE and not f.remedies and f.orders is None


def test_gnu_beside_llvm_is_a_note(maker: Maker) -> None:
    conda_openmp(maker)
    conda_extension(maker, "torch", "@rpath/libomp.dylib")
    f = one(judged(openmp, maker, bundled(maker, "/DLC/learn/.dylibs/libgomp.1.dylib", *GNU)))
    assert f.severity is Severity.NOTE


def test_two_wheels_with_llvm_runtimes(maker: Maker) -> None:
    two = [bundled(maker, f"/DLC/{n}/.dylibs/libomp.dylib", *KMP, name=n) for n in ("learn", "boost")]
    f = one(judged(openmp, maker, *two))
    assert f.severity is Severity.ERROR and f.conda_package is None


# -- the others ----------------------------------------------------------------


@pytest.mark.parametrize(
    "leaf",
    ["libopenblas.0.dylib", "libcrypto.3.dylib", "libhdf5.310.dylib", "libproj.25.dylib", "libgeos_c.1.dylib",
     "libgdal.34.dylib", "libprotobuf.25.dylib", "libsqlite3.0.dylib", "libtbb.12.dylib", "libavcodec.61.dylib"],
)  # fmt: skip
def test_copies_that_stay_apart_are_notes(maker: Maker, leaf: str) -> None:
    """The negative cases of the corpus (N01-N24): two copies, no error and no warning."""
    maker.record("base-lib", "1.0", {f"lib/{leaf}": library(f"@rpath/{leaf}")})
    conda_extension(maker, "user", f"@rpath/{leaf}")
    f = one(judged(runtime, maker, bundled(maker, f"/DLC/learn/.dylibs/{leaf}")))
    assert f.severity is Severity.NOTE and not f.orders


def test_two_copies_inside_one_wheel_are_its_makers_choice(maker: Maker) -> None:
    """No environment changes it. Where one process cannot hold both, it is told all the same."""

    def twice(stem: str) -> Path:
        leaves = (f"{stem}-0a1b2c3d.dylib", f"{stem}-1b2c3d4e.dylib")
        files = {f"learn/_ext{SUFFIX}": extension("_ext", *(f"@loader_path/.dylibs/{leaf}" for leaf in leaves))}
        for n, leaf in enumerate(leaves):
            files[f"learn/.dylibs/{leaf}"] = library(f"/DLC/learn/.dylibs/{leaf}", seed=n + 7)
        return wheel(maker.root.parent, "learn", files)

    assert judged(runtime, maker, twice("libcrypto.3")) == []
    assert one(judged(openmp, maker, twice("libomp"))).what == (
        "Two copies of LLVM/Intel OpenMP will be in one process when learn is used; the process will abort, "
        "if both are initialised."
    )


def test_two_copies_inside_one_wheel_that_nothing_loads_at_once(maker: Maker) -> None:
    """One for a module that importing the project loads, one for a library that its code opens some day."""
    files = {
        f"learn/_ext{SUFFIX}": extension("_ext", "@loader_path/.dylibs/libomp.dylib"),
        "learn/.dylibs/libomp.dylib": library("/DLC/learn/.dylibs/libomp.dylib", seed=7),
        "learn/lib/libomp.dylib": library("@rpath/libomp.dylib", seed=8),
        "learn/lib/libengine.dylib": library("@rpath/libengine.dylib", needs=("@loader_path/libomp.dylib",), seed=9),
    }
    f = one(judged(openmp, maker, wheel(maker.root.parent, "learn", files)))
    assert f.severity is Severity.WARNING


def test_the_module_that_maps_the_other_copy_is_named(maker: Maker) -> None:
    """Not the first module of the standard library."""
    maker.record("openssl", "3.0", {"lib/libcrypto.3.dylib": library("@rpath/libcrypto.3.dylib")})
    lib = "lib/python3.12/lib-dynload"
    files = {
        f"{lib}/array{SUFFIX}": extension("array"),
        f"{lib}/_ssl{SUFFIX}": extension("_ssl", "@rpath/libcrypto.3.dylib"),
    }
    maker.record("python-modules", "3.12.4", files)
    f = one(judged(runtime, maker, bundled(maker, "/DLC/learn/.dylibs/libcrypto.3.dylib")))
    assert "when learn and _ssl are used together" in f.what


def test_libraries_without_process_wide_state_are_silence(maker: Maker) -> None:
    maker.record("base-lib", "1.0", {"lib/libpng16.16.dylib": library("@rpath/libpng16.16.dylib")})
    conda_extension(maker, "user", "@rpath/libpng16.16.dylib")
    assert judged(runtime, maker, bundled(maker, "/DLC/learn/.dylibs/libpng16.16.dylib")) == []


def test_mkl_beside_mklml(maker: Maker) -> None:
    maker.record("mkl", "2018.0", {"lib/libmkl_rt.dylib": library("@rpath/libmkl_rt.dylib")})
    conda_extension(maker, "numeric", "@rpath/libmkl_rt.dylib")
    f = one(judged(runtime, maker, bundled(maker, "/DLC/learn/.dylibs/libmklml.dylib")))
    assert (f.severity, f.runtime) == (Severity.ERROR, "blas")


def test_what_a_library_maps_that_unfollowed_code_opens(maker: Maker) -> None:
    """LightGBM opens its library by a computed name; the library needs the environment's OpenMP, and another wheel its
    own."""
    conda_openmp(maker)
    start = b"import surely_missing\n"
    needs = library("@rpath/libboost.dylib", needs=("@rpath/libomp.dylib",))
    plain = wheel(maker.root.parent, "boost", {"boost/libboost.dylib": needs}, code=start)
    f = one(judged(openmp, maker, plain, bundled(maker, "/DLC/learn/.dylibs/libomp.dylib", *KMP)))
    assert f.severity is Severity.ERROR
    assert judged(openmp, maker, plain) == []


QT = b"""
import os
here = os.path.dirname(os.path.abspath(__file__))
os.environ['QT_QPA_PLATFORM_PLUGIN_PATH'] = os.path.join(here, 'qt', 'plugins')
"""


def qt_wheel(maker: Maker, code: bytes) -> Path:
    files = {
        f"view/_ext{SUFFIX}": extension("_ext", "@loader_path/.dylibs/libQt5Core.5.dylib"),
        "view/.dylibs/libQt5Core.5.dylib": library("/DLC/view/.dylibs/libQt5Core.5.dylib", seed=7),
        "view/qt/plugins/platforms/libqxcb.dylib": library("libqxcb.dylib", seed=8),
    }
    return wheel(maker.root.parent, "view", files, code=code)


def conda_qt(maker: Maker) -> None:
    maker.record("qt-main", "5.15.8", {"lib/libQt5Core.5.dylib": library("@rpath/libQt5Core.5.dylib")})
    conda_extension(maker, "pyqt", "@rpath/libQt5Core.5.dylib", depends=["qt-main"])


def test_a_wheel_that_leads_condas_qt_to_its_plugins(maker: Maker) -> None:
    conda_qt(maker)
    f = one(judged(runtime, maker, qt_wheel(maker, QT)))
    assert (f.severity, f.confidence, f.runtime) == (Severity.ERROR, Confidence.MEDIUM, "qt")
    assert "environment" in f.depends_on
    assert any("QT_QPA_PLATFORM_PLUGIN_PATH" in w.text and w.file is not None for w in f.why)


INLINE = b"""
import os
os.environ["QT_QPA_PLATFORM_PLUGIN_PATH"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "qt", "plugins")
"""


# The place can be told only where the expression itself says it.
@pytest.mark.parametrize(("text", "severity"), [(INLINE, Severity.ERROR), (QT, Severity.WARNING)])
def test_a_variable_set_in_a_file_that_is_executed_not_imported(maker: Maker, text: bytes, severity: Severity) -> None:
    """OpenCV reads config-3.py and executes it: no import statement leads there."""
    conda_qt(maker)
    files = {
        f"view/_ext{SUFFIX}": extension("_ext", "@loader_path/.dylibs/libQt5Core.5.dylib"),
        "view/.dylibs/libQt5Core.5.dylib": library("/DLC/view/.dylibs/libQt5Core.5.dylib", seed=7),
        "view/config-3.py": text,
    }
    f = one(judged(runtime, maker, wheel(maker.root.parent, "view", files)))
    assert f.severity is severity


def test_two_qts_without_the_variable_are_weaker(maker: Maker) -> None:
    conda_qt(maker)
    f = one(judged(runtime, maker, qt_wheel(maker, b"")))
    assert f.severity is Severity.WARNING  # macOS: the same Objective-C classes twice
