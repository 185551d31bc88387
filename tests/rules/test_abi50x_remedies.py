"""ABI50x: commands that repair what they are about, in words that conda understands."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import audit, check
from abicheck.model import Finding
from abicheck.prefix import open_prefix
from abicheck.report import CheckOptions
from abicheck.rules.wording import conda_version

SITE = "lib/python3.12/site-packages"
TAG = "py3-none-any"


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env")
    made.python()
    return made


def gate(maker: Maker, *wheels: Path, rule: str) -> list[Finding]:
    found = check([str(w) for w in wheels], prefix=str(maker.root), options=CheckOptions(host="none"))
    return [f for f in found.findings if f.rule == rule]


def state(maker: Maker, rule: str) -> list[Finding]:
    return [f for f in audit(str(maker.root), CheckOptions(host="none")).findings if f.rule == rule]


@pytest.mark.parametrize(
    ("pip", "conda"),
    [
        ("<2,>=1.22", "<2,>=1.22"),
        ("==1.2.*", "=1.2"),
        ("!=1.3.*,>=1", "!=1.3.*,>=1"),
        ("~=1.4.2", "~=1.4.2"),
        ("==2.1.0+cpu", "==2.1.0"),
        ("===1.0", ""),
        ("", ""),
    ],
)
def test_ranges_as_conda_writes_them(pip: str, conda: str) -> None:
    assert conda_version(pip) == conda


def test_a_requirement_with_a_wildcard(maker: Maker, tmp_path: Path) -> None:
    maker.conda_distribution("numpy", "2.1.0", {"numpy/__init__.py": b""})
    wheel = make_wheel(tmp_path, "grid", "1.0", {"grid.py": b""}, tag=TAG, requires=["numpy==1.26.*"])
    (finding,) = gate(maker, wheel, rule="ABI502")
    assert finding.remedies[0].command == 'conda install -n env "numpy=1.26"'


def test_a_local_version_is_none_of_conda(maker: Maker, tmp_path: Path) -> None:
    maker.conda_distribution("torch", "2.0.0", {"torch/__init__.py": b""})
    wheel = make_wheel(tmp_path, "torch", "2.1.0+cpu", {"torch/__init__.py": b"x"}, tag=TAG)
    (finding,) = gate(maker, wheel, rule="ABI502")
    assert finding.remedies[0].command == 'conda install -n env "torch=2.1.0"'


def test_two_metadata_folders_are_removed_one_by_one(maker: Maker) -> None:
    maker.conda_distribution("grid", "1.0", {"grid.py": b"1"})
    maker.pip_distribution("grid", "1.2", {"grid.py": b"2"})
    (finding,) = state(maker, "ABI502")
    assert finding.remedies[0].command == (
        "pip uninstall grid && pip uninstall grid && conda install -n env --force-reinstall grid"
    )


def test_two_metadata_folders_of_pip(maker: Maker) -> None:
    maker.pip_distribution("grid", "1.0", {"grid.py": b"1"})
    maker.pip_distribution("grid", "1.2", {"grid.py": b"2"})
    (finding,) = state(maker, "ABI502")
    assert finding.remedies[0].command == "pip uninstall grid && pip uninstall grid && pip install grid"


def test_after_the_install_shared_files_are_put_back(maker: Maker) -> None:
    maker.pip_distribution("agrid", "1.0", {"grid/__init__.py": b"1"})
    maker.pip_distribution("bgrid", "2.0", {"grid/__init__.py": b"2", "grid/more.py": b""})
    (finding,) = state(maker, "ABI503")
    assert finding.remedies[0].command == ("pip uninstall agrid && pip install --force-reinstall --no-deps bgrid==2.0")


def test_after_the_install_without_shared_files(maker: Maker) -> None:
    maker.pip_distribution("agrid", "1.0", {"grid/__init__.py": b"1"})
    maker.pip_distribution("bgrid", "2.0", {"grid.py": b"2"})
    (finding,) = state(maker, "ABI503")
    assert finding.remedies[0].command == "pip uninstall bgrid"


def test_two_wheels_of_one_call(maker: Maker, tmp_path: Path) -> None:
    one = make_wheel(tmp_path, "agrid", "1.0", {"grid/__init__.py": b"1"}, tag=TAG)
    two = make_wheel(tmp_path, "bgrid", "1.0", {"grid/__init__.py": b"2"}, tag=TAG)
    (finding,) = gate(maker, one, two, rule="ABI503")
    assert finding.wheel is not None and finding.wheel.name == "bgrid", "the one that pip installs last"
    first = finding.remedies[0]
    assert (first.text, first.command) == ("install one of the two: leave wheel agrid 1.0 out", None)


def test_a_native_file_that_two_claim_is_spelled_as_they_spell_it(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "env", "win-64")
    maker.python()
    for name in ("agrid", "bgrid"):
        maker.pip_distribution(name, "1.0", {"Grid/Core.pyd": b"1"})
    (finding,) = (f for f in state(maker, "ABI505") if f.key == "agrid+bgrid")
    assert finding.subject is not None and finding.subject.path == "Lib/site-packages/Grid/Core.pyd"


def test_the_outer_package_is_what_people_install(maker: Maker, tmp_path: Path) -> None:
    """The dist-info lies in libopencv; opencv brings it through py-opencv. pip stops, so nobody's need breaks."""
    own = maker.distribution("opencv-python", "4.5.5", {"cv2/__init__.py": b""}, with_record=False)
    maker.record("libopencv", "4.5.5", own)
    maker.record("py-opencv", "4.5.5", {}, depends=["libopencv 4.5.5"])
    maker.record("opencv", "4.5.5", {}, depends=["py-opencv 4.5.5"])
    wheel = make_wheel(tmp_path, "opencv_python", "4.9", {"cv2/__init__.py": b"x"}, tag=TAG)
    (finding,) = gate(maker, wheel, rule="ABI502")
    assert "will stop" in finding.what
    assert finding.remedies[0].command == 'conda install -n env "opencv=4.9"'
    assert not [f for f in finding.why if f.loader_rule == "PY-19"]


