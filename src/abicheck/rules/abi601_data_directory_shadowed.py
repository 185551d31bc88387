"""A variable makes one side's library read the other side's data or plugins.

## What happens

Activating the environment exports variables such as PROJ_DATA, GDAL_DATA or QT_PLUGIN_PATH, and some wheels set them
when they are imported. A library that the other side bundles reads the same variable and opens files that were made for
another build of it: PROJ refuses the database, Qt aborts for want of a platform plugin, GDAL opens drivers that are
linked to another GDAL.

## Why: the loader rule

No loader is involved: the libraries are found correctly and isolated, and then read the environment. A variable that
*replaces* the library's own place wins over the data that the wheel ships beside it.

## Example

```
etc/conda/activate.d/proj4-activate.sh   export PROJ_DATA=$CONDA_PREFIX/share/proj      (proj.db, layout 1.2)
pyproj.libs/libproj-1552b914.so.25       in the wheel, made for its own proj.db         (layout 1.4)
```

## What to do

1. Take the wheel's project from conda: library and data then match.
2. Unset the variable for this program, or set it to the wheel's own data.

## When this is wrong

- The project names its own data place to the library and does not ask the environment. Where its modules call the
  function for that, and the library's version lets it win, this is a note.
- The program is started without activating the environment.

## References

OSGeo/PROJ src/iso19111/factory.cpp; pyproj4/pyproj#605; rasterio/rasterio#2079; opencv/opencv-python#736; the table
`knowledge/data_directories.toml`, where each row has its source.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from abicheck.evidence.proj_database import ProjLayout, proj_layout
from abicheck.knowledge.data_directories import DataDirectory, reading
from abicheck.knowledge.library_names import stem
from abicheck.knowledge.runtimes import families, recognise
from abicheck.model import Confidence, Fact, Finding, Origin, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.copies import pairs
from abicheck.rules.ground import native_name
from abicheck.rules.naming import use_conda_build
from abicheck.rules.scene import Scene
from abicheck.rules.settings import SHELL, Variable, variables
from abicheck.rules.versions import said_version
from abicheck.rules.wording import base, conda_among, ref, sentence

RULE = Rule(
    id="ABI601",
    name="data-directory-shadowed",
    severity="error/warning",
    classes=("ENV_OVERRIDE",),
    platforms=("linux", "osx", "win"),
    summary="A variable makes one side's library read the other side's data or plugins",
    since="0.1",
)

Comparison = Literal["differ", "same", "unknown"]


@dataclass(frozen=True, slots=True)
class Reader:
    """A library file that reads a variable: absolute path in the view and who brings it."""

    path: str
    origin: Origin


def check(scene: Scene) -> Iterator[Finding]:
    seen = set()
    for variable in sorted(variables(scene), key=_spelling):
        row = reading(variable.name)
        if row is None or _told_elsewhere(scene, row) or (row.empty and _is_empty(scene, variable)):
            continue
        key = (row.names, variable.path or variable.value, variable.setter)
        if key in seen:
            continue  # another spelling of the same setting
        seen.add(key)
        if variable.setter in scene.subject_origins:
            yield from _reverse(scene, row, variable)
        else:
            for origin in scene.subject_origins:
                reader = _bundled(scene, row, origin)
                if reader is not None:
                    yield from _finding(scene, row, variable, reader, origin)


def _spelling(variable: Variable) -> int:
    """The newest spelling first, as the table lists them."""
    row = reading(variable.name)
    return row.names.index(variable.name) if row is not None else 0


def _is_empty(scene: Scene, variable: Variable) -> bool:
    """Whether the place is known and holds no library."""
    listed = scene.view.listing(variable.path) if variable.path else None
    if listed is None:
        return bool(variable.path) and scene.view.lookup(variable.path).status == "absent"
    return not any(native_name(name) for name in listed)


def _told_elsewhere(scene: Scene, row: DataDirectory) -> bool:
    """Whether ABI302 already tells that this variable joins two copies of a runtime (Qt's plugins)."""
    known = any(f.name == row.family and any(p.when == "setting" for p in f.pairs) for f in families())
    return known and any(p.mine.what.family == row.family for p in pairs(scene))


def _reverse(scene: Scene, row: DataDirectory, variable: Variable) -> Iterator[Finding]:
    """A wheel's import sets the variable to its own files, and the environment's library reads it."""
    if not variable.path or (scene.view.origin(variable.path) != variable.setter and not _mine(scene, variable)):
        return
    reader = _installed(scene, row)
    if reader is not None:
        yield from _finding(scene, row, variable, reader, variable.setter)


def _mine(scene: Scene, variable: Variable) -> bool:
    """Whether the variable's place is a directory of the one who sets it."""
    return any(p.startswith(variable.path + "/") for p in scene.files_of(variable.setter))


def _bundled(scene: Scene, row: DataDirectory, origin: Origin) -> Reader | None:
    """The first library of a subject that reads the variable."""
    for native in scene.natives.get(origin, ()):
        identity = native.binary.slices[0].identity if native.binary is not None else None
        if row.read_by(stem(identity or native.path)) or row.read_by(stem(native.path)):
            return Reader(native.path, origin)
    return None


def _installed(scene: Scene, row: DataDirectory) -> Reader | None:
    """The first library of a conda package that reads the variable."""
    for record in scene.prefix.records:
        for file in record.files:
            name = posixpath.basename(file).lower()
            if not (name.endswith((".dll", ".dylib", ".so")) or ".so." in name) or not row.read_by(stem(file)):
                continue
            found = scene.view.lookup(posixpath.join(scene.view.root, file))
            if found.status in ("file", "unknown"):
                return Reader(found.real, scene.view.origin(found.real))
    return None


# -- comparing -----------------------------------------------------------------


def _compare(scene: Scene, row: DataDirectory, variable: Variable, reader: Reader) -> tuple[Comparison, list[Fact]]:
    if row.compare == "proj-layout":
        return _compare_proj(scene, row, variable, reader)
    if row.compare == "library-version":
        return _compare_versions(scene, row, variable, reader)
    return "unknown", []


def _compare_proj(
    scene: Scene, row: DataDirectory, variable: Variable, reader: Reader
) -> tuple[Comparison, list[Fact]]:
    """PROJ accepts a database of its own layout's major number and at least its minor one. What its layout is says the
    database that it was shipped with."""
    theirs = _layout(scene, posixpath.join(variable.path, row.marker)) if variable.path else None
    own_path = _shipped(scene, row, reader.origin)
    own = _layout(scene, own_path) if own_path else None
    facts = (
        [Fact(f"needs a database of layout {_shown(own)}, the one it is shipped with", ref(scene.view, own_path))]
        if own_path
        else []
    )
    if variable.path and scene.view.lookup(variable.path).status in ("dir", "absent"):
        database = posixpath.join(variable.path, row.marker)
        if scene.view.lookup(database).status == "absent" and scene.prefix.owners(scene.view.relative(database)):
            facts.append(
                Fact("is listed in conda's records but is not here: its layout is unknown", ref(scene.view, database))
            )
            return "unknown", facts
        if scene.view.lookup(database).status == "absent":
            there = scene.view.lookup(variable.path).status == "dir"
            text = f"has no {row.marker}: its PROJ is older than 6" if there else "does not exist"
            facts.append(Fact(text, scene.view.ref(variable.path)))
            return ("differ" if own_path else "unknown"), facts
    if theirs is None or own is None:
        return "unknown", facts
    place = ref(scene.view, posixpath.join(variable.path, row.marker))
    facts.append(Fact(f"has layout {_shown(theirs)}", place))
    if own.major is None or own.minor is None:
        return ("same" if theirs.major is None else "unknown"), facts
    fits = theirs.major == own.major and (theirs.minor or 0) >= own.minor
    return ("same" if fits else "differ"), facts


def _shown(layout: ProjLayout | None) -> str:
    if layout is None:
        return "unknown"
    numbered = f"{layout.major}.{layout.minor}" if layout.major is not None else "without a number"
    return f"{numbered} (PROJ {layout.proj})" if layout.proj else numbered


def _layout(scene: Scene, path: str) -> ProjLayout | None:
    return scene.view.ask(path, proj_layout)


def _shipped(scene: Scene, row: DataDirectory, origin: Origin) -> str:
    """The row's marker file among an owner's files; '' when it ships none."""
    return next((p for p in scene.files_of(origin) if base(p) == row.marker), "") if row.marker else ""


def _compare_versions(
    scene: Scene, row: DataDirectory, variable: Variable, reader: Reader
) -> tuple[Comparison, list[Fact]]:
    other = _bundled(scene, row, variable.setter) if variable.by_import else _installed(scene, row)
    if other is None or other.path == reader.path:
        return "unknown", []
    mine, theirs = _version(scene, reader.path), _version(scene, other.path)
    if not mine or not theirs:
        return "unknown", []
    facts = [
        Fact(f"is version {mine}", ref(scene.view, reader.path)),
        Fact(f"is version {theirs}", ref(scene.view, other.path)),
    ]
    equal = mine.split(".")[: row.parts] == theirs.split(".")[: row.parts]
    return ("same" if equal else "differ"), facts


def _version(scene: Scene, path: str) -> str:
    """What a file says, else what its name does, else the conda package that is called like it; '' when none tells or
    it is not here."""
    what = recognise(None, base(path))
    if what is None or scene.view.lookup(path).status != "file":
        return ""
    said = said_version(scene, path, what.family, what.member) or what.version
    return said or release_in_name(path) or _package_version(scene, path)


def release_in_name(path: str) -> str:
    """The release in a name of four numbers, of which the first is the library's interface.

    >>> release_in_name("libgdal-44263852.so.35.3.9.1"), release_in_name("libgdal.so.20.5.4")
    ('3.9.1', '')
    """
    interface, _, release = stem(base(path)).version.partition(".")
    return release if interface.isdigit() and release.count(".") == 2 else ""


def _package_version(scene: Scene, path: str) -> str:
    origin = scene.view.origin(scene.view.lookup(path).real)
    name = re.escape(stem(base(path)).name.removeprefix("lib"))
    called_so = re.fullmatch(f"(lib)?{name}(-core|-base)?", origin.name, re.IGNORECASE)
    return origin.version if origin.kind == "conda" and called_so else ""


def _names_its_place(scene: Scene, row: DataDirectory, reader: Reader) -> Fact | None:
    """What shows that the library is told its place by the project that ships it, which then counts before the
    variable: a module that calls the function for that. The version is that of the database it ships."""
    own_path = _shipped(scene, row, reader.origin)
    own = _layout(scene, own_path) if own_path and row.own_place else None
    if own is None or not row.heeds_its_user(own.proj):
        return None
    for native in scene.natives.get(reader.origin, ()):
        if native.module is None or native.binary is None:
            continue
        names = {(i.name or "").removeprefix("_") for i in native.binary.slices[0].imports()}
        if called := sorted(names & row.own_place):
            return Fact(f"calls {called[0]}: the place it names counts, not the variable", native.ref)
    return None


# -- telling -------------------------------------------------------------------


def _finding(scene: Scene, row: DataDirectory, variable: Variable, reader: Reader, wheel: Origin) -> Iterator[Finding]:
    comparison, facts = _compare(scene, row, variable, reader)
    severity = Severity[{"differ": row.differ, "same": row.same, "unknown": row.unknown}[comparison].upper()]
    if severity is not Severity.NOTE and (own := _names_its_place(scene, row, reader)) is not None:
        severity = Severity.NOTE
        facts = [*facts, own]
    elif comparison == "differ" and row.says:
        facts = [*facts, Fact(f"the library says: {row.says}")]
    place = scene.view.relative(variable.path) if variable.path else variable.value
    when = f"`import {variable.by_import}`" if variable.by_import else "activating the environment"
    when = "the calling shell" if variable.setter == SHELL else when
    subject = ref(scene.view, reader.path)
    assumption = (
        f"if {variable.by_import} is imported before the library reads it"
        if variable.by_import
        else "if the environment is activated and the project does not set its own place"
    )
    start, file = f"{when} sets {variable.name} to {place}", f"{reader.origin.label}'s {base(reader.path)}"
    quiet = severity is Severity.NOTE
    what = f"{start}, which {file} reads too." if quiet else f"{start}, so {file} {row.outcome}."
    yield Finding(
        rule=RULE.id,
        severity=severity,
        confidence=Confidence.MEDIUM if severity is not Severity.NOTE else Confidence.HIGH,
        what=sentence(what),
        why=(
            _where(variable),
            Fact(f"reads {variable.name}{' instead of its own place' if row.replaces else ' as well'}", subject),
            *facts,
        ),
        remedies=tuple(_remedies(scene, variable, wheel, severity)),
        key=f"{row.family} {variable.name}",
        wheel=wheel,
        conda_package=conda_among(variable.setter, reader.origin),
        subject=subject,
        object=variable.file,
        depends_on=("environment",),
        assumption=assumption if severity is not Severity.NOTE else "",
        runtime=row.family,
    )  # fmt: skip


def _where(variable: Variable) -> Fact:
    at = f"line {variable.line} sets" if variable.line else "sets"
    return Fact(f"{at} {variable.name}={variable.value}", variable.file)


def _remedies(scene: Scene, variable: Variable, wheel: Origin, severity: Severity) -> Iterator[Remedy]:
    if severity is Severity.NOTE:
        return
    yield use_conda_build(scene, wheel.name)
    unset = f"set {variable.name}=" if scene.system == "win" else f"unset {variable.name}"
    if variable.by_import:
        pop = f"os.environ.pop({variable.name!r}, None)"
        yield Remedy(f"or remove the variable after `import {variable.by_import}`", pop)
    else:
        yield Remedy("or unset the variable for programs that use the wheel", unset)
