"""The preload idioms of PY-10: one test each, written as the packages that use them write them."""

from __future__ import annotations

import pytest
from tests.import_effects.worlds import SITE, effects, loads, short

from abicheck.import_effects import Effect

SO = b"\x7fELF"
DLL = b"MZ"


def one(source: str, platform: str = "linux-64", **files: bytes) -> Effect:
    found = effects({"pkg/__init__.py": source, "pkg/lib/libx.so": SO, "pkg/x.dll": DLL, **files}, platform=platform)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("platform", "mode", "is_global", "local"),
    [
        ("linux-64", "", False, False),
        ("linux-64", ", mode=ctypes.RTLD_GLOBAL", True, False),
        ("linux-64", ", ctypes.RTLD_GLOBAL", True, False),
        ("linux-64", ", mode=os.RTLD_NOW | os.RTLD_GLOBAL", True, False),
        ("linux-64", ", mode=0x102", True, False),
        ("osx-arm64", ", mode=ctypes.RTLD_GLOBAL", True, False),
        ("osx-arm64", ", mode=ctypes.RTLD_LOCAL", False, True),
    ],
)
def test_ctypes_by_path_and_its_mode(platform: str, mode: str, is_global: bool, local: bool) -> None:
    effect = one(
        f"import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'lib', 'libx.so'){mode})", platform
    )
    assert (effect.kind, effect.path) == ("dlopen", f"{SITE}/pkg/lib/libx.so")
    assert (effect.flags_global, effect.local, effect.certain) == (is_global, local, True)


@pytest.mark.parametrize(
    "path",
    [
        "os.path.abspath(os.path.join(os.path.dirname(os.path.realpath(__file__)), 'lib', '..', 'lib', 'libx.so'))",
        "str(Path(__file__).resolve().parent / 'lib' / 'libx.so')",
        "Path(__file__).parent.joinpath('lib', 'libx.so')",
        "f'{os.path.dirname(__file__)}/lib/libx.so'",
        "'%s/lib/%s' % (os.path.dirname(__file__), 'libx.so')",
        "'{}/lib/{}'.format(os.path.dirname(__file__), 'libx.so')",
        "glob.glob(os.path.join(os.path.dirname(__file__), 'lib', '*.so*'))[0]",
        "sorted(Path(__file__).parent.glob('lib/libx*'))[0]",
        "[os.path.join(d, 'libx.so') for d in __path__ + [__path__[0] + '/lib'] if os.path.exists(d + '/libx.so')][0]",
        "next(iter([os.path.join(__path__[0], 'lib', n) for n in os.listdir(__path__[0] + '/lib')]))",
        "os.sep.join([os.path.dirname(__file__), 'lib', 'lib' + {'linux': 'x.so', 'darwin': 'x.dylib'}[sys.platform]])",
        "importlib.resources.files('pkg') / 'lib' / 'libx.so'",
        "sysconfig.get_path('platlib') + '/pkg/lib/libx.so'",
        "sys.prefix + '/lib/python%d.%d/site-packages/pkg/lib/libx.so' % sys.version_info[:2]",
    ],
)
def test_paths_that_are_computed(path: str) -> None:
    source = (
        f"import ctypes, glob, importlib.resources, os, sys, sysconfig\nfrom pathlib import Path\nctypes.CDLL({path})"
    )
    found = effects({"pkg/__init__.py": source, "pkg/lib/libx.so": SO})
    assert [(e.path, e.certain) for e in found if e.kind == "dlopen"] == [(f"{SITE}/pkg/lib/libx.so", True)]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import ctypes\nctypes.CDLL('libgomp.so.1')", "libgomp.so.1"),
        ("from ctypes import *\ncdll.LoadLibrary('libgomp.so.1')", "libgomp.so.1"),
        ("from ctypes import cdll as c\nc.LoadLibrary('libz.so')", "libz.so"),
        ("import ctypes as ct\nct.PyDLL('liba.so')", "liba.so"),
        ("from cffi import FFI\nffi = FFI()\nC = ffi.dlopen('libsndfile.so.1')", "libsndfile.so.1"),
        ("from other import ffi\nffi.dlopen('libsndfile.so.1')", "libsndfile.so.1"),
    ],
)
def test_libraries_by_bare_name(source: str, name: str) -> None:
    stub = {
        "/p/lib/python3.12/ctypes/__init__.py": "class CDLL: pass\ncdll = 1\n__all__ = ['CDLL', 'cdll']",
        "other.py": "ffi = make()",
    }
    found = effects({"pkg.py": source, "cffi.py": "class FFI: pass", **stub})
    assert [(e.kind, e.name, e.certain) for e in found] == [("dlopen", name, True)]


