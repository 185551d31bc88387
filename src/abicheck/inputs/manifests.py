"""Manifests: requirement files, pip's installation report, ``pylock.toml``. Each gives wheels and who asked."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
from packaging.markers import Environment
from packaging.pylock import PackageWheel, Pylock, PylockSelectError, PylockValidationError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from abicheck.errors import InputError
from abicheck.inputs.markers import marker_holds
from abicheck.inputs.requests import Asked, Inputs, Missing, Request
from abicheck.inputs.wheelhouse import Wheelhouse
from abicheck.wheel import Wheel, read_wheel

_IGNORED = frozenset(
    {
        "--index-url", "-i", "--extra-index-url", "--trusted-host", "--no-binary", "--only-binary", "--use-feature",
        "--constraint", "-c",
    }
)  # fmt: skip
_FLAGS = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes"})
_HASH = re.compile(r"\s--hash[= ](?P<algorithm>\w+):(?P<digest>[0-9a-fA-F]+)")
_OPTION = re.compile(r"\s--(?:config-settings?|global-option)[= ]\S+")


@dataclass(frozen=True, slots=True)
class Ground:
    """What a manifest is read against: the prefix's markers and tags, and where wheels may lie."""

    environment: dict[str, str]
    tags: tuple[Tag, ...]
    house: Wheelhouse


def hashes_fit(wheel: Wheel, hashes: Mapping[str, str], where: str) -> None:
    """Raise ``InputError`` when a manifest pins another file than the one found."""
    wanted = hashes.get("sha256")
    if wanted and wheel.sha256 != wanted.lower():
        raise InputError(
            "hash-mismatch",
            f"{where} asks for {wheel.filename} with sha256 {wanted[:12]}…, the file here has {wheel.sha256[:12]}….",
            "download the wheel that the manifest names",
        )


def locate(filename: str, ground: Ground, beside: str) -> str | None:
    """A wheel by its file name: beside the manifest, then in ``--find-links``."""
    near = f"{beside}/{filename}" if beside else filename
    return near if os.path.isfile(near) else ground.house.by_file.get(filename)


def pinned(requirement: Requirement, ground: Ground, asked: Asked | None, where: str) -> Inputs:
    """``name==version``, looked for in ``--find-links``. Raises ``InputError`` when it is not pinned."""
    specs = list(requirement.specifier)
    if len(specs) != 1 or specs[0].operator not in ("==", "===") or specs[0].version.endswith("*"):
        raise InputError(
            "not-pinned",
            f"{where}: {requirement} does not say one version, and abicheck does not resolve.",
            f"pip download -r … -d wheelhouse, then abicheck wheelhouse; or pin it: {requirement.name}==VERSION",
        )
    name = canonicalize_name(requirement.name)
    try:
        version = Version(specs[0].version)
    except InvalidVersion as e:
        raise InputError("not-a-version", f"{where}: {specs[0].version} is not a version.") from e
    best = ground.house.best(name, version)
    if best is None:
        if (name, version) in ground.house.sources:
            reason = "only a source archive is there, which has no binaries yet"
        elif ground.house.folders:
            reason = f"no wheel of it in {', '.join(ground.house.folders)}"
        else:
            reason = "no --find-links names a folder that could hold its wheel"
        return Inputs(missing=(Missing(name, str(version), "", reason, asked),))
    wheel = read_wheel(best.path).with_extras(frozenset(requirement.extras))
    return Inputs((Request(wheel, asked, requested=True, direct_url=False),))


# -- requirement files ---------------------------------------------------------


def read_requirements(path: str, ground: Ground, seen: frozenset[str] = frozenset()) -> Inputs:
    """A requirements file: paths of wheels, ``name==version``, ``-r`` of further files. Raises ``InputError``."""
    full = os.path.abspath(path)
    if full in seen:
        raise InputError("endless-requirements", f"{path} includes itself.")
    try:
        with open(path, encoding="utf-8-sig") as f:
            text = f.read()
    except OSError as e:
        raise InputError("unreadable-requirements", f"{path} cannot be read: {e.strerror or e}.") from e
    except UnicodeDecodeError as e:
        raise InputError("unreadable-requirements", f"{path} is not a text file in UTF-8.") from e
    out = Inputs()
    for number, line in _logical_lines(text):
        out += _requirement_line(line, path, number, ground, seen | {full})
    return out


