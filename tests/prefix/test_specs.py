"""conda's versions and specifications; the comparison with a real client over real records runs when one is there."""

from __future__ import annotations

import itertools

import pytest
from tests.requirements import need

from abicheck.prefix.specs import Spec, compare, parse_spec, satisfies

ORDERED = [
    "0.4",
    "0.4.1.rc",
    "0.4.1",
    "0.5a1",
    "0.5b3",
    "0.5C1",
    "0.5",
    "0.9.6",
    "0.960923",
    "1.0",
    "1.1dev1",
    "1.1_",
    "1.1a1",
    "1.1.0dev1",
    "1.1.a1",
    "1.1.0rc1",
    "1.1.0",
    "1.1.0post1",
    "1.1post1",
    "1996.07.12",
    "1!0.4.1",
    "1!3.1.1.6",
    "2!0.4.1",
]  # fmt: skip  (from the documentation of conda's version scheme)


def test_order_agrees_with_a_conda_client() -> None:
    need("rattler")
    import rattler

    for a, b in itertools.product([*ORDERED, "1.0.0", "9b", "1.1.1i", "2023a", "1.0+cu118", "1.0+cu121"], repeat=2):
        x, y = rattler.Version(a), rattler.Version(b)
        assert compare(a, b) == (x > y) - (x < y), (a, b)


@pytest.mark.parametrize(("one", "other"), [("1.1", "1.1.0"), ("1.0", "1"), ("1_2", "1.2"), ("1.1a", "1.1A")])
def test_equal(one: str, other: str) -> None:
    assert compare(one, other) == 0


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("numpy", Spec("numpy")),
        ("numpy >=1.22,<3", Spec("numpy", ">=1.22,<3")),
        ("numpy>=1.22, <3", Spec("numpy", ">=1.22,<3")),
        ("python_abi 3.11.* *_cp311", Spec("python_abi", "3.11.*", "*_cp311")),
        ("conda-forge::blas=1.0=mkl", Spec("blas", "1.0", "mkl")),
        ("x[version='>=1', build=abc]", Spec("x", ">=1", "abc")),
        ("libz >= 1.2 ,<2", Spec("libz", ">=1.2,<2")),
        ("one two three four", None),
        ("", None),
    ],
)
def test_parsing(text: str, spec: Spec | None) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize(
    ("text", "version", "build", "answer"),
    [
        ("a", "1", "0", True),
        ("a 1.2", "1.2.0", "0", True),
        ("a 1.2", "1.2.1", "0", False),
        ("a 1.2.*", "1.2.1", "0", True),
        ("a 1.2.*", "1.20", "0", False),
        ("a =1.2", "1.2.9", "0", True),
        ("a ==1.2", "1.2.9", "0", False),
        ("a !=1.2.*", "1.2.9", "0", False),
        ("a ~=1.4.2", "1.4.9", "0", True),
        ("a ~=1.4.2", "1.5", "0", False),
        ("a >=1,<2|>=3", "3.1", "0", True),
        ("a >=1,<2|>=3", "2.5", "0", False),
        ("a <2.0a0", "2.0rc1", "0", False),
        ("a <2.0a0", "1.99", "0", True),
        ("a * *_cp311", "1", "0_cp311", True),
        ("a * *_cp311", "1", "0_cp310", False),
        ("a ^1.*$", "1.2", "0", None),
        ("a >=1", "not a version!!", "0", None),
    ],
)
def test_satisfaction(text: str, version: str, build: str, answer: bool | None) -> None:
    spec = parse_spec(text)
    assert spec is not None
    assert satisfies(spec, version, build) is answer
