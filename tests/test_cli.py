"""The command line with an engine of wood: words in, streams and status out. The real engine: test_cli_real.py."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.reporters import samples

from abicheck import __main__ as entry
from abicheck import engine
from abicheck.cli import run
from abicheck.errors import InputError
from abicheck.report import CheckOptions, Judgement
from abicheck.reporters import names
from abicheck.rules import LoadedRule, Page, all_rules
from abicheck.schemas import schema

REPO = Path(__file__).resolve().parents[1]


class Stream(io.TextIOWrapper):
    """A standard stream that is, or is not, a terminal."""

    def __init__(self, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="\n")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


@dataclass
class Wooden:
    """An engine that returns what a test gives it, and remembers what it was asked."""

    judgement: Judgement | BaseException
    asked: dict[str, Any] = field(default_factory=dict)

    def check(self, operands, *, prefix, options):
        return self._answer(operands=operands, prefix=prefix, options=options)

    def audit(self, prefix, *, options):
        return self._answer(prefix=prefix, options=options)

    def _answer(self, **asked):
        self.asked = asked
        if isinstance(self.judgement, BaseException):
            raise self.judgement
        return self.judgement


def findings(*found, skipped=()):
    return Judgement(samples.PROD, (samples.FASTGRID_WHEEL,), found, skipped)


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """A folder of its own and no variable of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("ABICHECK_", "CONDA_", "MAMBA_", "GITHUB_")) or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")


def catalogue():
    """The catalogue, and the rules of the samples that it does not have."""
    real = all_rules()
    known = {r.rule.id for r in real}
    extra = (LoadedRule("samples", r, lambda _scene: iter(()), Page("", ())) for r in samples.RULES)
    return (*real, *(r for r in extra if r.rule.id not in known))


@pytest.fixture
def call(monkeypatch):
    """Run the program: (status, stdout, stderr)."""

    def go(*argv, answer=None, out=None, err=None, given=()):
        wooden = Wooden(answer if answer is not None else findings())
        monkeypatch.setattr("abicheck.commands.gate.all_rules", catalogue)
        monkeypatch.setattr(engine, "check", wooden.check, raising=False)
        monkeypatch.setattr(engine, "audit", wooden.audit, raising=False)
        for k, v in given:
            monkeypatch.setenv(k, v)
        out, err = out or Stream(), err or Stream()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as end:
            run(entry.with_command(list(argv)), "abicheck")
        go.asked = wooden.asked
        return end.value.code, out.text, err.text

    return go


W = ("fastgrid.whl", "-p", "envs/prod")
FAILING = findings(samples.MISSING_VERSION, samples.TWIN)
UNREAD = findings(skipped=(samples.SHORT,))


# -- status, in every format ------------------------------------------------------------


@pytest.mark.parametrize("form", names())
@pytest.mark.parametrize(
    ("answer", "options", "status"),
    [
        (findings(), (), 0),
        (FAILING, (), 1),
        (FAILING, ("--exit-zero",), 0),
        (FAILING, ("--fail-on", "never"), 0),
        (findings(samples.TWO_OPENSSL), (), 0),
        (findings(samples.TWO_OPENSSL), ("--fail-on", "warning"), 1),
        (findings(samples.TWIN), ("--strict",), 1),
        (UNREAD, (), 4),
        (UNREAD, ("--allow-incomplete",), 0),
        (UNREAD, ("--strict",), 1),
        (findings(samples.MISSING_VERSION, skipped=(samples.SHORT,)), (), 1),
        (InputError("not-a-wheel", "x.whl is no zip archive", "download it again"), (), 2),
        (RuntimeError("a rule broke"), (), 3),
        (KeyboardInterrupt(), (), 130),
    ],
    ids=[
        "clean",
        "fails",
        "exit-zero",
        "never",
        "warning",
        "on-warning",
        "strict",
        "unread",
        "allowed",
        "unread-strict",
        "both",
        "input-error",
        "internal",
        "interrupt",
    ],
)
def test_status_does_not_depend_on_the_format(call, form, answer, options, status):
    assert call(*W, "-f", form, *options, answer=answer)[0] == status


