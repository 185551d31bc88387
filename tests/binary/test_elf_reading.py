"""ELF facts on files built for the purpose, one loader rule at a time."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest
from fixtures.compilers import Compiler, gnu_compiler
from tests.binary.elf_samples import (
    dynamic_entries,
    program_headers,
    slice_of,
    with_segment_type,
    with_tag,
    without_sections,
)
from tests.requirements import need, not_run

from abicheck.binary.elf_hash import elf_hash, gnu_hash
from abicheck.binary.facts import Import
from abicheck.errors import BinaryError

NEEDED, HASH, GNU_HASH, RPATH, RUNPATH, VERSYM = 1, 4, 0x6FFFFEF5, 15, 29, 0x6FFFFFF0
PT_GNU_STACK = 0x6474E551

VERSIONED = """
int one(void) { return 1; }
int two_old(void) { return 1; }
int two_new(void) { return 2; }
__asm__(".symver two_old, two@LIB_1");
__asm__(".symver two_new, two@@LIB_2");
int two(void);
int caller(void) { return one() + __builtin_strlen((char *)&one); }
"""
VERSIONS = "LIB_1 { global: one; caller; two; local: two_*; }; LIB_2 { } LIB_1;"


@pytest.fixture(scope="module")
def gcc() -> Compiler:
    need("gcc", "x86_64", "glibc")
    found = gnu_compiler()
    assert found is not None
    return found


def facts(s: object) -> dict[str, object]:
    """Everything a slice says, decoded."""
    plain = {n: getattr(s, n) for n in type(s).__dataclass_fields__ if n != "symbols"}  # type: ignore[attr-defined]
    more = {
        "imports": s.imports(),  # type: ignore[attr-defined]
        "exports": s.exports(),  # type: ignore[attr-defined]
        "references": s.references,  # type: ignore[attr-defined]
        "exported": dict(s.exported.items()),  # type: ignore[attr-defined]
        "flags": s.flags,  # type: ignore[attr-defined]
        "floors": s.floors,  # type: ignore[attr-defined]
    }
    return {**plain, **more}


def test_hash_functions_give_the_published_values() -> None:
    assert elf_hash(b"GLIBC_ABI_DT_RELR") == 0xFD0E42  # written out in glibc's dl-version.c
    assert elf_hash(b"GLIBC_2.2.5") == 0x09691A75
    assert gnu_hash(b"") == 5381
    assert gnu_hash(b"printf") == 0x156B2BB8
    for size in (255, 256, 257, 1000):  # it is computed piece by piece
        name = bytes(33 + n * 7 % 90 for n in range(size))
        assert gnu_hash(name) == functools.reduce(lambda h, c: (h * 33 + c) & 0xFFFFFFFF, name, 5381)


def test_names_needs_and_paths(gcc: Compiler, tmp_path: Path) -> None:
    inner = gcc.shared(tmp_path / "libinner.so.1", "int inner;", soname="libinner.so.1")
    other = gcc.shared(tmp_path / "libother.so", "int other;", soname="libother.so.7")
    made = gcc.shared(
        tmp_path / "m.so",
        "int f(void) { return 0; }",
        soname="libm\u00e9.so",
        needed=[other, inner],
        runpath="$ORIGIN/../lib:/opt/x",
    )
    s = slice_of(made)
    assert (s.arch, s.identity, s.format) == ("x86_64", "libm\u00e9.so", "elf")
    assert [n.name for n in s.needs][:2] == ["libother.so.7", "libinner.so.1"]
    assert {n.kind for n in s.needs} == {"required"}
    assert s.runpath == ("$ORIGIN/../lib", "/opt/x")
    assert s.rpath == () and s.rpath_text is None
    assert s.build_id is None or len(s.build_id) == 40
    assert s.interp is None and s.has_dynamic and s.refusal == ""


def test_last_of_two_entries_counts_and_empty_hides(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-9: if a tag occurs twice the last entry counts."""
    data = gcc.shared(tmp_path / "r.so", "int f;", rpath="/first", soname="/second").read_bytes()
    soname = next(v for _, t, v in dynamic_entries(data) if t == 14)
    order = [t for _, t, _ in dynamic_entries(data) if t in (14, 15)]
    twice = with_tag(data, 14, RPATH)
    assert slice_of(data).rpath_text == "/first"
    assert slice_of(twice).rpath_text == ("/second" if order == [15, 14] else "/first")
    empty = with_tag(data, 14, RPATH, value=0)  # offset 0 is the empty string
    assert soname and slice_of(empty).rpath_text == ("" if order == [15, 14] else "/first")
    assert slice_of(empty).rpath == (() if order == [15, 14] else ("/first",))


