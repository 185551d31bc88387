"""Walking blocks: what runs, and both branches where a condition cannot be told."""

from __future__ import annotations

from abicheck.import_effects import tree as t
from abicheck.import_effects.branches import join, reset
from abicheck.import_effects.calls import Calls
from abicheck.import_effects.core import IMPORT_ERRORS, Frame, Raised, Signal, caught_by
from abicheck.import_effects.runners import RUNNERS
from abicheck.import_effects.values import UNKNOWN, Value

MAX_ITEMS = 2000  # of a loop over known items


class Statements(Calls):
    def block(self, frame: Frame, body: tuple[t.Stmt, ...]) -> Signal | None:
        outer, self.running = self.running, frame
        try:
            for s in body:
                end = RUNNERS[type(s)](self, frame, s)
                if end is not None:
                    return end
            return None
        finally:
            self.running = outer

    # -- conditions --------------------------------------------------------------

    def branch(self, frame: Frame, body: tuple[t.Stmt, ...]) -> tuple[Signal | Raised | None, dict[str, Value]]:
        """One branch under an unknown condition: how it ends, and the names as it leaves them."""
        before = dict(frame.names)
        module_before = dict(frame.module.env) if frame.names is not frame.module.env else None
        end: Signal | Raised | None
        try:
            end = self.block(frame, body)
        except Raised as raised:
            end = raised
        after = dict(frame.names)
        reset(frame.names, before)
        if module_before is not None and frame.globals:
            for name in frame.globals:
                if frame.module.env.get(name) is not module_before.get(name):
                    frame.module.env[name] = UNKNOWN
        return end, after

    def unknown_if(self, frame: Frame, body: tuple[t.Stmt, ...], orelse: tuple[t.Stmt, ...]) -> Signal | None:
        sure = self.sure
        self.sure = False
        self.unknowns += 1
        ends = [self.branch(frame, body), self.branch(frame, orelse)]
        self.sure = sure and not self.doubt
        open_ends = [names for end, names in ends if end is None]
        if open_ends:
            join(frame.names, open_ends)
        signals = [end for end, _ in ends if isinstance(end, Signal)]
        raises = [end for end, _ in ends if isinstance(end, Raised)]
        if len(raises) == 2:
            raise raises[0]
        if raises and self.may_survive(frame, raises[0].kind):
            # It may have been raised, and something around would go on: nothing is certain until there.
            self.doubt, self.sure = True, False
        if not open_ends and signals:
            for end in signals[1:] if len(signals) > 1 else ():
                if end.kind == "return" and signals[0].kind == "return":
                    frame.returns.append(end.value)
            return signals[0]
        for end in signals:
            if end.kind == "return":
                frame.returns.append(end.value)
            self.sure = False  # until the function or the loop ends
        return None

    def iterate(self, value: Value) -> list[Value] | None:
        """The items of a value, None when they are not known."""
        value = self.force(value)
        if isinstance(value, list | tuple):
            return list(value[:MAX_ITEMS])
        if isinstance(value, set):
            return sorted(value, key=repr)
        if isinstance(value, dict):
            return list(value)
        if isinstance(value, str) and len(value) < 200:
            return list(value)
        if isinstance(value, range):
            return list(value[:MAX_ITEMS])
        return None

    def may_survive(self, frame: Frame, kind: str) -> bool:
        """Whether code around would go on after an exception that may have been raised here.

        A failed import counts wherever it is caught; any other exception only in the module that raises it: a broad
        ``except`` around an import does not make all checks of the imported code likely to fail.
        """
        return any(
            (kind in IMPORT_ERRORS or module == frame.module.name) and caught_by(handlers, kind) is not None
            for handlers, module in self.guards
        )
