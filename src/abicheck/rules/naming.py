"""The other world's name of a project: what conda calls what pip calls NAME, as far as prefix and tables tell."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from abicheck.model import Remedy
from abicheck.rules.ownership import twin_of
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_install


def conda_name(scene: Scene, project: str) -> str:
    """The conda package to install instead: the one that holds the project's dist-info here, else the table of names
    that differ, else the same name."""
    twin = twin_of(scene.prefix, project)
    return twin.conda if twin is not None else canonicalize_name(project)


def use_conda_build(scene: Scene, project: str) -> Remedy:
    """Install a project with conda instead of pip. Where neither the environment nor a table knows it there, look for
    it first: many projects have no conda package."""
    twin = twin_of(scene.prefix, project)
    if twin is None:
        command = f"conda search {canonicalize_name(project)}"
        return Remedy("see whether conda has a build of it, made for this environment's libraries", command)
    command = conda_install(scene.prefix.display, twin.conda)
    return Remedy("take the conda build, made for this environment's libraries", command)
