"""The pathwise derivatives (E6) of single draws, each by the one of three ways that serves it.

A draw is first reflected to y <= 0. If one way serves all draws it is taken, since a call costs as
much as some dozens of draws; else `series` is taken where it reaches, `mode` where that reaches,
and `tail` for the rest. `tail` reaches everywhere else, but loses digits where `mode` reaches.
"""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.pathwise import mode, series, tail
from elbo_ref.distributions.pathwise.left import Left, OneOrEach

_BLOCK = 1024


def derivatives(y: FloatArray, a: OneOrEach, b: OneOrEach) -> FloatArray:
    """Return the rows dy/da and dy/db for n draws y."""
    with np.errstate(over="ignore", under="ignore"):
        if y.size <= _BLOCK:
            return _of_block(y, a, b)
        gradient = np.empty((2, y.size))
        for start in range(0, y.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            each = (x[block] if isinstance(x, np.ndarray) else x for x in (a, b))
            gradient[:, block] = _of_block(y[block], *each)
    return gradient


def _of_block(y: FloatArray, a: OneOrEach, b: OneOrEach) -> FloatArray:
    upper = y > 0
    gradient = _of_left(Left.of(y, upper, a, b))
    return np.where(upper, -gradient[::-1], gradient)


def _of_left(draws: Left) -> FloatArray:
    by_series = series.reaches(draws)
    if _all(by_series):
        return series.derivatives(draws)
    by_mode = mode.reaches(draws)
    if _all(by_mode):
        return mode.derivatives(draws)
    if _all(tail.reaches(draws) & ~by_mode):
        return tail.derivatives(draws)
    by_mode &= ~by_series
    gradient = np.empty((2, draws.y.size))
    for way, chosen in ((series, by_series), (mode, by_mode), (tail, ~(by_series | by_mode))):
        if np.count_nonzero(chosen):
            gradient[:, chosen] = way.derivatives(draws.among(chosen))
    return gradient


def _all(reached: BoolArray) -> bool:
    return bool(np.count_nonzero(reached) == reached.size)
