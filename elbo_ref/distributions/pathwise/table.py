r"""The pathwise derivatives of very many draws that share one pair of concentrations.

For fixed a and b, P and Q are smooth functions of the logit y alone. Nothing happens below a low
and above a high logit, where the first terms of the series in c and in 1 - c are all there is:

    low = log((a + 1)/s) - 40,      high = log(s/(b + 1)) + 40,
    P(y) = P(low) + (low - y)/a,  Q(y) = Q(low)  for y < low,      and the mirror image above.

Between them, or as far as the draws go, P and Q are polynomials of degree 8 on cells of width 1/3,
through their values at the Chebyshev points, with coefficients of the powers of the position in
the cell. Their nearest singularities are at the distance pi from the real line, so that the
polynomial is right to 1e-15. To be sure, each table is compared with
`elbo_ref.distributions.pathwise.field` off its nodes, at one point of each cell, and one that is
off by more than TOLERANCE is not used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.pathwise import field

FEWEST, FEWEST_A_CELL = 200, 20
"""Fewer draws, in all or for each cell, are computed one by one."""

TOLERANCE = 5e-14
_WIDTH = 1 / 3
_DEGREE = 8
_QUIET = 40.0
_BLOCK = 4096


def _powers_through_chebyshev_points(degree: int) -> tuple[FloatArray, FloatArray]:
    """Return points on [-1, 1], 0 in the middle, and the matrix from values less the middle one."""
    points = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    points[degree // 2] = 0.0
    return points, np.linalg.inv(np.vander(points, increasing=True))


_POINTS, _TO_POWERS = _powers_through_chebyshev_points(_DEGREE)
_ALL_POINTS = np.append(_POINTS, (_POINTS[3] + _POINTS[4]) / 2)


def extent(a: float, b: float, low: float, high: float) -> tuple[float, int]:
    """Return where the cells for logits between two begin, and their number."""
    low = max(low, float(np.log((a + 1) / (a + b))) - _QUIET)
    high = min(high, float(np.log((a + b) / (b + 1))) + _QUIET)
    return low, 1 + int(max(high - low, 0.0) / _WIDTH)


class Table(NamedTuple):
    """P and Q as polynomials on equal cells from `low`, linear or constant outside the cells."""

    a: float
    b: float
    low: float
    powers: FloatArray
    """Coefficients, (2, degree + 1, cells)."""
    between: FloatArray
    """P and Q themselves at one point off the nodes of each cell, (2, cells)."""

    @classmethod
    def covering(cls, a: float, b: float, low: float, cells: int) -> Table:
        """Fit the polynomials on so many cells from `low`."""
        y = low + _WIDTH * (np.arange(cells)[:, None] + (1 + _ALL_POINTS) / 2)
        found = field.derivatives(y.ravel(), a, b).reshape(2, cells, -1)
        values, between = found[:, :, :-1], found[:, :, -1]
        middle = values[:, :, _DEGREE // 2]
        powers = _TO_POWERS @ (values - middle[:, :, None]).swapaxes(1, 2)
        powers[:, 0] = middle
        return cls(a, b, low, powers, between)

    @property
    def error(self) -> float:
        """The largest relative error at one point off the nodes of each cell."""
        cells = np.arange(self.powers.shape[2])
        y = self.low + _WIDTH * (cells + (1 + _ALL_POINTS[-1]) / 2)
        return float(np.max(np.abs(self(y) / self.between - 1)))

    def __call__(self, y: FloatArray) -> FloatArray:
        """Return the rows dy/da and dy/db for n draws."""
        gradient = np.empty((2, y.size))
        with np.errstate(over="ignore"):
            for start in range(0, y.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                gradient[:, block] = self._of_block(y[block])
        return gradient

    def _of_block(self, y: FloatArray) -> FloatArray:
        cells = self.powers.shape[2]
        inside = np.clip(y, self.low, self.low + _WIDTH * cells)
        position = (inside - self.low) / _WIDTH
        cell = np.minimum(position.astype(np.intp), cells - 1)
        position -= cell
        position = 2 * position - 1
        gradient = np.empty((2, y.size))
        for row, powers in zip(gradient, self.powers, strict=True):
            powers[_DEGREE].take(cell, out=row)
            for power in powers[-2::-1]:
                row *= position
                row += power.take(cell)
        return on_lines(gradient, inside - y, self.a, self.b)


def on_lines(gradient: FloatArray, beyond: FloatArray, a: float, b: float) -> FloatArray:
    """Move a gradient, in place, so far beyond a point from which dy/da or dy/db is a line."""
    gradient[0] += np.maximum(beyond, 0.0) / a
    gradient[1] += np.minimum(beyond, 0.0) / b
    return gradient
