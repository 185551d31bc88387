"""Silence on the harmless (issue 4): popular wheels over real conda environments, what was said beside what happens.

``python -m tests.oracle.silence [--wheels a,b] [--prefixes c,d]`` does all of it and prints the table.

A *pair* is a wheel of ``silence.toml`` and an environment that a conda client built. pip itself says what it would
install there (the wheel and what it requires); abicheck judges exactly these files; then the environment's own pip
installs them into a copy, and the wheel's few lines run before and after the few lines of each conda package there. A
pair is *clean* when everything works in both orders. An error is *true* when what it speaks of really fails.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fixtures.channel import build_channel
from fixtures.download import PIP_ENVIRONMENT
from fixtures.prefix import install
from fixtures.work import default_work, fingerprint, is_current, locked
from packaging.utils import canonicalize_name

from abicheck.engine import check
from abicheck.model import Confidence, Finding, Severity
from abicheck.report import CheckOptions

OWNERSHIP = ("ABI501", "ABI502", "ABI503", "ABI504", "ABI505")
# Runs numbered steps, each in its own try; says after each one what happened, so that a crash is seen too.
RUNNER = """
import json, sys
for name, code in json.loads(sys.argv[1]):
    print("+", name, file=sys.stderr, flush=True)
    try:
        exec(code, {})
    except BaseException as e:
        print("!", name, json.dumps(f"{type(e).__name__}: {e}"[:400]), file=sys.stderr, flush=True)
"""
SECONDS = 300


@dataclass(frozen=True)
class Environment:
    """A conda environment of ``silence.toml``. ``pip``: what pip added to it; ``uses``: conda package -> lines that
    use it."""

    name: str
    specs: tuple[str, ...]
    pip: tuple[str, ...]
    uses: Mapping[str, str]
    short: bool


@dataclass(frozen=True)
class Popular:
    """A wheel of ``silence.toml``: pip's requirement and lines that use it."""

    name: str
    requirement: str
    code: str
    short: bool


@dataclass(frozen=True)
class Outcome:
    """What running did. ``failures``: (order, step, what Python or the system said); empty when all of it works."""

    failures: tuple[tuple[str, str, str], ...]


@dataclass
class Pair:
    """One wheel over one environment: what was said and what happened."""

    wheel: Popular
    environment: Environment
    files: tuple[Path, ...]
    outcome: Outcome
    findings: list[tuple[Finding, bool]] = field(default_factory=list)
    """Errors and warnings; the second is whether running showed it (of errors and ABI502)."""

    @property
    def clean(self) -> bool:
        return not self.outcome.failures

    def said(self, severity: Severity) -> list[tuple[Finding, bool]]:
        return [(f, shown) for f, shown in self.findings if f.severity is severity]


def read_table() -> tuple[list[Environment], list[Popular]]:
    table = tomllib.loads((Path(__file__).parent / "silence.toml").read_text("utf-8"))
    environments = [
        Environment(name, tuple(row["specs"]), tuple(row.get("pip", ())), row["uses"], row.get("ci", False))
        for name, row in table["prefixes"].items()
    ]
    wheels = [
        Popular(name, f"{name}=={table['versions'][name]}", code, name in table["ci"])
        for name, code in table["wheels"].items()
    ]
    return environments, wheels


