"""Conda packages as archives: what is in them, and archives that are made to hurt."""

from __future__ import annotations

import bz2
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from abicheck import conda_package
from abicheck.conda_package import packed_files
from abicheck.errors import InputError

LONG = "lib/" + "a" * 90 + "/" + "b" * 120 + "/libdeep.so"


def tar_of(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT, change: Callable[..., None] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if change:
            change(tar)
    return out.getvalue()


def conda(path: Path, pkg: bytes, info: bytes | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        z.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        stem = path.name.removesuffix(".conda")
        z.writestr(f"pkg-{stem}.tar.zst", zstandard.compress(pkg))
        z.writestr(f"info-{stem}.tar.zst", zstandard.compress(info or tar_of({"info/index.json": b"{}"})))
    return path


def old(path: Path, tar: bytes) -> Path:
    path.write_bytes(bz2.compress(tar))
    return path


def contents(path: Path) -> dict[str, bytes]:
    out = {}
    for packed in packed_files(str(path)):
        source = packed.open()
        assert source is not None and source.size == packed.size
        out[packed.name] = source.pread(0, packed.size)
        assert out[packed.name].startswith(packed.head)
    return out


FILES = {"lib/libz.so": b"\x7fELF" + bytes(3000), "empty": b"", LONG: b"x" * 512, "na\u00efve": b"y" * 513}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_both_forms_give_what_python_reads(tmp_path: Path, form: int) -> None:
    tar = tar_of(FILES, form)
    assert contents(conda(tmp_path / "a-1-0.conda", tar)) == {"info/index.json": b"{}", **FILES}
    assert contents(old(tmp_path / "a-1-0.tar.bz2", tar)) == FILES


def test_ustar_prefix(tmp_path: Path) -> None:
    files = {"p" * 100 + "/" + "q" * 50: b"1"}
    assert contents(old(tmp_path / "a-1-0.tar.bz2", tar_of(files, tarfile.USTAR_FORMAT))) == files


def test_large_files_do_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_package, "IN_MEMORY", 100)
    path = old(tmp_path / "a-1-0.tar.bz2", tar_of(FILES))
    assert contents(path) == FILES
    for packed in packed_files(str(path)):
        source = packed.open()
        assert source is not None
        assert source.pread(packed.size - 1, 9) == FILES[packed.name][-1:]
        assert source.pread(packed.size + 5, 9) == b""


def test_files_that_are_not_opened_are_passed_over(tmp_path: Path) -> None:
    assert [f.name for f in packed_files(str(old(tmp_path / "a-1-0.tar.bz2", tar_of(FILES))))] == list(FILES)


def test_links_and_folders_are_not_files(tmp_path: Path) -> None:
    def links(tar: tarfile.TarFile) -> None:
        for kind, name, target in (
            (tarfile.SYMTYPE, "lib/libz.so.1", "../../../etc/passwd"),
            (tarfile.LNKTYPE, "lib/libz.so.2", "lib/libz.so"),
            (tarfile.DIRTYPE, "lib/folder", ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)

    path = old(tmp_path / "a-1-0.tar.bz2", tar_of({"lib/libz.so": b"1"}, change=links))
    assert [f.name for f in packed_files(str(path))] == ["lib/libz.so"]


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        for packed in packed_files(str(path)):
            packed.open()
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "lib/../../evil", "lib\\evil", "new\nline"])
def test_hostile_names(tmp_path: Path, name: str) -> None:
    message = refused(old(tmp_path / "a-1-0.tar.bz2", tar_of({name: b"1"})))
    assert message.startswith("a-1-0.tar.bz2 has a file whose name no package may have")


def test_cut_off_anywhere(tmp_path: Path) -> None:
    tar = tar_of({"a": os.urandom(3000), "b": os.urandom(2000)})
    for cut in (100, 511, 512, 2000, 3584, 4500):
        assert "ends after" in refused(old(tmp_path / "t.tar.bz2", tar[:cut]))
    whole = old(tmp_path / "w.tar.bz2", tar).read_bytes()
    for cut in (0, 3, 50, len(whole) // 2, len(whole) - 2):
        (tmp_path / "c.tar.bz2").write_bytes(whole[:cut])
        assert refused(tmp_path / "c.tar.bz2").startswith("c.tar.bz2 ")
    packed = conda(tmp_path / "w.conda", tar).read_bytes()
    for cut in (0, 50, len(packed) // 2, len(packed) - 30):
        (tmp_path / "c.conda").write_bytes(packed[:cut])
        assert refused(tmp_path / "c.conda").startswith("c.conda ")


def test_other_files_are_not_packages(tmp_path: Path) -> None:
    (tmp_path / "text.tar.bz2").write_text("hello")
    assert "damaged" in refused(tmp_path / "text.tar.bz2")
    with zipfile.ZipFile(tmp_path / "empty.conda", "w") as z:
        z.writestr("other", "")
    assert "not a .conda package" in refused(tmp_path / "empty.conda")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        list(packed_files(str(tmp_path / "none.conda")))


def test_lying_headers(tmp_path: Path) -> None:
    def with_header(change: Callable[[bytearray], None], checksum: bool = True) -> Path:
        tar = bytearray(tar_of({"a": b"12345"}, tarfile.USTAR_FORMAT))
        change(tar)
        if checksum:
            tar[148:156] = b" " * 8
            tar[148:156] = b"%06o\0 " % sum(tar[:512])
        return old(tmp_path / "l.tar.bz2", bytes(tar))

    def put(at: int, value: bytes) -> Callable[[bytearray], None]:
        def change(tar: bytearray) -> None:
            tar[at : at + len(value)] = value

        return change

    assert "wrong checksum" in refused(with_header(put(0, b"b"), checksum=False))
    assert "no number" in refused(with_header(put(124, b"9999999zzzz")))
    assert "within a file" in refused(with_header(put(124, b"77777777777")))
    assert "bytes" in refused(with_header(put(124, b"\xff" * 12)))
    assert "entry of type '3'" in refused(with_header(put(156, b"3")))


def test_a_name_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    tar = bytearray(tar_of({"n" * 300: b""}, tarfile.GNU_FORMAT))
    assert tar[156:157] == b"L"
    tar[124:136] = b"00077777777\0"
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    assert "has an extended header of 16777215 bytes" in refused(old(tmp_path / "l.tar.bz2", bytes(tar)))


def test_bombs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_package, "MAX_TOTAL", 1 << 20)
    path = old(tmp_path / "z.tar.bz2", tar_of({"zeros": bytes(3 << 20)}))
    assert "unpacks to more than" in refused(path)
    monkeypatch.setattr(conda_package, "MAX_MEMBERS", 3)
    assert "more than 3 files" in refused(old(tmp_path / "m.tar.bz2", tar_of({str(i): b"" for i in range(9)})))


def test_a_window_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_package, "WINDOW", 1 << 20)
    parameters = zstandard.ZstdCompressionParameters(window_log=25, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(tar_of({"a": os.urandom(3 << 20)})) + packer.flush()
    with zipfile.ZipFile(tmp_path / "w.conda", "w", zipfile.ZIP_STORED) as z:
        z.writestr("pkg-w.tar.zst", packed)
    assert "damaged or cut off" in refused(tmp_path / "w.conda")


def test_file_over_the_limit_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_package, "MAX_FILE", 100)
    path = old(tmp_path / "a-1-0.tar.bz2", tar_of({"big": bytes(101), "small": bytes(100)}))
    assert [(f.name, f.open() is not None) for f in packed_files(str(path))] == [("big", False), ("small", True)]
