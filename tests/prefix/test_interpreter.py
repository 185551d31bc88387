"""Which Python: from records, names and sysconfig's data, for every implementation and build (PY-2, PY-6, PY-7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.prefix.making import Maker

from abicheck.prefix import open_prefix
from abicheck.prefix.interpreter import Interpreter, extension_suffixes, read_sysconfig


def interpreter(maker: Maker) -> Interpreter:
    found = open_prefix(str(maker.root)).interpreter
    assert found is not None
    return found


def test_cpython_on_linux(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    made.python()
    (made.root / "bin/python").unlink()
    (made.root / "bin/python").symlink_to("python3.12")
    found = interpreter(made)
    assert (found.version, found.minor, found.implementation) == ("3.12.4", (3, 12), "cpython")
    assert found.executable == "bin/python3.12"
    assert found.present
    assert found.soabi == "cpython-312-x86_64-linux-gnu"
    assert found.abi_tags == ("cp312",)
    assert not found.free_threaded
    assert not found.debug
    layout = open_prefix(str(made.root)).layout
    assert layout is not None
    assert (layout.purelib, layout.platlib) == ("lib/python3.12/site-packages",) * 2
    assert (layout.scripts, layout.data, layout.headers) == ("bin", "", "include/python3.12")


def test_executable_is_the_real_file(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    made.python()
    (made.root / "bin/python3.12").rename(made.root / "bin/python-real")
    (made.root / "bin/python3.12").symlink_to("python-real")
    assert interpreter(made).executable == "bin/python-real"


def test_windows(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env", "win-64")
    made.python()
    found = interpreter(made)
    assert (found.executable, found.soabi) == ("python.exe", "cp312-win_amd64")
    assert found.extension_suffixes == (".cp312-win_amd64.pyd", ".pyd")
    layout = open_prefix(str(made.root)).layout
    assert layout is not None
    assert (layout.purelib, layout.scripts, layout.headers) == ("Lib/site-packages", "Scripts", "Include")


def test_macos(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env", "osx-arm64")
    made.python()
    assert interpreter(made).soabi == "cpython-312-darwin"


@pytest.mark.parametrize(
    ("build", "debug", "threads", "tags"),
    [
        ("h0_0_cpython", False, False, ("cp313",)),
        ("h0_0_cp313", False, False, ("cp313",)),
        ("h0_0_cp313t", False, True, ("cp313t",)),
        ("h0_0_cp313td", True, True, ("cp313td", "cp313t")),
        ("h0_debug_0_cpython", True, False, ("cp313d", "cp313")),
        ("h0_2", False, False, ("cp313",)),
    ],
)
def test_builds_told_by_the_build_string_alone(
    tmp_path: Path, build: str, debug: bool, threads: bool, tags: tuple[str, ...]
) -> None:
    made = Maker(tmp_path / "env")
    made.record("python", "3.13.1", {"bin/python": b"x"}, build=build)
    found = interpreter(made)
    assert (found.debug, found.free_threaded, found.abi_tags) == (debug, threads, tags)


@pytest.mark.parametrize(("version", "tag"), [("3.6.5", "cp36m"), ("3.7.12", "cp37m"), ("3.8.0", "cp38")])
def test_old_pythons_carry_an_m(tmp_path: Path, version: str, tag: str) -> None:
    made = Maker(tmp_path / "env")
    made.record("python", version, {"bin/python": b"x"}, build="h0_0_cpython")
    found = interpreter(made)
    assert found.abi_tags == (tag,)
    assert found.soabi == f"cpython-{tag[2:]}-x86_64-linux-gnu"


def test_sysconfig_decides_over_the_build_string(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    path = "lib/python3.13t/_sysconfigdata_t_linux_x86_64-linux-gnu.py"
    data = b"# system configuration\nbuild_time_vars = {'Py_GIL_DISABLED': 1, 'Py_DEBUG': 0, 'X': 'y'}\n"
    files = {"bin/python3.13t": b"x" * 2000, path: data}
    made.record("python", "3.13.1", files, python_site_packages_path="lib/python3.13t/site-packages")
    found = interpreter(made)
    assert found.free_threaded
    assert found.soabi == "cpython-313t-x86_64-linux-gnu"
    assert found.site_packages == "lib/python3.13t/site-packages"
    assert found.extension_suffixes == (".cpython-313t-x86_64-linux-gnu.so", ".abi3.so", ".so")


@pytest.mark.parametrize("said", ["/etc", "../outside", "C:/x", "lib/../../x"])
def test_a_site_packages_path_outside_is_not_believed(tmp_path: Path, said: str) -> None:
    made = Maker(tmp_path / "env")
    made.python(python_site_packages_path=said)
    assert interpreter(made).site_packages == "lib/python3.12/site-packages"


def test_short_link_beside_a_two_digit_minor(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    files = ("bin/python3.1", "bin/python3.10", "lib/python3.10/lib-dynload/a.cpython-310-x86_64-linux-gnu.so")
    made.record("python", "3.10.4", dict.fromkeys(files, b"x"))
    assert interpreter(made).minor == (3, 10)


def test_pypy(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    files = ("bin/pypy3.9", "lib/pypy3.9/_cffi.pypy39-pp73-x86_64-linux-gnu.so")
    made.record("pypy3.9", "7.3.15", dict.fromkeys(files, b"x"))
    made.record("python", "3.9.18", {}, build="0_73_pypy")
    found = interpreter(made)
    assert (found.implementation, found.minor) == ("pypy", (3, 9))
    assert found.abi_tags == ("pypy39_pp73",)
    assert found.extension_suffixes == (".pypy39-pp73-x86_64-linux-gnu.so",)
    assert found.site_packages == "lib/pypy3.9/site-packages"
    assert found.cache_tag == "pypy39"


def test_graalpy(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    made.record("graalpy", "24.0.1", {"bin/graalpy": b"x"})
    made.record("python", "3.10.13", {}, build="0_graalpy240_310_native")
    assert interpreter(made).implementation == "graalpy"


def test_python_without_a_record_is_found_by_its_files(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    made.record("gcc", "1", {"bin/gcc": b"x"})
    made.write("bin/python3.11", b"x" * 2000)
    made.write("lib/python3.11/lib-dynload/_x.cpython-311-x86_64-linux-gnu.so")
    found = interpreter(made)
    assert (found.version, found.minor, found.present) == ("3.11", (3, 11), True)


def test_no_python(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    made.record("gcc", "1", {"bin/gcc": b"x"})
    prefix = open_prefix(str(made.root))
    assert prefix.interpreter is None
    assert prefix.layout is None
    assert prefix.distributions == ()


def test_absent_executable(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    made.python()
    (made.root / "bin/python3.12").unlink()
    assert not interpreter(made).present


@pytest.mark.parametrize(
    ("minor", "flags", "soabi", "suffixes"),
    [
        ((3, 12), "", "cpython-312-darwin", (".cpython-312-darwin.so", ".abi3.so", ".so")),
        ((3, 13), "t", "cpython-313t-x86_64-linux-gnu", (".cpython-313t-x86_64-linux-gnu.so", ".abi3.so", ".so")),
        (
            (3, 15),
            "t",
            "cpython-315t-x86_64-linux-gnu",
            (".cpython-315t-x86_64-linux-gnu.so", ".abi3t-x86_64-linux-gnu.so", ".abi3t.so", ".so"),
        ),
    ],
)
def test_suffixes_in_the_importers_order(
    minor: tuple[int, int], flags: str, soabi: str, suffixes: tuple[str, ...]
) -> None:
    assert extension_suffixes("cpython", minor, flags, soabi, windows=False) == suffixes


def test_debug_suffixes_on_windows() -> None:
    found = extension_suffixes("cpython", (3, 12), "d", "cp312-win_amd64", windows=True)
    assert found == ("_d.cp312-win_amd64.pyd", "_d.pyd")


@pytest.mark.parametrize("data", [b"", b"x = (", b"\x00", b"build_time_vars = dict()", b"(" * 5000, b"import os\n"])
def test_sysconfig_that_is_no_data(data: bytes) -> None:
    assert read_sysconfig(data) == {}
