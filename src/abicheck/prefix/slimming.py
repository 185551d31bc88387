"""Python sources as a snapshot keeps them: without comments and docstrings, tests only by what they import.

Every statement that stays keeps its line.
"""

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
TESTS = re.compile(r"/tests?/")
USES_TESTS = re.compile(rb"^[ \t]*(?:from|import)[ \t][^\n#]*\btests?\b", re.MULTILINE)
# What a module imports at its margin, or first thing in a ``try`` there.
IMPORTED = re.compile(rb"^(?:from|import)[ \t]+(\w+)|^try:[^\n]*\n[ \t]+(?:from|import)[ \t]+(\w+)", re.MULTILINE)
_IMPORT = re.compile(r"^([ \t]*)((?:from|import)[ \t][^\n]*)", re.MULTILINE)
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
            first = start - 1 if text[start - 1 : start] in ("r", "R", "u", "U") else start
            out += (text[done:first], '""', "\n" * text.count("\n", start, end))
            done = end
    out.append(text[done:])
    return "".join(out)


def _documents(text: str, start: int, end: int) -> bool:
    """Whether a string is a statement of its own right after a header (``def x():``) or at the start of the file."""
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip() not in ("", "r", "R", "u", "U"):
        return False
    after = text.find("\n", end)
    if text[end : after if after >= 0 else len(text)].strip():
        return False
    before = text[:line].rstrip()
    return not before or before.endswith(":")


def _blank(match: re.Match[str]) -> str:
    """Comments go, strings over several lines become empty ones."""
    if match.lastgroup == "comment":
        return ""
    lines = match.group().count("\n")
    return '""' + "\n" * lines if lines else match.group()


def imports_only(text: str) -> str:
    """Of a test's text the import statements; those that do not stand at the margin become conditional."""
    lines = _TOKENS.sub(_blank, text).split("\n")
    out: list[str] = []
    number = 0
    while number < len(lines):
        match = _IMPORT.match(lines[number])
        if match is None:
            out.append("")
            number += 1
            continue
        statement = match[2].rstrip()
        end = number
        while (statement.count("(") > statement.count(")") or statement.endswith("\\")) and end + 1 < len(lines):
            end += 1
            statement = statement.removesuffix("\\") + " " + lines[end].strip()
        out.append(f"if 1: {statement}" if match[1] else statement)
        out += [""] * (end - number)
        number = end + 1
    return "\n".join(out)
