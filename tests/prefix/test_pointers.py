"""Git LFS pointers in the place of libraries: what they stand for is unknown, and not broken."""

from __future__ import annotations

from pathlib import Path

from tests.prefix.making import Maker

from abicheck.host import NOTHING
from abicheck.prefix import open_prefix
from abicheck.staging import view_before

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def test_a_pointer_is_recorded_and_unknown(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "env")
    maker.python()
    large = b"x" * 2000
    files = {"lib/liba.so.1": large, "lib/libb.so.1": large, "lib/libc.so.1": b"x", "share/notes.txt": b"x"}
    maker.record("libs", files=files)
    maker.write("lib/liba.so.1", POINTER)
    maker.write("share/notes.txt", POINTER)
    maker.record("whole", files={"lib/libd.so.1": POINTER})
    (maker.root / "lib/libb.so.1").unlink()
    prefix = open_prefix(str(maker.root))
    assert set(prefix.recorded_paths) == {"lib/liba.so.1", "lib/libb.so.1"}
    view = view_before(prefix, NOTHING)
    status = {
        n: view.lookup(f"{prefix.root}/lib/{n}").status for n in ("liba.so.1", "libb.so.1", "libc.so.1", "libd.so.1")
    }
    assert status == {"liba.so.1": "unknown", "libb.so.1": "unknown", "libc.so.1": "file", "libd.so.1": "file"}


def test_a_package_without_modules_is_not_what_pip_replaced(tmp_path: Path) -> None:
    """The package that only depends on others has their name; the record of the one with the files may be gone."""
    maker = Maker(tmp_path / "env")
    maker.python()
    maker.record("flow", "2.10", {"share/flow/about": b""})
    maker.record("grid", "1.0", {"lib/python3.12/site-packages/grid/__init__.py": b""})
    for name in ("flow", "grid"):
        maker.pip_distribution(name, "2.10", {f"{name}/__init__.py": b""})
    prefix = open_prefix(str(maker.root))
    assert [r.name for r in prefix.records if prefix.is_hollowed(r)] == ["grid"]
