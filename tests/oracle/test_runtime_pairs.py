"""Two projects in one process, run for real in both import orders, beside what the files predicted (issue 4).

Every case of ``runtime_pairs.toml`` is a prefix built by a conda client, wheels from the registry, and two pieces of
Python. abicheck judges the wheels against the prefix; then they are installed by the prefix's own pip and both orders
are run. An error predicted means that at least one order fails; no error means that both work.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conda_side import MakePrefix, Wheels, pip_install
from tests.wheel.making import make_wheel

from abicheck.engine import check
from abicheck.model import Confidence, Severity
from abicheck.report import CheckOptions

pytestmark = [pytest.mark.oracle, pytest.mark.network, pytest.mark.slow]

# What a package that uses MKL, or that opens a library globally, does, without the hundreds of megabytes.
LOCAL = {
    "kmpuser": "import ctypes, os, sys\n"
    "_lib = ctypes.CDLL(os.path.join(sys.prefix, 'lib', 'libiomp5.so'))\n"
    "threads = _lib.omp_get_max_threads()\n",
    "globalhdf5": "import ctypes\n_lib = ctypes.CDLL('libhdf5_serial.so.103', mode=ctypes.RTLD_GLOBAL)\n",
}


@dataclass(frozen=True)
class Case:
    """``a`` and ``b`` are run in both orders, then ``last``. ``rule``: the error expected, None when both orders
    work."""

    name: str
    prefix: str
    specs: tuple[str, ...]
    wheels: tuple[str, ...]
    a: str
    b: str
    last: str
    rule: str | None
    environ: dict[str, str]


def cases() -> list[Case]:
    table = tomllib.loads((Path(__file__).parent / "runtime_pairs.toml").read_text("utf-8"))

    def listed(names: list[str]) -> Iterator[str]:
        for name in names:
            if name.startswith("@"):
                yield from listed(table["wheels"][name[1:]])
            else:
                yield name

    def code(text: str) -> str:
        return str(table["code"][text[1:]]) if text.startswith("@") else text

    def case(row: dict[str, Any]) -> Case:
        specs, wheels = tuple(table["prefixes"][row["prefix"]]), tuple(listed(row["wheels"]))
        a, b, last = (code(row.get(key, "")) for key in ("a", "b", "last"))
        return Case(row["name"], row["prefix"], specs, wheels, a, b, last, row.get("rule"), row.get("environ", {}))

    return [case(row) for row in table["case"]]


def filled(environ: dict[str, str], prefix: Path) -> dict[str, str]:
    return {name: value.replace("$PREFIX", str(prefix)) for name, value in environ.items()}


def run(python: Path, code: str, folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-X", "faulthandler", "-c", code],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.parametrize("case", cases(), ids=lambda c: c.name)
def test_prediction_beside_outcome(case: Case, make_prefix: MakePrefix, wheels: Wheels, tmp_path: Path) -> None:
    prefix = make_prefix(f"pairs-{case.prefix}", case.specs)
    local = [
        make_wheel(tmp_path, n, "1.0", {f"{n}/__init__.py": LOCAL[n].encode()}, tag="py3-none-any", purelib=True)
        for n in case.wheels
        if n in LOCAL
    ]
    files = [*local, *wheels(*(w for w in case.wheels if w not in LOCAL))]
    judgement = check(
        [str(f) for f in files], prefix=str(prefix), options=CheckOptions(env=filled(case.environ, prefix))
    )
    errors = {f.rule for f in judgement.findings if f.severity is Severity.ERROR and f.confidence is not Confidence.LOW}

    installed = tmp_path / "env"
    shutil.copytree(prefix, installed, symlinks=True)
    pip_install(installed, files)
    python = installed / "bin" / "python"
    orders = ((case.a, case.b), (case.b, case.a))
    environ = filled(case.environ, installed)
    outcomes = [run(python, f"{first}\n{second}\n{case.last}\n", tmp_path, environ) for first, second in orders]
    codes = [o.returncode for o in outcomes]
    print(f"{case.name}: predicted {sorted(errors) or 'no error'}; ran {codes}")
    told = "\n".join(o.stderr[-800:] for o in outcomes)
    assert bool(errors) == any(codes), f"{sorted(errors)} against {codes}\n{told}"
    if case.rule is not None:
        assert case.rule in errors
