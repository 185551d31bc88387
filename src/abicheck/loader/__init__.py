"""events -> objects, edges, bindings, errors: one module per dynamic loader, none of which judges.

A loader module defines ``PLATFORMS`` (conda subdirs it serves) and
``start(view, host, *, executable, subdir, env, memory, binds) -> Process``; it is found by looking.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

from abicheck.errors import InputError


@functools.cache
def loaders() -> dict[str, ModuleType]:
    """conda subdir -> loader module. musl shares glibc's subdirs and is chosen by the host (MUSL-5)."""
    out: dict[str, ModuleType] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for subdir in getattr(module, "PLATFORMS", ()):
            out.setdefault(subdir, module)
    return out


def loader_for(subdir: str) -> ModuleType:
    """The loader of a conda subdir. Raises ``InputError`` for a platform without one (noarch, emscripten-wasm32)."""
    module = loaders().get(subdir)
    if module is None:
        raise InputError(
            "platform-not-supported",
            f"the prefix is for `{subdir}`, which has no dynamic loader that abicheck knows",
            f"supported: {', '.join(sorted(loaders()))}",
        )
    return module
