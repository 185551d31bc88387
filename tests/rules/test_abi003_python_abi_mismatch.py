"""ABI003: modules for another Python: unseen, unloadable, refused, or of another layout (PY-6 to PY-9, WIN-20)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.macho import LIBSYSTEM, Bind, Export, Image, image
from tests.binary.pe_samples import build
from tests.prefix.making import Maker
from tests.rules import made_osx
from tests.rules.made_linux import AARCH64, C_API, SITE, SUFFIX, Workshop, for_machine, judged, only
from tests.wheel.making import make_wheel

from abicheck.knowledge.stable_abi import newest_known, stable_symbols
from abicheck.model import Severity

OLD = ".cpython-311-x86_64-linux-gnu.so"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


# -- unseen (PY-7) -----------------------------------------------------------------------


def test_a_module_with_the_suffix_of_another_python(workshop: Workshop) -> None:
    wheel = workshop.wheel({f"_ext{OLD}": workshop.extension()}, tag="py3-none-linux_x86_64")
    finding = only(judged(workshop.environment(), wheel), "ABI003")
    assert finding.severity is Severity.ERROR
    assert finding.what == (
        f"`import grid._ext` will not be found: _ext{OLD} is for CPython 3.11, and this is CPython 3.12."
    )
    assert finding.subject is not None and finding.subject.path == f"{SITE}/grid/_ext{OLD}"
    assert any(f.text == "line 1 imports grid._ext" for f in finding.why)


@pytest.mark.parametrize("also", [f"_ext{SUFFIX}", "_ext.abi3.so", "_ext.so"])
def test_a_fat_wheel_with_one_file_that_fits(workshop: Workshop, also: str) -> None:
    files = {f"_ext{OLD}": workshop.extension(), also: workshop.extension()}
    assert judged(workshop.environment(), workshop.wheel(files, tag="py3-none-linux_x86_64")) == []


def test_source_that_takes_its_place(workshop: Workshop) -> None:
    files = {f"_ext{OLD}": workshop.extension(), "_ext.py": b""}
    assert judged(workshop.environment(), workshop.wheel(files, tag="py3-none-linux_x86_64")) == []


def test_an_optional_module_is_silence(workshop: Workshop) -> None:
    guarded = b"try:\n    from . import _ext\nexcept ImportError:\n    _ext = None\n"
    files = {f"_ext{OLD}": workshop.extension(), "__init__.py": guarded}
    assert judged(workshop.environment(), workshop.wheel(files, tag="py3-none-linux_x86_64")) == []


@pytest.mark.parametrize(
    ("soabi", "words"),
    [
        ("cpython-312-x86_64-linux-musl", "CPython 3.12 on x86_64-linux-musl"),
        ("cpython-311-aarch64-linux-gnu", "CPython 3.11 on aarch64-linux-gnu"),
        ("cpython-312d-x86_64-linux-gnu", "CPython 3.12 (debug build)"),
    ],
)
def test_what_a_suffix_says(workshop: Workshop, soabi: str, words: str) -> None:
    elf = workshop.extension()
    files = {f"_ext.{soabi}.so": for_machine(elf, AARCH64) if "aarch64" in soabi else elf}
    finding = only(judged(workshop.environment(), workshop.wheel(files, tag="py3-none-linux_x86_64")), "ABI003")
    assert f"is for {words}, and this is CPython 3.12." in finding.what


def test_a_foreign_variant_that_nobody_imports_is_silence(workshop: Workshop) -> None:
    """A debugger brings its helper for every platform; only what this one's code imports counts."""
    elf = for_machine(workshop.extension(), AARCH64)
    files = {"_ext.cpython-311-aarch64-linux-gnu.so": elf, "__init__.py": b""}
    assert judged(workshop.environment(), workshop.wheel(files, tag="py3-none-linux_x86_64")) == []


def test_nobody_imports_it(workshop: Workshop) -> None:
    files = {f"_ext{OLD}": workshop.extension(), "__init__.py": b""}
    finding = only(judged(workshop.environment(), workshop.wheel(files, tag="py3-none-linux_x86_64")), "ABI003")
    assert finding.severity is Severity.WARNING


# -- the C-API (PY-8, ELF-35) -------------------------------------------------------------


