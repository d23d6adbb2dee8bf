"""Progress of long work, where somebody sees it: a bar of tqdm, or a line of text without it.

Importing tqdm takes some 50 ms. So it is looked for once the work is known to take long, by the
pace so far, and the clock is read a few times a second, however many steps these are.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import NoneType
from typing import Any, TypeAlias, TypeVar

from elbo_ref._format.terminal import has_colours, in_notebook
from elbo_ref._validation.arguments import check_type
from elbo_ref._validation.extras import need

EVERY, FIRST, LONG = 0.1, 0.5, 8.0
"""Seconds between two looks at the clock, before the first bar, and of work that has one."""

_T = TypeVar("_T")

Add: TypeAlias = Callable[[int], None]
"""Takes note that so much more is done."""


class ProgressLine:
    """A line on standard error that is written over, and wiped away at the end."""

    def __init__(self) -> None:
        self._width = 0
        self._dim, self._normal = ("\x1b[2m", "\x1b[0m") if has_colours(sys.stderr) else ("", "")

    def write(self, line: str) -> None:
        """Write a line in place of the last; raise OSError where there is no more terminal."""
        wide = line.ljust(self._width)
        self._width = len(line)
        sys.stderr.write(f"\r{self._dim}{wide}{self._normal}\r")
        sys.stderr.flush()

    def clear(self) -> None:
        """Empty the line."""
        if self._width:
            self.write("")


class _Line:
    """The bar of a terminal where tqdm is not installed."""

    def __init__(self, *, total: int | None, initial: int, unit: str, **_: object) -> None:
        self._line, self._total, self._done, self._unit = ProgressLine(), total, initial, unit

    def update(self, more: int) -> None:
        self._done += more
        of = "" if not self._total else f" of {self._total} ({100 * self._done // self._total}%)"
        self._line.write(f"{self._unit} {self._done}{of}")

    def close(self) -> None:
        self._line.clear()


def tracked(items: Collection[_T], wanted: bool | None, unit: str) -> Iterator[_T]:
    """Yield the items, and show how many are done; see `progress_of`."""
    with progress_of(wanted, len(items), unit) as add:
        for item in items:
            yield item
            if add:
                add(1)


@contextmanager
def progress_of(wanted: bool | None, total: int | None, unit: str) -> Iterator[Add | None]:
    """Give what takes note of progress; None if nothing is to be shown.

    Parameters
    ----------
    wanted : bool or None
        The argument `progress` of a public function: by default on a terminal and in a notebook.
    total : int or None
        How much there is to do, if that is known.
    unit : str
        The unit of both, such as ``"step"``; of ``"B"`` there are many.

    Raises
    ------
    TypeError
        If `wanted` is neither a bool nor None.
    ImportError
        If it is True, and tqdm is not installed.
    """
    check_type("progress", wanted, bool, NoneType)
    if wanted:
        need("tqdm", "progress=True")
    elif wanted is False or not (in_notebook() or (sys.stderr and sys.stderr.isatty())):
        yield None
        return
    bar = _Bar(total, unit, at_once=bool(wanted))
    try:
        yield bar.add
    finally:
        bar.close()


def _bar_type() -> Any:
    """Return the class of tqdm's bars, or of lines on a terminal."""
    try:
        return import_module("tqdm.auto").tqdm
    except ImportError:
        if in_notebook():
            raise
        return _Line


class _Bar:
    """A bar that opens when the work turns out to be long; one that breaks is left alone."""

    def __init__(self, total: int | None, unit: str, at_once: bool) -> None:
        self._total, self._unit, self._at_once = total, unit, at_once
        self._done = self._shown = 0
        self._next_look = 0.0
        self._began = time.monotonic()
        self._bar: Any = None

    def add(self, more: int) -> None:
        """Take note that so much more is done."""
        self._done += more
        if self._done >= self._next_look:
            self._look()

    def _look(self) -> None:
        elapsed = max(time.monotonic() - self._began, 1e-9)
        self._next_look = self._done * (1 + EVERY / elapsed)
        if self._bar is not None:
            self._try(self._update)
        elif self._at_once or (elapsed > FIRST and self._expected(elapsed) > LONG):
            self._try(self._open)

    def _expected(self, elapsed: float) -> float:
        return elapsed * max((self._total or 0) / max(self._done, 1), 1.0)

    def _open(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a notebook without widgets
            self._bar = _bar_type()(
                total=self._total,
                initial=self._done,
                unit=self._unit,
                unit_scale=self._unit == "B",
                leave=False,
            )
        self._shown = self._done

    def _update(self) -> None:
        more, self._shown = self._done - self._shown, self._done
        self._bar.update(more)

    def close(self) -> None:
        """Bring the bar to its end, and wipe it away."""
        if self._bar is not None:
            self._try(self._update)
        if self._bar is not None:
            self._try(self._bar.close)

    def _try(self, act: Callable[[], None]) -> None:
        """Do without a bar that is not installed, or that nobody can see any more."""
        try:
            act()
        except (ImportError, OSError, ValueError):
            self._bar, self._next_look = None, math.inf
