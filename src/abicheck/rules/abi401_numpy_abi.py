"""An extension was compiled for another NumPy than the one that will be there.

## What happens

`import` of the extension fails: "A module that was compiled using NumPy 1.x cannot be run in NumPy 2", "module compiled
against API version 0x10 but this version of numpy is 0xe", or "numpy.ndarray size changed". This hits the wheel when
the environment's numpy is too old or too new for it, and it hits *conda's own packages* when the install raises numpy
to 2.x under them.

## Why: the loader rule

The loader is content: nothing is linked. `import_array()`, compiled into every user of NumPy's C-API, compares numbers
at import (PY-16). Headers of NumPy 1.x accept only ABI 0x1000009, so never a NumPy 2; headers of 2.x accept both. Both
compare the C-API feature number: an extension that may use newer functions refuses an older NumPy. Cython compares
object sizes as well and refuses a NumPy whose array object is smaller. abicheck reads these numbers from the
extension's own texts and code, and the version of the numpy that will be there *after* the install.

## Example

```
conda scipy 1.10.1      _fblas...so: imports numpy.core._multiarray_umath, demands ABI 0x1000009
pip install "numpy>=2"  numpy 2.2.6 has ABI 0x2000000: `import scipy.linalg` will fail
```

## What to do

1. Keep numpy where the environment's packages need it: `pip install NAME "numpy<2"`, or let conda choose it.
2. Take the wheel's project from conda, which builds it for the environment's numpy.
3. Choose a release of the wheel that was built for this numpy.

## When this is wrong

- The module is optional and its failure is caught; then the finding is a warning. A module for a newer numpy than the
  one that the project itself calls enough, and that none of its Python code imports, is a note.
- pip does not choose the newest numpy that a requirement allows (a constraint file, an index of your own).
- Code that calls `import_array()` only in some function fails there and not at import.

## References

NumPy documentation, "NumPy 2.0 migration guide" and "For downstream package authors"; numpy/numpy
numpy/_core/code_generators/generate_numpy_api.py; tlambert03/nd2#45; numpy/numpy#18709.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from abicheck.loader.scenarios import Group, Unit
from abicheck.model import Confidence, Fact, Finding, Origin, Remedy, Severity
from abicheck.rules import Rule
from abicheck.rules.naming import conda_name, use_conda_build
from abicheck.rules.numpy_demands import Numpy, Refusal, numpy_after, numpy_before, refusal
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base, conda_among, conda_install, listed, older_wheel, ref, sentence
from abicheck.transaction import requirements_of

RULE = Rule(
    id="ABI401",
    name="numpy-abi",
    severity="error",
    classes=("ABI_MISMATCH",),
    platforms=("linux", "osx", "win"),
    summary="Compiled against a NumPy C-ABI that the numpy there does not offer",
    since="0.1",
)


@dataclass(frozen=True, slots=True)
class _Hit:
    unit: Unit
    refusal: Refusal


def check(scene: Scene) -> Iterator[Finding]:
    now = numpy_after(scene)
    if now is None:
        return
    for group in scene.subjects:
        if now.assumed or group.origin != now.origin:
            yield from _findings(scene, group, now, None)
    was = numpy_before(scene)
    # Of packages that are no subject only those can break whose numpy is replaced (or, in an audit, was replaced by
    # pip).
    if was is None or was.release == now.release:
        if scene.stage.placed or now.origin not in scene.subject_origins:
            return
        was = None
    own = f"{scene.view.root}/{scene.layout.platlib}/numpy/"
    for bare in scene.bystanders:
        if not all(u.path.startswith(own) for u in bare.units):
            yield from _findings(scene, bare, now, was, culprit=now.origin)


def _findings(
    scene: Scene, group: Group, now: Numpy, was: Numpy | None, culprit: Origin | None = None
) -> Iterator[Finding]:
    refused = []
    for unit in group.units:
        found = refusal(scene, scene.view, unit.path, now)
        if found is not None and (was is None or refusal(scene, scene.before, unit.path, was) is None):
            refused.append((unit.path, found))
    if not refused:
        return
    # A bystander's imports are derived only now that something of it fails.
    whole = group if group.prelude else scene.as_imported(group.origin)
    units = {u.path: u for u in (*group.units, *whole.units)}
    hits: dict[str, list[_Hit]] = {}
    for path, found in refused:
        hits.setdefault(found.kind, []).append(_Hit(units[path], found))
    for kind in sorted(hits):
        yield _finding(scene, whole, hits[kind], now, was, culprit)


def _worst(scene: Scene, group: Group, hits: list[_Hit]) -> tuple[_Hit, str]:
    """The hit that a program meets most surely. How a module is imported is asked only until the answer is grave:
    looking through a project's sources takes longer than reading its binaries."""
    for hit in hits:
        if hit.unit.demanded:
            return hit, "demanded"
    asked = [(hit, str(scene.importance(group, hit.unit))) for hit in hits[:ASKED]]
    grave = next((a for a in asked if a[1] == "reachable"), None) or next(
        (a for a in asked if a[1] != "optional"), None
    )
    if grave is not None:
        return grave
    return hits[0], "optional" if len(hits) <= ASKED else "reachable"


