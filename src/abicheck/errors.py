"""Everything abicheck raises on purpose, and the exit status each kind ends in.

One tree: a caller of the API catches :class:`AbicheckError` and nothing else. The slots follow what a
person needs: what is wrong (``message``), with which file (in the message), and what to type (``hint``).
"""

from __future__ import annotations


class AbicheckError(Exception):
    """Base of all deliberate errors.

    Attributes:
        reference: kebab-case name of the error, stable, for machines (``not-a-wheel``).
        message: one sentence that names the file.
        hint: what to do about it, a command where there is one; may be empty.
        exit_status: the process status (docs/start.md).
    """

    exit_status = 2

    def __init__(self, reference: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.reference = reference
        self.message = message
        self.hint = hint


class UsageError(AbicheckError):
    """The command, its options or its configuration cannot be acted on; nothing was judged."""


class InputError(AbicheckError):
    """An operand, the prefix or the host description is not what it should be; nothing was judged."""


class BinaryError(Exception):
    """One file is not what its first bytes promise (truncated, offsets outside the file, endless tables).

    Never reaches the user as such: whoever asked lists the file as skipped (ABI901) or, in the loader simulation, gives
    the refusal that the real loader would give.

    Attributes:
        source: name of the file as the byte source gives it.
        problem: what is wrong, a clause without a subject (``ends after 512 of 90 112 bytes``).
    """

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"{source}: {problem}")
        self.source = source
        self.problem = problem
