"""ABI601: variables that lead one side's library to the other side's data (corpus incidents A6, P07, N10, N11)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.macho import LIBSYSTEM, Bind, Export, Image, image
from tests.evidence.test_proj_database import database
from tests.prefix.making import Maker
from tests.rules.made_osx import SUFFIX, conda_extension, environment, extension, judged, library, wheel

from abicheck.model import Confidence, Finding, Severity
from abicheck.rules import abi601_data_directory_shadowed as rule

SCRIPT = b"""#!/bin/sh
if [ -d "${CONDA_PREFIX}/share/proj" ]; then
  export PROJ_DATA="${CONDA_PREFIX}/share/proj"
fi
"""


def layout(minor: int | None, proj: str = "9.4.1") -> bytes:
    if minor is None:
        return database({"EPSG.VERSION": "v9.8"})
    numbers = {"DATABASE.LAYOUT.VERSION.MAJOR": "1", "DATABASE.LAYOUT.VERSION.MINOR": str(minor)}
    return database({**numbers, "PROJ.VERSION": proj})


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return environment(tmp_path / "env")


def conda_proj(maker: Maker, data: dict[str, bytes], script: bytes = SCRIPT) -> None:
    files = {
        "lib/libproj.25.dylib": library("@rpath/libproj.25.dylib"),
        "etc/conda/activate.d/proj4-activate.sh": script,
    }
    maker.record("proj", "9.1.1", {**files, **data})


def proj_wheel(maker: Maker, database: bytes | None, code: bytes = b"") -> Path:
    files = {
        f"geo/_ext{SUFFIX}": extension("_ext", "@loader_path/.dylibs/libproj.25.dylib"),
        "geo/.dylibs/libproj.25.dylib": library("/DLC/geo/.dylibs/libproj.25.dylib", seed=7),
    }
    if database is not None:
        files["geo/proj_dir/share/proj/proj.db"] = database
    return wheel(maker.root.parent, "geo", files, code=code)


def one(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [f.what for f in findings]
    return findings[0]


def test_an_older_database_is_refused(maker: Maker) -> None:
    conda_proj(maker, {"share/proj/proj.db": layout(2)})
    f = one(judged(rule, maker, proj_wheel(maker, layout(4))))
    assert (f.severity, f.confidence) == (Severity.ERROR, Confidence.MEDIUM)
    assert "PROJ_DATA" in f.what and "share/proj" in f.what and f.depends_on == ("environment",)
    assert f.conda_package is not None and f.conda_package.name == "proj"
    texts = [w.text for w in f.why]
    assert any("layout 1.4" in t for t in texts) and any("layout 1.2" in t for t in texts)
    assert any(t.startswith("line 3 sets PROJ_DATA=") for t in texts)
    assert any(r.command == "unset PROJ_DATA" for r in f.remedies)


def names_its_place(proj: str) -> dict[str, bytes]:
    module = Image(
        filetype="bundle",
        dylibs=[("@loader_path/.dylibs/libproj.25.dylib", "required"), (LIBSYSTEM, "required")],
        binds=[Bind("_proj_context_set_search_paths", 1)],
        exports=[Export("_PyInit__ext")],
    )
    return {
        f"geo/_ext{SUFFIX}": image(module),
        "geo/.dylibs/libproj.25.dylib": library("/DLC/geo/libproj.25.dylib", "proj_context_set_search_paths", seed=7),
        "geo/proj_dir/share/proj/proj.db": layout(4, proj),
    }


@pytest.mark.parametrize(
    ("proj", "severity"), [("9.4.1", Severity.NOTE), ("9.3.1", Severity.ERROR), ("6.1.0", Severity.ERROR)]
)
def test_a_project_that_names_its_own_place(maker: Maker, proj: str, severity: Severity) -> None:
    """OSGeo/PROJ#1498: such a place counts instead of the variable, but for the releases of #3983."""
    conda_proj(maker, {"share/proj/proj.db": layout(2)})
    f = one(judged(rule, maker, wheel(maker.root.parent, "geo", names_its_place(proj))))
    assert f.severity is severity
    assert any("proj_context_set_search_paths" in w.text for w in f.why) == (severity is Severity.NOTE)


