"""The suite's own habits: nothing is skipped silently, and the conda side is built once a session."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[1]
for place in (REPO / "src", REPO):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

pytest_plugins = ["tests.conda_side"]

_DESELECTED: pytest.StashKey[Counter[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_DESELECTED] = Counter()
    # Answers of earlier runs are neither used nor left behind.
    folder = tempfile.TemporaryDirectory(prefix="abicheck-cache-")
    config.add_cleanup(folder.cleanup)
    os.environ["ABICHECK_CACHE_DIR"] = folder.name


@pytest.hookimpl(tryfirst=True)
def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        item.config.stash[_DESELECTED][item.location[0]] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells the main process what the command line left out."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["deselected"] = dict(session.config.stash[_DESELECTED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Every worker collects all tests, so each one's account is the whole account."""
    told = getattr(node, "workeroutput", {}).get("deselected", {})
    node.config.stash[_DESELECTED] = Counter(told) | node.config.stash[_DESELECTED]


def _compared(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests compared with a real loader: each one's counts (``record_property("compared", ...)``)."""
    reports = [r for key in ("passed", "failed") for r in terminalreporter.stats.get(key, []) if r.when == "call"]
    lines = sorted({(r.nodeid.partition("::")[2], v) for r in reports for k, v in r.user_properties if k == "compared"})
    if not lines:
        return
    terminalreporter.section("compared with the real loaders")
    sums: Counter[str] = Counter()
    for name, counts in lines:
        terminalreporter.write_line(f"{name}: {counts}")
        sums.update({what: int(number) for number, what in re.findall(r"(\d+) ([a-z ]+?)(?= compared|[,;]|$)", counts)})
    terminalreporter.write_line("in all: " + ", ".join(f"{n:,} {what}" for what, n in sums.items()))


def _incidents(terminalreporter: pytest.TerminalReporter) -> None:
    """The corpus of incidents: what was expected, what was found (``record_property("incident", ...)``)."""
    rows = [
        f"{'ok' if r.passed else 'NOT'} {r.nodeid.rpartition('[')[2].rstrip(']')}: {v}"
        for key in ("passed", "failed", "xfailed", "xpassed")
        for r in terminalreporter.stats.get(key, [])
        for k, v in r.user_properties
        if k == "incident" and r.when == "call"
    ]
    if rows:
        terminalreporter.section("incidents")
        for row in sorted(rows, key=lambda r: r.partition(" ")[2]):
            terminalreporter.write_line(row)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The last sections of the run: what was compared; which groups of tests did not run, why, and how to make them."""
    _compared(terminalreporter)
    _incidents(terminalreporter)
    groups: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        where, reason = report.nodeid.partition("::")[0], str(report.longrepr)
        if isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
        groups[where, reason] += 1
    for report in terminalreporter.stats.get("xfailed", []):
        groups[report.nodeid, f"a gap that is known: {report.wasxfail.removeprefix('reason: ')}"] += 1
    for where, count in config.stash[_DESELECTED].items():
        groups[where, "left out by -k or -m on the command line"] += count
    if not groups:
        return
    terminalreporter.section("not run, and why")
    for (where, reason), count in sorted(groups.items()):
        terminalreporter.write_line(f"{where}: {count} test{'s' if count > 1 else ''}: {reason}")
