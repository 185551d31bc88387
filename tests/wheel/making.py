"""Wheels made to order: small, valid unless asked otherwise."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ELF = b"\x7fELF\x02\x01\x01" + bytes(57)


def metadata(name: str, version: str, requires: Sequence[str] = (), extras: Sequence[str] = ()) -> bytes:
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    lines += [f"Requires-Dist: {r}" for r in requires] + [f"Provides-Extra: {e}" for e in extras]
    return ("\n".join(lines) + "\n").encode()


def record(files: Mapping[str, bytes], own: str) -> bytes:
    rows = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(data)}")
    return ("\n".join([*rows, f"{own},,"]) + "\n").encode()


def make_wheel(
    folder: Path,
    name: str = "toy",
    version: str = "1.0",
    files: Mapping[str, bytes] | None = None,
    *,
    tag: str = "cp311-cp311-linux_x86_64",
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    purelib: bool = False,
    entry_points: str = "",
    compression: int = zipfile.ZIP_DEFLATED,
    raw: Sequence[tuple[zipfile.ZipInfo | str, bytes]] = (),
    with_record: bool = True,
) -> Path:
    """A wheel in ``folder``. ``raw`` members are appended after RECORD was made, as they are."""
    info = f"{name}-{version}.dist-info"
    wheel = f"Wheel-Version: 1.0\nGenerator: toys\nRoot-Is-Purelib: {str(purelib).lower()}\nTag: {tag}\n"
    inside = dict(files or {})
    inside[f"{info}/METADATA"] = metadata(name, version, requires, extras)
    inside[f"{info}/WHEEL"] = wheel.encode()
    if entry_points:
        inside[f"{info}/entry_points.txt"] = entry_points.encode()
    if with_record:
        inside[f"{info}/RECORD"] = record(inside, f"{info}/RECORD")
    path = folder / f"{name}-{version}-{tag}.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as z:
        for member, data in inside.items():
            z.writestr(member, data)
        for entry, data in raw:
            z.writestr(entry, data)
    return path
