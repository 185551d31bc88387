"""ABI101: a library that another wheel, which pip will fetch, may bring."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import EXT, TAG, Bench
from tests.wheel.making import make_wheel

from abicheck.engine import check
from abicheck.model import Confidence, Finding, Severity
from abicheck.report import CheckOptions
from abicheck.rules.companions import akin

Y = "int y(void) { return 1; }"
HOSTS = ("glibc=2.36", "none")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def grid(bench: Bench, *requires: str, names: tuple[str, ...] = ("_ext",)) -> Path:
    """A wheel that reaches for an engine's library beside it, as a companion wheel would lay it there."""
    bench.lib("x/libengine.so.1", Y)
    suffix = EXT.removeprefix("_ext")
    where = "$ORIGIN/engine/lib"
    files = {f"grid/{n}{suffix}": bench.ext("y", needed=("x/libengine.so.1",), name=n, rpath=where) for n in names}
    files["grid/__init__.py"] = "".join(f"from . import {n}\n" for n in names).encode()
    return make_wheel(bench.folder / "wheels", "grid", "2.0", files, tag=TAG, requires=requires)


def judged(bench: Bench, *wheels: Path, host: str) -> list[Finding]:
    options = CheckOptions(host=host, only_rules=frozenset({"ABI101"}), use_cache=False)
    return list(check([str(w) for w in wheels], prefix=str(bench.maker.root), options=options).findings)


@pytest.mark.parametrize("host", HOSTS)
def test_pip_will_fetch_who_may_bring_it(bench: Bench, host: str) -> None:
    (f,) = judged(bench, grid(bench, "grid-engine>=1", "click", names=("_ext", "_more")), host=host)
    assert (f.severity, f.confidence, f.depends_on) == (Severity.WARNING, Confidence.MEDIUM, ("environment",))
    assert "works only if grid-engine>=1, which pip will fetch, brings libengine.so.1" in f.what
    assert any(w.text.startswith("modules: ") and "libengine.so.1" in w.text for w in f.why)
    assert "pip download" in f.remedies[0].command


@pytest.mark.parametrize("host", HOSTS)
def test_a_requirement_on_something_else_excuses_nothing(bench: Bench, host: str) -> None:
    (f,) = judged(bench, grid(bench, "click", "python-dateutil"), host=host)
    assert f.severity is Severity.ERROR


@pytest.mark.parametrize("host", HOSTS)
def test_the_companion_is_given_and_brings_it_or_not(bench: Bench, host: str) -> None:
    wheel = grid(bench, "grid-engine")
    library = {"grid/engine/lib/libengine.so.1": bench.lib("x/libengine.so.1", Y)}
    brings = make_wheel(bench.folder / "a", "grid_engine", "1.0", library, tag=TAG)
    assert judged(bench, wheel, brings, host=host) == []
    empty = make_wheel(bench.folder / "b", "grid_engine", "1.0", {"grid/engine/x.py": b""}, tag=TAG)
    (f,) = judged(bench, wheel, empty, host=host)
    assert f.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("project", "library", "expected"),
    [
        ("nvidia-cudnn-cu12", "libcudnn.so.9", True), ("nvidia-cuda-runtime-cu12", "libcudart.so.12", True),
        ("pyqt5-qt5", "Qt5Core.dll", True), ("shiboken6", "libshiboken6.abi3.so.6.5", True),
        ("tbb", "tbb12.dll", True), ("mkl", "mkl_rt.2.dll", True), ("click", "libcudnn.so.9", False),
        ("python-dateutil", "libpython3.11.so.1.0", False), ("six", "libsixteen.so", True),
    ],
)  # fmt: skip
def test_names_that_are_akin(project: str, library: str, expected: bool) -> None:
    assert akin(project, library) is expected
