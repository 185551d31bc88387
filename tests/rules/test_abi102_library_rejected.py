"""ABI102: a library is there and the loader refuses it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.loader.elf_worlds import MODERN
from tests.rules.made_elf import EXT, SITE, Bench, paths, rules_of

from abicheck.model import Confidence, Severity
from abicheck.rules import abi102_library_rejected as rule

Y = "int y(void) { return 1; }"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_conda_library_that_is_a_text_file(bench: Bench) -> None:
    bench.lib("x/liby.so.1", Y)
    bench.conda("ylib", files={"lib/liby.so.1": POINTER})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("y", needed=("x/liby.so.1",))))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI102", Severity.ERROR, Confidence.HIGH)
    assert finding.what == "`import grid._ext` will fail: $PREFIX/bin/../lib/liby.so.1: invalid ELF header."
    assert finding.depends_on == () and finding.key == "liby.so.1" and finding.orders is None
    assert paths(finding) == (f"{SITE}/grid/{EXT}", "lib/liby.so.1")
    assert finding.conda_package is not None and finding.conda_package.name == "ylib"
    assert rules_of(finding) == ["ELF-16"]
    assert finding.remedies[0].command == "conda install -n env --force-reinstall ylib"


def test_the_same_library_whole_is_silence(bench: Bench) -> None:
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("x/liby.so.1", Y)})
    assert bench.judged(rule, bench.wheel(bench.ext("y", needed=("x/liby.so.1",)))) == []


def test_a_library_of_another_class_is_passed_over_and_told_as_such(bench: Bench) -> None:
    library = bytearray(bench.lib("x/liby.so.1", Y))
    library[4] = 1
    bench.conda("ylib", files={"lib/liby.so.1": bytes(library)})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("y", needed=("x/liby.so.1",))))
    assert finding.what == "`import grid._ext` will fail: liby.so.1: wrong ELF class: ELFCLASS32."


@pytest.mark.parametrize(("glibc", "found"), [((2, 40), 0), ((2, 41), 1)])
def test_an_executable_stack_depends_on_the_host(bench: Bench, glibc: tuple[int, int], found: int) -> None:
    source = "void *PyInit__ext(void) { return 0; }"
    wheel = bench.wheel(bench.lib("ext/_ext.so", source, "-Wl,-z,execstack", soname=None))
    findings = bench.judged(rule, wheel, host=replace(MODERN, glibc=glibc))
    assert len(findings) == found
    for finding in findings:
        assert finding.severity is Severity.ERROR and finding.confidence is Confidence.MEDIUM
        assert finding.depends_on == ("host",) and rules_of(finding) == ["ELF-46"]


def test_static_tls_that_does_not_fit_has_its_own_remedy(bench: Bench) -> None:
    source = "static __thread char t[3000]; void *PyInit__ext(void) { return &t[1]; }"
    ext = bench.lib("ext/_ext.so", source, "-ftls-model=initial-exec", soname=None)
    (finding,) = bench.judged(rule, bench.wheel(ext))
    assert "cannot allocate memory in static TLS block" in finding.what and rules_of(finding) == ["ELF-45"]
    assert finding.remedies[0].command == "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=2000 python"


@pytest.mark.parametrize(("size", "fails"), [(1000, True), (500, False)])
def test_two_that_fit_alone_may_not_fit_together(bench: Bench, size: int, fails: bool) -> None:
    """They share no name, only the room for static TLS (ELF-45): whoever comes second does not load."""
    source = f"static __thread char t[{size}]; void *PyInit__ext(void) {{ return &t[1]; }}"
    options = ("-ftls-model=initial-exec",)
    bench.conda("tool", bench.lib("t/_ext.so", source, *options, soname=None))
    found = bench.judged(rule, bench.wheel(bench.lib("ext/_ext.so", source, *options, soname=None)))
    assert bool(found) is fails and len({f.orders for f in found}) == (2 if fails else 0)
    for finding in found:
        assert finding.severity is Severity.ERROR and "static TLS block" in finding.what
        assert finding.orders is not None and finding.orders.works == ()
        assert finding.remedies[0].command == "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=2000 python"
