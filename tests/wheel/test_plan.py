"""Where pip puts what, row by row. The comparison with pip itself is tests/oracle/test_pip_truth.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.wheel.making import make_wheel

from abicheck.wheel import plan_install, read_wheel
from abicheck.wheel.plan import Target

SITE = "lib/python3.12/site-packages"


@dataclass(frozen=True)
class Scheme:
    purelib: str = SITE
    platlib: str = SITE
    scripts: str = "bin"
    data: str = ""
    headers: str = "include/python3.12"
    windows: bool = False
    python: tuple[int, int] = (3, 12)
    cache_tag: str = "cpython-312"


WINDOWS = Scheme("Lib/site-packages", "Lib/site-packages", "Scripts", "", "Include", True)


def planned(tmp_path: Path, scheme: Scheme = Scheme(), entry_points: str = "", **files: bytes) -> dict[str, Target]:
    wheel = read_wheel(str(make_wheel(tmp_path, files=files, entry_points=entry_points)))
    return {t.path: t for t in plan_install(wheel, scheme)}


@pytest.mark.parametrize(
    ("member", "lands", "kind"),
    [
        ("toy/__init__.py", f"{SITE}/toy/__init__.py", "file"),
        ("toy.libs/liba.so", f"{SITE}/toy.libs/liba.so", "file"),
        ("toy-1.0.data/purelib/p.py", f"{SITE}/p.py", "file"),
        ("toy-1.0.data/platlib/q.so", f"{SITE}/q.so", "file"),
        ("toy-1.0.data/headers/toy.h", "include/python3.12/toy/toy.h", "file"),
        ("toy-1.0.data/scripts/run", "bin/run", "script"),
        ("toy-1.0.data/data/lib/libtoy.so.1", "lib/libtoy.so.1", "file"),
        ("toy-1.0.data/data/share/toy/x", "share/toy/x", "file"),
        ("other-2.data/data/etc/y", "etc/y", "file"),
    ],
)
def test_schemes(tmp_path: Path, member: str, lands: str, kind: str) -> None:
    target = planned(tmp_path, **{member: b""})[lands]
    assert (target.member, target.kind) == (member, kind)


def test_bytecode_of_every_python_file_wherever_it_lands(tmp_path: Path) -> None:
    paths = planned(tmp_path, **{"toy/a.b.py": b"", "toy-1.0.data/scripts/s.py": b"", "toy/c.pyi": b""})
    assert {p for p, t in paths.items() if t.kind == "pyc"} == {
        f"{SITE}/toy/__pycache__/a.b.cpython-312.pyc",
        "bin/__pycache__/s.cpython-312.pyc",
    }


def test_generated_metadata_depends_on_how_it_was_asked_for(tmp_path: Path) -> None:
    wheel = read_wheel(str(make_wheel(tmp_path)))
    info = f"{SITE}/toy-1.0.dist-info"
    direct = {t.path for t in plan_install(wheel, Scheme()) if t.kind == "generated"}
    assert direct == {f"{info}/{n}" for n in ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")}
    dragged = plan_install(wheel, Scheme(), requested=False, direct_url=False)
    assert {t.path for t in dragged if t.kind == "generated"} == {f"{info}/INSTALLER", f"{info}/RECORD"}


def test_wrappers(tmp_path: Path) -> None:
    points = "[console_scripts]\ntoy = toy:main\nbad = toy\n[gui_scripts]\ntoyw = toy.gui:run [extra]\n"
    scripts = {"toy-1.0.data/scripts/toy": b"#!python\n", "toy-1.0.data/scripts/other": b"#!python\n"}
    paths = planned(tmp_path, entry_points=points, **scripts)
    assert paths["bin/toy"].kind == "generated", "the wrapper that came in the wheel is dropped"
    assert paths["bin/toyw"].kind == "generated"
    assert paths["bin/other"].kind == "script"
    assert "bin/bad" not in paths


def test_windows_launchers(tmp_path: Path) -> None:
    points = "[console_scripts]\ntoy = toy:main\npost.py = toy:post\n"
    paths = planned(tmp_path, WINDOWS, points, **{"toy-1.0.data/scripts/toy-script.py": b""})
    assert {p for p in paths if p.startswith("Scripts/")} == {"Scripts/toy.exe", "Scripts/post.exe"}


@pytest.mark.parametrize(
    ("points", "bins"),
    [
        ("pip = p:m\npip3 = p:m\npip3.99 = p:m\n", {"pip", "pip3", "pip3.12"}),
        ("easy_install = e:m\neasy_install-3.6 = e:m\n", {"easy_install", "easy_install-3.12"}),
    ],
)
def test_names_that_pip_versions_itself(tmp_path: Path, points: str, bins: set[str]) -> None:
    paths = planned(tmp_path, entry_points="[console_scripts]\n" + points)
    assert {p.removeprefix("bin/") for p in paths if p.startswith("bin/")} == bins


def test_last_writer_of_a_path_wins(tmp_path: Path) -> None:
    paths = planned(tmp_path, **{"toy/x.py": b"1", "toy-1.0.data/purelib/toy/x.py": b"2"})
    assert paths[f"{SITE}/toy/x.py"].member == "toy-1.0.data/purelib/toy/x.py"
