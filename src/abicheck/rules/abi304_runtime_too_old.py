"""An older copy of the C++ runtime serves than one of its users was built for.

## What happens

The loader finds every symbol and says nothing. The user was compiled against newer headers, whose inline code relies
on a newer runtime behind it. Where that is known to matter the process dies in the middle of work, for example in
`msvcp140.dll` at the first `std::mutex` that is locked; elsewhere it is merely unsupported.

## Why: the loader rule

Windows compares base names only: the first `msvcp140.dll` that is loaded serves everybody (WIN-1), be it the one
beside python.exe, which stands before added directories and System32 (WIN-4, WIN-22), or one that another package
brought. Nothing compares versions (WIN-21). Microsoft asks that the runtime be at least as new as the newest toolset of
any user. Since 14.40 `std::mutex` is constant-initialised: a user that locks mutexes and never calls
`_Mtx_init_in_situ` was built so.

On Linux the same question is asked by version nodes, and a runtime that is too old is refused (ABI201).

## Example

```
_ext.pyd          linked by toolset 14.44, imports _Mtx_lock from MSVCP140.dll
MSVCP140.dll      the environment's vc14_runtime, 14.36: access violation at the first lock
```

## What to do

1. Update the environment's runtime: `conda install -n ENV "vc14_runtime>=14.44"`.
2. Or import the project with the newer copy first, where two are shipped.

## When this is wrong

- The code that relies on the newer runtime never runs.
- The objects were built with `_DISABLE_CONSTEXPR_MUTEX_CONSTRUCTOR`.

## References

Microsoft, "C++ binary compatibility between Visual Studio versions"; microsoft/STL issues 4730 and 4978; STL changelog,
VS 2022 17.10.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from abicheck.binary.pe import PeSlice
from abicheck.knowledge.msvc_runtime import Break, Toolset, msvc_runtime, toolset
from abicheck.loader.scenarios import Difference, Run
from abicheck.model import Confidence, Dependence, Fact, Finding, Origin, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, conda_among, conda_install, import_first, in_order, listed, ref, sentence

RULE = Rule(
    id="ABI304",
    name="runtime-too-old",
    severity="error/warning",
    classes=("VERSION_SKEW",),
    platforms=("win",),
    summary="An older copy of the C++ runtime serves than one of its users was built for",
    since="0.1",
)


@dataclass(frozen=True, slots=True)
class Skew:
    """One user of a runtime that is older than it. Paths are real; ``broken``: the change that is known to matter."""

    user: str
    runtime: str
    name: str
    wanted: Toolset
    offered: Toolset
    broken: Break | None
    rule: str


def check(scene: Scene) -> Iterator[Finding]:
    alone: set[tuple[str, str]] = set()
    for group in scene.subjects:
        if not (group.units or group.prelude):
            continue
        mine = [s for s in skews(scene, scene.run_of(group)) if _concerns(scene, s, group.origin)]
        alone.update((s.user, s.runtime) for s in mine)
        for together in _by_runtime(mine):
            yield _finding(scene, group.origin, group.label, together, None)
    for meeting, diff in scene.differences:
        moved = {(m.requester, m.after) for m in diff.libraries}
        found = [s for s in skews(scene, diff.run) if (s.user, s.runtime) in moved and (s.user, s.runtime) not in alone]
        for together in _by_runtime(found):
            yield _finding(scene, meeting.a.origin, diff.second.label, together, diff)


def skews(scene: Scene, run: Run) -> Iterator[Skew]:
    """Users of the 14.x runtime in one process that get an older copy than their toolset."""
    table, objects = msvc_runtime(), run.trace.objects
    for edge in run.trace.edges:
        if edge.kind != "required" or edge.provider is None or not table.is_member(edge.name):
            continue
        requester, provider = objects[edge.requester], objects[edge.provider]
        if not (requester.kept and provider.kept):
            continue
        user, runtime = _pe(scene, requester.real), _pe(scene, provider.real)
        if user is None or runtime is None or runtime.file_version is None or "msvc" not in user.floors:
            continue
        wanted, offered = toolset(user.floors["msvc"]), (runtime.file_version[0], runtime.file_version[1])
        if offered < wanted:
            asked = {i.name for i in user.imports() if i.library == edge.name and i.name is not None}
            broken = table.broken(base(edge.name), asked, offered, wanted)
            yield Skew(requester.real, provider.real, edge.name, wanted, offered, broken, provider.rule)


def _pe(scene: Scene, path: str) -> PeSlice | None:
    binary, _ = scene.read(path)
    part = binary.slices[0] if binary is not None else None
    return part if isinstance(part, PeSlice) else None


def _concerns(scene: Scene, skew: Skew, subject: Origin) -> bool:
    """Whether the subject takes part: as the user, or with its copy of the runtime."""
    return subject in (scene.view.origin(skew.user), scene.view.origin(skew.runtime))


def _by_runtime(found: Iterable[Skew]) -> Iterator[list[Skew]]:
    """One finding for each copy of the runtime (its DLLs lie together); users that are known to break come first."""
    groups: dict[str, list[Skew]] = {}
    for s in found:
        groups.setdefault(posixpath.dirname(s.runtime), []).append(s)
    for place in sorted(groups):
        yield sorted(groups[place], key=lambda s: (_rank(s), s.user, s.name))


def _rank(skew: Skew) -> int:
    return 2 if skew.broken is None else 0 if skew.broken.sure else 1


def _grade(worst: Skew) -> tuple[Severity, Confidence, str]:
    """Severity, confidence and the assumption: a crash needs the code to run; mere age is worth a note."""
    if worst.broken is None:
        return Severity.NOTE, Confidence.HIGH, ""
    if worst.broken.sure:
        return Severity.ERROR, Confidence.MEDIUM, "when it locks a mutex"
    return Severity.WARNING, Confidence.LOW, "if its mutexes are constant-initialised and it locks one"


def _finding(scene: Scene, subject: Origin, label: str, found: list[Skew], diff: Difference | None) -> Finding:
    worst = found[0]
    severity, confidence, assumption = _grade(worst)
    user, runtime = ref(scene.view, worst.user), ref(scene.view, worst.runtime)
    assert user is not None and runtime is not None
    newest = max(s.wanted for s in found)
    depends: list[Dependence] = ["python-code"] if worst.broken is not None else []
    when = ""
    if diff is not None:
        depends.append("import-order")
        when = f" if {diff.first.label} is imported first"
        confidence = min(confidence, Confidence.MEDIUM)
        assumption = f"{when.strip()} and {assumption}" if assumption else when.strip()
    will = {Severity.ERROR: "will crash", Severity.WARNING: "may crash"}.get(severity, "will run unsupported")
    conda = conda_among(runtime.origin, user.origin)
    return Finding(
        rule=RULE.id,
        severity=severity,
        confidence=confidence,
        what=sentence(
            f"{label} {will}{when}: {base(user.path)} was built for {worst.name} {_text(worst.wanted)} and gets "
            f"{_text(worst.offered)}, from {runtime.origin.label}."
        ),
        why=tuple(_evidence(scene, found, diff)),
        remedies=tuple(_remedies(scene, runtime.origin, newest, diff)),
        key=worst.name.lower(),
        wheel=subject,
        conda_package=conda,
        subject=user,
        object=runtime,
        depends_on=tuple(depends),
        assumption=assumption,
        orders=in_order(diff.first.label, diff.second.label) if diff is not None else None,
    )


def _evidence(scene: Scene, found: list[Skew], diff: Difference | None) -> Iterator[Fact]:
    worst = found[0]
    yield Fact(f"was linked by the Microsoft toolset {_text(worst.wanted)}", ref(scene.view, worst.user))
    served = "serves because " + (f"{diff.first.label} loaded it first" if diff is not None else "it is found first")
    yield Fact(
        f"{served}; its version is {_text(worst.offered)}, and nothing compares versions",
        ref(scene.view, worst.runtime),
        loader_rule="WIN-1" if diff is not None else worst.rule,
    )
    if worst.broken is not None:
        yield Fact(worst.broken.what, symbol=sorted(worst.broken.any_of)[0], loader_rule="WIN-21")
    else:
        yield Fact("the runtime must be at least as new as the newest toolset of its users", loader_rule="WIN-21")
    if len({s.user for s in found}) > 1:
        users = dict.fromkeys(base(s.user) for s in found)
        yield Fact(f"{len(users)} files are newer than it: {listed(users)}")


def _remedies(scene: Scene, owner: Origin, newest: Toolset, diff: Difference | None) -> Iterator[Remedy]:
    if diff is not None and owner.kind != "conda":
        yield import_first((diff.second.label, diff.first.label))
    package = msvc_runtime().conda_package
    command = conda_install(scene.prefix.display, f"{package}>={_text(newest)}")
    yield Remedy("update the environment's Visual C++ runtime", command)


def _text(version: Toolset) -> str:
    return f"{version[0]}.{version[1]:02d}"
