"""Functions of the standard library whose meaning is known, by dotted name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from abicheck.import_effects.core import Frame
from abicheck.import_effects.values import Value

if TYPE_CHECKING:
    from abicheck.import_effects.statements import Statements

Handler = Callable[["Statements", Frame, list[Value], dict[str, Value]], Value]
KNOWN: dict[str, Handler] = {}


def known(*names: str) -> Callable[[Handler], Handler]:
    """Register the decorated function as what calling any of ``names`` does."""

    def register(handler: Handler) -> Handler:
        for name in names:
            KNOWN[name] = handler
        return handler

    return register


def argument(args: list[Value], keywords: dict[str, Value], at: int, name: str, default: Value = None) -> Value:
    """The argument at a position or of a name."""
    return args[at] if len(args) > at else keywords.get(name, default)
