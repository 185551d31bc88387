"""The mechanical half of the wording rule (user-experience.md section 16), for any finding a rule makes."""

from __future__ import annotations

import re

from abicheck.model import Confidence, Finding, Severity

MOST = 200
_BANNED = re.compile(
    r"\b(please|invalid|oops|mismatch detected|failed to|could not be determined)\b|!(?!=)", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"<[A-Za-z ]+>|\.\.\.|…|\bNAME\b|\bPACKAGE\b|\n")
_CONDITION = re.compile(r"\b(if|when|unless|until|after|before|once|while|whichever|where|may|first|depends)\b")


def problems(f: Finding) -> list[str]:
    """What is wrong with the words of a finding; empty when nothing is."""
    out = _of_what(f) + _of_why(f) + _of_remedies(f)
    if f.confidence is Confidence.MEDIUM and not f.assumption:
        out.append("medium confidence rests on an assumption that is not told")
    return [f"{f.rule}: {problem}" for problem in out]


def _of_what(f: Finding) -> list[str]:
    out = []
    if len(f.what) > MOST:
        out.append(f"what has {len(f.what)} characters: {f.what}")
    if not f.what.endswith((".", '".')) or "\n" in f.what:
        out.append(f"what is not one sentence with a full stop: {f.what}")
    if _BANNED.search(f.what):
        out.append(f"what has a word users do not need: {f.what}")
    if re.search(r"\b1 (?!of\b)[a-z]+(?: [a-z]+)? (?:are|were|bind|break|have)\b|\b1 [a-z]+s\b(?<!ss)(?<!us)", f.what):
        out.append(f"what counts one as many: {f.what}")
    if f.confidence is Confidence.LOW and not re.search(r"\b(may|might|can)\b", f.what):
        out.append(f"low confidence says may: {f.what}")
    if f.confidence is Confidence.MEDIUM and not _CONDITION.search(f"{f.what} {f.assumption}"):
        out.append(f"medium confidence names its condition: {f.what}")
    return out


def _of_why(f: Finding) -> list[str]:
    files = {fact.file.path for fact in f.why if fact.file}
    rules = {fact.loader_rule for fact in f.why if fact.loader_rule}
    out = []
    if f.severity > Severity.NOTE and not (len(files) >= 2 or (files and rules)):
        out.append(f"why names {len(files)} files and {len(rules)} loader rules: {f.what}")
    bad = sorted(r for r in rules if not re.fullmatch(r"[A-Z]+-\d+[a-z]?", r))
    if bad:
        out.append(f"why cites rules that no specification has: {bad}")
    if any(
        path.startswith("/") and fact.file.origin.kind != "host"
        for fact in f.why
        if (path := fact.file.path if fact.file else "")
    ):
        out.append("why has an absolute path of something that is not the host's")
    return out


def _of_remedies(f: Finding) -> list[str]:
    out = []
    for r in f.remedies:
        if r.command is not None and _PLACEHOLDER.search(r.command):
            out.append(f"a command cannot be pasted: {r.command}")
        if not r.text and not r.command:
            out.append("a remedy says nothing")
        if _BANNED.search(r.text):
            out.append(f"a remedy has a word users do not need: {r.text}")
    return out
