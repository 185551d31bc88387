"""Every way in which judging may read one file of an environment, so that a snapshot keeps what each of them needs.

A reader of tables leaves the windows it asked for; a question about the whole file leaves its answer
(:mod:`abicheck.binary.recall`). Readers decode lazily, so every attribute of every slice is asked for.
"""

from __future__ import annotations

import functools
import inspect
import posixpath
import re
from collections.abc import Callable

from abicheck.binary.facts import Binary
from abicheck.binary.reading import HEAD, is_binary, read_binary
from abicheck.binary.source import ByteSource
from abicheck.errors import BinaryError
from abicheck.evidence.bound_types import bound_types
from abicheck.evidence.cython_api import cython_api
from abicheck.evidence.embedded import banner_version, embedded
from abicheck.evidence.extensions import shared
from abicheck.evidence.first_objects import first_objects
from abicheck.evidence.numpy_api import numpy_api
from abicheck.evidence.proj_database import proj_layout
from abicheck.evidence.type_objects import type_objects
from abicheck.import_effects.extension_names import names_in
from abicheck.knowledge.data_directories import directories
from abicheck.knowledge.runtimes import families, member
from abicheck.prefix import Prefix, Written, write_snapshot

_EXTENSION = re.compile(r"\.(so|pyd)$")


def snapshot(prefix: Prefix, path: str, *, host: bytes | None = None) -> Written:
    """Write a snapshot of a prefix. Raises ``InputError``."""
    bare = bare_names(prefix)
    return write_snapshot(prefix, path, examine=lambda s: examine(s, bare), also=is_examined_data, host=host)


def is_examined_data(path: str) -> bool:
    """Files that are no binaries and about which questions are asked: what tells the layout of a data directory."""
    return posixpath.basename(path) in _markers()


@functools.cache
def _markers() -> frozenset[str]:
    return frozenset(d.marker for d in directories() if d.compare == "proj-layout")


def examine(source: ByteSource, bare: frozenset[str]) -> None:
    """Read one file as every rule may. Raises ``OSError`` when it cannot be read; damaged tables are no error here."""
    if not is_binary(source.pread(0, HEAD)):
        proj_layout(source)
        return
    try:
        binary = read_binary(source)
        if binary is not None:
            touch(binary)
    except BinaryError:
        pass  # the same windows give the same error again
    ask(source, bare)


def touch(binary: Binary) -> None:
    """Make every slice decode everything it can: its properties, and its methods that take nothing."""
    for part in binary.slices:
        for name in dir(type(part)):
            if name.startswith("_"):
                continue
            value = getattr(part, name)
            if inspect.ismethod(value) and not _needs_arguments(value):
                value()


def _needs_arguments(method: Callable[..., object]) -> bool:
    parameters = inspect.signature(method).parameters.values()
    return any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def ask(source: ByteSource, bare: frozenset[str]) -> None:
    """The questions that scan a whole native file. Extension modules are asked what they share and name."""
    found = embedded(source)
    embedded(source, "openmp")
    first_objects(source)
    wanted = {(e.family, e.member) for e in found} | set(_by_name(source.name))
    for family, which in sorted(wanted):
        banner_version(source, member(family, which))
    if _EXTENSION.search(source.name):
        numpy_api(source)
        shared(source)
        cython_api(source)
        type_objects(source)
        bound_types(source)
        names_in(source, bare)


def _by_name(path: str) -> list[tuple[str, str]]:
    """Runtimes whose libraries have a name like this file's: their banners may be asked for."""
    low = posixpath.basename(path).lower()
    return [(f.name, m.name) for f in families() for m in f.members if m.stems.match(low.partition(".")[0])]


def bare_names(prefix: Prefix) -> frozenset[str]:
    """Names that compiled code may import without a dot: modules at the top, and extension modules beside it."""
    layout = prefix.layout
    out: set[str] = set()
    if layout is None:
        return frozenset()
    for folder in (layout.purelib, layout.stdlib, layout.dynload):
        listing = prefix.files.listing(folder) or {}
        out |= {
            n.partition(".")[0]
            for n, node in listing.items()
            if node.kind == "dir" or n.endswith((".py", ".so", ".pyd"))
        }
    todo = [layout.purelib]
    while todo:
        here = todo.pop()
        for name, node in (prefix.files.listing(here) or {}).items():
            if node.kind == "dir":
                todo.append(posixpath.join(here, name))
            elif _EXTENSION.search(name):
                out.add(name.partition(".")[0])
    return frozenset(n for n in out if n.isidentifier())
