"""A binary needs another processor, libc or newer system than its wheel's tags promise.

## What happens

pip goes by the tags, so it installs the wheel. Where the machine lacks what the binary really needs the import fails:
at once when it is built for another processor or libc, on older systems when it only needs a newer one.

## Why: the loader rule

glibc passes over files of another class or machine (ELF-16), dyld over files without a slice for the process (MAC-12),
Windows refuses another machine type (WIN-13); a file that needs musl's libc finds none on glibc (MUSL-5). A
`manylinux_2_N` tag promises that no symbol version above GLIBC_2.N is needed, and sets ceilings for GLIBCXX, CXXABI,
GCC and ZLIB (PEP 600); every version that is needed must be there (ELF-36, ELF-43). A `macosx_M_N` tag promises that
the binaries run from that release on, although dyld does not check it (MAC-13). `any` promises that there is nothing to
be built at all.

What the loader refuses here is an error. What works here is a warning when some system that can run this environment
lacks it, and a note otherwise.

## Example

```
fastgrid-2.4.0-cp312-cp312-manylinux2014_x86_64.whl     promises glibc 2.17
fastgrid/_core.so                                       needs GLIBC_2.34
```

## What to do

1. Take the conda build of the project, or a release that was built and tagged properly.
2. Tell the project: `auditwheel repair` or `delocate-wheel` give the tag that is true.

## When this is wrong

- The file is never loaded, in a way that cannot be read from the project's source.

## References

PEP 600; PEP 656; pypa/auditwheel policies; pypa/packaging `tags.py`; Apple, "LC_BUILD_VERSION".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from abicheck.admission import platform_tag
from abicheck.binary.elf import ElfSlice
from abicheck.binary.macho import MachoSlice
from abicheck.host import version_key
from abicheck.knowledge.platform_names import arch_words
from abicheck.knowledge.policies import Policy
from abicheck.model import Confidence, Dependence, Fact, Finding, Origin, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.claims import alien, alien_file, claimant, needs_musl, process_arch
from abicheck.rules.loads import grade
from abicheck.rules.naming import use_conda_build
from abicheck.rules.promises import by_importance, glibc_promise, mapped, name_of, tags_of
from abicheck.rules.scene import LoadFailure, Native, Scene
from abicheck.rules.wording import base, listed, ref, sentence, tried

RULE = Rule(
    id="ABI002",
    name="binary-tag-mismatch",
    severity="error/warning",
    classes=("TAG_INCOMPATIBLE", "LOAD_REJECTED", "MISSING_VERSION"),
    platforms=("linux", "osx", "win"),
    summary="A binary needs another architecture, libc or newer system than its wheel's tags promise",
    since="0.1",
)
OLDEST_GLIBC = (2, 17)  # no supported system and no conda package is built for an older one (conda-forge's sysroot)
_NODE = re.compile(r"(GLIBC|GLIBCXX|CXXABI|GCC|ZLIB)_(\d+(?:\.\d+)*)")


def check(scene: Scene) -> Iterator[Finding]:
    yield from _refused(scene)
    for subject in scene.subject_origins:
        yield from _broken_promises(scene, subject)


# -- what the loader refuses ---------------------------------------------------------


def _refused(scene: Scene) -> Iterator[Finding]:
    """One finding for each subject and kind of mismatch; files that fail alike are one."""
    groups: dict[tuple[Origin, str], list[LoadFailure]] = {}
    for f in scene.failures:
        if claimant(scene, f.failure) == RULE.id:
            groups.setdefault((f.subject, _needs(scene, f)), []).append(f)
    for (subject, needs), alike in groups.items():
        alike.sort(key=by_importance)
        yield _refusal(scene, subject, needs, alike)


def _needs(scene: Scene, f: LoadFailure) -> str:
    """What the file is for, in words that follow ``is for``."""
    if needs_musl(scene, f.failure):
        return "systems with musl"
    if f.failure.kind == "MISSING_VERSION":
        return f"glibc {f.failure.version.removeprefix('GLIBC_')} or later"
    path = alien_file(scene, f.failure)
    binary, _ = scene.read(path) if path else (None, None)
    return arch_words(alien(scene, binary)) if binary is not None else "another machine"


def _refusal(scene: Scene, subject: Origin, needs: str, alike: list[LoadFailure]) -> Finding:
    f = alike[0]
    g = grade(scene, f)
    path = alien_file(scene, f.failure) or f.failure.requester
    file = ref(scene.view, path)
    tags = listed(sorted({t.platform for t in tags_of(scene, subject)}))
    verb = "would fail" if g.severity is not Severity.ERROR else "will fail"
    return Finding(
        rule=RULE.id,
        severity=g.severity,
        confidence=g.confidence,
        what=sentence(
            f"{f.action} {verb}: {base(path)} is for {needs}, though its wheel is tagged {tags}."
        ),
        why=(
            Fact(f"is for {needs}", file, version=f.failure.version or None),
            Fact(f"the wheel's platform tags are {tags}", loader_rule="PY-1"),
            Fact(f"the loader says: {scene.view_text(f.failure.message)}", loader_rule=f.failure.rule,
                 attempts=tried(scene.view, f.failure.attempts)),
            *_others(alike),
        ),
        remedies=tuple(_remedies(scene, subject)),
        key=base(path),
        wheel=subject,
        subject=file,
        depends_on=g.depends_on,
        assumption=g.assumption,
    )  # fmt: skip


def _others(alike: list[LoadFailure]) -> Iterator[Fact]:
    if len(alike) > 1:
        yield Fact(f"{len(alike)} modules fail in this way: {listed(name_of(f) for f in alike)}")


def _remedies(scene: Scene, subject: Origin) -> Iterator[Remedy]:
    yield use_conda_build(scene, subject.name)
    yield Remedy(f"tell the project {subject.name}: its tag should say what the binary needs", None)


# -- what works here and is still not as promised --------------------------------------


@dataclass(frozen=True, slots=True)
class Breach:
    """One file that asks for more than a tag promises. ``needs``: in words; ``promise``: the tag; ``size``: for picking
    the worst; ``rule``: the loader rule under which it matters. ``matters``: some system that can run this environment
    does not have it."""

    native: Native
    needs: str
    promise: str
    allowed: str
    size: tuple[int, ...]
    rule: str
    matters: bool


def _broken_promises(scene: Scene, subject: Origin) -> Iterator[Finding]:
    tags = tags_of(scene, subject)
    if not tags:
        return
    files = mapped(scene, subject)
    if all(t.platform == "any" for t in tags):
        yield from _native_in_any(scene, subject, files)
        return
    failing = {f.failure.version.partition("_")[0] for f in scene.failures if f.subject == subject}
    kinds: dict[str, list[Breach]] = {}
    for breach in _breaches(scene, subject, files):
        family = breach.needs.partition("_")[0]
        if family not in failing:
            kinds.setdefault("system" if family in ("GLIBC", "macOS") else "runtime", []).append(breach)
    for found in kinds.values():
        yield _breach(scene, subject, sorted(found, key=lambda b: (b.matters, b.size, b.native.path), reverse=True))


def _breaches(scene: Scene, subject: Origin, files: Iterable[Native]) -> Iterator[Breach]:
    platforms = [platform_tag(t.platform) for t in tags_of(scene, subject)]
    if scene.system == "linux":
        promise = glibc_promise(scene, subject)
        own = {base(n.path) for n in scene.natives[subject]}
        for native in files if promise is not None else ():
            assert promise is not None
            yield from _above_ceiling(scene, native, promise, own)
    elif scene.system == "osx":
        floors = [t for t in platforms if t.system == "osx"]
        for native in files if floors else ():
            lowest = min(floors, key=lambda t: t.floor)
            yield from _above_macos(scene, native, lowest.text, lowest.floor)


def _above_ceiling(scene: Scene, native: Native, promise: Policy, own: set[str]) -> Iterator[Breach]:
    """Version nodes of the system's libraries that the policy does not allow; what the wheel brings is its own."""
    part = native.binary.slices[0] if native.binary is not None else None
    if not isinstance(part, ElfSlice):
        return
    for need in part.verneed:
        if need.file not in promise.libraries or need.file in own:
            continue
        for version in need.versions:
            node = _NODE.fullmatch(version.name)
            allowed = promise.ceilings.get(node[1]) if node is not None and not version.weak else None
            if node is not None and allowed is not None and version_key(node[2]) > version_key(allowed):
                matters = (
                    _glibc_matters(scene, node[2]) if node[1] == "GLIBC" else not _served_here(scene, native, need.file)
                )
                yield Breach(native, version.name, promise.tag, f"{node[1]}_{allowed}", version_key(node[2]), "ELF-36",
                             matters)  # fmt: skip


