"""Where dyld looks for a library, and what it thinks of the file there (MAC-1 to MAC-9, MAC-12, MAC-13, MAC-24).

The order of places and the words of each refusal are those of dyld's Loader.cpp (``forEachPath``,
``forEachResolvedAtPathVar``, ``getLoader``), DyldProcessConfig.cpp (``forEachPathVariant``) and JustInTimeLoader.cpp
(``makeJustInTimeLoaderDisk``), dyld-1378. This module knows paths and files; the process knows what is loaded.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from abicheck.binary.macho import MachoSlice
from abicheck.errors import BinaryError, UsageError
from abicheck.knowledge.macos_system import MacosSystem, Version
from abicheck.overlay import Found, View

CRYPTEX = "/System/Volumes/Preboot/Cryptexes/OS"  # second root of macOS 13 and later
CRYPTEX_SINCE = (13,)
OLD_DYLD = (12,)  # before: dyld 2/3, which still compared compatibility versions (MAC-11)
FALLBACK_SDK = (14,)  # requesters built with an older SDK get the default fallback directories (MAC-7)
FALLBACK = ("/usr/local/lib", "/usr/lib")
FALLBACK_FRAMEWORKS = ("/Library/Frameworks", "/System/Library/Frameworks")
UNMODELLED = (
    "DYLD_IMAGE_SUFFIX", "DYLD_ROOT_PATH", "DYLD_VERSIONED_LIBRARY_PATH", "DYLD_VERSIONED_FRAMEWORK_PATH",
    "DYLD_FORCE_FLAT_NAMESPACE",
)  # fmt: skip
UNSIGNED = "mapped file has no cdhash, completely unsigned? Code has to be at least ad-hoc signed."
# Slices a process accepts, best first (MAC-12): GradedArchitectures load_macHaswell and load_arm64e_keysOff, which is
# what ProcessConfig::Process::getMainArchs gives a plain arm64 program on the arm64e dyld of every Mac.
LOADABLE = {"x86_64": ("x86_64h", "x86_64"), "arm64": ("arm64e", "arm64")}


class MacHost(Protocol):
    """What this loader asks of ``host.Host``: the running macOS, None when unknown."""

    @property
    def macos(self) -> tuple[int, ...] | None: ...


@dataclass(frozen=True, slots=True)
class Link:
    """One image of the chain that led to a request (MAC-6), as far as paths are concerned."""

    index: int
    path: str
    rpaths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """One path dyld tries. ``how`` is the word that ``trace`` prints, ``owner`` the image whose tag gave the path (-1:
    none). ``guess``: a place nobody named, where a system library must be known to exist to be found."""

    path: str
    how: str
    owner: int
    rule: str
    guess: bool = False
    disk_only: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a file: its slice, or why dyld refuses it. ``unknown``: it exists but cannot be read here."""

    outcome: str
    slice: MachoSlice | None = None
    reason: str = ""
    rule: str = "MAC-5"
    unknown: bool = False


class BindingMemory:
    """What processes over one view share: the verdict on each file, by its identity and how it is asked for."""

    def __init__(self) -> None:
        self.verdicts: dict[tuple[object, bool], Verdict] = {}


@dataclass(frozen=True, slots=True)
class Environment:
    """The DYLD_* variables that somebody declared (MAC-8). Raises ``UsageError`` for those this simulation lacks."""

    library: tuple[str, ...]
    framework: tuple[str, ...]
    fallback_library: tuple[str, ...]
    fallback_framework: tuple[str, ...]
    insert: tuple[str, ...]

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Environment:
        for name in UNMODELLED:
            if env.get(name):
                raise UsageError("unsupported-variable", f"{name} is not simulated", f"leave out --env {name}=...")
        names = (
            "LIBRARY_PATH",
            "FRAMEWORK_PATH",
            "FALLBACK_LIBRARY_PATH",
            "FALLBACK_FRAMEWORK_PATH",
            "INSERT_LIBRARIES",
        )
        return cls(*(tuple(p for p in env.get(f"DYLD_{n}", "").split(":") if p) for n in names))


def version(packed: int) -> Version:
    """(major, minor, patch) of a packed xxxx.yy.zz."""
    return packed >> 16, packed >> 8 & 0xFF, packed & 0xFF


