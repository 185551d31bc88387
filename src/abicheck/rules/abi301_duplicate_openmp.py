"""Two OpenMP runtimes in one process.

## What happens

Two copies of LLVM's or Intel's OpenMP (libomp, libiomp5): whichever is initialised second ends the process with
"OMP: Error #15: Initializing libiomp5, but found libomp already initialized". Two copies of GNU's (libgomp), or one of
each kind, do not abort: each keeps its own threads, so the processor is used twice over, and a fork after a parallel
region can hang in the child.

## Why: the loader rule

A repaired wheel brings its copy under a changed name (libomp-<hash>, CL-4; /DLC/..., MAC-26; a 32-digit hash, WIN-23),
or linked into one of its own files, so the loader does not take the copy that is there already: both are mapped. LLVM's
runtime leaves a mark in the process when it starts (`__KMP_REGISTERED_LIB_<pid>`) and refuses to start beside another
(RT-1). One file under two names, conda's link `libgomp.so.1` that leads to libomp, and one hashed copy that several
wheels share are one runtime and no finding.

## Example

```
sklearn/.dylibs/libomp.dylib   in the wheel, id /DLC/sklearn/.dylibs/libomp.dylib
lib/libomp.dylib               from conda llvm-openmp, needed by conda's torch
```

## What to do

1. Take the wheel's project from conda, where all use one runtime.
2. Keep the two projects in separate processes.
3. Do **not** set KMP_DUPLICATE_LIB_OK: it only removes the check. Intel's own message says that it may crash or
   silently give wrong results.

## When this is wrong

- One of the two is never initialised: no code of that side enters a parallel region or calls an omp_* function.

## References

llvm/llvm-project openmp/runtime/src/kmp_runtime.cpp; joblib/threadpoolctl multiple_openmp.md; pytorch/pytorch#78490;
dmlc/xgboost#1715; lightgbm-org/LightGBM#4666.
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.model import Finding
from abicheck.rules import Rule
from abicheck.rules.copies import pairs
from abicheck.rules.duplicates import finding
from abicheck.rules.hidden_copies import hidden_pairs
from abicheck.rules.scene import Scene

RULE = Rule(
    id="ABI301",
    name="duplicate-openmp",
    severity="by pair and OS",
    classes=("DUP_RUNTIME", "PROCESS_ABORT"),
    platforms=("linux", "osx", "win"),
    summary="Two OpenMP runtimes in one process",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    for pair in (*pairs(scene), *hidden_pairs(scene)):
        if pair.mine.what.family == "openmp":
            yield from finding(scene, RULE.id, pair)