def extra_find_links(path: str) -> tuple[str, ...]:
    """``--find-links`` lines of a requirements file, relative to it."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as f:
            lines = [line for _, line in _logical_lines(f.read())]
    except OSError:
        return ()
    hits = (re.match(r"(?:-f|--find-links)[= ]\s*(.+)", line) for line in lines)
    return tuple(_beside(path, m[1].strip()) for m in hits if m)


def _beside(path: str, name: str) -> str:
    return name if "://" in name or os.path.isabs(name) else os.path.normpath(f"{os.path.dirname(path) or '.'}/{name}")


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


def _requirement_line(line: str, path: str, number: int, ground: Ground, seen: frozenset[str]) -> Inputs:
    where = f"{path}:{number}"
    if line.startswith("-"):
        return _option_line(line, path, where, ground, seen)
    hashes = [(m["algorithm"], m["digest"]) for m in _HASH.finditer(" " + line)]
    plain = _OPTION.sub("", _HASH.sub("", " " + line)).strip()
    asked = Asked(path, number)
    local, marker = _local_wheel(plain, path)
    if local is not None:
        if marker is not None and not marker_holds(Requirement(f"x; {marker}").marker, ground.environment):
            return Inputs()
        found = Inputs((Request(_extras(local), asked),))
    else:
        try:
            requirement = Requirement(plain)
        except InvalidRequirement as e:
            raise InputError(
                "not-understood", f"{where}: {plain!r} is no path of a wheel and no requirement.", "write name==version"
            ) from e
        if not marker_holds(requirement.marker, ground.environment):
            return Inputs()
        found = _url_or_pinned(requirement, ground, asked, where)
    digests = [d.lower() for a, d in hashes if a.lower() == "sha256"]
    for request in found.requests:
        if digests and request.wheel.sha256 not in digests:
            hashes_fit(request.wheel, {"sha256": digests[0]}, where)
    return found


def _url_or_pinned(requirement: Requirement, ground: Ground, asked: Asked, where: str) -> Inputs:
    if requirement.url is None:
        return pinned(requirement, ground, asked, where)
    path = url_path(requirement.url)
    name = os.path.basename(urllib.parse.urlsplit(requirement.url).path)
    found = path if path is not None and os.path.isfile(path) else ground.house.by_file.get(urllib.parse.unquote(name))
    if found is None:
        return Inputs(missing=(Missing(canonicalize_name(requirement.name), "", name, "it is not here", asked),))
    return Inputs((Request(read_wheel(found).with_extras(frozenset(requirement.extras)), asked),))


def url_path(url: str) -> str | None:
    """The path a ``file:`` address names, None for others."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "file":
        return None
    path = urllib.parse.unquote(parts.path)
    return path[1:] if os.name == "nt" and re.match(r"/[A-Za-z]:", path) else path


def _local_wheel(text: str, manifest: str) -> tuple[str | None, str | None]:
    """The path of a line that is one (with its extras), and its marker."""
    path, _, marker = text.partition(" ;")
    path = path.strip()
    bare = re.sub(r"\[[^\]]*\]$", "", path)
    if not bare.lower().endswith(".whl") or "@" in bare.partition(".whl")[0]:
        return None, None
    return _beside(manifest, path), marker.strip() or None


def _extras(path: str) -> Wheel:
    match = re.fullmatch(r"(?P<path>.*\.whl)(?:\[(?P<extras>[^\]]*)\])?", path, re.IGNORECASE | re.DOTALL)
    assert match is not None
    extras = frozenset(canonicalize_name(e.strip()) for e in (match["extras"] or "").split(",") if e.strip())
    if not os.path.isfile(match["path"]):
        raise InputError("no-such-wheel", f"There is no wheel at {match['path']}.")
    return read_wheel(match["path"]).with_extras(extras)


def wheel_at(path: str) -> Wheel:
    """A wheel by path, with ``[extras]`` behind it or not. Raises ``InputError``."""
    return _extras(path)


def _option_line(line: str, path: str, where: str, ground: Ground, seen: frozenset[str]) -> Inputs:
    try:
        words = shlex.split(line)
    except ValueError as e:
        raise InputError("not-understood", f"{where}: {line!r} has an open quote.") from e
    name, joined, value = words[0].partition("=")
    value = value if joined else (words[1] if len(words) > 1 else "")
    if name in ("-r", "--requirement"):
        return read_requirements(_beside(path, value), ground, seen)
    if name in ("-f", "--find-links") or name in _IGNORED or name in _FLAGS:
        return Inputs()
    what = "an editable source" if name in ("-e", "--editable") else f"the option {name}"
    raise InputError("not-understood", f"{where}: {what} cannot be judged.", "list wheels or name==version")


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
    hashes = {str(k): str(v) for k, v in _mapping(archive.get("hashes")).items()}
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
    beside = os.path.dirname(path) or "."
    out = Inputs()
    for package, file in selected:
        asked = Asked(path, _line_of(lines, package.name))
        version = str(package.version or "")
        if not isinstance(file, PackageWheel):
            missing = Missing(package.name, version, "", "the lock has no wheel of it for this environment", asked)
            out += Inputs(missing=(missing,))
            continue
        named = _beside(path, file.path) if file.path else None
        found = named if named is not None and os.path.isfile(named) else locate(file.filename, ground, beside)
        if found is None:
            missing = Missing(package.name, version, file.filename, "its wheel is not here", asked)
            out += Inputs(missing=(missing,))
            continue
        wheel = read_wheel(found)
        hashes_fit(wheel, dict(file.hashes), path)
        out += Inputs((Request(wheel, asked, requested=True, direct_url=False),))
    return out


def _line_of(lines: list[str], name: str) -> int:
    pattern = re.compile(rf"\s*name\s*=\s*[\"']{re.escape(name)}[\"']")
    return next((n for n, line in enumerate(lines, 1) if pattern.match(line)), 0)
