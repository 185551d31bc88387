"""ABI004: what is left when no tag speaks of the floor: glibc, processor level, macOS (ELF-43, ELF-48, MAC-13)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.macho import LIBSYSTEM, Export, Image, image
from tests.rules import made_osx
from tests.rules.made_linux import SUFFIX, TAG, Workshop, judged, only
from tests.wheel.making import make_wheel

from abicheck.model import Confidence, Finding, Severity


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_glibc_is_older(workshop: Workshop) -> None:
    """One finding: the missing version node is not told again (ABI201)."""
    wheel = workshop.wheel({f"_ext{SUFFIX}": workshop.for_glibc("2.34")}, TAG)
    finding = only(judged(workshop.environment(), wheel, host="glibc=2.28"), "ABI004")
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.MEDIUM)
    assert finding.what == (
        f"`import grid._ext` will fail: _ext{SUFFIX} needs glibc 2.34, and the host has glibc 2.28."
    )
    assert finding.depends_on == ("host",) and finding.assumption == "on this host (glibc=2.28)"
    assert finding.why[1].loader_rule == "ELF-43"


def test_all_modules_are_one_finding(workshop: Workshop) -> None:
    files = {f"_ext{SUFFIX}": workshop.for_glibc("2.34"), f"_b{SUFFIX}": workshop.for_glibc("2.38", "_b")}
    files["__init__.py"] = b"from . import _ext, _b\n"
    finding = only(judged(workshop.environment(), workshop.wheel(files, TAG), host="glibc=2.28"), "ABI004")
    assert "needs glibc 2.38, and the host has glibc 2.28" in finding.what
    assert any("2 modules fail in this way" in f.text for f in finding.why)


def test_a_conda_library_that_asks_for_more_is_what_to_replace(workshop: Workshop) -> None:
    """The wheel is fine: another build of it would fail in the same way."""
    maker = workshop.environment()
    maker.record("netlib", "3.1", {"lib/libnet.so.1": workshop.for_glibc("2.34", "net")})
    extension = workshop.extension(needs=("libnet.so.1",), flags=("-Wl,-rpath,$ORIGIN/../../..",))
    wheel = workshop.wheel({f"_ext{SUFFIX}": extension}, TAG)
    finding = only(judged(maker, wheel, host="glibc=2.28"), "ABI004")
    assert finding.what.endswith("libnet.so.1 needs glibc 2.34, and the host has glibc 2.28.")
    assert finding.conda_package is not None and finding.conda_package.name == "netlib"
    assert finding.remedies[0].command is not None and finding.remedies[0].command.endswith('"netlib<3.1"')
    assert not any("grid" in (r.command or "") for r in finding.remedies)


@pytest.mark.parametrize("host", ["glibc=2.34", "glibc=2.41", "none"])
def test_new_enough_or_unknown(workshop: Workshop, host: str) -> None:
    wheel = workshop.wheel({f"_ext{SUFFIX}": workshop.for_glibc("2.34")}, TAG)
    assert judged(workshop.environment(), wheel, host=host) == []


def test_a_processor_level(workshop: Workshop) -> None:
    """ELF-48; not told as a refused library (ABI102)."""
    elf = workshop.library("int PyInit__ext(void) { return 0; }", "_ext.so", flags=("-Wl,-z,x86-64-v4",))
    wheel, maker = workshop.wheel({f"_ext{SUFFIX}": elf}, TAG), workshop.environment()
    finding = only(judged(maker, wheel, host="glibc=2.36,cpu=x86-64-v2"), "ABI004")
    assert "needs a processor of level x86-64-v4, and the host has x86-64-v2" in finding.what
    assert judged(maker, wheel, host="glibc=2.36,cpu=x86-64-v4") == []


def on_mac(tmp_path: Path, min_os: tuple[int, int], tag: str, host: str) -> list[Finding]:
    maker = made_osx.environment(tmp_path / "env")
    made = Image(filetype="bundle", dylibs=[(LIBSYSTEM, "required")], exports=[Export("_PyInit__ext")], min_os=min_os)
    files = {"game/__init__.py": b"from . import _ext\n", f"game/_ext{made_osx.SUFFIX}": image(made)}
    return judged(maker, make_wheel(tmp_path / "w", "game", "2.0", files, tag=tag), host=host)


def test_a_file_for_a_newer_macos(tmp_path: Path) -> None:
    found = on_mac(tmp_path, (14, 0), "cp312-cp312-macosx_11_0_arm64", "macos=13.0")
    finding = next(f for f in found if f.rule == "ABI004")
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.MEDIUM)
    assert finding.what.endswith("is built for macOS 14.0, and the host has 13.0.")
    assert finding.why[0].loader_rule == "MAC-13"
    assert [f.rule for f in found] == ["ABI004"], "one cause, one finding: ABI002 is silent"


def test_a_macos_that_is_new_enough(tmp_path: Path) -> None:
    assert on_mac(tmp_path, (14, 0), "cp312-cp312-macosx_14_0_arm64", "macos=14.2") == []
