"""Does the NumPy of an environment offer what an extension was compiled for? Pure judgement, and where versions
stand."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Literal

from packaging.specifiers import SpecifierSet

from abicheck.evidence.extensions import Shared, shared
from abicheck.evidence.numpy_api import NumpyApi, numpy_api
from abicheck.knowledge import numpy_abi
from abicheck.knowledge.numpy_abi import Release
from abicheck.model import Origin
from abicheck.overlay import View
from abicheck.rules.scene import Scene
from abicheck.transaction import Unsatisfied

Kind = Literal["era", "level", "size"]


@dataclass(frozen=True, slots=True)
class Numpy:
    """The numpy of an environment: who brings it, its version text and its release.

    ``assumed``: pip has yet to choose it; ``version`` then says what is known of it, ``release`` is the oldest it may
    be, and ``origin`` is the wheel that makes pip fetch it.
    """

    origin: Origin
    version: str
    release: Release
    assumed: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an extension will not import. ``demands`` completes "was compiled ...", ``offers`` "numpy 1.21.5 ...",
    ``oldest`` is the first NumPy release that would do, '' when only older ones do; ``message`` what Python prints."""

    kind: Kind
    demands: str
    offers: str
    oldest: str
    message: str


def judge(api: NumpyApi | None, sizes: Shared, numpy: Release) -> Refusal | None:
    """What of an extension's demands this NumPy does not meet, the first that Python meets at import (PY-16).

    ``numpy._multiarray`` object sizes are compared by Cython before ``import_array`` runs. A NumPy newer than the table
    is only judged by what can no longer change: the ABI of its major version.
    """
    size = _size(sizes, numpy)
    if api is not None and api.era == 1 and numpy >= (2, 0):
        return Refusal(
            "era",
            "for NumPy 1.x (ABI 0x1000009)",
            "has ABI 0x2000000",
            "",
            size.message
            if size is not None
            else "A module that was compiled using NumPy 1.x cannot be run in NumPy 2 ... "
            "ImportError: numpy.core.multiarray failed to import",
        )
    if size is not None or api is None:
        return size
    return _level(api, numpy)


def _size(sizes: Shared, numpy: Release) -> Refusal | None:
    for name in sorted(numpy_abi.sized_types()):
        have = numpy_abi.object_size(name, numpy)
        want = max((s.size for s in sizes.sizes if (s.module, s.name) == ("numpy", name)), default=0)
        if have is not None and want > have and numpy_abi.known(numpy):
            return Refusal(
                "size",
                f"for a numpy.{name} of {want} bytes",
                f"has one of {have}",
                numpy_abi.first_with_size(name, want) or "",
                f"ValueError: numpy.{name} size changed, may indicate binary incompatibility. "
                f"Expected {want} from C header, got {have} from PyObject",
            )
    return None


def _level(api: NumpyApi, numpy: Release) -> Refusal | None:
    have = numpy_abi.feature_level(numpy)
    oldest = numpy_abi.release(api.oldest) if api.oldest else None
    want = api.level if oldest is None else numpy_abi.feature_level(oldest)
    if have is None or want is None or want <= have or not numpy_abi.known(numpy):
        return None
    return Refusal(
        "level",
        f"for NumPy's C-API {want:#x}",
        f"has {have:#x}",
        api.oldest or numpy_abi.first_with_level(want) or "",
        f"RuntimeError: module compiled against API version {want:#x} but this version of numpy is {have:#x}; "
        "ImportError: numpy.core.multiarray failed to import",
    )


def refusal(scene: Scene, view: View, path: str, numpy: Numpy) -> Refusal | None:
    """Judge one extension file of a view; None also when it cannot be read (ABI901 tells that)."""
    found = view.lookup(path)
    if found.status != "file":
        return None
    try:
        source = view.open(found)
        api = numpy_api(source)
        sizes = shared(source) if api is not None and scene.subdir.endswith("64") else Shared()
    except OSError:
        return None
    found_wrong = judge(api, sizes, numpy.release)
    if numpy.assumed and found_wrong is not None and found_wrong.kind != "era":
        return None  # numbers of a release that is not known
    return found_wrong


# -- which numpy ---------------------------------------------------------------

_VERSION = re.compile(r"^\s*(?:full_version|version|short_version)\s*=\s*['\"](\d+\.\d+[^'\"]*)['\"]", re.MULTILINE)


def numpy_after(scene: Scene) -> Numpy | None:
    """The numpy that will be there after the install; None when there is none, or its version is not known."""
    for placed in scene.stage.placed:
        if placed.wheel.name == "numpy":
            return _numpy(placed.origin, placed.wheel.version)
    lack = _fetched(scene)
    return _chosen_by_pip(scene, lack) if lack is not None else _in_view(scene, scene.view)


def _fetched(scene: Scene) -> Unsatisfied | None:
    """The requirement that makes pip fetch a numpy, when the one that is there (if any) does not meet it."""
    lacks = scene.transaction.unsatisfied if scene.transaction is not None else ()
    return next((lack for lack in lacks if lack.name == "numpy" and lack.kind != "conflict"), None)


def _chosen_by_pip(scene: Scene, lack: Unsatisfied) -> Numpy | None:
    """The numpy that pip will fetch: the newest that the requirement allows, so a 2.x whenever it allows one. None when
    it does not: then it is some 1.x, and nothing can be said."""
    requirement = lack.requirement.partition(";")[0].strip()
    allowed = SpecifierSet(lack.specifier)
    if not any(v in allowed for v in numpy_abi.releases_of_two(scene.interpreter.minor)):
        return None
    wheel = lack.needed_by
    origin = Origin("wheel", wheel.display_name, wheel.version)
    return Numpy(origin, "2.x", (2, 0), f"if pip fetches the newest numpy that `{requirement}` allows")


def numpy_before(scene: Scene) -> Numpy | None:
    """The numpy that is there now."""
    return _in_view(scene, scene.before)


def _numpy(origin: Origin, version: str) -> Numpy | None:
    release = numpy_abi.release(version)
    return Numpy(origin, version, release) if release is not None else None


def _in_view(scene: Scene, view: View) -> Numpy | None:
    """By the package's own file, else by its metadata: files can be there without records, and the other way round."""
    for folder in dict.fromkeys((scene.layout.platlib, scene.layout.purelib)):
        path = posixpath.join(view.root, folder, "numpy", "version.py")
        text = view.read_text(path)
        m = _VERSION.search(text) if text else None
        if m is not None:
            return _numpy(view.origin(view.lookup(path).real), m[1])
    dist = scene.prefix.distribution("numpy")
    if dist is not None:
        return _numpy(dist.origin, dist.version)
    record = next((r for r in scene.prefix.records if r.name in ("numpy", "numpy-base")), None)
    return _numpy(record.origin, record.version) if record is not None else None
