"""What operands become: wheels that are asked for, and what of the transaction is not there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from packaging.utils import NormalizedName

from abicheck.wheel import Wheel


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """The line of a manifest that asked for something. ``line`` counts from 1; 0: the file as a whole."""

    file: str
    line: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One wheel to install. ``requested``: named by the user, not dragged in; ``direct_url``: by path or address, not
    from an index (pip writes other metadata then)."""

    wheel: Wheel
    asked_by: Asked | None = None
    requested: bool = True
    direct_url: bool = True


@dataclass(frozen=True, slots=True)
class Missing:
    """Something of the transaction that could not be looked at. It is never left out silently."""

    name: NormalizedName
    version: str
    filename: str
    reason: str
    asked_by: Asked | None = None


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A wheel of a folder that pip would not choose there."""

    filename: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """All operands of one call: one transaction."""

    requests: tuple[Request, ...] = ()
    missing: tuple[Missing, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

    def __add__(self, other: Inputs) -> Inputs:
        return Inputs(
            (*self.requests, *other.requests),
            (*self.missing, *other.missing),
            (*self.passed_over, *other.passed_over),
        )

    def distinct(self) -> Inputs:
        """The same wheel named twice counts once (the first asker stays)."""
        seen: dict[str, Request] = {}
        for request in self.requests:
            seen.setdefault(request.wheel.path, request)
        return replace(self, requests=tuple(seen.values()))
