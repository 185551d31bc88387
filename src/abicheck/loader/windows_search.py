"""Where the Windows loader looks for a DLL: search paths, candidates, refusals (WIN-4 to WIN-9, WIN-13, WIN-14)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from abicheck.binary.pe import PeSlice
from abicheck.errors import BinaryError
from abicheck.knowledge.windows_system import SYSTEM_DIRECTORY
from abicheck.model import Attempt
from abicheck.overlay import Found, View

WINDOWS_DIRECTORY = "C:/Windows"
# Machine words (binary.pe.ARCHES) that a process accepts (WIN-13). An ARM64EC file has the x64 number in its header,
# and an x64 system that does not know the hybrid metadata reads no further.
ACCEPTS = {
    "x86_64": ("x86_64", "arm64ec"),
    "i386": ("i386",),
    "arm64": ("arm64", "arm64x"),
    "armv7": ("armv7",),
}
# winnt.h LOAD_LIBRARY_SEARCH_* as they stand in DependentLoadFlags (WIN-14).
SEARCH_DLL_LOAD_DIR, SEARCH_APPLICATION_DIR, SEARCH_USER_DIRS = 0x100, 0x200, 0x400
SEARCH_SYSTEM32, SEARCH_DEFAULT_DIRS = 0x800, 0x1000
# conda's five directories in the order of the calls (WIN-7); the last added is searched first (WIN-5).
CONDA_DIRECTORIES = ("bin", "Scripts", "Library/bin", "Library/usr/bin", "Library/mingw-w64/bin")
ACTIVATED = ("", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin")


@dataclass(frozen=True, slots=True)
class Place:
    """One step of a search: a directory, the word and the rule for a library found there."""

    directory: str
    how: str
    rule: str
    owner: str = ""


SYSTEM = Place(SYSTEM_DIRECTORY, "system", "WIN-4")


@dataclass(frozen=True, slots=True)
class SearchPath:
    """The directories that one top-level load fixed for its whole tree (WIN-4), in order. ``text`` names the order."""

    places: tuple[Place, ...]
    text: str


@dataclass(slots=True)
class Candidate:
    """The file a search ended at. ``pe`` None: its content is unknown. ``refused``: why the loader takes no other."""

    path: str
    place: Place
    rule: str
    found: Found
    pe: PeSlice | None
    refused: str = ""


@dataclass(slots=True)
class Search:
    """One search under way: what was tried, and the first file that was passed over for its machine (WIN-13)."""

    attempts: list[Attempt] = field(default_factory=list)
    wrong_machine: str = ""


def directory_of(path: str) -> str:
    return posixpath.dirname(path)


def slashes(path: str) -> str:
    return path.replace("\\", "/")


def spelled(path: str, found: Found) -> str:
    """The path in the letter case of the directory entries, so that it names the same file everywhere."""
    return found.real if found.real.lower() == path.lower() else path


def with_suffix(name: str) -> str:
    """A module name as the loader completes it: ``.dll`` is added when there is no dot."""
    return name if "." in name else name + ".dll"


class Directories:
    """The search orders of one process. ``user`` grows with os.add_dll_directory; ``path`` is the PATH variable."""

    def __init__(self, application: str, path: tuple[str, ...]) -> None:
        self.application = application
        self.path = path

    def modern(self, own: str, user: Iterable[str]) -> SearchPath:
        """LOAD_LIBRARY_SEARCH_DEFAULT_DIRS, and LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR if ``own`` is the top DLL (WIN-4)."""
        places = [self._own(own)] if own else []
        places += [self._app(), *_user(user), SYSTEM]
        return SearchPath(tuple(places), "default-dirs")

    def legacy(self) -> SearchPath:
        """LoadLibrary without flags, and what the program itself imports (WIN-9), less the current directory."""
        return SearchPath((self._app(), *self._standard()), "legacy")

    def altered(self, own: str) -> SearchPath:
        """LOAD_WITH_ALTERED_SEARCH_PATH: as legacy, with the top DLL's directory in place of the application's."""
        return SearchPath((self._own(own), *self._standard()), "altered")

    def dependent(self, flags: int, own: str, user: Iterable[str]) -> SearchPath:
        """What a DLL's own DependentLoadFlags ask for its static imports (WIN-14)."""
        if flags & SEARCH_DEFAULT_DIRS:
            flags |= SEARCH_APPLICATION_DIR | SEARCH_USER_DIRS | SEARCH_SYSTEM32
        places: list[Place] = []
        if flags & SEARCH_DLL_LOAD_DIR:
            places.append(Place(directory_of(own), "own-directory", "WIN-14", own))
        if flags & SEARCH_APPLICATION_DIR:
            places.append(Place(self.application, "application", "WIN-14"))
        if flags & SEARCH_USER_DIRS:
            places += [Place(p.directory, p.how, "WIN-14", p.owner) for p in _user(user)]
        if flags & SEARCH_SYSTEM32:
            places.append(Place(SYSTEM_DIRECTORY, "system", "WIN-14"))
        return SearchPath(tuple(places), f"dependent-load-flags {flags:#x}")

    @staticmethod
    def _own(own: str) -> Place:
        return Place(directory_of(own), "own-directory", "WIN-4", own)

    def _app(self) -> Place:
        return Place(self.application, "application", "WIN-4")

    def _standard(self) -> tuple[Place, ...]:
        path = tuple(Place(d, "environment", "WIN-9", "PATH") for d in self.path)
        return (SYSTEM, Place(WINDOWS_DIRECTORY, "system", "WIN-9"), *path)


