"""Operands of every kind become wheels, missing wheels, or a clear error with a hint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.prefix.making import Maker
from tests.wheel.making import ELF, make_wheel

from abicheck.errors import InputError
from abicheck.inputs import Inputs, read_operands
from abicheck.inputs.markers import marker_environment, supported_tags
from abicheck.prefix import Prefix, open_prefix

TAG = "cp312-cp312-manylinux_2_28_x86_64"


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    made = Maker(tmp_path / "env")
    made.python()
    return open_prefix(str(made.root))


@pytest.fixture
def house(tmp_path: Path) -> Path:
    folder = tmp_path / "wheelhouse"
    for name, version, tag in (
        ("fast", "1.0", TAG),
        ("fast", "2.0", TAG),
        ("fast", "2.0", "cp311-cp311-manylinux_2_28_x86_64"),
        ("fast", "3.0rc1", TAG),
        ("other", "1.0", "cp312-cp312-win_amd64"),
        ("pure", "1.0", "py3-none-any"),
    ):
        make_wheel(folder, name, version, {f"{name}/_x.so": ELF}, tag=tag)
    return folder


def names(inputs: Inputs) -> list[str]:
    return [r.wheel.filename for r in inputs.requests]


def refused(prefix: Prefix, *operands: str, **options: object) -> InputError:
    with pytest.raises(InputError) as caught:
        read_operands(operands, prefix, **options)  # type: ignore[arg-type]
    assert caught.value.exit_status == 2
    return caught.value


# -- files and folders ---------------------------------------------------------


def test_wheel_by_path_with_extras(prefix: Prefix, house: Path) -> None:
    path = house / f"fast-2.0-{TAG}.whl"
    (request,) = read_operands([f"{path}[Big,x]"], prefix).requests
    assert request.wheel.requested_extras == {"big", "x"}
    assert (request.requested, request.direct_url, request.asked_by) == (True, True, None)


def test_folder_gives_what_pip_would_choose_and_says_what_it_left(prefix: Prefix, house: Path) -> None:
    found = read_operands([str(house)], prefix)
    assert names(found) == [f"fast-2.0-{TAG}.whl", "other-1.0-cp312-cp312-win_amd64.whl", "pure-1.0-py3-none-any.whl"]
    assert {p.filename: p.reason for p in found.passed_over} == {
        f"fast-1.0-{TAG}.whl": f"pip prefers fast-2.0-{TAG}.whl",
        "fast-2.0-cp311-cp311-manylinux_2_28_x86_64.whl": "does not fit this environment",
        f"fast-3.0rc1-{TAG}.whl": f"pip prefers fast-2.0-{TAG}.whl",
    }


def test_pattern_that_the_shell_left(prefix: Prefix, house: Path) -> None:
    assert names(read_operands([f"{house}/pure*.whl"], prefix)) == ["pure-1.0-py3-none-any.whl"]


def test_same_wheel_twice_counts_once_and_two_of_a_project_do_not_go(prefix: Prefix, house: Path) -> None:
    path = str(house / f"fast-2.0-{TAG}.whl")
    assert len(read_operands([path, path], prefix).requests) == 1
    assert refused(prefix, path, str(house / f"fast-1.0-{TAG}.whl")).reference == "two-of-a-project"


@pytest.mark.parametrize(
    ("name", "reference", "hint"),
    [
        ("x-1.0.tar.gz", "source-archive", "pip wheel --no-deps"),
        ("x-1.0.zip", "source-archive", "pip wheel"),
        ("x.so", "a-library", "abicheck inspect"),
        ("libx.so.1.2", "a-library", "abicheck inspect"),
        ("x.pyd", "a-library", "abicheck inspect"),
        ("x-1.0-0.conda", "a-conda-package", "abicheck inspect"),
        ("x-1.0-0.tar.bz2", "a-conda-package", "abicheck inspect"),
        ("requirements.txt", "a-requirements-file", "abicheck -r"),
        ("README", "not-a-wheel", ".whl"),
        ("broken.json", "not-a-report", "--report"),
        ("pylock.toml", "not-a-lock", ""),
    ],
)
def test_files_that_are_no_operand(prefix: Prefix, tmp_path: Path, name: str, reference: str, hint: str) -> None:
    path = tmp_path / name
    path.write_text("x")
    error = refused(prefix, str(path))
    assert error.reference == reference
    assert hint in error.hint
    assert name in error.message


def test_what_is_not_there_names_near_misses(prefix: Prefix, house: Path) -> None:
    error = refused(prefix, str(house / f"fats-2.0-{TAG}.whl"))
    assert error.reference == "no-such-file"
    assert "fast-2.0" in error.hint
    assert "==VERSION" in refused(prefix, "numpy").hint
    assert "==VERSION" in refused(prefix, "numpy>=2").hint
    assert refused(prefix, "https://host.example/x-1.0-py3-none-any.whl").reference == "an-address"
    assert refused(prefix, f"{house}/none*.whl").reference == "no-such-file"


def test_empty_folder_and_no_operand(prefix: Prefix, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refused(prefix, str(tmp_path / "empty")).reference == "no-wheels"
    assert refused(prefix).reference == "nothing-to-check"


# -- names and find-links ------------------------------------------------------


def test_pinned_name_with_find_links(prefix: Prefix, house: Path) -> None:
    (request,) = read_operands(["fast[x]==2"], prefix, find_links=[str(house)]).requests
    assert request.wheel.filename == f"fast-2.0-{TAG}.whl"
    assert (request.requested, request.direct_url) == (True, False)
    assert request.wheel.requested_extras == {"x"}


def test_pinned_name_that_is_not_there_is_named_not_forgotten(prefix: Prefix, house: Path) -> None:
    (house / "src-1.0.tar.gz").write_bytes(b"")
    found = read_operands(["fast==9", "src==1.0"], prefix, find_links=[str(house)])
    assert [(m.name, m.version) for m in found.missing] == [("fast", "9"), ("src", "1.0")]
    assert "source archive" in found.missing[1].reason
    assert refused(prefix, "fast==2").reference == "no-find-links"
    assert refused(prefix, "fast==2", find_links=["nowhere"]).reference == "no-such-folder"
    assert refused(prefix, "fast==2", find_links=["https://host.example/x"]).reference == "not-a-folder"


# -- requirements --------------------------------------------------------------


def requirements(tmp_path: Path, text: str) -> str:
    path = tmp_path / "requirements.txt"
    path.write_text(text)
    return str(path)


def test_requirements_give_the_line_that_asked(prefix: Prefix, house: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("\n\npure==1.0\n")
    text = (
        "# a comment\n"
        "--find-links wheelhouse\n"
        "-i https://index.example/simple\n"
        "fast \\\n   == 2.0  # the fast one\n"
        'colorama==0.4 ; sys_platform == "win32"\n'
        "-r more.txt\n"
        "./wheelhouse/other-1.0-cp312-cp312-win_amd64.whl ; python_version > '3'\n"
    )
    path = requirements(tmp_path, text)
    found = read_operands([], prefix, requirements=[path])
    asked = {r.wheel.name: (Path(r.asked_by.file).name, r.asked_by.line) for r in found.requests if r.asked_by}
    assert asked == {"fast": ("requirements.txt", 4), "pure": ("more.txt", 3), "other": ("requirements.txt", 8)}
    assert found.missing == ()


@pytest.mark.parametrize(
    ("line", "reference"),
    [
        ("fast", "not-pinned"),
        ("fast>=1", "not-pinned"),
        ("fast==1.*", "not-pinned"),
        ("-e .", "not-understood"),
        ("--unknown-option x", "not-understood"),
        ("fast == == 2", "not-understood"),
        ("./nothing-1.0-py3-none-any.whl", "no-such-wheel"),
        ("-r requirements.txt", "endless-requirements"),
        ("fast==2.0 --hash=sha256:" + "0" * 64, "hash-mismatch"),
    ],
)
def test_lines_that_cannot_be_judged(prefix: Prefix, house: Path, tmp_path: Path, line: str, reference: str) -> None:
    path = requirements(tmp_path, f"\n{line}\n")
    error = refused(prefix, requirements=[path], find_links=[str(house)])
    assert error.reference == reference
    assert "requirements.txt:2" in error.message or reference in ("endless-requirements", "no-such-wheel")


def test_hash_of_a_line_is_checked(prefix: Prefix, house: Path, tmp_path: Path) -> None:
    wheel = read_operands([str(house / f"fast-2.0-{TAG}.whl")], prefix).requests[0].wheel
    path = requirements(tmp_path, f"fast==2.0 \\\n  --hash=sha256:{'1' * 64} \\\n  --hash=sha256:{wheel.sha256}\n")
    assert names(read_operands([], prefix, requirements=[path], find_links=[str(house)])) == [wheel.filename]


def test_requirement_by_file_address(prefix: Prefix, house: Path, tmp_path: Path) -> None:
    path = requirements(
        tmp_path, f"pure @ {(house / 'pure-1.0-py3-none-any.whl').as_uri()}\ngone @ file:///x/gone.whl\n"
    )
    found = read_operands([], prefix, requirements=[path])
    assert names(found) == ["pure-1.0-py3-none-any.whl"]
    assert [m.name for m in found.missing] == ["gone"]


# -- pip's report --------------------------------------------------------------


def report(house: Path, **environment: str) -> dict[str, object]:
    def item(name: str, version: str, filename: str, **more: object) -> dict[str, object]:
        metadata = {"name": name, "version": version}
        url = f"https://files.example/{filename}"
        return {"download_info": {"url": url}, "metadata": metadata, "requested": False, "is_direct": False} | more

    return {
        "version": "1",
        "environment": {"python_version": "3.12", "sys_platform": "linux"} | environment,
        "install": [
            item("fast", "2.0", f"fast-2.0-{TAG}.whl", requested=True, requested_extras=["x"]),
            item("pure", "1.0", "pure-1.0-py3-none-any.whl"),
            item("Gone", "1.0", "gone-1.0-py3-none-any.whl"),
            item("src", "1.0", "src-1.0.tar.gz"),
        ],
    }


def test_report(prefix: Prefix, house: Path) -> None:
    path = house / "r.json"
    path.write_text(json.dumps(report(house)))
    found = read_operands([str(path)], prefix)
    assert [(r.wheel.name, r.requested, r.direct_url) for r in found.requests] == [
        ("fast", True, False),
        ("pure", False, False),
    ]
    assert found.requests[0].wheel.requested_extras == {"x"}
    assert [(m.name, m.filename) for m in found.missing] == [
        ("gone", "gone-1.0-py3-none-any.whl"),
        ("src", "src-1.0.tar.gz"),
    ]
    piped = read_operands(["-"], prefix, stdin=json.dumps(report(house)).encode(), find_links=[str(house)])
    assert names(piped) == names(found)


@pytest.mark.parametrize(
    ("change", "reference"),
    [
        ({"version": "2"}, "unknown-report"),
        ({"install": None}, "not-a-report"),
        ({"environment": {"python_version": "3.9"}}, "report-of-another-python"),
    ],
)
def test_reports_that_do_not_fit(prefix: Prefix, house: Path, change: dict[str, object], reference: str) -> None:
    path = house / "r.json"
    path.write_text(json.dumps(report(house) | change))
    assert refused(prefix, str(path)).reference == reference


def test_report_with_another_file_of_that_name(prefix: Prefix, house: Path) -> None:
    document = report(house)
    document["install"][0]["download_info"]["archive_info"] = {"hashes": {"sha256": "0" * 64}}  # type: ignore[index]
    path = house / "r.json"
    path.write_text(json.dumps(document))
    assert refused(prefix, str(path)).reference == "hash-mismatch"


# -- lock files ----------------------------------------------------------------


def test_lock(prefix: Prefix, house: Path) -> None:
    wheel = read_operands([str(house / f"fast-2.0-{TAG}.whl")], prefix).requests[0].wheel
    text = f"""
