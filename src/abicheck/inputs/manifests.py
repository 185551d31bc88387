"""Manifests: pip's installation report, ``pylock.toml``, and what they share with requirement files. Each gives wheels
and who asked."""

from __future__ import annotations

import os
import re
import tomllib
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from packaging.markers import Environment
from packaging.pylock import PackageWheel, Pylock, PylockSelectError, PylockValidationError
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from abicheck.errors import InputError
from abicheck.inputs.requests import Asked, Inputs, Missing, PassedOver, Request
from abicheck.inputs.wheelhouse import Wheelhouse
from abicheck.wheel import Wheel, read_wheel

STRONG = frozenset({"sha256", "sha384", "sha512"})  # what pip compares (``utils/hashes.py``)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a manifest is read against: the prefix's markers and tags, where wheels may lie, what is installed there
    (name to version), and what constraint files (``-c``) say of versions."""

    environment: dict[str, str]
    tags: tuple[Tag, ...]
    house: Wheelhouse
    installed: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, SpecifierSet] = field(default_factory=dict)


def hashes_fit(wheel: Wheel, hashes: Iterable[tuple[str, str]], where: str) -> None:
    """Raise ``InputError`` when all hashes of a manifest (algorithm, hex digest) are of other files than this."""
    wanted = [(a.lower(), d.lower()) for a, d in hashes if a.lower() in STRONG]
    if wanted and not any(wheel.digest(a) == d for a, d in wanted):
        algorithm, digest = wanted[0]
        raise InputError(
            "hash-mismatch",
            f"{where} asks for {wheel.filename} with {algorithm} {digest[:12]}…, "
            f"the file here has {wheel.digest(algorithm)[:12]}….",
            "download the wheel that the manifest names",
        )


def locate(filename: str, ground: Ground, beside: str) -> str | None:
    """A wheel by its file name: beside the manifest, then in ``--find-links``."""
    near = f"{beside}/{filename}" if beside else filename
    return near if os.path.isfile(near) else ground.house.by_file.get(filename)


def pinned(requirement: Requirement, ground: Ground, asked: Asked | None, where: str) -> Inputs:
    """``name==version``, looked for in ``--find-links``; nothing when what is installed meets it, for then pip leaves
    it alone. Raises ``InputError`` when no single version is meant."""
    name = canonicalize_name(requirement.name)
    limit = ground.constraints.get(name)
    wanted = requirement.specifier & limit if limit is not None else requirement.specifier
    there = ground.installed.get(name)
    if there is not None and not requirement.extras and _meets(wanted, there):
        return Inputs(passed_over=(PassedOver(str(requirement), f"{name} {there} is installed already and meets it"),))
    exact = [s for s in wanted if s.operator in ("==", "===") and not s.version.endswith("*")]
    if not exact:
        raise InputError(
            "not-pinned",
            f"{where}: {requirement} does not say one version, and abicheck does not resolve.",
            f"pip download -r … -d wheelhouse, then abicheck wheelhouse; or pin it: {requirement.name}==VERSION",
        )
    if not any(_meets(wanted, s.version) for s in exact):
        text = f"{where}: no version meets {name} {wanted}"
        raise InputError("contradiction", f"{text}.", "compare the requirement with the constraint files (-c)")
    best = ground.house.best(name, wanted)
    if best is None:
        if any(n == name and _meets(wanted, str(v)) for n, v in ground.house.sources):
            reason = "only a source archive is there, which has no binaries yet"
        elif ground.house.folders:
            reason = f"no wheel of it in {', '.join(ground.house.folders)}"
        else:
            reason = "no --find-links names a folder that could hold its wheel"
        return Inputs(missing=(Missing(name, exact[0].version, "", reason, asked),))
    wheel = read_wheel(best.path).with_extras(frozenset(canonicalize_name(e) for e in requirement.extras))
    return Inputs((Request(wheel, asked, requested=True, direct_url=False),))


def _meets(wanted: SpecifierSet, version: str) -> bool:
    try:
        return wanted.contains(version, prereleases=True)
    except InvalidVersion:
        return False


# -- places ---------------------------------------------------------------------


def beside(path: str, name: str) -> str:
    """A path that a manifest names, relative to the manifest's own folder."""
    return name if "://" in name or os.path.isabs(name) else os.path.normpath(f"{os.path.dirname(path) or '.'}/{name}")


