"""What a wheel's binaries want from outside, so that a synthetic library can give it."""

from __future__ import annotations

import ast
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement

from abicheck.binary.facts import Slice
from abicheck.binary.reading import read_binary
from abicheck.errors import BinaryError
from abicheck.wheel import read_wheel


@dataclass
class WheelNeeds:
    """What the wheel's binaries want: names by library, of the interpreter, of nobody in particular; unique ones."""

    by_library: dict[str, dict[str, str | None]] = field(default_factory=dict)
    python: set[str] = field(default_factory=set)
    loose: dict[str, set[str]] = field(default_factory=dict)  # need -> names that no library is named for
    own: dict[str, set[str]] = field(default_factory=dict)  # identity -> exports of the wheel's own copy
    unique: dict[str, set[str]] = field(default_factory=dict)  # soname -> unique exports of the wheel's own copy
    weak_std: set[str] = field(default_factory=set)
    requires: list[str] = field(default_factory=list)  # projects that pip would bring along
    modules: set[str] = field(default_factory=set)  # that its Python code imports, by absolute name


def wheel_needs(wheel: Path, architecture: str) -> WheelNeeds:
    """Read from the binaries themselves."""
    out, own = WheelNeeds(), set()
    opened = read_wheel(str(wheel))
    out.requires = sorted({r.name for text in opened.requires_dist if not (r := Requirement(text)).marker})
    out.modules = set(_imported(wheel))
    slices: list[Slice] = []
    for member in opened.natives:
        try:
            binary = read_binary(opened.source(member))
        except BinaryError:
            continue  # what the gate makes of it is the gate's business
        slices += [s for s in (binary.slices if binary else ()) if s.arch == architecture]
    for one in slices:
        exports = one.exports()
        names = {e.name for e in exports if e.name}
        own |= names
        out.own.setdefault(one.identity or "", set()).update(names)
        out.unique.setdefault(one.identity or "", set()).update(
            e.name for e in exports if e.binding == "unique" and e.name
        )
        out.weak_std |= {e.name for e in exports if e.name and e.name.startswith(("_ZNSt", "_ZNKSt"))}
        for wanted in one.imports():
            name = wanted.name or ""
            plain = name[1:] if one.format == "macho" else name
            if plain.startswith(("Py", "_Py")):
                out.python.add(plain)
            elif wanted.library and name:
                out.by_library.setdefault(wanted.library.lower(), {})[name] = wanted.version
            elif name and not wanted.weak:
                for need in one.needs:
                    out.loose.setdefault(need.name, set()).add(name)
    out.loose = {need: names - own for need, names in out.loose.items()}
    return out


def _imported(wheel: Path) -> Iterator[str]:
    """Absolute names in the import statements of the wheel's Python files."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.endswith(".py"):
                continue
            try:
                with warnings.catch_warnings(action="ignore"):
                    nodes = ast.walk(ast.parse(archive.read(name)))
            except (SyntaxError, ValueError):
                continue  # templates, and code of older Pythons: no import succeeds there
            for node in nodes:
                if isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    yield node.module


def expand_versions(stated: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """``GLIBCXX_3.4 .. GLIBCXX_3.4.29`` as a list; an open end takes what is wanted."""
    out: list[str] = []
    for words in stated:
        low, dots, high = (w.strip() for w in words.partition(".."))
        if not dots:
            out.append(words)
        elif not high:
            family = low.partition("_")[0]
            out += sorted({low, *(v for v in wanted if v.startswith(family))})
        else:
            base, _, last = high.rpartition(".")
            out += (
                [base, *(f"{base}.{n}" for n in range(int(last) + 1))]
                if base.count(".")
                else [f"{base.rpartition('_')[0]}_{n}.0" for n in range(1, int(base.rpartition("_")[2]) + 1)]
            )
    return list(dict.fromkeys(out))