lock-version = "1.0"
created-by = "test"
[[packages]]
name = "fast"
version = "2.0"
wheels = [
  {{ name = "fast-2.0-cp311-cp311-linux_x86_64.whl", url = "https://f.example/a", hashes = {{ sha256 = "00" }} }},
  {{ name = "fast-2.0-{TAG}.whl", path = "fast-2.0-{TAG}.whl", hashes = {{ sha256 = "{wheel.sha256}" }} }},
]
[[packages]]
name = "windows-only"
version = "1"
marker = "sys_platform == 'win32'"
wheels = [{{ name = "windows_only-1-py3-none-any.whl", url = "https://f.example/b", hashes = {{ sha256 = "00" }} }}]
[[packages]]
name = "gone"
version = "1"
wheels = [{{ name = "gone-1-py3-none-any.whl", url = "https://f.example/c", hashes = {{ sha256 = "00" }} }}]
"""
    path = house / "pylock.toml"
    path.write_text(text)
    found = read_operands([str(path)], prefix)
    assert names(found) == [f"fast-2.0-{TAG}.whl"]
    assert found.requests[0].asked_by is not None
    assert found.requests[0].asked_by.line == 5
    assert [(m.name, m.filename) for m in found.missing] == [("gone", "gone-1-py3-none-any.whl")]


def test_lock_for_another_python(prefix: Prefix, house: Path) -> None:
    path = house / "pylock.old.toml"
    path.write_text('lock-version = "1.0"\ncreated-by = "t"\nrequires-python = "<3.9"\npackages = []\n')
    assert refused(prefix, str(path)).reference == "lock-does-not-fit"


# -- markers and tags ----------------------------------------------------------


@pytest.mark.parametrize(
    ("subdir", "machine", "platform", "os_name"),
    [
        ("linux-64", "x86_64", "linux", "posix"),
        ("win-64", "AMD64", "win32", "nt"),
        ("osx-arm64", "arm64", "darwin", "posix"),
    ],
)
def test_markers_are_the_prefixs_not_this_machines(
    tmp_path: Path, subdir: str, machine: str, platform: str, os_name: str
) -> None:
    made = Maker(tmp_path / "env", subdir)
    made.python()
    prefix = open_prefix(str(made.root))
    assert prefix.interpreter is not None
    found = marker_environment(prefix.interpreter, prefix.subdir)
    assert (found["platform_machine"], found["sys_platform"], found["os_name"]) == (machine, platform, os_name)
    assert (found["python_version"], found["python_full_version"]) == ("3.12", "3.12.4")


@pytest.mark.parametrize(
    ("subdir", "fits", "not_fits"),
    [
        ("linux-64", ["cp312-cp312-manylinux1_x86_64", "cp39-abi3-manylinux_2_34_x86_64", "py3-none-any"],
         ["cp313-cp313-linux_x86_64", "cp312-cp312-musllinux_1_2_x86_64", "cp312-cp312-linux_aarch64"]),
        ("osx-arm64", ["cp312-cp312-macosx_11_0_arm64", "cp312-cp312-macosx_11_0_universal2"],
         ["cp312-cp312-macosx_10_9_x86_64", "cp312-cp312-macosx_12_3_arm64"]),
        ("win-64", ["cp312-cp312-win_amd64", "py3-none-win_amd64"], ["cp312-cp312-win32"]),
    ],
)  # fmt: skip
def test_tags_fit_the_prefix(tmp_path: Path, subdir: str, fits: list[str], not_fits: list[str]) -> None:
    made = Maker(tmp_path / "env", subdir)
    made.python()
    prefix = open_prefix(str(made.root))
    assert prefix.interpreter is not None
    tags = {str(t) for t in supported_tags(prefix.interpreter, prefix.subdir)}
    assert set(fits) <= tags
    assert not set(not_fits) & tags
