"""Files that conda-meta claims are already altered or gone.

## What happens

The environment is mixed or damaged before anything is installed: a library that conda linked has other bytes (pip wrote
over it, another conda package did, a copy was cut off), or it is gone. Judgements about it rest on what is there now;
conda will not notice by itself and will not repair it.

## Why: the loader rule

conda records a hash of every file as it linked it (`sha256_in_prefix`) and does not look again. pip writes over such
files without asking (PY-13) and removes those of distributions that it replaces (PY-14). The loader takes what lies at
the path, whoever wrote it.

## Example

```
lib/python3.10/site-packages/pydantic/main.cpython-310-x86_64-linux-gnu.so
    conda pydantic 1.10.14 linked other bytes; pip's RECORD of pydantic 1.10.4 lists the file too
```

## What to do

1. Decide which of the two you want; remove the other with its own tool.
2. `conda install --force-reinstall PACKAGE` links conda's files again.

## When this is wrong

- A program of the environment changes the file on purpose after linking (a relinked or re-signed library).
- The environment is a partial copy: files that version control left out are absent, not lost (then this is a note).

## References

conda-meta records (`paths_data`, `sha256_in_prefix`); conda `core/path_actions.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.model import Confidence, Fact, FileRef, Finding, Origin, Remedy, Severity
from abicheck.prefix import Damaged, Prefix, both_claim, is_partial_copy
from abicheck.rules import Rule
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_install, listed, sentence

RULE = Rule(
    id="ABI505",
    name="prefix-damaged",
    severity="warning",
    classes=("OWNERSHIP", "FILE_CLOBBER"),
    platforms=("linux", "osx", "win"),
    summary="Files that conda-meta claims are already altered or gone",
    since="0.1",
)
_WORDS = {
    "by-pip": "overwritten by pip's {dist}",
    "by-conda": "overwritten by another conda package",
    "cut": "cut off",
    "changed": "altered",
    "hollowed": "gone since pip replaced the distribution",
    "absent": "not there",
    "resigned": "signed again",
}


def check(scene: Scene) -> Iterator[Finding]:
    """Hashing an environment takes seconds: done for an audit, not for each gate."""
    if scene.transaction is None:
        yield from judge(scene.prefix)


def judge(prefix: Prefix) -> Iterator[Finding]:
    """One finding for each package and kind of damage; each damaged file is a line of its evidence."""
    found = prefix.damage
    partial = is_partial_copy(prefix, found)
    if partial:
        yield _left_out(prefix, [d for d in found if d.kind == "absent"])
    groups: dict[tuple[str, str, str], list[Damaged]] = {}
    for item in found:
        if item.kind == "resigned" or (item.kind == "absent" and partial):
            continue  # conda itself signs again after it relocates a library
        who = item.dist.name if item.kind == "by-pip" and item.dist is not None else ""
        groups.setdefault((item.records[-1].name, item.kind, who), []).append(item)
    for _, items in sorted(groups.items()):
        yield _finding(prefix, items)
    yield from _claimed_twice(prefix)


def _left_out(prefix: Prefix, items: list[Damaged]) -> Finding:
    """A partial copy of an environment: one note for all that is absent, whoever owns it."""
    return Finding(
        rule=RULE.id,
        severity=Severity.NOTE,
        confidence=Confidence.MEDIUM,
        what=sentence(_absent(len(items), prefix.display)),
        why=tuple(Fact(_fact(i), FileRef(i.path, _who(i))) for i in items),
        remedies=(),
        key="absent",
        subject=FileRef(items[0].path, _who(items[0])),
        assumption="if the environment was copied without them",
    )


def _absent(count: int, name: str) -> str:
    are = "file that conda recorded is" if count == 1 else "files that conda recorded are"
    return f"{count} native {are} not in this copy of {name}."


def _finding(prefix: Prefix, items: list[Damaged]) -> Finding:
    first = items[0]
    record = first.records[-1]
    word = _WORDS[first.kind].format(dist=first.dist.origin.name if first.dist is not None else "")
    count = f"{len(items)} file{'' if len(items) == 1 else 's'}"
    what = f"{count} of conda {record.name} {record.version} {'is' if len(items) == 1 else 'are'} {word}."
    restore = conda_install(prefix.display, "--force-reinstall", record.name)
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(what),
        why=tuple(Fact(_fact(i), FileRef(i.path, _who(i)), loader_rule="PY-13") for i in items),
        remedies=(Remedy("have conda link its files again", restore),),
        key=f"{record.name}:{first.kind}",
        wheel=first.dist.origin if first.dist is not None else None,
        conda_package=record.origin,
        subject=FileRef(first.path, _who(first)),
        object=FileRef(record.source, record.origin),
    )


def _who(item: Damaged) -> Origin:
    if item.kind == "by-pip" and item.dist is not None:
        return item.dist.origin
    return item.records[-1].origin


def _fact(item: Damaged) -> str:
    if item.kind == "by-pip" and item.dist is not None:
        return f"is not what conda linked; the RECORD of {item.dist.display_name} {item.dist.version} lists it too"
    if item.kind == "by-conda":
        return f"is listed by {listed(r.name for r in item.records)}, and has the content of one of them"
    if item.kind == "cut":
        return f"ends after {item.size} of {item.expected} bytes"
    if item.kind in ("hollowed", "absent"):
        return "is not there"
    return "has another hash than conda recorded"


def _claimed_twice(prefix: Prefix) -> Iterator[Finding]:
    """Native files that two of pip's distributions list: removing one breaks the other."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for path, dists in both_claim(prefix):
        groups.setdefault(tuple(sorted(d.name for d in dists)), []).append(path)
    for names, paths in sorted(groups.items()):
        origins = [d.origin for d in prefix.distributions if d.name in names and not d.by_conda]
        yield Finding(
            rule=RULE.id,
            severity=Severity.WARNING,
            confidence=Confidence.HIGH,
            what=sentence(f"{listed(names)} both claim {len(paths)} native file{'' if len(paths) == 1 else 's'}."),
            why=tuple(
                Fact(f"is in the RECORD of {listed(names)}", FileRef(p, origins[0]), loader_rule="PY-18") for p in paths
            ),
            remedies=(Remedy("keep one of them, and install it again", f"pip uninstall {' '.join(names)}"),),
            key="+".join(names),
            wheel=origins[0],
            subject=FileRef(paths[0], origins[0]),
            object=FileRef(paths[0], origins[-1]),
        )
