"""Small DLLs built with mingw-w64, one set for each rule of the Windows loader that Wine can confirm.

A case lays files into the prefix under names of its own, runs a program in Wine and is simulated with the same events.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.binary.pe_samples import I386, build
from tests.oracle.wine import Observed

from abicheck.loader.process import Event

GCC, DLLTOOL = "x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-dlltool"


@dataclass(frozen=True)
class Dll:
    """A DLL to build. ``exports``: lines of a .def file (``f``, ``f @7 NONAME``, ``g=other.h``). ``imports``: DLL name
    to such lines. ``delayed``: the same for delay imports. ``content``: the file itself, not built at all."""

    exports: Sequence[str] = ("f",)
    imports: Mapping[str, Sequence[str]] = ()  # type: ignore[assignment]
    delayed: Mapping[str, Sequence[str]] = ()  # type: ignore[assignment]
    content: bytes | None = None


@dataclass(frozen=True)
class Case:
    """``files``: path in the prefix to what to build. ``steps``: what the program does (see ``program``). ``served``:
    which files must be mapped, ``absent``: which must not. ``fails``: text of the failure of the last step. ``check``:
    more to look at in what was observed. ``wine_lets_pass``: why Wine loads what Windows refuses."""

    rule: str
    title: str
    files: Mapping[str, Dll]
    steps: Sequence[tuple[str, str]]
    served: Sequence[str] = ()
    absent: Sequence[str] = ()
    fails: str = ""
    env: Mapping[str, str] | None = None
    check: Callable[[Observed], bool] | None = None
    wine_lets_pass: str = ""

    @property
    def id(self) -> str:
        return f"{self.rule}-{self.title.replace(' ', '-')}"


def pyd(*dlls: str, **imports: Sequence[str]) -> Dll:
    """An extension that imports ``f`` from each DLL, or the given symbols."""
    wanted: dict[str, Sequence[str]] = {f"{d}.dll": ["f"] for d in dlls}
    return Dll(exports=["PyInit_ext"], imports=wanted | {f"{d}.dll": s for d, s in imports.items()})


F = Dll()
FOR_I386 = Dll(content=build(machine=I386, name="w13dep.dll", exports=["f"]))
CASES = (
    Case(
        "WIN-1", "the loaded module of that name serves",
        {"w1/a/ext.pyd": pyd("w1dep"), "w1/a/w1dep.dll": F, "w1/b/ext.pyd": pyd("W1DEP"), "w1/b/w1dep.dll": F},
        [("import", "w1/a/ext.pyd"), ("import", "w1/b/ext.pyd")],
        served=["w1/a/w1dep.dll"], absent=["w1/b/w1dep.dll"],
    ),
    Case(
        "WIN-1", "loaded before and with fewer exports",
        {"w1c/old/w1cdep.dll": F, "w1c/new/w1cdep.dll": Dll(["f", "g"]), "w1c/new/ext.pyd": pyd(w1cdep=["f", "g"])},
        [("dlopen", "w1c/old/w1cdep.dll"), ("import", "w1c/new/ext.pyd")],
        served=["w1c/old/w1cdep.dll"], absent=["w1c/new/w1cdep.dll"], fails="procedure",
        check=lambda o: [(d.lower(), s) for d, s, _ in o.without_export] == [("w1cdep.dll", "g")],
        wine_lets_pass="a missing export becomes a stub that ends the process when it is called; Windows: error 127",
    ),
    Case(
        "WIN-2", "two files of one name by full path",
        {"w2/x/w2dep.dll": F, "w2/y/w2dep.dll": F, "w2/z/ext.pyd": pyd("w2dep")},
        [("dlopen", "w2/x/w2dep.dll"), ("dlopen", "w2/y/w2dep.dll"), ("import", "w2/z/ext.pyd")],
        served=["w2/x/w2dep.dll", "w2/y/w2dep.dll"],
    ),
    Case(
        "WIN-4", "own directory before user directory",
        {"w4/ext.pyd": pyd("w4dep"), "w4/w4dep.dll": F, "w4u/w4dep.dll": F},
        [("dll-directory", "w4u"), ("import", "w4/ext.pyd")],
        served=["w4/w4dep.dll"], absent=["w4u/w4dep.dll"],
    ),
    Case(
        "WIN-4", "own directory before application directory",
        {"w4a/ext.pyd": pyd("w4adep"), "w4a/w4adep.dll": F, "w4adep.dll": F},
        [("import", "w4a/ext.pyd")], served=["w4a/w4adep.dll"], absent=["w4adep.dll"],
    ),
    Case(
        "WIN-4", "application directory before user directory",
        {"w4b/ext.pyd": pyd("w4bdep"), "w4bu/w4bdep.dll": F, "w4bdep.dll": F},
        [("dll-directory", "w4bu"), ("import", "w4b/ext.pyd")], served=["w4bdep.dll"], absent=["w4bu/w4bdep.dll"],
    ),
    Case(
        "WIN-4", "beside a dependency is not searched",
        {"w4c/ext.pyd": pyd("w4cmid"), "w4cm/w4cmid.dll": Dll(imports={"w4cdeep.dll": ["f"]}), "w4cd/w4cdeep.dll": F},
        [("dlopen", "w4cd/w4cdeep.dll"), ("dll-directory", "w4cm"), ("import", "w4c/ext.pyd")],
        served=["w4cd/w4cdeep.dll", "w4cm/w4cmid.dll"],
    ),
    Case(
        "WIN-4", "neither PATH nor a dependency's directory is searched",
        {"w4d/ext.pyd": pyd("w4dmid"), "w4dm/w4dmid.dll": Dll(imports={"w4ddeep.dll": ["f"]}), "w4dd/w4ddeep.dll": F},
        [("dll-directory", "w4dm"), ("import", "w4d/ext.pyd")],
        absent=["w4dd/w4ddeep.dll"], fails="module", env={"WINEPATH": "{prefix}/w4dd"},
    ),
    Case(
        "WIN-5", "the last added directory is first",
        {"w5/ext.pyd": pyd("w5dep"), "w5a/w5dep.dll": F, "w5b/w5dep.dll": F},
        [("dll-directory", "w5a"), ("dll-directory", "w5b"), ("import", "w5/ext.pyd")],
        served=["w5b/w5dep.dll"], absent=["w5a/w5dep.dll"],
    ),
    Case(
        "WIN-7", "conda's directories in reverse order of their calls",
        {"w7/ext.pyd": pyd("w7dep"), "Library/bin/w7dep.dll": F, "Scripts/w7dep.dll": F},
        [("import", "w7/ext.pyd")], served=["Library/bin/w7dep.dll"], absent=["Scripts/w7dep.dll"],
    ),
    Case(
        "WIN-8", "ctypes by path adds that directory and by name does not",
        {"w8/w8top.dll": Dll(imports={"w8dep.dll": ["f"]}), "w8/w8dep.dll": F},
        [("try-dlopen", "w8top.dll"), ("dlopen", "w8/w8top.dll")], served=["w8/w8top.dll", "w8/w8dep.dll"],
    ),
    Case(
        "WIN-9", "the old order reads PATH",
        {"w9/w9dep.dll": F},
        [("legacy", "w9dep.dll")], served=["w9/w9dep.dll"], env={"WINEPATH": "{prefix}/w9"},
    ),
    Case(
        "WIN-10", "a file with the name of an API set is not looked at",
        {"w10/ext.pyd": pyd(**{"api-ms-win-crt-heap-l1-1-0": ["free"]}), "w10/api-ms-win-crt-heap-l1-1-0.dll": F},
        [("import", "w10/ext.pyd")], absent=["w10/api-ms-win-crt-heap-l1-1-0.dll"],
    ),
    Case(
        "WIN-13", "a file for another machine is passed over",
        {"w13/ext.pyd": pyd("w13dep"), "w13/w13dep.dll": FOR_I386, "w13u/w13dep.dll": F},
        [("dll-directory", "w13u"), ("import", "w13/ext.pyd")], served=["w13u/w13dep.dll"], absent=["w13/w13dep.dll"],
    ),
    Case(
        "WIN-16", "an import by ordinal",
        {"w16/ext.pyd": pyd(w16dep=["f @7 NONAME"]), "w16/w16dep.dll": Dll(["f @7 NONAME"])},
        [("import", "w16/ext.pyd")], served=["w16/w16dep.dll"],
    ),
    Case(
        "WIN-17", "a forwarder loads its target",
        {"w17/ext.pyd": pyd(w17dep=["f"]), "w17/w17dep.dll": Dll(["f=w17real.g", "h=w17gone.h"]),
         "w17/w17real.dll": Dll(["g"])},
        [("import", "w17/ext.pyd")], served=["w17/w17dep.dll", "w17/w17real.dll"],
    ),
    Case(
        "WIN-17", "a forwarder to nowhere",
        {"w17b/ext.pyd": pyd(w17bdep=["f"]), "w17b/w17bdep.dll": Dll(["f=w17bgone.g"])},
        [("import", "w17b/ext.pyd")], served=["w17b/w17bdep.dll"], fails="module",
        check=lambda o: [(d.lower(), s) for d, s, _ in o.without_export] == [("w17bdep.dll", "f")],
        wine_lets_pass="an export that cannot be resolved becomes a stub; Windows fails the load",
    ),
    Case(
        "WIN-18", "a delay import is not needed to load",
        {"w18/ext.pyd": Dll(["PyInit_ext"], delayed={"w18gone.dll": ["f"]})},
        [("import", "w18/ext.pyd")], served=["w18/ext.pyd"],
    ),
    Case(
        "WIN-20", "another version's python DLL",
        {"w20/ext.pyd": pyd(python310=["f"]), "w20/python310.dll": F},
        [("import", "w20/ext.pyd")], served=["w20/python310.dll"], fails="conflicts with this version of Python",
    ),
)  # fmt: skip


def lay_out(prefix: Path, case: Case) -> None:
    """Build the files of a case into the prefix."""
    for path, dll in case.files.items():
        target = prefix / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if dll.content is not None:
            target.write_bytes(dll.content)
        else:
            _build(target, dll)


def _build(target: Path, dll: Dll) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        called, libraries = [], []
        for n, (name, lines) in enumerate(dict(dll.imports or {}).items()):
            libraries.append(_import_library(at, n, name, lines, "--output-lib"))
            called += [line.split()[0] for line in lines]
        for n, (name, lines) in enumerate(dict(dll.delayed or {}).items()):
            libraries.append(_import_library(at, 100 + n, name, lines, "--output-delaylib"))
            called += [line.split()[0] for line in lines]
        own = [line.split()[0] for line in dll.exports if "=" not in line]
        source = "".join(f"__declspec(dllimport) int {c}(void);\n" for c in called if c not in own)
        source += "".join(f"void *{f}_(void) {{ return 0; }}\n" for f in own)
        # Nobody calls this: the program only loads. A delayed symbol needs a call somewhere to be imported at all.
        source += f"int caller_(void) {{ return 0{''.join(f' + {c}()' for c in called)}; }}\n"
        source += "void *__delayLoadHelper2(void *a, void *b) { return 0; }\n" if dll.delayed else ""
        (at / "a.c").write_text(source)
        exports = [
            e if "=" in e else e.replace(e.split()[0], f"{e.split()[0]}={e.split()[0]}_", 1) for e in dll.exports
        ]
        (at / "a.def").write_text(f"LIBRARY {target.name}\nEXPORTS\n" + "".join(f" {e}\n" for e in exports))
        # -fno-builtin: the program calls functions such as free that the compiler believes to know.
        options = ["-shared", "-nostdlib", "-fno-builtin", "-w", "-Wl,--entry=0", "-o", str(target)]
        _run(GCC, *options, str(at / "a.c"), str(at / "a.def"), *libraries)


def _import_library(at: Path, number: int, name: str, lines: Sequence[str], kind: str) -> str:
    definition, library = at / f"i{number}.def", at / f"i{number}.a"
    definition.write_text(f"LIBRARY {name}\nEXPORTS\n" + "".join(f" {line}\n" for line in lines))
    _run(DLLTOOL, "-d", str(definition), kind, str(library))
    return str(library)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"


def program(prefix: Path, case: Case) -> str:
    """Python that goes through the steps of a case. PyInit gives NULL, which is a SystemError after the load worked."""
    lines = [
        "import ctypes, importlib.util, os",
        "def load(path):",
        "    spec = importlib.util.spec_from_file_location('ext', path)",
        "    try: importlib.util.module_from_spec(spec)",
        "    except SystemError: pass",
    ]
    for kind, what in case.steps:
        path = "Z:" + str(prefix.resolve() / what) if "/" in what or kind == "dll-directory" else what
        lines.append(
            {
                "import": f"load({path!r})",
                "dlopen": f"ctypes.CDLL({path!r})",
                "try-dlopen": f"try: ctypes.CDLL({path!r})\nexcept OSError: pass",
                "legacy": f"ctypes.CDLL({path!r}, winmode=0)",
                "dll-directory": f"os.add_dll_directory({path!r})",
            }[kind]
        )
    return "\n".join(lines)


def events(observed: Observed, case: Case) -> list[tuple[str, str] | Event]:
    """The audit events of a run; ctypes' audit does not tell ``winmode``, the case does."""
    legacy = {what for kind, what in case.steps if kind == "legacy"}
    return [
        Event(what, kind="dlopen", legacy_search=True) if kind == "dlopen" and what in legacy else (kind, what)
        for kind, what in observed.events
    ]