@pytest.mark.parametrize("platform", ["linux-64", "osx-arm64", "win-64"])
def test_a_name_that_is_no_file_s_is_looked_up_by_cffi(platform: str) -> None:
    """``_load_backend_lib`` hands it to ``ctypes.util.find_library``; ctypes itself opens it as it stands."""
    start = "import ctypes, cffi\nffi = cffi.FFI()\n"
    (e,) = effects({"pkg.py": start + "ffi.dlopen('CoreAudio')", "cffi.py": "class FFI: pass"}, platform=platform)
    assert (e.kind, e.name, e.because) == ("unknown", "find_library('CoreAudio') asks the host", "pkg.py:3")
    (e,) = effects({"pkg.py": start + "ctypes.CDLL('CoreAudio')", "cffi.py": ""}, platform=platform)
    assert e.kind == "dlopen" and e.name.removesuffix(".dll") == "CoreAudio"


def test_the_program_itself_and_existing_handles_load_nothing() -> None:
    assert effects({"pkg.py": "import ctypes\nctypes.CDLL(None)\nctypes.CDLL('x', handle=1)\nctypes.pythonapi"}) == []


def test_a_computed_name_is_said_to_be_unknown() -> None:
    effect = one("import ctypes\nctypes.CDLL(input())")
    assert (effect.kind, effect.because) == ("unknown", "pkg/__init__.py:2")


def test_a_library_that_is_not_there_fails_and_the_next_is_tried() -> None:
    source = """
        import ctypes, os
        def _load():
            here = os.path.dirname(__file__)
            for name in ("libnone.so", "lib/libx.so"):
                try:
                    return ctypes.CDLL(os.path.join(here, name), mode=ctypes.RTLD_GLOBAL)
                except OSError:
                    continue
            import _never
        _load()
    """
    assert loads(effects({"pkg/__init__.py": source, "pkg/lib/libx.so": SO, "_never.so": SO})) == ["pkg/lib/libx.so"]


def test_global_dependencies_as_torch_loads_them() -> None:
    source = """
        import ctypes, os, platform, sys
        USE_GLOBAL_DEPS = True
        USE_RTLD_GLOBAL_WITH_LIBTORCH = False
        if sys.platform == "win32":
            def _load_dll_libraries():
                import _never
            _load_dll_libraries()
        def _get_cuda_dep_paths(path, lib_folder, lib_name):
            from pathlib import Path
            return [str(p) for p in Path(path).glob(f"nvidia/{lib_folder}/lib/{lib_name}")]
        def _preload_cuda_deps(err=None):
            for path in sys.path:
                for found in _get_cuda_dep_paths(path, "cublas", "libcublas.so.*[0-9]"):
                    ctypes.CDLL(found)
        def _load_global_deps():
            if platform.system() == "Windows":
                return
            lib_ext = ".dylib" if platform.system() == "Darwin" else ".so"
            lib_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", f"libtorch_global_deps{lib_ext}")
            try:
                ctypes.CDLL(lib_path, mode=ctypes.RTLD_GLOBAL)
                _preload_cuda_deps()
            except OSError as err:
                _preload_cuda_deps(err)
                ctypes.CDLL(lib_path, mode=ctypes.RTLD_GLOBAL)
        if (USE_RTLD_GLOBAL_WITH_LIBTORCH or os.getenv("TORCH_USE_RTLD_GLOBAL")) and platform.system() != "Windows":
            import _never
        else:
            if USE_GLOBAL_DEPS:
                _load_global_deps()
            from pkg._C import *
    """
    files = {"pkg/__init__.py": source, "pkg/_C.so": SO, "_never.so": SO, "nvidia/cublas/lib/libcublas.so.12": SO}
    for platform, name in (("linux-64", "libtorch_global_deps.so"), ("osx-arm64", "libtorch_global_deps.dylib")):
        found = effects({**files, f"pkg/lib/{name}": SO}, platform=platform)
        assert loads(found) == [f"pkg/lib/{name}", "nvidia/cublas/lib/libcublas.so.12", "pkg/_C.so"]
        assert [e.flags_global for e in found] == [True, False, False]
        assert all(e.certain for e in found)


