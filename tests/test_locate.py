"""Which environment is meant, from each of its sources."""

from __future__ import annotations

import json

import pytest

from abicheck.errors import InputError, UsageError
from abicheck.locate import by_name, choose, display, names

NOTHING = ("", "", "default")


@pytest.fixture
def conda(tmp_path, monkeypatch):
    """A conda root with two environments and nothing else to be found."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    root = tmp_path / "root"
    for place in (root, root / "envs" / "prod", root / "envs" / "test", tmp_path / "far" / "lonely"):
        (place / "conda-meta").mkdir(parents=True)
        (place / "conda-meta" / "history").touch()
    (root / "condabin").mkdir()
    (root / "envs" / "no-env").mkdir()
    return root


def environ(conda):
    return {"CONDA_EXE": str(conda / "bin" / "conda")}


def test_sources_in_their_order(conda):
    env = environ(conda) | {"ABICHECK_PREFIX": "envs/a", "CONDA_PREFIX": "envs/b"}
    configured = ("envs/c", "", "abicheck.toml")
    steps = []
    for prefix, name, conf, variables in (
        ("envs/p", None, configured, env),
        (None, "prod", configured, env),
        (None, None, configured, env),
        (None, None, configured, {"CONDA_PREFIX": "envs/b"}),
        (None, None, NOTHING, {"CONDA_PREFIX": "envs/b"}),
    ):
        choice = choose(prefix, name, conf, variables)
        steps.append((choice.name, choice.chosen_by, choice.flag))
    assert steps == [
        ("p", "prefix", "-p envs/p"),
        ("prod", "name", "-n prod"),
        ("a", "ABICHECK_PREFIX", "-p envs/a"),
        ("c", "abicheck.toml", "-p envs/c"),
        ("b", "CONDA_PREFIX", ""),
    ]


def test_configured_name(conda):
    choice = choose(None, None, ("", "test", "pyproject.toml"), environ(conda))
    assert (choice.path, choice.chosen_by) == (str(conda / "envs" / "test"), "pyproject.toml")


def test_active_environment_is_called_as_it_is_shown(conda):
    env = {"CONDA_PREFIX": str(conda / "envs" / "prod"), "CONDA_DEFAULT_ENV": "prod-now"}
    assert choose(None, None, NOTHING, env).name == "prod-now"
    assert choose(None, None, NOTHING, env | {"CONDA_DEFAULT_ENV": "/x/prod"}).name == "prod"


def test_none_is_a_usage_error():
    with pytest.raises(UsageError) as error:
        choose(None, None, NOTHING, {})
    assert error.value.reference == "no-environment" and "-p PREFIX" in error.value.hint


def test_two_are_a_usage_error():
    with pytest.raises(UsageError, match="both"):
        choose("a", "b", NOTHING, {})


@pytest.mark.parametrize(
    "variables",
    [{"CONDA_EXE": "bin/conda"}, {"MAMBA_ROOT_PREFIX": ""}, {"CONDA_PREFIX": "envs/prod"}, {"CONDA_PREFIX": ""}],
)
def test_names_are_found_beside_each_root(conda, variables):
    env = {k: str(conda / v) if v else str(conda) for k, v in variables.items()}
    assert by_name("test", env) == str(conda / "envs" / "test")
    assert by_name("base", env) == str(conda)


def test_environment_folders_and_the_register(conda, tmp_path):
    assert by_name("lonely", {"CONDA_ENVS_DIRS": str(tmp_path / "far")}) == str(tmp_path / "far" / "lonely")
    register = tmp_path / "home" / ".conda" / "environments.txt"
    register.parent.mkdir(parents=True)
    register.write_text(f"{tmp_path}/gone\n{tmp_path}/far/lonely\n")
    home = {"HOME": str(tmp_path / "home")}
    assert by_name("lonely", home) == str(tmp_path / "far" / "lonely")
    assert names(home) == ["lonely"]
    assert names({"HOME": str(tmp_path)}) == []


def test_near_misses(conda):
    with pytest.raises(InputError) as error:
        by_name("prd", environ(conda))
    assert "prod" in error.value.hint
    with pytest.raises(InputError) as error:
        by_name("entirely-else", {})
    assert "-p takes a folder" in error.value.hint


def test_path_is_no_name(conda):
    with pytest.raises(InputError) as error:
        by_name("envs/prod", environ(conda))
    assert "-p envs/prod" in error.value.hint


def test_conda_is_asked_last(conda, tmp_path):
    place = tmp_path / "elsewhere" / "asked"
    program = tmp_path / "bin" / "mamba"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{json.dumps({'envs': [str(place)]})}'\n")
    program.chmod(0o755)
    assert by_name("asked", {}) == str(place)
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError):
        by_name("asked", {})


def test_display(conda, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert display(".pixi/envs/default") == "default"
    assert display(str(conda)) == "base"
    assert display("prod.abisnap") == "prod.abisnap"
