"""From a name to a module: the order of WIN-1, the tree below it, and what belongs to Windows itself."""

from __future__ import annotations

from collections.abc import Iterator

from abicheck.binary.pe_tables import DllImports
from abicheck.knowledge.windows_system import SYSTEM_DIRECTORY, is_api_set, windows_system
from abicheck.loader.process import Edge
from abicheck.loader.windows_modules import Load, Module, Record, Settings, Want
from abicheck.loader.windows_search import Candidate, Directories, Place, Search, Searcher, SearchPath, spelled
from abicheck.model import Attempt


class Mapper:
    """Maps modules into a record. Holds no state of its own but ``record``."""

    def __init__(self, settings: Settings, searcher: Searcher, directories: Directories, record: Record) -> None:
        self.settings = settings
        self.searcher = searcher
        self.directories = directories
        self.record = record
        self.system = windows_system()

    @property
    def user_directories(self) -> tuple[str, ...]:
        """Directories added so far, in the order they are searched: the last added first (WIN-5)."""
        return tuple(reversed(self.record.state.user))

    # -- loads ---------------------------------------------------------------

    def open(self, load: Load, path: str, search_path: SearchPath, rule: str = "WIN-2") -> Module | None:
        """A load by full path: the same path or file is reused, another file is mapped whatever its name (WIN-2)."""
        want = Want(None, path)
        verdict, found, pe = self.searcher.verify(path)
        attempts = (Attempt(path, "found" if verdict == "ok" else verdict),)
        if verdict == "absent":
            load.fail("MISSING_LIB", 126, "WIN-4", want, attempts=attempts)
            return None
        if verdict in ("bad-header", "wrong-machine"):
            load.fail("LOAD_REJECTED", 193, "WIN-13", want, provider=path, attempts=attempts)
            return None
        same = self.record.same_file(path, found)
        if same is not None:
            return same
        module = self.record.add(
            load, want, spelled(path, found), "opened", rule, found=found, pe=pe, attempts=attempts
        )
        self.walk(load, module, search_path)
        return module

    def by_name(self, load: Load, want: Want, search_path: SearchPath) -> Module | None:
        """A load by base name, with the whole tree of what is new; None when it was not found."""
        count = len(self.record.edges)
        new = self._request(load, want, search_path)
        if new is not None:
            self.walk(load, new, search_path)
        provider = self.record.edges[count].provider
        return self.record.objects[provider] if provider is not None else None

    def walk(self, load: Load, module: Module, search_path: SearchPath) -> None:
        """Map everything a new module imports, depth first (WIN-3). A stack, since a chain may be of any length."""
        load.paths[module.index] = search_path
        stack: list[tuple[Module, Iterator[DllImports]]] = [(module, module.imports())]
        while stack:
            requester, wanted = stack[-1]
            entry = next(wanted, None)
            if entry is None:
                stack.pop()
                continue
            new = self._request(load, Want(requester, entry.dll), self._path_of(requester, search_path))
            if new is not None:
                load.paths[new.index] = search_path
                stack.append((new, new.imports()))

    def _path_of(self, module: Module, search_path: SearchPath) -> SearchPath:
        flags = module.pe.dependent_load_flags if module.pe is not None else 0
        return self.directories.dependent(flags, module.path, self.user_directories) if flags else search_path

    # -- one name ------------------------------------------------------------

    def _request(self, load: Load, want: Want, search_path: SearchPath) -> Module | None:
        """Resolve one name in the order of WIN-1 and write its edge. Gives the module when it is new."""
        record = self.record
        if is_api_set(want.lower):
            self._api_set(load, want)
            return None
        if self._side_by_side(load, want):
            return None
        serving = record.serving(want.lower)
        if serving is not None:
            rule = "WIN-2" if len(record.state.by_base[want.lower]) > 1 else "WIN-1"
            record.edge(load, want, serving, "base-name", rule, owner=serving.path)
            return None
        if want.lower in self.system.known:
            module = record.add_system(load, want, want.lower, "known-dll", "WIN-11")
            record.edge(load, want, module, "known-dll", "WIN-11")
            return None
        return self._search(load, want, search_path)

    def _search(self, load: Load, want: Want, search_path: SearchPath) -> Module | None:
        search = Search()
        for place in search_path.places:
            candidate = self.searcher.at(search, want.file, place)
            if candidate is not None:
                self.searcher.note_others(search, want.file, candidate, search_path)
                return self._take(load, want, candidate, search)
            if place.how == "system" and self._from_system(load, want, search, place):
                return None
        if self._installed(load, want, search, search_path):
            return None
        self._missing(load, want, search)
        return None

    def _take(self, load: Load, want: Want, candidate: Candidate, search: Search) -> Module | None:
        record, place, attempts = self.record, candidate.place, tuple(search.attempts)
        if candidate.refused:
            record.edge(load, want, None, place.how, "WIN-13", attempts=attempts)
            load.fail("LOAD_REJECTED", 193, "WIN-13", want, provider=candidate.path, attempts=attempts)
            return None
        same = record.same_file(candidate.path, candidate.found)
        if same is not None:  # mapped under another name (a hard link)
            record.edge(load, want, same, place.how, "WIN-2", owner=place.owner, attempts=attempts)
            return None
        module = record.add(
            load,
            want,
            candidate.path,
            place.how,
            candidate.rule,
            owner=place.owner,
            found=candidate.found,
            pe=candidate.pe,
            attempts=attempts,
        )
        record.edge(load, want, module, place.how, candidate.rule, owner=place.owner, attempts=attempts)
        return module

    def _missing(self, load: Load, want: Want, search: Search) -> None:
        attempts, wrong = tuple(search.attempts), search.wrong_machine
        rule = "WIN-13" if wrong else "WIN-4"
        self.record.edge(load, want, None, "", rule, attempts=attempts)
        if wrong:
            load.fail("LOAD_REJECTED", 193, rule, want, provider=wrong, attempts=attempts)
        else:
            load.fail("MISSING_LIB", 126, rule, want, attempts=attempts)

    # -- the system's own ----------------------------------------------------

    def _api_set(self, load: Load, want: Want) -> None:
        """API sets lead to modules of the system; no file is looked at (WIN-10). ``ext-`` sets may be absent."""
        host = self.system.api_set_host(want.lower.removesuffix(".dll"))
        module = self.record.add_system(load, want, host if host.endswith(".dll") else want.lower, "api-set", "WIN-10")
        self.record.edge(load, want, module, "api-set", "WIN-10")
        if want.lower.startswith("ext-"):
            load.doubt("WIN-10", want, f"{want.name} is an optional API set; whether this Windows has it is not known")

    def _side_by_side(self, load: Load, want: Want) -> bool:
        """Whether the requester's own manifest takes this DLL from an assembly (WIN-15); those are not in a prefix."""
        pe = want.requester.pe if want.requester is not None else None
        for wanted in pe.assemblies if pe is not None else ():
            assembly = self.system.assemblies.get(wanted.name)
            if assembly is None or want.lower not in assembly.dlls:
                continue
            module = self.record.add_system(load, want, want.lower, "system", "WIN-15")
            self.record.edge(load, want, module, "system", "WIN-15")
            if not assembly.system:
                what = f"{want.name} comes from the side-by-side assembly {wanted.name} {wanted.version}"
                load.doubt("WIN-15", want, f"{what}, which only the host can have")
            return True
        return False

    def _from_system(self, load: Load, want: Want, search: Search, place: Place) -> bool:
        """System32 without its files: what the table, or the description of the host, says it holds."""
        there = self._in_system(want.lower) if place.directory == SYSTEM_DIRECTORY else False
        if there is False or self._sees_system:
            return False
        attempt = Attempt(f"{SYSTEM_DIRECTORY}/{want.lower}", "found" if there else "unknown")
        attempts = (*search.attempts, attempt)
        module = self.record.add_system(load, want, want.lower, "system", place.rule)
        self.record.edge(load, want, module, "system", place.rule, attempts=attempts)
        if there is None:
            text = f"{want.name} is part of some releases of Windows only, and the host's build is not known"
            load.doubt("WIN-4", want, text, attempts)
        return True

    def _in_system(self, lower: str) -> bool | None:
        """Whether Windows itself has a DLL of that name on this host; None when only the host can tell."""
        host = self.settings.host
        if lower in host.provides:
            return True
        entry = self.system.dlls.get(lower)
        return entry.on(self.settings.arch, host.windows_build) if entry is not None else False

    @property
    def _sees_system(self) -> bool:
        """The view holds the host's own System32, so that what is not there is absent."""
        host = self.settings.host
        return host.complete and host.use_files and self.settings.view.lookup(SYSTEM_DIRECTORY).status == "dir"

    def _installed(self, load: Load, want: Want, search: Search, search_path: SearchPath) -> bool:
        """A DLL that some installer puts into System32: not missing while the host is unknown (WIN-22, RT-5)."""
        who = self.system.installed_by(want.lower)
        searched = any(p.directory == SYSTEM_DIRECTORY for p in search_path.places)
        if who is None or not searched or self._sees_system:
            return False
        attempts = (*search.attempts, Attempt(f"{SYSTEM_DIRECTORY}/{want.lower}", "unknown"))
        module = self.record.add_system(load, want, want.lower, "system", "WIN-22")
        self.record.edge(load, want, module, "system", "WIN-22", attempts=attempts)
        text = f"{want.name} is in none of the searched directories; {who} puts it into System32"
        load.doubt("WIN-22", want, text, attempts)
        return True

    # -- delay imports -------------------------------------------------------

    def delay_edges(self, load: Load) -> None:
        """Delay imports of the new modules: who would serve them now; nothing is mapped (WIN-18, WIN-9)."""
        for module in load.mapped:
            for entry in module.delayed():
                self.record.edges.append(self._delay_edge(load, Want(module, entry.dll)))

    def _delay_edge(self, load: Load, want: Want) -> Edge:
        search = Search()
        provider, how, owner = None, "", ""
        serving = self.record.serving(want.lower)
        if is_api_set(want.lower):
            how = "api-set"
        elif serving is not None:
            provider, how, owner = serving.index, "base-name", serving.path
        elif want.lower in self.system.known:
            how, owner = "known-dll", f"{SYSTEM_DIRECTORY}/{want.lower}"
        else:
            how, owner = self._would_find(want, search)
        return Edge(want.by, want.name, "delay", provider, how, owner, "WIN-18", load.event, tuple(search.attempts))

    def _would_find(self, want: Want, search: Search) -> tuple[str, str]:
        """(how, path) of the file that a delay-load helper would find, two empty texts when there is none."""
        for place in self.directories.legacy().places:
            candidate = self.searcher.at(search, want.file, place)
            if candidate is not None and not candidate.refused:
                return place.how, candidate.path
            if place.directory == SYSTEM_DIRECTORY and self._in_system(want.lower) is not False:
                return "system", f"{SYSTEM_DIRECTORY}/{want.lower}"
        if self.system.installed_by(want.lower) is not None and not self._sees_system:
            search.attempts.append(Attempt(f"{SYSTEM_DIRECTORY}/{want.lower}", "unknown"))
            return "system", f"{SYSTEM_DIRECTORY}/{want.lower}"
        return "", ""
