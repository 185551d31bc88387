"""Images of a simulated macOS process and how requests become images (MAC-1 to MAC-14); used by ``dyld.py``.

The steps are those of dyld's ``Loader::getLoader`` and ``JustInTimeLoader::loadDependents`` (dyld-1378); failures carry
the words dyld gives to dlerror().
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from abicheck.binary.macho import Dylib, MachoSlice
from abicheck.binary.macho_commands import version_text
from abicheck.knowledge.macos_system import LIBSYSTEM
from abicheck.loader.dyld_binding import Image, Missing, Need, State
from abicheck.loader.dyld_search import FALLBACK_SDK, OLD_DYLD, Link, Place, Searcher, version
from abicheck.loader.process import Edge, Failure, FailureKind
from abicheck.model import Attempt

CONDA_RPATH = "@loader_path/../lib"  # MAC-25: assumed only for an interpreter that cannot be read


class Stop(Exception):
    """The load cannot go on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Met:
    """How a request was met. ``index`` None: it was not, and ``reason`` is dyld's "tried: ..." text."""

    index: int | None
    how: str = ""
    owner: int = -1
    rule: str = ""
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""
    rejected: Place | None = None
    rejected_rule: str = ""


class Mapper:
    """The image table of one process. ``images`` and ``edges`` only grow; ``state`` is what a failed load restores."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self.images: list[Image] = []
        self.edges: list[Edge] = []
        self.state = State()

    def copy(self) -> Mapper:
        other = Mapper(self.searcher)
        other.images, other.edges, other.state = list(self.images), list(self.edges), self.state.copy()
        return other

    def path(self, index: int) -> str:
        return self.images[index].path if index >= 0 else ""

    # -- finding and mapping ---------------------------------------------------

    def get(
        self, asked: str, chain: tuple[Link, ...], requester: int, event: int, *, static: bool, old_sdk: bool
    ) -> Met:
        """dyld's getLoader: an image that answers already, else the first place that can be mapped (MAC-1, MAC-5)."""
        name = asked if asked.startswith("@rpath/") else f"@rpath/{asked}"
        if name == asked or (not static and "/" not in asked and not asked.startswith("@")):
            hit = self.state.names.get(name)
            if hit is not None:
                return Met(hit, self._by(hit, name), hit, "MAC-1")
        attempts: list[Attempt] = []
        tried: list[str] = []
        rejected: tuple[Place, str] | None = None
        for place in self.searcher.places(asked, chain, static=static, old_sdk=old_sdk):
            hit = self.state.names.get(place.path)
            if hit is not None:
                attempts.append(Attempt(place.path, "found"))
                return Met(hit, self._by(hit, place.path), hit, "MAC-2", tuple(attempts))
            cached = self.searcher.cached(place)
            if cached is not None:
                attempts.append(Attempt(place.path, "found"))
                index = self._cached(place, cached, asked, requester, event, tuple(attempts))
                return Met(index, "shared-cache", -1, "MAC-9", tuple(attempts))
            met, reason, rule = self._file(place, asked, requester, event, static, attempts)
            if met is not None:
                return met
            if rule and rejected is None:
                rejected = place, rule
            tried.append(f"'{place.path}' ({reason})")
        link = self._link_into_cache(asked, requester, event, attempts)
        if link is not None:
            return link
        return Met(
            None, "", -1, "MAC-5", tuple(attempts), self._tried(asked, chain, tried),
            rejected[0] if rejected else None, rejected[1] if rejected else "",
        )  # fmt: skip

    def _by(self, hit: int, name: str) -> str:
        """In which way an image answered to a name."""
        image = self.images[hit]
        if image.cached:
            return "shared-cache"
        return "path" if image.path == name else "install-name"

    @staticmethod
    def _tried(asked: str, chain: tuple[Link, ...], tried: list[str]) -> str:
        if tried:
            return "tried: " + ", ".join(tried)
        if asked.startswith("@rpath/") and not any(link.rpaths for link in chain):
            return "no LC_RPATH's found"
        return "no LC_RPATH's used.  They may be invalid, eg, not start with '@loader_path' or '@executable_path'"

    def _cached(
        self, place: Place, name: str, asked: str, requester: int, event: int, attempts: tuple[Attempt, ...]
    ) -> int:
        ident = ("cache", name)
        hit = self.state.idents.get(ident)
        if hit is not None:
            return hit
        index = self.add(
            Image(len(self.images), place.path, ident, None, True, event, asked, requester, "shared-cache", -1, "MAC-9",
                  attempts)
        )  # fmt: skip
        if name == LIBSYSTEM:
            for path in self.searcher.system.launch:
                self._cached(Place(path, "shared-cache", -1, "MAC-9"), path, path, index, event, ())
        return index

    def _file(
        self, place: Place, asked: str, requester: int, event: int, static: bool, attempts: list[Attempt]
    ) -> tuple[Met | None, str, str]:
        """(how a file at a place serves, else None and dyld's reason, and the rule of a refusal)."""
        found = self.searcher.view.lookup(place.path)
        if found.status not in ("file", "unknown") or found.entry is None:
            attempts.append(Attempt(place.path, "directory" if found.status == "dir" else "absent"))
            return None, "not a file" if found.status == "dir" else self.searcher.not_there(place), ""
        hit = self.state.idents.get(found.entry.ident)
        if hit is not None:
            attempts.append(Attempt(place.path, "found"))
            return Met(hit, "file-id", hit, "MAC-3", tuple(attempts)), "", ""
        verdict = self.searcher.verify(found, linked=static)
        attempts.append(Attempt(place.path, verdict.outcome))
        if verdict.slice is None and not verdict.unknown:
            return None, verdict.reason, verdict.rule
        opened = not static and place.how == "path"
        how = "opened" if opened else place.how
        index = self.add(
            Image(len(self.images), found.real, found.entry.ident, verdict.slice, False, event, asked, requester, how,
                  place.owner if not opened else -1, place.rule, tuple(attempts))
        )  # fmt: skip
        return Met(index, how, place.owner, place.rule, tuple(attempts)), "", ""

    def _link_into_cache(self, asked: str, requester: int, event: int, attempts: list[Attempt]) -> Met | None:
        """A link on disk to a library that is only in the cache (getLoader's last resort: realpath)."""
        found = self.searcher.view.lookup(asked)
        if found.status != "dangling":
            return None
        place = Place(found.real, "shared-cache", -1, "MAC-9", guess=True)
        name = self.searcher.cached(place)
        if name is None:
            return None
        attempts.append(Attempt(found.real, "found"))
        index = self._cached(place, name, asked, requester, event, tuple(attempts))
        return Met(index, "shared-cache", -1, "MAC-9", tuple(attempts))

    def add(self, image: Image) -> int:
        self.images.append(image)
        state = self.state
        state.loaded.append(image.index)
        state.idents.setdefault(image.ident, image.index)
        for name in (image.path, image.install_name):
            if name:
                state.names.setdefault(name, image.index)
        if image.slice is None and not image.cached and state.unreadable is None:
            state.unreadable = image.index
        state.note_weak(image)
        return image.index

    def link(self, index: int) -> Link:
        image = self.images[index]
        if image.slice is None and index == 0:
            return Link(0, image.path, (CONDA_RPATH,))
        return Link(index, image.path, image.slice.rpath if image.slice is not None else ())

    def old_sdk(self, index: int) -> bool:
        """Whether an image still gets the default fallback directories (MAC-7)."""
        s = self.images[index].slice
        return s is not None and version(s.sdk) < FALLBACK_SDK

    # -- dependencies ----------------------------------------------------------

    def dependents(self, top: int, chain: tuple[Link, ...], event: int) -> None:
        """Load what an image links: all its direct needs, then each one's own, in depth (MAC-14)."""
        todo: list[tuple[int, tuple[Link, ...]]] = [(top, chain)]
        while todo:
            index, chain = todo.pop()
            if index in self.state.needs:
                continue
            image = self.images[index]
            if image.slice is None:
                self.state.needs[index] = ()
                continue
            inner = (self.link(index), *chain)
            needs = tuple(self._need(image, dylib, inner, event) for dylib in _linked(image.slice))
            self.state.needs[index] = needs
            todo.extend((n.provider, inner) for n in reversed(needs) if n.provider is not None)

    def _need(self, image: Image, dylib: Dylib, chain: tuple[Link, ...], event: int) -> Need:
        name, state = dylib.name, self.state
        hit = state.names.get(name) if name.startswith("/") else None
        if hit is not None:
            met = Met(hit, self._by(hit, name), hit, "MAC-2")
        else:
            met = self.get(name, chain, image.index, event, static=True, old_sdk=self.old_sdk(image.index))
        self.edge(image.index, name, dylib.kind, met, event)
        if met.index is None and dylib.kind != "weak":
            raise Stop(self._not_linked(image, dylib, met))
        if met.index is not None:
            self._compatible(image, dylib, met.index)
        return Need(met.index, dylib.kind == "reexport")

    def _compatible(self, image: Image, dylib: Dylib, provider: int) -> None:
        """MAC-11: only macOS 11 and older compare compatibility versions."""
        s, macos = self.images[provider].slice, self.searcher.host.macos
        if s is None or macos is None or macos >= OLD_DYLD or s.versions[0] >= dylib.compatibility:
            return
        need, have = version_text(dylib.compatibility), version_text(s.versions[0])
        text = (
            f"Incompatible library version: {posixpath.basename(image.path)} requires version {need} or later, "
            f"but {posixpath.basename(self.path(provider))} provides version {have}"
        )
        raise Stop(
            self.failure("LOAD_REJECTED", text, "MAC-11", image.index, self.path(provider), dylib.name, needs_host=True)
        )

    def _not_linked(self, image: Image, dylib: Dylib, met: Met) -> Failure:
        text = (
            f"Library not loaded: {dylib.name}\n  Referenced from: {self._reference(image)}{self._too_new(image)}\n"
            f"  Reason: {met.reason}"
        )
        refused = met.rejected is not None
        return self.failure(
            "LOAD_REJECTED" if refused else "MISSING_LIB",
            text,
            met.rejected_rule if refused else "MAC-5",
            image.index,
            met.rejected.path if met.rejected else "",
            dylib.name,
            attempts=met.attempts,
            needs_host=self.system_library(dylib.name),
        )

    def system_library(self, name: str) -> bool:
        return self.searcher.system.canonical(name) is not None

    @staticmethod
    def _reference(image: Image) -> str:
        uuid = image.slice.uuid if image.slice is not None else None
        return f"<{uuid or 'no uuid'}> {image.path}"

    def _too_new(self, image: Image) -> str:
        """dyld's remark on a file built for a newer system (MAC-13): it explains, it does not refuse."""
        s = image.slice
        if s is None or self.searcher.host.macos is None or version(s.min_os) <= self.searcher.host.macos:
            return ""
        return f" (built for macOS {version_text(s.min_os)} which is newer than running OS)"

    # -- symbols ------------------------------------------------------------------

    def not_bound(self, image: Image, missing: Missing, before: str) -> Failure:
        name, place = missing.bind.name, missing.place
        reference = f"{self._reference(image)}{self._too_new(image)}"
        expected = self._reference(self.images[place]) if place is not None else "<no uuid> unknown"
        text, rule = {
            "flat": (f"symbol not found in flat namespace '{name}'", "MAC-16"),
            "weak": (
                f"Symbol not found: {name}\n  Referenced from: {reference}\n"
                "  Expected as weak-def export from some loaded dylib",
                "MAC-18",
            ),
            "ordinal": (
                f"unknown library ordinal {missing.bind.ordinal} in {image.path} when binding '{name}'",
                "MAC-15",
            ),
            "two-level": (
                f"Symbol not found: {name}\n  Referenced from: {reference}\n  Expected in:     {expected}",
                "MAC-15",
            ),
        }[missing.text]
        library = (image.slice.library(missing.bind.ordinal) if image.slice is not None else None) or ""
        provider = self.path(place) if place is not None else ""
        return self.failure("MISSING_SYMBOL", before + text, rule, image.index, provider, library, name)

    # -- records -------------------------------------------------------------------

    def edge(self, requester: int, name: str, kind: str, met: Met, event: int) -> None:
        self.edges.append(
            Edge(requester, name, kind, met.index, met.how, self.path(met.owner), met.rule, event, met.attempts)
        )

    def failure(
        self, kind: FailureKind, message: str, rule: str, requester: int = -1, provider: str = "", library: str = "",
        symbol: str = "", *, attempts: tuple[Attempt, ...] = (), needs_host: bool = False,
    ) -> Failure:  # fmt: skip
        return Failure(
            kind,
            message,
            rule,
            self.path(requester),
            provider,
            library,
            symbol,
            attempts=attempts,
            needs_host=needs_host,
        )


def _linked(s: MachoSlice) -> Iterator[Dylib]:
    """What an image links; one that links nothing is given libSystem (MAC-10)."""
    if s.dylibs:
        yield from s.dylibs
    else:
        yield Dylib(LIBSYSTEM, "required")
