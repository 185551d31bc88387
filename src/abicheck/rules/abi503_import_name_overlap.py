"""Another distribution provides the same import package under another name.

## What happens

Two projects put files into one package folder (`opencv-python` and conda's `opencv` both bring `cv2`). The second one
installed overwrites what has the same name and leaves the rest of the first in place, so the import may mix modules of
both. Removing either removes files of the other. When the other is a conda package, conda does not know of it; files
that are overwritten in such a package are told here, as one finding, and not once more as ABI501.

## Why: the loader rule

All of site-packages is one folder for the importer: a package folder wins over a module of the same name, and inside a
folder the extension suffixes decide (PY-7). pip compares project names, not files, so it sees no conflict (PY-18).
Folders without an `__init__` (namespaces) are made to be shared and do not count.

## Example

```
cv2/__init__.py, cv2/cv2.abi3.so     opencv-python 4.10
cv2.cpython-312-x86_64-linux-gnu.so  conda py-opencv 4.10      (never imported again: the folder wins)
```

## What to do

1. Keep one of the two: remove the other first.
2. Prefer the one that the rest of the environment was built for.

## When this is wrong

- One project is a stub or a compatibility shim of the other and says so.
- The shared name is a folder of tests or examples that nobody imports (then this is a note).

## References

Python language reference, section 5 (import system); pip `_internal/operations/install/wheel.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.model import Confidence, Fact, FileRef, Finding, Remedy, Severity
from abicheck.prefix import Prefix
from abicheck.rules import Rule
from abicheck.rules.overlaps import Overlap, Provider, installed_overlaps, overlaps
from abicheck.rules.ownership import is_twin, twin_of
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_install, counted, listed, public, sentence
from abicheck.transaction import Transaction

RULE = Rule(
    id="ABI503",
    name="import-name-overlap",
    severity="warning",
    classes=("OWNERSHIP",),
    platforms=("linux", "osx", "win"),
    summary="Another distribution provides the same import package under another name",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    if scene.transaction is not None:
        yield from judge(scene.transaction)
    else:
        yield from judge_installed(scene.prefix)


def judge(transaction: Transaction) -> Iterator[Finding]:
    """Wheels against what is installed and stays, and against each other."""
    for overlap in overlaps(transaction):
        yield _finding(transaction.prefix, overlap)


def judge_installed(prefix: Prefix) -> Iterator[Finding]:
    """For an audit: distributions of pip against everybody else."""
    for overlap in installed_overlaps(prefix):
        yield _finding(prefix, overlap)


def _finding(prefix: Prefix, overlap: Overlap) -> Finding:
    one, other = overlap.one, overlap.other
    name = (overlap.serious or overlap.names)[0]
    ours, theirs = one.packages[name], other.packages[name]
    layout = prefix.layout
    assert layout is not None
    subject = FileRef(f"{layout.purelib}/{_face(ours)}", one.origin)
    target = FileRef(f"{layout.purelib}/{_face(theirs)}", other.origin)
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING if overlap.serious else Severity.NOTE,
        confidence=Confidence.HIGH,
        what=sentence(_what(overlap, name)),
        why=(
            Fact(f"brings {name} with {counted(len(ours), 'file')}", subject, loader_rule="PY-18"),
            Fact(f"brings {name} with {counted(len(theirs), 'file')}", target, loader_rule="PY-18"),
            Fact(_mixture(sorted(set(ours) & set(theirs)), theirs), loader_rule="PY-7"),
            *_unknown_to_conda(overlap),
        ),
        remedies=tuple(_remedies(prefix, one, other)),
        key=name,
        wheel=one.origin,
        conda_package=other.origin if other.origin.kind == "conda" else None,
        subject=subject,
        object=target,
    )


def _what(overlap: Overlap, name: str) -> str:
    one, other = overlap.one, overlap.other
    also = f" (and {len(overlap.names) - 1} more)" if len(overlap.names) > 1 else ""
    if one.wheel is not None and other.wheel is None and not overlap.remains:
        return f"`import {name}` will find {one.origin.label}, written over the files of {other.origin.label}{also}."
    return f"`import {name}` will find files of both {one.origin.label} and {other.origin.label}{also}."


def _unknown_to_conda(overlap: Overlap) -> Iterator[Fact]:
    record = overlap.other.record
    if overlap.one.wheel is not None and record is not None:
        text = f"pip writes them without asking conda; the record of {record.name} {record.version} goes on claiming"
        yield Fact(f"{text} its own", FileRef(record.source, record.origin), loader_rule="PY-13")


def _remedies(prefix: Prefix, one: Provider, other: Provider) -> Iterator[Remedy]:
    """One project under two names: conda's own, in the wanted version. Two projects: one of them has to go."""
    wheel, record = one.wheel, other.record
    keep = _keep_one(prefix, one, other)
    if wheel is not None and record is not None and is_twin(prefix, wheel, record):
        text = f"conda {record.name} {record.version} is installed; ask conda for the version you need"
        yield Remedy(text, conda_install(prefix.display, f"{record.name}={public(wheel.version)}"))
        yield Remedy(f"or {keep.text}", keep.command)
        return
    yield keep
    twin = twin_of(prefix, one.project)
    if wheel is not None and twin is not None and twin.record is None:
        yield Remedy("or take the conda package of the project", conda_install(prefix.display, twin.conda))


def _face(paths: tuple[str, ...]) -> str:
    """The file that stands for a package: its ``__init__``, else a module, else the first."""
    return min(paths, key=lambda p: ("/__init__." not in p, not p.endswith((".py", ".so", ".pyd")), p.count("/"), p))


def _mixture(same: list[str], theirs: tuple[str, ...]) -> str:
    left = len(theirs) - len(same)
    if not same:
        stay = f"{counted(left, 'file')} of the other {'stays' if left == 1 else 'stay'}"
        return f"no file has the same name: {stay} and may be imported with these"
    both = f"{counted(len(same), 'file has', 'files have')} the same name, the later install wins: {listed(same)}"
    return f"{both}; {left} of the other stay and may be imported with these" if left else f"{both}; no other is left"


def _keep_one(prefix: Prefix, one: Provider, other: Provider) -> Remedy:
    """Before the install: remove the other first. After it, removing either takes the files of both names along."""
    if other.wheel is not None:
        return Remedy(f"install one of the two: leave {other.origin.label} out")
    if one.wheel is not None or not set(one.files) & set(other.files):
        return Remedy(f"keep one of the two: remove {other.origin.label} first", _remove(prefix, other))
    again = (
        conda_install(prefix.display, "--force-reinstall", other.origin.name)
        if other.origin.kind == "conda"
        else f"pip install --force-reinstall --no-deps {other.project}=={other.origin.version}"
    )
    text = f"keep {other.origin.label}: remove the other, then put back the files that both have"
    return Remedy(text, f"pip uninstall {one.project} && {again}")


def _remove(prefix: Prefix, provider: Provider) -> str:
    if provider.origin.kind == "conda":
        return f"conda remove -n {prefix.display} {provider.origin.name}"
    return f"pip uninstall {provider.project}"
