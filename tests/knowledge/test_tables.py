"""The smaller tables: wheel policies, NumPy numbers, host profiles, data directories, object sizes, loader rules."""

import re
from pathlib import Path

import pytest

from abicheck.knowledge import data_directories, extension_abi, host_profiles, numpy_abi
from abicheck.knowledge.gcc_runtime import cxxabi_beside
from abicheck.knowledge.library_names import stem
from abicheck.knowledge.loader_rules import loader_rules
from abicheck.knowledge.policies import allowed_from_system, policy
from abicheck.knowledge.upward_compatible import is_upward_compatible


@pytest.mark.parametrize(
    ("tag", "glibc", "cxx"),
    [
        ("manylinux1_x86_64", (2, 5), "3.4.8"),
        ("manylinux2014_x86_64", (2, 17), "3.4.19"),
        ("manylinux_2_17_x86_64", (2, 17), "3.4.19"),
        ("manylinux_2_26_x86_64", (2, 26), "3.4.22"),
        ("manylinux_2_28_x86_64", (2, 28), "3.4.24"),
        ("manylinux_2_34_x86_64", (2, 34), "3.4.29"),
        ("manylinux_2_36_x86_64", (2, 36), "3.4.30"),
        ("manylinux_2_41_x86_64", (2, 41), "3.4.33"),
    ],
)
def test_policy_ceilings(tag: str, glibc: tuple[int, int], cxx: str) -> None:
    got = policy(tag)
    assert got is not None
    assert (got.glibc, got.ceilings["GLIBCXX"], got.ceilings["GLIBC"]) == (glibc, cxx, f"2.{glibc[1]}")


def test_policy_relr_and_libraries() -> None:
    old, new = policy("manylinux_2_35_x86_64"), policy("manylinux_2_36_x86_64")
    assert old is not None and "GLIBC_ABI" not in old.ceilings
    assert new is not None and new.ceilings["GLIBC_ABI"] == "DT_RELR"
    one = policy("manylinux1_x86_64")
    assert one is not None and "libexpat.so.1" not in one.libraries and "libz.so.1" in one.libraries
    assert allowed_from_system("libmvec.so.1") and not allowed_from_system("libgomp.so.1")


def test_policy_of_other_tags() -> None:
    musl = policy("musllinux_1_2_aarch64")
    assert musl is not None and musl.glibc is None and musl.musl == (1, 2) and "libstdc++.so.6" not in musl.libraries
    arm = policy("manylinux_2_28_aarch64")
    assert arm is not None and arm.ceilings == {"GLIBC": "2.28"}
    for tag in ("linux_x86_64", "macosx_11_0_arm64", "win_amd64", "any", "manylinux_3_1_x86_64"):
        assert policy(tag) is None


def test_numpy_levels() -> None:
    level = numpy_abi.feature_level
    assert [level((1, 19)), level((1, 21)), level((1, 22)), level((1, 26)), level((2, 0)), level((2, 2))] == [
        0xD, 0xE, 0xF, 0x11, 0x12, 0x13,
    ]  # fmt: skip
    assert level((1, 0)) is None
    assert level((9, 9)) == level((2, 4)) and not numpy_abi.known((9, 9)) and numpy_abi.known((1, 26))
    assert numpy_abi.first_with_level(0xF) == "1.22" and numpy_abi.first_with_level(0x99) is None


def test_numpy_sizes() -> None:
    releases = ((1, 19), (1, 21), (1, 22), (2, 2))
    assert [numpy_abi.object_size("ndarray", v) for v in releases] == [80, 88, 96, 96]
    assert [numpy_abi.object_size("dtype", v) for v in releases] == [96, 96, 96, 88]
    assert numpy_abi.first_with_size("ndarray", 96) == "1.22"
    assert numpy_abi.first_with_size("dtype", 96) is None  # it shrank: only older releases do
    assert numpy_abi.object_size("flatiter", (1, 26)) is None
    assert numpy_abi.release("2.0.0rc1") == (2, 0) and numpy_abi.release("x") is None


def test_profiles() -> None:
    got = host_profiles.profile("ubuntu-22.04")
    assert got is not None
    assert (got.system, got.glibc, got.libstdcxx, got.cxxabi) == ("linux", "2.35", "3.4.30", "1.3.13")
    assert "libstdc++.so.6" in got.libraries and "libc.so.6" in got.libraries
    assert host_profiles.profile("manylinux_2_28") == host_profiles.profile("almalinux-8")
    assert host_profiles.profile("plan9") is None
    for name in host_profiles.names():
        p = host_profiles.profile(name)
        assert p is not None and p.date
        known = {"linux": p.glibc or p.musl, "osx": p.macos, "win": p.windows}[p.system]
        assert known, name


