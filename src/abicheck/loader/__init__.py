"""events -> objects, edges, bindings, errors: one module per dynamic loader, none of which judges.

A loader module defines ``PLATFORMS`` (conda subdirs it serves), ``LIBC`` when it serves hosts with that libc only, and
``start(view, host, *, executable, subdir, env, memory, binds) -> Process``; it is found by looking.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

from abicheck.errors import InputError


@functools.cache
def loaders() -> dict[tuple[str, str], ModuleType]:
    """(conda subdir, libc) -> loader module.

    A module that defines ``LIBC`` serves hosts with that libc only (musl shares glibc's subdirs, MUSL-5); one without
    it stands under the empty name."""
    out: dict[tuple[str, str], ModuleType] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for subdir in getattr(module, "PLATFORMS", ()):
            out.setdefault((subdir, getattr(module, "LIBC", "")), module)
    return out


def loader_for(subdir: str, libc: str = "") -> ModuleType:
    """The loader of a conda subdir on a host with that libc (empty: the platform's usual one).

    Raises ``InputError`` for a platform without one (noarch, emscripten-wasm32)."""
    known = loaders()
    module = known.get((subdir, libc)) or known.get((subdir, ""))
    if module is None:
        raise InputError(
            "platform-not-supported",
            f"the prefix is for `{subdir}`, which has no dynamic loader that abicheck knows",
            f"supported: {', '.join(sorted({s for s, _ in known}))}",
        )
    return module
