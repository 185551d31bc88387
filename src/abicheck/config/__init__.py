"""Configuration: ``[tool.abicheck]`` in pyproject.toml or abicheck.toml, ``ABICHECK_*`` variables, the command line.

One table, ``keys.KEYS``, says which keys there are; validation, environment variables, ``config show`` and the
published schema all follow from it. An unknown key is an error with a suggestion: a gate whose configuration is
misspelt must not run with half of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from abicheck.config.file import FileReader, find_file, table_of
from abicheck.config.keys import KEYS, Key, schema
from abicheck.errors import UsageError
from abicheck.model import Confidence, Severity
from abicheck.report import RequestedBy, Thresholds
from abicheck.report.settings import PackageRules, Settings, Suppression

ENV_PREFIX = "ABICHECK_"
DEFAULT, COMMAND_LINE = "default", "command line"


@dataclass(frozen=True, slots=True)
class Value:
    """An effective value and where it comes from: a file's name, a variable, ``command line`` or ``default``."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """All effective values by key. ``notes`` are remarks on how they were found."""

    values: Mapping[str, Value]
    notes: tuple[str, ...] = ()
    packages: tuple[PackageRules, ...] = ()
    suppressions: tuple[Suppression, ...] = ()

    def get(self, key: str) -> Any:
        return self.values[key].value

    def source(self, key: str) -> str:
        return self.values[key].source


def load(
    start: str,
    *,
    file: str | None = None,
    no_config: bool = False,
    environ: Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Config:
    """Command line (``given``, None for not given) over environment over file over default.

    Raises ``UsageError``: no such file, no TOML, unknown key, wrong type, a suppression without reason or date.
    """
    values = {k: Value(key.default, DEFAULT) for k, key in KEYS.items()}
    notes: tuple[str, ...] = ()
    packages: tuple[PackageRules, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    path = file or ""
    if not file and not no_config:
        path, notes = find_file(start)
    if path:
        table, reader = table_of(path), FileReader(path, os.path.basename(path))
        values |= {k: Value(v, reader.source) for k, v in reader.values(table).items()}
        packages, suppressions = reader.packages(table), reader.suppressions(table)
    values |= _from_environment(os.environ if environ is None else environ)
    values |= {k: Value(v, COMMAND_LINE) for k, v in (given or {}).items() if v is not None}
    return Config(values, notes, packages, suppressions)


_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def variable(key: str) -> str:
    """``ABICHECK_FAIL_ON`` for ``fail-on``."""
    return ENV_PREFIX + key.upper().replace("-", "_")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Value]:
    out = {}
    for name, key in KEYS.items():
        raw = environ.get(variable(name))
        if raw is not None and raw != "" and key.kind in ("text", "path", "flag", "list", "paths", "choice"):
            out[name] = Value(_from_text(name, key, raw), variable(name))
    return out


def _from_text(name: str, key: Key, raw: str) -> Any:
    if key.kind == "flag":
        if raw.lower() not in _WORDS:
            raise UsageError("config-value", f"{variable(name)} is {raw!r}", "1 or 0")
        return _WORDS[raw.lower()]
    if key.kind == "choice" and raw not in key.choices:
        raise UsageError("config-value", f"{variable(name)} is {raw!r}", f"one of {', '.join(key.choices)}")
    if key.kind == "list":
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    return tuple(part for part in raw.split(os.pathsep) if part) if key.kind == "paths" else raw


# -- for policy -------------------------------------------------------------------


def settings_of(config: Config) -> Settings:
    """What policy needs of it. ``strict`` lowers all bars. Raises ``UsageError`` for contradictions."""
    strict = config.get("strict")
    for other in ("exit-zero", "allow-incomplete"):
        if strict and config.get(other):
            raise UsageError("contradiction", f"strict and {other} contradict each other")
    thresholds = Thresholds(
        fail_on="note" if strict else config.get("fail-on"),
        min_severity=Severity.NOTE if strict else Severity[config.get("min-severity").upper()],
        min_confidence=Confidence.LOW if strict else Confidence[config.get("min-confidence").upper()],
        strict=strict,
        exit_zero=config.get("exit-zero"),
        allow_incomplete=config.get("allow-incomplete"),
    )
    return Settings(
        thresholds=thresholds,
        select=config.get("select"),
        extend_select=config.get("extend-select"),
        ignore=config.get("ignore"),
        severity=config.get("severity"),
        packages=config.packages,
        suppressions=config.suppressions,
        no_ignores=config.get("no-ignores"),
        anchor=_anchor(config.get("anchor")),
    )


def _anchor(text: str) -> RequestedBy:
    if not text:
        return Settings().anchor
    file, _, line = text.rpartition(":")
    if file and line.isdigit():
        return RequestedBy(file.replace(os.sep, "/"), max(int(line), 1))
    return RequestedBy(text.replace(os.sep, "/"), 1)


__all__ = ["KEYS", "Config", "Key", "Value", "load", "schema", "settings_of", "variable"]
