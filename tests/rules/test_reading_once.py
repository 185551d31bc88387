"""Libraries of wheels are unpacked once, however many rules look at them and however many wheels there are."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from tests.rules.made_elf import Bench

from abicheck.cache import Store
from abicheck.rules import all_rules
from abicheck.wheel import archive
from abicheck.wheel.recent import Recent
from abicheck.wheel.streams import DeflatedSource


@pytest.mark.parametrize("kept", [True, False], ids=["asked together", "each rule for itself"])
def test_each_library_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    bench = Bench(tmp_path)
    bench.conda("other", bench.ext("abs"))
    wheels = [bench.wheel(bench.ext("labs", name="_ext"), name=name) for name in ("grid", "mesh", "tile")]
    for w in wheels:
        os.utime(w, (1e9, 1e9))
    monkeypatch.setattr("abicheck.cache.SETTLED", -1e12)
    unpacked: Counter[str] = Counter()
    whole = DeflatedSource.whole

    def counted(self: DeflatedSource) -> bytes:
        unpacked[self.name] += self.name.endswith(".so")
        return whole(self)

    monkeypatch.setattr(DeflatedSource, "whole", counted)
    scene = bench.scene(*wheels)
    size = max(m.size for w in scene.wheels for m in w.natives)
    monkeypatch.setattr(archive, "_recent", Recent(size + size // 2))  # room for the library of one wheel
    if kept:
        scene.stage.before.store = scene.stage.after.store = Store(None)
    findings = [f for rule in all_rules() for f in rule.check(scene)]
    assert not any(f.severity == "error" for f in findings)
    times = [n for n in unpacked.values() if n]
    assert len(times) == 3 and all((n == 1) is kept for n in times), unpacked
