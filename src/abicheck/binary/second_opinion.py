"""What another reader says of a file that ours refuses: is the file broken, or are we?

pyelftools, macholib and pefile are the field's own readers. They are asked only about files that could not be analysed,
so that the report can say whether to fetch the file again or to report a mistake of ours; they are imported only then.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

from abicheck.binary.source import ByteSource

LIMIT = 64 << 20  # bytes; larger files are not held in memory for a second opinion

# What the three raise for files that are not what they seem; their own errors are made ``ValueError``.
_BROKEN = (struct.error, ValueError, IndexError, KeyError, AttributeError, TypeError,
           OverflowError, OSError, EOFError, UnicodeError, AssertionError)  # fmt: skip


def second_opinion(source: ByteSource) -> str:
    """A clause for the report: another reader cannot read the file either, or can. Empty when none was asked."""
    if source.size > LIMIT:
        return ""
    try:
        data = source.pread(0, source.size)
    except OSError:
        return ""
    found = _reader(data[:4])
    if found is None:
        return ""
    name, read = found
    try:
        read(data)
    except _BROKEN:
        return f"{name} cannot read it either"
    return f"{name} reads it, so the mistake may be abicheck's: please report it with the file"


_MACHO = (
    b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe",
)  # fmt: skip


def _reader(magic: bytes) -> tuple[str, Callable[[bytes], None]] | None:
    if magic == b"\x7fELF":
        return "pyelftools", _elf
    if magic[:2] == b"MZ":
        return "pefile", _pe
    return ("macholib", _macho) if magic in _MACHO else None


def _elf(data: bytes) -> None:
    """All that a loader reads: segments, dynamic entries, dynamic symbols."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile

    try:
        for segment in ELFFile(io.BytesIO(data)).iter_segments():
            if segment["p_type"] == "PT_LOAD" and segment["p_offset"] + segment["p_filesz"] > len(data):
                raise ValueError("a segment ends beyond the file")
            if isinstance(segment, DynamicSegment):
                list(segment.iter_tags())
                list(segment.iter_symbols())
    except ELFError as e:
        raise ValueError("pyelftools gave up") from e


def _pe(data: bytes) -> None:
    import pefile

    try:
        pe = pefile.PE(data=data, max_symbol_exports=1 << 20)
    except pefile.PEFormatError as e:
        raise ValueError("pefile gave up") from e
    end = max((s.PointerToRawData + s.SizeOfRawData for s in pe.sections), default=0)
    if end > len(data):
        raise ValueError("a section ends beyond the file")


def _macho(data: bytes) -> None:
    """macholib opens paths only; its own initialiser is stood in for, with what ``load`` needs."""
    from macholib.MachO import MachO

    macho = MachO.__new__(MachO)
    macho.allow_unknown_load_commands = True
    macho.graphident = macho.filename = macho.loader_path = ""
    macho.fat = None
    macho.headers = []
    macho.load(io.BytesIO(data))
    for header in macho.headers:
        for _, item, _ in header.commands:
            if getattr(item, "fileoff", 0) + getattr(item, "filesize", 0) > len(data):
                raise ValueError("a segment ends beyond the file")
