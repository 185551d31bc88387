"""The header check (ELF-16, ELF-17) against its table, and against what the machine's own loader says."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.compilers import gnu_compiler
from tests.binary.elf_samples import slice_of
from tests.requirements import need

from abicheck.binary.elf import header_verdict

X86_64, AARCH64, ARM, S390 = 62, 183, 40, 22


def header(
    *,
    elf_class: int = 2,
    data: int = 1,
    version: int = 1,
    osabi: int = 0,
    abi: int = 0,
    pad: int = 0,
    etype: int = 3,
    machine: int = X86_64,
    e_version: int = 1,
    phoff: int = 64,
    phentsize: int | None = None,
    phnum: int = 1,
    flags: int = 0,
    magic: bytes = b"\x7fELF",
) -> bytes:
    """An ELF header and room for one program header."""
    end = "<" if data == 1 else ">"
    ident = magic + bytes([elf_class, data, version, osabi, abi, pad]) + bytes(6)
    wide = elf_class == 2
    rest = struct.pack(
        end + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
        etype, machine, e_version, 0, phoff, 0, flags,
        64 if wide else 52, (56 if wide else 32) if phentsize is None else phentsize, phnum, 0, 0, 0,
    )  # fmt: skip
    return ident + rest + bytes(56)


def judge(head: bytes, machine: int = X86_64, want_class: int = 64, little: bool = True) -> tuple[str, str]:
    return tuple(header_verdict(head[:64], len(head), want_class, machine, little))  # type: ignore[return-value]


CASES: list[tuple[bytes, str, str]] = [
    (header(), "ok", ""),
    (header(osabi=3), "ok", ""),
    (header(osabi=3, abi=3), "ok", ""),
    (header(etype=2), "ok", ""),
    (header()[:63], "too-short", "file too short"),
    (b"", "too-short", "file too short"),
    (b"/* GNU ld script */ INPUT(-lm)", "too-short", "file too short"),
    (b"/* GNU ld script */ GROUP ( /usr/lib/libc.so.6 /usr/lib/libc_nonshared.a )", "bad-header", "invalid ELF header"),
    (header(magic=b"\x7fELG"), "bad-header", "invalid ELF header"),
    (header(elf_class=1), "wrong-class", "wrong ELF class: ELFCLASS32"),
    (header(elf_class=1, data=2, version=0), "wrong-class", "wrong ELF class: ELFCLASS32"),
    (header(data=2), "bad-header", "ELF file data encoding not little-endian"),
    (header(version=2), "bad-header", "ELF file version ident does not match current one"),
    (header(osabi=9), "bad-header", "ELF file OS ABI invalid"),
    (header(osabi=64), "bad-header", "ELF file OS ABI invalid"),
    (header(abi=1), "bad-header", "ELF file ABI version invalid"),
    (header(osabi=3, abi=4), "bad-header", "ELF file ABI version invalid"),
    (header(pad=1), "bad-header", "nonzero padding in e_ident"),
    (header(e_version=2), "bad-header", "ELF file version does not match current one"),
    (header(machine=AARCH64), "wrong-machine", ""),
    (header(machine=AARCH64, etype=1), "wrong-machine", ""),
    (header(etype=1), "not-a-library", "only ET_DYN and ET_EXEC can be loaded"),
    (header(etype=4), "not-a-library", "only ET_DYN and ET_EXEC can be loaded"),
    (header(phentsize=32), "bad-header", "ELF file's phentsize not the expected size"),
    (header(phnum=500), "bad-header", "cannot read file data"),
]


@pytest.mark.parametrize(("data", "outcome", "message"), CASES)
def test_table(data: bytes, outcome: str, message: str) -> None:
    assert judge(data) == (outcome, message)
    assert header_verdict(data[:64], len(data), 64, X86_64, True).fatal == (
        outcome in ("too-short", "bad-header", "not-a-library")
    )


def test_other_processes() -> None:
    """The same file is right for one process and wrong for another."""
    big = header(data=2, machine=S390)
    assert judge(big, S390, little=False) == ("ok", "")
    assert judge(big) == ("bad-header", "ELF file data encoding not little-endian")
    assert judge(header(machine=S390), S390, little=False) == ("bad-header", "ELF file data encoding not big-endian")
    arm = header(elf_class=1, machine=ARM, osabi=64, flags=0x05000400)
    assert judge(arm, ARM, 32) == ("ok", "")
    assert judge(arm[:52], ARM, 32) == ("bad-header", "cannot read file data")
    assert judge(arm[:51], ARM, 32) == ("too-short", "file too short")
    assert judge(header(elf_class=1, machine=ARM, flags=0x05000200), ARM, 32)[0] == "bad-header"  # soft-float
    assert judge(header(), ARM, 32) == ("wrong-class", "wrong ELF class: ELFCLASS64")


Change = Callable[[bytearray], None]


def _put(at: int, *values: int) -> Change:
    def change(data: bytearray) -> None:
        data[at : at + len(values)] = bytes(values)

    return change


CHANGES: dict[str, Change] = {
    "magic": _put(0, 0x20),
    "class": _put(4, 1),
    "byte-order": _put(5, 2),
    "version": _put(6, 7),
    "osabi": _put(7, 9),
    "abi": _put(8, 9),
    "padding": _put(10, 1),
    "relocatable": _put(16, 1),
    "core": _put(16, 4),
    "machine": _put(18, AARCH64),
    "e_version": _put(20, 3),
    "phentsize": _put(54, 57),
    "phnum": _put(56, 0xFF, 0x7F),
}

ASK = """
import ctypes, json, sys
out = {}
for path in sys.argv[1:]:
    try:
        ctypes.CDLL(path)
        out[path] = ""
    except OSError as e:
        out[path] = str(e)
