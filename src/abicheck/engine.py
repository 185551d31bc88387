"""check(), audit(), trace(): the whole pipeline, told in order. Reads, simulates, judges; prints nothing."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from abicheck.errors import InputError
from abicheck.import_effects import derive
from abicheck.loader.process import Event, EventResult, Mapped, Process
from abicheck.loader.units import event_of
from abicheck.model import Finding
from abicheck.overlay import View
from abicheck.prefix import Prefix, open_prefix
from abicheck.report import CheckOptions, HostInfo, InputInfo, Judgement, TargetInfo
from abicheck.rules import all_rules
from abicheck.rules.scene import Scene
from abicheck.stage import Stage, choose_host, require_interpreter
from abicheck.staging import Placed, view_after, view_before, wheel_origin
from abicheck.wheel import Wheel, plan_install, read_wheel

SCHEMA_VERSION = "1.0"


def make_stage(
    prefix: Prefix, wheels: Iterable[Wheel], removed: Iterable[str] = (), *, host: str = "auto",
    env: Mapping[str, str] | None = None, platform: str | None = None,
) -> Stage:  # fmt: skip
    """Lay wheels over a prefix. Raises ``InputError`` (no Python, no platform) and ``UsageError`` (host)."""
    interpreter, layout = require_interpreter(prefix)
    subdir = platform or prefix.subdir
    where = choose_host(host, subdir)
    before = view_before(prefix, where)
    placed = tuple(Placed(w, wheel_origin(w), plan_install(w, layout)) for w in wheels)
    gone = frozenset(removed)
    after = view_after(prefix, where, placed, gone) if placed or gone else before
    return Stage(prefix, interpreter, layout, subdir, where, dict(env or {}), placed, gone, before, after)


# -- trace ---------------------------------------------------------------------


def trace(
    files: Sequence[str], *, prefix: str, wheels: Sequence[str] = (), imports: Sequence[str] = (),
    dll_directories: Sequence[str] = (), host: str = "auto", env: Mapping[str, str] | None = None,
    bindings: bool = False, platform: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the loader does with files and imports, load by load: the JSON object of contract.md section 5.

    Args:
        files: paths in the prefix or on disk, ``WHEEL.whl!member``, bare names; ``:global`` behind means RTLD_GLOBAL.
        imports: module names whose import is derived from source.
    """
    opened = open_prefix(prefix)
    laid = {os.path.abspath(w): read_wheel(w) for w in (*wheels, *(f.partition("!")[0] for f in files if "!" in f))}
    stage = make_stage(opened, laid.values(), host=host, env=env, platform=platform)
    process = stage.starter(stage.after)()
    for directory in dll_directories:
        process.load(Event(_absolute(stage.after, directory), "dll-directory", label=f"--dll-directory {directory}"))
    loaded: set[str] = set()
    for name in files:
        for event in _file_events(stage, laid, name):
            process.load(event)
    for module in imports:
        for effect in derive(stage.importer.context, module, loaded):
            event = event_of(effect)
            if event is not None:
                process.load(event)
    return _trace_document(stage, process, bindings)


def _file_events(stage: Stage, laid: Mapping[str, Wheel], text: str) -> list[Event]:
    name, is_global = (text.removesuffix(":global"), True) if text.endswith(":global") else (text, False)
    if "!" in name:
        wheel, _, member = name.partition("!")
        placed = next(p for p in stage.placed if p.wheel is laid[os.path.abspath(wheel)])
        path = next((t.path for t in placed.targets if t.member == member), None)
        if path is None:
            raise InputError("no-such-member", f"{wheel} has no member {member}", f"abicheck inspect {wheel} lists them")
        name = posixpath.join(stage.after.root, path)
    elif "/" in name or _absolute(stage.after, name) != name:
        name = _absolute(stage.after, name)
    kind = "import" if "/" in name else "dlopen"
    return [Event(name, kind, flags_global=is_global, label=text)]  # type: ignore[arg-type]


def _absolute(view: View, name: str) -> str:
    """A FILE operand as a path of the view: in the prefix first, then on disk; a bare name stays one."""
    if name.startswith("/"):
        return name
    inside = posixpath.join(view.root, name)
    if view.lookup(inside).status not in ("absent", "dir"):
        return inside
    if "/" in name or os.path.isfile(name):
        return os.path.abspath(name).replace(os.sep, "/")
    return name


