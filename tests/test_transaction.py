"""What pip does besides writing: removes, refuses, leaves alone, lacks. The comparison with pip is in tests/oracle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import ELF, make_wheel

from abicheck.inputs.requests import Inputs, Missing, Request
from abicheck.prefix import open_prefix
from abicheck.transaction import Transaction, plan_transaction
from abicheck.wheel import read_wheel

SITE = "lib/python3.12/site-packages"
TAG = "cp312-cp312-manylinux_2_28_x86_64"


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env")
    made.python()
    return made


def planned(maker: Maker, *wheels: Path, extras: Sequence[str] = (), missing: Sequence[Missing] = ()) -> Transaction:
    prefix = open_prefix(str(maker.root))
    assert prefix.layout is not None
    requests = tuple(Request(read_wheel(str(w)).with_extras(frozenset(extras))) for w in wheels)
    return plan_transaction(prefix, Inputs(requests, tuple(missing)), prefix.layout)


def wheel(maker: Maker, name: str, version: str, files: dict[str, bytes] | None = None, **more: object) -> Path:
    return make_wheel(maker.root.parent / "wheels", name, version, files, tag=TAG, **more)  # type: ignore[arg-type]


def test_a_new_project_only_adds(maker: Maker) -> None:
    found = planned(maker, wheel(maker, "toy", "1", {"toy/__init__.py": b""}))
    assert found.written[f"{SITE}/toy/__init__.py"][1].member == "toy/__init__.py"
    assert (found.replaced, found.removed, found.overwritten) == ((), frozenset(), ())


def test_replaced_distribution_loses_what_its_record_lists(maker: Maker) -> None:
    files = {"lib/a.py": b"1", "lib/b.py": b"1", "../../../bin/tool": b"#!"}
    points = "[console_scripts]\nentry = lib:main\n"
    maker.conda_distribution("lib", "1", files, entry_points=points)
    maker.write(f"{SITE}/lib/__pycache__/b.cpython-312.pyc")
    maker.write(f"{SITE}/lib/__pycache__/b.cpython-311.pyc")
    maker.write(f"{SITE}/lib/unlisted.txt")
    maker.write("bin/entry")
    found = planned(maker, wheel(maker, "lib", "2", {"lib/a.py": b"2"}))
    (replacement,) = found.replaced
    assert replacement.refusal == ""
    assert found.removed >= {f"{SITE}/lib/b.py", f"{SITE}/lib/__pycache__/b.cpython-312.pyc", "bin/tool", "bin/entry"}
    assert f"{SITE}/lib/a.py" not in found.removed, "it is written again"
    kept = {f"{SITE}/lib/unlisted.txt", f"{SITE}/lib/__pycache__/b.cpython-311.pyc"}
    assert not kept & found.removed
    assert found.overwritten == (), "what pip removes first is not overwritten"


def test_same_version_is_left_alone(maker: Maker) -> None:
    maker.conda_distribution("lib", "1.0", {"lib.py": b""})
    found = planned(maker, wheel(maker, "lib", "1"))
    assert [u.dist.name for u in found.unchanged] == ["lib"]
    assert (found.plans, found.written) == ((), {})


def test_pip_stops_without_a_record_and_at_distutils(maker: Maker) -> None:
    maker.conda_distribution("norecord", "1", {"n.py": b""}, with_record=False)
    maker.write(f"{SITE}/flat-1.egg-info", b"Name: flat\nVersion: 1\n")
    found = planned(maker, wheel(maker, "norecord", "2"), wheel(maker, "flat", "2"))
    reasons = {r.dist.name: r.refusal for r in found.replaced}
    assert "no RECORD file" in reasons["norecord"]
    assert "installed by conda" in reasons["norecord"]
    assert "distutils" in reasons["flat"]
    assert found.removed == frozenset()


def test_egg_info_folders(maker: Maker) -> None:
    maker.write(f"{SITE}/one-1.egg-info/PKG-INFO", b"Name: one\nVersion: 1\n")
    maker.write(f"{SITE}/one-1.egg-info/installed-files.txt", b"../one/a.py\nPKG-INFO\n../../../../bin/one\n")
    maker.write(f"{SITE}/two-1.egg-info/PKG-INFO", b"Name: two\nVersion: 1\n")
    maker.write(f"{SITE}/two-1.egg-info/top_level.txt", b"two\nspace\n")
    maker.write(f"{SITE}/two-1.egg-info/namespace_packages.txt", b"space\n")
    for path in ("one/a.py", "one/b.py", "two/deep/x.so", "two.py", "space/other.py"):
        maker.write(f"{SITE}/{path}")
    maker.write("bin/one")
    found = planned(maker, wheel(maker, "one", "2"), wheel(maker, "two", "2"))
    mine = {p.removeprefix(f"{SITE}/") for p in found.removed if "egg-info" not in p}
    assert mine == {"one/a.py", "bin/one", "two/deep/x.so", "two.py"}


def test_overwritten_files_know_their_owners(maker: Maker) -> None:
    maker.record("tbb", "2021", {"lib/libtbb.so.12": b"conda"})
    maker.record("twin", "1", {"lib/libtbb.so.12": b"conda"})
    maker.pip_distribution("mine", "1", {"mine.py": b""})
    files = {"toy-1.data/data/lib/libtbb.so.12": ELF, "mine.py": b"2"}
    found = planned(maker, wheel(maker, "toy", "1", files))
    told = {o.path: ([r.name for r in o.owners], o.dist.name if o.dist else None) for o in found.overwritten}
    assert told == {"lib/libtbb.so.12": (["tbb", "twin"], None), f"{SITE}/mine.py": ([], "mine")}


def test_links_become_files_and_linked_folders_are_followed(maker: Maker) -> None:
    maker.write("lib/libx.so.1.0", ELF)
    (maker.root / "lib/libx.so.1").symlink_to("libx.so.1.0")
    (maker.root / "lib64").symlink_to("lib")
    (maker.root / "lib/gone.so").symlink_to("nothing")
    names = ("lib64/libx.so.1", "lib/gone.so")
    found = planned(maker, wheel(maker, "toy", "1", {f"toy-1.data/data/{n}": ELF for n in names}))
    assert {(o.path, o.link) for o in found.overwritten} == {("lib/libx.so.1", True), ("lib/gone.so", True)}
    assert "lib/libx.so.1" in found.written


def test_case_is_blind_where_the_platform_is(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env", "win-64")
    made.python()
    made.record("lib", "1", {"Library/bin/Foo.dll": b"x"})
    path = make_wheel(tmp_path, "toy", "1", {"toy-1.data/data/library/bin/foo.DLL": b"y"}, tag="py3-none-win_amd64")
    assert [o.owners[0].name for o in planned(made, path).overwritten] == ["lib"]


def test_wheels_of_one_transaction_overwrite_each_other_in_pips_order(maker: Maker) -> None:
    first = wheel(maker, "needed", "1", {"shared.py": b"1"})
    last = wheel(maker, "aaa", "1", {"shared.py": b"2"}, requires=["needed"])
    found = planned(maker, last, first)
    assert [p.wheel.name for p in found.plans] == ["needed", "aaa"]
    clashes = {o.path: (o.wheel.name, o.by.name if o.by else "") for o in found.overwritten}
    assert clashes[f"{SITE}/shared.py"] == ("aaa", "needed")
    assert found.written[f"{SITE}/shared.py"][0].wheel.name == "aaa"


def test_cycles_of_requirements_end(maker: Maker) -> None:
    one = wheel(maker, "one", "1", requires=["two"])
    two = wheel(maker, "two", "1", requires=["one", "three[x]"])
    maker.conda_distribution("three", "1", {"t.py": b""}, requires=["one; extra == 'x'"])
    assert {p.wheel.name for p in planned(maker, one, two).plans} == {"one", "two"}


# -- requirements --------------------------------------------------------------


def lacks(found: Transaction) -> dict[str, str]:
    return {u.name: u.kind for u in found.unsatisfied}


def test_requirements_for_the_prefixs_interpreter(maker: Maker) -> None:
    maker.conda_distribution("numpy", "1.24.3", {"numpy/__init__.py": b""})
    requires = [
        "numpy>=2",
        'old; python_version < "3.9"',
        'windows; sys_platform == "win32"',
        'new; python_version >= "3.12"',
        'optional; extra == "fast"',
        "not a requirement at all ]",
    ]
    path = wheel(maker, "toy", "1", requires=requires, extras=["fast"])
    assert lacks(planned(maker, path)) == {"numpy": "replace", "new": "fetch"}
    assert lacks(planned(maker, path, extras=["fast"])) == {"numpy": "replace", "new": "fetch", "optional": "fetch"}


def test_installed_and_transaction_versions_satisfy(maker: Maker) -> None:
    maker.conda_distribution("six", "1.16", {"six.py": b""})
    maker.conda_distribution("pre", "2.0rc1", {"pre.py": b""})
    toy = wheel(maker, "toy", "1", requires=["six", "mate>=2", "pre>=2.0rc0"])
    assert lacks(planned(maker, toy, wheel(maker, "mate", "2.1"))) == {}
    assert lacks(planned(maker, toy, wheel(maker, "mate", "1.9"))) == {"mate": "conflict"}


def test_extras_of_what_is_installed_are_followed(maker: Maker) -> None:
    maker.conda_distribution("web", "1", {"web.py": b""}, requires=["always", 'tls; extra == "secure"'])
    assert lacks(planned(maker, wheel(maker, "toy", "1", requires=["web[secure]"]))) == {"tls": "fetch"}


def test_missing_wheels_are_carried_through(maker: Maker) -> None:
    missing = Missing("gone", "1", "gone-1-py3-none-any.whl", "its wheel is not here")  # type: ignore[arg-type]
    assert planned(maker, wheel(maker, "toy", "1"), missing=[missing]).missing == (missing,)


def test_an_editable_install_gives_way_to_the_same_version(maker: Maker) -> None:
    maker.pip_distribution("edit", "1.0", {"__editable___edit_1_0_finder.py": b""})
    maker.pip_distribution("plain", "1.0", {"plain.py": b""})
    maker.write(f"{SITE}/edit-1.0.dist-info/direct_url.json", b'{"dir_info": {"editable": true}, "url": "file:///src"}')
    maker.write(f"{SITE}/plain-1.0.dist-info/direct_url.json", b'{"dir_info": {}, "url": "file:///src"}')
    found = planned(maker, wheel(maker, "edit", "1.0", {"edit.py": b""}), wheel(maker, "plain", "1.0"))
    assert [r.dist.name for r in found.replaced] == ["edit"]
    assert f"{SITE}/__editable___edit_1_0_finder.py" in found.removed
    assert [u.dist.name for u in found.unchanged] == ["plain"]


def test_a_directory_in_the_way_and_a_file_in_the_way_stop_pip(maker: Maker) -> None:
    maker.record("old", "1", {f"{SITE}/grid/data.txt": b"", f"{SITE}/mesh": b""})
    (one,) = planned(maker, wheel(maker, "a", "1", {"grid": b"now a file"})).obstacles
    assert (one.path, one.folder, one.target.member) == (f"{SITE}/grid", True, "grid")
    (two,) = planned(maker, wheel(maker, "b", "1", {"mesh/sub/x.py": b""})).obstacles
    assert (two.path, two.folder, two.target.member) == (f"{SITE}/mesh", False, "mesh/sub/x.py")
    assert planned(maker, wheel(maker, "c", "1", {"grid/data.txt": b"", "mesh2/x.py": b""})).obstacles == ()


def test_what_pip_removes_first_is_in_nobodys_way(maker: Maker) -> None:
    maker.pip_distribution("grid", "1", {"grid/__init__.py": b"", "mesh.py": b""})
    maker.pip_distribution("mesh", "1", {"mesh": b""})
    found = planned(maker, wheel(maker, "grid", "2", {"grid": b""}), wheel(maker, "mesh", "2", {"mesh/x.py": b""}))
    assert found.obstacles == ()


@pytest.mark.parametrize(("subdir", "count"), [("win-64", 1), ("linux-64", 0)])
def test_names_that_differ_in_case_are_one_file_where_case_does_not_count(
    tmp_path: Path, subdir: str, count: int
) -> None:
    maker = Maker(tmp_path / "env", subdir)
    maker.python()
    one, two = wheel(maker, "a", "1", {"Grid/x.py": b"1"}), wheel(maker, "b", "1", {"grid/X.py": b"2"})
    found = planned(maker, one, two)
    assert len([o for o in found.overwritten if o.path.lower().endswith("grid/x.py")]) == count


def test_a_file_becomes_a_package_and_a_package_a_file(maker: Maker) -> None:
    maker.pip_distribution("grid", "1", {"grid": b"", "mesh/a.py": b""})
    found = planned(maker, wheel(maker, "grid", "2", {"grid/__init__.py": b"", "mesh": b""}))
    assert (found.obstacles, found.overwritten) == ((), ())
    assert f"{SITE}/grid/__pycache__/__init__.cpython-312.pyc" in found.written


def test_eggs_and_links_of_setuptools(maker: Maker) -> None:
    """An egg goes as a whole; of a project that lies elsewhere only the link goes, and its version is not judged."""
    egg = f"{SITE}/grid-1.0-py3.12.egg"
    for path, data in (("EGG-INFO/PKG-INFO", b"Name: Grid\nVersion: 1.0\n"), ("grid.py", b""), ("more/x.txt", b"")):
        maker.write(f"{egg}/{path}", data)
    maker.write(f"{SITE}/mesh.egg-link", b"/home/me/mesh\n.\n")
    maker.write(f"{SITE}/other-1.0-py3.12.egg", b"PK")
    found = planned(maker, wheel(maker, "grid", "2", {"grid.py": b""}, requires=["mesh>=7"]))
    (replacement,) = found.replaced
    assert (replacement.dist.display_name, replacement.dist.version) == ("Grid", "1.0")
    assert found.removed == {f"{egg}/EGG-INFO/PKG-INFO", f"{egg}/grid.py", f"{egg}/more/x.txt"}
    assert found.unsatisfied == ()
    assert planned(maker, wheel(maker, "mesh", "1", {"mesh.py": b""})).removed == {f"{SITE}/mesh.egg-link"}
