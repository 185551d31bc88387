"""Wheels: an archive read safely and by streams, what it says of itself, and where pip puts what."""

from abicheck.wheel.archive import Limits
from abicheck.wheel.plan import InstallLayout, Target, installed_path, plan_install, pyc_path
from abicheck.wheel.reading import Member, Problem, Wheel, read_wheel

__all__ = [
    "InstallLayout",
    "Limits",
    "Member",
    "Problem",
    "Target",
    "Wheel",
    "installed_path",
    "plan_install",
    "pyc_path",
    "read_wheel",
]
