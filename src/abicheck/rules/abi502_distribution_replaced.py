"""pip will uninstall, replace or duplicate a distribution that conda installed.

## What happens

pip sees what conda installed as ordinary distributions. A wheel of the same project, or a requirement that conda's
version does not meet, makes pip remove conda's copy (its RECORD says what goes) and put its own there. conda does not
know: its record still lists files that are gone, its packages that were built against the old one load the new one,
and the next `conda update` mixes both. When there is no RECORD, pip stops; when conda's package has no dist-info, pip
does not see it and installs a second copy over it.

## Why: the loader rule

pip decides by dist-info folders and versions alone (PY-14, PY-19). It checks Requires-Dist of Python distributions
only; `depends` and `constrains` of conda packages are not asked.

## Example

```
opencv-python 4.11 requires numpy<2.0  ->  pip replaces conda's numpy 2.1 by 1.26; nothing of conda was built for it
```

## What to do

1. Install the project with conda, so that one solver sees everything.
2. Or let conda bring the requirement to the wanted version first, then `pip install --no-deps` the wheel.
3. Or keep the project in an environment of its own.

## When this is wrong

- pip is run with `--no-deps` and the wheel works with the version that is there.
- The version that pip would choose cannot be known without resolving: give abicheck pip's own report
  (`pip install --dry-run --report`), then exact versions are judged.

## References

pip `_internal/req/req_uninstall.py`, `_internal/resolution/resolvelib`; packaging user guide, core metadata.
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.model import Confidence, Fact, FileRef, Finding, Origin, Remedy, Severity
from abicheck.prefix import CondaRecord, Distribution, Prefix
from abicheck.rules import Rule
from abicheck.rules.ownership import BrokenNeed, broken_needs, twin_of, wheel_origin, wheel_ref
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_install, conda_version, listed, public, sentence
from abicheck.transaction import Replacement, Transaction, Unchanged, Unsatisfied
from abicheck.wheel import Wheel

RULE = Rule(
    id="ABI502",
    name="distribution-replaced",
    severity="warning",
    classes=("OWNERSHIP",),
    platforms=("linux", "osx", "win"),
    summary="pip will uninstall or duplicate a distribution that conda installed",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    if scene.transaction is not None:
        yield from judge(scene.transaction)
    else:
        yield from judge_installed(scene.prefix)


def judge(transaction: Transaction) -> Iterator[Finding]:
    """What one install does to distributions that are there."""
    prefix = transaction.prefix
    gone = frozenset(r.dist.name for r in transaction.replaced)
    for replacement in transaction.replaced:
        if replacement.dist.owner is not None:
            yield _replaced(prefix, replacement, gone)
        elif replacement.refusal:
            yield _refused(replacement)
    for lack in transaction.unsatisfied:
        yield from _lacking(prefix, lack)
    for item in transaction.unchanged:
        yield _unchanged(item)


def judge_installed(prefix: Prefix) -> Iterator[Finding]:
    """For an audit: distributions of conda that pip has replaced already, and projects with two dist-infos."""
    for record in prefix.records:
        replacement = prefix.replaced_by(record)
        if replacement is not None:
            yield _was_replaced(prefix, record, replacement)
    seen: dict[str, Distribution] = {}
    for dist in prefix.distributions:
        other = seen.setdefault(dist.name, dist)
        if other is not dist:
            yield _twice(prefix, other, dist)


def _replaced(prefix: Prefix, item: Replacement, gone: frozenset[str]) -> Finding:
    wheel, dist, owner = item.wheel, item.dist, item.dist.owner
    assert owner is not None
    # Where pip stops, nothing changes for those who depend on it.
    broken = () if item.refusal else broken_needs(prefix, dist, version=wheel.version, gone=gone - {dist.name})
    old, new = f"conda {owner.name} {owner.version}", f"{wheel.display_name} {wheel.version}"
    if item.refusal:
        what = f"`pip install` of {new} will stop: it cannot remove {old}."
    else:
        one = len(broken) == 1
        count = f"; {len(broken)} {'requirement on it breaks' if one else 'requirements on it break'}" if broken else ""
        what = f"pip will remove {old} and put {new} in its place{count}."
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(what),
        why=(*_removal_facts(prefix, item, owner), *_broken_facts(broken)),
        remedies=(_conda_first(prefix, wheel), Remedy("or keep it in an environment of its own")),
        key=dist.name,
        wheel=wheel_origin(wheel),
        conda_package=owner.origin,
        subject=wheel_ref(wheel, f"{dist.site_packages}/{wheel.dist_info}", wheel.dist_info),
        object=FileRef(dist.path, owner.origin),
    )


def _removal_facts(prefix: Prefix, item: Replacement, owner: CondaRecord) -> Iterator[Fact]:
    file = FileRef(item.dist.path, owner.origin)
    if item.refusal:
        yield Fact(f"pip says: {item.refusal}", file, loader_rule="PY-14")
        return
    removed = set(item.removed)
    held = [f for f in owner.files if f in removed]
    left = sum(f not in removed and prefix.has(f, follow=False) for f in owner.files)
    how = "its RECORD lists what pip removes" if item.dist.has_record else "its egg-info says what pip removes"
    yield Fact(f"{how}: {len(item.removed)} files, {len(held)} of them in conda's record", file, loader_rule="PY-14")
    if left:
        stay = "file of the conda package stays" if left == 1 else "files of the conda package stay"
        text = f"{left} {stay} behind, and its record goes on claiming all {len(owner.files)}"
        yield Fact(text, file, loader_rule="PY-14")


def _broken_facts(broken: tuple[BrokenNeed, ...]) -> Iterator[Fact]:
    for need in broken:
        verb = {"depends": "depends on", "constrains": "constrains", "Requires-Dist": "requires"}[need.how]
        yield Fact(f"{need.who.label} {verb} {need.text}", FileRef("conda-meta", need.who), loader_rule="PY-19")


def _conda_first(prefix: Prefix, wheel: Wheel) -> Remedy:
    twin = twin_of(prefix, wheel.name)
    name = twin.conda if twin is not None else wheel.name
    return Remedy("let conda bring that version", conda_install(prefix.display, f"{name}={public(wheel.version)}"))


def _refused(item: Replacement) -> Finding:
    wheel = item.wheel
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(
            f"`pip install` of {wheel.display_name} {wheel.version} will stop: it cannot remove what is there."
        ),
        why=(Fact(f"pip says: {item.refusal}", FileRef(item.dist.path, item.dist.origin), loader_rule="PY-14"),),
        remedies=(Remedy(f"remove the files of {item.dist.path} by hand, then install"),),
        key=item.dist.name,
        wheel=wheel_origin(wheel),
        subject=wheel_ref(wheel, f"{item.dist.site_packages}/{wheel.dist_info}", wheel.dist_info),
        object=FileRef(item.dist.path, item.dist.origin),
    )


# -- what pip would drag in ----------------------------------------------------


def _metadata(wheel: Wheel) -> FileRef:
    """The file in which a wheel says what it requires."""
    member = f"{wheel.dist_info}/METADATA"
    return wheel_ref(wheel, member, member)


def _lacking(prefix: Prefix, lack: Unsatisfied) -> Iterator[Finding]:
    if lack.kind == "conflict":
        yield _conflict(lack)
    elif lack.kind == "replace" and lack.installed is not None:
        yield _dragged_over(prefix, lack, lack.installed)
    else:
        yield _dragged_in(prefix, lack)


def _dragged_over(prefix: Prefix, lack: Unsatisfied, dist: Distribution) -> Finding:
    """A requirement that the installed version does not meet: pip fetches another one over it."""
    wheel = lack.needed_by
    owner = dist.owner if dist.by_conda else None
    broken = broken_needs(prefix, dist, specifier=lack.specifier)
    old = f"conda {owner.name} {owner.version}" if owner is not None else f"{dist.display_name} {dist.version}"
    name = owner.name if owner is not None else lack.name
    remedies = (
        Remedy("let conda bring the requirement first", conda_install(prefix.display, f"{name}{_conda_range(lack)}")),
        Remedy("or choose a release of the wheel that takes what is there"),
    )
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING if owner is not None else Severity.NOTE,
        confidence=Confidence.HIGH,
        what=sentence(
            f"`pip install {wheel.display_name}` will replace {old}: {wheel.display_name} {wheel.version} requires "
            f"{lack.requirement.partition(';')[0].strip()}."
        ),
        why=(
            Fact(f"requires {lack.requirement}", _metadata(wheel)),
            Fact(f"{dist.version} does not meet it; pip fetches one that does and removes this one",
                 FileRef(dist.path, dist.origin), loader_rule="PY-14"),
            *_broken_facts(broken),
        ),
        remedies=remedies,
        key=dist.name,
        wheel=wheel_origin(wheel),
        conda_package=owner.origin if owner is not None else None,
        subject=_metadata(wheel),
        object=FileRef(dist.path, dist.origin),
    )  # fmt: skip


def _conda_range(lack: Unsatisfied) -> str:
    return conda_version(lack.specifier)


def _dragged_in(prefix: Prefix, lack: Unsatisfied) -> Finding:
    """Nothing of that name for pip to see. A conda package of the project without dist-info gets a duplicate."""
    wheel = lack.needed_by
    twin = twin_of(prefix, lack.name)
    record = twin.record if twin is not None else None
    required = lack.requirement.partition(";")[0].strip()
    if record is not None:
        what = (
            f"pip will install a second {lack.name} over conda {record.name} {record.version}, which it does not see."
        )
    else:
        what = (
            f"pip will also fetch {required} for {wheel.display_name} {wheel.version}; that wheel is not judged here."
        )
    why = [
        Fact(
            f"requires {lack.requirement}",
            _metadata(wheel),
        )
    ]
    if record is not None:
        why.append(Fact("the conda package has no dist-info of that name", FileRef(record.source, record.origin),
                        loader_rule="PY-19"))  # fmt: skip
    name = twin.conda if twin is not None else ""
    remedies = [
        Remedy(
            "give the whole transaction, so that every wheel is judged",
            f'pip download --only-binary=:all: -d wheelhouse "{wheel.name}=={wheel.version}" && abicheck wheelhouse',
        )
    ]
    if name and record is None:
        remedies.insert(
            0, Remedy("or let conda bring it", conda_install(prefix.display, f"{name}{_conda_range(lack)}"))
        )
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING if record is not None else Severity.NOTE,
        confidence=Confidence.MEDIUM if record is not None else Confidence.HIGH,
        what=sentence(what),
        why=tuple(why),
        remedies=tuple(remedies),
        key=lack.name,
        wheel=wheel_origin(wheel),
        conda_package=record.origin if record is not None else None,
        subject=_metadata(wheel),
        assumption=f"if conda {record.name} is the project that PyPI calls {lack.name}" if record is not None else "",
    )  # fmt: skip


def _conflict(lack: Unsatisfied) -> Finding:
    wheel = lack.needed_by
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(
            f"pip will refuse this transaction: {wheel.display_name} {wheel.version} requires {lack.requirement}."
        ),
        why=(
            Fact(
                f"requires {lack.requirement}",
                _metadata(wheel),
            ),
            Fact(f"the transaction's own wheel of {lack.name} does not meet it", loader_rule="PY-19"),
        ),
        remedies=(Remedy(f"choose versions of {wheel.name} and {lack.name} that go together"),),
        key=lack.name,
        wheel=wheel_origin(wheel),
        subject=_metadata(wheel),
    )


def _unchanged(item: Unchanged) -> Finding:
    wheel, dist = item.request.wheel, item.dist
    return Finding(
        rule=RULE.id,
        severity=Severity.NOTE,
        confidence=Confidence.HIGH,
        what=sentence(f"pip will not install {wheel.display_name} {wheel.version}: that version is there already."),
        why=(Fact("the same version is installed; only --force-reinstall makes pip replace it",
                  FileRef(dist.path, dist.origin), loader_rule="PY-14"),),
        remedies=(),
        key=dist.name,
        wheel=wheel_origin(wheel),
        conda_package=dist.owner.origin if dist.owner is not None else None,
        object=FileRef(dist.path, dist.origin),
    )  # fmt: skip


# -- what has happened ---------------------------------------------------------


def _was_replaced(prefix: Prefix, record: CondaRecord, dist: Distribution) -> Finding:
    broken = broken_needs(prefix, _as_conda_had_it(dist, record), version=dist.version)
    count = f"; {len(broken)} requirements on it do not hold" if broken else ""
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(
            f"pip put {dist.display_name} {dist.version} in the place of conda {record.name} {record.version}{count}."
        ),
        why=(
            Fact(f"its INSTALLER says {dist.installer}" if dist.installer else "it has no INSTALLER",
                 FileRef(dist.path, dist.origin), loader_rule="PY-14"),
            Fact(f"conda still records {record.name} {record.version} with {len(record.files)} files",
                 FileRef(record.source, record.origin), loader_rule="PY-14"),
            *_broken_facts(broken),
        ),
        remedies=(
            Remedy("go back to conda's", f"pip uninstall {dist.name} && "
                   + conda_install(prefix.display, "--force-reinstall", record.name)),
        ),
        key=dist.name,
        wheel=dist.origin,
        conda_package=record.origin,
        subject=FileRef(dist.path, dist.origin),
        object=FileRef(record.source, record.origin),
    )  # fmt: skip


def _as_conda_had_it(dist: Distribution, record: CondaRecord) -> Distribution:
    """The distribution that stood there before, as far as requirements on it go: the record's version and owner."""
    return Distribution(
        name=dist.name, display_name=dist.display_name, version=record.version, path=dist.path, installer="conda",
        requires_dist=(), requires_python="", has_record=False, owner=record, files_of=dist.files_of,
    )  # fmt: skip


