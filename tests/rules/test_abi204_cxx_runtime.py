"""ABI204 and a wheel's own libstdc++: two copies are in a process only when one is opened by its path (ELF-2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_elf import SITE, Bench, paths

from abicheck.model import Severity
from abicheck.rules import abi204_state_merged as rule

# A facet's id: writable, of one size in every release, and used by the code of the copy that it is in.
LOCALE = (
    "template<class T> struct Facet { static int id; }; template<class T> int Facet<T>::id; "
    'extern "C" int y(void) { return Facet<char>::id++; }'
)
NAME = "libstdc++.so.6"
BY_PATH = f"import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '{NAME}'))\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def wheel(bench: Bench, code: str = "") -> Path:
    own = bench.lib(f"a/{NAME}", LOCALE, language="c++")
    other = bench.lib(f"b/{NAME}", LOCALE + " int newer;", language="c++")
    bench.conda("tool", bench.ext("y", needed=(f"b/{NAME}",)), {f"lib/{NAME}": other})
    return bench.wheel(bench.ext("y", needed=(f"a/{NAME}",), runpath="$ORIGIN"), {f"grid/{NAME}": own}, code=code)


def test_the_name_makes_them_one(bench: Bench) -> None:
    """Incident P17: a wheel brings libstdc++.so.6 under its own name. Whichever is first serves both."""
    assert bench.judged(rule, wheel(bench)) == []


def test_opened_by_path_both_are_there_and_share_their_locales(bench: Bench) -> None:
    """As in a real process: 82 unique objects of a GCC 14 libstdc++ bind to those of the GCC 12 one loaded before."""
    found = {f.orders.fails[0][0]: f for f in bench.judged(rule, wheel(bench, BY_PATH)) if f.orders}
    f = found["tool._ext"]
    assert f.severity is Severity.ERROR and paths(f) == (f"{SITE}/grid/{NAME}", f"lib/{NAME}")
