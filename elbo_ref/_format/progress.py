"""Progress of long work: a bar of tqdm, where that is installed and somebody sees it.

Importing tqdm takes some 50 ms. So it is looked for once the work is known to take long, by the
pace so far, and the clock is read a few times a second, however many steps these are.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import NoneType
from typing import Any, TypeAlias

from elbo_ref._format.terminal import in_notebook
from elbo_ref._validation.arguments import check_type
from elbo_ref._validation.extras import need

EVERY, FIRST, LONG = 0.1, 0.5, 8.0
"""Seconds between two looks at the clock, before the first bar, and of work that has one."""

Add: TypeAlias = Callable[[int], None]
"""Takes note that so much more is done."""


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
            tqdm = import_module("tqdm.auto").tqdm
            self._bar = tqdm(
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
