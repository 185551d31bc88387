"""Which Python a prefix has, derived without running anything (PY-2): record, file names, sysconfig as data."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from abicheck.prefix.files import Files, read_bytes, resolve
from abicheck.prefix.records import CondaRecord

_MACHINES = {
    "linux-64": "x86_64-linux-gnu",
    "linux-32": "i386-linux-gnu",
    "linux-aarch64": "aarch64-linux-gnu",
    "linux-ppc64le": "powerpc64le-linux-gnu",
    "linux-s390x": "s390x-linux-gnu",
    "linux-armv7l": "arm-linux-gnueabihf",
    "linux-riscv64": "riscv64-linux-gnu",
    "osx-64": "darwin",
    "osx-arm64": "darwin",
    "win-64": "win_amd64",
    "win-32": "win32",
    "win-arm64": "win_arm64",
}
_EXECUTABLE = re.compile(r"bin/(?P<name>python|pypy|graalpy)(?P<major>3)\.(?P<minor>\d+)(?P<flags>t?d?)$")
_EXTENSION = re.compile(r"\.(?P<soabi>(?:cpython|pypy|graalpy)[-\w]*?-[-\w]+)\.so$")
_SYSCONFIG = re.compile(r"_sysconfigdata_(?P<flags>[a-z]*)_(?P<platform>\w+)_(?P<multiarch>[-\w]*)\.py$")
_ABI_BUILD = re.compile(r"(?:^|_)(?:cp|pypy|graalpy)\d+(?P<flags>t?d?)(?:_|$)")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The prefix's Python.

    ``minor``: (3, 12). ``soabi``: middle part of full extension suffixes (``cpython-312-x86_64-linux-gnu``; on Windows
    ``cp312-win_amd64``). ``extension_suffixes``: what its importer tries, in order (PY-7). ``abi_tags``: wheel ABI
    tags of its own builds, best first. ``executable``: prefix-relative path of the real file (no link). ``present``: it
    is there with content. ``evidence``: where each claim comes from, for people.
    """

    version: str
    minor: tuple[int, int]
    implementation: str
    free_threaded: bool
    debug: bool
    executable: str
    soabi: str
    extension_suffixes: tuple[str, ...]
    abi_tags: tuple[str, ...]
    cache_tag: str
    site_packages: str
    stdlib: str
    present: bool
    evidence: tuple[str, ...] = ()
    home: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are installed, prefix-relative, ``""`` for the prefix itself (PY-11).

    ``headers`` is the parent of each distribution's own headers directory.
    """

    purelib: str
    platlib: str
    scripts: str
    data: str
    headers: str
    stdlib: str
    dynload: str
    windows: bool
    python: tuple[int, int]
    cache_tag: str


def find_interpreter(records: Iterable[CondaRecord], files: Files, subdir: str) -> Interpreter | None:
    """The prefix's interpreter, from the python record if there is one, else from the files. None: it has none."""
    windows = subdir.startswith("win-")
    record = _python_record(records)
    paths = record.files if record is not None else _likely_paths(files, windows)
    version = _release(record) if record is not None else ""
    found = _from_paths(paths, windows, _minor(version))
    minor = found.minor
    if minor is None:
        return None
    implementation = _implementation(record, found)
    sysconfig = read_sysconfig(read_bytes(files, found.sysconfig) or b"") if found.sysconfig else {}
    flags = _flags(record, found, sysconfig)
    soabi = found.soabi or _soabi(implementation, minor, flags, subdir)
    executable = _executable(implementation, minor, flags, found, windows)
    node = resolve(files, executable)
    nothreads = "t" in flags
    return Interpreter(
        version=version or f"{minor[0]}.{minor[1]}",
        minor=minor,
        implementation=implementation,
        free_threaded=nothreads,
        debug="d" in flags,
        executable=node.path if node.node is not None and node.node.kind == "file" else executable,
        soabi=soabi,
        extension_suffixes=extension_suffixes(implementation, minor, flags, soabi, windows),
        abi_tags=_abi_tags(implementation, minor, flags, found.soabi, subdir),
        cache_tag=_cache_tag(implementation, minor, found.soabi),
        site_packages=_site_packages(record, implementation, minor, nothreads, windows),
        stdlib="Lib" if windows else _stdlib(implementation, minor, nothreads),
        present=node.node is not None and node.node.kind == "file" and node.node.size > 1024,
        evidence=tuple(e for e in (record.source if record else "", found.executable, found.dynload) if e),
        home=_home(sysconfig),
    )


def make_layout(interpreter: Interpreter, subdir: str) -> Layout:
    """The install scheme of a conda environment: purelib and platlib are one directory."""
    windows = subdir.startswith("win-")
    site, stdlib = interpreter.site_packages, interpreter.stdlib
    major, minor = interpreter.minor
    name = f"python{major}.{minor}" + ("t" if interpreter.free_threaded else "") + ("d" if interpreter.debug else "")
    if interpreter.implementation == "pypy":
        name = f"pypy{major}.{minor}"
    return Layout(
        purelib=site,
        platlib=site,
        scripts="Scripts" if windows else "bin",
        data="",
        headers="Include" if windows else f"include/{name}",
        stdlib=stdlib,
        dynload="DLLs" if windows else posixpath.join(stdlib, "lib-dynload"),
        windows=windows,
        python=interpreter.minor,
        cache_tag=interpreter.cache_tag,
    )


