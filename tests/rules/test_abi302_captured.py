"""ABI302 on Linux: who is captured has one copy of a runtime, not two (ELF-2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import Bench

from abicheck.rules import abi302_duplicate_runtime as rule

GLOBALLY = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '{}'), mode=ctypes.RTLD_GLOBAL)\n"
OWN = "int sqlite3_open(void) { return 1; } int sqlite3_close(void) { return sqlite3_open(); }"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def two(bench: Bench, name: str, code: str = "") -> Path:
    """A wheel and a conda package with an SQLite each; ``name`` is what the wheel calls its own."""
    own = bench.lib(f"a/{name}", OWN)
    other = bench.lib("b/libsqlite3.so.0", OWN.replace("1", "2"))
    bench.conda("tool", bench.ext("sqlite3_close", needed=("b/libsqlite3.so.0",)), {"lib/libsqlite3.so.0": other})
    ext = bench.ext("sqlite3_close", needed=(f"a/{name}",), rpath="$ORIGIN")
    return bench.wheel(ext, {f"grid/{name}": own}, code=code.format(name))


def test_one_soname_is_one_copy(bench: Bench) -> None:
    assert bench.judged(rule, two(bench, "libsqlite3.so.0")) == []


def test_two_names_and_calls_that_cross_are_two_copies(bench: Bench) -> None:
    found = bench.judged(rule, two(bench, "libsqlite3-0a1b2c3d.so.0.8.6", GLOBALLY))
    assert found and all("Two copies of SQLite" in f.what for f in found)
