"""Source for newer Pythons than ours is read: the same names, the same lines."""

from __future__ import annotations

import ast
import sys

import pytest

from abicheck.import_effects.grammar import in_older_words, parse
from abicheck.import_effects.summary import summarize

NEW = '''\
"""Doc with type X = 1 and def f[T]()."""
type Pair[T] = tuple[
    T, T
]
type Plain = "list[int]"
class Box[T: (int, str) = int](Base[T]):
    type Inner = T
    async def get[
        K,
        *V,
    ](self, key: K) -> K:
        return key
def plain(x): return x
try:
    import fast
except ImportError, OSError:
    fast = None
except* ValueError, TypeError: pass
name = t"{fast}" + rt'x'
type(fast), types[0]
def last[T](): pass
'''


def test_newer_words_are_put_into_older_ones() -> None:
    older = in_older_words(NEW.replace("except* ValueError, TypeError: pass\n", ""))
    tree = ast.parse(older)
    assert older.count("\n") == NEW.count("\n") - 1
    found = {getattr(n, "name", ""): n.lineno for n in ast.walk(tree) if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    assert found == {"Box": 6, "plain": 13, "last": 20}
    assert [n.lineno for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef)] == [8]
    (handler,) = [n for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler)]
    assert ast.unparse(handler.type or ast.Constant(None)) == "(ImportError, OSError)"
    assert "except* (ValueError, TypeError): pass" in in_older_words(NEW)


def test_a_form_feed_ends_no_line() -> None:
    assert in_older_words("x = 1\n\x0c\ntype A = x\ndef f[T](): pass\n") == "x = 1\n\x0c\nA = None\ndef f(): pass\n"


@pytest.mark.parametrize(
    "text",
    [
        "type = 3\ntype(x)\ntype, y = 1, 2\ntype[0] = 1\nprint(type if x else y)\n",
        "def f(a, b=[1]): pass\nclass A(B[int]): pass\nt = 't'\nx = t\n",
        "try: pass\nexcept (A, B): pass\nexcept f(a, b): pass\nexcept A as e: pass\nexcept: pass\n",
        "x = '''type X = 1\n'''\n# type X = 2\n",
    ],
)
def test_old_source_stays(text: str) -> None:
    assert in_older_words(text) == text


def test_what_no_python_reads_is_refused() -> None:
    for text in ("def f(:\n", "x = = 1\n", "'''open\n", "type X =\n", "  x\n y\n"):
        with pytest.raises(SyntaxError):
            parse(text)


def test_imports_behind_newer_grammar_are_seen() -> None:
    """A numpy of today says ``type`` and ``def f[T]`` at its top level; what follows it is imported all the same."""
    new = summarize("type A[T] = list[T]\nclass B[T]: pass\ndef f[T](x): pass\nimport native\n")
    assert new.problem == ""
    assert len(new.body) == len(summarize("A = None\nclass B: pass\ndef f(x): pass\nimport native\n").body)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python reads all of it by itself")
def test_this_python_needs_it() -> None:
    with pytest.raises(SyntaxError):
        ast.parse('x = t"{y}"\n')
    assert isinstance(parse('x = t"{y}"\n'), ast.Module)
