"""What is certain, what is possible and what never happens: conditions, failures, calls at import time."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from tests.import_effects.worlds import effects, loads, world

from abicheck.import_effects import derive

SO = b"\x7fELF"
FILES = {f"_{n}.so": SO for n in ("yes", "no", "a", "b")} | {f"_{n}.pyd": SO for n in ("yes", "no")}


def run(source: str, platform: str = "linux-64") -> tuple[list[str], list[str]]:
    """(certain loads, possible loads) without suffixes."""
    found = effects({**FILES, "pkg.py": source}, "pkg", platform)
    return tuple([n.partition(".")[0] for n in loads(found, certain=c)] for c in (True, False))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("platform", "condition"),
    [
        ("linux-64", "sys.platform == 'linux'"),
        ("linux-64", "sys.platform.startswith('linux') and not sys.platform == 'win32'"),
        ("osx-arm64", "sys.platform == 'darwin' and platform.machine() == 'arm64'"),
        ("win-64", "os.name == 'nt'"),
        ("win-64", "platform.system() == 'Windows'"),
        ("win-64", "hasattr(os, 'add_dll_directory')"),
        ("linux-64", "not hasattr(os, 'add_dll_directory')"),
        ("linux-64", "sys.version_info >= (3, 8)"),
        ("linux-64", "sys.version_info[:2] == (3, 12) and sys.version_info.major == 3"),
        ("linux-64", "not TYPE_CHECKING"),
        ("linux-64", "not typing.TYPE_CHECKING"),
        ("linux-64", "__name__ != '__main__'"),
        ("linux-64", "__debug__"),
        ("linux-64", "sys.maxsize > 2**32"),
        ("linux-64", "not os.environ.get('PKG_DISABLE')"),
        ("linux-64", "os.environ.get('PKG_MODE', 'fast') == 'fast'"),
        ("linux-64", "sys.implementation.name == 'cpython'"),
        ("linux-64", "not getattr(sys, 'frozen', False)"),
        ("linux-64", "'pkg' in sys.modules and 'other' not in sys.modules"),
        ("linux-64", "importlib.util.find_spec('_a') and not importlib.util.find_spec('_zzz')"),
        ("linux-64", "os.path.exists(os.path.join(os.path.dirname(__file__), '_a.so'))"),
        ("linux-64", "(Path(__file__).parent / '_a.so').is_file()"),
        ("linux-64", "any(n in ('x',) for n in ['x', 'y']) and all([True]) and len([1]) == 1"),
        ("linux-64", "Version('1.10') > Version('1.9')"),
    ],
)
def test_conditions_that_are_known(platform: str, condition: str) -> None:
    header = """
