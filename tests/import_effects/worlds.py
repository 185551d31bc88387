"""Small environments in memory for the tests of import_effects."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from abicheck.import_effects import Effect, ImportContext, derive
from abicheck.overlay import View
from abicheck.trees import MemoryTree, bytes_entry

PREFIX = "/p"
SITE = "/p/lib/python3.12/site-packages"
STDLIB = "/p/lib/python3.12"
SUFFIXES = {
    "linux": (".cpython-312-x86_64-linux-gnu.so", ".abi3.so", ".so"),
    "osx": (".cpython-312-darwin.so", ".abi3.so", ".so"),
    "win": (".cp312-win_amd64.pyd", ".pyd"),
}


def world(files: Mapping[str, str | bytes], platform: str = "linux-64", **more: object) -> ImportContext:
    """An interpreter (3.12) of ``platform`` whose files are ``files``: a path that does not begin with ``/`` lies in
    site-packages; text is dedented."""
    entries = {}
    for name, content in files.items():
        path = name if name.startswith("/") else f"{SITE}/{name}"
        data = textwrap.dedent(content).encode() if isinstance(content, str) else content
        entries[path] = bytes_entry(path, data)
    entries.setdefault(f"{STDLIB}/lib-dynload/README", bytes_entry("README", b""))
    entries.setdefault(f"{SITE}/README.txt", bytes_entry("README.txt", b""))
    system = platform.partition("-")[0]
    return ImportContext(
        View(PREFIX, MemoryTree(entries), lambda _: None, fold_case=system != "linux"),
        platform,
        (3, 12),
        (SITE,),
        STDLIB,
        f"{STDLIB}/lib-dynload",
        SUFFIXES[system],
        **more,  # type: ignore[arg-type]
    )


def effects(
    files: Mapping[str, str | bytes], module: str = "pkg", platform: str = "linux-64", **more: object
) -> list[Effect]:
    return derive(world(files, platform, **more), module)


def short(found: list[Effect]) -> list[tuple[str, str, bool]]:
    """(kind, path below site-packages or name, certain) of each effect."""
    return [(e.kind, e.path.removeprefix(SITE + "/") or e.name, e.certain) for e in found]


def loads(found: list[Effect], *, certain: bool | None = None) -> list[str]:
    """What is opened, in order: paths below site-packages, or bare names."""
    return [
        e.path.removeprefix(SITE + "/") or e.name
        for e in found
        if e.kind in ("extension", "dlopen") and certain in (None, e.certain)
    ]
