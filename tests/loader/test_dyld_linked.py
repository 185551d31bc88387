"""The dyld simulation on libraries that a real linker wrote (``fixtures/macho/linked.zip``), and their rebuild."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from fixtures import macho as files
from fixtures.macho.build import build
from tests.requirements import need

from abicheck.binary import macho
from abicheck.binary.source import BytesSource
from abicheck.loader import dyld
from abicheck.loader.process import Event
from abicheck.overlay import View
from abicheck.trees import MemoryTree, bytes_entry

ARCHIVE = Path(files.__file__).parent / "linked.zip"
SUBDIRS = {"arm64": "osx-arm64", "x86_64": "osx-64"}
EXE = "/env/bin/python"


class Host:
    macos = (13, 0)


def linked(arch: str, archive: Path = ARCHIVE) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as z:
        return {n.partition("/")[2]: z.read(n) for n in z.namelist() if n.startswith(f"{arch}/")}


def process(arch: str, members: dict[str, bytes]) -> dyld.DyldProcess:
    program = files.Image(arch=arch, filetype="execute", exports=[files.Export("_PyList_New")])
    tree = {EXE: bytes_entry(EXE, files.image(program))}
    tree |= {f"/env/site/{n}": bytes_entry(f"/env/site/{n}", d) for n, d in members.items()}
    view = View("/env", MemoryTree(tree), lambda _: None)
    return dyld.start(view, Host(), executable=EXE, subdir=SUBDIRS[arch])


@pytest.mark.parametrize("arch", ["arm64", "x86_64"])
class TestLinked:
    def test_an_extension_with_a_required_and_a_weak_library(self, arch: str) -> None:
        p = process(arch, linked(arch))
        result = p.load(Event("/env/site/extension.so"))
        assert result.outcome == "loaded", result.failure
        trace = p.trace()
        assert result.root is not None
        served = {
            b.symbol: trace.objects[b.provider].path for b in trace.bindings[result.root] if b.provider is not None
        }
        assert served == {
            "dyld_stub_binder": "/usr/lib/libSystem.B.dylib",
            "_PyList_New": EXE,
            "_impl": "/env/site/libimpl.dylib",
            "_maybe": "/env/site/libmaybe.dylib",
        }
        how = {e.name: (e.kind, e.how) for e in trace.edges if e.requester == result.root}
        assert how["@rpath/libimpl.dylib"] == ("required", "rpath")
        assert how["@rpath/libmaybe.dylib"] == ("weak", "rpath")

    def test_without_the_required_library(self, arch: str) -> None:
        members = linked(arch)
        del members["libimpl.dylib"]
        result = process(arch, members).load(Event("/env/site/extension.so"))
        assert result.failure is not None and result.failure.kind == "MISSING_LIB"
        assert "Library not loaded: @rpath/libimpl.dylib" in result.failure.message

    def test_the_weak_library_may_be_absent(self, arch: str) -> None:
        members = linked(arch)
        del members["libmaybe.dylib"]
        p = process(arch, members)
        result = p.load(Event("/env/site/extension.so"))
        assert result.outcome == "loaded" and result.root is not None
        assert {b.provider for b in p.trace().bindings[result.root] if b.symbol == "_maybe"} == {None}

    def test_template_statics_coalesce_between_copies(self, arch: str) -> None:
        members = linked(arch)
        members["libcopy.dylib"] = members["libcounter.dylib"]
        p = process(arch, members)
        for name in ("libcounter.dylib", "libcopy.dylib"):
            assert p.load(Event(f"/env/site/{name}")).outcome == "loaded"
        trace = p.trace()
        bound = trace.bindings[p.live[-1]]
        merged = {b.symbol: trace.objects[b.provider].path for b in bound if b.merged and b.provider is not None}
        assert merged == dict.fromkeys(
            ["__ZN7CounterIiE5valueE", "__ZZN7CounterIiE4nextEvE5calls"], "/env/site/libcounter.dylib"
        )


@pytest.mark.slow
def test_the_archive_is_what_the_script_builds(tmp_path: Path) -> None:
    need("zig")
    build(tmp_path / "again.zip")
    for arch in SUBDIRS:
        old, new = linked(arch), linked(arch, tmp_path / "again.zip")
        assert old.keys() == new.keys()
        for name in old:
            a, b = (macho.read(BytesSource(name, d)).slices[0] for d in (old[name], new[name]))
            assert (a.identity, a.needs, a.rpath, a.flags, a.imports(), a.exports()) == (
                b.identity, b.needs, b.rpath, b.flags, b.imports(), b.exports(),
            )  # fmt: skip