def test_rpath_and_runpath_are_told_apart(gcc: Compiler, tmp_path: Path) -> None:
    data = gcc.shared(tmp_path / "r.so", "int f;", rpath="/a").read_bytes()
    both = slice_of(with_tag(with_tag(data, RPATH, RUNPATH), NEEDED, RPATH) if NEEDED in _tags(data) else data)
    assert slice_of(data).rpath_text == "/a"
    assert both.runpath_text == "/a"
    assert both.rpath_text is not None


def _tags(data: bytes) -> set[int]:
    return {t for _, t, _ in dynamic_entries(data)}


def test_section_headers_are_not_looked_at(gcc: Compiler, tmp_path: Path) -> None:
    """GEN-4."""
    data = gcc.shared(tmp_path / "v.so", VERSIONED, version_script=VERSIONS, rpath="$ORIGIN").read_bytes()
    assert facts(slice_of(data)) == facts(slice_of(without_sections(data)))
    lying = bytearray(data)
    at = int.from_bytes(data[40:48], "little")
    lying[at:] = b"\xff" * (len(lying) - at)
    assert facts(slice_of(bytes(lying))) == facts(slice_of(data))


def test_versions_of_definitions(gcc: Compiler, tmp_path: Path) -> None:
    s = slice_of(gcc.shared(tmp_path / "libv.so", VERSIONED, version_script=VERSIONS, soname="libv.so.1"))
    assert [(d.name, d.is_base) for d in s.verdef] == [("libv.so.1", True), ("LIB_1", False), ("LIB_2", False)]
    assert [d.hash for d in s.verdef[1:]] == [elf_hash(b"LIB_1"), elf_hash(b"LIB_2")]
    assert s.has_verdef and s.has_versym
    two = {(d.version, d.hidden_version) for d in s.exported[b"two"]}
    assert two == {("LIB_1", True), ("LIB_2", False)}
    assert [(e.version, e.default) for e in s.exports() if e.name == "two"] == [("LIB_1", False), ("LIB_2", True)]
    # ELF-41: the reference to its own exported function carries the version of the definition, and no file.
    own = next(r for r in s.references if r.name == b"one")
    assert (own.version, own.version_file, own.version_hidden, own.defined_here) == ("LIB_1", None, False, True)


def test_versions_of_references(gcc: Compiler, tmp_path: Path) -> None:
    provider = gcc.shared(tmp_path / "libv.so", VERSIONED, version_script=VERSIONS, soname="libv.so.1")
    source = (
        "int one(void); int two(void); int maybe(void) __attribute__((weak));"
        "int g(void) { return one() + two() + (maybe ? maybe() : 0); }"
    )
    s = slice_of(gcc.shared(tmp_path / "c.so", source, needed=[provider]))
    need_of = next(n for n in s.verneed if n.file == "libv.so.1")
    assert sorted((v.name, v.hash, v.weak, v.hidden) for v in need_of.versions) == [
        ("LIB_1", elf_hash(b"LIB_1"), False, False),
        ("LIB_2", elf_hash(b"LIB_2"), False, False),
    ]
    refs = {(r.name, r.version, r.version_file, r.weak) for r in s.references if r.name in (b"one", b"two", b"maybe")}
    assert refs == {
        (b"one", "LIB_1", "libv.so.1", False),
        (b"two", "LIB_2", "libv.so.1", False),
        (b"maybe", None, None, True),
    }
    assert Import("two", "LIB_2", "libv.so.1") in s.imports()
    assert Import("maybe", weak=True) in s.imports()
    assert s.floors["LIB"] == "2"


@pytest.mark.parametrize("style", ["sysv", "gnu", "both"])
def test_either_hash_table_gives_the_same_exports(gcc: Compiler, tmp_path: Path, style: str) -> None:
    """ELF-34."""
    made = gcc.shared(tmp_path / "h.so", VERSIONED, f"-Wl,--hash-style={style}", version_script=VERSIONS)
    s = slice_of(made)
    assert {e.name for e in s.exports()} >= {"one", "two", "caller"}
    assert len(s.exported[b"two"]) == 2
    assert b"nothing" not in s.exported
    assert s.exported.get(b"nothing") is None
    with pytest.raises(KeyError):
        s.exported[b"nothing"]
    assert all(s.symbols.find(name) == found for name, found in s.exported.items())
    assert set(s.exported) == {n for n, _ in s.exported.items()}


