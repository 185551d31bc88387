"""One configuration file: found, read, checked. An unknown key is an error with a suggestion and a line."""

from __future__ import annotations

import datetime
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abicheck.config.keys import KEYS, PACKAGE_KEYS, SCHEMA, SEVERITIES, SUPPRESSION_KEYS, Key
from abicheck.errors import UsageError
from abicheck.model import Severity
from abicheck.report.settings import PackageRules, Suppression


def find_file(start: str) -> tuple[str, tuple[str, ...]]:
    """The configuration that holds in a folder, and remarks. Looked for up to the repository's root and never beyond;
    outside a repository in the folder alone. Empty when there is none."""
    folder = os.path.abspath(start)
    for here in _up_to_repository(folder):
        own, project = (str(Path(here, name)) for name in ("abicheck.toml", "pyproject.toml"))
        in_project = os.path.isfile(project) and "abicheck" in _read_toml(project).get("tool", {})
        if os.path.isfile(own):
            both = ("abicheck.toml is used; [tool.abicheck] in pyproject.toml beside it is not",) if in_project else ()
            return own, both
        if in_project:
            return project, ()
    return "", ()


def _up_to_repository(folder: str) -> list[str]:
    out, here = [folder], folder
    while not Path(here, ".git").exists():
        parent = os.path.dirname(here)
        if parent == here:
            return [folder]
        here = parent
        out.append(here)
    return out


