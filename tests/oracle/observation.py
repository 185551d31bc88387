"""One situation looked at from three sides: what the process really does, what is simulated, what the gate says.

Also a command (``python -m tests.oracle.observation JSON``), so that it can be run under a changed system.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.oracle.comparison import compare, simulate
from tests.oracle.real_loader import run_python

from abicheck.engine import check
from abicheck.model import Finding


@dataclass(frozen=True)
class Seen:
    """A real process beside its simulation. ``predicted``: the messages of the loads that the simulation fails."""

    results: list[str | None]
    signal: str | None
    stderr: str
    mapped: list[list[str]]  # real path (prefix-relative inside), how
    bindings: list[list[str]]  # object, symbol, provider: file names of what binds across files
    predicted: list[str]
    counts: str
    differences: list[str]

    @property
    def text(self) -> str:
        """Everything the process said on its way."""
        return "\n".join([*(r for r in self.results if r), self.stderr])


def observe(prefix: Path, statements: Sequence[str], env: Mapping[str, str] | None = None) -> Seen:
    """Run statements in a prefix's Python and in the simulation."""
    run = run_python(prefix, statements, env=env)
    trace = simulate(prefix, run, env)
    comparison = compare(run, trace, prefix)
    inside = f"{prefix.resolve()}/"
    names = [o.real.removeprefix(inside) for o in run.objects]
    return Seen(
        results=run.results,
        signal=run.signal,
        stderr=run.stderr,
        mapped=[[n, o.how] for n, o in zip(names, run.objects, strict=True)],
        bindings=[[names[o], s, names[p]] for (o, s, _), found in run.bindings.items() for p in found if p != o],
        predicted=[e.failure.message for e in trace.events if e.failure is not None],
        counts=comparison.counts,
        differences=comparison.differences,
    )


def gate(prefix: Path, wheels: Sequence[Path]) -> list[dict[str, Any]]:
    """What ``abicheck WHEEL... -p PREFIX`` finds, as plain data."""
    return [_row(f) for f in check([str(w) for w in wheels], prefix=str(prefix)).findings]


def _row(finding: Finding) -> dict[str, Any]:
    orders = finding.orders
    return {
        "rule": finding.rule,
        "severity": finding.severity.word,
        "confidence": finding.confidence.word,
        "what": finding.what,
        "why": [f"{fact.text} {fact.file.path if fact.file else ''}".strip() for fact in finding.why],
        "subject": finding.subject.path if finding.subject else None,
        "object": finding.object.path if finding.object else None,
        "depends_on": list(finding.depends_on),
        "fails": [list(o) for o in orders.fails] if orders else [],
        "works": [list(o) for o in orders.works] if orders else [],
    }


def under_changed_system(options: Sequence[str], asked: Mapping[str, Any]) -> Any:
    """:func:`observe` or :func:`gate` where the system's libraries are others (``options`` of changed_system.sh)."""
    here = Path(__file__).resolve()
    repo = here.parents[2]
    script = str(here.with_name("changed_system.sh"))
    command = [script, *options, "--", sys.executable, "-m", "tests.oracle.observation", json.dumps(asked)]
    environment = {**os.environ, "PYTHONPATH": f"{repo / 'src'}:{repo}"}
    done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def main(argument: str) -> int:
    asked = json.loads(argument)
    if "wheels" in asked:
        answer: Any = gate(Path(asked["prefix"]), [Path(w) for w in asked["wheels"]])
    else:
        answer = vars(observe(Path(asked["prefix"]), asked["statements"], asked["env"]))
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
