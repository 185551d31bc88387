"""The nouns between engine, policy and reporters.

The engine returns a :class:`Judgement`: facts and findings, nothing decided. ``policy.judge`` turns it into a
:class:`Report`: what fails, what is shown, which status the process ends with. A reporter sees the report and nothing
else. All of it is frozen, sorted where order carries no meaning, and free of absolute paths and of time.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol

from abicheck.model import Confidence, Fact, Finding, Origin, Remedy, Severity, Skipped

BaselineState = Literal["none", "new", "unchanged"]
InputKind = Literal["wheel", "installed"]
Level = Literal["error", "warning", "note", "never"]
_EMPTY: Mapping[str, str] = MappingProxyType({})


class Verdict(enum.StrEnum):
    """How a run ended. Each is the word that the documents use, and equals it."""

    PASS = "pass"
    FAIL = "fail"
    INCOMPLETE = "incomplete"
    ERROR = "error"


class Progress(Protocol):
    """Told how far long work is. ``label`` is what is being done (``reading libraries``), ``total`` 0 when unknown."""

    def step(self, label: str, done: int, total: int) -> None: ...


class Quiet:
    """Progress that nobody watches."""

    def step(self, label: str, done: int, total: int) -> None:
        pass


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What a caller may ask of the engine, the same for check, audit, trace and snapshot.

    Attributes:
        host: ``auto``, ``none``, ``glibc=2.28,libstdcxx=3.4.25`` or the name of a host file (docs/concepts.md).
        env: variables the loader is to see (``--env``); the calling shell's are never read.
        platform: conda subdir to assume when the prefix does not say one (``--platform``).
        find_links: folders in which ``name==version`` operands and requirements are looked for.
        requirements: requirement files (``-r``).
        resolve: ask the target's own pip to resolve names (the only option that runs anything).
        cache_dir: where facts are kept; None for the default. ``use_cache`` False reads everything anew.
        only_rules: ids to run; empty runs all. An optimisation: policy selects again.
        progress: told about long work.
    """

    host: str = "auto"
    env: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    platform: str | None = None
    find_links: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    resolve: bool = False
    cache_dir: str | None = None
    use_cache: bool = True
    only_rules: tuple[str, ...] = ()
    progress: Progress = field(default_factory=Quiet)


@dataclass(frozen=True, slots=True)
class HostInfo:
    """The third party. ``facts`` are what ``trace`` shows (``{"glibc": "2.36"}``); ``assumption`` is the
    sentence people read: what was assumed of the host and where it was read."""

    facts: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    assumption: str = "nothing is assumed of the host"


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """The environment that was judged. ``name`` is how the user called it, or the folder's last name, never a full
    path. ``platform`` is a conda subdir; ``python`` a full version, empty when the prefix has none; ``packages`` counts
    conda records. ``chosen_by``: ``prefix``, ``name``, ``ABICHECK_PREFIX``, ``CONDA_PREFIX`` or ``api``."""

    name: str
    platform: str
    python: str
    packages: int
    chosen_by: str = "prefix"
    host: HostInfo = HostInfo()


@dataclass(frozen=True, slots=True, order=True)
class RequestedBy:
    """The manifest line that asked for a wheel; ``file`` as the user wrote it, relative."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class InputInfo:
    """One wheel of the transaction (``wheel``), or a distribution that pip already installed (``installed``; then
    ``filename`` is its ``.dist-info`` folder and ``sha256`` empty). ``libraries`` counts native files."""

    kind: InputKind
    filename: str
    name: str
    version: str
    sha256: str = ""
    libraries: int = 0
    pure: bool = False
    requested_by: RequestedBy | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """All the engine knows. ``notes`` are sentences for stderr (a prefix that is ``base``, a manifest read in part)."""

    target: TargetInfo
    inputs: tuple[InputInfo, ...]
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


# -- after policy --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What fails and what is shown (docs/concepts.md). ``strict``: incomplete is a failure too."""

    fail_on: Level = "error"
    min_severity: Severity = Severity.WARNING
    min_confidence: Confidence = Confidence.MEDIUM
    strict: bool = False
    exit_zero: bool = False
    allow_incomplete: bool = False


