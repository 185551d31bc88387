"""Small worlds of ELF files for tests of the glibc simulation: built with gcc, without a libc, loaded by nobody."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from fixtures.compilers import Compiler, gnu_compiler
from tests.requirements import need

from abicheck.host import Host
from abicheck.loader import glibc
from abicheck.loader.glibc import GlibcProcess
from abicheck.loader.process import Event, EventResult
from abicheck.overlay import View
from abicheck.trees import DiskTree, SplitTree

PYTHON = "bin/python3.12"
MODERN = Host("declared", "a modern host", "linux-64", complete=True, libc="glibc", glibc=(2, 36))


class World:
    """A folder that is a prefix. ``bin/python3.12`` is a program with conda's DT_RPATH that needs nothing."""

    def __init__(self, folder: Path, program: str = "int main(void) { return 0; }", **options: object) -> None:
        need("gcc", "x86_64")
        found = gnu_compiler()
        assert found is not None
        self._compiler: Compiler = found
        self.root = Path(os.path.realpath(folder)) / "env"
        self.program(PYTHON, program, **options)  # type: ignore[arg-type]

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def lib(
        self, name: str, source: str = "", *flags: str, soname: str | None = "", needed: Sequence[str] = (), **more: str
    ) -> str:
        """A library at a path of the prefix. Its DT_SONAME is its file name unless given (None: it has none)."""
        out = self.root / name
        known = [self.root / n for n in needed]
        soname = out.name if soname == "" else soname
        self._compiler.shared(out, source, "-nostdlib", *flags, soname=soname, needed=known, **more)  # type: ignore[arg-type]
        return str(out)

    def program(self, name: str, source: str, *, needed: Sequence[str] = (), rpath: str = "$ORIGIN/../lib") -> str:
        """A position-independent executable that exports all it defines."""
        out, text = self.root / name, self.root.parent / "program.c"
        out.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(source)
        command = [
            "gcc",
            "-nostdlib",
            "-nostartfiles",
            "-fPIC",
            "-pie",
            "-rdynamic",
            "-Wl,-e,main",
            str(text),
            "-o",
            str(out),
        ]
        tag = ["-Wl,--disable-new-dtags", f"-Wl,-rpath,{rpath}"] if rpath else []
        subprocess.run([*command, *tag, "-Wl,--no-as-needed", *(self.path(n) for n in needed)], check=True)
        return str(out)

    def put(self, name: str, data: bytes) -> str:
        out = self.root / name
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(data)
        return str(out)

    def data(self, name: str) -> bytearray:
        return bytearray((self.root / name).read_bytes())

    def dynamic(self, name: str, tag: str, *, to: int | None = None, value: int | None = None) -> None:
        """Give the first dynamic entry of a kind (``DT_NEEDED``) another tag or value; no linker makes such files."""
        data = self.data(name)
        with (self.root / name).open("rb") as f:
            segment = next(s for s in ELFFile(f).iter_segments() if isinstance(s, DynamicSegment))
            nth = next(n for n, t in enumerate(segment.iter_tags()) if t.entry.d_tag == tag)
            at = segment["p_offset"] + nth * 16
        old = struct.unpack_from("<QQ", data, at)
        struct.pack_into("<QQ", data, at, old[0] if to is None else to, old[1] if value is None else value)
        self.put(name, bytes(data))

    def start(self, host: Host = MODERN, env: Mapping[str, str] | None = None, *, binds: bool = True) -> GlibcProcess:
        """A process of the prefix's interpreter; only the prefix exists, and what the host's facts say."""
        outside = DiskTree() if host.use_files else None
        view = View(str(self.root), SplitTree(str(self.root), DiskTree(), outside), lambda _path: None)
        return glibc.start(view, host, executable=self.path(PYTHON), subdir="linux-64", env=env, binds=binds)

    def load(
        self, name: str, host: Host = MODERN, env: Mapping[str, str] | None = None
    ) -> tuple[GlibcProcess, EventResult]:
        process = self.start(host, env)
        return process, self.open(process, name)

    def open(self, process: GlibcProcess, name: str, *, caller: str = "", **flags: bool) -> EventResult:
        """dlopen by a path of the prefix, or by bare name; ``flags`` as of an :class:`Event`."""
        asked = self.path(name) if "/" in name else name
        return process.load(Event(asked, caller=self.path(caller) if caller else None, **flags))  # type: ignore[arg-type]

    def mapped(self, process: GlibcProcess) -> list[str]:
        """Prefix-relative paths of what is mapped now, beyond the program."""
        return [self._relative(process.objects[i].path) for i in process.live if i]

    def provider(self, process: GlibcProcess, name: str, symbol: str) -> str | None:
        """Which file serves a symbol of an object: prefix-relative, None for a weak reference that nobody serves."""
        trace = process.trace()
        paths = {self._relative(o.path): o.index for o in trace.objects if o.kept}
        at = next(b.provider for b in trace.bindings[paths[name]] if b.symbol == symbol)
        return None if at is None else self._relative(trace.objects[at].path)

    def how(self, process: GlibcProcess, asked: str) -> tuple[str, str]:
        """How the latest request for a name was met: the contract's word and the loader rule."""
        edge = next(e for e in reversed(process.trace().edges) if e.name == asked)
        return edge.how, edge.rule

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self.root}/")


def failure(result: EventResult) -> tuple[str, str, str]:
    """Class, rule and words of a failed load."""
    assert result.failure is not None, result
    return result.failure.kind, result.failure.rule, result.failure.message
