"""Are two files builds of one library, and does it matter which of them serves? Shared by ABI103, 104, 203 and 204."""

from __future__ import annotations

import re
from dataclasses import dataclass

from abicheck.binary.macho import MachoSlice
from abicheck.binary.pe import PeSlice
from abicheck.binary.recall import digest
from abicheck.host import version_key
from abicheck.knowledge.library_names import stem
from abicheck.knowledge.minor_checked import MinorChecked, minor_checked
from abicheck.knowledge.upward_compatible import is_upward_compatible
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base

_MANGLED = re.compile(r"_Z|\?")


@dataclass(frozen=True, slots=True)
class Twins:
    """Two files compared. ``same_library``: one name once mangling is undone; ``same_version``: both say the same full
    version; ``same_content``: nothing can differ; ``upward``: newer builds serve older users by contract."""

    same_library: bool
    same_version: bool
    same_content: bool
    upward: bool


def compare(scene: Scene, a: str, b: str) -> Twins:
    """Compare two real paths by name, identity and content (build id, then size and tables)."""
    left, right = stem(_name(scene, a)).name, stem(_name(scene, b)).name
    versions = _version(scene, a), _version(scene, b)
    return Twins(
        left == right,
        bool(versions[0]) and versions[0] == versions[1],
        _same_content(scene, a, b),
        is_upward_compatible(left),
    )


def _version(scene: Scene, path: str) -> str:
    """The fullest version a file gives of itself: dylib current version, version resource, or its name's numbers."""
    part = scene.slice(path)
    if isinstance(part, MachoSlice):
        current = part.versions[1]
        if current:
            return f"{current >> 16}.{current >> 8 & 255}.{current & 255}"
    if isinstance(part, PeSlice) and part.file_version:
        return ".".join(map(str, part.file_version))
    version = stem(base(path)).version
    return version if "." in version else ""


def _name(scene: Scene, path: str) -> str:
    part = scene.slice(path)
    return base(part.identity) if part is not None and part.identity else base(path)


def _same_content(scene: Scene, a: str, b: str) -> bool:
    left, right = scene.view.lookup(a), scene.view.lookup(b)
    if left.entry is None or right.entry is None:
        return False
    if left.entry.ident == right.entry.ident:
        return True
    ids = [getattr(scene.slice(path), "build_id", None) for path in (a, b)]
    if ids[0] and ids[1]:
        return bool(ids[0] == ids[1])
    if left.entry.size != right.entry.size or left.entry.source is None or right.entry.source is None:
        return False
    return _equal_bytes(scene, a, b)


def _equal_bytes(scene: Scene, a: str, b: str) -> bool:
    """Whether two files hold the same bytes; files that cannot be read are not taken to be equal."""
    one = scene.view.ask(a, digest)
    return one is not None and one == scene.view.ask(b, digest)


def is_cxx(symbol: str) -> bool:
    """Whether a symbol is a mangled C++ name, whose meaning depends on class layouts that no soname promises."""
    return bool(_MANGLED.match(symbol))


def older_than_checked(scene: Scene, before: str, after: str) -> str | None:
    """What follows, in one sentence, when the file that serves is an older release of a library whose users compare
    releases when they run; None for other libraries, and where a release is not known."""
    row = minor_checked(stem(_name(scene, before)).name)
    if row is None:
        return None
    own, other = _release(scene, row, before), _release(scene, row, after)
    if not own or not other or version_key(other)[:3] >= version_key(own)[:3]:
        return None
    return f"{other} serves instead of {own}: {row.refuses}"


def _release(scene: Scene, row: MinorChecked, path: str) -> str:
    origin = scene.view.origin(scene.view.lookup(path).real)
    return _version(scene, path) or (origin.version if row.is_of(origin.name) else "")
