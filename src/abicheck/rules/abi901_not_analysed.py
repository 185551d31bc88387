"""A file could not be read, so part of the answer is unknown.

## What happens

A file of the wheel, of a conda package or of an installed distribution that takes part in loading could not be
analysed: it is cut off, its tables contradict each other, it cannot be opened, or only a record of it is here. What it
would have done is unknown. The check ends with status 4, "incomplete", unless something else failed; it never passes by
default.

## Why: the loader rule

The loader reads the same tables: without them nobody can say which libraries a file asks for, what it defines and what
it binds to (GEN-4). A prediction that left it out would answer for a process that is not the one you will have.

## Example

```
1 of 3 libraries could not be read, so this result is incomplete · exit 4
  grid-2.0-cp312-cp312-linux_x86_64.whl!grid/_ext.so   ends after 512 of 90 112 bytes
```

## What to do

1. Fetch the wheel again, or reinstall the package that owns the file.
2. If the file does not matter to you, accept the rest: `--allow-incomplete`.

## When this is wrong

- The file has the suffix of a library and is none that anybody loads: a template, a test's bad input. Nothing that is
  installed and unreadable is left out silently, so such files are listed too.

## References

The exit statuses in `abicheck check --help`. The files stand in the report's `skipped` list, not among its findings:
they say what is unknown, not what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.model import Finding
from abicheck.rules import Rule
from abicheck.rules.scene import Scene

RULE = Rule(
    id="ABI901",
    name="not-analysed",
    severity="incomplete",
    classes=("HOST_UNKNOWN",),
    platforms=("linux", "osx", "win"),
    summary="A file could not be read; what it would do is unknown",
    since="0.1",
)


def check(_scene: Scene) -> Iterator[Finding]:
    """Nothing: what was not analysed is the report's ``skipped`` list (``Scene.skipped``), which decides status 4."""
    return iter(())
