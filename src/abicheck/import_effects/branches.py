"""Names after branches of which it is not known which one was taken."""

from __future__ import annotations

from abicheck.import_effects.values import UNKNOWN, PathValue, Symbol, Value


def reset(names: dict[str, Value], to: dict[str, Value]) -> None:
    names.clear()
    names.update(to)


def join(names: dict[str, Value], ends: list[dict[str, Value]]) -> None:
    """Names after branches that may all have been taken: unknown where they differ, kept where only one sets them."""
    merged = dict(ends[0])
    for other in ends[1:]:
        for name, value in other.items():
            if name not in merged:
                merged[name] = value
            elif merged[name] is not value and not _same(merged[name], value):
                merged[name] = UNKNOWN
    reset(names, merged)


def _same(a: Value, b: Value) -> bool:
    return type(a) is type(b) and isinstance(a, str | int | float | tuple | Symbol | PathValue) and a == b
