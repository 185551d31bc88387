"""Two resources of a PE file that decide something: the version block and the side-by-side manifest.

The loader does not read resources to map a file (except the manifest, WIN-15), so a broken resource tree does not make
the file unreadable: it is reported as such and the two facts are unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import error, unpack_from

from abicheck.binary.pe_image import Image
from abicheck.errors import BinaryError

RESOURCE_DIRECTORY = 2
RT_VERSION, RT_MANIFEST = 16, 24
SUBDIRECTORY = 1 << 31
MAX_ENTRIES = 512
MAX_RESOURCE = 1 << 20
FIXED_INFO = b"\xbd\x04\xef\xfe"

_DEPENDENT = re.compile(r"<(?:\w+:)?dependentAssembly\b(.{0,4000}?)</(?:\w+:)?dependentAssembly\s*>", re.DOTALL)
_IDENTITY = re.compile(r"<(?:\w+:)?assemblyIdentity\b([^>]{0,2000})>", re.DOTALL)
_ATTRIBUTE = re.compile(r"\b(name|version)\s*=\s*[\"']([^\"']{0,400})[\"']")

Version = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, order=True)
class Assembly:
    """A side-by-side assembly that a manifest depends on (``Microsoft.VC90.CRT`` 9.0.21022.8)."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Resources:
    """``readable`` False: the tree leads outside the file or in circles; what is known then may not be all."""

    file_version: Version | None = None
    product_version: Version | None = None
    assemblies: tuple[Assembly, ...] = ()
    readable: bool = True


def read_resources(image: Image) -> Resources:
    """Version block and manifests. Never raises ``BinaryError``: see ``Resources.readable``."""
    root, _ = image.directory(RESOURCE_DIRECTORY)
    if not root:
        return Resources()
    try:
        versions = _leaves(image, root, RT_VERSION)
        manifests = _leaves(image, root, RT_MANIFEST)
    except (BinaryError, error):
        return Resources(readable=False)
    file_version, product_version = _fixed_info(versions)
    found = {a for m in manifests for a in dependent_assemblies(m)}
    return Resources(file_version, product_version, tuple(sorted(found)))


def _leaves(image: Image, root: int, kind: int) -> list[bytes]:
    """Contents of all resources of a type: three levels (type, name, language), each a table of entries."""
    tables = [at for key, at in _entries(image, root, root) if key == kind]
    for _ in range(2):
        tables = [
            at
            for table in tables
            if table & SUBDIRECTORY
            for _, at in _entries(image, root, root + (table ^ SUBDIRECTORY))
        ][:MAX_ENTRIES]
    out = []
    for leaf in tables:
        if not leaf & SUBDIRECTORY:
            rva, size = unpack_from("<II", image.at(root + leaf, 8))
            out.append(image.at(rva, min(size, MAX_RESOURCE)))
    return out


def _entries(image: Image, root: int, at: int) -> list[tuple[int, int]]:
    """(id, offset) of one directory; entries with a name instead of an id have its offset and the top bit there."""
    if at < root:
        raise image.fail("has a resource directory before its resources")
    named, numbered = unpack_from("<HH", image.at(at, 16), 12)
    count = min(named + numbered, MAX_ENTRIES)
    data = image.at(at + 16, 8 * count)
    return [unpack_from("<II", data, 8 * k) for k in range(count)]


def _fixed_info(blocks: list[bytes]) -> tuple[Version | None, Version | None]:
    """FileVersion and ProductVersion of VS_FIXEDFILEINFO, which a signature announces."""
    for block in blocks:
        at = block.find(FIXED_INFO, 0, 512)
        if at >= 0 and at + 24 <= len(block):
            fh, fl, ph, pl = unpack_from("<IIII", block, at + 8)
            return (fh >> 16, fh & 0xFFFF, fl >> 16, fl & 0xFFFF), (ph >> 16, ph & 0xFFFF, pl >> 16, pl & 0xFFFF)
    return None, None


def dependent_assemblies(manifest: bytes) -> list[Assembly]:
    """The assemblies a manifest names under ``dependentAssembly``. Scanned, not parsed: entities are none of ours."""
    encoding = "utf-16" if manifest[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    out = []
    for block in _DEPENDENT.finditer(manifest.decode(encoding, "replace")):
        identity = _IDENTITY.search(block[1])
        if identity:
            attributes = dict(_ATTRIBUTE.findall(identity[1]))
            out.append(Assembly(attributes.get("name", ""), attributes.get("version", "")))
    return out
