"""A profile of the evidence along one coordinate, with bounds on intervals of it.

A profile is a difference P = A - B of two concave functions, sums of logarithms of linear functions
over weighted offsets (E10): `elbo_ref.mle.mean_profile` has those over gamma = 1/(a + b) and a + b.
With b held there is the one over a, with V = T - U,

    sum_U log[(a + t)/(a + b + t)] - sum_V log(a + b + t).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.factorial_sums import WeightedOffsets
from elbo_ref.mle.newton import EPS, LogConcentration1, RefinedMaximum, refine


class Points(NamedTuple):
    """Values of x with the height and the slope of P there; arrays of one length.

    `noise` and `slope_noise` are how far rounding may have moved the height and the slope.
    """

    x: FloatArray
    height: FloatArray
    noise: FloatArray
    slope: FloatArray
    slope_noise: FloatArray

    def take(self, index: NDArray[np.bool_] | slice) -> Points:
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


class Profile(ABC):
    """A profile P over a coordinate x, a difference A - B of concave functions.

    Attributes
    ----------
    grid : ndarray
        Rising values of x that span all that may hold a maximum; the first may be 0.
    """

    grid: FloatArray

    @property
    def sign_at_0(self) -> int | None:
        """The exact sign of the slope at the binomial limit, if that is grid[0]; else None."""
        return None

    @property
    @abstractmethod
    def num_terms(self) -> int:
        """The number of terms in each sum."""

    @abstractmethod
    def anchored(self, x: float, height: float) -> Self:
        """Measure heights from a point whose height is known otherwise."""

    @abstractmethod
    def points(self, x: FloatArray) -> Points:
        """P and its slope in x."""

    @abstractmethod
    def chord_excess(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """B' at the lower end less the slope of B's chord, and that less B' at the upper; >= 0."""

    @abstractmethod
    def bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        """Bound the slope and the second derivative on intervals, in v."""

    @abstractmethod
    def slope_in_v(self, x: FloatArray, slope: FloatArray) -> FloatArray:
        """A slope in x at x, in the coordinate of the bounds."""

    @abstractmethod
    def prior(self, x: float) -> Beta:
        """The (best) prior at x > 0."""

    @abstractmethod
    def x_of(self, prior: Beta) -> float:
        """The coordinate of a prior."""

    @abstractmethod
    def refined(self, prior: Beta) -> RefinedMaximum:
        """The maximum near a prior, by Newton's method."""


def anchored(
    profiles: Iterable[Profile], x: float, height: float
) -> Iterator[tuple[Profile, float, float]]:
    """Measure heights from the best point of each profile's grid.

    The height is known at x in the first profile; each next one begins where the one before ends,
    at the inverse of its coordinate.

    Yields
    ------
    Profile
    float
        How far rounding may have moved the height of that point.
    float
        The height at the end of the grid.
    """
    for profile in profiles:
        points = profile.anchored(x, height).points(profile.grid)
        i = int(np.argmax(points.height))
        best = profile.anchored(float(points.x[i]), float(points.height[i]))
        x, height = 1 / float(profile.grid[-1]), float(points.height[-1])
        yield best, float(points.noise[i]), height


