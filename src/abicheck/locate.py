"""Which environment is meant: ``-p``, ``-n``, ``ABICHECK_PREFIX``, the configuration, ``CONDA_PREFIX``, in this order.

Names are looked up without importing conda: in the places its environments live, and only when that does not help by
asking the conda, mamba or micromamba on the path. Nothing here reads the environment itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from abicheck.errors import InputError, UsageError

_ASK_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """``path`` as the user gave it or as the name led to it. ``name`` is for people and reports. ``chosen_by`` as in
    ``TargetInfo``. ``flag`` is what to add to a conda command to mean this environment, empty for the active one."""

    path: str
    name: str
    chosen_by: str
    flag: str = ""

    @property
    def real(self) -> str:
        """The path with its links followed: the loader is asked about the folder, not about a link to it."""
        return os.path.realpath(self.path) if os.path.isdir(self.path) else self.path


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
    from abicheck.prefix import find_named_prefix

    try:
        return find_named_prefix(name, environ)
    except InputError as error:
        if error.reference != "no-such-environment":
            raise
        asked = _asked()
        if name in asked:
            return asked[name]
        raise


def names(environ: Mapping[str, str]) -> list[str]:
    """Names of the environments that conda has written down; for completion."""
    home = environ.get("HOME") or environ.get("USERPROFILE") or os.path.expanduser("~")
    try:
        lines = Path(home, ".conda", "environments.txt").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    return sorted({os.path.basename(line) for line in lines if line and _is_environment(line)})


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
