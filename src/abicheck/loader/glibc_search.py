"""Where glibc looks for a library: token expansion, directories, candidates, refusals (ELF-6 to ELF-16)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from abicheck.binary.elf import ElfSlice, header_verdict
from abicheck.errors import BinaryError
from abicheck.host import MULTIARCH, Host
from abicheck.model import Attempt
from abicheck.overlay import Found, View

# $PLATFORM by machine on the layouts we describe (ELF-8); an unknown token drops its element.
PLATFORM = {62: "x86_64", 183: "aarch64", 3: "i686", 21: "ppc64le", 22: "s390x", 40: "v7l", 243: "riscv64"}
# elf/dl-load.c is_dst: a bare token ends where an identifier would, so ``$LIBS`` and ``$ORIGINAL`` are plain text.
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")
LEGACY_SUBDIRS_UNTIL = (2, 36)  # NEWS 2.37: tls/, platform and legacy hwcaps directories are gone (ELF-15)


@dataclass(frozen=True, slots=True)
class Target:
    """What the process accepts: class and machine of its own executable (ELF-16)."""

    elf_class: int
    machine: int
    little: bool
    lib: str = ""  # what $LIB stands for (ELF-8); empty: the machine's usual word

    def on(self, host: Host) -> Target:
        """The same on a host whose built-in directories are known: Debian's $LIB names the machine."""
        triple = f"lib/{MULTIARCH.get(self.machine, '')}"
        return replace(self, lib=triple) if f"/{triple}" in host.directories else self


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file the search ends at. ``elf`` is None when its content is unknown; ``error`` is glibc's refusal, if any."""

    path: str
    how: str
    owner: int
    rule: str
    found: Found | None
    elf: ElfSlice | None
    error: str = ""


@dataclass(slots=True)
class Search:
    """One search under way: what was tried, and whether a library of another class was passed over."""

    attempts: list[Attempt] = field(default_factory=list)
    other_class: bool = False


def expand(text: str, origin: str, target: Target) -> str | None:
    """Expand ``$ORIGIN``, ``$LIB``, ``$PLATFORM`` (with or without braces); None when a token cannot be (ELF-8)."""
    lib = target.lib or ("lib64" if target.machine in (62, 21, 22, 183) else "lib")
    values = {"ORIGIN": origin, "LIB": lib, "PLATFORM": PLATFORM.get(target.machine)}
    if any(values[m[1] or m[2]] is None for m in _TOKEN.finditer(text)):
        return None
    return _TOKEN.sub(lambda m: values[m[1] or m[2]] or "", text)


def directories(tag: str, origin: str, target: Target, separators: str = ":") -> tuple[str, ...]:
    """The directories of one path tag or variable, in order, each once; an empty element is the current directory."""
    for s in separators[1:]:
        tag = tag.replace(s, separators[0])
    out: list[str] = []
    for element in tag.split(separators[0]):
        directory = expand(element, origin, target)
        if directory is None:
            continue
        directory = directory.rstrip("/") or ("/" if directory else ".")
        if directory not in out:
            out.append(directory)
    return tuple(out)


