"""The door to ``runtimes.toml``: which runtimes exist, how a copy is recognised, and what two copies do to each other.

The table is data with sources; this module types and checks it and answers three questions: what is this file
(:func:`recognise`), which byte patterns tell a static copy or a version (``Member.inner`` and ``banner``), and what
follows when two copies share a process (:func:`consequence`). It never opens a file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from abicheck.knowledge.library_names import Stem, spellings, stem

System = Literal["linux", "osx", "win"]
When = Literal["live", "meet", "setting"]
Outcome = Literal["abort", "crash", "hang", "wrong-results", "oversubscription", "merged-state", "isolated"]
SEVERITIES = ("note", "warning", "error")
CONFIDENCES = ("low", "medium", "high")
SYSTEMS: tuple[System, ...] = ("linux", "osx", "win")

__all__ = [
    "Consequence",
    "Family",
    "Member",
    "Recognised",
    "System",
    "When",
    "consequence",
    "families",
    "family",
    "recognise",
    "stem",
]


@dataclass(frozen=True, slots=True)
class Member:
    """One implementation of a runtime (LLVM OpenMP, libgomp). Fields as ``runtimes.toml`` explains them."""

    family: str
    name: str
    title: str
    stems: re.Pattern[str]
    not_stems: re.Pattern[str] | None
    exports: tuple[str, ...]
    exports_any: tuple[str, ...]
    without: tuple[str, ...]
    inner: tuple[bytes, ...]
    banner: re.Pattern[bytes] | None
    anchor: bytes
    nodes: str
    symbols: re.Pattern[str] | None
    soname: bool
    together: bool
    opens: tuple[str, ...]
    source: str
    date: str

    def named(self, name: Stem) -> bool:
        """Whether the undone name is one of this member's."""
        if self.not_stems is not None and self.not_stems.fullmatch(name.name):
            return False
        return any(self.stems.fullmatch(s) for s in spellings(name))

    def exported(self, has: Callable[[str], bool]) -> bool:
        """Whether a file that exports what ``has`` says is this runtime, whatever its name (RT-2)."""
        if not self.exports:
            return False
        core = all(map(has, self.exports)) or (bool(self.exports_any) and any(map(has, self.exports_any)))
        return core and not any(map(has, self.without))


@dataclass(frozen=True, slots=True)
class Consequence:
    """What two copies do. ``severity`` and ``confidence`` are the words of docs/concepts.md."""

    family: str
    members: tuple[str, str]
    systems: tuple[System, ...]
    when: When
    outcome: Outcome
    severity: str
    confidence: str
    condition: str
    text: str
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of runtime. ``variables``: environment variables that can lead one copy to the other's plugins or data.
    ``harmful``: (advice found in the wild, why it does harm)."""

    name: str
    title: str
    rule: str
    state: str
    members: tuple[Member, ...]
    pairs: tuple[Consequence, ...]
    variables: tuple[str, ...]
    harmful: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file is. ``by``: name, exports, or static (its code is linked into a file of another purpose).
    ``version`` is what the name says; '' when it says nothing."""

    family: str
    member: str
    by: Literal["name", "exports", "static"]
    version: str = ""
    mangled: bool = False


@cache
def families() -> tuple[Family, ...]:
    """All families of the table, in its order. Raises ``ValueError`` when the table is malformed (a packaging
    error)."""
    text = files("abicheck.knowledge").joinpath("runtimes.toml").read_text("utf-8")
    return parse(text)


def family(name: str) -> Family:
    """The family of that name. Raises ``KeyError``."""
    for f in families():
        if f.name == name:
            return f
    raise KeyError(name)


def member(family_name: str, name: str) -> Member:
    """One member of a family. Raises ``KeyError``."""
    for m in family(family_name).members:
        if m.name == name:
            return m
    raise KeyError((family_name, name))


def parse(text: str) -> tuple[Family, ...]:
    """Read a table. Raises ``ValueError`` naming the row that is wrong."""
    raw = tomllib.loads(text)
    date = raw["date"]
    return tuple(_family(row, date) for row in raw["family"])


