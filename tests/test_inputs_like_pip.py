"""Operands as pip reads them and chooses among files: compared with its ``--dry-run --report`` when written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import make_wheel

from abicheck.admission import accepted_tags
from abicheck.errors import InputError
from abicheck.host import declared
from abicheck.inputs import Inputs, read_operands
from abicheck.prefix import Prefix, open_prefix

ANY = "py3-none-any"


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    made = Maker(tmp_path / "env")
    made.python()
    made.pip_distribution("there", "1.5+local")
    return open_prefix(str(made.root))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "house"
    for name, version in (("local", "2.0"), ("local", "2.0+cpu"), ("local", "2.0+cu118"), ("grid", "1.0"),
                          ("grid", "1.0.post1"), ("there", "1.5"), ("there", "1.6")):  # fmt: skip
        make_wheel(folder, name, version, {f"{name}.py": b""}, tag=ANY)
    for build in ("1", "2", "10"):
        made = make_wheel(folder / "x", "built", "1.0", {"built.py": b""}, tag=ANY)
        made.rename(folder / f"built-1.0-{build}-{ANY}.whl")
    for version, level in (("1.0", "17"), ("2.0", "38")):
        make_wheel(folder, "newer", version, {"newer.py": b""}, tag=f"cp312-cp312-manylinux_2_{level}_x86_64")
    monkeypatch.chdir(tmp_path)
    return folder


def names(inputs: Inputs) -> list[str]:
    return [r.wheel.filename for r in inputs.requests]


@pytest.mark.parametrize(
    ("operand", "chosen"),
    [
        ("local==2.0", f"local-2.0+cu118-{ANY}.whl"),
        ("local==2.0+cpu", f"local-2.0+cpu-{ANY}.whl"),
        ("local===2.0", f"local-2.0-{ANY}.whl"),
        ("Local==2", f"local-2.0+cu118-{ANY}.whl"),
        ("built==1.0", f"built-1.0-10-{ANY}.whl"),
        ("grid==1.0", f"grid-1.0-{ANY}.whl"),
        ("grid<=1.0,==1.0", f"grid-1.0-{ANY}.whl"),
    ],
)
def test_the_file_that_pip_takes(prefix: Prefix, house: Path, operand: str, chosen: str) -> None:
    assert names(read_operands([operand], prefix, find_links=[str(house)])) == [chosen]


def test_what_is_installed_and_meets_it_stays(prefix: Prefix, house: Path) -> None:
    found = read_operands(["there==1.5"], prefix, find_links=[str(house)])
    assert not found.requests and not found.missing
    assert [(p.filename, p.reason) for p in found.passed_over] == [
        ("there==1.5", "there 1.5+local is installed already and meets it")
    ]
    assert names(read_operands(["there==1.6"], prefix, find_links=[str(house)])) == [f"there-1.6-{ANY}.whl"]


def test_a_folder_gives_what_this_python_and_host_take(prefix: Prefix, house: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "made", "asks", "2.0", {"asks.py": b""}, tag=ANY)
    make_wheel(house, "asks", "1.0", {"asks.py": b""}, tag=ANY)
    _requires_python(wheel, house / wheel.name, ">=3.13")
    assert prefix.interpreter is not None
    tags = accepted_tags(prefix.interpreter, prefix.subdir, declared("glibc=2.28", prefix.subdir))
    chosen = {r.wheel.name: r.wheel.version for r in read_operands([str(house)], prefix, tags=tags).requests}
    assert (chosen["asks"], chosen["newer"], chosen["local"]) == ("1.0", "1.0", "2.0+cu118")
    newest = {r.wheel.name: r.wheel.version for r in read_operands([str(house)], prefix).requests}
    assert newest["newer"] == "2.0"


def _requires_python(wheel: Path, to: Path, value: str) -> None:
    import zipfile

    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(to, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("/METADATA"):
                data += f"Requires-Python: {value}\n".encode()
            new.writestr(info.filename, data)


def digest(algorithm: str, path: Path) -> str:
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "line",
    [
        "grid==${GRID_VERSION}",
        "${HOUSE}/grid-1.0-py3-none-any.whl",
        "file://{house}/grid-1.0-py3-none-any.whl",
        "file://{house}/grid-1.0-py3-none-any.whl#sha256={sha256}",
        "file:house/grid-1.0-py3-none-any.whl",
        "house/grid-1.0-py3-none-any.whl[fast] ; python_version > '3'",
        "https://files.example/aa/bb/grid-1.0-py3-none-any.whl#sha256={sha256}",
        "grid @ https://files.example/grid-1.0-py3-none-any.whl",
        "grid==1.0 \\\n  --hash=sha512:{sha512} --hash=sha256:{zeros}",
        'grid==1.0 --config-settings="a = b"',
        "-c limits.txt\ngrid",
        "--constraint=limits.txt\ngrid>=0.5",
        "-fhouse\ngrid==1.0",
        "-r more.txt",
    ],
)
def test_lines_that_pip_understands(
    prefix: Prefix, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("GRID_VERSION", "1.0")
    monkeypatch.setenv("HOUSE", str(house))
    wheel = house / f"grid-1.0-{ANY}.whl"
    text = line.replace("{house}", str(house)).replace("{zeros}", "0" * 64)
    for algorithm in ("sha256", "sha512"):
        text = text.replace(f"{{{algorithm}}}", digest(algorithm, wheel))
    (tmp_path / "limits.txt").write_text("# ours\ngrid==1.0\nother<3\n./x.whl\n")
    (tmp_path / "more.txt").write_text("--find-links house\n-c limits.txt\ngrid\n")
    (tmp_path / "requirements.txt").write_text(text + "\n")
    links = [] if "house\n" in line or "more.txt" in line else [str(house)]
    found = read_operands([], prefix, requirements=[str(tmp_path / "requirements.txt")], find_links=links)
    assert names(found) == [wheel.name] and not found.missing


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("grid==1.0 --hash=sha512:" + "0" * 128, "hash-mismatch"),
        ("file:house/grid-1.0-py3-none-any.whl#sha384=" + "0" * 96, "hash-mismatch"),
        ("-c limits.txt\ngrid==1.0.post1", "contradiction"),
        ("grid==${NOT_SET_ANYWHERE}", "not-understood"),
        ("--pre\ngrid", "not-pinned"),
    ],
)
def test_lines_that_pip_refuses_or_must_resolve(
    prefix: Prefix, house: Path, tmp_path: Path, text: str, reference: str
) -> None:
    (tmp_path / "limits.txt").write_text("grid==1.0\n")
    (tmp_path / "requirements.txt").write_text(text + "\n")
    with pytest.raises(InputError) as caught:
        read_operands([], prefix, requirements=[str(tmp_path / "requirements.txt")], find_links=[str(house)])
    assert caught.value.reference == reference


def test_an_address_that_is_not_here_is_named(prefix: Prefix, house: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("https://files.example/gone-1.0%2Bcpu-py3-none-any.whl\n")
    (missing,) = read_operands([], prefix, requirements=[str(tmp_path / "requirements.txt")]).missing
    assert (missing.name, missing.version, missing.filename) == ("gone", "1.0+cpu", f"gone-1.0+cpu-{ANY}.whl")


def test_nothing_to_install_is_no_error(prefix: Prefix, house: Path, tmp_path: Path) -> None:
    """pip succeeds, so the gate does."""
    report = b'{"version": "1", "install": [], "environment": {}}'
    assert [p.reason for p in read_operands(["-"], prefix, stdin=report).passed_over] == [
        "pip would install nothing: all it was asked for is there"
    ]
    (tmp_path / "requirements.txt").write_text("grid==1.0 ; sys_platform == 'win32'\nthere==1.5\n")
    found = read_operands([], prefix, requirements=[str(tmp_path / "requirements.txt")])
    assert [p.filename for p in found.passed_over] == ["grid==1.0", "there==1.5"]
    lock = 'lock-version = "1.0"\ncreated-by = "me"\n[[packages]]\nname = "grid"\nversion = "1.0"\n'
    lock += 'marker = "sys_platform == \'win32\'"\n[[packages.wheels]]\nname = "grid-1.0-py3-none-any.whl"\n'
    lock += f'url = "https://files.example/grid-1.0-py3-none-any.whl"\nhashes = {{sha256 = "{"0" * 64}"}}\n'
    (tmp_path / "pylock.toml").write_text(lock)
    found = read_operands([str(tmp_path / "pylock.toml")], prefix)
    assert not found.requests and [p.filename for p in found.passed_over] == ["pylock.toml"]
