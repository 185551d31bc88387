"""What Python sees as installed, who installed it, and what the user asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.prefix.making import Maker

from abicheck.errors import InputError
from abicheck.model import Origin
from abicheck.prefix import find_named_prefix, open_prefix
from abicheck.prefix.distributions import import_names


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env")
    made.python()
    return made


def test_conda_and_pip_side_by_side(maker: Maker) -> None:
    maker.conda_distribution("numpy", "1.26", {"numpy/__init__.py": b"", "../../../bin/f2py": b"#!"}, requires=["x>1"])
    maker.pip_distribution("My.Tool", "3", {"mytool.py": b""}, entry_points="[console_scripts]\nt = mytool:m\n")
    prefix = open_prefix(str(maker.root))
    numpy, tool = prefix.distribution("numpy"), prefix.distribution("my-tool")
    assert numpy is not None
    assert tool is not None
    assert numpy.by_conda
    assert numpy.owner is not None
    assert numpy.owner.name == "numpy"
    assert numpy.requires_dist == ("x>1",)
    assert "bin/f2py" in numpy.files
    assert not tool.by_conda
    assert tool.owner is None
    assert tool.scripts == ("t",)
    assert tool.origin == Origin("pip", "my-tool", "3")
    assert prefix.origin(f"{maker.site}/mytool.py") == tool.origin
    assert prefix.origin(f"{maker.site}/numpy/__init__.py") == numpy.owner.origin


def test_file_that_both_claim_belongs_to_whom_its_size_fits(maker: Maker) -> None:
    maker.conda_distribution("lib", "1", {"lib/a.py": b"conda"})
    maker.pip_distribution("lib", "2", {"lib/a.py": b"from pip"})
    prefix = open_prefix(str(maker.root))
    assert prefix.origin(f"{maker.site}/lib/a.py") == Origin("pip", "lib", "2")
    maker.write(f"{maker.site}/lib/a.py", b"conda")
    origin = open_prefix(str(maker.root)).origin(f"{maker.site}/lib/a.py")
    assert origin is not None
    assert origin.kind == "conda"


def test_record_rows_that_lead_outside_are_dropped(maker: Maker) -> None:
    info = f"{maker.site}/evil-1.dist-info"
    rows = "/etc/passwd,,\n../../../../../../x,,\nok.py,,\n..\\..\\..\\bin\\w.exe,,\n" + '"half,,\n'
    maker.write(f"{info}/METADATA", b"Name: evil\nVersion: 1\n")
    maker.write(f"{info}/RECORD", rows.encode())
    dist = open_prefix(str(maker.root)).distribution("evil")
    assert dist is not None
    assert [f for f in dist.files if "half" not in f] == [f"{maker.site}/ok.py", "bin/w.exe"]


def test_egg_info_as_folder_and_as_file(maker: Maker) -> None:
    maker.write(f"{maker.site}/old-1.2-py3.12.egg-info/PKG-INFO", b"Name: old\nVersion: 1.2\n")
    maker.write(f"{maker.site}/flat-0.1.egg-info", b"Name: flat\nVersion: 0.1\n")
    prefix = open_prefix(str(maker.root))
    found = {d.name: (d.version, d.has_record) for d in prefix.distributions}
    assert found == {"old": ("1.2", False), "flat": ("0.1", False)}


def test_metadata_that_is_missing_leaves_the_folder_name(maker: Maker) -> None:
    maker.write(f"{maker.site}/thing_x-4.5.dist-info/RECORD", b"")
    dist = open_prefix(str(maker.root)).distribution("thing-x")
    assert dist is not None
    assert dist.version == "4.5"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("cv2/__init__.py", "cv2/cv2.so"), ("cv2",)),
        (("six.py", "_x.cpython-312-x86_64-linux-gnu.so", "a.pth"), ("six", "_x")),
        (("numpy.libs/a.so", "numpy-1.dist-info/RECORD", "../../bin/x", "__pycache__/six.pyc"), ()),
    ],
)
def test_import_names(paths: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert import_names(paths) == names


def test_activation_scripts_and_variables(maker: Maker) -> None:
    maker.write("etc/conda/activate.d/b.sh", b"export PROJ_DATA=$CONDA_PREFIX/share/proj\n")
    maker.write("etc/conda/activate.d/a.bat", b"set X=1\n")
    maker.write("etc/conda/activate.d/readme.txt", b"")
    maker.write("etc/conda/env_vars.d/p.json", b'{"A": "1", "B": 2}')
    maker.write("conda-meta/state", b'{"version": 1, "env_vars": {"C": "3"}}')
    prefix = open_prefix(str(maker.root))
    assert [(s.path, s.shell) for s in prefix.activation] == [
        ("etc/conda/activate.d/a.bat", "cmd"),
        ("etc/conda/activate.d/b.sh", "posix"),
    ]
    assert prefix.environment == {"A": "1", "C": "3"}


# -- names --------------------------------------------------------------------


def test_named_environments(tmp_path: Path) -> None:
    base = Maker(tmp_path / "home" / "miniforge3")
    prod = Maker(tmp_path / "home" / "miniforge3" / "envs" / "prod")
    away = Maker(tmp_path / "elsewhere" / "lab")
    extra = Maker(tmp_path / "own" / "ml")
    (tmp_path / "home" / ".conda").mkdir()
    (tmp_path / "home" / ".conda" / "environments.txt").write_text(f"{away.root}\n{tmp_path}/gone\n")
    env = {"HOME": str(tmp_path / "home"), "CONDA_ENVS_PATH": str(tmp_path / "own")}
    assert find_named_prefix("prod", env) == str(prod.root)
    assert find_named_prefix("lab", env) == str(away.root)
    assert find_named_prefix("ml", env) == str(extra.root)
    assert find_named_prefix("base", env) == str(base.root)
    with pytest.raises(InputError) as caught:
        find_named_prefix("prud", env)
    assert "prod" in caught.value.hint
    with pytest.raises(InputError, match="is a path"):
        find_named_prefix("envs/prod", env)


def test_base_without_an_installation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="base"):
        find_named_prefix("base", {"HOME": str(tmp_path)})
