"""The door to ``project_names.json``: what a project of PyPI is called in conda's world, and who says so.

Names that a table does not have are not guessed: an empty answer means "not known", not "there is none".
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import msgspec


@dataclass(frozen=True, slots=True)
class NamePair:
    """One project under its two names. ``pypi`` is normalised (PEP 503); ``source`` and ``date`` say who says so."""

    pypi: str
    conda: str
    source: str
    date: str


class _Table(msgspec.Struct):
    source: str
    date: str
    differ: dict[str, str]
    same: list[str]


class _Document(msgspec.Struct):
    tables: list[_Table]


@functools.cache
def _by_pypi() -> Mapping[str, NamePair]:
    """Earlier tables win; each row keeps its own source."""
    document = msgspec.json.decode(files(__package__).joinpath("project_names.json").read_bytes(), type=_Document)
    out: dict[str, NamePair] = {}
    for table in document.tables:
        for pypi, conda in (*table.differ.items(), *((n, n) for n in table.same)):
            out.setdefault(pypi, NamePair(pypi, conda, table.source, table.date))
    return out


@functools.cache
def _by_conda() -> Mapping[str, tuple[NamePair, ...]]:
    out: dict[str, list[NamePair]] = {}
    for pair in _by_pypi().values():
        out.setdefault(pair.conda, []).append(pair)
    return {k: tuple(v) for k, v in out.items()}


def conda_name(pypi: str) -> NamePair | None:
    """The conda package of a PyPI project (normalised name), None when no table knows it."""
    return _by_pypi().get(pypi)


def pypi_names(conda: str) -> tuple[NamePair, ...]:
    """The PyPI projects that a conda package stands for."""
    return _by_conda().get(conda, ())
