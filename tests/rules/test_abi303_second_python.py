"""ABI303: a libpython beside the one in the executable, on Linux (macOS: tests/loader/test_dyld.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import EXT, SITE, Bench, paths, rules_of

from abicheck.model import Confidence, Severity
from abicheck.rules import abi303_second_python as rule


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("version", "severity"), [("3.12", Severity.NOTE), ("3.11", Severity.WARNING)], ids=["same", "another"]
)
def test_a_wheel_that_links_libpython(bench: Bench, version: str, severity: Severity) -> None:
    name = f"libpython{version}.so.1.0"
    bench.conda("pylib", files={f"lib/{name}": bench.lib(f"x/{name}", "int Py_Main(void) { return 1; }")})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext(needed=(f"x/{name}",))))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI303", severity, Confidence.HIGH)
    assert finding.what == f"`import grid` will bring a second Python into the process: {EXT} links {name}."
    assert finding.key == name and paths(finding) == (f"{SITE}/grid/{EXT}", f"lib/{name}")
    assert rules_of(finding) == ["ELF-35"] and finding.depends_on == () and finding.orders is None
    assert finding.conda_package is not None and finding.conda_package.name == "pylib"


def test_a_wheel_that_does_not_is_silence(bench: Bench) -> None:
    assert bench.judged(rule, bench.wheel(bench.ext())) == []


def test_what_conda_s_own_extension_links_is_its_affair(bench: Bench) -> None:
    name = "libpython3.12.so.1.0"
    bench.lib(f"x/{name}", "int Py_Main(void) { return 1; }")
    bench.conda("tool", bench.ext(needed=(f"x/{name}",)), {f"lib/{name}": bytes(bench.world.data(f"x/{name}"))})
    assert bench.judged(rule, bench.wheel(bench.ext())) == []
