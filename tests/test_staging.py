"""The environment as it is and as pip will leave it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.host import NOTHING, Host
from abicheck.model import Origin
from abicheck.overlay import View
from abicheck.prefix import Prefix, open_prefix
from abicheck.staging import Placed, view_after, view_before, wheel_origin
from abicheck.wheel import plan_install, read_wheel

SITE = "lib/python3.12/site-packages"


def environment(root: Path, subdir: str = "linux-64") -> Maker:
    made = Maker(root, subdir)
    made.python()
    made.record("tool", "1.0", {f"{made.site}/tool/core.so": b"old", f"{made.site}/tool/rest.so": b"kept"})
    return made


def placed(
    prefix: Prefix, folder: Path, files: Mapping[str, bytes], name: str = "grid", tag: str = "py3-none-any"
) -> Placed:
    wheel = read_wheel(str(make_wheel(folder, name, "1.0", files, tag=tag)))
    assert prefix.layout is not None
    return Placed(wheel, wheel_origin(wheel), plan_install(wheel, prefix.layout))


def after(prefix: Prefix, *wheels: Placed, removed: tuple[str, ...] = ()) -> View:
    return view_after(prefix, NOTHING, wheels, removed)


def owner(view: View, path: str) -> Origin:
    return view.origin(view.lookup(f"{view.root}/{path}").real)


def test_the_wheel_lies_over_the_prefix(tmp_path: Path) -> None:
    environment(tmp_path / "env")
    prefix = open_prefix(str(tmp_path / "env"))
    wheel = placed(prefix, tmp_path, {"grid/_ext.so": b"new", "tool/core.so": b"replaced"})
    view, before = after(prefix, wheel), view_before(prefix, NOTHING)
    assert view.read_text(f"{view.root}/{SITE}/grid/_ext.so") == "new"
    assert view.read_text(f"{view.root}/{SITE}/tool/core.so") == "replaced"
    assert view.read_text(f"{view.root}/{SITE}/tool/rest.so") == "kept"
    assert before.read_text(f"{before.root}/{SITE}/tool/core.so") == "old"
    assert owner(view, f"{SITE}/tool/core.so") == Origin("wheel", "grid", "1.0")
    assert owner(view, f"{SITE}/tool/rest.so").label == owner(before, f"{SITE}/tool/core.so").label == "conda tool 1.0"
    assert view.ref(f"{view.root}/{SITE}/grid/_ext.so").member == "grid/_ext.so"
    assert (tmp_path / "env" / SITE / "tool" / "core.so").read_bytes() == b"old", "nothing is written"


def test_what_pip_uninstalls_is_gone_and_nobodys(tmp_path: Path) -> None:
    environment(tmp_path / "env")
    prefix = open_prefix(str(tmp_path / "env"))
    path = f"{SITE}/tool/core.so"
    view = after(prefix, removed=(path,))
    assert view.lookup(f"{view.root}/{path}").status == "absent"
    assert owner(view, path).kind == "unowned"
    again = after(prefix, placed(prefix, tmp_path, {"tool/core.so": b"new"}), removed=(path,))
    assert owner(again, path).kind == "wheel" and again.read_text(f"{again.root}/{path}") == "new"


def test_data_files_scripts_and_generated_files(tmp_path: Path) -> None:
    environment(tmp_path / "env")
    prefix = open_prefix(str(tmp_path / "env"))
    wheel = placed(
        prefix, tmp_path, {"grid-1.0.data/data/lib/libgrid.so": b"lib", "grid-1.0.data/scripts/grid": b"#!python\n"}
    )
    view = after(prefix, wheel)
    assert view.read_text(f"{view.root}/lib/libgrid.so") == "lib"
    assert view.lookup(f"{view.root}/bin/grid").status == "file"
    assert view.lookup(f"{view.root}/{SITE}/grid-1.0.dist-info/INSTALLER").status == "file"


def test_files_behind_a_linked_directory_are_where_the_link_leads(tmp_path: Path) -> None:
    """``lib/python3.12/site-packages`` may be a link: what pip writes there is found by both names."""
    made = environment(tmp_path / "env")
    site = made.root / SITE
    site.rename(made.root / "packages")
    site.symlink_to("../../packages")
    prefix = open_prefix(str(tmp_path / "env"))
    view = after(prefix, placed(prefix, tmp_path, {"grid/_ext.so": b"new"}), removed=(f"{SITE}/tool/core.so",))
    for path in (f"{SITE}/grid/_ext.so", "packages/grid/_ext.so"):
        assert view.read_text(f"{view.root}/{path}") == "new"
        assert owner(view, path).kind == "wheel"
    assert view.lookup(f"{view.root}/{SITE}/tool/core.so").status == "absent"
    assert view.read_text(f"{view.root}/packages/tool/rest.so") == "kept"


def test_windows_takes_the_spelling_that_is_there(tmp_path: Path) -> None:
    made = environment(tmp_path / "env", "win-64")
    made.record("vc", "1.0", {"Library/bin/MSVCP140.dll": b"conda"})
    prefix = open_prefix(str(tmp_path / "env"))
    view = after(prefix, placed(prefix, tmp_path, {"grid-1.0.data/data/library/BIN/msvcp140.dll": b"wheel"}))
    path = f"{view.root}/Library/bin/MSVCP140.dll"
    assert view.read_text(path) == "wheel" and sorted(view.listing(f"{view.root}/Library/bin") or {}) == [
        "MSVCP140.dll"
    ]
    assert owner(view, "Library/bin/MSVCP140.dll").kind == "wheel"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_wheels_the_later_one_wins(tmp_path: Path, order: tuple[int, int]) -> None:
    environment(tmp_path / "env")
    prefix = open_prefix(str(tmp_path / "env"))
    both = [placed(prefix, tmp_path, {"shared/x.so": n.encode()}, n) for n in ("one", "two")]
    view = after(prefix, *(both[n] for n in order))
    assert view.read_text(f"{view.root}/{SITE}/shared/x.so") == ("one", "two")[order[1]]
    assert owner(view, f"{SITE}/shared/x.so").name == ("one", "two")[order[1]]


SYSCONFIG = "lib/python3.12/_sysconfigdata__linux_x86_64-linux-gnu.py"
HERE = Host("auto", "this machine", "linux-64", use_files=True)


def lives_at(root: Path, home: str) -> Prefix:
    """The sample environment, linked by conda at ``home``."""
    environment(root)
    (root / SYSCONFIG).write_text(f"build_time_vars = {{'prefix': {home!r}}}\n")
    return open_prefix(str(root))


def test_a_copy_answers_for_the_place_where_the_environment_lives(tmp_path: Path) -> None:
    """MAC-2, MAC-6, ELF-7: conda wrote that place into run paths and install names."""
    prefix = lives_at(tmp_path / "copy", "/Users/me/env")
    path = f"{SITE}/tool/core.so"
    view = view_before(prefix, NOTHING)
    found = view.lookup(f"/Users/me/env/{path}")
    assert found.status == "file" and found.real == f"{view.root}/{path}"
    assert found.entry == view.lookup(f"{view.root}/{path}").entry, "one file under two names"
    assert view.lookup("/Users/me/other/lib").status == "absent"
    wheel = placed(prefix, tmp_path, {"tool/core.so": b"new"})
    assert after(prefix, wheel).read_text(f"/Users/me/env/{path}") == "new"


def test_an_environment_of_this_machine_is_taken_as_it_lies(tmp_path: Path) -> None:
    prefix = lives_at(tmp_path / "moved", str(tmp_path / "old"))
    assert view_before(prefix, HERE).lookup(f"{tmp_path}/old/{SITE}/tool/core.so").status == "absent"


@pytest.mark.parametrize("below", ["", "sub/env"])
def test_a_copy_at_or_below_the_place_itself(tmp_path: Path, below: str) -> None:
    prefix = lives_at(tmp_path / below if below else tmp_path / "env", str(tmp_path if below else tmp_path / "env"))
    view = view_before(prefix, NOTHING)
    assert view.lookup(f"{view.root}/{SITE}/tool/core.so").status == "file"
