"""Rules of the glibc loader one by one, where the real one cannot be asked or tests/oracle/facts.py does not ask it:
other releases, other processors, hosts that are only described, files no linker makes. loader-semantics.md section 2.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.loader.elf_worlds import MODERN, PYTHON, World, failure

from abicheck.host import CacheEntry, Host
from abicheck.loader.glibc_checks import TLS_SURPLUS
from abicheck.loader.glibc_search import Target, directories, expand

X = "int y(void); int x(void) { return y(); }"
Y = "int y(void) { return 1; }"
UNKNOWN = Host("none", "nothing is known", "linux-64")
SPECIAL = Host("declared", "", "linux-64", libc="glibc", glibc=(2, 36))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- names (ELF-5) ------------------------------------------------------------------------


def test_names_match_exactly(world: World) -> None:
    """libz.so is not libz.so.1, LIBY is not liby: two files, two objects."""
    world.lib("a/liby.so.73", Y)
    world.lib("b/liby.so.75", Y)
    world.lib("b/LIBY.so.73", Y)
    world.lib("x/one.so", X, needed=["b/liby.so.75"], rpath="$ORIGIN/../b")
    world.lib("x/two.so", X, needed=["b/LIBY.so.73"], rpath="$ORIGIN/../b")
    process = world.start()
    for name in ("a/liby.so.73", "x/one.so", "x/two.so"):
        assert world.open(process, name).outcome == "loaded"
    assert world.mapped(process) == [
        "a/liby.so.73", "x/one.so", "x/../b/liby.so.75", "x/two.so", "x/../b/LIBY.so.73",
    ]  # fmt: skip
    assert world.open(process, "liby.so").outcome == "failed"


# -- paths as needs (ELF-7), tokens (ELF-8) -----------------------------------------------


def test_a_need_with_a_slash_is_opened_and_not_searched(world: World) -> None:
    world.lib("b/liby.so.1", Y, soname="$ORIGIN/../b/liby.so.1")
    world.lib("lib/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["b/liby.so.1"])
    process, result = world.load("x/x.so")
    assert result.outcome == "loaded" and world.mapped(process)[1] == "x/../b/liby.so.1"
    assert world.how(process, world.path("x/../b/liby.so.1")) == ("path", "ELF-7")


def test_a_path_of_the_build_machine_is_missing_although_the_library_lies_on_the_path(world: World) -> None:
    world.lib("b/liby.so.1", Y, soname="/build/machine/liby.so.1")
    world.lib("lib/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["b/liby.so.1"])
    process, result = world.load("x/x.so")
    assert failure(result) == (
        "MISSING_LIB", "ELF-6",
        "/build/machine/liby.so.1: cannot open shared object file: No such file or directory",
    )  # fmt: skip
    assert world.mapped(process) == [], "what the failed load mapped is gone (GEN-3)"


def test_tokens() -> None:
    amd64, i386, other = Target(64, 62, True), Target(32, 3, True), Target(64, 999, True)
    assert expand("${ORIGIN}/../$LIB/$PLATFORM", "/p/x", amd64) == "/p/x/../lib64/x86_64"
    assert expand("$ORIGIN/a", "/p", i386) == "/p/a" and expand("/$LIB", "/", i386) == "/lib"
    assert expand("$PLATFORM", "/", other) is None, "an unresolvable token discards its element"
    assert expand("$LIBS/$ORIGIN_/${LIB}s/$ORIGIN", "/$LIB", amd64) == "$LIBS/$ORIGIN_/lib64s//$LIB"
    assert directories("$ORIGIN/../lib:/a:/a/:$PLATFORM::/", "/p/bin", other) == ("/p/bin/../lib", "/a", ".", "/")
    debian = replace(MODERN, directories=("/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"))
    arm = Target(64, 183, True)
    assert expand("$LIB", "/", arm.on(debian)) == "lib/aarch64-linux-gnu" and expand("$LIB", "/", arm) == "lib64"


def test_origin_of_a_link_is_where_the_link_lies(world: World) -> None:
    """A linked extension does not see what lies beside its target; the program does (its path is resolved)."""
    world.lib("real/liby.so.1", Y)
    world.lib("real/x.so", X, needed=["real/liby.so.1"], rpath="$ORIGIN")
    (world.root / "x").mkdir()
    (world.root / "x" / "x.so").symlink_to("../real/x.so")
    assert world.load("real/x.so")[1].outcome == "loaded"
    assert failure(world.load("x/x.so")[1])[0] == "MISSING_LIB"
    (world.root / "venv" / "bin").mkdir(parents=True)
    (world.root / PYTHON).rename(world.root / "bin" / "real")
    (world.root / PYTHON).symlink_to("real")
    world.lib("lib/libw.so.1", "int w(void) { return 1; }")
    world.lib("x/w.so", "int w(void); int v(void) { return w(); }", needed=["lib/libw.so.1"])
    process, result = world.load("x/w.so")
    assert result.outcome == "loaded" and process.objects[0].path == world.path("bin/real")


# -- search order (ELF-6, ELF-11, ELF-12, ELF-13, ELF-14) ----------------------------------


def test_five_places_one_after_the_other(world: World) -> None:
    for folder in ("rpath", "env", "runpath", "cached", "default"):
        world.lib(f"{folder}/liby.so.1", Y)
    cache = {"liby.so.1": (CacheEntry(world.path("cached/liby.so.1"), 0x0303),)}
    host = replace(MODERN, cache=cache, directories=(world.path("default"),))
    env = {"LD_LIBRARY_PATH": world.path("env")}
    world.lib("x/old.so", X, needed=["rpath/liby.so.1"], rpath="$ORIGIN/../rpath")
    world.lib("x/new.so", X, needed=["rpath/liby.so.1"], runpath="$ORIGIN/../runpath")

    def found(name: str) -> tuple[str, str]:
        return world.how(world.load(name, host, env)[0], "liby.so.1")

    assert found("x/old.so") == ("rpath", "ELF-9")
    assert found("x/new.so") == ("environment", "ELF-13")
    (world.root / "rpath" / "liby.so.1").unlink()
    assert found("x/old.so") == ("environment", "ELF-13")
    (world.root / "env" / "liby.so.1").unlink()
    assert found("x/new.so") == ("runpath", "ELF-11")
    (world.root / "runpath" / "liby.so.1").unlink()
    assert found("x/new.so") == found("x/old.so") == ("cache", "ELF-14")
    (world.root / "cached" / "liby.so.1").unlink()
    assert found("x/old.so") == ("default", "ELF-14")
    (world.root / "default" / "liby.so.1").unlink()
    process, result = world.load("x/new.so", host, env)
    kind, _, text = failure(result)
    assert (kind, text) == ("MISSING_LIB", "liby.so.1: cannot open shared object file: No such file or directory")
    assert result.failure is not None
    tried = [a.path.removeprefix(f"{world.root}/") for a in result.failure.attempts if "tls" not in a.path]
    assert tried == ["env/liby.so.1", "x/../runpath/liby.so.1", "cached/liby.so.1", "default/liby.so.1"]
    assert world.mapped(process) == []


def test_a_runpath_closes_the_way_to_the_prefix(world: World) -> None:
    """ELF-11: with a useless DT_RUNPATH the library in ``lib`` is not found; with a useless DT_RPATH it is."""
    world.lib("lib/liby.so.1", Y)
    world.lib("x/runpath.so", X, needed=["lib/liby.so.1"], runpath="/nowhere")
    world.lib("x/rpath.so", X, needed=["lib/liby.so.1"], rpath="/nowhere")
    assert failure(world.load("x/runpath.so")[1])[0] == "MISSING_LIB"
    process, result = world.load("x/rpath.so")
    assert result.outcome == "loaded" and world.how(process, "liby.so.1") == ("rpath", "CL-1")


def test_the_program_s_runpath_helps_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, rpath="")
    world.lib("lib/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["lib/liby.so.1"])
    assert failure(world.load("x/x.so")[1])[0] == "MISSING_LIB"


def test_the_variable_is_split_at_colons_and_semicolons(world: World) -> None:
    world.lib("b/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["b/liby.so.1"])
    for value in (f"/none;{world.path('b')}", f":{world.path('b')}/:", f"/none:relative:{world.path('b')}"):
        process, result = world.load("x/x.so", env={"LD_LIBRARY_PATH": value})
        assert result.outcome == "loaded" and world.how(process, "liby.so.1") == ("environment", "ELF-13"), value
    assert failure(world.load("x/x.so", env={"LD_LIBRARY_PATH": ""})[1])[0] == "MISSING_LIB"


def test_nodeflib_keeps_out_of_the_system_s_directories(world: World) -> None:
    world.lib("sys/liby.so.1", Y)
    world.lib("x/plain.so", X, needed=["sys/liby.so.1"])
    world.lib("x/nodeflib.so", X, "-Wl,-z,nodefaultlib", needed=["sys/liby.so.1"])
    cache = {"liby.so.1": (CacheEntry(world.path("sys/liby.so.1"), 0x0303),)}
    plain = replace(MODERN, directories=(world.path("sys"),))
    for host in (plain, replace(plain, cache=cache)):
        assert world.load("x/plain.so", host)[1].outcome == "loaded"
        assert failure(world.load("x/nodeflib.so", host)[1])[0] == "MISSING_LIB"


def test_an_unknown_host_may_have_it(world: World) -> None:
    """GEN-6: absence proves nothing, and what such a library defines is believed."""
    world.lib("b/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["b/liby.so.1"])
    process, result = world.load("x/x.so", UNKNOWN)
    assert result.outcome == "loaded" and world.how(process, "liby.so.1") == ("default", "ELF-14")
    assert world.provider(process, "x/x.so", "y") == "liby.so.1"


# -- refused or passed over (ELF-16, ELF-17) -------------------------------------------------


@pytest.mark.parametrize("bad", ["dangling", "another machine", "another class", "not a directory", "a directory link"])
def test_passed_over_and_searched_on(world: World, bad: str) -> None:
    world.lib("good/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["good/liby.so.1"], rpath="$ORIGIN/../bad:$ORIGIN/../good")
    data = world.data("good/liby.so.1")
    if bad == "dangling":
        (world.root / "bad").mkdir()
        (world.root / "bad" / "liby.so.1").symlink_to("nowhere")
    elif bad == "not a directory":
        world.put("bad", b"a file")
    elif bad == "a directory link":
        (world.root / "bad").symlink_to("nowhere")
    else:
        data[4 if bad == "another class" else 18] = {"another class": 1, "another machine": 0xB7}[bad]
        world.put("bad/liby.so.1", bytes(data))
    process, result = world.load("x/x.so")
    assert result.outcome == "loaded" and world.mapped(process)[1] == "x/../good/liby.so.1"


def test_only_another_class_there_is_said_in_those_words(world: World) -> None:
    world.lib("bad/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["bad/liby.so.1"], rpath="$ORIGIN/../bad")
    data = world.data("bad/liby.so.1")
    data[4] = 1
    world.put("bad/liby.so.1", bytes(data))
    assert failure(world.load("x/x.so")[1]) == ("LOAD_REJECTED", "ELF-16", "liby.so.1: wrong ELF class: ELFCLASS32")


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (0, b"INPUT(liby.so.2)", "invalid ELF header"),
        (0, b"version https://git-lfs.github.com/spec/v1", "invalid ELF header"),
        (5, b"\x02", "ELF file data encoding not little-endian"),
        (7, b"\x11", "ELF file OS ABI invalid"),
        (9, b"\x01", "nonzero padding in e_ident"),
        (16, b"\x01", "only ET_DYN and ET_EXEC can be loaded"),
        (16, b"\x04", "only ET_DYN and ET_EXEC can be loaded"),
    ],
)
def test_what_ends_the_search_although_a_good_file_follows(world: World, at: int, value: bytes, words: str) -> None:
    world.lib("good/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["good/liby.so.1"], rpath="$ORIGIN/../bad:$ORIGIN/../good")
    data = world.data("good/liby.so.1")
    data[at : at + len(value)] = value
    bad = world.put("bad/liby.so.1", bytes(data))
    kind, rule, text = failure(world.load("x/x.so")[1])
    assert (kind, rule) == ("LOAD_REJECTED", "ELF-16")
    assert text == f"{bad.replace('/bad/', '/x/../bad/')}: {words}"


def test_a_directory_of_that_name_ends_the_search(world: World) -> None:
    world.lib("good/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["good/liby.so.1"], rpath="$ORIGIN/../bad:$ORIGIN/../good")
    (world.root / "bad" / "liby.so.1").mkdir(parents=True)
    kind, rule, text = failure(world.load("x/x.so")[1])
    assert (kind, rule) == ("LOAD_REJECTED", "ELF-16") and text.endswith("cannot read file data: Is a directory")


def test_programs_cannot_be_opened(world: World) -> None:
    world.program("bin/tool", "int main(void) { return 0; }")
    kind, rule, text = failure(world.load("bin/tool")[1])
    assert (kind, rule) == ("LOAD_REJECTED", "ELF-17")
    assert text.endswith("bin/tool: cannot dynamically load position-independent executable")
    data = world.data("bin/tool")
    data[16] = 2  # ET_EXEC
    world.put("bin/old", bytes(data))
    assert failure(world.load("bin/old")[1])[2].endswith("bin/old: cannot dynamically load executable")


def test_noopen_objects_and_what_needs_them(world: World) -> None:
    world.lib("lib/liby.so.1", Y, "-Wl,-z,nodlopen")
    world.lib("x/x.so", X, needed=["lib/liby.so.1"])
    for name in ("lib/liby.so.1", "x/x.so"):
        kind, rule, text = failure(world.load(name)[1])
        assert (kind, rule) == ("LOAD_REJECTED", "ELF-17") and "shared object cannot be dlopen()ed" in text


# -- filters (ELF-18) -----------------------------------------------------------------------


def test_an_auxiliary_filtee_comes_first_and_may_be_absent(world: World) -> None:
    world.lib("lib/libreal.so.1", Y)
    world.lib("lib/liby.so.1", Y, "-Wl,-f,libreal.so.1")
    world.lib("x/x.so", X, needed=["lib/liby.so.1"])
    process, result = world.load("x/x.so")
    assert result.outcome == "loaded" and world.provider(process, "x/x.so", "y") == "bin/../lib/libreal.so.1"
    (world.root / "lib" / "libreal.so.1").unlink()
    process, result = world.load("x/x.so")
    assert result.outcome == "loaded" and world.provider(process, "x/x.so", "y") == "bin/../lib/liby.so.1"


def test_a_filtee_of_a_filter_must_be_there(world: World) -> None:
    world.lib("lib/libreal.so.1", Y)
    world.lib("lib/liby.so.1", Y, "-Wl,-F,libreal.so.1")
    world.lib("x/x.so", X, needed=["lib/liby.so.1"])
    assert world.provider(world.load("x/x.so")[0], "x/x.so", "y") == "bin/../lib/libreal.so.1"
    (world.root / "lib" / "libreal.so.1").unlink()
    assert failure(world.load("x/x.so")[1])[0] == "MISSING_LIB"


# -- scopes (ELF-22, ELF-25, ELF-29, ELF-31) ---------------------------------------------------

SELF = "int g(void) {{ return {0}; }} int use{0}(void) {{ return g(); }}"


def test_deepbind_searches_the_own_libraries_first(world: World) -> None:
    """RTLD_DEEPBIND holds for what the open maps, its dependencies too, and not for what is there already (ELF-25)."""
    world.lib("c/libg.so.1", "int g(void) { return 9; } int y(void) { return 9; }")
    world.lib("a/liby.so.1", "int g(void); int y(void) { return g(); }")
    world.lib("a/libg.so.2", "int g(void) { return 1; }")
    needed = ["a/liby.so.1", "a/libg.so.2"]
    world.lib("a/x.so", "int y(void); int x(void) { return y(); }", needed=needed, rpath="$ORIGIN")
    for deep, own in ((True, "a/liby.so.1"), (False, "c/libg.so.1")):
        process = world.start()
        world.open(process, "c/libg.so.1", flags_global=True)
        assert world.open(process, "a/x.so", deepbind=deep).outcome == "loaded"
        assert world.provider(process, "a/x.so", "y") == own
        assert world.provider(process, "a/liby.so.1", "g") == ("a/libg.so.2" if deep else own)
    process = world.start()
    world.open(process, "c/libg.so.1", flags_global=True)
    world.open(process, "a/liby.so.1")
    assert world.open(process, "a/x.so", deepbind=True).outcome == "loaded"
    assert world.provider(process, "a/liby.so.1", "g") == "c/libg.so.1"


def test_lazily_bound_functions_may_be_undefined(world: World) -> None:
    """Without RTLD_NOW: functions, unless the file asks to be bound at once; data never (ELF-44)."""
    function = "int nosuch(void); int x(void) { return nosuch(); }"
    world.lib("a/function.so", function, "-Wl,-z,lazy")
    world.lib("a/now.so", function, "-Wl,-z,now")
    world.lib("a/data.so", "extern int nosuch; int x(void) { return nosuch; }", "-Wl,-z,lazy")
    for name, outcome in (("a/function.so", "loaded"), ("a/now.so", "failed"), ("a/data.so", "failed")):
        assert world.open(world.start(), name, lazy=True).outcome == outcome, name
        assert world.open(world.start(), name).outcome == "failed", name
    bound_now = world.start(env={"LD_BIND_NOW": "1"})
    assert world.open(bound_now, "a/function.so", lazy=True).outcome == "failed"


def test_the_first_loader_decides_for_good(world: World) -> None:
    world.lib("lib/libdep.so.1", SELF.format(0))
    for n in (1, 2):
        world.lib(f"x/root{n}.so", f"int use0(void); int g(void) {{ return {n}; }} int r{n}(void) {{ return use0(); }}",
                  needed=["lib/libdep.so.1"])  # fmt: skip
    for first, second in ((1, 2), (2, 1)):
        process = world.start()
        for n in (first, second):
            world.open(process, f"x/root{n}.so")
        assert world.provider(process, "bin/../lib/libdep.so.1", "g") == f"x/root{first}.so"


def test_symbolic_objects_serve_themselves(world: World) -> None:
    world.lib("a/glob.so", SELF.format(1))
    for name in ("plain", "symbolic"):
        world.lib(f"x/{name}.so", SELF.format(2), "-Wl,-z,now")
    world.dynamic("x/symbolic.so", "DT_FLAGS", value=0x2)  # DF_SYMBOLIC with the relocations kept
    process = world.start()
    world.open(process, "a/glob.so", flags_global=True)
    for name, provider in (("plain", "a/glob.so"), ("symbolic", "x/symbolic.so")):
        world.open(process, f"x/{name}.so")
        assert world.provider(process, f"x/{name}.so", "g") == provider


def test_bsymbolic_leaves_nothing_to_bind(world: World) -> None:
    """ELF-27: relocations are walked, not names; a linker that bound inside leaves none."""
    world.lib("x/x.so", SELF.format(2), "-Wl,-Bsymbolic")
    process, _ = world.load("x/x.so")
    assert process.trace().bindings[1] == ()


def test_a_weak_definition_serves_as_well_as_a_strong_one_and_a_weak_reference_may_go_unserved(world: World) -> None:
    world.lib("lib/weak.so", "__attribute__((weak)) int y(void) { return 1; }")
    world.lib("lib/strong.so", Y)
    source = "int y(void); __attribute__((weak)) int nobody(void); int x(void) { return nobody ? nobody() : y(); }"
    world.lib("x/x.so", source, needed=["lib/weak.so", "lib/strong.so"])
    process, result = world.load("x/x.so")
    assert result.outcome == "loaded"
    assert world.provider(process, "x/x.so", "y") == "bin/../lib/weak.so"
    assert world.provider(process, "x/x.so", "nobody") is None


def test_a_protected_definition_is_not_interposed_for_its_owner(world: World) -> None:
    world.lib("a/glob.so", "int g(void) { return 1; }")
    protected = '__attribute__((visibility("protected"))) int g(void) { return 2; }'
    world.lib("x/protected.so", f"{protected} int (*take(void))(void) {{ return g; }}")
    world.lib("x/user.so", "int g(void); int x(void) { return g(); }", needed=["x/protected.so"], rpath="$ORIGIN")
    process = world.start()
    world.open(process, "a/glob.so", flags_global=True)
    assert world.open(process, "x/user.so").outcome == "loaded"
    at = next(o.index for o in process.objects if o.path.endswith("protected.so"))
    rows = process.trace().bindings[at]
    assert {b.provider for b in rows if b.symbol == "g"} <= {at}
    assert world.provider(process, "x/user.so", "g") == "a/glob.so", "others see it as anything exported"


# -- versions (ELF-36 to ELF-43) ---------------------------------------------------------------

V1, V2 = "V1 { y; };", "V2 { y; };"


def versioned_user(world: World) -> None:
    world.lib("lib/liby.so.1", Y, version_script=V1)
    world.lib("x/x.so", X, needed=["lib/liby.so.1"])


def test_a_needed_version_must_be_defined_even_if_nothing_of_it_is_used(world: World) -> None:
    versioned_user(world)
    assert world.load("x/x.so")[1].outcome == "loaded"
    provider = world.lib("lib/liby.so.1", Y, version_script=V2)
    kind, rule, text = failure(world.load("x/x.so")[1])
    told = provider.replace("/lib/", "/bin/../lib/")
    assert (kind, rule) == ("MISSING_VERSION", "ELF-36")
    assert text == f"{told}: version `V1' not found (required by {world.path('x/x.so')})"


def test_the_library_of_a_version_need_must_be_loaded(world: World) -> None:
    """What ``patchelf --remove-needed`` leaves behind: the assertion ends the process (ELF-37)."""
    versioned_user(world)
    world.dynamic("x/x.so", "DT_NEEDED", to=0x6FFFFEF0)  # a tag that nobody reads
    process, result = world.load("x/x.so")
    kind, rule, text = failure(result)
    assert (result.outcome, kind, rule) == ("aborted", "PROCESS_ABORT", "ELF-37") and "needed != NULL" in text
    assert world.open(process, "lib/liby.so.1").outcome == "aborted", "a dead process loads nothing"


@pytest.mark.parametrize(("glibc", "outcome"), [((2, 31), "aborted"), ((2, 40), "aborted"), ((2, 41), "loaded")])
def test_an_unversioned_library_under_the_needed_name(world: World, glibc: tuple[int, int], outcome: str) -> None:
    """Up to 2.40 an assertion of check_match ends the process, from 2.41 it serves (ELF-39)."""
    versioned_user(world)
    world.lib("lib/liby.so.1", Y)
    process, result = world.load("x/x.so", replace(MODERN, glibc=glibc))
    assert result.outcome == outcome
    if outcome == "aborted":
        assert failure(result)[:2] == ("PROCESS_ABORT", "ELF-39")
    else:
        assert world.provider(process, "x/x.so", "y") == "bin/../lib/liby.so.1"


@pytest.mark.parametrize(
    ("script", "serves"), [(None, True), ("V1 { y; };", True), ("V2 { y; };", False)], ids=["bare", "same", "other"]
)
def test_who_interposes_a_versioned_reference(world: World, script: str | None, serves: bool) -> None:
    versioned_user(world)
    more = {} if script is None else {"version_script": script}
    world.lib("a/glob.so", Y, **more)
    process = world.start()
    world.open(process, "a/glob.so", flags_global=True)
    assert world.open(process, "x/x.so").outcome == "loaded"
    assert world.provider(process, "x/x.so", "y") == ("a/glob.so" if serves else "bin/../lib/liby.so.1")


def test_an_unversioned_reference_takes_the_oldest_version(world: World) -> None:
    """Three versions, the middle one default: link-time users without versions get the first (ELF-40)."""
    world.lib("b/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["b/liby.so.1"])
    definition = 'int y{0}(void) {{ return {0}; }} __asm__(".symver y{0},y{1}V{0}");'
    source = "".join(definition.format(n, at) for n, at in ((1, "@"), (2, "@@"), (3, "@")))
    world.lib("lib/liby.so.1", source, version_script="V1 { global: y; local: *; }; V2 { y; } V1; V3 { y; } V2;")
    process, result = world.load("x/x.so")
    assert result.outcome == "loaded" and world.provider(process, "x/x.so", "y") == "bin/../lib/liby.so.1"


def test_a_reference_to_a_version_that_no_definition_has(world: World) -> None:
    """The node exists, the symbol is not in it: the load-time check passes, binding does not (ELF-38, ELF-44)."""
    versioned_user(world)
    world.lib("lib/liby.so.1", f"{Y} int z(void) {{ return 2; }}", version_script="V1 { z; }; V2 { y; } V1;")
    result = world.load("x/x.so")[1]
    assert failure(result)[:2] == ("MISSING_SYMBOL", "ELF-44")
    assert failure(result)[2] == f"{world.path('x/x.so')}: undefined symbol: y, version V1"
    assert result.failure is not None and result.failure.provider == world.path("bin/../lib/liby.so.1")


@pytest.mark.parametrize(("glibc", "kind"), [((2, 28), "MISSING_VERSION"), ((2, 38), ""), (None, "")])
def test_a_libc_that_is_only_described(world: World, glibc: tuple[int, int] | None, kind: str) -> None:
    """ELF-43: the nodes of a declared glibc follow from its number; an undeclared one is believed."""
    world.lib("b/libc.so.6", "int strl(void) { return 1; }", version_script="GLIBC_2.2.5 { }; GLIBC_2.38 { strl; };")
    world.lib("x/x.so", "int strl(void); int x(void) { return strl(); }", needed=["b/libc.so.6"])
    result = world.load("x/x.so", replace(UNKNOWN, libc="glibc", glibc=glibc))[1]
    assert (result.failure.kind if result.failure else "") == kind
    if result.failure:
        assert result.failure.needs_host and result.failure.version == "GLIBC_2.38"


def test_a_described_libstdcxx_lacks_what_its_version_lacks(world: World) -> None:
    world.lib("b/libstdc++.so.6", Y, version_script="GLIBCXX_3.4.32 { y; };")
    world.lib("x/x.so", X, needed=["b/libstdc++.so.6"])
    old = replace(UNKNOWN, provides={"libstdc++.so.6": frozenset({"GLIBCXX_3.4", "GLIBCXX_3.4.25"})})
    assert failure(world.load("x/x.so", old)[1])[:2] == ("MISSING_VERSION", "ELF-36")
    new = replace(UNKNOWN, provides={"libstdc++.so.6": frozenset({"GLIBCXX_3.4.32"})})
    assert world.load("x/x.so", new)[1].outcome == "loaded"


# -- static TLS (ELF-45), executable stacks (ELF-46), CPU levels (ELF-48) -----------------------


def tls(size: int, name: str) -> str:
    return f"static __thread char {name}[{size}]; char *get_{name}(int n) {{ return &{name}[n]; }}"


def test_static_tls_adds_up_until_nothing_is_left(world: World) -> None:
    """glibc's sums: sizes rounded to their alignment out of one surplus, in load order; a failed load gives back."""
    flags = ("-ftls-model=initial-exec",)
    for name, size in (("a", 1000), ("b", 300), ("c", 400), ("d", 100)):
        world.lib(f"x/{name}.so", tls(size, name), *flags)
    process = world.start()
    assert [world.open(process, f"x/{n}.so").outcome for n in "abcd"] == ["loaded", "loaded", "failed", "loaded"]
    assert 1400 <= process.static_tls_used <= TLS_SURPLUS + 64
    late = world.open(process, "x/c.so")
    assert failure(late)[:2] == ("LOAD_REJECTED", "ELF-45")
    assert failure(late)[2] == f"{world.path('x/c.so')}: cannot allocate memory in static TLS block"
    assert world.open(world.start(), "x/c.so").outcome == "loaded", "alone it fits"
    assert world.open(process, "x/a.so").outcome == "loaded", "what is in has its place"


