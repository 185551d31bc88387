"""What a snapshot keeps of Python sources parses to the same statements on the same lines."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

import pytest

from abicheck.prefix.slimming import imports_only, slim

SAMPLE = '''"""Module.

Text."""
import os  # why
x = "# no comment"  # a comment
def f(a):
    r"""Doc \\d

    import lies
    """
    return """kept
as it is"""

class C:
    """One line that is long enough."""
    y = \'\'\'kept\'\'\'
'''


def statements(text: str) -> list[tuple[str, int]]:
    return [(type(n).__name__, n.lineno) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.stmt)]


def test_documentation_and_comments_go_and_lines_stay() -> None:
    out = slim(SAMPLE)
    assert statements(out) == statements(SAMPLE)
    assert "Text" not in out
    assert "lies" not in out
    assert "a comment" not in out
    assert '"# no comment"' in out
    assert "kept\nas it is" in out


def test_a_file_that_declares_its_encoding_is_left_alone() -> None:
    text = "# -*- coding: latin-1 -*-\n# hello\n"
    assert slim(text) == text


def test_imports_of_a_test_file() -> None:
    text = (
        "import numpy as np\nfrom a.b import (\n    c,\n    d,\n)\n\ndef test():\n    from a import _x\n"
        '    """\n    import lies\n    """\n    assert np\n'
    )
    out = imports_only(text)
    kept = [(n.lineno, ast.unparse(n)) for n in ast.walk(ast.parse(out)) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert kept == [(1, "import numpy as np"), (2, "from a.b import c, d"), (8, "from a import _x")]
    assert "assert" not in out


@pytest.mark.parametrize(
    "module", ["argparse.py", "ctypes/__init__.py", "email/generator.py", "_pydecimal.py", "enum.py"]
)
def test_real_sources(module: str) -> None:
    path = Path(sysconfig.get_path("stdlib")) / module
    text = path.read_text("utf-8")
    assert statements(slim(text)) == statements(text)
    assert len(slim(text)) < len(text)
    ast.parse(imports_only(text))
