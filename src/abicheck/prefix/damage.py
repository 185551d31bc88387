"""Files of a prefix that are not what conda linked: altered, cut, overwritten by pip, gone. By hash, from the records.

Looked at are native files (by name) and whatever a distribution that conda did not install also lists; conda packages
change text files of their own after linking (caches, compiled Python), so the rest proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from abicheck.binary.recall import digest
from abicheck.prefix.distributions import Distribution
from abicheck.prefix.files import resolve
from abicheck.prefix.records import CondaRecord, PathInfo
from abicheck.trees import Entry

if TYPE_CHECKING:
    from abicheck.prefix.reading import Prefix

NATIVE = re.compile(r"(\.so(\.[0-9A-Za-z_]+)*|\.dylib|\.dll|\.pyd)$", re.IGNORECASE)
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v\d+\s+oid sha256:([0-9a-f]{64})")
LARGE = 4 << 20  # what copies through version control leave out
SIGNATURE = 65536  # a Mach-O file grows by about this much when it is signed again

Kind = Literal["by-pip", "by-conda", "cut", "resigned", "changed", "hollowed", "absent"]


@dataclass(frozen=True, slots=True)
class Damaged:
    """One file that is not as recorded.

    ``kind``: by-pip (a distribution's RECORD lists it too and its content is not conda's), by-conda (its content is
    that of only one of the records that list it), cut (shorter than recorded), resigned (a Mach-O signed again),
    changed, hollowed (gone, and the package's distribution was replaced by pip), absent. ``size``: bytes there, -1 when
    absent; ``expected``: bytes recorded, -1 when not known.
    """

    path: str
    kind: Kind
    records: tuple[CondaRecord, ...]
    dist: Distribution | None = None
    size: int = -1
    expected: int = -1


def find_damage(prefix: Prefix) -> tuple[Damaged, ...]:
    """All damaged files by path. Hashes every native file once."""
    return tuple(d for path, owners in sorted(prefix.owned()) if (d := _judge(prefix, path, owners)) is not None)


def damage_of(prefix: Prefix, path: str) -> Damaged | None:
    """What is wrong with one file that conda packages list; None when nothing is, or none lists it. Hashes the file."""
    owners = prefix.owners(path)
    return _judge(prefix, path, owners) if owners else None


def is_partial_copy(prefix: Prefix, found: tuple[Damaged, ...]) -> bool:
    """Whether absent files were left out when the environment was copied: its interpreter is not there either, or all
    of them are large (version control leaves such files out)."""
    absent = [d for d in found if d.kind == "absent"]
    no_interpreter = prefix.interpreter is not None and not prefix.interpreter.present
    return bool(absent) and (no_interpreter or all(d.expected >= LARGE for d in absent if d.expected >= 0))


def _judge(prefix: Prefix, path: str, owners: tuple[CondaRecord, ...]) -> Damaged | None:
    dist = prefix.pip_owner(path)
    if NATIVE.search(path) is None and dist is None:
        return None
    infos = [(o, info) for o in owners if (info := o.paths.get(_listed_as(o, prefix, path))) is not None]
    at = prefix.existing(prefix.real_parent(path))
    if at is None or prefix.is_link(at):
        return _missing(prefix, path, owners, infos, dist) if at is None else None
    node = resolve(prefix.files, at).node
    if node is None or node.kind != "file":
        return None
    known = [(o, info) for o, info in infos if info.expected]
    content, size = content_hash(node)
    if not known or content is None:
        return None
    hits = [info.expected == content for _, info in known]
    if all(hits):
        return None
    recorded = known[0][1].size
    if any(hits):
        return Damaged(path, "by-conda", owners, dist, size, recorded)
    if dist is not None:
        return Damaged(path, "by-pip", owners, dist, size, recorded)
    if 0 <= size < recorded or size == 0:
        return Damaged(path, "cut", owners, None, size, recorded)
    if path.endswith((".dylib", ".so")) and prefix.subdir.startswith("osx") and _grown(size, recorded):
        return Damaged(path, "resigned", owners, None, size, recorded)
    return Damaged(path, "changed", owners, None, size, recorded)


def _grown(size: int, recorded: int) -> bool:
    return recorded > 0 and 0 <= size - recorded < max(SIGNATURE, size // 4)


def _listed_as(record: CondaRecord, prefix: Prefix, path: str) -> str:
    """The record's own spelling of a path."""
    if path in record.paths or not prefix.fold_case:
        return path
    low = path.lower()
    return next((p for p in record.paths if p.lower() == low), path)


def _missing(
    prefix: Prefix, path: str, owners: tuple[CondaRecord, ...], infos: list[tuple[CondaRecord, PathInfo]],
    dist: Distribution | None,
) -> Damaged | None:  # fmt: skip
    """A recorded file that is not there. What pip's RECORD says of it tells whose it was before it was left out."""
    size = next((info.size for _, info in infos), -1)
    if dist is not None:
        row = dist.rows.get(path)
        expected = {info.expected for _, info in infos if info.expected}
        if row is not None and row.sha256 and expected and row.sha256 not in expected:
            return Damaged(path, "by-pip", owners, dist, -1, size)
        return None
    if all(info.path_type == "softlink" for _, info in infos) and infos:
        return None
    if any(prefix.is_hollowed(o) and "/site-packages/" in path for o in owners):
        return Damaged(path, "hollowed", owners, None, -1, size)
    return Damaged(path, "absent", owners, None, -1, size)


def content_hash(node: Entry) -> tuple[str | None, int]:
    """sha256 (hex) and size of a file; of a Git LFS pointer, of what it stands for (size -1). None: unreadable."""
    assert node.source is not None
    try:
        source = node.source()
        if node.size <= 1024:
            pointer = _POINTER.match(source.pread(0, 512))
            if pointer:
                return pointer[1].decode(), -1
        return digest(source), node.size
    except OSError:
        return None, -1


def both_claim(prefix: Prefix) -> Iterator[tuple[str, tuple[Distribution, ...]]]:
    """Native paths that more than one distribution of pip's lists."""
    seen: dict[str, tuple[str, dict[str, Distribution]]] = {}
    for dist in prefix.distributions:
        if not dist.by_conda:
            for path in dist.files:
                if NATIVE.search(path):
                    seen.setdefault(prefix.key(path), (path, {}))[1][dist.name] = dist
    for _, (path, dists) in sorted(seen.items()):
        if len(dists) > 1:
            yield path, tuple(dists.values())
