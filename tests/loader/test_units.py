"""Extension modules as Python finds them, with what their imports load first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.rules.made_elf import EXT, SITE, SUFFIX, Bench

from abicheck.loader.units import (
    Importer,
    bare_group,
    extensions,
    group_of,
    has_init,
    module_of,
    top_level_names,
    unit_of,
    whole_unit,
)
from abicheck.model import Origin

WHO = Origin("wheel", "grid", "2.0")
OPEN = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libg.so.1'))\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def importer(bench: Bench, files: Mapping[str, bytes | str]) -> tuple[Importer, list[str]]:
    """The interpreter's importer over an environment in which these files lie in site-packages, and their paths."""
    written = {f"{SITE}/{n}": d.encode() if isinstance(d, str) else d for n, d in files.items()}
    bench.maker.record("grid", "1.0", written)
    scene = bench.scene()
    return scene.importer, [f"{scene.view.root}/{n}" for n in written]


def site(who: Importer, path: str) -> str:
    return f"{who.roots[0]}/{path}"


# -- which file is which module (PY-7) -----------------------------------------------------


@pytest.mark.parametrize(
    ("path", "module"),
    [
        (f"_ext{SUFFIX}", "_ext"),
        (f"pkg/_ext{SUFFIX}", "pkg._ext"),
        ("pkg/_ext.abi3.so", "pkg._ext"),
        ("pkg/_ext.so", "pkg._ext"),
        (f"pkg/__init__{SUFFIX}", "pkg"),
        ("pkg/_ext.cpython-311-x86_64-linux-gnu.so", None),
        ("pkg/_ext.pyd", None),
        ("pkg/libfoo.so.1", None),
        ("pkg.libs/_ext.so", None),
        ("pkg/not-a-name.so", None),
        ("pkg/_ext.py", None),
    ],
)
def test_module_names(bench: Bench, path: str, module: str | None) -> None:
    who, _ = importer(bench, {})
    assert module_of(who, site(who, path)) == module


def test_only_what_lies_in_an_import_root_is_a_module(bench: Bench) -> None:
    who, _ = importer(bench, {})
    assert module_of(who, f"{who.view.root}/lib/_ext{SUFFIX}") is None
    assert module_of(who, f"{who.view.root}/lib/python3.12/lib-dynload/_ssl{SUFFIX}") == "_ssl"


def test_of_two_files_for_one_name_python_takes_the_more_special(bench: Bench) -> None:
    ext = bench.ext()
    who, paths = importer(bench, {f"grid/{EXT}": ext, "grid/_ext.abi3.so": ext, "grid/_ext.so": ext})
    (found,) = extensions(who, paths)
    assert found.module == "grid._ext" and found.path.endswith(EXT)


def test_a_plain_library_with_a_bare_suffix_is_no_module(bench: Bench) -> None:
    library = bench.lib("a/plain.so", "int y(void) { return 1; }", soname=None)
    who, paths = importer(bench, {"grid/plain.so": library, "grid/_ext.so": bench.ext(), "grid/text.so": b"none"})
    assert [e.module for e in extensions(who, paths)] == ["grid._ext"]
    assert not has_init(who.view, site(who, "grid/plain.so"), "grid.plain")
    assert has_init(who.view, site(who, "grid/_ext.so"), "grid._ext")
    assert not has_init(who.view, site(who, "grid/_ext.so"), "grid._other")


def test_a_file_that_cannot_be_read_counts_as_one(bench: Bench) -> None:
    who, paths = importer(bench, {"grid/_ext.so": bench.ext()[:200]})
    assert [e.module for e in extensions(who, paths)] == ["grid._ext"]


# -- what a user imports -----------------------------------------------------------------------