def test_without_hash_table_nothing_is_exported_but_references_stay(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-34: with neither table the object exports nothing."""
    data = gcc.shared(tmp_path / "n.so", "int puts(char *); int f(void) { return puts(0); }").read_bytes()
    bare = with_tag(data, GNU_HASH, 0x6FFFF000)
    assert HASH not in _tags(data), "the compiler wrote both tables"
    assert {e.name for e in slice_of(data).exports()} >= {"f"}
    assert slice_of(bare).exports() == []
    assert len(slice_of(bare).exported) == 0 and b"f" not in slice_of(bare).exported
    assert slice_of(bare).references == slice_of(data).references
    assert "puts" in {i.name for i in slice_of(bare).imports()}


def test_gnu_hash_wins_over_the_older_table(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-34: a name that is only in DT_HASH does not exist."""
    data = gcc.shared(tmp_path / "b.so", "int f(void) { return 0; }", "-Wl,--hash-style=both").read_bytes()
    s = slice_of(data)
    assert b"f" in s.exported
    at = data.index(b"\0f\0") + 1
    renamed = data[:at] + b"g" + data[at + 1 :]
    # The name now is g, but its hash is still that of f: the loader finds neither.
    assert b"f" not in slice_of(renamed).exported
    assert b"g" not in slice_of(renamed).exported


def test_imports_of_a_file_that_exports_nothing(gcc: Compiler, tmp_path: Path) -> None:
    """An empty .gnu.hash does not say how many symbols there are; the relocations do."""
    source = (
        "extern int puts(char *); extern int environ;"
        '__attribute__((visibility("hidden"))) int f(void) { return puts((char *)&environ); }'
    )
    s = slice_of(gcc.shared(tmp_path / "e.so", source, "-nostartfiles"))
    assert s.exports() == []
    assert {"puts", "environ"} <= {i.name for i in s.imports()}
    assert {(r.name, r.kind) for r in s.references} == {(b"puts", "plt"), (b"environ", "data")}


def test_what_a_lookup_accepts(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-28, ELF-29, ELF-31."""
    source = """
    int plain = 1; const int constant = 2; int zero; void *const pointer = &plain;
    __attribute__((weak)) int weakling(void) { return 1; }
    __attribute__((visibility("hidden"))) int hidden(void) { return 2; }
    __attribute__((visibility("protected"))) int guarded(void) { return 3; }
    __thread int per_thread = 4;
    int use(void) { return hidden() + guarded() + weakling() + per_thread; }
    """
    s = slice_of(gcc.shared(tmp_path / "k.so", source, "-Wl,-z,relro"))
    one = {name.decode(): found[0] for name, found in s.exported.items()}
    assert "hidden" not in one
    assert (one["weakling"].binding, one["weakling"].type) == ("weak", "func")
    assert (one["guarded"].visibility, one["plain"].visibility) == ("protected", "default")
    assert (one["plain"].type, one["plain"].size) == ("object", 4)
    assert one["per_thread"].type == "tls"
    assert {n: one[n].writable for n in ("plain", "zero", "constant", "pointer", "use")} == {
        "plain": True,
        "zero": True,
        "constant": False,
        "pointer": False,
        "use": False,
    }
    refs = {r.name: r for r in s.references}
    assert refs[b"weakling"].defined_here and refs[b"weakling"].kind == "plt"
    assert b"hidden" not in refs
    assert s.tls == (4, 4)


def test_unique_symbols(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-30."""
    source = """
    template <class T> struct Box { static int value; };
    template <class T> int Box<T>::value = 7;
    int *f() { return &Box<int>::value; }
    """
    s = slice_of(gcc.shared(tmp_path / "u.so", source, language="c++"))
    assert s.exported[b"_ZN3BoxIiE5valueE"][0].binding == "unique"
    assert "unique" in s.flags
    other = slice_of(gcc.shared(tmp_path / "w.so", source, "-fno-gnu-unique", language="c++"))
    assert other.exported[b"_ZN3BoxIiE5valueE"][0].binding == "weak"
    assert "unique" not in other.flags


def test_executables_and_their_plt_addresses(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-28, ELF-32: a canonical PLT entry is no definition for calls; a copy relocation skips the executable."""
    library = gcc.shared(tmp_path / "libd.so", "int data[4] = {1}; int func(void) { return 1; }", soname="libd.so")
    source = (
        "extern int data[4]; int func(void); int main(void) { int (*volatile p)(void) = func; return data[0] + p(); }"
    )
    program = _program(gcc, tmp_path / "prog", source, library, "-no-pie", "-fno-pic")
    s = slice_of(program)
    assert s.interp and s.interp.startswith("/lib") and s.etype == 2
    assert s.refusal == "cannot dynamically load executable"
    (func,) = s.exported[b"func"]
    assert func.is_undef_plt and func.value and func.shndx == 0
    assert "func" not in {e.name for e in s.exports()}
    assert "func" in {i.name for i in s.imports()}
    assert (b"data", "copy") in {(r.name, r.kind) for r in s.references}
    assert not s.exported[b"data"][0].is_undef_plt

    pie = slice_of(_program(gcc, tmp_path / "pie", source, library, "-pie", "-fPIE"))
    assert pie.pie and "pie" in pie.flags and pie.etype == 3
    assert pie.refusal == "cannot dynamically load position-independent executable"


def _program(gcc: Compiler, out: Path, source: str, library: Path, *flags: str) -> Path:
    from fixtures.compilers import run

    text = out.with_suffix(".c")
    text.write_text(source)
    run([*gcc.commands["c"], str(text), "-o", str(out), *flags, str(library)])
    return out


def test_static_programs_and_object_files_have_no_dynamic_part(gcc: Compiler, tmp_path: Path) -> None:
    from fixtures.compilers import run

    text = tmp_path / "o.c"
    text.write_text("int f(void) { return 0; }")
    run([*gcc.commands["c"], "-c", str(text), "-o", str(tmp_path / "o.o")])
    s = slice_of(tmp_path / "o.o")
    assert not s.has_dynamic and not s.has_loadable
    assert s.exports() == [] and s.imports() == [] and s.references == () and s.needed == ()
    assert s.refusal == "object file has no loadable segments"


def test_initial_exec_tls(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-45."""
    shared = "extern __thread int away; static __thread int mine; int f(void) { return away + ++mine; }"
    ie = slice_of(gcc.shared(tmp_path / "ie.so", shared, "-ftls-model=initial-exec"))
    gd = slice_of(gcc.shared(tmp_path / "gd.so", shared))
    assert ie.uses_ie_tls and ie.static_tls and "static-tls" in ie.flags
    assert not gd.uses_ie_tls and "static-tls" not in gd.flags
    assert [r.kind for r in ie.references if r.name == b"away"] == ["tls"]
    assert [r.kind for r in gd.references if r.name == b"away"] == ["tls"]
    quiet = with_tag((tmp_path / "ie.so").read_bytes(), 30, 30, value=0)  # DT_FLAGS without DF_STATIC_TLS
    assert not slice_of(quiet).static_tls and slice_of(quiet).uses_ie_tls


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("-Wl,-Bsymbolic", "symbolic"),
        ("-Wl,-z,now", "bind-now"),
        ("-Wl,-z,nodelete", "nodelete"),
        ("-Wl,-z,nodlopen", "noopen"),
        ("-Wl,-z,nodefaultlib", "nodeflib"),
        ("-Wl,-z,execstack", "execstack"),
        ("-Wl,-z,pack-relative-relocs", "relr"),
    ],
)
def test_flags(gcc: Compiler, tmp_path: Path, option: str, word: str) -> None:
    source = "int a; int *p = &a; int f(void) { return *p; }"
    plain = gcc.shared(tmp_path / "p.so", source, "-Wl,-z,lazy", "-Wl,-z,noexecstack")
    marked = gcc.shared(tmp_path / "m.so", source, "-Wl,-z,lazy", "-Wl,-z,noexecstack", option)
    assert word not in slice_of(plain).flags
    assert word in slice_of(marked).flags


def test_text_relocations(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-47."""
    source = '__asm__(".text\\n.globl f\\n f: .quad elsewhere\\n");'
    s = slice_of(gcc.shared(tmp_path / "t.so", source, "-Wl,-z,notext"))
    assert s.textrel and "textrel" in s.flags


def test_executable_stack(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-46."""
    data = gcc.shared(tmp_path / "s.so", "int f;", "-Wl,-z,noexecstack").read_bytes()
    assert slice_of(data).execstack == "not"
    assert slice_of(with_segment_type(data, PT_GNU_STACK, 0)).execstack == "unmarked"
    assert slice_of(gcc.shared(tmp_path / "x.so", "int f;", "-Wl,-z,execstack")).execstack == "executable"


def test_cpu_level(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-48: baseline 1, v2 2, v3 4, v4 8 (GNU_PROPERTY_X86_ISA_1_*)."""
    for level, bit in (("v2", 2), ("v3", 4), ("v4", 8)):
        s = slice_of(gcc.shared(tmp_path / f"{level}.so", "int f;", f"-Wl,-z,x86-64-{level}"))
        assert s.isa_needed & bit
    assert slice_of(gcc.shared(tmp_path / "p.so", "int f;")).isa_needed == 0


def test_filters(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-18."""
    s = slice_of(gcc.shared(tmp_path / "f.so", "int f;", "-Wl,-f,liba.so,-f,libb.so,-F,libc2.so"))
    assert (s.auxiliary, s.filter) == (("liba.so", "libb.so"), ("libc2.so",))


def test_build_id(gcc: Compiler, tmp_path: Path) -> None:
    s = slice_of(gcc.shared(tmp_path / "b.so", "int f;", "-Wl,--build-id=0xc0ffee"))
    assert s.build_id == "c0ffee"


def test_versym_without_version_tables_means_nothing(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-39: DT_VERSYM counts only when a version table gives its numbers names."""
    data = gcc.shared(tmp_path / "v.so", VERSIONED, "-nostdlib", version_script=VERSIONS).read_bytes()
    assert slice_of(data).has_versym
    s = slice_of(with_tag(data, 0x6FFFFFFC, 0x6FFFF001))  # no DT_VERDEF, and -nostdlib leaves no DT_VERNEED
    assert not s.has_versym and not s.has_verdef
    assert {d.version for found in s.exported.values() for d in found} == {None}
    assert slice_of(with_tag(data, VERSYM, 0x6FFFF001)).has_versym is False


def test_names_that_are_no_text(gcc: Compiler, tmp_path: Path) -> None:
    source = 'int odd(void) __asm__("na\\xefve"); int odd(void) { return 0; } int g(void) { return odd(); }'
    s = slice_of(gcc.shared(tmp_path / "u.so", source))
    assert b"na\xefve" in s.exported
    name = next(e.name for e in s.exports() if e.name and e.name.startswith("na"))
    assert name.encode("utf-8", "surrogateescape") == b"na\xefve"


def test_cut_off_file_says_where_it_ends(gcc: Compiler, tmp_path: Path) -> None:
    data = gcc.shared(tmp_path / "c.so", "int f = 1;").read_bytes()
    with pytest.raises(BinaryError, match=r"ends after 512 of 1[0-9] \d{3} bytes"):
        slice_of(data[:512])
    with pytest.raises(BinaryError, match="cut off or damaged"):
        slice_of(data[:12])
    with pytest.raises(BinaryError, match="ends after 40 of 64 bytes"):
        slice_of(data[:40])


def test_page_size(gcc: Compiler, tmp_path: Path) -> None:
    """A segment whose address and offset differ modulo the page size cannot be mapped."""
    small = slice_of(gcc.shared(tmp_path / "s.so", "int f = 1;", "-Wl,-z,max-page-size=4096"))
    large = slice_of(gcc.shared(tmp_path / "l.so", "int f = 1;", "-Wl,-z,max-page-size=65536"))
    assert 4096 <= small.page_limit < 65536 <= large.page_limit
    assert small.refusal == large.refusal == ""
    crooked = bytearray((tmp_path / "s.so").read_bytes())
    second = [at for at, kind in program_headers(bytes(crooked)) if kind == 1][1]
    crooked[second + 16] += 8  # p_vaddr
    (tmp_path / "c.so").write_bytes(crooked)
    assert slice_of(bytes(crooked)).refusal == "ELF load command address/offset not page-aligned"


def test_split_debug_files_are_no_libraries(gcc: Compiler, tmp_path: Path) -> None:
    """ELF-17: what ``objcopy --only-keep-debug`` leaves has program headers but no content."""
    if shutil.which("objcopy") is None:
        not_run("needs objcopy: apt-get install binutils")
    made = gcc.shared(tmp_path / "d.so", "int f = 1;", "-g")
    subprocess.run(["objcopy", "--only-keep-debug", str(made), str(tmp_path / "d.debug")], check=True)
    s = slice_of(tmp_path / "d.debug")
    assert not s.has_dynamic and s.exports() == [] and s.refusal
