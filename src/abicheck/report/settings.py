"""What configuration tells policy: plain data, so that neither has to know the other."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from abicheck.model import Severity
from abicheck.report.shapes import DEFAULT_ANCHOR, DEFAULT_THRESHOLDS, RequestedBy, Thresholds

_NO_SEVERITY: Mapping[str, Severity] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Suppression:
    """A risk that a person accepted.

    ``rule`` is a selector; at least one of ``wheel``, ``conda`` and ``file`` (globs on project name, package name and
    path) is set. ``until`` None: permanent. ``source`` is the configuration file's name."""

    rule: str
    reason: str
    wheel: str = ""
    conda: str = ""
    file: str = ""
    until: datetime.date | None = None
    source: str = ""

    @property
    def label(self) -> str:
        what = [f"{k} {v}" for k, v in (("wheel", self.wheel), ("conda", self.conda), ("file", self.file)) if v]
        return f"{self.rule} ({', '.join(what)})"


@dataclass(frozen=True, slots=True)
class PackageRules:
    """What holds for the wheels whose project name matches the glob ``package``."""

    package: str
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = field(default_factory=lambda: _NO_SEVERITY)
    reason: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that policy needs to know. ``select`` empty selects every rule; ``extend_select`` adds to ``select``;
    ``ignore`` wins over both. ``no_ignores`` shows what suppressions and per-package ignores would silence."""

    thresholds: Thresholds = DEFAULT_THRESHOLDS
    select: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = field(default_factory=lambda: _NO_SEVERITY)
    packages: tuple[PackageRules, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    no_ignores: bool = False
    anchor: RequestedBy = DEFAULT_ANCHOR
