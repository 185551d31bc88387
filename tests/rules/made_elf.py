"""A linux-64 environment and wheels of small ELF libraries, for the rules about what the loader does with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from tests.loader.elf_worlds import MODERN, PYTHON, World
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.engine import make_stage
from abicheck.host import Host
from abicheck.model import Finding
from abicheck.prefix import open_prefix
from abicheck.rules.scene import Scene
from abicheck.staging import Placed, wheel_origin
from abicheck.wheel import plan_install, read_wheel

SITE = "lib/python3.12/site-packages"
SUFFIX = ".cpython-312-x86_64-linux-gnu.so"
TAG = "cp312-cp312-linux_x86_64"
EXT = f"_ext{SUFFIX}"


class Bench:
    """Builds libraries in a corner, puts them into conda packages and wheels, and asks one rule about them."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder / "built")
        self.folder = folder
        self.maker = Maker(folder / "env")
        files = {PYTHON: bytes(self.world.data(PYTHON)), "lib/python3.12/os.py": b"", f"{SITE}/README.txt": b""}
        self.maker.record("python", "3.12.4", files, build="h0_0_cpython")

    def lib(self, name: str, source: str = "", *flags: str, **more: object) -> bytes:
        """A library. ``needed`` names others built before; options as in ``World.lib``."""
        self.world.lib(name, source, *flags, **more)  # type: ignore[arg-type]
        return bytes(self.world.data(name))

    def ext(self, calls: str = "", *, needed: tuple[str, ...] = (), name: str = "_ext", **more: object) -> bytes:
        """An extension module that calls the functions named in ``calls``."""
        declared = " ".join(f"int {c}(void);" for c in calls.split())
        body = " + ".join(f"{c}()" for c in calls.split()) or "0"
        source = f"{declared} int use(void) {{ return {body}; }} void *PyInit_{name}(void) {{ return 0; }}"
        return self.lib(f"ext/{name}.so", source, soname=None, needed=needed, **more)

    def conda(self, name: str, ext: bytes | None = None, files: Mapping[str, bytes] | None = None) -> None:
        """A conda package, version 1.0, whose import loads one extension module."""
        inside = dict(files or {})
        if ext is not None:
            inside |= {f"{SITE}/{name}/__init__.py": b"from . import _ext\n", f"{SITE}/{name}/{EXT}": ext}
        self.maker.record(name, "1.0", inside)

    def wheel(
        self, ext: bytes | None, files: Mapping[str, bytes] | None = None, *, code: str = "", name: str = "grid"
    ) -> Path:
        """A wheel, version 2.0, whose import runs ``code`` and then loads an extension module."""
        start = code + ("from . import _ext\n" if ext is not None else "")
        inside = {f"{name}/__init__.py": start.encode(), **(files or {})}
        if ext is not None:
            inside[f"{name}/{EXT}"] = ext
        return make_wheel(self.folder / "wheels", name, "2.0", inside, tag=TAG)

    def scene(self, *wheels: Path, host: Host = MODERN, env: Mapping[str, str] | None = None) -> Scene:
        prefix = open_prefix(str(self.maker.root))
        assert prefix.layout is not None
        opened = [read_wheel(str(w)) for w in wheels]
        placed = [Placed(w, wheel_origin(w), plan_install(w, prefix.layout)) for w in opened]
        stage = replace(make_stage(prefix, placed, host="none", env=env), host=host)
        return Scene(stage, [p.origin for p in stage.placed])

    def judged(self, rule: ModuleType, *wheels: Path, host: Host = MODERN) -> list[Finding]:
        return list(rule.check(self.scene(*wheels, host=host)))


def rules_of(finding: Finding) -> list[str]:
    """Loader rules that the evidence cites."""
    return [f.loader_rule for f in finding.why if f.loader_rule]


def paths(finding: Finding) -> tuple[str | None, str | None]:
    """Subject's and object's path."""
    return finding.subject and finding.subject.path, finding.object and finding.object.path  # type: ignore[return-value]
