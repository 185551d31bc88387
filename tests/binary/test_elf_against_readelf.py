"""Second opinion: readelf of binutils, the tool a person would use."""

from __future__ import annotations

from collections import Counter

from tests.binary.elf_peers import have_readelf, ours, readelf, system_libraries
from tests.binary.elf_samples import slice_of
from tests.requirements import need, not_run


def test_system_libraries() -> None:
    need("glibc")
    if not have_readelf():
        not_run("needs readelf: apt-get install binutils")
    total: Counter[str] = Counter()
    for path in system_libraries():
        mine, theirs = ours(slice_of(path, str(path))), readelf(path)
        for what in ("soname", "needed", "rpath", "runpath"):
            assert getattr(mine, what) == getattr(theirs, what), f"{path}: {what}"
        assert {(n, v, weak) for n, v, _, weak in mine.imports} == theirs.imports, f"{path}: imports"
        # readelf writes no version after a symbol that is named like it (the version nodes themselves).
        exports = {(n, None if n == v else v, n == v or d, b, t) for n, v, d, b, t in mine.exports}
        assert exports == theirs.exports, f"{path}: exports"
        total.update(files=1, imports=len(mine.imports), exports=len(mine.exports))
    print(dict(total))
    assert total["files"] > 5 and total["imports"] > 500 and total["exports"] > 500
