"""Long work says how far it is."""

from __future__ import annotations

from abicheck.model import Origin
from abicheck.rules.scene import Scene


def test_work_on_several_things_is_counted() -> None:
    scene = Scene(None, [Origin("wheel", "toy", "1.0")])  # type: ignore[arg-type]
    told: list[tuple[str, int, int]] = []
    scene.tell = lambda label, done, total: told.append((label, done, total))
    assert list(scene.counted("reading libraries", ["a", "b"])) == ["a", "b"]
    assert told == [("reading libraries", n, 2) for n in (0, 1, 2)]


def test_nobody_needs_to_watch() -> None:
    assert list(Scene(None, []).counted("reading libraries", ["a"])) == ["a"]  # type: ignore[arg-type]
