"""What one session learnt of the files serves the next: no source is read or looked for twice."""

from __future__ import annotations

import pytest

from abicheck.import_effects import Effect, ImportContext, new_session
from abicheck.overlay import View

from .worlds import world

FILES = {
    "pkg/__init__.py": """
        import os.path
        from . import part
        from pkg._ext import thing
        def unused():
            return globals()
        """,
    "pkg/part.py": 'NAME = "\\N{BULLET}"\nfrom other import *\n',
    "pkg/_ext.abi3.so": b"\0other.deep\0",
    "other/__init__.py": "import ctypes\nctypes.CDLL('libz.so.1')\n",
    "other/deep.py": "import other._more\n",
    "other/_more.abi3.so": b"",
    "third.py": "import other\n",
}


def derived(context: ImportContext, module: str) -> list[Effect]:
    return new_session(context).imports(module)


def test_a_second_session_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    context = world(FILES)
    first = derived(context, "pkg")
    assert [e.kind for e in first if e.kind in ("extension", "dlopen")], "the world loads something"
    read: list[str] = []
    whole = View.read_text
    monkeypatch.setattr(View, "read_text", lambda view, path, *more: read.append(path) or whole(view, path, *more))
    assert derived(context, "pkg") == first
    assert read == []
    derived(world(FILES), "pkg")
    assert len(read) == len(set(read)), "each source once"


def test_what_is_shared_is_not_the_state_of_a_session() -> None:
    context = world(FILES)
    derived(context, "pkg")
    assert derived(context, "third") == derived(world(FILES), "third")
    assert derived(context, "pkg") == derived(world(FILES), "pkg")


def test_each_search_path_has_its_own_answers() -> None:
    files = {**FILES, "late.pth": "more\n", "more/found.py": "import pkg._ext\n", "pkg/_ext.abi3.so": b"\0found.x\0"}
    context = world(files)
    session = new_session(context)
    assert session.locate("found") is not None
    session.path = [p for p in session.path if not str(p).endswith("more")]
    assert session.locate("found") is None
    assert new_session(context).locate("found") is not None
