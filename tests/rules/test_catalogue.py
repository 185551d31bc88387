"""The catalogue is what contract.md section 4 promises, and every rule keeps the contract of its kind."""

from __future__ import annotations

import types

import pytest

from abicheck.errors import UsageError
from abicheck.model import Severity
from abicheck.rules import (
    HEADINGS,
    Rule,
    RuleContractError,
    all_rules,
    check_selectors,
    find,
    load_rule,
    matches,
    parse_page,
)

# contract.md section 4: id, name, severity.
CONTRACT = {
    "ABI001": ("tag-incompatible", "error"),
    "ABI002": ("binary-tag-mismatch", "error/warning"),
    "ABI003": ("python-abi-mismatch", "error"),
    "ABI004": ("platform-too-old", "error/warning"),
    "ABI101": ("library-not-found", "error"),
    "ABI102": ("library-rejected", "error"),
    "ABI103": ("library-captured", "by consequence"),
    "ABI104": ("library-shadowed", "by consequence"),
    "ABI201": ("symbol-version-missing", "error"),
    "ABI202": ("symbol-missing", "error"),
    "ABI203": ("symbol-interposed", "by consequence"),
    "ABI204": ("state-merged", "by consequence"),
    "ABI205": ("load-aborts", "error"),
    "ABI301": ("duplicate-openmp", "by pair and OS"),
    "ABI302": ("duplicate-runtime", "by family"),
    "ABI303": ("second-python", "error/warning"),
    "ABI304": ("runtime-too-old", "error/warning"),
    "ABI401": ("numpy-abi", "error"),
    "ABI402": ("extension-abi", "error/warning"),
    "ABI501": ("file-clobber", "by content"),
    "ABI502": ("distribution-replaced", "warning"),
    "ABI503": ("import-name-overlap", "warning"),
    "ABI504": ("conda-twin", "note"),
    "ABI505": ("prefix-damaged", "warning"),
    "ABI601": ("data-directory-shadowed", "error/warning"),
    "ABI602": ("loader-state-changed", "note/warning"),
    "ABI603": ("static-tls-pressure", "warning"),
    "ABI604": ("objc-class-duplicate", "warning"),
    "ABI901": ("not-analysed", "incomplete"),
}
# loader-semantics.md section 0.1.
CLASSES = {
    "MISSING_LIB", "MISSING_SYMBOL", "MISSING_VERSION", "LOAD_REJECTED", "PROCESS_ABORT", "CAPTURED_LIB",
    "SHADOWED_LIB", "VERSION_SKEW", "INTERPOSED_SYMBOL", "MIXED_COPY", "COALESCED_STATE", "DUP_LIB", "DUP_RUNTIME",
    "ABI_MISMATCH", "TAG_INCOMPATIBLE", "FILE_CLOBBER", "OWNERSHIP", "PRELOAD_EFFECT", "ENV_OVERRIDE", "HOST_UNKNOWN",
}  # fmt: skip

PAGE = "A title\nof two lines.\n\n" + "\n\n".join(f"## {h}\n\nText of {h}." for h in HEADINGS)
RULE = Rule("ABI999", "made-up", "error", ("MISSING_LIB",), ("linux",), "Made up.", "0.1")


def module(name: str = "abi999_made_up", doc: str | None = PAGE, **names: object) -> types.ModuleType:
    out = types.ModuleType(f"abicheck.rules.{name}", doc)
    out.__dict__.update({"RULE": RULE, "check": lambda _scene: iter(()), **names})
    return out


@pytest.mark.parametrize("loaded", all_rules(), ids=lambda r: r.rule.id)
def test_rule_is_what_the_contract_says(loaded):
    """Id, name and severity of every rule stand in the contract's table; classes in the loader specification's."""
    rule = loaded.rule
    assert (rule.name, rule.severity) == CONTRACT[rule.id]
    assert set(rule.classes) <= CLASSES
    assert len(rule.summary) <= 160 and "\n" not in rule.summary
    assert rule.usual in Severity


@pytest.mark.parametrize("loaded", all_rules(), ids=lambda r: r.rule.id)
def test_page_has_text_under_each_heading(loaded):
    assert [h for h, _ in loaded.page.sections] == list(HEADINGS)
    assert all(len(text) > 20 for _, text in loaded.page.sections)
    assert "TODO" not in loaded.page.markdown(loaded.rule)


def test_page_is_cut_at_its_headings():
    page = parse_page(PAGE, "here")
    assert page.title == "A title of two lines."
    assert page.section("Example") == "Text of Example."
    assert "## What to do\n\nText of What to do." in page.markdown(RULE)


def test_heading_inside_a_fence_is_text():
    inside = PAGE.replace("Text of Example.", "```\nReferences\n```")
    assert parse_page(inside, "here").section("Example") == "```\nReferences\n```"


@pytest.mark.parametrize("heading", HEADINGS)
def test_missing_heading_stops_the_load(heading):
    with pytest.raises(RuleContractError, match="no text under"):
        parse_page(PAGE.replace(f"## {heading}\n", ""), "here")


def test_broken_pages_stop_the_load():
    with pytest.raises(RuleContractError, match="twice"):
        parse_page(PAGE + "\n## Example\n\nagain", "here")
    with pytest.raises(RuleContractError, match="another order"):
        first = (
            PAGE.replace("## Example", "## X").replace("## References", "## Example").replace("## X", "## References")
        )
        parse_page(first, "here")
    with pytest.raises(RuleContractError, match="no text under"):
        parse_page(None, "here")


@pytest.mark.parametrize(
    "broken",
    [
        module("abi998_made_up"),
        module("abi999_other_name"),
        module("something"),
        module(RULE=None),
        module(check=None),
        module(doc="Nothing."),
        module(RULE=Rule("ABI999", "made-up", "error", (), ("linux",), "x", "0.1")),
        module(RULE=Rule("ABI999", "made-up", "error", ("X",), ("beos",), "x", "0.1")),
    ],
)
def test_broken_module_stops_the_load(broken):
    with pytest.raises(RuleContractError):
        load_rule(broken)


def test_whole_module_loads():
    assert load_rule(module()).rule is RULE


def test_find_by_id_name_and_any_case():
    some = all_rules()[0]
    assert find(some.rule.id.lower()) is find(some.rule.name) is some


def test_unknown_rule_names_the_nearest():
    name = all_rules()[0].rule.name
    with pytest.raises(UsageError) as error:
        find(name + "x")
    assert name in error.value.hint


@pytest.mark.parametrize(
    ("selector", "hit"),
    [("ABI999", True), ("abi9", True), ("ABI", True), ("made-up", True), ("MISSING_LIB", True), ("missing_lib", True),
     ("ABI1", False), ("ABI9999", False), ("made", False), ("A", False), ("", False)],
)  # fmt: skip
def test_selector(selector, hit):
    assert matches(RULE, selector) is hit


def test_selector_that_means_nothing_is_an_error():
    with pytest.raises(UsageError) as error:
        check_selectors(["ABI1", "library-not-fund"], "--select")
    assert "--select" in error.value.message and "library-not-found" in error.value.hint
