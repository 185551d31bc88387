"""Thread-local storage of late libraries may not fit into glibc's reserve.

## What happens

Some import, not necessarily this one, fails with "cannot allocate memory in static TLS block": the reserve is shared by
all libraries of the process and is taken in load order.

## Why: the loader rule

Libraries built with initial-exec thread-local storage (DF_STATIC_TLS) need a place at a fixed distance from the thread
pointer. Those loaded after the start share 1,664 bytes (ELF-45). Whoever comes too late fails.

## Example

```
libgomp.so.1   120 bytes each, and a copy of it in every second wheel
```

## What to do

1. Import the package that needs most of it first.
2. Or raise the reserve: `GLIBC_TUNABLES=glibc.rtld.optional_static_tls=2000 python`.

## When this is wrong

- The host's glibc has another reserve, or the tunable is already set.

## References

glibc elf/dl-tls.c `_dl_tls_static_surplus_init`, elf/dl-reloc.c `_dl_try_allocate_static_tls`; glibc manual,
"Tunables"."""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.loader.glibc import GlibcProcess
from abicheck.loader.glibc_checks import TLS_SURPLUS
from abicheck.model import Confidence, Fact, Finding, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, counted, listed, sentence

RULE = Rule(
    id="ABI603",
    name="static-tls-pressure",
    severity="warning",
    classes=("LOAD_REJECTED",),
    platforms=("linux",),
    summary="Initial-exec TLS of late-loaded libraries may exhaust the surplus",
    since="0.1",
)
# Share of the reserve from which one project alone is worth a warning: what is left no longer holds a large copy.
PRESSURE = 0.75


def check(scene: Scene) -> Iterator[Finding]:
    for group in scene.subjects:
        if not group.units:
            continue
        run = scene.run_of(group)
        process = run.process
        if not isinstance(process, GlibcProcess) or process.static_tls_used < PRESSURE * TLS_SURPLUS:
            continue
        users = process.static_tls_users
        biggest = scene.view.ref(users[0].real)
        takers = counted(len(users), "library takes", "libraries take")
        yield Finding(
            rule=RULE.id,
            severity=Severity.WARNING,
            confidence=Confidence.MEDIUM,
            what=sentence(
                f"`import {group.label}` takes {process.static_tls_used} of about {TLS_SURPLUS} bytes of static TLS; a "
                "later import may find none left."
            ),
            why=(
                Fact(f"needs {users[0].elf.tls[0] if users[0].elf and users[0].elf.tls else 0} bytes", biggest,
                     loader_rule="ELF-45"),
                Fact(f"{takers} part: {listed(base(o.real) for o in users)}"),
            ),
            remedies=(Remedy("raise the reserve", "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=2000 python"),),
            key=base(users[0].real),
            wheel=group.origin,
            subject=biggest,
            depends_on=("host",),
            assumption="with glibc's default tunables",
        )  # fmt: skip
