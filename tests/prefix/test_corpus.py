"""Damage of environments that people committed: the same clobbered files as catalogued, and nothing more.

``corpus/prefix-metadata`` has records and RECORDs without the binaries; with ABICHECK_PREFIXES naming a folder of whole
checkouts (one folder per id of ``corpus/real-prefixes.json``), the files themselves are hashed too.
"""

from __future__ import annotations

import functools
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.requirements import need, shared_corpus

from abicheck.prefix import Prefix, open_prefix
from abicheck.prefix.damage import NATIVE, both_claim
from abicheck.rules.abi502_distribution_replaced import judge_installed

ARCHIVES = ("arm-miniforge", "lin-heart", "lin-hummingbot", "osx-nri", "win-drone", "win-mediapipe")
CHECKOUTS = Path(os.environ.get("ABICHECK_PREFIXES", "/nowhere"))
FOUND = sorted(p.name for p in CHECKOUTS.iterdir()) if CHECKOUTS.is_dir() else []


@functools.cache
def catalogue() -> dict[str, dict[str, Any]]:
    shared = shared_corpus()
    assert shared is not None
    document = json.loads((shared / "corpus" / "real-prefixes.json").read_text())
    return {p["id"]: p for p in document["prefixes"]}


def natives(prefix: Prefix, kind: str) -> set[str]:
    return {d.path for d in prefix.damage if d.kind == kind and NATIVE.search(d.path)}


def compare(prefix: Prefix, row: dict[str, Any], *, whole: bool) -> None:
    listed = row["clobbered_files"]
    assert natives(prefix, "by-pip") == {f["path"] for f in listed.get("by_pip", ())}
    two = {path.lower(): sorted(d.name for d in dists) for path, dists in both_claim(prefix)}
    expected = {p.lower(): sorted(n.lower().replace("_", "-") for n in v) for p, v in row["pip_two_owners"].items()}
    assert two == expected
    told = {f.key for f in judge_installed(prefix)}
    assert set(row["twice"]) <= told
    if whole:
        assert natives(prefix, "by-conda") == {f["path"] for f in listed.get("by_conda", ())}
        assert len(natives(prefix, "cut")) == row["clobbered"]["cut"]
        assert natives(prefix, "changed") == {f["path"] for f in listed.get("other", ())}


@pytest.mark.parametrize("name", ARCHIVES)
def test_metadata_alone_tells_what_pip_clobbered(tmp_path: Path, name: str) -> None:
    need("shared")
    shared = shared_corpus()
    assert shared is not None
    with tarfile.open(shared / "corpus" / "prefix-metadata" / f"{name}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    prefix = open_prefix(str(tmp_path))
    row = catalogue()[name]
    assert (prefix.subdir, len(prefix.records), prefix.problems) == (row["subdir"], row["records"], ())
    assert prefix.interpreter is not None
    assert prefix.interpreter.version == row["python"]
    # The catalogue goes by INSTALLER alone; a conda package that was built with pip says pip there.
    by_pip = [d for d in prefix.distributions if d.installer not in ("", "conda") or d.owner is None]
    assert {"conda": len(prefix.distributions) - len(by_pip), "pip": len(by_pip)} == row["dists"]
    compare(prefix, row, whole=False)


@pytest.mark.parametrize("name", FOUND or ["none"])
def test_checkouts_show_the_same_damage(name: str) -> None:
    need("shared")
    if not FOUND:
        pytest.skip("needs checkouts of the corpus' environments: a folder named by ABICHECK_PREFIXES")
    row = catalogue()[name]
    prefix = open_prefix(str(CHECKOUTS / name))
    assert (prefix.subdir, len(prefix.records)) == (row["subdir"], row["records"])
    compare(prefix, row, whole=True)
