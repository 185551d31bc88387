"""The PE reader on files whose tables the test wrote itself: what it reads, and what it refuses."""

from __future__ import annotations

import time
from struct import pack, pack_into

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.binary.pe_samples import AMD64, ARM64, DATA, FILE_OFFSET_OF_DATA, I386, Exported, build

from abicheck.binary import reading
from abicheck.binary.facts import Export, Import, Need
from abicheck.binary.pe import PeSlice, claims, read
from abicheck.binary.pe_resources import Assembly, dependent_assemblies
from abicheck.binary.source import BytesSource
from abicheck.errors import BinaryError


def slice_of(data: bytes) -> PeSlice:
    (only,) = read(BytesSource("sample.dll", data)).slices
    assert isinstance(only, PeSlice)
    return only


@pytest.mark.parametrize("machine", [AMD64, I386])
def test_imports_by_name_and_ordinal(machine: int) -> None:
    pe = slice_of(build(machine=machine, imports={"B.dll": ["second", 7, "first"], "A.dll": [9]}))
    assert pe.needs == (Need("B.dll"), Need("A.dll"))
    assert pe.imports() == [
        Import(None, library="A.dll", ordinal=9),
        Import("first", library="B.dll"),
        Import("second", library="B.dll"),
        Import(None, library="B.dll", ordinal=7),
    ]
    assert pe.imported[0].symbols == (b"second", 7, b"first")
    assert pe.imported[0].hints == (0, 0, 2)


@pytest.mark.parametrize(("machine", "by_address"), [(AMD64, False), (I386, False), (I386, True)])
def test_delay_imports_in_both_attribute_styles(machine: int, by_address: bool) -> None:
    """Descriptors with virtual addresses have 32 bits for them: there are no 64-bit files of that style."""
    pe = slice_of(
        build(machine=machine, imports={"a.dll": ["f"]}, delayed={"late.dll": ["g", 3]}, delay_by_address=by_address)
    )
    assert pe.needs == (Need("a.dll"), Need("late.dll", "delay"))
    assert pe.imported[1].symbols == (b"g", 3)
    assert "delay-imports" in pe.flags
    assert Import("g", library="late.dll") in pe.imports()


def test_a_dll_that_is_imported_and_delayed_counts_as_required() -> None:
    assert slice_of(build(imports={"a.dll": ["f"]}, delayed={"a.dll": ["g"]})).needs == (Need("a.dll"),)


def test_exports_with_ordinals_forwarders_data_and_holes() -> None:
    pe = slice_of(
        build(
            name="Named.dll",
            exports=[
                Exported("plain", 5),
                Exported(None, 8),
                Exported("sent", 6, forward="other.thing"),
                Exported("sent_on", 10, forward="other.#4"),
                Exported("variable", 9, data=True),
            ],
        )
    )
    assert pe.identity == "Named.dll"
    assert pe.exports() == [
        Export("plain", type="func", ordinal=5),
        Export("sent", ordinal=6, forward="other.thing"),
        Export("sent_on", ordinal=10, forward="other.#4"),
        Export("variable", type="object", ordinal=9),
        Export(None, type="func", ordinal=8),
    ]
    table = pe.export_table
    assert table is not None
    assert table.holes == {7}
    assert [table.has_ordinal(n) for n in range(4, 12)] == [False, True, True, False, True, True, True, False]


def test_thousands_of_symbols_are_all_read() -> None:
    """pefile's defaults stop at 8192."""
    names = [f"symbol_{n:05}" for n in range(12000)]
    pe = slice_of(build(exports=names, imports={"a.dll": names}))
    assert [e.name for e in pe.exports()] == names
    assert [i.name for i in pe.imports()] == names


def test_names_that_do_not_lie_one_after_another() -> None:
    """Linkers may share or shuffle the names; then each is read for itself."""
    data = bytearray(build(exports=["aa", "bb", "cc"]))
    address = DATA + data.index(b"aa\0bb\0cc\0") - FILE_OFFSET_OF_DATA
    table = data.index(pack("<III", address, address + 3, address + 6))
    data[table : table + 12] = pack("<III", address + 6, address, address)
    found = slice_of(bytes(data)).export_table
    assert found is not None and found.names == (b"cc", b"aa", b"aa")


@pytest.mark.parametrize(
    ("machine", "hybrid", "arch"),
    [
        (AMD64, False, "x86_64"),
        (AMD64, True, "arm64ec"),
        (ARM64, False, "arm64"),
        (ARM64, True, "arm64x"),
        (I386, False, "i386"),
        (0xA641, False, "arm64ec"),
        (0x5032, False, "0x5032"),
    ],
)
def test_architecture_words(machine: int, hybrid: bool, arch: str) -> None:
    assert slice_of(build(machine=machine, hybrid=hybrid)).arch == arch


def test_version_and_manifest() -> None:
    manifest = """<assembly><dependency><dependentAssembly>
        <assemblyIdentity type="win32" name="Microsoft.VC90.CRT" version='9.0.21022.8' language="*"/>
        </dependentAssembly></dependency></assembly>"""
    pe = slice_of(build(version=(14, 40, 33810, 0), manifest=manifest))
    assert pe.file_version == (14, 40, 33810, 0)
    assert pe.product_version == (14, 40, 33810, 0)
    assert pe.assemblies == (Assembly("Microsoft.VC90.CRT", "9.0.21022.8"),)
    assert "side-by-side" in pe.flags


def test_no_version_resource_is_no_version() -> None:
    pe = slice_of(build())
    assert (pe.file_version, pe.product_version, pe.assemblies) == (None, None, ())


