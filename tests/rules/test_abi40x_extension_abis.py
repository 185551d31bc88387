"""ABI401 and ABI402: what extensions demand of NumPy and of each other, in both directions of an install (PY-16,
PY-17)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.utils import canonicalize_name
from tests.prefix.making import Maker
from tests.rules.made_osx import SITE, SUFFIX, TAG, conda_extension, environment, extension, judged, scene_of, wheel
from tests.wheel.making import make_wheel

from abicheck.evidence.extensions import Shared, TypeSize
from abicheck.evidence.numpy_api import NumpyApi
from abicheck.knowledge.extension_abi import object_sizes
from abicheck.model import Confidence, Finding, Severity
from abicheck.rules import abi401_numpy_abi as numpy_rule
from abicheck.rules import abi402_extension_abi as rule
from abicheck.rules.numpy_demands import judge
from abicheck.rules.versions import numbers
from abicheck.transaction import Unsatisfied

ABI_TEXT = b"\0module compiled against ABI version 0x%x but this version of numpy is 0x%x\0"
OLD = ABI_TEXT + b"numpy.core._multiarray_umath\0"
NEW = ABI_TEXT + b"numpy._core._multiarray_umath\0numpy.core._multiarray_umath\0"


def since(version: str) -> bytes:
    return (
        NEW
        + b"module was compiled against NumPy C-API version 0x%x (NumPy "
        + version.encode()
        + b") but the running\0"
    )


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return environment(tmp_path / "env")


def conda_numpy(maker: Maker, version: str) -> None:
    text = f'version = "{version}"\n'.encode()
    maker.record("numpy", version, {f"{SITE}/numpy/__init__.py": b"", f"{SITE}/numpy/version.py": text})


def numpy_wheel(maker: Maker, version: str) -> Path:
    return wheel(maker.root.parent, "numpy", {"numpy/version.py": f'version = "{version}"\n'.encode()}, version)


def user_wheel(maker: Maker, text: bytes, code: bytes = b"") -> Path:
    return wheel(maker.root.parent, "user", {f"user/_ext{SUFFIX}": extension("_ext", text=text)}, code=code)


def one(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [f.what for f in findings]
    return findings[0]


# -- judgement -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "numpy", "kind"),
    [
        (NumpyApi(1, "", 0xD), (2, 0), "era"),
        (NumpyApi(1, "", None), (2, 2), "era"),
        (NumpyApi(1, "", None), (9, 0), "era"),
        (NumpyApi(1, "", 0xF), (1, 21), "level"),
        (NumpyApi(1, "1.25", None), (1, 24), "level"),
        (NumpyApi(2, "1.23", None), (1, 22), "level"),
        (NumpyApi(2, "2.1", None), (2, 0), "level"),
        (NumpyApi(1, "", 0xF), (1, 22), None),
        (NumpyApi(1, "", None), (1, 26), None),  # unknown is not wrong
        (NumpyApi(2, "1.19", None), (1, 19), None),
        (NumpyApi(2, "1.19", None), (2, 3), None),
        (NumpyApi(2, "2.3", None), (9, 0), None),  # newer than the table: may offer more
        (NumpyApi(2, "9.0", None), (9, 0), None),
        (None, (2, 0), None),
    ],
)
def test_judgement(api: NumpyApi | None, numpy: tuple[int, int], kind: str | None) -> None:
    got = judge(api, Shared(), numpy)
    assert (got.kind if got else None) == kind


def test_size_of_the_array_object() -> None:
    """tlambert03/nd2#45: compiled with NumPy 1.22 or later, run with 1.21."""
    sizes = Shared(sizes=(TypeSize("numpy", "dtype", 96), TypeSize("numpy", "ndarray", 96)))
    got = judge(NumpyApi(1, "", 0xF), sizes, (1, 21))
    assert got is not None and (got.kind, got.oldest) == ("size", "1.22")
    assert "Expected 96 from C header, got 88 from PyObject" in got.message
    assert judge(NumpyApi(1, "", 0xF), sizes, (1, 22)) is None
    opaque = Shared(sizes=(TypeSize("numpy", "ndarray", 16),))
    assert judge(NumpyApi(1, "", 0xD), opaque, (1, 19)) is None


# -- the wheel against the environment ------------------------------------------


def test_wheel_for_numpy_1_in_an_environment_with_2(maker: Maker) -> None:
    conda_numpy(maker, "2.1.3")
    f = one(judged(numpy_rule, maker, user_wheel(maker, OLD)))
    assert (f.severity, f.confidence) == (Severity.ERROR, Confidence.HIGH)
    assert f.what.startswith("`import user` will fail") and "numpy 2.1.3" in f.what
    assert f.conda_package is not None and f.conda_package.name == "numpy"
    assert f.object is not None and f.object.origin.name == "numpy"
    assert f.why[0].loader_rule == "PY-16" and any(r.command and '"numpy<2"' in r.command for r in f.remedies)


