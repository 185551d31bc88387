"""Registries of C++ classes, and who works with whose, read from compiled code (PY-17)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evidence.test_compiled import SOURCES, build

from abicheck.evidence.bound_types import BoundTypes, bound_types

SOURCE = (SOURCES / "bound_types.c").read_text()
OLD, NEW = "__pybind11_internals_v4_gcc_libstdcpp_cxxabi1017__", "__pybind11_internals_v11_system_libstdcpp_abi_1__"


@pytest.mark.parametrize("options", [("-O1",), ("-O2",), ("-Os",), ("-O2", "-DHELPER"), ("-O2", "-fno-plt")])
def test_what_a_module_shares(tmp_path: Path, options: tuple[str, ...]) -> None:
    more = (f'-DID="{OLD}"', '-DPARTNER="box.core"', '-DCONDUIT=""')
    got = bound_types(build(tmp_path, SOURCE, *options, *more))
    assert got == BoundTypes((OLD,), False, ("box.core",), ("N4shop3BoxE",))


def test_modules_of_other_makes_share_nothing(tmp_path: Path) -> None:
    assert bound_types(build(tmp_path, SOURCE, '-DID="other"', '-DPARTNER="box.core"', '-DCONDUIT=""')) is None


@pytest.mark.parametrize(
    ("one", "other", "conduits", "expected"),
    [
        (OLD, OLD, (False, False), True),
        (OLD, NEW, (True, True), False),  # the compilers differ
        (OLD, OLD.replace("v4", "v5"), (True, True), True),
        (OLD, OLD.replace("v4", "v5"), (True, False), False),
        ("v15_system_libcpp_abi1", "v16_system_libcpp_abi1", (False, False), False),
    ],
)
def test_who_shares_with_whom(one: str, other: str, conduits: tuple[bool, bool], expected: bool) -> None:
    a, b = (BoundTypes((i,), c) for i, c in zip((one, other), conduits, strict=True))
    assert a.shares(b) is expected and b.shares(a) is expected
