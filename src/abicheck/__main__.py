"""``abicheck``, ``conda-abicheck`` and ``python -m abicheck``: the quick answers, and the word that may be left out."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = ("check", "audit", "trace", "inspect", "snapshot", "rules", "explain", "cache", "config")
# Options of the program itself; anything else in first place belongs to ``check``.
_OWN = ("-h", "--help", "--install-completion", "--show-completion")
_PARSERS = ("pyelftools", "macholib", "pefile")


def main(argv: Sequence[str] | None = None, program: str = "") -> None:
    """Run the program and end the process with its status. ``program``: what help calls it, when not as started."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given in (["--version"], ["-V"]):
        print(version_line())
        return
    # A run makes millions of small records and hardly a cycle: looking for cycles often is a tenth of its time.
    gc.set_threshold(100_000, 50, 100)
    from abicheck.cli import run

    run(with_command(given), program or program_name(sys.argv[0]))


def with_command(given: list[str]) -> list[str]:
    """The arguments with ``check`` in front when they do not begin with a command."""
    if not given or given[0] in COMMANDS or given[0].partition("=")[0] in _OWN:
        return given
    return ["check", *given]


def program_name(called: str) -> str:
    """What help and hints call the program."""
    base = os.path.basename(called)
    if base == "__main__.py":
        return "python -m abicheck"
    return base.removesuffix(".exe") or "abicheck"


def version_line() -> str:
    """``abicheck 0.1.0 (Python 3.12.4; pyelftools 0.33, macholib 1.16.4, pefile 2024.8.26)``."""
    from abicheck import __version__

    found = _installed(_PARSERS)
    parsers = ", ".join(f"{name} {found.get(name, 'missing')}" for name in _PARSERS)
    python = ".".join(map(str, sys.version_info[:3]))
    return f"abicheck {__version__} (Python {python}; {parsers})"


def _installed(names: Sequence[str]) -> dict[str, str]:
    """Versions by the names of ``.dist-info`` folders: what importlib.metadata says, without its import time."""
    out: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in entries:
            name, _, version = entry.removesuffix(".dist-info").partition("-")
            if entry.endswith(".dist-info") and name.lower() in names:
                out.setdefault(name.lower(), version)
    return out


if __name__ == "__main__":
    main()
