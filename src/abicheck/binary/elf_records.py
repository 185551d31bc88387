"""Records of dynamic symbols: what a look-up can find in a file, and what relocating the file looks up.

A run makes hundreds of thousands of them: they are structs of msgspec, which are made several times as fast as named
tuples or frozen dataclasses.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Binding = Literal["global", "weak", "unique"]
ReferenceKind = Literal["plt", "data", "copy", "tls"]


class Definition(msgspec.Struct, frozen=True, gc=False):
    """A symbol that a look-up in this file can find.

    ``version_index``: DT_VERSYM without bit 15 (0 when there is none); ``hidden_version``: bit 15. ``version``: the
    name of that index, None for local, global and base. ``visibility``: ``default`` or ``protected``.
    ``is_undef_plt``: not defined here, but has a value: the address of a PLT entry that stands for the function (found
    by data references only, ELF-28). ``writable``: lies where the process may write after relocation (false for
    constants, RELRO and code).
    """

    index: int
    version_index: int
    hidden_version: bool
    version: str | None
    binding: Binding
    type: str
    visibility: str
    shndx: int
    is_undef_plt: bool
    value: int
    size: int
    writable: bool


class Reference(msgspec.Struct, frozen=True, gc=False):
    """A symbol that relocations of this file look up. One for each symbol and kind.

    ``version``: name asked for, None when unversioned; ``version_hidden``: the reference insists on it (bit 15 of
    vna_other: no fall-back to unversioned definitions, ELF-38); ``version_file``: the file that a version need names.
    ``kind``: ``plt`` and ``tls`` never take an undefined symbol's PLT address, ``copy`` skips the executable.
    ``defined_here``: this file defines it too (ELF-27, ELF-41); ``protected``: and always binds to itself (ELF-31).
    """

    name: bytes
    version: str | None
    version_hidden: bool
    version_file: str | None
    weak: bool
    index: int
    kind: ReferenceKind
    defined_here: bool
    protected: bool


class Undefined(msgspec.Struct, frozen=True, gc=False):
    """An undefined global or weak symbol of the table, whether or not a relocation uses it."""

    name: bytes
    version: str | None
    file: str | None
    weak: bool
