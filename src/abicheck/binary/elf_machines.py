"""What differs between machines: their names and which dynamic relocations look a symbol up, and how.

Source: glibc 04e750e7, ``elf/elf.h`` (numbers), ``sysdeps/*/dl-machine.h`` (``elf_machine_type_class``,
``elf_machine_rel*``: types that never look up). ``plt`` here is every type of class ``ELF_RTYPE_CLASS_PLT`` that is no
TLS relocation; TLS types are of that class too, except where ``tls_is_plt`` says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

EM_386, EM_PPC, EM_PPC64, EM_S390, EM_ARM, EM_X86_64, EM_AARCH64, EM_RISCV, EM_LOONGARCH, EM_MIPS = (
    3, 20, 21, 22, 40, 62, 183, 243, 258, 8,
)  # fmt: skip
EM_ALPHA = 0x9026


@dataclass(frozen=True, slots=True)
class Machine:
    """Relocation types of one machine. ``quiet``: NONE, RELATIVE and IRELATIVE kinds, which look nothing up.

    ``ie`` are the initial-exec TLS types (TPOFF/TPREL), which take space from the static block (ELF-45); ``desc`` the
    TLS descriptors, which take some of it when there is enough."""

    quiet: frozenset[int]
    copy: int
    plt: frozenset[int]
    tls: frozenset[int]
    ie: frozenset[int]
    desc: frozenset[int]
    tls_is_plt: bool = True


def _machine(
    quiet: set[int], copy: int, plt: set[int], tls: set[int], ie: set[int], desc: int = -1, *, tls_is_plt: bool = True
) -> Machine:
    return Machine(
        frozenset(quiet), copy, frozenset(plt), frozenset(tls | ie), frozenset(ie), frozenset({desc} - {-1}), tls_is_plt
    )


_PPC64_TLS = {*range(67, 107), *range(112, 116)}  # R_PPC64_TLS .. DTPREL16_HIGHESTA, TPREL16_HIGH .. DTPREL16_HIGHA

# (machine, class) or machine -> types. 64-bit and 32-bit RISC-V share numbers; the ones of the other width never occur.
MACHINES: dict[int, Machine] = {
    EM_X86_64: _machine({0, 8, 37, 38}, 5, {7}, {16, 17, 36}, {18}, 36),
    EM_386: _machine({0, 8, 42}, 5, {7}, {35, 36, 41}, {14, 37}, 41),
    EM_AARCH64: _machine({0, 256, 1027, 1032}, 1024, {1026}, {1028, 1029, 1031}, {1030}, 1031),
    EM_ARM: _machine({0, 23, 160}, 20, {22}, {13, 17, 18}, {19}, 13),
    EM_PPC64: _machine({0, 22, 247, 248}, 19, {21, 2}, _PPC64_TLS - {69, 70, 71, 72, 73}, {69, 70, 71, 72, 73}),
    EM_PPC: _machine({0, 22, 248}, 19, {21, 10, 2}, {*range(68, 79)} - {69, 70, 71, 72, 73}, {69, 70, 71, 72, 73}),
    EM_S390: _machine({0, 12, 61}, 9, {11}, {54, 55}, {56}),
    EM_RISCV: _machine({0, 3, 58}, 4, {5}, {6, 7, 8, 9, 12}, {10, 11}, 12),
    EM_LOONGARCH: _machine({0, 3, 12}, 4, {5}, {6, 7, 8, 9, 13, 14}, {10, 11}, 14, tls_is_plt=False),
}

# facts.Slice.arch; the machine number as text for the rest.
_ARCH: dict[tuple[int, int, bool], str] = {
    (EM_X86_64, 64, True): "x86_64",
    (EM_386, 32, True): "i686",
    (EM_AARCH64, 64, True): "aarch64",
    (EM_ARM, 32, True): "armv7l",
    (EM_PPC64, 64, True): "ppc64le",
    (EM_PPC64, 64, False): "ppc64",
    (EM_S390, 64, False): "s390x",
    (EM_RISCV, 64, True): "riscv64",
    (EM_LOONGARCH, 64, True): "loongarch64",
}


def arch_name(machine: int, elf_class: int, little: bool) -> str:
    """The word for an architecture, or the machine number as text when we have none."""
    return _ARCH.get((machine, elf_class, little), str(machine))


def hash_word(machine: int, elf_class: int) -> int:
    """Bytes of one DT_HASH entry: 8 on s390x and Alpha, 4 elsewhere (``bits/elfclass.h``, ``Elf_Symndx``)."""
    return 8 if elf_class == 64 and machine in (EM_S390, EM_ALPHA) else 4
