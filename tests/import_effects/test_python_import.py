"""The order and the choice of modules, as Python's import system makes them (PY-7)."""

from __future__ import annotations

import pytest
from tests.import_effects.worlds import SITE, effects, loads, world

from abicheck.import_effects import Session, derive, modules_of_extension

SO = b"\x7fELF"


def test_parents_run_before_the_extension() -> None:
    found = effects(
        {"pkg/__init__.py": "from . import _first", "pkg/_first.so": SO, "pkg/sub/__init__.py": "import pkg._second\n"}
        | {"pkg/_second.so": SO, "pkg/sub/_ext.so": SO},
        "pkg.sub._ext",
    )
    assert loads(found) == ["pkg/_first.so", "pkg/_second.so", "pkg/sub/_ext.so"]
    assert all(e.certain for e in found)


def test_an_effect_says_which_line_leads_to_it() -> None:
    found = effects(
        {
            "pkg/__init__.py": "import os\n\nfrom .sub import x\n",
            "pkg/sub.py": "\nfrom pkg._c import x",
            "pkg/_c.so": SO,
        }
    )
    assert [e.because for e in found] == ["pkg/__init__.py:3"] or found[0].chain
    assert [(link.module, link.line) for link in found[0].chain] == [("pkg", 3), ("pkg.sub", 2)]
    assert found[0].module == "pkg._c"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pkg.py": "import other", "pkg.so": SO, "other.so": SO}, ["pkg.so"]),
        ({"pkg.cpython-311-x86_64-linux-gnu.so": SO, "pkg.py": "import other", "other.so": SO}, ["other.so"]),
        ({"pkg.so": SO, "pkg/__init__.py": "import other", "other.so": SO}, ["other.so"]),
        ({"pkg.so": SO, "pkg/inner.py": ""}, ["pkg.so"]),
        ({"pkg.abi3.so": SO, "pkg.so": SO}, ["pkg.abi3.so"]),
        ({"pkg/__init__.abi3.so": SO, "pkg/__init__.py": ""}, ["pkg/__init__.abi3.so"]),
    ],
    ids=[
        "extension-before-source",
        "other-version",
        "package-before-module",
        "directory-is-last",
        "abi3",
        "package-extension",
    ],
)
def test_which_file_a_name_means(files: dict[str, str | bytes], expected: list[str]) -> None:
    assert loads(effects(files)) == expected


def test_namespace_packages_are_joined() -> None:
    context = world({"ns/a.py": "import ns.b", "/elsewhere/ns/b.so": SO, "more.pth": "/elsewhere\n"})
    assert [e.path for e in derive(context, "ns.a")] == ["/elsewhere/ns/b.so"]


def test_each_module_runs_once_even_in_a_cycle() -> None:
    found = effects(
        {
            "pkg/__init__.py": "from . import a, b",
            "pkg/a.py": "from . import b, _c",
            "pkg/b.py": "from . import a, _c",
            "pkg/_c.so": SO,
        }
    )
    assert loads(found) == ["pkg/_c.so"]


def test_a_name_that_the_package_binds_is_no_submodule() -> None:
    files = {"pkg/__init__.py": "from . import inner", "pkg/inner/__init__.py": "tool = 1", "pkg/inner/tool.so": SO}
    assert loads(effects({**files, "use.py": "from pkg.inner import tool"}, "use")) == []
    files["pkg/inner/__init__.py"] = "other = 1"
    assert loads(effects({**files, "use.py": "from pkg.inner import tool"}, "use")) == ["pkg/inner/tool.so"]


def test_star_import_loads_what_all_names() -> None:
    found = effects(
        {
            "use.py": "from pkg import *",
            "pkg/__init__.py": "__all__ = ['a', 'f']\ndef f(): pass",
            "pkg/a.so": SO,
            "pkg/b.so": SO,
        },
        "use",
    )
    assert loads(found) == ["pkg/a.so"]


def test_lazy_packages_load_on_first_use_only() -> None:
    lazy = """
        import importlib
        def __getattr__(name):
            if name in ("fast", "slow"):
                return importlib.import_module(f"{__name__}.{name}")
            raise AttributeError(name)
    """
    files = {"lazy/__init__.py": lazy, "lazy/fast.so": SO, "lazy/slow.so": SO}
    assert loads(effects({**files, "use.py": "import lazy"}, "use")) == []
    assert loads(effects({**files, "use.py": "import lazy\nclass A(lazy.fast.Base): pass"}, "use")) == ["lazy/fast.so"]
    assert loads(effects({**files, "use.py": "from lazy import slow"}, "use")) == ["lazy/slow.so"]


