"""The cache of answers about files: what it keeps, when it forgets, and that it is never trusted and never an error."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from abicheck import cache
from abicheck.binary.recall import recall
from abicheck.binary.source import BytesSource
from abicheck.cache import FILE, TAG, KeptSource, Store, count, disk_stamp
from abicheck.import_effects import ImportContext, Memory, derive, summary
from abicheck.import_effects import core as import_core
from abicheck.import_effects.extension_names import names_in
from abicheck.overlay import View
from abicheck.trees import DiskTree

STAMP = ("/a/file", 1, 2, 3)


class Counted:
    """A computation that counts how often it is made."""

    def __init__(self, answer: object = ("a", "b")) -> None:
        self.answer, self.calls = answer, 0

    def __call__(self) -> object:
        self.calls += 1
        return self.answer


def ask(folder: Path, compute: Callable[[], object], stamp: object = STAMP, question: str = "q", kind: object = None):
    with Store(str(folder)) as store:
        return store.recall(stamp, question, compute, kind or tuple[str, ...])


def aged(path: Path, data: bytes) -> Path:
    """A file that was written long ago, as far as its own time says; its time of change is made up by the tests."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (1e9, 1e9))
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as left alone at once."""
    monkeypatch.setattr(cache, "SETTLED", -1e12)


def test_an_answer_is_worked_out_once(tmp_path: Path) -> None:
    compute = Counted()
    assert [ask(tmp_path, compute) for _ in range(3)] == [("a", "b")] * 3
    assert compute.calls == 1
    assert count(str(tmp_path)) == 1


def test_an_answer_is_known_before_it_is_written_down(tmp_path: Path) -> None:
    compute = Counted()
    with Store(str(tmp_path)) as store:
        assert [store.recall(STAMP, "q", compute, tuple[str, ...]) for _ in range(2)] == [("a", "b")] * 2
    assert compute.calls == 1


def test_without_a_folder_answers_are_known_for_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "PENDING", 0)
    compute = Counted()
    with Store(None) as store:
        assert [store.recall(STAMP, "q", compute, tuple[str, ...]) for _ in range(2)] == [("a", "b")] * 2
    assert compute.calls == 1 and not list(tmp_path.iterdir())
    with Store(None) as store:
        store.recall(STAMP, "q", compute, tuple[str, ...])
    assert compute.calls == 2, "another run reads every file anew"


def test_other_file_or_other_question_is_another_answer(tmp_path: Path) -> None:
    ask(tmp_path, Counted(("old",)))
    assert ask(tmp_path, Counted(("new",)), stamp=("/a/file", 1, 2, 4)) == ("new",)
    assert ask(tmp_path, Counted(("new",)), question="r") == ("new",)


def test_answers_do_not_outlive_the_code_that_gave_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(tmp_path, Counted(("old",)))
    monkeypatch.setattr(cache, "_own", lambda: b"another version")
    assert ask(tmp_path, Counted(("new",))) == ("new",)


def test_the_fingerprint_covers_the_rooms_that_read_bytes() -> None:
    package = Path(cache.__file__).parent
    names = {Path(path).name for room in cache._ROOMS for path, _, _ in cache._rows(str(package / room))}
    assert {"elf.py", "summary.py", "scan.py", "runtimes.toml"} <= names
    assert len(cache._own()) == 32


def test_what_raises_is_not_kept(tmp_path: Path) -> None:
    def fails() -> object:
        raise OSError("medium")

    with pytest.raises(OSError, match="medium"):
        ask(tmp_path, fails)
    assert ask(tmp_path, Counted(("now",))) == ("now",)


def test_an_answer_of_another_shape_is_worked_out_again(tmp_path: Path) -> None:
    ask(tmp_path, Counted("text"), kind=str)
    assert ask(tmp_path, Counted(("a",))) == ("a",)


@pytest.mark.parametrize("answer", [("\ud800",), (1 << 70,), (object(),)])
def test_what_cannot_be_kept_is_given_all_the_same(tmp_path: Path, answer: object) -> None:
    compute = Counted(answer)
    assert ask(tmp_path, compute) is answer
    assert ask(tmp_path, compute) is answer
    assert compute.calls == 2


# -- damage ------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 400, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    ask(tmp_path, Counted())
    (tmp_path / FILE).write_bytes(damage)
    compute = Counted()
    assert [ask(tmp_path, compute) for _ in range(2)] == [("a", "b")] * 2
    assert compute.calls == 1


def test_a_file_cut_short_or_garbled_anywhere_never_changes_an_answer(tmp_path: Path) -> None:
    with Store(str(tmp_path)) as store:
        for n in range(300):
            store.recall(STAMP, f"q{n}", lambda n=n: (f"{n}" * 20,), tuple[str, ...])
    whole = (tmp_path / FILE).read_bytes()
    for at in range(0, len(whole), 997):
        (tmp_path / FILE).write_bytes(whole[:at] if at % 2 else whole[:at] + bytes(40) + whole[at + 40 :])
        with Store(str(tmp_path)) as store:
            for n in range(0, 300, 37):
                assert store.recall(STAMP, f"q{n}", lambda n=n: (f"{n}" * 20,), tuple[str, ...]) == (f"{n}" * 20,)


def test_a_changed_value_is_noticed(tmp_path: Path) -> None:
    ask(tmp_path, Counted())
    base = sqlite3.connect(tmp_path / FILE)
    with base:
        forged = msgspec.msgpack.encode(("forged",))
        base.execute("UPDATE facts SET value = ?", (b"\0" * cache.CHECK + forged,))
    base.close()
    assert ask(tmp_path, Counted()) == ("a", "b")


def test_a_table_of_another_make_is_lived_with(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / FILE)
    with base:
        base.execute("CREATE TABLE facts (key TEXT, number INTEGER)")
    base.close()
    assert ask(tmp_path, Counted()) == ("a", "b")


# -- places ------------------------------------------------------------------


def test_nothing_is_written_beside_the_folder(tmp_path: Path) -> None:
    ask(tmp_path / "deep" / "cache", Counted())
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {f"deep/cache/{FILE}", f"deep/cache/{TAG}"}


def test_a_folder_with_files_of_others_is_not_marked_as_a_cache(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    ask(tmp_path, Counted())
    assert not (tmp_path / TAG).exists()


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    compute = Counted()
    assert [ask(tmp_path / "file" / "cache", compute) for _ in range(2)] == [("a", "b")] * 2
    assert compute.calls == 2
    assert count(str(tmp_path / "file" / "cache")) == 0


def test_a_file_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(tmp_path, Counted())
    connect = sqlite3.connect
    uri = f"{(tmp_path / FILE).as_uri()}?mode=ro"
    monkeypatch.setattr(cache.sqlite3, "connect", lambda *_, **__: connect(uri, uri=True))
    known, new = Counted(), Counted(("new",))
    assert ask(tmp_path, known) == ("a", "b")
    assert ask(tmp_path, new, question="r") == ("new",)
    assert (known.calls, new.calls) == (0, 1)


def test_a_file_that_grew_too_large_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(tmp_path, Counted())
    monkeypatch.setattr(cache, "LIMIT", 100)
    Store(str(tmp_path)).close()
    assert count(str(tmp_path)) == 0


def test_another_process_that_is_writing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BUSY", 0.01)
    ask(tmp_path, Counted())
    base = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    base.execute("BEGIN EXCLUSIVE")
    try:
        assert ask(tmp_path, Counted(("again",)), question="r") == ("again",)
    finally:
        base.execute("ROLLBACK")
        base.close()
    assert count(str(tmp_path)) == 1


def test_processes_that_write_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from abicheck.cache import Store\n"
        "for r in range(20):\n"
        "    with Store(sys.argv[1]) as s:\n"
        "        for n in range(50):\n"
        "            assert s.recall(('f', n), 'q', lambda: (str(n),), tuple[str, ...]) == (str(n),)\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=env) for _ in range(4)]
    assert [j.wait(120) for j in jobs] == [0] * 4
    assert count(str(tmp_path)) == 50


# -- stamps and sources --------------------------------------------------------


def test_a_file_that_was_changed_just_now_has_no_stamp(tmp_path: Path) -> None:
    path = aged(tmp_path / "f", b"x")  # its time of change is now, whatever its time of modification says
    assert disk_stamp(str(path), path.stat()) is None


def test_a_stamp_tells_contents_apart(tmp_path: Path, settled: None) -> None:
    path = aged(tmp_path / "f", b"one")
    before = disk_stamp(str(path), path.stat())
    assert before == disk_stamp(str(path), path.stat()) is not None
    os.replace(aged(tmp_path / "g", b"two"), path)  # same name, size and time of modification
    assert disk_stamp(str(path), path.stat()) != before


def test_a_source_is_opened_only_when_its_answer_is_not_kept(tmp_path: Path) -> None:
    opened = []

    def opener() -> BytesSource:
        opened.append(1)
        return BytesSource("f", b"content")

    for _ in range(2):
        with Store(str(tmp_path)) as store:
            source = KeptSource(opener, store, STAMP)
            assert recall(source, "length", lambda s=source: len(s.pread(0, 99)), int) == 7
    assert len(opened) == 1
    with Store(str(tmp_path)) as store:
        assert (KeptSource(opener, store, STAMP).size, KeptSource(opener, store, STAMP).name) == (7, "f")


def test_names_in_compiled_code_are_kept_by_what_was_looked_for(tmp_path: Path) -> None:
    data = b"\0numpy\0pandas.core\0"
    with Store(str(tmp_path)) as store:
        for bare, found in ((frozenset({"numpy"}), ("numpy", "pandas.core")), (frozenset[str](), ("pandas.core",))):
            for _ in range(2):
                assert names_in(KeptSource(lambda: BytesSource("f", data), store, STAMP), bare) == found


# -- imports -------------------------------------------------------------------


def context(root: Path, store: Store | None) -> ImportContext:
    site = root / "lib/python3.12/site-packages"
    view = View(str(root), DiskTree(), lambda _: None)
    view.store = store
    stdlib = str(root / "lib/python3.12")
    return ImportContext(
        view, "linux-64", (3, 12), (str(site),), stdlib, f"{stdlib}/lib-dynload", (".cpython-312-x86_64-linux-gnu.so",),
        memory=Memory(),
    )  # fmt: skip


def test_imports_derive_the_same_with_a_cold_a_warm_and_no_cache(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "env/lib/python3.12/site-packages"
    aged(site / "pkg/__init__.py", b"import ctypes\nfrom . import _core\nx = 1.0\nctypes.CDLL('libz.so.1')\n")
    aged(site / "pkg/_core.cpython-312-x86_64-linux-gnu.so", b"\x7fELF\0pkg.other\0")
    aged(site / "pkg/other.py", b"def f(a: int = 3) -> None:\n    pass\n")
    read: list[str] = []
    summarize = summary.summarize
    monkeypatch.setattr(import_core, "summarize", lambda text: (read.append(text), summarize(text))[1])
    without = derive(context(tmp_path / "env", None), "pkg")
    runs = []
    for _ in range(2):
        read.clear()
        with Store(str(tmp_path / "cache")) as store:
            runs.append((derive(context(tmp_path / "env", store), "pkg"), len(read)))
    assert [effects for effects, _ in runs] == [without, without]
    assert {e.kind for e in without} >= {"extension", "dlopen"}
    assert (runs[0][1] > 0, runs[1][1]) == (True, 0)
    aged(site / "pkg/__init__.py", b"from . import _core\n")
    with Store(str(tmp_path / "cache")) as store:
        assert {e.kind for e in derive(context(tmp_path / "env", store), "pkg")} == {"extension"}
