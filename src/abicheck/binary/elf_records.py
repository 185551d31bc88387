"""What is known of one dynamic symbol of an ELF file: definition, reference, undefined entry (ELF-27, ELF-28)."""

from __future__ import annotations

from typing import Literal, NamedTuple

Binding = Literal["global", "weak", "unique"]
ReferenceKind = Literal["plt", "data", "copy", "tls"]


class Definition(NamedTuple):
    """A symbol that a look-up in this file can find.

    ``version_index``: DT_VERSYM without bit 15 (0 when there is none); ``hidden_version``: bit 15. ``version``: the
    name of that index, None for local, global and base. ``visibility``: ``default`` or ``protected``.
    ``is_undef_plt``: not defined here, but has a value: the address of a PLT entry that stands for the function (found
    by data references only, ELF-28). ``writable``: lies where the process may write after relocation (false for
    constants, RELRO and code).
    """

    index: int  # type: ignore[assignment]
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


class Reference(NamedTuple):
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
    index: int  # type: ignore[assignment]
    kind: ReferenceKind
    defined_here: bool
    protected: bool


class Undefined(NamedTuple):
    """An undefined global or weak symbol of the table, whether or not a relocation uses it."""

    name: bytes
    version: str | None
    file: str | None
    weak: bool
