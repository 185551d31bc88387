"""The commands that judge nothing: trace, inspect, snapshot, rules, explain, cache, config show."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from abicheck.commands import Flags
from abicheck.commands.console import Console, takes_only_ascii, wants_color
from abicheck.commands.gate import assignments
from abicheck.config import KEYS, Config, load
from abicheck.errors import UsageError
from abicheck.knowledge.loader_rules import LoaderRule, loader_rules
from abicheck.locate import Choice, choose
from abicheck.model import Severity
from abicheck.reporters import RenderOptions
from abicheck.reporters._lines import Line, paint
from abicheck.rules import LoadedRule, all_rules, check_selectors, find, matches


def _config(flags: Flags) -> Config:
    return load(os.getcwd(), file=flags.config, no_config=flags.no_config, given=flags.settings)


def _choice(flags: Flags, config: Config, console: Console) -> Choice:
    configured = (config.get("prefix"), config.get("name"), config.source("prefix" if config.get("prefix") else "name"))
    return choose(flags.prefix, flags.name, configured, console.environ)


def _options(config: Config, console: Console) -> RenderOptions:
    color = wants_color(config.get("color"), console.environ, console.out.isatty())
    return RenderOptions(color, console.width, console.verbosity, takes_only_ascii(console.out))


def _known(form: str, known: Sequence[str]) -> None:
    if form not in known:
        raise UsageError("unknown-format", f"this command has no format {form!r}", f"one of {', '.join(known)}")


def _show(document: Mapping[str, Any], console: Console) -> None:
    console.write(json.dumps(document, indent=2, ensure_ascii=takes_only_ascii(console.out)) + "\n")


def trace(
    files: Sequence[str], wheels: Sequence[str], imports: Sequence[str], dll_directories: Sequence[str],
    bindings: bool, form: str, flags: Flags, console: Console,
) -> int:  # fmt: skip
    """What the loader would do. Status 0 whatever the loads end in: nothing is judged here."""
    from abicheck import engine
    from abicheck.reporters.trace_text import render_trace

    _known(form, ("text", "json"))
    if not files and not imports:
        raise UsageError("nothing-to-trace", "there is nothing to load", "name a FILE, or --import NAME")
    config = _config(flags)
    choice = _choice(flags, config, console)
    document = engine.trace(
        tuple(files),
        prefix=choice.real,
        wheels=tuple(wheels),
        imports=tuple(imports),
        dll_directories=tuple(dll_directories),
        host=config.get("host"),
        env={**config.get("env"), **assignments(flags.env)},
        bindings=bindings,
        platform=config.get("platform") or None,
    )
    if form == "json":
        _show(document, console)
    else:
        console.write(render_trace(document, _options(config, console)))
    return 0


def inspect(files: Sequence[str], form: str, flags: Flags, console: Console) -> int:
    """Facts of files. Status 4 when one could not be read."""
    from abicheck import engine
    from abicheck.reporters.inspect_text import render_inspect

    _known(form, ("text", "json"))
    document = engine.inspect(tuple(files))
    if form == "json":
        _show(document, console)
    else:
        console.write(render_inspect(document, _options(_config(flags), console)))
    return 4 if document.get("skipped") else 0


def snapshot(output: str, host: bool, flags: Flags, console: Console) -> int:
    """Write the picture of a prefix, or with ``host`` of this machine's part in it."""
    from abicheck import engine

    config = _config(flags)
    path = "" if host else _choice(flags, config, console).real
    left_out = engine.snapshot(path, output, host=host)
    console.say(f"written: {output}")
    if left_out:
        shown = ", ".join(left_out[:5]) + (f" and {len(left_out) - 5} more" if len(left_out) > 5 else "")
        what = f"the sources of {len(left_out)} packages did not fit: {shown}"
        console.say(f"note: {what}. What importing them loads is unknown there")
    return 0


# -- the catalogue -------------------------------------------------------------------


def rules(select: Sequence[str], form: str, flags: Flags, console: Console) -> int:
    """One line per rule."""
    _known(form, ("text", "json", "markdown"))
    check_selectors(select, "--select")
    chosen = [r for r in all_rules() if not select or any(matches(r.rule, s) for s in select)]
    if form == "json":
        _show({"rules": [_described(r) for r in chosen]}, console)
    elif form == "markdown":
        rows = [f"| {r.rule.id} | {r.rule.name} | {r.rule.severity} | {r.rule.summary} |" for r in chosen]
        console.write("\n".join(["| id | name | severity | what it says |", "|---|---|---|---|", *rows]) + "\n")
    else:
        console.write(paint(_table(chosen), _options(_config(flags), console)))
    return 0


