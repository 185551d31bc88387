"""The other world's name of a project: what conda calls what pip calls NAME, as far as prefix and tables tell."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from abicheck.knowledge import project_names
from abicheck.model import Remedy
from abicheck.rules.scene import Scene
from abicheck.rules.wording import conda_install


def conda_name(scene: Scene, project: str) -> str:
    """The conda package to install instead: the one that holds the project's dist-info here, else the table of names
    that differ, else the same name."""
    wanted = canonicalize_name(project)
    dist = scene.prefix.distribution(wanted)
    if dist is not None and dist.owner is not None:
        return dist.owner.name
    pair = project_names.conda_name(wanted)
    return pair.conda if pair is not None else wanted


def use_conda_build(scene: Scene, project: str) -> Remedy:
    """Install a project with conda instead of pip."""
    command = conda_install(scene.prefix.display, conda_name(scene, project))
    return Remedy("take the conda build, made for this environment's libraries", command)
