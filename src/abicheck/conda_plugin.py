"""abicheck inside conda: ``conda abicheck``, ``conda doctor abicheck``, and the reverse question after a solve.

The only module that imports conda, and imported by nobody but conda, on nearly every one of its commands: so nothing
of abicheck is imported before a callback runs. Written against conda's published hooks (conda.plugins.hookspec).

``plugins: abicheck_on_solve: off|warn|error`` in .condarc says what happens when conda is about to replace a library
that a wheel installed by pip loads: nothing (the default), a list on standard error, or no transaction.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from conda.base.constants import OK_MARK, X_MARK
from conda.base.context import context
from conda.common.configuration import PrimitiveParameter
from conda.exceptions import CondaError
from conda.plugins import hookimpl as _hookimpl
from conda.plugins.types import CondaHealthCheck, CondaPostSolve, CondaSetting, CondaSubcommand

NAME = "abicheck"
SETTING = "abicheck_on_solve"
CHOICES = ("off", "warn", "error")

_Hook = TypeVar("_Hook", bound=Callable[..., Any])
hookimpl = cast("Callable[[_Hook], _Hook]", _hookimpl)


class WheelsRelyOnThis(CondaError):  # type: ignore[misc]  # conda has no types to check against
    """The transaction would replace libraries under wheels (setting ``error``)."""


@hookimpl
def conda_subcommands() -> Iterator[CondaSubcommand]:
    yield CondaSubcommand(
        name=NAME, summary="Tell what PyPI wheels will break in an environment, before the install.", action=subcommand
    )


@hookimpl
def conda_health_checks() -> Iterator[CondaHealthCheck]:
    yield CondaHealthCheck(
        name=NAME, action=health_check, summary="Wheels that pip installed agree with the environment's libraries"
    )


@hookimpl
def conda_settings() -> Iterator[CondaSetting]:
    yield CondaSetting(
        name=SETTING,
        description="What to do when conda is about to replace a library that a wheel installed by pip loads: "
        "off (the default), warn, or error.",
        parameter=PrimitiveParameter("off", element_type=str, validation=_is_choice),
    )


@hookimpl
def conda_post_solves() -> Iterator[CondaPostSolve]:
    yield CondaPostSolve(name=NAME, action=post_solve)


def _is_choice(value: str) -> bool | str:
    return value in CHOICES or f"{SETTING} is {value!r}, not one of {', '.join(CHOICES)}"


# -- conda abicheck -----------------------------------------------------------------------


def subcommand(argv: tuple[str, ...]) -> int:
    """Run the command line of abicheck; the environments conda knows can be named with ``-n``."""
    from abicheck.__main__ import main

    os.environ.setdefault("CONDA_ENVS_DIRS", os.pathsep.join(context.envs_dirs))
    os.environ.setdefault("CONDA_ROOT", context.root_prefix)
    try:
        main(argv, "conda abicheck")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


# -- conda doctor ---------------------------------------------------------------------------


def health_check(prefix: str, verbose: bool) -> None:
    """Print the audit of the environment's wheels. conda ignores what a check returns, so this is no gate."""
    from abicheck.commands import Flags
    from abicheck.commands.console import Console, guarded
    from abicheck.commands.gate import gate

    console = Console.real(1 if verbose else 0)
    print("abicheck: wheels installed by pip, against the environment's libraries\n", flush=True)
    status = guarded(console, lambda: gate("audit", (), Flags(prefix=prefix, no_config=True), console))
    words = {0: "nothing will break", 1: "something will break", 4: "not everything could be read"}
    print(
        f"\n{OK_MARK if status == 0 else X_MARK} abicheck: {words.get(status, f'could not judge (status {status})')}\n"
    )


# -- the reverse question ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Reliance:
    """A wheel that pip installed, a library it loads, and the package that brings the library."""

    wheel: str
    library: str
    package: str


def post_solve(_repodata_fn: str, unlink: Iterable[Any], link: Iterable[Any]) -> None:
    """Compare what the solved transaction replaces with what the installed wheels load."""
    mode = getattr(context.plugins, SETTING)
    replaced = replacements(unlink, link)
    prefix = context.target_prefix
    if mode == "off" or not replaced or not os.path.isdir(prefix):
        return
    relied = tuple(r for r in reliances(prefix) if r.package in replaced)
    if not relied:
        return
    text = warning(relied, replaced)
    if mode == "error":
        raise WheelsRelyOnThis(f"{text}\nSet {SETTING}: warn to go on.")
    print(text, file=sys.stderr)


def replacements(unlink: Iterable[Any], link: Iterable[Any]) -> dict[str, str]:
    """Name of each package that leaves or changes, and how: ``12.2.0 -> 13.2.0``, ``12.2.0 -> removed``."""
    coming = {p.name: f"{p.version} {p.build}" for p in link}
    leaving = {p.name: f"{p.version} {p.build}" for p in unlink}
    return {
        name: f"{old} -> {coming.get(name, 'removed')}"
        for name, old in sorted(leaving.items())
        if coming.get(name) != old
    }


def reliances(prefix: str) -> tuple[Reliance, ...]:
    """What the wheels in a prefix load from its conda packages, by the simulated loader; nothing is run."""
    from abicheck import engine
    from abicheck.prefix import open_prefix

    opened = open_prefix(prefix)
    found: set[Reliance] = set()
    for dist in opened.distributions:
        if dist.by_conda or opened.layout is None:
            continue
        files = [
            f for f in dist.files if f.endswith(opened.interpreter.extension_suffixes if opened.interpreter else ())
        ]
        if not files:
            continue
        for o in engine.trace(files, prefix=prefix, host="auto")["objects"]:
            if o["origin"]["kind"] == "conda" and o["event"] is not None:
                found.add(Reliance(f"{dist.name} {dist.version}", o["path"], o["origin"]["name"]))
    return tuple(sorted(found))


def warning(relied: tuple[Reliance, ...], replaced: dict[str, str]) -> str:
    """What to tell: who relies on what, and what to do afterwards."""
    lines = ["abicheck: this transaction replaces libraries that wheels installed by pip load:"]
    lines += [f"  {r.wheel} loads {r.library} of {r.package} ({replaced[r.package]})" for r in relied]
    lines.append("  after it: conda doctor abicheck")
    return "\n".join(lines)