def url_path(url: str) -> str | None:
    """The path a ``file:`` address names, None for others."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "file":
        return None
    path = urllib.parse.unquote(parts.path)
    return path[1:] if os.name == "nt" and re.match(r"/[A-Za-z]:", path) else path


def wheel_at(path: str) -> Wheel:
    """A wheel by path, with ``[extras]`` behind it or not. Raises ``InputError``."""
    match = re.fullmatch(r"(?P<path>.*\.whl)(?:\[(?P<extras>[^\]]*)\])?", path, re.IGNORECASE | re.DOTALL)
    assert match is not None
    extras = frozenset(canonicalize_name(e.strip()) for e in (match["extras"] or "").split(",") if e.strip())
    if not os.path.isfile(match["path"]):
        raise InputError("no-such-wheel", f"There is no wheel at {match['path']}.")
    return read_wheel(match["path"]).with_extras(extras)


# -- pip's installation report -------------------------------------------------


def read_report(data: bytes, name: str, ground: Ground, beside: str) -> Inputs:
    """The JSON of ``pip install --dry-run --report``, format version 1. Raises ``InputError``."""
    try:
        report = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError) as e:
        raise InputError("not-a-report", f"{name} is not JSON: {e}.", "pip install --dry-run --report r.json …") from e
    if not isinstance(report, dict) or not isinstance(report.get("install"), list):
        raise InputError("not-a-report", f"{name} is not an installation report of pip (it has no install list).")
    if report.get("version") != "1":
        raise InputError("unknown-report", f"{name} is a report of format {report.get('version')!r}; known is '1'.")
    _same_python(report.get("environment"), name, ground)
    if not report["install"]:
        return Inputs(passed_over=(PassedOver(name, "pip would install nothing: all it was asked for is there"),))
    out = Inputs()
    for item in report["install"]:
        out += _report_item(item if isinstance(item, dict) else {}, name, ground, beside)
    return out


def _same_python(environment: object, name: str, ground: Ground) -> None:
    """A report made by another Python chose other wheels: say so instead of judging them."""
    if not isinstance(environment, dict) or not ground.environment:
        return
    for key in ("python_version", "sys_platform", "platform_machine"):
        theirs, ours = environment.get(key), ground.environment.get(key)
        if isinstance(theirs, str) and ours and theirs != ours:
            raise InputError(
                "report-of-another-python",
                f"{name} was made with {key} {theirs}; the environment has {ours}.",
                "make it with the environment's own pip: PREFIX/bin/python -m pip install --dry-run --report r.json …",
            )


def _report_item(item: Mapping[str, object], report: str, ground: Ground, beside: str) -> Inputs:
    download, metadata = _mapping(item.get("download_info")), _mapping(item.get("metadata"))
    url = str(download.get("url", ""))
    name = canonicalize_name(str(metadata.get("name", "")))
    version = str(metadata.get("version", ""))
    asked = Asked(report)
    filename = urllib.parse.unquote(os.path.basename(urllib.parse.urlsplit(url).path))
    if not filename.endswith(".whl"):
        return Inputs(missing=(Missing(name, version, filename, "it is no wheel: pip would build it first", asked),))
    direct = url_path(url)
    path = direct if direct is not None and os.path.isfile(direct) else locate(filename, ground, beside)
    if path is None:
        return Inputs(missing=(Missing(name, version, filename, "its wheel is not here", asked),))
    wheel = read_wheel(path)
    archive = _mapping(download.get("archive_info"))
    hashes = [(str(k), str(v)) for k, v in _mapping(archive.get("hashes")).items()]
    hashes_fit(wheel, hashes, report)
    extras = item.get("requested_extras")
    names = frozenset(str(e) for e in extras) if isinstance(extras, list) else frozenset()
    request = Request(wheel.with_extras(names), asked, bool(item.get("requested")), bool(item.get("is_direct")))
    return Inputs((request,))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


# -- pylock.toml ---------------------------------------------------------------


def read_lock(path: str, ground: Ground) -> Inputs:
    """A ``pylock.toml``: what it selects for the prefix's interpreter. Raises ``InputError``."""
    try:
        with open(path, "rb") as f:
            data = f.read()
        lock = Pylock.from_dict(tomllib.loads(data.decode("utf-8")))
        environment = Environment(**ground.environment)  # type: ignore[typeddict-item]
        selected = list(lock.select(environment=environment, tags=list(ground.tags)))
    except OSError as e:
        raise InputError("unreadable-lock", f"{path} cannot be read: {e.strerror or e}.") from e
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, PylockValidationError) as e:
        raise InputError("not-a-lock", f"{path} is not a pylock file: {e}.") from e
    except PylockSelectError as e:
        raise InputError("lock-does-not-fit", f"{path} does not fit this environment: {e}.") from e
    lines = data.decode("utf-8").splitlines()
    folder = os.path.dirname(path) or "."
    if not selected:
        return Inputs(passed_over=(PassedOver(os.path.basename(path), "it selects nothing for this environment"),))
    out = Inputs()
    for package, file in selected:
        asked = Asked(path, _line_of(lines, package.name))
        version = str(package.version or "")
        if not isinstance(file, PackageWheel):
            missing = Missing(package.name, version, "", "the lock has no wheel of it for this environment", asked)
            out += Inputs(missing=(missing,))
            continue
        named = beside(path, file.path) if file.path else None
        found = named if named is not None and os.path.isfile(named) else locate(file.filename, ground, folder)
        if found is None:
            missing = Missing(package.name, version, file.filename, "its wheel is not here", asked)
            out += Inputs(missing=(missing,))
            continue
        wheel = read_wheel(found)
        hashes_fit(wheel, file.hashes.items(), path)
        out += Inputs((Request(wheel, asked, requested=True, direct_url=False),))
    return out


def _line_of(lines: list[str], name: str) -> int:
    pattern = re.compile(rf"\s*name\s*=\s*[\"']{re.escape(name)}[\"']")
    return next((n for n, line in enumerate(lines, 1) if pattern.match(line)), 0)
