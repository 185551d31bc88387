"""The simulation beside musl's own loader: the same files, the same words of dlerror() (MUSL-1 to MUSL-4).

musl's loader comes from Debian's package (unpacked, not installed); the program that calls dlopen is made with zig.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fixtures.compilers import gnu_compiler
from tests.requirements import need, not_run

from abicheck.host import Host
from abicheck.loader import musl
from abicheck.loader.process import Event
from abicheck.overlay import View
from abicheck.trees import DiskTree, Layer, LayeredTree, bytes_entry

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]

DRIVER = """
#include <dlfcn.h>
#include <stdio.h>
int main(int c, char **v) {
  for (int i = 1; i < c; i++) puts(dlopen(v[i], RTLD_NOW | RTLD_LOCAL) ? "ok" : dlerror());
  return 0;
}
"""
HOST = Host("declared", "musl", "linux-64", complete=True, libc="musl")


@dataclass(frozen=True)
class Real:
    """musl's loader and a program that opens its arguments."""

    loader: Path
    libc: bytes
    driver: bytes


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    need("gcc", "zig", "apt", "x86_64")
    folder = tmp_path_factory.mktemp("musl")
    got = subprocess.run(["apt-get", "download", "musl"], cwd=folder, capture_output=True, text=True, check=False)
    packages = list(folder.glob("musl_*.deb"))
    if not packages:
        not_run(f"Debian's package musl cannot be downloaded: {got.stderr.strip()[-200:]}")
    subprocess.run(["dpkg", "-x", str(packages[0]), str(folder)], check=True)
    (folder / "driver.c").write_text(DRIVER)
    options = ["-target", "x86_64-linux-musl", "-dynamic", "-O2", "-fno-sanitize=all", "-Wl,-rpath,$ORIGIN/../lib"]
    command = [sys.executable, "-m", "ziglang", "cc", *options, "driver.c", "-o", "driver"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    libc = (folder / "lib/x86_64-linux-musl/libc.so").read_bytes()
    return Real(folder / "lib/ld-musl-x86_64.so.1", libc, (folder / "driver").read_bytes())


class Place:
    """One case: ``env`` is the prefix, everything else lies beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        found = gnu_compiler()
        assert found is not None
        self._compiler = found

    def library(self, path: str, source: str, *flags: str, needed: Sequence[str | Path] = (), **more: str) -> Path:
        """A library; what it needs by name is an empty stub at link time."""
        stubs = [n if isinstance(n, Path) else self._stub(n) for n in needed]
        out = self.root / path
        options = {"soname": out.name, **{k: v.replace("{root}", str(self.root)) for k, v in more.items()}}
        return self._compiler.shared(out, source, "-nostdlib", *flags, needed=stubs, **options)  # type: ignore[arg-type]

    def _stub(self, name: str) -> Path:
        return self._compiler.shared(self.root / "stubs" / name, "", "-nostdlib", soname=name)


def _library_path(p: Place) -> list[str]:
    p.library("a/liba.so", "int tagged(void) { return 0; }")
    p.library("b/liba.so", "int declared(void) { return 0; }")
    source = "int declared(void); int f(void) { return declared(); }"
    p.library("site/ext.so", source, needed=["liba.so"], rpath="{root}/a")
    return ["site/ext.so"]


def _inherited(p: Place) -> list[str]:
    p.library("site/own/libdeep.so", "int deep;")
    p.library("site/own/libmiddle.so", "int middle;", needed=["libdeep.so"])
    p.library("site/ext.so", "int e;", needed=["libmiddle.so"], runpath="$ORIGIN/own")
    p.library("env/lib/liba.so", "int a;")
    p.library("site/program.so", "int p;", needed=["liba.so"], runpath="/nowhere")
    p.library("own/libend.so", "int end;")
    p.library("env/lib/libtoken.so", "int t;", needed=["libend.so"], rpath="$LIB/x:{root}/own")
    p.library("site/token.so", "int e;", needed=["libtoken.so"])
    return ["site/ext.so", "site/program.so", "site/token.so"]


def _identity(p: Place) -> list[str]:
    p.library("site/libgeos-1.so", "int a;", soname="libgeos.so")
    p.library("site/ext.so", "int e;", needed=["libgeos.so"])
    p.library("env/lib/liba.so", "int a(void) { return 0; }")
    p.library("site/one.so", "int one;", needed=["liba.so"])
    p.library("site/two.so", "int a(void); int f(void) { return a(); }")
    return ["site/libgeos-1.so", "site/ext.so", "site/one.so", "site/two.so"]


def _versions(p: Place) -> list[str]:
    script = "V1 { global: old; }; V2 { global: new; } V1;"
    both = "int old(void) { return 1; } int new(void) { return 2; }"
    linked = p.library("linked/libv.so", both, version_script=script)
    p.library("site/ext.so", "int new(void); int call(void) { return new(); }", needed=[linked])
    p.library("env/lib/libv.so", "int new(void) { return 3; }", version_script="V1 { global: new; };")
    hidden = '__asm__(".symver f_old, f@V1"); int f_old(void) { return 1; }'
    p.library("env/lib/libh.so", hidden, version_script="V1 { global: f; local: *; };")
    p.library("site/hidden.so", "int f(void); int call(void) { return f(); }", needed=["libh.so"])
    return ["site/ext.so", "site/hidden.so"]


def _storage(p: Place) -> list[str]:
    model = '__attribute__((tls_model("initial-exec")))'
    p.library("site/global.so", f"{model} __thread int t; int get(void) {{ return t; }}")
    p.library("site/static.so", f"{model} static __thread int t; int get(void) {{ return t++; }}")
    p.library("site/dynamic.so", "__thread int t; int get(void) { return t; }")
    return ["site/global.so", "site/static.so", "site/dynamic.so"]


def _builtin(p: Place) -> list[str]:
    names = ["libc.musl-x86_64.so.1", "libc.so.6", "libpthread.so.0", "libm.so.6", "libdl.so.2", "librt.so.1"]
    p.library("site/ext.so", "int e;", needed=names)
    p.library("site/crypt.so", "int e;", needed=["libcrypt.so.1"])
    p.library("site/glibc.so", "int e;", needed=["ld-linux-x86-64.so.2"])
    return ["site/ext.so", "site/crypt.so", "site/glibc.so"]


def _no_libraries(p: Place) -> list[str]:
    for path, data in (("first/liba.so", b"/* GNU ld script */ INPUT(liba.so.1)\n" * 30), ("site/short.so", b"hi")):
        (p.root / path).parent.mkdir(parents=True, exist_ok=True)
        (p.root / path).write_bytes(data)
    p.library("second/liba.so", "int a;")
    p.library("site/ext.so", "int e;", needed=["liba.so"], runpath="{root}/first:{root}/second")
    (p.root / "site/folder.so").mkdir()
    return ["site/ext.so", "site/short.so", "site/folder.so", "site/absent.so"]


def _undone(p: Place) -> list[str]:
    p.library("own/liba.so", "int own;")
    source = "int gone(void); int f(void) { return gone(); }"
    p.library("site/bad.so", source, needed=["liba.so"], runpath="{root}/own")
    p.library("env/lib/liba.so", "int theirs;")
    p.library("site/good.so", "extern int theirs; int *f(void) { return &theirs; }", needed=["liba.so"])
    p.library("site/weak.so", "__attribute__((weak)) int no(void); int f(void) { return no ? no() : 0; }")
    return ["site/bad.so", "site/good.so", "site/weak.so"]


CASES: tuple[tuple[Callable[[Place], list[str]], str], ...] = (
    (_library_path, ""), (_library_path, "b"), (_inherited, ""), (_identity, ""), (_versions, ""), (_storage, ""),
    (_builtin, ""), (_no_libraries, ""), (_undone, ""),
)  # fmt: skip


@pytest.mark.parametrize(("make", "path"), CASES, ids=lambda v: getattr(v, "__name__", v).strip("_"))
def test_process_and_simulation_agree(
    real: Real, tmp_path: Path, make: Callable[[Place], list[str]], path: str,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    program = tmp_path / "env/bin/python"
    program.parent.mkdir(parents=True)
    program.write_bytes(real.driver)
    program.chmod(0o755)
    opened = [str(tmp_path / o) for o in make(Place(tmp_path))]
    env = {"LD_LIBRARY_PATH": str(tmp_path / path)} if path else {}
    done = subprocess.run(
        [str(real.loader), str(program), *opened], env=env, capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert len(said) == len(opened)

    layer = Layer()
    for place in ("/lib", "/usr/lib"):  # the first is a link on many systems
        layer.added[f"{place}/ld-musl-x86_64.so.1"] = bytes_entry(place, real.libc)
    view = View(str(tmp_path / "env"), LayeredTree(DiskTree(), layer), lambda _: None)
    process = musl.start(view, HOST, executable=str(program), subdir="linux-64", env=env)
    assert process.trace().events[0].outcome == "loaded"
    results = [process.load(Event(o)) for o in opened]
    assert [r.failure.message if r.failure else "ok" for r in results] == said
    record_property("compared", f"{len(said)} loads compared")
