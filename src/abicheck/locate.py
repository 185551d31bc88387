"""Which environment is meant: ``-p``, ``-n``, ``ABICHECK_PREFIX``, the configuration, ``CONDA_PREFIX``, in this order.

Names are looked up without importing conda: in the places its environments live, and only when that does not help by
asking the conda, mamba or micromamba on the path. Nothing here reads the environment itself.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from abicheck.errors import InputError, UsageError

BASE_NAMES = ("base", "root")
_HOMES = (
    "miniconda3",
    "anaconda3",
    "miniforge3",
    "mambaforge",
    "miniconda",
    "micromamba",
    ".local/share/mamba",
    ".conda",
)
_ASK_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """``path`` as the user gave it or as the name led to it. ``name`` is for people and reports. ``chosen_by`` as in
    ``TargetInfo``. ``flag`` is what to add to a conda command to mean this environment, empty for the active one."""

    path: str
    name: str
    chosen_by: str
    flag: str = ""


def choose(
    prefix: str | None, name: str | None, configured: tuple[str, str, str], environ: Mapping[str, str]
) -> Choice:
    """Pick the environment. ``configured``: prefix and name of the configuration file and its name, empty for none.

    Raises ``UsageError`` when none is given or both ``-p`` and ``-n`` are, ``InputError`` for a name nobody knows.
    """
    if prefix and name:
        raise UsageError("two-environments", "-p and -n both name an environment", "give one of them")
    if prefix:
        return Choice(prefix, display(prefix), "prefix", f"-p {_quoted(prefix)}")
    if name:
        return Choice(by_name(name, environ), name, "name", f"-n {_quoted(name)}")
    if environ.get("ABICHECK_PREFIX"):
        path = environ["ABICHECK_PREFIX"]
        return Choice(path, display(path), "ABICHECK_PREFIX", f"-p {_quoted(path)}")
    path, known, source = configured
    if path:
        return Choice(path, display(path), source, f"-p {_quoted(path)}")
    if known:
        return Choice(by_name(known, environ), known, source, f"-n {_quoted(known)}")
    if environ.get("CONDA_PREFIX"):
        path = environ["CONDA_PREFIX"]
        active = environ.get("CONDA_DEFAULT_ENV", "")
        plain = active and not os.path.dirname(active)
        return Choice(path, active if plain else display(path), "CONDA_PREFIX")
    raise UsageError(
        "no-environment", "no environment is given and none is active", "abicheck WHEEL -p PREFIX, or -n NAME"
    )


def _quoted(text: str) -> str:
    return (
        text if text and all(c.isalnum() or c in "._-/~:\\@+" for c in text) else '"' + text.replace('"', '\\"') + '"'
    )


def display(path: str) -> str:
    """The last part of a path; ``base`` for the root of a conda installation."""
    full = os.path.abspath(path)
    return "base" if is_base(full) else os.path.basename(full) or full


def is_base(path: str) -> bool:
    """Whether this is the root of a conda installation: the only prefix with a ``condabin``."""
    return Path(path, "condabin").is_dir() and _is_environment(path)


def _is_environment(path: str) -> bool:
    return Path(path, "conda-meta").is_dir()


def by_name(name: str, environ: Mapping[str, str]) -> str:
    """The prefix of that name. Raises ``InputError`` with near misses."""
    if os.sep in name or "/" in name:
        raise UsageError("not-a-name", f"{name!r} is a path, not a name", f"-p {name}")
    roots = list(dict.fromkeys(_roots(environ)))
    if name in BASE_NAMES:
        for root in roots:
            if is_base(root):
                return root
    known = {os.path.basename(path): path for path in reversed(list(_environments(roots, environ)))}
    if name not in known:
        known = {**_asked(), **known}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "-p PREFIX takes the folder itself"
    raise InputError("no-such-environment", f"there is no environment {name!r}", hint)


def names(environ: Mapping[str, str]) -> list[str]:
    """Names of the environments that can be seen without asking anybody; for completion."""
    return sorted({os.path.basename(p) for p in _environments(list(_roots(environ)), environ)})


def _roots(environ: Mapping[str, str]) -> Iterator[str]:
    """Roots of conda installations, the likeliest first."""
    if environ.get("MAMBA_ROOT_PREFIX"):
        yield environ["MAMBA_ROOT_PREFIX"]
    if environ.get("CONDA_EXE"):
        yield os.path.dirname(os.path.dirname(os.path.abspath(environ["CONDA_EXE"])))
    active = environ.get("CONDA_PREFIX")
    if active:
        parent = os.path.dirname(os.path.abspath(active))
        yield os.path.dirname(parent) if os.path.basename(parent) == "envs" else active
    home = os.path.expanduser("~")
    for place in _HOMES:
        yield str(Path(home, place))


def _environments(roots: list[str], environ: Mapping[str, str]) -> Iterator[str]:
    folders = [f for v in ("CONDA_ENVS_PATH", "CONDA_ENVS_DIRS") for f in environ.get(v, "").split(os.pathsep) if f]
    for folder in [*folders, *(str(Path(r, "envs")) for r in roots)]:
        try:
            found = sorted(os.listdir(folder))
        except OSError:
            continue
        for entry in found:
            path = str(Path(folder, entry))
            if _is_environment(path):
                yield path
    yield from _registered()


def _registered() -> Iterator[str]:
    """What conda itself wrote down: one prefix a line."""
    try:
        with open(os.path.expanduser("~/.conda/environments.txt"), encoding="utf-8", errors="surrogateescape") as f:
            lines = f.read().splitlines()
    except OSError:
        return
    yield from (line for line in lines if line and _is_environment(line))


def _asked() -> dict[str, str]:
    """Name to prefix, as conda, mamba or micromamba says; empty when none of them is there or answers."""
    for program in ("conda", "mamba", "micromamba"):
        path = shutil.which(program)
        if path is None:
            continue
        try:
            done = subprocess.run([path, "info", "--json"], capture_output=True, timeout=_ASK_SECONDS, check=False)
            envs = json.loads(done.stdout).get("envs", [])
        except (OSError, subprocess.TimeoutExpired, ValueError, AttributeError):
            continue
        return {os.path.basename(p): p for p in envs if isinstance(p, str)}
    return {}
