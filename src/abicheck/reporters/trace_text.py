"""The text of ``abicheck trace``: a tree that says for every library how it was found, and for one that was not, every
place that was tried. Takes the JSON object of ``trace-1.schema.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w
from abicheck.reporters._lines import Line, paint

# What the words of "how" mean, said of the file or name that owns the search path.
_HOW = {
    "program": "the program",
    "opened": "opened by path",
    "path": "asked for by path",
    "rpath": "RPATH of {}",
    "environment": "search path of the environment",
    "runpath": "RUNPATH of {}",
    "cache": "the loader's cache",
    "default": "default directory",
    "name": "already loaded under that name",
    "soname": "already loaded with that soname",
    "file-id": "the same file, already loaded",
    "loader-path": "@loader_path of {}",
    "executable-path": "@executable_path",
    "install-name": "already loaded with that install name",
    "shared-cache": "the system's shared cache",
    "base-name": "already loaded under that base name",
    "api-set": "an API set of Windows",
    "known-dll": "a DLL that Windows itself names",
    "own-directory": "the folder of {}",
    "application": "the program's folder",
    "user-directory": "a folder added with os.add_dll_directory",
    "system": "the system's folder",
}


def render_trace(trace: Mapping[str, Any], options: RenderOptions) -> str:
    """The whole trace as text."""
    objects: Sequence[Mapping[str, Any]] = trace["objects"]
    lines: list[Line] = [[(_target(trace["target"]), "dim")], []]
    start = [o for o in objects if o["event"] is None]
    if start:
        lines += _tree(start[0]["path"], "[the interpreter]", "bold", start, options)
    for n, event in enumerate(trace["events"]):
        lines.append([])
        lines += _event(event, [o for o in objects if o["event"] == n], options)
    if "bindings" in trace:
        lines += _bindings(trace["bindings"], options)
    return paint(lines, options)


def _target(target: Mapping[str, Any]) -> str:
    host = ", ".join(f"{k} {v}" for k, v in sorted(target["host"].items())) or "nothing assumed"
    return f"{target['platform']} · python {target['python'] or 'none'} · host: {w.clean(host)}"


def _event(event: Mapping[str, Any], objects: list[Mapping[str, Any]], options: RenderOptions) -> list[Line]:
    words = [event.get("label", "") or "opened"]
    if not event.get("certain", True):
        words.append("not certain to happen")
    if event.get("because"):
        words.append(event["because"])
    outcome = event["outcome"]
    style = "bold red" if outcome in ("failed", "aborted") else "bold"
    note = w.clean(", ".join(words)) + ("" if outcome == "loaded" else f"; {outcome}")
    shown = w.clean(event["open"])
    root = next((o for o in objects if shown in (o["path"], o.get("opened_as"), o["requested_as"])), None)
    inner = [o for o in objects if o is not root]
    lines = _tree(root["path"] if root else shown, f"[{note}]", style, [*([root] if root else []), *inner], options)
    if event.get("error"):
        rule = f"  [{event['rule']}]" if event.get("rule") else ""
        lines.append([(f"    {w.clean(event['error'])}{rule}", "red")])
    for attempt in event.get("tried", ()):
        lines.append([(f"      tried {w.clean(attempt['path'])}: {w.clean(attempt['outcome'])}", "dim")])
    return lines


def _tree(root: str, note: str, style: str, objects: Sequence[Mapping[str, Any]], options: RenderOptions) -> list[Line]:
    """An object and, below it, what it and its libraries asked for. Objects whose requester is not among them hang
    from the root."""
    paths = {o["path"] for o in objects}
    below: dict[str, list[Mapping[str, Any]]] = {}
    for o in objects:
        if o["path"] != root:
            parent = o["requested_by"] if o["requested_by"] in paths else root
            below.setdefault(parent, []).append(o)
    rows: list[tuple[str, Mapping[str, Any]]] = []
    _walk(root, "", below, rows, {root})
    names = [stem + w.clean(_name(o)) for stem, o in rows]
    column = min(max((len(n) for n in names), default=0), 48)
    owners = [w.clean(_owner(o)) for _, o in rows]
    width = min(max((len(o) for o in owners), default=0), 32)
    lines: list[Line] = [[(w.clean(root), style), (f"   {note}", "dim")]]
    for name, owner, (_, o) in zip(names, owners, rows, strict=True):
        undone = "" if o["kept"] else "  undone"
        where = f"  {w.clean(o['path'])}" if options.verbosity >= 1 else ""
        lines.append(
            [(name.ljust(column), ""), (f"   {owner.ljust(width)}", ""), (f"   [{_how(o)}]{undone}{where}", "dim")]
        )
        if options.verbosity >= 1:
            lines += [[(f"        {w.clean(a['path'])}: {w.clean(a['outcome'])}", "dim")] for a in o.get("tried", ())]
    return lines


def _walk(at: str, stem: str, below: Mapping[str, list[Mapping[str, Any]]], rows: list[Any], seen: set[str]) -> None:
    children = below.get(at, [])
    for n, child in enumerate(children):
        last = n == len(children) - 1
        rows.append((stem + ("└── " if last else "├── "), child))
        if child["path"] not in seen:
            seen.add(child["path"])
            _walk(child["path"], stem + ("    " if last else "│   "), below, rows, seen)


def _name(o: Mapping[str, Any]) -> str:
    return str(o["requested_as"] or o["path"]).rpartition("/")[2]


def _owner(o: Mapping[str, Any]) -> str:
    origin = o["origin"]
    if origin["kind"] == "host":
        return "host"
    return " ".join(p for p in (origin["kind"], origin["name"], origin["version"]) if p)


def _how(o: Mapping[str, Any]) -> str:
    owner = w.clean(o["how_owner"] or "")
    phrase = _HOW.get(o["how"], str(o["how"])).format(owner or "the requester")
    rule = f", {o['rule']}" if o.get("rule") else ""
    return phrase + rule


def _bindings(bindings: Sequence[Mapping[str, Any]], options: RenderOptions) -> list[Line]:
    cap = len(bindings) if options.verbosity >= 1 else 20
    lines: list[Line] = [[], [(f"{w.plural(len(bindings), 'binding')}", "bold")]]
    for b in bindings[:cap]:
        version = f"@{b['version']}" if b["version"] else ""
        to = b["provider"] if b["provider"] is not None else "nothing (weak)"
        lines.append([(f"  {w.clean(b['object'])}: {w.clean(b['symbol'] or '?')}{version} → {w.clean(to)}", "")])
    if len(bindings) > cap:
        lines.append([(f"  … {len(bindings) - cap} more (-v, or --format json)", "dim")])
    return lines
