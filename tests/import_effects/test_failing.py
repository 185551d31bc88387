"""Guarded loads that fail: whether the import comes through without them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.import_effects.worlds import SITE, world

from abicheck.import_effects import fatal_loads

HEAD = """
import contextlib, ctypes, functools, os, sys, warnings
HERE = os.path.dirname(__file__)
PATHS = [p for p in (os.path.join(HERE, n) for n in ("absent.so", "a.so", "b.so")) if os.path.exists(p)]
A, B = (os.path.join(HERE, n) for n in ("a.so", "b.so"))
class Trouble(RuntimeError):
    pass
"""
SO = b"\x7fELF"


def fatal(code: str, *failing: str, platform: str = "linux-64", kind: str = "OSError", **more: str) -> list[str]:
    """Libraries of ``pkg`` over whose failure ``import pkg`` fails, of those that fail (a.so when none is named)."""
    files = {f"pkg/{n}.so": SO for n in "ab"} | {f"pkg/{n}.py": text for n, text in more.items()}
    context = world({**files, "pkg/__init__.py": HEAD + textwrap.dedent(code)}, platform)
    refused = {f"{SITE}/pkg/{n}.so": kind for n in failing or ("a",)}
    return sorted(p.rpartition("/")[2].removesuffix(".so") for p in fatal_loads(context, "pkg", refused))


LOOP = """
    def load():
        success, errors = False, []
        for path in PATHS:
            try:
                lib = ctypes.cdll.LoadLibrary(path)
                success = True
                break
            except OSError as e:
                errors.append(str(e))
                continue
            finally:
                os.environ["X"] = path
        if not success:
            raise Trouble(f"not one of {errors}")
        return lib
    LIB = load()