print(json.dumps(out))
"""


def test_the_real_loader_says_the_same(tmp_path: Path) -> None:
    need("gcc", "glibc", "x86_64")
    gcc = gnu_compiler()
    assert gcc is not None
    good = gcc.shared(tmp_path / "good.so", "int f(void) { return 0; }").read_bytes()
    files = {name: bytearray(good) for name in CHANGES}
    for name, change in CHANGES.items():
        change(files[name])
    variants = {n: bytes(d) for n, d in files.items()}
    variants["good"] = good
    variants["text"] = b"#!/bin/sh\n" + b"# a script where a library should be\n" * 4
    variants["short"] = good[:50]
    paths = {}
    for name, data in variants.items():
        paths[name] = tmp_path / f"{name}.so"
        paths[name].write_bytes(data)
    said = _real(*paths.values())
    for name, data in variants.items():
        outcome, message = judge(data)
        real = said[str(paths[name])]
        if outcome == "ok":
            assert real == "", name
        elif outcome == "wrong-machine":
            assert real.endswith("cannot open shared object file: No such file or directory"), name
        else:
            assert real == f"{paths[name]}: {message}", name


def _real(*paths: Path) -> dict[str, str]:
    run = subprocess.run([sys.executable, "-c", ASK, *map(str, paths)], capture_output=True, text=True, check=True)
    answer: dict[str, str] = json.loads(run.stdout)
    return answer


def test_refusals_of_things_that_are_no_libraries(tmp_path: Path) -> None:
    """ELF-17, against the machine's own loader."""
    need("gcc", "glibc", "x86_64")
    gcc = gnu_compiler()
    assert gcc is not None
    from fixtures.compilers import run

    text = tmp_path / "m.c"
    text.write_text("int main(void) { return 0; }")
    compiler = gcc.commands["c"]
    run([*compiler, str(text), "-o", str(tmp_path / "exe"), "-no-pie", "-fno-pic"])
    run([*compiler, str(text), "-o", str(tmp_path / "pie"), "-pie", "-fPIE"])
    noopen = gcc.shared(tmp_path / "noopen", "int f;", "-Wl,-z,nodlopen", soname="noopen")
    gcc.shared(tmp_path / "library", "int f;")
    user = gcc.shared(tmp_path / "user", "int g;", needed=[noopen], rpath="$ORIGIN")
    paths = [tmp_path / n for n in ("exe", "pie", "noopen", "library")]
    said = _real(*paths)
    for path in paths:
        refusal = slice_of(path).refusal
        assert said[str(path)] == (f"{path}: {refusal}" if refusal else ""), path.name
    assert _real(user)[str(user)] == f"noopen: {slice_of(noopen).refusal}"  # needed, not opened: refused all the same