def test_general_dynamic_tls_takes_nothing(world: World) -> None:
    world.lib("x/big.so", tls(100_000, "big"), "-ftls-model=global-dynamic", "-Wl,--unresolved-symbols=ignore-all")
    process = world.start(UNKNOWN)
    world.open(process, "x/big.so")
    assert process.static_tls_used == 0


@pytest.mark.parametrize("glibc", [(2, 31), (2, 36)])
def test_the_surplus_is_the_same_in_all_releases(world: World, glibc: tuple[int, int]) -> None:
    world.lib("x/fits.so", tls(TLS_SURPLUS, "fits"), "-ftls-model=initial-exec")
    world.lib("x/over.so", tls(TLS_SURPLUS + 65, "over"), "-ftls-model=initial-exec")
    host = replace(MODERN, glibc=glibc)
    assert world.load("x/fits.so", host)[1].outcome == "loaded"
    assert failure(world.load("x/over.so", host)[1])[1] == "ELF-45"


def test_tls_of_the_start_is_not_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.lib("lib/libtls.so.1", tls(5000, "early"), "-ftls-model=initial-exec")
    world.program(PYTHON, "int main(void) { return 0; }", needed=["lib/libtls.so.1"])
    process, result = world.load("lib/libtls.so.1")
    assert result.outcome == "loaded" and process.static_tls_used == 0


