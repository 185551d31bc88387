"""What two copies of a runtime mean, from the table, as a finding. Shared by ABI301 and ABI302."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from abicheck.knowledge.runtimes import Consequence, Family, System, When, consequence, family, member
from abicheck.model import Confidence, Dependence, Fact, Finding, Orders, Remedy, Severity
from abicheck.rules.copies import Copy, Crossing, Pair, crossings
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import Scene
from abicheck.rules.settings import Variable, variables
from abicheck.rules.versions import said_version
from abicheck.rules.wording import base, conda_among, ref, sentence

_HOW = {
    "name": "by its name",
    "exports": "by what it exports",
    "static": "linked into this file",
}


def finding(scene: Scene, rule: str, pair: Pair) -> Iterator[Finding]:
    """The finding for a pair; none when the table knows of no consequence."""
    kind = family(pair.mine.what.family)
    crossed = pair.crossed or crossings(scene).get(frozenset((pair.mine.path, pair.other.path)), ())
    setting = _misled(scene, kind, pair)
    meets: set[When] = set()
    if crossed:
        meets.add("meet")
    if setting is not None:
        meets.add("setting")
    system = cast(System, scene.system)
    row = consequence(kind.name, pair.mine.what.member, pair.other.what.member, system, frozenset(meets))
    if row is None or (row.severity == "note" and (pair.doubtful or pair.other.liveness == "installed" or pair.inner)):
        return
    severity, confidence = _weight(row, pair)
    yield Finding(
        rule=rule,
        severity=severity,
        confidence=confidence,
        what=sentence(_what(pair, row)),
        why=tuple(_why(scene, pair, kind, row, setting, crossed)),
        remedies=tuple(_remedies(scene, pair, kind, severity)),
        key=f"{kind.name} {base(pair.mine.path)} {base(pair.other.path)}",
        wheel=pair.subject.origin,
        conda_package=conda_among(pair.other.origin),
        subject=ref(scene.view, pair.mine.path),
        object=ref(scene.view, pair.other.path),
        depends_on=_depends(pair, row, setting),
        assumption="" if severity is Severity.NOTE else f"if {row.condition}",
        runtime=kind.name,
        orders=_orders(pair, row, crossed) if severity is not Severity.NOTE else None,
    )


def _weight(row: Consequence, pair: Pair) -> tuple[Severity, Confidence]:
    """The table's word, one step weaker where it is only known that the other copy is installed for somebody or lies in
    the same wheel, or where both carry one install name (one dyld lets the first serve, another maps both; MAC-1)."""
    severity, confidence = Severity[row.severity.upper()], Confidence[row.confidence.upper()]
    if pair.doubtful:
        return min(severity, Severity.WARNING), Confidence.LOW
    if row.when == "live" and severity is Severity.ERROR and pair.other.liveness == "installed":
        return Severity.WARNING, confidence
    if row.when == "live" and pair.inner and "shipped" in (pair.mine.liveness, pair.other.liveness):
        return min(severity, Severity.WARNING), confidence  # its makers ship both, and nothing loads both at once
    return severity, confidence


def _title(copy: Copy) -> str:
    return member(copy.what.family, copy.what.member).title


def _what(pair: Pair, row: Consequence) -> str:
    mine, other = pair.subject.label, pair.other_label
    if pair.mine.what.member == pair.other.what.member:
        copies = f"Two copies of {_title(pair.mine)}"
    else:
        copies = f"{_title(pair.mine)} and {_title(pair.other)}"
    users = f"{mine} and {other} are used together" if mine != other else f"{mine} is used"
    end = {
        "abort": "the process will abort",
        "crash": "the process will crash",
        "hang": "the process may hang",
        "wrong-results": "results may be wrong",
        "oversubscription": "each starts its own threads",
        "merged-state": "they will share state that is not theirs",
        "isolated": "they stay apart",
    }[row.outcome]
    condition = f", if {row.condition.split(':')[0]}" if row.severity != "note" else ""
    will = "may" if pair.doubtful else "will"
    return f"{copies} {will} be in one process when {users}; {end}{condition}."


def _version(scene: Scene, copy: Copy) -> str:
    return copy.what.version or said_version(scene, copy.path, copy.what.family, copy.what.member)


def _fact(scene: Scene, copy: Copy, severity: str) -> Fact:
    version = _version(scene, copy) if severity != "note" else copy.what.version
    known = f"{_title(copy)}{' ' + version if version else ''}, recognised {_HOW[copy.what.by]}"
    if copy.proof:
        known += f" (the text {copy.proof})"
    elif copy.what.mangled:
        known += " under the mangling of a repair tool"
    how = {
        "mapped": "is loaded" + (f" with {copy.loaded_by or copy.users[0].label}" if copy.users else ""),
        "needed": "is asked for by an absolute path outside the environment",
        "opened": "is opened by name at run time by a library that is installed",
        "shipped": "is needed by other libraries of the wheel",
        "installed": "is installed because another package depends on it",
    }[copy.liveness]
    return Fact(f"{known}; it {how}", ref(scene.view, copy.path))


def _why(
    scene: Scene,
    pair: Pair,
    kind: Family,
    row: Consequence,
    setting: Variable | None,
    crossed: tuple[Crossing, ...],
) -> Iterator[Fact]:
    yield _fact(scene, pair.mine, row.severity)
    yield _fact(scene, pair.other, row.severity)
    rule = {"linux": "ELF-5", "osx": "MAC-3", "win": "WIN-1"}[scene.system]
    if pair.doubtful:
        text = (
            "both answer to one install name: from macOS 12 on the first loaded serves both, before both may be mapped"
        )
        yield Fact(text, loader_rule="MAC-1")
    else:
        yield Fact("the loader tells them apart by name or path, so both are mapped", loader_rule=rule)
    for crossing in crossed[:1]:
        moved = crossing.binding
        ends = f"binds to {base(moved.after or '')} when {crossing.order[0]} is first"
        text = f"{moved.symbol} of {base(moved.object)} {ends}"
        yield Fact(text, symbol=moved.symbol, version=moved.version, loader_rule=moved.rule or "CL-5")
    if setting is not None:
        yield Fact(f"line {setting.line} sets {setting.name} to {scene.view.relative(setting.path)}", setting.file)
    rule = "RT-1" if kind.name == "openmp" else "RT-2"
    yield Fact(f"each copy has its own state ({kind.state}): {row.text}", loader_rule=rule)


def _remedies(scene: Scene, pair: Pair, kind: Family, severity: Severity) -> Iterator[Remedy]:
    if severity is Severity.NOTE:
        return
    yield use_conda_build(scene, pair.subject.origin.name)
    yield Remedy(f"or keep {pair.subject.label} and {pair.other_label} in separate processes")
    for name, why in kind.harmful:
        yield Remedy(f"do not set {name}: {why}")


def _depends(pair: Pair, row: Consequence, setting: Variable | None) -> tuple[Dependence, ...]:
    out: list[Dependence] = ["import-order", "python-code"] if row.when == "meet" else ["python-code"]
    if setting is not None:
        out.append("environment")
    if pair.mine.origin.kind == "host" or pair.other.origin.kind == "host":
        out.append("host")
    return tuple(out)


def _orders(pair: Pair, row: Consequence, crossed: tuple[Crossing, ...]) -> Orders | None:
    """Both orders fail when being there is enough; when references must cross, those in which they do."""
    a, b = pair.subject.label, pair.other_label
    if row.when == "meet":
        fails = tuple(c.order for c in crossed)
        return Orders(fails, tuple(o for o in (f[::-1] for f in fails) if o not in fails))
    return Orders(((a, b), (b, a)), ()) if a != b else None


def _misled(scene: Scene, kind: Family, pair: Pair) -> Variable | None:
    """A variable of the family that leads one side's copy to the other side's files."""
    if not any(row.when == "setting" for row in kind.pairs):
        return None
    for v in variables(scene):
        if v.name not in kind.variables or not v.path:
            continue
        owner = v.setter
        if owner == pair.subject.origin or (owner.kind == "conda" and pair.mine.origin == pair.subject.origin):
            return v
    return None
