"""A function of the counts of many latents, from its values at few points.

Given the nodes, a quantile of a latent's posterior is an analytic function of K and F = N - K: the
evidence is singular where K = -a, F = -b or N = -s, which are no counts. In u = log(1 + F)
and v = log(1 + K) - slope u, the slope that of least squares, these are about pi from the range. So
latents with K and F of 16 and more are one rectangle with a Chebyshev grid, and those with a
smaller K, or a smaller F, a line each: where the range has half-width h, n points are right to
rho^-n, rho = pi/h + sqrt(1 + (pi/h)^2). Some latents of each cell are solved too, and show whether
it is so; a cell where it is not is left. A quantile falls with F and rises with K: where all that
are solved are 0 to a float, those between them are.

Source: Trefethen, Approximation Theory and Approximation Practice (SIAM, 2013), theorem 8.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.estimates.few_points import Axis, slope_of
from elbo_ref.special import blocks

Solve = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""From K and F to logits, and deviations that they are wanted in."""

_FEWEST = 64
"""Latents of a cell below which no grid is worth it."""
_SMALL = 16
"""Counts below this have a line each."""
_LARGEST = 1e9
"""Counts up to which logarithms keep the digits."""
_DIGITS = 23.0
"""Minus the logarithm of the error of the interpolation, in deviations."""
_WORTH = 2
"""Latents to a point from which on points are worth it."""
_ROUNDED = 1e-12
"""A range below this is one value, rounded."""
_CHECKED, _TRIES = 24, 3
"""Latents of each cell that are solved beside those at its edges, and the most grids for it."""
_CLOSE = 1e-9
"""How near they have to be, in deviations of at most 1."""


def interpolated(
    successes: IntArray | FloatArray, failures: IntArray | FloatArray, solve: Solve
) -> FloatArray:
    """Find the logits of many latents by solving few.

    Parameters
    ----------
    successes, failures : int64 or float64 ndarray, shape (P,)
    solve : callable

    Returns
    -------
    float64 ndarray, shape (P,)
        With nan where a latent has to be solved by itself.
    """
    found = np.full(successes.size, np.nan)
    cells = _cells(successes, failures) if found.size >= _FEWEST else ()
    for cell in cells:
        if cell.size < _FEWEST:
            continue
        k, f = (x[cell].astype(np.float64) for x in (successes, failures))
        grid = _Grid.over(k, f)
        some = grid.extreme(k, f)
        wanted, deviation = solve(k[some], f[some])
        if np.isneginf(wanted).all():  # as between them: the quantile falls with F
            found[cell] = -np.inf
        if not np.isfinite(wanted).all():
            continue
        for _ in range(_TRIES):
            at_k, at_f = grid.points
            if grid.size * _WORTH > k.size or not at_k.min() >= 0:
                break
            on_grid = solve(at_k, at_f)[0] - _log_odds(at_k, at_f)
            if not np.isfinite(on_grid).all():
                break
            values = _log_odds(k, f) + grid.interpolate(on_grid, k, f)
            if (np.abs(values[some] - wanted) < _CLOSE * np.minimum(deviation, 1.0)).all():
                found[cell] = values
                break
            grid = grid.finer
    return found


def _cells(k: IntArray | FloatArray, f: IntArray | FloatArray) -> Iterator[IntArray]:
    """Yield the latents of each line, and of the rectangle."""
    fits = np.maximum(k, f) <= _LARGEST
    low_k, low_f = k < _SMALL, f < _SMALL
    yield np.flatnonzero(fits & ~low_k & ~low_f)
    for count, low, other in ((k, low_k, low_f), (f, low_f, low_k)):
        for value in np.unique(count[low]):
            yield np.flatnonzero(fits & (count == value) & ~other)


def _log_odds(k: FloatArray, f: FloatArray) -> FloatArray:
    return np.asarray(np.log((k + 0.5) / (f + 0.5)))


