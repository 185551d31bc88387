"""A machine's part in a judgement as one small file: written by ``abicheck snapshot --host``, read by ``--host FILE``.

It holds what loaders ask of a host: versions, the sonames that its loader would find with the version nodes they
define, the CPU level. Symbols are not kept: a library that is listed is believed to have what its nodes promise."""

from __future__ import annotations

from typing import Literal

import msgspec

from abicheck.binary.elf import ElfSlice
from abicheck.binary.reading import read_binary
from abicheck.binary.source import DiskSource
from abicheck.errors import BinaryError, InputError
from abicheck.host import Host, this_machine, this_platform

FORMAT = "abicheck-host"
VERSION = 1


class HostFile(msgspec.Struct, frozen=True):
    """The document. ``libraries``: soname to version nodes, sorted; a library without nodes has an empty list."""

    format: str
    version: int
    platform: str
    libc: Literal["glibc", "musl", ""] = ""
    glibc: tuple[int, ...] | None = None
    macos: tuple[int, ...] | None = None
    windows: int | None = None
    cpu_level: int | None = None
    libraries: dict[str, list[str]] = {}


def describe_this_machine() -> bytes:
    """This machine as a host file. Raises ``InputError`` on a machine that conda has no platform for."""
    platform = this_platform()
    if not platform:
        raise InputError("host-not-supported", "this machine is of no platform that conda knows", "")
    host = this_machine(platform)
    found: dict[str, set[str]] = {}
    for soname, entries in host.cache.items():
        for entry in entries:
            found.setdefault(soname, set()).update(_nodes(entry.path))
    document = HostFile(
        FORMAT, VERSION, platform, host.libc, host.glibc, host.macos, host.windows_build, host.cpu_level,
        {name: sorted(nodes) for name, nodes in sorted(found.items())},
    )  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _nodes(path: str) -> list[str]:
    """Version nodes that a library defines; none for a file that cannot be read (it is listed all the same)."""
    try:
        with DiskSource(path) as source:
            binary = read_binary(source)
    except (OSError, BinaryError):
        return []
    part = binary.slices[0] if binary is not None else None
    return [d.name for d in part.verdef] if isinstance(part, ElfSlice) else []


def read_host_file(path: str, subdir: str) -> Host:
    """The host a file describes. Raises ``InputError``: not a host file, or one of another platform."""
    hint = "write one on the machine where the environment will run: abicheck snapshot --host -o FILE"
    try:
        with open(path, "rb") as f:
            document = msgspec.json.decode(f.read(64 << 20), type=HostFile)
    except (OSError, msgspec.MsgspecError, RecursionError) as e:
        raise InputError("not-a-host-file", f"{path} does not describe a host: {e}", hint) from e
    if document.format != FORMAT or document.version != VERSION:
        raise InputError("not-a-host-file", f"{path} does not describe a host in a form that is known", hint)
    if document.platform != subdir:
        raise InputError(
            "host-of-another-platform", f"{path} describes a {document.platform} host; the prefix is {subdir}", hint
        )
    return Host(
        "file", f"the file {path.replace(chr(92), '/').rpartition('/')[2]}", subdir, complete=True,
        libc=document.libc, glibc=document.glibc, macos=document.macos, windows_build=document.windows,
        cpu_level=document.cpu_level, provides={n: frozenset(v) for n, v in document.libraries.items()},
    )  # fmt: skip
