"""``check`` and ``audit``: settings together, the engine, policy, and every output that was asked for."""

from __future__ import annotations

import datetime
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from abicheck import __version__
from abicheck.commands import Flags
from abicheck.commands.cache import directory
from abicheck.commands.console import INTERNAL, Console, takes_only_ascii, wants_color
from abicheck.config import Config, load, settings_of
from abicheck.errors import AbicheckError, UsageError
from abicheck.locate import Choice, choose
from abicheck.model import Finding
from abicheck.policy import Baseline, failed, judge, read_baseline, selected, write_baseline
from abicheck.report import CheckOptions, Judgement, Progress, Report
from abicheck.report.settings import Settings
from abicheck.reporters import RenderOptions, Reporter, for_file, reporter
from abicheck.reporters._words import host_phrase, target_line, with_target
from abicheck.rules import all_rules, check_selectors

SUMMARY_LIMIT = 900 * 1024  # GitHub drops a job summary over 1 MiB as a whole


@dataclass(frozen=True, slots=True)
class Output:
    """One place a report goes to: a file, or standard output when ``file`` is ``-``."""

    reporter: Reporter
    file: str


def gate(kind: Literal["check", "audit"], operands: Sequence[str], flags: Flags, console: Console) -> int:
    """Judge and report; returns the exit status. Raises ``AbicheckError`` after telling the machine formats."""
    config = load(os.getcwd(), file=flags.config, no_config=flags.no_config, given=flags.settings)
    outputs = outputs_of(config)
    try:
        report, flag = _judged(kind, operands, flags, config, console)
    except AbicheckError as error:
        _emit_failure(failed(error, __version__), outputs, config, console)
        raise
    except Exception as error:
        internal = AbicheckError("internal-error", f"{type(error).__name__}: {error}")
        _emit_failure(failed(internal, __version__, INTERNAL), outputs, config, console)
        raise
    if flags.write_baseline:
        _write_file(flags.write_baseline, write_baseline(report))
    for output in outputs:
        _emit(report, output, config, console, flag)
    return report.exit_status


def _judged(
    kind: Literal["check", "audit"], operands: Sequence[str], flags: Flags, config: Config, console: Console
) -> tuple[Report, str]:
    from abicheck import engine

    settings = settings_of(config)
    _check_rules(config, settings)
    baseline = _baseline(config)
    today = _today(flags)
    choice = choose(flags.prefix, flags.name, _configured(config), console.environ)
    with console.progress() as progress:
        options = options_of(config, flags, settings, progress)
        if kind == "audit":
            judgement = engine.audit(choice.real, options=options)
        else:
            judgement = engine.check(tuple(operands), prefix=choice.real, options=options)
    judgement = _addressed(judgement, choice)
    rules = tuple(r.rule for r in all_rules())
    report = judge(judgement, settings, rules, version=__version__, today=today, baseline=baseline)
    console.say(target_line(report))
    if report.target and report.target.name == "base":
        console.say("note: this is base, where conda itself lives; a broken base breaks conda")
    if report.target:
        console.say(f"host: {host_phrase(report)}")
    for note in (*config.notes, *judgement.notes):
        console.say(f"note: {note}")
    console.say("")
    return report, choice.flag


def options_of(config: Config, flags: Flags, settings: Settings, progress: Progress) -> CheckOptions:
    """What the engine may assume and read. Raises ``UsageError`` for an ``--env`` that is no assignment."""
    return CheckOptions(
        host=config.get("host"),
        env={**config.get("env"), **assignments(flags.env)},
        platform=config.get("platform") or None,
        find_links=tuple(config.get("find-links")),
        requirements=tuple(config.get("requirements")),
        resolve=flags.resolve,
        cache_dir=directory(config),
        use_cache=config.get("cache"),
        only_rules=_only(settings),
        progress=progress,
    )


