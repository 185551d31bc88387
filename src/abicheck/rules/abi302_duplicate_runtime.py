"""Two copies of a runtime with process-wide state.

## What happens

It depends on the runtime, and the table behind this rule says what is known of each pair: two Qts of which one is told
to load the other's plugins abort when a window is opened; two HDF5s whose calls cross abort or write damaged files; two
copies that stay apart cost memory and threads and nothing else. Most pairs are harmless and are notes.

## Why: the loader rule

Copies under different names are both mapped (ELF-1 to ELF-5, MAC-1 to MAC-3, WIN-1, WIN-2). Whether they stay apart is
a question of scope: on Linux a copy opened locally is invisible to others unless something put one of them into the
global scope (ELF-20, CL-5) or they share unique symbols (ELF-30); on macOS weak definitions are merged (MAC-18); on
Windows imports name their DLL and do not cross (WIN-16). The simulation says whether any reference really crosses.

## Example

```
cv2/qt/plugins/platforms/libqxcb.so   linked to the wheel's own Qt; cv2 sets QT_QPA_PLATFORM_PLUGIN_PATH to it
lib/libQt5Core.so.5                   conda's Qt, asked for a window, loads that plugin and aborts
```

## What to do

1. Take the wheel's project from conda, where all share one copy.
2. Keep the two projects in separate processes.
3. For OpenCV without windows: the headless wheel has no Qt.

## When this is wrong

- One of the two is never used.

## References

The table `knowledge/runtimes.toml`, where each row has its source.
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
    id="ABI302",
    name="duplicate-runtime",
    severity="by family",
    classes=("DUP_RUNTIME", "DUP_LIB"),
    platforms=("linux", "osx", "win"),
    summary="Two copies of a runtime with process-wide state",
    since="0.1",
)


def check(scene: Scene) -> Iterator[Finding]:
    for pair in (*pairs(scene), *hidden_pairs(scene)):
        if pair.mine.what.family not in ("openmp", "python"):
            yield from finding(scene, RULE.id, pair)
