"""Extension modules of different projects do not agree on the objects they share.

## What happens

An extension was compiled for another layout of a type that a second project provides: `import` raises "size changed,
may indicate binary incompatibility", or it only warns and the process dies when the object is used. Or two extensions
hand each other the objects of a library (XML trees of libxml2) that each has its own version of inside.

## Why: the loader rule

The loader sees nothing of this: extensions meet through Python objects (PY-17). Cython compares the size of a foreign
type at import; a smaller object than expected raises ValueError, a larger one is accepted with a warning. It looks up
every C function of another module by name and compares its signature: "does not export expected C function", "has wrong
signature". C-APIs that are passed as capsules (`greenlet._C_API`) are tables of pointers, and a newer user reads beyond
the end of an older one. pybind11 and nanobind keep the C++ classes of all modules of one id together; a module with
another id (another version of the registry, compiler or C++ library) does not know them.

## Example

```
gevent 22.10.2    compiled for a greenlet object of 40 bytes (greenlet 2)
greenlet 1.1.3    from conda: 176 bytes; `import gevent` warns, the first switch crashes
```

## What to do

1. Let pip or conda install both projects together, so that their versions fit: without `--no-deps`.
2. Take both projects from conda.

## When this is wrong

- The two projects are never used together.

## References

Cython Utility/ImportExport.c (TypeImport, FunctionImport); gevent/gevent#1923; python-greenlet/greenlet#178;
xmlsec/python-xmlsec#320.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.evidence.extensions import Shared, shared
from abicheck.evidence.scan import scan
from abicheck.knowledge.extension_abi import Exchange, ObjectSize, exchanges, object_sizes
from abicheck.loader.scenarios import Group
from abicheck.model import Confidence, Fact, Finding, Origin, Remedy, Severity
from abicheck.overlay import View
from abicheck.rules import Rule
from abicheck.rules.cython_functions import Lack, lacks
from abicheck.rules.scene import Scene
from abicheck.rules.shared_classes import plain, strangers
from abicheck.rules.sites import rank
from abicheck.rules.versions import library_version
from abicheck.rules.wording import base, conda_install, listed, ref, sentence

RULE = Rule(
    id="ABI402",
    name="extension-abi",
    severity="error/warning",
    classes=("ABI_MISMATCH",),
    platforms=("linux", "osx", "win"),
    summary="Extensions of different projects do not agree on the objects they share",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    yield from _functions(scene)
    yield from _classes(scene)
    for row in object_sizes():
        yield from _sizes(scene, row)
    for exchange in exchanges():
        yield from _exchange(scene, exchange)


# -- C functions and classes -----------------------------------------------------------------


def _functions(scene: Scene) -> Iterator[Finding]:
    """One finding for each two projects: the module that a program imports most surely speaks for the others."""
    found: dict[tuple[Origin, Origin], list[Lack]] = {}
    for lack in lacks(scene):
        found.setdefault((lack.group.origin, lack.giver), []).append(lack)
    for alike in found.values():
        ranked = [(scene.importance(lack.group, lack.unit), lack) for lack in alike[:ASKED]]
        yield _function_finding(scene, *min(ranked, key=lambda r: rank(r[0])), alike)


ASKED = 8  # a project with more modules that fail cannot do without all of them


def _function_finding(scene: Scene, importance: str, lack: Lack, alike: list[Lack]) -> Finding:
    sure = importance == "demanded"
    here, giver = lack.group.origin, lack.giver
    module = lack.group.label if sure else lack.unit.module
    reason, said, symbol = _lost(lack)
    wheel = here if here in scene.subject_origins else giver
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING if importance == "optional" else Severity.ERROR,
        confidence=Confidence.HIGH if sure else Confidence.MEDIUM,
        what=sentence(f"`import {module}` will fail: {reason}."),
        why=(
            Fact(f"was compiled for another {giver.name}; looked up when it is imported: "
                 f"{listed(n for one in alike for n in _names(one))}; modules: {listed(o.unit.module for o in alike)}",
                 ref(scene.view, lack.unit.path), symbol, loader_rule="PY-17"),
            Fact(f"is {lack.module} of {giver.label}", ref(scene.view, lack.path)),
            Fact(f"Python will say: {said}"),
        ),
        remedies=(
            Remedy("let pip choose versions that fit each other (without --no-deps)",
                   f"pip install {here.name} {giver.name}"),
            Remedy("or take both from conda", conda_install(scene.prefix.display, here.name, giver.name)),
        ),
        key=f"{lack.unit.module} {lack.module}",
        wheel=wheel,
        conda_package=next((o for o in (giver, here) if o.kind == "conda"), None),
        subject=ref(scene.view, lack.unit.path),
        object=ref(scene.view, lack.path),
        depends_on=() if sure else ("python-code",),
        assumption="" if sure else f"if the program imports {lack.unit.module}",
    )  # fmt: skip


def _lost(lack: Lack) -> tuple[str, str, str]:
    """(why the import fails, what Python says, the name) of the first thing that is not as it was compiled for."""
    where, who = f"{lack.module} of {lack.giver.label}", lack.unit.module
    if lack.small is not None:
        want, have = lack.small
        return (
            f"{who} was compiled for a {want.module}.{want.name} of {want.size} bytes, and {lack.giver.label} has one "
            f"of {have}",
            f"ValueError: {want.module}.{want.name} size changed, may indicate binary incompatibility. "
            f"Expected {want.size} from C header, got {have} from PyObject",
            want.name,
        )
    if lack.missing:
        need = lack.missing[0]
        message = f"ImportError: {lack.module} does not export expected C function {need.name}"
        return f"{where} has no C function {need.name}, which {who} uses", message, need.name
    need = lack.changed[0]
    message = (
        f"TypeError: C function {lack.module}.{need.name} has wrong signature (expected {need.signature}, got ...)"
    )
    return f"the C function {need.name} in {where} has another signature than {who} expects", message, need.name


def _names(lack: Lack) -> tuple[str, ...]:
    own = (lack.small[0].name,) if lack.small is not None else ()
    return (*own, *(n.name for n in (*lack.missing, *lack.changed)))


# -- classes of pybind11 and nanobind --------------------------------------------


def _classes(scene: Scene) -> Iterator[Finding]:
    """One finding for each two projects."""
    told = set()
    for found in strangers(scene):
        here, giver = found.group.origin, found.giver
        if (here, giver) in told:
            continue
        told.add((here, giver))
        names = listed(plain(c) for c in found.classes)
        user = found.unit.module
        yield Finding(
            rule=RULE.id,
            severity=Severity.WARNING,
            confidence=Confidence.MEDIUM,
            what=sentence(
                f"{user} will neither take nor return objects of {found.module} ({giver.label}): the two were built "
                f"with versions of {found.kind} or compilers that do not share classes."
            ),
            why=(
                Fact(f"imports {found.module} and works with its classes {names}; keeps classes under {found.own}",
                     ref(scene.view, found.unit.path), found.own, loader_rule="PY-17"),
                Fact(f"keeps its classes under {found.theirs}", ref(scene.view, found.path), found.theirs),
                Fact("Python will say: TypeError: incompatible function arguments, or: Unable to convert function "
                     "return value to a Python type"),
            ),
            remedies=(
                Remedy("take releases of both that were built alike", f"pip install -U {here.name} {giver.name}"),
                Remedy("or take both from conda", conda_install(scene.prefix.display, here.name, giver.name)),
            ),
            key=f"{user} {found.module} classes",
            wheel=here if here in scene.subject_origins else giver,
            conda_package=next((o for o in (giver, here) if o.kind == "conda"), None),
            subject=ref(scene.view, found.unit.path),
            object=ref(scene.view, found.path),
            depends_on=("python-code",),
            assumption="if objects of one are given to the other",
        )  # fmt: skip


# -- object sizes --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Provider:
    """A distribution that provides a type: who brings it and in which version."""

    origin: Origin
    version: str


def provider(scene: Scene, name: str) -> Provider | None:
    """The distribution of that name after the install."""
    for placed in scene.stage.placed:
        if placed.wheel.name == name:
            return Provider(placed.origin, placed.wheel.version)
    dist = scene.prefix.distribution(name)
    if dist is not None:
        return Provider(dist.origin, dist.version)
    record = next((r for r in scene.prefix.records if r.name == name), None)
    return Provider(record.origin, record.version) if record is not None else None


def _sizes(scene: Scene, row: ObjectSize) -> Iterator[Finding]:
    have = provider(scene, row.distribution)
    if have is None:
        return
    changed = have.origin in scene.subject_origins
    for group in (*scene.subjects, *(scene.bystanders if changed else ())):
        if group.origin == have.origin:
            continue
        hits = []
        for unit in group.units:
            for found in _shared(scene.view, unit.path).sizes:
                if (found.module, found.name) == (row.module, row.type):
                    outcome = disagree(row, found.size, have.version)
                    if outcome != "nothing":
                        hits.append((unit.path, found.size, outcome))
        if hits:
            yield _size_finding(scene, row, group, have, hits)


def disagree(row: ObjectSize, expected: int, version: str) -> str:
    """What follows when an extension compiled for ``expected`` bytes meets that version: import-error, crash,
    nothing."""
    size = row.size(version)
    if size is None or size == expected:
        return "nothing"
    if size == 0:  # more than row.larger_than, how much depends on the Python version
        return row.grew if expected <= row.larger_than else "nothing"
    return row.shrank if expected > size else row.grew


def _shared(view: View, path: str) -> Shared:
    return view.ask(path, shared) or Shared()


def _size_finding(
    scene: Scene, row: ObjectSize, group: Group, have: Provider, hits: list[tuple[str, int, str]]
) -> Finding:
    path, expected, outcome = hits[0]
    wheel = group.origin if group.origin in scene.subject_origins else have.origin
    size = row.size(have.version)
    actual = f"{size} bytes" if size else f"more than {row.larger_than} bytes"
    first = row.first_with(expected)
    end = (
        f"`import {group.label}` will fail"
        if outcome == "import-error"
        else f"{group.label} will import with a warning and crash when it is used"
    )
    compiled = f"compiled for a {row.module}.{row.type} of {expected} bytes"
    wanted = f'"{row.distribution}>={first}"' if first else row.distribution
    return Finding(
        rule=RULE.id,
        severity=Severity.ERROR,
        confidence=Confidence.HIGH if outcome == "import-error" else Confidence.MEDIUM,
        what=sentence(f"{end}: it was {compiled}, and {have.origin.label} has one of {actual}."),
        why=(
            Fact(
                f"compiled for {row.module}.{row.type} of {expected} bytes; also {listed(base(h[0]) for h in hits)}",
                ref(scene.view, path),
                loader_rule="PY-17",
            ),
            Fact(f"{row.distribution} {have.version} has objects of {actual}: {row.text}"),
        ),
        remedies=(
            Remedy(
                "let pip choose the version that fits (without --no-deps)", f"pip install {group.origin.name} {wanted}"
            ),
            Remedy("or take both from conda", conda_install(scene.prefix.display, group.origin.name, row.distribution)),
        ),
        key=f"{row.module}.{row.type}",
        wheel=wheel,
        conda_package=next((o for o in (have.origin, group.origin) if o.kind == "conda"), None),
        subject=ref(scene.view, path),
        depends_on=("python-code",) if outcome == "crash" else (),
        assumption="if it is used after the import" if outcome == "crash" else "",
    )


# -- libraries whose objects are handed over -----------------------------------


def _exchange(scene: Scene, row: Exchange) -> Iterator[Finding]:
    giver = _module_file(scene, row.provider)
    taker = _module_file(scene, row.consumer)
    if giver is None or taker is None:
        return
    touched = {scene.view.origin(scene.view.lookup(p).real) for p in (giver, taker)} & set(scene.subject_origins)
    if not touched:
        return
    ours, theirs = (library_version(scene, p, row.family) for p in (taker, giver))
    if not ours or not theirs or ours[: row.parts] == theirs[: row.parts]:
        return
    checks = _makes_check(scene, taker, row)
    wheel = sorted(touched)[0]
    text = [".".join(map(str, v)) for v in (ours, theirs)]
    end = "fail" if checks else "work on objects of another build"
    start = f"`import {row.consumer}` will {end}: it has {row.family} {text[0]}"
    what = f"{start}, and {row.provider}, whose objects it takes, has {text[1]}."
    yield Finding(
        rule=RULE.id,
        severity=Severity.ERROR if checks else Severity.WARNING,
        confidence=Confidence.HIGH if checks else Confidence.MEDIUM,
        what=sentence(what),
        why=(
            Fact(f"works with {row.family} {text[0]}", ref(scene.view, taker), loader_rule="PY-17"),
            Fact(f"makes its objects with {row.family} {text[1]}", ref(scene.view, giver)),
            Fact(f"{row.text}{'; it compares the versions itself at import' if checks else ''}"),
        ),
        remedies=(
            Remedy(
                "take both from conda, where they share one library",
                conda_install(scene.prefix.display, *(m.partition(".")[0] for m in (row.consumer, row.provider))),
            ),
        ),
        key=f"{row.consumer} {row.provider} {row.family}",
        wheel=wheel,
        subject=ref(scene.view, taker),
        object=ref(scene.view, giver),
        assumption="" if checks else "if objects are passed between them",
        runtime=row.family,
    )


def _module_file(scene: Scene, module: str) -> str | None:
    """The extension file that an import name loads, among subjects and bystanders."""
    for group in (*scene.subjects, *scene.bystanders):
        for unit in group.units:
            if unit.module == module:
                return unit.path
    return None


def _makes_check(scene: Scene, path: str, row: Exchange) -> bool:
    """Whether an extension compares the versions itself. One that cannot be read is listed as such and claims none."""
    return bool(scene.view.ask(path, lambda source: scan(source, {"check": row.check.encode()})))
