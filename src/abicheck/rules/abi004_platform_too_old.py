"""The host is older than something that will be loaded needs: its glibc, its macOS or its processor.

## What happens

On Linux the import fails with "version `GLIBC_2.34' not found" or "CPU ISA level is lower than required". On macOS the
file is loaded all the same, and fails when it wants a function that the older system does not have.

## Why: the loader rule

glibc is the host's: no conda package brings it, and every version that a file needs must be there (ELF-36, ELF-43).
A note in a file may ask for an x86-64 level, which glibc 2.33 and later compare with the processor (ELF-48). dyld does
not compare a file's oldest system with the running one; it only mentions it when something is missing (MAC-13).

A wheel whose *tag* asks for more than the host has is refused by pip (ABI001); a binary that asks for more than its tag
promises is ABI002. This rule speaks of what is left: wheels whose tags promise nothing (`linux_x86_64`), and what is
installed already.

## Example

```
_core.so          needs GLIBC_2.34 from libc.so.6
host              glibc 2.28
```

## What to do

1. Take the conda build: conda-forge builds for old systems.
2. Take an earlier release of the wheel, or one with a lower tag. When a conda package asks for too much, take an
   earlier build of that.
3. Run the environment on a newer system (for example in a container).

## When this is wrong

- The host was described otherwise than it is: see `--host`.

## References

glibc elf/dl-version.c, sysdeps/x86/dl-prop.h; x86-64 psABI, "Micro-Architecture Levels"; dyld `tooNewErrorAddendum`.
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.binary.elf import ElfSlice
from abicheck.binary.macho import MachoSlice
from abicheck.host import version_key
from abicheck.model import Confidence, Fact, Finding, Origin, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.claims import claimant, process_arch
from abicheck.rules.loads import grade
from abicheck.rules.naming import use_conda_build
from abicheck.rules.promises import by_importance, mapped, name_of
from abicheck.rules.scene import LoadFailure, Scene
from abicheck.rules.wording import base, conda_among, conda_install, listed, older_wheel, ref, sentence

RULE = Rule(
    id="ABI004",
    name="platform-too-old",
    severity="error/warning",
    classes=("MISSING_VERSION", "LOAD_REJECTED", "HOST_UNKNOWN"),
    platforms=("linux", "osx"),
    summary="glibc, macOS, CPU level or MSVC runtime floor above the target's",
    since="0.1",
)
# GNU_PROPERTY_X86_ISA_1_{BASELINE,V2,V3,V4} -> level (x86-64 psABI; ELF-48)
_LEVELS = {1: 1, 2: 2, 4: 3, 8: 4}


def check(scene: Scene) -> Iterator[Finding]:
    for subject in scene.subject_origins:
        mine = [f for f in scene.failures if f.subject == subject and claimant(scene, f.failure) == RULE.id]
        glibc = [f for f in mine if f.failure.kind == "MISSING_VERSION"]
        cpu = [f for f in mine if f.failure.kind == "LOAD_REJECTED"]
        for alike, needs in ((glibc, _glibc_needs(scene, glibc)), (cpu, _cpu_needs(scene, cpu))):
            if alike:
                yield _failing(scene, subject, sorted(alike, key=by_importance), needs)
        if scene.system == "osx":
            yield from _newer_macos(scene, subject)


def _glibc_needs(scene: Scene, alike: list[LoadFailure]) -> tuple[str, str]:
    """What the files need in all, and what the host has. The loader stops at the first version it misses; the greatest
    is what counts."""
    versions = [f.failure.version for f in alike]
    for f in alike:
        binary, _ = scene.read(f.failure.requester)
        part = binary.slices[0] if binary is not None else None
        if isinstance(part, ElfSlice) and "GLIBC" in part.floors:
            versions.append(f"GLIBC_{part.floors['GLIBC']}")
    top = max(versions, key=version_key, default="").removeprefix("GLIBC_")
    has = ".".join(map(str, scene.host.glibc)) if scene.host.glibc else ""
    return f"glibc {top}", f"glibc {has}" if has else "an older one"


def _cpu_needs(scene: Scene, alike: list[LoadFailure]) -> tuple[str, str]:
    level = 0
    for f in alike:
        binary, _ = scene.read(f.failure.provider)
        part = binary.slices[0] if binary is not None else None
        if isinstance(part, ElfSlice):
            level = max([level, *(n for bit, n in _LEVELS.items() if part.isa_needed & bit)])
    return f"a processor of level x86-64-v{level}", f"x86-64-v{scene.host.cpu_level}"


def _failing(scene: Scene, subject: Origin, alike: list[LoadFailure], needs: tuple[str, str]) -> Finding:
    f = alike[0]
    g = grade(scene, f)
    failure = f.failure
    file = (
        ref(scene.view, failure.requester) if failure.kind == "MISSING_VERSION" else ref(scene.view, failure.provider)
    )
    name = base(file.path) if file is not None else name_of(f)
    verb = "will fail" if g.severity is Severity.ERROR else "would fail"
    depends = g.depends_on if "host" in g.depends_on else (*g.depends_on, "host")
    provider = ref(scene.view, failure.provider)
    owner = file.origin if file is not None else subject
    return Finding(
        rule=RULE.id,
        severity=g.severity,
        confidence=g.confidence,
        what=sentence(f"{f.action} {verb}: {name} needs {needs[0]}, and the host has {needs[1]}."),
        why=(
            Fact(f"needs {needs[0]}", file, version=failure.version or None),
            Fact(f"the host is described as: {scene.host.label}; it has {needs[1]}",
                 loader_rule="ELF-43" if failure.version else "ELF-48"),
            Fact(f"the loader says: {scene.view_text(failure.message)}", loader_rule=failure.rule),
            *_more(alike),
        ),
        remedies=tuple(_remedies(scene, owner)),
        key=failure.version or "cpu",
        wheel=subject,
        conda_package=conda_among(owner),
        subject=file,
        object=provider if provider != file else None,
        depends_on=depends,
        assumption=g.assumption,
    )  # fmt: skip


def _more(alike: list[LoadFailure]) -> Iterator[Fact]:
    modules = list(dict.fromkeys(name_of(f) for f in alike))
    if len(modules) > 1:
        yield Fact(f"{len(modules)} modules fail in this way: {listed(modules)}")


def _remedies(scene: Scene, owner: Origin) -> Iterator[Remedy]:
    """Other builds of the project whose file asks for too much; a file of the host is nobody's to replace."""
    if owner.kind == "conda":
        earlier = conda_install(scene.prefix.display, f"{owner.name}<{owner.version}")
        yield Remedy(f"take an earlier build of conda's {owner.name}, made for older systems", earlier)
    elif owner.kind in ("wheel", "pip"):
        yield use_conda_build(scene, owner.name)
        yield older_wheel(owner.name, owner.version)
    yield Remedy("or use a newer host, for example a container")


