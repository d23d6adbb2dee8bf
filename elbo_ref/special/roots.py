"""Brent's root finder for one root, as SciPy's ``brentq``; bisection for many at once.

SciPy's module takes longer to import than a command.

Source: R. P. Brent, Algorithms for Minimization Without Derivatives (1973), chapter 4, in the form
of SciPy's C code, whose iterates are the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray

_MOST_STEPS, _HALVINGS = 100, 70
_RTOL = 2.0**-50


def root(
    function: Callable[[float], float],
    low: float,
    high: float,
    *,
    xtol: float = 0.0,
    rtol: float = _RTOL,
) -> float:
    """Find a root between two points at which a function has different signs.

    Raises
    ------
    ValueError
        If the signs are the same, or one is not known.
    RuntimeError
        If the root is not found to its tolerance in 100 steps.
    """
    before, here, across = low, high, low
    f_before, f_here = float(function(before)), float(function(here))
    if f_before == 0:
        return before
    if f_here == 0:
        return here
    if not min(f_before, f_here) < 0 < max(f_before, f_here):
        raise ValueError(f"the function has no change of sign: {f_before}, {f_here}")
    f_across, step, last = f_before, 0.0, 0.0
    for _ in range(_MOST_STEPS):
        if f_before != 0 and f_here != 0 and (f_before < 0) != (f_here < 0):
            across, f_across, last = before, f_before, here - before
            step = last
        if abs(f_across) < abs(f_here):
            before, here, across = here, across, here
            f_before, f_here, f_across = f_here, f_across, f_here
        least, half = (xtol + rtol * abs(here)) / 2, (across - here) / 2
        if f_here == 0 or abs(half) < least:
            return here
        tried = half
        if abs(last) > least and abs(f_here) < abs(f_before):
            tried = _interpolated((before, f_before), (here, f_here), (across, f_across))
        if 2 * abs(tried) < min(abs(last), 3 * abs(half) - least):
            last, step = step, tried
        else:
            last = step = half
        before, f_before = here, f_here
        here += step if abs(step) > least else (least if half > 0 else -least)
        f_here = float(function(here))
    raise RuntimeError(f"no root to within {xtol} after {_MOST_STEPS} steps, at {here}")


def _interpolated(
    before: tuple[float, float], here: tuple[float, float], across: tuple[float, float]
) -> float:
    """Step from `here` by the line through two points, or an inverse parabola through three."""
    (x, f_x), (y, f_y), (z, f_z) = before, here, across
    if x == z:
        return -f_y * (y - x) / (f_y - f_x)
    slope_x, slope_z = (f_x - f_y) / (x - y), (f_z - f_y) / (z - y)
    below = slope_z * slope_x * (f_z - f_x)
    return -f_y * (f_z * slope_z - f_x * slope_x) / below if below else float("inf")


def bisected(below: Callable[[FloatArray], BoolArray], size: int, farthest: float) -> FloatArray:
    """Find many roots between -farthest and farthest, by whether a point lies below its own."""
    low = np.full(size, -farthest)
    high = -low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = below(middle)
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray((low + high) / 2)
