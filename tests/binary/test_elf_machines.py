"""Other machines: 32 and 64 bits, both byte orders, both hash tables, made by a cross compiler."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.compilers import CompileError, Compiler, zig
from tests.binary.elf_samples import slice_of, without_sections
from tests.requirements import need

from abicheck.binary.elf import header_verdict

SOURCE = """
extern int away(int); extern int away_data; extern __thread int away_tls;
__attribute__((weak)) int perhaps(void);
int counter = 3; const int fixed = 4;
__attribute__((visibility("hidden"))) int inside(int x) { return x + 1; }
__attribute__((weak)) int soft(int x) { return x; }
int *address(void) { return &away_data; }
int work(int x) { return away(x) + inside(x) + counter + away_tls + soft(x) + (perhaps ? perhaps() : 0); }
"""

# target: (arch word, class, little-endian, e_machine)
TARGETS = {
    "x86_64-linux-gnu": ("x86_64", 64, True, 62),
    "x86-linux-gnu": ("i686", 32, True, 3),
    "aarch64-linux-gnu": ("aarch64", 64, True, 183),
    "arm-linux-gnueabihf": ("armv7l", 32, True, 40),
    "powerpc64le-linux-gnu": ("ppc64le", 64, True, 21),
    "powerpc-linux-gnueabi": ("20", 32, False, 20),
    "s390x-linux-gnu": ("s390x", 64, False, 22),
    "riscv64-linux-gnu": ("riscv64", 64, True, 243),
    "mips-linux-gnueabi": ("8", 32, False, 8),
}


def _compiler(target: str) -> Compiler:
    need("zig")
    found = zig(target)
    assert found is not None
    return found


@pytest.mark.parametrize("style", ["gnu", "sysv"])
@pytest.mark.parametrize("target", TARGETS)
def test_facts_on_every_machine(target: str, style: str, tmp_path: Path) -> None:
    if target.startswith("mips") and style == "gnu":
        style = "sysv"  # this machine's symbol order rules the other table out
    arch, elf_class, little, machine = TARGETS[target]
    try:
        made = _compiler(target).shared(
            tmp_path / "lib.so",
            SOURCE,
            "-nostdlib",
            f"-Wl,--hash-style={style}",
            "-Wl,--undefined-version",
            soname="libwork.so.1",
            rpath="$ORIGIN/lib",
        )
    except CompileError as e:
        pytest.fail(f"{target}: {e}")
    data = made.read_bytes()
    s = slice_of(data)
    assert (s.arch, s.elf_class, s.little, s.machine) == (arch, elf_class, little, machine)
    assert (s.soname, s.rpath) == ("libwork.so.1", ("$ORIGIN/lib",)) or s.runpath == ("$ORIGIN/lib",)
    exports = {(e.name, e.binding, e.type) for e in s.exports()}
    assert exports >= {
        ("counter", "global", "object"),
        ("fixed", "global", "object"),
        ("soft", "weak", "func"),
        ("work", "global", "func"),
        ("address", "global", "func"),
    }
    assert "inside" not in {e.name for e in s.exports()}
    assert {(i.name, i.weak) for i in s.imports()} >= {
        ("away", False),
        ("away_data", False),
        ("away_tls", False),
        ("perhaps", True),
    }
    assert s.exported[b"counter"][0].writable and not s.exported[b"fixed"][0].writable
    assert all(s.symbols.find(name) == found for name, found in s.exported.items())
    if target.startswith("mips"):
        return  # binds through its GOT, without relocations: no conda platform, read for its tables only
    kinds = {r.name: r.kind for r in s.references}
    assert kinds[b"away"] == "plt" and kinds[b"away_data"] == "data" and kinds[b"away_tls"] == "tls"
    assert {r.name for r in s.references if r.defined_here} >= {b"counter", b"soft"}
    bare = slice_of(without_sections(data))
    assert (bare.exports(), bare.imports(), bare.references) == (s.exports(), s.imports(), s.references)
    assert header_verdict(data[:64], len(data), elf_class, machine, little).outcome == "ok"
    assert header_verdict(data[:64], len(data), elf_class, 1, little).outcome == "wrong-machine"
