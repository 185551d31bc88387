"""What a judgement rests on: host, interpreter, both views, processes; and the trace of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.rules.made_elf import EXT, SITE, Bench

from abicheck.engine import make_stage, trace
from abicheck.errors import InputError, UsageError
from abicheck.host import NOTHING, this_platform
from abicheck.prefix import open_prefix
from abicheck.stage import choose_host, require_interpreter


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- the host that is meant -----------------------------------------------------------------


def test_words_for_a_host() -> None:
    assert choose_host("none", "linux-64") is NOTHING
    assert choose_host("auto", this_platform()).complete
    assert not choose_host("auto", "osx-arm64" if this_platform() != "osx-arm64" else "win-64").complete
    assert choose_host("glibc=2.28", "linux-64").glibc == (2, 28)


def test_a_distribution_by_name() -> None:
    host = choose_host("rhel-8", "linux-64")
    assert (host.kind, host.libc, host.glibc) == ("profile", "glibc", (2, 28))
    assert not host.complete, "more may be installed than the profile lists"
    assert "GLIBCXX_3.4.25" in host.provides["libstdc++.so.6"]
    assert "GLIBCXX_3.4.26" not in host.provides["libstdc++.so.6"]


def test_neither_word_nor_file() -> None:
    with pytest.raises(UsageError, match="no-such-host"):
        choose_host("no-such-host", "linux-64")


# -- the stage ---------------------------------------------------------------------------------


def test_an_environment_without_python(tmp_path: Path) -> None:
    Maker(tmp_path / "bare").record("zlib", "1.3", {"lib/libz.so.1": b""})
    with pytest.raises(InputError, match="has no Python"):
        require_interpreter(open_prefix(str(tmp_path / "bare")))


def test_a_platform_without_a_loader(tmp_path: Path) -> None:
    bench = Maker(tmp_path / "env")
    bench.python()
    stage = make_stage(open_prefix(str(tmp_path / "env")), host="none", platform="emscripten-wasm32")
    with pytest.raises(InputError, match="no dynamic loader that abicheck knows"):
        stage.starter(stage.after)


def test_without_wheels_there_is_one_view(bench: Bench) -> None:
    stage = make_stage(open_prefix(str(bench.maker.root)), host="none")
    assert stage.before is stage.after and stage.simulator_before is stage.simulator
    assert stage.importer_before is stage.importer


def test_processes_of_one_view_share_what_they_bound(bench: Bench) -> None:
    bench.conda("tool", bench.ext())
    stage = make_stage(open_prefix(str(bench.maker.root)), host="none")
    start = stage.starter(stage.after)
    one, two = start(), start()
    assert one is not two and one.same_bindings(0, two, 0)
    assert stage.scout.base().trace.objects[0].real == stage.simulator.base().trace.objects[0].real


# -- trace (contract.md section 5) ----------------------------------------------------------------


def test_a_trace_names_everything_by_its_place_in_the_environment(bench: Bench) -> None:
    library = bench.lib("x/liby.so.1", "int y(void) { return 1; }")
    bench.conda("tool", bench.ext("y", needed=("x/liby.so.1",)), {"lib/liby.so.1": library})
    told = trace([], prefix=str(bench.maker.root), imports=["tool"], host="none", bindings=True)
    (event,) = told["events"]
    assert (event["open"], event["import"], event["outcome"]) == (f"{SITE}/tool/{EXT}", "tool", "loaded")
    assert event["module"] == "tool._ext"
    assert event["chain"] == [{"module": "tool", "file": f"{SITE}/tool/__init__.py", "line": 1}]
    assert event["because"] == "tool/__init__.py:1" and event["certain"]
    assert [(o["path"], o["how"], o["event"]) for o in told["objects"]] == [
        ("bin/python3.12", "program", None), (f"{SITE}/tool/{EXT}", "opened", 0), ("lib/liby.so.1", "rpath", 0),
    ]  # fmt: skip
    served = told["objects"][2]
    assert served["requested_as"] == "liby.so.1" and served["requested_by"] == f"{SITE}/tool/{EXT}"
    assert served["how_owner"] == "bin/python3.12" and served["origin"]["name"] == "tool" and served["kept"]
    assert {"object": f"{SITE}/tool/{EXT}", "symbol": "y", "version": None, "provider": "lib/liby.so.1"} in told[
        "bindings"
    ]
    assert str(bench.folder) not in str(told)


def test_what_the_interpreter_preloads_comes_before_an_import(bench: Bench) -> None:
    """A ``.pth`` file's import lines run before anything is imported, in a real process and in the gate."""
    early = {f"{SITE}/early.pth": b"import early\n", f"{SITE}/late.pth": b"import os\n"}
    bench.conda("early", bench.ext(), early)
    bench.conda("tool", bench.ext())
    root = str(bench.maker.root)
    first, second = trace([], prefix=root, imports=["tool"], host="none")["events"]
    assert (first["open"], first["import"], first["module"]) == (f"{SITE}/early/{EXT}", None, "early._ext")
    assert first["chain"][0]["file"] == f"{SITE}/early.pth"
    assert (second["open"], second["import"]) == (f"{SITE}/tool/{EXT}", "tool")
    told = trace([f"{SITE}/tool/{EXT}"], prefix=root, host="none")
    assert [e["open"] for e in told["events"]] == [f"{SITE}/tool/{EXT}"]  # FILEs are all that is loaded


def test_a_load_that_fails_is_told_and_undone(bench: Bench) -> None:
    bench.lib("x/libgone.so.1", "int y(void) { return 1; }")
    wheel = bench.wheel(bench.ext("y", needed=("x/libgone.so.1",)))
    told = trace([f"{wheel}!grid/{EXT}", "liby.so.1"], prefix=str(bench.maker.root), host="glibc=2.36")
    assert told["target"] == {"platform": "linux-64", "python": "3.12.4", "host": {"glibc": "2.36"}}
    assert told["events"][0]["open"] == f"{SITE}/grid/{EXT}"


@pytest.mark.parametrize(
    ("files", "imports", "says"),
    [
        (["{wheel}!grid/none.so"], [], "has no member grid/none.so"),
        ([], ["no_such_module"], "no module no_such_module"),
    ],
)
def test_what_is_not_there(bench: Bench, files: list[str], imports: list[str], says: str) -> None:
    wheel = bench.wheel(bench.ext())
    with pytest.raises(InputError, match=says):
        trace([f.format(wheel=wheel) for f in files], prefix=str(bench.maker.root), imports=imports, host="none")


def test_a_file_on_disk_is_part_of_the_question_whatever_the_host(bench: Bench, tmp_path: Path) -> None:
    """A path on disk is a FILE too (contract.md section 5); ``--host none`` only says that the host is not known."""
    bench.conda("tool", bench.ext())
    away = tmp_path / "away"
    away.mkdir()
    (away / "libz.so.1").write_bytes(bench.lib("z/libz.so.1", "int z(void) { return 1; }"))
    (away / "x.so").write_bytes(bench.ext("z", needed=("z/libz.so.1",), name="x", rpath="$ORIGIN"))
    told = trace([str(away / "x.so")], prefix=str(bench.maker.root), host="none")
    assert [e["outcome"] for e in told["events"]] == ["loaded"]
    assert [o["path"] for o in told["objects"][1:]] == [str(away / "x.so"), str(away / "libz.so.1")]
    gone = trace([str(away / "gone.so")], prefix=str(bench.maker.root), host="none")["events"][0]
    assert gone["outcome"] == "failed" and gone["error"].endswith("No such file or directory")
