"""What conda calls a project: the environment first, then the tables, and no guess told as a fact."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import check
from abicheck.report import CheckOptions


def command(maker: Maker, tmp_path: Path, project: str) -> str | None:
    """The conda command of a finding about a wheel of that project."""
    wheel = make_wheel(tmp_path, project, "9.9", tag="cp39-cp39-win32")
    (finding,) = check([str(wheel)], prefix=str(maker.root), options=CheckOptions(host="none")).findings
    return next(r.command for r in finding.remedies if r.command and r.command.startswith("conda"))


@pytest.mark.parametrize(
    ("project", "told"),
    [
        ("tables", "conda install -n env pytables"),
        ("pandas", "conda install -n env pandas"),
        ("kaleido", "conda install -n env python-kaleido"),
        ("nobody_knows_this", "conda search nobody-knows-this"),
    ],
)
def test_tables_and_what_they_do_not_know(tmp_path: Path, project: str, told: str) -> None:
    maker = Maker(tmp_path / "env")
    maker.python()
    assert command(maker, tmp_path, project) == told


def test_the_environment_comes_first(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "env")
    maker.python()
    maker.record("our-grid", "1.0", maker.distribution("grid", "1.0"))
    assert command(maker, tmp_path, "grid") == "conda install -n env our-grid"