def test_a_database_that_only_the_records_know(maker: Maker) -> None:
    """A partial copy of an environment: nothing is said of a file that is not here."""
    conda_proj(maker, {"share/proj/proj.db": layout(2), "share/proj/proj.ini": b""})
    (maker.root / "share/proj/proj.db").unlink()
    f = one(judged(rule, maker, proj_wheel(maker, layout(4))))
    assert f.severity is Severity.NOTE and any("is not here" in w.text for w in f.why)


def test_the_script_for_most_shells_is_cited_and_the_sentence_is_whole(maker: Maker) -> None:
    conda_proj(
        maker,
        {
            "share/proj/proj.db": layout(2),
            "etc/conda/activate.d/proj4-activate.csh": b"setenv PROJ_DATA $CONDA_PREFIX/share/proj\n",
        },
    )
    f = one(judged(rule, maker, proj_wheel(maker, layout(4))))
    assert f.object is not None and f.object.path.endswith(".sh")
    assert f.what.endswith("not there.") and any(w.text.startswith("the library says: ") for w in f.why)


@pytest.mark.parametrize(("theirs", "own"), [(2, 2), (4, 2)])
def test_a_database_that_fits_is_a_note(maker: Maker, theirs: int, own: int) -> None:
    conda_proj(maker, {"share/proj/proj.db": layout(theirs)})
    assert one(judged(rule, maker, proj_wheel(maker, layout(own)))).severity is Severity.NOTE


def test_a_folder_of_an_older_proj_without_any_database(maker: Maker) -> None:
    """pyproj4/pyproj#368: the environment's PROJ 5 has text files, the wheel's PROJ 6 wants a database."""
    conda_proj(maker, {"share/proj/epsg": b"# text"})
    f = one(judged(rule, maker, proj_wheel(maker, layout(None))))
    assert f.severity is Severity.ERROR and any("has no proj.db" in w.text for w in f.why)


def test_databases_without_numbers_are_not_called_different(maker: Maker) -> None:
    conda_proj(maker, {"share/proj/proj.db": layout(None)})
    assert one(judged(rule, maker, proj_wheel(maker, layout(None)))).severity is Severity.NOTE


def test_a_wheel_without_the_library_is_silence(maker: Maker) -> None:
    conda_proj(maker, {"share/proj/proj.db": layout(2)})
    made = wheel(maker.root.parent, "other", {f"other/_ext{SUFFIX}": extension("_ext")})
    assert judged(rule, maker, made) == []


def test_no_script_no_finding(maker: Maker) -> None:
    maker.record("proj", "9.1.1", {"lib/libproj.25.dylib": library("@rpath/libproj.25.dylib")})
    assert judged(rule, maker, proj_wheel(maker, layout(4))) == []


def test_a_variable_the_user_set_for_the_environment(maker: Maker) -> None:
    maker.record("proj", "9.1.1", {"share/proj/proj.db": layout(2)})
    state = f'{{"env_vars": {{"PROJ_LIB": "{maker.root}/share/proj"}}}}'
    (maker.root / "conda-meta" / "state").write_text(state)
    assert one(judged(rule, maker, proj_wheel(maker, layout(4)))).severity is Severity.ERROR


def test_a_variable_of_the_calling_shell_counts_when_it_is_given(maker: Maker) -> None:
    maker.record("proj", "9.1.1", {"share/proj/proj.db": layout(2)})
    wheel = proj_wheel(maker, layout(4))
    assert judged(rule, maker, wheel) == []
    f = one(judged(rule, maker, wheel, env={"PROJ_DATA": f"{maker.root}/share/proj"}))
    assert f.severity is Severity.ERROR and f.what.startswith("the calling shell sets PROJ_DATA")