@pytest.mark.parametrize(("glibc", "outcome"), [((2, 40), "loaded"), ((2, 41), "failed"), (None, "loaded")])
@pytest.mark.parametrize("flags", ["-Wl,-z,execstack", "no header"])
def test_executable_stacks(world: World, flags: str, glibc: tuple[int, int] | None, outcome: str) -> None:
    """ELF-46: from 2.41 on dlopen refuses a library that asks for an executable stack, by mark or by lack of one."""
    world.lib("x/x.so", Y, *([flags] if flags.startswith("-") else []))
    if flags == "no header":
        data = world.data("x/x.so")
        at = data.index((0x6474E551).to_bytes(4, "little"))
        data[at : at + 4] = (0x6FFFFFF0).to_bytes(4, "little")
        world.put("x/x.so", bytes(data))
    result = world.load("x/x.so", replace(MODERN, glibc=glibc))[1]
    assert result.outcome == outcome
    if outcome == "failed":
        assert failure(result)[:2] == ("LOAD_REJECTED", "ELF-46") and "executable stack" in failure(result)[2]
        assert result.failure is not None and result.failure.needs_host


@pytest.mark.parametrize(
    ("level", "glibc", "outcome"),
    [(1, (2, 36), "failed"), (2, (2, 36), "failed"), (3, (2, 36), "loaded"), (4, (2, 36), "loaded"),
     (None, (2, 36), "loaded"), (1, (2, 32), "loaded")],
)  # fmt: skip
def test_cpu_levels(world: World, level: int | None, glibc: tuple[int, int], outcome: str) -> None:
    """ELF-48: a file marked for x86-64-v3 (glibc 2.33 and later look at the mark)."""
    world.lib("x/x.so", Y, "-Wl,-z,x86-64-v3")
    result = world.load("x/x.so", replace(MODERN, cpu_level=level, glibc=glibc))[1]
    assert result.outcome == outcome
    if outcome == "failed":
        assert failure(result) == (
            "LOAD_REJECTED",
            "ELF-48",
            f"{world.path('x/x.so')}: CPU ISA level is lower than required",
        )


