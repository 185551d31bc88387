"""``--resolve``: ask the prefix's own pip what it would install, and have it fetch those wheels into a folder.

The only place where anything of the environment is run, and only when the user asks for it (docs/commands.md).
pip is told to build nothing and to install nothing; the prefix is not written to.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence

import msgspec

from abicheck.errors import InputError
from abicheck.inputs import ground_of
from abicheck.inputs.manifests import read_report
from abicheck.inputs.requests import Inputs
from abicheck.prefix import Prefix

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[bytes]"]


def resolve(
    names: Sequence[str], prefix: Prefix, into: str, *, find_links: Sequence[str] = (), run: Run | None = None
) -> Inputs:
    """Resolve requirements with the prefix's pip and read the wheels it names from ``into``.

    ``find_links``: folders that it looks into as well.

    Raises ``InputError``: the prefix cannot be run here, pip found no answer, a wheel could not be fetched.
    """
    run = run or _run
    python = _python(prefix)
    install = [python, "-B", "-m", "pip", "install", "--dry-run", "--quiet", "--only-binary=:all:", "--report", "-"]
    install += [word for folder in find_links for word in ("--find-links", folder)]
    report = _answer(run([*install, *names]), f"pip found no answer for {' '.join(names)}")
    addresses = list(_addresses(report))
    if addresses:
        fetch = [python, "-B", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", into]
        _answer(run([*fetch, *addresses]), "pip could not fetch what it chose")
    return read_report(report, "pip's report", ground_of(prefix, [into]), into)


def _python(prefix: Prefix) -> str:
    interpreter = prefix.interpreter
    if prefix.kind != "directory" or interpreter is None or not interpreter.present:
        raise InputError(
            "cannot-resolve",
            f"--resolve runs the environment's own pip, and {prefix.display} has no interpreter to run here.",
            "make a report where it is: pip install --dry-run --report r.json NAME, then abicheck r.json",
        )
    return f"{prefix.root}/{interpreter.executable}"


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(list(command), capture_output=True, check=False, env=environment)


def _answer(done: subprocess.CompletedProcess[bytes], problem: str) -> bytes:
    if done.returncode == 0:
        return done.stdout
    said = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("ERROR")] or said[-1:]
    raise InputError(
        "cannot-resolve", f"{problem}: {errors[-1].removeprefix('ERROR: ') if errors else 'it gave no reason'}"
    )


def _addresses(report: bytes) -> Sequence[str]:
    """Addresses of what the report lists, with the hashes pip will check."""
    try:
        document = msgspec.json.decode(report)
        items = [item["download_info"] for item in document["install"]]
        return [_with_hash(i["url"], i.get("archive_info", {}).get("hashes", {})) for i in items]
    except (msgspec.MsgspecError, KeyError, TypeError) as e:
        raise InputError(
            "not-a-report", "pip's report is not understood.", "is the environment's pip older than 22.2?"
        ) from e


def _with_hash(url: str, hashes: dict[str, str]) -> str:
    return f"{url}#sha256={hashes['sha256']}" if "sha256" in hashes and "#" not in url else url
