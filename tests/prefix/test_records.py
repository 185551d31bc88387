"""conda-meta records in every layout seen in the wild."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.prefix.making import Maker

from abicheck.errors import InputError
from abicheck.model import Origin
from abicheck.prefix import open_prefix
from abicheck.prefix.records import channel_name


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env")
    made.python()
    return made


def test_record_of_todays_conda(maker: Maker) -> None:
    maker.record("libz", "1.3", {"lib/libz.so": b"abc"}, depends=["libgcc >=12"], constrains=["zlib 1.3"])
    prefix = open_prefix(str(maker.root))
    (record,) = prefix.owners("lib/libz.so")
    assert (record.name, record.version, record.build, record.subdir) == ("libz", "1.3", "h0_0", "linux-64")
    assert record.depends == ("libgcc >=12",)
    assert record.constrains == ("zlib 1.3",)
    assert record.paths["lib/libz.so"].size == 3
    assert record.paths["lib/libz.so"].expected.startswith("ba7816bf")
    assert prefix.origin("lib/libz.so") == Origin("conda", "libz", "1.3", "h0_0", "conda-forge")
    assert prefix.origin("lib/other.so") is None


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://conda.example/conda-forge/linux-64", "conda-forge"),
        ("https://repo.example/pkgs/main/noarch", "pkgs/main"),
        ("https://conda.example/t/token/private/osx-arm64/", "private"),
        ("conda-forge", "conda-forge"),
        ("file:///tmp/channel", "channel"),
        ("", ""),
    ],
)
def test_channel_names(address: str, name: str) -> None:
    assert channel_name(address) == name


def test_record_without_paths_data(maker: Maker) -> None:
    maker.raw("old-1.0-0", {"name": "old", "version": "1.0", "build": "0", "files": ["lib/liba.so"]})
    (record,) = open_prefix(str(maker.root)).owners("lib/liba.so")
    assert record.paths["lib/liba.so"].expected == ""


def test_record_without_files_takes_them_from_paths_data(maker: Maker) -> None:
    rows = {"paths": [{"_path": "lib/libb.so", "sha256": "00"}]}
    maker.raw("late-2.0-0", {"name": "late", "version": "2.0", "build": "0", "paths_data": rows})
    assert open_prefix(str(maker.root)).owners("lib/libb.so")[0].name == "late"


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"name": None, "version": 3, "files": None, "depends": None, "paths_data": None},
        {"files": "lib/x", "depends": "", "constrains": {}, "paths_data": {}, "channel": {"name": "defaults"}},
        {"build_string": "py_0", "noarch": True, "requested_spec": "None", "build_number": "7"},
        {"paths_data": {"paths": None}},
        {"paths_data": {"paths": [{"_path": None}, {}, {"_path": 3}]}},
    ],
)
def test_missing_and_odd_keys(maker: Maker, value: object) -> None:
    maker.raw("odd-name-1.5-py_0", value)
    prefix = open_prefix(str(maker.root))
    record = next(r for r in prefix.records if r.name == "odd-name")
    assert (record.version, record.build, record.requested) == ("1.5", "py_0", False)
    assert dict(record.paths) == {}
    assert prefix.subdir == "linux-64"


NESTED = '{"name": "broken", "x": ' + "[" * 100_000 + "]" * 100_000 + "}"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0"


@pytest.mark.parametrize("content", ["", "[]", "{", "null", POINTER, NESTED], ids=range(6))
def test_what_is_no_record_is_named(maker: Maker, content: str) -> None:
    (maker.root / "conda-meta" / "broken-1-0.json").write_text(content)
    prefix = open_prefix(str(maker.root))
    assert [s.path for s in prefix.problems] == ["conda-meta/broken-1-0.json"]
    assert "broken" not in prefix.problems[0].reason, "the path is said once"
    assert all(r.name != "broken" for r in prefix.records)


def test_a_directory_that_cannot_be_listed_is_named(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks empty, and what lies in it is not judged: that must not pass as fine."""
    closed = maker.root / maker.write("lib/closed/libx.so.1").rpartition("/")[0]
    scandir = os.scandir

    def refuse(path: str) -> object:
        if os.fspath(path) == str(closed):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    prefix = open_prefix(str(maker.root))
    assert prefix.problems == ()
    assert prefix.files.listing("lib/closed") == {}
    assert [(s.path, s.matters) for s in prefix.problems] == [("lib/closed", True)]
    assert "Permission denied" in prefix.problems[0].reason