def test_flags_for_later_imports() -> None:
    source = """
        import sys, os
        old = sys.getdlopenflags()
        sys.setdlopenflags(os.RTLD_GLOBAL | os.RTLD_LAZY)
        from . import _a
        sys.setdlopenflags(old)
        from . import _b
    """
    found = effects({"pkg/__init__.py": source, "pkg/_a.so": SO, "pkg/_b.so": SO})
    assert [e.kind for e in found] == ["setdlopenflags", "extension", "setdlopenflags", "extension"]
    assert [e.flags_global for e in found] == [True, True, False, False]
    assert [e.lazy for e in found if e.kind == "extension"] == [True, False]
    assert [e.value for e in found if e.kind == "setdlopenflags"] == ["257", "2"]


@pytest.mark.parametrize(
    ("flags", "lazy", "deepbind"),
    [("os.RTLD_NOW | os.RTLD_DEEPBIND", False, True), ("os.RTLD_LAZY", True, False), ("os.RTLD_NOW", False, False)],
)
def test_flags_that_change_how_names_are_bound(flags: str, lazy: bool, deepbind: bool) -> None:
    source = f"import sys, os\nsys.setdlopenflags({flags})\nfrom . import _a\n"
    (effect,) = (e for e in effects({"pkg/__init__.py": source, "pkg/_a.so": SO}) if e.kind == "extension")
    assert (effect.lazy, effect.deepbind) == (lazy, deepbind)
    # ctypes binds at once whatever it is told.
    effect = one(f"import ctypes, os\nctypes.CDLL(os.path.dirname(__file__) + '/lib/libx.so', mode={flags})")
    assert (effect.lazy, effect.deepbind) == (False, deepbind)


def test_asking_whether_a_library_is_loaded_does_not_load_it() -> None:
    here = "import ctypes, os\nx = os.path.dirname(__file__) + '/lib/libx.so'\n"
    files = {"pkg/lib/libx.so": SO}
    asked = here + "try:\n    ctypes.CDLL(x, mode=os.RTLD_NOLOAD)\nexcept OSError:\n    pass\n"
    assert effects({"pkg/__init__.py": asked, **files}) == []
    assert one(asked + "ctypes.CDLL(x)").path == f"{SITE}/pkg/lib/libx.so"


def test_delvewheel_adds_its_directory() -> None:
    source = '''
        """""" # start delvewheel patch
        def _delvewheel_patch_1_11_2():
            import os
            here = os.path.dirname(__file__)
            if os.path.isdir(libs_dir := os.path.abspath(os.path.join(here, os.pardir, 'pkg.libs'))):
                os.add_dll_directory(libs_dir)

        _delvewheel_patch_1_11_2()
        del _delvewheel_patch_1_11_2
        # end delvewheel patch
        from . import _c
    '''
    files = {"pkg/__init__.py": source, "pkg/_c.cp312-win_amd64.pyd": DLL, "pkg.libs/x-0123.dll": DLL}
    assert short(effects(files, platform="win-64")) == [
        ("dll-directory", "pkg.libs", True),
        ("extension", "pkg/_c.cp312-win_amd64.pyd", True),
    ]