ASKED = 8  # a project with more refused modules than this cannot do without all of them


def _severity(scene: Scene, group: Group, now: Numpy, kind: str, importance: str) -> Severity:
    """A note where the project takes care by itself: none of its Python code imports the module, this numpy is enough
    by its own requirements, and only this module asks for a newer one (compiled code imports it where that is there).
    """
    if importance == "unreferenced" and kind == "level" and _called_enough(scene, group.origin, now):
        return Severity.NOTE
    return Severity.WARNING if importance == "optional" else Severity.ERROR


def _called_enough(scene: Scene, origin: Origin, numpy: Numpy) -> bool:
    """Whether the wheel's own Requires-Dist names a numpy and is content with this one."""
    lines = (p.wheel.requires_dist for p in scene.stage.placed if p.origin == origin)
    asked = [r for r in requirements_of(scene.prefix, chain.from_iterable(lines)) if r.name.lower() == "numpy"]
    return bool(asked) and all(r.specifier.contains(numpy.version, prereleases=True) for r in asked)


def _finding(
    scene: Scene, group: Group, hits: list[_Hit], now: Numpy, was: Numpy | None, culprit: Origin | None
) -> Finding:
    worst, importance = _worst(scene, group, hits)
    sure = importance == "demanded"
    module = group.label if sure else worst.unit.module
    subject = ref(scene.view, worst.unit.path)
    modules = listed(h.unit.module for h in hits)
    many = f"{len(hits)} of its extension modules" if len(hits) > 1 else f"its module {worst.unit.module}"
    change = f"replaces numpy {was.version} by" if was is not None else "has"
    who = "this install" if was is not None else "the environment"
    if now.assumed:
        who, change = "pip", f"will replace numpy {was.version} by" if was is not None else "will fetch"
    numpy_file = None if now.assumed else ref(scene.view, f"{scene.view.root}/{scene.layout.platlib}/numpy/version.py")
    return Finding(
        rule=RULE.id,
        severity=_severity(scene, group, now, worst.refusal.kind, importance),
        confidence=Confidence.HIGH if sure and not now.assumed else Confidence.MEDIUM,
        what=sentence(
            f"`import {module}` will fail: {many} ({group.origin.label}) {_was(len(hits))} compiled "
            f"{worst.refusal.demands}, and {who} {change} numpy {now.version}."
        ),
        why=(
            Fact(f"compiled {worst.refusal.demands}; modules: {modules}", subject, loader_rule="PY-16"),
            Fact(f"numpy {now.version} {worst.refusal.offers}", numpy_file),
            Fact(f"Python will say: {worst.refusal.message}"),
        ),
        remedies=tuple(_remedies(scene, group, worst.refusal, was, culprit)),
        key=f"numpy {worst.refusal.kind} {base(worst.unit.path).partition('.')[0]}",
        wheel=culprit if culprit is not None else group.origin,
        conda_package=conda_among(group.origin, now.origin),
        subject=subject,
        object=numpy_file,
        depends_on=() if sure else ("python-code",),
        assumption=" and ".join(
            a for a in (now.assumed, "" if sure else f"if the program imports {worst.unit.module}") if a
        ),
    )


def _was(count: int) -> str:
    return "were" if count > 1 else "was"


def _remedies(
    scene: Scene, group: Group, problem: Refusal, was: Numpy | None, culprit: Origin | None
) -> Iterator[Remedy]:
    display = scene.prefix.display
    if was is not None:
        ceiling = "2" if problem.kind == "era" else f"{was.release[0]}.{was.release[1] + 1}"
        asked = f"{culprit.name} " if culprit is not None and culprit.name != "numpy" else ""
        yield Remedy("keep the environment's numpy", f'pip install {asked}"numpy<{ceiling}"')
        dependant = group.origin.name if group.origin.kind == "conda" else conda_name(scene, group.origin.name)
        both = conda_install(display, "numpy", dependant)
        yield Remedy("or let conda raise numpy together with what needs it", both)
        return
    if problem.kind == "era":
        yield use_conda_build(scene, group.origin.name)
        yield Remedy("or hold numpy below 2", conda_install(display, "numpy<2"))
    elif problem.oldest:
        yield Remedy("raise the environment's numpy", conda_install(display, f"numpy>={problem.oldest}"))
        if group.origin.kind == "wheel":
            yield older_wheel(group.origin.name, group.origin.version)
    else:
        yield use_conda_build(scene, group.origin.name)
    if culprit is not None and culprit != group.origin and was is None:
        yield Remedy("or give numpy back to conda", conda_install(display, "numpy"))
