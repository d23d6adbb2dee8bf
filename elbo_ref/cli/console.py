"""A command at the terminal: exit codes, signals, a progress line.

Standard output carries the result and nothing else. A message on standard error is one line,
whatever a file is called or holds.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, TextIO, TypeVar

from elbo_ref._format.progress import ProgressLine
from elbo_ref._format.table import printable
from elbo_ref._format.terminal import abandon
from elbo_ref.io.errors import DataError

FINE, USAGE, NOT_CONVERGED = 0, 2, 3
BAD_DATA, NO_INPUT, CANNOT_WRITE, INTERRUPTED = 65, 66, 73, 130
"""Exit codes; 1 is left to Python, for a bug."""

_EVERY, _FIRST = 0.1, 0.5
_PATIENCE, _AGAIN = 0.5, 1.0
"""Seconds from an interrupt to the end of what is attempted, and to the next try to end it."""

_Result = TypeVar("_Result")
_Handler = Callable[[int, FrameType | None], None]


class CommandError(Exception):
    """The end of a command: a message for standard error and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def guarded(command: Callable[[], int]) -> int:
    """Run a command to its exit code; a closed pipe or an interrupt is no traceback."""
    if sys.stderr is None:  # closed by the shell, as is stdout below
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    before = _listen(_abort)
    try:
        return _ended(command)
    finally:
        _restore(before)
        try:
            sys.stderr.flush()
        except OSError:
            abandon(sys.stderr)


def _ended(command: Callable[[], int]) -> int:
    sys.stdout = _Closed() if sys.stdout is None else _buffered(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return command()
        finally:
            if not _aborted():
                sys.stdout.flush()
    except BaseException as error:
        code = _code(error)
        if code is None:
            raise
        return code


def _code(error: BaseException) -> int | None:
    """Say why the command ended, and return its exit code; None for a bug."""
    if _aborted() or isinstance(error, KeyboardInterrupt):  # or an error that a library made of it
        abandon(sys.stdout)
        say("interrupted")
        return INTERRUPTED
    if isinstance(error, CommandError):
        say(str(error))
        return error.code
    if not isinstance(error, OSError) or error.filename is not None:
        return None
    abandon(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return FINE
    say(f"standard output: {error.strerror or error}")
    return CANNOT_WRITE


def say(message: str) -> None:
    """Print one line on standard error, if it can be written to."""
    with suppress(OSError):
        print(f"elbo_ref: {printable(message)}", file=sys.stderr)


class _Closed(io.TextIOBase):
    """Stands for a standard output that the shell has closed; raises once for what was written."""

    _wanted = False

    def write(self, text: str) -> int:
        """Take note that something was to be written."""
        self._wanted = True
        return len(text)

    def flush(self) -> None:
        """Raise OSError if something was to be written."""
        if self._wanted:
            self._wanted = False
            raise OSError(errno.EBADF, "it is closed")


class _Pipe(io.RawIOBase):
    """Writes no more than there is room for: no signal is acted on before a write that waits."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write as much as fits, once there is room."""
        while not select.select((), (self._descriptor,), (), _EVERY)[1]:
            pass
        return os.write(self._descriptor, data[: select.PIPE_BUF])


def _buffered(stream: TextIO) -> TextIO:
    """Give the stream a buffer: under ``python -u`` the rest of a short write would be lost."""
    buffer = getattr(stream, "buffer", None)
    if not isinstance(buffer, io.BufferedWriter | io.RawIOBase):
        return stream
    if os.name == "posix" and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
        return io.TextIOWrapper(io.BufferedWriter(_Pipe(stream.fileno())), stream.encoding)
    if isinstance(buffer, io.RawIOBase):
        return open(stream.fileno(), "w", encoding=stream.encoding, closefd=False)
    return stream


@contextmanager
def refusals(
    parser: argparse.ArgumentParser, *bad: type[Exception], path: object = None
) -> Iterator[None]:
    """End the command by an error inside: 65 for bad data, 2 for wrong usage, 66 for no input.

    Parameters
    ----------
    parser : ArgumentParser
    *bad : subclasses of ValueError
        The errors, besides `DataError`, that are about bad data.
    path : object
        The file that is read, where the error may not say.
    """
    try:
        yield
    except (ValueError, ImportError) as error:
        if isinstance(error, DataError):
            raise CommandError(error.for_command(), BAD_DATA) from None
        if isinstance(error, bad):
            raise CommandError(str(error), BAD_DATA) from None
        parser.error(str(error))
    except OSError as error:
        raise CommandError(
            f"{path or error.filename}: {error.strerror or error}", NO_INPUT
        ) from None


def check_output() -> None:
    """Raise OSError if standard output is closed."""
    if isinstance(sys.stdout, _Closed):
        sys.stdout.write("")
        sys.stdout.flush()


def _listen(handler: _Handler) -> dict[int, Any]:
    """Send Ctrl-C and SIGTERM to the handler, unless they are ignored, as under nohup."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    caught = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in caught}


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _abort(_number: int, _frame: FrameType | None) -> None:
    """Interrupt, and ignore further signals: nothing interrupts the cleaning up on the way out."""
    _listen(_nothing)  # SIG_IGN would have Python complain about signals that are under way
    raise KeyboardInterrupt


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Do nothing on a signal."""


def _aborted() -> bool:
    return _nothing in (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


class Interrupts:
    """Inside ``with``, a first Ctrl-C or SIGTERM sets `asked`; a second one ends the command.

    The work of `attempt` has a moment to end by itself, and is then ended. Writing goes on, and a
    message says so.
    """

    def __init__(self) -> None:
        self.asked = False
        self._over = self._attempting = self._said = False
        self._before: dict[int, Any] = {}
        self._alarm: Any = None

    def __enter__(self) -> Interrupts:
        self._before = _listen(self._ask)
        if hasattr(signal, "setitimer"):
            self._alarm = signal.signal(signal.SIGALRM, self._end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._alarm)
        if not _aborted():
            _restore(self._before)

    def attempt(self, work: Callable[[], _Result], otherwise: _Result) -> _Result:
        """Return the result of `work`, or `otherwise` if an interrupt has left it no time."""
        if self._over:
            return otherwise
        self._attempting = True
        try:
            result = work()
            self._attempting = False
        except BaseException:
            self._attempting = False
            if not self._over or _aborted():
                raise
            return otherwise
        if _aborted():  # and the work took it for a first interrupt
            raise KeyboardInterrupt
        return result

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            _abort(number, frame)
        self.asked = True
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE, _AGAIN)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        """End the work under way; again and again, as a callback may swallow the exception."""
        self._over = True
        if _aborted():
            return
        if self._attempting:
            raise KeyboardInterrupt
        if not self._said:
            self._said = True
            say("interrupted: writing what was reached; once more ends that too")


class Progress:
    """A line on standard error with the steps done so far; only on a terminal, and not at once."""

    def __init__(self, quiet: bool) -> None:
        self._on = not quiet and sys.stderr.isatty()
        self._next = time.monotonic() + _FIRST
        self._line = ProgressLine()

    def show(self, what: str, done: int, wanted: int) -> None:
        """Update the line, unless that was done a moment ago."""
        if self._on and time.monotonic() >= self._next:
            with suppress(OSError):
                self._line.write(f"{what}: step {done} of {wanted} ({100 * done // wanted}%)")
            self._next = time.monotonic() + _EVERY

    def clear(self) -> None:
        """Empty the line."""
        with suppress(OSError):
            self._line.clear()
