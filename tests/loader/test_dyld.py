"""One small case for each dyld rule of loader-semantics.md section 3, on images written byte by byte."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from fixtures.macho import LIBSYSTEM, Bind, Export, Image, Symbol, fat, image

from abicheck.errors import UsageError
from abicheck.loader import dyld, loader_for
from abicheck.loader.process import Event, EventResult, Mapped
from abicheck.overlay import View
from abicheck.trees import Entry, MemoryTree, RecordedTree, bytes_entry

ROOT = "/opt/env"
EXE = f"{ROOT}/bin/python3.12"
LIB = f"{ROOT}/lib"
SITE = f"{LIB}/python3.12/site-packages"
SYSTEM = (LIBSYSTEM, "required")
PYTHON = Image(
    arch="arm64", filetype="execute", rpaths=["@loader_path/../lib"],
    exports=[Export("_PyModule_Create2"), Export("_PyList_New")], binds=[Bind("_malloc", 1)],
)  # fmt: skip


@dataclass(frozen=True)
class Host:
    macos: tuple[int, ...] | None = (14, 0)


def dylib(identity: str | None = None, needs: Sequence[str] = (), **more: object) -> Image:
    """A dylib; ``needs`` become required commands before libSystem."""
    commands = [(n, "required") for n in needs] + [SYSTEM]
    return Image(filetype="dylib", identity=identity or "/nowhere", **{"dylibs": commands, **more})  # type: ignore[arg-type]


def bundle(needs: Sequence[str] = (), **more: object) -> Image:
    """A Python extension module."""
    commands = [(n, "required") for n in needs] + [SYSTEM]
    return Image(filetype="bundle", **{"dylibs": commands, **more})  # type: ignore[arg-type]


@dataclass
class World:
    """A prefix in memory and a process in it."""

    files: Mapping[str, Image | bytes | Entry]
    host: Host = field(default_factory=Host)
    env: Mapping[str, str] = field(default_factory=dict)
    subdir: str = "osx-arm64"
    recorded: Sequence[str] = ()

    def __post_init__(self) -> None:
        entries = {}
        for path, what in {EXE: PYTHON, **self.files}.items():
            data = image(what) if isinstance(what, Image) else what
            entries[path] = data if isinstance(data, Entry) else bytes_entry(path, data)
        tree = RecordedTree(MemoryTree(entries), self.recorded)
        self.view = View(ROOT, tree, lambda _: None, fold_case=True)
        self.process = dyld.start(self.view, self.host, executable=EXE, subdir=self.subdir, env=self.env)

    def load(self, path: str, **more: object) -> EventResult:
        kind = "import" if path.startswith("/") else "dlopen"
        return self.process.load(Event(path, **{"kind": kind, **more}))  # type: ignore[arg-type]

    def ok(self, path: str, **more: object) -> EventResult:
        result = self.load(path, **more)
        assert result.outcome == "loaded", result.failure
        return result

    def failure(self, path: str, **more: object) -> tuple[str, str, str]:
        """(kind, rule, message) of a load that must fail."""
        result = self.load(path, **more)
        assert result.outcome == "failed" and result.failure is not None
        return result.failure.kind, result.failure.rule, result.failure.message

    def mapped(self, leaf: str) -> list[Mapped]:
        return [m for m in self.process.trace().objects if posixpath.basename(m.path) == leaf and m.kept]

    def edge(self, requester: str, name: str) -> tuple[str | None, str, str]:
        """(provider's path, how, rule) of one need."""
        trace = self.process.trace()
        e = next(e for e in trace.edges if e.name == name and trace.objects[e.requester].path.endswith(requester))
        return (None if e.provider is None else trace.objects[e.provider].path), e.how, e.rule

    def provider(self, path: str, symbol: str) -> str | None:
        """Who serves a symbol of an image."""
        trace = self.process.trace()
        index = next(m.index for m in trace.objects if m.path == path and m.kept)
        bound = [b for b in trace.bindings[index] if b.symbol == symbol]
        assert len(bound) == 1, bound
        return None if bound[0].provider is None else trace.objects[bound[0].provider].path

    def order(self) -> list[str]:
        """Leaf names of what is mapped, in load order, system libraries left out."""
        paths = (self.process.images[i].path for i in self.process.live)
        return [posixpath.basename(p) for p in paths if not p.startswith(("/usr/lib", "/System"))]


EXT, EXT2 = f"{SITE}/a/_a.so", f"{SITE}/b/_b.so"


def test_the_loader_is_found_by_its_platforms() -> None:
    assert loader_for("osx-arm64") is dyld and loader_for("osx-64") is dyld


def test_the_program_is_mapped_first_with_what_libsystem_brings() -> None:
    world = World({})
    rows = [(m.path, m.how, m.event) for m in world.process.trace().objects]
    assert rows[:2] == [(EXE, "program", 0), (LIBSYSTEM, "shared-cache", 0)]
    assert "/usr/lib/libc++.1.dylib" in [r[0] for r in rows]
    assert world.process.results[0].outcome == "loaded"


class TestIdentity:
    OMP = "@rpath/libomp.dylib"

    def _two(self) -> World:
        return World(
            {
                f"{SITE}/a/libs/libomp.dylib": dylib(self.OMP),
                f"{SITE}/b/libs/libomp.dylib": dylib(self.OMP),
                EXT: bundle([self.OMP], rpaths=["@loader_path/libs"]),
                EXT2: bundle([self.OMP], rpaths=["@loader_path/libs"]),
            }
        )

    @pytest.mark.parametrize("first, second", [(EXT, EXT2), (EXT2, EXT)])
    def test_mac1_equal_rpath_ids_capture(self, first: str, second: str) -> None:
        world = self._two()
        world.ok(first)
        world.ok(second)
        taken = posixpath.dirname(first) + "/libs/libomp.dylib"
        assert world.edge(first, self.OMP) == (taken, "rpath", "MAC-6")
        assert world.edge(second, self.OMP) == (taken, "install-name", "MAC-1")
        assert len(world.mapped("libomp.dylib")) == 1

    def test_mac1_an_open_by_absolute_path_maps_a_second_copy(self) -> None:
        world = self._two()
        world.ok(EXT)
        world.ok(f"{SITE}/b/libs/libomp.dylib")
        world.ok(EXT2)
        assert len(world.mapped("libomp.dylib")) == 2
        assert world.edge(EXT2, self.OMP)[0] == f"{SITE}/a/libs/libomp.dylib"

    def test_mac1_a_bare_name_is_an_rpath_request_for_what_is_loaded(self) -> None:
        world = self._two()
        world.ok(EXT)
        assert world.ok("libomp.dylib").root == world.mapped("libomp.dylib")[0].index

    def test_mac2_an_install_name_serves_a_path_that_does_not_exist(self) -> None:
        name = "/usr/local/lib/libz.9.dylib"
        world = World(
            {f"{SITE}/a/libz.dylib": dylib(name), EXT: bundle(["@loader_path/libz.dylib"]), EXT2: bundle([name])}
        )
        world.ok(EXT)
        world.ok(EXT2)
        assert world.edge(EXT2, name) == (f"{SITE}/a/libz.dylib", "install-name", "MAC-2")

    def test_mac3_links_are_one_image_and_copies_are_two(self) -> None:
        data = image(dylib("/DLC/a/libq.dylib"))
        hard = Entry("file", ident="inode", size=len(data), source=bytes_entry("q", data).source)
        world = World(
            {
                f"{LIB}/libq.dylib": hard,
                f"{SITE}/a/libhard.dylib": hard,
                f"{SITE}/a/libsoft.dylib": Entry("link", target="../../../libq.dylib"),
                f"{SITE}/a/libcopy.dylib": data,
                EXT: bundle([f"@loader_path/lib{n}.dylib" for n in ("hard", "soft", "copy")]),
            }
        )
        world.ok(EXT)
        assert world.edge(EXT, "@loader_path/libsoft.dylib") == (f"{SITE}/a/libhard.dylib", "file-id", "MAC-3")
        assert world.edge(EXT, "@loader_path/libcopy.dylib") == (f"{SITE}/a/libcopy.dylib", "loader-path", "MAC-4")


class TestSearch:
    def test_mac4_loader_path_is_the_real_directory(self) -> None:
        world = World(
            {
                f"{SITE}/real/_x.so": bundle(["@loader_path/libside.dylib"]),
                f"{SITE}/real/libside.dylib": dylib(),
                f"{SITE}/linked": Entry("link", target="real"),
            }
        )
        world.ok(f"{SITE}/linked/_x.so")
        assert world.edge("_x.so", "@loader_path/libside.dylib") == (
            f"{SITE}/real/libside.dylib",
            "loader-path",
            "MAC-4",
        )

    def test_mac4_executable_path(self) -> None:
        world = World({EXT: bundle(["@executable_path/../lib/libe.dylib"]), f"{LIB}/libe.dylib": dylib()})
        world.ok(EXT)
        assert world.edge(EXT, "@executable_path/../lib/libe.dylib")[1] == "executable-path"

    def test_mac5_an_unusable_candidate_is_passed_over(self) -> None:
        world = World(
            {
                EXT: bundle(["@rpath/liba.dylib"], rpaths=["@loader_path/1", "@loader_path/2", "@loader_path/3"]),
                f"{SITE}/a/1/liba.dylib": b"not a library at all",
                f"{SITE}/a/2/liba.dylib": Image(arch="x86_64", identity="@rpath/liba.dylib"),
                f"{SITE}/a/3/liba.dylib": dylib("@rpath/liba.dylib"),
            }
        )
        world.ok(EXT)
        (found,) = world.mapped("liba.dylib")
        assert found.path == f"{SITE}/a/3/liba.dylib"
        assert [a.outcome for a in found.attempts] == ["not-a-library", "wrong-machine", "found"]

    def test_mac5_all_failures_stand_in_one_message(self) -> None:
        world = World(
            {
                EXT: bundle(["@rpath/liba.dylib"], rpaths=["@loader_path/1"]),
                f"{SITE}/a/1/liba.dylib": Image(arch="x86_64", identity="@rpath/liba.dylib"),
            }
        )
        kind, rule, message = world.failure(EXT)
        assert (kind, rule) == ("LOAD_REJECTED", "MAC-12")
        assert message.startswith(
            f"dlopen({EXT}, 0x0002): Library not loaded: @rpath/liba.dylib\n  Referenced from: <00010203-"
        )
        assert f"Reason: tried: '{SITE}/a/1/liba.dylib' (mach-o file, but is an incompatible architecture" in message
        assert f"'{ROOT}/bin/../lib/liba.dylib' (no such file)" in message

    def test_mac5_and_8_library_path_hijacks_by_leaf_name(self) -> None:
        files = {
            EXT: bundle(["@loader_path/libz.dylib"]),
            f"{SITE}/a/libz.dylib": dylib(),
            f"{LIB}/libz.dylib": dylib(),
        }
        declared = World(files, env={"DYLD_LIBRARY_PATH": LIB})
        declared.ok(EXT)
        assert declared.edge(EXT, "@loader_path/libz.dylib") == (f"{LIB}/libz.dylib", "environment", "MAC-8")
        plain = World(files)
        plain.ok(EXT)
        assert plain.edge(EXT, "@loader_path/libz.dylib")[0] == f"{SITE}/a/libz.dylib"

    def test_mac6_rpaths_come_from_the_whole_chain(self) -> None:
        world = World(
            {
                EXT: bundle(["@loader_path/libmid.dylib"], rpaths=["@loader_path/deep"]),
                f"{SITE}/a/libmid.dylib": dylib("/DLC/libmid.dylib", ["@rpath/libdeep.dylib"]),
                f"{SITE}/a/deep/libdeep.dylib": dylib("/DLC/libdeep.dylib"),
                EXT2: bundle(["@rpath/libdeep.dylib"]),
            }
        )
        world.ok(EXT)
        trace = world.process.trace()
        deep = world.mapped("libdeep.dylib")[0]
        assert (deep.how, deep.how_owner, deep.rule) == ("rpath", EXT, "MAC-6")
        assert world.failure(EXT2)[0] == "MISSING_LIB"
        assert trace.objects[deep.index].requested_by == f"{SITE}/a/libmid.dylib"

    def test_mac6_the_owner_of_an_rpath_decides_loader_path(self) -> None:
        world = World({EXT: bundle(["@rpath/liba.dylib"]), f"{LIB}/liba.dylib": dylib("@rpath/liba.dylib")})
        world.ok(EXT)
        (found,) = world.mapped("liba.dylib")
        assert (found.path, found.how_owner) == (f"{LIB}/liba.dylib", EXE)

    def test_mac6_without_any_rpath(self) -> None:
        bare = Image(filetype="execute", exports=PYTHON.exports)
        world = World({EXE: bare, EXT: bundle(["@rpath/liba.dylib"], sdk=(14, 0))})
        assert "Reason: no LC_RPATH's found" in world.failure(EXT)[2]

    def test_mac7_bare_names(self) -> None:
        world = World({f"{LIB}/libmine.dylib": dylib("@rpath/libmine.dylib")})
        world.ok("libmine.dylib")
        assert world.mapped("libmine.dylib")[0].how == "rpath"
        world.ok("libz.dylib")
        assert world.mapped("libz.dylib")[0].how == "shared-cache"
        result = world.load("libnowhere.dylib")
        assert result.failure is not None and result.failure.needs_host
        assert "'/usr/lib/libnowhere.dylib' (no such file, not in dyld cache)" in result.failure.message

    def test_mac7_old_requesters_fall_back_to_usr_local(self) -> None:
        name = "/gone/libx.dylib"
        files = {"/usr/local/lib/libx.dylib": dylib(name)}
        old = World({**files, EXT: bundle([name], sdk=(13, 0))})
        old.ok(EXT)
        assert old.edge(EXT, name) == ("/usr/local/lib/libx.dylib", "default", "MAC-7")
        assert World({**files, EXT: bundle([name], sdk=(14, 0))}).failure(EXT)[0] == "MISSING_LIB"

    def test_mac8_declared_fallbacks_replace_the_default(self) -> None:
        world = World(
            {EXT: bundle(["/gone/libx.dylib"]), f"{LIB}/libx.dylib": dylib()}, env={"DYLD_FALLBACK_LIBRARY_PATH": LIB}
        )
        world.ok(EXT)
        assert world.edge(EXT, "/gone/libx.dylib") == (f"{LIB}/libx.dylib", "environment", "MAC-8")

    def test_mac8_what_is_not_simulated_is_refused(self) -> None:
        with pytest.raises(UsageError, match="DYLD_IMAGE_SUFFIX"):
            World({}, env={"DYLD_IMAGE_SUFFIX": "_debug"})

    def test_mac8_inserted_libraries_come_before_the_program(self) -> None:
        world = World({f"{LIB}/libin.dylib": dylib()}, env={"DYLD_INSERT_LIBRARIES": f"{LIB}/libin.dylib"})
        assert world.order() == ["libin.dylib", "python3.12"]

    def test_mac9_system_libraries_have_no_file(self) -> None:
        metal = "/System/Library/Frameworks/Metal.framework/Versions/A/Metal"
        world = World({EXT: bundle(["/usr/lib/libz.1.dylib", metal, "/usr/lib/libunheard.dylib"])})
        world.ok(EXT)
        assert world.edge(EXT, metal) == (metal, "shared-cache", "MAC-9")

    def test_mac9_one_library_under_two_names(self) -> None:
        short = "/System/Library/Frameworks/Metal.framework/Metal"
        world = World({EXT: bundle([short, "/System/Library/Frameworks/Metal.framework/Versions/A/Metal"])})
        world.ok(EXT)
        assert len(world.mapped("Metal")) == 1

    def test_mac9_a_framework_that_the_host_does_not_have_yet(self) -> None:
        name = "/System/Library/Frameworks/MetalFX.framework/Versions/A/MetalFX"
        old = World({EXT: bundle([name])}, Host((12, 0)))
        result = old.load(EXT)
        assert result.failure is not None and result.failure.kind == "MISSING_LIB" and result.failure.needs_host
        World({EXT: bundle([name])}, Host((13, 0))).ok(EXT)
        World({EXT: bundle([name])}, Host(None)).ok(EXT)

    def test_mac9_a_link_to_a_library_that_is_only_in_the_cache(self) -> None:
        world = World(
            {EXT: bundle([f"{LIB}/libz.dylib"]), f"{LIB}/libz.dylib": Entry("link", target="/usr/lib/libz.1.dylib")}
        )
        world.ok(EXT)
        assert world.edge(EXT, f"{LIB}/libz.dylib")[1:] == ("shared-cache", "MAC-9")


class TestDependencies:
    def test_mac10_kinds_of_commands(self) -> None:
        commands = [
            ("@loader_path/libabsent.dylib", "weak"), ("@loader_path/liblazy.dylib", "delay"),
            ("@loader_path/libup.dylib", "upward"), SYSTEM,
        ]  # fmt: skip
        binds = [Bind("_gone", 1, weak=True), Bind("_up", 2), Bind("_malloc", 3)]
        world = World(
            {EXT: bundle(dylibs=commands, binds=binds), f"{SITE}/a/libup.dylib": dylib(exports=[Export("_up")])}
        )
        world.ok(EXT)
        assert world.edge(EXT, "@loader_path/libabsent.dylib")[0] is None
        assert world.provider(EXT, "_gone") is None
        assert world.provider(EXT, "_up") == f"{SITE}/a/libup.dylib"
        assert world.provider(EXT, "_malloc") == LIBSYSTEM
        assert not [e for e in world.process.trace().edges if "liblazy" in e.name]

    def test_mac10_reexports_are_followed(self) -> None:
        umbrella = dylib(dylibs=[("@loader_path/libinner.dylib", "reexport"), SYSTEM])
        world = World(
            {
                EXT: bundle(["@loader_path/libumbrella.dylib"], binds=[Bind("_inner", 1)]),
                f"{SITE}/a/libumbrella.dylib": umbrella,
                f"{SITE}/a/libinner.dylib": dylib(exports=[Export("_inner")]),
            }
        )
        world.ok(EXT)
        assert world.provider(EXT, "_inner") == f"{SITE}/a/libinner.dylib"

    def test_mac10_an_image_that_links_nothing_gets_libsystem(self) -> None:
        world = World({EXT: bundle(dylibs=[], binds=[Bind("_malloc", 1)], sdk=(11, 0))})
        world.ok(EXT)
        assert world.provider(EXT, "_malloc") == LIBSYSTEM

    def test_mac11_compatibility_versions_count_only_on_old_systems(self) -> None:
        files = {
            EXT: bundle(["@loader_path/libv.dylib"], wants=0x90000),
            f"{SITE}/a/libv.dylib": dylib(compatibility=0x10000),
        }
        World(files, Host((12, 0))).ok(EXT)
        World(files, Host(None)).ok(EXT)
        kind, rule, message = World(files, Host((11, 7))).failure(EXT)
        assert (kind, rule) == ("LOAD_REJECTED", "MAC-11")
        assert (
            "Incompatible library version: _a.so requires version 9.0 or later, but libv.dylib provides version 1.0"
            in message
        )

    def test_mac12_only_the_process_slice_counts(self) -> None:
        intel = Image(arch="x86_64", filetype="bundle", dylibs=[("@loader_path/absent.dylib", "required")])
        world = World({EXT: fat([("x86_64", image(intel)), ("arm64", image(bundle()))])})
        world.ok(EXT)
        kind, rule, message = World({EXT: intel}).failure(EXT)
        assert (kind, rule) == ("LOAD_REJECTED", "MAC-12")
        assert "(mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64e' or 'arm64'))" in message

    def test_mac12_a_capable_processor_prefers_the_haswell_slice(self) -> None:
        plain = Image(arch="x86_64", filetype="bundle", dylibs=[("@loader_path/absent.dylib", "required")])
        haswell = Image(arch="x86_64h", filetype="bundle")
        exe = Image(arch="x86_64", filetype="execute")
        files = {EXE: exe, EXT: fat([("x86_64", image(plain)), ("x86_64h", image(haswell))])}
        World(files, subdir="osx-64").ok(EXT)

    def test_mac13_another_platform_is_refused_and_a_newer_minimum_is_not(self) -> None:
        kind, rule, message = World({EXT: bundle(platform=2)}).failure(EXT)
        assert (kind, rule) == ("LOAD_REJECTED", "MAC-13")
        assert "incompatible platform" in message
        newer = World({EXT: bundle(min_os=(15, 0)), EXT2: bundle(["@rpath/no.dylib"], min_os=(15, 0))})
        newer.ok(EXT)
        assert "(built for macOS 15.0 which is newer than running OS)" in newer.failure(EXT2)[2]

    def test_mac14_batches_per_parent(self) -> None:
        def lib(*needs: str) -> Image:
            return dylib(needs=[f"@loader_path/{n}" for n in needs])

        files = {
            f"{SITE}/{n}": lib(*needs)
            for n, needs in (("B", "DE"), ("C", "G"), ("D", "F"), ("E", ""), ("F", ""), ("G", ""))
        }
        world = World({f"{SITE}/A": bundle([f"@loader_path/{n}" for n in "BC"]), **files})
        world.ok(f"{SITE}/A")
        assert world.order()[1:] == ["A", "B", "C", "D", "E", "F", "G"]

    def test_cycles_end(self) -> None:
        world = World(
            {
                EXT: bundle(["@loader_path/l1.dylib"]),
                f"{SITE}/a/l1.dylib": dylib(needs=["@loader_path/l2.dylib"]),
                f"{SITE}/a/l2.dylib": dylib(needs=["@loader_path/l1.dylib"]),
            }
        )
        world.ok(EXT)

    def test_a_very_long_chain_of_libraries(self) -> None:
        files = {f"{SITE}/a/l{n}.dylib": dylib(needs=[f"@loader_path/l{n + 1}.dylib"]) for n in range(1500)}
        world = World({EXT: bundle(["@loader_path/l0.dylib"]), **files, f"{SITE}/a/l1500.dylib": dylib()})
        world.ok(EXT)

    def test_linking_against_a_bundle_is_refused(self) -> None:
        world = World({EXT: bundle([f"{EXT2}"]), EXT2: bundle()})
        assert "cannot link against bundle" in world.failure(EXT)[2]


class TestBinding:
    def test_mac15_no_fallback_beyond_the_named_library(self) -> None:
        world = World(
            {
                EXT: bundle(["@loader_path/libouter.dylib"], binds=[Bind("_inner", 1)]),
                f"{SITE}/a/libouter.dylib": dylib(needs=["@loader_path/libinner.dylib"]),
                f"{SITE}/a/libinner.dylib": dylib(exports=[Export("_inner")]),
            }
        )
        kind, rule, message = world.failure(EXT)
        assert (kind, rule) == ("MISSING_SYMBOL", "MAC-15")
        assert (
            f"Symbol not found: _inner\n  Referenced from: <00010203-0405-0607-0809-0A0B0C0D0E0F> {EXT}\n  Expected in:"
            in message
        )
        assert message.endswith(f"{SITE}/a/libouter.dylib")

    def test_mac15_a_captured_library_that_lacks_the_symbol(self) -> None:
        name = "@rpath/libssl.dylib"
        world = World(
            {
                f"{SITE}/a/libssl.dylib": dylib(name, exports=[Export("_old")]),
                f"{SITE}/b/libssl.dylib": dylib(name, exports=[Export("_old"), Export("_new")]),
                EXT: bundle([name], rpaths=["@loader_path"], binds=[Bind("_old", 1)]),
                EXT2: bundle([name], rpaths=["@loader_path"], binds=[Bind("_new", 1)]),
            }
        )
        alone = world.process.fork()
        assert alone.load(Event(EXT2)).outcome == "loaded"
        world.ok(EXT)
        result = world.load(EXT2)
        assert result.failure is not None
        assert (result.failure.symbol, result.failure.provider) == ("_new", f"{SITE}/a/libssl.dylib")

    def test_mac15_self_and_main(self) -> None:
        own = bundle(binds=[Bind("_own", 0), Bind("_PyList_New", -1)], exports=[Export("_own")])
        world = World({EXT: own})
        world.ok(EXT)
        assert (world.provider(EXT, "_own"), world.provider(EXT, "_PyList_New")) == (EXT, EXE)

    def test_mac15_an_ordinal_that_counts_too_far(self) -> None:
        assert "unknown library ordinal 7" in World({EXT: bundle(binds=[Bind("_x", 7)])}).failure(EXT)[2]

    def test_mac16_flat_lookup_takes_the_first_image_in_load_order(self) -> None:
        first = bundle(exports=[Export("_shared")], binds=[Bind("_PyList_New", -2)])
        second = bundle(exports=[Export("_shared")], binds=[Bind("_shared", -2)])
        world = World({EXT: first, EXT2: second})
        world.ok(EXT)
        world.ok(EXT2)
        assert world.provider(EXT, "_PyList_New") == EXE
        assert world.provider(EXT2, "_shared") == EXT
        alone = World({EXT2: second})
        alone.ok(EXT2)
        assert alone.provider(EXT2, "_shared") == EXT2

    def test_mac16_missing_in_the_flat_namespace(self) -> None:
        kind, rule, message = World({EXT: bundle(binds=[Bind("_PyNew_Thing", -2)])}).failure(EXT)
        assert (kind, rule) == ("MISSING_SYMBOL", "MAC-16")
        assert message == f"dlopen({EXT}, 0x0002): symbol not found in flat namespace '_PyNew_Thing'"
        assert World({EXT: bundle(binds=[Bind("_png_read", -2)])}).failure(EXT)[0] == "MISSING_SYMBOL"

    def test_mac16_a_flat_image_may_find_its_names_in_system_libraries(self) -> None:
        flat = Image(filetype="bundle", flags=[], tables=False, symbols=[Symbol("_malloc", 1, 0x0100)])
        world = World({EXT: flat})
        world.ok(EXT)
        assert world.provider(EXT, "_malloc") == LIBSYSTEM

    def test_mac16_names_that_only_system_libraries_can_have(self) -> None:
        cocoa = "/System/Library/Frameworks/Cocoa.framework/Versions/A/Cocoa"
        names = ["_NSPasteboardTypeString", "_OBJC_CLASS_$_NSView", "_objc_msgSend", "__ZThn16_NSt3__18iostreamD0Ev"]
        world = World({EXT: bundle([cocoa], binds=[Bind(n, -2) for n in names])})
        world.ok(EXT)
        assert [world.provider(EXT, n) for n in names] == [
            cocoa, cocoa, "/usr/lib/libobjc.A.dylib", "/usr/lib/libc++.1.dylib",
        ]  # fmt: skip

    @pytest.mark.parametrize("name", ["_npy_cabs", "__ZN3foo3barEv", "_omp_get_num_threads", "_PyNew"])
    def test_mac16_other_names_are_missing_whatever_is_linked(self, name: str) -> None:
        cocoa = "/System/Library/Frameworks/Cocoa.framework/Versions/A/Cocoa"
        assert World({EXT: bundle([cocoa], binds=[Bind(name, -2)])}).failure(EXT)[:2] == ("MISSING_SYMBOL", "MAC-16")

    def test_mac16_framework_names_need_a_framework(self) -> None:
        lib = dylib(dylibs=[("/System/Library/Frameworks/AppKit.framework/Versions/C/AppKit", "required"), SYSTEM])
        user = [Bind("_NSApp", -2)]
        World({EXT: bundle(["@loader_path/l.dylib"], binds=user), f"{SITE}/a/l.dylib": lib}).ok(EXT)
        assert World({EXT: bundle(binds=user)}).failure(EXT)[0] == "MISSING_SYMBOL"

    def test_mac17_imports_are_visible_and_ctypes_is_not(self) -> None:
        lib = f"{LIB}/libflat.dylib"
        files = {lib: dylib(exports=[Export("_f")]), EXT: bundle(binds=[Bind("_f", -2)])}
        hidden = World(files)
        hidden.ok(lib, kind="dlopen")
        assert hidden.failure(EXT)[0] == "MISSING_SYMBOL"
        hidden.ok(lib, kind="dlopen", flags_global=True)  # a later open without LOCAL shows it again
        hidden.ok(EXT)
        imported = World(files)
        imported.ok(lib)
        imported.ok(EXT)
        assert imported.provider(EXT, "_f") == lib

    def test_mac17_only_the_top_image_is_hidden(self) -> None:
        world = World(
            {
                f"{LIB}/libtop.dylib": dylib(needs=["@loader_path/libdep.dylib"], exports=[Export("_top")]),
                f"{LIB}/libdep.dylib": dylib(exports=[Export("_dep")]),
                EXT: bundle(binds=[Bind("_dep", -2)]),
                EXT2: bundle(binds=[Bind("_top", -2)]),
            }
        )
        world.ok(f"{LIB}/libtop.dylib", kind="dlopen", local_hint=True)
        world.ok(EXT)
        assert world.failure(EXT2)[0] == "MISSING_SYMBOL"

    def test_mac19_weak_imports_become_null(self) -> None:
        world = World(
            {EXT: bundle(["@loader_path/l.dylib"], binds=[Bind("_maybe", 1, weak=True)]), f"{SITE}/a/l.dylib": dylib()}
        )
        world.ok(EXT)
        assert world.provider(EXT, "_maybe") is None

    @pytest.mark.parametrize("chained", [None, 1])
    def test_mac19_both_fixup_formats_bind_at_once(self, chained: int | None) -> None:
        binds = [Bind("_absent", 1, table="bind" if chained else "lazy")]
        world = World(
            {EXT: bundle(["@loader_path/l.dylib"], binds=binds, chained=chained), f"{SITE}/a/l.dylib": dylib()}
        )
        assert world.failure(EXT)[0] == "MISSING_SYMBOL"

    def test_mac20_a_reexport_with_another_name(self) -> None:
        alias = dylib(needs=["@loader_path/limpl.dylib"], exports=[Export("_open", reexport=(1, "_open_impl"))])
        world = World(
            {
                EXT: bundle(["@loader_path/lalias.dylib"], binds=[Bind("_open", 1)]),
                f"{SITE}/a/lalias.dylib": alias,
                f"{SITE}/a/limpl.dylib": dylib(exports=[Export("_open_impl")]),
            }
        )
        world.ok(EXT)
        assert world.provider(EXT, "_open") == f"{SITE}/a/limpl.dylib"


WEAK = 4
CPP = ("two-level", "weak-defines", "binds-to-weak")


def cpp(name: str, flag: int = WEAK, **more: object) -> Image:
    """An extension that defines a weak symbol and binds to it weakly, as C++ templates do."""
    return bundle(flags=CPP, exports=[Export(name, flags=flag)], binds=[Bind(name, -3, table="weak")], **more)


class TestCoalescing:
    NAME = "__ZN3foo8instanceE"

    @pytest.mark.parametrize("first, second", [(EXT, EXT2), (EXT2, EXT)])
    def test_mac18_the_first_definition_serves_all(self, first: str, second: str) -> None:
        world = World({EXT: cpp(self.NAME), EXT2: cpp(self.NAME)})
        world.ok(first)
        world.ok(second)
        assert world.provider(second, self.NAME) == first
        trace = world.process.trace()
        (bound,) = trace.bindings[world.mapped(posixpath.basename(second))[0].index]
        assert bound.merged and bound.rule == "MAC-18"

    def test_mac18_chained_images_coalesce_too(self) -> None:
        chained = bundle(flags=CPP, exports=[Export(self.NAME, flags=WEAK)], binds=[Bind(self.NAME, -3)], chained=1)
        world = World({EXT: cpp(self.NAME), EXT2: chained})
        world.ok(EXT)
        world.ok(EXT2)
        assert world.provider(EXT2, self.NAME) == EXT

    def test_mac18_a_later_strong_definition_wins(self) -> None:
        world = World({EXT: cpp(self.NAME), EXT2: cpp(self.NAME, flag=0), f"{SITE}/c.so": cpp(self.NAME)})
        for path in (EXT, EXT2, f"{SITE}/c.so"):
            world.ok(path)
        assert world.provider(EXT, self.NAME) == EXT  # bound before the strong one came
        assert world.provider(f"{SITE}/c.so", self.NAME) == EXT2

    def test_mac18_images_without_the_flag_do_not_take_part(self) -> None:
        plain = bundle(exports=[Export(self.NAME)])
        world = World({EXT: plain, EXT2: cpp(self.NAME)})
        world.ok(EXT)
        world.ok(EXT2)
        assert world.provider(EXT2, self.NAME) == EXT2

    def test_mac18_hidden_images_do_not_take_part(self) -> None:
        lib = f"{LIB}/libhidden.dylib"
        hidden = dylib(flags=CPP, exports=[Export(self.NAME, flags=WEAK)], binds=[Bind(self.NAME, -3, table="weak")])
        world = World({lib: hidden, EXT2: cpp(self.NAME)})
        world.ok(lib, kind="dlopen")
        world.ok(EXT2)
        assert world.provider(EXT2, self.NAME) == EXT2

    def test_mac18_a_failed_load_defines_nothing(self) -> None:
        broken = bundle(flags=CPP, exports=[Export(self.NAME, flags=WEAK)], binds=[Bind("_absent", -2)])
        world = World({EXT: broken, EXT2: cpp(self.NAME)})
        world.failure(EXT)
        world.ok(EXT2)
        assert world.provider(EXT2, self.NAME) == EXT2

    def test_mac18_the_weak_bind_replaces_the_bind_by_ordinal(self) -> None:
        binds = [Bind(self.NAME, 1), Bind(self.NAME, -3, table="weak")]
        user = bundle(["@loader_path/lib.dylib"], flags=CPP, binds=binds)
        lib = dylib(flags=CPP, exports=[Export(self.NAME, flags=WEAK)])
        world = World({EXT: cpp(self.NAME), EXT2: user, f"{SITE}/b/lib.dylib": lib})
        world.ok(EXT)
        world.ok(EXT2)
        assert world.provider(EXT2, self.NAME) == EXT

    def test_mac18_opcode_weak_binds_may_fail(self) -> None:
        world = World({EXT: bundle(flags=CPP, binds=[Bind("__Zonly", -3, table="weak")])})
        world.ok(EXT)

    def test_mac18_chained_weak_binds_may_not(self) -> None:
        kind, rule, message = World({EXT: bundle(flags=CPP, binds=[Bind("__Zonly", -3)], chained=1)}).failure(EXT)
        assert (kind, rule) == ("MISSING_SYMBOL", "MAC-18")
        assert "Expected as weak-def export from some loaded dylib" in message

    def test_mac18_operator_new_of_the_system_comes_first(self) -> None:
        world = World({EXT: cpp("__Znwm", dylibs=[("/usr/lib/libc++.1.dylib", "required"), SYSTEM])})
        world.ok(EXT)
        assert world.provider(EXT, "__Znwm") == "/usr/lib/libc++.1.dylib"

    def test_mac18_names_of_the_cxx_runtime_are_of_libcxx(self) -> None:
        libs = [("/usr/lib/libz.1.dylib", "required"), ("/usr/lib/libc++.1.dylib", "required"), SYSTEM]
        names = ["__ZTISt16invalid_argument", "__ZNSt3__112basic_fooE"]
        world = World({EXT: bundle(dylibs=libs, flags=CPP, binds=[Bind(n, -3) for n in names], chained=1)})
        world.ok(EXT)
        assert {world.provider(EXT, n) for n in names} == {"/usr/lib/libc++.1.dylib"}

    def test_mac18_what_a_linker_knew_of_a_system_library(self) -> None:
        name = "__ZTISt12out_of_range"
        cxx = [("/usr/lib/libc++.1.dylib", "required"), SYSTEM]
        knows = bundle(dylibs=cxx, flags=CPP, binds=[Bind(name, 1), Bind(name, -3, table="weak")])
        world = World({EXT: knows, EXT2: cpp(name, dylibs=cxx)})
        world.ok(EXT)
        world.ok(EXT2)
        assert world.provider(EXT2, name) == "/usr/lib/libc++.1.dylib"


class TestProcess:
    def test_gen3_a_failed_load_leaves_nothing(self) -> None:
        name = "@rpath/libv.dylib"
        world = World(
            {
                f"{SITE}/a/libv.dylib": dylib(name),
                f"{SITE}/b/libv.dylib": dylib(name, exports=[Export("_new")]),
                EXT: bundle([name], rpaths=["@loader_path"], binds=[Bind("_absent", 1)]),
                EXT2: bundle([name], rpaths=["@loader_path"], binds=[Bind("_new", 1)]),
            }
        )
        world.failure(EXT)
        world.ok(EXT2)
        assert world.provider(EXT2, "_new") == f"{SITE}/b/libv.dylib"
        assert [m.kept for m in world.process.trace().objects if m.path.startswith(f"{SITE}/a/")] == [False, False]

    def test_forks_do_not_influence_each_other(self) -> None:
        world = World({EXT: bundle(), EXT2: bundle()})
        other = world.process.fork()
        other.load(Event(EXT))
        assert len(other.live) == len(world.process.live) + 1
        third = other.fork()
        third.load(Event(EXT2))
        assert third.same_bindings(0, other, 0)
        assert [r.event.open for r in third.trace().events] == [EXE, EXT, EXT2]

    def test_same_bindings_sees_a_moved_one(self) -> None:
        name = "__ZN3foo1xE"
        world = World({EXT: cpp(name), EXT2: cpp(name)})
        alone = world.process.fork()
        alone.load(Event(EXT2))
        world.ok(EXT)
        world.ok(EXT2)
        mine, theirs = world.mapped("_b.so")[0].index, alone.live[-1]
        assert not world.process.same_bindings(mine, alone, theirs)

    def test_mac21_a_module_bound_to_a_second_python(self) -> None:
        lib = f"{LIB}/libpython3.12.dylib"
        second = dylib("@rpath/libpython3.12.dylib", exports=[Export("_PyModule_Create2")])
        user = bundle(["@rpath/libpython3.12.dylib"], binds=[Bind("_PyModule_Create2", 1)])
        world = World({lib: second, EXT: user, EXT2: bundle()})
        result = world.load(EXT)
        assert result.outcome == "aborted" and result.failure is not None
        assert (result.failure.kind, result.failure.rule, result.failure.provider) == ("PROCESS_ABORT", "MAC-21", lib)
        assert "PyThreadState_Get: no current thread" in result.failure.message
        assert result.root is not None and len(world.mapped("libpython3.12.dylib")) == 1  # mapped, then it dies
        assert world.load(EXT2).outcome == "aborted"
        assert World({EXT: user}).failure(EXT)[0] == "MISSING_LIB"

    def test_mac22_interposing_sections_of_a_loaded_library_do_nothing(self) -> None:
        world = World({EXT: bundle(binds=[Bind("_malloc", 1)])})
        world.ok(EXT)
        assert world.provider(EXT, "_malloc") == LIBSYSTEM

    def test_mac24_an_unsigned_arm64_image_is_refused(self) -> None:
        kind, rule, message = World({EXT: bundle(signed=False)}).failure(EXT)
        assert (kind, rule) == ("LOAD_REJECTED", "MAC-24")
        assert "completely unsigned? Code has to be at least ad-hoc signed" in message
        intel = {EXE: Image(arch="x86_64", filetype="execute", signed=False), EXT: bundle(arch="x86_64", signed=False)}
        World(intel, subdir="osx-64").ok(EXT)

    def test_header_checks_depend_on_host_and_sdk(self) -> None:
        twice = bundle(rpaths=["@loader_path", "@loader_path"], sdk=(15, 4))
        assert "duplicate LC_RPATH '@loader_path'" in World({EXT: twice}, Host((15, 5))).failure(EXT)[2]
        World({EXT: twice}, Host((15, 3))).ok(EXT)
        World({EXT: twice}, Host((26, 0))).ok(EXT)  # enforced there for files of SDK 26 and later
        World({EXT: bundle(rpaths=["@loader_path", "@loader_path"], sdk=(14, 0))}, Host((15, 5))).ok(EXT)
        assert "missing LC_UUID" in World({EXT: bundle(uuid=None)}, Host((15, 5))).failure(EXT)[2]
        World({EXT: bundle(uuid=None)}, Host(None)).ok(EXT)

    def test_files_that_are_only_recorded_are_unknown(self) -> None:
        lib = f"{LIB}/libbig.dylib"
        world = World({EXT: bundle(["@rpath/libbig.dylib"], binds=[Bind("_anything", 1)])}, recorded=[lib, EXT2])
        world.ok(EXT)
        assert world.provider(EXT, "_anything") == lib
        assert world.load(EXT2).outcome == "unknown"

    def test_an_interpreter_that_is_only_recorded(self) -> None:
        files = {EXT: bundle(["@rpath/liba.dylib"], binds=[Bind("_PyList_New", -2)]), f"{LIB}/liba.dylib": dylib()}
        tree = MemoryTree({p: bytes_entry(p, image(i)) for p, i in files.items()})
        view = View(ROOT, RecordedTree(tree, [EXE]), lambda _: None, fold_case=True)
        process = dyld.start(view, Host(), executable=EXE, subdir="osx-arm64")
        assert process.results[0].outcome == "unknown"
        assert process.load(Event(EXT)).outcome == "loaded"

    def test_a_program_that_cannot_start(self) -> None:
        world = World(
            {EXE: Image(filetype="execute", dylibs=[("@rpath/libgone.dylib", "required")], rpaths=["@loader_path"])}
        )
        result = world.process.results[0]
        assert result.outcome == "failed" and result.failure is not None and result.failure.kind == "MISSING_LIB"

    def test_ctypes_looks_along_its_own_run_paths(self) -> None:
        ctypes = f"{LIB}/python3.12/lib-dynload/_ctypes.cpython-312-darwin.so"
        files = {ctypes: bundle(rpaths=["@loader_path/here"]), f"{LIB}/python3.12/lib-dynload/here/libh.dylib": dylib()}
        world = World(files)
        assert world.load("libh.dylib").outcome == "failed"
        world.ok(ctypes)
        world.ok("libh.dylib")
        assert world.mapped("libh.dylib")[0].how_owner == ctypes

    def test_weak_maps_of_large_programs_keep_their_first_answer(self) -> None:
        names = [f"__ZN1n{k}E" for k in range(200)]
        many = bundle(
            flags=CPP, exports=[Export(n, flags=WEAK) for n in names], binds=[Bind(n, -3, table="weak") for n in names]
        )
        files: dict[str, Image | bytes | Entry] = {f"{SITE}/m{k}.so": many for k in range(30)}
        strong = f"{SITE}/strong.so"
        world = World({**files, strong: cpp(names[0], flag=0), EXT: cpp(names[0])})
        for path in files:
            world.ok(path)
        world.ok(strong)
        world.ok(EXT)
        assert world.provider(EXT, names[0]) == f"{SITE}/m0.so"
