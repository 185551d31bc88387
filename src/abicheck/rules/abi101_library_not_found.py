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

## References

glibc elf/dl-load.c `_dl_map_new_object`; dyld Loader.cpp `getLoader`; Microsoft, "Dynamic-link library search order".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from abicheck.knowledge.policies import allowed_from_system
from abicheck.model import Confidence, Fact, Finding, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.claims import claimant
from abicheck.rules.loads import findings
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import LoadFailure, Scene
from abicheck.rules.wording import base, counted, listed, ref, sentence, tried

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
    yield from findings(scene, RULE.id, lambda f: f.kind == "MISSING_LIB" and claimant(scene, f) is None, _more)
    if not scene.host.complete and scene.system == "linux":
        yield from _left_to_an_unknown_host(scene)


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


def _left_to_an_unknown_host(scene: Scene) -> Iterator[Finding]:
    """Nothing is known of the host, neither wheel nor prefix has the library, and no policy promises it."""
    seen: set[tuple[str, str]] = set()
    for group in scene.subjects:
        run = scene.run_of(group)
        objects = run.trace.objects
        for o in objects:
            asked = o.requested_as
            owner = scene.view.origin(o.requested_by) if o.requested_by.startswith("/") else None
            if not o.kept or o.real.startswith("/") or owner != group.origin or allowed_from_system(asked):
                continue
            if (group.origin.name, asked) in seen:
                continue
            seen.add((group.origin.name, asked))
            requester = ref(scene.view, o.requested_by)
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
