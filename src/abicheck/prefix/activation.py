"""What ``conda activate`` would set: activate.d, env_vars.d, conda-meta/state. Read as data, never run."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from abicheck.prefix.files import Files, list_folder, read_bytes

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
    except (msgspec.MsgspecError, RecursionError):
        return None


def _variables(value: Any) -> dict[str, str]:
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}
