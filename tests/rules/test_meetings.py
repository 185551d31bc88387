"""Whose imports are derived to find out whom a subject meets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from abicheck.model import Origin
from abicheck.rules.meetings import Meetings

LIB = "/p/lib/python3.12"
SPEAKS = "sys.setdlopenflags(sys.getdlopenflags() | RTLD_GLOBAL)"


@pytest.mark.parametrize(
    ("path", "text", "speaks"),
    [
        (f"{LIB}/ctypes/__init__.py", "from _ctypes import RTLD_LOCAL, RTLD_GLOBAL", False),
        (f"{LIB}/site-packages/pkg/__init__.py", SPEAKS, True),
        (f"{LIB}/site-packages/pkg/__init__.py", "import sys", False),
        (f"{LIB}/site-packages/pkg/a/b/c/d.py", SPEAKS, False),
    ],
)
def test_the_standard_library_names_the_flag_and_never_sets_it(path: str, text: str, speaks: bool) -> None:
    ground = SimpleNamespace(
        view=SimpleNamespace(root="/p", read_text={path: text}.get),
        layout=SimpleNamespace(stdlib="lib/python3.12", purelib="lib/python3.12/site-packages"),
        files_of=lambda _: (path,),
    )
    assert Meetings._speaks_of_globals(ground, Origin("conda", "some", "1")) is speaks
