"""Requirement files as pip reads them (``req/req_file.py``, ``req/constructors.py``): lines, options, variables."""

from __future__ import annotations

import os
import re
import shlex
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import replace

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from abicheck.errors import InputError
from abicheck.inputs.manifests import Ground, beside, hashes_fit, pinned, url_path, wheel_at
from abicheck.inputs.markers import marker_holds
from abicheck.inputs.requests import Asked, Inputs, Missing, PassedOver, Request
from abicheck.wheel import read_wheel

_IGNORED = frozenset(
    {
        "--index-url", "-i", "--extra-index-url", "--trusted-host", "--no-binary", "--only-binary", "--use-feature",
        "--hash",
    }
)  # fmt: skip
_FLAGS = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes"})
_HASH = re.compile(r"\s--hash[= ](?P<algorithm>\w+):(?P<digest>[0-9a-fA-F]+)")
_OPTION = re.compile(r"\s--(?:config-settings?|global-option)[= ](?:\"[^\"]*\"|'[^']*'|\S)+")
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)\}")


def read_requirements(path: str, ground: Ground) -> Inputs:
    """A requirements file and those it includes: paths and addresses of wheels, ``name==version``. Raises
    ``InputError``."""
    limits: dict[str, SpecifierSet] = dict(ground.constraints)
    for name, specifier in _constraints(path, ground, frozenset()):
        limits[name] = limits[name] & specifier if name in limits else specifier
    return _read(path, replace(ground, constraints=limits), frozenset())


def extra_find_links(path: str) -> tuple[str, ...]:
    """Folders named by ``--find-links`` lines of a requirements file and of those it includes: relative to the file
    when they are there, else to the current folder."""
    out: list[str] = []
    todo, seen = [path], set[str]()
    while todo:
        at = todo.pop()
        if os.path.abspath(at) in seen:
            continue
        seen.add(os.path.abspath(at))
        try:
            lines = [_expanded(line) for _, line in _logical_lines(_text(at))]
        except InputError:
            continue  # read_requirements says so
        for name, value in (_option(line) for line in lines if line.startswith("-")):
            if name in ("-f", "--find-links") and value:
                near = beside(at, value)
                out.append(near if "://" in value or os.path.exists(near) else value)
            elif name in ("-r", "--requirement") and value:
                todo.append(beside(at, value))
    return tuple(out)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as f:
            return f.read()
    except OSError as e:
        raise InputError("unreadable-requirements", f"{path} cannot be read: {e.strerror or e}.") from e
    except UnicodeDecodeError as e:
        raise InputError("unreadable-requirements", f"{path} is not a text file in UTF-8.") from e


def _read(path: str, ground: Ground, seen: frozenset[str]) -> Inputs:
    full = os.path.abspath(path)
    if full in seen:
        raise InputError("endless-requirements", f"{path} includes itself.")
    out = Inputs()
    for number, line in _logical_lines(_text(path)):
        out += _line(_expanded(line), path, number, ground, seen | {full})
    return out


def _constraints(path: str, ground: Ground, seen: frozenset[str]) -> Iterator[tuple[str, SpecifierSet]]:
    """Project and specifier of every line of the constraint files that a file and its inclusions name."""
    full = os.path.abspath(path)
    if full in seen:
        return
    for _, line in _logical_lines(_text(path)):
        name, value = _option(_expanded(line)) if line.startswith("-") else ("", "")
        if name in ("-r", "--requirement") and value:
            yield from _constraints(beside(path, value), ground, seen | {full})
        elif name in ("-c", "--constraint") and value:
            for _, below in _logical_lines(_text(beside(path, value))):
                yield from _constraint(_expanded(below), ground.environment)


def _constraint(line: str, environment: dict[str, str]) -> Iterator[tuple[str, SpecifierSet]]:
    try:
        requirement = Requirement(_bare(line))
    except InvalidRequirement:
        return  # a path or an address says nothing of versions
    if marker_holds(requirement.marker, environment):
        yield canonicalize_name(requirement.name), requirement.specifier


