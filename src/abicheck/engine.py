"""check(), audit(), trace(): the whole pipeline, told in order. Reads, simulates, judges; prints nothing."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from packaging.tags import Tag

from abicheck.admission import Refusal, accepted_tags, built_for_musl, refusal
from abicheck.cache import Store, default_directory
from abicheck.errors import InputError
from abicheck.examination import snapshot as write_snapshot_of
from abicheck.host import Host
from abicheck.host_file import describe_this_machine
from abicheck.import_effects import Effect, new_session
from abicheck.inputs import Inputs, Request, read_operands
from abicheck.inputs.resolving import resolve
from abicheck.inspection import inspect_files
from abicheck.loader.process import Event, EventResult, Mapped, Process
from abicheck.loader.units import event_of
from abicheck.model import Finding, Skipped
from abicheck.overlay import View, anchor
from abicheck.prefix import Distribution, Interpreter, Prefix, open_prefix
from abicheck.report import CheckOptions, HostInfo, InputInfo, Judgement, RequestedBy, TargetInfo
from abicheck.rules import all_rules
from abicheck.rules.damaged_evidence import tell_damage
from abicheck.rules.scene import Scene
from abicheck.stage import Stage, choose_host, require_interpreter
from abicheck.staging import Placed, view_after, view_before, wheel_origin
from abicheck.transaction import Transaction, plan_transaction
from abicheck.wheel import Wheel, read_wheel

SCHEMA_VERSION = "1.0"


def make_stage(
    prefix: Prefix, placed: Iterable[Placed] = (), removed: Iterable[str] = (), *, host: str = "auto",
    env: Mapping[str, str] | None = None, platform: str | None = None, awaited: frozenset[str] = frozenset(),
    named: Iterable[str] = (),
) -> Stage:  # fmt: skip
    """Lay wheels over a prefix. ``awaited``: import names that come with wheels nobody gave. ``named``: folders of this
    machine that are looked at whatever the host. Raises ``InputError`` (no Python, no platform) and ``UsageError``
    (host)."""
    interpreter, layout = require_interpreter(prefix)
    subdir = platform or prefix.subdir
    where = replace(choose_host(host, subdir), named=tuple(named))
    before = view_before(prefix, where)
    laid, gone = tuple(placed), frozenset(removed)
    after = view_after(prefix, where, laid, gone, before) if laid or gone else before
    return Stage(prefix, interpreter, layout, subdir, where, dict(env or {}), laid, gone, before, after, awaited)


# -- trace ---------------------------------------------------------------------


def trace(
    files: Sequence[str], *, prefix: str, wheels: Sequence[str] = (), imports: Sequence[str] = (),
    dll_directories: Sequence[str] = (), host: str = "auto", env: Mapping[str, str] | None = None,
    bindings: bool = False, platform: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the loader does with files and imports, load by load: the JSON object of ``trace-1.schema.json``.

    Args:
        files: paths in the prefix or on disk, ``WHEEL.whl!member``, bare names; ``:global`` behind means RTLD_GLOBAL.
        imports: module names whose import is derived from source; what ``.pth`` files are certain to load comes first.
    """
    opened = open_prefix(prefix)
    _, layout = require_interpreter(opened)
    laid = {os.path.abspath(w): read_wheel(w) for w in (*wheels, *(f.partition("!")[0] for f in files if "!" in f))}
    requests = Inputs(tuple(Request(w) for w in laid.values()))
    transaction = plan_transaction(opened, requests, layout)
    placed = [Placed(p.wheel, wheel_origin(p.wheel), p.targets) for p in transaction.plans]
    stage = make_stage(opened, placed, transaction.removed, host=host, env=env, platform=platform,
                       awaited=_awaited(transaction), named=_named_folders(files, dll_directories))  # fmt: skip
    process = stage.starter(stage.after)()
    causes: dict[int, dict[str, Any]] = {}

    def derived(name: str | None, effect: Effect) -> None:
        told = event_of(effect)
        # Before anything is asked for only what is certain has happened, as the gate has it.
        if told is not None and (name is not None or told.certain):
            process.load(told)
            causes[len(process.trace().events) - 1] = _cause(name, effect)

    session = new_session(stage.importer.context)
    if imports:  # FILEs alone are loaded into an interpreter that has done nothing else
        for effect in list(session.effects):
            derived(None, effect)
    for directory in dll_directories:
        process.load(Event(_absolute(stage.after, directory), "dll-directory", label=f"--dll-directory {directory}"))
    for name in files:
        for event in _file_events(stage, laid, name):
            process.load(event)
    for module in imports:
        if session.locate(module) is None:
            raise InputError(
                "no-such-module", f"{opened.display} has no module {module}", "name what `import` would name"
            )
        for effect in session.imports(module):
            derived(module, effect)
    return _trace_document(stage, process, bindings, causes)


