"""Builds the conda side of an incident: a prefix of small libraries with the names, versions and symbols that matter.

A library exports what the corpus says and what the wheel imports from it, in the versions the corpus gives: so nothing
but the point of the case can go wrong. ``condauser`` is an extension module of the environment that uses all of them,
for "something in the environment loads this". Formats: ELF by gcc (or zig), Mach-O and PE by zig.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fixtures.compilers import Compiler, c_compiler, run, zig
from tests.oracle.conda_records import CondaRecords
from tests.oracle.incidents import Incident
from tests.oracle.wheel_needs import expand_versions, wheel_needs

TARGETS = {"osx-64": "x86_64-macos", "osx-arm64": "aarch64-macos", "win-64": "x86_64-windows-gnu"}
ARCHITECTURES = {"linux-64": "x86_64", "osx-64": "x86_64", "osx-arm64": "arm64", "win-64": "x86_64"}
# conda's name of a Python distribution -> the name on PyPI and the import package.
DISTRIBUTIONS = {
    "greenlet": ("greenlet", "greenlet"),
    "numpy": ("numpy", "numpy"),
    "netcdf4": ("netCDF4", "netCDF4"),
    "protobuf": ("protobuf", "google.protobuf"),
    "pyarrow": ("pyarrow", "pyarrow"),
    "pyqt": ("PyQt5", "PyQt5"),
    "pytorch": ("torch", "torch"),
    "pywin32": ("pywin32", "win32"),
    "scikit-learn": ("scikit-learn", "sklearn"),
    "scipy": ("scipy", "scipy"),
}
# What conda's proj packages run at activation, in our words.
ACTIVATION = 'export PROJ_LIB="$CONDA_PREFIX/share/proj"\nexport PROJ_DATA="$CONDA_PREFIX/share/proj"\n'
MODULES = {"absl-py": "absl", "protobuf": "google/protobuf", "pyyaml": "yaml", "python-dateutil": "dateutil"}
OLD_STRING = re.compile(r"Ss(?![a-z])")  # Itanium C++ ABI: std::string of before GCC 5 in a mangled name
IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*$")


class Side:
    """One synthetic prefix."""

    def __init__(self, incident: Incident, wheel: Path, folder: Path) -> None:
        self._case, self._root = incident, folder
        self._needs = wheel_needs(wheel, ARCHITECTURES[incident.subdir])
        target = TARGETS.get(incident.subdir)
        self._compiler = zig(target) if target else c_compiler()
        self._windows, self._mac = incident.subdir == "win-64", incident.subdir.startswith("osx")
        digits = incident.python.replace(".", "")
        site = "Lib/site-packages" if self._windows else f"lib/python{incident.python}/site-packages"
        self._site = site
        self._suffix = {
            "win-64": f".cp{digits}-win_amd64.pyd",
            "linux-64": f".cpython-{digits}-x86_64-linux-gnu.so",
        }.get(incident.subdir, f".cpython-{digits}-darwin.so")
        if self._python_before_38:
            self._suffix = self._suffix.replace(f"-{digits}-", f"-{digits}m-")
        self._records = CondaRecords()
        self._new_strings = False  # of the package being built: its C++ code has the std::string of GCC 5
        self._built: dict[str, str] = {}  # path -> name by which others need it

    @property
    def _python_before_38(self) -> bool:
        return tuple(map(int, self._case.python.split("."))) < (3, 8) and not self._windows

    def build(self) -> Path:
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(parents=True)
        self._interpreter()
        for package in self._case.conda_side:
            if package["name"] != "python":
                self._package(package)
        for project in self._needs.requires:
            self._companion(project)
        self._submodules()
        self._user()
        self._host()
        self._records.write(self._root, self._case.subdir)
        return self._root

    def _own(self, package: str, version: str, path: str) -> None:
        self._records.own(package, version, path)

    # -- files

    def _source(self, names: Iterable[str], extra: str = "") -> str:
        """One object per name. clang knows some names as functions, so there the C name differs from the symbol's."""
        if self._compiler is not None and self._compiler.gnu:
            return extra + "".join(f"int {n};\n" for n in sorted(names) if IDENTIFIER.match(n))
        export, underscore = "__declspec(dllexport) " if self._windows else "", "_" if self._mac else ""
        labelled = (f'{export}int given_{i} __asm__("{underscore}{n}");\n' for i, n in enumerate(sorted(names)))
        return extra + "".join(f"{line[:-2]} = 1;\n" for line in labelled)

    def _compile(self, path: str, source: str, **options: Any) -> None:
        assert self._compiler is not None
        flags = list(options.pop("flags", ()))
        if self._mac:
            flags += ["-undefined", "dynamic_lookup"]
        if self._windows:
            imports = self._import_library(path)
            imports.parent.mkdir(exist_ok=True)
            flags.append(f"-Wl,--out-implib,{imports}")
        self._compiler.shared(self._root / path, source, *flags, **options)
        for litter in self._root.rglob("*.pdb"):
            litter.unlink()

    def _import_library(self, path: str) -> Path:
        return self._root.parent / "import-libraries" / (Path(path).stem + ".lib")

    def _interpreter(self) -> None:
        """An executable that exports what the wheel wants of Python (a DLL beside it on Windows)."""
        case, names = self._case, self._needs.python
        version = f"{case.python}.5"
        if self._windows:
            digits = case.python.replace(".", "")
            for dll in (f"python{digits}.dll", "python3.dll"):
                self._compile(dll, self._source(names))
                self._own("python", version, dll)
            self._program("python.exe", "")
            for path in ("python.exe", "Lib/os.py"):
                self._own("python", version, path)
            (self._root / "Lib").mkdir(exist_ok=True)
            (self._root / "Lib" / "os.py").write_text("")
            self._windows_runtime()
            return
        executable = f"bin/python{case.python}" + ("m" if self._python_before_38 else "")
        plain = f"bin/python{case.python}"
        self._program(plain, self._source(names))
        library = f"lib/python{case.python}/os.py"
        (self._root / library).parent.mkdir(parents=True)
        (self._root / library).write_text("")
        for link in {"bin/python", "bin/python3", executable} - {plain}:
            (self._root / link).symlink_to(Path(plain).name)
            self._own("python", version, link)
        for path in (plain, library):
            self._own("python", version, path)
        self._build_data()

    def _build_data(self) -> None:
        """The module that says how the interpreter was built: its name holds the ABI flags."""
        digits, flag = self._case.python.replace(".", ""), "m" if self._python_before_38 else ""
        platform = "darwin" if self._mac else "x86_64-linux-gnu"
        name = f"_sysconfigdata_{flag}_{'darwin_darwin' if self._mac else f'linux_{platform}'}.py"
        soabi = f"cpython-{digits}{flag}-{platform}"
        values = {"ABIFLAGS": flag, "SOABI": soabi, "EXT_SUFFIX": f".{soabi}.so", "VERSION": self._case.python}
        path = f"lib/python{self._case.python}/{name}"
        (self._root / path).write_text(f"build_time_vars = {values!r}\n")
        self._own("python", f"{self._case.python}.5", path)

    def _program(self, path: str, source: str) -> None:
        assert self._compiler is not None
        out, text = self._root / path, self._root.parent / "program.c"
        out.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(source + "int main(void) { return 0; }\n")
        command = [*self._compiler.commands["c"], str(text), "-o", str(out)]
        if not self._windows:
            command += ["-rdynamic", "-Wl,-rpath," + ("@loader_path/../lib" if self._mac else "$ORIGIN/../lib")]
        if not self._windows and not self._mac:
            # What conda's interpreter itself needs: its extensions rely on libm being there.
            command += ["-Wl,--disable-new-dtags", "-Wl,--no-as-needed"] if self._compiler.gnu else []
            command += ["-lpthread", "-ldl", "-lutil", "-lrt", "-lm"]
        run(command)

    def _windows_runtime(self) -> None:
        """The C runtime that conda puts beside python.exe, unless the case brings its own."""
        given = {Path(p["file"]).name.lower() for s in self._case.conda_side for p in s.get("provides", ())}
        for dll in ("vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll", "msvcp140_1.dll", "vcomp140.dll"):
            if dll in self._needs.by_library and dll not in given:
                self._compile(dll, self._source(self._needs.by_library[dll]))
                self._own("vc14_runtime", "14.40.33810", dll)

    def _package(self, package: Mapping[str, Any]) -> None:
        name, version = package["name"], package["version"]
        self._own(name, version, "")
        stated = [n for provided in package.get("provides", ()) for n in provided.get("symbols", ())]
        self._new_strings = any("__cxx11" in n for n in stated)
        for provided in package.get("provides", ()):
            self._library(name, version, provided, "RTLD_GLOBAL" in str(provided.get("note")))
        for listed in package.get("files", ()):
            path = self._root / listed.split(" ")[0]
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(ACTIVATION if "activate.d/proj" in listed else "conda's\n")
            self._own(name, version, listed.split(" ")[0])
        if name in DISTRIBUTIONS:
            self._distribution(name, version)

    def _distribution(self, conda_name: str, version: str) -> None:
        """The .dist-info and a module of a Python package."""
        project, module = DISTRIBUTIONS[conda_name]
        number = re.split(r"[ (]", version)[0]
        info = f"{self._site}/{project.replace('-', '_')}-{number}.dist-info"
        init = f"{self._site}/{module.replace('.', '/')}/__init__.py"
        texts = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {number}\n",
            f"{info}/INSTALLER": "conda\n",
            f"{info}/RECORD": f"{init.removeprefix(self._site + '/')},,\n",
            init: "",
        }
        if conda_name == "numpy":
            texts[f"{self._site}/numpy/version.py"] = f'version = "{number}"\n'
        for path, text in texts.items():
            where = self._root / path
            where.parent.mkdir(parents=True, exist_ok=True)
            if not where.exists():
                where.write_text(text)
            self._own(conda_name, version, path)

    def _companion(self, project: str) -> None:
        """A project that the wheel requires, as an empty module: an import must not end at its absence."""
        module = MODULES.get(project.lower(), project.lower().replace("-", "_"))
        folder = self._root / self._site / module
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "__init__.py").write_text("")
            self._own("condauser", "1.0", f"{self._site}/{module}/__init__.py")

    def _submodules(self) -> None:
        """Empty modules for those that the wheel's code imports of projects that are here."""
        site = self._root / self._site
        here = {p.name for p in site.iterdir() if p.is_dir()} if site.is_dir() else set()
        for module in sorted(self._needs.modules):
            parts = module.split(".")
            for depth in range(1, len(parts) + 1):
                path = f"{self._site}/{'/'.join(parts[:depth])}/__init__.py"
                if parts[0] in here and not (self._root / path).exists():
                    (self._root / path).parent.mkdir(parents=True, exist_ok=True)
                    (self._root / path).write_text("")
                    self._own("condauser", "1.0", path)

    # -- libraries

    def _library(self, package: str, version: str, provided: Mapping[str, Any], is_global: bool) -> None:
        path = provided["file"]
        if path.startswith("site-packages/"):
            path = f"{self._site}/{path.removeprefix('site-packages/')}"
        stated = str(provided.get("soname") or Path(path).name)
        identity = provided.get("install_name") or ("@rpath/" if self._mac else "") + Path(stated).name
        imported = self._needs.by_library.get(Path(identity).name.lower(), {})
        loose = self._needs.loose.get(Path(identity).name, ())
        # A build has one std::string layout: where the corpus shows the new one, nothing takes the old.
        names: dict[str, str | None] = {n: None for n in loose if not (self._new_strings and OLD_STRING.search(n))}
        names |= dict.fromkeys(self._same_interface(Path(identity).name, provided.get("symbols", ())))
        names |= imported
        names |= {n: None for n in provided.get("symbols", ()) if n not in names}
        nodes = expand_versions(provided.get("version_nodes", ()), [v for v in imported.values() if v])
        if any(n.startswith("GLIBCXX_") for n in nodes):
            nodes += [n for n in expand_versions(["CXXABI_1.3 .. CXXABI_1.3.15"], ()) if n not in nodes]
        if nodes:
            names = {n: v for n, v in names.items() if n not in nodes}
            names = {n: v for n, v in names.items() if v is None or v in nodes}
        extra = self._unique(identity, provided) + self._weak(provided) + self._classes(provided)
        if is_global:
            extra += "".join(f"__attribute__((weak)) void {n}(void) {{}}\n" for n in sorted(self._needs.weak_std)[:200])
        options: dict[str, Any] = {"flags": []}
        if self._mac:
            options["flags"] += [f"-Wl,-install_name,{identity}", "-Wl,-rpath,@loader_path/"]
            options["language"] = "objc" if provided.get("objc_classes") else "c"
        elif self._windows:
            names[self._anchor(path)] = None
            options["flags"] += self._version_resource(provided)
        else:
            options |= {"soname": identity, "rpath": "$ORIGIN/."}
            script = self._version_script(nodes, names)
            options |= {"version_script": script} if script else {}
        options["needed"] = [self._root / p for p in self._providers(provided)]
        names |= dict.fromkeys(provided.get("undefined", ()))
        wanted = set(provided.get("undefined", ()))
        uses = "".join(f"extern int {n}; int *use_{i} = &{n};\n" for i, n in enumerate(sorted(wanted)))
        self._compile(
            path, self._source({n for n in names if n not in wanted} - self._taken(extra), extra + uses), **options
        )
        self._built[path] = identity
        self._own(package, version, path)
        for link in provided.get("symlinks", ()):
            self._link(package, version, link, path)
        if not self._windows and not self._mac and Path(path).name != identity and path.startswith("lib/"):
            self._link(package, version, f"lib/{identity}", path)
        if "/site-packages/" in path and path.split("/")[-2] == "lib":
            self._import_package(package, version, path, is_global)

    def _same_interface(self, identity: str, stated: Sequence[str]) -> set[str]:
        """What the wheel's own copy of the library exports, in the C++ string ABI that the corpus states."""
        renamed = {n.partition("B5cxx11")[0].lstrip("_ZNK") for n in stated if "B5cxx11" in n}
        functions = {re.split(r"\d+", r)[-1] for r in renamed}
        out = set()
        for name in self._needs.own.get(identity, ()):
            hit = next((f for f in functions if f"{f}Ev" in name), None)
            out.add(name.replace(f"{hit}Ev", f"{hit}B5cxx11Ev") if hit else name)
        return out

    def _anchor(self, path: str) -> str:
        """A name that a DLL of the conda side exports, for ``condauser`` to import: the wheel's copy has it too."""
        own = next((v for k, v in self._needs.own.items() if k.lower() == Path(path).name.lower()), set())
        shared = sorted(n for n in own if IDENTIFIER.match(n) and n != "DllMain")  # every DLL has one of its own
        return shared[0] if shared else "anchor_" + re.sub(r"\W", "_", Path(path).stem)

    def _version_resource(self, provided: Mapping[str, Any]) -> list[str]:
        """A compiled VERSIONINFO with the stated file version, as something to link."""
        if "file_version" not in provided:
            return []
        numbers = ",".join([*provided["file_version"].split("."), "0", "0"][:4])
        script, compiled = self._root.parent / "version.rc", self._root.parent / "version.res"
        script.write_text(f"1 VERSIONINFO\nFILEVERSION {numbers}\nPRODUCTVERSION {numbers}\nBEGIN\nEND\n")
        run([sys.executable, "-m", "ziglang", "rc", "/:no-preprocess", "/fo", str(compiled), "--", str(script)])
        return [str(compiled)]

    def _link(self, package: str, version: str, link: str, path: str) -> None:
        where = self._root / link
        if not where.is_symlink() and not where.exists():
            where.symlink_to(Path(path).name)
        self._own(package, version, link)

    @staticmethod
    def _taken(source: str) -> set[str]:
        return set(re.findall(r"[\w$]+", source))

    def _providers(self, provided: Mapping[str, Any]) -> list[str]:
        wanted = {Path(n).name for n in (*provided.get("needed", ()), *provided.get("loads", ()))}
        return [p for p, identity in self._built.items() if Path(identity).name in wanted]

    def _unique(self, identity: str, provided: Mapping[str, Any]) -> str:
        stated = provided.get("unique_symbols", ())
        names = self._needs.unique.get(Path(identity).name, set()) if isinstance(stated, int) else stated
        return "".join(
            f'__asm__(".globl {n}\\n.type {n},@gnu_unique_object\\n.data\\n.balign 8\\n{n}: .quad 0\\n"\n'
            f'".size {n},8\\n.text");\n'
            for n in sorted(names)
        )

    @staticmethod
    def _weak(provided: Mapping[str, Any]) -> str:
        names = [n[1:] for n in provided.get("weak_exports", ())]
        return "".join(
            f"__attribute__((weak)) int {n} = 1; int *weak_use_{n}(void) {{ return &{n}; }}\n" for n in names
        )

    @staticmethod
    def _classes(provided: Mapping[str, Any]) -> str:
        root = "__attribute__((objc_root_class)) @interface {0}\n@end\n@implementation {0}\n@end\n"
        return "".join(root.format(n) for n in provided.get("objc_classes", ()))

    @staticmethod
    def _version_script(nodes: Sequence[str], names: Mapping[str, str | None]) -> str | None:
        if not nodes:
            return None
        lines, before = [], ""
        for i, node in enumerate(nodes):
            listed = sorted(n for n, v in names.items() if (v or nodes[0]) == node)
            rest = " local: *;" if i == 0 else ""
            body = f" global: {'; '.join(listed)};" if listed else ""
            lines.append(f"{node} {{{body}{rest} }}{before};")
            before = f" {node}"
        return "\n".join(lines)

    def _import_package(self, package: str, version: str, path: str, is_global: bool) -> None:
        """An import package whose extension needs its library; opened for everybody where the case says so."""
        module = path.removeprefix(self._site + "/").split("/")[0]
        extension = f"{self._site}/{module}/_C{self._suffix}"
        libraries = [self._root / p for p in self._built if p.startswith(f"{self._site}/{module}/lib/")]
        origin = {"flags": ["-Wl,-rpath,@loader_path/lib"]} if self._mac else {"rpath": "$ORIGIN/lib"}
        self._compile(extension, self._source(["PyInit__C"]), needed=libraries, **origin)
        init = self._root / self._site / module / "__init__.py"
        flags = (
            "flags = sys.getdlopenflags()\nsys.setdlopenflags(os.RTLD_GLOBAL | os.RTLD_LAZY)\n",
            "sys.setdlopenflags(flags)\n",
        )
        before, after = flags if is_global else ("", "")
        init.write_text(f"import os, sys\n{before}from torch import _C\n{after}".replace("torch", module))
        for owned in (extension, f"{self._site}/{module}/__init__.py"):
            self._own(package, version, owned)

    def _user(self) -> None:
        """``condauser._user``: an extension module of the environment that uses all its libraries."""
        libraries = [p for p in self._built if "site-packages/user" not in p and not p.endswith(".pyd")]
        if not libraries:
            return
        wanted: list[str] = []
        for provided in (p for s in self._case.conda_side for p in s.get("provides", ())):
            unique = provided.get("unique_symbols", ())
            wanted += [*provided.get("symbols", ()), *(() if isinstance(unique, int) else unique)]
            wanted += [n.removeprefix("_") for n in provided.get("weak_exports", ())]
        uses = "".join(f"extern int {n}; int *use_{i} = &{n};\n" for i, n in enumerate(wanted) if IDENTIFIER.match(n))
        folder = f"{self._site}/condauser"
        extension = f"{folder}/_user{self._suffix}"
        options: dict[str, Any] = {}
        if self._windows:
            uses, libraries = self._windows_uses(libraries)
            options["needed"] = []
            options["flags"] = libraries
        else:
            options["needed"] = [self._root / p for p in libraries]
            folders = {"lib", *(str(Path(p).parent) for p in libraries)}
            up = "../" * (folder.count("/") + 1)
            origin = "@loader_path" if self._mac else "$ORIGIN"
            places = [f"{origin}/{up}{f}" for f in sorted(folders)]
            options |= {"flags": [f"-Wl,-rpath,{p}" for p in places]} if self._mac else {"rpath": ":".join(places)}
        self._compile(extension, self._source(["PyInit__user"], uses), **options)
        init = self._root / folder / "__init__.py"
        init.write_text("from condauser import _user\n")
        for path in (extension, f"{folder}/__init__.py"):
            self._own("condauser", "1.0", path)

    def _windows_uses(self, libraries: Sequence[str]) -> tuple[str, list[str]]:
        """One import from each DLL, through its import library."""
        uses, links = "", []
        for i, path in enumerate(libraries):
            name = self._anchor(path)
            imported = f"__declspec(dllimport) extern int {name};"
            # Exported: what nobody uses is dropped by the linker, and its imports with it.
            uses += f"{imported} __declspec(dllexport) int use_{i}(void) {{ return {name}; }}\n"
            links.append(str(self._import_library(path)))
        return uses, links

    def _host(self) -> None:
        """The machine's libraries that the case describes, in ``host`` beside the prefix."""
        folder = self._root.parent / "host"
        shutil.rmtree(folder, ignore_errors=True)
        for stated in self._case.host_side:
            needed, uses = [], ""
            for i, name in enumerate(stated["needed"]):
                node = f"{stated['version_needs'][i]} {{ global: host_{i}; }};"
                needed.append(folder / name)
                self._compile(str(needed[-1]), self._source([f"host_{i}"]), soname=name, version_script=node)
                uses += f"extern int host_{i}; int *use_{i} = &host_{i};\n"
            names = self._needs.by_library.get(stated["soname"], {})
            loose = self._needs.loose.get(stated["soname"], ())
            self._compile(
                str(folder / stated["file"]),
                self._source({*names, *loose}, uses),
                soname=stated["soname"],
                needed=needed,
            )
            for path in needed:
                path.unlink()  # only linked against


def build_side(incident: Incident, wheel: Path, folder: Path) -> Path:
    """The prefix of a case, in ``folder/ID``. Raises ``CompileError``."""
    return Side(incident, wheel, folder / incident.id / "env").build()


def compiler_for(incident: Incident) -> Compiler | None:
    """The compiler the case needs, None when it is missing."""
    return zig(TARGETS[incident.subdir]) if incident.subdir in TARGETS else c_compiler()
