"""A library is found, and the loader refuses it.

## What happens

The import raises ImportError although the file is there: another architecture, a broken header, an executable stack, no
room for its thread-local storage, a missing signature, a CPU level that the machine lacks.

## Why: the loader rule

glibc passes over files of another class or machine, but a file that is cut off, is text (a linker script, a Git LFS
pointer) or is a directory ends the search at once (ELF-16). Executables cannot be opened as libraries (ELF-17).
Initial-exec thread-local storage of late libraries shares about 1.5 kB per process (ELF-45); glibc 2.41 refuses
libraries that ask for an executable stack (ELF-46); a marked CPU level must be met (ELF-48). dyld tries the next
candidate and reports all refusals together (MAC-5, MAC-12, MAC-24). Windows wants the process's machine type (WIN-13).

## Example

```
OSError: libjemalloc.so.2: cannot allocate memory in static TLS block
```

## What to do

1. Replace the file by one for this platform: reinstall the package that owns it.
2. For thread-local storage: import the module earlier, or start Python with
   `GLIBC_TUNABLES=glibc.rtld.optional_static_tls=2000`.

## When this is wrong

- The host's CPU, glibc or security policy differ from the described ones.

## References

glibc elf/dl-load.c `open_verify`, elf/dl-reloc.c `_dl_try_allocate_static_tls`; dyld Loader.cpp; Microsoft, "PE
Format"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from abicheck.model import Fact, Finding, Remedy
from abicheck.rules import Rule
from abicheck.rules.claims import claimant
from abicheck.rules.loads import findings
from abicheck.rules.scene import LoadFailure, Scene
from abicheck.rules.wording import conda_install, ref

RULE = Rule(
    id="ABI102",
    name="library-rejected",
    severity="error",
    classes=("LOAD_REJECTED",),
    platforms=("linux", "osx", "win"),
    summary="A library is found, but the loader refuses it",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    return findings(scene, RULE.id, lambda f: f.kind == "LOAD_REJECTED" and claimant(scene, f) is None, _more)


def _more(scene: Scene, f: LoadFailure) -> tuple[Sequence[Fact], Sequence[Remedy]]:
    if f.failure.rule == "ELF-45":
        text = "raise glibc's reserve for thread-local storage of late libraries"
        return (), (Remedy(text, "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=2000 python"),)
    provider = ref(scene.view, f.failure.provider)
    if provider is not None and provider.origin.kind == "conda":
        command = conda_install(scene.prefix.display, "--force-reinstall", provider.origin.name)
        return (), (Remedy(f"restore the file that {provider.origin.name} owns", command),)
    return (), ()
