"""Variables that an activation script sets, read from its text (never run).

The scripts of conda packages are short and alike: an assignment with the prefix written as a variable, sometimes under
a condition. What is not such an assignment is passed over; a value that is put together otherwise is kept as text and
gives no path.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
_FORMS = {
    "posix": re.compile(rf"^\s*(?:export\s+)?{_NAME}=(?P<value>.*?)\s*(?:;.*)?$"),
    "csh": re.compile(rf"^\s*setenv\s+{_NAME}\s+(?P<value>.*?)\s*;?\s*$"),
    "fish": re.compile(rf"^\s*set\s+(?:-gx|-xg|--export|-x)\s+(?:-g\s+)?{_NAME}\s+(?P<value>.*?)\s*;?\s*$"),
    "cmd": re.compile(rf"^\s*@?\s*(?:if\s+.*\s+)?(?:call\s+)?set\s+\"?{_NAME}=(?P<value>.*?)\"?\s*$", re.IGNORECASE),
    "powershell": re.compile(rf"^\s*\$env:{_NAME}\s*=\s*(?P<value>.*?)\s*;?\s*$", re.IGNORECASE),
    "xonsh": re.compile(rf"^\s*\$\{{?{_NAME}\}}?\s*=\s*(?P<value>.*?)\s*$"),
}
_SUFFIXES = {
    ".sh": "posix",
    ".bash": "posix",
    ".zsh": "posix",
    ".csh": "csh",
    ".fish": "fish",
    ".bat": "cmd",
    ".ps1": "powershell",
    ".xsh": "xonsh",
}
_PREFIX = re.compile(
    r"\$\{CONDA_PREFIX\}|\$CONDA_PREFIX|%CONDA_PREFIX%|\$\{?env:CONDA_PREFIX\}?|\$\{?PREFIX\}?(?=[/\\])", re.IGNORECASE
)
_OPENS = re.compile(r"^\s*(?:@?if\b|elif\b|case\b|for\b|while\b|\}?\s*else)", re.IGNORECASE)
_CLOSES = re.compile(r"^\s*(?:fi|esac|done|end|endif|\)|\})\b|^\s*[)}]\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Setting:
    """One assignment. ``path`` is prefix-relative when the value is a path below the prefix, else None;
    ``conditional``: it stands under a condition; ``line`` counts from 1."""

    name: str
    value: str
    path: str | None
    conditional: bool
    line: int


def shell_of(path: str) -> str | None:
    """Which shell reads a script, from its name; None for names no shell claims."""
    return _SUFFIXES.get(posixpath.splitext(path)[1].lower())


def settings(text: str, shell: str) -> tuple[Setting, ...]:
    """Assignments of one script in order. ``shell`` is a word of :func:`shell_of`; an unknown one gives nothing."""
    form = _FORMS.get(shell)
    return tuple(_settings(text, form, shell)) if form is not None else ()


def _settings(text: str, form: re.Pattern[str], shell: str) -> Iterator[Setting]:
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(("#", "::", "rem ", "@rem ", "REM ", "@REM ")):
            continue
        m = form.match(line)
        inline = shell == "cmd" and bool(re.match(r"\s*@?\s*if\b", line, re.IGNORECASE))
        if m is not None:
            value = m["value"].strip().strip("\"'")
            yield Setting(m["name"], value, _path(value), depth > 0 or inline, number)
            continue
        if _OPENS.match(line):
            depth += 0 if re.search(r"\b(?:fi|end)\s*$|\belse\b|\belif\b", line) else 1
        elif _CLOSES.match(line):
            depth = max(0, depth - 1)


def _path(value: str) -> str | None:
    m = _PREFIX.match(value)
    if m is None:
        return None
    rest = value[m.end() :].replace("\\", "/").split(":", 1)[0].split(";", 1)[0]
    if "$" in rest or "%" in rest or "`" in rest:
        return None
    return posixpath.normpath(rest.strip("/")) if rest.strip("/") else "."
