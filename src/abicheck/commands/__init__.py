"""What each command does, without a word about how its options are written. ``cli`` and ``conda_plugin`` call these.

Every command is a function of its :class:`Flags` and a ``Console`` and returns the exit status; all of them run inside
:func:`abicheck.commands.console.guarded`, which turns errors into messages and statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line said. None or empty: not given. ``settings`` maps configuration keys to given values."""

    prefix: str | None = None
    name: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    env: tuple[str, ...] = ()
    resolve: bool = False
    config: str | None = None
    no_config: bool = False
    write_baseline: str | None = None
    today: str | None = None
    verbosity: int = 0
