"""ABI101: a library that is in the project, where the loader does not look, and that serves once it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import EXT, Bench

from abicheck.model import Finding, Severity
from abicheck.rules import abi101_library_not_found as rule

Y = "int y(void) { return 1; }"
SUFFIX = EXT.removeprefix("_ext")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def judged(bench: Bench, code: str = "", soname: str = "libside.so.1") -> list[Finding]:
    """``grid.tools`` imports ``grid.late``, which needs a library of the project that lies elsewhere in it."""
    side = bench.lib("x/libside.so.1", Y, soname=soname)
    bench.lib("x/libside.so.1", Y)
    files = {
        f"grid/late{SUFFIX}": bench.ext("y", needed=("x/libside.so.1",), name="late", rpath="$ORIGIN/nowhere"),
        "grid/tools.py": b"from . import late\n",
        "grid/deep/libside.so.1": side,
    }
    return bench.judged(rule, bench.wheel(bench.ext(name="_ext"), files, code=code))


def test_a_program_may_have_loaded_it(bench: Bench) -> None:
    (f,) = judged(bench)
    assert f.severity is Severity.WARNING and f.depends_on == ("import-order", "python-code")
    assert "works only after" in f.what and "libside.so.1 is nowhere the loader looks" in f.what
    assert f.object is not None and f.object.path.endswith("grid/deep/libside.so.1")


def test_a_file_that_does_not_answer_to_the_name_helps_nobody(bench: Bench) -> None:
    (f,) = judged(bench, soname="libelse.so.1")
    assert f.severity is Severity.ERROR


def test_importing_the_project_itself_needs_it(bench: Bench) -> None:
    (f,) = judged(bench, code="from . import late\n")
    assert f.severity is Severity.ERROR and f.depends_on == ("host",)


@pytest.mark.parametrize(
    ("handler", "severity"),
    [
        ("problem = e", Severity.WARNING),
        ("lib = ctypes.CDLL('libfar.so.1')", Severity.WARNING),
        ("raise ImportError('no') from e", Severity.ERROR),
        ("errors = [e]\nif not done:\n    raise RuntimeError(errors)", Severity.ERROR),
        ("", Severity.ERROR),
    ],
)
def test_a_library_that_importing_the_project_opens(bench: Bench, handler: str, severity: Severity) -> None:
    """A guard does not say that the project works without its library: what its code does then is looked at."""
    bench.lib("x/libgone.so.1", Y)
    own = bench.lib("x/libown.so", "int own(void) { return 0; }", needed=("x/libgone.so.1",))
    load = "ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'lib', 'libown.so'))\n"
    guarded = f"done = False\ntry:\n    {load}    done = True\nexcept OSError as e:\n    {handler}\n"
    wheel = bench.wheel(None, {"grid/lib/libown.so": own}, code="import ctypes, os\n" + (guarded if handler else load))
    (f,) = bench.judged(rule, wheel)
    assert f.severity is severity and f.key == "libgone.so.1"
    assert ("`import grid` will fail" in f.what) == (severity is Severity.ERROR)
