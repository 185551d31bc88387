"""JUnit XML: a suite for each wheel, a case for each rule, so that dashboards show which rules began to fail when."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from abicheck.report import Judged, Report, RuleRef
from abicheck.reporters import RenderOptions
from abicheck.reporters import _words as w

NAME = "junit"
SUMMARY = "JUnit XML"
SUFFIXES = (".xml",)
MEDIA_TYPE = "application/xml"

ENVIRONMENT = "environment"  # the suite of findings that belong to no wheel


def render(report: Report, options: RenderOptions) -> str:
    root = ET.Element("testsuites", name="abicheck")
    if report.error:
        _error_suite(root, report)
    wheels: dict[str, list[Judged]] = {w.clean(f"{i.name} {i.version}".strip()): [] for i in report.inputs}
    for j in report.findings:
        wheels.setdefault(w.project(j.finding.wheel) or ENVIRONMENT, []).append(j)
    for name, judged in wheels.items():
        _suite(root, name, judged, report.rules, options)
    if report.skipped:
        _skipped_suite(root, report)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root)
    return "<?xml version='1.0' encoding='UTF-8'?>\n" + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, name: str, judged: list[Judged], rules: Sequence[RuleRef], options: RenderOptions) -> None:
    suite = ET.SubElement(root, "testsuite", name=name)
    failures = 0
    for rule in rules:
        case = ET.SubElement(suite, "testcase", classname=name, name=f"{rule.id} {rule.name}")
        mine = [j for j in judged if j.rule.id == rule.id]
        failing = [j for j in mine if j.fails]
        if failing:
            failures += 1
            message = w.sentence(failing[0].finding.what)
            if len(failing) > 1:
                message += f" And {len(failing) - 1} more."
            ET.SubElement(case, "failure", type=rule.name, message=message).text = _details(failing, options)
        rest = [j for j in mine if j.shown and not j.fails]
        if rest:
            ET.SubElement(case, "system-out").text = _details(rest, options)
    _counts(suite, tests=len(rules), failures=failures)


def _details(judged: list[Judged], options: RenderOptions) -> str:
    out = []
    for j in judged:
        f = j.finding
        lines, left = w.evidence(f)
        out.append(f"{w.sides(f.wheel, f.conda_package)}: {w.sentence(f.what)}")
        out += [f"  {e.path}: {e.text}" if e.path else f"  {e.text}" for e in lines]
        out += [f"  and {left} more"] if left else []
        out += [f"  {word}: {phrase}" for word, phrase, _ in w.order_phrases(f)]
        out += [f"  do: {command or text}" for command, text in w.remedy_lines(f.remedies, options.target_flag)]
    return "\n".join(out)


def _skipped_suite(root: ET.Element, report: Report) -> None:
    suite = ET.SubElement(root, "testsuite", name="ABI901 not-analysed")
    for s in report.skipped:
        where = f"{s.container}!{s.path}" if s.container else s.path
        case = ET.SubElement(suite, "testcase", classname="not-analysed", name=w.clean(where))
        ET.SubElement(case, "skipped", message=w.clean(s.reason))
    _counts(suite, tests=len(report.skipped), skipped=len(report.skipped))


def _error_suite(root: ET.Element, report: Report) -> None:
    assert report.error is not None
    suite = ET.SubElement(root, "testsuite", name="abicheck")
    case = ET.SubElement(suite, "testcase", classname="abicheck", name="run")
    error = ET.SubElement(case, "error", type=report.error.reference, message=w.clean(report.error.message))
    error.text = w.clean(report.error.hint)
    _counts(suite, tests=1, errors=1)


def _counts(suite: ET.Element, tests: int, failures: int = 0, errors: int = 0, skipped: int = 0) -> None:
    for key, n in (("tests", tests), ("failures", failures), ("errors", errors), ("skipped", skipped)):
        suite.set(key, str(n))
