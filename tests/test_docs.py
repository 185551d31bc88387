"""The documentation is built with warnings as errors, its rule pages from the rules."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.requirements import not_run

from abicheck.config import KEYS
from abicheck.rules import all_rules

REPO = Path(__file__).resolve().parents[1]
DOCS = REPO / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if any(importlib.util.find_spec(m) is None for m in ("sphinx", "myst_parser", "furo")):
        not_run("needs Sphinx with MyST and furo: pip install --group docs")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", str(DOCS), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


def test_each_rule_has_a_page(site):
    for loaded in all_rules():
        page = (site / "_generated" / "rules" / f"{loaded.rule.id}.html").read_text(encoding="utf-8")
        assert loaded.rule.name in page and "When this is wrong" in page


def test_rule_pages_link_the_loader_rules_they_cite(site):
    page = (site / "_generated" / "rules" / "ABI201.html").read_text(encoding="utf-8")
    assert 'href="../loader-rules.html#elf-36"' in page
    assert 'id="elf-36"' in (site / "_generated" / "loader-rules.html").read_text(encoding="utf-8")


def test_each_setting_is_listed(site):
    page = (site / "configuration.html").read_text(encoding="utf-8")
    assert all(f">{key}<" in page for key in KEYS)


def test_configuration_example_is_accepted(tmp_path, monkeypatch):
    """The example of the page is a configuration that loads."""
    from abicheck.config import load, settings_of

    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example
    (tmp_path / "pyproject.toml").write_text(example[1], encoding="utf-8")
    settings = settings_of(load(str(tmp_path), environ={}))
    assert settings.suppressions[0].reason.startswith("fallback path")


def test_pages_name_no_place_of_a_machine():
    for page in [*DOCS.glob("*.md"), *(DOCS / "ci").iterdir()]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(/root/|/home/\w|/work/)", text), page.name
