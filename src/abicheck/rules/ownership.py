"""Whose files an install touches, and who depends on what it replaces. Pure functions over transaction and prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from abicheck.knowledge.project_names import conda_name, pypi_names
from abicheck.model import FileRef, Origin
from abicheck.prefix import CondaRecord, Distribution, Prefix
from abicheck.prefix.damage import content_hash
from abicheck.prefix.specs import parse_spec, satisfies
from abicheck.transaction import Overwrite, requirements_of
from abicheck.wheel import Wheel

FileClass = Literal["same", "library", "command", "python", "text", "data"]
_TEXT = re.compile(
    r"(^|/)(share/(man|doc|info|licenses?)|licenses?|include|Include|man|doc)/|\.(txt|md|rst|h|hpp|pc|1)$"
)
_NATIVE = re.compile(r"(\.(so|dylib|dll|pyd)|\.so(\.[0-9A-Za-z_]+)+)$", re.IGNORECASE)


def wheel_ref(wheel: Wheel, path: str, member: str | None) -> FileRef:
    return FileRef(path, Origin("wheel", wheel.display_name, wheel.version), member)


def wheel_origin(wheel: Wheel) -> Origin:
    return Origin("wheel", wheel.display_name, wheel.version)


# -- overwritten files ---------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Clobber:
    """What one wheel overwrites of one conda package. Files by class; ``same``: equal content."""

    wheel: Wheel
    record: CondaRecord
    files: Mapping[FileClass, tuple[Overwrite, ...]]

    def of(self, *classes: FileClass) -> tuple[Overwrite, ...]:
        return tuple(o for c in classes for o in self.files.get(c, ()))

    @property
    def different(self) -> tuple[Overwrite, ...]:
        return self.of("library", "command", "python", "data", "text")


def clobbers(prefix: Prefix, overwritten: Iterable[Overwrite]) -> tuple[Clobber, ...]:
    """Overwritten files that conda packages own, by wheel and package. Bytecode follows its source and is left out."""
    groups: dict[tuple[str, str], tuple[Wheel, CondaRecord, dict[FileClass, list[Overwrite]]]] = {}
    for item in overwritten:
        if item.target.kind == "pyc" or not item.owners:
            continue
        for record in item.owners:
            entry = groups.setdefault((item.wheel.name, record.name), (item.wheel, record, {}))
            entry[2].setdefault(_classify(prefix, item, record), []).append(item)
    return tuple(
        Clobber(wheel, record, {c: tuple(sorted(v, key=lambda o: o.path)) for c, v in files.items()})
        for _, (wheel, record, files) in sorted(groups.items())
    )


def _classify(prefix: Prefix, item: Overwrite, record: CondaRecord) -> FileClass:
    if same_content(prefix, item, record):
        return "same"
    member = item.wheel.member(item.target.member) if item.target.member else None
    layout = prefix.layout
    scripts = f"{layout.scripts}/" if layout is not None else "bin/"
    if prefix.key(item.path).startswith(prefix.key(scripts)):
        return "command"
    if (member is not None and member.is_native) or _NATIVE.search(item.path):
        return "library"
    if item.path.endswith(".py"):
        return "python"
    return "text" if _TEXT.search(item.path) or ".dist-info/" in item.path else "data"


def same_content(prefix: Prefix, item: Overwrite, record: CondaRecord) -> bool:
    """Whether what pip writes equals what is there: RECORD's hash against the record's, else against the file's own."""
    if item.target.kind != "file" or item.target.member is None:
        return False
    new = item.wheel.record_hashes.get(item.target.member, "")
    info = record.paths.get(item.path)
    old = info.expected if info is not None else ""
    if not old:
        node = prefix.resolve(item.path).node
        if node is not None and node.kind == "file" and node.source is not None:
            old = content_hash(node)[0] or ""
    return bool(new) and new == old


def needers(prefix: Prefix, record: CondaRecord) -> tuple[CondaRecord, ...]:
    """Conda packages that depend on one, by name."""
    return tuple(r for r in prefix.records if r is not record and any(_name(d) == record.name for d in r.depends))


def _name(depend: str) -> str:
    spec = parse_spec(depend)
    return spec.name if spec is not None else ""


# -- names ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Twin:
    """The conda package of a PyPI project. ``source``: who says so; ``record``: it is installed."""

    conda: str
    source: str
    record: CondaRecord | None = field(default=None, compare=False)


