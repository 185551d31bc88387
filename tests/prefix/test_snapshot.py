"""A snapshot is the prefix: everything asked of either gives the same answer. Damaged files give clear errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import ELF

from abicheck.binary.recall import Recorder, digest, recall
from abicheck.binary.source import ByteSource, BytesSource
from abicheck.errors import InputError
from abicheck.prefix import Prefix, SnapshotPrefix, open_prefix, write_snapshot
from abicheck.prefix.files import NotKept
from abicheck.prefix.snapshotting import _merged


def examine(source: ByteSource) -> None:
    """Stands for the readers: some tables near the start and the end, and a question about the whole."""
    source.pread(0, 64)
    source.pread(5000, 100)
    source.pread(source.size - 10, 100)
    recall(source, "zeros", lambda: source.pread(0, source.size).count(0), int)


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env")
    made.python()
    made.record(
        "liba", "1", {"lib/liba.so.1": ELF + os.urandom(20_000), "share/data.bin": os.urandom(3000)}, depends=["x"]
    )
    made.conda_distribution("numpy", "1.26", {"numpy/__init__.py": b'"""Long documentation."""\nimport os\n'})
    made.pip_distribution("toy", "2", {"toy/__init__.py": b"import toy._x\n", "toy/_x.so": ELF * 100})
    (made.root / "lib/liba.so").symlink_to("liba.so.1")
    (made.root / "lib64").symlink_to("lib")
    os.link(made.root / "lib/liba.so.1", made.root / "lib/libb.so")
    made.write("etc/conda/activate.d/a.sh", b"export A=1\n")
    made.write("conda-meta/state", b'{"env_vars": {"B": "2"}}')
    made.write("lib/pointer.so", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    made.write("lib/empty.so")
    made.record("big", "1", {"lib/libbig.so": b"x"})
    (made.root / "lib/libbig.so").unlink()
    made.write("lib/liba.so.9", b"")
    return made


def pair(maker: Maker) -> tuple[Prefix, SnapshotPrefix]:
    prefix = open_prefix(str(maker.root))
    path = str(maker.root.parent / "env.snap")
    write_snapshot(prefix, path, examine=examine, host=b"host")
    found = open_prefix(path)
    assert isinstance(found, SnapshotPrefix)
    return prefix, found


def test_everything_asked_gives_the_same_answer(maker: Maker) -> None:
    prefix, found = pair(maker)
    for name in ("root", "display", "subdir", "interpreter", "layout", "recorded_paths", "activation", "environment",
                 "problems"):  # fmt: skip
        assert getattr(found, name) == getattr(prefix, name), name
    for a, b in zip(prefix.records, found.records, strict=True):
        assert (a.name, a.depends, a.files, a.origin, a.source) == (b.name, b.depends, b.files, b.origin, b.source)
        assert {p: (i.expected, i.size) for p, i in a.paths.items()} == {
            p: (i.expected, i.size) for p, i in b.paths.items()
        }
    key = [(d.name, d.path, d.installer, d.by_conda, d.files, d.scripts, d.requires_dist) for d in prefix.distributions]
    assert key == [
        (d.name, d.path, d.installer, d.by_conda, d.files, d.scripts, d.requires_dist) for d in found.distributions
    ]
    damage = [(d.path, d.kind, d.size, d.expected) for d in prefix.damage]
    assert damage == [(d.path, d.kind, d.size, d.expected) for d in found.damage]
    for path in (
        "lib/liba.so",
        "lib64/liba.so.1",
        "lib/pointer.so",
        "lib/empty.so",
        "lib/none",
        "share/data.bin",
        "lib",
    ):
        assert found.content_state(path) == prefix.content_state(path), path
        assert found.resolve(path).path == prefix.resolve(path).path
    assert found.origin("lib/liba.so.1") == prefix.origin("lib/liba.so.1")
    assert (found.kind, found.host, found.left_out) == ("snapshot", b"host", ())


def test_listings_are_the_same_in_every_folder(maker: Maker) -> None:
    prefix, found = pair(maker)
    todo = [""]
    while todo:
        folder = todo.pop()
        ours, theirs = prefix.files.listing(folder), found.files.listing(folder)
        assert ours is not None
        assert theirs is not None
        shape = {n: (e.kind, e.target, e.size) for n, e in ours.items()}
        assert shape == {n: (e.kind, e.target, e.size) for n, e in theirs.items()}
        todo += [f"{folder}/{n}".lstrip("/") for n, e in ours.items() if e.kind == "dir"]
    assert found.files.listing("nowhere") is None


def test_hard_links_stay_one_file(maker: Maker) -> None:
    _, found = pair(maker)
    listing = found.files.listing("lib")
    assert listing is not None
    assert listing["liba.so.1"].ident == listing["libb.so"].ident
    assert listing["liba.so.1"].ident != listing["empty.so"].ident


def test_libraries_keep_their_windows_and_answers_and_nothing_else(maker: Maker) -> None:
    prefix, found = pair(maker)
    node, real = found.resolve("lib/liba.so").node, prefix.resolve("lib/liba.so").node
    assert node is not None
    assert node.source is not None
    assert real is not None
    assert real.source is not None
    source, whole = node.source(), real.source()
    assert source.size == whole.size
    for offset, length in ((0, 4096), (100, 50), (5000, 100), (source.size - 10, 50), (source.size, 5)):
        assert source.pread(offset, length) == whole.pread(offset, length)
    with pytest.raises(NotKept):
        source.pread(10_000, 10)
    assert digest(source) == digest(whole)
    assert recall(source, "zeros", lambda: -1, int) == whole.pread(0, whole.size).count(0)


def test_sources_are_kept_without_documentation_and_data_are_not_kept(maker: Maker) -> None:
    _, found = pair(maker)
    assert found.read(f"{maker.site}/numpy/__init__.py") == b'""\nimport os\n'
    assert found.read("share/data.bin") is None


def test_pure_packages_that_do_not_fit_are_named(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abicheck.prefix.snapshotting.TARGET", 0)
    _, found = pair(maker)
    assert found.left_out == ("numpy",), "a package with native code is kept whatever it costs"
    assert found.read(f"{maker.site}/toy/__init__.py") == b"import toy._x\n"
    assert found.read(f"{maker.site}/numpy/__init__.py") is None
    assert found.content_state(f"{maker.site}/numpy/__init__.py") == "present"


def test_nothing_is_written_into_the_prefix(maker: Maker) -> None:
    before = sorted((str(p), p.lstat().st_mtime_ns) for p in maker.root.rglob("*"))
    pair(maker)
    assert sorted((str(p), p.lstat().st_mtime_ns) for p in maker.root.rglob("*")) == before


def test_damaged_snapshots(maker: Maker, tmp_path: Path) -> None:
    pair(maker)
    whole = (maker.root.parent / "env.snap").read_bytes()
    path = tmp_path / "x.snap"
    for keep in (16, 17, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError):
            open_prefix(str(path))
    at = len(whole) - 60
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(InputError):
        open_prefix(str(path))


@pytest.mark.parametrize("at", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_damage_in_the_middle_is_no_answer(maker: Maker, tmp_path: Path, at: float) -> None:
    """Every part has a checksum: a picture that lost a file must not pass for an environment without it."""
    pair(maker)
    whole = (maker.root.parent / "env.snap").read_bytes()
    path = tmp_path / "x.snap"
    where = int(len(whole) * at)
    path.write_bytes(whole[:where] + bytes([whole[where] ^ 255]) + whole[where + 1 :])
    with pytest.raises(InputError, match="is damaged"):
        prefix = open_prefix(str(path))
        for record in prefix.records:
            assert record.paths is not None
        for name, _ in prefix.owned():
            prefix.read(name)
            prefix.content_state(name)
        assert prefix.distributions is not None
        for folder in list(prefix.files.listing("") or ()):
            prefix.files.listing(folder)


def test_a_place_outside_the_file_is_not_read(maker: Maker, tmp_path: Path) -> None:
    pair(maker)
    whole = (maker.root.parent / "env.snap").read_bytes()
    path = tmp_path / "x.snap"
    for field in (-32, -24):  # where the index is, how long it is
        path.write_bytes(whole[:field] + (1 << 62).to_bytes(8, "little") + whole[len(whole) + field + 8 :])
        with pytest.raises(InputError, match="outside the file"):
            open_prefix(str(path))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a system whose file names may be any bytes")
def test_names_that_are_no_utf8(maker: Maker) -> None:
    site = os.fsencode(maker.root / maker.site)
    os.mkdir(site + b"/caf\xe9")
    for name in (b"/caf\xe9/\xff.py", b"/caf\xe9/\xf0\x9f.dist-info"):
        with open(site + name, "wb") as file:
            file.write(b"x = 1\n")
    os.symlink(b"\xff.py", site + b"/caf\xe9/link.py")
    folder, snap = pair(maker)
    place = f"{maker.site}/caf\udce9"
    assert set(snap.files.listing(place) or ()) == {"\udcff.py", "\udcf0\udc9f.dist-info", "link.py"}
    assert snap.read(f"{place}/link.py") == snap.read(f"{place}/\udcff.py") == b"x = 1\n"
    assert folder.read(f"{place}/link.py") is not None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a system whose paths may be long")
def test_folders_as_deep_as_paths_are_long(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(maker.root / maker.site)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    _, snap = pair(maker)
    for _ in range(1200):  # what clears temporary folders away goes no deeper than Python's stack
        os.chdir("..")
        os.rmdir("d")
    assert set(snap.files.listing("/".join([maker.site, *["d"] * 1199])) or ()) == {"d"}


def test_place_that_cannot_be_written(maker: Maker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_snapshot(open_prefix(str(maker.root)), str(tmp_path / "no" / "x.snap"), examine=examine)


@pytest.mark.parametrize(
    ("windows", "size", "merged"),
    [
        ([(0, 10), (5, 10)], 100, ((0, 15),)),
        ([(50, 10), (0, 10)], 1000, ((0, 60),)),
        ([(0, 10), (500, 10)], 1000, ((0, 10), (500, 10))),
        ([(0, 0), (990, 50), (2000, 5)], 1000, ((990, 10),)),
    ],
)
def test_windows_are_joined(windows: list[tuple[int, int]], size: int, merged: tuple[tuple[int, int], ...]) -> None:
    assert _merged(windows, size) == merged


def test_recorder_takes_down_windows_but_not_those_of_questions() -> None:
    recorder = Recorder(BytesSource("x", b"abc" * 100))
    recorder.pread(3, 4)
    assert recall(recorder, "length", lambda: len(recorder.pread(0, 300)), int) == 300
    assert recorder.windows == [(3, 4)]
    assert set(recorder.answers) == {"length"}