def test_a_symbol_that_the_interpreter_lacks(workshop: Workshop) -> None:
    """Told once, as a matter of Python and not as a missing symbol (ABI202)."""
    elf = workshop.extension(wants=("PyLong_FromLong", "_PyLong_Gone"))
    finding = only(judged(workshop.environment(), workshop.wheel({f"_ext{SUFFIX}": elf}), host="glibc=2.36"), "ABI003")
    assert finding.severity is Severity.ERROR
    assert finding.what == (
        f"`import grid._ext` will fail: _ext{SUFFIX} wants _PyLong_Gone, which CPython 3.12 does not have."
    )
    assert finding.key == "_PyLong_Gone" and finding.why[0].loader_rule == "PY-8"


def test_a_symbol_of_a_later_python(workshop: Workshop) -> None:
    elf = workshop.extension(wants=("PyLong_AsInt",))
    finding = only(
        judged(workshop.environment(), workshop.wheel({"_ext.abi3.so": elf}, "cp38-abi3-linux_x86_64")), "ABI003"
    )
    assert any(f.text == "PyLong_AsInt came with Python 3.13" for f in finding.why)


def test_a_module_for_a_python_without_the_gil(workshop: Workshop) -> None:
    elf = workshop.extension(wants=("_Py_MergeZeroLocalRefcount",))
    finding = only(judged(workshop.environment(), workshop.wheel({"_ext.so": elf}, "py3-none-linux_x86_64")), "ABI003")
    assert any("without the GIL" in f.text and f.loader_rule == "PY-9" for f in finding.why)


def test_symbols_that_are_there_are_silence(workshop: Workshop) -> None:
    elf = workshop.extension(wants=("PyLong_FromLong", "PyModule_Create2"))
    assert judged(workshop.environment(), workshop.wheel({f"_ext{SUFFIX}": elf})) == []


def test_another_pythons_library(workshop: Workshop) -> None:
    elf = workshop.extension(needs=("libpython3.10.so.1.0",))
    wheel = workshop.wheel({"_ext.so": elf}, "py3-none-linux_x86_64")
    finding = only(judged(workshop.environment(), wheel, host="auto"), "ABI003")
    assert "is linked to libpython3.10.so.1.0 of Python 3.10, and this is CPython 3.12" in finding.what


# -- the stable ABI ------------------------------------------------------------------------


def test_abi3_that_uses_more_than_the_stable_abi(workshop: Workshop) -> None:
    elf = workshop.extension(wants=("PyLong_FromLong", "_PyArg_NoKeywords"))
    wheel = workshop.wheel({"_ext.abi3.so": elf}, "cp38-abi3-linux_x86_64")
    finding = only(judged(workshop.environment(), wheel), "ABI003")
    assert finding.severity is Severity.WARNING
    assert finding.what.startswith("_ext.abi3.so calls itself abi3 and uses _PyArg_NoKeywords, which other versions")


def test_names_like_pythons_from_the_projects_own_library(workshop: Workshop) -> None:
    """A binding generator's ``PyDateTime_Get`` is no part of Python."""
    own = workshop.library("int PyDateTime_Get(void) { return 0; }", "libown.so")
    linked = workshop.folder / "built" / "libown.so"
    source = "int PyDateTime_Get(void); int PyInit__ext(void) { return PyDateTime_Get(); }"
    elf = workshop.library(source, "_ext.so", needed=[linked], rpath="$ORIGIN")
    wheel = workshop.wheel({"_ext.abi3.so": elf, "libown.so": own}, "cp38-abi3-linux_x86_64")
    assert judged(workshop.environment(), wheel) == []


def test_abi3_within_its_bounds(workshop: Workshop) -> None:
    elf = workshop.extension(wants=("PyLong_FromLong", "PyType_GetName"))
    wheel = workshop.wheel({"_ext.abi3.so": elf}, "cp38-abi3-linux_x86_64")
    assert judged(workshop.environment(), wheel) == []


def test_the_table_of_the_stable_abi() -> None:
    table = stable_symbols()
    assert table["PyLong_FromLong"] == (3, 2) and table["PyType_GetName"] == (3, 11) and table["Py_IncRef"] == (3, 2)
    assert "_PyLong_AsByteArray" not in table and newest_known() >= (3, 14)


# -- free-threaded (PY-6, PY-9) --------------------------------------------------------------