@pytest.mark.parametrize("path", ["lib_path", "ctypes.c_wchar_p(lib_path)", "ctypes.wintypes.LPCWSTR(lib_path)"])
def test_delvewheel_before_python_310_loads_in_order(path: str) -> None:
    source = """
        def _delvewheel_init_patch_0_0_24():
            import ctypes, os, platform, sys
            libs_dir = os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, 'pkg.libs'))
            is_conda = hasattr(ctypes.pythonapi, 'Anaconda_GetVersion')
            if sys.version_info[:2] >= (3, 20):
                os.add_dll_directory(libs_dir)
            else:
                load_order_filepath = os.path.join(libs_dir, '.load-order-pkg-1.0')
                if os.path.isfile(load_order_filepath):
                    with open(os.path.join(libs_dir, '.load-order-pkg-1.0')) as file:
                        load_order = file.read().split()
                    kernel32 = ctypes.WinDLL('kernel32', use_last_error=True)
                    for lib in load_order:
                        lib_path = os.path.join(os.path.join(libs_dir, lib))
                        if os.path.isfile(lib_path) and not kernel32.LoadLibraryExW(PATH, None, 0x00000008):
                            raise OSError('Error loading {}; {}'.format(lib, ctypes.FormatError()))
        _delvewheel_init_patch_0_0_24()
    """.replace("PATH", path).replace("ctypes, os", "ctypes, ctypes.wintypes, os")
    files = {
        "pkg/__init__.py": source,
        "pkg.libs/.load-order-pkg-1.0": "b.dll\na.dll\n",
        "pkg.libs/a.dll": DLL,
        "pkg.libs/b.dll": DLL,
    }
    found = [e for e in effects(files, platform="win-64") if e.path]
    assert [(e.path, e.legacy_search) for e in found] == [
        (f"{SITE}/pkg.libs/b.dll", True),
        (f"{SITE}/pkg.libs/a.dll", True),
    ]


def test_distributor_init_loads_its_dlls() -> None:
    source = """
        import os
        if os.name == 'nt':
            from ctypes import WinDLL
            import glob
            libs_dir = os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, 'pkg.libs'))
            DLL_filenames = []
            if os.path.isdir(libs_dir):
                for filename in glob.glob(os.path.join(libs_dir, '*openblas*dll')):
                    WinDLL(os.path.abspath(filename))
                    DLL_filenames.append(filename)
            if len(DLL_filenames) > 1:
                import warnings
    """
    files = {
        "pkg/__init__.py": "from . import _distributor_init",
        "pkg/_distributor_init.py": source,
        "pkg.libs/libopenblas-x.dll": DLL,
    }
    assert short(effects(files, platform="win-64")) == [("dlopen", "pkg.libs/libopenblas-x.dll", True)]
    assert effects(files) == []


@pytest.mark.parametrize(
    ("call", "name", "legacy"),
    [
        ("ctypes.CDLL('foo.dll')", "foo.dll", False),
        ("ctypes.CDLL('foo')", "foo.dll", False),
        ("ctypes.WinDLL('foo.dll', winmode=0)", "foo.dll", True),
        ("ctypes.windll.kernel32.GetTickCount()", "kernel32.dll", False),
        ("ctypes.windll.LoadLibrary('user32')", "user32.dll", False),
    ],
)
def test_windows_libraries_by_name(call: str, name: str, legacy: bool) -> None:
    effect = one(f"import ctypes\n{call}", "win-64")
    assert (effect.kind, effect.name, effect.legacy_search) == ("dlopen", name, legacy)


def test_every_dll_of_a_package() -> None:
    source = """
        import sys
        if sys.platform == "win32":
            import ctypes, glob, os
            from importlib.resources import files
            package_dir = str(files(__name__))
            os.add_dll_directory(package_dir)
            for library in glob.glob(os.path.join(package_dir, "*.dll")):
                ctypes.CDLL(library)
    """
    files = {"pkg/__init__.py": source, "pkg/b.dll": DLL, "pkg/a.dll": DLL}
    assert short(effects(files, platform="win-64")) == [
        ("dll-directory", "pkg", True), ("dlopen", "pkg/a.dll", True), ("dlopen", "pkg/b.dll", True),
    ]  # fmt: skip
    assert effects(files) == []