def _glibc_matters(scene: Scene, version: str) -> bool:
    """Whether a host may lack a version of glibc's and yet run the environment's own Python."""
    binary, _ = scene.read(posixpath.join(scene.view.root, scene.interpreter.executable))
    floors = binary.slices[0].floors if binary is not None else {}
    return version_key(version) > max(OLDEST_GLIBC, version_key(floors.get("GLIBC", "")))


def _served_here(scene: Scene, native: Native, library: str) -> bool:
    """Whether the environment's own file meets the need: then its version was compared, on every host (ABI201)."""
    group = next((g for g in scene.subjects if g.origin == native.ref.origin), None)
    if group is None:
        return False
    trace = scene.run_of(group).trace
    met = (e.provider for e in trace.edges if e.name == library and trace.objects[e.requester].real == native.path)
    return any(at is not None and trace.objects[at].real.startswith(scene.view.root + "/") for at in met)


def _above_macos(scene: Scene, native: Native, tag: str, floor: tuple[int, ...]) -> Iterator[Breach]:
    binary = native.binary
    part = binary.slice_for(process_arch(scene.subdir)) if binary is not None else None
    if not isinstance(part, MachoSlice) or part.platform != "macos" or not part.min_os:
        return
    needs = version_key(part.floors["macos"])[:2]
    if scene.host.macos is not None and needs > scene.host.macos[:2]:
        return  # the host itself is too old: ABI004 tells that
    allowed = max(floor, (11, 0)) if part.arch.startswith("arm64") else floor  # there is no older macOS for arm64
    allowed = (11, 0) if allowed == (10, 16) else allowed  # one release under two numbers
    if needs > allowed and needs != (10, 16):
        text, most = ".".join(map(str, needs)), ".".join(map(str, allowed))
        # Releases of one major number differ too little for anybody to act; dyld compares nothing (MAC-13).
        matters = needs[0] != allowed[0] or needs[0] == 10
        yield Breach(native, f"macOS {text}", tag, f"macOS {most}", needs, "MAC-13", matters)


