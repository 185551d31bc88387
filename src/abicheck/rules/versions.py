"""Which version of a library is in a file, by what the file says of itself. Shared by ABI30x, ABI402 and ABI601.

Unknown is an answer: a file that is not here, cannot be read or says nothing has no version, and nothing is compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.evidence.embedded import banner_version
from abicheck.knowledge.library_names import stem
from abicheck.knowledge.runtimes import member, recognise
from abicheck.rules.scene import Scene
from abicheck.rules.wording import base


def said_version(scene: Scene, path: str, family: str, name: str) -> str:
    """The version in the banner of a member of a runtime's family (``knowledge/runtimes.toml``); '' for none."""
    return scene.view.ask(path, lambda source: banner_version(source, member(family, name))) or ""


def library_version(scene: Scene, path: str, family: str) -> tuple[int, ...]:
    """The version of a family's library that an extension works with: linked in, or what its process maps; ()
    unknown."""
    for candidate in (path, *_mapped_with(scene, path)):
        what = recognise(None, base(candidate))
        if candidate != path and (what is None or what.family != family):
            continue
        if scene.view.lookup(candidate).status != "file":
            continue
        text = said_version(scene, candidate, family, family)
        if text:
            return numbers(text)
        # A linker may have merged the banner's text into another; libtool puts the release into the file's name.
        in_name = numbers(stem(candidate).version)
        if candidate != path and len(in_name) == 3:
            return in_name
    return ()


def numbers(text: str) -> tuple[int, ...]:
    """Version numbers of a banner. libxml2 writes one number: 20914 is 2.9.14."""
    if text.isdigit() and len(text) == 5:
        value = int(text)
        return value // 10000, value // 100 % 100, value % 100
    return tuple(int(p) for p in text.split(".") if p.isdigit())


def _mapped_with(scene: Scene, path: str) -> Iterator[str]:
    """Real paths that the process of an extension maps."""
    for group in (*scene.subjects, *scene.bystanders):
        if any(u.path == path for u in group.units):
            for o in scene.stage.scout.run(group).trace.objects:
                if o.kept:
                    yield o.real
