"""Source to tree: function bodies are left out, line numbers stay, results can be stored."""

from __future__ import annotations

import ast

import msgspec
import pytest

from abicheck.import_effects import tree as t
from abicheck.import_effects.strip import strip_bodies
from abicheck.import_effects.summary import read_function, summarize

SAMPLE = '''\
"""Text with def f(): in it
and a second line."""
import a  # comment with "quote

@deco(1)
def f(x, y=(1,
            2)) -> "text: colon":
    """Doc
string at column 0
"""
    import hidden
    return [
        x]

class C:
    import b
    def m(self): return 1
    def n(self):
        s = r"""
def not_a_function():
    """
        import hidden2

    import c
x = f"""{1}
""" + 'it\\'s'
import d
'''


def test_bodies_are_blank_and_lines_stay() -> None:
    text, ranges = strip_bodies(SAMPLE)
    assert len(text.split("\n")) == len(SAMPLE.split("\n"))
    assert "hidden" not in text
    lines = {n.names[0].name: n.lineno for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import)}
    assert lines == {"a": 3, "b": 16, "c": 24, "d": 27}
    assert ranges[18] == 22


def test_a_text_that_the_shortcut_misjudges_is_read_whole() -> None:
    source = "def f():\n    x = (\n1)\n    import hidden\nimport a\n"
    names = [s.names[0][0] for s in summarize(source).body if isinstance(s, t.Import)]
    assert names == ["a"]


@pytest.mark.parametrize("source", ["def f(:\n", "x = '''", "\0", "print 'x'", "(" * 500])
def test_what_is_no_python_is_said(source: str) -> None:
    summary = summarize(source)
    assert summary.body == ()
    assert "not valid Python" in summary.problem


@pytest.mark.parametrize(
    "source", ["x = " + "-" * 50_000 + "1", "x = " + "lambda: " * 900 + "1"], ids=["parser", "ours"]
)
def test_what_nests_without_end_is_said(source: str) -> None:
    assert "deep" in summarize(source).problem


def test_summaries_survive_storage() -> None:
    summary = summarize(SAMPLE)
    packed = msgspec.msgpack.encode(summary)
    assert msgspec.msgpack.decode(packed, type=t.ModuleSummary) == summary


def test_a_function_is_read_when_asked_for() -> None:
    definition = next(s for s in summarize(SAMPLE).body if isinstance(s, t.Def))
    body = read_function(SAMPLE, definition.first, definition.last)
    assert body is not None
    assert body.body[0] == t.Import((("hidden", ""),), 11)
    cls = next(s for s in summarize(SAMPLE).body if isinstance(s, t.Class))
    method = next(s for s in cls.body if isinstance(s, t.Def) and s.name == "n")
    inner = read_function(SAMPLE, method.first, method.last)
    assert inner is not None
    assert inner.body[-1] == t.Import((("hidden2", ""),), 22)


def test_generators_are_marked() -> None:
    source = "def f():\n    x = lambda: (yield)\n    yield 1\ndef g():\n    def h():\n        yield\n"
    first, second = (read_function(source, a, b) for a, b in ((1, 3), (4, 6)))
    assert first is not None and first.generator
    assert second is not None and not second.generator
