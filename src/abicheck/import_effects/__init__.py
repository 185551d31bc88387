"""What importing a Python module is certain, or able, to load or set. Read from source; nothing is executed (PY-10)."""

from __future__ import annotations

from abicheck.import_effects.facts import Effect, ImportContext, Link, Memory
from abicheck.import_effects.failing import fatal_loads
from abicheck.import_effects.session import Session
from abicheck.import_effects.startup import start

__all__ = [
    "Effect",
    "ImportContext",
    "Link",
    "Memory",
    "Session",
    "derive",
    "fatal_loads",
    "modules_of_extension",
    "new_session",
    "startup_effects",
]


def new_session(context: ImportContext) -> Session:
    """An interpreter that has just started: ``.pth`` files are read, nothing of a program is imported yet."""
    session = Session(context)
    start(session)
    return session


def startup_effects(context: ImportContext) -> list[Effect]:
    """Effects of the interpreter's start-up: ``.pth`` files with import lines, ``sitecustomize``."""
    return start(Session(context))


def modules_of_extension(context: ImportContext, path: str) -> str | None:
    """The dotted name whose import loads the extension at ``path`` (absolute in the view); None when none does:
    another suffix or a package is found first, or the interpreter does not know the suffix (PY-7)."""
    session = new_session(context)
    for directory in sorted(session.search_path(), key=len, reverse=True):
        if not path.startswith(directory + "/"):
            continue
        inner = path[len(directory) + 1 :]
        for suffix in context.extension_suffixes:
            if inner.endswith(suffix):
                name = inner[: -len(suffix)].replace("/", ".").removesuffix(".__init__")
                spec = session.locate(name)
                if spec is not None and spec.path == path:
                    return name
    return None


def derive(context: ImportContext, module: str, loaded: set[str] | None = None) -> list[Effect]:
    """Effects of ``import module``, in order. ``loaded``: names imported before in the same process; grows."""
    session = new_session(context)
    if loaded:
        session.given(loaded)
    effects = session.imports(module)
    if loaded is not None:
        loaded |= {name for name, m in session.modules.items() if m.state in ("done", "running")}
    return effects
