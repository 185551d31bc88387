"""Where settings come from, what is refused, and that the published schema says the same."""

from __future__ import annotations

import datetime
import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from abicheck.config import KEYS, load, schema, settings_of, variable
from abicheck.errors import UsageError
from abicheck.model import Confidence, Severity
from abicheck.report import RequestedBy
from abicheck.schemas import NAMES
from abicheck.schemas import schema as committed

WHOLE = """
schema = 1
name = "prod"
fail-on = "warning"
min-confidence = "low"
ignore = ["ABI4"]
anchor = "requirements.txt:3"
find-links = ["wheelhouse"]
env = { LD_LIBRARY_PATH = "/opt/lib" }

[severity]
duplicate-runtime = "warning"

[packages."torch*"]
ignore = ["ABI301"]
reason = "vendored runtimes are tested together upstream"

[[suppressions]]
rule = "ABI203"
wheel = "fastgrid"
conda = "libstdcxx"
reason = "fallback path is compiled in; see ticket 88"
until = 2027-03-31

[[suppressions]]
rule = "ABI5"
file = "bin/*"
reason = "scripts only"
permanent = true
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, text: str, name: str = "abicheck.toml", **given):
    (folder / name).write_text(text, encoding="utf-8")
    return load(str(folder), environ={}, given=given)


def refused(folder: Path, text: str) -> UsageError:
    with pytest.raises(UsageError) as error:
        read(folder, text)
    return error.value


def test_whole_file(folder):
    config = read(folder, WHOLE)
    settings = settings_of(config)
    assert (config.get("name"), config.source("name")) == ("prod", "abicheck.toml")
    assert settings.thresholds.fail_on == "warning"
    assert settings.thresholds.min_confidence is Confidence.LOW
    assert settings.ignore == ("ABI4",)
    assert settings.anchor == RequestedBy("requirements.txt", 3)
    assert settings.severity == {"duplicate-runtime": Severity.WARNING}
    assert [(p.package, p.ignore) for p in settings.packages] == [("torch*", ("ABI301",))]
    first, second = settings.suppressions
    assert (first.until, first.source) == (datetime.date(2027, 3, 31), "abicheck.toml")
    assert (second.until, second.file) == (None, "bin/*")


def test_table_in_pyproject(folder):
    text = WHOLE.replace("\n[", "\n[tool.abicheck.").replace("[tool.abicheck.[", "[[tool.abicheck.")
    config = read(folder, "[tool.abicheck]" + text, "pyproject.toml")
    assert (config.get("name"), config.source("fail-on")) == ("prod", "pyproject.toml")
    assert len(config.suppressions) == 2


def test_own_file_wins_and_says_so(folder):
    (folder / "pyproject.toml").write_text('[tool.abicheck]\nname = "other"\n')
    config = read(folder, 'name = "mine"\n')
    assert config.get("name") == "mine"
    assert len(config.notes) == 1


def test_pyproject_of_others_is_not_configuration(folder):
    (folder / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert load(str(folder), environ={}).source("name") == "default"


def test_looked_for_up_to_the_repository_and_never_beyond(folder):
    (folder / "abicheck.toml").write_text('name = "outside"\n')
    inner = folder / "repo" / "a" / "b"
    inner.mkdir(parents=True)
    (folder / "repo" / ".git").mkdir()
    assert load(str(inner), environ={}).get("name") == ""
    (folder / "repo" / "abicheck.toml").write_text('name = "repo"\n')
    assert load(str(inner), environ={}).get("name") == "repo"


def test_outside_a_repository_only_the_folder_itself(folder):
    (folder / "abicheck.toml").write_text('name = "here"\n')
    inner = folder / "inner"
    inner.mkdir()
    assert load(str(inner), environ={}).get("name") == ""


def test_precedence(folder):
    (folder / "abicheck.toml").write_text('fail-on = "note"\nmin-severity = "note"\nformat = "json"\n')
    environ = {"ABICHECK_FAIL_ON": "warning", "ABICHECK_MIN_SEVERITY": "error"}
    config = load(str(folder), environ=environ, given={"fail-on": "never", "format": None})
    found = {k: (config.get(k), config.source(k)) for k in ("fail-on", "min-severity", "format", "host")}
    assert found == {
        "fail-on": ("never", "command line"),
        "min-severity": ("error", "ABICHECK_MIN_SEVERITY"),
        "format": ("json", "abicheck.toml"),
        "host": ("auto", "default"),
    }


def test_no_config_and_another_config(folder):
    (folder / "abicheck.toml").write_text('name = "found"\n')
    (folder / "other.toml").write_text('name = "named"\n')
    assert load(str(folder), no_config=True, environ={}).get("name") == ""
    assert load(str(folder), file=str(folder / "other.toml"), environ={}).get("name") == "named"
    with pytest.raises(UsageError) as error:
        load(str(folder), file=str(folder / "gone.toml"), environ={})
    assert error.value.reference == "config-unreadable"


def test_paths_are_relative_to_the_file(folder, monkeypatch):
    (folder / ".git").mkdir()
    (folder / "abicheck.toml").write_text('prefix = "envs/prod"\nfind-links = ["wheels", "/abs"]\n')
    inner = folder / "sub"
    inner.mkdir()
    monkeypatch.chdir(inner)
    config = load(str(inner), environ={})
    assert config.get("prefix") == str(Path("..", "envs", "prod"))
    assert config.get("find-links") == (str(Path("..", "wheels")), "/abs")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('fail_on = "error"', "abicheck.toml:1: there is no key fail_on", "did you mean fail-on?"),
        ('name = "x"\n\nignored = []', "abicheck.toml:3: there is no key ignored", "did you mean ignore?"),
        ("zzz = 1", "there is no key zzz", "keys are"),
        ("fail-on = 1", "fail-on must be text", ""),
        ('fail-on = "fatal"', "fail-on is 'fatal'", "one of error, warning, note, never"),
        ('ignore = "ABI1"', "ignore must be an array of text", ""),
        ("strict = 1", "strict must be true or false", ""),
        ("env = { A = 1 }", "env must be a table of text", ""),
        ('[severity]\nABI1 = "bad"', "severity: 'bad' is no severity", "one of"),
        ("schema = 2", "schema is 2, this version reads 1", ""),
        ('[packages.torch]\nignor = ["ABI1"]', "there is no key packages.torch.ignor", "did you mean ignore?"),
        ('[packages.torch]\nignore = ["ABI1"]', "packages.torch: an ignore needs a reason", ""),
        ("packages = 1", "packages must be tables", ""),
        ("suppressions = 1", "suppressions must be an array of tables", ""),
        ('[[suppressions]]\nrule = "ABI1"\nwheel = "x"', "suppression 1 needs a rule and a reason", ""),
        (
            '[[suppressions]]\nrule = "ABI1"\nreason = "x"\npermanent = true',
            "at least one of wheel, conda and file",
            "",
        ),
        ('[[suppressions]]\nrule = "ABI1"\nwheel = "x"\nreason = "y"', "either a date", "until ="),
        ('[[suppressions]]\nrule = "A"\nwheel = "x"\nreason = "y"\nuntil = "soon"', "until is no date", ""),
        ('[[suppressions]]\nrule = "A"\nwheel = "x"\nreason = "y"\nuntil = 3', "until must be a date", ""),
        ('[[suppressions]]\nrule = "A"\nwheel = "x"\nreason = "y"\nuntil = 2026-01-01\npermanent = true', "either", ""),
        ('[[suppressions]]\nrule = 1\nwheel = "x"', "rule must be text", ""),
        ('[[suppressions]]\nrule = "A"\nwhee = "x"', "there is no key suppression 1: whee", "did you mean wheel?"),
        ("not toml", "is not TOML", ""),
    ],
)
def test_refused(folder, text, message, hint):
    error = refused(folder, text)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("name", "raw", "key", "value"),
    [
        ("ABICHECK_IGNORE", "ABI1, ABI2", "ignore", ("ABI1", "ABI2")),
        ("ABICHECK_STRICT", "1", "strict", True),
        ("ABICHECK_CACHE", "off", "cache", False),
        ("ABICHECK_HOST", "none", "host", "none"),
        ("ABICHECK_MIN_CONFIDENCE", "low", "min-confidence", "low"),
    ],
)
def test_variables(folder, name, raw, key, value):
    assert load(str(folder), environ={name: raw}).get(key) == value


@pytest.mark.parametrize("environ", [{"ABICHECK_STRICT": "maybe"}, {"ABICHECK_FAIL_ON": "fatal"}])
def test_bad_variable_is_named(folder, environ):
    with pytest.raises(UsageError, match=next(iter(environ))):
        load(str(folder), environ=environ)


def test_empty_variable_is_not_given(folder):
    assert load(str(folder), environ={"ABICHECK_FAIL_ON": ""}).source("fail-on") == "default"


def test_strict_lowers_all_bars(folder):
    t = settings_of(read(folder, "strict = true")).thresholds
    assert (t.fail_on, t.min_severity, t.min_confidence, t.strict) == ("note", Severity.NOTE, Confidence.LOW, True)


@pytest.mark.parametrize("other", ["exit-zero", "allow-incomplete"])
def test_contradictions(folder, other):
    with pytest.raises(UsageError, match="contradict"):
        settings_of(read(folder, f"strict = true\n{other} = true"))


@pytest.mark.parametrize(
    ("text", "anchor"),
    [("", ("pyproject.toml", 1)), ("a.txt", ("a.txt", 1)), ("a.txt:7", ("a.txt", 7)), ("a.txt:0", ("a.txt", 1))],
)
def test_anchor(folder, text, anchor):
    assert settings_of(read(folder, f'anchor = "{text}"')).anchor == RequestedBy(*anchor)


# -- the schema ---------------------------------------------------------------------------


def test_committed_schema_is_the_generated_one():
    assert committed("config-1") == json.loads(json.dumps(schema()))


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas(name):
    jsonschema.Draft202012Validator.check_schema(committed(name))


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


def test_schema_takes_the_whole_file():
    jsonschema.Draft202012Validator(schema()).validate(plain(tomllib.loads(WHOLE)))


@pytest.mark.parametrize(
    "text",
    ['fail_on = "x"', 'fail-on = "fatal"', "strict = 1",
     '[[suppressions]]\nrule = "A"\nreason = "b"\nuntil = 2026-01-01',
     '[[suppressions]]\nrule = "A"\nreason = "b"\nwheel = "w"', "schema = 2", '[severity]\nABI1 = "bad"'],
)  # fmt: skip
def test_schema_and_reader_refuse_alike(folder, text):
    assert not jsonschema.Draft202012Validator(schema()).is_valid(plain(tomllib.loads(text)))
    refused(folder, text)


def test_every_key_is_described_and_has_a_variable():
    assert all(key.about for key in KEYS.values())
    assert variable("fail-on") == "ABICHECK_FAIL_ON"
