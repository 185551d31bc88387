"""ABI501 to ABI505 over made prefixes: one case for each row of what they promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import ELF, make_wheel

from abicheck.inputs.requests import Inputs, Request
from abicheck.model import Finding
from abicheck.prefix import open_prefix
from abicheck.rules import (
    abi501_file_clobber,
    abi502_distribution_replaced,
    abi503_import_name_overlap,
    abi504_conda_twin,
    abi505_prefix_damaged,
)
from abicheck.rules.packages import import_packages
from abicheck.transaction import Transaction, plan_transaction
from abicheck.wheel import read_wheel

SITE = "lib/python3.12/site-packages"
TAG = "cp312-cp312-manylinux_2_28_x86_64"


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    made = Maker(tmp_path / "env")
    made.python()
    return made


def install(maker: Maker, *wheels: Path) -> Transaction:
    prefix = open_prefix(str(maker.root))
    assert prefix.layout is not None
    return plan_transaction(prefix, Inputs(tuple(Request(read_wheel(str(w))) for w in wheels)), prefix.layout)


def wheel(maker: Maker, name: str, version: str, files: dict[str, bytes] | None = None, **more: object) -> Path:
    return make_wheel(maker.root.parent / "wheels", name, version, files, tag=TAG, **more)  # type: ignore[arg-type]


def told(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    """Severity and contested name of each finding; every one must keep the wording rule."""
    out = []
    for f in findings:
        assert f.what.endswith((".", "…"))
        assert len(f.what) <= 200
        assert f.why
        out.append((f.severity.word, f.key))
    return out


# -- ABI501 --------------------------------------------------------------------


def test_clobbered_library_is_a_warning_with_the_users_of_it(maker: Maker) -> None:
    maker.record("tbb", "2021.8", {"lib/libtbb.so.12": b"conda's"})
    maker.record("numba", "1", {}, depends=["tbb >=2021"])
    path = wheel(maker, "tbb", "2021.4", {"tbb-2021.4.data/data/lib/libtbb.so.12": ELF})
    (finding,) = abi501_file_clobber.judge(install(maker, path))
    assert told(iter([finding])) == [("warning", "tbb")]
    assert "1 file of conda tbb 2021.8 (it is native)" in finding.what
    assert any("numba" in f.text for f in finding.why)
    assert finding.subject is not None
    assert finding.subject.member == "tbb-2021.4.data/data/lib/libtbb.so.12"
    assert finding.remedies[0].command == 'conda install -n env "tbb=2021.4"'


def test_equal_content_is_a_note(maker: Maker) -> None:
    maker.record("tbb", "2021.8", {"lib/libtbb.so.12": ELF})
    path = wheel(maker, "toy", "1", {"toy-1.data/data/lib/libtbb.so.12": ELF})
    assert told(abi501_file_clobber.judge(install(maker, path))) == [("note", "tbb")]


def test_equal_content_is_seen_without_a_recorded_hash(maker: Maker) -> None:
    maker.write("lib/libtbb.so.12", ELF)
    maker.raw("tbb-1-0", {"name": "tbb", "version": "1", "build": "0", "files": ["lib/libtbb.so.12"]})
    path = wheel(maker, "toy", "1", {"toy-1.data/data/lib/libtbb.so.12": ELF})
    assert told(abi501_file_clobber.judge(install(maker, path))) == [("note", "tbb")]


@pytest.mark.parametrize(("project", "severity"), [("ninja", "note"), ("impostor", "warning")])
def test_command_of_the_same_project_is_a_note(maker: Maker, project: str, severity: str) -> None:
    maker.record("ninja", "1.12", {"bin/ninja": ELF})
    path = wheel(
        maker, project, "1.11", {f"{project}.py": b""}, entry_points=f"[console_scripts]\nninja = {project}:m\n"
    )
    assert told(abi501_file_clobber.judge(install(maker, path))) == [(severity, "ninja")]


def test_texts_are_notes_and_other_data_are_warnings(maker: Maker) -> None:
    maker.record("a", "1", {"share/doc/x": b"1", "include/x.h": b"1"})
    maker.record("b", "1", {"share/proj/proj.db": b"1"})
    files = {f"toy-1.data/data/{p}": b"2" for p in ("share/doc/x", "include/x.h", "share/proj/proj.db")}
    assert told(abi501_file_clobber.judge(install(maker, wheel(maker, "toy", "1", files)))) == [
        ("note", "a"),
        ("warning", "b"),
    ]


def test_what_pip_removes_first_and_new_files_are_silent(maker: Maker) -> None:
    maker.conda_distribution("lib", "1", {"lib/a.so": ELF})
    path = wheel(maker, "lib", "2", {"lib/a.so": ELF + b"2", "lib/new.so": ELF})
    assert told(abi501_file_clobber.judge(install(maker, path))) == []


# -- ABI502 --------------------------------------------------------------------


def test_replaced_distribution_and_who_needs_it(maker: Maker) -> None:
    maker.conda_distribution("numpy", "1.24.3", {"numpy/__init__.py": b""})
    maker.conda_distribution(
        "pandas", "1.5", {"pandas/__init__.py": b""}, requires=["numpy<2"], depends=["numpy >=1.2,<2"]
    )
    maker.record("scipy", "1", {}, depends=["numpy >=1.20"])
    maker.record("numba", "1", {}, constrains=["numpy <1.27"])
    (finding,) = abi502_distribution_replaced.judge(install(maker, wheel(maker, "numpy", "2.1")))
    assert finding.severity.word == "warning"
    assert "remove conda numpy 1.24.3 and put numpy 2.1" in finding.what
    needs = [f.text for f in finding.why if "numpy" in f.text and ("requires" in f.text or "on" in f.text)]
    assert any("pandas 1.5 requires numpy<2" in n for n in needs)
    assert any("pandas 1.5 depends on numpy >=1.2,<2" in n for n in needs)
    assert any("numba 1 constrains numpy <1.27" in f.text for f in finding.why)
    assert not any("scipy" in f.text for f in finding.why)


def test_requirement_that_conda_does_not_meet_is_told_for_a_single_wheel(maker: Maker) -> None:
    maker.conda_distribution("numpy", "2.1", {"numpy/__init__.py": b""})
    maker.conda_distribution("pandas", "2.2", {"pandas/__init__.py": b""}, requires=["numpy>=2"])
    path = wheel(maker, "toy", "1", requires=["numpy>=1.23,<2.0", "six"])
    findings = list(abi502_distribution_replaced.judge(install(maker, path)))
    assert told(iter(findings)) == [("warning", "numpy"), ("note", "six")]
    assert "replace conda numpy 2.1" in findings[0].what
    assert any("pandas 2.2 requires numpy>=2" in f.text for f in findings[0].why), "no version of the range meets it"
    assert findings[0].remedies[0].command == 'conda install -n env "numpy<2.0,>=1.23"'


def test_range_that_could_still_hold_breaks_nobody(maker: Maker) -> None:
    maker.conda_distribution("numpy", "1.20", {"numpy/__init__.py": b""})
    maker.conda_distribution("pandas", "2.2", {"p.py": b""}, requires=["numpy>=1.19,<3"], depends=["numpy >=1.19,<3"])
    path = wheel(maker, "toy", "1", requires=["numpy>=1.23"])
    (finding,) = abi502_distribution_replaced.judge(install(maker, path))
    assert not any("pandas" in f.text for f in finding.why)


def test_refusals_duplicates_conflicts_and_what_stays(maker: Maker) -> None:
    maker.conda_distribution("norecord", "1", {"n.py": b""}, with_record=False)
    maker.conda_distribution("same", "1", {"s.py": b""})
    maker.record("tbb", "2021", {"lib/libtbb.so": b""})
    toy = wheel(maker, "toy", "1", requires=["tbb>=2021", "mate>=2"])
    found = install(maker, wheel(maker, "norecord", "2"), wheel(maker, "same", "1"), toy, wheel(maker, "mate", "1"))
    findings = {f.key: f for f in abi502_distribution_replaced.judge(found)}
    assert "will stop" in findings["norecord"].what
    assert findings["same"].severity.word == "note"
    assert "second tbb over conda tbb" in findings["tbb"].what
    assert (findings["tbb"].confidence.word, findings["tbb"].assumption != "") == ("medium", True)
    assert "refuse" in findings["mate"].what


def test_replacing_pips_own_distribution_is_silent(maker: Maker) -> None:
    maker.pip_distribution("mine", "1", {"mine.py": b""})
    assert told(abi502_distribution_replaced.judge(install(maker, wheel(maker, "mine", "2")))) == []


def test_audit_of_replaced_and_doubled_distributions(maker: Maker) -> None:
    maker.conda_distribution("numpy", "1.24", {"numpy/__init__.py": b""})
    for path in sorted((maker.root / SITE / "numpy-1.24.dist-info").iterdir()):
        path.unlink()
    (maker.root / SITE / "numpy-1.24.dist-info").rmdir()
    maker.pip_distribution("numpy", "2.0", {"numpy/__init__.py": b"2"})
    maker.conda_distribution("two", "1", {"two.py": b""})
    maker.pip_distribution("two", "2", {"two.py": b"2"})
    maker.conda_distribution("built-with-pip", "1", {"b.py": b""}, installer="pip")
    prefix = open_prefix(str(maker.root))
    assert told(abi502_distribution_replaced.judge_installed(prefix)) == [("warning", "numpy"), ("warning", "two")]


# -- ABI503 --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["cv2/__init__.py", "cv2/cv2.so"], {"cv2"}),
        (["six.py"], {"six"}),
        (["_x.cpython-312-x86_64-linux-gnu.so"], {"_x"}),
        (["google/protobuf/__init__.py", "google/protobuf/x.py"], {"google.protobuf"}),
        (["google/cloud/storage/__init__.py"], {"google.cloud.storage"}),
        (["data/file.txt", "x-1.dist-info/RECORD", "x.libs/a.so", "a-b/__init__.py"], set()),
        (["pkg/__init__.cpython-312-darwin.so"], {"pkg"}),
    ],
)
def test_import_packages(files: list[str], names: set[str]) -> None:
    assert set(import_packages(files)) == names


def test_same_package_of_another_project(maker: Maker) -> None:
    maker.record("py-opencv", "4.9", {f"{SITE}/cv2/__init__.py": b"", f"{SITE}/cv2/old.so": ELF})
    path = wheel(maker, "opencv_python", "4.10", {"cv2/__init__.py": b"2", "cv2/cv2.abi3.so": ELF})
    (finding,) = abi503_import_name_overlap.judge(install(maker, path))
    assert told(iter([finding])) == [("warning", "cv2")]
    assert finding.what == "`import cv2` will find files of both wheel opencv_python 4.10 and conda py-opencv 4.9."
    assert finding.remedies[0].command == "conda remove -n env py-opencv"
    assert any("1 file has the same name" in f.text and "1 of the other stay" in f.text for f in finding.why)


def test_a_package_written_over_entirely_is_one_warning_with_condas_own_command(maker: Maker) -> None:
    maker.conda_distribution("psycopg2", "2.9.5", {"psycopg2/__init__.py": b"", "psycopg2/_psycopg.so": ELF})
    files = {"psycopg2/__init__.py": b"", "psycopg2/_psycopg.so": ELF + b"2", "psycopg2/sql.py": b""}
    found = install(maker, wheel(maker, "psycopg2_binary", "2.9.13", files))
    (finding,) = abi503_import_name_overlap.judge(found)
    assert finding.what == (
        "`import psycopg2` will find wheel psycopg2_binary 2.9.13, written over the files of conda psycopg2 2.9.5."
    )
    assert finding.remedies[0].command == 'conda install -n env "psycopg2=2.9.13"'
    assert any("without asking conda" in f.text for f in finding.why)
    assert told(abi501_file_clobber.judge(found)) == [("note", "psycopg2")], "one cause, one warning"


def test_what_a_replaced_distribution_leaves_is_the_replacement_s(maker: Maker) -> None:
    """Its RECORD lists less than conda linked, and the wheel writes over the rest. Outside site-packages it is told."""
    listed = maker.distribution("proto", "3", {"proto/__init__.py": b""})
    left = {f"{SITE}/proto/message.py": b"3", "lib/libproto.so.3": ELF}
    maker.record("proto", "3", {**listed, **left})
    inside = {"proto/__init__.py": b"7", "proto/message.py": b"7"}
    found = install(maker, wheel(maker, "proto", "7", inside))
    assert told(abi502_distribution_replaced.judge(found)) == [("warning", "proto")]
    assert told(abi501_file_clobber.judge(found)) == [("note", "proto")], "one cause, one warning"
    library = {"proto-8.data/data/lib/libproto.so.3": ELF + b"8"}
    assert told(abi501_file_clobber.judge(install(maker, wheel(maker, "proto", "8", inside | library)))) == [
        ("warning", "proto")
    ]


def test_what_lies_outside_the_shared_package_is_a_cause_of_its_own(maker: Maker) -> None:
    maker.record("py-opencv", "4.9", {f"{SITE}/cv2/__init__.py": b"", "lib/libopencv.so.4": ELF, "bin/cv": ELF})
    outside = {"opencv_python-4.10.data/data/lib/libopencv.so.4": ELF + b"2"}
    path = wheel(maker, "opencv_python", "4.10", {"cv2/__init__.py": b"2", **outside})
    found = install(maker, path)
    assert told(abi503_import_name_overlap.judge(found)) == [("warning", "cv2")]
    assert told(abi501_file_clobber.judge(found)) == [("warning", "py-opencv")]


def test_what_pip_removes_first_does_not_overlap(maker: Maker) -> None:
    both = maker.distribution("tool", "1", {"tool/__init__.py": b""}) | maker.distribution("rest", "1", {"r.py": b""})
    maker.record("bundle", "1", both)
    found = install(maker, wheel(maker, "tool", "2", {"tool/__init__.py": b"2"}))
    assert told(abi502_distribution_replaced.judge(found)) == [("warning", "tool")]
    assert told(abi503_import_name_overlap.judge(found)) == []
    assert told(abi503_import_name_overlap.judge(install(maker, wheel(maker, "other", "1", {"r.py": b"2"})))) == [
        ("warning", "r")
    ]


def test_module_beside_a_package_overlaps(maker: Maker) -> None:
    maker.record("py-opencv", "4.9", {f"{SITE}/cv2.cpython-312-x86_64-linux-gnu.so": ELF})
    path = wheel(maker, "opencv_python", "4.10", {"cv2/__init__.py": b"2"})
    assert told(abi503_import_name_overlap.judge(install(maker, path))) == [("warning", "cv2")]


def test_namespaces_and_the_same_project_do_not_overlap(maker: Maker) -> None:
    maker.conda_distribution("protobuf", "4", {"google/protobuf/__init__.py": b""})
    pkgutil = b"__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
    maker.conda_distribution("mpl-toolkits", "1", {"mpl/__init__.py": pkgutil, "mpl/a.py": b""})
    maker.conda_distribution("numpy", "1", {"numpy/__init__.py": b""})
    storage = wheel(maker, "gcs", "1", {"google/cloud/storage/__init__.py": b"", "mpl/__init__.py": pkgutil})
    numpy = wheel(maker, "numpy", "2", {"numpy/__init__.py": b"2"})
    assert told(abi503_import_name_overlap.judge(install(maker, storage, numpy))) == []


def test_incidental_folders_are_notes_and_wheels_meet_each_other(maker: Maker) -> None:
    one = wheel(maker, "one", "1", {"tests/__init__.py": b"", "one.py": b""})
    two = wheel(maker, "two", "1", {"tests/__init__.py": b"", "shared.py": b""})
    three = wheel(maker, "three", "1", {"shared.py": b""})
    found = told(abi503_import_name_overlap.judge(install(maker, one, two, three)))
    assert sorted(found) == [("note", "tests"), ("warning", "shared")]


def test_audit_finds_overlaps_of_pips_distributions(maker: Maker) -> None:
    maker.pip_distribution("opencv-python", "4", {"cv2/__init__.py": b"", "cv2/cv2.so": ELF})
    maker.pip_distribution("opencv-contrib-python", "4", {"cv2/__init__.py": b"", "cv2/cv2.so": ELF})
    maker.conda_distribution("other", "1", {"other.py": b""})
    prefix = open_prefix(str(maker.root))
    assert told(abi503_import_name_overlap.judge_installed(prefix)) == [("warning", "cv2")]
    assert [f.key for f in abi505_prefix_damaged.judge(prefix)] == ["opencv-contrib-python+opencv-python"]


# -- ABI504 --------------------------------------------------------------------


def test_twin_by_the_prefix_comes_before_the_table(maker: Maker) -> None:
    maker.conda_distribution("torch", "2.0", {"torch/__init__.py": b""})
    raw = maker.root / "conda-meta" / "torch-2.0-h0_0.json"
    raw.write_text(raw.read_text().replace('"name": "torch"', '"name": "my-own-torch"'))
    (finding,) = abi504_conda_twin.judge(install(maker, wheel(maker, "torch", "2.1", {"torch/_C.so": ELF})))
    assert (finding.severity.word, finding.key, finding.confidence.word) == ("note", "my-own-torch", "high")
    assert "lists the dist-info" in finding.why[0].text


def test_twin_by_the_table_says_its_source(maker: Maker) -> None:
    (finding,) = abi504_conda_twin.judge(install(maker, wheel(maker, "torch", "2.1", {"torch/_C.so": ELF})))
    assert finding.remedies[0].command == "conda install -n env pytorch"
    assert "conda-pypi" in finding.why[0].text
    assert finding.assumption


def test_no_twin_no_guess_and_nothing_for_pure_python(maker: Maker) -> None:
    unknown = wheel(maker, "zz_nobody_knows", "1", {"zz.so": ELF})
    pure = wheel(maker, "torch", "1", {"torch/__init__.py": b""})
    assert told(abi504_conda_twin.judge(install(maker, unknown, pure))) == []


# -- ABI505 --------------------------------------------------------------------


def damage(maker: Maker) -> dict[str, tuple[str, list[str]]]:
    found = abi505_prefix_damaged.judge(open_prefix(str(maker.root)))
    return {f.key: (f.severity.word, [w.file.path for w in f.why if w.file]) for f in found}


def test_undamaged_prefix_is_silent(maker: Maker) -> None:
    maker.record("liba", "1", {"lib/liba.so": ELF, "etc/config": b"1"})
    maker.write("etc/config", b"changed by the user")
    maker.pip_distribution("toy", "1", {"toy.so": ELF})
    assert damage(maker) == {}


def test_every_kind_of_damage(maker: Maker) -> None:
    maker.record("a", "1", {"lib/liba.so": ELF})
    maker.write("lib/liba.so", ELF[:-1] + b"!")
    maker.record("b", "1", {"lib/libb.so": ELF + b"long"})
    maker.write("lib/libb.so", ELF)
    maker.record("c1", "1", {"lib/libc.so": b"first"})
    maker.record("c2", "1", {"lib/libc.so": b"second"})
    maker.record("d", "1", {f"{SITE}/d/d.so": ELF})
    maker.pip_distribution("dd", "2", {"d/d.so": ELF + b"pip"})
    maker.record("e", "1", {"lib/libe.so": b"x" * 10})
    (maker.root / "lib/libe.so").unlink()
    assert damage(maker) == {
        "a:changed": ("warning", ["lib/liba.so"]),
        "b:cut": ("warning", ["lib/libb.so"]),
        "c2:by-conda": ("warning", ["lib/libc.so"]),
        "d:by-pip": ("warning", [f"{SITE}/d/d.so"]),
        "e:absent": ("warning", ["lib/libe.so"]),
    }


def test_large_files_that_a_copy_left_out_are_one_note(maker: Maker) -> None:
    for name in "ab":
        maker.record(name, "1", {f"lib/lib{name}.so": b"x" * (5 << 20)})
        (maker.root / f"lib/lib{name}.so").unlink()
    assert damage(maker) == {"absent": ("note", ["lib/liba.so", "lib/libb.so"])}


def test_pointer_counts_as_the_file_it_stands_for(maker: Maker) -> None:
    maker.record("a", "1", {"lib/liba.so": b"hello"})
    oid = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    maker.write("lib/liba.so", f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 5\n".encode())
    assert damage(maker) == {}
