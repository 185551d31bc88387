"""The two symbol hash tables, searched as the loader searches them (ELF-34).

Source: glibc 04e750e7 ``elf/dl-lookup.c`` ``do_lookup_x``, ``elf/dl-setup_hash.c``; gABI for DT_HASH.
"""

from __future__ import annotations

import functools
import struct
from array import array
from collections.abc import Sequence
from operator import mul

from abicheck.binary.elf_image import Image, grouped
from abicheck.binary.elf_machines import hash_word
from abicheck.errors import BinaryError

FIRST_PIECE = 1 << 13
NEXT_PIECE = 1 << 12
_PIECE = 256  # characters hashed at once
_POWERS = tuple(pow(33, n, 1 << 32) for n in reversed(range(_PIECE + 1)))


@functools.lru_cache(maxsize=1 << 18)
def gnu_hash(name: bytes) -> int:
    """The hash of DT_GNU_HASH: Bernstein's, ``h = h * 33 + c`` from 5381 on, in 32 bits."""
    h = 5381
    for at in range(0, len(name), _PIECE):
        piece = name[at : at + _PIECE]
        # A sum of products is made faster than a loop is run.
        h = (h * _POWERS[-len(piece) - 1] + sum(map(mul, piece, _POWERS[-len(piece) :]))) & 0xFFFFFFFF
    return h


