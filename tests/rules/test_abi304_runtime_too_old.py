"""ABI304 over made Windows environments: which copy of msvcp140 serves whom, and what that means."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.binary.pe_samples import build
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import make_stage
from abicheck.knowledge.msvc_runtime import msvc_runtime, toolset
from abicheck.model import Confidence, Finding, Severity
from abicheck.prefix import open_prefix
from abicheck.rules import abi304_runtime_too_old as rule
from abicheck.rules.scene import Scene
from abicheck.staging import Placed, wheel_origin
from abicheck.wheel import plan_install, read_wheel

MUTEX, PLAIN, CONSTRUCTED = ("_Mtx_lock", "_Mtx_unlock"), ("_Xlength",), ("_Mtx_init_in_situ", "_Mtx_lock")
EXPORTS = sorted({*MUTEX, *PLAIN, *CONSTRUCTED})
SITE = "Lib/site-packages"


def runtime(minor: int, version: int = 0) -> bytes:
    return build(name="MSVCP140.dll", exports=EXPORTS, version=(14, minor, version, 0), rich=False)


def extension(minor: int, symbols: tuple[str, ...], **more: bool) -> bytes:
    imports = {"python312.dll": ["Py_Main"], "VCRUNTIME140.dll": ["memcpy"], "MSVCP140.dll": list(symbols)}
    entries = ["PyInit__ext", "PyInit__more", "PyInit__core"]
    return build(imports=imports, exports=entries, linker=(14, minor), **more)  # type: ignore[arg-type]


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env", "win-64")
    files = {
        "python.exe": build(dll=False, imports={"python312.dll": ["Py_Main"]}),
        "python312.dll": build(name="python312.dll", exports=["Py_Main"]),
        "Lib/os.py": b"",
        "DLLs/_ctypes.pyd": build(exports=["PyInit__ctypes"]),
    }
    made.record("python", "3.12.4", files, build="h0_0_cpython", depends=["vc14_runtime"])
    made.record("runtime", "14.36", {"vcruntime140.dll": build(exports=["memcpy"], version=(14, 36, 0, 0))})
    return made


def judged(maker: Maker, **files: bytes) -> list[Finding]:
    """Findings for a wheel that brings the package ``grid`` with these files."""
    content = {"grid/__init__.py": b"from . import _ext\n"} | {f"grid/{n}": d for n, d in files.items()}
    wheel = make_wheel(maker.root.parent / "w", "grid", "1.0", content, tag="cp312-cp312-win_amd64")
    prefix, opened = open_prefix(str(maker.root)), read_wheel(str(wheel))
    assert prefix.layout is not None
    placed = Placed(opened, wheel_origin(opened), plan_install(opened, prefix.layout))
    stage = make_stage(prefix, [placed], host="none")
    return list(rule.check(Scene(stage, [p.origin for p in stage.placed])))


def test_the_signature_and_an_older_runtime_is_an_error(maker: Maker) -> None:
    maker.record("vc14_runtime", "14.36.32532", {"msvcp140.dll": runtime(36)})
    (finding,) = judged(maker, **{"_ext.pyd": extension(44, MUTEX)})
    assert (finding.severity, finding.confidence) == (Severity.ERROR, Confidence.MEDIUM)
    assert finding.what == (
        "grid will crash: _ext.pyd was built for MSVCP140.dll 14.44 and gets 14.36, from conda vc14_runtime "
        "14.36.32532."
    )
    assert finding.subject is not None and finding.subject.member == "grid/_ext.pyd"
    assert finding.object is not None and finding.object.path == "msvcp140.dll"
    assert finding.remedies[-1].command == 'conda install -n env "vc14_runtime>=14.44"'
    assert [f.loader_rule for f in finding.why] == [None, "WIN-4", "WIN-21"]


def test_the_same_runtime_in_two_files_is_one_finding(maker: Maker) -> None:
    maker.record("vc14_runtime", "14.36", {"msvcp140.dll": runtime(36)})
    (finding,) = judged(maker, **{"_ext.pyd": extension(44, PLAIN), "_more.pyd": extension(44, MUTEX)})
    assert finding.severity is Severity.ERROR
    assert finding.subject is not None and finding.subject.path == f"{SITE}/grid/_more.pyd"
    assert any("2 files are newer" in f.text for f in finding.why)


def test_mutexes_that_may_be_constructed_are_a_warning(maker: Maker) -> None:
    """onnxruntime 1.18.1: linker 14.40, both _Mtx_lock and _Mtx_init_in_situ; crashed for some, not for all."""
    maker.record("vc14_runtime", "14.38", {"msvcp140.dll": runtime(38)})
    (finding,) = judged(maker, **{"_ext.pyd": extension(40, CONSTRUCTED)})
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.LOW)


def test_mere_age_is_a_note(maker: Maker) -> None:
    maker.record("vc14_runtime", "14.29", {"msvcp140.dll": runtime(29)})
    (finding,) = judged(maker, **{"_ext.pyd": extension(36, PLAIN)})
    assert (finding.severity, finding.confidence) == (Severity.NOTE, Confidence.HIGH)


@pytest.mark.parametrize(("minor", "offered"), [(40, 40), (36, 44), (16, 16)])
def test_a_runtime_that_is_new_enough_is_silence(maker: Maker, minor: int, offered: int) -> None:
    maker.record("vc14_runtime", "14", {"msvcp140.dll": runtime(offered)})
    assert judged(maker, **{"_ext.pyd": extension(minor, MUTEX)}) == []


def test_a_linker_that_is_not_microsofts_says_nothing(maker: Maker) -> None:
    maker.record("vc14_runtime", "14.36", {"msvcp140.dll": runtime(36)})
    assert judged(maker, **{"_ext.pyd": extension(44, MUTEX, rich=False)}) == []


def test_the_copy_beside_the_extension_wins_and_is_judged(maker: Maker) -> None:
    maker.record("vc14_runtime", "14.44", {"msvcp140.dll": runtime(44)})
    (finding,) = judged(maker, **{"_ext.pyd": extension(44, MUTEX), "msvcp140.dll": runtime(36)})
    assert finding.object is not None and finding.object.path == f"{SITE}/grid/msvcp140.dll"


def test_a_mangled_copy_is_its_own(maker: Maker) -> None:
    maker.record("vc14_runtime", "14.36", {"msvcp140.dll": runtime(36)})
    name = "msvcp140-0123456789abcdef0123456789abcdef.dll"
    own = build(imports={"python312.dll": ["Py_Main"], name: list(MUTEX)}, exports=["PyInit__ext"], linker=(14, 44))
    assert judged(maker, **{"_ext.pyd": own, name: runtime(36)}) == []


def test_no_runtime_in_the_environment_is_the_hosts_affair(maker: Maker) -> None:
    assert judged(maker, **{"_ext.pyd": extension(44, MUTEX)}) == []


def test_the_wheels_old_copy_captures_for_a_conda_package(maker: Maker) -> None:
    """The other way round, and only in one order: the wheel is imported first, and conda's extension gets its copy."""
    maker.record("vc14_runtime", "14.44", {"msvcp140.dll": runtime(44)})
    maker.record(
        "netcalc", "2.0", {f"{SITE}/netcalc/__init__.py": b"", f"{SITE}/netcalc/_core.pyd": extension(44, MUTEX)}
    )
    (finding,) = judged(maker, **{"_ext.pyd": extension(29, PLAIN), "msvcp140.dll": runtime(29)})
    assert finding.severity is Severity.ERROR
    assert "if grid is imported first" in finding.what
    assert finding.depends_on == ("python-code", "import-order")
    assert finding.orders is not None and finding.orders.works[0][1] == "grid"
    assert finding.conda_package is not None and finding.conda_package.name == "netcalc"
    assert finding.remedies[0].command is not None and finding.remedies[0].command.endswith("import grid'")


def test_the_table() -> None:
    table = msvc_runtime()
    assert [n for n in ("MSVCP140.dll", "msvcp140_2.dll", "concrt140.dll") if not table.is_member(n)] == []
    assert [n for n in ("vcruntime140.dll", "msvcp120.dll", "msvcp140-00ff.dll") if table.is_member(n)] == []
    found = table.broken("MSVCP140.dll", {"_Mtx_lock"}, (14, 36), (14, 38))
    assert found is not None and found.sure, "the signature is proof whatever the linker's version says"
    assert table.broken("MSVCP140.dll", {"_Mtx_lock", "_Mtx_init_in_situ"}, (14, 36), (14, 38)) is None
    assert toolset("14.40") == (14, 40) and all(b.source for b in table.breaks)