def test_top_level_names(bench: Bench) -> None:
    empty = ("grid/__init__.py", "grid/sub/__init__.py", "single.py", "grid-1.0.dist-info/METADATA", "data/readme.txt")
    files = dict.fromkeys((*empty, "space/one/__init__.py", "space/two/deep/__init__.py"), b"")
    files[f"_native{SUFFIX}"] = bench.ext(name="_native")
    who, paths = importer(bench, files)
    assert top_level_names(who, paths) == ["_native", "grid", "single", "space.one", "space.two.deep"]


def test_the_label_is_the_name_that_leads_there(bench: Bench) -> None:
    who, paths = importer(bench, {"aaa.py": "", "grid/__init__.py": "", f"grid/{EXT}": bench.ext()})
    assert group_of(who, WHO, paths).label == "grid"
    private, inside = importer(bench, {"_only/__init__.py": "", f"_only/{EXT}": bench.ext()})
    assert group_of(private, WHO, inside).label == "_only", "a private name when there is no other"


# -- what is loaded first ------------------------------------------------------------------------


def test_the_prelude_is_what_importing_is_certain_to_load(bench: Bench) -> None:
    library = bench.lib("a/libg.so.1", "int g(void) { return 1; }")
    files = {
        "grid/__init__.py": OPEN + "from . import _ext\n", "grid/libg.so.1": library, f"grid/{EXT}": bench.ext(),
        f"grid/_later{SUFFIX}": bench.ext(name="_later"), "grid/more.py": "from . import _later\n",
    }  # fmt: skip
    who, paths = importer(bench, files)
    group = group_of(who, WHO, paths)
    assert [e.open.rpartition("/")[2] for e in group.prelude] == ["libg.so.1", EXT]
    assert [e.because for e in group.prelude] == ["grid/__init__.py:2", "grid/__init__.py:3"]
    assert {u.module: u.demanded for u in group.units} == {"grid._ext": True, "grid._later": False}
    assert [u.module for u in group.certain.units] == ["grid._ext"]
    assert all(u.events[-1].open == u.path and u.events[-1].certain and not u.events[-1].optional for u in group.units)


def test_an_excused_import_demands_nothing(bench: Bench) -> None:
    code = "try:\n    from . import _ext\nexcept ImportError:\n    pass\n"
    who, paths = importer(bench, {"grid/__init__.py": code, f"grid/{EXT}": bench.ext()})
    group = group_of(who, WHO, paths)
    assert [u.demanded for u in group.units] == [False] and all(e.optional for e in group.prelude)


def test_code_that_may_not_run_is_no_prelude(bench: Bench) -> None:
    code = "import os\nif os.urandom(1) > b'a':\n    from . import _ext\n\ndef later():\n    from . import _ext\n"
    who, paths = importer(bench, {"grid/__init__.py": code, f"grid/{EXT}": bench.ext()})
    group = group_of(who, WHO, paths)
    assert group.prelude == () and [u.demanded for u in group.units] == [False]


def test_a_bare_group_looks_at_no_source(bench: Bench) -> None:
    who, paths = importer(bench, {"grid/__init__.py": OPEN + "from . import _ext\n", f"grid/{EXT}": bench.ext()})
    group = bare_group(who, WHO, paths, paths)
    assert group.prelude == () and [len(u.events) for u in group.units] == [1]
    assert bare_group(who, WHO, [], paths).units == ()


def test_a_unit_with_all_that_its_own_import_loads(bench: Bench) -> None:
    library = bench.lib("a/libg.so.1", "int g(void) { return 1; }")
    files = {"grid/__init__.py": OPEN, "grid/libg.so.1": library, f"grid/{EXT}": bench.ext()}
    who, paths = importer(bench, files)
    (bare,) = bare_group(who, WHO, paths, paths).units
    whole = whole_unit(who, bare)
    assert [e.open.rpartition("/")[2] for e in whole.events] == ["libg.so.1", EXT]
    (found,) = extensions(who, paths)
    assert unit_of(found, ()).events[-1].open == found.path, "its own load is always there"
