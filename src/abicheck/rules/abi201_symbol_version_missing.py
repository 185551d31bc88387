"""The library that is chosen lacks a version that something requires.

## What happens

Importing the package fails at once. The loader prints the library it took, the version it wanted and the file that
wanted it, and stops; whether the symbol would ever be called does not matter.

## Why: the loader rule

An ELF file records, for each library it needs, the symbol versions it was linked against. When glibc loads it, every
such version must be defined by the file that was actually found (ELF-36). Which file is found is decided before
versions are looked at: a file found first, or already loaded under that name (ELF-1, ELF-2), is not skipped because it
is too old. Versions of libstdc++ and glibc only grow, so an older file lacks the newer names (CL-3).

## Example

```
_core.so             needs libstdc++.so.6 : GLIBCXX_3.4.32     (GCC 13.2 or later)
lib/libstdc++.so.6   defines up to          GLIBCXX_3.4.30     (GCC 12)
```

## What to do

1. Raise the runtime: `conda install "libstdcxx>=13.2"`.
2. Take the conda build of the project.
3. Take an earlier build of the wheel, or one with a lower manylinux tag.

## When this is wrong

- The package loads its own copy first through ctypes with a full path that its source does not show.
- The program is not the environment's own python (embedding): its DT_RPATH differs.

## References

glibc elf/dl-version.c `_dl_check_map_versions`; GCC, "ABI Policy and Guidelines".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from abicheck.binary.elf import ElfSlice
from abicheck.host import version_key
from abicheck.knowledge.gcc_runtime import gcc_of_node
from abicheck.model import Fact, Finding, Remedy
from abicheck.rules import Rule
from abicheck.rules.claims import claimant
from abicheck.rules.loads import findings
from abicheck.rules.scene import LoadFailure, Scene
from abicheck.rules.wording import conda_install, ref

RULE = Rule(
    id="ABI201",
    name="symbol-version-missing",
    severity="error",
    classes=("MISSING_VERSION",),
    platforms=("linux",),
    summary="The chosen provider lacks a required version node",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    return findings(scene, RULE.id, lambda f: f.kind == "MISSING_VERSION" and claimant(scene, f) is None, _more)


def _more(scene: Scene, f: LoadFailure) -> tuple[Sequence[Fact], Sequence[Remedy]]:
    failure = f.failure
    facts, remedies = [], []
    provider = ref(scene.view, failure.provider)
    top = _newest(scene, failure.provider, failure.version.partition("_")[0])
    if top:
        facts.append(Fact(f"defines {top} at most", provider, version=top))
    gcc = gcc_of_node(failure.version)
    if gcc is not None:
        facts.append(Fact(f"{failure.version} came with GCC {gcc}"))
        if provider is not None and provider.origin.kind == "conda":
            command = conda_install(scene.prefix.display, f"{provider.origin.name}>={gcc}")
            remedies.append(Remedy("raise the environment's runtime", command))
    return facts, remedies


def _newest(scene: Scene, path: str, family: str) -> str:
    """The greatest version node of a family that a file defines."""
    part = scene.slice(path)
    if not isinstance(part, ElfSlice):
        return ""
    names = [d.name for d in part.verdef if d.name.startswith(family + "_")]
    return max((n for n in names if version_key(n)), key=version_key, default="")