def test_environment_variables() -> None:
    source = """
        import os
        os.environ["KMP_DUPLICATE_LIB_OK"] = "TRUE"
        os.environ.setdefault("PROJ_LIB", os.path.join(os.path.dirname(__file__), "proj"))
        os.environ.setdefault("PROJ_LIB", "not any more")
        os.putenv("OMP_NUM_THREADS", input())
        os.environ.pop("KMP_DUPLICATE_LIB_OK")
        del os.environ["PROJ_LIB"]
        if os.environ.get("PROJ_LIB"):
            import _never
    """
    found = effects({"pkg/__init__.py": source, "_never.so": SO})
    assert [(e.kind, e.name, e.value, e.removed) for e in found] == [
        ("environ", "KMP_DUPLICATE_LIB_OK", "TRUE", False),
        ("environ", "PROJ_LIB", f"{SITE}/pkg/proj", False),
        ("environ", "OMP_NUM_THREADS", None, False),
        ("environ", "KMP_DUPLICATE_LIB_OK", None, True),
        ("environ", "PROJ_LIB", None, True),
    ]


def test_given_variables_decide() -> None:
    files = {"pkg.py": "import os\nif 'PKG_FAST' in os.environ:\n    import _fast", "_fast.so": SO}
    assert effects(files) == []
    assert loads(effects(files, environ={"PKG_FAST": "1"})) == ["_fast.so"]


def test_find_library_in_a_prefix() -> None:
    source = "import ctypes, ctypes.util\nctypes.CDLL(ctypes.util.find_library('spatialindex_c'))"
    plain = {"pkg.py": source, "/p/lib/python3.12/ctypes/__init__.py": "", "/p/lib/python3.12/ctypes/util.py": ""}
    assert [e.kind for e in effects(plain)] == ["unknown", "unknown"]
    patched = {**plain, "/p/lib/python3.12/ctypes/util.py": "import sys\nsys.prefix", "/p/lib/libspatialindex_c.so": SO}
    assert [(e.kind, e.path) for e in effects(patched)] == [("dlopen", "/p/lib/libspatialindex_c.so")]


def test_a_library_found_through_the_files_of_its_distribution() -> None:
    source = """
        import ctypes, importlib.metadata
        for file in importlib.metadata.files("my-pkg"):
            if file.parent.name == "pkg.libs" and file.stem.startswith("libx") and ".so" in file.suffixes:
                ctypes.cdll.LoadLibrary(str(file.locate()))
    """
    files = {
        "pkg.py": source,
        "my_pkg-1.0.dist-info/RECORD": "pkg.py,,\npkg.libs/libx-1.so.2,,\n",
        "pkg.libs/libx-1.so.2": SO,
    }
    assert loads(effects(files)) == ["pkg.libs/libx-1.so.2"]


def test_extension_by_path() -> None:
    source = """
        import importlib.util, os
        spec = importlib.util.spec_from_file_location("hidden", os.path.join(os.path.dirname(__file__), "lib", "h.so"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    """
    assert loads(effects({"pkg/__init__.py": source, "pkg/lib/h.so": SO})) == ["pkg/lib/h.so"]


def test_a_package_that_replaces_itself_by_its_extension() -> None:
    source = """
        import importlib, os, sys
        def bootstrap():
            here = os.path.dirname(os.path.abspath(__file__))
            l_vars = locals().copy()
            with open(os.path.join(here, "config.py")) as f:
                exec(compile(f.read(), "config.py", "exec"), globals(), l_vars)
            saved = list(sys.path)
            for p in reversed(l_vars["PATHS"]):
                sys.path.insert(0, p)
            py_module = sys.modules.pop("pkg")
            native = importlib.import_module("pkg")
            sys.modules["pkg"] = py_module
            sys.path = saved
        bootstrap()
        from . import tail
    """
    files = {"pkg/__init__.py": source, "pkg/config.py": "PATHS = [here + '/native']", "pkg/native/pkg.so": SO}
    assert loads(effects({**files, "pkg/tail.so": SO})) == ["pkg/native/pkg.so", "pkg/tail.so"]