@pytest.mark.parametrize(
    "statement",
    [
        "from importlib import import_module\nimport_module('.deep._c', __package__)",
        "import importlib\nimportlib.import_module('pkg.deep._c')",
        "__import__('pkg.deep._c')",
        "for name in ('deep._c',):\n    __import__(f'{__name__}.{name}')",
        "import pkg.deep._c as c",
        "from .deep._c import x as y",
        "from .deep import _c",
        "class A:\n    from .deep import _c",
        "with open('x'):\n    from .deep import _c",
        "try:\n    pass\nfinally:\n    from .deep import _c",
        "x = [__import__('pkg.deep._c') for _ in range(1)]",
        "(lambda: __import__('pkg.deep._c'))()",
    ],
)
def test_ways_to_import(statement: str) -> None:
    found = effects({"pkg/__init__.py": statement, "pkg/deep/__init__.py": "", "pkg/deep/_c.so": SO})
    assert [(e.path, e.certain) for e in found] == [(f"{SITE}/pkg/deep/_c.so", True)]


def test_a_missing_module_is_reported_and_stops_there() -> None:
    found = effects({"pkg.py": "import _a\nimport missing\nimport _b", "_a.so": SO, "_b.so": SO})
    assert loads(found) == ["_a.so"]
    assert found[-1].kind == "unknown"
    assert "ModuleNotFoundError" in found[-1].name


def test_imports_before_are_not_repeated() -> None:
    context = world({"a.py": "import _c", "b.py": "import a, _c, _d", "_c.so": SO, "_d.so": SO})
    loaded: set[str] = set()
    assert loads(derive(context, "a", loaded)) == ["_c.so"]
    assert {"a", "_c"} <= loaded
    assert loads(derive(context, "b", loaded)) == ["_d.so"]


def test_names_of_modules_imported_before_are_still_known() -> None:
    context = world(
        {
            "a.py": "FLAG = True",
            "b.py": "import a\nif a.FLAG:\n    import _yes\nelse:\n    import _no",
            "_yes.so": SO,
            "_no.so": SO,
        }
    )
    assert [(e.path, e.certain) for e in derive(context, "b", {"a"})] == [(f"{SITE}/_yes.so", True)]


def test_standard_extensions_come_from_lib_dynload() -> None:
    found = effects(
        {
            "pkg.py": "import ssl",
            "/p/lib/python3.12/ssl.py": "import _ssl, _socket, sys, math",
            "/p/lib/python3.12/lib-dynload/_ssl.so": SO,
        }
    )
    assert [e.path for e in found if e.kind == "extension"] == ["/p/lib/python3.12/lib-dynload/_ssl.so"]


def test_files_whose_content_is_unknown_are_said() -> None:
    found = effects({"pkg/__init__.pyc": b"", "_c.so": SO})
    assert [(e.kind, e.certain) for e in found] == [("unknown", True)]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pkg/_c.cpython-312-x86_64-linux-gnu.so", "pkg._c"),
        ("top.abi3.so", "top"),
        ("pkg/_d.cpython-311-x86_64-linux-gnu.so", None),
        ("pkg/_e.so", None),
        ("pkg/lib/libz.so.1", None),
    ],
)
def test_which_name_loads_a_file(path: str, name: str | None) -> None:
    context = world({"pkg/__init__.py": "", path: SO, "pkg/_e.abi3.so": SO})
    assert modules_of_extension(context, f"{SITE}/{path}") == name


def test_a_session_keeps_its_state_between_imports() -> None:
    session = Session(world({"a.py": "import sys\nsys.setdlopenflags(258)", "_c.so": SO}))
    session.imports("a")
    assert [(e.path, e.flags_global) for e in session.imports("_c")] == [(f"{SITE}/_c.so", True)]


def test_a_decorator_that_is_an_object_runs_its_call() -> None:
    """As ``typing_extensions.deprecated`` does it."""
    source = """
        class deprecated:
            def __init__(self, message, /, *, category=DeprecationWarning):
                self.message = message
                self.category = category
            def __call__(self, arg, /):
                if self.category is None:
                    return arg
                elif isinstance(arg, type):
                    import _never
                elif callable(arg):
                    from . import _c
                return arg

        @deprecated("use g")
        def f(): ...
    """
    found = effects({"pkg/__init__.py": source, "pkg/_c.so": SO, "_never.so": SO})
    assert loads(found) == ["pkg/_c.so"]


def test_a_function_called_word_by_word_is_followed_for_a_new_word() -> None:
    """As ``hashlib`` makes its constructors: only one of the last names loads something."""
    source = """
        def constructor(name):
            if name in {"nine", "ten"}:
                import _c
            return name

        for each in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"):
            constructor(each)
    """
    assert loads(effects({"pkg.py": source, "_c.so": SO}), certain=True) == ["_c.so"]
