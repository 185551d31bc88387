"""musl's loader over made files: where it looks, what it calls the same, what it refuses (MUSL-1 to MUSL-5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from fixtures.compilers import gnu_compiler
from tests.requirements import need

from abicheck.host import Host
from abicheck.loader import glibc, loader_for, musl
from abicheck.loader.process import Event, EventResult, Trace
from abicheck.overlay import View
from abicheck.trees import MemoryTree, bytes_entry

ROOT = "/env"
SITE = f"{ROOT}/site"
LOADER = "/lib/ld-musl-x86_64.so.1"
MUSL = Host("declared", "musl", "linux-64", complete=True, libc="musl")
LIBC = "int __libc_start_main; int stdin; int printf(void) { return 0; } int errno_of_libc;"


class Workshop:
    """Builds libraries without any libc and puts them into a view."""

    def __init__(self, folder: Path) -> None:
        need("gcc", "x86_64")
        found = gnu_compiler()
        assert found is not None
        self._compiler, self._folder = found, folder

    def library(self, source: str, name: str = "libx.so", **more: object) -> bytes:
        out = self._folder / name
        self._compiler.shared(out, source, "-nostdlib", **{"soname": name, **more})  # type: ignore[arg-type]
        return out.read_bytes()

    def needing(self, source: str, *names: str, **more: object) -> bytes:
        """A library that needs others of these names (empty ones are linked)."""
        stubs = [self._compiler.shared(self._folder / "stubs" / n, "", "-nostdlib", soname=n) for n in names]
        return self.library(source, "ext.so", needed=stubs, **more)

    def program(self, *names: str, rpath: str = "$ORIGIN/../lib") -> bytes:
        interp = 'const char interp[] __attribute__((section(".interp"))) = "/lib/ld-musl-x86_64.so.1";'
        return self.needing(f"int PyLong_Type; {interp}", *names, rpath=rpath)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def started(
    workshop: Workshop, files: Mapping[str, bytes], *, host: Host = MUSL, env: Mapping[str, str] | None = None
) -> musl.MuslProcess:
    program = files.get(f"{ROOT}/bin/python") or workshop.program("libc.so")
    tree = {**files, f"{ROOT}/bin/python": program, LOADER: workshop.library(LIBC, "libc.so")}
    view = View(ROOT, MemoryTree({p: bytes_entry(p, d) for p, d in tree.items()}), lambda _: None)
    return musl.start(view, host, executable=f"{ROOT}/bin/python", subdir="linux-64", env=env)


def loaded(process: musl.MuslProcess, path: str, **more: object) -> EventResult:
    return process.load(Event(path, **more))  # type: ignore[arg-type]


def served(trace: Trace, name: str) -> list[str | None]:
    """What met each request for a name: paths, in order."""
    return [trace.objects[e.provider].path if e.provider is not None else None for e in trace.edges if e.name == name]


def test_it_is_chosen_by_the_hosts_libc() -> None:
    assert loader_for("linux-64", "musl") is musl
    assert loader_for("linux-64") is glibc and loader_for("linux-64", "glibc") is glibc
    assert loader_for("linux-aarch64", "musl") is musl


def test_the_library_path_comes_before_any_tag(workshop: Workshop) -> None:
    """MUSL-1: the opposite of glibc with DT_RPATH."""
    files = {
        f"{SITE}/ext.so": workshop.needing("", "liba.so", rpath="/tagged"),
        "/tagged/liba.so": workshop.library("int tagged;", "liba.so"),
        "/declared/liba.so": workshop.library("int declared;", "liba.so"),
    }
    plain = started(workshop, files)
    assert loaded(plain, f"{SITE}/ext.so").outcome == "loaded"
    assert served(plain.trace(), "liba.so") == ["/tagged/liba.so"]
    with_path = started(workshop, files, env={"LD_LIBRARY_PATH": "/declared"})
    loaded(with_path, f"{SITE}/ext.so")
    assert served(with_path.trace(), "liba.so") == ["/declared/liba.so"]


def test_runpath_is_inherited_like_rpath(workshop: Workshop) -> None:
    """MUSL-1: both tags are one thing, and ancestors up to the program are asked."""
    middle = workshop.needing("", "libdeep.so", soname="libmiddle.so")
    files = {
        f"{SITE}/ext.so": workshop.needing("", "libmiddle.so", runpath="$ORIGIN/own"),
        f"{SITE}/own/libmiddle.so": middle,
        f"{SITE}/own/libdeep.so": workshop.library("int deep;", "libdeep.so"),
    }
    process = started(workshop, files)
    assert loaded(process, f"{SITE}/ext.so").outcome == "loaded"
    assert served(process.trace(), "libdeep.so") == [f"{SITE}/own/libdeep.so"]


def test_the_programs_tag_serves_what_is_opened(workshop: Workshop) -> None:
    """MUSL-1: what dlopen opens counts as needed by the program, whose DT_RPATH or DT_RUNPATH is searched last."""
    files = {
        f"{SITE}/ext.so": workshop.needing("", "liba.so", runpath="/nowhere"),
        f"{ROOT}/lib/liba.so": workshop.library("int a;", "liba.so"),
    }
    process = started(workshop, files)
    assert loaded(process, f"{SITE}/ext.so").outcome == "loaded"
    assert served(process.trace(), "liba.so") == [f"{ROOT}/bin/../lib/liba.so"]


def test_a_tag_with_another_token_is_void(workshop: Workshop) -> None:
    assert musl.rpath_directories("/a:$LIB/b", "/o") == ()
    assert musl.rpath_directories("$ORIGIN/x:${ORIGIN}/y\n/z", "/o") == ("/o/x", "/o/y", "/z")
    assert musl.rpath_directories(None, "/o") == ()


def test_a_soname_never_answers(workshop: Workshop) -> None:
    """MUSL-2: a library that was opened by its path is not found by its soname; the search is made."""
    files = {
        f"{SITE}/libgeos-1a2b.so": workshop.library("int one;", "libgeos.so"),
        f"{SITE}/ext.so": workshop.needing("", "libgeos.so"),
    }
    process = started(workshop, files)
    assert loaded(process, f"{SITE}/libgeos-1a2b.so").outcome == "loaded"
    failed = loaded(process, f"{SITE}/ext.so")
    assert failed.failure is not None and failed.failure.kind == "MISSING_LIB"
    assert failed.failure.message == (
        f"Error loading shared library libgeos.so: No such file or directory (needed by {SITE}/ext.so)"
    )
    assert failed.failure.rule == "MUSL-1"


def test_the_same_file_is_one_object_and_then_has_a_short_name(workshop: Workshop) -> None:
    """MUSL-2: a search that ends at a file which was opened by its path gives that one its name."""
    files = {
        f"{ROOT}/lib/liba.so": workshop.library("int a;", "liba.so"),
        f"{SITE}/ext.so": workshop.needing("", "liba.so"),
        f"{SITE}/other.so": workshop.needing("int other;", "liba.so", runpath="/nowhere"),
    }
    process = started(workshop, files)
    loaded(process, f"{ROOT}/lib/liba.so")
    loaded(process, f"{SITE}/ext.so")
    loaded(process, f"{SITE}/other.so")
    trace = process.trace()
    assert served(trace, "liba.so") == [f"{ROOT}/lib/liba.so"] * 2
    assert [e.how for e in trace.edges if e.name == "liba.so"] == ["file-id", "name"]


def test_versions_are_not_compared(workshop: Workshop) -> None:
    """MUSL-3: what glibc refuses with a missing version loads; only a name without definition fails."""
    script = "V1 { global: old; }; V2 { global: new; } V1;"
    new = workshop.library("int old(void) { return 1; } int new(void) { return 2; }", "libv.so", version_script=script)
    (Path(workshop._folder) / "link").mkdir()
    linked = Path(workshop._folder) / "link" / "libv.so"
    linked.write_bytes(new)
    source = "int new(void); int call(void) { return new(); }"
    extension = workshop.library(source, "ext.so", needed=[linked])
    older = workshop.library("int new(void) { return 3; }", "libv.so", version_script="V1 { global: new; };")
    gone = workshop.library("int old(void) { return 3; }", "libv.so", version_script="V1 { global: old; };")
    process = started(workshop, {f"{SITE}/ext.so": extension, f"{ROOT}/lib/libv.so": older})
    assert loaded(process, f"{SITE}/ext.so").outcome == "loaded"
    process = started(workshop, {f"{SITE}/ext.so": extension, f"{ROOT}/lib/libv.so": gone})
    failed = loaded(process, f"{SITE}/ext.so")
    assert failed.failure is not None
    assert failed.failure.message == f"Error relocating {SITE}/ext.so: new: symbol not found"
    assert (failed.failure.kind, failed.failure.symbol) == ("MISSING_SYMBOL", "new")


def test_hidden_versions_are_not_found(workshop: Workshop) -> None:
    """MUSL-3: a definition that is no default (name@V1) serves nobody."""
    source = '__asm__(".symver f_old, f@V1"); int f_old(void) { return 1; }'
    library = workshop.library(source, "libv.so", version_script="V1 { global: f; local: *; };")
    extension = workshop.needing("int f(void); int call(void) { return f(); }", "libv.so")
    process = started(workshop, {f"{SITE}/ext.so": extension, f"{ROOT}/lib/libv.so": library})
    failed = loaded(process, f"{SITE}/ext.so")
    assert failed.failure is not None and failed.failure.symbol == "f"


def test_initial_exec_storage_is_refused_late(workshop: Workshop) -> None:
    """MUSL-4: thread-local storage of the initial-exec model works at program start only."""
    source = '__attribute__((tls_model("initial-exec"))) __thread int t; int get(void) { return t; }'
    library = workshop.library(source, "libt.so")
    process = started(workshop, {f"{SITE}/libt.so": library})
    failed = loaded(process, f"{SITE}/libt.so")
    assert failed.failure is not None
    assert (failed.failure.kind, failed.failure.rule) == ("LOAD_REJECTED", "MUSL-4")
    assert "initial-exec TLS resolves to dynamic definition" in failed.failure.message
    at_start = started(
        workshop, {f"{ROOT}/bin/python": workshop.program("libc.so", "libt.so"), f"{ROOT}/lib/libt.so": library}
    )
    assert at_start.trace().events[0].outcome == "loaded"


def test_libcs_own_names_are_built_in(workshop: Workshop) -> None:
    """MUSL-4, MUSL-5: libc.musl-x86_64.so.1, glibc's names for it and libpthread need no file."""
    names = ("libc.musl-x86_64.so.1", "libc.so.6", "libpthread.so.0", "libm.so.6", "libdl.so.2")
    process = started(workshop, {f"{SITE}/ext.so": workshop.needing("", *names)})
    assert loaded(process, f"{SITE}/ext.so").outcome == "loaded"
    assert {o.path for o in process.trace().objects if o.event > 0} == {f"{SITE}/ext.so"}
    assert {e.rule for e in process.trace().edges if e.name in names} == {"MUSL-4"}


