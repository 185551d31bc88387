"""The nouns of the report: who a file belongs to, what was found, why, and what to do. Imports nothing of ours but
nothing at all; imported by every room.

Shapes follow the report (docs/output.md). All paths inside the prefix are prefix-relative with ``/``; paths of
the host are absolute; a wheel's file is named by the path it will be installed at, with the archive member beside it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal


class Severity(enum.IntEnum):
    """What happens if it happens (docs/concepts.md)."""

    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Confidence(enum.IntEnum):
    """How sure: HIGH follows from files and documented rules, MEDIUM rests on one printed assumption, LOW is
    heuristic."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        return self.name.lower()


Dependence = Literal["import-order", "environment", "host", "python-code"]
OriginKind = Literal["wheel", "conda", "pip", "host", "unowned"]


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Who brings a file: a wheel of the transaction, a conda package, a distribution pip installed before, the host."""

    kind: OriginKind
    name: str = ""
    version: str = ""
    build: str = ""
    channel: str = ""

    @property
    def label(self) -> str:
        """``conda libstdcxx 12.3.0``, ``wheel fastgrid 2.4.0``, ``the host``, ``a file no package owns``."""
        if self.kind == "host":
            return "the host"
        if self.kind == "unowned":
            return "a file no package owns"
        return " ".join(p for p in (self.kind, self.name, self.version) if p)


@dataclass(frozen=True, slots=True, order=True)
class FileRef:
    """A file that a finding speaks of. ``member`` is the path inside the wheel, when a wheel brings it."""

    path: str
    origin: Origin
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One place a loader looked. ``outcome``: found, absent, unknown, wrong-class, wrong-machine, too-short,
    bad-header, directory, unreadable, not-a-library, rejected (a loader may add its own words)."""

    path: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of ``why``: a statement, and the file, symbol or loader rule (``ELF-9``) it rests on."""

    text: str
    file: FileRef | None = None
    symbol: str | None = None
    version: str | None = None
    loader_rule: str | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def fact(self) -> str:
        """The statement, under its name in the JSON."""
        return self.text


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do: a reason, and a command that can be pasted (None when nobody can type the cure)."""

    text: str
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """Import orders in which what a finding says happens (``fails``) and in which it does not (``works``).

    Each order is what to load, one after the other: import names or paths. An order that is not known to be free of it
    is in neither.
    """

    fails: tuple[tuple[str, ...], ...]
    works: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that will or may go wrong. Cannot be built without evidence.

    ``what`` is one sentence, understandable alone, under 200 characters: what will happen.
    ``key`` is the contested name (soname, symbol, file, distribution): with the rule and the project names it makes the
    fingerprint that survives version bumps. ``severity_reason``/``assumption``: the printed assumption at MEDIUM.
    """

    rule: str
    severity: Severity
    confidence: Confidence
    what: str
    why: tuple[Fact, ...]
    remedies: tuple[Remedy, ...]
    key: str
    wheel: Origin | None = None
    conda_package: Origin | None = None
    subject: FileRef | None = None
    object: FileRef | None = None
    depends_on: tuple[Dependence, ...] = ()
    assumption: str = ""
    runtime: str | None = None
    orders: Orders | None = None

    def __post_init__(self) -> None:
        if not self.why:
            raise ValueError(f"{self.rule}: a finding needs evidence")
        if not self.what or not self.key:
            raise ValueError(f"{self.rule}: a finding needs a sentence and a contested name")
        if self.severity is not Severity.NOTE and not self.remedies:
            raise ValueError(f"{self.rule}: a finding that asks for action must say which")


@dataclass(frozen=True, slots=True, order=True)
class Skipped:
    """Something that was not analysed, why, and whether the verdict could depend on it (then the gate fails)."""

    path: str
    reason: str
    matters: bool = True
    container: str = ""
