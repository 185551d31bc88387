"""The suite's own habits: nothing is skipped silently, and the conda side is built once a session."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
for place in (REPO / "src", REPO):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

pytest_plugins = ["tests.conda_side"]

_DESELECTED: pytest.StashKey[Counter[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_DESELECTED] = Counter()


@pytest.hookimpl(tryfirst=True)
def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        item.config.stash[_DESELECTED][item.location[0]] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The last section of the run: every group of tests that did not run, why, and how to make it run."""
    groups: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        where, reason = report.nodeid.partition("::")[0], str(report.longrepr)
        if isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
        groups[where, reason] += 1
    for where, count in config.stash[_DESELECTED].items():
        groups[where, "left out by -k or -m on the command line"] += count
    if not groups:
        return
    terminalreporter.section("not run, and why")
    for (where, reason), count in sorted(groups.items()):
        terminalreporter.write_line(f"{where}: {count} test{'s' if count > 1 else ''}: {reason}")