def _newer_macos(scene: Scene, subject: Origin) -> Iterator[Finding]:
    """MAC-13: files for a newer macOS than the host's are loaded, and fail where they use what is new."""
    have = scene.host.macos
    if have is None:
        return
    newer: list[tuple[tuple[int, ...], str]] = []
    for native in mapped(scene, subject):
        part = native.binary.slice_for(process_arch(scene.subdir)) if native.binary is not None else None
        if (
            isinstance(part, MachoSlice)
            and part.platform == "macos"
            and version_key(part.floors["macos"])[:2] > have[:2]
        ):
            newer.append((version_key(part.floors["macos"])[:2], native.path))
    if not newer:
        return
    needs, path = max(newer)
    needed, has = ".".join(map(str, needs)), ".".join(map(str, have))
    file = scene.view.ref(path)
    names = listed(base(p) for _, p in sorted(newer, reverse=True))
    yield Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.MEDIUM,
        what=sentence(
            f"{subject.name} {subject.version} may fail: {base(path)} is built for macOS {needed}, and the host has "
            f"{has}."
        ),
        why=(
            Fact(f"is built for macOS {needed} or later", file, loader_rule="MAC-13"),
            Fact(f"the host is described as: {scene.host.label}; it has macOS {has}"),
            *((Fact(f"{len(newer)} files are: {names}"),) if len(newer) > 1 else ()),
        ),
        remedies=tuple(_remedies(scene, subject)),
        key="macos",
        wheel=subject,
        subject=file,
        depends_on=("host",),
        assumption=f"on this host ({scene.host.label})",
    )  # fmt: skip
