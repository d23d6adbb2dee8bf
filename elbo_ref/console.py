"""What a command owes the person at the terminal: exit codes, signals, a progress line.

Standard output carries the result and nothing else. What is said on standard error is one line
each, whatever a file is called or holds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TextIO

FINE, USAGE, NOT_CONVERGED = 0, 2, 3
BAD_DATA, NO_INPUT, CANNOT_WRITE, INTERRUPTED = 65, 66, 73, 130
"""Exit codes; 1 is left to Python, for a bug."""

_EVERY, _FIRST = 0.1, 0.5


class CommandError(Exception):
    """The end of a command: a message for standard error and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def guarded(command: Callable[[], int]) -> int:
    """Run a command to its exit code; a closed pipe or an interrupt is no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command()
        sys.stdout.flush()
        return code
    except CommandError as error:
        say(str(error))
        return error.code
    except BrokenPipeError:
        _abandon(sys.stdout)
        return FINE
    except OSError as error:
        _abandon(sys.stdout)
        say(f"standard output: {error.strerror or error}")
        return CANNOT_WRITE
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


def say(message: str) -> None:
    """One line on standard error."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    print(f"elbo_ref: {line}", file=sys.stderr)


def _abandon(stream: TextIO) -> None:
    """Let what cannot be written go, so that the interpreter does not try again as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Interrupts:
    """Inside ``with``, a first Ctrl-C or SIGTERM only sets `asked`; a second one interrupts."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Progress:
    """A line on standard error that says how far it is; only on a terminal, and not at once."""

    def __init__(self, quiet: bool) -> None:
        self._on = not quiet and sys.stderr.isatty()
        self._next = time.monotonic() + _FIRST
        self._width = 0
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._dim, self._normal = ("", "") if plain else ("\x1b[2m", "\x1b[0m")

    def show(self, what: str, done: int, wanted: int) -> None:
        """Say it, unless it was said a moment ago."""
        if self._on and time.monotonic() >= self._next:
            line = f"{what}: step {done} of {wanted} ({100 * done // wanted}%)"
            self._write(line.ljust(self._width))
            self._width = len(line)
            self._next = time.monotonic() + _EVERY

    def clear(self) -> None:
        """Leave an empty line behind."""
        if self._width:
            self._write(" " * self._width)
            self._width = 0

    def _write(self, line: str) -> None:
        sys.stderr.write(f"\r{self._dim}{line}{self._normal}\r")
        sys.stderr.flush()
