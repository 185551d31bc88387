"""ABI002: binaries that are not what their wheel's tags promise (ELF-16, MAC-12, WIN-13, MUSL-5, Appendix A)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.macho import LIBSYSTEM, Export, Image, fat, image
from tests.binary.pe_samples import I386, build
from tests.prefix.making import Maker
from tests.rules import made_osx
from tests.rules.made_linux import AARCH64, SITE, SUFFIX, TAG, Workshop, for_machine, judged, only
from tests.wheel.making import make_wheel

from abicheck.model import Confidence, Severity


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


# -- what the loader refuses ---------------------------------------------------------


def test_another_processor(workshop: Workshop) -> None:
    elf = for_machine(workshop.extension(), AARCH64)
    wheel = workshop.wheel({f"_ext{SUFFIX}": elf}, tag="cp312-cp312-manylinux2014_x86_64")
    finding = only(judged(workshop.environment(), wheel), "ABI002")
    assert finding.severity is Severity.ERROR
    assert finding.what == (
        f"`import grid._ext` will fail: _ext{SUFFIX} is for arm64, though its wheel is tagged manylinux2014_x86_64."
    )
    assert finding.subject is not None and finding.subject.path == f"{SITE}/grid/_ext{SUFFIX}"
    assert [f.loader_rule for f in finding.why] == [None, "PY-1", "ELF-6"]


def test_another_format(workshop: Workshop) -> None:
    """A macOS bundle under the name of a Linux extension module."""
    bundle = image(Image(filetype="bundle", dylibs=[(LIBSYSTEM, "required")], exports=[Export("_PyInit__ext")]))
    finding = only(judged(workshop.environment(), workshop.wheel({f"_ext{SUFFIX}": bundle})), "ABI002")
    assert "is for macOS, though its wheel is tagged linux_x86_64" in finding.what


def test_musls_libc_on_glibc(workshop: Workshop) -> None:
    elf = workshop.extension(needs=("libc.musl-x86_64.so.1",))
    wheel = workshop.wheel({f"_ext{SUFFIX}": elf}, tag="cp312-cp312-manylinux_2_17_x86_64")
    findings = judged(workshop.environment(), wheel, host="auto")
    finding = only(findings, "ABI002")
    assert "is for systems with musl" in finding.what and finding.severity is Severity.ERROR


def test_foreign_files_that_nobody_loads_are_silence(workshop: Workshop) -> None:
    """A debugger's Windows DLL, another processor's helper: no import reaches them."""
    files = {
        f"_ext{SUFFIX}": workshop.extension(),
        "attach/attach_amd64.dll": build(),
        "attach/attach_arm.so": for_machine(workshop.library("int a;"), AARCH64),
    }
    assert judged(workshop.environment(), workshop.wheel(files)) == []


def test_an_optional_accelerator_is_a_note(workshop: Workshop) -> None:
    """A module whose import is guarded may fail."""
    files = {
        f"_ext{SUFFIX}": workshop.extension(),
        f"_fast{SUFFIX}": for_machine(workshop.extension("_fast"), AARCH64),
        "more.py": b"try:\n    from grid import _fast\nexcept ImportError:\n    _fast = None\n",
    }
    finding = only(judged(workshop.environment(), workshop.wheel(files)), "ABI002")
    assert finding.severity is Severity.NOTE and "would fail" in finding.what


# -- promises about the system ---------------------------------------------------------


@pytest.mark.parametrize("host", ["none", "glibc=2.40"])
def test_a_newer_glibc_than_the_tag_allows(workshop: Workshop, host: str) -> None:
    elf = workshop.for_glibc("2.34")
    wheel = workshop.wheel({f"_ext{SUFFIX}": elf}, tag="cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64")
    finding = only(judged(workshop.environment(), wheel, host=host), "ABI002")
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.HIGH)
    assert finding.what.startswith("grid 1.0 may not load on every system that its tag manylinux")
    assert finding.what.endswith(f"_ext{SUFFIX} needs GLIBC_2.34.")
    assert finding.why[1].text.endswith("allows GLIBC_2.17 at most")
    assert finding.depends_on == ("host",)


def test_a_broken_promise_that_the_host_does_not_bear(workshop: Workshop) -> None:
    """pip lets it in, the loader does not: one finding, an error (ABI004 and ABI201 are silent)."""
    wheel = workshop.wheel({f"_ext{SUFFIX}": workshop.for_glibc("2.34")}, tag="cp312-cp312-manylinux_2_17_x86_64")
    finding = only(judged(workshop.environment(), wheel, host="glibc=2.28"), "ABI002")
    assert (finding.severity, finding.depends_on) == (Severity.ERROR, ("host",))
    assert "is for glibc 2.34 or later, though its wheel is tagged manylinux_2_17_x86_64" in finding.what


def test_what_every_host_of_this_environment_has_is_a_note(workshop: Workshop) -> None:
    """manylinux1 is long promised in vain; nobody acts on it."""
    wheel = workshop.wheel({f"_ext{SUFFIX}": workshop.for_glibc("2.14")}, tag="cp312-cp312-manylinux1_x86_64")
    finding = only(judged(workshop.environment(), wheel), "ABI002")
    assert finding.severity is Severity.NOTE and finding.depends_on == ()


@pytest.mark.parametrize("in_prefix", [True, False])
def test_a_newer_runtime_than_the_tag_allows(workshop: Workshop, in_prefix: bool) -> None:
    """The environment's own libstdc++ has it: a note. Only the host could have it: a warning."""
    script = "GLIBCXX_3.4.30 { f_of_runtime; };"
    runtime = workshop.library("int f_of_runtime(void) { return 0; }", "libstdc++.so.6", version_script=script)
    linked = workshop.folder / "built" / "libstdc++.so.6"
    source = "int f_of_runtime(void); int PyInit__ext(void) { return f_of_runtime(); }"
    elf = workshop.library(source, "_ext.so", needed=[linked], rpath="$ORIGIN/../../../")
    maker = workshop.environment()
    if in_prefix:
        maker.record("libstdcxx", "12.3.0", {"lib/libstdc++.so.6": runtime})
    wheel = workshop.wheel({f"_ext{SUFFIX}": elf}, tag="cp312-cp312-manylinux_2_28_x86_64")
    finding = only(judged(maker, wheel), "ABI002")
    assert finding.severity is (Severity.NOTE if in_prefix else Severity.WARNING)
    assert finding.what.endswith("needs GLIBCXX_3.4.30.")


