"""A small Linux environment and wheels for the rules about tags, Python and the host; built with gcc, no libc."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fixtures.compilers import gnu_compiler
from tests.prefix.making import Maker
from tests.requirements import need
from tests.wheel.making import make_wheel

from abicheck.engine import check
from abicheck.model import Finding
from abicheck.report import CheckOptions

SITE = "lib/python3.12/site-packages"
SUFFIX = ".cpython-312-x86_64-linux-gnu.so"
TAG = "cp312-cp312-linux_x86_64"
AARCH64 = 183
RULES = frozenset({"ABI001", "ABI002", "ABI003", "ABI004", "ABI101", "ABI102", "ABI201", "ABI202"})
C_API = ("PyLong_FromLong", "PyModule_Create2", "_Py_Dealloc", "_PyArg_NoKeywords", "PyType_GetName")


class Workshop:
    """Builds what a test puts into wheels and environments."""

    def __init__(self, folder: Path) -> None:
        need("gcc", "x86_64")
        found = gnu_compiler()
        assert found is not None
        self.folder, self._compiler = folder, found

    def library(self, source: str, name: str = "libx.so", flags: tuple[str, ...] = (), **more: object) -> bytes:
        out = self.folder / "built" / name
        self._compiler.shared(out, source, "-nostdlib", *flags, **{"soname": name, **more})  # type: ignore[arg-type]
        return out.read_bytes()

    def extension(
        self,
        module: str = "_ext",
        wants: tuple[str, ...] = (),
        needs: tuple[str, ...] = (),
        flags: tuple[str, ...] = (),
    ) -> bytes:
        """An extension module that calls functions (left undefined) and needs libraries by name."""
        calls = " ".join(f"int {w}(void);" for w in wants) + " int use(void) { return 0"
        source = calls + "".join(f" + {w}()" for w in wants) + f"; }} int PyInit_{module}(void) {{ return 0; }}"
        return self.library(source, f"{module}.so", flags, needed=[self._stub(n) for n in needs])

    def for_glibc(self, version: str, module: str = "_ext") -> bytes:
        """An extension module that needs a version node of glibc's libc.so.6."""
        stub = self._stub(
            "libc.so.6", "int clock_of_libc(void) { return 0; }", f"GLIBC_{version} {{ clock_of_libc; }};"
        )
        source = f"int clock_of_libc(void); int PyInit_{module}(void) {{ return clock_of_libc(); }}"
        return self.library(source, f"{module}.so", needed=[stub])

    def _stub(self, name: str, source: str = "", script: str | None = None) -> Path:
        out = self.folder / "stubs" / name
        return self._compiler.shared(out, source, "-nostdlib", soname=name, version_script=script)

    def environment(self, *, flags: str = "", c_api: tuple[str, ...] = C_API) -> Maker:
        """A linux-64 prefix whose executable exports a part of the C-API. ``flags``: ``t`` for free-threaded."""
        made = Maker(self.folder / "env")
        source = " ".join(f"int {name}(void) {{ return 0; }}" for name in c_api)
        minor = "3.13" if flags else "3.12"
        digits = minor.replace(".", "")
        lib = f"lib/python{minor}{flags}"
        files = {
            f"bin/python{minor}{flags}": self.library(source, "python"),
            f"{lib}/os.py": b"",
            f"{lib}/lib-dynload/_x.cpython-{digits}{flags}-x86_64-linux-gnu.so": self.extension("_x"),
        }
        made.record("python", f"{minor}.4", files, build=f"h0_0_cp{digits}{flags}")
        return made

    def wheel(self, files: Mapping[str, bytes], tag: str = TAG, **more: object) -> Path:
        """A wheel of the package ``grid``, whose import loads ``_ext``."""
        content = {"grid/__init__.py": b"from . import _ext\n"} | {f"grid/{n}": d for n, d in files.items()}
        return make_wheel(self.folder / "wheels", "grid", "1.0", content, tag=tag, **more)  # type: ignore[arg-type]


def for_machine(elf: bytes, machine: int) -> bytes:
    """The same file as if it were for another processor (e_machine)."""
    return elf[:18] + machine.to_bytes(2, "little") + elf[20:]


def judged(maker: Maker, *wheels: Path, host: str = "none", rules: frozenset[str] = RULES) -> list[Finding]:
    """What the rules about tags, Python and host, and those that they relieve, say of wheels over an environment."""
    options = CheckOptions(host=host, only_rules=rules)
    return list(check([str(w) for w in wheels], prefix=str(maker.root), options=options).findings)


def only(findings: list[Finding], rule: str) -> Finding:
    """The one finding there is, of that rule."""
    assert [f.rule for f in findings] == [rule], [(f.rule, f.what) for f in findings]
    return findings[0]