@dataclass(frozen=True, eq=False)
class Concentration1Profile(Profile):
    """The log evidence over a, for a given b; `successes` is U, `excess` V = T - U."""

    successes: WeightedOffsets
    excess: WeightedOffsets
    b: float
    grid: FloatArray
    anchor: tuple[float, float] = (1.0, 0.0)

    @classmethod
    def of(cls, successes: WeightedOffsets, excess: WeightedOffsets, b: float) -> Self:
        """Span all values of a that may hold a maximum.

        a d/da log evidence = sum_U a b/[(a + t)(a + b + t)] - sum_V a/(a + b + t) is positive for
        a < b with a sum_V 1/(b + t) below half the number of latents with a success, and negative
        for a > N with a > 2 b (successes)/(failures).
        """
        up, down = float(successes.weight.sum()), float(excess.weight.sum())
        share = 0.5 * successes.weight[0] / float((excess.weight / (b + excess.offset)).sum())
        low = 0.5 * min(b, share)
        most = max(successes.offset[-1], excess.offset[-1]) + 1
        high = 2.0 * max(most, 2 * b * up / down)
        return cls(successes, excess, b, np.geomspace(low, high, int(np.log(high / low)) + 2))

    @property
    def num_terms(self) -> int:
        """The number of terms in each sum."""
        return 2 * self.successes.offset.size + self.excess.offset.size

    def anchored(self, x: float, height: float) -> Self:
        """Measure heights from a point whose height is known otherwise."""
        return replace(self, anchor=(x, height))

    def _linear(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """a + t and a + b + t over U, and a + b + t over V."""
        z = x[:, None] + self.successes.offset
        return z, z + self.b, x[:, None] + self.b + self.excess.offset

    def points(self, x: FloatArray) -> Points:
        """The log evidence and its slope in a."""
        up, excess, b, (x0, height0) = (
            self.successes.weight,
            self.excess.weight,
            self.b,
            self.anchor,
        )
        (z, w, e), (z0, w0, e0) = self._linear(x), self._linear(np.array([x0]))
        away = (x - x0)[:, None]
        ups = log_ratio(z / w, z0 / w0, away / w * (b / z0))
        sinks = log_ratio(e, e0, away / e0)
        height = height0 + ups @ up - sinks @ excess
        noise = np.abs(ups) @ up + np.abs(sinks) @ excess
        gains, losses = (b / z / w) @ up, (1 / e) @ excess
        return Points(x, height, 4 * EPS * noise, gains - losses, 8 * EPS * (gains + losses))

    def chord_excess(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """B' at the lower end less the slope of B's chord, and that less B' at the upper; >= 0."""
        step = (high - low)[:, None] / self._linear(low)[2]
        return chord_excess(step, self.excess, high - low)

    def slope_in_v(self, x: FloatArray, slope: FloatArray) -> FloatArray:
        """A slope in x = v."""
        return slope

    def bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        """Bound the slope and the second derivative on intervals of a."""
        up, excess, b = self.successes.weight, self.excess.weight, self.b
        (z0, w0, e0), (z1, w1, e1) = self._linear(low), self._linear(high)
        gain0, gain1 = (b / z0 / w0) @ up, (b / z1 / w1) @ up
        loss0, loss1 = (1 / e0) @ excess, (1 / e1) @ excess
        rounding = 8 * EPS * (gain0 + loss0)
        plus, minus = (1 / e0**2) @ excess, (b / z1 / w1 * (1 / z1 + 1 / w1)) @ up
        curvature = plus - minus + 8 * EPS * (plus + minus)
        least, greatest = gain1 - loss0 - rounding, gain0 - loss1 + rounding
        return IntervalBounds(high - low, least, greatest, curvature)

    def prior(self, x: float) -> Beta:
        """The prior with a = x."""
        return Beta(x, self.b)

    def x_of(self, prior: Beta) -> float:
        """The concentration1 of a prior."""
        return float(prior.arrays()[0])

    def refined(self, prior: Beta) -> RefinedMaximum:
        """The maximum near a prior, by Newton's method."""
        a, b = map(float, prior.arrays())
        return refine(LogConcentration1(a, b, self.successes, self.excess), prior)


def table(constant: FloatArray, slope: FloatArray, offsets: WeightedOffsets) -> FloatArray:
    """constant + slope t, a row for each constant."""
    return constant[:, None] + slope[:, None] * offsets.offset


def log_ratio(z: FloatArray, z0: FloatArray, away: FloatArray) -> FloatArray:
    """log(z/z0), where z/z0 = 1 + away."""
    near = np.abs(away) < 0.5
    return np.where(near, np.log1p(np.where(near, away, 0.0)), np.log(z / z0))


def chord_excess(
    step: FloatArray, offsets: WeightedOffsets, length: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """`Profile.chord_excess` of a sum of logarithms that grow by the factor 1 + step."""
    gap, weight = np.log1p(step), offsets.weight
    return (step - gap) @ weight / length, (gap - step / (1 + step)) @ weight / length
