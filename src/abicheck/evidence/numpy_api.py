"""Which NumPy C-API an extension was compiled against, read from the extension alone (PY-16).

``import_array()`` is compiled into every extension that uses the API. Its error texts and the modules it imports differ
between NumPy's headers: those of 1.x import only ``numpy.core._multiarray_umath`` and demand the ABI number 0x1000009;
those of 2.x try ``numpy._core._multiarray_umath`` first and accept both. Headers from 1.25 on write the oldest NumPy
they accept into a text, "(NumPy 1.19)"; older ones only compare a number, which is read from the code where the
machine's instructions are understood.

Source: numpy/numpy numpy/core/code_generators/generate_numpy_api.py (1.x), numpy/_core/code_generators (2.x);
checked on wheels of pandas, scikit-learn, nd2, h5py, shapely and numpy itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from abicheck.binary.recall import recall
from abicheck.binary.source import ByteSource
from abicheck.evidence.code import loads, number_near
from abicheck.evidence.image import MAX_IMAGE, Image, images
from abicheck.evidence.scan import Around, scan

_ABI = b"module compiled against ABI version 0x"
_NEW_MODULE = b"numpy._core._multiarray_umath"
_OLD_MODULE = b"numpy.core._multiarray_umath"
_LEVEL = Around(
    b"compiled against NumPy C-API version 0x%x (NumPy ",
    re.compile(rb"compiled against NumPy C-API version 0x%x \(NumPy ([0-9]+\.[0-9]+)\+?\)"),
)
_OLD_LEVEL = b"module compiled against API version 0x"


@dataclass(frozen=True, slots=True)
class NumpyApi:
    """What an extension demands of NumPy.

    ``era``: which headers compiled ``import_array``: 1 (NumPy 1.x) or 2. ``oldest``: the oldest NumPy it accepts, as
    "1.19", '' when the file says a number only. ``level``: the C-API feature number it demands, None when not read.
    """

    era: Literal[1, 2]
    oldest: str = ""
    level: int | None = None


def numpy_api(source: ByteSource) -> NumpyApi | None:
    """What a file demands of NumPy, or None when it has no ``import_array`` in it. Raises ``OSError``."""
    return recall(source, "numpy-api", lambda: _numpy_api(source), NumpyApi | None)


def _numpy_api(source: ByteSource) -> NumpyApi | None:
    hits = scan(source, {"abi": _ABI, "new": _NEW_MODULE, "old": _OLD_MODULE, "level": _LEVEL})
    if "abi" not in hits or not ("new" in hits or "old" in hits):
        return None
    oldest = max((t.decode() for t in hits.get("level", ())), key=_version, default="")
    era: Literal[1, 2] = 2 if "new" in hits else 1
    level = None
    if not oldest and source.size <= MAX_IMAGE:
        level = feature_level(source.pread(0, source.size))
    return NumpyApi(era, oldest, level)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def feature_level(data: bytes) -> int | None:
    """The C-API feature number that the code demands, None where the code is not understood.

    It is the argument that follows the text "module compiled against API version 0x%x ..." in the call that raises the
    error, so it is loaded within a few instructions of that text's address.
    """
    levels = {n for image in images(data) if image.machine == "x86_64" for n in _x86_levels(image)}
    return max(levels) if levels else None


_LEVELS = range(0x4, 0x80)  # 0x4 is NumPy 1.5


def _x86_levels(image: Image) -> Iterator[int]:
    # PyErr_Format(type, text, demanded, found): the text is the second argument, the demanded number the third.
    for at, _ in loads(image, 2, lambda text: text.startswith(_OLD_LEVEL)):
        number = number_near(image, at, 3)
        if number is not None and number in _LEVELS:
            yield number
