"""Undoing what wheel repair tools do to library names, so that copies of one library can be told by name.

auditwheel writes ``base-<8 hex>.ext`` (CL-4: the hash goes before the first dot), delvewheel ``base-<32 hex>.dll``
(WIN-23), NumPy's and SciPy's old Windows builds put a 32-character base-32 word between dots, and delocate keeps the
file name and changes the install name to ``/DLC/...`` (MAC-26). Everything here is text in, text out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# auditwheel: the hash stands before the first dot, and what stands before it has no dot itself.
_AUDITWHEEL = re.compile(r"(?P<base>[^.]+)-(?P<hash>[0-9a-f]{8})(?P<ext>\.(?:.*\.)?(?:so|dylib)(?:\..*)?)", re.DOTALL)
# delvewheel: base-<hash>.dll; the hash had 8 digits in early releases and has 32 since (sha-256, cut).
_DELVEWHEEL = re.compile(
    r"(?P<base>.+)-(?P<hash>[0-9a-f]{32}|[0-9a-f]{8})\.(?P<ext>dll|pyd)", re.DOTALL | re.IGNORECASE
)
# openblas-libs before NumPy 1.22: libopenblas.<32 of base 32>.gfortran-win_amd64.dll
_BASE32 = re.compile(r"(?P<base>[^.]+)\.(?P<hash>[A-Z2-7]{32})\.(?P<ext>.+)", re.DOTALL)
_DATE = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_ELF_TAIL = re.compile(r"\.so(?:\.[0-9A-Za-z_.+-]*)?$")


class Stem(NamedTuple):
    """``name``: the identity without directory, mangling, extension and version. ``mangled``: a repair tool's mark was
    found. ``original``: the leaf name as it was before mangling. ``version``: numbers that stood in the name, may be
    ''."""

    name: str
    mangled: bool
    original: str
    version: str


def stem(identity: str) -> Stem:
    """The plain name behind an identity (DT_SONAME, install name, DLL name, or a path).

    >>> stem("libgomp-a34b3233.so.1.0.0")
    Stem(name='libgomp', mangled=True, original='libgomp.so.1.0.0', version='1.0.0')
    """
    leaf = identity.replace("\\", "/").rsplit("/", 1)[-1]
    original, mangled = _unmangle(leaf)
    mangled = mangled or identity.startswith(("/DLC/", "DLC/"))
    name, version = _strip(original)
    return Stem(name, mangled, original, version)


def _unmangle(leaf: str) -> tuple[str, bool]:
    for pattern in (_AUDITWHEEL, _DELVEWHEEL, _BASE32):
        m = pattern.fullmatch(leaf)
        # A name that ends in a calendar date is a snapshot's name, not a hash (libfoo-20230802.so).
        if m is not None and not _DATE.fullmatch(m["hash"]):
            ext = m["ext"] if m["ext"].startswith(".") else "." + m["ext"]
            return m["base"] + ext, True
    return leaf, False


def _strip(leaf: str) -> tuple[str, str]:
    """(name without extension and version, version text)."""
    lower = leaf.lower()
    if lower.endswith((".dll", ".pyd")):
        return leaf[:-4], ""
    if lower.endswith(".dylib"):
        body = leaf[: -len(".dylib")]
        m = re.search(r"(?:\.[0-9]+[a-z]?)+$", body)
        return (body[: m.start()], m[0][1:]) if m else (body, "")
    tail = _ELF_TAIL.search(leaf)
    if tail is None:
        return leaf, ""
    body, version = leaf[: tail.start()], tail[0][3:].lstrip(".")
    if not version:
        # libfoo.3.26.dev.so: the version stands before the extension
        m = re.search(r"(?:\.[0-9]+)+(?:\.dev)?$", body)
        if m:
            return body[: m.start()], m[0][1:]
    return body, version


def spellings(name: Stem) -> tuple[str, ...]:
    """Names to try against a table: the stem, and, when a repair tool renamed the file, the stem without its last
    ``-word`` (some projects add their own name as well: ``libgdal-rasterio-1b1cfd8e.so.34``)."""
    if name.mangled and "-" in name.name:
        head, _, tail = name.name.rpartition("-")
        if tail.replace("_", "").isalpha():
            return (name.name, head)
    return (name.name,)
