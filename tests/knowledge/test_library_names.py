"""Mangled names are undone, and plain names are left alone (CL-4, WIN-23, MAC-26)."""

import pytest

from abicheck.knowledge.library_names import spellings, stem


@pytest.mark.parametrize(
    ("identity", "name", "original"),
    [
        ("libgomp-a34b3233.so.1.0.0", "libgomp", "libgomp.so.1.0.0"),
        ("libopenblasp-r0-24bff013.3.26.dev.so", "libopenblasp-r0", "libopenblasp-r0.3.26.dev.so"),
        ("libscipy_openblas64_-56d6093b.so", "libscipy_openblas64_", "libscipy_openblas64_.so"),
        ("libstdc++-a1b2c3d4.so.6.0.30", "libstdc++", "libstdc++.so.6.0.30"),
        ("libglib-2-1a2b3c4d.0.so.0", "libglib-2.0", "libglib-2.0.so.0"),
        ("msvcp140-6547a4e8dd0b0a9a5b29c8ea3d9e2c5f.dll", "msvcp140", "msvcp140.dll"),
        ("MSVCP140-6547A4E8DD0B0A9A5B29C8EA3D9E2C5F.DLL".lower(), "msvcp140", "msvcp140.dll"),
        (
            "libopenblas.WCDJNK7YVMPZQ2ME2ZZHJJRJ3JIKNDB7.gfortran-win_amd64.dll",
            "libopenblas.gfortran-win_amd64",
            "libopenblas.gfortran-win_amd64.dll",
        ),
        ("/DLC/sklearn/.dylibs/libomp.dylib", "libomp", "libomp.dylib"),
        ("some/dir/libhdf5-7f639dcd.so.310.2.0", "libhdf5", "libhdf5.so.310.2.0"),
    ],
)
def test_mangled(identity: str, name: str, original: str) -> None:
    got = stem(identity)
    assert (got.name, got.mangled, got.original) == (name, True, original)


@pytest.mark.parametrize(
    ("identity", "name", "version"),
    [
        ("libgomp.so.1", "libgomp", "1"),
        ("libabsl_base.so.2308.0.0", "libabsl_base", "2308.0.0"),
        ("libfoo-20230802.so", "libfoo-20230802", ""),  # a date, not a hash
        ("libfoo-20230802.so.1", "libfoo-20230802", "1"),
        ("libpython3.11.so.1.0", "libpython3.11", "1.0"),
        ("libLLVM-14.so.1", "libLLVM-14", "1"),
        ("libgobject-2.0.so.0", "libgobject-2.0", "0"),
        ("@rpath/libproj.25.9.3.1.dylib", "libproj", "25.9.3.1"),
        ("@rpath/libomp.dylib", "libomp", ""),
        ("libcrypto-1_1-x64.dll", "libcrypto-1_1-x64", ""),
        ("libx-abcdefgh.so", "libx-abcdefgh", ""),  # g and h are no hexadecimal digits
        ("libx-abc1234.so", "libx-abc1234", ""),  # seven digits
        ("libx.1a2b3c4d.so", "libx.1a2b3c4d", ""),  # no hyphen
        ("/System/Library/Frameworks/Accelerate.framework/Versions/A/Accelerate", "Accelerate", ""),
        ("_core.cpython-312-x86_64-linux-gnu.so", "_core.cpython-312-x86_64-linux-gnu", ""),
    ],
)
def test_plain(identity: str, name: str, version: str) -> None:
    got = stem(identity)
    assert (got.name, got.mangled, got.version) == (name, False, version)


def test_a_project_that_adds_its_own_name() -> None:
    assert spellings(stem("libgdal-rasterio-1b1cfd8e.so.34.3.8.5")) == ("libgdal-rasterio", "libgdal")
    assert spellings(stem("libopenblasp-r0-24bff013.3.26.dev.so")) == ("libopenblasp-r0",)  # r0 is no word
    assert spellings(stem("libfoo-bar.so")) == ("libfoo-bar",)  # nothing was mangled
