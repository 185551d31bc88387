"""The text of ``abicheck inspect``: what a person wants to know of a library first, in a few lines each. Takes the JSON
object of ``inspect-1.schema.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w
from abicheck.reporters._lines import Line, paint


def render_inspect(document: Mapping[str, Any], options: RenderOptions) -> str:
    """All files, grouped by the wheel or package that contains them."""
    lines: list[Line] = []
    container = None
    for file in document["files"]:
        if file.get("container") != container:
            container = file.get("container")
            lines += [[(w.clean(container or "on disk"), "bold")], []]
        lines += _file(file, options)
        lines.append([])
    for s in document.get("skipped", ()):
        lines.append([(f"not read: {w.clean(s['path'])}: {w.clean(s['reason'])}", "yellow")])
    files = len(document["files"])
    lines.append([(f"{w.plural(files, 'binary', 'binaries')}, {len(document.get('skipped', ()))} not read", "")])
    return paint(lines, options)


def _file(file: Mapping[str, Any], options: RenderOptions) -> list[Line]:
    lines: list[Line] = []
    for s in file["slices"]:
        identity = f" · {w.clean(s['identity'])}" if s.get("identity") else ""
        lines.append([(w.clean(file["path"]), "bold"), (f"   {file['format']} · {s['arch']}{identity}", "dim")])
        lines += _facts(s, options)
    return lines


def _facts(s: Mapping[str, Any], options: RenderOptions) -> list[Line]:
    needs = [w.clean(n["name"]) + ("" if n["kind"] == "required" else f" ({n['kind']})") for n in s["needs"]]
    floors = [f"{k} {v}" for k, v in sorted(s.get("floors", {}).items())]
    weak = sum(bool(i.get("weak")) for i in s["imports"])
    rows = [
        ("needs", _joined(needs, options)),
        ("rpath", _joined([w.clean(r) for r in s.get("rpath", ())], options)),
        ("runpath", _joined([w.clean(r) for r in s.get("runpath", ())], options)),
        ("flags", _joined([w.clean(f) for f in s.get("flags", ())], options)),
        ("at least", _joined([w.clean(f) for f in floors], options)),
        ("imports", _count(len(s["imports"]), f", {weak} weak" if weak else "")),
        ("exports", _count(len(s["exports"]), "")),
    ]
    lines: list[Line] = [[(f"  {label:9}", "dim"), (text, "")] for label, text in rows if text]
    if options.verbosity >= 1:
        lines += [[(f"    import {_symbol(i)}", "dim")] for i in s["imports"]]
        lines += [[(f"    export {_symbol(e)}", "dim")] for e in s["exports"]]
    return lines


def _joined(items: Sequence[str], options: RenderOptions) -> str:
    cap = len(items) if options.verbosity >= 1 else 12
    more = f" … {len(items) - cap} more (-v)" if len(items) > cap else ""
    return ", ".join(items[:cap]) + more


def _count(n: int, more: str) -> str:
    return f"{n} names{more}" if n else "none"


def _symbol(s: Mapping[str, Any]) -> str:
    name = w.clean(s["name"]) if s.get("name") else f"#{s.get('ordinal')}"
    version = f"@{w.clean(s['version'])}" if s.get("version") else ""
    source = f" from {w.clean(s['library'])}" if s.get("library") else ""
    forward = f" → {w.clean(s['forward'])}" if s.get("forward") else ""
    return f"{name}{version}{source}{forward}"
