"""Interpreter start-up: ``.pth`` files and ``sitecustomize``."""

from __future__ import annotations

from tests.import_effects.worlds import SITE, loads, world

from abicheck.import_effects import derive, startup_effects

SO = b"\x7fELF"


def test_lines_of_pth_files() -> None:
    files = {
        "b.pth": "# nothing\n\nextra\nmissing\n",
        "a.pth": "import sys; import _boot\n",
        "_boot.py": "import _native",
        "_native.so": SO,
        "extra/inner.so": SO,
    }
    context = world(files)
    assert [(e.path, e.certain) for e in startup_effects(context)] == [(f"{SITE}/_native.so", True)]
    assert loads(derive(context, "inner")) == ["extra/inner.so"]
    assert derive(context, "_native") == []


def test_a_line_of_a_pth_file_is_told_by_its_number() -> None:
    files = {"a.pth": "# nothing\n\nimport _native\n", "_native.so": SO}
    (effect,) = startup_effects(world(files))
    assert effect.because == "a.pth:3" and effect.chain[0].line == 3


def test_conditions_in_pth_files_are_judged() -> None:
    line = "import os; enabled = os.environ.get('X', 'local') == 'local'; enabled and __import__('_hack')\n"
    files = {"hack.pth": line, "_hack.py": "import _native", "_native.so": SO}
    assert loads(startup_effects(world(files))) == ["_native.so"]
    assert startup_effects(world(files, environ={"X": "stdlib"})) == []


def test_sitecustomize_runs_and_may_fail() -> None:
    assert loads(startup_effects(world({"sitecustomize.py": "import _a, nothing, _b", "_a.so": SO, "_b.so": SO}))) == [
        "_a.so"
    ]


def test_editable_installs_are_found() -> None:
    finder = "MAPPING = {'proj': '/src/proj'}\ndef install(): pass\n"
    files = {
        "__editable__.proj.pth": "import __editable___proj_finder; __editable___proj_finder.install()",
        "__editable___proj_finder.py": finder,
        "/src/proj/__init__.py": "from . import _c",
        "/src/proj/_c.so": SO,
    }
    assert [e.path for e in derive(world(files), "proj")] == ["/src/proj/_c.so"]


def test_a_hook_that_cannot_be_followed_is_said() -> None:
    files = {"e.pth": "import __editable___x_finder", "__editable___x_finder.py": "MAPPING = load()"}
    assert [e.kind for e in startup_effects(world(files))] == ["unknown"]
