"""Phrases that several formats share. All strings that come from wheels and prefixes pass through :func:`clean`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from abicheck.model import Fact, FileRef, Finding, Origin, Remedy, Severity
from abicheck.report import InputInfo, Judged, Pair, Report

CAP = 5
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_CONDA = re.compile(
    r"(^|&& )((?:conda|mamba|micromamba) (?:install|update|remove))\b(?: -[np] (?:\"[^\"]*\"|'[^']*'|\S+))?"
)
_ASCII = str.maketrans(
    {"·": "-", "×": "x", "…": "...", "—": "-", "–": "-", "→": "->", "├": "|", "└": "`", "─": "-", "│": "|", "≥": ">="}
)


def clean(text: str) -> str:
    """Text with control and direction-changing characters written out, so that a file name cannot steer a terminal."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", text)


def to_ascii(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def plural(n: int, one: str, many: str = "") -> str:
    """``1 library``, ``2 libraries``."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def project(origin: Origin | None) -> str:
    """``fastgrid 2.4.0``."""
    return clean(f"{origin.name} {origin.version}".strip()) if origin else ""


def package(origin: Origin | None) -> str:
    """``conda libstdcxx 12.3.0``, ``numpy 1.26.4 installed by pip``; empty for none."""
    if origin is None:
        return ""
    if origin.kind == "pip":
        return f"{project(origin)} installed by pip"
    return clean(origin.label)


def sides(wheel: Origin | None, conda: Origin | None) -> str:
    """Who meets whom: ``fastgrid 2.4.0 with conda libstdcxx 12.3.0``, or one of them alone."""
    if wheel and conda:
        return f"{project(wheel)} with {package(conda)}"
    if wheel:
        return project(wheel)
    return package(conda) or "the environment"


def whence(origin: Origin, own: Origin | None) -> str:
    """Where a file is from, as it stands before what is said of it: ``in the wheel``, ``from conda libgomp 15.2.0``.
    ``own`` is the wheel the finding is about, which need not be named again."""
    match origin.kind:
        case "wheel":
            return "in the wheel" if origin == own else f"in the wheel {project(origin)}"
        case "conda":
            return f"from {package(origin)}"
        case "pip":
            return f"from {package(origin)}"
        case "host":
            return "on the host"
        case _:
            return "of no package"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of why, ready to print. ``path`` empty: a sentence about the loader. ``more``: how many lines the cap
    left out after this one."""

    path: str
    text: str
    fact: Fact


def path_of(file: FileRef) -> str:
    """A file as people know it: the member of a wheel, the path in the prefix, the path on the host."""
    return clean(file.member or file.path)


def evidence(finding: Finding, cap: int | None = CAP) -> tuple[list[Evidence], int]:
    """Lines of why, and how many the cap left out. A file's origin is told where it is first mentioned."""
    seen: set[FileRef] = set()
    out: list[Evidence] = []
    files = left = 0
    for fact in finding.why:
        if fact.file is None:
            out.append(Evidence("", _with_rule(clean(fact.text), fact), fact))
            continue
        files += 1
        if cap is not None and files > cap:
            left += 1
            continue
        path = path_of(fact.file)
        text = clean(fact.text)
        if fact.file not in seen:
            origin = whence(fact.file.origin, finding.wheel)
            told = fact.file.origin.name and fact.file.origin.name in text and fact.file.origin.version in text
            text = text if told or origin in text else f"{origin}, {text}"
        seen.add(fact.file)
        out.append(Evidence(path, _with_rule(text, fact), fact))
    return out, left


def _with_rule(text: str, fact: Fact) -> str:
    if fact.loader_rule and f"[{fact.loader_rule}]" not in text:
        stop = "." if text.endswith(".") else ""
        return f"{text.removesuffix('.')} [{fact.loader_rule}]{stop}"
    return text


def sentence(text: str) -> str:
    """Cleaned, with a full stop. The first letter stays: it may be a name."""
    text = clean(text).strip()
    return text if text.endswith((".", "!", "?")) else text + "."


def tells_assumption(f: Finding) -> bool:
    """Whether the assumption needs a line of its own: the sentence says no "if"."""
    return bool(f.assumption) and f.assumption not in f.what and re.search(r"\bif\b", f.what) is None


def order_words(f: Finding) -> tuple[str, str]:
    """What an order of imports is called in which the finding happens, and one in which it does not: nothing fails of
    a warning or a note."""
    return ("fails", "works") if f.severity is Severity.ERROR else ("affected", "not affected")


def order_phrases(f: Finding) -> list[tuple[str, str, bool]]:
    """(word, the order in words, whether the finding happens in it) for each order, at most :data:`CAP` of a kind."""
    out: list[tuple[str, str, bool]] = []
    if f.orders is None:
        return out
    bad, good = order_words(f)
    for word, happens, some in ((bad, True, f.orders.fails), (good, False, f.orders.works)):
        out += [(word, ", then ".join(clean(load) for load in order), happens) for order in some[:CAP]]
        if len(some) > CAP:
            out.append((word, f"… {len(some) - CAP} more orders", happens))
    return out


def with_target(command: str, flag: str) -> str:
    """A conda command that means the environment as the user named it; reports call it by its name."""
    return _CONDA.sub(lambda m: f"{m[1]}{m[2]} {flag}", command) if flag else command


def remedy_lines(remedies: Sequence[Remedy], flag: str) -> list[tuple[str, str]]:
    """(command, text) of each remedy; the command may be empty. Least invasive first, as the rule put them."""
    return [
        (clean(with_target(r.command, flag)) if r.command else "", clean(r.text.removeprefix("or "))) for r in remedies
    ]


def target_line(report: Report) -> str:
    """``target: prod · linux-64 · python 3.12.4 · 214 packages (from -n)``."""
    t = report.target
    if t is None:
        return ""
    by = {"name": "from -n", "prefix": "from -p", "api": "from the caller"}.get(t.chosen_by, f"from {t.chosen_by}")
    python = f"python {t.python}" if t.python else "no python"
    parts = [clean(t.name), t.platform, python, plural(t.packages, "package")]
    return f"target: {' · '.join(parts)} ({by})"


def host_phrase(report: Report) -> str:
    """What was assumed of the host, without the word itself."""
    return clean(report.target.host.assumption.removeprefix("host: ").rstrip(".")) if report.target else ""


def inputs_phrase(report: Report) -> str:
    """``checked 3 wheels (1 pure Python), 27 libraries, 31 rules``."""
    return f"checked {wheels_phrase(report.inputs)}, {plural(report.libraries, 'library', 'libraries')}, " + plural(
        len(report.rules), "rule"
    )


def wheels_phrase(inputs: Iterable[InputInfo]) -> str:
    inputs = tuple(inputs)
    pure = sum(i.pure for i in inputs)
    installed = [i for i in inputs if i.kind == "installed"]
    noun = plural(len(inputs), "installed wheel" if installed and len(installed) == len(inputs) else "wheel")
    return f"{noun} ({pure} pure Python)" if pure else noun


def counts(report: Report) -> list[str]:
    """``2 errors``, ``1 warning`` ...: what is shown, zeros left out."""
    kinds = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.NOTE, "note"))
    return [plural(report.count(s), word) for s, word in kinds if report.count(s)]


