"""Corners of the loader that few libraries reach: tokens, filters, aliases, preloads, thread-local storage."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.oracle.bench import Bench, Variant, fact
from tests.oracle.facts import LIB, NO_FILE, USES_G, G, X, Y

STATIC = "cannot allocate memory in static TLS block"
IE = '__attribute__((tls_model("initial-exec"))) __thread'


@fact("$LIB is the multiarch directory where the loader was built for one", "ELF-8", "x86_64")
def lib_token(b: Bench) -> Iterator[Variant]:
    multiarch = "lib/x86_64-linux-gnu"
    used = multiarch if os.path.isdir(f"/{multiarch}") else "lib64"
    for folder in ("lib64", multiarch):
        b.lib(f"a/{folder}/liby.so.1", Y, soname="liby.so.1")
    b.lib("a/libx.so", X, needed=["a/lib64/liby.so.1"], rpath="$ORIGIN/$LIB")
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): f"a/{used}/liby.so.1"})


@fact("a token ends where an identifier would: $LIBS and $ORIGINAL are plain text", "ELF-8")
def longer_names_are_no_tokens(b: Bench) -> Iterator[Variant]:
    b.lib("a/$LIBS/$ORIGINAL/liby.so.1", Y, soname="liby.so.1")
    b.lib("a/libx.so", X, needed=["a/$LIBS/$ORIGINAL/liby.so.1"], rpath="${ORIGIN}/$LIBS/$ORIGINAL")
    yield Variant(["a/libx.so"], binds={("a/libx.so", "y"): "a/$LIBS/$ORIGINAL/liby.so.1"})


@fact("$ORIGIN in LD_LIBRARY_PATH is the program's directory", "ELF-13")
def origin_in_the_variable(b: Bench) -> Iterator[Variant]:
    b.lib("c/liby.so.1", Y, soname="liby.so.1")
    b.lib("a/libx.so", X, needed=["c/liby.so.1"], runpath="/nowhere")
    env = {"LD_LIBRARY_PATH": "$ORIGIN/../../c"}
    yield Variant(["a/libx.so"], env=env, how={"liby.so.1": "environment"})


@fact("a DT_SONAME with a slash is met by just that text, and searched for by nobody", "ELF-2, ELF-7")
def soname_with_a_slash(b: Bench) -> Iterator[Variant]:
    b.lib("c/libg.so.1", G, soname="build/libg.so.1")
    b.lib("a/libx.so", USES_G, needed=["c/libg.so.1"], rpath="$ORIGIN/../c")
    yield Variant(["a/libx.so"], errors=[f"build/libg.so.1: {NO_FILE}"])
    yield Variant(["c/libg.so.1", "a/libx.so"], binds={("a/libx.so", "g"): "c/libg.so.1"})


@fact("a name that a library was met by stays with it, also when the load that asked fails", "ELF-3, GEN-3")
def alias_of_a_failed_load(b: Bench) -> Iterator[Variant]:
    b.lib("c/liby.so.1", Y, soname="liby.so.1")
    b.path("c/libalias.so.1").symlink_to("liby.so.1")
    b.lib("linked/libalias.so.1", Y, soname="libalias.so.1")
    source = "int nosuch(void); int y(void); int bad(void) { return nosuch() + y(); }"
    b.lib("c/libbad.so", source, needed=["linked/libalias.so.1"], rpath="$ORIGIN")
    b.lib("a/libx.so", X, needed=["linked/libalias.so.1"])
    yield Variant(["c/liby.so.1", "a/libx.so"], errors=[f"libalias.so.1: {NO_FILE}"])
    yield Variant(
        ["c/liby.so.1", "c/libbad.so", "a/libx.so"],
        binds={("a/libx.so", "y"): "c/liby.so.1"},
        errors=["undefined symbol: nosuch"],
    )


@fact("what LD_PRELOAD names and is not there, or no library, is ignored", "ELF-26")
def preload_of_nothing(b: Bench) -> Iterator[Variant]:
    b.lib("c/libp.so", G)
    b.path("c/text.so").write_text("a linker script would look like this\n" * 9)
    b.lib("a/libx.so", USES_G)
    env = {"LD_PRELOAD": "@/c/nosuch.so:libnosuch.so.1 @/c/text.so @/c/libp.so"}
    yield Variant(["a/libx.so"], binds={("a/libx.so", "g"): "c/libp.so"}, env=env)


@fact("what a filtee lacks is missing, whether or not the filtee itself was optional", "ELF-18", "gcc")
def filtee_of_nothing(b: Bench) -> Iterator[Variant]:
    b.lib("b/libdeep.so.1", G, soname="libdeep.so.1")
    b.lib("a/libfiltee.so.1", Y, soname="libfiltee.so.1", needed=["b/libdeep.so.1"])
    b.lib("a/libx.so", Y, "-Wl,-f,libfiltee.so.1", rpath="$ORIGIN")
    b.lib("a/libw.so", Y, "-Wl,-f,libnosuch.so.1", rpath="$ORIGIN")
    yield Variant(["a/libx.so", "a/libw.so"], errors=[f"libdeep.so.1: {NO_FILE}"])
    b.lib(f"{LIB}/libdeep.so.1", G, soname="libdeep.so.1")
    yield Variant(["a/libx.so"], mapped=["a/libx.so", "a/libfiltee.so.1"])


@fact("initial-exec access to another library's variable puts that library into the static block", "ELF-45", "gcc")
def static_tls_of_another(b: Bench) -> Iterator[Variant]:
    b.lib("a/libt.so.1", "__thread char t[1200]; char *f(void) { return t; }", soname="libt.so.1")
    source = f"extern {IE} char t[1200]; char *x(void) {{ return t; }}"
    b.lib("a/libx.so", source, needed=["a/libt.so.1"], rpath="$ORIGIN")
    b.lib("a/libown.so", f"static {IE} char u[1200]; char *u_(void) {{ return u; }}")
    yield Variant(["a/libt.so.1", "a/libown.so"])
    yield Variant(["a/libx.so", "a/libown.so"], errors=[f"a/libown.so: {STATIC}"])
    yield Variant(["a/libown.so", "a/libx.so"], errors=[f"a/libt.so.1: {STATIC}"])


@fact("TLS descriptors take up to 512 bytes of the static block while there are some", "ELF-45", "x86_64", "gcc")
def static_tls_for_descriptors(b: Bench) -> Iterator[Variant]:
    for size in (400, 2400):
        source = f"__thread char t[{size}]; char *f(void) {{ return t; }}"
        b.lib(f"a/libd{size}.so", source, "-mtls-dialect=gnu2")
    for size in (1000, 1400):
        b.lib(f"a/libi{size}.so", f"static {IE} char u[{size}]; char *u_(void) {{ return u; }}")
    yield Variant(["a/libd400.so", "a/libi1000.so"])
    yield Variant(["a/libd400.so", "a/libi1400.so"], errors=[f"a/libi1400.so: {STATIC}"])
    yield Variant(["a/libi1400.so", "a/libd400.so"])
    yield Variant(["a/libd2400.so", "a/libi1400.so"])
