"""Operands to wheels: files, folders, globs, pip reports, lock files, requirement files, ``name==version``.

An operand is classified by what it is. All of one call are one transaction (docs/commands.md).
"""

from __future__ import annotations

import difflib
import glob
import os
import re
import sys
from collections.abc import Iterable, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag

from abicheck.errors import InputError
from abicheck.inputs.manifests import Ground, pinned, read_lock, read_report, wheel_at
from abicheck.inputs.markers import marker_environment, python_suits, supported_tags
from abicheck.inputs.requests import Asked, Inputs, Missing, PassedOver, Request
from abicheck.inputs.requirement_files import extra_find_links, read_requirements
from abicheck.inputs.wheelhouse import SOURCE_SUFFIXES, Candidate, candidate_of, choose, open_wheelhouse
from abicheck.prefix import Prefix
from abicheck.wheel import Wheel

__all__ = ["Asked", "Inputs", "Missing", "PassedOver", "Request", "ground_of", "read_operands"]

_LIBRARY = re.compile(r"\.(so(\.[\w.]+)?|pyd|dylib|dll)$", re.IGNORECASE)
_PYLOCK = re.compile(r"pylock(\.[^.]+)?\.toml")


def read_operands(
    operands: Sequence[str],
    prefix: Prefix,
    *,
    requirements: Sequence[str] = (),
    find_links: Sequence[str] = (),
    stdin: bytes | None = None,
    tags: tuple[Tag, ...] | None = None,
) -> Inputs:
    """Everything one call asks for. Raises ``InputError`` with a hint for what cannot be an operand.

    Args:
        prefix: whose interpreter decides markers and tags.
        requirements: files given with ``-r``.
        find_links: folders given with ``--find-links``.
        stdin: what ``-`` reads; default: standard input.
        tags: of wheels that pip takes there, best first; default: what the prefix takes on the newest of hosts.
    """
    ground = ground_of(prefix, [*find_links, *(link for r in requirements for link in extra_find_links(r))], tags)
    out = Inputs()
    for operand in operands:
        out += _operand(operand, ground, stdin)
    for path in requirements:
        out += read_requirements(path, ground)
    out = out.distinct()
    if not out.requests and not out.missing and not out.passed_over:
        raise InputError(
            "nothing-to-check", "No operand names a wheel for this environment.", "give a wheel or a folder"
        )
    _one_wheel_a_project(out)
    return out


def ground_of(prefix: Prefix, find_links: Sequence[str] = (), tags: tuple[Tag, ...] | None = None) -> Ground:
    """What manifests are read against. A prefix without Python decides no marker and no tag."""
    environment: dict[str, str] = {}
    if prefix.interpreter is not None:
        environment = marker_environment(prefix.interpreter, prefix.subdir)
        tags = supported_tags(prefix.interpreter, prefix.subdir) if tags is None else tags
    tags = tags or ()
    installed = {d.name: d.version for d in reversed(prefix.distributions)}
    return Ground(environment, tags, open_wheelhouse(find_links, tags), installed)


def _operand(operand: str, ground: Ground, stdin: bytes | None) -> Inputs:
    if operand == "-":
        return read_report(sys.stdin.buffer.read() if stdin is None else stdin, "standard input", ground, "")
    if os.path.isdir(operand):
        return _folder(operand, ground)
    name = os.path.basename(operand)
    bare = re.sub(r"\[[^\]]*\]$", "", operand)
    if os.path.isfile(operand) or os.path.isfile(bare):
        return _file(operand, bare, name, ground)
    if re.match(r"[a-z][a-z0-9+.-]*://", operand, re.IGNORECASE):
        raise InputError(
            "an-address",
            f"{operand} is an address; abicheck downloads nothing.",
            f"pip download --no-deps --only-binary=:all: -d wheelhouse {operand} && abicheck wheelhouse",
        )
    if any(c in operand for c in "*?["):
        hits = sorted(glob.glob(operand))
        if hits:
            return _chosen((h for h in hits if h.lower().endswith(".whl")), operand, ground)
    if "==" in operand and "/" not in operand:
        return _requirement(operand, ground)
    raise _no_such(operand)