def _cause(name: str | None, effect: Effect) -> dict[str, Any]:
    """Which import asked for a load: the name that was given (None at the interpreter's start), the module that is
    being imported, the line that does so, and the imports that lead there, outermost first."""
    chain = [{"module": link.module, "file": link.file, "line": link.line} for link in effect.chain]
    return {"import": name, "module": effect.module, "because": effect.because, "chain": chain}


def _awaited(transaction: Transaction) -> frozenset[str]:
    """What the projects are imported as that pip will fetch besides the wheels that are judged."""
    return frozenset(u.name.replace("-", "_") for u in transaction.unsatisfied if u.kind == "fetch")


def _named_folders(files: Sequence[str], folders: Sequence[str]) -> Iterator[str]:
    """Where the files on disk lie that a trace is asked about, and the folders it is given: they are part of the
    question, not of the host."""
    for path in (os.path.abspath(f.removesuffix(":global")) for f in files if "!" not in f):
        if os.path.isfile(path):
            yield os.path.dirname(path).replace(os.sep, "/")
            yield os.path.dirname(os.path.realpath(path)).replace(os.sep, "/")
    yield from (os.path.abspath(f).replace(os.sep, "/") for f in folders if os.path.isdir(f))


def _file_events(stage: Stage, laid: Mapping[str, Wheel], text: str) -> list[Event]:
    name, is_global = (text.removesuffix(":global"), True) if text.endswith(":global") else (text, False)
    if "!" in name:
        wheel, _, member = name.partition("!")
        placed = next(p for p in stage.placed if p.wheel is laid[os.path.abspath(wheel)])
        path = next((t.path for t in placed.targets if t.member == member), None)
        if path is None:
            hint = f"abicheck inspect {wheel} lists them"
            raise InputError("no-such-member", f"{wheel} has no member {member}", hint)
        name = posixpath.join(stage.after.root, path)
    elif "/" in name or _absolute(stage.after, name) != name:
        name = _absolute(stage.after, name)
    return [Event(name, "import" if "/" in name else "dlopen", flags_global=is_global, label=text)]


def _absolute(view: View, name: str) -> str:
    """A FILE operand as a path of the view: in the prefix first, then on disk; a bare name stays one."""
    if anchor(name) is not None:
        return name
    inside = posixpath.join(view.root, name)
    if view.lookup(inside).status not in ("absent", "dir"):
        return inside
    if "/" in name or os.path.isfile(name):
        return os.path.abspath(name).replace(os.sep, "/")
    return name


def _trace_document(
    stage: Stage, process: Process, bindings: bool, causes: Mapping[int, dict[str, Any]]
) -> dict[str, Any]:
    view, record = stage.after, process.trace()
    names = [_shown(view, o) for o in record.objects]
    by_path = {o.path: names[o.index] for o in record.objects}
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "target": {"platform": stage.subdir, "python": stage.interpreter.version, "host": stage.host.facts()},
        "events": [_event_row(view, r, causes.get(n)) for n, r in enumerate(record.events[1:], 1)],
        "objects": [_object_row(view, o, names, by_path) for o in record.objects],
    }
    start = record.events[0]
    if start.failure is not None:
        document["events"].insert(0, _event_row(view, start, None))
    if bindings:
        document["bindings"] = [
            {"object": names[i], "symbol": b.symbol, "version": b.version,
             "provider": names[b.provider] if b.provider is not None else None}
            for i in sorted(record.bindings) for b in record.bindings[i]
        ]  # fmt: skip
    return document


def _shown(view: View, o: Mapped) -> str:
    """An object's real path, prefix-relative inside the prefix."""
    return _told(view, o.real)


def _told(view: View, path: str) -> str:
    """A path of the view as documents give it; a bare name stays one."""
    return view.relative(path) if anchor(path) is not None else path


