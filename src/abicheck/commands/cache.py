"""``abicheck cache``: where facts of files are kept, how much there is, and how to be rid of it.

The folder is the configuration's ``cache-dir``, else the user's cache folder of the operating system. Only a folder
that says of itself that it is a cache (``CACHEDIR.TAG``) or is the default one is ever cleared.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from abicheck.cache import TAG, count, default_directory
from abicheck.commands import Flags
from abicheck.commands.console import Console
from abicheck.config import Config, load
from abicheck.errors import UsageError


def directory(config: Config) -> str:
    """The folder that holds the facts, whether it exists or not."""
    return config.get("cache-dir") or default_directory()


def cache(action: str, flags: Flags, console: Console) -> int:
    """``dir``: print the folder. ``info``: and how many files and bytes it holds. ``clear``: remove what it holds."""
    where = directory(load(os.getcwd(), file=flags.config, no_config=flags.no_config, given=flags.settings))
    if action == "dir":
        console.write(where + "\n")
        return 0
    files, size = measure(where)
    if action == "info":
        console.write(f"{where}\n{count(where)} answers about files; {_files(files)}, {size / 1e6:.1f} MB\n")
        return 0
    if files and where != default_directory() and not Path(where, TAG).is_file():
        raise UsageError(
            "not-a-cache", f"{where} does not say that it is a cache", f"remove it yourself: rm -r {where}"
        )
    if os.path.isdir(where):
        shutil.rmtree(where)
    console.say(f"removed {_files(files)}, {size / 1e6:.1f} MB from {where}")
    return 0


def measure(where: str) -> tuple[int, int]:
    """Number and total size of the files below a folder; (0, 0) when there is none."""
    files = size = 0
    for folder, _, names in os.walk(where):
        for name in names:
            try:
                size += os.lstat(Path(folder, name)).st_size
            except FileNotFoundError:
                continue  # another run tidied up meanwhile
            files += 1
    return files, size


def _files(n: int) -> str:
    return f"{n} file" if n == 1 else f"{n} files"
