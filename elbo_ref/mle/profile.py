"""A profile of the evidence along one coordinate, with bounds on intervals of it.

With the weighted offsets t of `elbo_ref.mle.factorial_sums`, successes U, failures D, trials T and
excess E = T - D, the log evidence is, up to a constant and on any line

    sum_U log(p + t q) + sum_D log(r - p + t q) - sum_T log(r + t q)                          (E10)

with p/r the mean m and r/q the concentration s = a + b. On the line of a coordinate x it is a
difference P = A - B of two concave functions of x, so that on an interval it lies below each
tangent of A minus the chord of B. `elbo_ref.mle.lines` has the lines, and tighter bounds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self, TypeVar

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.factorial_sums import FactorialSums, WeightedOffsets
from elbo_ref.mle.newton import EPS, RefinedMaximum

_BLOCK = 2**19
"""The most entries of a table of points by offsets."""


class Points(NamedTuple):
    """Values of x with the height and the slope of P there; arrays of one length.

    `noise` and `slope_noise` are how far rounding may have moved the height and the slope.
    """

    x: FloatArray
    height: FloatArray
    noise: FloatArray
    slope: FloatArray
    slope_noise: FloatArray

    def take(self, index: BoolArray | slice) -> Points:
        """Select some of the points."""
        return Points(*(column[index] for column in self))


class IntervalBounds(NamedTuple):
    """Bounds that hold on all of an interval, in the coordinate v.

    `length` is that of the interval, `least` and `greatest` bound the slope P_v, and `curvature` is
    the greatest P_vv, or more.
    """

    length: FloatArray
    least: FloatArray
    greatest: FloatArray
    curvature: FloatArray


class Line(NamedTuple):
    """The mean, p, r - p, q and r of (E10) at each x."""

    m: FloatArray
    p: FloatArray
    rest: FloatArray
    q: FloatArray
    r: FloatArray


class Tables(NamedTuple):
    """p + t q over U, r - p + t q and r + t q over D, and r + t q over E; a row for each x."""

    z: FloatArray
    w: FloatArray
    y: FloatArray
    e: FloatArray


_Rows = TypeVar("_Rows", Points, IntervalBounds)


@dataclass(frozen=True, eq=False)
class Profile(ABC):
    """A profile P over a coordinate x.

    Parameters
    ----------
    sums : FactorialSums
    grid : float64 ndarray
        Rising values of x that span all that may hold a maximum; the first may be 0.
    anchor : (x, height)
        A point whose height is known otherwise: heights are measured from it.
    """

    sums: FactorialSums
    grid: FloatArray
    anchor: tuple[float, float] = (1.0, 0.0)

    @property
    def sign_at_0(self) -> int | None:
        """The exact sign of the slope at the binomial limit, if that is grid[0]; else None."""
        return None

    @property
    def num_terms(self) -> int:
        """The number of terms in each sum."""
        return sum(part.offset.size for part in self.sums[:4])

    @property
    def row_size(self) -> int:
        """The number of entries of a table for each x."""
        return self.sums.trials.weight.size

    @abstractmethod
    def line(self, x: FloatArray) -> Line:
        """Find the line of (E10) at x, with the best mean where it is free."""

    @abstractmethod
    def _slope(self, line: Line, tables: Tables) -> tuple[FloatArray, FloatArray]:
        """Compute P_x, and the sum of its parts' sizes."""

    @abstractmethod
    def _bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds: ...

    @abstractmethod
    def x_of(self, prior: Beta) -> float:
        """Return the coordinate of a prior."""

    @abstractmethod
    def refined(self, prior: Beta) -> RefinedMaximum:
        """Find the maximum near a prior, by Newton's method."""

    def prior(self, x: float) -> Beta:
        """Return the (best) prior at x > 0."""
        line = self.line(np.array([x]))
        return Beta(float((line.p / line.q)[0]), float((line.rest / line.q)[0]))

    def along(self, x: FloatArray) -> FloatArray:
        """Turn x into the concentration that is not held, or that into x."""
        return x

    def slope_in_v(self, _x: FloatArray, slope: FloatArray) -> FloatArray:
        """Turn a slope in x at x into the coordinate of the bounds."""
        return slope

    def anchored(self, x: float, height: float) -> Self:
        """Measure heights from a point whose height is known."""
        return replace(self, anchor=(x, height))

    def points(self, x: FloatArray) -> Points:
        """Compute P and its slope in x."""
        return self._in_blocks(self._points, x)

    @cached_property
    def _start(self) -> tuple[Line, Tables]:
        """The line at the anchor."""
        line = self.line(np.array([self.anchor[0]]))
        return line, self._tables(line)

    def _points(self, x: FloatArray) -> Points:
        """Sum the change of each term from the anchor, formed without cancellation."""
        up, down, _, excess, _ = self.sums
        line, (start, anchor) = self.line(x), self._start
        (z, w, y, e), (z0, w0, y0, e0) = self._tables(line), anchor
        p, p0 = line.p[:, None], start.p[:, None]
        dp, dq, dr = p - p0, (line.q - start.q)[:, None], (line.r - start.r)[:, None]
        ups = _log_ratio(z, z0, (dp + dq * up.offset) / z0)
        # (w/y)/(w0/y0) - 1 = [p0 (dr + t dq) - dp y0]/(y w0)
        twist = (p0 * (dq * down.offset + dr) - dp * y0) / (y * w0)
        downs = _log_ratio(w / y, w0 / y0, twist)
        sinks = _log_ratio(e, e0, (dr + dq * excess.offset) / e0)
        height = self.anchor[1] + ups @ up.weight + downs @ down.weight - sinks @ excess.weight
        noise = np.abs(ups) @ up.weight + np.abs(downs) @ down.weight
        noise = noise + np.abs(sinks) @ excess.weight + line.p * ((1 / z) @ up.weight)
        slope, size = self._slope(line, Tables(z, w, y, e))
        return Points(x, height, 8 * EPS * noise, slope, 8 * EPS * size)

    def _tables(self, line: Line) -> Tables:
        up, down, _, excess, _ = self.sums
        _, p, rest, q, r = line
        return Tables(table(p, q, up), table(rest, q, down), table(r, q, down), table(r, q, excess))

    def chord_excess(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compute B' at the low end less the slope of B's chord, and that less B' at the high."""
        (q0, r0), (q1, r1) = self._scales(low), self._scales(high)
        trials, length = self.sums.trials, high - low
        away = (r1 - r0)[:, None] + (q1 - q0)[:, None] * trials.offset
        step = away / table(r0, q0, trials)
        gap = np.log1p(step)
        after = (gap - step / (1 + step)) @ trials.weight / length
        return (step - gap) @ trials.weight / length, after

    @abstractmethod
    def _scales(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return q and r of (E10) at x."""

    def bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        """Bound the slope and the second derivative on intervals, in v."""
        if not low.size:
            return IntervalBounds(low, low, low, low)
        return self._in_blocks(self._bounds, low, high)

    def _in_blocks(self, function: Callable[..., _Rows], *arrays: FloatArray) -> _Rows:
        """Call a function of rows, a bounded number of them at a time."""
        length = max(1, _BLOCK // self.row_size)
        starts = range(0, arrays[0].size, length)
        parts = [function(*(x[i : i + length] for x in arrays)) for i in starts]
        if len(parts) == 1:
            return parts[0]
        return type(parts[0])(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def table(constant: FloatArray, slope: FloatArray, offsets: WeightedOffsets) -> FloatArray:
    """Make a table of constant + slope t, a row for each constant."""
    return constant[:, None] + slope[:, None] * offsets.offset


def _log_ratio(z: FloatArray, z0: FloatArray, away: FloatArray) -> FloatArray:
    """Compute log(z/z0), where z/z0 = 1 + away."""
    near = np.abs(away) < 0.5
    return np.where(near, np.log1p(np.where(near, away, 0.0)), np.log(z / z0))
