"""What each import binds to on Windows: per DLL, by name or ordinal, through forwarders (WIN-16, WIN-17)."""

from __future__ import annotations

from dataclasses import dataclass, field

from abicheck.binary.pe import PeSlice
from abicheck.binary.pe_tables import DllImports, ExportTable, text
from abicheck.loader.process import Bound
from abicheck.loader.windows_mapping import Mapper
from abicheck.loader.windows_modules import Load, Module, Want

MAX_CHAIN = 16  # forwarders of forwarders; longer ones go in circles


class ExportIndex:
    """Names of one file's export directory, looked up by hash instead of the loader's binary search (same answers)."""

    __slots__ = ("names", "table")

    def __init__(self, table: ExportTable | None) -> None:
        self.table = table
        self.names: dict[bytes, int] = {}
        if table is not None:
            self.names = dict(zip(reversed(table.names), reversed(table.ordinals), strict=True))

    def ordinal(self, symbol: bytes | int) -> int | None:
        """The ordinal that an import means, None when the file has no such export."""
        if self.table is None:
            return None
        found = self.names.get(symbol) if isinstance(symbol, bytes) else symbol
        return found if found is not None and self.table.has_ordinal(found) else None

    def forward(self, ordinal: int) -> bytes | None:
        return self.table.forwards.get(ordinal) if self.table is not None else None


@dataclass(slots=True)
class BindingMemory:
    """Export indexes by file facts, shared between the processes over one view."""

    indexes: dict[int, tuple[PeSlice, ExportIndex]] = field(default_factory=dict)

    def index(self, pe: PeSlice) -> ExportIndex:
        hit = self.indexes.get(id(pe))
        if hit is None:
            hit = self.indexes[id(pe)] = (pe, ExportIndex(pe.export_table))  # keeps the slice, so its id stays its own
        return hit[1]


@dataclass(frozen=True, slots=True)
class BoundDll:
    """How one descriptor of an object was bound: the provider of the DLL, and those of symbols that were forwarded."""

    entry: DllImports
    provider: int
    forwarded: dict[bytes | int, int]

    def rows(self) -> list[Bound]:
        return [
            Bound(
                symbol_text(s),
                None,
                self.forwarded.get(s, self.provider),
                rule="WIN-17" if s in self.forwarded else "WIN-16",
            )
            for s in self.entry.symbols
        ]


def symbol_text(symbol: bytes | int) -> str:
    """An import as people write it: the name, or ``#12`` for an ordinal."""
    return f"#{symbol}" if isinstance(symbol, int) else text(symbol)


def parse_forward(target: bytes) -> tuple[str, bytes | int] | None:
    """``OTHER.name`` or ``OTHER.#12`` as (DLL with its suffix, symbol); None when it is neither.

    The last dot parts them, as in the loader: names of API sets hold none, DLL names may.
    """
    dll, dot, symbol = target.rpartition(b".")
    if not dot or not dll or not symbol:
        return None
    name = text(dll)
    if not name.lower().endswith((".dll", ".drv", ".exe", ".cpl", ".ocx")):
        name += ".dll"
    if symbol[:1] == b"#":
        return (name, int(symbol[1:])) if symbol[1:].isdigit() else None
    return name, symbol


class Binder:
    """Binds the imports of newly mapped modules. ``done``: module index to what its descriptors were bound to."""

    def __init__(self, mapper: Mapper, memory: BindingMemory) -> None:
        self.mapper = mapper
        self.memory = memory
        self.done: dict[int, tuple[BoundDll, ...]] = {}

    def bind(self, load: Load) -> None:
        """Every import of every new module, dependencies first; forwarders may map more, which are bound as well."""
        at = 0
        while at < len(load.mapped) and not load.failures:
            todo = load.mapped[at:]
            at = len(load.mapped)
            for module in reversed(todo):
                self._bind(load, module)

    def _bind(self, load: Load, module: Module) -> None:
        record = self.mapper.record
        serving = record.providers.get(module.index, {})
        out = []
        for entry in module.imports():
            if entry.dll in serving:
                provider = record.objects[serving[entry.dll]]
                out.append(BoundDll(entry, provider.index, self._symbols(load, module, entry, provider)))
        if out:
            self.done[module.index] = tuple(out)

    def _symbols(self, load: Load, module: Module, entry: DllImports, provider: Module) -> dict[bytes | int, int]:
        """Check each symbol of one descriptor (error 127); the providers of those that are forwarded (WIN-17)."""
        forwarded: dict[bytes | int, int] = {}
        if provider.pe is None:
            return forwarded
        index = self.memory.index(provider.pe)
        for symbol in entry.symbols:
            ordinal = index.ordinal(symbol)
            if ordinal is None:
                self._no_procedure(load, module, entry.dll, provider, symbol, "WIN-16")
            elif index.forward(ordinal) is not None:
                target = self._forward(load, module, entry.dll, provider, symbol)
                if target is not None:
                    forwarded[symbol] = target.index
        return forwarded

    def _forward(self, load: Load, module: Module, dll: str, first: Module, symbol: bytes | int) -> Module | None:
        """Follow a forwarder, loading its target by base name with the same search; None when it leads nowhere."""
        provider, wanted = first, symbol
        for _ in range(MAX_CHAIN):
            if provider.pe is None:
                return provider
            index = self.memory.index(provider.pe)
            ordinal = index.ordinal(wanted)
            target = index.forward(ordinal) if ordinal is not None else None
            if ordinal is not None and target is None:
                return provider
            parsed = parse_forward(target) if target is not None else None
            if parsed is None:
                break
            path = load.paths.get(provider.index) or load.paths[module.index]
            found = self.mapper.by_name(load, Want(provider, parsed[0]), path)
            if found is None:
                return None
            provider, wanted = found, parsed[1]
        self._no_procedure(load, module, dll, provider, symbol, "WIN-17")
        return None

    @staticmethod
    def _no_procedure(load: Load, module: Module, dll: str, provider: Module, symbol: bytes | int, rule: str) -> None:
        want = Want(module, dll)
        load.fail("MISSING_SYMBOL", 127, rule, want, provider=provider.path, symbol=symbol_text(symbol))
