"""The report from a snapshot equals the report from the folder, for a real prefix and real wheels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.conda_side import MakePrefix, Wheels

from abicheck import engine
from abicheck.examination import snapshot
from abicheck.prefix import open_prefix

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]
SPECS = ("python", "pip", "libstdcxx >=12", "numpy", "h5py", "lxml", "scipy", "tbb", "llvm-openmp", "protobuf")


@pytest.mark.parametrize("wheel", ["numpy==1.26.4", "tbb==2021.4.0", "h5py==3.11.0"])
def test_same_findings(make_prefix: MakePrefix, wheels: Wheels, tmp_path: Path, wheel: str) -> None:
    prefix = make_prefix("snapshot-report", SPECS)
    kept = tmp_path / "prefix.snap"
    written = snapshot(open_prefix(str(prefix)), str(kept))
    assert written.left_out == ()
    assert os.path.getsize(kept) < 25_000_000
    operands = [str(w) for w in wheels(wheel)]
    folder, file = engine.check(operands, prefix=str(prefix)), engine.check(operands, prefix=str(kept))
    assert file.findings == folder.findings
    assert (file.skipped, file.target, file.inputs) == (folder.skipped, folder.target, folder.inputs)
    assert folder.findings
