"""Wheels as they should be: names, tags, natives by content, sources by random access."""

from __future__ import annotations

import hashlib
import random
import zipfile
from pathlib import Path

import pytest
from tests.wheel.making import ELF, make_wheel

from abicheck.wheel import read_wheel
from abicheck.wheel.archive import Archive
from abicheck.wheel.streams import DeflatedSource


def test_fields(tmp_path: Path) -> None:
    path = make_wheel(
        tmp_path,
        "Toy_Box",
        "1.2.post1",
        {"toy/__init__.py": b"", "toy/_x.so": ELF},
        requires=["numpy (>=1.2)", 'colorama ; sys_platform == "win32"'],
        extras=["fast"],
        entry_points="[console_scripts]\ntoy = toy.cli:main\n[gui_scripts]\ntoyw=toy:gui\n[other]\nx = y\n",
    )
    wheel = read_wheel(str(path))
    assert (wheel.name, wheel.display_name, wheel.version) == ("toy-box", "Toy_Box", "1.2.post1")
    assert {str(t) for t in wheel.tags} == {str(t) for t in wheel.wheel_tags} == {"cp311-cp311-linux_x86_64"}
    assert wheel.requires_dist == ("numpy (>=1.2)", 'colorama ; sys_platform == "win32"')
    assert wheel.provides_extra == ("fast",)
    assert wheel.console_scripts == {"toy": "toy.cli:main"}
    assert wheel.gui_scripts == {"toyw": "toy:gui"}
    assert wheel.generator == "toys"
    assert not wheel.root_is_purelib
    assert wheel.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert wheel.record_hashes["toy/_x.so"] == hashlib.sha256(ELF).hexdigest()
    assert wheel.problems == ()


def test_natives_are_found_by_content_not_by_suffix(tmp_path: Path) -> None:
    files = {
        "toy/data.txt": ELF,
        "toy/fake.so": b"not a library",
        "toy/empty.so": b"",
        "toy/lib.so.1.2": ELF,
        "toy-1.0.data/data/lib/noextension": ELF,
    }
    wheel = read_wheel(str(make_wheel(tmp_path, files=files)))
    assert {m.name for m in wheel.natives} == {"toy/data.txt", "toy/lib.so.1.2", "toy-1.0.data/data/lib/noextension"}


def _payload(size: int) -> bytes:
    rng = random.Random(7)
    out = bytearray()
    while len(out) < size:
        out += rng.randbytes(1000) + bytes(rng.randrange(3000))
    return ELF + bytes(out[: size - len(ELF)])


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_sources_give_the_same_bytes_by_every_method(tmp_path: Path, compression: int) -> None:
    data = _payload(3_000_000)
    wheel = read_wheel(str(make_wheel(tmp_path, files={"toy/_x.so": data}, compression=compression)))
    (member,) = wheel.natives
    source = wheel.source(member)
    assert source.size == len(data)
    for offset, length in ((0, 64), (2_999_990, 100), (1_500_000, 10), (5, 2_000_000), (3_000_000, 1), (9_999_999, 1)):
        assert source.pread(offset, length) == data[offset : offset + length]


def test_large_members_are_read_at_random_without_holding_them(tmp_path: Path) -> None:
    data = _payload(30 << 20)
    archive = Archive(str(make_wheel(tmp_path, files={"toy/_x.so": data})))
    item = archive.item("toy/_x.so")
    assert item is not None
    source = DeflatedSource("x", archive.file, archive._data_start(item), item)
    rng = random.Random(3)
    for _ in range(60):
        offset, length = rng.randrange(len(data)), rng.choice([1, 4096, 3 << 20])
        assert source.pread(offset, length) == data[offset : offset + length]
    assert len(source._points) >= 6, "checkpoints are kept"
    assert sum(len(b) for b in source._blocks.values()) <= 12 << 20, "a bounded window is kept"


def test_extras_make_another_request_of_the_same_wheel(tmp_path: Path) -> None:
    wheel = read_wheel(str(make_wheel(tmp_path)))
    assert wheel.with_extras(frozenset({"a"})).requested_extras == {"a"}
    assert wheel.requested_extras == frozenset()
