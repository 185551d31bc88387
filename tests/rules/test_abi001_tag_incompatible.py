"""ABI001: what pip refuses, in whose words, and that nothing else is said of it (PY-1 to PY-6, MUSL-5)."""

from __future__ import annotations

import platform
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.tags import sys_tags
from tests.prefix.making import Maker
from tests.requirements import need
from tests.rules.made_linux import Workshop
from tests.wheel.making import ELF, make_wheel

from abicheck.admission import accepted_tags, built_for_musl, platform_tag, python_suits
from abicheck.engine import check
from abicheck.host import Host, this_machine, this_platform
from abicheck.model import Confidence, Finding, Severity
from abicheck.overlay import View
from abicheck.prefix import open_prefix
from abicheck.report import CheckOptions, Judgement
from abicheck.trees import MemoryTree, bytes_entry

ALONE = frozenset({"ABI001"})


def prefix(tmp_path: Path, subdir: str = "linux-64", **python: object) -> Maker:
    made = Maker(tmp_path / f"env-{subdir}", subdir)
    made.python(**python)  # type: ignore[arg-type]
    return made


def judgement(maker: Maker, *wheels: Path, host: str = "none", rules: frozenset[str] = frozenset()) -> Judgement:
    """``rules``: only these; all when empty (made natives and interpreters are no real ones)."""
    return check([str(w) for w in wheels], prefix=str(maker.root), options=CheckOptions(host=host, only_rules=rules))


def refused(
    tmp_path: Path, tag: str, *, subdir: str = "linux-64", host: str = "none", rules: frozenset[str] = frozenset()
) -> Finding | None:
    """What is said of a wheel with that tag; nothing but ABI001 may be."""
    files = {"grid/__init__.py": b"", "grid/_x.so": ELF}
    wheel = make_wheel(tmp_path / "w", "grid", "2.4", files, tag=tag)
    findings = judgement(prefix(tmp_path, subdir), wheel, host=host, rules=rules).findings
    assert {f.rule for f in findings} <= {"ABI001"} and len(findings) <= 1
    return findings[0] if findings else None