def test_a_promise_that_is_kept(workshop: Workshop) -> None:
    files = {f"_ext{SUFFIX}": workshop.for_glibc("2.17")}
    assert judged(workshop.environment(), workshop.wheel(files, "cp312-cp312-manylinux2014_x86_64")) == []


def test_linux_x86_64_promises_nothing(workshop: Workshop) -> None:
    assert judged(workshop.environment(), workshop.wheel({f"_ext{SUFFIX}": workshop.for_glibc("2.34")}, TAG)) == []


def test_an_extension_in_a_wheel_for_any_platform(workshop: Workshop) -> None:
    wheel = workshop.wheel({f"_ext{SUFFIX}": workshop.extension()}, tag="py3-none-any", purelib=True)
    finding = only(judged(workshop.environment(), wheel), "ABI002")
    assert finding.severity is Severity.WARNING
    assert finding.what == f"grid 1.0 is tagged for any platform, but _ext{SUFFIX} loads on Linux x86_64 only."


def test_libraries_in_a_wheel_for_any_platform_are_the_projects_choice(workshop: Workshop) -> None:
    files = {"__init__.py": b"", "data/libx.so": workshop.library("int x;")}
    assert judged(workshop.environment(), workshop.wheel(files, tag="py3-none-any", purelib=True)) == []


# -- macOS and Windows -------------------------------------------------------------------


def bundle(arch: str = "arm64", min_os: tuple[int, int] = (11, 0)) -> bytes:
    made = Image(
        arch=arch, filetype="bundle", dylibs=[(LIBSYSTEM, "required")], exports=[Export("_PyInit__ext")], min_os=min_os
    )
    return image(made)


def on_mac(tmp_path: Path, data: bytes, tag: str = made_osx.TAG) -> list[object]:
    maker = made_osx.environment(tmp_path / "env")
    files = {"game/__init__.py": b"from . import _ext\n", f"game/_ext{made_osx.SUFFIX}": data}
    return list(judged(maker, make_wheel(tmp_path / "w", "game", "2.0", files, tag=tag)))


def test_a_missing_slice(tmp_path: Path) -> None:
    (finding,) = on_mac(tmp_path, bundle("x86_64"))
    assert finding.rule == "ABI002" and finding.severity is Severity.ERROR  # type: ignore[attr-defined]
    assert "is for x86_64, though its wheel is tagged macosx_11_0_arm64" in finding.what  # type: ignore[attr-defined]


def test_a_universal_file_has_both(tmp_path: Path) -> None:
    data = fat([("x86_64", bundle("x86_64")), ("arm64", bundle())])
    assert on_mac(tmp_path, data, "cp312-cp312-macosx_10_9_universal2") == []


def test_a_newer_macos_than_the_tag(tmp_path: Path) -> None:
    (finding,) = on_mac(tmp_path, bundle(min_os=(14, 0)))
    assert finding.rule == "ABI002" and finding.severity is Severity.WARNING  # type: ignore[attr-defined]
    assert finding.what.endswith("needs macOS 14.0.")  # type: ignore[attr-defined]
    assert finding.why[0].loader_rule == "MAC-13"  # type: ignore[attr-defined]


def test_a_release_of_the_same_macos_is_a_note(tmp_path: Path) -> None:
    (finding,) = on_mac(tmp_path, bundle(min_os=(11, 1)))
    assert finding.severity is Severity.NOTE  # type: ignore[attr-defined]


def test_arm64_begins_with_macos_11(tmp_path: Path) -> None:
    """A tag of 10.9 for both processors means 11.0 on arm64."""
    assert on_mac(tmp_path, bundle(min_os=(11, 0)), "cp312-cp312-macosx_10_9_universal2") == []


def test_a_32_bit_file_on_windows(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "env", "win-64")
    python = {
        "python.exe": build(dll=False, imports={"python312.dll": ["Py_Main"]}),
        "python312.dll": build(name="python312.dll", exports=["Py_Main"]),
        "Lib/os.py": b"",
    }
    maker.record("python", "3.12.4", python, build="h0_0_cpython")
    pyd = build(machine=I386, exports=["PyInit__ext"])
    files = {"grid/__init__.py": b"from . import _ext\n", "grid/_ext.cp312-win_amd64.pyd": pyd}
    finding = only(
        judged(maker, make_wheel(tmp_path / "w", "grid", "1.0", files, tag="cp312-cp312-win_amd64")), "ABI002"
    )
    assert "is for i386, though its wheel is tagged win_amd64" in finding.what