def _file(operand: str, bare: str, name: str, ground: Ground) -> Inputs:
    low = bare.lower()
    if low.endswith(".whl"):
        return Inputs((Request(wheel_at(operand)),))
    if _PYLOCK.fullmatch(name):
        return read_lock(operand, ground)
    if low.endswith(".json"):
        with open(operand, "rb") as f:
            return read_report(f.read(), operand, ground, os.path.dirname(operand) or ".")
    if low.endswith((".conda", ".tar.bz2")) and (low.endswith(".conda") or name.count("-") >= 2):
        raise InputError(
            "a-conda-package",
            f"{name} is a conda package, not a wheel.",
            f"abicheck inspect {operand} shows what is in it",
        )
    if low.endswith(SOURCE_SUFFIXES):
        raise InputError(
            "source-archive",
            f"{name} is a source archive; it contains no binaries to check yet.",
            f"pip wheel --no-deps {operand} -w wheelhouse && abicheck wheelhouse",
        )
    if _LIBRARY.search(low):
        raise InputError("a-library", f"{name} is a library, not a wheel.", f"abicheck inspect {operand}")
    if low.endswith((".txt", ".in")):
        raise InputError(
            "a-requirements-file", f"{name} is not a wheel.", f"abicheck -r {operand} --find-links wheelhouse"
        )
    raise InputError("not-a-wheel", f"{name} is not a wheel (its name does not end in .whl).", "give a .whl file")


def _folder(folder: str, ground: Ground) -> Inputs:
    paths = [f"{folder.rstrip('/')}/{n}" for n in sorted(os.listdir(folder)) if n.lower().endswith(".whl")]
    if not paths:
        raise InputError(
            "no-wheels", f"The folder {folder} holds no wheels.", "pip download -d wheelhouse NAME makes one"
        )
    return _chosen(paths, folder, ground)


def _chosen(paths: Iterable[str], where: str, ground: Ground) -> Inputs:
    """Wheels found by a folder or pattern: each project's best (they cannot all be installed)."""
    candidates = []
    for path in paths:
        candidate = candidate_of(path, ground.tags)
        if candidate is None:
            wheel_at(path)  # says what is wrong with the name
            continue
        candidates.append(candidate)
    if not candidates:
        raise InputError("no-wheels", f"{where} matches no wheels.")
    wheels: dict[str, Wheel] = {}

    def read(candidate: Candidate) -> Wheel:
        return wheels.setdefault(candidate.path, wheels.get(candidate.path) or wheel_at(candidate.path))

    version = ground.environment.get("python_full_version", "")
    chosen, passed = choose(candidates, lambda c: not version or python_suits(read(c).requires_python, version))
    return Inputs(tuple(Request(read(c)) for c in chosen), passed_over=tuple(passed))


def _requirement(operand: str, ground: Ground) -> Inputs:
    try:
        requirement = Requirement(operand)
    except InvalidRequirement as e:
        raise InputError(
            "not-understood", f"{operand} is neither a file nor a requirement.", "write name==version"
        ) from e
    if not ground.house.folders:
        raise InputError(
            "no-find-links",
            f"{operand} is a name, and no folder says where its wheel is.",
            f"pip download --no-deps -d wheelhouse {operand}, then add --find-links wheelhouse; or use --resolve",
        )
    return pinned(requirement, ground, None, operand)


def _no_such(operand: str) -> InputError:
    if os.path.lexists(operand):
        what = "is a link to a file that is not there" if os.path.islink(operand) else "is neither a file nor a folder"
        return InputError("not-a-file", f"{operand} {what}.", "give a .whl file, or a folder of wheels")
    folder, name = os.path.split(operand)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        names = []
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.7)
    hint = f"did you mean {' or '.join(f'{folder}/{c}' if folder else c for c in close)}?" if close else ""
    if not hint and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[.*\])?([<>!~].*)?", operand):
        hint = f"a project's name needs a version and a folder: {operand}==VERSION --find-links wheelhouse"
    return InputError("no-such-file", f"There is no file or folder at {operand}.", hint)


def _one_wheel_a_project(inputs: Inputs) -> None:
    """pip refuses two files of one project in one call."""
    seen: dict[str, Request] = {}
    for request in inputs.requests:
        other = seen.setdefault(request.wheel.name, request)
        if other is not request:
            raise InputError(
                "two-of-a-project",
                f"{other.wheel.filename} and {request.wheel.filename} are one project; pip installs only one of them.",
                "check them one at a time",
            )