def test_wheel_without_a_verb_is_a_check(call):
    status, out, err = call("fastgrid.whl", "other.whl", "-p", "envs/prod")
    assert (status, call.asked["operands"]) == (0, ("fastgrid.whl", "other.whl"))
    assert call.asked["prefix"] == "envs/prod"
    assert err.startswith("target: prod · linux-64 · python 3.12.4 · 214 packages (from -p)\nhost: glibc 2.36")
    assert "OK  no ABI problems found" in out


def test_options_may_come_first(call):
    assert call("-p", "envs/prod", "fastgrid.whl")[0] == 0
    assert call.asked["operands"] == ("fastgrid.whl",)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [([], []), (["--help"], ["--help"]), (["rules"], ["rules"]), (["x.whl"], ["check", "x.whl"]),
     (["-p", "e"], ["check", "-p", "e"]), (["--show-completion"], ["--show-completion"])],
)  # fmt: skip
def test_left_out_verb(argv, expected):
    assert entry.with_command(argv) == expected


def test_report_is_on_stdout_and_the_rest_on_stderr(call):
    _status, out, err = call(*W, answer=FAILING)
    assert "error ABI201 symbol-version-missing" in out
    assert "target:" not in out and "ABI201" not in err


def test_commands_name_the_environment(call, tmp_path):
    assert "conda install -p envs/prod" in call(*W, answer=FAILING)[1]
    (tmp_path / "roots" / "envs" / "prod" / "conda-meta").mkdir(parents=True)
    (tmp_path / "roots" / "envs" / "prod" / "conda-meta" / "history").touch()
    root = (("MAMBA_ROOT_PREFIX", str(tmp_path / "roots")),)
    _status, out, _err = call("fastgrid.whl", "-n", "prod", "-f", "json", answer=FAILING, given=root)
    document = json.loads(out)
    assert document["findings"][0]["remedies"][0]["command"] == 'conda install -n prod "libstdcxx>=13.2"'
    assert (document["target"]["name"], document["target"]["chosen_by"]) == ("prod", "name")


def test_absolute_prefix_stays_out_of_the_document(call, tmp_path):
    _status, out, _err = call("fastgrid.whl", "-p", str(tmp_path / "envs"), "-f", "json", answer=FAILING)
    assert str(tmp_path) not in out
    assert f"conda install -p {tmp_path / 'envs'}" in call("x.whl", "-p", str(tmp_path / "envs"), answer=FAILING)[1]


def test_environment_variable_and_configuration(call, tmp_path):
    assert "(from ABICHECK_PREFIX)" in call("x.whl", given=(("ABICHECK_PREFIX", "envs/a"),))[2]
    (tmp_path / "abicheck.toml").write_text('prefix = "envs/b"\nfail-on = "never"\n')
    assert call("x.whl", "-p", "envs/c", answer=FAILING)[0] == 0


def test_shell_variables_of_the_loader_are_not_read(call):
    """Hermetic: the same bytes whatever the calling shell says, unless declared."""
    plain = call(*W, "-f", "json", answer=FAILING)[1]
    given = (("LD_LIBRARY_PATH", "/evil"), ("LD_PRELOAD", "evil.so"), ("DYLD_LIBRARY_PATH", "/evil"))
    assert call(*W, "-f", "json", answer=FAILING, given=given)[1] == plain
    assert call.asked["options"].env == {}
    call(*W, "--env", "LD_LIBRARY_PATH=/opt/lib")
    assert call.asked["options"].env == {"LD_LIBRARY_PATH": "/opt/lib"}


def test_options_reach_the_engine(call):
    call(
        *W, "--host", "glibc=2.28", "--platform", "win-64", "-r", "r.txt", "--find-links", "wheels", "--no-cache",
        "--resolve", "--select", "ABI1,ABI2", "--ignore", "ABI102",
    )  # fmt: skip
    options: CheckOptions = call.asked["options"]
    assert (options.host, options.platform, options.resolve, options.use_cache) == ("glibc=2.28", "win-64", True, False)
    assert (options.requirements, options.find_links) == (("r.txt",), ("wheels",))
    assert "ABI101" in options.only_rules and not {"ABI102", "ABI301"} & set(options.only_rules)


