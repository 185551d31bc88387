"""The command line: words in, exit status out. The only module that knows typer; what a command does is elsewhere.

Options that configuration knows too stay None when not given, so that it decides (``config.load``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from abicheck.commands import Flags
from abicheck.commands.console import Console, guarded

app = typer.Typer(
    help="Tells, before the install, what a PyPI wheel will break in a conda environment.",
    epilog="abicheck WHEEL... is short for abicheck check WHEEL...",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)
cache_app = typer.Typer(help="The store of facts read from files.", no_args_is_help=True, rich_markup_mode=None)
config_app = typer.Typer(help="The effective configuration.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(cache_app, name="cache")
app.add_typer(config_app, name="config")


def run(argv: Sequence[str], program: str) -> None:
    """Run the program on its arguments and end the process."""
    app(args=list(argv), prog_name=program)


# -- completion ------------------------------------------------------------------------


def _environments(incomplete: str) -> list[str]:
    from abicheck.locate import names

    return [n for n in names(os.environ) if n.startswith(incomplete)]


def _rules(incomplete: str) -> list[str]:
    from abicheck.rules import all_rules

    words = [word for r in all_rules() for word in (r.rule.id, r.rule.name)]
    return [word for word in words if word.lower().startswith(incomplete.lower())]


def _formats(incomplete: str) -> list[str]:
    from abicheck.reporters import names

    return [n for n in names() if n.startswith(incomplete)]


# -- options that several commands share -------------------------------------------------

Files = Annotated[list[str] | None, typer.Argument(metavar="WHEEL...", help="Wheels, folders, globs, manifests.")]
Prefix = Annotated[str | None, typer.Option("-p", "--prefix", help="The environment: a folder, a snapshot.")]
Name = Annotated[
    str | None, typer.Option("-n", "--name", help="The environment by name.", autocompletion=_environments)
]
Requirement = Annotated[list[str] | None, typer.Option("-r", "--requirement", help="A requirements file.")]
FindLinks = Annotated[list[str] | None, typer.Option("--find-links", help="A folder with the wheels named.")]
Host = Annotated[str | None, typer.Option("--host", help="auto, none, glibc=2.28,..., or a file.")]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="A variable the loader sees.")]
Platform = Annotated[str | None, typer.Option("--platform", help="conda subdir to assume, such as win-64.")]
Format = Annotated[
    str | None, typer.Option("-f", "--format", "--output-format", help="Of standard output.", autocompletion=_formats)
]
Output = Annotated[
    list[str] | None, typer.Option("-o", "--output", metavar="[FORMAT=]FILE", help="Write a file too; repeatable.")
]
Select = Annotated[
    list[str] | None, typer.Option("--select", help="Only these rules: ids, names, classes.", autocompletion=_rules)
]
ExtendSelect = Annotated[
    list[str] | None, typer.Option("--extend-select", help="These rules too.", autocompletion=_rules)
]
Ignore = Annotated[list[str] | None, typer.Option("--ignore", help="Not these rules.", autocompletion=_rules)]
FailOn = Annotated[str | None, typer.Option("--fail-on", metavar="LEVEL", help="error, warning, note or never.")]
MinSeverity = Annotated[str | None, typer.Option("--min-severity", metavar="LEVEL", help="Least that is shown.")]
MinConfidence = Annotated[str | None, typer.Option("--min-confidence", metavar="LEVEL", help="Least that is shown.")]
Strict = Annotated[bool, typer.Option("--strict", help="Notes, low confidence and unread files fail.")]
ExitZero = Annotated[bool, typer.Option("--exit-zero", help="Findings do not fail.")]
AllowIncomplete = Annotated[bool, typer.Option("--allow-incomplete", help="Unread files do not end in status 4.")]
NoIgnores = Annotated[bool, typer.Option("--no-ignores", help="Show what is suppressed.")]
BaselineFile = Annotated[str | None, typer.Option("--baseline", metavar="FILE", help="Report only what is new.")]
WriteBaseline = Annotated[str | None, typer.Option("--write-baseline", metavar="FILE", help="Record all as known.")]
Anchor = Annotated[str | None, typer.Option("--anchor", metavar="FILE[:LINE]", help="Where annotations point.")]
ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="This configuration file.")]
NoConfig = Annotated[bool, typer.Option("--no-config", help="No configuration file.")]
CacheDir = Annotated[str | None, typer.Option("--cache-dir", metavar="DIR", help="Where facts are kept.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Read every file anew.")]
Resolve = Annotated[bool, typer.Option("--resolve", help="Ask the environment's own pip about names (runs it).")]
Color = Annotated[str | None, typer.Option("--color", metavar="WHEN", help="auto, always or never.")]
Quiet = Annotated[int, typer.Option("-q", "--quiet", count=True, help="Findings only; twice: nothing.")]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Search attempts, what is hidden; twice: log.")
]
Today = Annotated[str | None, typer.Option("--today", metavar="DATE", hidden=True)]
SimpleFormat = Annotated[str, typer.Option("-f", "--format", help="text or json.")]
PageFormat = Annotated[str, typer.Option("-f", "--format", help="text, json or markdown.")]


def _gate_settings(given: dict[str, Any]) -> dict[str, Any]:
    """What was given of the options that configuration knows, under its keys. A flag not given is None, not False."""
    keys = (
        "platform", "host", "select", "extend-select", "ignore", "fail-on", "min-severity", "min-confidence",
        "baseline", "anchor", "format", "output", "color", "cache-dir", "find-links",
    )  # fmt: skip
    values = {k: given.get(k.replace("-", "_")) for k in keys}
    values |= {k: given[k.replace("-", "_")] or None for k in ("strict", "exit-zero", "allow-incomplete", "no-ignores")}
    values["requirements"] = given.get("requirement")
    values["cache"] = False if given["no_cache"] else None
    lists = {k: _several(v) if k in ("select", "extend-select", "ignore") else tuple(v) for k, v in values.items()
             if isinstance(v, list)}  # fmt: skip
    return {k: lists.get(k, v) for k, v in values.items() if v not in (None, [])}


def _several(words: list[str]) -> tuple[str, ...]:
    """``--select A --select B,C`` as three words."""
    return tuple(part.strip() for word in words for part in word.split(",") if part.strip())


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The same; raises ``UsageError`` for a word an option does not know."""
    from abicheck.config import KEYS
    from abicheck.errors import UsageError

    for key, value in settings.items():
        choices = KEYS[key].choices
        if choices and value not in choices:
            raise UsageError("unknown-value", f"--{key} {value!r}", f"one of {', '.join(choices)}")
    return settings


