"""What ``site`` does before the first import of a program: ``.pth`` files, ``sitecustomize``, ``usercustomize``."""

from __future__ import annotations

import posixpath

from abicheck.import_effects.core import Frame, Module, Raised
from abicheck.import_effects.facts import Effect, Link
from abicheck.import_effects.finder import Spec
from abicheck.import_effects.session import Session
from abicheck.import_effects.summary import summarize

COUNTED = 999  # lines of a .pth file; a hostile one may have millions


def start(session: Session) -> list[Effect]:
    """Run the start-up of ``session``'s interpreter and return its effects, in order. To be called once, first."""
    begin = len(session.effects)
    session.sure = True
    for directory in session.context.site_packages:
        listing = session.view.listing(directory) or {}
        for name in sorted(n for n in listing if n.endswith(".pth") and not n.startswith(".")):
            _read_pth(session, directory, name)
    for name in ("sitecustomize", "usercustomize"):
        if name == "usercustomize":
            continue  # needs the user's site directory, which is not part of the environment
        with session.tolerant():
            try:
                session.import_module(name)
            except Raised:
                continue
    del session.chain[:]
    return session.effects[begin:]


def _read_pth(session: Session, directory: str, name: str) -> None:
    """One ``.pth`` file: lines that begin with ``import`` run, others are directories for ``sys.path``."""
    text = session.read(f"{directory}/{name}")
    if text is None:
        return
    path = f"{directory}/{name}"
    module = Module(name, Spec(name, "source", path))
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith(("import ", "import\t")):
            entry = posixpath.normpath(posixpath.join(directory, line.strip().replace("\\", "/")))
            if session.view.lookup(entry).status == "dir" and entry not in session.path:
                session.path.append(entry)
            continue
        frame = Frame(module, {}, line=number)
        try:
            session.block(frame, summarize("\n" * min(number - 1, COUNTED) + line).body)  # told by its line of the file
        except Raised as raised:
            link = Link(name, session.view.relative(path), number)
            with session.linked(link):
                session.emit(None, "unknown", name=f"{name}:{number} fails: {raised}", module=name)
        _editable(session, frame, name)


def _editable(session: Session, frame: Frame, name: str) -> None:
    """Editable installs: a finder module with a ``MAPPING`` of top-level names to files takes part in every import."""
    for imported in [m for n, m in session.modules.items() if n.startswith("__editable__")]:
        mapping = session.force(imported.env.get("MAPPING"))
        if isinstance(mapping, dict):
            for top, where in mapping.items():
                if isinstance(top, str) and isinstance(where, str):
                    session.finder.editable[top] = where
        else:
            session.emit(frame, "unknown", name=f"{name} installs an import hook that cannot be followed")