def twin_of(prefix: Prefix, project: str) -> Twin | None:
    """The conda package of a project: first as the prefix itself tells, then by the tables. None: not known."""
    name = canonicalize_name(project)
    pair = conda_name(name)
    by_name = {r.name: r for r in prefix.records}
    owner = next((d.owner for d in prefix.distributions if d.name == name and d.owner is not None), None)
    if owner is not None:
        # numpy-base holds the files, numpy is what people install: the table's name, when that is installed too and
        # is the outer package of the two.
        public = by_name.get(pair.conda) if pair is not None else None
        if public is not None and not (owner.name.startswith(public.name) or _brings(public, owner, by_name)):
            public = None
        return Twin(
            (public or owner).name, f"the record of {owner.name} lists the dist-info of {name}", public or owner
        )
    if pair is not None:
        return Twin(pair.conda, f"{pair.source} ({pair.date})", by_name.get(pair.conda))
    record = next((r for r in prefix.records if canonicalize_name(r.name) == name), None)
    if record is not None:
        return Twin(record.name, "a conda package of that name is installed", record)
    return None


def _brings(record: CondaRecord, wanted: CondaRecord, by_name: Mapping[str, CondaRecord]) -> bool:
    """Whether a package depends on another, itself or through one more (opencv, py-opencv, libopencv)."""
    names = {_name(d) for d in record.depends}
    below = {_name(d) for n in names if n in by_name for d in by_name[n].depends}
    return wanted.name in names | below


def is_twin(prefix: Prefix, wheel: Wheel, record: CondaRecord) -> bool:
    """Whether a wheel and a conda package are one project."""
    twin = twin_of(prefix, wheel.name)
    names = {p.pypi for p in pypi_names(record.name)} | {canonicalize_name(record.name)}
    return wheel.name in names or (twin is not None and twin.conda == record.name)


# -- who depends on it ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokenNeed:
    """A requirement that no longer holds. ``who``: the conda package or distribution; ``text``: what it requires."""

    who: Origin
    text: str
    how: Literal["depends", "constrains", "Requires-Dist"]


def broken_needs(
    prefix: Prefix, dist: Distribution, *, version: str = "", specifier: str = "", gone: frozenset[str] = frozenset()
) -> tuple[BrokenNeed, ...]:
    """Who requires what an installed distribution will no longer be.

    Args:
        version: what takes its place; or
        specifier: the range it will be in, when the version is not known (only what no version of it meets is told).
        gone: names of distributions that the transaction replaces too; their old requirements do not count.
    """
    held = (*_by_metadata(prefix, dist, version, specifier, gone), *_by_records(prefix, dist, version, specifier))
    return tuple(sorted(set(held), key=lambda b: (b.who.kind, b.who.name, b.how, b.text)))


def _by_metadata(
    prefix: Prefix, dist: Distribution, version: str, specifier: str, gone: frozenset[str]
) -> Iterator[BrokenNeed]:
    for other in prefix.distributions:
        if other is dist or other.name in gone:
            continue
        for requirement in requirements_of(prefix, other.requires_dist):
            if canonicalize_name(requirement.name) != dist.name:
                continue
            was = _in(requirement.specifier, dist.version)
            if was and not _may_hold(requirement.specifier, version, specifier):
                yield BrokenNeed(other.origin, str(requirement), "Requires-Dist")


def _by_records(prefix: Prefix, dist: Distribution, version: str, specifier: str) -> Iterator[BrokenNeed]:
    owner = dist.owner
    if owner is None:
        return
    candidates = [version] if version else _candidates(specifier)
    for record in prefix.records:
        for how, lines in (("depends", record.depends), ("constrains", record.constrains)):
            for line in lines:
                spec = parse_spec(line)
                if spec is None or spec.name != owner.name or satisfies(spec, owner.version) is not True:
                    continue
                possible = candidates if version else [*candidates, *_candidates(spec.version)]
                if possible and all(satisfies(spec, v) is False for v in possible if _in_text(specifier, v)):
                    yield BrokenNeed(record.origin, line, how)  # type: ignore[arg-type]


def _in(spec: SpecifierSet, version: str) -> bool:
    try:
        return spec.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _in_text(specifier: str, version: str) -> bool:
    try:
        return not specifier or _in(SpecifierSet(specifier), version)
    except InvalidSpecifier:
        return True


def _may_hold(spec: SpecifierSet, version: str, specifier: str) -> bool:
    if version:
        return _in(spec, version)
    possible = [v for v in (*_candidates(specifier), *_candidates(str(spec))) if _in_text(specifier, v)]
    return not possible or any(_in(spec, v) for v in possible)


def _candidates(specifier: str) -> list[str]:
    """Versions at and right beside every bound a range names: if none of them meets a second range, nothing does."""
    out = []
    for text in re.findall(r"\d+(?:\.\d+)*", specifier):
        numbers = [int(n) for n in text.split(".")]
        out += [text, text + ".1"]
        if numbers[-1] > 0:
            out.append(".".join(str(n) for n in (*numbers[:-1], numbers[-1] - 1, 99999)))
        elif len(numbers) > 1 and numbers[0] > 0:
            out.append(f"{numbers[0] - 1}.99999")
    return [*out, "99999"] if out else []