def test_two_spellings_of_one_setting_are_told_once(maker: Maker) -> None:
    script = b'export PROJ_LIB="$CONDA_PREFIX/share/proj"\nexport PROJ_DATA="$CONDA_PREFIX/share/proj"\n'
    conda_proj(maker, {"share/proj/proj.db": layout(2)}, script)
    assert "PROJ_DATA" in one(judged(rule, maker, proj_wheel(maker, layout(4)))).what


def test_a_wheel_that_sets_the_variable_on_import(maker: Maker) -> None:
    conda_proj(maker, {"share/proj/proj.db": layout(4)}, script=b"")
    conda_extension(maker, "pyproj", "@rpath/libproj.25.dylib")
    here = b"os.path.dirname(os.path.abspath(__file__))"
    code = b"import os\nos.environ['PROJ_LIB'] = os.path.join(" + here + b", 'proj_dir', 'share', 'proj')\n"
    f = one(judged(rule, maker, proj_wheel(maker, layout(2), code)))
    assert f.severity is Severity.ERROR and "`import geo` sets PROJ_LIB" in f.what
    assert f.subject is not None and f.subject.path == "lib/libproj.25.dylib"


def test_certificates_are_a_note(maker: Maker) -> None:
    maker.record(
        "ca-certificates", "1", {"etc/conda/activate.d/ssl.sh": b"export SSL_CERT_FILE=$CONDA_PREFIX/ssl/cacert.pem\n"}
    )
    files = {
        f"net/_ext{SUFFIX}": extension("_ext", "@loader_path/.dylibs/libcrypto.3.dylib"),
        "net/.dylibs/libcrypto.3.dylib": library("/DLC/net/.dylibs/libcrypto.3.dylib"),
    }
    assert one(judged(rule, maker, wheel(maker.root.parent, "net", files))).severity is Severity.NOTE


GDAL_SCRIPT = b"export GDAL_DRIVER_PATH=$CONDA_PREFIX/lib/gdalplugins\n"


@pytest.mark.parametrize(
    ("own", "theirs", "plugin", "severity"),
    [
        ("libgdal.35.3.9.1.dylib", "libgdal.33.3.7.3.dylib", "gdal_HDF5.dylib", Severity.WARNING),
        ("libgdal.35.3.9.1.dylib", "libgdal.33.dylib", "gdal_HDF5.dylib", Severity.WARNING),  # the package says 3.7.3
        ("libgdal.33.3.7.3.dylib", "libgdal.33.dylib", "gdal_HDF5.dylib", Severity.NOTE),
        ("libgdal.33.dylib", "libgdal.33.3.7.3.dylib", "gdal_HDF5.dylib", Severity.NOTE),  # the wheel's is not known
        ("libgdal.35.3.9.1.dylib", "libgdal.33.3.7.3.dylib", "drivers.ini", None),
        ("libgdal.35.3.9.1.dylib", "libgdal.33.3.7.3.dylib", None, None),
    ],
)
def test_drivers_of_another_gdal(
    maker: Maker, own: str, theirs: str, plugin: str | None, severity: Severity | None
) -> None:
    """The release stands in the file's name or is the package's; a place without drivers changes nothing."""
    files = {f"lib/{theirs}": library(f"@rpath/{theirs}"), "etc/conda/activate.d/gdal.sh": GDAL_SCRIPT}
    if plugin is not None:
        files[f"lib/gdalplugins/{plugin}"] = library("") if plugin.endswith("dylib") else b"[order]\n"
    maker.record("libgdal-core", "3.7.3", files)
    inside = {
        f"geo/_ext{SUFFIX}": extension("_ext", f"@loader_path/.dylibs/{own}"),
        f"geo/.dylibs/{own}": library(f"/DLC/geo/.dylibs/{own}", seed=7),
    }
    found = judged(rule, maker, wheel(maker.root.parent, "geo", inside))
    assert [f.severity for f in found] == ([severity] if severity is not None else [])
