"""Output formats: a report in, a string out; one module per format, found by looking.

A format is a module of this package, its name not beginning with ``_``, that defines ``NAME``, ``SUMMARY`` (a phrase
for ``--help``), ``SUFFIXES`` (file endings that select it for ``-o FILE``), ``MEDIA_TYPE`` and
``render(report, options) -> str``. A reporter recomputes nothing: what fails and what is shown stands in the report.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from abicheck.errors import UsageError
from abicheck.report import Report


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What the place the output goes to asks for.

    Attributes:
        color: write colour codes (``text`` only).
        width: columns to wrap at; None does not wrap, so that searching line by line works.
        verbosity: -2 nothing, -1 findings only, 0, 1 adds search attempts and what is hidden.
        ascii: the stream cannot take other characters.
        target_flag: how the user named the environment (``-n prod``), put into conda commands; empty leaves them.
        date: a date the caller wants to see in a page for people (``html``); never read from the clock.
        limit: characters the service takes (``markdown``); what is left out is counted in the text.
        header: begin with the target line, for files; a terminal has it on stderr.
    """

    color: bool = False
    width: int | None = None
    verbosity: int = 0
    ascii: bool = False
    target_flag: str = ""
    date: str = ""
    limit: int = 65_000
    header: bool = False


DEFAULT_OPTIONS = RenderOptions()


@dataclass(frozen=True, slots=True)
class Reporter:
    name: str
    summary: str
    suffixes: tuple[str, ...]
    media_type: str
    render: Callable[[Report, RenderOptions], str]


def names() -> tuple[str, ...]:
    """Names of all formats, without importing them. A format's module has its name."""
    found = (m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return tuple(sorted(n for n in found if not n.endswith("_text")))


@functools.cache
def reporter(name: str) -> Reporter:
    """The format of that name. Raises ``UsageError``."""
    if name not in names():
        raise UsageError("unknown-format", f"there is no output format {name!r}", f"one of {', '.join(names())}")
    m = importlib.import_module(f"{__name__}.{name}")
    return Reporter(m.NAME, m.SUMMARY, m.SUFFIXES, m.MEDIA_TYPE, m.render)


def all_reporters() -> tuple[Reporter, ...]:
    return tuple(reporter(n) for n in names())


def for_file(filename: str) -> Reporter:
    """The format that a file's ending selects, the longest that fits. Raises ``UsageError``."""
    fits = [(len(s), r) for r in all_reporters() for s in r.suffixes if filename.lower().endswith(s)]
    if fits:
        return max(fits, key=lambda f: f[0])[1]
    known = ", ".join(s for r in all_reporters() for s in r.suffixes)
    raise UsageError(
        "unknown-suffix",
        f"no output format belongs to the file name {filename!r}",
        f"write FORMAT=FILE, or use {known}",
    )


def render(report: Report, name: str, options: RenderOptions = DEFAULT_OPTIONS) -> str:
    """The report in one format. Raises ``UsageError`` for an unknown one."""
    return reporter(name).render(report, options)