DEFAULT_THRESHOLDS = Thresholds()
# Where CI annotations point when nothing better is known (docs/ci.md).
DEFAULT_ANCHOR = RequestedBy("pyproject.toml", 1)


@dataclass(frozen=True, slots=True, order=True)
class RuleRef:
    """A rule as a report names it; fields as in the catalogue. ``level`` is its usual severity.

    It equals its id, so that ``found.rule == "ABI201"`` says what it seems to say."""

    id: str
    name: str
    classes: tuple[str, ...] = ()
    level: Severity = Severity.ERROR
    platforms: tuple[str, ...] = ()
    summary: str = ""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.id == other
        return isinstance(other, RuleRef) and astuple(self) == astuple(other)

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding with what policy made of it. ``number`` counts from 1 in report order; pairs refer to it. ``remark``
    says what a person should know of its treatment (a suppression that ended)."""

    number: int
    rule: RuleRef
    finding: Finding
    fails: bool
    shown: bool
    fingerprint: str
    baseline: BaselineState = "none"
    remark: str = ""

    @property
    def severity(self) -> Severity:
        return self.finding.severity

    @property
    def confidence(self) -> Confidence:
        return self.finding.confidence

    @property
    def what(self) -> str:
        return self.finding.what

    @property
    def why(self) -> tuple[Fact, ...]:
        return self.finding.why

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        return self.finding.remedies


@dataclass(frozen=True, slots=True)
class SuppressedBy:
    """Why a finding is silent: the reason a person gave, the date it ends (ISO, empty: permanent), and the file."""

    reason: str
    until: str
    source: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    rule: RuleRef
    finding: Finding
    fingerprint: str
    by: SuppressedBy


@dataclass(frozen=True, slots=True, order=True)
class Gone:
    """An entry of the baseline that no longer occurs."""

    fingerprint: str
    text: str


@dataclass(frozen=True, slots=True, order=True)
class Notice:
    """A remark about configuration: ``unused-suppression``, ``expired-suppression``, ``expiring-suppression`` ..."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A wheel and the conda package it meets in findings; either may be None (a wheel that fails alone)."""

    wheel: Origin | None
    conda_package: Origin | None
    worst: Severity
    findings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """The error that ended the run before anything was judged (``verdict`` is ``error``)."""

    reference: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one run. ``target`` is None and ``error`` set when nothing was judged; ``rules`` are those that
    ran."""

    tool_version: str
    rules: tuple[RuleRef, ...]
    verdict: Verdict
    exit_status: int
    target: TargetInfo | None = None
    inputs: tuple[InputInfo, ...] = ()
    thresholds: Thresholds = DEFAULT_THRESHOLDS
    findings: tuple[Judged, ...] = ()
    pairs: tuple[Pair, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    gone: tuple[Gone, ...] = ()
    notices: tuple[Notice, ...] = ()
    error: Problem | None = None
    today: str = ""
    anchor: RequestedBy = DEFAULT_ANCHOR

    def count(self, severity: Severity) -> int:
        """Findings of that severity that are shown."""
        return sum(j.shown and j.finding.severity is severity for j in self.findings)

    @property
    def hidden(self) -> int:
        return sum(not j.shown for j in self.findings)

    @property
    def libraries(self) -> int:
        return sum(i.libraries for i in self.inputs)

    def to_dict(self) -> dict[str, Any]:
        """The published JSON document (docs/output.md)."""
        from abicheck.report.document import to_dict

        return to_dict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Report:
        """Read a document back. Raises ``InputError`` when it is of another major version or malformed."""
        from abicheck.report.document import from_dict

        return from_dict(document)