def _event_row(view: View, r: EventResult, cause: Mapping[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "open": _told(view, r.event.open),
        "kind": r.event.kind,
        "global": r.event.flags_global,
        "label": r.event.label,
        "certain": r.event.certain,
        "outcome": r.outcome,
    }
    row |= cause or {"import": None}
    if r.failure is not None:
        row["error"] = r.failure.message
        row["class"] = r.failure.kind
        row["rule"] = r.failure.rule
        row["tried"] = [{"path": view.relative(a.path), "outcome": a.outcome} for a in r.failure.attempts]
    return row


def _object_row(view: View, o: Mapped, names: Sequence[str], by_path: Mapping[str, str]) -> dict[str, Any]:
    origin = view.origin(o.real)
    return {
        "path": names[o.index],
        "opened_as": _told(view, o.path),
        "names": list(o.names),
        "origin": {"kind": origin.kind, "name": origin.name, "version": origin.version},
        # Index into "events"; what the interpreter itself brings belongs to none of them.
        "event": o.event - 1 if o.event > 0 else None,
        "requested_as": _told(view, o.requested_as),
        "requested_by": by_path.get(o.requested_by, view.relative(o.requested_by)) if o.requested_by else None,
        "how": o.how,
        "how_owner": by_path.get(o.how_owner, view.relative(o.how_owner)) if o.how_owner else None,
        "rule": o.rule,
        "kept": o.kept,
        "tried": [{"path": view.relative(a.path), "outcome": a.outcome} for a in o.attempts],
    }


# -- check and audit -----------------------------------------------------------


def check(operands: Sequence[str], *, prefix: str, options: CheckOptions | None = None) -> Judgement:
    """Judge wheels, before they are installed, in an environment.

    Args:
        operands: wheels, folders, globs, pip reports, lock files, ``name==version`` (docs/commands.md).
        prefix: an environment, a snapshot, or a folder of unpacked conda packages.

    Raises ``AbicheckError`` when nothing can be judged.
    """
    options = options or CheckOptions()
    options.progress.step("reading the environment", 0, 0)
    opened = _open(prefix)
    interpreter, layout = require_interpreter(opened)
    with tempfile.TemporaryDirectory(prefix="abicheck-") as folder, _store(options) as store:
        subdir = options.platform or opened.subdir
        where = choose_host(options.host, subdir)
        musl = built_for_musl(view_before(opened, where), interpreter, where)
        tags = accepted_tags(interpreter, subdir, where, musl=musl)
        asked = _inputs(operands, opened, options, folder, tags)
        refused = _refused(asked, opened, interpreter, subdir, where, musl=musl)
        out = {r.wheel for r in refused}
        admitted = replace(asked, requests=tuple(r for r in asked.requests if r.wheel not in out))
        transaction = plan_transaction(opened, admitted, layout)
        placed = [Placed(p.wheel, wheel_origin(p.wheel), p.targets) for p in transaction.plans]
        stage = make_stage(opened, placed, transaction.removed, host=options.host, env=options.env,
                           platform=options.platform, awaited=_awaited(transaction))  # fmt: skip
        stage.before.store = stage.after.store = store
        scene = Scene(stage, [p.origin for p in placed], transaction, refused)
        scene.tell = options.progress.step
        findings = tell_damage(opened, run_rules(scene, options))
        inputs = tuple(_input(r) for r in asked.requests)
        skipped = tuple(sorted({*scene.skipped, *opened.problems, *_missing(asked)}))
        return Judgement(target_info(stage), inputs, findings, skipped, tuple(_notes(asked, transaction)))


def _refused(
    asked: Inputs, prefix: Prefix, interpreter: Interpreter, subdir: str, host: Host, *, musl: bool
) -> list[Refusal]:
    """Wheels that pip does not let in: they are reported (ABI001) and have no part in the rest."""
    pip = prefix.distribution("pip")
    version = pip.version if pip is not None else ""
    found = (refusal(r.wheel, interpreter, subdir, host, musl=musl, pip=version) for r in asked.requests)
    return [r for r in found if r is not None]


def audit(prefix: str, options: CheckOptions | None = None) -> Judgement:
    """The same judgement for what pip has already installed there, and for the state of the prefix's files."""
    options = options or CheckOptions()
    opened = _open(prefix)
    stage = make_stage(opened, host=options.host, env=options.env, platform=options.platform)
    dists = [d for d in opened.distributions if not d.by_conda]
    with _store(options) as store:
        stage.before.store = stage.after.store = store
        scene = Scene(stage, [d.origin for d in dists])
        scene.tell = options.progress.step
        findings = run_rules(scene, options)
        inputs = tuple(_installed(d, scene) for d in dists)
        return Judgement(target_info(stage), inputs, findings, tuple(sorted({*scene.skipped, *opened.problems})))


def _store(options: CheckOptions) -> Store:
    """Where answers about files are kept: between runs, or for this one (several rules ask the same)."""
    return Store((options.cache_dir or default_directory()) if options.use_cache else None)


def _open(prefix: str) -> Prefix:
    opened = open_prefix(prefix)
    # Reports hold no absolute paths: an environment is called by its folder's name.
    opened.display = posixpath.basename(opened.display.rstrip("/")) or opened.display
    return opened


def _inputs(
    operands: Sequence[str], prefix: Prefix, options: CheckOptions, folder: str, tags: tuple[Tag, ...]
) -> Inputs:
    """All operands as one transaction. With ``--resolve`` the prefix's own pip is asked for what is not a file."""
    names = [o for o in operands if options.resolve and not os.path.exists(o) and not o.endswith(".whl")]
    out = Inputs()
    if names:
        out += resolve(names, prefix, folder, find_links=options.find_links)
    rest = [o for o in operands if o not in names]
    if rest or options.requirements or not names:
        out += read_operands(rest, prefix, requirements=options.requirements, find_links=options.find_links, tags=tags)
    return out.distinct()


def _input(request: Request) -> InputInfo:
    wheel, asked = request.wheel, request.asked_by
    by = RequestedBy(asked.file, asked.line) if asked is not None else None
    count = len(wheel.natives)
    return InputInfo("wheel", wheel.filename, wheel.display_name, wheel.version, wheel.sha256, count, not count, by)


def _installed(dist: Distribution, scene: Scene) -> InputInfo:
    natives = scene.natives[dist.origin]
    return InputInfo(
        "installed", posixpath.basename(dist.path), dist.origin.name, dist.version, "", len(natives), not natives
    )


def _missing(asked: Inputs) -> Iterator[Skipped]:
    for m in asked.missing:
        where = f" ({m.asked_by.file})" if m.asked_by is not None else ""
        yield Skipped(m.filename or f"{m.name}=={m.version}", m.reason + where, True, str(m.name))


def _notes(asked: Inputs, transaction: Transaction) -> Iterator[str]:
    for p in asked.passed_over:
        yield f"{p.filename} is passed over: {p.reason}"
    for u in transaction.unchanged:
        yield f"{u.request.wheel.display_name} {u.request.wheel.version} is installed already; pip leaves it alone"


def run_rules(scene: Scene, options: CheckOptions) -> tuple[Finding, ...]:
    """All findings of all rules, in rule order."""
    rules = [r for r in all_rules() if not options.only_rules or r.rule.id in options.only_rules]
    out: list[Finding] = []
    for n, rule in enumerate(rules):
        options.progress.step("judging", n, len(rules))
        out.extend(rule.check(scene))
    options.progress.step("judging", len(rules), len(rules))
    return tuple(out)


def target_info(stage: Stage) -> TargetInfo:
    """The environment as reports name it."""
    host = HostInfo(stage.host.facts(), f"host: {stage.host.label}")
    prefix = stage.prefix
    return TargetInfo(prefix.display, stage.subdir, stage.interpreter.version, len(prefix.records), "prefix", host)


# -- inspect and snapshot ------------------------------------------------------


def inspect(files: Sequence[str]) -> dict[str, Any]:
    """Facts of wheels, libraries, conda packages and snapshots: the JSON object of ``inspect-1.schema.json``."""
    return inspect_files(files)


def snapshot(prefix: str, output: str, *, host: bool = False) -> tuple[str, ...]:
    """Write a portable picture of an environment to ``output``; with ``host`` that of this machine's part instead.

    Returns the import packages whose sources did not fit into the picture.

    Raises ``InputError`` when there is nothing to picture or the file cannot be written.
    """
    if not host:
        return write_snapshot_of(_open(prefix), output).left_out
    try:
        with open(output, "wb") as file:
            file.write(describe_this_machine())
    except OSError as e:
        raise InputError(
            "cannot-write", f"{output} cannot be written: {e.strerror or e}", "choose another -o FILE"
        ) from e
    return ()
