"""ABI101 on Windows: a runtime that only somebody's installer puts into System32."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.binary.pe_samples import build
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import make_stage
from abicheck.model import Confidence, Finding, Severity
from abicheck.prefix import open_prefix
from abicheck.rules import abi101_library_not_found as rule
from abicheck.rules.scene import Scene
from abicheck.staging import Placed, wheel_origin
from abicheck.wheel import plan_install, read_wheel


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env", "win-64")
    files = {
        "python.exe": build(dll=False, imports={"python312.dll": ["Py_Main"]}),
        "python312.dll": build(name="python312.dll", exports=["Py_Main"]),
        "Lib/os.py": b"",
    }
    made.record("python", "3.12.4", files, build="h0_0_cpython", depends=["vc14_runtime"])
    made.record("vc14_runtime", "14.16", {"vcruntime140.dll": build(exports=["memcpy"], version=(14, 16, 0, 0))})
    return made


def judged(maker: Maker, *needs: str) -> list[Finding]:
    """Findings for a wheel whose extension needs DLLs, each for one function."""
    ext = build(imports={"python312.dll": ["Py_Main"], **{n: ["f"] for n in needs}}, exports=["PyInit__ext"])
    content = {"grid/__init__.py": b"from . import _ext\n", "grid/_ext.pyd": ext}
    opened = read_wheel(str(make_wheel(maker.root.parent / "w", "grid", "1.0", content, tag="cp312-cp312-win_amd64")))
    prefix = open_prefix(str(maker.root))
    assert prefix.layout is not None
    placed = Placed(opened, wheel_origin(opened), plan_install(opened, prefix.layout))
    return list(rule.check(Scene(make_stage(prefix, [placed], host="none"), [placed.origin])))


def test_what_neither_brings(maker: Maker) -> None:
    (f,) = judged(maker, "VCRUNTIME140_1.dll", "MSVCP140.dll")
    assert (f.severity, f.confidence, f.depends_on) == (Severity.WARNING, Confidence.MEDIUM, ("host",))
    assert "the environment has VCRUNTIME140_1.dll, MSVCP140.dll" in f.what
    assert f.remedies[0].command == "conda install -n env vc14_runtime"


def test_an_older_line_is_not_in_conda_s_package(maker: Maker) -> None:
    (f,) = judged(maker, "MSVCR120.dll")
    assert "Visual C++ 2013 Redistributable" in f.what and "vc14_runtime" not in f.remedies[0].command


def test_the_environment_brings_it(maker: Maker) -> None:
    more = {n: build(name=n, exports=["f"]) for n in ("vcruntime140_1.dll", "msvcp140.dll")}
    maker.record("more", "14.40", more)
    assert judged(maker, "VCRUNTIME140_1.dll", "MSVCP140.dll") == []


def test_a_driver_is_the_machine_s_own_affair(maker: Maker) -> None:
    assert judged(maker, "nvcuda.dll") == []