def test_a_module_with_the_gil_in_a_free_threaded_python(workshop: Workshop) -> None:
    maker = workshop.environment(flags="t")
    wheel = workshop.wheel({"_ext.so": workshop.extension(wants=("_Py_Dealloc",))}, "py3-none-linux_x86_64")
    finding = only(judged(maker, wheel), "ABI003")
    assert finding.severity is Severity.ERROR
    assert finding.what == (
        "`import grid._ext` will crash: _ext.so was built for a Python with the GIL, and this is CPython 3.13 without "
        "the GIL."
    )


def test_a_module_of_a_free_threaded_build(workshop: Workshop) -> None:
    wants = ("_Py_Dealloc", "_Py_MergeZeroLocalRefcount")
    maker = workshop.environment(flags="t", c_api=(*C_API, *wants[1:]))
    wheel = workshop.wheel({"_ext.so": workshop.extension(wants=wants)}, "py3-none-linux_x86_64")
    assert judged(maker, wheel) == []


# -- Windows (WIN-20) ----------------------------------------------------------------------


def on_windows(tmp_path: Path, pyd: bytes, **more: bytes) -> list[object]:
    maker = Maker(tmp_path / "env", "win-64")
    python = {
        "python.exe": build(dll=False, imports={"python312.dll": ["Py_Main"]}),
        "python312.dll": build(name="python312.dll", exports=["Py_Main", "PyLong_FromLong"]),
        "Lib/os.py": b"",
    }
    maker.record("python", "3.12.4", {**python, **more}, build="h0_0_cpython")
    files = {"grid/__init__.py": b"from . import _ext\n", "grid/_ext.pyd": pyd}
    return list(judged(maker, make_wheel(tmp_path / "w", "grid", "1.0", files, tag="py3-none-win_amd64")))


def test_a_dll_of_another_python_that_is_not_there(tmp_path: Path) -> None:
    pyd = build(imports={"python310.dll": ["PyLong_FromLong"]}, exports=["PyInit__ext"])
    (finding,) = on_windows(tmp_path, pyd)
    assert finding.rule == "ABI003"  # type: ignore[attr-defined]
    assert "_ext.pyd is linked to python310.dll of Python 3.10" in finding.what  # type: ignore[attr-defined]


def test_a_dll_of_another_python_that_is_there(tmp_path: Path) -> None:
    """It loads, and CPython then refuses the module."""
    pyd = build(imports={"python310.dll": ["PyLong_FromLong"]}, exports=["PyInit__ext"])
    other = build(name="python310.dll", exports=["PyLong_FromLong"])
    (finding,) = on_windows(tmp_path, pyd, **{"python310.dll": other})
    assert finding.rule == "ABI003" and finding.why[0].loader_rule == "WIN-20"  # type: ignore[attr-defined]
    assert any("conflicts with this version of Python" in f.text for f in finding.why)  # type: ignore[attr-defined]


def test_its_own_dll_lacks_a_function(tmp_path: Path) -> None:
    pyd = build(imports={"python312.dll": ["PyLong_FromLong", "PyOld_Gone"]}, exports=["PyInit__ext"])
    (finding,) = on_windows(tmp_path, pyd)
    assert finding.rule == "ABI003" and "wants PyOld_Gone" in finding.what  # type: ignore[attr-defined]


def test_its_own_dll_serves(tmp_path: Path) -> None:
    pyd = build(imports={"python312.dll": ["PyLong_FromLong"]}, exports=["PyInit__ext"])
    assert on_windows(tmp_path, pyd) == []


# -- macOS (MAC-15, MAC-16) ----------------------------------------------------------------


def test_a_symbol_that_the_interpreter_lacks_on_macos(tmp_path: Path) -> None:
    """Written as C spells it, without Mach-O's underscore."""
    maker = made_osx.environment(tmp_path / "env")
    wants = [Bind("_Py_Main", ordinal=-2), Bind("__PyLong_Gone", ordinal=-2)]
    made = Image(filetype="bundle", dylibs=[(LIBSYSTEM, "required")], exports=[Export("_PyInit__ext")], binds=wants)
    files = {"game/__init__.py": b"from . import _ext\n", f"game/_ext{made_osx.SUFFIX}": image(made)}
    wheel = make_wheel(tmp_path / "w", "game", "2.0", files, tag=made_osx.TAG)
    finding = only(judged(maker, wheel, host="macos=14.0"), "ABI003")
    assert "wants _PyLong_Gone, which CPython 3.12 does not have" in finding.what
