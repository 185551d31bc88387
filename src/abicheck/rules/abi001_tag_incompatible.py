"""pip will refuse the wheel here: its tags or its Requires-Python do not fit, or it is broken.

## What happens

pip stops with "is not a supported wheel on this platform" (or, when it may choose, passes the file over), or with
"requires a different Python". Nothing is installed. abicheck therefore says nothing else about such a wheel.

## Why: the loader rule

A wheel's file name holds three sets of tags: interpreter, ABI, platform. pip installs it when one combination is in
the list that it derives from the interpreter and the machine it runs on (PY-1). On Linux these are `manylinux_2_N` for
every N up to the host's glibc and `linux_ARCH` (PY-3); never `musllinux`, because conda's Python is linked to glibc
(MUSL-5). On macOS 11 and later only `macosx_M_0` counts, so a tag like `macosx_12_3_arm64` fits no machine (PY-4).
Windows tags carry no version (PY-5). `abi3` wheels serve their minor version and later ones, and never a
free-threaded build (PY-6). Requires-Python in the wheel's METADATA must hold for the interpreter's version. And pip
reads the wheel's own metadata: without RECORD, with another name or version inside than in the file name, with a
requirement or an entry point that is none, or with files in an unknown scheme, it stops; hashes and sizes in RECORD
it does not compare.

## Example

```
fastgrid-2.4.0-cp312-cp312-manylinux_2_34_x86_64.whl     environment: CPython 3.11, host: glibc 2.28
```

## What to do

1. Download the build for this environment: `pip download --only-binary=:all: --python-version 3.11 --platform ...`.
2. Take the conda build of the project.
3. Take an earlier release, when the newer ones have dropped this Python or this system.

## When this is wrong

- The host was described otherwise than it is: see `--host`.
- pip is run with `--break-system-packages`, `--target`, `--prefix` or `--root` where the environment says that it is
  externally managed (then this is a warning).
- The wheel's file was renamed so that its name no longer says what is inside.

## References

PyPA specifications, "Platform compatibility tags"; pypa/packaging `tags.py`, `_manylinux.py`, `_musllinux.py`; PEP 600,
PEP 656, PEP 668, PEP 703.
"""

from __future__ import annotations

from collections.abc import Iterator

from packaging.tags import Tag
from packaging.version import InvalidVersion, Version

from abicheck.admission import Reason, Refusal, accepted_tags, built_for_musl, platform_tag
from abicheck.knowledge.platform_names import arch_words, system_words
from abicheck.model import Confidence, Dependence, Fact, FileRef, Finding, Origin, Remedy, Severity
from abicheck.overlay import UNOWNED
from abicheck.rules import Rule
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import Scene
from abicheck.rules.wording import listed, older_wheel, quoted, sentence
from abicheck.staging import wheel_origin
from abicheck.wheel import Wheel

RULE = Rule(
    id="ABI001",
    name="tag-incompatible",
    severity="error",
    classes=("TAG_INCOMPATIBLE",),
    platforms=("linux", "osx", "win"),
    summary="pip will refuse the wheel for this environment's interpreter and platform",
    since="0.1",
)
HEEDS_MARKER = Version("23.0")
_RULES: dict[Reason, str] = {
    "platform": "PY-1", "libc": "MUSL-5", "glibc": "PY-3", "macos": "PY-4", "macos-minor": "PY-4", "python": "PY-1",
    "requires-python": "PY-1", "broken": "PY-11",
}  # fmt: skip


def check(scene: Scene) -> Iterator[Finding]:
    for refused in scene.refused:
        yield _refused(scene, refused)
    for wheel in scene.wheels:
        yield from _renamed(scene, wheel)
    if scene.transaction is not None and scene.transaction.plans:
        yield from _managed(scene)


def _managed(scene: Scene) -> Iterator[Finding]:
    """An environment that says it is not pip's to change (PEP 668): pip stops before it looks at any wheel."""
    path = f"{scene.interpreter.stdlib}/EXTERNALLY-MANAGED"
    node = scene.prefix.resolve(path).node
    if node is None or node.kind != "file" or not _heeds_marker(scene):
        return
    record = next(iter(scene.prefix.owners(path)), None)
    origin = record.origin if record is not None else UNOWNED
    name = scene.prefix.display
    yield Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(
            f"pip will refuse to install anything into {name}: the environment says it is externally managed."
        ),
        why=(Fact("is there, and pip does not install where it is", FileRef(path, origin), loader_rule="PY-11"),),
        remedies=(
            Remedy("make an environment of its own for the wheel"),
            Remedy("or overrule the marker", "pip install --break-system-packages …"),
        ),
        key="EXTERNALLY-MANAGED",
        conda_package=record.origin if record is not None else None,
        object=FileRef(path, origin),
    )


def _heeds_marker(scene: Scene) -> bool:
    """pip looks for the marker from 23.0 on."""
    dist = scene.prefix.distribution("pip")
    try:
        return dist is None or Version(dist.version) >= HEEDS_MARKER
    except InvalidVersion:
        return True