def test_select_filters_the_report_too(call):
    status, out, _ = call(*W, "--select", "ABI3", answer=FAILING)
    assert status == 0 and "ABI201" not in out


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "reference", "hint"),
    [
        (("x.whl",), "no-environment", "-p PREFIX"),
        ((*W, "-n", "prod"), "two-environments", "one of them"),
        ((*W, "-f", "yaml"), "unknown-format", "sarif"),
        ((*W, "-o", "report"), "unknown-suffix", "FORMAT=FILE"),
        ((*W, "-o", "json=no/such/folder/x"), "cannot-write", ""),
        ((*W, "--fail-on", "fatal"), "unknown-value", "never"),
        ((*W, "--select", "ABI7"), "unknown-rule", ""),
        ((*W, "--ignore", "library-not-fund"), "unknown-rule", "library-not-found"),
        ((*W, "--env", "NAME"), "not-an-assignment", "NAME=VALUE"),
        ((*W, "--baseline", "gone.json"), "no-baseline", "--write-baseline"),
        ((*W, "--today", "soon"), "not-a-date", "2026"),
        ((*W, "--strict", "--exit-zero"), "contradiction", ""),
        ((*W, "--config", "gone.toml"), "config-unreadable", ""),
        (("explain", "library-not-fund"), "unknown-rule", "library-not-found"),
        (("explain", "ABI201", "-f", "html"), "unknown-format", "markdown"),
        (("rules", "--select", "nothing"), "unknown-rule", ""),
        (("trace", "-p", "x"), "nothing-to-trace", "--import"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_usage_errors(call, argv, reference, hint):
    """Status 2, on stderr: reference, sentence, hint."""
    status, _out, err = call(*argv)
    assert status == 2
    assert f"error: {reference}\n  " in err
    assert hint in err


def test_unknown_option_is_status_2(call):
    status, out, err = call(*W, "--no-such-option")
    assert (status, out) == (2, "") and "--no-such-option" in err


SDIST = InputError("source-archive", "x.tar.gz is a source archive.", "pip wheel --no-deps x.tar.gz -w wheelhouse")


def test_error_as_a_document(call):
    status, out, err = call("x.tar.gz", "-p", "e", "-f", "json", answer=SDIST)
    document = json.loads(out)
    jsonschema.validate(document, schema("report-1"))
    assert (status, document["verdict"], document["exit_code"]) == (2, "error", 2)
    assert document["error"] == {"reference": SDIST.reference, "message": SDIST.message, "hint": SDIST.hint}
    assert err.startswith("error: source-archive\n  x.tar.gz is a source archive.\nhint: pip wheel")


def test_error_reaches_the_files_too(call, tmp_path):
    status, out, _err = call("x.tar.gz", "-p", "e", "-o", "r.sarif", answer=SDIST)
    run_ = json.loads((tmp_path / "r.sarif").read_text())["runs"][0]
    assert (status, out, run_["invocations"][0]["executionSuccessful"]) == (2, "", False)


def test_internal_error(call):
    status, out, err = call(*W, "-f", "json", answer=RuntimeError("a rule broke"))
    assert (status, json.loads(out)["exit_code"]) == (3, 3)
    assert "a rule broke" in err and "must not be trusted" in err and "Traceback" not in err
    assert "Traceback" in call(*W, "-vv", answer=RuntimeError("a rule broke"))[2]


def test_finding_of_an_unknown_rule_is_an_internal_error(call):
    from dataclasses import replace

    assert call(*W, answer=findings(replace(samples.MISSING_VERSION, rule="ABI777")))[0] == 3


# -- outputs -------------------------------------------------------------------------------


def test_many_outputs_of_one_run(call, tmp_path):
    status, out, _err = call(
        *W, "-o", "a.sarif", "-o", "html=report", "-o", "a.md", "-o", "gitlab=gl.json", "-o", "a.xml", answer=FAILING
    )
    assert status == 1
    assert "error ABI201" in out, "the text report stays on standard output"
    assert json.loads((tmp_path / "a.sarif").read_text())["version"] == "2.1.0"
    assert (tmp_path / "report").read_text().startswith("<!doctype html>")
    assert (tmp_path / "a.md").read_text().startswith("<!-- abicheck:prod-linux-64 -->")
    assert json.loads((tmp_path / "gl.json").read_text())[0]["check_name"] == "symbol-version-missing"
    assert (tmp_path / "a.xml").read_text().startswith("<?xml")


def test_text_file_begins_with_the_target(call, tmp_path):
    call(*W, "-o", "r.txt", answer=FAILING)
    assert (tmp_path / "r.txt").read_text().startswith("target: prod · linux-64")


def test_equal_runs_give_equal_bytes(call):
    assert call(*W, "-f", "json", answer=FAILING)[1] == call(*W, "-f", "json", answer=FAILING)[1]


def test_job_summary(call, tmp_path):
    """Annotations on standard output, and the job's summary where GitHub says it is."""
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    status, out, _err = call(*W, "-f", "github", answer=FAILING, given=(("GITHUB_STEP_SUMMARY", str(summary)),))
    assert status == 1 and out.startswith("::error file=requirements.txt,line=14,")
    assert summary.read_text().startswith("before\n<!-- abicheck:prod-linux-64 -->")


def test_baseline_written_and_used(call, tmp_path):
    assert call(*W, "--write-baseline", "base.json", answer=FAILING)[0] == 1
    status, out, _err = call(*W, "--baseline", "base.json", answer=FAILING)
    assert status == 0 and "in the baseline: 2" in out


def test_suppression_file(call, tmp_path):
    (tmp_path / "abicheck.toml").write_text(
        '[[suppressions]]\nrule = "ABI201"\nwheel = "fastgrid"\nreason = "known"\nuntil = 2026-12-01\n'
    )
    assert call(*W, "--today", "2026-11-01", answer=FAILING)[0] == 0
    status, out, _ = call(*W, "--today", "2026-12-02", answer=FAILING)
    assert status == 1 and "suppressed until 2026-12-01 by abicheck.toml; expired" in out
    assert call(*W, "--today", "2026-11-01", "--no-ignores", answer=FAILING)[0] == 1


# -- manners -------------------------------------------------------------------------------


def colored(text):
    return "\x1b[" in text


@pytest.mark.parametrize(
    ("options", "variables", "terminal", "expected"),
    [
        ((), {}, True, True),
        ((), {}, False, False),
        ((), {"NO_COLOR": "1"}, True, False),
        ((), {"NO_COLOR": ""}, True, False),
        ((), {"FORCE_COLOR": "1"}, False, True),
        ((), {"FORCE_COLOR": ""}, False, False),
        ((), {"TERM": "dumb"}, True, False),
        ((), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        (("--color", "always"), {"NO_COLOR": "1"}, False, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_color(call, options, variables, terminal, expected):
    given = {"TERM": "xterm", **variables}
    out = call(*W, *options, answer=FAILING, out=Stream(terminal), given=given.items())[1]
    assert colored(out) is expected
    assert "error" in out, "never colour alone"


def test_colour_changes_nothing_else(call):
    import re

    plain = call(*W, answer=FAILING)[1]
    painted = call(*W, "--color", "always", answer=FAILING)[1]
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == plain


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_terminal_wraps_at_its_width(call, columns):
    given = (("COLUMNS", str(columns)), ("TERM", "xterm"), ("NO_COLOR", "1"))
    out = call(*W, answer=FAILING, out=Stream(True), given=given)[1]
    prose = [line for line in out.splitlines() if "searches" in line or "newer copy" in line]
    assert prose and all(len(line) <= columns for line in prose)


def test_pipe_does_not_wrap(call):
    out = call(*W, answer=FAILING, given=(("COLUMNS", "40"),))[1]
    assert any(len(line) > 150 for line in out.splitlines())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("form", ["text", "json", "sarif", "markdown", "html"])
def test_streams_that_take_less_than_unicode(call, encoding, form):
    status, out, err = call(
        *W, "-f", form, answer=FAILING, out=Stream(encoding=encoding), err=Stream(encoding=encoding)
    )
    assert status == 1 and "ABI201" in out
    assert "target: prod - linux-64" in err
    if form in ("json", "sarif"):
        json.loads(out)


def test_quiet(call):
    status, out, err = call(*W, "-q", answer=FAILING)
    assert (status, err) == (1, "") and "checked 1 wheel" not in out and "ABI201" in out
    assert call(*W, "-qq", answer=FAILING) == (1, "", "")
    assert call(*W, "-qq", answer=SDIST)[0] == 2


def test_verbose_shows_what_is_hidden_and_the_search(call):
    out = call(*W, answer=FAILING)[1]
    assert "hidden: 1 note (-v to show)" in out and "ABI504" not in out and "absent" not in out
    out = call(*W, "-v", answer=FAILING)[1]
    assert "note ABI504 conda-twin" in out and "libstdc++.so.6  absent" in out


def test_progress_is_for_terminals(call, monkeypatch):
    """Shown on a terminal's stderr once work takes long, and nowhere else."""

    def slow(operands, *, prefix, options):
        for n in range(3):
            options.progress.step("reading libraries", n, 3)
        return findings()

    monkeypatch.setattr("abicheck.commands.console.PROGRESS_AFTER", -1.0)
    for terminal, expected in ((True, True), (False, False)):
        monkeypatch.setattr(Wooden, "check", lambda _self, operands, **k: slow(operands, **k))
        out, err = Stream(), Stream(terminal)
        call(*W, out=out, err=err, given=(("TERM", "xterm"),))
        assert ("reading libraries" in err.text) is expected
        assert "reading libraries" not in out.text


def test_double_verbose_logs_with_times(call, monkeypatch):
    def slow(_self, _operands, *, prefix, options):
        options.progress.step("hashing", 1, 2)
        return findings()

    monkeypatch.setattr(Wooden, "check", slow)
    err = call(*W, "-vv")[2]
    assert "s  hashing (1 of 2)" in err


def program(*argv, **options):
    env = {k: v for k, v in os.environ.items() if k not in ("CONDA_PREFIX", "ABICHECK_PREFIX")}
    env["PYTHONPATH"] = str(REPO / "src")
    command = [sys.executable, "-m", "abicheck", *argv]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, **options)


def test_closed_pipe_is_quiet(tmp_path):
    """A reader that has seen enough gets no traceback and the status stays."""
    code = f"set -o pipefail; {sys.executable} -m abicheck explain ABI201 | true"
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, env=env, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_one_line_and_imports_no_typer():
    done = program("--version")
    assert done.stdout.startswith("abicheck 0.1.0 (Python 3.") and done.stdout.count("\n") == 1
    assert "pyelftools" in done.stdout
    code = "import sys; sys.argv = ['abicheck', '-V']\nfrom abicheck.__main__ import main\nmain()\n"
    code += "print(sorted(sys.modules))"
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60).stdout
    assert not any(f"'{m}'" in out for m in ("typer", "rich", "abicheck.cli", "importlib.metadata", "elftools"))


def test_help_loads_no_engine():
    code = (
        "import sys; sys.argv=['abicheck', 'check', '--help'];\n"
        "from abicheck.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in ('rich', 'abicheck.engine', 'elftools', 'jinja2') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60).stdout
    assert out.rstrip().endswith("[]") and "--fail-on" in out


def test_program_is_called_as_it_was_started():
    assert "Usage: python -m abicheck" in program("--help").stdout
    assert entry.program_name("/x/bin/conda-abicheck") == "conda-abicheck"
    assert entry.program_name("C:/x/abicheck.exe") == "abicheck"


def test_no_operand_at_all_shows_help():
    done = program()
    assert done.returncode == 2 and "Commands:" in done.stdout + done.stderr


# -- rules, explain, config ------------------------------------------------------------------


def test_rules_lists_each_rule(call):
    lines = call("rules")[1].splitlines()
    assert [line.split()[0] for line in lines] == [r.rule.id for r in all_rules()]
    document = json.loads(call("rules", "-f", "json", "--select", "ABI20")[1])
    assert all(r["id"].startswith("ABI20") for r in document["rules"]) and document["rules"]
    assert call("rules", "-f", "markdown")[1].startswith("| id | name |")


@pytest.mark.parametrize("word", ["ABI201", "abi201", "symbol-version-missing"])
def test_explain(call, word):
    out = call("explain", word)[1]
    headings = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert headings[0].startswith("ABI201 symbol-version-missing")
    assert headings[2:] == [
        "What happens", "Why: the loader rule", "Example", "What to do", "When this is wrong", "References",
    ]  # fmt: skip


def test_explain_tells_what_a_loader_rule_says(call):
    """Findings cite ``[ELF-36]``; any letter case does, and the source is named."""
    text = call("explain", "elf-36")[1]
    assert text.startswith("ELF-36\n") and "every version that it requires" in text and "source: glibc" in text
    assert json.loads(call("explain", "WIN-21", "-f", "json")[1])["id"] == "WIN-21"
    assert call("explain", "PY-13", "-f", "markdown")[1].startswith("# PY-13\n")
    assert call("explain", "ELF-999")[0] == 2


def test_explain_in_other_formats(call):
    page = json.loads(call("explain", "ABI201", "-f", "json")[1])
    assert set(page["page"]) == {"what_happens", "why", "example", "what_to_do", "when_this_is_wrong", "references"}
    assert "## When this is wrong" in call("explain", "ABI201", "-f", "markdown")[1]


def test_config_show(call, tmp_path):
    (tmp_path / "abicheck.toml").write_text('name = "prod"\n[severity]\nABI301 = "warning"\n')
    out = call("config", "show", given=(("ABICHECK_FAIL_ON", "warning"),))[1]
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert rows["name"].endswith("(abicheck.toml)") and '"prod"' in rows["name"]
    assert rows["fail-on"].endswith("(ABICHECK_FAIL_ON)")
    assert rows["host"].endswith("(default)")
    values = json.loads(call("config", "show", "-f", "json")[1])["values"]
    assert values["severity"] == {"value": {"ABI301": "warning"}, "source": "abicheck.toml"}


def test_cache(call, tmp_path):
    """Where it is, what is in it, and that nothing but a cache is ever cleared."""
    given = (("XDG_CACHE_HOME", str(tmp_path / "caches")),)
    assert call("cache", "dir", given=given)[1].strip().endswith("abicheck")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "facts").write_bytes(b"x" * 2_000_000)
    assert call("cache", "info", "--cache-dir", str(mine))[1].endswith("1 file, 2.0 MB\n")
    status, _, err = call("cache", "clear", "--cache-dir", str(mine))
    assert (status, mine.exists()) == (2, True) and "not-a-cache" in err
    (mine / "CACHEDIR.TAG").touch()
    status, _, err = call("cache", "clear", "--cache-dir", str(mine))
    assert (status, mine.exists()) == (0, False) and "removed 2 files" in err
    assert call("cache", "clear", "--cache-dir", str(mine))[0] == 0
    call(*W, "--cache-dir", "here")
    assert call.asked["options"].cache_dir == "here"


def test_audit(call):
    status, _out, _err = call("audit", "-p", "envs/prod", answer=FAILING)
    assert status == 1 and call.asked["prefix"] == "envs/prod" and "operands" not in call.asked


# -- errors and streams at the edge ------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [("trace", "x.so", "-p", "gone"), ("inspect", "gone.so"), ("explain", "ABI998"), ("rules", "--select", "ABI998"),
     ("x.whl", "-p", "gone", "--fail-on", "sometimes")],
    ids=lambda argv: argv[0],
)  # fmt: skip
def test_every_command_tells_a_program_of_its_error(call, argv):
    status, out, err = call(*argv, "-f", "json")
    document = json.loads(out)
    jsonschema.validate(document, schema("report-1"))
    assert (status, document["exit_code"], document["verdict"]) == (2, 2, "error")
    assert document["error"]["reference"] in err and document["error"]["message"] in err
    assert call(*argv)[1] == "", "people read it on standard error"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which only Linux has")
def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        done = run_program("rules", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and b"standard output cannot be written" in done.stderr


def test_streams_that_were_closed_before_the_start():
    """``abicheck rules >&-``: Python has None for such a stream."""
    code = "import sys; sys.stdout = sys.stderr = None; from abicheck.cli import run; run(['rules'], 'abicheck')"
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False, timeout=60).returncode == 0


def run_program(*arguments, **streams):
    env = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    command = [sys.executable, "-m", "abicheck", *arguments]
    return subprocess.run(command, env=env, check=False, timeout=60, **streams)