def _once_again(prefix: Prefix, dist: Distribution, owner: Origin | None) -> Remedy:
    """pip removes one of the two at a time, with the files that both list: what is wanted must be put back."""
    remove = f"pip uninstall {dist.name} && pip uninstall {dist.name}"
    if owner is not None:
        again = conda_install(prefix.display, "--force-reinstall", owner.name)
        return Remedy("remove both, then have conda link its own again", f"{remove} && {again}")
    return Remedy("remove both, then install it again", f"{remove} && pip install {dist.name}")


def _twice(prefix: Prefix, one: Distribution, other: Distribution) -> Finding:
    both = sorted((one, other), key=lambda d: d.path)
    names = [f"{d.version} ({d.installer or 'unknown installer'})" for d in both]
    owner: Origin | None = next((d.owner.origin for d in both if d.owner is not None), None)
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(
            f"{one.display_name} is installed twice: {listed(names)}; Python's metadata shows either of them."
        ),
        why=tuple(Fact("its metadata folder", FileRef(d.path, d.origin), loader_rule="PY-14") for d in both),
        remedies=(_once_again(prefix, one, owner),),
        key=one.name,
        wheel=next((d.origin for d in both if not d.by_conda), None),
        conda_package=owner,
        subject=FileRef(both[0].path, both[0].origin),
        object=FileRef(both[1].path, both[1].origin),
    )
