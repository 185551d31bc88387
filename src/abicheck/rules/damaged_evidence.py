"""Findings of the gate that rest on a file of conda which is not as conda linked it say so (ABI505 is for audits).

Only the files that a finding names are hashed: a gate does not read the whole environment again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from abicheck.model import Fact, FileRef, Finding, Severity
from abicheck.prefix import Damaged, Prefix, damage_of

_WORDS = {
    "by-pip": "is not what conda linked: pip wrote over it",
    "by-conda": "is not what this conda package linked: another one wrote over it",
    "changed": "is not what conda linked: it was altered since",
}


def tell_damage(prefix: Prefix, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, with a fact for each conda file behind an error or a warning that is damaged already."""
    seen: dict[str, Damaged | None] = {}
    return tuple(_told(prefix, f, seen) if f.severity is not Severity.NOTE else f for f in findings)


def _told(prefix: Prefix, finding: Finding, seen: dict[str, Damaged | None]) -> Finding:
    named = (finding.subject, finding.object, *(f.file for f in finding.why))
    refs = {r.path: r for r in named if r is not None and r.origin.kind == "conda"}
    facts = []
    for path, ref in refs.items():
        if path not in seen:
            seen[path] = damage_of(prefix, path)
        found = seen[path]
        if found is not None and (text := _words(found)):
            facts.append(Fact(text, FileRef(path, ref.origin), loader_rule="PY-13"))
    return replace(finding, why=(*finding.why, *facts)) if facts else finding


def _words(item: Damaged) -> str:
    """Empty for what is no damage (a library that conda signed again), and for files that are not there."""
    if item.kind == "cut":
        return f"is not what conda linked: it ends after {item.size} of {item.expected} bytes"
    return _WORDS.get(item.kind, "")
