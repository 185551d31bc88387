"""C functions and classes that Cython modules hand to each other, read from the modules alone (PY-17).

A module that exports C functions puts capsules into ``__pyx_capi__``, each named by the function's C signature. A
module that was compiled against its ``.pxd`` looks every function up when it is imported: a name that is not there
raises ImportError ("does not export expected C function"), another signature raises TypeError ("has wrong signature").
Up to Cython 3.1 names and signatures are texts of their own, given to ``__Pyx_ImportFunction(module, name, place,
signature)`` one call after the other. From 3.2 on all of one module are one constant: the signatures (an empty one
repeats the one before), then as many names; it stands in the table of constants, which is packed.

Source: Cython's ``Utility/ImportExport.c`` (FunctionImport, FunctionExport, PxdImportShared) and
``Compiler/ModuleNode.py`` (``_generate_import_export_code``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource
from abicheck.evidence.code import loads, text_near
from abicheck.evidence.image import MAX_IMAGE, Image, images
from abicheck.evidence.scan import scan
from abicheck.evidence.string_tables import table_strings

_NAME = b"__pyx_capi__"
_WANTS = b"does not export expected C "
_WANTS_NEW = b"does not export expected C %.8s "  # 3.2: one text for functions and variables
_SIGNATURE = re.compile(rb"[A-Za-z_][\w :<>,]*[ *&]*\([^\x00-\x1f\x7f]*\)")
_PRINTABLE = re.compile(rb"[ -~]+")
SHORTEST = len(b"f(int)")
_WORDS = re.compile(rb"\b[A-Za-z_]\w*+(?=\0)")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DOTTED = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
# The byte before is matched, not looked back at: the engine leaps from one to the next.
_MODULES = re.compile(rb"\0([A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)++)(?=\0)")
LONG = 8192  # characters of a signature with all its arguments
SAME_FUNCTION = 1 << 16  # bytes of code between the import of a module and the look-up of its functions


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """A C function that a module looks up when it is imported. Needs of one ``group`` are from one module; ``module``
    says from which, '' when the file does not."""

    group: int
    module: str
    name: str
    signature: str


@dataclass(frozen=True, slots=True)
class CythonApi:
    """C functions that one module needs and gives.

    ``known``: "all" of what it gives is in ``gives`` (name, signature); "texts": every signature it gives is the end of
    one of ``texts`` and every name the end of one of ``words`` (a linker lets a short text be the end of a longer one);
    "nothing" is known. ``mixed``: needs may be among ``gives`` and what it gives among the needs. ``modules``: dotted
    names in the file; what it needs is from some of them.
    """

    needs: tuple[Need, ...] = ()
    known: Literal["all", "texts", "nothing"] = "nothing"
    gives: tuple[tuple[str, str], ...] = ()
    texts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    mixed: bool = False
    modules: tuple[str, ...] = ()

    def may_name(self, name: str) -> bool:
        """Whether a function of that name may be among the exports."""
        if self.known == "texts":
            return any(w.endswith(name) for w in self.words)
        return self.known == "nothing" or any(n == name for n, _ in self.gives)

    def may_give(self, name: str, signature: str) -> bool:
        """Whether a function of that name and signature may be among the exports."""
        if self.known == "texts":
            return self.may_name(name) and any(t.endswith(signature) for t in self.texts)
        return self.known == "nothing" or (name, signature) in self.gives


def cython_api(source: ByteSource) -> CythonApi | None:
    """What a file needs and gives; None when it is no Cython module that does either. Raises ``OSError``."""
    return recall(source, "cython-api", lambda: _cython_api(source), CythonApi | None)


def _cython_api(source: ByteSource) -> CythonApi | None:
    hits = scan(source, {"name": _NAME, "wants": _WANTS, "packed": b"\0zlib\0", "lzss": b"LZSS string data"})
    if not hits or source.size > MAX_IMAGE:
        return None
    data = source.pread(0, source.size)
    constants = list(table_strings(data, frozenset())) if "packed" in hits or "lzss" in hits else []
    tables = [t for t in map(_table, constants) if t]
    gives_packed = _NAME.decode() in constants
    unread = not constants and ("packed" in hits or "lzss" in hits)
    if "name" not in hits and not gives_packed:
        return CythonApi() if unread else None
    needs = tuple(_called(data)) if "wants" in hits else ()
    after = max((n.group for n in needs), default=-1) + 1
    modules = _all(_modules, data) if "wants" in hits else ()
    if gives_packed or _WANTS_NEW in data:
        wanted = tables if "wants" in hits else []
        packed = tuple(Need(after + n, "", *f) for n, table in enumerate(wanted) for f in table)
        gives = tuple(dict.fromkeys(f for table in tables for f in table)) if gives_packed else ()
        known: Literal["all", "nothing"] = "nothing" if not constants else "all"
        return CythonApi((*needs, *packed), known, gives, mixed=gives_packed and bool(wanted), modules=modules)
    if b"\0" + _NAME + b"\0" not in data:
        return CythonApi(needs, modules=modules)
    return CythonApi(needs, "texts", (), _all(_signatures, data), _all(_WORDS.findall, data), modules=modules)


def _modules(data: bytes, begin: int, end: int) -> list[bytes]:
    """Dotted names of a stretch."""
    return _MODULES.findall(data, max(begin - 1, 0), end)


def _signatures(data: bytes, begin: int, end: int) -> Iterator[bytes]:
    """Texts of a stretch that end in a parenthesis."""
    at = data.find(b")\0", begin, end)
    while at >= 0:
        start = max(data.rfind(b"\0", begin, at) + 1, begin)
        text = _PRINTABLE.findall(data, start, at + 1)[-1]
        if len(text) >= SHORTEST:
            yield text
        at = data.find(b")\0", at + 2, end)


def _all(find: Callable[[bytes, int, int], Iterable[bytes]], data: bytes) -> tuple[str, ...]:
    """What is found where a file can hold text, each once: not in segments that hold nothing except code (other
    linkers put read-only data and the file's header into the code's segment, which begins the file then)."""
    texts = [(i.data, s) for i in images(data) for s in i.segments if not (s.code and s.offset)]
    pieces = [(of, s.offset, s.offset + s.size) for of, s in texts] or [(data, 0, len(data))]
    found = (t for of, begin, end in pieces for t in find(of, begin, end))
    return tuple(t.decode("ascii") for t in dict.fromkeys(found))


def _table(constant: str) -> tuple[tuple[str, str], ...]:
    """(name, signature) of the functions in one constant; () when it is something else."""
    parts = constant.split("\0")
    half = len(parts) // 2
    if len(parts) % 2 or not all(_IDENTIFIER.fullmatch(n) for n in parts[half:]):
        return ()
    out, signature = [], ""
    for text, name in zip(parts[:half], parts[half:], strict=True):
        signature = text or signature
        if not _SIGNATURE.fullmatch(signature.encode("utf-8", "replace")):
            return ()
        out.append((name, signature))
    return tuple(out)


def _called(data: bytes) -> Iterator[Need]:
    """The look-ups of a module compiled by Cython 3.1 or older, from the code of the first slice that has any."""
    for image in images(data):
        found = sorted(_lookups(image))
        if not found:
            continue
        modules = sorted(loads(image, 1, lambda t: len(t) > 2 and _DOTTED.fullmatch(t) is not None))
        group, last = -1, None
        for at, name, signature in found:
            behind = [(k, text) for k, text in modules if at - SAME_FUNCTION < k < at]
            where = behind[-1] if behind else (0, b"")
            if where != last:
                group, last = group + 1, where
            yield Need(group, where[1].decode("ascii"), name, signature)
        return


def _lookups(image: Image) -> Iterator[tuple[int, str, str]]:
    for at, text in loads(image, 4, lambda t: _SIGNATURE.fullmatch(t) is not None, LONG):
        name = text_near(image, at, 2, copies=False)
        if name is not None and _IDENTIFIER.fullmatch(name.decode("latin-1")):
            yield at, name.decode("ascii"), text.decode("ascii", "replace")
