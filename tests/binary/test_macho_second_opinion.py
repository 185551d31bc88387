"""Our Mach-O reader against LIEF, LLVM and macholib on every slice of a fixed set of real wheels.

``macho_wheels.json`` names the wheels and every accepted difference with its reason; anything else fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.download import download
from fixtures.work import default_work
from tests.requirements import need

from abicheck.binary import macho
from abicheck.binary.source import BytesSource

pytestmark = [pytest.mark.network, pytest.mark.slow]

PLAN = json.loads((Path(__file__).parent / "macho_wheels.json").read_text("utf-8"))
LARGEST = 80 << 20  # LIEF needs many times a file's size in memory
SPECIAL = {0: "this-image", -1: "main-executable", -2: "flat-namespace", -3: "weak"}
counted: Counter[str] = Counter()


def _wheel(row: dict[str, str]) -> Path:
    options = ("--platform", row["platform"], "--python-version", row["python"])
    return download(default_work() / "wheels", row["requirement"], *options)


def _members(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel) as z:
        for info in z.infolist():
            with z.open(info) as f:
                head = f.read(64)
            if macho.claims(head) and info.file_size <= LARGEST:
                yield info.filename, z.read(info)


def _slices(data: bytes, name: str) -> list[macho.MachoSlice]:
    return [s for s in macho.read(BytesSource(name, data)).slices if isinstance(s, macho.MachoSlice)]


class Ledger:
    """Collects differences of one wheel and forgives the listed ones."""

    def __init__(self, wheel: str) -> None:
        self.wheel, self.found = wheel, []

    def equal(self, what: str, member: str, arch: str, ours: Any, theirs: Any) -> None:
        key = {"wheel": self.wheel, "member": member, "arch": arch, "what": what}
        known = any(all(row[k] == v for k, v in key.items()) and row["reason"] for row in PLAN["differences"])
        if ours != theirs and not known:
            only = (ours - theirs, theirs - ours) if isinstance(ours, set) else (ours, theirs)
            self.found.append(f"{member} ({arch}) {what}: ours {str(only[0])[:300]} theirs {str(only[1])[:300]}")

    def close(self) -> None:
        assert not self.found, "\n".join(self.found[:20])


@pytest.fixture(params=PLAN["wheels"], ids=lambda row: f"{row['requirement']}-{row['platform'].rpartition('_')[2]}")
def wheel(request: pytest.FixtureRequest) -> Path:
    need("network")
    return _wheel(request.param)


def test_against_lief(wheel: Path) -> None:
    need("lief")
    import lief

    ledger = Ledger(wheel.name)
    for member, data in _members(wheel):
        parsed = lief.MachO.parse(data)  # kept: iterating a temporary result crashes LIEF 1.0
        assert parsed is not None, member
        for ours, theirs in zip(_slices(data, member), list(parsed), strict=True):
            _against_lief(ledger, member, ours, theirs, lief)
            counted["lief"] += 1
    ledger.close()


def _against_lief(ledger: Ledger, member: str, s: macho.MachoSlice, theirs: Any, lief: Any) -> None:
    def equal(what: str, a: Any, b: Any) -> None:
        ledger.equal(what, member, s.arch, a, b)

    commands = [c for c in theirs.commands if isinstance(c, lief.MachO.DylibCommand)]
    is_id = [c.command == lief.MachO.LoadCommand.TYPE.ID_DYLIB for c in commands]
    equal("needs", [n.name for n in s.needs], [c.name for c, own in zip(commands, is_id, strict=True) if not own])
    equal("identity", s.identity, next((c.name for c, own in zip(commands, is_id, strict=True) if own), None))
    equal("rpath", list(s.rpath), [r.path for r in theirs.rpaths])
    equal("signed", s.signed, theirs.has_code_signature)
    weak = lief.MachO.DyldBindingInfo.CLASS.WEAK
    binds = {
        (b.symbol.name, -3, False)
        if isinstance(b, lief.MachO.DyldBindingInfo) and b.binding_class == weak
        else (b.symbol.name, b.library_ordinal, bool(b.weak_import))
        for b in theirs.bindings
    }
    equal("binds", {(b.name, b.ordinal, b.weak_import) for b in s.binds}, binds)
    exports = {
        (x.name, bool(int(x.export_info.flags) & 4), bool(int(x.export_info.flags) & 8))
        for x in theirs.symbols
        if x.has_export_info
    }
    rows = ((n, s.export(n)) for n in s.exported)
    equal("exports", {(n, e.weak, e.ordinal is not None) for n, e in rows if e is not None}, exports)
    counted["binds"] += len(binds)
    counted["exports"] += len(exports)


def _objdump(path: Path, arch: str, *options: str) -> list[str]:
    command = ["llvm-objdump-19", "--macho", "--arch", arch, "--no-leading-headers", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_against_llvm(wheel: Path, tmp_path: Path) -> None:
    need("llvm-objdump")
    ledger = Ledger(wheel.name)
    for member, data in _members(wheel):
        path = tmp_path / "slice"
        path.write_bytes(data)
        for s in _slices(data, member):
            _against_llvm(ledger, member, s, path)
            counted["llvm"] += 1
    ledger.close()


def _against_llvm(ledger: Ledger, member: str, s: macho.MachoSlice, path: Path) -> None:
    def equal(what: str, a: Any, b: Any) -> None:
        ledger.equal(f"llvm {what}", member, s.arch, a, b)

    used = [m[1] for line in _objdump(path, s.arch, "--dylibs-used") if (m := re.match(r"\s+(.+) \(compat", line))]
    own = [s.identity] if s.identity is not None else []
    equal("needs", own + [n.name for n in s.needs], used)
    equal("rpath", list(s.rpath), _objdump(path, s.arch, "--rpaths"))
    equal("exports", {_ours(s, n) for n in s.exported}, _exports(_objdump(path, s.arch, "--exports-trie")))
    chained = _objdump(path, s.arch, "--chained-fixups")
    if any("imports_count" in line for line in chained):
        equal("binds", [(b.name, b.ordinal, b.weak_import) for b in s.binds], _unique(_chained(chained)))
        return
    # LLVM names the library of an ordinal in words of its own and says nothing of weak imports in its lazy table.
    ours = {(b.kind, b.name, SPECIAL.get(b.ordinal), b.weak_import and b.kind == "bind") for b in s.binds}
    equal("binds", ours, _opcodes(_objdump(path, s.arch, "--bind", "--lazy-bind", "--weak-bind")))


def _ours(s: macho.MachoSlice, name: str) -> tuple[str, bool, bool]:
    e = s.export(name)
    assert e is not None
    return name, e.weak, e.ordinal is not None


def _exports(lines: list[str]) -> set[tuple[str, bool, bool]]:
    out = set()
    for line in lines:
        m = re.match(r"(0x[0-9A-Fa-f]+|\[re-export\])\s+(\S+)(.*)", line)
        if m:
            out.add((m[2], "weak_def" in m[3], m[1] == "[re-export]"))
    return out


def _chained(lines: list[str]) -> list[tuple[str, int, bool]]:
    found = re.findall(
        r"lib_ordinal = (-?\d+) \(.*\)\n\s+weak_import = (\d)\n\s+name_offset = \d+ \((.*)\)", "\n".join(lines)
    )
    return [(name, int(ordinal), weak == "1") for ordinal, weak, name in found]


def _unique(rows: list[tuple[str, int, bool]]) -> list[tuple[str, int, bool]]:
    return list(dict.fromkeys(rows))


def _opcodes(lines: list[str]) -> set[tuple[str, str, str | None, bool]]:
    """(table, symbol, special library or None, weak import) of LLVM's three tables."""
    out = set()
    kind = ""
    for line in lines:
        if line.endswith(" table:"):
            kind = line.partition(" ")[0].lower()
        elif re.search(r"\s0x[0-9A-F]+\s", line):
            weak = line.endswith(" (weak_import)")
            row = line.removesuffix(" (weak_import)").split()
            library = "weak" if kind == "weak" else row[-2]
            out.add((kind, row[-1], library if library in SPECIAL.values() else None, weak))
    return out


