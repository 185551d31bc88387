"""ABI101: a need that nothing meets."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.loader.elf_worlds import MODERN
from tests.rules.made_elf import EXT, SITE, Bench, paths, rules_of

from abicheck.host import Host
from abicheck.model import Confidence, Severity
from abicheck.rules import abi101_library_not_found as rule

Y = "int y(void) { return 1; }"
UNKNOWN = Host("none", "nothing is known", "linux-64")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nowhere(bench: Bench) -> None:
    bench.lib("x/libgone.so.1", Y)
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("y", needed=("x/libgone.so.1",))))
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI101", Severity.ERROR, Confidence.MEDIUM)
    assert finding.what == f"`import grid._ext` will fail: {EXT} needs libgone.so.1, and nothing provides it."
    assert finding.depends_on == ("host",) and finding.assumption == f"on this host ({MODERN.label})"
    assert finding.key == "libgone.so.1" and finding.orders is None and finding.conda_package is None
    assert paths(finding) == (f"{SITE}/grid/{EXT}", None)
    assert rules_of(finding) == ["ELF-6"]
    assert finding.subject is not None and finding.subject.member == f"grid/{EXT}"
    assert any(f.text == "looked for in 1 place: lib" for f in finding.why)
    assert finding.wheel is not None and finding.wheel.name == "grid"
    assert [r.command for r in finding.remedies] == ["conda search grid", None]
    assert finding.remedies[1].text == "or install what brings libgone.so.1, from conda or on the host"


def test_the_environment_has_it(bench: Bench) -> None:
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("x/liby.so.1", Y)})
    assert bench.judged(rule, bench.wheel(bench.ext("y", needed=("x/liby.so.1",)))) == []


def test_the_wheel_has_it_where_its_extension_looks(bench: Bench) -> None:
    library = bench.lib("x/liby.so.1", Y)
    ext = bench.ext("y", needed=("x/liby.so.1",), rpath="$ORIGIN/../grid.libs")
    wheel = bench.wheel(ext, {"grid.libs/liby.so.1": library})
    assert bench.judged(rule, wheel) == []


def test_a_runpath_that_leads_astray_closes_the_environment(bench: Bench) -> None:
    bench.conda("ylib", files={"lib/liby.so.1": bench.lib("x/liby.so.1", Y)})
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("y", needed=("x/liby.so.1",), runpath="$ORIGIN/none")))
    assert finding.key == "liby.so.1" and finding.confidence is Confidence.MEDIUM


def test_two_modules_that_miss_one_library_are_told_together(bench: Bench) -> None:
    bench.lib("x/libgone.so.1", Y)
    suffix = EXT.removeprefix("_ext")
    files = {f"grid/{n}{suffix}": bench.ext("y", needed=("x/libgone.so.1",), name=n) for n in ("_ext", "_more")}
    (finding,) = bench.judged(rule, bench.wheel(None, files, code="from . import _ext, _more\n"))
    assert any(f.text == "2 modules fail in this way: grid._ext, grid._more" for f in finding.why)


def test_a_module_behind_an_except_clause_is_a_note_and_an_unused_one_a_warning(bench: Bench) -> None:
    bench.lib("x/libgone.so.1", Y)
    ext = bench.ext("y", needed=("x/libgone.so.1",))
    code = "try:\n    from . import _ext\nexcept ImportError:\n    _ext = None\n"
    guarded = bench.wheel(None, {f"grid/{EXT}": ext}, code=code)
    (finding,) = bench.judged(rule, guarded)
    assert finding.severity is Severity.NOTE and "would fail" in finding.what
    (finding,) = bench.judged(rule, bench.wheel(None, {f"grid/{EXT}": ext}))
    assert finding.severity is Severity.WARNING and "python-code" in finding.depends_on
    assert finding.confidence is Confidence.MEDIUM


def test_a_library_that_the_import_opens_is_told_once(bench: Bench) -> None:
    """ctypes opens it when the project is imported: that it is named in the code, too, is no second finding."""
    bench.lib("x/libgone.so.1", Y)
    library = bench.lib("v/libgrid.so", "int y(void); int x(void) { return y(); }", needed=("x/libgone.so.1",))
    code = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libgrid.so'))\n"
    (finding,) = bench.judged(rule, bench.wheel(None, {"grid/libgrid.so": library}, code=code))
    assert finding.severity is Severity.ERROR
    unopened = code.replace("ctypes.CDLL(", "print(")
    (finding,) = bench.judged(rule, bench.wheel(None, {"grid/libgrid.so": library}, code=unopened))
    assert finding.severity is Severity.WARNING and "opening libgrid.so would fail" in finding.what


@pytest.mark.parametrize("names", [("MPI.one.so", "MPI.two.so"), ("libcore4.so", "libcore5.so")])
def test_of_variants_for_different_libraries_one_is_enough(bench: Bench, names: tuple[str, str]) -> None:
    """The project's code picks the build whose library is there; what the others lack is a note then."""
    files = {}
    for name, library in zip(names, ("libone.so.1", "libtwo.so.2"), strict=True):
        made = bench.lib(f"x/{library}", Y)
        files[f"grid/{name}"] = bench.lib(
            f"v/{name}", "int y(void); int x(void) { return y(); }", needed=(f"x/{library}",)
        )
    code = f"NAMES = {list(names)}\n"
    both_missing = bench.judged(rule, bench.wheel(None, files, code=code))
    assert [f.severity for f in both_missing] == [Severity.WARNING] * 2
    bench.conda("two", files={"lib/libtwo.so.2": made})
    (finding,) = bench.judged(rule, bench.wheel(None, files, code=code))
    assert finding.severity is Severity.NOTE and finding.key == "libone.so.1"


def test_a_host_of_which_nothing_is_known(bench: Bench) -> None:
    bench.lib("x/libgone.so.1", Y)
    (finding,) = bench.judged(rule, bench.wheel(bench.ext("y", needed=("x/libgone.so.1",))), host=UNKNOWN)
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.MEDIUM)
    assert "will fail unless the host provides libgone.so.1" in finding.what
    assert finding.depends_on == ("host",) and rules_of(finding) == ["CL-10", "ELF-14"]


def test_what_manylinux_promises_is_left_to_an_unknown_host(bench: Bench) -> None:
    bench.lib("x/libX11.so.6", Y)
    assert bench.judged(rule, bench.wheel(bench.ext("y", needed=("x/libX11.so.6",))), host=UNKNOWN) == []
