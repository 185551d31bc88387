"""CPython's stable ABI: which symbols an abi3 module may use (``stable_abi.toml``, PEP 384, PY-8)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

Minor = tuple[int, int]


@cache
def stable_symbols() -> Mapping[str, Minor]:
    """Symbol (without a platform's leading underscore) to the Python release from which abi3 modules may use it."""
    raw = tomllib.loads(files("abicheck.knowledge").joinpath("stable_abi.toml").read_text("utf-8"))
    out: dict[str, Minor] = {}
    for row in raw["added"]:
        major, minor = row["python"].split(".")
        out.update(dict.fromkeys(row["names"], (int(major), int(minor))))
    return out


def newest_known() -> Minor:
    """The newest release of the table: symbols of later ones are not in it, which proves nothing against them."""
    return max(stable_symbols().values())
