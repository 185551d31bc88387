"""The house stands as docs/architecture.md says: imports go down, siblings do not know each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.requirements import not_run

REPO = Path(__file__).resolve().parents[1]
SOURCES = REPO / "src" / "abicheck"
LOADERS = {"glibc": "elf", "musl": "elf", "dyld": "macho", "windows": "pe"}  # musl stands on glibc's ELF parts
READERS = ("elf", "macho", "pe")


def imported(path: Path) -> set[str]:
    """Modules of abicheck that a file imports, ``from package import module`` included."""
    out: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            out |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        elif isinstance(node, ast.Import):
            out |= {a.name for a in node.names}
    return {m for m in out if m.startswith("abicheck.")}


def test_imports_only_go_down() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, env={"PYTHONPATH": str(REPO / "src"), "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "No module named 'importlinter'" in done.stderr:
        not_run("needs import-linter: pip install --group lint")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def families(folder: str, names: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for path in sorted((SOURCES / folder).glob("*.py")):
        name = next((n for n in names if path.stem == n or path.stem.startswith(n + "_")), None)
        if name is not None:
            yield name, path


@pytest.mark.parametrize(
    ("folder", "groups"), [("loader", LOADERS), ("binary", {n: n for n in READERS})], ids=["loader", "binary"]
)
def test_what_serves_one_system_knows_nothing_of_the_others(folder: str, groups: dict[str, str]) -> None:
    seen = set()
    for name, path in families(folder, tuple(groups)):
        seen.add(name)
        for module in imported(path):
            leaf = module.removeprefix(f"abicheck.{folder}.").partition(".")[0]
            other = next((n for n in groups if leaf == n or leaf.startswith(n + "_")), None)
            if module.startswith(f"abicheck.{folder}.") and other is not None:
                assert groups[other] == groups[name], f"{path.name} imports {module}"
    assert len(seen) > 2


@pytest.mark.parametrize(("folder", "prefix"), [("rules", "abi"), ("reporters", "")])
def test_rules_and_reporters_stand_alone(folder: str, prefix: str) -> None:
    """Adding one adds a file and edits none; what two of them share has a module of its own."""
    paths = [p for p in (SOURCES / folder).glob(f"{prefix}*.py") if not p.stem.startswith("_")]
    ones = {p.stem for p in paths if prefix or "def render(" in p.read_text()}
    assert len(ones) > 8
    for path in paths:
        for module in imported(path):
            room, _, leaf = module.removeprefix("abicheck.").partition(".")
            if room == folder and path.stem in ones:
                assert leaf.partition(".")[0] not in ones - {path.stem}, f"{path.name} imports {module}"
