"""Python sources without comments and docstrings, every statement on its old line: half the size for a snapshot."""

from __future__ import annotations

import re

_TOKENS = re.compile(
    r"""
    (?P<string>"(?:""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+\"{3}|[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")
    |'(?:''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'{3}|[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'))
    |(?P<comment>\#[^\n]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_CODING = re.compile(r"\A(?:#[^\n]*\n)?#[^\n]*coding[:=]")


def slim(text: str) -> str:
    """The text with comments gone and documentation strings empty. Line numbers and the parsed tree stay (but for the
    documentation)."""
    if _CODING.match(text):
        return text
    out: list[str] = []
    done = 0
    for match in _TOKENS.finditer(text):
        start, end = match.span()
        if match.lastgroup == "comment":
            out.append(text[done:start])
            done = end
        elif end - start > 8 and text[start : start + 3] in ('"""', "'''") and _documents(text, start, end):
            out += (text[done:start], '""', "\n" * text.count("\n", start, end))
            done = end
    out.append(text[done:])
    return "".join(out)


def _documents(text: str, start: int, end: int) -> bool:
    """Whether a string is a statement of its own right after a header (``def x():``) or at the start of the file."""
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip():
        return False
    after = text.find("\n", end)
    if text[end : after if after >= 0 else len(text)].strip():
        return False
    before = text[:line].rstrip()
    return not before or before.endswith(":")
