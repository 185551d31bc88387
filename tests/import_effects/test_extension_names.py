"""Module names in compiled code."""

from __future__ import annotations

import struct
import zlib

from tests.import_effects.worlds import SITE, effects, loads

from abicheck.binary.source import BytesSource
from abicheck.import_effects.extension_names import names_in

WORDS = [
    "",
    ".",
    "two words",
    "__main__",
    "__name__",
    "__test__",
    "args",
    "decimal",
    "numpy",
    "os",
    "pkg.sub._other",
    "x",
    "y",
]


def lzss(data: bytes) -> bytes:
    """Cython's packing: one plain reference of the 7-bit form where the last three bytes repeat, else plain bytes."""
    out, at = bytearray(), 0
    while at < len(data):
        flags, body = 0, bytearray()
        for bit in range(8):
            if at >= len(data):
                break
            before = data.rfind(data[at : at + 3], max(0, at - 60), at)
            if before >= 0 and at - before - 3 >= 0 and len(data) - at >= 3:
                body += bytes([at - before - 3, 0])
                at += 3
            else:
                flags |= 1 << bit
                body.append(data[at])
                at += 1
        out.append(flags)
        out += body
    return bytes(out)


def found(data: bytes) -> tuple[str, ...]:
    return names_in(BytesSource("x.so", data), frozenset({"decimal", "numpy", "time"}))


def table(words: list[str]) -> bytes:
    return struct.pack(f"<{len(words)}I", *(len(w) for w in words)) + b"\xff" * 64


def test_strings_that_end_in_nul() -> None:
    data = b"\x7fELF\0pkg.sub.mod\0numpy\0not a.name\0xdecimal\0time.sleep()\0" + b"a.b"
    assert found(data) == ("pkg.sub.mod", "numpy")


def test_the_module_of_a_capsule() -> None:
    assert found(b"\0datetime.datetime_CAPI\0numpy.core._multiarray_umath\0") == (
        "datetime",
        "numpy.core._multiarray_umath",
    )


def test_a_table_packed_with_zlib() -> None:
    packed = zlib.compress("".join(WORDS).encode() + b"\x80\x01\x00" * 30)
    data = b"\x7fELF\0zlib\0" + packed
    data += b"\0" * (-len(data) % 32) + table(WORDS)
    assert set(found(data)) >= {"decimal", "numpy", "pkg.sub._other"}
    assert "time" not in found(data)


def test_a_table_packed_with_lzss() -> None:
    words = ["A sentence of documentation that comes first, " * 6, *WORDS[1:]]
    data = b"\x7fELF\0LZSS string data decompression failed\0" + lzss("".join(words).encode()) + b"\0" * 9
    data += b"\0" * (-len(data) % 32) + table(words)
    assert set(found(data)) >= {"decimal", "numpy", "pkg.sub._other"}


def test_names_cut_by_the_reading_window_are_found() -> None:
    filler = b"\x01" * ((4 << 20) - 8)
    assert found(filler + b"\0pkg.long_name.module\0") == ("pkg.long_name.module",)


def test_imports_from_compiled_code_are_possible() -> None:
    data = b"\x7fELF\0pkg._two\0_three\0other\0pkg.nothing\0"
    files = {
        "pkg/__init__.py": "from . import _one",
        "pkg/_one.so": data,
        "pkg/_two.so": b"",
        "pkg/_three.so": b"",
        "other.so": b"",
    }
    result = effects(files)
    assert [(e.path.removeprefix(SITE + "/"), e.certain) for e in result] == [
        ("pkg/_one.so", True), ("pkg/_two.so", False), ("pkg/_three.so", False), ("other.so", False),
    ]  # fmt: skip
    assert result[1].chain[-1].file.endswith("pkg/_one.so")
    assert loads(effects({**files, "pkg/__init__.py": "from . import _one, _two"}), certain=True) == [
        "pkg/_one.so",
        "pkg/_two.so",
    ]


def test_a_table_whose_lengths_are_not_found_is_searched_for_words() -> None:
    packed = zlib.compress("".join(WORDS).encode())
    assert set(found(b"\x7fELF\0zlib\0" + packed + b"\xff" * 400)) >= {"decimal", "numpy"}


def test_named_characters_may_load_unicodedata() -> None:
    files = {
        "pkg.py": 'DASH = "\\N{EM DASH}"\nimport other',
        "other.so": b"",
        "/p/lib/python3.12/lib-dynload/unicodedata.so": b"",
    }
    assert [(e.module, e.certain) for e in effects(files)] == [("unicodedata", False), ("other", True)]


def test_standard_extensions_after_compiled_code_may_be_there_already() -> None:
    files = {"pkg.py": "import _a, other, _b", "other.so": b""}
    files |= {f"/p/lib/python3.12/lib-dynload/{n}.so": b"" for n in ("_a", "_b")}  # type: ignore[misc]
    assert [(e.module, e.certain, e.by_now) for e in effects(files)] == [
        ("_a", True, False), ("other", True, False), ("_b", True, True),
    ]  # fmt: skip


def elf(text: bytes, *, code_at: int, other: bytes) -> bytes:
    """An ELF header with an executable segment from ``code_at`` (0: with the file) to where ``other`` begins."""
    head = bytearray(120)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, 1)
    length = 120 + len(text) - code_at
    struct.pack_into("<IIQQQQQQ", head, 64, 1, 5, code_at, 0, 0, length, length, 4096)
    return bytes(head) + text + other


def test_a_segment_of_nothing_but_code_is_not_searched() -> None:
    code, data = b"\0in.code\0", b"\0in.data\0"
    apart = elf(code, code_at=120, other=data)
    assert names_in(BytesSource("x.so", apart), frozenset()) == ("in.data",)
    # Older linkers put read-only data between header and code, in one segment.
    together = elf(code, code_at=0, other=data)
    assert names_in(BytesSource("x.so", together), frozenset()) == ("in.code", "in.data")
