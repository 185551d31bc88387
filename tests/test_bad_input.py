"""What is no good as input ends in one clear line and the right status; nothing is written, no traceback is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.prefix.making import Maker
from tests.rules.made_elf import EXT, Bench
from tests.wheel.making import make_wheel

REPO = Path(__file__).resolve().parents[1]


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def abicheck(*arguments: str | Path, cwd: Path) -> Ran:
    """The command in a process of its own, in a folder whose whole content must stay as it is."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ABICHECK", "CONDA"))}
    environment |= {"PYTHONPATH": str(REPO / "src"), "ABICHECK_CACHE_DIR": str(cwd.parent / "cache"), "COLUMNS": "200"}
    before = tree(cwd)
    command = [sys.executable, "-m", "abicheck", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert tree(cwd) == before, "abicheck writes nothing"
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a folder: mode, size, time of change."""
    found = {str(p.relative_to(folder)): p.lstat() for p in folder.rglob("*")}
    return {name: (st.st_mode, st.st_size, st.st_mtime_ns) for name, st in found.items()}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with an environment ``env``, whose Python does nothing, and room for what a test puts there."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def bench(here: Path) -> Bench:
    return Bench(here)


def error(ran: Ran) -> str:
    """The first line of an input error: ``error: name`` and what it says below."""
    assert ran.status == 2, (ran.out, ran.err)
    lines = ran.err.strip().splitlines()
    assert lines[0].startswith("error: ") and len(lines) <= 6, ran.err
    return " ".join(line.strip() for line in lines)


# -- wheels that are none ----------------------------------------------------------------------


def plain(folder: Path) -> Path:
    return make_wheel(folder, "toy", "1.0", {"toy/__init__.py": b""}, tag="py3-none-any")


def not_a_zip(folder: Path) -> Path:
    path = folder / "toy-1.0-py3-none-any.whl"
    path.write_bytes(b"<html>404 not found</html>" * 100)
    return path


def truncated(folder: Path) -> Path:
    path = plain(folder)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def empty(folder: Path) -> Path:
    path = folder / "toy-1.0-py3-none-any.whl"
    path.write_bytes(b"")
    return path


def source_distribution(folder: Path) -> Path:
    path = folder / "toy-1.0.tar.gz"
    path.write_bytes(b"\x1f\x8b" + b"0" * 100)
    return path


def no_dist_info(folder: Path) -> Path:
    path = folder / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("toy/__init__.py", b"")
    return path


def climbing(folder: Path) -> Path:
    return make_wheel(folder, "toy", "1.0", tag="py3-none-any", raw=[("../../etc/profile.d/x.sh", b"boom")])


def absolute(folder: Path) -> Path:
    return make_wheel(folder, "toy", "1.0", tag="py3-none-any", raw=[("/etc/profile.d/x.sh", b"boom")])


def controls(folder: Path) -> Path:
    return make_wheel(folder, "toy", "1.0", tag="py3-none-any", raw=[("toy/\x1b[31mred\x07.py", b"")])


def bomb(folder: Path) -> Path:
    """Says that it is small, and is not: a ratio that deflate cannot have."""
    path = make_wheel(folder, "toy", "1.0", {"toy/zeros.so": b"\x7fELF" + bytes(1 << 20)}, tag="py3-none-any")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (not_a_zip, "toy-1.0-py3-none-any.whl"),
        (truncated, "toy-1.0-py3-none-any.whl"),
        (empty, "toy-1.0-py3-none-any.whl"),
        (source_distribution, "toy-1.0.tar.gz"),
        (no_dist_info, "dist-info"),
        (climbing, "etc/profile.d/x.sh"),
        (absolute, "etc/profile.d/x.sh"),
        (bomb, "toy-1.0-py3-none-any.whl"),
        (lambda folder: folder / "gone.whl", "gone.whl"),
        (lambda folder: folder / "no-such-*.whl", "no-such-"),
    ],
    ids=["not a zip", "cut off", "empty", "sdist", "no dist-info", "climbing", "absolute", "bomb", "gone", "glob"],
)  # fmt: skip
def test_no_wheel(here: Path, bench: Bench, make: Callable[[Path], Path], says: str) -> None:
    operand = make(here)
    assert says in error(abicheck(operand.name, "-p", "env", cwd=here))


@pytest.mark.skipif(os.name == "nt", reason="needs a system with links and pipes among its files")
@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda p: p.symlink_to("gone"), "a link to a file that is not there"),
     (lambda p: p.symlink_to(p.name), "a link to a file that is not there"),
     (lambda p: os.mkfifo(p), "neither a file nor a folder")],
    ids=["dangling", "loop", "pipe"],
)  # fmt: skip
def test_what_is_there_and_no_file(here: Path, bench: Bench, make: Callable[[Path], object], says: str) -> None:
    make(here / "toy-1.0-py3-none-any.whl")
    said = error(abicheck("toy-1.0-py3-none-any.whl", "-p", "env", cwd=here))
    assert says in said and "did you mean" not in said


def test_control_characters_of_a_name_do_not_reach_the_terminal(here: Path, bench: Bench) -> None:
    wheel = controls(here)
    for form in ("text", "json"):
        ran = abicheck(wheel.name, "-p", "env", "-f", form, cwd=here)
        assert ran.status in (0, 2, 4) and "\x1b" not in ran.out + ran.err and "\x07" not in ran.out + ran.err


def test_the_document_has_the_error_too(here: Path, bench: Bench) -> None:
    ran = abicheck(not_a_zip(here).name, "-p", "env", "-f", "json", cwd=here)
    found = json.loads(ran.out)
    assert ran.status == found["exit_code"] == 2 and "toy-1.0-py3-none-any.whl" in found["error"]["message"]


def test_one_bad_wheel_among_good_ones_judges_nothing(here: Path, bench: Bench) -> None:
    good = make_wheel(here / "more", "good", "1.0", {"good/__init__.py": b""}, tag="py3-none-any")
    assert "toy-1.0" in error(abicheck(good, not_a_zip(here).name, "-p", "env", cwd=here))


def test_a_file_that_may_not_be_read(here: Path, bench: Bench) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file: needs a user whom the system refuses one")
    wheel = plain(here)
    wheel.chmod(0)
    assert "Permission denied" in error(abicheck(wheel.name, "-p", "env", cwd=here))


# -- wheels with which nothing is wrong, or something else ---------------------------------------


def test_a_wheel_without_native_code_passes_and_says_so(here: Path, bench: Bench) -> None:
    ran = abicheck(plain(here).name, "-p", "env", "--host", "none", cwd=here)
    assert ran.status == 0 and "nothing to load: no wheel contains native code" in ran.out


@pytest.mark.parametrize("tag", ["cp312-cp312-win_amd64", "cp312-cp312-macosx_11_0_arm64", "cp39-cp39-linux_x86_64"])
def test_a_wheel_for_elsewhere_is_a_finding(here: Path, bench: Bench, tag: str) -> None:
    wheel = make_wheel(here, "toy", "1.0", {"toy/__init__.py": b""}, tag=tag)
    ran = abicheck(wheel.name, "-p", "env", "--host", "none", "-f", "json", cwd=here)
    found = json.loads(ran.out)
    assert ran.status == 1 and [f["rule"]["id"] for f in found["findings"]] == ["ABI001"]


# -- binaries that cannot be read: status 4 --------------------------------------------------------


def damaged(bench: Bench, how: str) -> bytes:
    whole = bytearray(bench.ext())
    if how == "cut off":
        return bytes(whole[: len(whole) // 3])
    if how == "huge offsets":
        whole[32:40] = (0x7FFFFFFFFFFFFFF0).to_bytes(8, "little")  # e_phoff
    if how == "many headers":
        whole[56:58] = b"\xff\xff"  # e_phnum
    if how == "only a header":
        return bytes(whole[:64])
    return bytes(whole)


@pytest.mark.parametrize("how", ["cut off", "huge offsets", "many headers", "only a header"])
def test_a_broken_library_of_the_wheel(here: Path, bench: Bench, how: str) -> None:
    wheel = bench.wheel(damaged(bench, how))
    ran = abicheck(wheel, "-p", "env", "--host", "glibc=2.36", "-f", "json", cwd=here)
    found = json.loads(ran.out)
    assert ran.status in (1, 4), ran
    assert ran.status == found["exit_code"]
    told = [s["path"] for s in found["skipped"]]
    assert f"grid/{EXT}" in told
    if ran.status == 1:  # the loader is known to refuse it
        assert {f["rule"]["id"] for f in found["findings"] if f["fails"]} <= {"ABI102", "ABI002"}
    text = abicheck(wheel, "-p", "env", "--host", "glibc=2.36", cwd=here)
    assert f"grid/{EXT}" in text.out and text.status == ran.status


def test_a_member_that_cannot_be_unpacked_to_its_end(here: Path, bench: Bench) -> None:
    """What the library holds is unknown; it is not missing. One whose first bytes cannot be had is no input at all."""
    wheel = bench.wheel(bench.ext() + os.urandom(50_000))
    whole = wheel.read_bytes()
    middle = whole.index(EXT.encode()) + len(EXT) + 2_000
    wheel.write_bytes(whole[:middle] + bytes(2_000) + whole[middle + 2_000 :])
    ran = abicheck(wheel, "-p", "env", "--host", "none", cwd=here)
    assert ran.status == 4 and f"grid/{EXT}" in ran.out and "ABI101" not in ran.out, ran.out
    start = whole.index(EXT.encode()) + len(EXT)
    wheel.write_bytes(whole[:start] + b"\xff" * 64 + whole[start + 64 :])
    assert "cannot be unpacked" in error(abicheck(wheel, "-p", "env", "--host", "none", cwd=here))


def test_it_may_be_accepted(here: Path, bench: Bench) -> None:
    """A damaged table behind a header in order: what the loader makes of it is not known."""
    whole = bytearray(bench.ext())
    at = whole.index((0x6FFFFEF5).to_bytes(8, "little"))  # DT_GNU_HASH
    whole[at + 8 : at + 16] = (0x7FFFFFFF0000).to_bytes(8, "little")
    wheel = bench.wheel(bytes(whole))
    ran = abicheck(wheel, "-p", "env", "--host", "none", cwd=here)
    assert ran.status == 4 and f"grid/{EXT}" in ran.out and "exit 4" in ran.out
    assert abicheck(wheel, "-p", "env", "--host", "none", "--allow-incomplete", cwd=here).status == 0


def test_a_broken_library_that_nothing_loads_is_not_the_wheels_affair(here: Path, bench: Bench) -> None:
    bench.conda("other", files={"lib/libother.so.1": b"\x7fELF\x02\x01\x01" + bytes(20)})
    ran = abicheck(bench.wheel(bench.ext()), "-p", "env", "--host", "none", cwd=here)
    assert ran.status == 0, ran.out


def test_a_broken_library_of_the_environment_that_the_wheel_loads(here: Path, bench: Bench) -> None:
    whole = bench.lib("libother.so.1", "int other(void) { return 1; }")
    wheel = bench.wheel(bench.ext("other", needed=("libother.so.1",)))
    bench.conda("other", files={"lib/libother.so.1": whole})
    assert abicheck(wheel, "-p", "env", "--host", "none", cwd=here).status == 0
    (here / "env" / "lib" / "libother.so.1").write_bytes(whole[: len(whole) // 2])
    ran = abicheck(wheel, "-p", "env", "--host", "none", cwd=here)
    assert ran.status == 4 and "lib/libother.so.1   ends after" in ran.out, ran.out
    assert "1 file could not be read" in ran.out and "reinstall the package that owns the file" in ran.out


def test_an_interpreter_that_is_cut_off(here: Path, bench: Bench) -> None:
    program = here / "env" / "bin" / "python3.12"
    program.write_bytes(program.read_bytes()[: program.stat().st_size // 2])
    ran = abicheck(bench.wheel(bench.ext()), "-p", "env", "--host", "none", cwd=here)
    assert ran.status == 4 and "bin/python3.12   ends after" in ran.out, ran.out


# -- environments that are none -----------------------------------------------------------------


def no_prefix(here: Path) -> str:
    (here / "folder").mkdir()
    return "folder"


def no_python(here: Path) -> str:
    Maker(here / "bare").record("zlib", "1.3", {"lib/libz.so.1": b""})
    return "bare"


def broken_record(here: Path) -> str:
    made = Maker(here / "broken")
    made.python()
    (made.root / "conda-meta" / "zlib-1.3-h0_0.json").write_text("{ not json")
    return "broken"


def a_file(here: Path) -> str:
    (here / "file").write_bytes(b"\x28\xb5\x2f\xfd not a snapshot")
    return "file"


@pytest.mark.parametrize(
    "make", [lambda _here: "gone", no_prefix, no_python, a_file, lambda _here: ""],
    ids=["gone", "a folder", "no python", "a file", "empty"],
)  # fmt: skip
def test_no_environment(here: Path, make: Callable[[Path], str]) -> None:
    place = make(here)
    said = error(abicheck(plain(here).name, "-p", place, cwd=here))
    assert place in said


def test_an_environment_of_which_nothing_tells_the_platform(here: Path, bench: Bench) -> None:
    """conda's history alone makes it one, and its Python is there."""
    meta = here / "env" / "conda-meta"
    for record in meta.glob("*.json"):
        record.unlink()
    (meta / "history").write_text("")
    wheel = bench.wheel(bench.ext())
    assert "--platform" in error(abicheck(wheel, "-p", "env", cwd=here))
    assert abicheck(wheel, "-p", "env", "--platform", "linux-64", "--host", "none", cwd=here).status in (0, 1, 4)


def test_a_record_that_cannot_be_read_is_told(here: Path) -> None:
    ran = abicheck(plain(here).name, "-p", broken_record(here), "--host", "none", cwd=here)
    assert ran.status in (2, 4) and "zlib-1.3-h0_0" in ran.out + ran.err


# -- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-p", "env", "--host", "glibc=two"), "glibc=two"),
        (("-p", "env", "--host", "no-such-file.json"), "no-such-file.json"),
        (("-p", "env", "--env", "NOTHING"), "NOTHING"),
        (("-p", "env", "--select", "ABI998"), "ABI998"),
        (("-p", "env", "-f", "yaml"), "yaml"),
        (("-p", "env", "--no-such-option"), "--no-such-option"),
        (("-p", "env", "-r", "gone.txt"), "gone.txt"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_words_that_mean_nothing(here: Path, bench: Bench, arguments: Sequence[str], says: str) -> None:
    ran = abicheck(plain(here).name, *arguments, cwd=here)
    assert ran.status == 2 and says in ran.err


NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        ("r.json", NESTED, ("r.json",)),
        ("pylock.toml", f"x = {NESTED}", ("pylock.toml",)),
        ("base.json", NESTED, ("WHEEL", "--baseline", "base.json")),
        ("host.json", NESTED, ("WHEEL", "--host", "host.json")),
        ("abicheck.toml", f"x = {NESTED}", ("WHEEL", "--config", "abicheck.toml")),
    ],
    ids=["report", "lock", "baseline", "host", "config"],
)  # fmt: skip
def test_documents_that_nest_without_end(here: Path, bench: Bench, name: str, text: str, arguments: list[str]) -> None:
    wheel = plain(here).name
    (here / name).write_text(text)
    assert name in error(abicheck(*(wheel if a == "WHEEL" else a for a in arguments), "-p", "env", cwd=here))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("trace", "./gone.so", "-p", "env"), "gone.so: cannot open shared object file: No such file or directory"),
        (("trace", "toy-1.0-py3-none-any.whl!no/such.so", "-p", "env"), "no/such.so"),
        (("inspect", "gone.so"), "gone.so"),
        (("explain", "ABI998"), "ABI998"),
        (("snapshot", "-p", "gone", "-o", "x.abisnap"), "gone"),
    ],
    ids=lambda v: v[0] if isinstance(v, tuple) else "",
)
def test_other_commands(here: Path, bench: Bench, arguments: Sequence[str], says: str) -> None:
    plain(here)
    ran = abicheck(*arguments, cwd=here)
    assert says in ran.out + ran.err
    assert ran.status == (0 if arguments[1] == "./gone.so" else 2), "a trace tells of a failed load; it judges nothing"


def test_a_library_that_is_none(here: Path, bench: Bench) -> None:
    (here / "x.so").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(30))
    ran = abicheck("inspect", "x.so", cwd=here)
    assert ran.status == 4 and "x.so" in ran.out + ran.err
