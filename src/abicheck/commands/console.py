"""The terminal: what goes to which stream, colour, width, progress, and how an error ends the process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from abicheck.errors import AbicheckError, UsageError
from abicheck.report import Progress, Quiet

INTERRUPTED = 130
INTERNAL = 3
PROGRESS_AFTER = 0.5  # seconds; shorter work shows no bar
_NEEDED = "·×…─→✓├└│"  # what the text formats print beyond ASCII


def wants_color(choice: str, environ: Mapping[str, str], is_terminal: bool) -> bool:
    """conda's order: the option, NO_COLOR, FORCE_COLOR, a terminal that says it is dumb, whether it is one."""
    if choice != "auto":
        return choice == "always"
    if "NO_COLOR" in environ:
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return is_terminal and environ.get("TERM") not in ("dumb", "unknown")


def takes_only_ascii(stream: TextIO) -> bool:
    try:
        _NEEDED.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


@dataclass(slots=True)
class Console:
    """Standard output and error as one run of the program sees them."""

    out: TextIO
    err: TextIO
    environ: Mapping[str, str]
    verbosity: int = 0
    has_written: bool = False

    @classmethod
    def real(cls, verbosity: int = 0) -> Console:
        """This process's streams; Python has None for one that was closed before it started."""
        return cls(sys.stdout or _nowhere(), sys.stderr or _nowhere(), os.environ, verbosity)

    @property
    def width(self) -> int | None:
        """Columns to wrap at; None when output is no terminal."""
        return shutil.get_terminal_size().columns if self.out.isatty() else None

    def write(self, text: str) -> None:
        """Put text on standard output; what its encoding lacks is written out. A reader that went away is no error.

        Raises ``UsageError`` when the output cannot be written."""
        self.has_written = True
        try:
            _put(self.out, text)
        except OSError as e:
            raise UsageError("cannot-write", f"standard output cannot be written: {e.strerror or e}") from e

    def say(self, text: str) -> None:
        """A line for people on standard error, unless ``-q``."""
        if self.verbosity >= 0:
            self.complain(text)

    def complain(self, text: str) -> None:
        """A line on standard error, always."""
        with contextlib.suppress(OSError):  # there is nobody left to tell
            _put(self.err, (_ascii(text) if takes_only_ascii(self.err) else text) + "\n")

    @contextlib.contextmanager
    def progress(self) -> Iterator[Progress]:
        """A bar when standard error is a terminal, lines with times under ``-vv``, nothing otherwise."""
        if self.verbosity >= 2:
            yield _Log(self)
        elif self.verbosity < 0 or not self.err.isatty():
            yield Quiet()
        else:
            bar = _Bar(self.err)
            try:
                yield bar
            finally:
                bar.stop()


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _ascii(text: str) -> str:
    return text.translate({ord(a): b for a, b in zip("·×…", "-x.", strict=True)})


def _put(stream: TextIO, text: str) -> None:
    try:
        data = text.encode(getattr(stream, "encoding", None) or "utf-8", "backslashreplace")
        buffer = getattr(stream, "buffer", None)
        if buffer is None:
            stream.write(data.decode(getattr(stream, "encoding", None) or "utf-8"))
        else:
            stream.flush()
            buffer.write(data)
        stream.flush()
    except BrokenPipeError:
        # Whoever read us has enough. Python would complain again when it flushes at exit, so give it a hole.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Log:
    """Each new label with the seconds since the start."""

    def __init__(self, console: Console) -> None:
        self._console, self._start, self._label = console, time.monotonic(), ""

    def step(self, label: str, done: int, total: int) -> None:
        if label != self._label:
            self._label = label
            of = f" ({done} of {total})" if total else ""
            self._console.complain(f"{time.monotonic() - self._start:8.3f} s  {label}{of}")


class _Bar:
    """A bar of rich, imported and shown only when the work takes longer than :data:`PROGRESS_AFTER`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._start = stream, time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._label = ""

    def step(self, label: str, done: int, total: int) -> None:
        if self._bar is None:
            if time.monotonic() - self._start < PROGRESS_AFTER:
                return
            self._open()
        if label != self._label:
            self._bar.reset(self._task, description=label)
            self._label = label
        self._bar.update(self._task, completed=done, total=total or None)

    def _open(self) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bar = Progress(*columns, console=RichConsole(file=self._stream), transient=True)
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def show_error(console: Console, error: AbicheckError) -> None:
    """``error: reference``, the sentence, ``hint: what to type``."""
    console.complain(f"error: {error.reference}\n  {error.message}")
    if error.hint:
        console.complain(f"hint: {error.hint}")


def show_internal(console: Console, error: BaseException) -> None:
    """What a person needs to report a mistake of ours; the traceback only under ``-vv``."""
    console.complain(f"error: internal-error\n  {type(error).__name__}: {error}")
    if console.verbosity >= 2:
        console.complain("".join(traceback.format_exception(error)).rstrip())
    else:
        console.complain("hint: the result must not be trusted; run again with -vv and report what it prints")


def guarded(console: Console, work: Callable[[], int], form: str = "") -> int:
    """Run a command and give its status; the one place where every error ends (docs/start.md).

    ``form``: the format of standard output. A program that reads JSON gets the error as the report's document, unless
    something stands there already."""
    try:
        return work()
    except AbicheckError as error:
        show_error(console, error)
        _tell_program(console, error, error.exit_status, form)
        return error.exit_status
    except KeyboardInterrupt:
        console.complain("interrupted; nothing was judged")
        return INTERRUPTED
    except Exception as error:  # the boundary: whatever a rule or a reader did wrong must end in status 3
        show_internal(console, error)
        _tell_program(console, AbicheckError("internal-error", f"{type(error).__name__}: {error}"), INTERNAL, form)
        return INTERNAL


def _tell_program(console: Console, error: AbicheckError, status: int, form: str) -> None:
    if form != "json" or console.has_written:
        return
    from abicheck import __version__
    from abicheck.policy import failed

    document = failed(error, __version__, status).to_dict()
    console.write(json.dumps(document, indent=2, ensure_ascii=takes_only_ascii(console.out)) + "\n")
