"""The pass over bytes: nothing is lost at a border, everything is bounded."""

import re

from abicheck.binary.source import BytesSource
from abicheck.evidence.scan import OVERLAP, REACH, Around, scan


def test_a_literal_across_a_border_is_seen() -> None:
    for shift in range(12):
        data = b"x" * (100 - shift) + b"needle-here" + b"y" * 50
        assert scan(BytesSource("f", data), {"n": b"needle-here"}, piece=100) == {"n": (b"needle-here",)}


def test_an_expression_sees_what_stands_before_its_anchor() -> None:
    pattern = Around(b"-CAPI-", re.compile(rb"([0-9.]+)-CAPI-"))
    data = b"\0" * 5000 + b"3.11.1-CAPI-1.17.1\0" + b"\0" * 5000 + b"3.12.0-CAPI-1.18.0"
    assert scan(BytesSource("f", data), {"v": pattern}, piece=1000) == {"v": (b"3.11.1", b"3.12.0")}


def test_limit_and_absence() -> None:
    pattern = Around(b"v=", re.compile(rb"v=([0-9])"))
    data = b"v=1 v=2 v=2 v=3 v=4 v=5"
    assert scan(BytesSource("f", data), {"v": pattern, "no": b"zzz"}, limit=3) == {"v": (b"1", b"2", b"3")}
    assert scan(BytesSource("f", b""), {"v": pattern}) == {}


def test_a_match_longer_than_the_reach_is_not_claimed() -> None:
    pattern = Around(b"begin:", re.compile(rb"begin:[^\0]*end", re.DOTALL))
    data = b"begin:" + b"x" * (REACH + 10) + b"end"
    assert scan(BytesSource("f", data), {"v": pattern}) == {}
    assert OVERLAP > 2 * REACH


def test_a_source_that_ends_early_ends_the_scan() -> None:
    class Short(BytesSource):
        @property
        def size(self) -> int:
            return 1 << 30

    assert scan(Short("f", b"abc needle"), {"n": b"needle"}) == {"n": (b"needle",)}
