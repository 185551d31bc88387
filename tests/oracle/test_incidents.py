"""The corpus of incidents: every positive case gives its finding, every negative one neither error nor warning."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conda_side import Wheels
from tests.oracle.incidents import BIG, GAPS, SYSTEM, Incident, read_incidents
from tests.oracle.observation import gate, under_changed_system
from tests.oracle.synthetic import build_side, compiler_for
from tests.requirements import missing, need, not_run, shared_corpus

pytestmark = [pytest.mark.network, pytest.mark.slow]

ALL = "ABICHECK_ALL_INCIDENTS"
_SHARED = shared_corpus()
INCIDENTS = read_incidents(_SHARED / "corpus") if _SHARED else []


def test_the_corpus_is_here() -> None:
    if reason := missing("shared"):
        pytest.skip(reason)  # also where nothing else may be missing: the corpus is not part of the repository
    assert len(INCIDENTS) == 44


def _findings(incident: Incident, prefix: Path, wheel: Path) -> list[dict[str, Any]]:
    host = sorted((prefix.parent / "host").glob("*")) if incident.host_side else []
    replaced = [word for library in host for word in ("--replace", str(library), library.name)]
    system = [*SYSTEM.get(incident.id, ()), *replaced]
    if not system:
        return gate(prefix, [wheel])
    need("mount-namespace")
    found: list[dict[str, Any]] = under_changed_system(system, {"prefix": str(prefix), "wheels": [str(wheel)]})
    return found


def _parameter(incident: Incident) -> Any:
    gap = GAPS.get(incident.id)
    marks = [pytest.mark.xfail(reason=gap, strict=True, raises=AssertionError)] if gap else []
    return pytest.param(incident, id=incident.id, marks=marks)


@pytest.mark.parametrize("incident", [_parameter(i) for i in INCIDENTS])
def test_incident(
    incident: Incident, wheels: Wheels, work: Path, record_property: Callable[[str, object], None]
) -> None:
    if incident.id in BIG and os.environ.get(ALL) != "1":
        pytest.skip(f"its wheel has more than 60 MB: set {ALL}=1")
    need("zig" if incident.subdir != "linux-64" else "gcc")
    if compiler_for(incident) is None:
        not_run("needs a compiler")
    (wheel,) = wheels(incident.wheel, options=incident.download_options)
    prefix = build_side(incident, wheel, work / "incidents")
    findings = _findings(incident, prefix, wheel)
    shown = "\n".join(f"{f['rule']} {f['severity']} {f['confidence']}: {f['what']}" for f in findings)
    spoke = [f for f in findings if f["rule"] in incident.rules]
    verdict = ", ".join(sorted({f"{f['rule']} {f['severity']}" for f in findings})) or "nothing"
    record_property("incident", f"{incident.finding}: {verdict}")
    if incident.positive:
        assert spoke, f"expected one of {incident.rules}\n{shown}"
    else:
        loud = [f for f in findings if f["severity"] != "note" and f["rule"] not in incident.accepted]
        assert not loud, shown