def _refused(scene: Scene, refused: Refusal) -> Finding:
    wheel = refused.wheel
    on_host = refused.host_decides
    depends: tuple[Dependence, ...] = ("host",) if on_host else ()
    # A host that was described in full is a fact of the question, not a guess.
    guessed = on_host and not scene.host.complete
    reasons = "; ".join(_because(scene, refused, r) for r in refused.reasons)
    name = scene.prefix.display
    return Finding(
        rule=RULE.id,
        severity=Severity.ERROR,
        confidence=Confidence.MEDIUM if guessed else Confidence.HIGH,
        what=sentence(f"pip will refuse {wheel.display_name} {wheel.version} in {name}: {reasons}."),
        why=tuple(_evidence(refused)),
        remedies=tuple(_remedies(scene, refused)),
        key=wheel.name,
        wheel=wheel_origin(wheel),
        subject=FileRef(wheel.filename, wheel_origin(wheel)),
        depends_on=depends,
        assumption=f"on this host ({scene.host.label})" if guessed else "",
    )


def _because(scene: Scene, refused: Refusal, reason: Reason) -> str:
    """One reason in the reader's words, without a full stop."""
    tag, wheel = platform_tag(refused.tag.platform), refused.wheel
    if refused.problem is not None:
        return refused.problem.text
    if reason == "requires-python":
        return f"it requires Python {wheel.requires_python}, and this is {scene.interpreter.version}"
    if reason == "python":
        return f"it is built for {_built_for(scene, refused)}, and this is {_this_python(scene)}"
    if reason == "libc":
        needs, has = ("musl", "glibc") if tag.libc == "musl" else ("glibc", "musl")
        return f"{tag.text} is for systems with {needs}, and the environment's Python runs on {has}"
    if reason == "glibc":
        return f"{tag.text} needs glibc {_dotted(tag.floor)}, and the host has {_dotted(scene.host.glibc or ())}"
    if reason == "macos":
        return f"{tag.text} needs macOS {_dotted(tag.floor)}, and the host has {_dotted(scene.host.macos or ())}"
    if reason == "macos-minor":
        return f"no macOS accepts {tag.text}; from macOS 11 on only macosx_{tag.floor[0]}_0 and the like count"
    there = f"{system_words(tag.system)} {arch_words(tag.arch)}".strip()
    return f"it is for {there}, and this environment is for {_this_platform(scene)}"


def _built_for(scene: Scene, refused: Refusal) -> str:
    """The interpreters that the wheel's tags name: ``CPython 3.12``, ``CPython 3.13 without the GIL``."""
    rows = sorted({(t.interpreter, t.abi) for t in refused.wheel.tags})
    words = " or ".join(dict.fromkeys(_python_words(i, a) for i, a in rows))
    gil = scene.interpreter.free_threaded and all(a == "abi3" or a == i for i, a in rows)
    return f"{words} with the GIL" if gil else words


def _python_words(interpreter: str, abi: str) -> str:
    name = {"cp": "CPython", "pp": "PyPy", "py": "Python"}.get(interpreter[:2], interpreter[:2])
    digits = interpreter[2:].partition("_")[0]
    version = f"{digits[0]}.{digits[1:]}" if digits[1:] else digits
    if not digits.isdecimal():
        return interpreter
    if abi == "abi3":
        return f"{name} {version} or later"
    if abi.startswith("cp") and abi.endswith("t"):
        return f"{name} {version} without the GIL"
    if abi.startswith("cp") and abi.endswith("d"):
        return f"{name} {version} (debug build)"
    return f"{name} {version}"


def _this_python(scene: Scene) -> str:
    i = scene.interpreter
    name = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}.get(i.implementation, i.implementation)
    build = " without the GIL" if i.free_threaded else " (debug build)" if i.debug else ""
    return f"{name} {i.version}{build}"


def _this_platform(scene: Scene) -> str:
    system, _, arch = scene.subdir.partition("-")
    return f"{system_words(system)} {arch_words(arch)}".strip()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _evidence(refused: Refusal) -> Iterator[Fact]:
    wheel = refused.wheel
    ref = FileRef(wheel.filename, wheel_origin(wheel))
    if refused.problem is not None:
        at = refused.problem.member
        place = FileRef(at, wheel_origin(wheel), at) if at else ref
        yield Fact(refused.problem.text, place, loader_rule=_RULES["broken"])
        return
    tags = sorted(map(str, wheel.tags))
    yield Fact(f"its name has the tags {listed(tags)}", ref, loader_rule="PY-1")
    if "requires-python" in refused.reasons:
        yield Fact(
            f"Requires-Python: {wheel.requires_python}", FileRef(f"{wheel.dist_info}/METADATA", wheel_origin(wheel))
        )
        return
    near = _near(refused)
    yield Fact(f"pip accepts here: {', '.join(near)}", loader_rule=_RULES[refused.reasons[0]])


