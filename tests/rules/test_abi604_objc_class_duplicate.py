"""ABI604 over made macOS environments: two images that define one Objective-C class."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.macho import LIBSYSTEM, Export, Image, fat, image
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import make_stage
from abicheck.model import Confidence, Finding, Severity
from abicheck.prefix import open_prefix
from abicheck.rules import abi604_objc_class_duplicate as rule
from abicheck.rules.scene import Scene
from abicheck.staging import Placed, wheel_origin
from abicheck.wheel import plan_install, read_wheel

SITE = "lib/python3.12/site-packages"
SUFFIX = ".cpython-312-darwin.so"


def sdl(*classes: str, uuid: int = 1) -> bytes:
    return image(Image(identity=f"/DLC/{uuid}/libSDL2.dylib", classes=classes, uuid=bytes([uuid]) * 16))


def extension(library: str, **more: object) -> bytes:
    needs = [(library, "required"), (LIBSYSTEM, "required")]
    return image(Image(filetype="bundle", dylibs=needs, exports=[Export("_PyInit__ext")], **more))  # type: ignore[arg-type]


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env", "osx-arm64")
    program = Image(filetype="execute", rpaths=["@loader_path/../lib"], exports=[Export("_Py_Main")])
    made.record(
        "python", "3.12.4", {"bin/python3.12": image(program), "lib/python3.12/os.py": b""}, build="h0_0_cpython"
    )
    return made


def conda(maker: Maker, library: bytes) -> None:
    """A conda package with an extension of its own over a library of its own."""
    files = {f"{SITE}/film/_ext{SUFFIX}": extension("@rpath/libSDL2.dylib"), "lib/libSDL2.dylib": library}
    maker.record("film", "3.0", {**files, f"{SITE}/film/__init__.py": b"from . import _ext\n"})


def judged(maker: Maker, library: bytes, **more: bytes) -> list[Finding]:
    """Findings for a wheel ``game`` that brings an extension and a library."""
    files = {"game/__init__.py": b"from . import _ext\n", "game/.dylibs/libSDL2.dylib": library}
    files[f"game/_ext{SUFFIX}"] = extension("@loader_path/.dylibs/libSDL2.dylib")
    wheel = make_wheel(maker.root.parent / "w", "game", "2.0", {**files, **more}, tag="cp312-cp312-macosx_11_0_arm64")
    prefix, opened = open_prefix(str(maker.root)), read_wheel(str(wheel))
    assert prefix.layout is not None
    placed = Placed(opened, wheel_origin(opened), plan_install(opened, prefix.layout))
    stage = make_stage(prefix, [placed], host="none")
    return list(rule.check(Scene(stage, [p.origin for p in stage.placed])))


def test_another_build_of_the_library_in_the_prefix(maker: Maker) -> None:
    conda(maker, sdl("SDLApplication", "SDLView", "OnlyThere", uuid=2))
    (finding,) = judged(maker, sdl("SDLApplication", "SDLView", "OnlyHere"))
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.MEDIUM)
    assert "define the Objective-C class SDLApplication and 1 more" in finding.what
    assert finding.subject is not None and finding.object is not None and finding.conda_package is not None
    assert (finding.subject.path, finding.object.path) == (f"{SITE}/game/.dylibs/libSDL2.dylib", "lib/libSDL2.dylib")
    assert finding.conda_package.name == "film"
    assert finding.why[0].loader_rule == "MAC-23" and finding.why[0].text == "defines SDLApplication, SDLView"
    assert finding.depends_on == ("import-order",) and finding.key == "SDLApplication"


def test_an_equal_build_is_a_note(maker: Maker) -> None:
    conda(maker, sdl("SDLView"))
    (finding,) = judged(maker, sdl("SDLView"))
    assert finding.severity is Severity.NOTE


def test_other_classes_are_silence(maker: Maker) -> None:
    conda(maker, sdl("SDLView", uuid=2))
    assert judged(maker, sdl("GameView")) == []


def test_only_the_slice_of_the_process_counts(maker: Maker) -> None:
    conda(maker, sdl("SDLView", uuid=2))
    intel = image(Image(arch="x86_64", identity="/DLC/x", classes=["SDLView"]))
    assert judged(maker, fat([("x86_64", intel), ("arm64", sdl("GameView"))])) == []


def test_two_copies_inside_one_wheel_are_its_own_affair(maker: Maker) -> None:
    second = {
        f"game/_more{SUFFIX}": extension("@loader_path/libSDL2-2.dylib"),
        "game/libSDL2-2.dylib": sdl("SDLView", uuid=3),
    }
    assert judged(maker, sdl("SDLView"), **second) == []


def test_a_library_that_nobody_loads_is_silence(maker: Maker) -> None:
    maker.record("idle", "1.0", {"lib/libIdle.dylib": sdl("SDLView", uuid=2)})
    assert judged(maker, sdl("SDLView")) == []