def test_noarch_paths_are_placed(maker: Maker) -> None:
    site = maker.site
    rows = [
        {"_path": "site-packages/m.py", "path_type": "hardlink", "sha256_in_prefix": "aa"},
        {"_path": "python-scripts/m", "path_type": "hardlink", "sha256_in_prefix": "bb"},
        {"_path": f"{site}/__pycache__/m.cpython-312.pyc", "path_type": "pyc_file"},
    ]
    files = [f"{site}/m.py", "bin/m", f"{site}/__pycache__/m.cpython-312.pyc"]
    value = {"name": "m", "version": "1", "build": "0", "noarch": "python", "subdir": "noarch", "files": files}
    maker.raw("m-1-0", value | {"paths_data": {"paths": rows}})
    (record,) = open_prefix(str(maker.root)).owners("bin/m")
    assert record.noarch == "python"
    assert {p: i.sha256_in_prefix for p, i in record.paths.items()} == {files[0]: "aa", files[1]: "bb", files[2]: ""}
    assert record.paths[files[2]].path_type == "pyc"


def test_two_owners_of_one_file(maker: Maker) -> None:
    maker.record("a", "1", {"lib/libiomp5.so": b"1"})
    maker.record("b", "1", {"lib/libiomp5.so": b"2"})
    prefix = open_prefix(str(maker.root))
    assert [r.name for r in prefix.owners("lib/libiomp5.so")] == ["a", "b"]


def test_paths_compare_without_case_on_windows(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env", "win-64")
    made.python()
    made.record("zlib", "1", {"Library/bin/Zlib.dll": b"1"})
    raw = json.loads((made.root / "conda-meta" / "zlib-1-h0_0.json").read_text())
    raw["files"] = ["Library\\bin\\Zlib.dll"]
    made.raw("zlib-1-h0_0", raw)
    prefix = open_prefix(str(made.root))
    assert prefix.fold_case
    assert prefix.owners("library/BIN/zlib.dll")[0].name == "zlib"
    assert prefix.content_state("LIBRARY/bin/zlib.dll") == "present"


def test_subdir_is_what_most_records_say(maker: Maker) -> None:
    maker.record("stray", "1", {}, subdir="osx-64")
    maker.record("pure", "1", {}, subdir="noarch")
    maker.record("gcc", "1", {})
    assert open_prefix(str(maker.root)).subdir == "linux-64"


def test_absent_libraries_are_recorded_but_what_pip_replaced_is_gone(maker: Maker) -> None:
    maker.record("libbig", "1", {"lib/libbig.so.1": b"x", "share/doc": b"x"})
    (maker.root / "lib/libbig.so.1").unlink()
    (maker.root / "share/doc").unlink()
    maker.record("numpy", "1.0", {f"{maker.site}/numpy/_core.so": b"x"})
    (maker.root / maker.site / "numpy/_core.so").unlink()
    maker.pip_distribution("numpy", "2.0", {"numpy/__init__.py": b""})
    assert open_prefix(str(maker.root)).recorded_paths == ("lib/libbig.so.1",)


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (b"x" * 3000, "present"),
        (b"short", "present"),
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "pointer"),
    ],
)
def test_content_states(maker: Maker, content: bytes, state: str) -> None:
    maker.write("lib/liba.so", content)
    prefix = open_prefix(str(maker.root))
    assert prefix.content_state("lib/liba.so") == state
    assert prefix.content_state("lib/nothing.so") == "absent"
    assert prefix.content_state("lib") == "directory"