# -- lines -----------------------------------------------------------------------


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined and comments gone; the number is that of the first."""
    start, held = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = "" if raw.lstrip().startswith("#") else re.sub(r"\s#.*$", "", raw)
        if not held:
            start = number
        held += line.rstrip()
        if held.endswith("\\"):
            held = held[:-1] + " "
            continue
        if held.strip():
            yield start, held.strip()
        held = ""
    if held.strip():
        yield start, held.strip()


def _expanded(line: str, environ: Mapping[str, str] = os.environ) -> str:
    """``${NAME}`` replaced by a variable of that name, where there is one that is not empty."""
    return _VARIABLE.sub(lambda m: environ.get(m["name"]) or m[0], line)


def _bare(line: str) -> str:
    """A requirement line without its own options."""
    return _OPTION.sub("", _HASH.sub("", " " + line)).strip()


def _option(line: str) -> tuple[str, str]:
    """Name and value of an option line: ``--name=value``, ``--name value``, ``-n value``, ``-nvalue``."""
    try:
        words = shlex.split(line)
    except ValueError:
        return line, ""
    name, joined, value = words[0].partition("=")
    if not line.startswith("--") and len(words[0]) > 2:
        return words[0][:2], words[0][2:]
    return name, value if joined else (words[1] if len(words) > 1 else "")


def _line(line: str, path: str, number: int, ground: Ground, seen: frozenset[str]) -> Inputs:
    where = f"{path}:{number}"
    if line.startswith("-"):
        return _option_line(line, path, where, ground, seen)
    hashes = [(m["algorithm"], m["digest"]) for m in _HASH.finditer(" " + line)]
    plain = _bare(line)
    asked = Asked(path, number)
    place, marker = _place(plain)
    if place is not None:
        if marker is not None and not marker_holds(Requirement(f"x; {marker}").marker, ground.environment):
            return _not_meant(plain)
        found = _by_place(place, path, ground, asked, hashes)
    else:
        try:
            requirement = Requirement(plain)
        except InvalidRequirement as e:
            raise InputError(
                "not-understood", f"{where}: {plain!r} is no path of a wheel and no requirement.", "write name==version"
            ) from e
        if not marker_holds(requirement.marker, ground.environment):
            return _not_meant(plain)
        found = _url_or_pinned(requirement, path, ground, asked, where)
    for request in found.requests:
        hashes_fit(request.wheel, hashes, where)
    return found


def _not_meant(line: str) -> Inputs:
    return Inputs(passed_over=(PassedOver(line.partition(";")[0].strip(), "its marker does not hold there"),))


def _option_line(line: str, path: str, where: str, ground: Ground, seen: frozenset[str]) -> Inputs:
    name, value = _option(line)
    if name in ("-r", "--requirement"):
        return _read(beside(path, value), ground, seen)
    if name in ("-f", "--find-links", "-c", "--constraint") or name in _IGNORED or name in _FLAGS:
        return Inputs()
    what = "an editable source" if name in ("-e", "--editable") else f"the option {name}"
    raise InputError("not-understood", f"{where}: {what} cannot be judged.", "list wheels or name==version")


# -- places ----------------------------------------------------------------------


def _place(text: str) -> tuple[str | None, str | None]:
    """The path or address of a line that is one (with its extras or fragment), and its marker."""
    place, _, marker = text.partition(" ;")
    place = place.strip()
    if re.match(r"[a-z][a-z0-9+.-]*:", place, re.IGNORECASE) and ".whl" in place.lower():
        return place, marker.strip() or None
    bare = re.sub(r"\[[^\]]*\]$", "", place)
    if not bare.lower().endswith(".whl") or "@" in bare.partition(".whl")[0]:
        return None, None
    return place, marker.strip() or None


def _by_place(place: str, manifest: str, ground: Ground, asked: Asked, hashes: list[tuple[str, str]]) -> Inputs:
    """A wheel by its path (relative to the current folder, as pip takes it, else to the manifest) or its address."""
    if not re.match(r"[a-z][a-z0-9+.-]*:", place, re.IGNORECASE) or re.match(r"[A-Za-z]:[\\/]", place):
        bare = re.sub(r"\[[^\]]*\]$", "", place)
        return Inputs((Request(wheel_at(place if os.path.isfile(bare) else beside(manifest, place)), asked),))
    address, _, fragment = place.partition("#")
    extras = re.search(r"\[(?P<names>[^\]]*)\]$", address)
    parts = (part.partition("=") for part in fragment.split("&"))
    hashes += [(name, value) for name, equals, value in parts if equals]
    filename = urllib.parse.unquote(os.path.basename(urllib.parse.urlsplit(re.sub(r"\[[^\]]*\]$", "", address)).path))
    found = _fetched(re.sub(r"\[[^\]]*\]$", "", address), manifest, filename, ground)
    if found is None:
        try:
            name, version = map(str, parse_wheel_filename(filename)[:2])
        except InvalidWheelFilename:
            name, version = filename, ""
        return Inputs(missing=(Missing(canonicalize_name(name), version, filename, "it is not here", asked),))
    names = (extras["names"] if extras else "").split(",")
    wheel = read_wheel(found).with_extras(frozenset(canonicalize_name(n.strip()) for n in names if n.strip()))
    return Inputs((Request(wheel, asked),))


def _url_or_pinned(requirement: Requirement, manifest: str, ground: Ground, asked: Asked, where: str) -> Inputs:
    if requirement.url is None:
        return pinned(requirement, ground, asked, where)
    filename = urllib.parse.unquote(os.path.basename(urllib.parse.urlsplit(requirement.url).path))
    found = _fetched(requirement.url.partition("#")[0], manifest, filename, ground)
    if found is None:
        return Inputs(missing=(Missing(canonicalize_name(requirement.name), "", filename, "it is not here", asked),))
    extras = frozenset(canonicalize_name(e) for e in requirement.extras)
    return Inputs((Request(read_wheel(found).with_extras(extras), asked),))


def _fetched(address: str, manifest: str, filename: str, ground: Ground) -> str | None:
    """The file of an address: where a ``file:`` address says, else one of that name in ``--find-links``."""
    path = url_path(address)
    if path is not None:
        for place in (path, beside(manifest, path)):
            if os.path.isfile(place):
                return place
    return ground.house.by_file.get(filename)