# -- processes ------------------------------------------------------------------------------


def test_a_fork_and_its_original_do_not_see_each_other(world: World) -> None:
    world.lib("lib/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["lib/liby.so.1"])
    process = world.start()
    other = process.fork()
    world.open(other, "x/x.so", flags_global=True)
    assert world.mapped(process) == [] and len(world.mapped(other)) == 2
    assert process.global_scope == (0,) and len(other.global_scope) == 3
    assert [len(p.trace().events) for p in (process, other)] == [1, 2]
    assert process.same_bindings(0, other, 0)


def test_a_process_that_does_not_bind_maps_the_same(world: World) -> None:
    world.lib("lib/liby.so.1", Y)
    world.lib("x/x.so", X.replace("return y()", "int nobody(void); return y() + nobody()"), needed=["lib/liby.so.1"])
    full, quick = world.start(), world.start(binds=False)
    assert failure(world.open(full, "x/x.so"))[0] == "MISSING_SYMBOL"
    assert world.open(quick, "x/x.so").outcome == "loaded"
    assert world.mapped(quick) == ["x/x.so", "bin/../lib/liby.so.1"] and not quick.trace().bindings


def test_a_program_that_cannot_run(world: World) -> None:
    data = world.data(PYTHON)
    data[18] = 0xB7
    world.put(PYTHON, bytes(data))
    process = world.start()
    assert process.results[0].outcome == "failed" and failure(process.results[0])[1] == "ELF-16"


def test_preloaded_libraries_come_right_after_the_program(world: World) -> None:
    world.lib("a/pre.so", Y)
    world.lib("lib/liby.so.1", Y)
    world.lib("x/x.so", X, needed=["lib/liby.so.1"])
    process, _ = world.load("x/x.so", env={"LD_PRELOAD": world.path("a/pre.so")})
    assert world.provider(process, "x/x.so", "y") == "a/pre.so" and world.mapped(process)[0] == "a/pre.so"
