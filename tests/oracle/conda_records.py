"""conda-meta of a synthetic prefix: who owns which file."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any


class CondaRecords:
    """Collects packages and their files, then writes one record each, with the hashes of what is there."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Any]] = {}

    def own(self, package: str, version: str, path: str) -> None:
        """``path`` (prefix-relative; empty: none) belongs to ``package``; remarks behind both words are dropped."""
        name, number = (re.split(r"[ (]", words)[0] for words in (package, version))
        record = self._records.setdefault(name, {"version": "1.0" if number == "-" else number, "files": []})
        if path and path not in record["files"]:
            record["files"].append(path)

    def write(self, root: Path, subdir: str) -> None:
        """Write ``conda-meta`` below ``root``."""
        meta = root / "conda-meta"
        meta.mkdir()
        (meta / "history").write_text("")
        for name, record in self._records.items():
            stem = f"{name}-{record['version']}-h0_0"
            full = {
                "name": name,
                "version": record["version"],
                "build": "h0_0",
                "build_number": 0,
                "channel": "conda-forge",
                "subdir": subdir,
                "depends": [],
                "constrains": [],
                "files": sorted(record["files"]),
                "paths_data": {"paths_version": 1, "paths": [_path(root, f) for f in sorted(record["files"])]},
                "fn": f"{stem}.conda",
                "requested_spec": "",
            }
            (meta / f"{stem}.json").write_text(json.dumps(full, indent=1))


def _path(root: Path, name: str) -> dict[str, Any]:
    path = root / name
    entry: dict[str, Any] = {"_path": name, "path_type": "softlink" if path.is_symlink() else "hardlink"}
    if path.is_file():
        data = path.read_bytes()
        entry["sha256"] = entry["sha256_in_prefix"] = hashlib.sha256(data).hexdigest()
        entry["size_in_bytes"] = len(data)
    return entry
