"""ABI001: wheels whose own metadata pip stops at, and what pip does not look at (PY-11, PY-19)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import check
from abicheck.model import Finding, Severity
from abicheck.report import CheckOptions


def prefix(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env-linux-64")
    made.python()
    return made


def findings(maker: Maker, wheel: Path) -> tuple[Finding, ...]:
    return check([str(wheel)], prefix=str(maker.root), options=CheckOptions(host="none")).findings


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ({"with_record": False}, "there is no grid-2.4.dist-info/RECORD"),
        ({"requires": ["six (>=1.8.*)"]}, "its requirement 'six (>=1.8.*)' is not valid"),
        ({"entry_points": "[console_scripts]\ngrid = grid\n"}, "its entry point 'grid' names no function (grid)"),
        ({"files": {"grid-2.4.data/lib/x.txt": b""}}, "grid-2.4.data/lib/x.txt is in no scheme of the .data folder"),
    ],
)
def test_a_wheel_that_pip_stops_at_is_refused(tmp_path: Path, made: dict[str, object], text: str) -> None:
    wheel = make_wheel(tmp_path / "w", "grid", "2.4", tag="py3-none-any", **made)  # type: ignore[arg-type]
    (finding,) = findings(prefix(tmp_path), wheel)
    assert (finding.rule, finding.severity) == ("ABI001", Severity.ERROR)
    assert finding.what == f"pip will refuse grid 2.4 in env-linux-64: {text}."


def test_what_pip_does_not_compare_is_no_finding(tmp_path: Path) -> None:
    """RECORD's sizes and completeness are not looked at by pip, nor are entry points with extras refused."""
    points = "[console_scripts]\ngrid = grid.cli:main [fast]\n[gui_scripts]\ngridview=grid.cli:view\n"
    wheel = make_wheel(
        tmp_path / "w", "grid", "2.4", {"grid/__init__.py": b""}, tag="py3-none-any", entry_points=points,
        requires=["six (>=1.8)"], raw=[("grid/unlisted.py", b"")],
    )  # fmt: skip
    assert not [f for f in findings(prefix(tmp_path), wheel) if f.rule == "ABI001"]


@pytest.mark.parametrize(("pip", "is_refused"), [("24.0", False), ("24.1", True), ("26.3", True)])
def test_requirements_of_old_are_taken_by_an_old_pip(tmp_path: Path, pip: str, is_refused: bool) -> None:
    maker = prefix(tmp_path)
    maker.conda_distribution("pip", pip)
    wheel = make_wheel(tmp_path / "w", "grid", "2.4", tag="py3-none-any", requires=["six (>=1.8.*)"])
    assert ("ABI001" in {f.rule for f in findings(maker, wheel)}) == is_refused


@pytest.mark.parametrize(("pip", "count"), [("26.3", 1), ("22.3", 0)])
def test_an_environment_that_is_not_pips_to_change(tmp_path: Path, pip: str, count: int) -> None:
    maker = prefix(tmp_path)
    maker.conda_distribution("pip", pip)
    wheel = make_wheel(tmp_path / "w", "grid", "2.4", {"grid.py": b""}, tag="py3-none-any")
    assert findings(maker, wheel) == ()
    maker.record("guard", files={"lib/python3.12/EXTERNALLY-MANAGED": b"[externally-managed]\nError=no\n"})
    found = findings(maker, wheel)
    assert [(f.rule, f.severity, f.key) for f in found] == [("ABI001", Severity.WARNING, "EXTERNALLY-MANAGED")] * count
