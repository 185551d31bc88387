"""Open a prefix: a conda, mamba or pixi environment, or a folder of unpacked conda packages. Read only, hermetic."""

from __future__ import annotations

import functools
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from packaging.utils import canonicalize_name

from abicheck.model import Origin, Skipped
from abicheck.prefix.activation import ActivationScript, activation_scripts, environment_variables
from abicheck.prefix.damage import Damaged, find_damage
from abicheck.prefix.distributions import Distribution, find_distributions
from abicheck.prefix.files import Files, Resolved, State, content_state, read_bytes, resolve
from abicheck.prefix.interpreter import Interpreter, Layout, find_interpreter, make_layout
from abicheck.prefix.records import CondaRecord
from abicheck.trees import Entry

_NATIVE = re.compile(
    r"(\.(so|dylib|dll|pyd|exe)|\.so(\.[0-9A-Za-z_]+)+|(^|/)bin/(python|pypy|graalpy)[0-9.td]*)$", re.I
)
_SUBDIR = re.compile(r"/((?:linux|osx|win)-[0-9a-z]+)(?:/|$)")


class Prefix:
    """One environment. Everything is lazy and read once; all paths are prefix-relative with ``/``.

    ``root``: absolute, ``/``-separated (a made-up one for a snapshot or a folder of packages). ``kind``: directory,
    packages, snapshot. ``subdir``: conda's platform, ``""`` when nothing tells.
    """

    def __init__(
        self,
        root: str,
        kind: str,
        display: str,
        files: Files,
        records: Iterable[CondaRecord],
        problems: Iterable[Skipped] = (),
    ) -> None:
        self.root = root
        self.kind = kind
        self.display = display
        self.files = files
        self.records: tuple[CondaRecord, ...] = tuple(sorted(records, key=lambda r: (r.name, r.version, r.build)))
        self._misread = tuple(problems)
        files.fold = self.fold_case
        self._folders: dict[str, str] = {}

    # -- what it is ----------------------------------------------------------

    @property
    def problems(self) -> tuple[Skipped, ...]:
        """Records that are none, and directories that could not be listed when somebody asked (they look empty)."""
        return (*self._misread, *self.files.unlisted)

    @functools.cached_property
    def subdir(self) -> str:
        """The platform most records are for (a stray record of another one decides nothing)."""
        votes = Counter(s for s in map(_subdir, self.records) if s and s != "noarch")
        return min(votes, key=lambda s: (-votes[s], s)) if votes else ""

    @property
    def fold_case(self) -> bool:
        """Whether file names compare without case there (the usual file systems of Windows and macOS)."""
        return self.subdir.startswith(("win-", "osx-"))

    @functools.cached_property
    def interpreter(self) -> Interpreter | None:
        return find_interpreter(self.records, self.files, self.subdir)

    @functools.cached_property
    def layout(self) -> Layout | None:
        return make_layout(self.interpreter, self.subdir) if self.interpreter is not None else None

    # -- who owns what -------------------------------------------------------

    def key(self, path: str) -> str:
        """What two paths that are one file there have in common."""
        return path.lower() if self.fold_case else path

    @functools.cached_property
    def _owners(self) -> Mapping[str, tuple[CondaRecord, ...]]:
        fold = self.fold_case
        out: dict[str, tuple[CondaRecord, ...]] = {}
        for record in self.records:
            for path in record.files:
                key = path.lower() if fold else path
                held = out.get(key)
                out[key] = (record,) if held is None else held if record in held else (*held, record)
        return out

    def owned(self) -> Iterator[tuple[str, tuple[CondaRecord, ...]]]:
        """Every path that records list, once, as the first of them spells it, with all that list it."""
        seen: set[str] = set()
        for record in self.records:
            for path in record.files:
                key = self.key(path)
                if key not in seen:
                    seen.add(key)
                    yield path, self._owners[key]

    def is_hollowed(self, record: CondaRecord) -> bool:
        """Whether pip replaced the distribution that the package brought."""
        return self.replaced_by(record) is not None

    def replaced_by(self, record: CondaRecord) -> Distribution | None:
        """What pip put in the place of the distribution that the package brought: one of its names that conda did not
        install, where the package's own metadata folder is gone. None: nothing did."""
        folders = {f.partition(".dist-info/")[0] for f in record.files if ".dist-info/" in f}
        names = {canonicalize_name(posixpath.basename(f).rpartition("-")[0]) for f in folders}
        names.add(canonicalize_name(record.name))
        own = {f + ".dist-info" for f in folders}
        if not _has_modules(record) or any(d.path in own and d.by_conda for d in self.distributions):
            return None
        return next((d for d in self.distributions if d.name in names and not d.by_conda), None)

    def owners(self, path: str) -> tuple[CondaRecord, ...]:
        """The conda packages whose records list the path, by name."""
        return self._owners.get(self.key(path), ())

    @functools.cached_property
    def _pip_files(self) -> Mapping[str, Distribution]:
        out: dict[str, Distribution] = {}
        for dist in self.distributions:
            if not dist.by_conda:
                out |= {self.key(path): dist for path in dist.files}
        return out

    def pip_owner(self, path: str) -> Distribution | None:
        """The distribution that conda did not install and whose RECORD lists the path."""
        return self._pip_files.get(self.key(path))

    def origin(self, path: str) -> Origin | None:
        """Who brought the file: the conda package whose record lists it (unless pip's copy lies there), else pip's
        distribution, else None."""
        owners = self.owners(path)
        dist = self.pip_owner(path)
        if dist is not None and (not owners or self._is_pips(path, dist, owners)):
            return dist.origin
        return owners[0].origin if owners else None

    def _is_pips(self, path: str, dist: Distribution, owners: tuple[CondaRecord, ...]) -> bool:
        """Both list it: the size on disk tells whose it is, when the two sizes differ."""
        node = self.resolve(path).node
        row = dist.rows.get(path)
        if node is None or row is None or node.kind != "file" or row.size < 0:
            return False
        sizes = {o.paths[path].size for o in owners if path in o.paths}
        return node.size == row.size and node.size not in sizes

    @functools.cached_property
    def recorded_paths(self) -> tuple[str, ...]:
        """Libraries and programs that records (pip's too) list and that are not there, or that a Git LFS pointer stands
        for: a partial copy of an environment. Their content is unknown, not absent. Files of a package whose
        distribution pip has replaced are really gone."""
        out: list[str] = []
        for record in self.records:
            natives = [p for p in record.files if _NATIVE.search(p)]
            if natives and self.is_hollowed(record):
                natives = [p for p in natives if "/site-packages/" not in p]
            out += [p for p in natives if not self._listed(p)]
        for dist in self.distributions:
            if not dist.by_conda:
                out += [p for p in dist.files if _NATIVE.search(p) and not self._listed(p)]
        return tuple(dict.fromkeys(out))

    def _listed(self, path: str) -> bool:
        folder, name = posixpath.split(path)
        listing = self.files.listing(folder)
        node = listing.get(name) if listing is not None else None
        if node is None:
            return resolve(self.files, path).node is not None
        return not self._is_pointer(path, node)

    def _is_pointer(self, path: str, node: Entry) -> bool:
        """Whether a Git LFS pointer stands for the file. A package that was built with the pointer itself records its
        size: then that is all the file there is."""
        if node.kind != "file" or node.size > 1024 or self.content_state(path) != "pointer":
            return False
        dist = self.pip_owner(path)
        row = dist.rows.get(path) if dist is not None else None
        recorded = {o.paths[path].size for o in self.owners(path) if path in o.paths}
        return node.size not in (recorded | {row.size} if row is not None else recorded)

    @functools.cached_property
    def pointers(self) -> tuple[str, ...]:
        """Those of the recorded paths that a Git LFS pointer stands for."""
        return tuple(p for p in self.recorded_paths if self.content_state(p) == "pointer")

    # -- what Python and activation see --------------------------------------

    @functools.cached_property
    def distributions(self) -> tuple[Distribution, ...]:
        """What is installed in the interpreter's site-packages, conda's and pip's."""
        if self.layout is None:
            return ()
        folders = tuple(dict.fromkeys((self.layout.purelib, self.layout.platlib)))
        return tuple(find_distributions(self.files, folders, lambda p: next(iter(self.owners(p)), None)))

    def distribution(self, name: str) -> Distribution | None:
        """The installed distribution of a normalised name; of two, the one Python's metadata finds first."""
        return next((d for d in self.distributions if d.name == name), None)

    @functools.cached_property
    def activation(self) -> tuple[ActivationScript, ...]:
        return tuple(activation_scripts(self.files))

    @functools.cached_property
    def environment(self) -> Mapping[str, str]:
        """Variables that activation sets from data files."""
        return environment_variables(self.files)

    @functools.cached_property
    def damage(self) -> tuple[Damaged, ...]:
        """Files that are not what conda linked. Hashes every native file: seconds for a large environment."""
        return find_damage(self)

    # -- content -------------------------------------------------------------

    def resolve(self, path: str) -> Resolved:
        """Where a path leads inside the prefix, links followed."""
        return resolve(self.files, path)

    def real_parent(self, path: str) -> str:
        """A path with its folder's links followed (as far as the folder exists), its own last name kept."""
        folder, name = posixpath.split(path)
        if folder not in self._folders:
            self._folders[folder] = resolve(self.files, folder).path
        return posixpath.join(self._folders[folder], name)

    def existing(self, path: str) -> str | None:
        """The path as it is spelled there (the last name's letter case), None when nothing is there."""
        folder, name = posixpath.split(path)
        listing = self.files.listing(folder)
        if listing is None:
            return None
        if name in listing or not self.fold_case:
            return path if name in listing else None
        low = name.lower()
        return next((posixpath.join(folder, n) for n in listing if n.lower() == low), None)

    def has(self, path: str, *, follow: bool = True) -> bool:
        """Whether something is at a path whose folder's links are followed already; a dangling link only counts when
        links are not to be followed. What only records know (a partial copy) counts."""
        at = self.existing(path)
        if at is None:
            return path in self._recorded_set
        return not follow or resolve(self.files, at).node is not None

    @functools.cached_property
    def _recorded_set(self) -> frozenset[str]:
        return frozenset(self.recorded_paths)

    def is_link(self, path: str) -> bool:
        folder, name = posixpath.split(path)
        node = (self.files.listing(folder) or {}).get(name)
        return node is not None and node.kind == "link"

    def is_folder(self, path: str) -> bool:
        node = resolve(self.files, path).node
        return node is not None and node.kind == "dir"

    def is_file(self, path: str) -> bool:
        node = resolve(self.files, path).node
        return node is not None and node.kind == "file"

    def read(self, path: str) -> bytes | None:
        """A small file's content, links followed; None when there is none."""
        return read_bytes(self.files, path)

    def content_state(self, path: str) -> State:
        """present, absent, empty, pointer (Git LFS), dangling, directory, unreadable."""
        return content_state(self.files, path)


def _has_modules(record: CondaRecord) -> bool:
    """Whether a package brings anything to site-packages. One that only depends on others was never in its place."""
    return any("site-packages/" in f for f in record.files)


Place = Callable[[str, str], str]


def placer(site_packages: Callable[[], str], windows: Callable[[], bool]) -> Place:
    """Where a package's own paths go (PY-15): ``site-packages/`` and ``python-scripts/`` of noarch packages."""

    def place(path: str, own_site: str) -> str:
        if path.startswith("site-packages/"):
            return posixpath.join(own_site or site_packages(), path.removeprefix("site-packages/"))
        if path.startswith("python-scripts/"):
            return posixpath.join("Scripts" if windows() else "bin", path.removeprefix("python-scripts/"))
        return path

    return place


def _subdir(record: CondaRecord) -> str:
    if record.subdir:
        return record.subdir
    match = _SUBDIR.search(record.url) or _SUBDIR.search(record.channel)
    return match[1] if match else ""