class Searcher:
    """Opens candidates in a view as glibc's open_path and open_verify do."""

    def __init__(self, view: View, host: Host, target: Target) -> None:
        self.view = view
        self.host = host
        self.target = target.on(host)
        self.subdirs = self._subdirs()
        self._verdicts: dict[str, tuple[str, Found, ElfSlice | None, str]] = {}

    def _subdirs(self) -> tuple[str, ...]:
        levels = tuple(f"glibc-hwcaps/{level}" for level in self.host.hwcaps_levels(self.target.machine))
        if self.host.glibc is not None and self.host.glibc <= LEGACY_SUBDIRS_UNTIL:
            platform = PLATFORM.get(self.target.machine, "")
            legacy = (f"tls/{platform}/{platform}", f"tls/{platform}", "tls", f"{platform}/{platform}", platform)
            levels += tuple(s for s in legacy if platform)
        return levels

    def in_directories(
        self, search: Search, name: str, dirs: Iterable[str], how: str, owner: int, rule: str
    ) -> Candidate | None:
        """Try ``name`` in each directory and its hwcaps subdirectories; the first file that is not passed over."""
        for path, sub in self._paths(dirs, name):
            verdict, found, elf, error = self.verify(path)
            if verdict in ("absent", "unreadable", "wrong-class", "wrong-machine"):
                if verdict == "wrong-class":
                    search.other_class = True
                search.attempts.append(Attempt(path, verdict))
                continue
            search.attempts.append(Attempt(path, "found" if verdict == "ok" else verdict))
            return Candidate(path, how, owner, "ELF-15" if sub else rule, found, elf, error)
        return None

    def _paths(self, dirs: Iterable[str], name: str) -> Iterator[tuple[str, bool]]:
        for d in dirs:
            if not d.startswith("/"):
                continue  # relative to a working directory that is not part of the question
            for sub in self.subdirs:
                if self.view.lookup(f"{d}/{sub}").status == "dir":
                    yield f"{d}/{sub}/{name}", True
            yield f"{d}/{name}" if d != "/" else f"/{name}", False

    def verify(self, path: str) -> tuple[str, Found, ElfSlice | None, str]:
        """glibc's open_verify: (verdict, what is there, its facts, text of a fatal refusal)."""
        hit = self._verdicts.get(path)
        if hit is None:
            hit = self._verdicts[path] = self._verify(path)
        return hit

    def _verify(self, path: str) -> tuple[str, Found, ElfSlice | None, str]:
        found = self.view.lookup(path)
        if found.status in ("absent", "dangling", "loop"):
            return "absent", found, None, ""
        if found.status == "unreadable":
            return "unreadable", found, None, ""
        if found.status == "dir":
            return "directory", found, None, f"{path}: cannot read file data: Is a directory"
        if found.status == "unknown":
            return "ok", found, None, ""
        if found.status == "other" or found.entry is None:
            return "unreadable", found, None, ""
        try:
            head, size = self.view.head(found)
        except PermissionError:
            return "unreadable", found, None, ""
        except OSError:  # a damaged member of a wheel, a failing disk: what it holds is not known
            return "ok", found, None, ""
        verdict, text = header_verdict(head, size, self.target.elf_class, self.target.machine, self.target.little)
        if verdict != "ok":
            return verdict, found, None, f"{path}: {text}" if text else ""
        try:
            binary = self.view.binary(found)
        except BinaryError:
            # The header is fine but a table is not: what a real loader would do with it is not known.
            return "ok", found, None, ""
        elf = binary.slices[0] if binary is not None else None
        if not isinstance(elf, ElfSlice):
            return "bad-header", found, None, f"{path}: invalid ELF header"
        if elf.elf_class != self.target.elf_class:
            return "wrong-class", found, None, ""
        if elf.machine != self.target.machine:
            return "wrong-machine", found, None, ""
        return "ok", found, elf, ""


def origin_of(path: str) -> str:
    """$ORIGIN of an object: the directory of the path it was opened by, links not followed (ELF-8)."""
    return posixpath.dirname(path) or "/"


def default_candidates(
    searcher: Searcher, search: Search, name: str, levels: Sequence[str], nodeflib: bool
) -> Candidate | None:
    """ld.so.cache, then the built-in directories (ELF-14)."""
    host = searcher.host
    cached = host.cached(name, searcher.target.machine, tuple(levels))
    if cached is not None and not (nodeflib and posixpath.dirname(cached) in host.directories):
        hit = searcher.in_directories(
            search, posixpath.basename(cached), [posixpath.dirname(cached)], "cache", -1, "ELF-14"
        )
        if hit is not None:
            return hit
    if nodeflib:
        return None
    return searcher.in_directories(search, name, host.directories, "default", -1, "ELF-14")
