"""The files of a .dist-info folder: METADATA, WHEEL, RECORD, entry points. Parsed as pip parses them, judged nowhere.

Used for wheels and for what is installed alike, so it lies below both rooms.
"""

from __future__ import annotations

import base64
import binascii
import csv
import email.parser
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

from packaging.tags import Tag, parse_tag

# The forms a script may take (entry-point specification): name = module[:attribute] [extras]
_SCRIPT = re.compile(
    r"(?P<name>[^\[]\S*)\s*=\s*(?P<module>\w+(?:\.\w+)*)(?::(?P<attribute>\w+(?:\.\w+)*))?\s*(?:\[[^\]]*\])?"
)


@dataclass(frozen=True, slots=True)
class Described:
    """The fields of METADATA that matter here, as written."""

    name: str
    version: str
    requires_python: str
    requires_dist: tuple[str, ...]
    provides_extra: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WheelFile:
    """The WHEEL file. ``tags``: its Tag lines, compressed sets expanded."""

    version: str
    generator: str
    root_is_purelib: bool
    tags: frozenset[Tag]


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One row of RECORD. ``sha256`` in hex, empty when there is none or another algorithm; ``size`` -1 when absent."""

    path: str
    sha256: str
    size: int


def _headers(data: bytes) -> Message:
    return email.parser.HeaderParser().parsestr(data.decode("utf-8", "replace"))


def _one(headers: Message, key: str) -> str:
    value = headers.get(key)
    return "" if value is None else str(value).strip()


def _many(headers: Message, key: str) -> tuple[str, ...]:
    return tuple(" ".join(str(v).split()) for v in headers.get_all(key) or ())


def parse_metadata(data: bytes) -> Described:
    """METADATA or PKG-INFO (RFC 822 headers, UTF-8)."""
    headers = _headers(data)
    return Described(
        _one(headers, "Name"),
        _one(headers, "Version"),
        _one(headers, "Requires-Python"),
        _many(headers, "Requires-Dist"),
        _many(headers, "Provides-Extra"),
    )


def parse_wheel_file(data: bytes) -> WheelFile:
    """The WHEEL file. A Tag line that is none is left out (the file name's tags decide for pip)."""
    headers = _headers(data)
    tags: set[Tag] = set()
    for line in _many(headers, "Tag"):
        if line.count("-") == 2:
            tags |= parse_tag(line)
    return WheelFile(
        _one(headers, "Wheel-Version"),
        _one(headers, "Generator"),
        _one(headers, "Root-Is-Purelib").lower() == "true",
        frozenset(tags),
    )


def parse_record(data: bytes) -> tuple[RecordRow, ...]:
    """Rows of a RECORD file (CSV: path, algorithm=digest, size). Never raises; what cannot be understood is empty."""
    text = data.decode("utf-8", "replace")
    rows: list[RecordRow] = []
    reader = csv.reader(io.StringIO(text, newline=""))
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return tuple(rows)
        except csv.Error:
            continue
        if not cells or not cells[0]:
            continue
        digest = cells[1] if len(cells) > 1 else ""
        size = cells[2].strip() if len(cells) > 2 else ""
        rows.append(RecordRow(cells[0], _hex(digest), int(size) if size.isascii() and size.isdigit() else -1))


def _hex(digest: str) -> str:
    algorithm, _, value = digest.partition("=")
    if algorithm.lower() != "sha256" or not value:
        return ""
    try:
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (binascii.Error, ValueError):
        return ""
    return raw.hex() if len(raw) == 32 else ""


def parse_entry_points(data: bytes) -> Mapping[str, Mapping[str, str]]:
    """Groups of entry_points.txt: group -> name -> value, in file order; lines as ``importlib.metadata`` reads them."""
    groups: dict[str, dict[str, str]] = {}
    group = ""
    for raw in data.decode("utf-8", "replace").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
            groups.setdefault(group, {})
        elif group and "=" in line:
            name, _, value = line.partition("=")
            groups[group][name.strip()] = value.strip()
    return groups


def script_name(name: str, value: str) -> str | None:
    """The file name pip's script maker gives one entry point; None when it refuses it (no callable, odd form)."""
    match = _SCRIPT.search(f"{name} = {value}")
    if match is None or match["attribute"] is None:
        return None
    return match["name"].strip()