def test_manifest_with_namespace_and_utf16() -> None:
    text = (
        '<x:assembly xmlns:x="urn:schemas"><x:dependency><x:dependentAssembly><x:assemblyIdentity version="6.0.0.0" '
        'name="Microsoft.Windows.Common-Controls"/></x:dependentAssembly></x:dependency></x:assembly>'
    )
    assert dependent_assemblies(text.encode("utf-16")) == [Assembly("Microsoft.Windows.Common-Controls", "6.0.0.0")]


def test_a_broken_resource_tree_is_said_and_not_fatal() -> None:
    data = bytearray(build(version=(1, 2, 3, 4)))
    directory = 0x80 + 24 + 112 + 2 * 8
    pack_into("<I", data, directory, 0x00F00000)
    pe = slice_of(bytes(data))
    assert "resources-unreadable" in pe.flags
    assert pe.file_version is None


@pytest.mark.parametrize("machine", [AMD64, I386])
def test_dependent_load_flags(machine: int) -> None:
    pe = slice_of(build(machine=machine, dependent_load_flags=0x800))
    assert pe.dependent_load_flags == 0x800
    assert "dependent-load-flags:0x800" in pe.flags


def test_toolset_floor_needs_microsofts_linker_and_its_shared_runtime() -> None:
    runtime = {"VCRUNTIME140.dll": ["memcpy"]}
    assert slice_of(build(linker=(14, 40), imports=runtime)).floors == {"msvc": "14.40"}
    assert slice_of(build(linker=(14, 0), imports={"MSVCP140-0123456789abcdef.dll": ["f"]})).floors == {"msvc": "14.00"}
    assert slice_of(build(linker=(14, 40), imports=runtime, rich=False)).floors == {}, (
        "lld writes 14.0 and no Rich block"
    )
    assert slice_of(build(linker=(2, 40), imports=runtime)).floors == {}, "GNU ld"
    assert slice_of(build(linker=(14, 40), imports={"KERNEL32.dll": ["Sleep"]})).floors == {}, "static runtime"


def test_flags_and_kind() -> None:
    pe = slice_of(build(dll=False))
    assert not pe.is_dll
    assert pe.flags == {"executable", "dynamic-base", "nx-compat", "high-entropy-va"}


# -- refusals -------------------------------------------------------------------------------------------------------


def test_claims_only_what_can_be_one() -> None:
    assert claims(build()[:64])
    assert not claims(b"MZ")
    assert not claims(b"\x7fELF" + bytes(60))
    assert reading.is_binary(build()[:64])


@pytest.mark.parametrize(
    "content", [b"MZ" + bytes(62), b"MZ" + b"\xff" * 100, b"MZ" + bytes(58) + b"\x40\0\0\0NE" + bytes(90)]
)
def test_a_dos_program_is_no_pe_library(content: bytes) -> None:
    with pytest.raises(BinaryError, match="not a PE library"):
        read(BytesSource("old.exe", content))


def test_every_truncation_is_refused() -> None:
    data = build(imports={"a.dll": ["f"]}, exports=["g"], version=(1, 0, 0, 0))
    for length in range(64, len(data) - 512, 7):
        with pytest.raises(BinaryError):
            read(BytesSource("cut.dll", data[:length]))


def test_the_message_of_a_cut_file_has_both_lengths() -> None:
    data = build(exports=[f"name{n}" for n in range(500)])
    with pytest.raises(BinaryError, match=rf"ends after 4096 of {len(data)} bytes"):
        read(BytesSource("cut.dll", data[:4096]))


def test_tables_outside_the_file_are_refused() -> None:
    data = bytearray(build(imports={"a.dll": ["f"]}))
    pack_into("<I", data, 0x80 + 24 + 112 + 8, 0x00FF0000)
    with pytest.raises(BinaryError, match="none of its sections"):
        read(BytesSource("odd.dll", bytes(data)))


def test_a_name_used_a_million_times_ends_early() -> None:
    """All thunks lead to one long name: the work is bounded by the file's size, not by the product."""
    names = ["x" * 60000]
    data = bytearray(build(imports={"a.dll": names * 1 + list(range(1, 60000))}))
    thunk = data.index((1 << 63 | 1).to_bytes(8, "little")) - 8
    data[thunk : thunk + 8 * 60000] = bytes(data[thunk : thunk + 8]) * 60000
    start = time.perf_counter()
    with pytest.raises(BinaryError, match="overlap or repeat"):
        read(BytesSource("bomb.dll", bytes(data)))
    assert time.perf_counter() - start < 2


SAMPLE = build(
    imports={"a.dll": ["f", 3], "b.dll": ["g"]},
    delayed={"c.dll": ["h"]},
    exports=["one", Exported("two", 9, forward="d.two")],
    version=(1, 2, 3, 4),
    manifest="<dependentAssembly><assemblyIdentity name='x' version='1'/></dependentAssembly>",
    dependent_load_flags=0x800,
)


@settings(max_examples=300, deadline=2000)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_damage_gives_facts_or_a_binary_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLE)
    for at, value in changes:
        data[at] = value
    if not claims(bytes(data[:64])):
        return
    try:
        pe = slice_of(bytes(data))
    except BinaryError:
        return
    pe.imports()
    pe.exports()
    assert pe.arch and pe.floors is not None


@settings(max_examples=200, deadline=2000)
@given(st.binary(max_size=3000))
def test_any_bytes_after_the_signature(tail: bytes) -> None:
    data = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + tail
    try:
        read(BytesSource("any.dll", data))
    except BinaryError:
        return
