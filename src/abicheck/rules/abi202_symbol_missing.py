"""The library that is chosen lacks a symbol that something requires.

## What happens

The import raises ImportError with "undefined symbol" (Linux), "Symbol not found" (macOS) or "The specified procedure
could not be found" (Windows).

## Why: the loader rule

Python opens extensions with RTLD_NOW: every symbol of the extension and of all that it pulls in is bound before the
import returns (ELF-44, MAC-19). On Linux any library of the right name serves, whatever it defines (ELF-2); a
definition under another version is not taken (ELF-38); what other extensions loaded privately is invisible (ELF-23). On
macOS and Windows each symbol must come from the library named for it (MAC-15, WIN-16). Two builds of one C++ library
with different `std::string` layouts have different symbol names (CL-8).

## Example

```
core.so          needs  _ZN3mlx4core4sqrtERKNS0_5arrayE
libengine.so     defines 4,102 symbols, not this one
```

## What to do

1. Bring the two projects to versions that belong together.
2. Take both from conda, or both from pip.

## When this is wrong

- The project makes the library's symbols global itself, in a way that its source does not show.

## References

glibc elf/dl-lookup.c `_dl_lookup_symbol_x`; dyld Loader.cpp `resolveSymbol`; GCC libstdc++ manual, "Dual ABI".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from abicheck.model import Fact, Finding, Remedy
from abicheck.rules import Rule
from abicheck.rules.loads import findings
from abicheck.rules.scene import LoadFailure, Scene
from abicheck.rules.wording import base, ref

RULE = Rule(
    id="ABI202",
    name="symbol-missing",
    severity="error",
    classes=("MISSING_SYMBOL", "ABI_MISMATCH"),
    platforms=("linux", "osx", "win"),
    summary="The chosen provider lacks a required symbol",
    since="0.1",
)
# Itanium C++ ABI manglings of std::string and its parts under the two ABIs (GCC manual, "Dual ABI"; CL-8).
_NEW = re.compile(r"NSt7__cxx11|B5cxx11")


def check(scene: Scene) -> Iterator[Finding]:
    return findings(scene, RULE.id, _is_symbol_failure, _more)


def _is_symbol_failure(failure: object) -> bool:
    kind, symbol = getattr(failure, "kind", ""), getattr(failure, "symbol", "")
    return kind == "MISSING_SYMBOL" and not symbol.startswith(("Py", "_Py", "__Py"))  # those are ABI003's


def _more(scene: Scene, f: LoadFailure) -> tuple[Sequence[Fact], Sequence[Remedy]]:
    symbol = f.failure.symbol
    facts = []
    twin = _twin(scene, f)
    if twin is not None:
        name, path = twin
        facts.append(
            Fact(f"defines {name}: the same function with the other std::string layout", ref(scene.view, path), name,
                 loader_rule="CL-8")
        )  # fmt: skip
    elif is_new(symbol) or is_old(symbol):
        kind = "new (cxx11)" if is_new(symbol) else "old"
        facts.append(Fact(f"the name uses the {kind} std::string layout", symbol=symbol, loader_rule="CL-8"))
    return facts, ()


def _twin(scene: Scene, f: LoadFailure) -> tuple[str, str] | None:
    """A definition, in a library the requester needs, whose name differs only in the string layout."""
    wanted = _skeleton(f.failure.symbol)
    if wanted is None:
        return None
    binary, _ = scene.read(f.failure.requester)
    if binary is None or binary.format != "elf":
        return None
    group = next((g for g in (*scene.subjects, *scene.bystanders) if g.origin == f.owner), None)
    if group is None:
        return None
    run = scene.run_of(group)
    needs = {n.name for n in binary.slices[0].needs}
    for o in run.trace.objects:
        if not (needs & {*o.names, o.requested_as, base(o.real)}):
            continue
        provider, _ = scene.read(o.real)
        if provider is None or provider.format != "elf":
            continue
        for name in provider.slices[0].exported:  # type: ignore[attr-defined]
            text = name.decode("utf-8", "replace")
            if _skeleton(text) == wanted and is_new(text) != is_new(f.failure.symbol):
                return text, o.real
    return None


def is_new(symbol: str) -> bool:
    """Whether a name is mangled for the std::string of GCC 5 and later."""
    return bool(_NEW.search(symbol))


def is_old(symbol: str) -> bool:
    """Whether a mangled name speaks of the std::string of before GCC 5: ``Ss`` outside its identifiers."""
    if not symbol.startswith("_Z"):
        return False
    outside, at = [], 2
    while at < len(symbol):
        length = _LENGTH.match(symbol, at)
        if length is not None and symbol[at - 1] not in "ST":  # S0_ and T0_ are back references
            at = length.end() + int(length.group())
            outside.append(" ")
        else:
            outside.append(symbol[at])
            at += 1
    return "Ss" in "".join(outside)


_LENGTH = re.compile(r"[0-9]+")
_STRING = re.compile(r"NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE|Ss")


def _skeleton(symbol: str) -> str | None:
    """A mangled name with every std::string replaced by one mark and ABI tags dropped; None when it is not mangled.

    Back references (``S1_``) shift when a string's spelling changes length in substitutions, so they are blanked."""
    if not symbol.startswith("_Z"):
        return None
    plain = _STRING.sub("%", symbol.replace("B5cxx11", ""))
    return re.sub(r"S[0-9A-Z]*_", "&", plain)
