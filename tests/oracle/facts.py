"""The loader facts a prediction rests on, one small generator each: build, then say what must happen.

Every variant is run by glibc and by the simulation (test_facts.py). ``y`` is provided, ``x`` uses it. What zig's linker
cannot build needs gcc.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from tests.oracle.bench import Bench, Variant, fact

X = "int y(void); int x(void) { return y(); }"
Y = "int y(void) { return 1; }"
USES_G = "int g(void); int x(void) { return g(); }"
G = "int g(void) { return 1; }"
NO_FILE = "cannot open shared object file: No such file or directory"
LIB = "env/lib"


def _y(b: Bench, *folders: str, soname: str | None = "liby.so.1", **options: str) -> None:
    for folder in folders:
        b.lib(f"{folder}/liby.so.1", Y, soname=soname, **options)


# -- search


@fact("without tags of its own an object is helped by the RPATH of its loaders, up to the executable", "ELF-9")
def rpath_of_the_executable(b: Bench) -> Iterator[Variant]:
    _y(b, LIB)
    b.lib("a/libx.so", X, needed=[f"{LIB}/liby.so.1"])
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): f"{LIB}/liby.so.1"}, how={"liby.so.1": "rpath"})


@fact("an object with a DT_RUNPATH, even a useless one, is helped by nobody's RPATH", "ELF-11")
def runpath_blocks_rpath(b: Bench) -> Iterator[Variant]:
    _y(b, LIB)
    b.lib("a/libx.so", X, needed=[f"{LIB}/liby.so.1"], runpath="$ORIGIN/nowhere")
    yield Variant(["a/libx.so"], errors=[f"liby.so.1: {NO_FILE}"], mapped=["a/libx.so"])


@fact("RUNPATH is not inherited; what it loaded may still use the executable's RPATH", "ELF-11, ELF-9")
def runpath_is_not_inherited(b: Bench) -> Iterator[Variant]:
    b.lib("b/libz_.so.1", "int z(void) { return 1; }", soname="libz_.so.1")
    source = "int z(void); int y(void) { return z(); }"
    b.lib("b/liby.so.1", source, soname="liby.so.1", needed=["b/libz_.so.1"])
    b.lib("a/libx.so", X, f"-Wl,-rpath-link,{b.path('b')}", needed=["b/liby.so.1"], runpath="$ORIGIN/../b")
    yield Variant(["a/libx.so"], errors=[f"libz_.so.1: {NO_FILE}"])
    shutil.copy(b.path("b/libz_.so.1"), b.path(LIB))
    yield Variant(["a/libx.so"], binds={("b/liby.so.1", "z"): f"{LIB}/libz_.so.1"})


@fact("RPATH is inherited by everything its owner pulls in", "ELF-9")
def rpath_is_inherited(b: Bench) -> Iterator[Variant]:
    b.lib("b/libz_.so.1", "int z(void) { return 1; }", soname="libz_.so.1")
    source = "int z(void); int y(void) { return z(); }"
    b.lib("b/liby.so.1", source, soname="liby.so.1", needed=["b/libz_.so.1"])
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    yield Variant(["a/libx.so"], mapped=["a/libx.so", "b/liby.so.1", "b/libz_.so.1"], how={"libz_.so.1": "rpath"})


@fact("an object with a RUNPATH of its own does not inherit its loader's RPATH", "ELF-11")
def rpath_stops_at_runpath(b: Bench) -> Iterator[Variant]:
    b.lib("b/libz_.so.1", "int z(void) { return 1; }", soname="libz_.so.1")
    source = "int z(void); int y(void) { return z(); }"
    b.lib("b/liby.so.1", source, soname="liby.so.1", needed=["b/libz_.so.1"], runpath="/nowhere")
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    yield Variant(["a/libx.so"], errors=[f"libz_.so.1: {NO_FILE}"])


@fact("an object's own RPATH comes before the executable's", "ELF-9")
def nearest_rpath_first(b: Bench) -> Iterator[Variant]:
    _y(b, "b", LIB)
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): "b/liby.so.1"})


@fact("LD_LIBRARY_PATH comes after RPATH and before RUNPATH", "ELF-6")
def library_path(b: Bench) -> Iterator[Variant]:
    _y(b, "b", "c")
    b.lib("a/libr.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    b.lib("a/libn.so", X, needed=["b/liby.so.1"], runpath="$ORIGIN/../b")
    env = {"LD_LIBRARY_PATH": "@/c"}
    yield Variant(["a/libr.so"], binds={("a/libr.so", "y"): "b/liby.so.1"}, env=env)
    yield Variant(["a/libn.so"], binds={("a/libn.so", "y"): "c/liby.so.1"}, env=env, how={"liby.so.1": "environment"})


@fact("a need is met by any loaded object of that DT_SONAME, whatever its folder and although RTLD_LOCAL", "ELF-2")
def soname_is_enough(b: Bench) -> Iterator[Variant]:
    _y(b, "b", "c")
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    yield Variant(
        ["c/liby.so.1", "a/libx.so"], {("a/libx.so", "y"): "c/liby.so.1"}, mapped=["c/liby.so.1", "a/libx.so"]
    )


@fact("a file name does not count: a loaded liby.so.1 without DT_SONAME serves nobody", "ELF-4")
def file_name_is_not_enough(b: Bench) -> Iterator[Variant]:
    _y(b, "b")
    _y(b, "c", soname=None)
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    yield Variant(["c/liby.so.1", "a/libx.so"], {("a/libx.so", "y"): "b/liby.so.1"})


@fact("links to one inode are one object, a copy is a second one", "ELF-3")
def same_inode(b: Bench) -> Iterator[Variant]:
    _y(b, "b", soname=None)
    b.path("c").mkdir()
    b.path("c/soft.so").symlink_to("../b/liby.so.1")
    os.link(b.path("b/liby.so.1"), b.path("c/hard.so"))
    shutil.copy(b.path("b/liby.so.1"), b.path("c/copy.so"))
    loads = ["b/liby.so.1", "c/soft.so", "c/hard.so", "c/copy.so"]
    yield Variant(loads, mapped=["b/liby.so.1", "c/copy.so"])


@fact("hwcaps folders are tried before the folder they lie in, in an RPATH too", "ELF-15", "x86_64")
def hwcaps(b: Bench) -> Iterator[Variant]:
    _y(b, LIB, f"{LIB}/glibc-hwcaps/x86-64-v2")
    b.lib("a/libx.so", X, needed=[f"{LIB}/liby.so.1"])
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): f"{LIB}/glibc-hwcaps/x86-64-v2/liby.so.1"})


@fact("a file for another machine is passed over; an empty one ends the search", "ELF-16")
def wrong_file(b: Bench) -> Iterator[Variant]:
    _y(b, "b")
    data = bytearray(b.path("b/liby.so.1").read_bytes())
    data[18:20] = b"\xf3\x00"  # e_machine: RISC-V
    for folder, content in (("c", bytes(data)), ("d", b"")):
        b.path(folder).mkdir()
        b.path(f"{folder}/liby.so.1").write_bytes(content)
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../c:$ORIGIN/../b")
    b.lib("a/libw.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../d:$ORIGIN/../b")
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): "b/liby.so.1"})
    yield Variant(["a/libw.so"], errors=["file too short"])


@fact(
    "$ORIGIN of a library is the folder it was opened by, links not followed; of the executable, its real one", "ELF-8"
)
def origin(b: Bench) -> Iterator[Variant]:
    _y(b, "b", "c")
    b.lib("b/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN")
    b.path("c/libx.so").symlink_to("../b/libx.so")
    yield Variant(["c/libx.so"], binds={("b/libx.so", "y"): "c/liby.so.1"})
    b.path("venv/bin").mkdir(parents=True)
    b.path("venv/bin/python").symlink_to(b.path("env/bin/python"))
    yield Variant(["c/libx.so"], binds={("b/libx.so", "y"): "c/liby.so.1"}, python="venv", statements=["import zlib"])


@fact(
    "a bare name (ctypes, cffi) is searched with the RPATH of the calling object and of the executable", "ELF-10, CL-11"
)
def bare_name(b: Bench) -> Iterator[Variant]:
    _y(b, LIB)
    yield Variant(["liby.so.1"], how={"liby.so.1": "rpath"})


@fact("ld.so.cache and the default folders come last, after RUNPATH; the prefix is not in them", "ELF-14", "gcc")
def system(b: Bench) -> Iterator[Variant]:
    b.lib("a/libx.so", "int x(void) { return 1; }", "-lresolv", runpath="/nowhere")
    yield Variant(["a/libx.so"], how={"libresolv.so.2": "cache"})


@fact("with both tags an object's RPATH is ignored, also by what it pulls in", "ELF-11", "lief")
def both_tags(b: Bench) -> Iterator[Variant]:
    import lief

    _y(b, "b", "c")
    path = b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    binary = lief.ELF.parse(str(path))
    binary.add(lief.ELF.DynamicEntryRunPath("$ORIGIN/../c"))
    binary.write(str(path))
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): "c/liby.so.1"}, how={"liby.so.1": "runpath"})


# -- scope


@fact("a need list is searched breadth-first: x -> [b -> d, c] takes c before d", "ELF-21", "gcc")
def breadth_first(b: Bench) -> Iterator[Variant]:
    b.lib("a/libd.so.1", G, soname="libd.so.1")
    source = "int g(void); int b(void) { return g(); }"
    b.lib("a/libb.so.1", source, soname="libb.so.1", needed=["a/libd.so.1"], rpath="$ORIGIN")
    b.lib("a/libc_.so.1", G, soname="libc_.so.1")
    b.lib("a/libx.so", USES_G, needed=["a/libb.so.1", "a/libc_.so.1"], rpath="$ORIGIN")
    yield Variant(["a/libx.so"], {("a/libx.so", "g"): "a/libc_.so.1", ("a/libb.so.1", "g"): "a/libc_.so.1"})


USES_OWN_G = "int g(void) { return 1; } int y(void) { return g(); }"


@fact("the opened extension interposes its own dependency", "ELF-21")
def root_interposes(b: Bench) -> Iterator[Variant]:
    b.lib("a/liby.so.1", USES_OWN_G, soname="liby.so.1")
    b.lib("a/libx.so", f"{X} int g(void) {{ return 9; }}", needed=["a/liby.so.1"], rpath="$ORIGIN")
    yield Variant(["a/libx.so"], binds={("a/liby.so.1", "g"): "a/libx.so"})


@fact("a binding stays: a second extension that reuses the library does not change it", "ELF-22")
def binding_stays(b: Bench) -> Iterator[Variant]:
    b.lib("a/liby.so.1", USES_OWN_G, soname="liby.so.1")
    for name in ("x1", "x2"):
        source = f"int y(void); int g(void) {{ return 7; }} int {name}(void) {{ return y(); }}"
        b.lib(f"a/lib{name}.so", source, needed=["a/liby.so.1"], rpath="$ORIGIN")
    for first, second in (("x1", "x2"), ("x2", "x1")):
        yield Variant([f"a/lib{first}.so", f"a/lib{second}.so"], binds={("a/liby.so.1", "g"): f"a/lib{first}.so"})


@fact("what was loaded RTLD_LOCAL feeds nobody else", "ELF-23")
def local_hides(b: Bench) -> Iterator[Variant]:
    b.lib("a/liby.so.1", G, soname="liby.so.1")
    b.lib("a/libx.so", USES_G)
    yield Variant(["a/liby.so.1", "a/libx.so"], errors=["a/libx.so: undefined symbol: g"])
    yield Variant(["a/liby.so.1:global", "a/libx.so"], binds={("a/libx.so", "g"): "a/liby.so.1"})


@fact("RTLD_GLOBAL covers the needs of what is opened, and wins over a wheel's own library", "ELF-20, ELF-21", "gcc")
def global_wins(b: Bench) -> Iterator[Variant]:
    b.lib("c/libold.so.1", G, soname="libold.so.1")
    b.lib("c/libroot.so", "int r;", needed=["c/libold.so.1"], rpath="$ORIGIN")
    b.lib("a/libnew.so.1", USES_OWN_G, soname="libnew.so.1")
    b.lib("a/libx.so", X, needed=["a/libnew.so.1"], rpath="$ORIGIN")
    yield Variant(["c/libroot.so:global", "a/libx.so"], binds={("a/libnew.so.1", "g"): "c/libold.so.1"})


@fact("opening a local object again with RTLD_GLOBAL promotes it, for what comes later", "ELF-20")
def promotion(b: Bench) -> Iterator[Variant]:
    b.lib("c/libg.so.1", G, soname="libg.so.1")
    b.lib("a/libx.so", USES_G)
    yield Variant(["c/libg.so.1", "c/libg.so.1:global", "a/libx.so"], binds={("a/libx.so", "g"): "c/libg.so.1"})


@fact("inside the global scope the order of loading decides, not the order of DT_NEEDED", "ELF-20")
def global_order(b: Bench) -> Iterator[Variant]:
    for name in ("p", "q"):
        b.lib(f"c/lib{name}.so.1", G, soname=f"lib{name}.so.1")
    b.lib("a/libx.so", USES_G, needed=["c/libp.so.1"], rpath="$ORIGIN/../c")
    loads = ["c/libq.so.1:global", "c/libp.so.1:global", "a/libx.so"]
    yield Variant(loads, binds={("a/libx.so", "g"): "c/libq.so.1"})


@fact("the executable's exports win: a wheel's own PyLong_FromLong is never used", "ELF-35", "static-libpython")
def executable_wins(b: Bench) -> Iterator[Variant]:
    source = "long PyLong_FromLong(long x) { return 0; } long q(void) { return (long)&PyLong_FromLong; }"
    b.lib("a/libp.so.1", source, soname="libp.so.1")
    python = os.path.relpath(os.path.realpath(b.path("env/bin/python")), os.path.realpath(b.folder))
    yield Variant(["a/libp.so.1"], binds={("a/libp.so.1", "PyLong_FromLong"): python})


@fact("LD_PRELOAD stands behind the executable in the global scope", "ELF-26")
def preload(b: Bench) -> Iterator[Variant]:
    b.lib("c/libp.so", G)
    b.lib("a/liby.so.1", USES_OWN_G, soname="liby.so.1")
    env = {"LD_PRELOAD": "@/c/libp.so"}
    yield Variant(["a/liby.so.1"], binds={("a/liby.so.1", "g"): "c/libp.so"}, env=env)


# -- binding


@fact(
    "DT_SYMBOLIC binds to itself first; -Bsymbolic-functions, protected and hidden leave nothing to bind",
    "ELF-25, ELF-27",
    "gcc",
)
def symbolic(b: Bench) -> Iterator[Variant]:
    b.lib("c/libg.so.1", G, soname="libg.so.1")
    hidden = f'__attribute__((visibility("hidden"))) {USES_OWN_G}'
    kinds = {
        "plain": (USES_OWN_G, ()),
        "symbolic": (USES_OWN_G, ("-Wl,-Bsymbolic",)),
        "functions": (USES_OWN_G, ("-Wl,-Bsymbolic-functions",)),
        "protected": (USES_OWN_G, ("-fvisibility=protected",)),
        "hidden": (hidden, ()),
    }
    for name, (source, flags) in kinds.items():
        b.lib(f"a/lib{name}.so", source, *flags)
    loads = ["c/libg.so.1:global", *(f"a/lib{name}.so" for name in kinds)]
    yield Variant(loads, binds={("a/libplain.so", "g"): "c/libg.so.1"})


@fact("a weak reference without a definition is 0 and stays 0", "ELF-29")
def weak_reference(b: Bench) -> Iterator[Variant]:
    b.lib("a/libx.so", "__attribute__((weak)) int g(void); int x(void) { return g ? g() : -1; }")
    b.lib("c/libg.so.1", G, soname="libg.so.1")
    yield Variant(["a/libx.so", "c/libg.so.1:global"], binds={("a/libx.so", "g"): None})
    yield Variant(["c/libg.so.1:global", "a/libx.so"], binds={("a/libx.so", "g"): "c/libg.so.1"})


@fact("weak and strong definitions are equal: the first in scope wins", "ELF-29")
def weak_definition(b: Bench) -> Iterator[Variant]:
    b.lib("a/liba.so.1", f"__attribute__((weak)) {G}", soname="liba.so.1")
    b.lib("a/libb.so.1", G, soname="libb.so.1")
    b.lib("a/libx.so", USES_G, needed=["a/liba.so.1", "a/libb.so.1"], rpath="$ORIGIN")
    yield Variant(["a/libx.so"], binds={("a/libx.so", "g"): "a/liba.so.1"})


@fact("undefined anywhere in what is pulled in is fatal at once, though never called", "ELF-44")
def undefined_at_once(b: Bench) -> Iterator[Variant]:
    source = "int nosuch(void); int y(void) { return nosuch(); }"
    b.lib("a/liby.so.1", source, soname="liby.so.1")
    b.lib("a/libx.so", X, "-Wl,--allow-shlib-undefined", needed=["a/liby.so.1"], rpath="$ORIGIN")
    yield Variant(["a/libx.so"], errors=["liby.so.1: undefined symbol: nosuch"])


@fact("a unique symbol is one per process, whatever RTLD_LOCAL says: the first bound wins", "ELF-30", "gcc")
def unique(b: Bench) -> Iterator[Variant]:
    source = (
        "template<class T> struct S {{ static int v; }}; template<class T> int S<T>::v = {0}; "
        'extern "C" int u{0}() {{ return S<int>::v; }}'
    )
    for n in (1, 2):
        b.lib(f"a/libu{n}.so", source.format(n), language="c++")
    for first, second in ((1, 2), (2, 1)):
        yield Variant(
            [f"a/libu{first}.so", f"a/libu{second}.so"],
            binds={(f"a/libu{second}.so", "_ZN1SIiE1vE"): f"a/libu{first}.so"},
        )


# -- versions


@fact("a missing version is fatal at load, used or not, before any symbol is looked up", "ELF-36")
def version_missing(b: Bench) -> Iterator[Variant]:
    both = "int y(void) { return 1; } int y2(void) { return 2; }"
    b.lib("b/liby.so.1", both, soname="liby.so.1", version_script="V1 { global: y; }; V2 { global: y2; } V1;")
    _y(b, "c", version_script="V1 { global: y; };")
    b.lib("a/libx.so", "int y2(void); int x(void) { return y2(); }", needed=["b/liby.so.1"], rpath="$ORIGIN/../c")
    yield Variant(["a/libx.so"], errors=["c/liby.so.1: version `V2' not found (required by "])


@fact("a provider without versions serves a versioned need, silently", "ELF-39", "gcc")
def provider_without_versions(b: Bench) -> Iterator[Variant]:
    _y(b, "b", version_script="V1 { global: y; };")
    _y(b, "c")
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../c")
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): "c/liby.so.1"})


@fact("a versioned reference takes an unversioned definition that comes earlier", "ELF-39")
def unversioned_earlier(b: Bench) -> Iterator[Variant]:
    _y(b, "b", version_script="V1 { global: y; };")
    b.lib("b/libi.so.1", Y, soname="libi.so.1")
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    yield Variant(["b/libi.so.1:global", "a/libx.so"], binds={("a/libx.so", "y"): "b/libi.so.1"})


@fact("a versioned reference passes over the same name of another version", "ELF-38")
def other_version(b: Bench) -> Iterator[Variant]:
    _y(b, "b", version_script="V1 { global: y; };")
    b.lib("b/libi.so.1", Y, soname="libi.so.1", version_script="V9 { global: y; };")
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    yield Variant(["b/libi.so.1:global", "a/libx.so"], binds={("a/libx.so", "y"): "b/liby.so.1"})


@fact("an unversioned reference binds to a versioned definition", "ELF-40", "gcc")
def unversioned_reference(b: Bench) -> Iterator[Variant]:
    _y(b, "c")
    b.lib("a/libx.so", X, needed=["c/liby.so.1"], rpath="$ORIGIN/../b")
    source = (
        '__asm__(".symver y1,y@V1"); __asm__(".symver y2,y@@V2"); int y1(void) { return 1; } int y2(void) { return 2; }'
    )
    script = "V1 { global: y; local: y1; y2; }; V2 { global: y; } V1;"
    b.lib("b/liby.so.1", source, soname="liby.so.1", version_script=script)
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): "b/liby.so.1"})


@fact("a hidden version serves an unversioned reference when it is the only one", "ELF-40", "gcc")
def hidden_version(b: Bench) -> Iterator[Variant]:
    _y(b, "c")
    b.lib("a/libx.so", X, needed=["c/liby.so.1"], rpath="$ORIGIN/../b")
    source = '__asm__(".symver yy,y@V1"); int yy(void) { return 1; }'
    b.lib("b/liby.so.1", source, soname="liby.so.1", version_script="V1 { global: y; local: yy; };")
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): "b/liby.so.1"})


@fact("the version is there, the symbol is not: undefined at relocation, named with its version", "ELF-38, ELF-44")
def symbol_missing_in_version(b: Bench) -> Iterator[Variant]:
    both = "int y(void) { return 1; } int y2(void) { return 2; }"
    b.lib("b/liby.so.1", both, soname="liby.so.1", version_script="V1 { global: y; y2; };")
    _y(b, "c", version_script="V1 { global: y; };")
    b.lib("a/libx.so", "int y2(void); int x(void) { return y2(); }", needed=["b/liby.so.1"], rpath="$ORIGIN/../c")
    yield Variant(["a/libx.so"], errors=["a/libx.so: undefined symbol: y2, version V1"])


# -- memory, and what a failure leaves behind


@fact("initial-exec TLS of a late library must fit into a small rest", "ELF-45", "x86_64", "gcc")
def static_tls(b: Bench) -> Iterator[Variant]:
    for size in (1024, 1664, 1736, 4096):
        keyword = '__attribute__((tls_model("initial-exec"))) __thread'
        source = f"{keyword} char t[{size}]; char *f(void) {{ t[0] = 1; return t; }}"
        b.lib(f"a/libt{size}.so", source)
    yield Variant(["a/libt1024.so"])
    yield Variant(["a/libt1664.so"])
    yield Variant(["a/libt1736.so"], errors=["cannot allocate memory in static TLS block"])  # rounding leaves below 64
    yield Variant(["a/libt4096.so"], errors=["cannot allocate memory in static TLS block"])


@fact("a failed load leaves nothing behind: what it brought captures no names", "GEN-3")
def roll_back(b: Bench) -> Iterator[Variant]:
    _y(b, "b", "c")
    b.lib(
        "c/libbad.so",
        f"int nosuch(void); int bad(void) {{ return nosuch(); }} {X}",
        needed=["c/liby.so.1"],
        rpath="$ORIGIN",
    )
    b.lib("a/libx.so", X, needed=["b/liby.so.1"], rpath="$ORIGIN/../b")
    yield Variant(
        ["c/libbad.so", "a/libx.so"],
        binds={("a/libx.so", "y"): "b/liby.so.1"},
        errors=["c/libbad.so: undefined symbol: nosuch"],
        mapped=["c/libbad.so", "c/liby.so.1", "a/libx.so", "b/liby.so.1"],
    )