def _near(refused: Refusal) -> list[str]:
    """What pip would take instead: the best tag of this interpreter, of the stable ABI, and of no ABI."""
    platforms = [t.platform for t in refused.accepted]
    best: dict[tuple[str, bool], Tag] = {}
    for tag in refused.accepted:
        kind = tag.abi if tag.abi in ("abi3", "none") else "own"
        if kind == "none" and tag.interpreter != "py3":
            continue
        best.setdefault((kind, tag.platform == "any"), tag)
    newest = platform_tag(platforms[0])
    floor = f"{newest.text} and older" if newest.floor else newest.text
    shown = [f"{t.interpreter}-{t.abi}-{floor if t.platform != 'any' else 'any'}" for t in best.values()]
    return [s for n, s in enumerate(shown) if s not in shown[:n]]


def _remedies(scene: Scene, refused: Refusal) -> Iterator[Remedy]:
    wheel = refused.wheel
    if not {"requires-python", "broken"} & set(refused.reasons):
        yield Remedy("download the build for this environment", download_command(scene, refused))
    yield use_conda_build(scene, wheel.name)
    if "platform" not in refused.reasons and "libc" not in refused.reasons:
        yield older_wheel(wheel.display_name, wheel.version)


def download_command(scene: Scene, refused: Refusal) -> str:
    """What brings the fitting wheel of the same version, on any machine: pip matches ``--platform`` literally, so the
    usual build levels up to the host's are all named."""
    interpreter = scene.interpreter
    parts = ["pip download --no-deps --only-binary=:all:", f"--python-version {_dotted(interpreter.minor)}"]
    if interpreter.implementation != "cpython":
        parts.append(f"--implementation {'pp' if interpreter.implementation == 'pypy' else interpreter.implementation}")
    if interpreter.free_threaded or interpreter.debug:
        parts += [f"--abi {abi}" for abi in interpreter.abi_tags]
    parts += [f"--platform {p}" for p in _platforms(scene, refused)]
    return " ".join([*parts, quoted(f"{refused.wheel.display_name}=={refused.wheel.version}")])


def _platforms(scene: Scene, refused: Refusal) -> list[str]:
    accepted = list(dict.fromkeys(t.platform for t in refused.accepted if t.platform != "any"))
    if scene.system != "linux":
        return accepted[:1] if scene.system == "win" or scene.host.macos is not None else [_usual_mac(accepted)]
    arch = platform_tag(accepted[0]).arch
    usual = (
        ("musllinux_1_2",)
        if scene.host.libc == "musl"
        else ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
    )
    return [f"{level}_{arch}" for level in usual if f"{level}_{arch}" in accepted]


def _usual_mac(accepted: list[str]) -> str:
    """For an unknown macOS: the newest level that most projects build for."""
    for level in ("macosx_14_0_", "macosx_11_0_"):
        found = next((a for a in accepted if a.startswith(level) and not a.endswith("universal2")), None)
        if found is not None:
            return found
    return accepted[0]


def _renamed(scene: Scene, wheel: Wheel) -> Iterator[Finding]:
    """A file whose name fits while its WHEEL file speaks of another Python: it was renamed to get past pip."""
    musl = built_for_musl(scene.view, scene.interpreter, scene.host)
    tags_here = accepted_tags(scene.interpreter, scene.subdir, scene.host, musl=musl)
    accepted = {(t.interpreter, t.abi) for t in tags_here}
    said = {(t.interpreter, t.abi) for t in wheel.wheel_tags}
    origin: Origin = wheel_origin(wheel)
    if not said or said & accepted or _for_any_python(scene, wheel, origin):
        return
    tags = listed(sorted(map(str, wheel.wheel_tags)))
    exact = f"{wheel.display_name}=={wheel.version}"
    yield Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(
            f"{wheel.display_name} {wheel.version} was renamed: its own WHEEL file says {tags}, which pip would refuse."
        ),
        why=(
            Fact(f"says Tag: {tags}", FileRef(f"{wheel.dist_info}/WHEEL", origin)),
            Fact("pip compares the tags in the file's name only", FileRef(wheel.filename, origin), loader_rule="PY-1"),
        ),
        remedies=(
            Remedy("take the build that the project made for this Python", f"pip install {quoted(exact)}"),
            use_conda_build(scene, wheel.name),
        ),
        key=wheel.name,
        wheel=origin,
        subject=FileRef(wheel.filename, origin),
    )  # fmt: skip


def _for_any_python(scene: Scene, wheel: Wheel, origin: Origin) -> bool:
    """Whether a project named its file for every Python and put nothing into it that one Python alone could import:
    libraries for ctypes, whatever Python happened to pack them."""
    generic = all(t.interpreter.startswith("py") and t.abi == "none" for t in wheel.tags)
    return generic and not any(n.module for n in scene.natives.get(origin, ()))
