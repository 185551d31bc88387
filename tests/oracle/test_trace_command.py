"""``abicheck trace --bindings --format json``, the command as a user runs it, row by row against glibc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conda_side import MakePrefix, Wheels
from tests.oracle.comparison import events_of
from tests.oracle.real_loader import RealRun, run_python
from tests.oracle.test_glibc_bindings import PREFIXES, _prefix, _statements
from tests.requirements import REPO

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]

Row = tuple[str, str, str | None]


def _operands(run: RealRun) -> list[str]:
    """The real process's opens as FILE operands. What native code opened by a bare name has a caller of its own, which
    no operand can name: it is given by the path that the loader found."""
    out = []
    for index, event in events_of(run):
        real = run.opens[index]
        name = real.root if real.root and "/" not in event.open and "_ctypes" not in real.caller else event.open
        if not real.failed:
            out.append(name + (":global" if event.flags_global else ""))
    return out


def _trace(prefix: Path, files: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "abicheck", "trace", *files, "-p", str(prefix), "--bindings", "--format", "json"]
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _shown(path: str, prefix: Path) -> str:
    return path.removeprefix(f"{os.path.realpath(prefix)}/")


@pytest.mark.parametrize("name", PREFIXES)
def test_every_row_agrees(
    name: str, make_prefix: MakePrefix, wheels: Wheels, record_property: Callable[[str, object], None]
) -> None:
    prefix = _prefix(name, make_prefix, wheels)
    run = run_python(prefix, _statements(name, 0))
    document = _trace(prefix, _operands(run))
    assert [e["outcome"] for e in document["events"]] == ["loaded"] * len(document["events"])

    mapped = [o for o in run.objects if o.how != "unlogged" and o.kept]
    real_objects = [(_shown(o.real, prefix), {"path": "opened"}.get(o.how, o.how)) for o in mapped]
    logged = {path for path, _ in real_objects}
    objects = [o for o in document["objects"] if o["path"] in logged]
    assert [o["path"] for o in objects] == [path for path, _ in real_objects]

    names = [_shown(o.real, prefix) for o in run.objects]
    real: dict[Row, set[str]] = {}
    for (owner, symbol, version), providers in run.bindings.items():
        real.setdefault((names[owner], symbol, version), set()).update(names[p] for p in providers)
    said: dict[Row, set[str]] = {}
    for row in document["bindings"]:
        if row["provider"] is not None:  # an unresolved weak reference leaves no line in the log
            said.setdefault((row["object"], row["symbol"], row["version"]), set()).add(row["provider"])
    different = {k: (real.get(k), said.get(k)) for k in real.keys() | said.keys() if real.get(k) != said.get(k)}
    record_property("compared", f"{len(objects)} objects, {len(real)} bindings compared; {len(different)} differences")
    assert not different, list(different.items())[:20]
