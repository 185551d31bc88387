"""What a PyPI wheel will break in a conda environment, told before the install.

The public interface is what this module names; everything else may change. Nothing is printed, no global state is
kept, no signal handled, nothing fetched::

    import abicheck

    report = abicheck.check(["wheelhouse/"], prefix="envs/prod")
    report.verdict                       # Verdict.FAIL, which equals "fail"
    [f.rule.id for f in report.findings]
    report.findings[0].why[0].fact       # str
    abicheck.render(report, "sarif")     # str
    report.to_dict()                     # the published JSON
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import would be the slowest part of ``abicheck --version``
if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence
    from typing import Any

    from abicheck.errors import AbicheckError, InputError, UsageError
    from abicheck.model import Confidence, Fact, FileRef, Finding, Origin, Remedy, Severity, Skipped
    from abicheck.report import CheckOptions, Judged, Progress, Report, Thresholds, Verdict
    from abicheck.report.settings import PackageRules, Settings, Suppression

__version__ = "0.1.0"

# Name to module; imported when asked for, so that ``import abicheck`` stays instant.
_HOMES = {
    **dict.fromkeys(("AbicheckError", "InputError", "UsageError"), "abicheck.errors"),
    **dict.fromkeys(
        ("Confidence", "Fact", "FileRef", "Finding", "Origin", "Remedy", "Severity", "Skipped"), "abicheck.model"
    ),
    **dict.fromkeys(("CheckOptions", "Judged", "Progress", "Report", "Thresholds", "Verdict"), "abicheck.report"),
    **dict.fromkeys(("PackageRules", "Settings", "Suppression"), "abicheck.report.settings"),
}

__all__ = [
    "AbicheckError",
    "CheckOptions",
    "Confidence",
    "Fact",
    "FileRef",
    "Finding",
    "InputError",
    "Judged",
    "Origin",
    "PackageRules",
    "Progress",
    "Remedy",
    "Report",
    "Settings",
    "Severity",
    "Skipped",
    "Suppression",
    "Thresholds",
    "UsageError",
    "Verdict",
    "__version__",
    "audit",
    "check",
    "inspect",
    "render",
    "trace",
]


def check(
    wheels: Sequence[str],
    *,
    prefix: str,
    options: CheckOptions | None = None,
    settings: Settings | None = None,
    today: datetime.date | None = None,
) -> Report:
    """Judge wheels against an environment, as ``abicheck check`` does.

    Args:
        wheels: operands of the command: wheels, folders of wheels, globs, manifests (docs/commands.md).
        prefix: an environment's folder, a snapshot file, or a folder of extracted conda packages.
        options: what the engine may assume and read.
        settings: what is selected, accepted, shown and failed.
        today: decides whether dated suppressions hold; the system's date when None.

    Raises:
        AbicheckError: nothing was judged (``UsageError``, ``InputError``).
    """
    from abicheck import engine
    from abicheck.report import CheckOptions

    judgement = engine.check(tuple(wheels), prefix=prefix, options=options or CheckOptions())
    return _judged(judgement, settings, today)


def audit(
    prefix: str,
    *,
    options: CheckOptions | None = None,
    settings: Settings | None = None,
    today: datetime.date | None = None,
) -> Report:
    """Judge the wheels that pip already installed into an environment. Arguments and errors as for :func:`check`."""
    from abicheck import engine
    from abicheck.report import CheckOptions

    return _judged(engine.audit(prefix, options=options or CheckOptions()), settings, today)


def _judged(judgement: Any, settings: Settings | None, today: datetime.date | None) -> Report:
    import datetime
    from dataclasses import replace

    from abicheck.policy import judge
    from abicheck.report.settings import Settings
    from abicheck.rules import all_rules

    judgement = replace(judgement, target=replace(judgement.target, chosen_by="api"))
    rules = tuple(r.rule for r in all_rules())
    return judge(judgement, settings or Settings(), rules, version=__version__, today=today or datetime.date.today())


def trace(files: Sequence[str] = (), *, prefix: str, **how: Any) -> dict[str, Any]:
    """What the loader would do, load by load: the JSON object of ``trace-1.schema.json``.

    Keywords are those of ``engine.trace``: ``wheels``, ``imports``, ``dll_directories``, ``host``, ``env``,
    ``bindings``. Raises ``AbicheckError``.
    """
    from abicheck import engine

    return engine.trace(tuple(files), prefix=prefix, **how)


def inspect(files: Sequence[str]) -> dict[str, Any]:
    """Facts of wheels, libraries, conda packages, snapshots (``inspect-1.schema.json``). Raises ``AbicheckError``."""
    from abicheck import engine

    return engine.inspect(tuple(files))


def render(report: Report, format: str, **options: Any) -> str:
    """A report in one of the output formats; ``options`` as for ``reporters.RenderOptions``. Raises ``UsageError`` for
    a format there is not."""
    from abicheck.reporters import RenderOptions
    from abicheck.reporters import render as render_with

    return render_with(report, format, RenderOptions(**options))


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