import os, sys, platform, typing, importlib.util
from pathlib import Path
from typing import TYPE_CHECKING
from packaging.version import Version
"""
    found = effects(
        {
            **FILES,
            "packaging/version.py": "",
            "pkg.py": f"{header}\nif {condition}:\n    import _yes\nelse:\n    import _no\n",
        },
        "pkg",
        platform,
    )
    assert [
        (n.partition(".")[0], e.certain)
        for n, e in zip(loads(found), [e for e in found if e.kind == "extension"], strict=True)
    ] == [("_yes", True)]


def test_both_branches_are_possible_when_nothing_is_known() -> None:
    assert run("if input():\n    import _a\nelse:\n    import _b\nimport _yes") == (["_yes"], ["_a", "_b"])


def test_what_was_possible_and_then_is_certain_says_so() -> None:
    found = effects({**FILES, "pkg.py": "if input():\n    import _a\nimport _a"})
    assert [(e.certain, e.by_now) for e in found] == [(False, False), (True, True)]


def test_a_missing_module_leads_to_its_handler() -> None:
    assert run("try:\n    import nothing\nexcept ImportError:\n    import _a\nelse:\n    import _b") == (["_a"], [])
    assert run("try:\n    import _b\nexcept ImportError:\n    import _a\nelse:\n    import _yes") == (
        ["_b", "_yes"],
        [],
    )
    assert run("try:\n    import nothing\nexcept KeyError:\n    pass\nimport _a")[0] == []


def test_a_missing_name_leads_to_its_handler() -> None:
    files = {
        **FILES,
        "pkg.py": "try:\n    from mod import new\nexcept ImportError:\n    import _a\n",
        "mod.py": "old = 1",
    }
    assert loads(effects(files)) == ["_a.so"]
    files["mod.py"] = "def new(): pass"
    assert loads(effects(files)) == []


def test_what_stands_in_a_try_is_optional() -> None:
    found = effects({**FILES, "pkg.py": "try:\n    import _a\nexcept ImportError:\n    pass\nimport _b"})
    assert [(e.optional, e.certain) for e in found] == [(True, True), (False, True)]


def test_a_failed_import_undoes_the_rest_of_its_try() -> None:
    files = {
        **FILES,
        "pkg.py": "try:\n    import half\n    import _no\nexcept ImportError:\n    import _b\n",
        "half.py": "import _a, nothing, _yes",
    }
    assert loads(effects(files)) == ["_a.so", "_b.so"]


def test_raise_under_an_unknown_condition_is_taken_not_to_happen() -> None:
    assert run("if input():\n    raise RuntimeError('too old')\nimport _a") == (["_a"], [])


def test_raise_that_is_caught_makes_the_rest_of_the_try_possible() -> None:
    body = "try:\n    if input():\n        raise ImportError\n    import _a\n"
    source = body + "except ImportError:\n    import _b\nimport _yes"
    assert run(source) == (["_yes"], ["_a", "_b"])


def test_a_possible_return_makes_the_rest_of_the_function_possible() -> None:
    source = "def load(x):\n    if x:\n        return\n    import _a\nload(input())\nimport _b"
    assert run(source) == (["_b"], ["_a"])
    assert run(source.replace("input()", "0")) == (["_a", "_b"], [])


def test_functions_run_only_when_called() -> None:
    assert run("def load():\n    import _a\n") == ([], [])
    assert run("def load():\n    import _a\nload()") == (["_a"], [])
    assert run("async def load():\n    import _a\nload()") == ([], [])
    assert run("def load():\n    import _a\n    yield\nload()") == ([], [])


def test_calls_are_followed_through_modules_methods_and_decorators() -> None:
    helper = """
        class Loader:
            def __init__(self, name):
                self.name = name
            def go(self):
                __import__(self.name)
        def deco(f):
            import _b
            return f
    """
    files = {
        **FILES,
        "helper.py": helper,
        "pkg.py": "from helper import Loader, deco\nLoader('_a').go()\n@deco\ndef f(): pass\n",
    }
    assert loads(effects(files), certain=True) == ["_a.so", "_b.so"]


def test_loops_over_known_and_unknown_items() -> None:
    assert run("for n in ['_a', '_b']:\n    __import__(n)\n    break") == (["_a"], [])
    assert run("for n in input():\n    import _a\nimport _b") == (["_b"], ["_a"])
    assert run("while True:\n    import _a\n    break") == (["_a"], [])


def test_code_under_main_never_runs() -> None:
    assert run("if __name__ == '__main__':\n    import _a") == ([], [])


def test_recursion_and_endless_loops_end() -> None:
    assert run("def f(n):\n    import _a\n    return f(n + 1)\nf(0)") == (["_a"], [])
    assert run("import sys\nwhile input() or True:\n    x = 1\nimport _a")[0] == ["_a"]


def test_source_that_is_no_python_fails_as_an_import_does() -> None:
    context = world({**FILES, "pkg.py": "import _a, bad, _b", "bad.py": "print 'x'"})
    found = derive(replace(context, version=sys.version_info[:2]), "pkg")
    assert loads(found) == ["_a.so"]
    assert "SyntaxError" in found[-1].name
    # For a newer Python than ours it may be good: that is not known, and the import goes on.
    found = derive(replace(context, version=(3, 99)), "pkg")
    assert loads(found) == ["_a.so", "_b.so"]
    assert next(e.name for e in found if e.kind == "unknown").startswith("the source of bad is not valid Python")