class Bench:
    """Keeps everything under ``home``: wheelhouse, environments, copies, outcomes of what was run before."""

    def __init__(self, work: Path, channel: Path) -> None:
        self._channel = channel
        self._home = work / "silence"
        self._house = self._home / "wheels"
        self._house.mkdir(parents=True, exist_ok=True)

    # -- what there is

    def prefix(self, environment: Environment) -> Path:
        """The environment, installed by a conda client and proven to work before any wheel."""
        prefix, stamp = self._home / "envs" / environment.name, self._home / "envs" / f"{environment.name}.stamp"
        wanted = fingerprint("silence", (*environment.specs, *environment.pip), dict(environment.uses))
        with locked(self._home / "envs", environment.name):
            if not is_current(stamp, wanted):
                shutil.rmtree(prefix, ignore_errors=True)
                install(self._channel, prefix, environment.specs)
                if environment.pip:
                    self._pip(prefix, "install", "--quiet", "--no-deps", *environment.pip).check_returncode()
                broken = self._run(prefix, "alone", list(environment.uses.items()))
                if broken:
                    raise RuntimeError(f"{environment.name} does not work by itself: {broken}")
                stamp.write_text(wanted)
        return prefix

    def plan(self, wheel: Popular, prefix: Path) -> tuple[Path, ...]:
        """The files that the environment's pip would install for the wheel, all of them from the wheelhouse."""
        self._fetch(wheel, prefix)
        note = self._home / "plans" / f"{prefix.name}-{wheel.name}.json"
        key = [wheel.requirement, (prefix.parent / f"{prefix.name}.stamp").read_text()]
        if note.is_file():
            known = json.loads(note.read_text())
            if known["key"] == key and all((self._house / n).is_file() for n in known["files"]):
                return tuple(self._house / n for n in known["files"])
        done = self._pip(prefix, "install", "--dry-run", "--quiet", "--report", "-", "--no-index", wheel.requirement)
        if done.returncode:
            raise RuntimeError(f"pip will not install {wheel.requirement} into {prefix.name}: {done.stderr[-800:]}")
        rows = json.loads(done.stdout)["install"]
        files = [row["download_info"]["url"].rpartition("/")[2].replace("%2B", "+") for row in rows]
        note.parent.mkdir(exist_ok=True)
        note.write_text(json.dumps({"key": key, "files": files}))
        return tuple(self._house / n for n in files)

    def _fetch(self, wheel: Popular, prefix: Path) -> None:
        note = self._house / ".asked" / wheel.requirement
        if note.is_file():
            return
        done = self._pip(
            prefix, "download", "--quiet", "--only-binary=:all:", "-d", str(self._house), wheel.requirement
        )
        if done.returncode:
            raise RuntimeError(f"pip download {wheel.requirement}: {done.stderr[-800:]}")
        note.parent.mkdir(exist_ok=True)
        note.touch()

    def _pip(self, prefix: Path, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(prefix / "bin" / "python"), "-m", "pip", verb, "--find-links", str(self._house), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **PIP_ENVIRONMENT}
        )

    # -- what is said, what happens

    def judge(self, wheel: Popular, environment: Environment) -> Pair:
        """The pair with its findings; every error is tried out."""
        prefix = self.prefix(environment)
        files = self.plan(wheel, prefix)
        judgement = check([str(f) for f in files], prefix=str(prefix), options=CheckOptions())
        said = [f for f in judgement.findings if f.severity >= Severity.WARNING]
        tries = [t for f in said if f.severity is Severity.ERROR for t in named_imports(f)]
        outcome, shown = self.outcome(wheel, environment, files, sorted(set(tries)))
        pair = Pair(wheel, environment, files, outcome)
        pair.findings = [(f, true_of(f, pair, shown)) for f in said]
        return pair

    def outcome(
        self, wheel: Popular, environment: Environment, files: Sequence[Path], tries: Sequence[str]
    ) -> tuple[Outcome, dict[str, str]]:
        """What happens after the real install (remembered), and what each import that an error names says."""
        prefix = self.prefix(environment)
        stamp = (prefix.parent / f"{prefix.name}.stamp").read_text()
        key = hashlib.sha256(repr((stamp, wheel, [f.name for f in files])).encode()).hexdigest()[:24]
        note = self._home / "outcomes" / f"{key}.json"
        note.parent.mkdir(exist_ok=True)
        known = json.loads(note.read_text()) if note.is_file() else {"failures": None, "tried": {}}
        missing = [t for t in tries if t not in known["tried"]]
        if known["failures"] is None or missing:
            with self._installed(prefix, files) as copy:
                if known["failures"] is None:
                    known["failures"] = self._orders(copy, wheel, environment)
                for module in missing:
                    told = self._run(
                        copy, "named", [(module, f"import importlib; importlib.import_module({module!r})")]
                    )
                    known["tried"][module] = told[0][2] if told else ""
            note.write_text(json.dumps(known))
        return Outcome(tuple((o, s, t) for o, s, t in known["failures"])), known["tried"]

    def _orders(self, copy: Path, wheel: Popular, environment: Environment) -> list[tuple[str, str, str]]:
        uses = list(environment.uses.items())
        own = (f"pip {wheel.name}", wheel.code)
        failures = self._fails(copy, "wheel first", [own, *uses]) + self._fails(copy, "wheel last", [*uses, own])
        return sorted(failures)

    def _fails(self, copy: Path, order: str, steps: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
        """What fails in two processes: a machine without memory or time to spare kills one now and then."""
        once = {(o, step) for o, step, _ in self._run(copy, order, steps)}
        return [f for f in self._run(copy, order, steps) if f[:2] in once] if once else []

    @contextlib.contextmanager
    def _installed(self, prefix: Path, files: Sequence[Path]) -> Iterator[Path]:
        copy = self._home / f"copy-{os.getpid()}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(prefix, copy, symlinks=True, copy_function=os.link)
        done = self._pip(copy, "install", "--quiet", "--no-index", "--no-deps", "--no-compile", *map(str, files))
        if done.returncode:
            raise RuntimeError(f"pip could not install {[f.name for f in files]}: {done.stderr[-800:]}")
        try:
            yield copy
        finally:
            shutil.rmtree(copy)

    def _run(self, prefix: Path, order: str, steps: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
        folder = self._home / f"cwd-{os.getpid()}"
        folder.mkdir(exist_ok=True)
        try:
            done = subprocess.run(
                [str(prefix / "bin" / "python"), "-c", RUNNER, json.dumps(list(steps))],
                cwd=folder,
                env={"PATH": os.defpath, "HOME": str(folder)},
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
                stdin=subprocess.DEVNULL,
            )
            code, told = done.returncode, done.stderr
        except subprocess.TimeoutExpired as e:
            code, told = -9, (e.stderr or b"").decode(errors="replace")
        failures = []
        last = ""
        for line in told.splitlines():
            if line.startswith("+ "):
                last = line[2:]
            elif line.startswith("! "):
                failures.append((order, last, str(json.loads(line[2 + len(last) + 1 :]))))
        if code:
            failures.append((order, last or "start", f"ended with status {code}: {told[-300:]}"))
        return failures


def named_imports(finding: Finding) -> list[str]:
    """Modules that the finding says to fail: of its sentence and its orders."""
    names = re.findall(r"`import ([\w.]+)`", finding.what)
    for order in finding.orders.fails if finding.orders else ():
        names += [step.removeprefix("import ") for step in order if re.fullmatch(r"(import )?[\w.]+", step)]
    return names


def true_of(finding: Finding, pair: Pair, tried: Mapping[str, str]) -> bool:
    """Whether reality showed it: its own import fails, or the lines of a project it speaks of; pip does replace."""
    if finding.rule == "ABI502":
        return finding.key in {canonicalize_name(f.name.partition("-")[0]) for f in pair.files}
    if any(tried.get(module) for module in named_imports(finding)):
        return True
    speaks_of = {f"pip {pair.wheel.name}"}
    if finding.conda_package is not None:
        speaks_of.add(finding.conda_package.name)
    if finding.subject is not None:
        speaks_of.add(finding.subject.origin.name)
    return any(step in speaks_of for _, step, _ in pair.outcome.failures)


# -- the account


@dataclass(frozen=True)
class Account:
    """The numbers of a run over pairs."""

    pairs: int
    clean: int
    errors_true: int
    errors_false: int
    errors_on_clean: int
    """True by themselves (a module that nobody imports does fail), on pairs where everything used works."""
    warnings: int
    """On clean pairs."""
    warnings_elsewhere: int
    ownership: int
    """Of ``warnings``, those of the ABI50x rules: that pip replaces or overwrites what conda installed."""
    replacements_false: int
    """ABI502 about a distribution that pip leaves alone."""
    unsaid: int
    """Pairs where something failed and no error was said."""

    @property
    def per_clean_pair(self) -> float:
        return self.warnings / max(self.clean, 1)

    @property
    def per_clean_pair_apart(self) -> float:
        return (self.warnings - self.ownership) / max(self.clean, 1)


def account(pairs: Sequence[Pair]) -> Account:
    errors = [shown for p in pairs for _, shown in p.said(Severity.ERROR)]
    warned = [f for p in pairs if p.clean for f, _ in p.said(Severity.WARNING)]
    return Account(
        pairs=len(pairs),
        clean=sum(p.clean for p in pairs),
        errors_true=sum(errors),
        errors_false=len(errors) - sum(errors),
        errors_on_clean=sum(shown for p in pairs if p.clean for _, shown in p.said(Severity.ERROR)),
        warnings=len(warned),
        warnings_elsewhere=sum(len(p.said(Severity.WARNING)) for p in pairs if not p.clean),
        ownership=sum(f.rule in OWNERSHIP for f in warned),
        replacements_false=sum(f.rule == "ABI502" and not shown for p in pairs for f, shown in p.findings),
        unsaid=sum(not p.clean and not p.said(Severity.ERROR) for p in pairs),
    )


def lines_of(pair: Pair) -> list[str]:
    head = f"{pair.environment.name} + {pair.wheel.requirement} ({len(pair.files)} files): "
    rows = [head + ("clean" if pair.clean else "FAILS")]
    for finding, shown in pair.findings:
        judged = finding.severity is Severity.ERROR or finding.rule == "ABI502"
        truth = ("true " if shown else "FALSE ") if judged else ""
        low = " (low)" if finding.confidence is Confidence.LOW else ""
        rows.append(f"    {truth}{finding.severity.word}{low} {finding.rule} {finding.what}")
    rows += [f"    ran, {order}: {step}: {told[:160]}" for order, step, told in pair.outcome.failures]
    return rows


def summary(a: Account) -> str:
    return (
        f"{a.pairs} pairs, {a.clean} clean; errors: {a.errors_true} true "
        f"({a.errors_on_clean} of them on clean pairs), {a.errors_false} false; "
        f"{a.unsaid} pairs failed without an error said\n"
        f"warnings on clean pairs: {a.warnings}, {a.per_clean_pair:.2f} each; without ABI50x "
        f"{a.warnings - a.ownership}, {a.per_clean_pair_apart:.2f} each"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", default="", help="names, comma between them (default: all)")
    parser.add_argument("--prefixes", default="", help="names, comma between them (default: all)")
    options = parser.parse_args(arguments)
    environments, wheels = read_table()
    if options.wheels:
        wheels = [w for w in wheels if w.name in options.wheels.split(",")]
    if options.prefixes:
        environments = [e for e in environments if e.name in options.prefixes.split(",")]
    work = default_work()
    bench = Bench(work, build_channel(work, "full"))
    pairs, refused = [], Counter[str]()
    for wheel in wheels:
        for environment in environments:
            try:
                pair = bench.judge(wheel, environment)
            except RuntimeError as e:
                refused[wheel.name] += 1
                print(f"{environment.name} + {wheel.name}: NOT DONE: {e}", flush=True)
                continue
            pairs.append(pair)
            print("\n".join(lines_of(pair)), flush=True)
    print(summary(account(pairs)))
    rules = Counter((f.rule, f.severity.word, p.clean) for p in pairs for f, _ in p.findings)
    for (rule, severity, clean), count in sorted(rules.items()):
        print(f"  {rule} {severity} on {'clean' if clean else 'failing'} pairs: {count}")
    return 0 if not refused else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