@functools.lru_cache(maxsize=1 << 16)
def elf_hash(name: bytes) -> int:
    """The hash of DT_HASH and of version names (gABI)."""
    h = 0
    for c in name:
        h = (h << 4) + c
        high = h & 0xF0000000
        h = (h ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return h


class GnuHash:
    """DT_GNU_HASH. ``first``: index of the first symbol in it; ``chain[i]`` belongs to symbol ``first + i``."""

    __slots__ = ("_bits", "_bloom", "_buckets", "_low", "_mask", "_shift", "chain", "count", "first")

    def __init__(
        self, first: int, shift: int, bits: int, bloom: array[int], buckets: array[int], chain: array[int]
    ) -> None:
        self.first, self.chain = first, chain
        self.count = first + len(chain)
        self._shift, self._bloom, self._buckets = shift, bloom, buckets
        self._mask, self._low = len(bloom) - 1, bits - 1
        self._bits = bits.bit_length() - 1

    def find(self, name: bytes) -> Sequence[int]:
        """Indexes of the symbols whose hash is that of ``name``, in chain order; names still have to be compared."""
        if not self.chain:
            return ()
        h, low = gnu_hash(name), self._low
        word = self._bloom[(h >> self._bits) & self._mask]
        if not (word >> (h & low)) & (word >> ((h >> self._shift) & low)) & 1:
            return ()
        at = self._buckets[h % len(self._buckets)] - self.first
        out: list[int] = []
        if at < 0:
            return out
        chain, wanted = self.chain, h | 1
        while True:
            entry = chain[at]
            if entry | 1 == wanted:
                out.append(at + self.first)
            if entry & 1:
                return out
            at += 1

    def indexes(self) -> range:
        """Every symbol in the table, in chain order."""
        return range(self.first, self.count)


class SysvHash:
    """DT_HASH. Covers the whole symbol table, undefined symbols included."""

    __slots__ = ("_buckets", "_chain", "count")

    def __init__(self, buckets: array[int], chain: array[int]) -> None:
        self._buckets, self._chain = buckets, chain
        self.count = len(chain)

    def find(self, name: bytes) -> Sequence[int]:
        """Indexes of the symbols in the bucket of ``name``. Ends after one turn should the chain be a circle."""
        out: list[int] = []
        if not self._buckets:
            return out
        at = self._buckets[elf_hash(name) % len(self._buckets)]
        while 0 < at < self.count and len(out) < self.count:
            out.append(at)
            at = self._chain[at]
        return out

    def indexes(self) -> list[int]:
        """Every symbol that some bucket leads to, in chain order."""
        seen = bytearray(self.count)
        out = []
        for at in self._buckets:
            while 0 < at < self.count and not seen[at]:
                seen[at] = 1
                out.append(at)
                at = self._chain[at]
        return out


HashTable = GnuHash | SysvHash


def read_gnu_hash(image: Image, address: int) -> GnuHash:
    """Read and check DT_GNU_HASH. Raises ``BinaryError`` when it leads out of its segment."""
    what = "GNU hash table"
    name = image.source.name
    offset, room = image.place(address, what)
    if room < 16:
        raise BinaryError(name, f"has {room} bytes of {what}")
    data = image.bytes_at(offset, min(room, FIRST_PIECE, max(16, image.source.size - offset)), what)
    buckets, first, words, shift = struct.unpack_from(image.layout.end + "IIII", data)
    if words == 0 or words & (words - 1):
        raise BinaryError(name, f"has a {what} with a filter of {words} words, not a power of two")
    width = image.layout.elf_class // 8
    buckets_at = 16 + words * width
    chain_at = buckets_at + buckets * 4
    if chain_at > room:
        raise BinaryError(name, f"claims {grouped(chain_at)} bytes for its {what} where {grouped(room)} are left")
    if chain_at > len(data):
        data = image.bytes_at(offset, chain_at, what)
    bloom = image.numbers(data[16:buckets_at], image.layout.word)
    heads = image.numbers(data[buckets_at:chain_at], "I")
    last = max(heads, default=0)
    chain = array("I")
    if last:
        if min(filter(None, heads)) < first:
            raise BinaryError(name, f"has a {what} that starts chains before its first symbol")
        chain = _chain(image, offset, room, chain_at, last - first, data)
    return GnuHash(first, shift, width * 8, bloom, heads, chain)


def _chain(image: Image, offset: int, room: int, chain_at: int, last: int, data: bytes) -> array[int]:
    """Hash words from the first symbol to the end of the chain that starts at entry ``last``."""
    what = "GNU hash table"
    end = chain_at + (last + 1) * 4
    piece = NEXT_PIECE
    while True:
        if end > room:
            raise BinaryError(image.source.name, f"has a {what} without an end")
        if end > len(data):
            have = min(room, end + piece, max(end, image.source.size - offset))
            data += image.bytes_at(offset + len(data), have - len(data), what)
            piece *= 4
        words = image.numbers(data[chain_at + last * 4 : len(data)], "I")
        stop = next((i for i, w in enumerate(words) if w & 1), None)
        if stop is not None:
            return image.numbers(data[chain_at : chain_at + (last + stop + 1) * 4], "I")
        last += len(words)
        end = chain_at + (last + 1) * 4


def read_sysv_hash(image: Image, address: int) -> SysvHash:
    """Read and check DT_HASH."""
    width, buckets, chains = _sysv_head(image, address)
    code = "Q" if width == 8 else "I"
    data = image.numbers(image.table(address, (2 + buckets + chains) * width, "hash table"), code)
    return SysvHash(data[2 : 2 + buckets], data[2 + buckets :])


def sysv_count(image: Image, address: int) -> int:
    """Number of symbols by DT_HASH alone (its nchain)."""
    return _sysv_head(image, address)[2]


def _sysv_head(image: Image, address: int) -> tuple[int, int, int]:
    """(bytes of an entry, buckets, chain entries).

    lld writes 4-byte entries even for machines whose ABI has 8: taken when the table makes sense only so.
    """
    what = "hash table"
    room = image.place(address, what)[1]
    width = hash_word(image.machine, image.layout.elf_class)
    buckets, chains = image.numbers(image.table(address, 2 * width, what), "Q" if width == 8 else "I")
    if width == 8 and (2 + buckets + chains) * width > room:
        width = 4
        buckets, chains = image.numbers(image.table(address, 2 * width, what), "I")
    return width, buckets, chains
