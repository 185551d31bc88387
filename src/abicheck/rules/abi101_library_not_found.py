"""A library that something needs is nowhere the loader looks.

## What happens

The import raises ImportError: the loader names a library and says that it cannot open it. Nothing of the extension is
loaded; what the failed attempt brought in is undone (GEN-3).

## Why: the loader rule

On Linux a name without a slash is looked up among the libraries already loaded (ELF-1, ELF-2), then in the DT_RPATH of
the file that needs it and of those that led to it, in LD_LIBRARY_PATH, in its DT_RUNPATH, in ld.so.cache and in the
system's directories (ELF-6). A file with DT_RUNPATH gets no help from anybody's DT_RPATH, so the environment's `lib`
is not searched for it (ELF-11). macOS walks the LC_RPATH stack (MAC-6); Windows looks beside the `.pyd`, beside
python.exe, in added directories and in System32, never along PATH (WIN-4).

## Example

```
core.cpython-312-x86_64-linux-gnu.so   NEEDED libengine.so
                                       searched: $ORIGIN, $PREFIX/lib, ld.so.cache, /lib64
```

## What to do

1. Install what brings the library: a companion wheel, or the conda package that has it.
2. Or take the conda build of the project.

## When this is wrong

- The project loads the library itself by full path before the extension, in a way that cannot be read from its source.
- The library exists on the machine where the environment will run, not on the one that was described: see `--host`.
- The module is one of several variants and is never imported: then the finding is a warning or a note.
- The wheel requires another one that pip will fetch and that brings the library: a warning, until both are given.

## References

glibc elf/dl-load.c `_dl_map_new_object`; dyld Loader.cpp `getLoader`; Microsoft, "Dynamic-link library search order".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from abicheck.knowledge.msvc_runtime import msvc_runtime
from abicheck.knowledge.policies import allowed_from_system
from abicheck.knowledge.windows_system import windows_system
from abicheck.loader.process import Failure, Mapped
from abicheck.loader.scenarios import Group
from abicheck.model import Confidence, Fact, Finding, Origin, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.claims import claimant
from abicheck.rules.companions import companion
from abicheck.rules.ground import Native
from abicheck.rules.loads import findings
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import LoadFailure, Scene
from abicheck.rules.wording import base, conda_install, counted, import_first, listed, ref, sentence, tried
from abicheck.transaction import Unsatisfied

RULE = Rule(
    id="ABI101",
    name="library-not-found",
    severity="error",
    classes=("MISSING_LIB",),
    platforms=("linux", "osx", "win"),
    summary="A library that something needs resolves to nothing",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    late = {id(f.failure): sibling for f in scene.failures if (sibling := _sibling(scene, f)) is not None}
    pick = lambda f: _is_missing(scene, f) and companion(scene, f) is None and id(f) not in late  # noqa: E731
    yield from findings(scene, RULE.id, pick, _more)
    yield from _left_to_companions(scene)
    for f in scene.failures:
        if id(f.failure) in late:
            yield _left_to_a_sibling(scene, f, late[id(f.failure)])
    yield from _left_to_an_unknown_host(scene)
    yield from _left_to_an_installer(scene)


def _is_missing(scene: Scene, failure: Failure) -> bool:
    return failure.kind == "MISSING_LIB" and claimant(scene, failure) is None


def _sibling(scene: Scene, f: LoadFailure) -> Native | None:
    """A file of the same project that answers to the missing name once it is loaded (ELF-2, MAC-1, WIN-1), for a module
    that importing the project does not load by itself: whether it is loaded by then is up to the program."""
    if f.situation != "alone" or f.importance == "demanded" or not _is_missing(scene, f.failure):
        return None
    wanted = base(f.failure.library).lower()
    own = scene.natives.get(f.subject, ())
    return next((n for n in own if wanted in _answers(scene, n) and n.path != f.failure.requester), None)


def _answers(scene: Scene, native: Native) -> frozenset[str]:
    """Last parts of the names that a loaded file answers to, lower case."""
    if scene.system == "win":
        return frozenset({base(native.path).lower()})
    slices = native.binary.slices if native.binary is not None else ()
    return frozenset(base(s.identity).lower() for s in slices if s.identity)


def _left_to_a_sibling(scene: Scene, f: LoadFailure, sibling: Native) -> Finding:
    missing, there = base(f.failure.library), scene.view.relative(sibling.path)
    facts, _ = _more(scene, f)
    first = sibling.module or there
    remedies = [import_first((sibling.module, f.unit.module))] if sibling.module and f.unit.module else []
    return Finding(
        rule=RULE.id,
        severity=Severity.NOTE if f.importance == "optional" else Severity.WARNING,
        confidence=Confidence.MEDIUM,
        what=sentence(f"{f.action} works only after {first} was loaded: {missing} is nowhere the loader looks."),
        why=(
            Fact(f"needs {scene.view.relative(f.failure.library)}", ref(scene.view, f.failure.requester)),
            *facts,
            Fact(
                "is of that name: once it is in the process, it serves every request for it",
                sibling.ref,
                loader_rule={"linux": "ELF-2", "osx": "MAC-1", "win": "WIN-1"}[scene.system],
            ),
        ),
        remedies=tuple(remedies) or (use_conda_build(scene, f.subject.name),),
        key=f"{f.unit.module or base(f.unit.path)} {missing}",
        wheel=f.subject,
        subject=ref(scene.view, f.failure.requester),
        object=sibling.ref,
        depends_on=("import-order", "python-code"),
        assumption=f"if {first} is not loaded before",
    )


@dataclass(frozen=True, slots=True)
class _Wait:
    """One module of a wheel that waits for a library. ``told``: where it was looked for."""

    wheel: Origin
    requirement: str
    action: str
    module: str
    requester: str
    library: str
    optional: bool
    told: tuple[Fact, ...] = ()


def _left_to_companions(scene: Scene) -> Iterator[Finding]:
    """Nobody has the library here, but pip will fetch a wheel that may bring it: one finding for each such wheel."""
    awaited: dict[tuple[Origin, str], list[_Wait]] = {}
    for wait in (*_failed_without(scene), *_unmet_without(scene)):
        awaited.setdefault((wait.wheel, wait.requirement), []).append(wait)
    for (wheel, requirement), alike in awaited.items():
        first, required = alike[0], requirement.partition(";")[0].strip()
        names = listed(dict.fromkeys(w.module for w in alike))
        libraries = listed(dict.fromkeys(base(w.library) for w in alike))
        given = f'pip download --only-binary=:all: -d wheelhouse "{wheel.name}=={wheel.version}" && abicheck wheelhouse'
        yield Finding(
            rule=RULE.id,
            severity=Severity.NOTE if first.optional else Severity.WARNING,
            confidence=Confidence.MEDIUM,
            what=sentence(
                f"{first.action} works only if {required}, which pip will fetch, brings {base(first.library)}: nothing "
                "here provides it."
            ),
            why=(
                Fact(f"needs {scene.view.relative(first.library)}", ref(scene.view, first.requester)),
                *first.told,
                Fact(f"the wheel requires {requirement}; no such wheel is among those that are judged"),
                Fact(f"modules: {names}; libraries: {libraries}"),
            ),
            remedies=(Remedy("give the whole transaction, so that every wheel is judged", given),),
            key=required,
            wheel=wheel,
            subject=ref(scene.view, first.requester),
            depends_on=("environment",),
            assumption=f"if {required} does not bring it",
        )


def _failed_without(scene: Scene) -> Iterator[_Wait]:
    for f in sorted(scene.failures, key=lambda f: (f.rank, f.unit.module)):
        lack = companion(scene, f.failure) if _is_missing(scene, f.failure) else None
        if lack is not None:
            told, _ = _more(scene, f)
            yield _Wait(f.subject, lack.requirement, f.action, f.unit.module or base(f.unit.path), f.failure.requester,
                        f.failure.library, f.importance == "optional", tuple(told))  # fmt: skip


def _unmet_without(scene: Scene) -> Iterator[_Wait]:
    """The same where only an unknown host could have the library: there the load is not known to fail."""
    for group, requester, library in _host_requests(scene):
        lack = _awaited(scene, requester, library)
        if lack is not None:
            module = scene.view.relative(requester)
            yield _Wait(
                group.origin, lack.requirement, f"`import {group.label}`", base(module), requester, library, False
            )


def _awaited(scene: Scene, requester: str, library: str) -> Unsatisfied | None:
    return companion(scene, Failure("MISSING_LIB", "", "", requester, library=library))


def _more(scene: Scene, f: LoadFailure) -> tuple[Sequence[Fact], Sequence[Remedy]]:
    facts = []
    if f.failure.attempts:
        places = sorted({scene.view.relative(a.path.rpartition("/")[0]) for a in f.failure.attempts})
        facts.append(
            Fact(
                f"looked for in {counted(len(places), 'place')}: {listed(places)}",
                attempts=tried(scene.view, f.failure.attempts),
            )
        )
    return facts, ()


def _host_requests(scene: Scene) -> Iterator[tuple[Group, str, str]]:
    """What files of the subjects ask of a host of which nothing is known, that neither wheel nor prefix has and that no
    policy promises: subject, requesting file and library."""
    if scene.host.complete or scene.system != "linux":
        return
    for group in scene.subjects:
        for o in scene.run_of(group).trace.objects:
            asked = o.requested_as
            owner = scene.view.origin(o.requested_by) if o.requested_by.startswith("/") else None
            if o.kept and not o.real.startswith("/") and owner == group.origin and not allowed_from_system(asked):
                yield group, o.requested_by, asked


def _left_to_an_unknown_host(scene: Scene) -> Iterator[Finding]:
    """Nothing is known of the host, neither wheel nor prefix has the library, and no policy promises it."""
    seen: set[tuple[str, str]] = set()
    for group, requesting, asked in _host_requests(scene):
        if (group.origin.name, asked) not in seen and _awaited(scene, requesting, asked) is None:
            seen.add((group.origin.name, asked))
            requester = ref(scene.view, requesting)
            yield Finding(
                rule=RULE.id,
                severity=Severity.ERROR,
                confidence=Confidence.MEDIUM,
                what=sentence(
                    f"`import {group.label}` will fail unless the host provides {asked}: neither the wheel nor the "
                    "environment has it."
                ),
                why=(
                    Fact(f"needs {asked}, which it leaves to the system", requester),
                    Fact("no manylinux policy promises that library on the host", loader_rule="CL-10"),
                    Fact(f"the search ends in the system's directories, of which nothing is known ({scene.host.label})",
                         loader_rule="ELF-14"),
                ),
                remedies=(
                    use_conda_build(scene, group.origin.name),
                    Remedy("or describe the host of the environment", "abicheck WHEEL --prefix ENV --host auto"),
                ),
                key=asked,
                wheel=group.origin,
                subject=requester,
                depends_on=("host",),
                assumption=f"if the host has no {base(asked)}",
            )  # fmt: skip


def _left_to_an_installer(scene: Scene) -> Iterator[Finding]:
    """Windows: a redistributable runtime that neither wheel nor environment has. Whoever ran its installer has it."""
    if scene.system != "win":
        return
    for group in scene.subjects:
        missing: dict[str, list[Mapped]] = {}
        for o in scene.run_of(group).trace.objects:
            who = windows_system().installed_by(base(o.real).lower()) if o.kept and o.rule == "WIN-22" else None
            if who is None or not who.endswith("Redistributable"):
                continue
            if scene.view.origin(scene.view.lookup(o.requested_by).real) == group.origin:
                missing.setdefault(who, []).append(o)
        for who, objects in missing.items():
            first = objects[0]
            names = listed(dict.fromkeys(o.requested_as for o in objects))
            msvc = msvc_runtime()
            mine = who == windows_system().installed_by("vcruntime140.dll")
            install = conda_install(scene.prefix.display, msvc.conda_package)
            yield Finding(
                rule=RULE.id,
                severity=Severity.WARNING,
                confidence=Confidence.MEDIUM,
                what=sentence(
                    f"`import {group.label}` works only where the {who} is installed: neither the wheel nor the "
                    f"environment has {names}."
                ),
                why=(
                    Fact(f"needs {first.requested_as}", ref(scene.view, first.requested_by)),
                    Fact(f"the installer of the {who} puts it into System32; Windows itself does not bring it",
                         loader_rule="WIN-22", attempts=tried(scene.view, first.attempts)),
                ),
                remedies=(
                    Remedy("let the environment bring the runtime", install)
                    if mine
                    else use_conda_build(scene, group.origin.name),
                ),
                key=who,
                wheel=group.origin,
                subject=ref(scene.view, first.requested_by),
                depends_on=("host",),
                assumption=f"if the host has no {who}",
            )  # fmt: skip