def _table(chosen: Sequence[LoadedRule]) -> list[Line]:
    names = max((len(r.rule.name) for r in chosen), default=0)
    words = max((len(r.rule.severity) for r in chosen), default=0)
    return [
        [(r.rule.id, "bold"), (f"  {r.rule.name:{names}}  {r.rule.severity:{words}}  ", ""), (r.rule.summary, "dim")]
        for r in chosen
    ]


def explain(rule: str, form: str, flags: Flags, console: Console) -> int:
    """One rule's page; of a loader rule (``ELF-36``), which findings cite, what it says and where that is written."""
    _known(form, ("text", "json", "markdown"))
    cited = loader_rules().get(rule.upper())
    if cited is not None:
        _explain_loader_rule(cited, form, flags, console)
        return 0
    loaded = find(rule)
    if form == "json":
        sections = {_key(heading): text for heading, text in loaded.page.sections}
        _show({**_described(loaded), "page": sections}, console)
    elif form == "markdown":
        console.write(loaded.page.markdown(loaded.rule))
    else:
        console.write(paint(_page(loaded), _options(_config(flags), console)))
    return 0


def _explain_loader_rule(cited: LoaderRule, form: str, flags: Flags, console: Console) -> None:
    if form == "json":
        _show({"id": cited.id, "says": cited.says, "source": cited.source}, console)
    elif form == "markdown":
        console.write(f"# {cited.id}\n\n{cited.says}\n\nSource: {cited.source}\n")
    else:
        options = _options(_config(flags), console)
        body = textwrap.wrap(cited.says, options.width) if options.width else [cited.says]
        lines: list[Line] = [[(cited.id, "bold")], *([(line, "")] for line in body)]
        console.write(paint([*lines, [(f"source: {cited.source}", "dim")]], options))


def _described(loaded: LoadedRule) -> dict[str, Any]:
    r = loaded.rule
    return {
        "id": r.id,
        "name": r.name,
        "severity": r.severity,
        "classes": list(r.classes),
        "platforms": list(r.platforms),
        "summary": r.summary,
        "since": r.since,
    }


def _key(heading: str) -> str:
    """``What to do`` as ``what_to_do``; ``Why: the loader rule`` as ``why``."""
    return heading.partition(":")[0].lower().replace(" ", "_")


def _page(loaded: LoadedRule) -> list[Line]:
    r = loaded.rule
    facts = f"{' '.join(r.classes)} · {r.severity} · {', '.join(r.platforms)} · since {r.since}"
    lines: list[Line] = [[(f"{r.id} {r.name}", "bold"), (f"       {facts}", "dim")], [(r.summary, "")]]
    for heading, text in loaded.page.sections:
        lines += [[], [(heading, "bold")]]
        body = (line for line in text.splitlines() if not line.lstrip().startswith("```"))
        lines += [[("  " + line if line else "", "")] for line in body]
    return lines


# -- upkeep ----------------------------------------------------------------------------


def config_show(form: str, flags: Flags, console: Console) -> int:
    """The effective values, and where each comes from."""
    _known(form, ("text", "json"))
    config = _config(flags)
    rows = {k: (_plain(config.get(k)), config.source(k)) for k in KEYS if k not in ("packages", "suppressions")}
    packages = {p.package: {"ignore": list(p.ignore), "severity": _plain(p.severity)} for p in config.packages}
    accepted = [
        f"{s.label} {'until ' + s.until.isoformat() if s.until else 'permanently'}" for s in config.suppressions
    ]
    if form == "json":
        values = {k: {"value": value, "source": source} for k, (value, source) in rows.items()}
        _show({"values": values, "packages": packages, "suppressions": accepted}, console)
        return 0
    width = max(len(k) for k in rows)
    lines: list[Line] = [
        [(f"{k:{width}}  ", "bold"), (f"{json.dumps(value, ensure_ascii=False):24}  ", ""), (f"({source})", "dim")]
        for k, (value, source) in rows.items()
    ]
    lines += [[("package ", "bold"), (f"{name}: {json.dumps(entry)}", "")] for name, entry in packages.items()]
    lines += [[("suppression ", "bold"), (text, "")] for text in accepted]
    console.write(paint(lines, _options(config, console)))
    for note in config.notes:
        console.say(f"note: {note}")
    return 0


def _plain(value: Any) -> Any:
    if isinstance(value, Severity):
        return value.word
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value
