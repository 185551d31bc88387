"""Blanks the bodies of functions in a source text, so that the parser has a fraction to read.

An import runs the top level and class bodies; most of a file's text lies in functions that nobody calls then. Lines
keep their numbers. This is a shortcut by indentation, not a parser: where it misjudges a file the result does not
compile, and the caller parses the whole text instead.
"""

from __future__ import annotations

import re

# Each alternative begins with one plain character: then the engine leaps from candidate to candidate.
_TOKENS = re.compile(
    r"""
    "(?:""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+\"{3}|[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")
    |'(?:''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'{3}|[^'\\\n]*+(?:\\.[^'\\\n]*+)*+')
    |\#[^\n]*
    """,
    re.VERBOSE | re.DOTALL,
)
_DEF = re.compile(r"^([ \t]*)(?:async[ \t]+)?def[ \t]", re.MULTILINE)
_STRINGS = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')
_SIMPLE = re.compile(r"[^\n()'\"]*\([^\n()'\"]*\)[^\n()\[\]'\"]*:[ \t\r]*(?=\n)")
_OUTDENTS: dict[int, re.Pattern[str]] = {}


def _shorten(match: re.Match[str]) -> str:
    """Comments go; a string over several lines becomes an unknown value of as many lines."""
    text = match.group()
    if text[0] == "#":
        return ""
    if "\n" in text and text[:3] in ('"""', "'''"):
        return '"" or (...' + "\n" * text.count("\n") + ")"
    return text


def strip_bodies(source: str) -> tuple[str, dict[int, int]]:
    """(the source with blank function bodies, first line of each blanked ``def`` to its last line)."""
    text = _TOKENS.sub(_shorten, source)
    ranges: dict[int, int] = {}
    out: list[str] = []
    done, line, counted = 0, 1, 0
    match = _DEF.search(text)
    while match is not None:
        end = _header_end(text, match.start())
        if end is None:
            match = _DEF.search(text, match.end())
            continue
        after = _body_end(text, end, len(match.group(1)))
        line += text.count("\n", counted, match.start())
        counted = match.start()
        body = text[end:after]
        ranges[line] = line + text.count("\n", match.start(), end) + body.rstrip().count("\n")
        out += (text[done:end], " pass", "\n" * body.count("\n"))
        done = after
        match = _DEF.search(text, after)
    out.append(text[done:])
    return "".join(out), ranges


def _header_end(text: str, start: int) -> int | None:
    """Offset just after the colon that ends a ``def`` header; None when the body stands on the same line."""
    simple = _SIMPLE.match(text, start)
    if simple is not None:
        return simple.end()
    depth, at = 0, start
    for _ in range(400):
        stop = text.find("\n", at)
        if stop < 0:
            return None
        row = _STRINGS.sub("''", text[at:stop])
        depth += sum(map(row.count, "([{")) - sum(map(row.count, ")]}"))
        if depth <= 0:
            return stop if row.rstrip().endswith(":") else None
        at = stop + 1
    return None


def _body_end(text: str, start: int, indent: int) -> int:
    """Offset of the first line after ``start`` that is indented by ``indent`` characters or less."""
    if indent not in _OUTDENTS:
        _OUTDENTS[indent] = re.compile(rf"^[ \t]{{0,{indent}}}[^\s)]", re.MULTILINE)
    match = _OUTDENTS[indent].search(text, start)
    return match.start() if match else len(text)
