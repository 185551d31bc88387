"""The strings of a Cython module whose table is one packed text: zlib (3.1 on) or Cython's own LZSS (3.3 on).

Beside the text stands an array of the strings' lengths, four bytes each, in the order of the text.
Source: Cython's ``Cython/Compiler/Code.py`` (generate_pystring_constants), ``Utility/StringTools.c`` and ``LZSS.py``.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterator

MAX_TABLE = 4 << 20  # bytes of one table, unpacked
MIN_STRINGS = 12
MIN_WORD = 5  # letters; shorter words occur inside others
PROBE = 160  # bytes of a text by which it is told from chance: they hold no control characters
REACH = 192 << 10  # bytes around a packed text within which its lengths lie
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
# Eight plain bytes first: the text begins with words that were not seen before.
_LZSS = re.compile(rb"\xff[\t\n -~]{8}[\x01-\xff]")
_SMALL = re.compile(rb"\0{%d,}" % MIN_STRINGS)
_MARKS = (b"__main__", b"__name__", b"__test__")  # every module has them
MARK = 8  # letters of each


def table_strings(data: bytes, words: frozenset[str]) -> Iterator[str]:
    """Strings of all packed tables in ``data`` (a whole extension file).

    Some compilers scatter the lengths. Then those of ``words`` that occur anywhere in the text stand for its strings.
    """
    for match in _ZLIB.finditer(data):
        unpacked = _inflate(data, match.start())
        if unpacked is not None:
            strings = list(_split(unpacked[0], data, unpacked[1]))
            if not strings and all(mark in unpacked[0] for mark in _MARKS):
                strings = sorted(w for w in words if len(w) >= MIN_WORD and w.encode() in unpacked[0])
            yield from strings
    if b"LZSS string data" not in data:
        return
    done = 0
    for match in _LZSS.finditer(data):
        if match.start() < done:
            continue
        text, _ = _expand(data, match.start(), PROBE, least=ord("\t"))
        if len(text) >= PROBE:
            text, end = _expand(data, match.start(), MAX_TABLE)
            found = list(_split(text, data, match.start()))
            if found:
                yield from found
                done = end


def _inflate(data: bytes, start: int) -> tuple[bytes, int] | None:
    """(text, offset after it) of a complete zlib stream."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data[start : start + 512])
        if not stream.eof:
            text += stream.decompress(data[start + 512 : start + MAX_TABLE], MAX_TABLE)
    except zlib.error:
        return None
    if not stream.eof or len(text) < 64:
        return None
    end = start + 512 if start + 512 >= len(data) or len(stream.unused_data) <= 512 else start + MAX_TABLE
    return text, min(end, len(data)) - len(stream.unused_data)


def _expand(data: bytes, start: int, limit: int, least: int = 0) -> tuple[bytes, int]:
    """(text, offset where it stopped) of an LZSS stream: until something that cannot be one; its size is not stored. No
    text when it has a byte below ``least``."""
    out = bytearray()
    at, end = start, len(data) - 4
    while at < end and len(out) < limit:
        flags = data[at] | 0xFF00
        at += 1
        while flags & 0x100 and at < end:
            if flags & 1:
                if data[at] < least:
                    return b"", at
                out.append(data[at])
                at += 1
            else:
                low, high = data[at], data[at + 1]
                at += 2
                if not low & 0x80:
                    offset, length = low, high
                elif not high & 0x80:
                    offset, length = 0x80 + (((high << 2) & 0x180) | (low & 0x7F)), high & 0x1F
                else:
                    offset, length = 0x80 + ((high & 0x7F) << 7 | (low & 0x7F)), data[at]
                    at += 1
                length += 3
                begin = len(out) - offset - length
                if begin < 0:
                    return bytes(out), at
                out += out[begin : begin + length]
            flags >>= 1
    return bytes(out), at


def _split(text: bytes, data: bytes, after: int) -> Iterator[str]:
    """The strings of ``text``, by the array of lengths that stands near ``after`` in the file.

    It is found by its effect: from some start on, the lengths must add up to the place of a name that every module has,
    and the next length must be that name's.
    """
    if not all(mark in text for mark in _MARKS):
        return
    begin = max(0, after - REACH)
    window = data[begin - begin % 4 : after + REACH]
    window = window[: len(window) // 4 * 4]
    for begin, end in _runs(window):
        lengths = memoryview(window[4 * begin : 4 * end]).cast("I").tolist()
        if MARK not in lengths:
            continue  # padding, mostly
        sums = list(itertools.accumulate(lengths, initial=0))
        starts = {total: i for i, total in enumerate(sums)}
        likely = [i for i, length in enumerate(lengths) if length == MARK]
        for mark in _MARKS:
            place = text.find(mark)
            while place >= 0:
                for i in likely:
                    start = starts.get(sums[i] - place)
                    if start is not None and start <= i:
                        strings = list(_cut(text, lengths[start:]))
                        if sum(m.decode() in strings for m in _MARKS) > 1:
                            yield from strings
                            return
                place = text.find(mark, place + 1)


def _runs(window: bytes) -> Iterator[tuple[int, int]]:
    """Longest stretches of four-byte numbers below 65,536, as (first, after the last): their upper bytes are zero."""
    upper = int.from_bytes(window[2::4], "big") | int.from_bytes(window[3::4], "big")
    for match in _SMALL.finditer(upper.to_bytes(len(window) // 4, "big")):
        yield match.span()


def _cut(text: bytes, lengths: list[int]) -> Iterator[str]:
    at = 0
    for length in lengths:
        if at + length > len(text):
            return
        yield text[at : at + length].decode("utf-8", "replace")
        at += length