class _Grid(NamedTuple):
    """Chebyshev points over u = log(1 + F) and v = [log(1 + K) - a - b u] exp(c u).

    Attributes
    ----------
    line : (float, float, float)
        a, b and c.
    along, across : Axis
        Of u and v.
    sizes : (int, int)
        The number of points on each.
    """

    line: tuple[float, float, float]
    along: Axis
    across: Axis
    sizes: tuple[int, int]

    @classmethod
    def over(cls, k: FloatArray, f: FloatArray) -> _Grid:
        """Lay a grid over latents."""
        u, v = np.log1p(f), np.log1p(k)
        slope = slope_of(u - u[0], v - v[0])
        level = float((v - slope * u).mean())
        lines = [(level, slope, growth) for growth in (0.0, 0.5)]
        # the narrower, beside its deviation, of the bands that the latents fill
        line = min(lines, key=lambda one: _spread(_across(one, u, v)))
        along, across = Axis.of(u), Axis.of(_across(line, u, v))
        digits = _DIGITS + max(u.max(), v.max()) / 2  # deviations are as small as 1/sqrt(K)
        widest = across.half * np.exp(-line[2] * u.min())
        return cls(line, along, across, (_points(along.half, digits), _points(widest, digits)))

    def extreme(self, k: FloatArray, f: FloatArray) -> IntArray:
        """Choose latents: some all over, and those at the edges."""
        u = np.log1p(f)
        v = _across(self.line, u, np.log1p(k))
        x, y = (
            (values - axis.middle) / max(axis.half, 1e-300)
            for values, axis in ((u, self.along), (v, self.across))
        )
        apart = y * np.exp(-self.line[2] * u)
        edges = [place(z) for z in (x, y, apart, x + y, x - y) for place in (np.argmin, np.argmax)]
        return np.unique([*np.linspace(0, k.size - 1, _CHECKED).astype(np.intp), *edges])

    @property
    def finer(self) -> _Grid:
        """The grid with half as many points again on each axis."""
        along, across = (size if size == 1 else size * 3 // 2 for size in self.sizes)
        return self._replace(sizes=(along, across))

    @property
    def size(self) -> int:
        """The number of points."""
        return self.sizes[0] * self.sizes[1]

    @property
    def points(self) -> tuple[FloatArray, FloatArray]:
        """K and F of the points."""
        axes = zip((self.along, self.across), self.sizes, strict=True)
        u, v = (axis.grid(np.array([axis.middle]), size)[0] for axis, size in axes)
        u, v = np.repeat(u, v.size), np.tile(v, u.size)
        level, slope, growth = self.line
        return np.expm1(level + slope * u + v * np.exp(-growth * u)), np.expm1(u)

    def interpolate(self, values: FloatArray, k: FloatArray, f: FloatArray) -> FloatArray:
        """Find a function at latents from its values at the points."""
        u = np.log1p(f)
        v = _across(self.line, u, np.log1p(k))
        found, table = np.empty(k.size), values.reshape(self.sizes)
        for part in blocks(k.size, 2**13):
            _, to_u = self.along.grid(u[part], self.sizes[0])
            _, to_v = self.across.grid(v[part], self.sizes[1])
            found[part] = ((to_u @ table) * to_v).sum(axis=1)
        return found


def _across(line: tuple[float, float, float], u: FloatArray, v: FloatArray) -> FloatArray:
    level, slope, growth = line
    return np.asarray((v - level - slope * u) * np.exp(growth * u))


def _spread(x: FloatArray) -> float:
    deviation = float(x.std())
    return float(np.ptp(x)) / deviation if deviation > 0 else 0.0


def _points(half: float, digits: float) -> int:
    """Return the number of points over a range for so many digits."""
    if half < _ROUNDED:
        return 1
    c = np.pi / half
    return int(np.ceil(digits / np.log(c + np.sqrt(c * c + 1)))) + 2