def _end(work: Callable[[Console], int], verbose: int, quiet: int, form: str | None = None) -> None:
    console = Console.real(verbose - quiet)
    raise typer.Exit(guarded(console, lambda: work(console), form or ""))


def _gate(kind: Any, operands: Sequence[str], given: dict[str, Any]) -> None:
    def work(console: Console) -> int:
        from abicheck.commands.gate import gate

        flags = Flags(
            prefix=given["prefix"],
            name=given["name"],
            settings=_checked(_gate_settings(given)),
            env=tuple(given["env"] or ()),
            resolve=given.get("resolve", False),
            config=given["config"],
            no_config=given["no_config"],
            write_baseline=given["write_baseline"],
            today=given["today"],
            verbosity=console.verbosity,
        )
        return gate(kind, operands, flags, console)

    _end(work, given["verbose"], given["quiet"], given["format"])


def _flags(prefix: str | None = None, name: str | None = None, env: Sequence[str] | None = None,
           config: str | None = None, no_config: bool = False, **settings: Any) -> Flags:  # fmt: skip
    given = {k.replace("_", "-"): v for k, v in settings.items() if v is not None}
    return Flags(prefix, name, _checked(given), tuple(env or ()), config=config, no_config=no_config)


# -- commands -----------------------------------------------------------------------------


@app.command()
def check(
    wheels: Files = None, prefix: Prefix = None, name: Name = None, requirement: Requirement = None,
    find_links: FindLinks = None, host: Host = None, env: Env = None, platform: Platform = None, format: Format = None,
    output: Output = None, fail_on: FailOn = None, min_severity: MinSeverity = None,
    min_confidence: MinConfidence = None, strict: Strict = False, exit_zero: ExitZero = False,
    allow_incomplete: AllowIncomplete = False, select: Select = None, extend_select: ExtendSelect = None,
    ignore: Ignore = None, no_ignores: NoIgnores = False, baseline: BaselineFile = None,
    write_baseline: WriteBaseline = None, anchor: Anchor = None, config: ConfigFile = None, no_config: NoConfig = False,
    cache_dir: CacheDir = None, no_cache: NoCache = False, resolve: Resolve = False, color: Color = None,
    verbose: Verbose = 0, quiet: Quiet = 0, today: Today = None,
) -> None:  # fmt: skip
    """Judge wheels against an environment (the default command).

    Status: 0 checked, nothing fails; 1 findings; 2 usage or input error; 3 internal error; 4 incomplete.
    """
    _gate("check", wheels or [], locals())


@app.command()
def audit(
    prefix: Prefix = None, name: Name = None, host: Host = None, env: Env = None, platform: Platform = None,
    format: Format = None, output: Output = None, fail_on: FailOn = None, min_severity: MinSeverity = None,
    min_confidence: MinConfidence = None, strict: Strict = False, exit_zero: ExitZero = False,
    allow_incomplete: AllowIncomplete = False, select: Select = None, extend_select: ExtendSelect = None,
    ignore: Ignore = None, no_ignores: NoIgnores = False, baseline: BaselineFile = None,
    write_baseline: WriteBaseline = None, anchor: Anchor = None, config: ConfigFile = None, no_config: NoConfig = False,
    cache_dir: CacheDir = None, no_cache: NoCache = False, color: Color = None, verbose: Verbose = 0, quiet: Quiet = 0,
    today: Today = None,
) -> None:  # fmt: skip
    """Judge what pip already installed in an environment. Status as for check."""
    _gate("audit", [], locals())


