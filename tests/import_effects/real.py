"""What the real interpreter loads when it imports, beside what was derived. Not a test: used by one, and by hand.

``python -m tests.import_effects.real PREFIX MODULE [MODULE ...]`` prints the table, one fresh process per module.
"""

from __future__ import annotations

import ast
import os
import posixpath
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from abicheck.import_effects import Effect, ImportContext, Memory, new_session
from abicheck.overlay import View
from abicheck.prefix import open_prefix
from abicheck.trees import DiskTree

# Runs in the prefix's python. It must import nothing itself: what it imports would not be seen.
PROBE = """
import sys
seen = []
def hook(event, args):
    if event == "import" and args[1] is not None:
        seen.append(("extension", args[0], args[1]))
    elif event == "ctypes.dlopen" and args[0] is not None:
        seen.append(("dlopen", "", str(args[0])))
sys.addaudithook(hook)
problem = ""
for name in sys.argv[1:]:
    try:
        __import__(name)
    except BaseException as e:
        problem = f"{name}: {e!r}"
        break
import os
os.write(1, ("\\n@@" + repr((problem, seen)) + "\\n").encode())
os._exit(0)
"""


@dataclass(frozen=True)
class Loads:
    """Files of extension modules and names given to ctypes, each once, in the order of their first load."""

    extensions: tuple[str, ...]
    opened: tuple[str, ...]
    problem: str = ""


@dataclass
class Row:
    """One import, real against derived. ``wrong``: certain, did not happen; ``disordered``: in another order."""

    module: str
    real: int
    certain: int
    predicted: int
    possible: int
    wrong: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    problem: str = ""

    def __str__(self) -> str:
        return (
            f"{self.module}: {self.real} extension loads, {self.certain} of them certain, {self.predicted} predicted, "
            f"{self.possible} possible that did not happen, {len(self.wrong)} wrongly certain, "
            f"{len(self.disordered)} out of order"
        )


def context_of(prefix: Path, memory: Memory | None = None) -> ImportContext:
    opened = open_prefix(str(prefix))
    layout, interpreter = opened.layout, opened.interpreter
    assert layout is not None and interpreter is not None
    root = opened.root
    return ImportContext(
        View(root, DiskTree(), lambda _: None),
        opened.subdir,
        interpreter.minor,
        (posixpath.join(root, layout.purelib),),
        posixpath.join(root, layout.stdlib),
        posixpath.join(root, layout.dynload),
        interpreter.extension_suffixes,
        memory=memory or Memory(),
    )


def real_loads(prefix: Path, modules: Sequence[str]) -> Loads:
    """Import ``modules`` in one process of the prefix's python, without the caller's environment."""
    kept = {
        k: v for k, v in os.environ.items() if k in ("HOME", "LANG", "TMPDIR", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    }
    command = [str(prefix / "bin" / "python"), "-I", "-c", PROBE, *modules]
    done = subprocess.run(command, env=kept, cwd="/", capture_output=True, text=True, timeout=300, check=False)
    line = next((x for x in done.stdout.splitlines() if x.startswith("@@")), None)
    if line is None:
        return Loads((), (), f"the process died with {done.returncode}: {done.stderr[-300:]}")
    problem, seen = ast.literal_eval(line[2:])
    extensions = dict.fromkeys(os.path.normpath(path) for kind, _, path in seen if kind == "extension")
    opened = dict.fromkeys(path for kind, _, path in seen if kind == "dlopen")
    return Loads(tuple(extensions), tuple(opened), problem)


def compare(module: str, real: Loads, effects: Sequence[Effect]) -> Row:
    """The loads of extension modules that really happened against the derived ones.

    An effect that is certain ``by_now`` may have happened earlier: it must have happened, its place is not compared.
    """
    derived = [e for e in effects if e.kind == "extension"]
    happened = {os.path.realpath(p): i for i, p in enumerate(real.extensions)}
    certain = [(os.path.realpath(e.path), e) for e in derived if e.certain]
    everything = {os.path.realpath(e.path) for e in derived}
    row = Row(
        module,
        len(happened),
        len({p for p, _ in certain} & happened.keys()),
        len(everything & happened.keys()),
        len(everything - happened.keys()),
        problem=real.problem,
    )
    row.wrong = [p for p, _ in certain if p not in happened]
    row.missed = [p for p in happened if p not in everything]
    last = -1
    for path, effect in certain:
        place = happened.get(path)
        if place is None or effect.by_now:
            continue
        if place < last:
            row.disordered.append(path)
        last = max(last, place)
    return row


def judge(prefix: Path, modules: Sequence[str], memory: Memory) -> Row:
    """Import ``modules`` one after the other in one process, really and derived."""
    session = new_session(context_of(prefix, memory))
    effects = [effect for name in modules for effect in session.imports(name)]
    return compare(", ".join(modules), real_loads(prefix, modules), effects)


def main(arguments: Sequence[str]) -> int:
    prefix, *modules = arguments
    memory = Memory()
    rows = [judge(Path(prefix), [name], memory) for name in modules]
    for row in rows:
        print(row, row.problem)
        for what in ("wrong", "disordered", "missed"):
            for path in getattr(row, what):
                print(f"    {what}: {path}")
    real, predicted = sum(r.real for r in rows), sum(r.predicted for r in rows)
    print(f"{predicted} of {real} extension loads predicted ({predicted / max(1, real):.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
