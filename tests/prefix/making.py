"""Prefixes made to order in a temporary folder: records, files, distributions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.wheel.making import metadata, record

PYTHON_FILES = {
    "linux-64": (
        "bin/python",
        "bin/python3",
        "bin/python3.12",
        "lib/python3.12/os.py",
        "lib/python3.12/_sysconfigdata__linux_x86_64-linux-gnu.py",
        "lib/python3.12/lib-dynload/_ctypes.cpython-312-x86_64-linux-gnu.so",
    ),
    "win-64": ("python.exe", "python312.dll", "python3.dll", "Lib/os.py", "DLLs/_ctypes.pyd"),
    "osx-arm64": ("bin/python3.12", "lib/python3.12/lib-dynload/_ctypes.cpython-312-darwin.so"),
}


class Maker:
    """Writes one prefix. ``site``: where its pure packages go."""

    def __init__(self, root: Path, subdir: str = "linux-64", site: str | None = None) -> None:
        self.root = root
        self.subdir = subdir
        self.site = site or ("Lib/site-packages" if subdir.startswith("win") else "lib/python3.12/site-packages")
        (root / "conda-meta").mkdir(parents=True)
        (root / "conda-meta" / "history").write_text("")

    def write(self, path: str, data: bytes = b"") -> str:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)
        return path

    def record(self, name: str, version: str = "1.0", files: Mapping[str, bytes] | None = None, **fields: Any) -> None:
        """A conda package: its files are written and recorded with their hashes."""
        rows = []
        for path, data in (files or {}).items():
            self.write(path, data)
            digest = hashlib.sha256(data).hexdigest()
            rows.append({"_path": path, "path_type": "hardlink", "sha256": digest, "sha256_in_prefix": digest,
                         "size_in_bytes": len(data)})  # fmt: skip
        whole = {
            "name": name, "version": version, "build": "h0_0", "build_number": 0, "subdir": self.subdir,
            "channel": f"https://conda.example/conda-forge/{self.subdir}", "depends": [], "constrains": [],
            "files": list(files or {}), "paths_data": {"paths": rows, "paths_version": 1},
        } | fields  # fmt: skip
        self.raw(f"{name}-{version}-{whole['build']}", whole)

    def raw(self, stem: str, value: Any) -> None:
        (self.root / "conda-meta" / f"{stem}.json").write_text(json.dumps(value))

    def python(self, version: str = "3.12.4", build: str = "h0_0_cpython", **fields: Any) -> None:
        files = dict.fromkeys(PYTHON_FILES[self.subdir], b"x" * 2000)
        sysconfig = "lib/python3.12/_sysconfigdata__linux_x86_64-linux-gnu.py"
        if sysconfig in files:
            files[sysconfig] = b"build_time_vars = {'SOABI': 'cpython-312-x86_64-linux-gnu', 'Py_DEBUG': 0}\n"
        self.record("python", version, files, build=build, **fields)

    def distribution(
        self,
        name: str,
        version: str = "1.0",
        files: Mapping[str, bytes] | None = None,
        *,
        installer: str = "conda",
        requires: Sequence[str] = (),
        entry_points: str = "",
        with_record: bool = True,
    ) -> dict[str, bytes]:
        """The files of an installed distribution (paths in ``files`` are relative to site-packages). For conda's, give
        the result to :meth:`record`; for pip's, to :meth:`place`."""
        info = f"{name}-{version}.dist-info"
        inside = dict(files or {})
        inside[f"{info}/METADATA"] = metadata(name, version, requires)
        inside[f"{info}/INSTALLER"] = f"{installer}\n".encode()
        if entry_points:
            inside[f"{info}/entry_points.txt"] = entry_points.encode()
        if with_record:
            inside[f"{info}/RECORD"] = record(inside, f"{info}/RECORD")
        out = {}
        for path, data in inside.items():
            depth = 0
            while path.startswith("../"):
                path, depth = path[3:], depth + 1
            parts = self.site.split("/")[: -depth or None] if depth < len(self.site.split("/")) else []
            out["/".join([*parts, path])] = data
        return out

    def conda_distribution(
        self, name: str, version: str = "1.0", files: Mapping[str, bytes] | None = None, **fields: Any
    ) -> None:
        keys = ("requires", "entry_points", "with_record", "installer")
        own = {k: fields.pop(k) for k in keys if k in fields}
        self.record(name, version, self.distribution(name, version, files, **own), **fields)

    def pip_distribution(
        self, name: str, version: str = "1.0", files: Mapping[str, bytes] | None = None, **own: Any
    ) -> None:
        for path, data in self.distribution(name, version, files, installer="pip", **own).items():
            self.write(path, data)
