"""What glibc thinks of an ELF header before it maps anything (ELF-16, ELF-17).

Source: glibc 04e750e7, ``elf/dl-load.c`` ``open_verify`` and ``_dl_map_object_from_fd``; ``sysdeps/gnu/ldsodefs.h`` and
``sysdeps/unix/sysv/linux/arm/ldsodefs.h`` (accepted OS ABIs); ``libc-abis`` (ABI versions). The checks run in glibc's
order, so that a file with several faults gets the message that a user would see.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from abicheck.binary.elf_machines import EM_ARM, EM_PPC, EM_PPC64, EM_RISCV, EM_X86_64

MAGIC = b"\x7fELF"
ET_EXEC, ET_DYN = 2, 3
OSABI_SYSV, OSABI_GNU, OSABI_ARM_AEABI = 0, 3, 64

HeaderOutcome = Literal["ok", "too-short", "bad-header", "wrong-class", "wrong-machine", "not-a-library"]


class HeaderVerdict(NamedTuple):
    """``outcome`` as in ``model.Attempt``; ``message``: what glibc prints, empty when it prints nothing.

    ``wrong-class`` and ``wrong-machine`` are skipped by the search, all others but ``ok`` end it (ELF-16). The message
    of ``wrong-class`` is only printed when the search finds nothing else.
    """

    outcome: HeaderOutcome
    message: str = ""

    @property
    def fatal(self) -> bool:
        return self.outcome in ("too-short", "bad-header", "not-a-library")


_OK = HeaderVerdict("ok")


def header_verdict(head: bytes, size: int, want_class: int, want_machine: int, want_little: bool) -> HeaderVerdict:
    """Judge a candidate as the loader of a process of the wanted kind would.

    Args:
        head: at least the first 64 bytes of the file, or all of it.
        size: length of the file in bytes.
        want_class: 32 or 64, ``want_machine``: ``e_machine``, ``want_little``: byte order, all of the process.
    """
    header_size = 64 if want_class == 64 else 52
    if size < header_size or len(head) < header_size:
        return HeaderVerdict("too-short", "file too short")
    ident = _ident_verdict(head, want_class, want_machine, want_little)
    if ident is not None:
        return ident
    end = "<" if want_little else ">"
    etype, machine, version = struct.unpack_from(end + "HHI", head, 16)
    phoff: int
    (phoff,) = struct.unpack_from(end + ("Q" if want_class == 64 else "I"), head, 32 if want_class == 64 else 28)
    flags, _, phentsize, phnum = struct.unpack_from(end + "IHHH", head, header_size - 16)
    if want_machine == EM_ARM and not _arm_float_ok(flags):
        # VALID_ELF_HEADER of ARM fails on the float ABI and no test below it explains why.
        return HeaderVerdict("bad-header", "internal error")
    if version != 1:
        return HeaderVerdict("bad-header", "ELF file version does not match current one")
    if machine != want_machine:
        return HeaderVerdict("wrong-machine")
    if etype not in (ET_DYN, ET_EXEC):
        return HeaderVerdict("not-a-library", "only ET_DYN and ET_EXEC can be loaded")
    entry = 56 if want_class == 64 else 32
    if phentsize != entry:
        return HeaderVerdict("bad-header", "ELF file's phentsize not the expected size")
    if phoff + phnum * entry > size:
        return HeaderVerdict("bad-header", "cannot read file data")
    return _OK


def _ident_verdict(head: bytes, want_class: int, want_machine: int, want_little: bool) -> HeaderVerdict | None:
    """The part of ``open_verify`` that looks at ``e_ident``; None when nothing is wrong there."""
    if head[:4] != MAGIC:
        return HeaderVerdict("bad-header", "invalid ELF header")
    if head[4] != (2 if want_class == 64 else 1):
        found = {1: "ELFCLASS32", 2: "ELFCLASS64"}.get(head[4], "ELFCLASS32" if want_class == 64 else "ELFCLASS64")
        return HeaderVerdict("wrong-class", f"wrong ELF class: {found}")
    if head[5] != (1 if want_little else 2):
        wanted = "little-endian" if want_little else "big-endian"
        return HeaderVerdict("bad-header", f"ELF file data encoding not {wanted}")
    if head[6] != 1:
        return HeaderVerdict("bad-header", "ELF file version ident does not match current one")
    osabi, abi_version = head[7], head[8]
    if osabi not in (OSABI_SYSV, OSABI_GNU) and not (osabi == OSABI_ARM_AEABI and want_machine == EM_ARM):
        return HeaderVerdict("bad-header", "ELF file OS ABI invalid")
    if abi_version and not (osabi == OSABI_GNU and abi_version < _abi_max(want_machine)):
        return HeaderVerdict("bad-header", "ELF file ABI version invalid")
    if any(head[9:16]):
        return HeaderVerdict("bad-header", "nonzero padding in e_ident")
    return None


def _abi_max(machine: int) -> int:
    """LIBC_ABI_MAX: one more than the last feature of ``libc-abis`` (UNIQUE, IFUNC where it exists, ABSOLUTE)."""
    return 4 if machine in (EM_X86_64, 3, EM_PPC64, EM_PPC, 2, 43, EM_RISCV) else 3


def _arm_float_ok(flags: int) -> bool:
    """VALID_FLOAT_ABI for hard-float systems (armhf, armv7l wheels): EABI 5 objects must not say soft-float."""
    return flags >> 24 != 5 or not flags & 0x200
