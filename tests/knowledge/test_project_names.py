"""The table of names: what it knows, who says so, and that it guesses nothing."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
from packaging.utils import canonicalize_name

from abicheck.knowledge.project_names import conda_name, pypi_names


@pytest.mark.parametrize(
    ("pypi", "conda"),
    [
        ("torch", "pytorch"),
        ("tables", "pytables"),
        ("opencv-python-headless", "opencv"),
        ("psycopg2-binary", "psycopg2"),
        ("graphviz", "python-graphviz"),
        ("numpy", "numpy"),
        ("tbb", "tbb"),
    ],
)
def test_known_names(pypi: str, conda: str) -> None:
    pair = conda_name(pypi)
    assert pair is not None
    assert pair.conda == conda
    assert pair.source
    assert re.fullmatch(r"\d{4}-\d{2}", pair.date)
    assert pypi in {p.pypi for p in pypi_names(conda)}


def test_unknown_is_not_guessed() -> None:
    assert conda_name("no-such-project-anywhere") is None
    assert pypi_names("no-such-package-anywhere") == ()


def test_every_row_is_well_formed() -> None:
    document = json.loads(files("abicheck.knowledge").joinpath("project_names.json").read_text())
    for table in document["tables"]:
        assert table["source"]
        for name in (*table["differ"], *table["same"]):
            assert name == canonicalize_name(name)
        assert all(k != v for k, v in table["differ"].items())
        assert not set(table["differ"]) & set(table["same"])