def hidden_phrase(report: Report) -> str:
    """``2 notes, 1 warning`` for what is not shown and not in the baseline; empty for nothing."""
    gone = [j for j in report.findings if not j.shown and j.baseline != "unchanged"]
    kinds = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.NOTE, "note"))
    found = [(sum(j.finding.severity is s for j in gone), word) for s, word in kinds]
    return ", ".join(plural(n, word) for n, word in found if n)


def grouped(report: Report, everything: bool = False) -> list[tuple[Pair, list[Judged]]]:
    """Pairs with the findings of each that are to be shown; pairs without one are left out."""
    by_number = {j.number: j for j in report.findings}
    groups = [(p, [by_number[n] for n in p.findings]) for p in report.pairs]
    kept = [(p, [j for j in js if j.shown or everything]) for p, js in groups]
    return [(p, js) for p, js in kept if js]


def verdict_sentence(report: Report) -> str:
    """The verdict as a person would say it."""
    where = f"`{clean(report.target.name)}`" if report.target else "the environment"
    failing = sum(j.fails for j in report.findings)
    if report.error:
        return "nothing was checked"
    if failing:
        return f"{plural(failing, 'problem')} will break {where}"
    if report.verdict == "incomplete":
        return f"no problem found in {where}, but not everything could be read"
    if report.verdict == "fail":
        return "not everything could be read, and --strict asks for it"
    shown = report.count(Severity.ERROR) + report.count(Severity.WARNING)
    return f"nothing will break {where}" + (f"; {plural(shown, 'remark')}" if shown else "")


def location(report: Report, judged: Judged) -> tuple[str, int]:
    """The manifest line an annotation points at (docs/ci.md): the line that asked for the wheel,
    else the anchor of the configuration."""
    wheel = judged.finding.wheel
    for i in report.inputs:
        if wheel and i.requested_by and (_plain(i.name), i.version) == (_plain(wheel.name), wheel.version):
            return i.requested_by.file, i.requested_by.line
    return report.anchor.file, report.anchor.line


def _plain(name: str) -> str:
    """A project name as names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def one_line(judged: Judged, flag: str = "") -> str:
    """What and what to do, on one line, for annotations."""
    f = judged.finding
    text = f"{sentence(f.what)}"
    commands = [command for command, _ in remedy_lines(f.remedies, flag) if command]
    if commands:
        text += f" Fix: {commands[0]}"
    elif f.remedies:
        text += f" {sentence(f.remedies[0].text)}"
    return text