def _breach(scene: Scene, subject: Origin, found: list[Breach]) -> Finding:
    worst = found[0]
    file = scene.view.ref(worst.native.path)
    depends: tuple[Dependence, ...] = ("host",) if worst.matters else ()
    rows = dict.fromkeys((b.native.path, b.needs) for b in found)
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING if worst.matters else Severity.NOTE,
        confidence=Confidence.HIGH,
        what=sentence(
            f"{subject.name} {subject.version} may not load on every system that its tag {worst.promise} names: "
            f"{base(worst.native.path)} needs {worst.needs}."
        ),
        why=(
            Fact(f"needs {worst.needs}", file, version=worst.needs, loader_rule=worst.rule),
            Fact(f"the tag {worst.promise} allows {worst.allowed} at most", loader_rule="PY-1"),
            *_further(rows),
        ),
        remedies=tuple(_remedies(scene, subject)),
        key=worst.needs.partition("_")[0].partition(" ")[0],
        wheel=subject,
        subject=file,
        depends_on=depends,
    )


def _further(rows: dict[tuple[str, str], None]) -> Iterator[Fact]:
    files = list(dict.fromkeys(path for path, _ in rows))
    if len(files) > 1:
        yield Fact(f"{len(files)} files are above it: {listed(base(f) for f in files)}")


def _native_in_any(scene: Scene, subject: Origin, files: Iterable[Native]) -> Iterator[Finding]:
    """Extension modules in a wheel for any system. Libraries that Python code opens by choice are no such case."""
    modules = [n for n in files if n.module is not None]
    if not modules:
        return
    first = modules[0]
    binary = first.binary
    words = {"linux": "Linux", "osx": "macOS", "win": "Windows"}[scene.system]
    arch = arch_words(binary.slices[0].arch) if binary is not None else ""
    yield Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(
            f"{subject.name} {subject.version} is tagged for any platform, but {base(first.path)} loads on {words} "
            f"{arch} only."
        ),
        why=(
            Fact(f"is a binary for {words} {arch}", scene.view.ref(first.path)),
            Fact("the tag py3-none-any promises that the wheel holds nothing that was built", loader_rule="PY-1"),
            *_further(dict.fromkeys((n.path, "") for n in modules)),
        ),
        remedies=tuple(_remedies(scene, subject)),
        key=base(first.path),
        wheel=subject,
        subject=scene.view.ref(first.path),
    )