"""

ENDS = {
    "from": "try:\n    ctypes.CDLL(A)\nexcept OSError as e:\n    raise ImportError('no') from e\n",
    "own": "try:\n    ctypes.CDLL(A)\nexcept Exception as e:\n    raise Trouble('no') from e\n",
    "again": "try:\n    ctypes.CDLL(A)\nexcept OSError:\n    print('no')\n    raise\n",
    "named": "try:\n    ctypes.CDLL(A)\nexcept OSError as e:\n    raise e\n",
    "other kind": "try:\n    ctypes.CDLL(A)\nexcept ImportError:\n    pass\n",
    "nothing": """
        lib = None
        with contextlib.suppress(OSError):
            lib = ctypes.CDLL(A)
        if lib is None:
            raise Trouble
        """,
    "list": """
        found = []
        try:
            found.append(ctypes.CDLL(A))
        except OSError:
            pass
        if not found:
            raise Trouble
        """,
    "message": """
        def explain(e):
            if "image" in str(e):
                text = "short"
            else:
                text = "long"
            print(text)
        try:
            ctypes.CDLL(A)
        except OSError as e:
            explain(e)
            raise Trouble from e
        """,
    "both ways": """
        try:
            ctypes.CDLL(A)
        except OSError as e:
            if "image" in str(e):
                raise Trouble("short")
            else:
                raise Trouble("long")
        """,
    "cached": """
        @functools.lru_cache(maxsize=None)
        def load():
            try:
                return ctypes.CDLL(A)
            except OSError as e:
                raise Trouble from e
        load()
        """,
    "second door": """
        try:
            ctypes.CDLL(A)
        except OSError:
            try:
                ctypes.CDLL(os.path.join(HERE, "absent.so"))
            except OSError as e:
                raise Trouble from e
        """,
}

GOES_ON = {
    "pass": "try:\n    ctypes.CDLL(A)\nexcept OSError:\n    pass\n",
    "suppress": "with contextlib.suppress(OSError):\n    ctypes.CDLL(A)\n",
    "noted": "try:\n    ctypes.CDLL(A)\nexcept OSError as e:\n    PROBLEM = e\ndef use():\n    raise PROBLEM\n",
    "other library": "try:\n    ctypes.CDLL(A)\nexcept OSError:\n    ctypes.CDLL(B)\n",
    "other name": "try:\n    ctypes.CDLL(A)\nexcept OSError:\n    ctypes.CDLL('libfar.so.1')\n",
    "Python": """
        lib = None
        def instead():
            global lib
            lib = object()
        try:
            lib = ctypes.CDLL(A)
        except OSError:
            instead()
        if lib is None:
            raise Trouble
        """,
    "returned": """
        class Instead:
            pass
        def load():
            try:
                return ctypes.CDLL(A)
            except OSError:
                return Instead()
        if load() is None:
            raise Trouble
        """,
    "again, after another": """
        try:
            ctypes.CDLL(A)
        except OSError:
            try:
                ctypes.CDLL(B)
                ctypes.CDLL(A)
            except OSError as e:
                raise Trouble from e
        """,
    "again": """
        def load():
            for _ in range(2):
                try:
                    return ctypes.CDLL(A)
                except OSError:
                    fetch()
            raise Trouble
        load()
        """,
    "by its words": """
        try:
            ctypes.CDLL(A)
        except OSError as e:
            if "image" in str(e):
                raise
        """,
    "by the environment's words": """
        def load():
            try:
                return ctypes.CDLL(A)
            except OSError:
                if open("/etc/x").read():
                    return None
                raise Trouble
        try:
            load()
        except Trouble as e:
            raise ImportError("no") from e
        """,
    "caught above": """
        def load():
            try:
                return ctypes.CDLL(A)
            except OSError as e:
                raise Trouble from e
        try:
            load()
        except Trouble:
            pass
        """,
    "caught by a parent's name": """
        def load():
            try:
                return ctypes.CDLL(A)
            except OSError as e:
                raise Trouble from e
        try:
            load()
        except RuntimeError:
            pass
        """,
    "errors by another name": """
        PROBLEMS = (OSError, ValueError)
        try:
            ctypes.CDLL(A)
        except PROBLEMS:
            pass
        """,
    "a decorator": """
        def quietly(f):
            def inner():
                try:
                    return f()
                except Exception:
                    return None
            return inner
        @quietly
        def load():
            try:
                return ctypes.CDLL(A)
            except OSError as e:
                raise Trouble from e
        load()
        """,
    "a context manager": """
        @contextlib.contextmanager
        def quietly():
            try:
                yield
            except Exception:
                pass
        with quietly():
            try:
                ctypes.CDLL(A)
            except OSError as e:
                raise Trouble from e
        """,
    "or": """
        def fail():
            raise Trouble
        try:
            ctypes.CDLL(A)
        except OSError:
            print(open("/etc/x").read() or fail())
            print(fail() if open("/etc/x").read() else 1)
        """,
    "a loop": """
        try:
            ctypes.CDLL(A)
        except OSError:
            for word in open("/etc/x"):
                raise Trouble
        """,
    "null": "if not ctypes.WinDLL('kernel32').LoadLibraryExW(A, None, 0):\n    pass\n",
    "unknown start": "if open('/x').read():\n    try:\n        ctypes.CDLL(A)\n    except OSError:\n        raise\n",
    "an exit": """
        def load():
            try:
                return ctypes.CDLL(A)
            except OSError:
                if open("/etc/x").read():
                    return None
                raise Trouble
        load()
        """,
    "an exception that may be another": """
        def load():
            try:
                return ctypes.CDLL(A)
            except OSError:
                if open("/etc/x").read():
                    raise ValueError
                raise KeyError
        try:
            load()
        except ValueError:
            pass
        """,
    "misread": """
        try:
            ctypes.CDLL(A)
        except OSError:
            pass
        if os.path.exists(A):
            raise Trouble
        """,
}


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_the_import_ends(code: str) -> None:
    assert fatal(code) == ["a"]


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_it_ends_in_python(code: str, tmp_path: Path) -> None:
    """``a.so`` is no library for the real loader."""
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "a.so").write_bytes(SO)
    (package / "__init__.py").write_text(HEAD + textwrap.dedent(code))
    done = subprocess.run([sys.executable, "-c", "import pkg"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and ("OSError" in done.stderr or "Trouble" in done.stderr)


@pytest.mark.parametrize("code", GOES_ON.values(), ids=GOES_ON)
def test_the_import_may_go_on(code: str) -> None:
    assert fatal(code) == []


def test_one_candidate_of_several_is_enough() -> None:
    assert fatal(LOOP, "a") == [] == fatal(LOOP, "b")
    assert fatal(LOOP.replace('os.environ["X"] = path', "pass"), "a", "b") == ["a", "b"]
    assert fatal(LOOP.replace("PATHS", "[A]")) == ["a"]


def test_what_was_loaded_since_may_help() -> None:
    code = """
        try:
            ctypes.CDLL(A)
        except OSError:
            ctypes.CDLL("libfar.so.1")
            ctypes.CDLL(B)
        """
    assert fatal(code, "a", "b") == []
    assert fatal(code.replace("libfar.so.1", ""), "a", "b") == ["a", "b"]


def test_only_what_is_to_blame() -> None:
    both = ENDS["from"] + GOES_ON["pass"].replace("(A)", "(B)")
    assert fatal(both, "a", "b") == ["a"]
    assert fatal(ENDS["from"] + ENDS["own"].replace("(A)", "(B)"), "a", "b") == ["a", "b"]


def test_the_load_in_another_module() -> None:
    load = (
        HEAD + "def load():\n    try:\n        return ctypes.CDLL(A)\n    except OSError as e:\n        return None\n"
    )
    assert fatal("from . import loading\nif loading.load() is None:\n    raise Trouble", loading=load) == ["a"]
    guarded = "try:\n    from . import core\nexcept ImportError:\n    core = None\n"
    assert fatal(guarded, core=HEAD + ENDS["from"]) == []
    assert fatal(guarded.replace("ImportError", "ValueError"), core=HEAD + ENDS["from"]) == ["a"]


def test_what_windows_raises() -> None:
    code = "try:\n    ctypes.CDLL(A)\nexcept FileNotFoundError:\n    pass\nexcept OSError:\n    raise\n"
    assert fatal(code, platform="win-64", kind="FileNotFoundError") == []
    assert fatal(code, platform="win-64") == ["a"]
