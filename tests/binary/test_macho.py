"""Mach-O reading: containers, load commands, binds in every encoding, export tries, Objective-C, hostile bytes."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest
from fixtures.macho import LIBSYSTEM, Bind, Export, Image, Symbol, fat, image, trie

from abicheck.binary import macho, reading
from abicheck.binary.facts import Import, Need
from abicheck.binary.macho_symbols import bind_opcodes, chained_binds, trie_names
from abicheck.binary.source import BytesSource
from abicheck.errors import BinaryError


def only(data: bytes) -> macho.MachoSlice:
    """The one slice of a thin file."""
    (s,) = macho.read(BytesSource("x.dylib", data)).slices
    assert isinstance(s, macho.MachoSlice)
    return s


FULL = Image(
    identity="@rpath/libfull.dylib",
    dylibs=[
        ("@rpath/liba.dylib", "required"),
        ("@rpath/libweak.dylib", "weak"),
        ("@rpath/liblazy.dylib", "delay"),
        ("@rpath/libre.dylib", "reexport"),
        ("@rpath/libup.dylib", "upward"),
        (LIBSYSTEM, "required"),
    ],
    rpaths=["@loader_path/../lib", "/opt/lib"],
    flags=["two-level", "weak-defines", "binds-to-weak"],
    binds=[
        Bind("_malloc", 5),
        Bind("_maybe", 2, weak=True),
        Bind("_PyList_New", -2),
        Bind("_main_thing", -1, table="lazy"),
        Bind("_mine", 0),
        Bind("__Znwm", 1),
        Bind("__Znwm", 0, table="weak"),
    ],
    exports=[
        Export("_func"),
        Export("_value", address=0x4100),
        Export("__ZTI3Foo", flags=4, address=0x4200),
        Export("_tls", flags=1),
        Export("_abs", flags=2),
        Export("_resolved", flags=0x10),
        Export("_alias", reexport=(1, "_original")),
        Export("_same", reexport=(3, "")),
    ],
)


class TestContainers:
    def test_java_classes_are_not_fat_files(self) -> None:
        java = b"\xca\xfe\xba\xbe" + struct.pack(">HHH", 0, 52, 20) + b"\x0a" * 54
        assert not macho.claims(java)
        assert not reading.is_binary(java)
        assert macho.claims(fat([("x86_64", image(FULL)), ("arm64", image(FULL))])[:64])

    @pytest.mark.parametrize("wide", [False, True])
    def test_every_architecture_of_a_fat_file(self, wide: bool) -> None:
        intel = Image(arch="x86_64", identity="i", dylibs=[("/usr/lib/libz.1.dylib", "required")])
        data = fat([("x86_64", image(intel)), ("arm64", image(FULL))], wide=wide)
        binary = reading.read_binary(BytesSource("u.so", data))
        assert binary is not None and binary.format == "macho"
        assert [(s.arch, s.identity, len(s.needs)) for s in binary.slices] == [
            ("x86_64", "i", 1),
            ("arm64", "@rpath/libfull.dylib", 6),
        ]

    def test_big_endian_32_bit_header(self) -> None:
        name = b"/usr/lib/libz.dylib\0"
        dylib = struct.pack(">6I", 0x0C, 24 + len(name), 24, 2, 0, 0) + name
        data = struct.pack(">7I", 0xFEEDFACE, 18, 0, 8, 1, len(dylib), 0x80) + dylib
        s = only(data)
        assert (s.arch, s.filetype, s.needs) == ("ppc", "bundle", (Need("/usr/lib/libz.dylib"),))
        assert macho.claims(data[:64])

    def test_subtypes_have_their_own_words(self) -> None:
        assert only(image(Image(arch="arm64e", identity="a"))).arch == "arm64e"
        assert only(image(Image(arch="x86_64h", identity="a"))).arch == "x86_64h"

    def test_fat_member_that_is_a_static_library(self) -> None:
        data = fat([("x86_64", b"!<arch>\n" + b"x" * 100), ("arm64", image(FULL))])
        archive, dylib = macho.read(BytesSource("lib.a", data)).slices
        assert (archive.arch, archive.needs, archive.imports(), archive.exports()) == ("x86_64", (), [], [])
        assert dylib.identity == "@rpath/libfull.dylib"


class TestLoadCommands:
    def test_what_the_header_says(self) -> None:
        s = only(image(FULL))
        assert s.needs == tuple(Need(n, k) for n, k in FULL.dylibs)  # type: ignore[arg-type]
        assert s.rpath == ("@loader_path/../lib", "/opt/lib")
        assert s.runpath == ()
        assert s.flags == {"two-level", "weak-defines", "binds-to-weak", "signed"}
        assert (s.platform, s.floors, s.sdk >> 16) == ("macos", {"macos": "11.0"}, 14)
        assert s.uuid == "00010203-0405-0607-0809-0A0B0C0D0E0F"
        assert s.signed and not only(image(replace(FULL, signed=False))).signed

    def test_mac10_ordinals_skip_the_lazy_command(self) -> None:
        s = only(image(FULL))
        assert [s.library(n) for n in range(1, 7)] == [
            "@rpath/liba.dylib", "@rpath/libweak.dylib", "@rpath/libre.dylib", "@rpath/libup.dylib", LIBSYSTEM, None,
        ]  # fmt: skip
        assert [s.library(n) for n in (0, -1, -2, -3)] == ["self", "main", "flat", "weak"]

    def test_old_version_command(self) -> None:
        old = struct.pack("<4I", 0x24, 16, 10 << 16 | 9 << 8, 0)
        s = only(image(replace(FULL, platform=None, extra=[old])))
        assert (s.platform, s.floors, s.sdk) == ("macos", {"macos": "10.9"}, 0)

    def test_delayed_initialisation_marks_keep_their_kind(self) -> None:
        name = b"@rpath/d.dylib\0\0"
        use = struct.pack("<7I", 0x0C, 28 + len(name), 28, 0x1A741800, 0, 0, 0x08 | 0x01) + name
        s = only(image(replace(FULL, dylibs=[], extra=[use + b"\0" * (-len(use) % 4)])))
        assert s.needs == (Need("@rpath/d.dylib", "weak"),)


class TestImports:
    def test_opcode_tables(self) -> None:
        assert only(image(FULL)).imports() == [
            Import("_PyList_New", None, "flat"),
            Import("__Znwm", None, "@rpath/liba.dylib"),
            Import("__Znwm", None, "weak"),
            Import("_main_thing", None, "main"),
            Import("_malloc", None, LIBSYSTEM),
            Import("_maybe", None, "@rpath/libweak.dylib", weak=True),
            Import("_mine", None, "self"),
        ]

    @pytest.mark.parametrize("form", [1, 2, 3])
    def test_chained_fixups_of_every_import_format(self, form: int) -> None:
        binds = [
            Bind("_malloc", 5),
            Bind("_w", -3),
            Bind("_f", -2),
            Bind("_m", -1),
            Bind("_s", 0),
            Bind("_o", 2, weak=True),
        ]
        s = only(image(replace(FULL, binds=binds, chained=form)))
        assert [(b.name, b.ordinal, b.weak_import) for b in s.binds] == [(b.name, b.ordinal, b.weak) for b in binds]

    def test_ordinals_beyond_one_byte(self) -> None:
        dylibs = [(f"@rpath/lib{n}.dylib", "required") for n in range(300)]
        wide = only(image(replace(FULL, dylibs=dylibs, binds=[Bind("_x", 300)], chained=3)))
        opcode = only(image(replace(FULL, dylibs=dylibs, binds=[Bind("_x", 300)])))
        assert [s.imports()[0].library for s in (wide, opcode)] == ["@rpath/lib299.dylib"] * 2

    def test_a_count_of_binds_is_not_walked(self) -> None:
        many = b"\x11\x40_x\0\x51\x71\x00\xc0" + b"\xff\xff\xff\xff\x0f" + b"\x00" + b"\x00"
        assert [b.name for b in bind_opcodes(many, "bind", "x")] == ["_x"]

    def test_strong_overrides_in_the_weak_table_are_not_imports(self) -> None:
        table = b"\x48_strong\0" + b"\x40_weak\0\x51\x71\x00\x90\x00"
        assert [b.name for b in bind_opcodes(table, "weak", "x")] == ["_weak"]

    def test_compressed_names_are_refused_only_when_there_are_imports(self) -> None:
        s = only(image(replace(FULL, binds=[Bind("_x", 1)], chained=1, compression=1)))
        with pytest.raises(BinaryError, match="compressed"):
            s.imports()
        assert only(image(replace(FULL, binds=[], chained=1, compression=1))).imports() == []

    def test_mac20_nlist_where_there_are_no_tables(self) -> None:
        symbols = [
            Symbol("_puts", 1, 0x0600),
            Symbol("_flat", 1, 0xFE00),
            Symbol("_w", 1, 0x0140),
            Symbol("_f", 0x0F, 0, 1),
        ]
        s = only(image(Image(filetype="bundle", tables=False, symbols=symbols)))
        assert [(b.name, b.ordinal, b.weak_import) for b in s.binds] == [
            ("_puts", 6, False),
            ("_flat", -2, False),
            ("_w", 1, True),
        ]
        assert [e.name for e in s.exports()] == ["_f"]

    def test_a_flat_image_binds_flat(self) -> None:
        s = only(image(Image(filetype="bundle", tables=False, flags=[], symbols=[Symbol("_puts", 1, 0x0600)])))
        assert s.imports() == [Import("_puts", None, "flat")]

    def test_nlist_is_ignored_beside_a_trie(self) -> None:
        s = only(image(replace(FULL, symbols=[Symbol("_only_in_nlist", 0x0F, 0, 1), Symbol("_undefined", 1, 0x0100)])))
        assert "_only_in_nlist" not in {e.name for e in s.exports()}
        assert "_undefined" not in {i.name for i in s.imports()}


class TestExports:
    def test_kinds_and_flags(self) -> None:
        rows = {e.name: (e.binding, e.type, e.forward) for e in only(image(FULL)).exports()}
        assert rows == {
            "_func": ("global", "func", None),
            "_value": ("global", "object", None),
            "__ZTI3Foo": ("weak", "object", None),
            "_tls": ("global", "tls", None),
            "_abs": ("global", "absolute", None),
            "_resolved": ("global", "func", None),
            "_alias": ("global", "notype", "@rpath/liba.dylib:_original"),
            "_same": ("global", "notype", "@rpath/libre.dylib:_same"),
        }

    def test_single_questions(self) -> None:
        s = only(image(FULL))
        assert s.export("_nothing") is None
        weak, resolved = s.export("__ZTI3Foo"), s.export("_resolved")
        assert weak is not None and weak.weak and weak.address == 0x4200
        assert resolved is not None and resolved.resolver
        assert s.reexports("_alias") and not s.reexports("_func")
        assert "__ZTI3Foo" not in s.strong_exports and "_func" in s.strong_exports

    def test_what_can_be_coalesced_and_is_state(self) -> None:
        exports = [Export("__ZZ3nextvE1n", 4, 0x4010), Export("__Z3inlv", 4, 0x1000), Export("__ZN3fooE", 4, 0x4020)]
        binds = [
            Bind("__ZZ3nextvE1n", -3, table="weak"),
            Bind("__Z3inlv", -3, table="weak"),
            Bind("__Zelse", -3, table="weak"),
        ]
        i = replace(FULL, exports=exports, binds=binds, classes=["A"])
        assert only(image(i)).coalesced == {"__ZZ3nextvE1n": False, "__Z3inlv": False}  # __objc_classlist is not state
        state = replace(i, state=("__data", 0x4010, 8))
        assert only(image(state)).coalesced == {"__ZZ3nextvE1n": True, "__Z3inlv": False}
        assert only(image(replace(state, flags=["two-level"]))).coalesced == {}

    def test_shared_prefixes(self) -> None:
        # root -> "_a" (terminal) -> "b" (terminal) and "cd" (terminal)
        leaf = bytes([2, 0, 0x10, 0])
        inner = bytes([2, 0, 0x20, 2]) + b"b\0" + bytes([17]) + b"cd\0" + bytes([21])
        root = bytes([0, 1]) + b"_a\0" + bytes([6])
        assert sorted(trie_names(root + inner + leaf + leaf, "x")) == ["_a", "_ab", "_acd"]

    def test_a_trie_that_loops_is_refused(self) -> None:
        with pytest.raises(BinaryError, match="loops"):
            trie_names(bytes([0, 1]) + b"_a\0" + bytes([0]), "x")

    def test_a_trie_that_multiplies_is_refused(self) -> None:
        # every node names the next one twice: 2**n paths for a walker that does not look where it has been
        nodes = b"".join(
            bytes([0, 2]) + b"a\0" + bytes([8 * (n + 1)]) + b"b\0" + bytes([8 * (n + 1)]) for n in range(15)
        )
        with pytest.raises(BinaryError):
            trie_names(nodes + bytes([2, 0, 1, 0]), "x")

    def test_a_trie_of_growing_names_is_bounded(self) -> None:
        edge = b"x" * 1000
        data, size = b"", 2 + len(edge) + 1 + 3
        for n in range(400):
            at = size * (n + 1)
            data += bytes([0, 1]) + edge + b"\0" + bytes([at & 127 | 128, at >> 7 & 127 | 128, at >> 14])
        with pytest.raises(BinaryError, match="long names"):
            trie_names(data + bytes([0, 0]), "x")


class TestObjectiveC:
    @pytest.mark.parametrize("chained, form", [(None, None), (1, 2), (1, 6), (2, 1), (3, 9)])
    def test_classes_behind_plain_and_chained_pointers(self, chained: int | None, form: int | None) -> None:
        i = replace(
            FULL, binds=[Bind("_x", 1)], classes=["SDLWindow", "AVFReceiver"], chained=chained, pointer_format=form
        )
        assert only(image(i)).objc_classes == ("AVFReceiver", "SDLWindow")

    def test_unknown_pointer_layouts_name_nothing(self) -> None:
        i = replace(FULL, binds=[Bind("_x", 1)], classes=["A"], chained=1, pointer_format=3)
        assert only(image(i)).objc_classes == ()


class TestHostile:
    def test_truncation_anywhere_is_one_typed_error(self) -> None:
        data = image(replace(FULL, classes=["A"]))
        for cut in (*range(0, 600, 7), 5000, 0x4010, 0x7FFF, 0x8000, 0x8100, len(data) - 1):
            _read_all(data[:cut])

    @pytest.mark.parametrize("chained", [None, 1, 2, 3])
    def test_random_damage(self, chained: int | None) -> None:
        rng = random.Random(20261124)
        binds = [b for b in FULL.binds if b.table == "bind"]
        good = image(replace(FULL, classes=["A", "B"], chained=chained, binds=binds if chained else FULL.binds))
        spots = [*range(1200), *range(0x4000, 0x4100), *range(0x8000, len(good))]
        for _ in range(400):
            data = bytearray(good)
            for _ in range(rng.randint(1, 6)):
                data[rng.choice(spots)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            _read_all(bytes(data))

    def test_fat_headers_that_lie(self) -> None:
        data = bytearray(fat([("x86_64", image(FULL)), ("arm64", image(FULL))]))
        for offset, value in ((4, 40), (16, 0xFFFFFF00), (20, 0xFFFFFFFF), (16, 8)):
            broken = bytearray(data)
            struct.pack_into(">I", broken, offset, value)
            with pytest.raises(BinaryError):
                macho.read(BytesSource("x", bytes(broken)))

    def test_chained_tables_that_lie(self) -> None:
        for at, value in ((0, 9), (8, 1 << 30), (12, 1 << 30), (16, 1 << 30), (20, 7)):
            table = bytearray(struct.pack("<7I", 0, 28, 28, 32, 1, 1, 0) + struct.pack("<I", 1) + b"_a\0\0")
            assert chained_binds(bytes(table), "<", "x")[0].name == "_a"
            struct.pack_into("<I", table, at, value)
            with pytest.raises(BinaryError):
                chained_binds(bytes(table), "<", "x")

    def test_messages_name_the_file(self) -> None:
        with pytest.raises(BinaryError) as raised:
            macho.read(BytesSource("pkg/liba.dylib", image(FULL)[:200]))
        assert raised.value.source == "pkg/liba.dylib"


def _read_all(data: bytes) -> None:
    """Everything a slice can be asked, allowing for BinaryError and for nothing else."""
    try:
        for s in macho.read(BytesSource("x", data)).slices:
            s.imports()
            s.exports()
    except BinaryError as e:
        assert e.problem


def test_the_writer_and_the_reader_agree_on_many_exports() -> None:
    names = [f"_symbol_{n}" for n in range(255)]
    assert sorted(trie_names(trie(Export(n) for n in names), "x")) == sorted(names)
