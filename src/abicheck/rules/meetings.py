"""Who loads what, and who meets whom: every subject with everybody else it shares a name with, in both orders."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from abicheck.loader.capture import Reach, contested, reach
from abicheck.loader.scenarios import Difference, Group, Meeting, Run, Simulator, difference
from abicheck.loader.units import bare_group, group_of
from abicheck.model import Origin
from abicheck.rules.ground import Ground

# Folders below the prefix: lib/python3.12/site-packages/PACKAGE/MODULE.py, and one package deeper.
SHALLOW = 6


class Meetings(Ground):
    """See the module."""

    # -- groups --------------------------------------------------------------

    @functools.cached_property
    def subjects(self) -> tuple[Group, ...]:
        """What each subject loads."""
        return tuple(map(self._subject, self.counted("deriving imports", self.subject_origins)))

    def _subject(self, origin: Origin) -> Group:
        self.natives_of(origin)  # now, while its libraries are unpacked: imports are derived from them, too
        return group_of(self.importer, origin, self.files_of(origin))

    @functools.cached_property
    def bystanders(self) -> tuple[Group, ...]:
        """Everybody else's extension modules (conda packages, installed distributions), without what their imports load
        first: for finding out whom a subject can meet."""
        mine = set(self.subject_origins)
        others = self.counted("reading other packages", [o for o in sorted(self._owned) if o not in mine])
        groups = (bare_group(self.importer, o, self._extension_files(o), self.files_of(o)) for o in others)
        return tuple(g for g in groups if g.units)

    @functools.cache  # noqa: B019 - a scene lives as long as the process that judges it
    def full(self, bare: Group) -> Group:
        """A bystander as a program loads it. Its imports are derived only when it does not load without them."""
        alone = self.stage.scout.run(bare)
        loads_bare = all(r.result.outcome in ("loaded", "unknown") for r in alone.results.values())
        if loads_bare and not self._speaks_of_globals(bare.origin):
            return bare
        return self.as_imported(bare.origin)

    @functools.cache  # noqa: B019 - a scene lives as long as the process that judges it
    def as_imported(self, origin: Origin) -> Group:
        """What an owner loads, with what its imports are certain to load. Dear: every import is followed."""
        mine = next((g for g in self.subjects if g.origin == origin), None)
        return mine or group_of(self.importer, origin, self.files_of(origin))

    def _speaks_of_globals(self, origin: Origin) -> bool:
        """Whether import-time code may open libraries for the whole process (ELF-24): a word in the source of the
        project's packages or of a module beside them. Only then its imports are worth deriving. The standard library
        names the flag (``ctypes``) and never sets it."""
        deepest = self.view.root.count("/") + SHALLOW
        standard, site = (f"{self.view.root}/{d}/" for d in (self.layout.stdlib, self.layout.purelib))
        for path in self.files_of(origin):
            if path.startswith(standard) and not path.startswith(site):
                continue
            if path.endswith(".py") and path.count("/") <= deepest:
                text = self.view.read_text(path) or ""
                if "RTLD_GLOBAL" in text or "setdlopenflags" in text:
                    return True
        return False

    def _extension_files(self, origin: Origin) -> tuple[str, ...]:
        """Files that can be extension modules; the rest of a package need not be looked at."""
        suffix = self.interpreter.extension_suffixes[-1]
        return tuple(p for p in self.files_of(origin) if p.endswith(suffix))

    # -- who meets whom ------------------------------------------------------

    @functools.cached_property
    def meetings(self) -> tuple[Meeting, ...]:
        """Pairs of a subject with anybody else (another subject included) that share a capture key, in both orders."""
        out = []
        for mine, other, keys in self._sharing_keys():
            simulator = self.stage.simulator
            meeting = Meeting(mine, other, keys, difference(simulator, mine, other), difference(simulator, other, mine))
            if not (meeting.a_first.empty and meeting.b_first.empty):
                out.append(meeting)
            simulator.forget(mine, other)
            simulator.forget(other, mine)
        return tuple(out)

    def _sharing_keys(self) -> Iterator[tuple[Group, Group, tuple[str, ...]]]:
        pairs = len(self.subjects) * len(self.bystanders)
        for n, mine in enumerate(self.subjects):
            if not (mine.units or mine.prelude):
                continue
            here = self._reach(mine)
            for other in self.subjects[n + 1 :]:
                keys = self._keys(here, self._reach(other)) if other.units or other.prelude else ()
                if keys:
                    yield mine, other, keys
            for k, bare in enumerate(self.bystanders):
                self.tell("meeting", n * len(self.bystanders) + k, pairs)
                keys = self._keys(here, self._scouted(bare))
                if keys:
                    yield mine, self.full(bare), keys
        self.tell("meeting", pairs, pairs)

    def _keys(self, mine: Reach, other: Reach) -> tuple[str, ...]:
        return contested(mine, other, self.unique_symbols, self.exported_names)

    @functools.cache  # noqa: B019 - a scene lives as long as the process that judges it
    def _reach(self, group: Group) -> Reach:
        simulator = self.stage.simulator
        return reach(simulator.run(group), simulator.base())

    @functools.cache  # noqa: B019 - a scene lives as long as the process that judges it
    def _scouted(self, bare: Group) -> Reach:
        """What a bystander maps, found without binding; with its imports when it does not load without them."""
        scout = self.stage.scout
        return reach(scout.run(self.full(bare)), scout.base())

    @property
    def differences(self) -> Iterator[tuple[Meeting, Difference]]:
        """Every order of every meeting."""
        for meeting in self.meetings:
            yield meeting, meeting.a_first
            yield meeting, meeting.b_first

    def run_of(self, group: Group) -> Run:
        """A group alone in the interpreter."""
        return self.stage.simulator.run(group)

    @property
    def simulator(self) -> Simulator:
        return self.stage.simulator
