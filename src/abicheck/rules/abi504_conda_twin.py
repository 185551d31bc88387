"""The same project is a conda package, under this or another name.

## What happens

Nothing breaks by this alone. The project exists on conda's side, built against the libraries that the environment has;
taking it from there avoids every other finding about this wheel.

## Why: the loader rule

A wheel carries its own libraries because it cannot know the environment's; the conda build links those of the
environment (PY-19). Which conda package it is: first what the environment itself says (the conda package whose record
lists the project's dist-info), then a table of names that differ, with its source and date.

## Example

```
pip install torch        ->  conda install pytorch
pip install tables       ->  conda install pytables
```

## What to do

1. `conda install` the package named in the finding, with the version you need.

## When this is wrong

- The conda package lags behind or lacks the variant you need (CUDA, an optional backend).
- The table is a copy of what others published on the date given; names may have changed since.

## References

The source of each row stands in the finding. conda-pypi's published table of names (regro/grayskull).
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.model import Confidence, Fact, FileRef, Finding, Remedy, Severity
from abicheck.prefix import Prefix
from abicheck.rules import Rule
from abicheck.rules.ownership import twin_of, wheel_origin, wheel_ref
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_install, counted, public, sentence
from abicheck.transaction import Transaction
from abicheck.wheel import Wheel

RULE = Rule(
    id="ABI504",
    name="conda-twin",
    severity="note",
    classes=("OWNERSHIP",),
    platforms=("linux", "osx", "win"),
    summary="The same project is a conda package under this or another name",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    if scene.transaction is not None:
        yield from judge(scene.transaction)


def judge(transaction: Transaction) -> Iterator[Finding]:
    """Wheels with native code whose project conda has. Pure Python wheels have nothing to gain."""
    for plan in transaction.plans:
        if plan.wheel.natives:
            yield from _twin(transaction.prefix, plan.wheel)


def _twin(prefix: Prefix, wheel: Wheel) -> Iterator[Finding]:
    twin = twin_of(prefix, wheel.name)
    if twin is None:
        return
    there = f", installed here as {twin.record.version}" if twin.record is not None else ""
    wanted = f"{twin.conda}={public(wheel.version)}" if twin.record is not None else twin.conda
    command = conda_install(prefix.display, wanted)
    yield Finding(
        rule=RULE.id,
        severity=Severity.NOTE,
        confidence=Confidence.HIGH if twin.record is not None else Confidence.MEDIUM,
        what=sentence(f"{wheel.display_name} is the conda package {twin.conda}{there}."),
        why=(
            Fact(f"known from: {twin.source}", loader_rule="PY-19"),
            Fact(f"the wheel brings {counted(len(wheel.natives), 'native file')} of its own",
                 wheel_ref(wheel, wheel.natives[0].name, wheel.natives[0].name)),
        ),
        remedies=(Remedy("take the build that uses the environment's libraries", command),),
        key=twin.conda,
        wheel=wheel_origin(wheel),
        conda_package=twin.record.origin if twin.record is not None else None,
        object=FileRef(twin.record.source, twin.record.origin) if twin.record is not None else None,
        assumption="" if twin.record is not None else f"if the names still are as on the table ({twin.source})",
    )  # fmt: skip