def framework_part(path: str) -> str | None:
    """``X.framework/Versions/A/X`` of a path that names a framework's binary, else None."""
    at = path.rfind(".framework/")
    if at < 0:
        return None
    start = path.rfind("/", 0, at) + 1
    return path[start:] if path[start:at] == posixpath.basename(path) else None


class Searcher:
    """Paths and files of one process. ``chain``: the requester first, then who led to it, the main executable last."""

    def __init__(
        self, view: View, host: MacHost, system: MacosSystem, arch: str, env: Environment, memory: BindingMemory
    ) -> None:
        self.view, self.host, self.system, self.arch, self.env = view, host, system, arch, env
        self.program = ""  # real path of the main executable, set when it is mapped
        self._verdicts = memory.verdicts

    # -- places --------------------------------------------------------------

    def places(self, asked: str, chain: tuple[Link, ...], *, static: bool, old_sdk: bool) -> Iterator[Place]:
        """Everything dyld tries for one request, in order (MAC-5)."""
        framework = framework_part(asked)
        if framework is not None:
            yield from (Place(f"{d}/{framework}", "environment", -1, "MAC-8") for d in self.env.framework)
        else:
            leaf = posixpath.basename(asked)
            yield from (Place(f"{d}/{leaf}", "environment", -1, "MAC-8") for d in self.env.library)
        if asked.startswith("/") and self.host.macos and self.host.macos >= CRYPTEX_SINCE:
            yield Place(asked, "path", chain[0].index, "MAC-2", disk_only=True)
            yield Place(CRYPTEX + asked, "path", chain[0].index, "MAC-5", guess=True)
        if not static and not asked.startswith(("/", "@")):
            yield from self._relative(asked, chain)
        else:
            yield from self._expanded(asked, chain)
        if static or "/" not in asked or framework is not None:
            yield from self._fallbacks(asked, framework, old_sdk)

    def _relative(self, asked: str, chain: tuple[Link, ...]) -> Iterator[Place]:
        """dlopen of a leaf or relative name: an implicit @rpath, /usr/lib, then the working directory (MAC-7)."""
        yield from self._rpath("@rpath/" + asked, chain, "MAC-7")
        yield Place("/usr/lib/" + asked, "default", -1, "MAC-7", guess=True)
        yield Place(asked, "path", -1, "MAC-7", guess=True)

    def _expanded(self, asked: str, chain: tuple[Link, ...]) -> Iterator[Place]:
        if asked.startswith("@rpath/"):
            yield from self._rpath(asked, chain, "MAC-6")
            return
        for token, base, how in (
            ("@loader_path", chain[0].path, "loader-path"),
            ("@executable_path", self.program, "executable-path"),
        ):
            if asked == token or asked.startswith(token + "/"):
                yield Place(posixpath.dirname(base) + asked[len(token) :], how, chain[0].index, "MAC-4")
                return
        if not asked.startswith("@"):
            yield Place(asked, "path", chain[0].index, "MAC-2")

    def _rpath(self, asked: str, chain: tuple[Link, ...], rule: str) -> Iterator[Place]:
        tail = asked[len("@rpath/") :]
        for link in chain:
            for rpath in link.rpaths:
                base = self._rpath_directory(rpath, link)
                if base is not None:
                    # Utils::concatenatePaths puts one slash between the two
                    yield Place(f"{base.rstrip('/')}/{tail}", "rpath", link.index, rule, guess=True)

    def _rpath_directory(self, rpath: str, link: Link) -> str | None:
        """An LC_RPATH expanded against the image that has it; None for what dyld skips (relative ones need a working
        directory, which is not known here)."""
        for token, base in (("@loader_path", link.path), ("@executable_path", self.program)):
            if rpath == token or rpath.startswith(token + "/"):
                return posixpath.dirname(base) + rpath[len(token) :]
        return rpath if rpath.startswith("/") else None

    def _fallbacks(self, asked: str, framework: str | None, old_sdk: bool) -> Iterator[Place]:
        declared = self.env.fallback_library if framework is None else self.env.fallback_framework
        how, rule = ("environment", "MAC-8") if declared else ("default", "MAC-7")
        default = (FALLBACK if framework is None else FALLBACK_FRAMEWORKS) if old_sdk else ()
        for directory in declared or default:
            path = f"{directory}/{framework or posixpath.basename(asked)}"
            if path != asked:
                yield Place(path, how, -1, rule, guess=True)

    # -- the shared cache ----------------------------------------------------

    def cached(self, place: Place) -> str | None:
        """The canonical path when the shared cache answers for a place, None otherwise (MAC-9)."""
        if place.disk_only:
            return None
        name = self.system.canonical(place.path)
        if name is None or (place.guess and not self.system.listed(name)):
            return None
        first = self.system.first(name)
        if first is not None and self.host.macos is not None and self.host.macos < first:
            return None
        return name

    def not_there(self, place: Place) -> str:
        """dyld's words for a path with neither file nor cached library."""
        in_cache = not place.disk_only and self.system.canonical(place.path) is not None
        return "no such file, not in dyld cache" if in_cache else "no such file"

    # -- files ---------------------------------------------------------------

    def verify(self, found: Found, *, linked: bool) -> Verdict:
        """Judge the file at a place as dyld would before mapping it. ``linked``: by a load command, not by dlopen."""
        assert found.entry is not None
        if found.status == "unknown":
            return Verdict("unknown", unknown=True)
        key = (found.entry.ident, linked)
        if key not in self._verdicts:
            self._verdicts[key] = self._verify(found, linked)
        return self._verdicts[key]

    def _verify(self, found: Found, linked: bool) -> Verdict:
        try:
            binary = self.view.binary(found)
        except BinaryError as e:
            return Verdict("bad-header", reason=e.problem)
        slices = [s for s in binary.slices if isinstance(s, MachoSlice)] if binary is not None else []
        if not slices:
            return Verdict("not-a-library", reason="slice is not valid mach-o file")
        best = next((s for a in LOADABLE[self.arch] for s in slices if s.arch == a), None)
        if best is None:
            return Verdict("wrong-machine", reason=self._wrong_arch(slices), rule="MAC-12")
        return self._judge(best, found.real, linked)

    def _wrong_arch(self, slices: list[MachoSlice]) -> str:
        have = ",".join(s.arch for s in slices)
        need = "' or '".join(LOADABLE[self.arch])
        what = "fat file, but missing compatible" if len(slices) > 1 else "mach-o file, but is an incompatible"
        return f"{what} architecture (have '{have}', need '{need}')"

    def _judge(self, s: MachoSlice, real: str, linked: bool) -> Verdict:
        if s.filetype == "archive":
            return Verdict("not-a-library", reason="slice is not valid mach-o file")
        if s.platform not in (None, "macos"):
            text = f"mach-o file ({real}), but incompatible platform (have '{s.platform}', need 'macOS')"
            return Verdict("rejected", reason=text, rule="MAC-13")
        if s.filetype == "bundle" and linked:
            return Verdict("rejected", reason=f"cannot link against bundle '{real}'")
        if s.filetype == "execute" and linked:
            return Verdict("rejected", reason=f"cannot link against a main executable '{real}'")
        if s.filetype not in ("dylib", "bundle", "execute"):
            return Verdict("not-a-library", reason=f"unloadable mach-o file type '{s.filetype}' '{real}'")
        problem = self._header(s)
        if problem:
            return Verdict("bad-header", reason=problem)
        if s.arch.startswith("arm64") and not s.signed:
            text = f"code signature in <{s.uuid or 'no uuid'}> '{real}' not valid for use in process: {UNSIGNED}"
            return Verdict("rejected", reason=text, rule="MAC-24")
        return Verdict("found", s)

    def _header(self, s: MachoSlice) -> str:
        """What newer dylds refuse in a header, by the SDK a file was built with."""
        macos, sdk = self.host.macos, version(s.sdk)
        enforces = self.system.enforces
        if s.filetype == "dylib" and s.identity is None:
            return "MH_DYLIB is missing LC_ID_DYLIB"
        if s.uuid is None and enforces("uuid", macos, sdk):
            return "missing LC_UUID load command"
        names = [d.name for d in s.dylibs]
        if enforces("duplicate-dylib", macos, sdk) and (twice := _repeated(names)):
            return f"duplicate linked dylib '{twice}'"
        if not names and enforces("linked-dylibs", macos, sdk):
            return "missing LC_LOAD_DYLIB (must link with at least libSystem.dylib)"
        if enforces("duplicate-rpath", macos, sdk) and (twice := _repeated(s.rpath)):
            return f"duplicate LC_RPATH '{twice}'"
        return ""


def _repeated(names: tuple[str, ...] | list[str]) -> str | None:
    seen: set[str] = set()
    return next((n for n in names if n in seen or seen.add(n)), None)  # type: ignore[func-returns-value]
