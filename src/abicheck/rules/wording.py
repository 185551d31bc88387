"""How findings speak: names of files and imports, and the commands people can paste."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Sequence

from abicheck.model import Attempt, FileRef, Orders, Origin, Remedy
from abicheck.overlay import View

COUNTED = 5  # more than this many names become a count


def ref(view: View, path: str) -> FileRef | None:
    """The file at a path a loader spelled, as findings name it; None for no path."""
    if not path:
        return None
    if not path.startswith("/"):
        return FileRef(path, Origin("host"))
    found = view.lookup(path)
    return view.ref(found.real)


def tried(view: View, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """The places a loader looked, as reports name them."""
    return tuple(Attempt(view.relative(a.path), a.outcome) for a in attempts)


def base(path: str) -> str:
    return posixpath.basename(path)


def listed(names: Iterable[str]) -> str:
    """Up to five names, then a count."""
    items = list(dict.fromkeys(names))
    shown = ", ".join(items[:COUNTED])
    return shown if len(items) <= COUNTED else f"{shown} and {len(items) - COUNTED} more"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 place``, ``3 places``, ``2 libraries``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """Cut a sentence that would not stand alone in a CI annotation to 200 characters, at a word."""
    if len(text) <= 200:
        return text
    return text[:197].rsplit(" ", 1)[0] + " …"


def quoted(spec: str) -> str:
    """A conda or pip spec as a shell wants it: double quotes where it holds an operator or a space."""
    return f'"{spec}"' if any(c in spec for c in "<>=!~* ") else shlex.quote(spec)


def public(version: str) -> str:
    """A version without its local part, which says who built the wheel (``2.1.0+cpu``): conda says that otherwise."""
    return version.partition("+")[0]


def conda_version(specifier: str) -> str:
    """A range of Python's packaging as conda writes it: ``==1.2.*`` is ``=1.2`` there, where ``==1.2`` would mean that
    release alone; arbitrary equality has no counterpart and is left out."""
    terms = [t.strip() for t in specifier.split(",") if t.strip() and not t.strip().startswith("===")]
    return ",".join("=" + t[2:-2] if t.startswith("==") and t.endswith(".*") else public(t) for t in terms)


def conda_install(prefix_name: str, *specs: str) -> str:
    return " ".join(["conda install -n", shlex.quote(prefix_name), *map(quoted, specs)])


def in_order(first: str, then: str, *, opposite_works: bool = True) -> Orders:
    """The order of two imports in which something happens; the opposite one is told as working where it does."""
    return Orders(((first, then),), ((then, first),) if opposite_works else ())


def older_wheel(project: str, version: str) -> Remedy:
    return Remedy("or choose an earlier release of the wheel", f'pip install "{project}<{version}"')


def conda_among(*owners: Origin) -> Origin | None:
    """The first of some owners that conda brought, for ``Finding.conda_package``; None when none is."""
    return next((o for o in owners if o.kind == "conda"), None)


def import_first(names: Sequence[str]) -> Remedy:
    chain = "; ".join(f"import {n}" for n in names)
    return Remedy("or import in the order that works", f"python -c {shlex.quote(chain)}")
