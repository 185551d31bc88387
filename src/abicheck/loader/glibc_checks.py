"""What glibc checks of a loaded object before and while it relocates it: versions, CPU level, thread-local storage.

Used by ``glibc.py``; each check raises :class:`~abicheck.loader.glibc_mapping.Stop` with the words of dlerror().
"""

from __future__ import annotations

from collections.abc import Mapping

from abicheck.host import version_key
from abicheck.loader.glibc_mapping import Mapper, Object, Stop

# Bytes of static TLS that late-loaded libraries share (ELF-45). Before 2.32 a constant; since then a sum of tunables,
# made up to the same number by default (glibc elf/dl-tls.c, LEGACY_TLS). Seen on 2.36: 14 copies of a library with 120
# bytes load, and one of 1,712 bytes (48 are left over by rounding), not a copy or a byte more.
TLS_SURPLUS = 1664
TLS_OPTIONAL = 512  # the part that TLS descriptors may use (glibc.rtld.optional_static_tls)
# Alignment of the static block: the thread control block's own (sysdeps/x86_64/nptl/tls.h, TLS_TCB_ALIGN).
TLS_ALIGN = 64
X86_ISA_BITS = {1: 1, 2: 2, 4: 3, 8: 4}  # GNU_PROPERTY_X86_ISA_1_{BASELINE,V2,V3,V4} -> level (ELF-48)
GLIBC_STUBS = frozenset(
    {
        "libc.so.6",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "librt.so.1",
        "libutil.so.1",
        "libanl.so.1",
        "libresolv.so.2",
    }
)
NEEDED_ASSERTION = (
    "Inconsistency detected by ld.so: dl-version.c: _dl_check_map_versions: Assertion `needed != NULL' failed!"
)


def check_versions(mapper: Mapper, index: int) -> None:
    """Every needed version must be defined by the object that answers to the file name (ELF-36, ELF-37, ELF-42)."""
    obj = mapper.objects[index]
    if obj.elf is None:
        return
    for need in obj.elf.verneed:
        at = mapper.state.names.get(need.file)
        if at is None:
            raise Stop(mapper.failure("PROCESS_ABORT", NEEDED_ASSERTION, "ELF-37", index, library=need.file))
        provider = mapper.objects[at]
        for version in need.versions:
            if version.weak or _defines(mapper, provider, need.file, version.name):
                continue
            text = f"{provider.path}: version `{version.name}' not found (required by {obj.path})"
            outside = not provider.path.startswith(mapper.searcher.view.root + "/")
            failure = mapper.failure(
                "MISSING_VERSION", text, "ELF-36", index, provider=provider.path, library=need.file,
                version=version.name, attempts=provider.attempts, needs_host=outside,
            )  # fmt: skip
            raise Stop(failure)


def _defines(mapper: Mapper, provider: Object, file: str, version: str) -> bool:
    if provider.elf is not None:
        if not provider.elf.has_verdef:
            return True
        defined = mapper.defined.get(provider.ident)
        if defined is None:
            defined = mapper.defined[provider.ident] = frozenset(d.name for d in provider.elf.verdef)
        return version in defined
    if provider.provides:
        return version in provider.provides
    glibc = mapper.host.glibc
    if glibc is not None and file in GLIBC_STUBS and version.startswith("GLIBC_2"):
        return version_key(version) <= glibc  # ELF-43
    if glibc is not None and version == "GLIBC_ABI_DT_RELR":
        return glibc >= (2, 36)  # ELF-42
    return True


def check_cpu(mapper: Mapper, index: int) -> None:
    """ELF-48: an object that was built for a higher x86-64 level than the CPU has."""
    obj = mapper.objects[index]
    if obj.elf is None or mapper.host.cpu_level is None or (mapper.host.glibc or (2, 33)) < (2, 33):
        return
    needed = max((level for bit, level in X86_ISA_BITS.items() if obj.elf.isa_needed & bit), default=0)
    if needed > mapper.host.cpu_level:
        text = f"{obj.path}: CPU ISA level is lower than required"
        raise Stop(mapper.failure("LOAD_REJECTED", text, "ELF-48", index, provider=obj.path, needs_host=True))


def take_static_tls(mapper: Mapper, index: int, providers: Mapping[int, int]) -> None:
    """ELF-45: initial-exec accesses take the storage of whoever defines the variable from a fixed surplus; TLS
    descriptors take some of it while it lasts.

    Args:
        providers: symbol index -> object, of the symbols that are looked up; all others are the object's own.
    """
    elf = mapper.objects[index].elf
    if elf is None or mapper.objects[index].event == 0:
        return
    must, rather = elf.tls_users
    for at in sorted({providers.get(s, index) for s in must}):
        if not _take(mapper, at, TLS_SURPLUS):
            path = mapper.path(at)
            text = f"{path}: cannot allocate memory in static TLS block"
            raise Stop(mapper.failure("LOAD_REJECTED", text, "ELF-45", index, provider=path, needs_host=True))
    unlimited = mapper.host.glibc is not None and mapper.host.glibc < (2, 32)
    for at in sorted({providers.get(s, index) for s in rather}):
        _take(mapper, at, TLS_SURPLUS if unlimited else TLS_OPTIONAL - mapper.state.optional_tls, optional=True)


def _take(mapper: Mapper, index: int, limit: int, *, optional: bool = False) -> bool:
    """Put an object's storage into the static block unless it is there or needs more than ``limit``; False: no room."""
    state, elf = mapper.state, mapper.objects[index].elf
    if index < 0 or elf is None or elf.tls is None or index in state.in_static:
        return True
    size, align = elf.tls
    align = max(align, 1)
    free = TLS_SURPLUS + _tls_slack(mapper) - state.static_tls
    if align > max(TLS_ALIGN, _start_alignment(mapper)) or size > free:
        return False
    used = free - (free - size) // align * align
    if optional and used > limit:
        return False
    state.optional_tls += used if optional else 0
    state.static_tls += used
    state.in_static |= {index}
    return True


def _start_alignment(mapper: Mapper) -> int:
    tls = [o.elf.tls for o in mapper.objects if o.event == 0 and o.elf is not None and o.elf.tls is not None]
    return max((a for _, a in tls), default=1)


def _tls_slack(mapper: Mapper) -> int:
    """What rounding the static block up to its alignment leaves over (glibc elf/dl-tls.c, _dl_determine_tlsoffset)."""
    used = 0
    for o in mapper.objects:
        if o.event == 0 and o.elf is not None and o.elf.tls is not None:
            size, align = o.elf.tls
            used = -(-(used + size) // max(align, 1)) * max(align, 1)
    alignment = max(TLS_ALIGN, _start_alignment(mapper))
    return -(used + TLS_SURPLUS) % alignment
