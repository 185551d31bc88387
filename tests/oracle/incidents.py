"""Cases of the corpus of incidents as something that can be checked: a wheel to download and a conda side to build.

The conda side is synthetic, as the corpus says: small libraries with the stated names, versions and symbols, owned by
conda records; plus an interpreter, and one extension module of the environment that uses those libraries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Wheels of more than 60 MB, by id: left out unless ABICHECK_ALL_INCIDENTS=1.
BIG = frozenset({"P17-unique-tesseract", "N14-xgboost-libgomp", "P35-torch-win-iomp"})
SUBDIRS = (("win_amd64", "win-64"), ("macosx", "osx"), ("manylinux", "linux-64"))
# Positive cases without their finding so far, and why. A case that gets it fails the suite until it is taken out here.
GAPS: Mapping[str, str] = {}
# Positive cases whose stated finding would not be true of this wheel and side: what is said instead, and why. P17: both
# libstdc++ have one soname, so whichever is loaded first serves both (ELF-2); run for real, one is mapped in either
# order and nothing is merged. With one opened by its path both are there and 82 objects are merged
# (tests/rules/test_abi204_cxx_runtime.py); this release of the wheel opens none.
INSTEAD: Mapping[str, tuple[str, ...]] = {"P17-unique-tesseract": ("ABI103",)}
# Files of a case's conda side that the corpus does not list, by id and package: without them the loader stops at a
# missing library before it looks at a symbol. P09: the CUDA build of the same pytorch.
ALSO_THERE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("P09-torchaudio-cxx11abi", "pytorch"): (
        *(f"lib/python3.10/site-packages/torch/lib/lib{n}.so" for n in ("torch", "torch_cuda", "c10_cuda")),
        "lib/python3.10/site-packages/torch/lib/libtorch_python.so",
        "lib/libcudart.so.11.0",
        "lib/libnvToolsExt.so.1",
        "lib/libgomp.so.1",
    ),
}
# What a case says the machine does not have (options of changed_system.sh), by id.
SYSTEM: Mapping[str, tuple[str, ...]] = {"P15-pyodbc-needed": ("--hide", "libodbc.so.2")}
# The corpus' words for what is found -> the rules that say it.
RULES: Mapping[str, tuple[str, ...]] = {
    "symbol-version-missing": ("ABI201",),
    "undefined-symbol": ("ABI202",),
    "cxx11-abi-mismatch": ("ABI202",),
    "needed-not-found": ("ABI101",),
    "soname-shadowing": ("ABI103", "ABI104", "ABI201", "ABI202"),  # by its consequence
    "symbol-interposition": ("ABI203",),
    "gnu-unique-crosstalk": ("ABI204",),
    "weak-symbol-coalescing": ("ABI204",),
    "objc-duplicate-class": ("ABI604",),
    "duplicate-runtime": ("ABI301", "ABI302"),
    "dll-basename-clash": ("ABI103", "ABI104", "ABI304"),
    "file-clobber": ("ABI501",),
    "pip-replaces-conda-package": ("ABI502",),
    "data-dir-shadow": ("ABI601",),
    "numpy-abi": ("ABI401",),
    "python-c-abi": ("ABI402",),
    "static-TLS": ("ABI603",),
}


@dataclass(frozen=True)
class Incident:
    """One case. ``python``: the minor version of the environment's interpreter; ``subdir``: its platform."""

    id: str
    positive: bool
    wheel: str
    wheel_file: str
    python: str
    subdir: str
    conda_side: tuple[Mapping[str, Any], ...]
    host_side: tuple[Mapping[str, Any], ...]
    finding: str
    accepted: frozenset[str]

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules of which one must speak (positive cases)."""
        return INSTEAD.get(self.id, RULES.get(self.finding.partition(":")[0], ()))

    @property
    def download_options(self) -> tuple[str, ...]:
        """pip's options for the wheel of another machine's Python."""
        platforms = self.wheel_file.removesuffix(".whl").rpartition("-")[2].split(".")
        return (*(f"--platform={p}" for p in platforms), f"--python-version={self.python}", "--implementation=cp")


def read_incidents(corpus: Path) -> list[Incident]:
    """All cases of ``incidents.json``."""
    return [_incident(case) for case in json.loads((corpus / "incidents.json").read_text())["cases"]]


def _incident(case: Mapping[str, Any]) -> Incident:
    tag = case["platform_tag"].split(" ")[0]
    subdir = next(s for start, s in SUBDIRS if tag.startswith(start))
    if subdir == "osx":
        subdir = "osx-arm64" if tag.endswith("arm64") else "osx-64"
    name, version = case["wheel"].split("==")
    invented = f"{name.replace('-', '_')}-{version}-{case['python_tag'].split(' ')[0]}-none-{tag}.whl"
    accepted = {r for words in case.get("accept", ()) for r in _rules_in(words)}
    accepted |= {r for words in case["expected"].get("secondary", ()) for r in _rules_in(words)}
    return Incident(
        id=case["id"],
        positive=case["kind"] == "positive",
        wheel=case["wheel"],
        wheel_file=case.get("wheel_file", invented),
        python=_python(case),
        subdir=subdir,
        conda_side=tuple(_side(case["id"], s) for s in case["conda_side"] if not s["name"].startswith("(")),
        host_side=tuple(case.get("host_side", ())),
        finding=case["expected"]["finding"],
        accepted=frozenset(accepted),
    )


def _side(case: str, package: Mapping[str, Any]) -> Mapping[str, Any]:
    more = ALSO_THERE.get((case, package["name"]), ())
    return {**package, "provides": [*package.get("provides", ()), *({"file": f} for f in more)]} if more else package


def _rules_in(words: str) -> tuple[str, ...]:
    return next((rules for key, rules in RULES.items() if words.startswith(key)), ())


def _python(case: Mapping[str, Any]) -> str:
    """The environment's Python: stated on the conda side, else in the tag, else any that takes the wheel."""
    stated = next((s["version"] for s in case["conda_side"] if s["name"] == "python"), "")
    found = re.search(r"(3)\.(\d+)", stated or case["python_tag"]) or re.search(r"cp(3)(\d+)", case["python_tag"])
    return f"{found[1]}.{found[2]}" if found else "3.11"