def test_links_are_followed_inside_and_never_outside(maker: Maker) -> None:
    root = maker.root
    maker.write("lib/real/libx.so.1", b"abc")
    (root / "lib/libx.so").symlink_to("real/libx.so.1")
    (root / "lib64").symlink_to("lib")
    (root / "lib/absolute.so").symlink_to(root / "lib/real/libx.so.1")
    (root / "lib/out.so").symlink_to("../../../../../etc/passwd")
    (root / "lib/host.so").symlink_to("/etc/passwd")
    (root / "lib/loop.so").symlink_to("loop.so")
    (root / "lib/gone.so").symlink_to("nothing")
    prefix = open_prefix(str(root))
    assert prefix.resolve("lib64/libx.so").path == "lib/real/libx.so.1"
    assert prefix.read("lib64/absolute.so") == b"abc"
    for name in ("out", "host", "loop", "gone"):
        assert prefix.content_state(f"lib/{name}.so") == "dangling"
        assert prefix.read(f"lib/{name}.so") is None


# -- what is no prefix --------------------------------------------------------


def test_not_a_prefix_names_near_misses(tmp_path: Path) -> None:
    Maker(tmp_path / "envs" / "prod")
    with pytest.raises(InputError) as caught:
        open_prefix(str(tmp_path / "envs" / "prd"))
    assert caught.value.reference == "no-such-prefix"
    assert "prod" in caught.value.hint
    Maker(tmp_path / "project" / ".pixi" / "envs" / "default")
    with pytest.raises(InputError) as caught:
        open_prefix(str(tmp_path / "project"))
    assert caught.value.reference == "not-a-prefix"
    assert "default" in caught.value.hint
    assert open_prefix(str(tmp_path / "project/.pixi/envs/default")).interpreter is None


def test_a_folder_inside_an_environment_names_the_environment(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    made.write("lib/x.so")
    with pytest.raises(InputError) as caught:
        open_prefix(str(made.root / "lib"))
    assert "env`" in caught.value.hint


def test_a_file_is_no_prefix(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        open_prefix(str(tmp_path / "x"))


# -- unpacked packages --------------------------------------------------------


def _package(folder: Path, index: dict[str, object], files: dict[str, bytes], link: object = None) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "info").mkdir(parents=True, exist_ok=True)
    (folder / "info/index.json").write_text(json.dumps(index))
    (folder / "info/files").write_text("\n".join(files))
    if link is not None:
        (folder / "info/link.json").write_text(json.dumps(link))


def test_folder_of_unpacked_packages(tmp_path: Path) -> None:
    python = {"bin/python3.12": b"x" * 2000, "lib/python3.12/lib-dynload/_x.cpython-312-x86_64-linux-gnu.so": b"x"}
    index = {"name": "python", "version": "3.12.4", "build": "h0_cpython", "subdir": "linux-64"}
    _package(tmp_path / "python-3.12.4-h0_cpython", index, python)
    pure = {"name": "tool", "version": "2", "build": "py_0", "subdir": "noarch", "noarch": "python"}
    link = {"noarch": {"type": "python", "entry_points": ["tool = tool:main"]}}
    _package(tmp_path / "tool-2-py_0", pure, {"site-packages/tool.py": b"x = 1"}, link)
    (tmp_path / "broken-1-0" / "info").mkdir(parents=True)
    (tmp_path / "broken-1-0" / "info" / "index.json").write_text("{")
    prefix = open_prefix(str(tmp_path))
    assert (prefix.kind, prefix.subdir, [r.name for r in prefix.records]) == (
        "packages",
        "linux-64",
        ["python", "tool"],
    )
    assert prefix.interpreter is not None
    assert prefix.interpreter.present
    assert prefix.read("lib/python3.12/site-packages/tool.py") == b"x = 1"
    assert prefix.owners("bin/tool")[0].name == "tool"
    assert [s.path for s in prefix.problems] == ["broken-1-0"]