def extension_suffixes(
    implementation: str, minor: tuple[int, int], flags: str, soabi: str, windows: bool
) -> tuple[str, ...]:
    """Suffixes of importable extension modules in the importer's order (PY-6, PY-7)."""
    if windows:
        debug = "_d" if "d" in flags else ""
        return (f"{debug}.{soabi}.pyd", f"{debug}.pyd")
    if implementation != "cpython":
        return (f".{soabi}.so", ".so") if implementation == "graalpy" else (f".{soabi}.so",)
    platform = soabi.split("-", 2)[2] if soabi.count("-") >= 2 else ""
    full = [f".{soabi}.so"]
    if minor < (3, 15):
        return (*full, ".abi3.so", ".so")
    stable = ["abi3t"] if "t" in flags else ["abi3", "abi3t"]
    return (*full, *(f".{s}-{platform}.so" for s in stable if platform), *(f".{s}.so" for s in stable), ".so")


@dataclass(frozen=True, slots=True)
class _Traces:
    """What file names alone tell."""

    minor: tuple[int, int] | None = None
    flags: str | None = None
    soabi: str = ""
    executable: str = ""
    implementation: str = ""
    sysconfig: str = ""
    dynload: str = ""


def _from_paths(paths: Iterable[str], windows: bool, wanted: tuple[int, int] | None) -> _Traces:
    """``wanted``: the record's version, if there is one (conda ships links like ``bin/python3.1`` beside 3.10)."""
    minor: tuple[int, int] | None = None
    flags: str | None = None
    soabi = executable = implementation = sysconfig = dynload = ""
    for path in paths:
        if windows:
            dll = re.fullmatch(r"python3(\d{1,2})(t?)(_d)?\.dll", path.lower())
            if dll:
                minor, flags = (3, int(dll[1])), dll[2] + ("d" if dll[3] else "")
            elif path.lower() in ("python.exe", "python_d.exe", "pypy.exe", "pypy3.exe"):
                executable = path
            continue
        match = _EXECUTABLE.match(path)
        here = (3, int(match["minor"])) if match else None
        if match and here == (wanted or max(minor or (0, 0), here or (0, 0))):
            executable, minor, flags = path, here, match["flags"]
            implementation = {"python": "cpython"}.get(match["name"], match["name"])
        elif "lib-dynload/" in path and not soabi:
            extension = _EXTENSION.search(path)
            if extension:
                soabi, dynload = extension["soabi"], path
        elif "_sysconfigdata" in path and not sysconfig and _SYSCONFIG.search(path):
            sysconfig = path
    if not soabi and implementation in ("pypy", "graalpy"):
        soabi = next((m["soabi"] for m in map(_EXTENSION.search, paths) if m), "")
    return _Traces(minor or wanted, flags, soabi, executable, implementation, sysconfig, dynload)


def _likely_paths(files: Files, windows: bool) -> list[str]:
    """Without a python record: names in the few directories that matter, read from the medium."""
    out = []
    folders = [""] if windows else ["bin", "lib"]
    for folder in folders:
        for name, node in sorted((files.listing(folder) or {}).items()):
            if node.kind in ("file", "link"):
                out.append(posixpath.join(folder, name))
            elif re.fullmatch(r"(python|pypy)3\.\d+t?", name):
                for sub in ("", "lib-dynload"):
                    below = posixpath.join(folder, name, sub) if sub else posixpath.join(folder, name)
                    out += [posixpath.join(below, n) for n in sorted(files.listing(below) or {})]
    return out


def _python_record(records: Iterable[CondaRecord]) -> CondaRecord | None:
    by_name = {r.name: r for r in records if r.name in ("python", "pypy", "graalpy") or _PYPY_NAME.fullmatch(r.name)}
    for name in sorted(by_name, key=lambda n: (n == "python", n)):
        if any(f.startswith(("bin/", "lib/")) or f.lower().endswith(".exe") for f in by_name[name].files):
            return by_name[name]
    return by_name.get("python")


_PYPY_NAME = re.compile(r"(pypy|graalpy)[23]?\.?\d*")


def _release(record: CondaRecord) -> str:
    """The Python version a record stands for (pypy's own version is another number)."""
    match = re.fullmatch(r"(?:pypy|graalpy)(\d)\.(\d+)", record.name)
    return f"{match[1]}.{match[2]}" if match else record.version


