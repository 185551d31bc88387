"""The install overwrites files that a conda package owns.

## What happens

`pip install` writes over files that conda linked. From then on conda's metadata no longer tells the truth: `conda
update` or `conda remove` of that package changes or deletes what the wheel brought, and everything that used conda's
file uses the wheel's. A shared library is the serious case: other conda packages load the new file without having been
built for it. Equal content does no harm now (a note); a command replaced by the same project's own launcher neither.
Files of an import package that both projects bring are told as that (ABI503), and so are those that pip leaves behind
when it replaces the distribution (ABI502); here they are a note.

## Why: the loader rule

pip computes a path for every file of the wheel, its scripts and its metadata (PY-11), unlinks what is there and writes
its own file; it never looks into `conda-meta` (PY-13). Because it unlinks first, the hard-linked copy in conda's
package cache and in other environments stays as it was; a symbolic link becomes a plain file. Files of the wheel's data
scheme land below the prefix itself, so `data/lib/libX.so` enters `lib`, where every conda library looks first (PY-12).

## Example

```
tbb-2021.4.0.data/data/lib/libtbb.so.12   ->  lib/libtbb.so.12   which conda tbb 2021.8.0 owns
```

## What to do

1. Install the conda package instead of the wheel, or the version of it that you need.
2. If it has happened: remove the wheel with pip, then `conda install --force-reinstall` the package.

## When this is wrong

- The two files differ in bytes and not in behaviour (another build of the same release).
- Nothing in the environment uses the overwritten file. What loads differently is judged by simulation and reported
  under the rules of the loader (ABI1xx to ABI3xx), not here.

## References

pip `_internal/operations/install/wheel.py`; binary distribution format, section on the .data directory; conda
`core/link.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from abicheck.model import Confidence, Fact, FileRef, Finding, Remedy, Severity
from abicheck.overlay import UNOWNED
from abicheck.prefix import Prefix
from abicheck.rules import Rule
from abicheck.rules.overlaps import overlaps
from abicheck.rules.ownership import Clobber, clobbers, is_twin, needers, twin_of, wheel_origin, wheel_ref
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_install, listed, public, sentence
from abicheck.transaction import Obstacle, Overwrite, Transaction

RULE = Rule(
    id="ABI501",
    name="file-clobber",
    severity="by content",
    classes=("FILE_CLOBBER",),
    platforms=("linux", "osx", "win"),
    summary="The install overwrites files that a conda package owns",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    if scene.transaction is not None:
        yield from judge(scene.transaction)


def judge(transaction: Transaction) -> Iterator[Finding]:
    """One finding for each wheel and conda package whose files meet."""
    for clobber in clobbers(transaction.prefix, transaction.overwritten):
        yield _finding(transaction.prefix, clobber, _shared_packages(transaction, clobber))
    for obstacle in transaction.obstacles:
        yield _stopped(transaction.prefix, obstacle)


def _shared_packages(transaction: Transaction, clobber: Clobber) -> frozenset[str]:
    """Paths of the wheel in import packages that the conda package brings too: what ABI503 warns of, and ABI502 when
    pip replaces the distribution and leaves some of its files."""
    layout = transaction.prefix.layout
    if layout is None or severity_of(transaction.prefix, clobber) is Severity.NOTE:
        return frozenset()
    if any(r.wheel is clobber.wheel and r.dist.owner is clobber.record for r in transaction.replaced):
        return frozenset(o.path for o in clobber.different if o.path.startswith(f"{layout.purelib}/"))
    found = (o for o in overlaps(transaction) if o.one.wheel is clobber.wheel and o.other.record is clobber.record)
    return frozenset(f"{layout.purelib}/{path}" for o in found for path in o.files)


def _stopped(prefix: Prefix, obstacle: Obstacle) -> Finding:
    """A directory where the wheel has a file, or the reverse: pip does not replace one by the other."""
    wheel, path = obstacle.wheel, obstacle.path
    is_there, comes = ("directory", "file") if obstacle.folder else ("file", "directory")
    record = next(iter(prefix.owners(path)), None)
    dist = prefix.pip_owner(path)
    origin = record.origin if record is not None else dist.origin if dist is not None else UNOWNED
    return Finding(
        rule=RULE.id,
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        what=sentence(f"`pip install {wheel.display_name}` will stop: {path} is a {is_there}, a {comes} in the wheel."),
        why=(
            Fact(f"is a {is_there} there", FileRef(path, origin), loader_rule="PY-11"),
            Fact("pip unlinks a file that is in the way and makes directories that are missing, nothing else",
                 wheel_ref(wheel, obstacle.target.path, obstacle.target.member), loader_rule="PY-11"),
        ),
        remedies=(Remedy(f"see what brought {path}, and remove that first"),),
        key=path,
        wheel=wheel_origin(wheel),
        conda_package=record.origin if record is not None else None,
        subject=wheel_ref(wheel, obstacle.target.path, obstacle.target.member),
        object=FileRef(path, origin),
    )  # fmt: skip


def severity_of(prefix: Prefix, clobber: Clobber, shared: Collection[str] = ()) -> Severity:
    """A note for equal content, texts, and commands of the same project; a warning for what programs load or run.

    ``shared``: paths that another finding warns of; with them go the commands of the two projects.
    """
    if any(item.path not in shared for item in clobber.of("library", "python", "data")):
        return Severity.WARNING
    if not shared and clobber.of("command") and not is_twin(prefix, clobber.wheel, clobber.record):
        return Severity.WARNING
    return Severity.NOTE


def _finding(prefix: Prefix, clobber: Clobber, shared: Collection[str]) -> Finding:
    wheel, record = clobber.wheel, clobber.record
    first = (*clobber.different, *clobber.of("same"))[0]
    return Finding(
        rule=RULE.id,
        severity=severity_of(prefix, clobber, shared),
        confidence=Confidence.HIGH,
        what=sentence(_what(clobber)),
        why=(*_file_facts(clobber), *_consequences(prefix, clobber)),
        remedies=tuple(_remedies(prefix, clobber)),
        key=record.name,
        wheel=wheel_origin(wheel),
        conda_package=record.origin,
        subject=wheel_ref(wheel, first.path, first.target.member),
        object=FileRef(first.path, record.origin),
    )


def _what(clobber: Clobber) -> str:
    wheel, record = clobber.wheel, clobber.record
    name, owner = f"{wheel.display_name} {wheel.version}", f"conda {record.name} {record.version}"
    changed = clobber.different
    if not changed:
        count = len(clobber.of("same"))
        return f"pip will overwrite {_files(count)} of {owner} with equal content from {name}."
    libraries = len(clobber.of("library"))
    kinds = ""
    if libraries:
        are = "it is" if len(changed) == 1 else "all of them are" if libraries == len(changed) else f"{libraries} are"
        kinds = f" ({are} native)"
    return f"`pip install {wheel.display_name}` will overwrite {_files(len(changed))} of {owner}{kinds}."


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _file_facts(clobber: Clobber) -> Iterator[Fact]:
    for item in clobber.of("library", "command", "python", "data"):
        yield Fact(_how(item), wheel_ref(clobber.wheel, item.path, item.target.member), loader_rule="PY-11")
    for kind, word in (("text", "texts and headers with other content"), ("same", "files with equal content")):
        items = clobber.of(kind)  # type: ignore[arg-type]
        if items:
            yield Fact(f"{len(items)} {word}: {listed(i.path for i in items)}", loader_rule="PY-11")


def _how(item: Overwrite) -> str:
    source = {"generated": "a wrapper that pip makes", "script": "a script of the wheel"}.get(item.target.kind)
    was = "a link of" if item.link else "the file of"
    return f"{source or 'a file of the wheel'} takes the place of {was} conda {item.owners[0].name}"


def _consequences(prefix: Prefix, clobber: Clobber) -> Iterator[Fact]:
    record = clobber.record
    yield Fact(
        f"pip writes it without asking conda; the record of {record.name} {record.version} goes on claiming it",
        FileRef((*clobber.different, *clobber.of("same"))[0].path, record.origin),
        loader_rule="PY-13",
    )
    libraries = clobber.of("library")
    if libraries:
        names = [r.name for r in needers(prefix, record)]
        if names:
            yield Fact(
                f"conda packages that depend on {record.name} will load it: {listed(names)}", loader_rule="PY-12"
            )


def _remedies(prefix: Prefix, clobber: Clobber) -> Sequence[Remedy]:
    wheel, record = clobber.wheel, clobber.record
    twin = twin_of(prefix, wheel.name)
    out = []
    if is_twin(prefix, wheel, record):
        command = conda_install(prefix.display, f"{record.name}={public(wheel.version)}")
        out.append(
            Remedy(f"conda {record.name} {record.version} is installed; ask conda for the version you need", command)
        )
    elif twin is not None and twin.record is None:
        out.append(Remedy("take the conda package of the project", conda_install(prefix.display, twin.conda)))
    restore = conda_install(prefix.display, "--force-reinstall", record.name)
    return (*out, Remedy("if it has happened: remove the wheel, then have conda link its files again", restore))
