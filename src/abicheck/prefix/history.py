"""What the user asked conda for and what activation sets: conda-meta/history, activate.d, state files. Read as data."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from abicheck.prefix.files import Files, list_folder, read_bytes

_SPECS = re.compile(r"# (?P<action>update|remove|neutered|install|create) specs: (?P<list>\[.*\])\s*$")
_SHELLS = {
    ".sh": "posix",
    ".bat": "cmd",
    ".ps1": "powershell",
    ".fish": "fish",
    ".csh": "csh",
    ".xsh": "xonsh",
    ".nu": "nu",
}


@dataclass(frozen=True, slots=True)
class ActivationScript:
    """One script that ``conda activate`` sources. ``path`` is prefix-relative; ``shell``: posix, cmd, powershell ..."""

    path: str
    shell: str
    text: str


def requested_specs(files: Files) -> tuple[str, ...]:
    """Specs that the history says the user asked for and did not remove since, by project name, in the order asked."""
    text = (read_bytes(files, "conda-meta/history") or b"").decode("utf-8", "replace")
    asked: dict[str, str] = {}
    for line in text.splitlines():
        match = _SPECS.match(line)
        if match is None:
            continue
        for spec in _literal(match["list"]):
            name = re.split(r"[\s=<>!~\[]", spec.rpartition("::")[2], maxsplit=1)[0].lower()
            asked.pop(name, None)
            if match["action"] not in ("remove", "neutered"):
                asked[name] = spec
    return tuple(asked.values())


def _literal(text: str) -> tuple[str, ...]:
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, (list, tuple)) else ()


def activation_scripts(files: Files) -> Iterator[ActivationScript]:
    """Scripts in ``etc/conda/activate.d``, in the order shells source them (by name)."""
    folder = "etc/conda/activate.d"
    for name in sorted(list_folder(files, folder)):
        shell = _SHELLS.get(posixpath.splitext(name)[1].lower())
        data = read_bytes(files, posixpath.join(folder, name), 1 << 20) if shell else None
        if shell and data is not None:
            yield ActivationScript(posixpath.join(folder, name), shell, data.decode("utf-8", "replace"))


def environment_variables(files: Files) -> Mapping[str, str]:
    """Variables that activation sets from data: packages' ``env_vars.d/*.json``, then ``conda env config vars``."""
    out: dict[str, str] = {}
    folder = "etc/conda/env_vars.d"
    for name in sorted(list_folder(files, folder)):
        if name.endswith(".json"):
            out |= _variables(_json(read_bytes(files, posixpath.join(folder, name))))
    state = _json(read_bytes(files, "conda-meta/state"))
    return out | _variables(state.get("env_vars") if isinstance(state, dict) else None)


def _json(data: bytes | None) -> Any:
    try:
        return msgspec.json.decode(data) if data else None
    except msgspec.MsgspecError:
        return None


def _variables(value: Any) -> dict[str, str]:
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}
