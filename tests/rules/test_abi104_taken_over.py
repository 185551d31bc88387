"""ABI104, the other way round: a library of the wheel comes to stand before the one that others find today."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.binary.pe_samples import build
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import make_stage
from abicheck.model import Confidence, Finding, Severity
from abicheck.prefix import open_prefix
from abicheck.rules import abi104_library_shadowed as rule
from abicheck.rules.scene import Scene
from abicheck.staging import Placed, wheel_origin
from abicheck.wheel import plan_install, read_wheel

SITE = "Lib/site-packages"
NEEDS = {"python312.dll": ["Py_Main"], "shared.dll": ["work"]}
# What such wheels run at start-up: their DLLs lie in a directory that only this makes known.
BOOT = "import os, grid_dlls\nfor path in grid_dlls.__path__:\n    os.add_dll_directory(path)\n"


def shared(number: int) -> bytes:
    return build(name="shared.dll", exports=["work"], version=(number, 0, 0, 0))


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env", "win-64")
    files = {
        "python.exe": build(dll=False, imports={"python312.dll": ["Py_Main"]}),
        "python312.dll": build(name="python312.dll", exports=["Py_Main"]),
        "Lib/os.py": b"",
        "DLLs/_ctypes.pyd": build(exports=["PyInit__ctypes"]),
    }
    made.record("python", "3.12.4", files, build="h0_0_cpython")
    made.record("sharedlib", "1.0", {"Library/bin/shared.dll": shared(1)})
    user = {f"{SITE}/user/__init__.py": b"from . import _u\n"}
    user[f"{SITE}/user/_u.pyd"] = build(imports=NEEDS, exports=["PyInit__u"])
    made.record("user", "1.0", user)
    return made


def judged(maker: Maker, library: bytes, *, pth: bool = True) -> list[Finding]:
    content = {
        "grid/__init__.py": b"from . import _ext\n",
        "grid/_ext.pyd": build(imports=NEEDS, exports=["PyInit__ext"]),
        "grid_dlls/shared.dll": library,
        "grid_boot.py": BOOT.encode(),
    } | ({"grid.pth": b"import grid_boot\n"} if pth else {})
    wheel = make_wheel(maker.root.parent / "w", "grid", "2.0", content, tag="cp312-cp312-win_amd64")
    prefix, opened = open_prefix(str(maker.root)), read_wheel(str(wheel))
    assert prefix.layout is not None
    placed = Placed(opened, wheel_origin(opened), plan_install(opened, prefix.layout))
    return list(rule.check(Scene(make_stage(prefix, [placed], host="none"), [placed.origin])))


def test_a_directory_added_at_start_up_serves_everybody(maker: Maker) -> None:
    (finding,) = judged(maker, shared(2))
    assert finding.what == "`import user` will use the shared.dll of wheel grid 2.0 instead of conda sharedlib 1.0's."
    assert (finding.rule, finding.confidence) == ("ABI104", Confidence.MEDIUM)
    assert finding.severity in (Severity.NOTE, Severity.WARNING)
    assert finding.subject is not None and finding.subject.member == "grid_dlls/shared.dll"
    assert finding.object is not None and finding.object.path == "Library/bin/shared.dll"
    assert [f.loader_rule for f in finding.why] == [None, "WIN-5", None]
    assert "not documented" in finding.why[2].text
    assert finding.conda_package is not None and finding.conda_package.name == "sharedlib"


def test_the_same_file_is_nothing(maker: Maker) -> None:
    assert judged(maker, shared(1)) == []


def test_a_directory_that_nobody_adds_changes_nothing_for_others(maker: Maker) -> None:
    findings = judged(maker, shared(2), pth=False)
    assert all("import user" not in f.what for f in findings)
