"""``inspect``: the JSON of contract.md section 5a."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import jsonschema
import pytest
from fixtures.compilers import zig
from tests.prefix.making import Maker
from tests.requirements import need
from tests.test_conda_package import conda, old, tar_of

from abicheck import inspection
from abicheck.binary.facts import Binary, Export, Import, Need
from abicheck.errors import BinaryError, InputError
from abicheck.examination import snapshot
from abicheck.inspection import inspect_files, inspect_rows
from abicheck.prefix import open_prefix
from abicheck.schemas import schema

SOURCE = """
int deflate(void); int maybe(void) __attribute__((weak));
int foo(void) { return deflate() + (maybe ? maybe() : 0); }
"""


@functools.cache
def library() -> bytes:
    need("zig")
    compiler = zig("x86_64-linux-gnu")
    assert compiler is not None
    with TemporaryDirectory() as scratch:
        flags = ("-nostdlib", "-fno-sanitize=all", "-Wl,-z,nodelete")
        made = compiler.shared(
            Path(scratch) / "l.so",
            SOURCE,
            *flags,
            soname="libfoo.so.1",
            rpath="$ORIGIN/../lib",
            version_script="V1 { global: foo; local: *; };",
        )
        return made.read_bytes()


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    info = "demo-1.0.dist-info"
    files = {
        **files,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp312-cp312-linux_x86_64\n",
    }
    rows = [
        f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b'=').decode()},{len(d)}"
        for n, d in files.items()
    ]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            z.writestr(name, data)
        z.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,", ""]))
    return path


def check_shape(document: dict[str, Any]) -> None:
    """Keys and types as the contract has them, everything sorted, and it is JSON."""
    assert json.loads(json.dumps(document)) == document
    assert list(document) == ["schema_version", "files", "skipped"]
    assert document["schema_version"] == "1.0"
    assert [(f["container"] or "", f["path"]) for f in document["files"]] == sorted(
        (f["container"] or "", f["path"]) for f in document["files"]
    )
    for file in document["files"]:
        assert set(file) == {"path", "container", "format", "slices"}
        assert [s["arch"] for s in file["slices"]] == sorted(s["arch"] for s in file["slices"])
        for s in file["slices"]:
            assert list(s) == [
                "arch", "identity", "needs", "rpath", "runpath", "flags", "floors", "imports", "exports",
            ]  # fmt: skip
            assert s["flags"] == sorted(s["flags"])
            names = [(i["name"] is None, i["name"] or "", i["version"] or "") for i in s["imports"]]
            assert names == sorted(names)
            for i in s["imports"]:
                assert set(i) - {"ordinal"} == {"name", "version", "library", "weak"}
            for e in s["exports"]:
                assert set(e) - {"ordinal", "forward"} == {"name", "version", "default", "binding", "type"}
    for row in document["skipped"]:
        assert set(row) == {"path", "container", "reason"} and row["reason"]


def test_a_library(tmp_path: Path) -> None:
    path = tmp_path / "any-name"
    path.write_bytes(library())
    document = inspect_rows(str(path))
    check_shape(document)
    (file,) = document["files"]
    assert (file["path"], file["container"], file["format"]) == (str(path), None, "elf")
    (s,) = file["slices"]
    assert (s["arch"], s["identity"], s["needs"]) == ("x86_64", "libfoo.so.1", [])
    assert s["runpath"] + s["rpath"] == ["$ORIGIN/../lib"]
    assert "nodelete" in s["flags"]
    assert s["imports"] == [
        {"name": "deflate", "version": None, "library": None, "weak": False},
        {"name": "maybe", "version": None, "library": None, "weak": True},
    ]
    foo = {"name": "foo", "version": "V1", "default": True, "binding": "global", "type": "func"}
    assert foo in s["exports"]


def test_a_wheel_and_conda_packages_say_the_same_of_a_file(tmp_path: Path) -> None:
    files = {"demo/_z.so": library(), "demo/_a.so": library(), "demo/__init__.py": b"x = 1\n", "demo/t.so": b"text"}
    made = [
        wheel(tmp_path / "demo-1.0-cp312-cp312-linux_x86_64.whl", files),
        conda(tmp_path / "demo-1.0-0.conda", tar_of(files)),
        old(tmp_path / "demo-1.0-0.tar.bz2", tar_of(files)),
    ]
    documents = [inspect_rows(str(p)) for p in made]
    for path, document in zip(made, documents, strict=True):
        check_shape(document)
        assert document["skipped"] == []
        assert [f["path"] for f in document["files"]] == ["demo/_a.so", "demo/_z.so"]
        assert {f["container"] for f in document["files"]} == {path.name}
        assert [f["slices"] for f in document["files"]] == [f["slices"] for f in documents[0]["files"]]
    together = inspect_files([str(p) for p in [*reversed(made), made[0]]])
    check_shape(together)
    assert len(together["files"]) == 6


def test_damaged_members_are_named(tmp_path: Path) -> None:
    files = {"demo/good.so": library(), "demo/cut.so": library()[:1000]}
    name = "demo-1.0-cp312-cp312-linux_x86_64.whl"
    for document, container in (
        (inspect_rows(str(wheel(tmp_path / name, files))), name),
        (inspect_rows(str(conda(tmp_path / "demo-1.0-0.conda", tar_of(files)))), "demo-1.0-0.conda"),
    ):
        check_shape(document)
        assert [f["path"] for f in document["files"]] == ["demo/good.so"]
        (row,) = document["skipped"]
        assert (row["path"], row["container"]) == ("demo/cut.so", container)
        assert row["reason"].startswith("ends after 1 000 of ")


def test_a_damaged_library_is_skipped_not_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.so"
    path.write_bytes(library()[:700])
    document = inspect_rows(str(path))
    assert document["files"] == [] and document["skipped"][0]["path"] == str(path)


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, world, this is longer than any header of any format we know of\n")
    for path, word in (
        (tmp_path / "text", "unknown-file"),
        (tmp_path, "not-a-file"),
        (tmp_path / "no", "unreadable-file"),
    ):
        with pytest.raises(InputError) as caught:
            inspect_rows(str(path))
        assert caught.value.reference == word and str(path) in caught.value.message


class _Slice:
    """A PE slice by hand: names, ordinals, forwarders, and one with a name that is no UTF-8."""

    format = "pe"
    arch = "x86_64"
    identity = "foo.dll"
    needs = (Need("b.dll"), Need("a.dll", "delay"))
    rpath = runpath = ()
    flags = frozenset({"z", "a"})
    floors: ClassVar = {"msvc": "14.40"}

    def imports(self) -> list[Import]:
        return [
            Import(None, library="b.dll", ordinal=9),
            Import("x", library="b.dll"),
            Import("a\udcff", library="a.dll"),
        ]

    def exports(self) -> list[Export]:
        return [Export(None, ordinal=3), Export("f", ordinal=1, forward="OTHER.f"), Export("e", ordinal=2)]


def test_ordinals_forwarders_and_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "read_binary", lambda _: Binary("pe", (_Slice(),)))  # type: ignore[arg-type]
    (tmp_path / "foo.dll").write_bytes(b"MZ")
    document = inspect_rows(str(tmp_path / "foo.dll"))
    check_shape(document)
    (s,) = document["files"][0]["slices"]
    assert [n["name"] for n in s["needs"]] == ["b.dll", "a.dll"]
    assert s["imports"] == [
        {"name": "a\\xff", "version": None, "library": "a.dll", "weak": False},
        {"name": "x", "version": None, "library": "b.dll", "weak": False},
        {"name": None, "version": None, "library": "b.dll", "weak": False, "ordinal": 9},
    ]
    assert [(e["name"], e["ordinal"], e.get("forward")) for e in s["exports"]] == [
        ("e", 2, None),
        ("f", 1, "OTHER.f"),
        (None, 3, None),
    ]
    assert s["flags"] == ["a", "z"]


def test_damage_found_late_is_skipped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(_Slice):
        def exports(self) -> list[Export]:
            raise BinaryError("foo.dll", "has an endless table")

    monkeypatch.setattr(inspection, "read_binary", lambda _: Binary("pe", (Late(),)))  # type: ignore[arg-type]
    (tmp_path / "foo.dll").write_bytes(b"MZ")
    document = inspect_rows(str(tmp_path / "foo.dll"))
    assert document["files"] == [] and document["skipped"][0]["reason"] == "has an endless table"


def test_a_snapshot_gives_the_facts_of_the_environment_it_pictures(tmp_path: Path) -> None:
    made = Maker(tmp_path / "env")
    made.python()
    inside = {"lib/libfoo.so.1": library(), "lib/cut.so": library()[:100], "lib/note.so": b"no library"}
    made.record("foo", "1.0", inside)
    (made.root / "lib" / "libfoo.so").symlink_to("libfoo.so.1")
    snapshot(open_prefix(str(made.root)), str(tmp_path / "env.snap"))
    document = inspect_rows(str(tmp_path / "env.snap"))
    jsonschema.validate(document, schema("inspect-1"))
    rows = {f["path"]: f for f in document["files"]}
    assert set(rows) - {"bin/python3.12"} == {"lib/libfoo.so.1"}, "links and plain files are none"
    alone = inspect_rows(str(made.root / "lib" / "libfoo.so.1"))["files"][0]
    assert rows["lib/libfoo.so.1"] == {**alone, "path": "lib/libfoo.so.1", "container": "env.snap"}
    assert [(s["path"], s["container"]) for s in document["skipped"]] == [("lib/cut.so", "env.snap")]
