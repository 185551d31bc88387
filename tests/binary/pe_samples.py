"""Writes small PE files for the tests: just the tables that a test is about, in two sections (code, data)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import pack, pack_into

AMD64, I386, ARM64 = 0x8664, 0x14C, 0xAA64
CODE, DATA = 0x1000, 0x2000
FILE_OFFSET_OF_CODE, FILE_OFFSET_OF_DATA = 0x400, 0x600
BASE = 0x180000000
Symbol = str | int


@dataclass(frozen=True)
class Exported:
    """One export: a name or none, its ordinal, and a forwarder (``other.f``) or whether it is data."""

    name: str | None
    ordinal: int
    forward: str = ""
    data: bool = False


@dataclass
class _Data:
    """The data section under construction; ``put`` gives the address of what it appends."""

    content: bytearray = field(default_factory=bytearray)

    def put(self, data: bytes, align: int = 8) -> int:
        self.content += bytes(-len(self.content) % align)
        at = DATA + len(self.content)
        self.content += data
        return at


def build(
    *,
    machine: int = AMD64,
    name: str = "sample.dll",
    imports: Mapping[str, Sequence[Symbol]] | None = None,
    delayed: Mapping[str, Sequence[Symbol]] | None = None,
    delay_by_address: bool = False,
    exports: Iterable[Exported | str] = (),
    linker: tuple[int, int] = (14, 29),
    rich: bool = True,
    version: tuple[int, int, int, int] | None = None,
    manifest: str = "",
    dependent_load_flags: int = 0,
    hybrid: bool = False,
    dll: bool = True,
) -> bytes:
    """The bytes of one PE file (PE32+ unless the machine is i386)."""
    plus = machine != I386
    base = BASE if plus else 0x10000000
    data = _Data()
    directories = [(0, 0)] * 16
    exported = [Exported(e, n + 1) if isinstance(e, str) else e for n, e in enumerate(exports)]
    if exported:
        directories[0] = _exports(data, name, exported)
    if imports:
        directories[1] = _imports(data, imports, plus)
    if delayed:
        directories[13] = _delayed(data, delayed, plus, base if delay_by_address else 0)
    if version or manifest:
        directories[2] = _resources(data, version, manifest)
    if dependent_load_flags or hybrid:
        config = bytearray(256)
        pack_into("<I", config, 0, 256)
        pack_into("<H", config, 78 if plus else 54, dependent_load_flags)
        pack_into("<Q", config, 200, BASE + CODE if hybrid and plus else 0)
        directories[10] = data.put(bytes(config)), 256
    return _file(machine, plus, base, bytes(data.content), directories, linker, rich, dll)


def _file(
    machine: int, plus: bool, base: int, data: bytes, directories: list[tuple[int, int]],
    linker: tuple[int, int], rich: bool, dll: bool,
) -> bytes:  # fmt: skip
    raw = FILE_OFFSET_OF_CODE
    data_size = (len(data) + 511) // 512 * 512
    stub = bytearray(0x80)
    stub[:2] = b"MZ"
    pack_into("<I", stub, 60, 0x80)
    if rich:
        stub[0x70:0x74] = b"Rich"
    optional = pack("<HBBIIIII", 0x20B if plus else 0x10B, *linker, 512, data_size, 0, CODE, CODE)
    optional += pack("<Q", base) if plus else pack("<II", DATA, base)
    optional += pack("<IIHHHHHHI", 0x1000, 512, 6, 0, 0, 0, 6, 0, 0)
    optional += pack("<IIIHH", 0x3000 + len(data), raw, 0, 3, 0x160)
    optional += pack("<QQQQII" if plus else "<IIIIII", 0, 0, 0, 0, 0, 16)
    optional += b"".join(pack("<II", *d) for d in directories)
    header = b"PE\0\0" + pack("<HHIIIHH", machine, 2, 0, 0, 0, len(optional), 0x2022 if dll else 0x22)
    sections = pack("<8sIIIIIIHHI", b".text", 512, CODE, 512, raw, 0, 0, 0, 0, 0x60000020)
    sections += pack("<8sIIIIIIHHI", b".rdata", max(len(data), 1), DATA, data_size, raw + 512, 0, 0, 0, 0, 0x40000040)
    head = bytes(stub) + header + optional + sections
    code = b"\x31\xc0\xc3" + bytes(509)
    return head.ljust(raw, b"\0") + code + data.ljust(data_size, b"\0")


def _thunks(data: _Data, symbols: Sequence[Symbol], plus: bool, base: int) -> int:
    flag, code = (1 << 63, "<Q") if plus else (1 << 31, "<I")
    entries = [
        flag | s if isinstance(s, int) else base + data.put(pack("<H", n) + s.encode() + b"\0", 2)
        for n, s in enumerate(symbols)
    ]
    return data.put(b"".join(pack(code, e) for e in [*entries, 0]))


def _imports(data: _Data, imports: Mapping[str, Sequence[Symbol]], plus: bool) -> tuple[int, int]:
    rows = b""
    for dll, symbols in imports.items():
        lookup, addresses = _thunks(data, symbols, plus, 0), _thunks(data, symbols, plus, 0)
        rows += pack("<IIIII", lookup, 0, 0, data.put(dll.encode() + b"\0", 1), addresses)
    return data.put(rows + bytes(20)), len(rows) + 20


def _delayed(data: _Data, delayed: Mapping[str, Sequence[Symbol]], plus: bool, base: int) -> tuple[int, int]:
    rows = b""
    for dll, symbols in delayed.items():
        lookup = _thunks(data, symbols, plus, base)
        name = data.put(dll.encode() + b"\0", 1)
        rows += pack("<IIIIIIII", 0 if base else 1, base + name, base, base + lookup, base + lookup, 0, 0, 0)
    return data.put(rows + bytes(32)), len(rows) + 32


def _exports(data: _Data, name: str, exported: list[Exported]) -> tuple[int, int]:
    low = min(e.ordinal for e in exported)
    count = max(e.ordinal for e in exported) - low + 1
    named = sorted((e for e in exported if e.name is not None), key=lambda e: str(e.name).encode())
    start = data.put(bytes(40))
    addresses = [0] * count
    for e in exported:
        target = data.put(e.forward.encode() + b"\0", 1) if e.forward else CODE
        addresses[e.ordinal - low] = target if e.forward or not e.data else 0xFFFFFFFF
    pointers = [data.put(str(e.name).encode() + b"\0", 1) for e in named]
    title = data.put(name.encode() + b"\0", 1)
    at_names = data.put(b"".join(pack("<I", p) for p in pointers))
    at_ordinals = data.put(b"".join(pack("<H", e.ordinal - low) for e in named))
    at_functions = data.put(bytes(4 * count))
    end = DATA + len(data.content)
    outside = data.put(bytes(8))
    for n, address in enumerate(addresses):
        pack_into("<I", data.content, at_functions - DATA + 4 * n, outside if address == 0xFFFFFFFF else address)
    table = pack("<IIIIIIII", title, low, count, len(named), at_functions, at_names, at_ordinals, 0)
    data.content[start - DATA + 12 : start - DATA + 40] = table[:28]
    return start, end - start


def _resources(data: _Data, version: tuple[int, int, int, int] | None, manifest: str) -> tuple[int, int]:
    leaves: list[tuple[int, bytes]] = []
    if version:
        a, b, c, d = version
        numbers = pack("<IIIIII", 0xFEEF04BD, 0x10000, a << 16 | b, c << 16 | d, a << 16 | b, c << 16 | d)
        leaves.append((16, pack("<HHH", 92, 52, 0) + "VS_VERSION_INFO\0".encode("utf-16-le") + bytes(2) + numbers))
    if manifest:
        leaves.append((24, manifest.encode()))
    contents = [(data.put(body), len(body)) for _, body in leaves]
    start = data.put(b"")
    size = 16 + 8 * len(leaves)
    tree = bytearray(size + len(leaves) * (24 + 24 + 16))
    pack_into("<HH", tree, 12, 0, len(leaves))
    for n, (kind, _) in enumerate(leaves):
        at = size + n * 64
        pack_into("<II", tree, 16 + 8 * n, kind, 1 << 31 | at)
        pack_into("<HHII", tree, at + 12, 0, 1, 1, 1 << 31 | at + 24)
        pack_into("<HHII", tree, at + 36, 0, 1, 0x409, at + 48)
        pack_into("<II", tree, at + 48, *contents[n])
    data.content += tree
    return start, len(tree)