def test_wheel_that_needs_a_newer_numpy(maker: Maker) -> None:
    conda_numpy(maker, "1.21.5")
    f = one(judged(numpy_rule, maker, user_wheel(maker, since("1.23"))))
    assert f.severity is Severity.ERROR
    assert any(r.command and '"numpy>=1.23"' in r.command for r in f.remedies)


@pytest.mark.parametrize(
    ("text", "numpy"), [(OLD, "1.26.4"), (since("1.19"), "1.24.0"), (NEW, "2.3.0"), (b"", "2.3.0")]
)
def test_wheels_that_fit(maker: Maker, text: bytes, numpy: str) -> None:
    conda_numpy(maker, numpy)
    assert judged(numpy_rule, maker, user_wheel(maker, text)) == []


def test_no_numpy_no_finding(maker: Maker) -> None:
    assert judged(numpy_rule, maker, user_wheel(maker, OLD)) == []


@pytest.mark.parametrize(
    ("requires", "severity"),
    [(("numpy>=1.21",), Severity.NOTE), (("numpy>=2",), Severity.ERROR), ((), Severity.ERROR)],
)
def test_a_module_for_a_newer_numpy_than_the_project_asks_for(
    maker: Maker, requires: tuple[str, ...], severity: Severity
) -> None:
    """h5py 3.16 has ``_npystrings`` for NumPy 2 and imports it, from compiled code, only there."""
    conda_numpy(maker, "1.24.2")
    files = {
        "user/__init__.py": b"from . import _ext\n",
        f"user/_ext{SUFFIX}": extension("_ext", text=since("1.19")),
        f"user/_newer{SUFFIX}": extension("_newer", text=since("2.0")),
    }
    made = make_wheel(maker.root.parent / "wheels", "user", "2.0", files, tag=TAG, requires=requires)
    f = one(judged(numpy_rule, maker, made))
    assert f.severity is severity and "user._newer" in f.what


def test_a_guarded_import_is_a_warning(maker: Maker) -> None:
    conda_numpy(maker, "2.1.3")
    code = b"try:\n    from . import _fast\nexcept ImportError:\n    _fast = None\n"
    made = wheel(maker.root.parent, "user", {f"user/_fast{SUFFIX}": extension("_fast", text=OLD)}, code=code)
    assert one(judged(numpy_rule, maker, made)).severity is Severity.WARNING


# -- the environment's packages against the wheel's numpy ------------------------


def test_numpy_2_under_condas_own_extension(maker: Maker) -> None:
    conda_numpy(maker, "1.26.4")
    conda_extension(maker, "scipy", text=OLD, depends=["numpy"])
    f = one(judged(numpy_rule, maker, numpy_wheel(maker, "2.2.0")))
    assert (f.severity, f.confidence) == (Severity.ERROR, Confidence.HIGH)
    assert f.what.startswith("`import scipy` will fail") and "replaces numpy 1.26.4 by numpy 2.2.0" in f.what
    assert f.wheel is not None and f.wheel.name == "numpy"
    assert f.conda_package is not None and f.conda_package.name == "scipy"
    assert f.remedies[0].command == 'pip install "numpy<2"'


def test_older_numpy_under_condas_own_extension(maker: Maker) -> None:
    conda_numpy(maker, "1.26.4")
    conda_extension(maker, "scipy", text=since("1.23"))
    f = one(judged(numpy_rule, maker, numpy_wheel(maker, "1.22.4")))
    assert f.severity is Severity.ERROR and f.why[0].text.startswith("compiled for NumPy's C-API 0x10")


def test_what_was_broken_before_is_not_this_installs_doing(maker: Maker) -> None:
    conda_numpy(maker, "2.0.0")
    conda_extension(maker, "old", text=OLD)
    assert judged(numpy_rule, maker, numpy_wheel(maker, "2.2.0")) == []


def test_an_install_that_leaves_numpy_alone_judges_nobody_else(maker: Maker) -> None:
    conda_numpy(maker, "2.0.0")
    conda_extension(maker, "old", text=OLD)
    assert judged(numpy_rule, maker, user_wheel(maker, NEW)) == []


def test_wheels_of_one_transaction_are_judged_together(maker: Maker) -> None:
    conda_numpy(maker, "1.26.4")
    f = one(judged(numpy_rule, maker, numpy_wheel(maker, "2.2.0"), user_wheel(maker, OLD)))
    assert f.wheel is not None and f.wheel.name == "user"


# -- a numpy that pip has yet to choose -------------------------------------------