def _user(directories: Iterable[str]) -> list[Place]:
    return [Place(d, "user-directory", "WIN-6", d) for d in directories]


def path_directories(env: Mapping[str, str]) -> tuple[str, ...]:
    """The directories of a declared PATH; Windows compares the variable's name without case."""
    text = next((v for k, v in env.items() if k.upper() == "PATH"), "")
    return tuple(slashes(d).rstrip("/") for d in text.split(";") if d)


class Searcher:
    """Opens candidates in a view as the loader does."""

    def __init__(self, view: View, arch: str) -> None:
        self.view = view
        self.arch = arch
        self._verdicts: dict[str, tuple[str, Found, PeSlice | None]] = {}

    def verify(self, path: str) -> tuple[str, Found, PeSlice | None]:
        """(verdict, what is there, its facts). Verdicts: ok, absent, wrong-machine, bad-header, unknown."""
        hit = self._verdicts.get(path)
        if hit is None:
            hit = self._verdicts[path] = self._verify(path)
        return hit

    def _verify(self, path: str) -> tuple[str, Found, PeSlice | None]:
        found = self.view.lookup(path)
        if found.status in ("unknown", "unreadable"):
            return "unknown", found, None
        if found.status != "file":
            return "absent", found, None
        try:
            binary = self.view.binary(found)
        except BinaryError:
            return "bad-header", found, None
        pe = binary.slices[0] if binary is not None else None
        if not isinstance(pe, PeSlice):
            return "bad-header", found, None
        if pe.arch not in ACCEPTS.get(self.arch, (self.arch,)):
            return "wrong-machine", found, pe
        return "ok", found, pe

    def at(self, search: Search, name: str, place: Place) -> Candidate | None:
        """The file of that name in one directory: taken or refused for good; None when the search goes on.

        A file for another machine is passed over, as Wine's model of the loader does (WIN-13).
        """
        file = posixpath.join(place.directory, name)
        verdict, found, pe = self.verify(file)
        if verdict == "absent" and place.how == "system" and not self._has(place.directory):
            return None  # no file system of the host: the table of its DLLs answers
        if verdict in ("absent", "wrong-machine"):
            search.attempts.append(Attempt(file, verdict))
            if verdict == "wrong-machine" and not search.wrong_machine:
                search.wrong_machine = file
            return None
        file = spelled(file, found)
        search.attempts.append(Attempt(file, "found" if verdict == "ok" else verdict))
        rule = "WIN-13" if search.wrong_machine else place.rule
        return Candidate(file, place, rule, found, pe, verdict if verdict == "bad-header" else "")

    def note_others(self, search: Search, name: str, taken: Candidate, path: SearchPath) -> None:
        """Of two directories that were added at run time the order is not documented: when a later one holds another
        file of that name, the answer's rule becomes WIN-5 and the other file stands among the attempts."""
        if taken.place.how != "user-directory":
            return
        ident = taken.found.entry.ident if taken.found.entry else None
        for place in path.places[path.places.index(taken.place) + 1 :]:
            if place.how != "user-directory":
                continue
            verdict, other, _ = self.verify(posixpath.join(place.directory, name))
            if verdict in ("ok", "unknown") and other.entry is not None and other.entry.ident != ident:
                search.attempts.append(Attempt(spelled(other.path, other), "also"))
                taken.rule = "WIN-5"

    def _has(self, directory: str) -> bool:
        return self.view.lookup(directory).status == "dir"
