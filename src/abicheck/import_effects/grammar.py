"""Reads Python source that may be written for a newer Python than the one abicheck runs on.

An environment's Python can be newer than ours, and the grammar has grown: type parameters and ``type`` statements
(PEP 695, 3.12), template strings (PEP 750, 3.14), handlers without parentheses (PEP 758, 3.14). What our parser refuses
is put into older words first, line for line: type parameters mean nothing to an import, an alias is evaluated when
somebody asks for its value, a template string evaluates what an f-string does.
"""

from __future__ import annotations

import ast
import io
import itertools
import tokenize
import warnings
from collections.abc import Iterator, Sequence

_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_BLANK = frozenset({tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE})
_TEMPLATE = frozenset({"t", "rt", "tr"})

Token = tokenize.TokenInfo
Edit = tuple[tuple[int, int], tuple[int, int], str]
"""Start and end as (line from 1, column from 0), and the text that takes the place."""


def parse(text: str) -> ast.Module:
    """The syntax tree. Raises what ``ast.parse`` raises for text that no Python known here reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarnings of other people's code
        try:
            return ast.parse(text)
        except SyntaxError:
            older = in_older_words(text)
            if older == text:
                raise
            return ast.parse(older)


def in_older_words(text: str) -> str:
    """The text without the grammar of Python 3.12 and later; as many lines. Unchanged where nothing of that is found,
    or where it is no sequence of tokens."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return text
    edits = sorted(e for statement in _statements(tokens) for e in _edits(statement))
    if not edits:
        return text
    lines = io.StringIO(text).readlines()  # as the tokens count them: a form feed ends no line
    for start, end, new in reversed(edits):
        _replace(lines, start, end, new)
    return "".join(lines)


def _statements(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Tokens of one logical line each, without comments and line ends."""
    line: list[Token] = []
    for token in tokens:
        if token.type not in _BLANK:
            line.append(token)
        elif token.type == tokenize.NEWLINE and line:
            yield line
            line = []
    if line:
        yield line


def _edits(line: Sequence[Token]) -> Iterator[Edit]:
    words = [t.string for t in line[:3]]
    at = 1 if words[:1] == ["async"] else 0
    if words[:1] == ["type"] and len(line) > 3 and line[1].type == tokenize.NAME and words[2] in ("=", "["):
        yield line[0].start, line[-1].end, f"{words[1]} = None"
        return
    if words[at : at + 1] in (["def"], ["class"]) and len(line) > at + 2 and line[at + 2].string == "[":
        yield line[at + 2].start, line[_closing(line, at + 2)].end, ""
    elif words[:1] == ["except"]:
        yield from _handler(line)
    for one, following in itertools.pairwise(line):
        is_prefix = one.type == tokenize.NAME and one.string.lower() in _TEMPLATE
        if is_prefix and following.type == tokenize.STRING and one.end == following.start:
            yield one.start, one.end, one.string.lower().replace("t", "f")


def _handler(line: Sequence[Token]) -> Iterator[Edit]:
    """Parentheses around several classes: ``except A, B:``."""
    first = 2 if len(line) > 1 and line[1].string == "*" else 1
    depth, several = 0, False
    for token in line[first:]:
        depth += (token.string in _OPEN) - (token.string in _CLOSE)
        several = several or (depth == 0 and token.string == ",")
        if depth == 0 and token.string == ":":
            if several:
                yield line[first].start, line[first].start, "("
                yield token.start, token.start, ")"
            return


def _closing(line: Sequence[Token], at: int) -> int:
    """Index of the bracket that closes the one at ``at``; the last token where none does."""
    depth = 0
    for n in range(at, len(line)):
        depth += (line[n].string in _OPEN) - (line[n].string in _CLOSE)
        if depth == 0:
            return n
    return len(line) - 1


def _replace(lines: list[str], start: tuple[int, int], end: tuple[int, int], new: str) -> None:
    """Lines keep their numbers: the line ends of what goes stay, escaped."""
    (first, left), (last, right) = start, end
    head, tail = lines[first - 1][:left], lines[last - 1][right:]
    if first == last:
        lines[first - 1] = head + new + tail
        return
    lines[first - 1] = f"{head}{new}\\\n"
    lines[first : last - 1] = ["\\\n"] * (last - first - 1)
    lines[last - 1] = f" {tail}"