def test_files_that_are_not_there_do_not_stay_behind(maker: Maker, tmp_path: Path) -> None:
    own = maker.distribution("grid", "1.0", {"grid/__init__.py": b""})
    maker.record("grid", "1.0", {**own, f"{SITE}/grid/extra.dat": b"", f"{SITE}/grid/gone.dat": b""})
    (maker.root / SITE / "grid/gone.dat").unlink()
    (finding,) = gate(maker, make_wheel(tmp_path, "grid", "2.0", {"grid/__init__.py": b"x"}, tag=TAG), rule="ABI502")
    assert [f.text for f in finding.why if "behind" in f.text] == [
        "1 file of the conda package stays behind, and its record goes on claiming all 6"
    ]


@pytest.mark.parametrize(("subdir", "tag"), [("linux-64", "cp27mu"), ("osx-64", "cp27m")])
def test_the_unicode_of_python_2(tmp_path: Path, subdir: str, tag: str) -> None:
    maker = Maker(tmp_path / "old", subdir, "lib/python2.7/site-packages")
    maker.record("python", "2.7.18", {"bin/python2.7": b"x" * 2000, "lib/python2.7/os.py": b""})
    interpreter = open_prefix(str(maker.root)).interpreter
    assert interpreter is not None and interpreter.abi_tags == (tag,)


def test_a_directory_where_the_wheel_has_a_file(maker: Maker, tmp_path: Path) -> None:
    maker.record("old", "1", {f"{SITE}/grid/data.txt": b""})
    (finding,) = gate(maker, make_wheel(tmp_path, "grid", "2.0", {"grid": b"x"}, tag=TAG), rule="ABI501")
    assert finding.what == f"`pip install grid` will stop: {SITE}/grid is a directory, a file in the wheel."