def test_profiles_agree_with_the_policies_made_for_them() -> None:
    """The image of a manylinux policy must offer what the policy promises (auditwheel's own rule)."""
    for tag in ("manylinux_2_17", "manylinux_2_28", "manylinux_2_34", "manylinux_2_39"):
        image, promise = host_profiles.profile(tag), policy(f"{tag}_x86_64")
        assert image is not None and promise is not None

        def numbers(text: str) -> tuple[int, ...]:
            return tuple(map(int, text.split(".")))

        assert numbers(image.glibc) >= numbers(promise.ceilings["GLIBC"])
        assert numbers(image.libstdcxx) >= numbers(promise.ceilings["GLIBCXX"])
        assert numbers(image.cxxabi) >= numbers(promise.ceilings["CXXABI"])
        assert numbers(image.gcc) >= numbers(promise.ceilings["GCC"])


def test_data_directories() -> None:
    proj = data_directories.reading("PROJ_LIB")
    assert proj is not None and proj == data_directories.reading("PROJ_DATA")
    assert proj.read_by(stem("libproj-1552b914.so.25.9.3.0")) and proj.read_by(stem("libproj-rasterio-0123abcd.so.25"))
    assert not proj.read_by(stem("libprojection.so.1"))
    assert data_directories.reading("PATH") is None
    seen: set[str] = set()
    for row in data_directories.directories():
        assert row.source and {row.differ, row.same, row.unknown} <= {"note", "warning", "error"}
        assert not seen & set(row.names)
        seen |= set(row.names)


def test_object_sizes() -> None:
    (greenlet,) = (s for s in extension_abi.object_sizes() if s.module == "greenlet")
    assert (greenlet.size("1.1.3"), greenlet.size("3.1.1"), greenlet.first_with(40)) == (0, 40, "2.0")
    assert {e.family for e in extension_abi.exchanges()} == {"libxml2"}


@pytest.mark.parametrize(
    "name",
    ["libstdc++.so.6.0.34", "libstdc++-6.dll", "libgomp-1.dll", "libgomp-a34b3233.so.1.0.0", "libz.1.dylib",
     "libc++abi.1.dylib", "MSVCP140_1.dll", "msvcp140-6a9f3a2f3b1c4d5e6f708192a3b4c5d6.dll", "ucrtbase.dll"],
)  # fmt: skip
def test_newer_builds_serve_older_users(name: str) -> None:
    assert is_upward_compatible(stem(name).name)


@pytest.mark.parametrize("name", ["libzstd.so.1", "libgccjit.so.0", "libstdc++fs.so", "libcurl.so.4", "msvcrt.dll"])
def test_no_such_contract(name: str) -> None:
    assert not is_upward_compatible(stem(name).name)


@pytest.mark.parametrize(
    ("glibcxx", "cxxabi"),
    [("3.4", "1.3"), ("3.4.18", "1.3.7"), ("3.4.23", "1.3.11"), ("3.4.25", "1.3.11"), ("3.4.34", "1.3.16")],
)
def test_cxxabi_nodes_go_with_the_gcc_release(glibcxx: str, cxxabi: str) -> None:
    """GCC manual: libstdc++.so.6.0.18 of GCC 4.8 has CXXABI_1.3.7, 6.0.23 of GCC 7.1 has 1.3.11."""
    assert cxxabi_beside(glibcxx) == cxxabi


def test_every_loader_rule_that_is_cited_is_explained() -> None:
    """In code, tables, pages and docs: what a reader may meet has its sentence and its source."""
    known = loader_rules()
    families = "|".join({name.partition("-")[0] for name in known})
    repo = Path(__file__).resolve().parents[2]
    cited = {
        rule
        for path in [*repo.glob("src/abicheck/**/*.py"), *repo.glob("src/abicheck/**/*.toml"), *repo.glob("docs/*.md")]
        for rule in re.findall(rf"\b(?:{families})-\d+\b", path.read_text("utf-8"))
    }
    assert "ELF-36" in cited and cited - set(known) == set()
    assert all(r.says.endswith(".") and r.source and r.family for r in known.values())


def test_numpy_two_needs_a_python() -> None:
    assert numpy_abi.releases_of_two((3, 8)) == () and "2.0.2" in numpy_abi.releases_of_two((3, 9))
