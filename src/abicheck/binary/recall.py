"""Questions about a file whose answer can be kept apart from the file's bytes.

A snapshot of an environment holds of each library only the windows that the readers of tables asked for. A question
that would read the whole file (a scan, a hash) is asked when the snapshot is made, and its answer is kept beside the
windows: ``recall(source, question, ...)`` gives the kept answer where there is one, else it is worked out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from abicheck.binary.source import ByteSource

T = TypeVar("T")
PIECE = 1 << 20


class Recorder:
    """A source that passes everything on and remembers what was asked: windows, and answers to questions.

    ``windows``: (offset, bytes given) in the order asked. While a question is answered no windows are taken down: its
    answer stands for them.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.name = source.name
        self.size = source.size
        self.windows: list[tuple[int, int]] = []
        self.answers: dict[str, bytes] = {}
        self._asking = 0

    def pread(self, offset: int, length: int) -> bytes:
        data = self._source.pread(offset, length)
        if not self._asking:
            self.windows.append((offset, len(data)))
        return data

    def answer(self, question: str, compute: Callable[[], object]) -> None:
        self._asking += 1
        try:
            self.answers[question] = msgspec.msgpack.encode(compute())
        finally:
            self._asking -= 1


def recall(source: ByteSource, question: str, compute: Callable[[], T], kind: Any, given: str = "") -> T:
    """The answer to a question about a file, kept or computed. ``kind``: its type, one that msgspec can encode.

    ``given`` says what else the answer depends on. A snapshot answers for the environment that it was made of; a source
    with a ``recall`` of its own (a cache of several environments) keeps answers apart by it.

    Raises what ``compute`` raises (``OSError`` when the bytes are not at hand).
    """
    own = getattr(source, "recall", None)
    if own is not None:
        kept: T = own(f"{question} {given}", compute, kind)
        return kept
    answers = getattr(source, "answers", None)
    if answers is None:
        return compute()
    if isinstance(source, Recorder) and question not in answers:
        source.answer(question, compute)
    if question in answers:
        answer: T = msgspec.msgpack.decode(answers[question], type=kind)
        return answer
    return compute()


def digest(source: ByteSource) -> str:
    """sha256 of a whole file, in hex. Raises ``OSError``."""
    return recall(source, "sha256", lambda: _digest(source), str)


def _digest(source: ByteSource) -> str:
    found, at = hashlib.sha256(), 0
    while chunk := source.pread(at, PIECE):
        found.update(chunk)
        at += len(chunk)
    return found.hexdigest()
