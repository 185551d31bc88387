"""ABI402: C functions and classes of another project's Cython module that are not what a module was compiled for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evidence.test_compiled import SOURCES
from tests.prefix.making import Maker
from tests.rules.made_linux import SITE, SUFFIX, Workshop
from tests.wheel.making import make_wheel

from abicheck.engine import check
from abicheck.model import Finding, Severity
from abicheck.report import CheckOptions

SOURCE = (SOURCES / "cython_api.c").read_text()
FILL = "int (struct box *, double)"
OTHER = "int (struct box *, float)"
TAG = "cp312-cp312-linux_x86_64"


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def compiled(shop: Workshop, kind: str, fill: str = FILL, size: int = 40, source: str = SOURCE) -> bytes:
    """A module of Cython's code: ``kind`` EXPORTS (box.core) or IMPORTS (what uses it)."""
    options = ("-O2", f"-D{kind}", f'-DFILL="{fill}"', f"-DSIZE={size}")
    return shop.library(source, f"{kind}-{size}-{len(fill)}.so", options)


def conda_box(maker: Maker, module: bytes) -> None:
    maker.record("box", "1.0", {f"{SITE}/box/__init__.py": b"", f"{SITE}/box/core{SUFFIX}": module})


def conda_user(maker: Maker, module: bytes) -> None:
    files = {f"{SITE}/user/__init__.py": b"from . import _ext\n", f"{SITE}/user/_ext{SUFFIX}": module}
    maker.record("user", "1.0", files, depends=["box"])


def box_wheel(shop: Workshop, module: bytes) -> Path:
    return make_wheel(
        shop.folder / "wheels", "box", "2.0", {"box/__init__.py": b"", f"box/core{SUFFIX}": module}, tag=TAG
    )


def judged(maker: Maker, *wheels: Path) -> list[Finding]:
    options = CheckOptions(host="none", only_rules=frozenset({"ABI402"}))
    return list(check([str(w) for w in wheels], prefix=str(maker.root), options=options).findings)


def test_another_signature(shop: Workshop) -> None:
    maker = shop.environment()
    conda_box(maker, compiled(shop, "EXPORTS", OTHER))
    (f,) = judged(maker, shop.wheel({f"_ext{SUFFIX}": compiled(shop, "IMPORTS")}))
    assert f.severity is Severity.ERROR and f.what.startswith(
        "`import grid` will fail: the C function fill in box.core"
    )
    assert any("has wrong signature (expected int (struct box *, double)" in w.text for w in f.why)
    assert f.conda_package is not None and f.conda_package.name == "box"


def test_a_function_that_is_not_there(shop: Workshop) -> None:
    maker = shop.environment()
    conda_box(maker, compiled(shop, "EXPORTS", source=SOURCE.replace('"fill"', '"pour"')))
    (f,) = judged(maker, shop.wheel({f"_ext{SUFFIX}": compiled(shop, "IMPORTS")}))
    assert f.severity is Severity.ERROR and "has no C function fill, which grid._ext uses" in f.what
    assert any("does not export expected C function fill" in w.text for w in f.why)


def test_a_class_that_is_too_small(shop: Workshop) -> None:
    maker = shop.environment()
    conda_box(maker, compiled(shop, "EXPORTS", size=32))
    (f,) = judged(maker, shop.wheel({f"_ext{SUFFIX}": compiled(shop, "IMPORTS", size=40)}))
    assert f.severity is Severity.ERROR and "was compiled for a box.core.Box of 40 bytes" in f.what
    assert any("Expected 40 from C header, got 32 from PyObject" in w.text for w in f.why)


@pytest.mark.parametrize("size", [40, 48])
def test_what_fits_is_silent(shop: Workshop, size: int) -> None:
    """A larger class is accepted by Cython, with a warning."""
    maker = shop.environment()
    conda_box(maker, compiled(shop, "EXPORTS", size=size))
    assert judged(maker, shop.wheel({f"_ext{SUFFIX}": compiled(shop, "IMPORTS", size=40)})) == []


def test_nobody_to_ask_is_another_matter(shop: Workshop) -> None:
    assert judged(shop.environment(), shop.wheel({f"_ext{SUFFIX}": compiled(shop, "IMPORTS")})) == []


def test_an_exporter_that_cannot_be_read_is_not_accused(shop: Workshop) -> None:
    maker = shop.environment()
    conda_box(
        maker,
        compiled(
            shop,
            "EXPORTS",
            OTHER,
            source=SOURCE + '\nconst char *t = "\\0zlib\\0%.200s does not export expected C %.8s ";',
        ),
    )
    assert judged(maker, shop.wheel({f"_ext{SUFFIX}": compiled(shop, "IMPORTS")})) == []


def test_a_wheel_that_replaces_what_condas_module_was_compiled_for(shop: Workshop) -> None:
    maker = shop.environment()
    conda_box(maker, compiled(shop, "EXPORTS"))
    conda_user(maker, compiled(shop, "IMPORTS"))
    (f,) = judged(maker, box_wheel(shop, compiled(shop, "EXPORTS", OTHER)))
    assert f.severity is Severity.ERROR and f.wheel is not None and f.wheel.name == "box"
    assert f.conda_package is not None and f.conda_package.name == "user"


def test_a_replacement_that_fits_and_one_that_was_broken_before(shop: Workshop) -> None:
    maker = shop.environment()
    conda_box(maker, compiled(shop, "EXPORTS", OTHER))
    conda_user(maker, compiled(shop, "IMPORTS"))
    assert judged(maker, box_wheel(shop, compiled(shop, "EXPORTS"))) == []
    assert judged(maker, box_wheel(shop, compiled(shop, "EXPORTS", OTHER))) == []
