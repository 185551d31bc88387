"""Words for platforms: what tags and conda subdirs call a system or a processor, as people say it."""

from __future__ import annotations

_SYSTEMS = {"linux": "Linux", "osx": "macOS", "win": "Windows", "any": "any system"}
# The parts of conda subdirs and of wheel platform tags (packaging.python.org, "Platform compatibility tags").
_ARCHES = {
    "64": "x86_64", "32": "x86 (32 bits)", "win_amd64": "x86_64", "win32": "x86 (32 bits)", "win_arm64": "arm64",
    "amd64": "x86_64", "i686": "x86 (32 bits)", "universal2": "x86_64 and arm64", "intel": "x86_64", "aarch64": "arm64",
}  # fmt: skip


def system_words(system: str) -> str:
    """``osx`` -> ``macOS``; unknown words stay as they are."""
    return _SYSTEMS.get(system, system)


def arch_words(arch: str) -> str:
    """``win_amd64``, ``64`` -> ``x86_64``; unknown words stay as they are."""
    return _ARCHES.get(arch, arch)
