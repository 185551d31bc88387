"""A small macOS environment and wheels for the rules about what two correct loads do to each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from fixtures.macho import LIBSYSTEM, Export, Image, image
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import make_stage
from abicheck.model import Finding
from abicheck.prefix import open_prefix
from abicheck.rules.scene import Scene
from abicheck.staging import Placed, wheel_origin
from abicheck.wheel import plan_install, read_wheel

SITE = "lib/python3.12/site-packages"
SUFFIX = ".cpython-312-darwin.so"
TAG = "cp312-cp312-macosx_11_0_arm64"


def library(identity: str, *exports: str, seed: int = 1, needs: tuple[str, ...] = (), text: bytes = b"") -> bytes:
    """A dylib. ``text`` is laid behind the image: bytes that a scan sees and a loader does not."""
    made = Image(
        identity=identity,
        exports=[Export("_" + e) for e in exports],
        dylibs=[(n, "required") for n in (*needs, LIBSYSTEM)],
        uuid=bytes([seed]) * 16,
    )
    return image(made) + text


def extension(name: str, *needs: str, text: bytes = b"", rpaths: tuple[str, ...] = ()) -> bytes:
    """A Python extension that needs libraries by install name."""
    made = Image(
        filetype="bundle",
        dylibs=[(n, "required") for n in (*needs, LIBSYSTEM)],
        exports=[Export(f"_PyInit_{name}")],
        rpaths=list(rpaths),
    )
    return image(made) + text


def environment(root: Path) -> Maker:
    """An osx-arm64 prefix with a Python that finds libraries in ``lib``."""
    made = Maker(root, "osx-arm64")
    program = Image(filetype="execute", rpaths=["@loader_path/../lib"], exports=[Export("_Py_Main")])
    python = {"bin/python3.12": image(program), "lib/python3.12/os.py": b"", f"{SITE}/README.txt": b""}
    made.record("python", "3.12.4", python, build="h0_0_cpython")
    return made


def conda_extension(maker: Maker, name: str, *needs: str, text: bytes = b"", **record: object) -> None:
    """A conda package whose import loads one extension module."""
    files = {
        f"{SITE}/{name}/__init__.py": b"from . import _ext\n",
        f"{SITE}/{name}/_ext{SUFFIX}": extension("_ext", *needs, text=text),
    }
    maker.record(name, "1.0", files, **record)


def wheel(root: Path, name: str, files: Mapping[str, bytes], version: str = "2.0", code: bytes = b"") -> Path:
    """A wheel of one package whose import loads ``_ext`` (when there is one) and then runs ``code``."""
    start = b"from . import _ext\n" if f"{name}/_ext{SUFFIX}" in files else b""
    return make_wheel(root / "wheels", name, version, {f"{name}/__init__.py": start + code, **files}, tag=TAG)


def scene_of(maker: Maker, *wheels: Path, env: Mapping[str, str] | None = None) -> Scene:
    prefix = open_prefix(str(maker.root))
    assert prefix.layout is not None
    opened = [read_wheel(str(w)) for w in wheels]
    placed = [Placed(w, wheel_origin(w), plan_install(w, prefix.layout)) for w in opened]
    stage = make_stage(prefix, placed, host="none", env=env)
    return Scene(stage, [p.origin for p in stage.placed])


def judged(rule: ModuleType, maker: Maker, *wheels: Path, env: Mapping[str, str] | None = None) -> list[Finding]:
    """What one rule says of wheels over an environment. ``env``: variables of the calling shell."""
    return list(rule.check(scene_of(maker, *wheels, env=env)))
