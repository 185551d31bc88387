"""Second opinion: LIEF, a C++ reader that shares no code with pyelftools or binutils."""

from __future__ import annotations

from collections import Counter

from tests.binary.elf_peers import lief_facts, ours, system_libraries
from tests.binary.elf_samples import slice_of
from tests.requirements import need


def test_system_libraries() -> None:
    need("glibc", "lief")
    total: Counter[str] = Counter()
    for path in system_libraries():
        data = path.read_bytes()
        mine, theirs = ours(slice_of(data, str(path))), lief_facts(data)
        for what in ("soname", "needed", "rpath", "runpath", "exports"):
            assert getattr(mine, what) == getattr(theirs, what), f"{path}: {what}"
        # LIEF does not say which file a version is asked of.
        assert {(n, v, weak) for n, v, _, weak in mine.imports} == theirs.imports, f"{path}: imports"
        total.update(files=1, imports=len(mine.imports), exports=len(mine.exports))
    print(dict(total))
    assert total["files"] > 5 and total["imports"] > 500 and total["exports"] > 500
