"""Libraries that another wheel may bring: one that pip will fetch and that is not among those that are judged.

Projects part their libraries from their modules (a wheel with the modules requires one with the toolkit). What such a
wheel holds is unknown until somebody gives it, so a library that is missing without it is not missing for certain. That
a requirement may bring a library is believed where their names are akin; a requirement on something else excuses
nothing.
"""

from __future__ import annotations

import re

from abicheck.knowledge.library_names import stem
from abicheck.loader.process import Failure
from abicheck.rules.scene import Scene
from abicheck.transaction import Transaction, Unsatisfied

_NO_NAMES = frozenset({"py", "python", "lib", "libs", "dev", "core"})


def companion(scene: Scene, failure: Failure) -> Unsatisfied | None:
    """The requirement of a subject that pip will fetch and that may bring the library which a file of it misses."""
    if not isinstance(scene.transaction, Transaction):
        return None
    owner = scene.view.origin(failure.requester) if failure.requester else None
    if owner is None or owner not in scene.subject_origins:
        return None
    lacks = [
        u
        for u in scene.transaction.unsatisfied
        if u.kind == "fetch" and (u.needed_by.display_name, u.needed_by.version) == (owner.name, owner.version)
    ]
    if not lacks:
        return None
    binary, _ = scene.read(failure.requester)
    needs = [n.name for s in binary.slices for n in s.needs] if binary is not None else []
    for library in (failure.library, *needs):
        for lack in lacks:
            if akin(lack.name, library):
                return lack
    return None


def akin(project: str, library: str) -> bool:
    """Whether a library's name begins with a word of a project's name, numbers aside.

    >>> akin("nvidia-cudnn-cu12", "libcudnn.so.9"), akin("pyqt5-qt5", "Qt5Core.dll"), akin("click", "libcudnn.so.9")
    (True, True, False)
    """
    name = re.sub(r"^lib", "", stem(library).name.lower())
    words = {w.rstrip("0123456789") for w in re.split(r"[-_.]", project.lower())}
    return any(len(w) > 1 and w not in _NO_NAMES and name.startswith(w) for w in words)