@pytest.mark.parametrize(
    ("subdir", "tag", "host", "text"),
    [
        ("linux-64", "cp311-cp311-manylinux_2_17_x86_64", "none", "it is built for CPython 3.11, and this is CPython"),
        ("linux-64", "cp312-cp312-macosx_11_0_arm64", "none", "it is for macOS arm64, and this environment is for"),
        ("linux-64", "cp312-cp312-win_amd64", "none", "it is for Windows x86_64, and this environment is for Linux"),
        ("linux-64", "cp312-cp312-manylinux_2_17_aarch64", "none", "it is for Linux arm64, and this environment"),
        ("linux-64", "cp312-cp312-musllinux_1_2_x86_64", "none", "is for systems with musl, and the environment's"),
        ("linux-64", "cp312-cp312-manylinux_2_34_x86_64", "glibc=2.28", "needs glibc 2.34, and the host has 2.28"),
        ("linux-64", "cp313-abi3-manylinux2014_x86_64", "none", "it is built for CPython 3.13 or later, and"),
        ("linux-64", "cp312-cp312t-linux_x86_64", "none", "it is built for CPython 3.12 without the GIL"),
        ("linux-64", "pp310-pypy310_pp73-linux_x86_64", "none", "it is built for PyPy 3.10"),
        ("osx-arm64", "cp312-cp312-macosx_14_0_arm64", "macos=13.0", "needs macOS 14.0, and the host has 13.0"),
        ("osx-arm64", "cp312-cp312-macosx_12_3_arm64", "none", "no macOS accepts macosx_12_3_arm64"),
        ("osx-arm64", "cp312-cp312-macosx_11_0_x86_64", "none", "it is for macOS x86_64, and this environment is"),
        ("win-64", "cp312-cp312-win32", "none", "it is for Windows x86 (32 bits), and this environment is for Windows"),
        ("win-64", "cp312-cp312-manylinux2014_x86_64", "none", "it is for Linux x86_64, and this environment is for"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, subdir: str, tag: str, host: str, text: str) -> None:
    finding = refused(tmp_path, tag, subdir=subdir, host=host)
    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert finding.what.startswith("pip will refuse grid 2.4 in env-") and text in finding.what
    assert finding.confidence is (Confidence.HIGH if host == "none" else Confidence.MEDIUM)
    assert finding.depends_on == (() if host == "none" else ("host",))


@pytest.mark.parametrize(
    ("subdir", "tag", "host"),
    [
        ("linux-64", "cp312-cp312-manylinux_2_34_x86_64", "none"),  # an unknown host excludes nothing (GEN-6)
        ("linux-64", "cp312-cp312-manylinux_2_28_x86_64.manylinux_2_39_x86_64", "glibc=2.28"),
        ("linux-64", "cp38-abi3-manylinux1_x86_64", "none"),
        ("linux-64", "py2.py3-none-any", "none"),
        ("linux-64", "py3-none-linux_x86_64", "glibc=2.17"),
        ("osx-arm64", "cp312-cp312-macosx_10_13_universal2", "macos=11.0"),
        ("osx-arm64", "cp312-cp312-macosx_14_0_arm64", "none"),
        ("win-64", "cp312-cp312-win_amd64", "none"),
    ],
)
def test_let_in(tmp_path: Path, subdir: str, tag: str, host: str) -> None:
    assert refused(tmp_path, tag, subdir=subdir, host=host, rules=ALONE) is None


def test_several_reasons_are_all_told(tmp_path: Path) -> None:
    finding = refused(tmp_path, "cp311-cp311-musllinux_1_2_x86_64")
    assert finding is not None
    assert "systems with musl" in finding.what and "CPython 3.11" in finding.what


def test_requires_python(tmp_path: Path) -> None:
    maker = prefix(tmp_path)
    made = _requiring(tmp_path / "x", ">=3.13")
    (finding,) = judgement(maker, made).findings
    assert finding.what == "pip will refuse grid 2.4 in env-linux-64: it requires Python >=3.13, and this is 3.12.4."
    assert finding.remedies[-1].command == 'pip install "grid<2.4"'
    assert not judgement(maker, _requiring(tmp_path / "y", ">=3.8"), rules=ALONE).findings


def _requiring(folder: Path, python: str) -> Path:
    """A wheel with Requires-Python."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"Metadata-Version: 2.1\nName: grid\nVersion: 2.4\nRequires-Python: {python}\n"
    path = folder / "grid-2.4-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("grid/__init__.py", b"")
        z.writestr("grid-2.4.dist-info/METADATA", about)
        z.writestr("grid-2.4.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("grid-2.4.dist-info/RECORD", "")
    return path


def test_it_says_what_to_download(tmp_path: Path) -> None:
    finding = refused(tmp_path, "cp311-cp311-manylinux_2_17_x86_64")
    assert finding is not None
    assert finding.remedies[0].command == (
        "pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_34_x86_64 "
        '--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 "grid==2.4"'
    )
    assert finding.remedies[1].command == "conda search grid"
    near = finding.why[1].text
    assert "cp312-cp312-" in near and "cp312-abi3-" in near and "py3-none-any" in near


def test_what_is_refused_takes_no_part(tmp_path: Path) -> None:
    """pip installs nothing of it: it replaces no distribution, overwrites no file."""
    maker = prefix(tmp_path)
    files = maker.distribution("grid", "1.0", {"grid/__init__.py": b"old"})
    maker.record("grid", "1.0", files)
    wheel = make_wheel(tmp_path / "w", "grid", "2.4", {"grid/__init__.py": b"new"}, tag="cp311-cp311-win_amd64")
    assert [f.rule for f in judgement(maker, wheel).findings] == ["ABI001"]


def test_a_renamed_wheel_is_noticed(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "grid", "2.4", {"grid/__init__.py": b""}, tag="cp311-cp311-linux_x86_64")
    renamed = wheel.rename(wheel.with_name("grid-2.4-cp312-cp312-linux_x86_64.whl"))
    (finding,) = judgement(prefix(tmp_path), renamed, rules=ALONE).findings
    assert finding.severity is Severity.WARNING
    assert "was renamed: its own WHEEL file says cp311-cp311-linux_x86_64" in finding.what


def test_libraries_for_every_python_may_be_packed_by_any(tmp_path: Path) -> None:
    """A project that loads its library with ctypes names the file py3-none; the WHEEL file tells who packed it."""
    library = Workshop(tmp_path).library("int grid_open(void) { return 1; }")
    for member, count in (("grid/libgrid.so", 0), ("grid/_grid.abi3.so", 1)):
        packed = {"grid/__init__.py": b"", member: library}
        wheel = make_wheel(tmp_path / "w" / member, "grid", "2.4", packed, tag="cp36-cp36m-linux_x86_64")
        renamed = wheel.rename(wheel.with_name("grid-2.4-py3-none-linux_x86_64.whl"))
        found = [f for f in judgement(prefix(tmp_path / member), renamed, rules=ALONE).findings if f.rule == "ABI001"]
        assert len(found) == count, member


def test_tags_of_a_free_threaded_build(tmp_path: Path) -> None:
    """PY-6: abi3 never pairs with a build without the GIL."""
    maker = Maker(tmp_path / "env")
    files = {"bin/python3.13t": b"x" * 2000, "lib/python3.13t/os.py": b"",
             "lib/python3.13t/lib-dynload/_x.cpython-313t-x86_64-linux-gnu.so": b"x"}  # fmt: skip
    maker.record("python", "3.13.1", files, build="h0_0_cp313t")
    interpreter = open_prefix(str(maker.root)).interpreter
    assert interpreter is not None and interpreter.free_threaded
    found = {str(t) for t in accepted_tags(interpreter, "linux-64", Host())}
    assert "cp313-cp313t-manylinux_2_28_x86_64" in found
    assert not [t for t in found if "-abi3-" in t or "-cp313-" in t]


def test_a_python_for_musl_takes_musllinux_only(tmp_path: Path) -> None:
    interpreter = open_prefix(str(prefix(tmp_path).root)).interpreter
    assert interpreter is not None
    found = {t.platform for t in accepted_tags(interpreter, "linux-64", Host(), musl=True)}
    assert "musllinux_1_2_x86_64" in found and "linux_x86_64" in found
    assert not [p for p in found if p.startswith("manylinux")]


@pytest.mark.parametrize(("interp", "expected"), [("/lib/ld-musl-x86_64.so.1", True), ("/lib64/ld-linux.so.2", False)])
def test_the_interpreters_own_file_says_which_libc(tmp_path: Path, interp: str, expected: bool) -> None:
    """MUSL-5: conda's Python stays one for glibc, on whatever host."""
    workshop = Workshop(tmp_path)
    source = f'const char interp[] __attribute__((section(".interp"))) = "{interp}"; int x;'
    program = workshop.library(source, "python")
    view = View("/env", MemoryTree({"/env/bin/python3.12": bytes_entry("p", program)}), lambda _: None)
    interpreter = open_prefix(str(prefix(tmp_path).root)).interpreter
    assert interpreter is not None
    for libc in ("musl", "glibc", ""):
        assert built_for_musl(view, interpreter, Host("declared", libc=libc)) is expected  # type: ignore[arg-type]


def test_an_unreadable_interpreter_is_the_hosts(tmp_path: Path) -> None:
    interpreter = open_prefix(str(prefix(tmp_path).root)).interpreter
    assert interpreter is not None
    nothing = View("/env", MemoryTree({}), lambda _: None)
    assert built_for_musl(nothing, interpreter, Host("declared", libc="musl"))
    assert not built_for_musl(nothing, interpreter, Host())


def test_platform_tags_taken_apart() -> None:
    assert platform_tag("manylinux2014_x86_64").floor == (2, 17)
    assert (platform_tag("manylinux_2_34_aarch64").floor, platform_tag("manylinux_2_34_aarch64").arch) == (
        (2, 34),
        "aarch64",
    )
    assert platform_tag("musllinux_1_2_i686").libc == "musl"
    assert platform_tag("macosx_10_9_universal2").floor == (10, 9)
    assert (platform_tag("win32").system, platform_tag("ios_13_0_arm64").system) == ("win", "ios_13_0_arm64")


def test_requires_python_as_pip_reads_it() -> None:
    assert python_suits("", "3.12.4") and python_suits(">=3.13", "3.13.0rc1") is False
    assert python_suits(">=3.12", "3.13.0b1") and python_suits("not a specifier", "3.12.4")


def test_an_interpreter_that_is_no_program_is_not_passed_over(tmp_path: Path) -> None:
    """What pip lets in cannot be judged then: incomplete, not "no problems" and not an internal error."""
    wheel = make_wheel(tmp_path / "w", "grid", "2.4", {"grid/__init__.py": b""}, tag="py3-none-any")
    judged = judgement(prefix(tmp_path), wheel)
    (skipped,) = judged.skipped
    assert (
        skipped.path == "bin/python3.12" and "the interpreter cannot be started" in skipped.reason and skipped.matters
    )


def test_the_tags_are_those_of_packaging(tmp_path: Path) -> None:
    """PY-1: for the Python that runs this test, asked with explicit arguments, the answer is packaging's own."""
    need("glibc")
    host = this_machine(this_platform())
    own = open_prefix(str(prefix(tmp_path).root)).interpreter
    assert own is not None
    minor = sys.version_info[:2]
    interpreter = replace(own, version=platform.python_version(), minor=minor, abi_tags=(f"cp{minor[0]}{minor[1]}",))
    assert set(accepted_tags(interpreter, host.platform, host)) == set(sys_tags())
