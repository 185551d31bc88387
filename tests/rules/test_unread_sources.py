"""Python source that an import is certain to run and that abicheck cannot read leaves the answer incomplete."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import Bench

from abicheck.rules import scene as scenes


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def skipped(bench: Bench, wheel: Path) -> list[str]:
    scene = bench.scene(wheel)
    assert len(scene.subjects) == 1
    return [f"{s.path}: {s.reason}" for s in scene.skipped if s.path.endswith(".py")]


def test_source_for_a_newer_python_than_ours(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has Python 3.12; what 3.11 cannot read is not called wrong."""
    monkeypatch.setattr("abicheck.import_effects.importing.sys.version_info", (3, 11, 9))
    monkeypatch.setattr(scenes.sys, "version_info", (3, 11, 9))
    new = bench.wheel(bench.ext(), {"grid/_new.py": b"some new grammar = 1\n"}, code="from . import _new\n")
    (told,) = skipped(bench, new)
    assert told.startswith("lib/python3.12/site-packages/grid/_new.py: is not valid Python")
    assert told.endswith("abicheck may read it when it runs on Python 3.12")
    known = b"type Pair[T] = tuple[T, T]\ndef first[T](x: Pair[T]) -> T: return x[0]\n"
    assert skipped(bench, bench.wheel(bench.ext(), {"grid/_new.py": known}, code="from . import _new\n")) == []


def test_source_that_nobody_imports_does_not_matter(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abicheck.import_effects.importing.sys.version_info", (3, 11, 9))
    template = {"grid/template.py": b"{{ name }} = {{ value }} of\n"}
    assert skipped(bench, bench.wheel(bench.ext(), template)) == []


def test_source_that_nests_without_end(bench: Bench) -> None:
    deep = b"x = " + b"(" * 5000 + b")" * 5000 + b"\n"
    (told,) = skipped(bench, bench.wheel(bench.ext(), {"grid/_deep.py": deep}, code="from . import _deep\n"))
    assert told.startswith("lib/python3.12/site-packages/grid/_deep.py: ")