def _read_toml(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as f:
            return tomllib.load(f)
    except OSError as e:
        raise UsageError("config-unreadable", f"{path} cannot be read: {e.strerror or e}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise UsageError("config-syntax", f"{path} is not TOML: {e}") from e


def table_of(path: str) -> dict[str, Any]:
    """The table of a file: all of it, or ``[tool.abicheck]`` when it is a pyproject.toml. Raises ``UsageError``."""
    data = _read_toml(path)
    if os.path.basename(path) != "pyproject.toml":
        return data
    table = data.get("tool", {}).get("abicheck", {})
    assert isinstance(table, dict)
    return table


@dataclass(slots=True)
class FileReader:
    """Checks the table of one file and turns it into values. ``source``: the file's name for people."""

    path: str
    source: str

    def values(self, table: Mapping[str, Any]) -> dict[str, Any]:
        self._known(table, ("schema", *KEYS), "")
        if table.get("schema", SCHEMA) != SCHEMA:
            raise self._error("schema", f"schema is {table['schema']!r}, this version reads {SCHEMA}")
        out = {}
        for name, key in KEYS.items():
            if name in table and key.kind not in ("packages", "suppressions"):
                out[name] = self._value(name, key, table[name])
        return out

    def _value(self, name: str, key: Key, raw: Any) -> Any:
        problem = _CHECKS[key.kind](raw)
        if problem:
            raise self._error(name, f"{name} must be {problem}")
        if key.kind == "choice" and raw not in key.choices:
            raise self._error(name, f"{name} is {raw!r}", f"one of {', '.join(key.choices)}")
        if key.kind == "path":
            return self._beside(raw)
        if key.kind == "paths":
            return tuple(self._beside(r) for r in raw)
        if key.kind == "severities":
            return self._severities(name, raw)
        return tuple(raw) if key.kind == "list" else raw

    def _beside(self, path: str) -> str:
        """A path in the file, as seen from the current folder."""
        if os.path.isabs(path) or not path:
            return path
        folder = os.path.relpath(os.path.dirname(os.path.abspath(self.path)))
        return os.path.normpath(f"{folder}{os.sep}{path}")

    def _severities(self, where: str, raw: Mapping[str, Any]) -> dict[str, Severity]:
        bad = next((v for v in raw.values() if v not in SEVERITIES), None)
        if bad is not None:
            raise self._error(where, f"{where}: {bad!r} is no severity", f"one of {', '.join(SEVERITIES)}")
        return {rule: Severity[word.upper()] for rule, word in raw.items()}

    def packages(self, table: Mapping[str, Any]) -> tuple[PackageRules, ...]:
        raw = table.get("packages", {})
        if not isinstance(raw, dict) or not all(isinstance(v, dict) for v in raw.values()):
            raise self._error("packages", "packages must be tables, [packages.NAME]")
        out = []
        for glob, entry in raw.items():
            self._known(entry, PACKAGE_KEYS, f"packages.{glob}.")
            ignore, severity = entry.get("ignore", []), entry.get("severity", {})
            problem = _CHECKS["list"](ignore) or _CHECKS["texts"](severity)
            if problem:
                raise self._error(glob, f"packages.{glob}: must be {problem}")
            if ignore and not entry.get("reason"):
                raise self._error(glob, f"packages.{glob}: an ignore needs a reason")
            severities = self._severities(f"packages.{glob}.severity", severity)
            out.append(PackageRules(glob, tuple(ignore), severities, entry.get("reason", ""), self.source))
        return tuple(out)

    def suppressions(self, table: Mapping[str, Any]) -> tuple[Suppression, ...]:
        raw = table.get("suppressions", [])
        if not isinstance(raw, list) or not all(isinstance(v, dict) for v in raw):
            raise self._error("suppressions", "suppressions must be an array of tables, [[suppressions]]")
        return tuple(self._suppression(n, entry) for n, entry in enumerate(raw, 1))

    def _suppression(self, n: int, entry: Mapping[str, Any]) -> Suppression:
        where = f"suppression {n}"
        self._known(entry, SUPPRESSION_KEYS, f"{where}: ")
        texts = {k: entry.get(k, "") for k in ("rule", "wheel", "conda", "file", "reason")}
        wrong = [k for k, v in texts.items() if not isinstance(v, str)]
        if wrong:
            raise self._error("suppressions", f"{where}: {wrong[0]} must be text")
        if not texts["rule"] or not texts["reason"]:
            raise self._error("suppressions", f"{where} needs a rule and a reason")
        if not (texts["wheel"] or texts["conda"] or texts["file"]):
            raise self._error("suppressions", f"{where} needs at least one of wheel, conda and file")
        return Suppression(**texts, until=self._until(where, entry), source=self.source)

    def _until(self, where: str, entry: Mapping[str, Any]) -> datetime.date | None:
        until, permanent = entry.get("until"), entry.get("permanent", False)
        if isinstance(until, str):
            try:
                until = datetime.date.fromisoformat(until)
            except ValueError as e:
                raise self._error("until", f"{where}: until is no date: {until!r}") from e
        if (until is None) == (permanent is not True):
            hint = "until = 2027-03-31, or permanent = true"
            raise self._error("suppressions", f"{where} needs either a date until which it holds or permanent", hint)
        if until is not None and (not isinstance(until, datetime.date) or isinstance(until, datetime.datetime)):
            raise self._error("until", f"{where}: until must be a date, YYYY-MM-DD")
        return until

    def _known(self, table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key.replace("_", "-"), known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"keys are {', '.join(sorted(known))}"
                raise self._error(key, f"there is no key {where}{key}", hint)

    def _error(self, key: str, message: str, hint: str = "") -> UsageError:
        line = self._line(key)
        at = f"{self.source}:{line}" if line else self.source
        return UsageError("config-key", f"{at}: {message}", hint)

    def _line(self, key: str) -> int:
        """The line that first sets ``key`` (or opens its table), 0 when it cannot be told."""
        with open(self.path, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        pattern = re.compile(rf"^\s*(\[+.*\b{re.escape(key)}\b.*\]|[\"']?{re.escape(key)}[\"']?\s*=)")
        return next((n for n, line in enumerate(lines, 1) if pattern.match(line)), 0)


def _is_texts(v: Any) -> bool:
    return isinstance(v, list) and all(isinstance(i, str) for i in v)


def _is_table_of_text(v: Any) -> bool:
    return isinstance(v, dict) and all(isinstance(i, str) for i in v.values())


_CHECKS: Mapping[str, Callable[[Any], str]] = {
    "text": lambda v: "" if isinstance(v, str) else "text",
    "path": lambda v: "" if isinstance(v, str) else "a path",
    "choice": lambda v: "" if isinstance(v, str) else "text",
    "flag": lambda v: "" if isinstance(v, bool) else "true or false",
    "list": lambda v: "" if _is_texts(v) else "an array of text",
    "paths": lambda v: "" if _is_texts(v) else "an array of paths",
    "texts": lambda v: "" if _is_table_of_text(v) else "a table of text",
    "severities": lambda v: "" if _is_table_of_text(v) else "a table of severities",
}
