"""Pick the reader for a file by its first bytes (never by its suffix) and give its facts.

A format is one module of this package that defines ``claims(head: bytes) -> bool`` (``head``: the first 64 bytes)
and ``read(source: ByteSource) -> Binary`` (raises ``BinaryError``). They are found by looking, so that adding one
touches no other file.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import abicheck.binary as package
from abicheck.binary.facts import Binary
from abicheck.binary.source import ByteSource, DiskSource

HEAD = 64


@dataclass(frozen=True, slots=True)
class Reader:
    name: str
    claims: Callable[[bytes], bool]
    read: Callable[[ByteSource], Binary]


@functools.cache
def readers() -> tuple[Reader, ...]:
    """All formats, by module name."""
    modules = (
        importlib.import_module(f"{package.__name__}.{m.name}")
        for m in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name)
    )
    return tuple(Reader(m.__name__.rpartition(".")[2], m.claims, m.read) for m in modules if hasattr(m, "claims"))


def is_binary(head: bytes) -> bool:
    """Whether a file that starts so is of a format we read. ``head``: its first 64 bytes, fewer if it is shorter."""
    return any(r.claims(head) for r in readers())


def read_binary(source: ByteSource) -> Binary | None:
    """Facts of one file; None when its first bytes are of no format we read.

    Raises ``BinaryError`` when the file is not what they promise, ``OSError`` when it cannot be read.
    """
    try:
        head = source.pread(0, HEAD)
        reader = next((r for r in readers() if r.claims(head)), None)
        return reader.read(source) if reader else None
    finally:
        if isinstance(source, DiskSource):
            source.close()  # facts may keep the source; they must not keep its descriptor
