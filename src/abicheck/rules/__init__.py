"""The catalogue: one module per rule, found by looking, each with its own page.

A rule is a module ``abiNNN_kebab_name_in_snake.py`` of this package. It defines ``RULE`` (a :class:`Rule`),
``check(scene) -> Iterator[Finding]`` and, as its docstring, the page that ``abicheck explain`` and the documentation
show: a title, then the six headings of :data:`HEADINGS` (as ``## What happens`` and so on), none of them empty.
A module that breaks this contract stops the program when the catalogue is loaded; it is never left out.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from abicheck.errors import UsageError
from abicheck.model import Finding, Severity

HEADINGS = (
    "What happens",
    "Why: the loader rule",
    "Example",
    "What to do",
    "When this is wrong",
    "References",
)
_MODULE = re.compile(r"abi(\d{3})_([a-z0-9_]+)")


class RuleContractError(Exception):
    """A rule's module is not what the catalogue needs (a mistake in abicheck itself, not in what is checked)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the catalogue says of one rule.

    Attributes:
        id: ``ABI101``; stable, never reused.
        name: kebab-case, stable, unique.
        severity: the catalogue's words: ``error``, ``warning``, ``note``, ``error/warning``, ``by consequence`` ...
        classes: loader classes (``MISSING_LIB`` ...) whose outcomes this rule reports.
        platforms: of ``linux``, ``osx``, ``win``.
        summary: one line, without the rule's name.
        since: the first version of abicheck that has it.
    """

    id: str
    name: str
    severity: str
    classes: tuple[str, ...]
    platforms: tuple[str, ...]
    summary: str
    since: str

    @property
    def usual(self) -> Severity:
        """The gravest severity its words allow; what formats that want one level per rule are told."""
        if self.severity.startswith("warning") or self.severity in ("note/warning", "incomplete"):
            return Severity.WARNING
        return Severity.NOTE if self.severity == "note" else Severity.ERROR


@dataclass(frozen=True, slots=True)
class Page:
    """The page of a rule: its title and the six sections, as CommonMark."""

    title: str
    sections: tuple[tuple[str, str], ...]

    def section(self, heading: str) -> str:
        return dict(self.sections)[heading]

    def markdown(self, rule: Rule) -> str:
        """The whole page under its rule's heading."""
        platforms = ", ".join(rule.platforms)
        facts = f"{' '.join(f'`{c}`' for c in rule.classes)} · {rule.severity} · {platforms} · since {rule.since}"
        body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in self.sections)
        return f"# {rule.id} {rule.name}\n\n{rule.summary}\n\n{facts}\n\n{body}\n"


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """One rule as the catalogue holds it. ``check`` takes a ``rules.scene.Scene`` and yields findings."""

    module: str
    rule: Rule
    check: Callable[[Any], Iterator[Finding]]
    page: Page


def parse_page(docstring: str | None, where: str) -> Page:
    """The page in a module's docstring. Raises :class:`RuleContractError` when a heading is absent, empty, double or
    out of order."""
    title: list[str] = []
    found: dict[str, list[str]] = {}
    into = title
    fenced = False
    for line in inspect.cleandoc(docstring or "").splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = line.lstrip("#").strip()
        if not fenced and heading in HEADINGS and line.lstrip("# ") == heading:
            if heading in found:
                raise RuleContractError(f"{where}: the heading {heading!r} stands twice in the page")
            into = found[heading] = []
        else:
            into.append(line)
    sections = tuple((heading, _trim(lines)) for heading, lines in found.items())
    missing = [h for h in HEADINGS if not dict(sections).get(h)]
    if missing:
        raise RuleContractError(f"{where}: the page has no text under {', '.join(repr(m) for m in missing)}")
    if tuple(h for h, _ in sections) != HEADINGS:
        raise RuleContractError(f"{where}: the headings stand in another order than {HEADINGS}")
    return Page(" ".join(" ".join(title).split()), sections)


def _trim(lines: Iterable[str]) -> str:
    return "\n".join(lines).strip("\n").rstrip()


def load_rule(module: Any) -> LoadedRule:
    """The rule in an imported module. Raises :class:`RuleContractError`."""
    where = module.__name__.rpartition(".")[2]
    named = _MODULE.fullmatch(where)
    rule, check = getattr(module, "RULE", None), getattr(module, "check", None)
    if named is None or not isinstance(rule, Rule) or not callable(check):
        raise RuleContractError(f"{where}: a rule's module is abiNNN_name.py and defines RULE and check")
    if rule.id != f"ABI{named[1]}" or rule.name != named[2].replace("_", "-"):
        raise RuleContractError(f"{where}: RULE says {rule.id} {rule.name}; the file name says otherwise")
    if not rule.classes or not rule.summary or not set(rule.platforms) <= {"linux", "osx", "win"}:
        raise RuleContractError(f"{where}: RULE needs classes, platforms (linux, osx, win) and a summary")
    return LoadedRule(module.__name__, rule, check, parse_page(module.__doc__, where))


@functools.cache
def all_rules() -> tuple[LoadedRule, ...]:
    """Every rule, by id. Raises :class:`RuleContractError` when one is broken or two share an id or a name."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if _MODULE.fullmatch(m.name))
    rules = tuple(load_rule(importlib.import_module(f"{__name__}.{n}")) for n in names)
    for kind in ("id", "name"):
        seen = [getattr(r.rule, kind) for r in rules]
        double = sorted({s for s in seen if seen.count(s) > 1})
        if double:
            raise RuleContractError(f"two rules have the {kind} {', '.join(double)}")
    return rules


def find(id_or_name: str) -> LoadedRule:
    """The rule of that id or name, in any letter case. Raises ``UsageError`` with the nearest names otherwise."""
    wanted = id_or_name.strip().lower()
    for loaded in all_rules():
        if wanted in (loaded.rule.id.lower(), loaded.rule.name):
            return loaded
    near = nearest(id_or_name, words_of(all_rules()))
    hint = f"did you mean {near}?" if near else "abicheck rules lists them"
    raise UsageError("unknown-rule", f"there is no rule {id_or_name!r}", hint)


def words_of(rules: Iterable[LoadedRule]) -> tuple[str, ...]:
    """Everything that may stand for one or more of these rules: ids, names, classes."""
    words = {w for r in rules for w in (r.rule.id, r.rule.name, *r.rule.classes)}
    return tuple(sorted(words))


def matches(rule: Rule, selector: str) -> bool:
    """Whether a selector means this rule: its id, the beginning of its id (``ABI``, ``ABI1``), its name, or
    one of its classes; letter case does not matter."""
    word = selector.strip()
    upper = word.upper()
    is_prefix = re.fullmatch(r"ABI\d{0,3}", upper) is not None and rule.id.startswith(upper)
    return is_prefix or word.lower() == rule.name or upper in rule.classes


def check_selectors(selectors: Iterable[str], where: str) -> None:
    """Raise ``UsageError`` for the first selector that means no rule. ``where`` names its source (``--select``)."""
    for selector in selectors:
        if not any(matches(r.rule, selector) for r in all_rules()):
            near = nearest(selector, words_of(all_rules()))
            hint = f"did you mean {near}?" if near else "abicheck rules lists them"
            raise UsageError("unknown-rule", f"{where}: {selector!r} is no rule, group, name or class", hint)


def nearest(word: str, words: Iterable[str]) -> str:
    """The word most like ``word``, empty when none is near."""
    by_fold = {w.lower(): w for w in words}
    near = difflib.get_close_matches(word.lower(), by_fold, n=1, cutoff=0.6)
    return by_fold[near[0]] if near else ""