def assignments(texts: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` arguments as a mapping. Raises ``UsageError``."""
    out = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError("not-an-assignment", f"--env {text} assigns nothing", "--env NAME=VALUE")
        out[name] = value
    return out


def _only(settings: Settings) -> tuple[str, ...]:
    if not (settings.select or settings.ignore):
        return ()
    return tuple(r.rule.id for r in all_rules() if selected(r.rule, settings))


def _check_rules(config: Config, settings: Settings) -> None:
    for key in ("select", "extend-select", "ignore"):
        check_selectors(config.get(key), f"{key} ({config.source(key)})")
    check_selectors(settings.severity, "severity")
    for p in settings.packages:
        check_selectors((*p.ignore, *p.severity), f"packages.{p.package} ({p.source})")
    check_selectors((s.rule for s in settings.suppressions), "suppressions")


def _baseline(config: Config) -> Baseline | None:
    path = config.get("baseline")
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as f:
            return read_baseline(f.read(), path)
    except (OSError, UnicodeDecodeError) as e:
        hint = f"abicheck … --write-baseline {path} makes one"
        raise UsageError("no-baseline", f"the baseline {path} cannot be read: {e}", hint) from e


def _today(flags: Flags) -> datetime.date:
    if flags.today is None:
        return datetime.date.today()
    try:
        return datetime.date.fromisoformat(flags.today)
    except ValueError as e:
        raise UsageError("not-a-date", f"--today {flags.today} is no date", "--today 2026-11-24") from e


def _configured(config: Config) -> tuple[str, str, str]:
    """Prefix and name of the configuration file and its name. Variables are looked at by ``locate`` itself."""
    prefix, name = config.get("prefix"), config.get("name")
    source = config.source("prefix") if prefix else config.source("name")
    return prefix, name, source


def _addressed(judgement: Judgement, choice: Choice) -> Judgement:
    """The judgement with the environment called as the user called it, in its conda commands too.

    A snapshot keeps the name of what it pictures, so that its report is the environment's own. Reports hold no paths:
    only a terminal shows the one that was given (RenderOptions.target_flag)."""
    name = judgement.target.name if os.path.isfile(choice.path) else choice.name
    target = replace(judgement.target, name=name, chosen_by=choice.chosen_by)
    findings = tuple(_renamed(f, f"-n {shlex.quote(name)}") for f in judgement.findings)
    return replace(judgement, target=target, findings=findings)


def _renamed(finding: Finding, flag: str) -> Finding:
    """The finding with its conda commands aimed at the name in use. Rules call the environment by its folder's name."""
    remedies = tuple(replace(r, command=with_target(r.command, flag)) if r.command else r for r in finding.remedies)
    return finding if remedies == finding.remedies else replace(finding, remedies=remedies)


# -- outputs -----------------------------------------------------------------------


def outputs_of(config: Config) -> list[Output]:
    """Standard output first, then the files in the order given. Raises ``UsageError`` for an unknown format."""
    outputs = [Output(reporter(config.get("format")), "-")]
    for text in config.get("output"):
        name, equals, file = text.partition("=")
        if not equals:
            outputs.append(Output(for_file(text), text))
        elif file == "-":
            outputs[0] = Output(reporter(name), "-")
        else:
            outputs.append(Output(reporter(name), file))
    return outputs


def _emit(report: Report, output: Output, config: Config, console: Console, flag: str) -> None:
    if output.file != "-":
        options = RenderOptions(
            verbosity=console.verbosity if console.verbosity > 0 else 0, target_flag=flag, header=True
        )
        _write_file(output.file, output.reporter.render(report, options))
        return
    options = RenderOptions(
        color=wants_color(config.get("color"), console.environ, console.out.isatty()),
        width=console.width,
        verbosity=console.verbosity,
        ascii=takes_only_ascii(console.out),
        target_flag=flag,
    )
    if console.verbosity > -2:
        console.write(output.reporter.render(report, options))
    if output.reporter.name == "github":
        _job_summary(report, console, flag)


def _job_summary(report: Report, console: Console, flag: str) -> None:
    """Add the Markdown report to the job's summary, where there is one."""
    file = console.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        text = reporter("markdown").render(report, RenderOptions(limit=SUMMARY_LIMIT, target_flag=flag))
        with open(file, "ab") as f:
            f.write(text.encode("utf-8", "backslashreplace"))


def _emit_failure(report: Report, outputs: Sequence[Output], config: Config, console: Console) -> None:
    """Tell the machine formats that nothing was judged. People get the error itself, on standard error."""
    for output in outputs:
        if output.file != "-" or output.reporter.name not in ("text", "concise"):
            _emit(report, output, config, console, "")


def _write_file(path: str, text: str) -> None:
    try:
        with open(path, "wb") as f:
            f.write(text.encode("utf-8", "backslashreplace"))
    except OSError as e:
        raise UsageError("cannot-write", f"{path} cannot be written: {e.strerror or e}") from e