WINDOWS_LOOP = """
    import sys

    if sys.platform == "win32":
        import ctypes
        import glob
        import os

        import importlib.resources

        package_dir = str(importlib.resources.files(sys.modules[__name__].__name__))
        add_dll_directory = getattr(os, "add_dll_directory", None)
        if add_dll_directory is not None:
            add_dll_directory(package_dir)
        for library in glob.glob(os.path.join(package_dir, "*.dll")):
            ctypes.CDLL(library)
    from pkg import _ext
"""


def test_every_dll_of_the_folder_is_opened_by_full_path() -> None:
    files = {"pkg/__init__.py": WINDOWS_LOOP, "pkg/_ext.pyd": SO, "pkg/b.dll": SO, "pkg/a.dll": SO, "pkg/data.txt": ""}
    assert short(effects(files, platform="win-64")) == [
        ("dll-directory", "pkg", True),
        ("dlopen", "pkg/a.dll", True),
        ("dlopen", "pkg/b.dll", True),
        ("extension", "pkg/_ext.pyd", True),
    ]
    # Elsewhere that code does not run.
    assert loads(effects({**files, "pkg/_ext.so": SO})) == ["pkg/_ext.so"]


def test_a_path_computed_by_a_function_of_another_module() -> None:
    base = """
        import ctypes, os
        from . import libinfo
        def _load_lib():
            lib_path = libinfo.find_lib_path()
            lib = ctypes.CDLL(lib_path[0], ctypes.RTLD_LOCAL)
            lib.GetLastError.restype = ctypes.c_char_p
            return lib
        _LIB = _load_lib()
    """
    libinfo = """
        import os, platform, logging
        def find_lib_path():
            lib_from_env = os.environ.get('LIBRARY_PATH_OF_PKG')
            if lib_from_env:
                if os.path.isfile(lib_from_env):
                    return [lib_from_env]
            here = os.path.dirname(os.path.abspath(os.path.expanduser(__file__)))
            dll_path = [here, os.path.join(here, '../../lib/'), os.path.join(here, '../../')]
            if os.name == 'nt':
                dll_path.append(os.path.join(here, '../../windows'))
            elif platform.system() == 'Darwin':
                dll_path = [os.path.join(p, 'libx.dylib') for p in dll_path]
            else:
                dll_path.append('../../../')
                dll_path = [os.path.join(p, 'libx.so') for p in dll_path]
            lib_path = [p for p in dll_path if os.path.exists(p) and os.path.isfile(p)]
            if len(lib_path) == 0:
                raise RuntimeError('no library: ' + str('\\n'.join(dll_path)))
            return lib_path
    """
    files = {"pkg/__init__.py": "from . import base", "pkg/base.py": base, "pkg/libinfo.py": libinfo, "pkg/libx.so": SO}
    (effect,) = effects(files)
    assert (effect.kind, effect.path, effect.certain, effect.flags_global) == (
        "dlopen",
        f"{SITE}/pkg/libx.so",
        True,
        False,
    )


def test_load_library_of_an_existing_file_opens_it_whatever_the_object_is() -> None:
    source = """
        import importlib.util, os
        from pathlib import Path
        import engine

        def available(*names):
            return all(importlib.util.find_spec(n) is not None for n in names)

        def _load(lib):
            path = Path(__file__).parent / "lib" / f"{lib}.{'pyd' if os.name == 'nt' else 'so'}"
            if not path.exists():
                return False
            engine.ops.load_library(path)
            engine.classes.load_library(path)
            return True

        if available("pkg.lib._x"):
            _load("libx")
            import pkg.lib._x
        _load("libabsent")
        if available("pkg.lib._none"):
            import _never
        engine.ops.load_library("a word that is no file")
    """
    files = {"pkg/__init__.py": source, "engine/__init__.py": "", "pkg/lib/libx.so": SO, "pkg/lib/_x.so": SO}
    assert short(effects({**files, "_never.so": SO})) == [
        ("dlopen", "pkg/lib/libx.so", True),
        ("extension", "pkg/lib/_x.so", True),
    ]
