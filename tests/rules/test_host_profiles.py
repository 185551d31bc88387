"""Named hosts in a judgement: what a profile lists is there; of what it does not list nothing is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rules.made_linux import SUFFIX, Workshop, judged

from abicheck.knowledge import host_profiles
from abicheck.model import Confidence

LINUX = sorted({p.name for n in host_profiles.names() if (p := host_profiles.profile(n)) and p.glibc})


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.mark.parametrize("host", ["debian-12", "ubuntu-26.04", "fedora-44"])
def test_what_no_list_names_may_be_there(shop: Workshop, host: str) -> None:
    """ubuntu-26.04 has no list at all, debian-12 has one without this library: neither proves an absence."""
    made = shop.wheel({f"_ext{SUFFIX}": shop.extension(needs=("libodd.so.7",))})
    (f,) = judged(shop.environment(), made, host=host)
    assert "will fail unless the host provides libodd.so.7" in f.what and f.depends_on == ("host",)
    assert f.assumption == "if the host has no libodd.so.7" and f.confidence is Confidence.MEDIUM


@pytest.mark.parametrize("host", LINUX)
def test_glibc_and_the_cxx_runtime_are_everywhere(shop: Workshop, host: str) -> None:
    needs = ("libm.so.6", "libpthread.so.0", "libstdc++.so.6")
    found = judged(shop.environment(), shop.wheel({f"_ext{SUFFIX}": shop.extension(needs=needs)}), host=host)
    assert found == []


@pytest.mark.parametrize(("host", "fails"), [("ubuntu-26.04", False), ("opensuse-16.0", True), ("rhel-10", True)])
def test_glibcs_floor(shop: Workshop, host: str, fails: bool) -> None:
    found = judged(shop.environment(), shop.wheel({f"_ext{SUFFIX}": shop.for_glibc("2.43")}), host=host)
    assert bool(found) is fails


def test_the_newest_profiles_are_known() -> None:
    for name in ("debian-13", "ubuntu-26.04", "rhel-10", "amazonlinux-2023", "alpine", "musllinux_1_2", "fedora-44"):
        assert host_profiles.profile(name) is not None, name
    for name in ("macos-14", "macos-15", "macos-26", "windows-2025", "windows-11-24h2"):
        found = host_profiles.profile(name)
        assert found is not None and not found.libraries, name
