"""ABI402: modules of pybind11 that work with another project's classes and are in another registry."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evidence.test_bound_types import NEW, OLD
from tests.evidence.test_compiled import SOURCES
from tests.rules.made_linux import SUFFIX, Workshop
from tests.rules.test_abi402_cython import box_wheel, conda_box, conda_user, judged

from abicheck.model import Severity
from abicheck.rules.shared_classes import plain

SOURCE = (SOURCES / "bound_types.c").read_text()


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def module(shop: Workshop, registry: str, partner: str = "base64", source: str = SOURCE, conduit: str = "") -> bytes:
    flags = ("-O2", f'-DID="{registry}"', f'-DPARTNER="{partner}"', f'-DCONDUIT="{conduit}"')
    return shop.library(source, f"{len(registry)}-{partner}-{len(conduit)}.so", flags)


def test_two_registries(shop: Workshop) -> None:
    maker = shop.environment()
    conda_box(maker, module(shop, OLD))
    (f,) = judged(maker, shop.wheel({f"_ext{SUFFIX}": module(shop, NEW, "box.core")}))
    assert f.severity is Severity.WARNING and f.depends_on == ("python-code",)
    assert f.what.startswith("grid._ext will neither take nor return objects of box.core (conda box 1.0")
    assert "shop::Box" in f.why[0].text and f.why[0].symbol == NEW and f.why[1].symbol == OLD


@pytest.mark.parametrize("partner", ["box", "box.core"])
def test_a_package_is_asked_for_its_modules(shop: Workshop, partner: str) -> None:
    maker = shop.environment()
    conda_box(maker, module(shop, OLD))
    assert len(judged(maker, shop.wheel({f"_ext{SUFFIX}": module(shop, NEW, partner)}))) == 1


@pytest.mark.parametrize(
    "mine",
    [
        {"registry": OLD, "partner": "box.core"},  # one registry
        {"registry": NEW, "partner": "base64"},  # does not import the other
        {"registry": NEW, "partner": "box.core", "source": SOURCE.replace("N4shop3BoxE", "N4shop4RackE")},
        {"registry": "v15_system_libstdcpp_abi1", "partner": "box.core"},  # of another kind
    ],
)
def test_those_that_share_or_do_not_meet(shop: Workshop, mine: dict[str, str]) -> None:
    maker = shop.environment()
    conda_box(maker, module(shop, OLD))
    assert judged(maker, shop.wheel({f"_ext{SUFFIX}": module(shop, **mine)})) == []


def test_a_conduit_between_two_registries_of_one_compiler(shop: Workshop) -> None:
    maker, asks = shop.environment(), "_pybind11_conduit_v1_"
    conda_box(maker, module(shop, OLD, conduit=asks))
    newer = OLD.replace("v4", "v5")
    assert judged(maker, shop.wheel({f"_ext{SUFFIX}": module(shop, newer, "box.core", conduit=asks)})) == []


def test_a_wheel_that_takes_the_partner_into_another_registry(shop: Workshop) -> None:
    maker = shop.environment()
    conda_box(maker, module(shop, OLD))
    conda_user(maker, module(shop, OLD, "box.core"))
    (f,) = judged(maker, box_wheel(shop, module(shop, NEW)))
    assert f.what.startswith("user._ext will") and f.conda_package is not None and f.conda_package.name == "user"
    assert judged(maker, box_wheel(shop, module(shop, OLD))) == []


def test_names_as_they_are_written() -> None:
    assert plain("N5ceres12CostFunctionE") == "ceres::CostFunction"
    assert plain("N2dd4EdgeINS_5mNodeEEE") == "N2dd4EdgeINS_5mNodeEEE"
