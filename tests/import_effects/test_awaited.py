"""Projects that pip will bring and of which nothing is here: their modules exist, their content is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.import_effects.worlds import PREFIX, loads, world

from abicheck.import_effects import derive
from abicheck.model import Origin
from abicheck.overlay import View

WHEEL, CONDA = Origin("wheel", "pkg", "1.0"), Origin("conda", "pkg", "1.0")
PLAIN = "import far.deep\nfrom far import thing\nfrom . import _ext\n"
GUARDED = "try:\n    import far\n    from . import _ext\nexcept ImportError:\n    pass\n"


def found(code: str, owner: Origin = WHEEL, **more: object) -> list[str]:
    """What importing ``pkg``, a file of ``owner``, is certain to load."""
    context = world({"pkg/__init__.py": code, "pkg/_ext.abi3.so": b"\x7fELF"}, **more)
    view = View(PREFIX, context.view._tree, lambda _: owner)
    return loads(derive(replace(context, view=view), "pkg"), certain=True)


@pytest.mark.parametrize("code", [PLAIN, GUARDED])
def test_a_module_of_an_awaited_project(code: str) -> None:
    assert found(code, awaited=frozenset({"far"})) == ["pkg/_ext.abi3.so"]
    assert found(code) == [], "nobody brings it: the import ends there"


def test_a_project_whose_module_has_another_name() -> None:
    """What a project is imported as is not always its name: nothing guards the import, so it is believed."""
    others = frozenset({"far_away"})
    assert found(PLAIN, awaited=others) == ["pkg/_ext.abi3.so"]
    assert found(GUARDED, awaited=others) == [], "who guards an import expects that it may fail"
    assert found(PLAIN, CONDA, awaited=others) == [], "what is installed already waits for nobody"


def test_the_standard_library_is_not_awaited() -> None:
    assert found("import msvcrt\nfrom . import _ext\n", awaited=frozenset({"far_away"})) == []
