"""Wheels that should not be: each ends in a clear error or a named problem, never in a traceback or a written file."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest
from tests.wheel.making import ELF, make_wheel, metadata

from abicheck.errors import InputError
from abicheck.wheel import Limits, read_wheel


def refused(path: Path, limits: Limits | None = None) -> InputError:
    before = sorted(str(p) for p in path.parent.rglob("*"))
    with pytest.raises(InputError) as caught:
        read_wheel(str(path), limits=limits)
    assert path.name in caught.value.message or str(path) in caught.value.message
    assert caught.value.exit_status == 2
    assert sorted(str(p) for p in path.parent.rglob("*")) == before, "nothing is written"
    return caught.value


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/etc/passwd", "absolute"),
        ("../outside.py", "climbs"),
        ("toy/../../outside.py", "climbs"),
        ("C:/windows/x.dll", "drive letter"),
        ("toy/a\x01b.py", "control"),
        ("toy/new\nline.py", "control"),
    ],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str, says: str) -> None:
    error = refused(make_wheel(tmp_path, raw=[(name, b"x")]))
    assert error.reference == "hostile-wheel"
    assert says in error.message


def _patched(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def test_backslash_in_a_name(tmp_path: Path) -> None:
    path = _patched(make_wheel(tmp_path, raw=[("toy/a/b.py", b"x")]), b"toy/a/b.py", b"toy\\a\\b.py")
    assert "backslash" in refused(path).message


def test_name_that_claims_utf8_and_is_not(tmp_path: Path) -> None:
    path = _patched(make_wheel(tmp_path, raw=[("toy/ä.py", b"x")]), "ä".encode(), b"\xff\xfe")
    assert "UTF-8" in refused(path).message


def test_member_that_is_encrypted(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, raw=[("toy/secret.py", b"x")])
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    assert "encrypted" in refused(path).message


def test_member_packed_by_a_method_that_python_does_not_know(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, raw=[("toy/odd.py", b"x")])
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 10] = 99
    path.write_bytes(bytes(data))
    assert "cannot unpack (99), 'toy/odd.py'" in refused(path).message


@pytest.mark.parametrize("name", ["toy/" + "a" * 256 + ".py", "toy/" + "d/" * 300 + "x.so", "toy/" + "é" * 128 + "x"])
def test_names_that_no_file_system_takes(tmp_path: Path, name: str) -> None:
    assert "no file system takes" in refused(make_wheel(tmp_path, raw=[(name, b"")])).message


def test_a_long_name_that_fits(tmp_path: Path) -> None:
    name = "toy/" + "a" * 250 + ".py"
    assert read_wheel(str(make_wheel(tmp_path, raw=[(name, b"")]))).member(name) is not None


def test_a_file_with_files_below_it(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, raw=[("toy/a", b""), ("toy/a/b/x.so", ELF)])
    assert "a file and a folder of one name, 'toy/a'" in refused(path).message


def test_a_name_is_shown_as_it_is(tmp_path: Path) -> None:
    message = refused(make_wheel(tmp_path, raw=[("toy/\x1b[2Jred.so", b"")])).message
    assert "'toy/\\x1b[2Jred.so'" in message


def test_doubled_members_and_case_twins_are_named(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = make_wheel(tmp_path, raw=[("toy/x.py", b"1"), ("toy/x.py", b"22"), ("toy/X.py", b"3")])
    wheel = read_wheel(str(path))
    found = {(p.kind, p.member) for p in wheel.problems}
    assert ("member-doubled", "toy/x.py") in found
    assert {m for k, m in found if k == "member-case-twins"} == {"toy/X.py"}
    member = wheel.member("toy/x.py")
    assert member is not None
    assert wheel.source(member).pread(0, 9) == b"22", "the last one counts, as for pip"


def test_symbolic_link_is_no_native(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("toy/lib.so")
    info.external_attr = 0o120777 << 16
    wheel = read_wheel(str(make_wheel(tmp_path, raw=[(info, ELF)])))
    assert wheel.natives == ()
    assert ("member-link", "toy/lib.so") in {(p.kind, p.member) for p in wheel.problems}


def test_ratio_that_deflate_cannot_have(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, raw=[("toy/bomb.bin", bytes(100_000))])
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 1 << 30)
    path.write_bytes(bytes(data))
    assert "more than deflate can" in refused(path).message


def test_declared_total_is_bounded(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, raw=[("toy/big.bin", os.urandom(5000))])
    assert "over the limit of 4000" in refused(path, Limits(total=4000)).message


def test_overlapping_members(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, raw=[(f"toy/{i}.bin", os.urandom(9000)) for i in range(3)])
    data = bytearray(path.read_bytes())
    offsets = []
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        offsets.append(at)
        at = data.find(b"PK\x01\x02", at + 4)
    for at in offsets[-3:]:
        struct.pack_into("<I", data, at + 20, 20_000)
    path.write_bytes(bytes(data))
    assert refused(path).reference in ("hostile-wheel", "truncated-wheel")


@pytest.mark.parametrize("claimed", [10, 5_000_000])
def test_real_size_differs_from_the_declared_one(tmp_path: Path, claimed: int) -> None:
    content = os.urandom(70_000)
    path = make_wheel(tmp_path, raw=[("toy/lie.bin", content)])
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, claimed)
    path.write_bytes(bytes(data))
    wheel = read_wheel(str(path))
    member = wheel.member("toy/lie.bin")
    assert member is not None
    with pytest.raises(OSError, match="unpacks to"):
        wheel.source(member)


def test_damaged_content_is_seen(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, files={"toy/_x.so": ELF + os.urandom(20_000)}, compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.find(b"toy/_x.so") + 10_000
    data[at] ^= 0x55
    path.write_bytes(bytes(data))
    wheel = read_wheel(str(path))
    with pytest.raises(OSError, match=r"checksum|damaged|unpacks"):
        wheel.source(wheel.natives[0])


def test_many_members_announced(tmp_path: Path) -> None:
    path = make_wheel(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x05\x06")
    struct.pack_into("<HHI", data, at + 8, 60_000, 60_000, 900_000_000)
    path.write_bytes(bytes(data))
    assert "announces" in refused(path, Limits(members=1000)).message
    assert "directory of 900000000" in refused(path).message


@pytest.mark.parametrize("keep", [0, 10, 200, 500])
def test_truncated(tmp_path: Path, keep: int) -> None:
    path = make_wheel(tmp_path, files={"toy/_x.so": ELF * 20})
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(path).reference in ("truncated-wheel", "not-a-wheel")


def test_every_truncation_ends_in_an_error(tmp_path: Path) -> None:
    whole = make_wheel(tmp_path / "a", files={"toy/_x.so": ELF * 3}).read_bytes()
    path = tmp_path / "b" / "toy-1.0-cp311-cp311-linux_x86_64.whl"
    path.parent.mkdir()
    for keep in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError):
            read_wheel(str(path))


def test_pointer_in_the_place_of_a_wheel(tmp_path: Path) -> None:
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "LFS" in refused(path).message


@pytest.mark.parametrize(
    "name", ["toy.whl", "toy-1.0.whl", "toy-1.0-py3-none.whl", "toy-not_a_version-py3-none-any.whl"]
)
def test_names_that_are_no_wheel_names(tmp_path: Path, name: str) -> None:
    path = make_wheel(tmp_path)
    assert refused(path.rename(tmp_path / name)).reference == "not-a-wheel"


def test_dist_info_missing_doubled_or_of_another(tmp_path: Path) -> None:
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("toy/__init__.py", "")
    assert "no .dist-info" in refused(path).message
    doubled = make_wheel(tmp_path / "d", raw=[("toy-2.0.dist-info/METADATA", metadata("toy", "2.0"))])
    assert "2 .dist-info" in refused(doubled).message
    other = make_wheel(tmp_path / "o", "other").rename(tmp_path / "o" / "toy-1.0-py3-none-any.whl")
    assert "not of the project" in refused(other).message


def test_missing_record_and_unlisted_members(tmp_path: Path) -> None:
    bare = read_wheel(str(make_wheel(tmp_path / "a", with_record=False)))
    assert [(p.kind, p.refused) for p in bare.problems] == [("record-missing", True)]
    extra = read_wheel(str(make_wheel(tmp_path / "b", raw=[("toy/extra.py", b"")])))
    assert [(p.kind, p.member) for p in extra.problems] == [("record-incomplete", "toy/extra.py")]


def test_unknown_scheme_is_refused_by_pip(tmp_path: Path) -> None:
    wheel = read_wheel(str(make_wheel(tmp_path, files={"toy-1.0.data/etc/x": b""})))
    assert [(p.kind, p.refused) for p in wheel.problems] == [("scheme-unknown", True)]


def test_no_such_file(tmp_path: Path) -> None:
    error = refused(tmp_path / "toy-1.0-py3-none-any.whl")
    assert error.reference == "unreadable-wheel"


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "RECORD", "entry_points.txt"])
def test_text_that_is_no_utf8_is_refused_by_pip(tmp_path: Path, name: str) -> None:
    """pip 26.3, tried with each: it stops with an error about the encoding."""
    path = rewritten(make_wheel(tmp_path), name, b"X: J\xf6rg\n")
    (problem,) = [p for p in read_wheel(str(path)).problems if p.kind == "not-utf8"]
    assert problem.refused and problem.member.endswith(name) and "0xf6" in problem.text
    fine = rewritten(make_wheel(tmp_path / "fine"), name, "X: Jörg\n".encode())
    assert all(p.kind != "not-utf8" for p in read_wheel(str(fine)).problems)


def test_another_version_inside_is_told_and_not_refused(tmp_path: Path) -> None:
    """pip 26.3, tried: it installs the file."""
    path = rewritten(make_wheel(tmp_path), "METADATA", b"Metadata-Version: 2.1\nName: toy\nVersion: 7.0\n")
    kinds = {p.kind: p.refused for p in read_wheel(str(path)).problems}
    assert kinds["version-mismatch"] is False


def rewritten(path: Path, name: str, data: bytes) -> Path:
    """The wheel with another content (METADATA and WHEEL: more lines) of one file of its dist-info folder."""
    with zipfile.ZipFile(path) as old:
        files = {n: old.read(n) for n in old.namelist()}
    key = f"toy-1.0.dist-info/{name}"
    keep = files.get(key, b"") if b"Name:" not in data else b""
    files[key] = keep + data
    with zipfile.ZipFile(path, "w") as new:
        for n, content in files.items():
            new.writestr(n, content)
    return path
