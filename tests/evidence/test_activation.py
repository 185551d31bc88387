"""Activation scripts of real shapes, read and not run."""

from abicheck.evidence.activation import Setting, settings, shell_of

POSIX = """\
#!/bin/bash
# export OLD=1
if [[ -n "${PROJ_DATA:-}" ]]; then
    export _CONDA_SET_PROJ_DATA=$PROJ_DATA
fi
if [ -d ${CONDA_PREFIX}/share/proj ]; then
  export PROJ_DATA=${CONDA_PREFIX}/share/proj
elif [ -d ${CONDA_PREFIX}/Library/share/proj ]; then
  export PROJ_DATA=${CONDA_PREFIX}/Library/share/proj
fi
export GDAL_DRIVER_PATH="$CONDA_PREFIX/lib/gdalplugins"
SSL_CERT_FILE="$(dirname $0)/x"; export SSL_CERT_FILE
"""


def test_posix() -> None:
    got = {(s.name, s.path, s.conditional, s.line) for s in settings(POSIX, "posix")}
    assert got == {
        ("_CONDA_SET_PROJ_DATA", None, True, 4),
        ("PROJ_DATA", "share/proj", True, 7),
        ("PROJ_DATA", "Library/share/proj", True, 9),
        ("GDAL_DRIVER_PATH", "lib/gdalplugins", False, 11),
        ("SSL_CERT_FILE", None, False, 12),
    }


def test_other_shells() -> None:
    cmd = (
        '@if defined GDAL_DATA (\n  @set "_OLD=%GDAL_DATA%"\n)\n@set "GDAL_DATA=%CONDA_PREFIX%\\Library\\share\\gdal"\n'
    )
    assert [(s.name, s.path, s.conditional) for s in settings(cmd, "cmd")] == [
        ("_OLD", None, True),
        ("GDAL_DATA", "Library/share/gdal", False),
    ]
    assert (
        settings('$Env:GDAL_DATA = "$Env:CONDA_PREFIX\\Library\\share\\gdal"', "powershell")[0].path
        == "Library/share/gdal"
    )
    assert settings("setenv PROJ_LIB $CONDA_PREFIX/share/proj", "csh")[0].path == "share/proj"
    assert settings('set -gx PROJ_LIB "$CONDA_PREFIX/share/proj"', "fish") == (
        Setting("PROJ_LIB", "$CONDA_PREFIX/share/proj", "share/proj", False, 1),
    )
    assert settings("anything", "unknown shell") == ()


def test_shells_by_name() -> None:
    assert [shell_of(f"etc/conda/activate.d/x{s}") for s in (".sh", ".bat", ".ps1", ".csh", ".fish", ".txt")] == [
        "posix", "cmd", "powershell", "csh", "fish", None,
    ]  # fmt: skip