def _family(row: dict[str, Any], date: str) -> Family:
    name = row["name"]
    members = tuple(_member(name, m, date) for m in row["member"])
    known = {m.name for m in members} | {"*"}
    return Family(
        name=name,
        title=row["title"],
        rule=row["rule"],
        state=row["state"],
        members=members,
        pairs=tuple(_pair(name, p, date, known) for p in row["pair"]),
        variables=tuple(row.get("variables", ())),
        harmful=tuple((a, b) for a, b in row.get("harmful", ())),
    )


def _alternatives(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns), re.IGNORECASE)


def _member(family_name: str, row: dict[str, Any], date: str) -> Member:
    banner = row.get("banner")
    not_stems = row.get("not_stems")
    return Member(
        family=family_name,
        name=row["name"],
        title=row["title"],
        stems=_alternatives(row["stems"]),
        not_stems=_alternatives(not_stems) if not_stems else None,
        exports=tuple(row["exports"]) if "exports" in row else (),
        exports_any=tuple(row.get("exports_any", ())),
        without=tuple(row.get("without", ())),
        inner=tuple(s.encode() for s in row.get("inner", ())),
        banner=re.compile(banner.encode("latin-1")) if banner else None,
        anchor=row["anchor"].encode() if banner else b"",
        nodes=row.get("nodes", ""),
        symbols=re.compile(row["symbols"]) if "symbols" in row else None,
        soname=bool(row.get("soname", False)),
        together=bool(row.get("together", False)),
        opens=tuple(row.get("opens", ())),
        source=row["source"],
        date=row.get("date", date),
    )


def _pair(family_name: str, row: dict[str, Any], date: str, known: set[str]) -> Consequence:
    a, b = row["members"]
    where = f"{family_name}: pair {a}, {b}"
    if not {a, b} <= known:
        raise ValueError(f"{where}: no such member")
    if row["severity"] not in SEVERITIES or row["confidence"] not in CONFIDENCES:
        raise ValueError(f"{where}: severity or confidence is not a word of the contract")
    return Consequence(
        family=family_name,
        members=(a, b),
        systems=tuple(row.get("platforms", SYSTEMS)),
        when=row["when"],
        outcome=row["outcome"],
        severity=row["severity"],
        confidence=row["confidence"],
        condition=row["condition"],
        text=row["text"],
        source=row["source"],
        date=row.get("date", date),
    )


def recognise(
    identity: str | None, leaf: str = "", has_export: Callable[[str], bool] | None = None
) -> Recognised | None:
    """Which runtime a library is, by what it calls itself, by its file name, or by what it exports; None for others.

    Args:
        identity: DT_SONAME, install name or DLL name; None when the file has none.
        leaf: the file's own name, used when there is no identity.
        has_export: whether the file exports a symbol (C spelling: without the underscore that Mach-O adds).

    A name that the exports contradict is overruled by them when they name another member of the same family
    (conda's ``libgomp.so.1`` that is really LLVM's library, RT-1).
    """
    name = stem(identity or leaf)
    by_name = _by_name(name)
    if has_export is None:
        return by_name
    by_exports = _by_exports(has_export)
    if by_name is None or by_exports is None or by_name.family != by_exports.family:
        return by_name or by_exports
    if by_name.member == by_exports.member:
        return by_name
    return Recognised(by_exports.family, by_exports.member, "exports", "", by_name.mangled)


@cache
def _by_name(name: Stem) -> Recognised | None:
    for f in families():
        for m in f.members:
            if m.named(name):
                return Recognised(f.name, m.name, "name", name.version if m.soname else "", name.mangled)
    return None


def _by_exports(has: Callable[[str], bool]) -> Recognised | None:
    for f in families():
        for m in f.members:
            if m.exported(has):
                return Recognised(f.name, m.name, "exports")
    return None


def consequence(family_name: str, a: str, b: str, system: System, meets: frozenset[When]) -> Consequence | None:
    """What two copies of members ``a`` and ``b`` do in one process of ``system``; None when nothing is known to happen.

    ``meets`` holds how they touch beyond being there: "meet" (bindings cross or objects merge), "setting" (a variable
    leads one to the other's files). "live" is always understood. The first row of the table that fits decides.
    """
    for row in family(family_name).pairs:
        if system in row.systems and _covers(row.members, a, b) and (row.when == "live" or row.when in meets):
            return row
    return None


def _covers(row: tuple[str, str], a: str, b: str) -> bool:
    x, y = row
    return any(x in (p, "*") and y in (q, "*") for p, q in ((a, b), (b, a)))
