"""The process dies instead of raising ImportError.

## What happens

The interpreter ends in the middle of an import: an assertion of the loader fails, and no `try` can catch it.

## Why: the loader rule

glibc expects that every file named in a version requirement is loaded; when a library was removed from DT_NEEDED or was
renamed and the requirement still names it, an assertion fails and the process exits with status 127 (ELF-37). Up to
glibc 2.40 it also asserts when the library named by a version requirement has no version table at all (ELF-39).

## Example

```
Inconsistency detected by ld.so: dl-version.c: 204: _dl_check_map_versions: Assertion `needed != NULL' failed!
```

## What to do

1. Take another build of the wheel: this one was patched after linking and its version requirements no longer fit.
2. Take the conda build of the project.

## When this is wrong

- The host's glibc is 2.41 or later, where the second assertion is gone: say so with `--host`.

## References

glibc elf/dl-version.c `_dl_check_map_versions`, elf/dl-lookup.c `check_match`; NixOS/patchelf `--remove-needed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from abicheck.model import Fact, Finding, Remedy
from abicheck.rules import Rule
from abicheck.rules.loads import findings
from abicheck.rules.scene import LoadFailure, Scene

RULE = Rule(
    id="ABI205",
    name="load-aborts",
    severity="error",
    classes=("PROCESS_ABORT",),
    platforms=("linux", "osx", "win"),
    summary="The process dies instead of raising ImportError",
    since="0.1",
)


_SECOND_PYTHON = "MAC-21"  # ABI303 tells it, with the library that brings the second Python


def check(scene: Scene) -> Iterator[Finding]:
    return findings(scene, RULE.id, lambda f: f.kind == "PROCESS_ABORT" and f.rule != _SECOND_PYTHON, _more)


def _more(_scene: Scene, f: LoadFailure) -> tuple[Sequence[Fact], Sequence[Remedy]]:
    if f.failure.rule == "ELF-37":
        text = f"a version requirement names {f.failure.library}, which is not among the libraries it needs"
        return (Fact(text, loader_rule="ELF-37"),), ()
    return (), ()