def fetching(maker: Maker, specifier: str, *wheels: Path) -> list[Finding]:
    """Findings when the first wheel requires a numpy that the environment's does not meet."""
    scene = scene_of(maker, *wheels)
    needy = scene.stage.placed[0].wheel
    lack = Unsatisfied(f"numpy{specifier}", canonicalize_name("numpy"), specifier, needy, "replace")
    scene.transaction = SimpleNamespace(unsatisfied=(lack,))
    return list(numpy_rule.check(scene))


def test_a_requirement_that_makes_pip_raise_numpy_under_condas_packages(maker: Maker) -> None:
    """The way it happens most: a wheel asks for a newer numpy, pip takes the newest, conda's scipy no longer
    imports."""
    conda_numpy(maker, "1.24.2")
    conda_extension(maker, "scipy", text=OLD, depends=["numpy"])
    f = one(fetching(maker, ">=1.26", user_wheel(maker, NEW)))
    assert (f.severity, f.confidence) == (Severity.ERROR, Confidence.MEDIUM)
    assert f.what.startswith("`import scipy` will fail") and "pip will replace numpy 1.24.2 by numpy 2.x" in f.what
    assert f.assumption == "if pip fetches the newest numpy that `numpy>=1.26` allows"
    assert f.wheel is not None and f.wheel.name == "user"
    assert f.remedies[0].command == 'pip install user "numpy<2"'


@pytest.mark.parametrize("specifier", [">=1.26,<2", "==1.26.4", "~=1.26"])
def test_a_requirement_that_stays_below_2_says_nothing(maker: Maker, specifier: str) -> None:
    conda_numpy(maker, "1.24.2")
    conda_extension(maker, "scipy", text=OLD)
    assert fetching(maker, specifier, user_wheel(maker, OLD)) == []


def test_a_wheel_for_numpy_1_that_lets_pip_choose(maker: Maker) -> None:
    f = one(fetching(maker, ">=1.21", user_wheel(maker, OLD)))
    assert "pip will fetch numpy 2.x" in f.what and f.confidence is Confidence.MEDIUM


def test_numbers_of_an_unknown_release_are_not_judged(maker: Maker) -> None:
    conda_numpy(maker, "1.24.2")
    assert fetching(maker, ">=2", user_wheel(maker, since("2.3"))) == []


# -- shared objects --------------------------------------------------------------


def test_greenlet_sizes() -> None:
    (row,) = (r for r in object_sizes() if r.module == "greenlet")
    assert rule.disagree(row, 40, "1.1.3") == "crash"
    assert rule.disagree(row, 152, "2.0.2") == "import-error"
    assert rule.disagree(row, 40, "3.1.1") == "nothing"
    assert rule.disagree(row, 152, "1.1.3") == "nothing"  # which of the old sizes cannot be told


def test_version_numbers() -> None:
    assert numbers("20914") == (2, 9, 14) and numbers("2.13.8") == (2, 13, 8) and numbers("x") == ()


def xml(version: bytes, check: bool = False) -> bytes:
    text = b"\0" + version + b"\0"
    return text + b"\0lxml & xmlsec libxml2 library version mismatch\0" if check else text


def test_libxml2_of_two_that_exchange_trees(maker: Maker) -> None:
    files = {f"{SITE}/lxml/__init__.py": b"", f"{SITE}/lxml/etree{SUFFIX}": extension("etree", text=xml(b"21308"))}
    maker.record("lxml", "5.4.0", files)
    own = extension("xmlsec", text=xml(b"21206", check=True))
    f = one(judged(rule, maker, wheel(maker.root.parent, "xmlsec_dist", {f"xmlsec{SUFFIX}": own})))
    assert (f.severity, f.confidence) == (Severity.ERROR, Confidence.HIGH)
    assert "2.12.6" in f.what and "2.13.8" in f.what and f.runtime == "libxml2"


@pytest.mark.parametrize(("theirs", "check", "expected"), [(b"21209", True, None), (b"21308", False, Severity.WARNING)])
def test_libxml2_that_fits_or_is_not_checked(
    maker: Maker, theirs: bytes, check: bool, expected: Severity | None
) -> None:
    files = {f"{SITE}/lxml/__init__.py": b"", f"{SITE}/lxml/etree{SUFFIX}": extension("etree", text=xml(theirs))}
    maker.record("lxml", "5.3.0", files)
    own = extension("xmlsec", text=xml(b"21206", check=check))
    got = judged(rule, maker, wheel(maker.root.parent, "xmlsec_dist", {f"xmlsec{SUFFIX}": own}))
    assert [f.severity for f in got] == ([expected] if expected else [])


def test_lxml_alone_exchanges_nothing(maker: Maker) -> None:
    made = wheel(maker.root.parent, "lxml", {f"lxml/etree{SUFFIX}": extension("etree", text=xml(b"21308"))})
    assert judged(rule, maker, made) == []
