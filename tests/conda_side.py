"""Pytest fixtures that give a test a real conda prefix: a channel, installed prefixes, real wheels.

Everything lies in the work folder (``ABICHECK_WORK``, default ``.work``), built again only when its inputs change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fixtures.channel import build_channel, full_is_possible
from fixtures.download import PIP_ENVIRONMENT, DownloadError, download
from fixtures.prefix import install
from fixtures.work import default_work, fingerprint, is_current, locked
from tests.requirements import need, not_run


@dataclass(frozen=True)
class Channel:
    """A conda channel on disk. ``mode`` is ``full`` (Debian's libraries) or ``pip`` (see fixtures/channel.py)."""

    path: Path
    mode: str

    @property
    def home(self) -> Path:
        return self.path.parent


MakePrefix = Callable[..., Path]
Wheels = Callable[..., list[Path]]


@pytest.fixture(scope="session")
def work() -> Path:
    return default_work()


def _channel(work: Path, mode: str) -> Channel:
    need("glibc", "rattler", "patchelf", "network")
    return Channel(build_channel(work, mode), mode)


@pytest.fixture(scope="session")
def channel(work: Path) -> Channel:
    """The richest channel this machine can build."""
    return _channel(work, "full" if full_is_possible() else "pip")


@pytest.fixture(scope="session")
def full_channel(work: Path) -> Channel:
    """The channel with Debian's libraries and extension modules; tests that use it need apt-get and gcc."""
    need("apt", "gcc", "static-libpython", "cpython-3.11", "x86_64")
    return _channel(work, "full")


def build_prefix(channel: Channel, name: str, specs: Sequence[str], wheels: Sequence[Path] = ()) -> Path:
    """``specs`` installed by the conda client, then ``wheels`` by the prefix's own pip. Kept while nothing changes."""
    prefix = channel.home / "prefixes" / name
    stamp = channel.home / "prefixes" / f"{name}.stamp"
    wanted = fingerprint(channel.mode, specs, [w.name for w in wheels])
    with locked(channel.home / "prefixes", name):
        if not is_current(stamp, wanted):
            shutil.rmtree(prefix, ignore_errors=True)
            install(channel.path, prefix, specs)
            if wheels:
                pip_install(prefix, wheels)
            stamp.write_text(wanted)
    return prefix


def pip_install(prefix: Path, wheels: Sequence[Path], *options: str) -> None:
    """Let the prefix's own pip install wheel files; nothing else is fetched."""
    command = [str(prefix / "bin" / "python"), "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    environment = {**os.environ, **PIP_ENVIRONMENT, "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [*command, *options, *map(str, wheels)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def make_prefix(full_channel: Channel) -> MakePrefix:
    """``make_prefix(name, specs, wheels=())``: a prefix from the full channel."""

    def make(name: str, specs: Sequence[str], wheels: Sequence[Path] = ()) -> Path:
        return build_prefix(full_channel, name, specs, wheels)

    return make


@pytest.fixture(scope="session")
def wheels(work: Path) -> Wheels:
    """``wheels("name==version", ..., options=())``: paths of wheels for the running Python, downloaded once."""

    def fetch(*requirements: str, options: Sequence[str] = ()) -> list[Path]:
        need("network")
        try:
            return [download(work / "wheels", r, *options) for r in requirements]
        except DownloadError as e:
            not_run(f"needs a wheel that the registry does not give: {e}")
            raise

    return fetch
