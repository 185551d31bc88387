"""Which settings there are: one table, from which reading, variables, ``config show`` and the schema all follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = 1
ENV_PREFIX = "ABICHECK_"
SEVERITIES = ("error", "warning", "note")
CONFIDENCES = ("high", "medium", "low")

Kind = Literal["text", "path", "flag", "list", "paths", "choice", "texts", "severities", "packages", "suppressions"]


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. ``paths`` and ``path`` in a file are relative to it; ``list`` items come comma-separated in a
    variable; the last three kinds exist in files only."""

    kind: Kind
    default: Any
    about: str
    choices: tuple[str, ...] = ()


KEYS: Mapping[str, Key] = {
    "prefix": Key("path", "", "the environment: a folder, a snapshot, or a folder of extracted packages"),
    "name": Key("text", "", "the environment by name; used when prefix is not given"),
    "platform": Key("text", "", "conda subdir to assume when the environment does not say one"),
    "host": Key("text", "auto", "auto, none, facts such as glibc=2.28, or a file of abicheck snapshot --host"),
    "env": Key("texts", {}, "variables that the loader is to see"),
    "requirements": Key("paths", (), "requirement files whose wheels are checked"),
    "find-links": Key("paths", (), "folders in which named wheels are looked for"),
    "select": Key("list", (), "rules that run: ids, beginnings of ids, names, classes; empty means all"),
    "extend-select": Key("list", (), "rules that run in addition to select"),
    "ignore": Key("list", (), "rules that do not run"),
    "fail-on": Key("choice", "error", "the least severity that fails", (*SEVERITIES, "never")),
    "min-severity": Key("choice", "warning", "the least severity that is shown", SEVERITIES),
    "min-confidence": Key("choice", "medium", "the least confidence that is shown", CONFIDENCES),
    "strict": Key("flag", False, "everything fails: notes, low confidence, what could not be read"),
    "exit-zero": Key("flag", False, "findings do not fail; errors still do"),
    "allow-incomplete": Key("flag", False, "what could not be read does not end in status 4"),
    "no-ignores": Key("flag", False, "show what suppressions and per-package ignores silence"),
    "baseline": Key("path", "", "findings recorded here are not new and do not fail"),
    "anchor": Key("text", "", "the file CI annotations point at when no manifest line is known, FILE or FILE:LINE"),
    "format": Key("text", "text", "what goes to standard output"),
    "output": Key("list", (), "files to write, [FORMAT=]FILE"),
    "color": Key("choice", "auto", "colour on the terminal", ("auto", "always", "never")),
    "cache-dir": Key("path", "", "where facts of files are kept"),
    "cache": Key("flag", True, "keep facts of files between runs"),
    "severity": Key("severities", {}, "severity by rule"),
    "packages": Key("packages", {}, "what holds for the wheels of one project; globs allowed"),
    "suppressions": Key("suppressions", (), "accepted risks, each with a reason and a date"),
}
PACKAGE_KEYS = ("ignore", "severity", "reason")
SUPPRESSION_KEYS = ("rule", "wheel", "conda", "file", "reason", "until", "permanent")


# -- the published schema -------------------------------------------------------------


def schema() -> dict[str, Any]:
    """JSON Schema of the table, for editors; committed as ``schemas/config-1.schema.json``."""
    properties: dict[str, Any] = {"schema": {"const": SCHEMA, "description": "version of this table"}}
    for name, key in KEYS.items():
        properties[name] = {**_schema_of(key), "description": key.about}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "abicheck.toml, and [tool.abicheck] in pyproject.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _schema_of(key: Key) -> dict[str, Any]:
    texts = {"type": "array", "items": {"type": "string"}}
    severities = {"type": "object", "additionalProperties": {"enum": list(SEVERITIES)}}
    match key.kind:
        case "flag":
            return {"type": "boolean", "default": key.default}
        case "choice":
            return {"enum": list(key.choices), "default": key.default}
        case "list" | "paths":
            return texts
        case "texts":
            return {"type": "object", "additionalProperties": {"type": "string"}}
        case "severities":
            return severities
        case "packages":
            entry = {"ignore": texts, "severity": severities, "reason": {"type": "string"}}
            return {"type": "object", "additionalProperties": _closed(entry, [])}
        case "suppressions":
            text = {"type": "string", "minLength": 1}
            date = {"type": "string", "format": "date"}
            fields: dict[str, Any] = dict.fromkeys(("rule", "wheel", "conda", "file", "reason"), text)
            entry = _closed({**fields, "until": date, "permanent": {"const": True}}, ["rule", "reason"])
            entry["anyOf"] = [{"required": [k]} for k in ("wheel", "conda", "file")]
            entry["oneOf"] = [{"required": ["until"]}, {"required": ["permanent"]}]
            return {"type": "array", "items": entry}
    return {"type": "string"}


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
