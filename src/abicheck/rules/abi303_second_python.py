"""The wheel links a libpython although the interpreter is in the executable.

## What happens

On macOS the extension calls a second Python that was never initialised, and the process dies with "PyThreadState_Get:
no current thread" or alike. On Linux the calls reach the executable's own Python, so the second one is idle weight, as
long as it is of the same version. On Windows every extension links a pythonXY.dll; one of another version is refused.

## Why: the loader rule

conda's python holds the interpreter in the executable (CL-7). With two-level names a macOS extension that was linked
against libpython takes its C-API from there (MAC-15, MAC-21); on Linux the executable comes first in every search
(ELF-35). CPython on Windows looks for an import of another pythonXY.dll and raises (WIN-20).

## Example

```
_mod.cpython-312-darwin.so   LC_LOAD_DYLIB @rpath/libpython3.12.dylib
```

## What to do

1. Take the conda build of the project.
2. The authors should link extensions without libpython (`-undefined dynamic_lookup` on macOS).

## When this is wrong

- The interpreter of the environment is itself linked to that libpython.

## References

conda-forge/python-feedstock recipe/build_base.sh; CPython Python/dynload_win.c; PEP 513.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from abicheck.loader.scenarios import Group
from abicheck.model import Confidence, Fact, Finding, Severity
from abicheck.rules import Rule
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, conda_among, ref, sentence

RULE = Rule(
    id="ABI303",
    name="second-python",
    severity="error/warning",
    classes=("DUP_RUNTIME", "PROCESS_ABORT"),
    platforms=("linux", "osx"),
    summary="The wheel links a libpython although the interpreter is in the executable",
    since="0.1",
)
_LIBPYTHON = re.compile(r"(?:libpython(\d)\.(\d+)[a-z]*\.(?:so|dylib)|Python\.framework/Versions/(\d)\.(\d+)/Python)")


def check(scene: Scene) -> Iterator[Finding]:
    if scene.system == "win":
        return
    for group in scene.subjects:
        if group.units:
            yield from _in_group(scene, group)


def _in_group(scene: Scene, group: Group) -> Iterator[Finding]:
    run = scene.run_of(group)
    objects = run.trace.objects
    started = {o.real for o in objects if o.event == 0}
    seen: set[str] = set()
    for edge in run.trace.edges:
        found = _LIBPYTHON.search(edge.name)
        if found is None or edge.provider is None or edge.name in seen or not objects[edge.requester].kept:
            continue
        provider = objects[edge.provider]
        if provider.real in started or scene.view.origin(objects[edge.requester].real) != group.origin:
            continue
        seen.add(edge.name)
        numbers = [int(g) for g in found.groups() if g]
        same = tuple(numbers) == scene.interpreter.minor
        asked, served = ref(scene.view, objects[edge.requester].real), ref(scene.view, provider.real)
        mac = scene.system == "osx"
        who = base(asked.path) if asked else group.label
        yield Finding(
            rule=RULE.id,
            severity=Severity.ERROR if mac else Severity.NOTE if same else Severity.WARNING,
            confidence=Confidence.HIGH if served is not None and provider.real.startswith("/") else Confidence.MEDIUM,
            what=sentence(
                f"`import {group.label}` will bring a second Python into the process"
                + (" and end it." if mac else f": {who} links {base(edge.name)}.")
            ),
            why=(
                Fact(f"needs {edge.name}", asked),
                Fact("is a Python beside the one in the executable, and nothing initialises it", served,
                     loader_rule="MAC-21" if mac else "ELF-35"),
            ),
            remedies=(use_conda_build(scene, group.origin.name),),
            key=base(edge.name),
            wheel=group.origin,
            conda_package=conda_among(served.origin) if served is not None else None,
            subject=asked,
            object=served,
        )  # fmt: skip