def _trace_document(stage: Stage, process: Process, bindings: bool) -> dict[str, Any]:
    view, record = stage.after, process.trace()
    names = [_shown(view, o) for o in record.objects]
    by_path = {o.path: names[o.index] for o in record.objects}
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "target": {"platform": stage.subdir, "python": stage.interpreter.version, "host": stage.host.facts()},
        "events": [_event_row(view, r) for r in record.events[1:]],
        "objects": [_object_row(view, o, names, by_path) for o in record.objects],
    }
    start = record.events[0]
    if start.failure is not None:
        document["events"].insert(0, _event_row(view, start))
    if bindings:
        document["bindings"] = [
            {"object": names[i], "symbol": b.symbol, "version": b.version,
             "provider": names[b.provider] if b.provider is not None else None}
            for i in sorted(record.bindings) for b in record.bindings[i]
        ]  # fmt: skip
    return document


def _shown(view: View, o: Mapped) -> str:
    """An object's real path, prefix-relative inside the prefix."""
    return view.relative(o.real) if o.real.startswith("/") else o.real


def _event_row(view: View, r: EventResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "open": view.relative(r.event.open) if r.event.open.startswith("/") else r.event.open,
        "kind": r.event.kind,
        "global": r.event.flags_global,
        "label": r.event.label,
        "certain": r.event.certain,
        "outcome": r.outcome,
    }
    if r.event.label.startswith("import "):
        row["import"] = r.event.label.removeprefix("import ")
    if r.event.because:
        row["because"] = r.event.because
    if r.failure is not None:
        row["error"] = r.failure.message
        row["class"] = r.failure.kind
        row["rule"] = r.failure.rule
    return row


def _object_row(view: View, o: Mapped, names: Sequence[str], by_path: Mapping[str, str]) -> dict[str, Any]:
    origin = view.origin(o.real)
    return {
        "path": names[o.index],
        "opened_as": view.relative(o.path) if o.path.startswith("/") else o.path,
        "names": list(o.names),
        "origin": {"kind": origin.kind, "name": origin.name, "version": origin.version},
        # Index into "events"; what the interpreter itself brings belongs to none of them.
        "event": o.event - 1 if o.event > 0 else None,
        "requested_as": view.relative(o.requested_as) if o.requested_as.startswith("/") else o.requested_as,
        "requested_by": by_path.get(o.requested_by, view.relative(o.requested_by)) if o.requested_by else None,
        "how": o.how,
        "how_owner": by_path.get(o.how_owner, view.relative(o.how_owner)) if o.how_owner else None,
        "rule": o.rule,
        "kept": o.kept,
        "tried": [{"path": view.relative(a.path), "outcome": a.outcome} for a in o.attempts],
    }


# -- check ---------------------------------------------------------------------


def check(operands: Sequence[str], *, prefix: str, options: CheckOptions | None = None, chosen_by: str = "prefix") -> Judgement:
    """Judge wheels, before they are installed, in an environment.

    Args:
        operands: wheels and folders of wheels (contract.md section 2).
        prefix: an environment, a snapshot, or a folder of unpacked conda packages.
    """
    options = options or CheckOptions()
    opened = open_prefix(prefix)
    wheels = [read_wheel(p) for p in _wheel_paths(operands)]
    stage = make_stage(opened, wheels, host=options.host, env=options.env, platform=options.platform)
    scene = Scene(stage, [p.origin for p in stage.placed])
    findings = run_rules(scene, options)
    inputs = tuple(
        InputInfo("wheel", w.filename, w.display_name, w.version, w.sha256, len(w.natives), not w.natives) for w in wheels
    )
    return Judgement(target_info(stage, chosen_by), inputs, findings, scene.skipped)


def _wheel_paths(operands: Sequence[str]) -> list[str]:
    out: list[str] = []
    for operand in operands:
        if os.path.isdir(operand):
            out += sorted(os.path.join(operand, n) for n in os.listdir(operand) if n.endswith(".whl"))
        else:
            out.append(operand)
    return out


def run_rules(scene: Scene, options: CheckOptions) -> tuple[Finding, ...]:
    """All findings of all rules, in rule order."""
    rules = [r for r in all_rules() if not options.only_rules or r.rule.id in options.only_rules]
    out: list[Finding] = []
    for n, rule in enumerate(rules):
        options.progress.step("judging", n, len(rules))
        out.extend(rule.check(scene))
    options.progress.step("judging", len(rules), len(rules))
    return tuple(out)


def target_info(stage: Stage, chosen_by: str) -> TargetInfo:
    """The environment as reports name it."""
    host = HostInfo(stage.host.facts(), f"host: {stage.host.label}")
    return TargetInfo(
        stage.prefix.display, stage.subdir, stage.interpreter.version, len(stage.prefix.records), chosen_by, host
    )
