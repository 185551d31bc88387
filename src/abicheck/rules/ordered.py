"""A finding that one import order brings about: what ABI103, ABI203 and ABI204 tell alike."""

from __future__ import annotations

from abicheck.loader.scenarios import Difference, Meeting
from abicheck.model import Confidence, Fact, FileRef, Finding, Origin, Remedy, Severity
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_among, in_order, sentence


def in_one_order(
    scene: Scene,
    meeting: Meeting,
    diff: Difference,
    *,
    rule: str,
    severity: Severity,
    what: str,
    why: tuple[Fact, ...],
    key: str,
    subject: FileRef | None,
    object: FileRef,
    first: str,
    then: str,
    both_ways: bool,
    owners: tuple[Origin, ...] = (),
) -> Finding:
    """What happens to the import ``then`` when ``first`` was imported before it.

    ``both_ways``: the like happens in the opposite order, so none is told as working. ``owners``: whose conda package
    is named when neither project of the meeting is conda's.
    """
    return Finding(
        rule=rule,
        severity=severity,
        confidence=Confidence.MEDIUM,
        what=sentence(what),
        why=why,
        remedies=(
            use_conda_build(scene, meeting.a.origin.name),
            Remedy(f"or keep {first} and {then} in separate processes"),
        ),
        key=key,
        wheel=meeting.a.origin,
        conda_package=conda_among(diff.second.origin, diff.first.origin, *owners),
        subject=subject,
        object=object,
        depends_on=("import-order",),
        assumption=f"if {first} is imported first",
        orders=in_order(first, then, opposite_works=not both_ways),
    )
