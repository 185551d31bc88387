"""An extension module was built for another Python than the environment's.

## What happens

Python does not find the module (`ModuleNotFoundError`), cannot load it ("undefined symbol: PyUnicode_...", "DLL load
failed"), refuses it ("conflicts with this version of Python"), or loads it and crashes, because objects look different
in a free-threaded build.

## Why: the loader rule

Python decides by the suffix which files are extension modules: its own full suffix, `.abi3.so`, `.so` (PY-7). A file
with the suffix of another version is simply not seen; a bare `.so` or `.pyd` is loaded whatever it was built for. Its
C-API symbols must then be exported by the interpreter, on Linux and macOS the executable itself (PY-8, ELF-35), on
Windows the pythonXY.dll that it names (WIN-16, WIN-20). A module that calls itself `abi3` may use the stable ABI only;
what else it uses can be gone in the next release. A module for a Python with the GIL cannot work in one without: the
layout of every object differs (PY-6, PY-9).

## Example

```
fastgrid/_core.cpython-312-x86_64-linux-gnu.so     environment: CPython 3.11 looks for .cpython-311-..., .abi3.so, .so
```

## What to do

1. Take the build for this Python.
2. Take the conda build of the project.

## When this is wrong

- The module is one of several variants, and the project picks another one in a way that its source does not show.

## References

PEP 3149; PEP 384; PEP 703; CPython Misc/stable_abi.toml, Python/dynload_shlib.c, PC/dynload_win.c.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from abicheck.knowledge.stable_abi import Minor, newest_known, stable_symbols
from abicheck.model import Confidence, Fact, FileRef, Finding, Origin, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.claims import alien, claimant, is_python_symbol, other_python, process_arch
from abicheck.rules.loads import grade
from abicheck.rules.naming import use_conda_build
from abicheck.rules.promises import by_importance, mapped, name_of, tags_of
from abicheck.rules.scene import LoadFailure, Native, Scene
from abicheck.rules.wording import base, conda_among, listed, older_wheel, ref, sentence

RULE = Rule(
    id="ABI003",
    name="python-abi-mismatch",
    severity="error",
    classes=("ABI_MISMATCH", "MISSING_SYMBOL"),
    platforms=("linux", "osx", "win"),
    summary="An extension module was built for another Python than the environment's",
    since="0.1",
)
# Suffixes that say for which Python a module was built (PEP 3149; Windows: PC/pyconfig.h, PYD_TAGGED_SUFFIX).
_UNIX = re.compile(r"(?P<stem>[^.]+)\.(?P<soabi>(?:cpython|pypy|graalpy)-?[\w-]+)\.so")
_WINDOWS = re.compile(r"(?P<stem>[^.]+?)(?:_d)?\.(?P<soabi>(?:cp|pp|pypy)\d+[\w-]*)\.pyd")
_CPYTHON = re.compile(r"(?:cpython-|cp)3(?P<minor>\d+)(?P<flags>t?d?)-")
# Functions that Py_DECREF calls in a build with the GIL and in one without (CPython Include/refcount.h since 3.13).
_WITH_GIL, _WITHOUT_GIL = "_Py_Dealloc", frozenset({"_Py_MergeZeroLocalRefcount", "_Py_DecRefShared"})
GIL_OPTIONAL_SINCE = (3, 13)


def check(scene: Scene) -> Iterator[Finding]:
    for subject in scene.subject_origins:
        yield from _not_seen(scene, subject)
        yield from _failing(scene, subject)
        yield from _other_layout(scene, subject)
        yield from _beyond_stable_abi(scene, subject)


# -- modules that this interpreter does not see (PY-7) -----------------------------------


@dataclass(frozen=True, slots=True)
class Unseen:
    """A module that only a file for another Python provides. ``soabi``: what its suffix says; ``foreign``: it is for
    another machine as well."""

    module: str
    path: str
    soabi: str
    foreign: bool


def _not_seen(scene: Scene, subject: Origin) -> Iterator[Finding]:
    found: dict[bool, list[Unseen]] = {}
    for unseen in _unseen(scene, subject):
        importance = scene.sites(subject).importance(unseen.module)
        silent = ("optional", "unreferenced") if unseen.foreign else ("optional",)
        if importance not in silent:
            found.setdefault(importance == "reachable", []).append(unseen)
    for needed, modules in found.items():
        yield _unseen_finding(scene, subject, modules, needed)


def _unseen(scene: Scene, subject: Origin) -> Iterator[Unseen]:
    """Native files with the name of an extension module of another Python, whose module nothing else provides."""
    files = frozenset(scene.files_of(subject))
    for native in scene.natives[subject]:
        if native.module is not None or native.binary is None:
            continue
        folder, name = posixpath.split(native.path)
        named = (_WINDOWS if scene.system == "win" else _UNIX).fullmatch(name)
        package = _package(scene, folder)
        if named is None or package is None or not named["stem"].isidentifier():
            continue
        if not _provided(scene, files, folder, named["stem"]):
            yield Unseen(
                ".".join((*package, named["stem"])), native.path, named["soabi"], bool(alien(scene, native.binary))
            )


def _package(scene: Scene, folder: str) -> tuple[str, ...] | None:
    """Dotted parts of a folder below site-packages; None elsewhere."""
    for root in scene.importer.roots:
        if folder == root:
            return ()
        if folder.startswith(root + "/"):
            parts = tuple(folder[len(root) + 1 :].split("/"))
            return parts if all(p.isidentifier() for p in parts) else None
    return None


def _provided(scene: Scene, files: Iterable[str], folder: str, stem: str) -> bool:
    """Whether this interpreter finds a module of that name there: as an extension, as source, as a package."""
    suffixes = (*scene.interpreter.extension_suffixes, ".py", ".pyc", "/__init__.py")
    if any(f"{folder}/{stem}{s}" in files for s in suffixes):
        return True
    return any(scene.view.lookup(f"{folder}/{stem}{s}").status == "file" for s in suffixes)


def _unseen_finding(scene: Scene, subject: Origin, modules: list[Unseen], needed: bool) -> Finding:
    first = modules[0]
    file = scene.view.ref(first.path)
    built = _built_for(first.soabi, scene.interpreter.soabi)
    tags = listed(sorted(map(str, tags_of(scene, subject))))
    verb = "will not be found" if needed else "cannot be imported"
    suffixes = ", ".join(scene.interpreter.extension_suffixes)
    return Finding(
        rule=RULE.id,
        severity=Severity.ERROR if needed else Severity.WARNING,
        confidence=Confidence.MEDIUM if needed else Confidence.HIGH,
        what=sentence(
            f"`import {first.module}` {verb}: {base(first.path)} is for {built}, and this is {_this(scene)}."
        ),
        why=(
            Fact(f"has the suffix of {built}", file, loader_rule="PY-7"),
            Fact(f"this interpreter imports files that end in {suffixes}", loader_rule="PY-7"),
            Fact(f"the wheel's tags are {tags}, so pip installs it here", loader_rule="PY-1"),
            *_so(m.module for m in modules),
            *_sites(scene, subject, first.module),
        ),
        remedies=_remedies(scene, subject),
        key=first.module,
        wheel=subject,
        subject=file,
        depends_on=("python-code",) if needed else (),
        assumption=f"if `{first.module}` is imported" if needed else "",
    )  # fmt: skip


def _so(modules: Iterable[str]) -> Iterator[Fact]:
    names = list(modules)
    if len(names) > 1:
        yield Fact(f"{len(names)} modules are so: {listed(names)}")


def _sites(scene: Scene, subject: Origin, module: str) -> Iterator[Fact]:
    site = next((s for s in scene.sites(subject).sites(module) if not s.guarded), None)
    if site is not None:
        yield Fact(f"line {site.line} imports {module}", FileRef(site.file, subject))


def _built_for(soabi: str, own: str) -> str:
    """``cpython-312-x86_64-linux-musl`` -> ``CPython 3.12``, with ``on x86_64-linux-musl`` when ``own`` differs."""
    named = _CPYTHON.match(soabi + "-")
    if named is None:
        return soabi
    extra = " without the GIL" if "t" in named["flags"] else " (debug build)" if "d" in named["flags"] else ""
    platform, mine = (text[m.end() :] if (m := _CPYTHON.match(text + "-")) else "" for text in (soabi, own))
    where = f" on {platform}" if platform and platform != mine else ""
    return f"CPython 3.{named['minor']}{extra}{where}"


def _this(scene: Scene) -> str:
    i = scene.interpreter
    name = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}.get(i.implementation, i.implementation)
    extra = " without the GIL" if i.free_threaded else " (debug build)" if i.debug else ""
    return f"{name} {i.minor[0]}.{i.minor[1]}{extra}"


def _remedies(scene: Scene, subject: Origin) -> tuple[Remedy, ...]:
    return use_conda_build(scene, subject.name), older_wheel(subject.name, subject.version)


# -- loads that fail (PY-8, WIN-20) --------------------------------------------------------


def _failing(scene: Scene, subject: Origin) -> Iterator[Finding]:
    groups: dict[tuple[str, str, str], list[LoadFailure]] = {}
    for f in scene.failures:
        if f.subject == subject and claimant(scene, f.failure) == RULE.id:
            python = other_python(scene, f.failure.library) if f.failure.kind != "MISSING_SYMBOL" else ""
            groups.setdefault((f.situation, f.owner.name, python), []).append(f)
    for (_, _, python), alike in groups.items():
        yield _failure(scene, subject, sorted(alike, key=by_importance), python)


def _failure(scene: Scene, subject: Origin, alike: list[LoadFailure], python: str) -> Finding:
    f = alike[0]
    g = grade(scene, f)
    failure = f.failure
    file = ref(scene.view, failure.requester)
    name = base(failure.requester) if failure.requester else name_of(f)
    verb = "will fail" if g.severity is Severity.ERROR else "would fail"
    if python:
        because = f"{name} is linked to {base(failure.library)} of Python {python}, and this is {_this(scene)}"
    else:
        because = f"{name} wants {_plain(scene, failure.symbol)}, which {_this(scene)} does not have"
    return Finding(
        rule=RULE.id,
        severity=g.severity,
        confidence=g.confidence,
        what=sentence(f"{f.action} {verb}: {because}."),
        why=tuple(_evidence(scene, alike, file)),
        remedies=_remedies(scene, subject),
        key=failure.symbol or failure.library or name_of(f),
        wheel=subject,
        conda_package=conda_among(f.owner),
        subject=file,
        object=ref(scene.view, failure.provider),
        depends_on=g.depends_on,
        assumption=g.assumption,
        orders=f.orders,
    )


def _plain(scene: Scene, symbol: str) -> str:
    """A symbol as C spells it."""
    return symbol[1:] if scene.system == "osx" else symbol


def _evidence(scene: Scene, alike: list[LoadFailure], file: FileRef | None) -> Iterator[Fact]:
    f = alike[0]
    failure = f.failure
    if failure.symbol:
        name = _plain(scene, failure.symbol)
        yield Fact(f"needs {name} from the interpreter", file, failure.symbol, loader_rule="PY-8")
        added = stable_symbols().get(name)
        if added is not None and added > scene.interpreter.minor:
            yield Fact(f"{name} came with Python {_dotted(added)}", symbol=name)
        elif name in _WITHOUT_GIL and not scene.interpreter.free_threaded:
            yield Fact(f"only builds of Python without the GIL have {name}", symbol=name, loader_rule="PY-9")
    else:
        yield Fact(f"needs {base(failure.library)}", file, loader_rule="WIN-20" if scene.system == "win" else "CL-7")
    executable = ref(scene.view, posixpath.join(scene.view.root, scene.interpreter.executable))
    yield Fact(f"is {_this(scene)}, whose C-API serves every module", executable, loader_rule="ELF-35")
    yield Fact(f"the loader says: {scene.view_text(failure.message)}", loader_rule=failure.rule)
    modules = list(dict.fromkeys(name_of(x) for x in alike))
    if len(modules) > 1:
        yield Fact(f"{len(modules)} modules fail in this way: {listed(modules)}")


def _dotted(version: Minor) -> str:
    return f"{version[0]}.{version[1]}"


# -- what loads and does not fit -------------------------------------------------------------


def _other_layout(scene: Scene, subject: Origin) -> Iterator[Finding]:
    """Modules for a Python with the GIL that a free-threaded one loads by their suffix, and crashes (PY-6, PY-9)."""
    if not scene.interpreter.free_threaded or scene.interpreter.minor < GIL_OPTIONAL_SINCE:
        return
    wrong = [n for n in mapped(scene, subject) if n.module is not None and _has_gil(scene, n)]
    if not wrong:
        return
    first = wrong[0]
    assert first.module is not None
    yield Finding(
        rule=RULE.id,
        severity=Severity.ERROR,
        confidence=Confidence.MEDIUM,
        what=sentence(
            f"`import {first.module}` will crash: {base(first.path)} was built for a Python with the GIL, and this is "
            f"{_this(scene)}."
        ),
        why=(
            Fact(f"counts references as builds with the GIL do: it uses {_WITH_GIL} and nothing of the other build",
                 first.ref, _WITH_GIL, loader_rule="PY-9"),
            Fact("objects have another layout in a free-threaded build; nothing compares", loader_rule="PY-6"),
            *_so(str(n.module) for n in wrong),
        ),
        remedies=_remedies(scene, subject),
        key=first.module,
        wheel=subject,
        subject=first.ref,
        depends_on=("python-code",),
        assumption=f"if `{first.module}` is imported",
    )  # fmt: skip


def _has_gil(scene: Scene, native: Native) -> bool:
    names = set(_python_imports(scene, native))
    return _WITH_GIL in names and not names & _WITHOUT_GIL


def _python_imports(scene: Scene, native: Native) -> Iterator[str]:
    """Symbols of the C-API that a file takes from elsewhere, as C spells them."""
    if native.binary is None or alien(scene, native.binary):
        return
    part = native.binary.slice_for(process_arch(scene.subdir)) or native.binary.slices[0]
    for wanted in part.imports():
        if wanted.name and is_python_symbol(wanted.name):
            yield _plain(scene, wanted.name)


def _beyond_stable_abi(scene: Scene, subject: Origin) -> Iterator[Finding]:
    """Modules that claim the stable ABI and use more: they load here, and the next Python may lack what they use."""
    promised = _abi3_promise(scene, subject)
    served = _served_by_python(scene, subject)
    found: list[tuple[Native, list[str]]] = []
    for native in mapped(scene, subject):
        if native.module is not None and (promised or ".abi3." in base(native.path)):
            beyond = sorted(served.get(native.path, set()) - stable_symbols().keys())
            if beyond:
                found.append((native, beyond))
    if not found or scene.interpreter.minor > newest_known():
        return
    native, beyond = found[0]
    every = sorted({name for _, names in found for name in names})
    yield Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(
            f"{base(native.path)} calls itself abi3 and uses {listed(beyond)}, which other versions of Python may lack."
        ),
        why=(
            Fact(f"uses {len(beyond)} symbols outside the stable ABI: {listed(beyond)}", native.ref, beyond[0],
                 loader_rule="PY-8"),
            Fact(f"this interpreter ({_this(scene)}) has them, so the import works here"),
            *((Fact(f"{len(found)} files use {len(every)} such symbols"),) if len(found) > 1 else ()),
        ),
        remedies=(Remedy(f"tell the project {subject.name}: such a build needs a tag for each Python", None),),
        key=beyond[0],
        wheel=subject,
        subject=native.ref,
    )  # fmt: skip


def _served_by_python(scene: Scene, subject: Origin) -> dict[str, set[str]]:
    """Path of each object of the subject's -> the C-API symbols it got from the interpreter's own files. Names like
    ``PyDateTimeAPI`` may come from a library of the project."""
    group = next((g for g in scene.subjects if g.origin == subject), None)
    if group is None or not (group.units or group.prelude):
        return {}
    trace = scene.run_of(group).trace
    view = scene.view
    python = view.origin(view.lookup(posixpath.join(view.root, scene.interpreter.executable)).real)
    own = {o.index for o in trace.objects if o.event == 0 and view.origin(o.real) == python}
    return {
        o.real: {_plain(scene, b.symbol) for b in trace.bindings.get(o.index, ()) if b.provider in own
                 and is_python_symbol(b.symbol)}
        for o in trace.objects
        if o.kept and view.origin(o.real) == subject
    }  # fmt: skip


def _abi3_promise(scene: Scene, subject: Origin) -> bool:
    abis = {t.abi for t in tags_of(scene, subject)}
    return bool(abis) and abis <= {"abi3", "abi3t"}