def test_another_libc_is_not_loaded(workshop: Workshop) -> None:
    """MUSL-4: a file that looks like a libc is put aside, and the running one serves."""
    files = {f"{SITE}/other-libc.so": workshop.library(LIBC, "other-libc.so")}
    process = started(workshop, files)
    assert loaded(process, f"{SITE}/other-libc.so").outcome == "loaded"
    assert process.trace().objects and all(o.path != f"{SITE}/other-libc.so" for o in process.trace().objects)


def test_the_first_file_is_taken_whatever_it_is(workshop: Workshop) -> None:
    """MUSL-1: no search goes on after a file that is none; a linker script ends the load."""
    files = {
        f"{SITE}/ext.so": workshop.needing("", "liba.so", runpath="/first:/second"),
        "/first/liba.so": b"/* GNU ld script */ INPUT(liba.so.1)\n" * 10,
        "/second/liba.so": workshop.library("int a;", "liba.so"),
    }
    failed = loaded(started(workshop, files), f"{SITE}/ext.so")
    assert failed.failure is not None and failed.failure.kind == "LOAD_REJECTED"
    assert failed.failure.message == (
        f"Error loading shared library liba.so: Exec format error (needed by {SITE}/ext.so)"
    )


def test_a_failed_load_leaves_nothing(workshop: Workshop) -> None:
    """GEN-3: what a failing load mapped answers no later request."""
    files = {
        f"{SITE}/bad.so": workshop.needing("int gone(void); int f(void) { return gone(); }", "liba.so", runpath="/own"),
        "/own/liba.so": workshop.library("int own;", "liba.so"),
        f"{SITE}/good.so": workshop.needing("int good;", "liba.so"),
        f"{ROOT}/lib/liba.so": workshop.library("int theirs;", "liba.so"),
    }
    process = started(workshop, files)
    before = process.fork()
    assert loaded(process, f"{SITE}/bad.so").outcome == "failed"
    assert loaded(process, f"{SITE}/good.so").outcome == "loaded"
    assert served(process.trace(), "liba.so") == ["/own/liba.so", f"{ROOT}/bin/../lib/liba.so"]
    assert len(before.trace().events) == 1, "a fork does not see what the other does"


def test_a_library_of_an_unknown_host_is_unknown(workshop: Workshop) -> None:
    """GEN-6: nothing is missing for certain when the host is not known."""
    host = Host("declared", "musl", "linux-64", libc="musl")
    process = started(workshop, {f"{SITE}/ext.so": workshop.needing("", "libz.so.1")}, host=host)
    assert loaded(process, f"{SITE}/ext.so").outcome == "loaded"
    assert served(process.trace(), "libz.so.1") == ["libz.so.1"]
