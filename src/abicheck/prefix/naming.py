"""``-n NAME``: find an environment by name without asking conda (docs/commands.md)."""

from __future__ import annotations

import difflib
import os
import posixpath
from collections.abc import Iterator, Mapping

from abicheck.errors import InputError
from abicheck.prefix.opening import is_environment

_HOMES = (
    "miniforge3",
    "mambaforge",
    "miniconda3",
    "anaconda3",
    "micromamba",
    ".conda",
    ".local/share/mamba",
    "opt/miniconda3",
)


def find_named_prefix(name: str, env: Mapping[str, str] | None = None) -> str:
    """The folder of the environment called ``name``. ``base`` and ``root`` are the installation itself.

    Raises ``InputError`` with near misses when there is none.
    """
    env = os.environ if env is None else env
    if os.sep in name or "/" in name:
        raise InputError("not-a-name", f"{name} is a path, not the name of an environment.", f"use -p {name}")
    if name in ("base", "root"):
        for base in _bases(env):
            if is_environment(base):
                return base
        raise InputError(
            "no-such-environment", "No conda installation was found for the name base.", "use -p with its folder"
        )
    known: dict[str, str] = {}
    for path in _candidates(env):
        known.setdefault(os.path.basename(path), path)
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "`conda env list` shows the names; -p takes a folder"
    raise InputError("no-such-environment", f"There is no environment called {name}.", hint)


def _home(env: Mapping[str, str]) -> str:
    return env.get("HOME") or env.get("USERPROFILE") or os.path.expanduser("~")


def _bases(env: Mapping[str, str]) -> Iterator[str]:
    """Installations, best known first."""
    if env.get("MAMBA_ROOT_PREFIX"):
        yield env["MAMBA_ROOT_PREFIX"]
    for key in ("CONDA_EXE", "_CONDA_EXE"):
        if env.get(key):
            yield os.path.dirname(os.path.dirname(env[key]))
    if env.get("CONDA_ROOT"):
        yield env["CONDA_ROOT"]
    prefix = env.get("CONDA_PREFIX", "")
    if prefix:
        parent = os.path.dirname(prefix)
        yield os.path.dirname(parent) if os.path.basename(parent) == "envs" else prefix
    for home in _HOMES:
        yield posixpath.join(_home(env), *home.split("/"))


def _candidates(env: Mapping[str, str]) -> Iterator[str]:
    """Environments in the order conda would find them by name: envs folders, then every one it ever made."""
    folders = [p for key in ("CONDA_ENVS_PATH", "CONDA_ENVS_DIRS") for p in env.get(key, "").split(os.pathsep) if p]
    folders += [posixpath.join(base, "envs") for base in _bases(env)]
    for folder in dict.fromkeys(folders):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        yield from (p for p in (posixpath.join(folder, n) for n in names) if is_environment(p))
    try:
        with open(posixpath.join(_home(env), ".conda", "environments.txt"), encoding="utf-8", errors="replace") as f:
            listed = [line.strip() for line in f]
    except OSError:
        listed = []
    yield from (p for p in listed if p and is_environment(p))