def test_load_commands_against_macholib(wheel: Path, tmp_path: Path) -> None:
    from macholib.MachO import MachO

    ledger = Ledger(wheel.name)
    for member, data in _members(wheel):
        path = tmp_path / "slice"
        path.write_bytes(data)
        for s, theirs in zip(_slices(data, member), MachO(str(path)).headers, strict=True):
            rows = [
                (int(load.cmd), raw.split(b"\0", 1)[0].decode() if isinstance(raw, bytes) else "")
                for load, _, raw in theirs.commands
            ]
            needs = [name for cmd, name in rows if cmd & 0x7FFFFFFF in (0x0C, 0x18, 0x1F, 0x20, 0x23)]
            ledger.equal("macholib needs", member, s.arch, [n.name for n in s.needs], needs)
            ledger.equal("macholib rpath", member, s.arch, list(s.rpath), [n for c, n in rows if c == 0x8000001C])
            ledger.equal("macholib identity", member, s.arch, s.identity, next((n for c, n in rows if c == 0x0D), None))
            counted["macholib"] += 1
    ledger.close()


def test_enough_was_compared(capsys: pytest.CaptureFixture[str]) -> None:
    need("network")
    if not counted:
        pytest.skip("the comparisons ran in other processes or were not selected")
    with capsys.disabled():
        print(f"\nMach-O slices compared: {dict(counted)}")
    assert min(counted[peer] for peer in ("lief", "llvm", "macholib")) >= PLAN["least_slices"]