@app.command()
def trace(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="FILE, WHEEL!member, or name.")] = None,
    prefix: Prefix = None, name: Name = None,
    wheel: Annotated[list[str] | None, typer.Option("--wheel", help="Lay this wheel over the environment.")] = None,
    imports: Annotated[list[str] | None, typer.Option("--import", metavar="NAME", help="Loads of this import.")] = None,
    dll_directory: Annotated[list[str] | None, typer.Option("--dll-directory", metavar="DIR")] = None,
    bindings: Annotated[bool, typer.Option("--bindings", help="What every reference binds to.")] = False,
    host: Host = None, env: Env = None, platform: Platform = None, format: SimpleFormat = "text",
    config: ConfigFile = None, no_config: NoConfig = False, color: Color = None, verbose: Verbose = 0, quiet: Quiet = 0,
) -> None:  # fmt: skip
    """Show what the loader would do, load by load."""

    def work(console: Console) -> int:
        from abicheck.commands import views

        flags = _flags(prefix, name, env, config, no_config, host=host, platform=platform, color=color)
        return views.trace(
            files or [], wheel or [], imports or [], dll_directory or [], bindings, format, flags, console
        )

    _end(work, verbose, quiet, format)


@app.command()
def inspect(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Wheels, libraries, conda packages, snapshots.")
    ],
    format: SimpleFormat = "text", color: Color = None, verbose: Verbose = 0, quiet: Quiet = 0,
) -> None:  # fmt: skip
    """Show the facts read from files."""

    def work(console: Console) -> int:
        from abicheck.commands import views

        return views.inspect(files, format, _flags(color=color), console)

    _end(work, verbose, quiet, format)


@app.command()
def snapshot(
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")],
    prefix: Prefix = None, name: Name = None,
    host: Annotated[bool, typer.Option("--host", help="Of this machine instead of an environment.")] = False,
    config: ConfigFile = None, no_config: NoConfig = False, verbose: Verbose = 0, quiet: Quiet = 0,
) -> None:  # fmt: skip
    """Write a portable picture of an environment, which --prefix accepts anywhere."""

    def work(console: Console) -> int:
        from abicheck.commands import views

        return views.snapshot(output, host, _flags(prefix, name, config=config, no_config=no_config), console)

    _end(work, verbose, quiet)


@app.command()
def rules(select: Select = None, format: PageFormat = "text", color: Color = None) -> None:
    """List the rules."""

    def work(console: Console) -> int:
        from abicheck.commands import views

        return views.rules(_several(select or []), format, _flags(color=color), console)

    _end(work, 0, 0, format)


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(help="Its id or name, or ELF-36.", autocompletion=_rules)],
    format: PageFormat = "text", color: Color = None,
) -> None:  # fmt: skip
    """Show a rule's page, or what a loader rule says that a finding cites."""

    def work(console: Console) -> int:
        from abicheck.commands import views

        return views.explain(rule, format, _flags(color=color), console)

    _end(work, 0, 0, format)


@config_app.command("show")
def config_show(
    format: SimpleFormat = "text", config: ConfigFile = None, no_config: NoConfig = False, color: Color = None
) -> None:
    """Show every value and where it comes from."""

    def work(console: Console) -> int:
        from abicheck.commands import views

        return views.config_show(format, _flags(config=config, no_config=no_config, color=color), console)

    _end(work, 0, 0, format)


def _cache(action: str, cache_dir: str | None, config: str | None, no_config: bool) -> None:
    def work(console: Console) -> int:
        from abicheck.commands.cache import cache

        return cache(action, _flags(config=config, no_config=no_config, cache_dir=cache_dir), console)

    _end(work, 0, 0)


@cache_app.command("dir")
def cache_dir_(cache_dir: CacheDir = None, config: ConfigFile = None, no_config: NoConfig = False) -> None:
    """Print the folder."""
    _cache("dir", cache_dir, config, no_config)


@cache_app.command("info")
def cache_info(cache_dir: CacheDir = None, config: ConfigFile = None, no_config: NoConfig = False) -> None:
    """Print the folder and how much it holds."""
    _cache("info", cache_dir, config, no_config)


@cache_app.command("clear")
def cache_clear(cache_dir: CacheDir = None, config: ConfigFile = None, no_config: NoConfig = False) -> None:
    """Remove what it holds."""
    _cache("clear", cache_dir, config, no_config)
