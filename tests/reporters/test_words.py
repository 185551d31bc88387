"""Words that all reporters share."""

from __future__ import annotations

import pytest

from abicheck.reporters._words import with_target


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("conda install -n prod numpy", "conda install -p ./env numpy"),
        ("pip uninstall a && conda install -n prod --force-reinstall a",
         "pip uninstall a && conda install -p ./env --force-reinstall a"),
        ("conda search a", "conda search a"),
        ("pip install conda install", "pip install conda install"),
    ],
)  # fmt: skip
def test_conda_commands_mean_the_environment_that_was_named(command: str, told: str) -> None:
    assert with_target(command, "-p ./env") == told
