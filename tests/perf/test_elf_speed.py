"""How fast ELF facts are read, as ratios to other readers in the same run (seconds mean nothing on shared machines).

Processor time is compared, not wall time. Bars: design/performance.md, "Bars a developer can be held to"; they are for
1000 libraries of 3 MB on average, so the ones here leave room for what a small file costs at least.
"""

from __future__ import annotations

import gc
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.requirements import need, not_run

from abicheck.binary.elf import ElfSlice, read
from abicheck.binary.source import DiskSource

pytestmark = pytest.mark.slow
FILES = 400


def libraries() -> list[Path]:
    """The machine's libraries, at most ``FILES``, by name."""
    need("glibc", "x86_64")
    folder = Path(f"/usr/lib/{platform.machine()}-linux-gnu")
    found = sorted({p.resolve() for p in folder.glob("*.so*")} if folder.is_dir() else ())
    chosen = [p for p in found if p.is_file() and p.read_bytes()[:6] == b"\x7fELF\x02\x01"][:FILES]
    if len(chosen) < 50:
        not_run(f"needs fifty system libraries in {folder}")
    return chosen


def best(job: Callable[[], object], rounds: int = 3) -> float:
    """Processor seconds of the best round, children included."""
    out = []
    for _ in range(rounds):
        gc.collect()
        before = os.times()
        job()
        after = os.times()
        out.append(sum(after[:4]) - sum(before[:4]))
    return min(out)


def scan(paths: list[Path]) -> list[ElfSlice]:
    """What a look over a whole prefix does: facts, export hashes, names of imports."""
    out = []
    for path in paths:
        with DiskSource(str(path)) as source:
            (s,) = read(source).slices
            assert isinstance(s, ElfSlice)
            s.gnu_hashes(), [u.name for u in s.symbols.undefined()]
            out.append(s)
    return out


def everything(paths: list[Path]) -> int:
    """All names of exports and imports, and all references."""
    return sum(sum(1 for _ in s.symbols.definitions()) + len(s.references) for s in scan(paths))


def test_against_nm() -> None:
    """One nm process for all files, its text split into words."""
    paths = libraries()
    if shutil.which("nm") is None:
        not_run("needs nm: apt-get install binutils")

    def nm() -> int:
        run = subprocess.run(["nm", "-D", "-p", *map(str, paths)], capture_output=True, check=False)
        return sum(len(line.split()) for line in run.stdout.decode("latin-1").splitlines())

    peer, lean, full = best(nm), best(lambda: scan(paths)), best(lambda: everything(paths))
    print(f"nm {peer:.3f} s, scan {lean:.3f} s ({lean / peer:.2f}), everything {full:.3f} s ({full / peer:.2f})")
    assert lean <= peer / 1.5
    assert full <= peer * 3


def test_against_lief() -> None:
    paths = libraries()
    need("lief")
    import lief

    lief.logging.disable()
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_notes = config.parse_overlay = False

    def peer_job() -> int:
        names = 0
        for path in paths:
            parsed = lief.ELF.parse(str(path), config)
            assert parsed is not None
            names += sum(len(s.name) > 0 for s in parsed.dynamic_symbols)
        return names

    peer, lean = best(peer_job, 2), best(lambda: scan(paths))
    print(f"LIEF {peer:.3f} s, scan {lean:.3f} s (1/{peer / lean:.1f})")
    assert lean <= peer / 4


def test_against_pyelftools() -> None:
    """auditwheel's way: an object for each symbol."""
    from elftools.elf.elffile import ELFFile

    paths = libraries()[:12]

    def peer_job() -> int:
        names = 0
        for path in paths:
            with path.open("rb") as f:
                for segment in ELFFile(f).iter_segments("PT_DYNAMIC"):
                    names += sum(len(s.name) > 0 for s in segment.iter_symbols())
        return names

    peer, full = best(peer_job, 1), best(lambda: everything(paths))
    print(f"pyelftools {peer:.3f} s, everything {full:.3f} s (1/{peer / full:.1f})")
    assert full <= peer / 5


class _Counting:
    """A source that counts the bytes it gives."""

    def __init__(self, path: Path) -> None:
        self._inner = DiskSource(str(path))
        self.name, self.size = self._inner.name, self._inner.size
        self.bytes = self.reads = 0

    def pread(self, offset: int, length: int) -> bytes:
        data = self._inner.pread(offset, length)
        self.bytes += len(data)
        self.reads += 1
        return data


def test_bytes_and_reads() -> None:
    """Large files are not read whole: at most their tables; and in few reads."""
    large = [p for p in libraries() if p.stat().st_size > 500_000]
    sources = [_Counting(p) for p in large]
    for source in sources:
        read(source)
        source._inner.close()
    share = sum(s.bytes for s in sources) / sum(s.size for s in sources)
    print(
        f"{len(large)} files, {share:.1%} of their bytes, {sum(s.reads for s in sources) / len(sources):.1f} reads each"
    )
    assert share < 0.25  # distribution libraries: many symbols, no debug data
    assert max(s.reads for s in sources) <= 40


def test_memory_of_many_facts() -> None:
    """Facts of hundreds of libraries fit in little memory, in a process of their own."""
    paths = libraries()
    script = (
        "import re, sys\n"
        "from abicheck.binary.reading import read_binary\n"
        "from abicheck.binary.source import DiskSource\n"
        "rss = lambda: int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "before = rss()\n"
        "kept = [read_binary(DiskSource(p)) for p in sys.argv[1:]]\n"
        "print(rss() - before)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    kilobytes = int(run.stdout)
    print(f"{len(paths)} files, {kilobytes / 1024:.0f} MB")
    assert kilobytes < 150 * 1024