def _minor(version: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def _implementation(record: CondaRecord | None, found: _Traces) -> str:
    text = f"{record.name} {record.build}" if record is not None else ""
    for name in ("graalpy", "pypy"):
        if found.implementation == name or name in text or found.soabi.startswith(name):
            return name
    return "cpython"


def _home(sysconfig: Mapping[str, object]) -> str:
    """Where the interpreter believes to be: conda writes the prefix into sysconfig's data as into everything else."""
    said = sysconfig.get("prefix")
    return posixpath.normpath(said) if isinstance(said, str) and said.startswith("/") else ""


def _flags(record: CondaRecord | None, found: _Traces, sysconfig: Mapping[str, object]) -> str:
    """``t`` and ``d`` of the ABI. sysconfig's own data first, then file names, then the build string."""
    if "Py_DEBUG" in sysconfig or "Py_GIL_DISABLED" in sysconfig:
        return ("t" if sysconfig.get("Py_GIL_DISABLED") else "") + ("d" if sysconfig.get("Py_DEBUG") else "")
    if found.soabi:
        match = re.match(r"cpython-3\d+(t?d?)m?-", found.soabi)
        if match:
            return match[1]
    if found.flags:
        return found.flags
    build = record.build if record is not None else ""
    match = _ABI_BUILD.search(build)
    return match["flags"] if match else ("d" if "debug" in build else "")


def read_sysconfig(data: bytes) -> Mapping[str, object]:
    """The literal ``build_time_vars`` of a ``_sysconfigdata*.py``, parsed as data; empty when it is anything else."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            names = [t.id for t in node.targets if isinstance(t, ast.Name)]
            if "build_time_vars" in names:
                return {
                    k.value: v.value
                    for k, v in zip(node.value.keys, node.value.values, strict=True)
                    if isinstance(k, ast.Constant) and isinstance(k.value, str) and isinstance(v, ast.Constant)
                }
    return {}


def _soabi(implementation: str, minor: tuple[int, int], flags: str, subdir: str) -> str:
    machine = _MACHINES.get(subdir, subdir)
    if subdir.startswith("win-"):
        return f"cp{minor[0]}{minor[1]}{flags.replace('d', '')}-{machine}"
    if implementation == "pypy":
        return f"pypy{minor[0]}{minor[1]}-pp73-{machine}"
    return f"{implementation}-{minor[0]}{minor[1]}{flags}{_pymalloc(implementation, minor)}-{machine}"


def _pymalloc(implementation: str, minor: tuple[int, int]) -> str:
    """Up to 3.7 the ABI of every ordinary CPython build carries an ``m`` (dropped in 3.8, bpo-36707)."""
    return "m" if implementation == "cpython" and minor < (3, 8) else ""


def _executable(implementation: str, minor: tuple[int, int], flags: str, found: _Traces, windows: bool) -> str:
    if found.executable:
        return found.executable
    if windows:
        return "python_d.exe" if "d" in flags else "python.exe"
    stem = "python" if implementation == "cpython" else implementation
    return f"bin/{stem}{minor[0]}.{minor[1]}{flags}"


def _abi_tags(implementation: str, minor: tuple[int, int], flags: str, soabi: str, subdir: str) -> tuple[str, ...]:
    """Own ABI tags as ``packaging.tags`` gives them: a debug build accepts the release build's too. conda built Python
    2.7 for Linux with 4-byte Unicode (``cp27mu``), for macOS with 2 (``Py_UNICODE_SIZE`` in its _sysconfigdata)."""
    if implementation == "pypy":
        parts = soabi.split("-")
        return (f"pypy{minor[0]}{minor[1]}_{parts[1]}",) if len(parts) > 2 else (f"pypy{minor[0]}{minor[1]}_pp73",)
    if implementation == "graalpy":
        return (soabi.replace("-", "_").partition("_native")[0] + "_native",) if soabi else ()
    own = f"cp{minor[0]}{minor[1]}"
    threads, pymalloc = "t" if "t" in flags else "", _pymalloc(implementation, minor)
    wide = "u" if minor < (3, 3) and subdir.startswith("linux-") else ""
    release = f"{own}{threads}{pymalloc}{wide}"
    return (f"{own}{threads}d{pymalloc}{wide}", release) if "d" in flags else (release,)


def _cache_tag(implementation: str, minor: tuple[int, int], soabi: str) -> str:
    if implementation == "pypy":
        return f"pypy{minor[0]}{minor[1]}"
    if implementation == "graalpy":
        return "-".join(soabi.split("-")[:2]) or "graalpy"
    return f"cpython-{minor[0]}{minor[1]}"


def _stdlib(implementation: str, minor: tuple[int, int], nothreads: bool) -> str:
    stem = implementation if implementation == "pypy" else "python"
    return f"lib/{stem}{minor[0]}.{minor[1]}{'t' if nothreads else ''}"


def _site_packages(
    record: CondaRecord | None, implementation: str, minor: tuple[int, int], nothreads: bool, windows: bool
) -> str:
    """The record says it (CEP 17) or it follows from the version; a claim outside the prefix is not believed."""
    said = posixpath.normpath(record.site_packages) if record is not None and record.site_packages else ""
    if said and not said.startswith(("/", "..")) and ":" not in said:
        return said
    if windows:
        return "Lib/site-packages"
    return posixpath.join(_stdlib(implementation, minor, nothreads), "site-packages")
