"""``--resolve``: what is asked of the prefix's pip, and what becomes of its answers. The runner stands in for pip."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.errors import InputError
from abicheck.inputs.resolving import resolve
from abicheck.prefix import Prefix, open_prefix


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    made = Maker(tmp_path / "env")
    made.python()
    return open_prefix(str(made.root))


class Pip:
    """Answers as pip would; remembers what it was asked."""

    def __init__(self, into: Path, *, fail: int | None = None) -> None:
        self.asked: list[list[str]] = []
        self.into, self.fail = into, fail

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        self.asked.append(list(command))
        if self.fail == len(self.asked) - 1:
            return subprocess.CompletedProcess(command, 1, b"", b"WARNING: x\nERROR: No matching distribution\n")
        if "download" in command:
            make_wheel(self.into, "toy", "1", tag="py3-none-any")
            return subprocess.CompletedProcess(command, 0, b"", b"")
        url = "https://files.example/toy-1-py3-none-any.whl"
        item = {"download_info": {"url": url}, "metadata": {"name": "toy", "version": "1"}, "requested": True}
        report = {"version": "1", "install": [item], "environment": {"python_version": "3.12"}}
        return subprocess.CompletedProcess(command, 0, json.dumps(report).encode(), b"")


def test_pip_resolves_and_fetches(prefix: Prefix, tmp_path: Path) -> None:
    pip = Pip(tmp_path / "wheels")
    pip.into.mkdir()
    found = resolve(["toy==1"], prefix, str(pip.into), run=pip)
    assert [r.wheel.name for r in found.requests] == ["toy"]
    asked, fetched = pip.asked
    assert asked[0] == f"{prefix.root}/bin/python3.12"
    assert {"--dry-run", "--only-binary=:all:", "toy==1"} <= set(asked)
    assert fetched[-1] == "https://files.example/toy-1-py3-none-any.whl"


@pytest.mark.parametrize("step", [0, 1])
def test_pips_own_words_when_it_cannot(prefix: Prefix, tmp_path: Path, step: int) -> None:
    pip = Pip(tmp_path / "wheels", fail=step)
    pip.into.mkdir()
    with pytest.raises(InputError, match="No matching distribution"):
        resolve(["toy==1"], prefix, str(pip.into), run=pip)


def test_a_prefix_that_cannot_run_here(prefix: Prefix, tmp_path: Path) -> None:
    (Path(prefix.root) / "bin/python3.12").unlink()
    with pytest.raises(InputError, match="no interpreter to run"):
        resolve(["toy==1"], open_prefix(prefix.root), str(tmp_path))
