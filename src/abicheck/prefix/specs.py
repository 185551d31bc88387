"""conda's versions and match specifications, as far as ``depends`` and ``constrains`` of installed records use them.

The order is that of conda's documented version scheme (epoch, local part, components of numbers and words, ``dev``
before everything, ``post`` after). A specification that is not understood is said to be so (None), never to be broken.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

_VERSION = re.compile(r"[*.+!_0-9a-z-]+")
_RUNS = re.compile(r"[0-9]+|[*]+|[a-z]+|[^0-9*a-z]+")
_TERM = re.compile(r"(?P<operator>==|!=|<=|>=|~=|=|<|>)?\s*(?P<version>[^\s,|()]+)")
Part = tuple[int, int | str]  # (rank, value): words before numbers, ``dev`` before all, ``post`` after all


@dataclass(frozen=True, slots=True)
class Spec:
    """``name``, then conditions on version and build as written; ``*`` when there is none."""

    name: str
    version: str = "*"
    build: str = "*"

    def __str__(self) -> str:
        words = [self.name, self.version, self.build]
        while len(words) > 1 and words[-1] == "*":
            words.pop()
        return " ".join(words)


def parse_spec(text: str) -> Spec | None:
    """``numpy >=1.22,<3``, ``python_abi 3.11.* *_cp311``, ``channel::a[version='1.*']``; None when not understood."""
    text = text.partition("#")[0].strip()
    match = re.fullmatch(r"(?:\S+::)?(?P<name>[A-Za-z0-9_.\-]+)\s*(?P<rest>[^\[]*)(?:\[(?P<keys>.*)\])?", text)
    if match is None:
        return None
    keys = dict(re.findall(r"(version|build)\s*=\s*['\"]?([^'\"\]]+?)['\"]?(?:\s*,|\s*$)", match["keys"] or ""))
    rest = re.sub(r"\s*([,|])\s*", r"\1", match["rest"].strip())
    rest = re.sub(r"([<>=!~])\s+", r"\1", rest)
    words = rest.split()
    if len(words) == 1 and re.fullmatch(r"={1,2}[^=,|]+=[^=,|]+", words[0]):
        words = list(words[0].lstrip("=").rpartition("=")[::2])
    if len(words) > 2:
        return None
    version = keys.get("version") or (words[0] if words else "*")
    return Spec(match["name"].lower(), version, keys.get("build") or (words[1] if len(words) > 1 else "*"))


def satisfies(spec: Spec, version: str, build: str | None = None) -> bool | None:
    """Whether a version (and build, unless it is not known) meets a specification; None when that cannot be told."""
    try:
        ok = any(
            all(_holds(t, version) for t in alternative.split(",") if t) for alternative in spec.version.split("|")
        )
    except ValueError:
        return None
    if ok and build is not None and spec.build != "*":
        pattern = "".join(".*" if c == "*" else re.escape(c) for c in spec.build)
        return re.fullmatch(pattern, build) is not None
    return ok


def _holds(term: str, version: str) -> bool:
    term = term.strip()
    if term in ("*", ""):
        return True
    match = _TERM.fullmatch(term)
    if match is None or term.startswith("^"):
        raise ValueError(term)
    operator, wanted = match["operator"] or "", match["version"]
    if wanted.endswith("*") and operator in ("", "=", "==", "!="):
        return _starts(version, wanted.rstrip("*").rstrip(".")) != (operator == "!=")
    wanted = wanted.removesuffix(".*")
    if "*" in wanted:
        raise ValueError(term)
    if operator == "=":
        return _starts(version, wanted)
    if operator == "~=":
        return compare(version, wanted) >= 0 and _starts(version, wanted.rpartition(".")[0])
    order = compare(version, wanted)
    answers = {"": order == 0, "==": order == 0, "!=": order != 0}
    return (answers | {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0})[operator]


def _starts(version: str, prefix: str) -> bool:
    """``1.2`` begins ``1.2.3`` and ``1.2rc1``, not ``1.20``."""
    mine, wanted = _parsed(version), _parsed(prefix)
    if mine[0] != wanted[0]:
        return False
    main, start = mine[1], wanted[1]
    if len(main) < len(start):
        return False
    if list(main[: len(start) - 1]) != list(start[:-1]):
        return False
    return main[len(start) - 1][: len(start[-1])] == start[-1] if start else True


def compare(one: str, other: str) -> int:
    """Below, equal, above: -1, 0, 1. Raises ``ValueError`` for what is no version."""
    a, b = _parsed(one), _parsed(other)
    if a[0] != b[0]:
        return -1 if a[0] < b[0] else 1
    return _compare_parts(a[1], b[1]) or _compare_parts(a[2], b[2])


def _compare_parts(one: Sequence[tuple[Part, ...]], other: Sequence[tuple[Part, ...]]) -> int:
    zero: Part = (1, 0)
    for a, b in itertools.zip_longest(one, other, fillvalue=()):
        for x, y in itertools.zip_longest(a, b, fillvalue=zero):
            if x != y:
                return -1 if _less(x, y) else 1
    return 0


def _less(x: Part, y: Part) -> bool:
    if x[0] != y[0]:
        return x[0] < y[0]
    if isinstance(x[1], int) and isinstance(y[1], int):
        return x[1] < y[1]
    return str(x[1]) < str(y[1])


@functools.lru_cache(maxsize=4096)
def _parsed(version: str) -> tuple[int, tuple[tuple[Part, ...], ...], tuple[tuple[Part, ...], ...]]:
    """Epoch, main part and local part of a version."""
    text = version.strip().lower()
    if not text or _VERSION.fullmatch(text) is None:
        raise ValueError(version)
    epoch = 0
    if "!" in text:
        head, _, text = text.partition("!")
        if not head.isdecimal():
            raise ValueError(version)
        epoch = int(head)
    main, _, local = text.partition("+")
    return epoch, _components(main), _components(local)


def _components(text: str) -> tuple[tuple[Part, ...], ...]:
    """Pieces between separators; an underscore at the end belongs to the last piece (openssl's way before letters)."""
    out = []
    pieces = re.split(r"[._-]", text.removesuffix("_")) if text else []
    if text.endswith("_"):
        pieces[-1] += "_"
    for piece in pieces:
        runs = [_part(r) for r in _RUNS.findall(piece)]
        if runs and not piece[0].isdecimal():
            runs.insert(0, (1, 0))
        out.append(tuple(runs))
    return tuple(out)


def _part(run: str) -> Part:
    if run.isdecimal():
        return 1, int(run)
    if run == "post":
        return 2, ""
    return (-1, "") if run == "dev" else (0, run)
