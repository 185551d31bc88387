"""ABI602: importing the wheel changes the loader's state for whoever comes later."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.binary.pe_samples import build
from tests.prefix.making import Maker
from tests.rules.made_elf import SITE, Bench, paths, rules_of
from tests.wheel.making import make_wheel

from abicheck.engine import make_stage
from abicheck.model import Confidence, Finding, Severity
from abicheck.prefix import open_prefix
from abicheck.rules import abi602_loader_state_changed as rule
from abicheck.rules.scene import Scene
from abicheck.staging import Placed, wheel_origin
from abicheck.wheel import plan_install, read_wheel

OPEN = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libg.so.1'){})\n"
GLOBALLY = OPEN.format(", mode=ctypes.RTLD_GLOBAL")
G = "int g(void) { return 1; }"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_library_opened_for_everybody(bench: Bench) -> None:
    (finding,) = bench.judged(
        rule, bench.wheel(bench.ext(), {"grid/libg.so.1": bench.lib("a/libg.so.1", G)}, code=GLOBALLY)
    )
    assert (finding.rule, finding.severity, finding.confidence) == ("ABI602", Severity.NOTE, Confidence.HIGH)
    assert finding.what == "`import grid` opens libg.so.1 for the whole process."
    assert finding.why[0].text == "grid/__init__.py:2 does it" and rules_of(finding) == ["ELF-20"]
    assert finding.key == "libg.so.1" and finding.depends_on == () and finding.orders is None
    assert paths(finding) == (f"{SITE}/grid/libg.so.1", None)


def test_opened_privately_it_changes_nothing(bench: Bench) -> None:
    wheel = bench.wheel(bench.ext(), {"grid/libg.so.1": bench.lib("a/libg.so.1", G)}, code=OPEN.format(""))
    assert bench.judged(rule, wheel) == []


def test_unless_it_takes_a_name_of_the_environment(bench: Bench) -> None:
    bench.conda("glib", files={"lib/libg.so.1": bench.lib("b/libg.so.1", G.replace("1", "2"))})
    own = bench.lib("a/libg.so.1", G)
    (finding,) = bench.judged(rule, bench.wheel(bench.ext(), {"grid/libg.so.1": own}, code=OPEN.format("")))
    assert finding.what == "`import grid` opens libg.so.1 by path; it serves every later request for that name."
    assert finding.severity is Severity.NOTE and rules_of(finding) == ["ELF-2"]


def test_code_that_may_not_run_is_silence(bench: Bench) -> None:
    code = "def later():\n" + "".join(f"    {line}\n" for line in GLOBALLY.splitlines())
    wheel = bench.wheel(bench.ext(), {"grid/libg.so.1": bench.lib("a/libg.so.1", G)}, code=code)
    assert bench.judged(rule, wheel) == []


def test_what_an_imported_neighbour_does_is_the_neighbour_s(bench: Bench) -> None:
    bench.conda("tool", bench.ext(), {f"{SITE}/tool/libg.so.1": bench.lib("a/libg.so.1", G)})
    (bench.maker.root / SITE / "tool" / "__init__.py").write_text(GLOBALLY)
    assert bench.judged(rule, bench.wheel(bench.ext(), code="import tool\n")) == []


def test_what_is_there_from_the_start_is_no_news(bench: Bench) -> None:
    """The C library is in the global scope of every process."""
    code = "import ctypes\nctypes.CDLL('libc.so.6', mode=ctypes.RTLD_GLOBAL)\n"
    assert bench.judged(rule, bench.wheel(bench.ext(), code=code)) == []


def on_windows(root: Path, dll: str, code: str) -> list[Finding]:
    """A wheel whose folder ``grid.libs`` holds one DLL; the environment has ``shared.dll``."""
    maker = Maker(root / "env", "win-64")
    files = {
        "python.exe": build(dll=False, imports={"python312.dll": ["Py_Main"]}),
        "python312.dll": build(name="python312.dll", exports=["Py_Main"]),
        "Lib/os.py": b"",
        "DLLs/_ctypes.pyd": build(exports=["PyInit__ctypes"]),
    }
    maker.record("python", "3.12.4", files, build="h0_0_cpython")
    maker.record("sharedlib", "1.0", {"Library/bin/shared.dll": build(name="shared.dll", exports=["work"])})
    content = {
        "grid/__init__.py": code.encode(),
        "grid/_ext.pyd": build(imports={"python312.dll": ["Py_Main"], dll: ["work"]}, exports=["PyInit__ext"]),
        f"grid.libs/{dll}": build(name=dll, exports=["work"]),
    }
    wheel = make_wheel(root / "w", "grid", "2.0", content, tag="cp312-cp312-win_amd64")
    prefix, opened = open_prefix(str(maker.root)), read_wheel(str(wheel))
    assert prefix.layout is not None
    placed = Placed(opened, wheel_origin(opened), plan_install(opened, prefix.layout))
    return list(rule.check(Scene(make_stage(prefix, [placed], host="none"), [placed.origin])))


ADDS = (
    "import os\n"
    "os.add_dll_directory(os.path.join(os.path.dirname(__file__), os.pardir, 'grid.libs'))\n"
    "from . import _ext\n"
)


def test_a_directory_whose_names_others_have(tmp_path: Path) -> None:
    (finding,) = on_windows(tmp_path, "shared.dll", ADDS)
    assert finding.what == "`import grid` adds grid.libs to where all later DLLs are looked for."
    assert finding.severity is Severity.NOTE and rules_of(finding) == ["WIN-6"]


def test_a_directory_with_names_of_its_own_only_is_silence(tmp_path: Path) -> None:
    assert on_windows(tmp_path, "shared-0a1b2c3d4e5f60718293a4b5c6d7e8f9.dll", ADDS) == []
