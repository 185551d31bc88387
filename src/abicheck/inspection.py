"""The facts of files, as ``inspect-1.schema.json`` prints them: libraries, wheels, conda packages.

No judgement and no prefix: what the readers read, complete and sorted. What cannot be read is named with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from abicheck.binary.facts import Binary, Export, Import, Slice
from abicheck.binary.reading import is_binary, read_binary
from abicheck.binary.source import ByteSource, DiskSource
from abicheck.conda_package import is_conda_package, packed_files
from abicheck.errors import BinaryError, InputError
from abicheck.prefix import is_snapshot, open_snapshot

SCHEMA_VERSION = "1.0"
Row = dict[str, Any]


def inspect_files(paths: Iterable[str]) -> Row:
    """One document about all the files. Raises ``InputError`` when one of them is nothing that can be looked at."""
    files: list[Row] = []
    skipped: list[Row] = []
    for path in dict.fromkeys(paths):
        document = inspect_rows(path)
        files += document["files"]
        skipped += document["skipped"]
    return _document(files, skipped)


def inspect_rows(path: str) -> Row:
    """The document about one file: a library, a wheel, a ``.conda`` or ``.tar.bz2`` package, a snapshot."""
    files: list[Row] = []
    skipped: list[Row] = []
    for row, reason in _rows(path):
        if reason:
            skipped.append({**row, "reason": reason})
        else:
            files.append(row)
    return _document(files, skipped)


def _document(files: list[Row], skipped: list[Row]) -> Row:
    def key(row: Row) -> tuple[str, str]:
        return row["container"] or "", row["path"]

    return {
        "schema_version": SCHEMA_VERSION,
        "files": sorted(files, key=key),
        "skipped": sorted(skipped, key=lambda r: (*key(r), r["reason"])),
    }


def _rows(path: str) -> Iterator[tuple[Row, str]]:
    """(row, "") of each binary, and (its place, why it could not be read) of the others."""
    if os.path.isdir(path):
        raise InputError(
            "not-a-file", f"{path} is a folder.", "name the files in it: wheels, libraries, conda packages"
        )
    if path.endswith(".whl"):
        return _wheel(path)
    if is_conda_package(path):
        return _conda(path)
    if is_snapshot(path):
        return _snapshot(path)
    return iter([_library(path)])


def _library(path: str) -> tuple[Row, str]:
    try:
        with DiskSource(path) as source:
            row, reason = _file(source, path, None)
    except OSError as e:
        raise InputError("unreadable-file", f"{path} cannot be read: {e.strerror or e}.") from e
    if reason is None:
        raise InputError(
            "unknown-file",
            f"{path} is no shared library (ELF, Mach-O, PE), no wheel, no conda package and no snapshot.",
            "`abicheck inspect` takes .whl, .conda, .tar.bz2, library files and snapshots of environments",
        )
    return row, reason


def _wheel(path: str) -> Iterator[tuple[Row, str]]:
    from abicheck.wheel import read_wheel

    wheel = read_wheel(path)
    for member in wheel.natives:
        try:
            row, reason = _file(wheel.source(member), member.name, wheel.filename)
        except OSError as e:
            row, reason = _place(member.name, wheel.filename), f"cannot be read ({e.strerror or e})"
        if reason is not None:
            yield row, reason


def _conda(path: str) -> Iterator[tuple[Row, str]]:
    container = os.path.basename(path)
    for packed in packed_files(path):
        if not is_binary(packed.head):
            continue
        source = packed.open()
        if source is None:
            yield _place(packed.name, container), f"is too large to look at ({packed.size} bytes)"
            continue
        row, reason = _file(source, packed.name, container)
        if reason is not None:
            yield row, reason


def _snapshot(path: str) -> Iterator[tuple[Row, str]]:
    """The native files of the environment that a snapshot pictures, by their paths in it."""
    container = os.path.basename(path)
    for name, opened in open_snapshot(path).excerpts():
        try:
            row, reason = _file(opened(), name, container)
        except OSError as e:
            row, reason = _place(name, container), f"cannot be read ({e.strerror or e})"
        if reason is not None:
            yield row, reason


def _file(source: ByteSource, path: str, container: str | None) -> tuple[Row, str | None]:
    """(row of one file, ""); (its place, the reason) when it is damaged; (its place, None) when it is no binary."""
    place = _place(path, container)
    try:
        binary = read_binary(source)
        if binary is None:
            return place, None
        return {**place, **_binary(binary)}, ""
    except BinaryError as e:
        return place, e.problem


def _place(path: str, container: str | None) -> Row:
    return {"path": _text(path), "container": _text(container)}


def _binary(binary: Binary) -> Row:
    rows = [_slice(s) for s in binary.slices]
    return {"format": binary.format, "slices": sorted(rows, key=lambda s: str(s["arch"]))}


def _slice(s: Slice) -> Row:
    return {
        "arch": s.arch,
        "identity": _text(s.identity),
        "needs": [{"name": _text(n.name), "kind": n.kind} for n in s.needs],
        "rpath": [_text(r) for r in s.rpath],
        "runpath": [_text(r) for r in s.runpath],
        "flags": sorted(s.flags),
        "floors": dict(sorted(s.floors.items())),
        "imports": [_import(i) for i in sorted(s.imports(), key=_import_key)],
        "exports": [_export(e) for e in sorted(s.exports(), key=_export_key)],
    }


def _import_key(i: Import) -> tuple[bool, str, str, str, int, bool]:
    return i.name is None, i.name or "", i.version or "", i.library or "", i.ordinal or 0, i.weak


def _export_key(e: Export) -> tuple[bool, str, str, int, bool]:
    return e.name is None, e.name or "", e.version or "", e.ordinal or 0, e.default


def _import(i: Import) -> Row:
    row = {"name": _text(i.name), "version": _text(i.version), "library": _text(i.library), "weak": i.weak}
    return row if i.ordinal is None else {**row, "ordinal": i.ordinal}


def _export(e: Export) -> Row:
    row: Row = {
        "name": _text(e.name),
        "version": _text(e.version),
        "default": e.default,
        "binding": e.binding,
        "type": e.type,
    }
    more: Mapping[str, Any] = {"ordinal": e.ordinal, "forward": _text(e.forward)}
    return {**row, **{k: v for k, v in more.items() if v is not None}}


def _text(text: str | None) -> str | None:
    """Text that any JSON writer takes: bytes that are no UTF-8 become ``\\xNN``."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
