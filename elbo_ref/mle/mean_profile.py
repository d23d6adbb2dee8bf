"""The evidence along one coordinate, with bounds on intervals of it.

With the weighted offsets t of `elbo_ref.mle.factorial_sums`, successes U, failures D, trials T and
excess E = T - D, the log evidence is, up to a constant and for any r and q with p = m r the mean m
and r/q the concentration s = a + b,

    sum_U log(p + t q) + sum_D log(r - p + t q) - sum_T log(r + t q)                          (E10)

A `MeanProfile` is its profile P, the best over the mean (or at a given one), in one of two
coordinates x:

    GammaProfile           gamma = 1/(a + b):  q = x, r = 1
    ConcentrationProfile   s = a + b:          q = 1, r = x

The first two sums are jointly concave in (x, p): the best mean is unique and P a difference of
two concave functions A - B, so that on an interval it lies below each tangent of A minus the chord
of B. Those two lines are the first bound. Where D and T are much alike they are wide, and
differences are formed on paper: in the coordinate v = gamma, or v = log s,

    P_v = sum_U t/(m + t gamma) + sum_D m t/[(1 - m + t gamma)(1 + t gamma)]
                                                      - sum_E t/(1 + t gamma)        (v = gamma)
    P_v = sum_U a/(a + t) - sum_D a t/[(b + t)(s + t)] - sum_E s/(s + t)             (v = log s)

and P_vv = f_vv + f_vm^2/|f_mm|, with the derivatives f of the log evidence in (v, m). Every sum has
terms of one sign that are monotone in each of m, 1 - m and v, so that ranges of these give the
second bound: the least and the greatest slope, and the greatest second derivative, on an interval.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self, TypeAlias, TypeVar

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.best_mean import best_mean
from elbo_ref.mle.binomial import BinomialLimit
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.newton import (
    EPS,
    FromBinomialLimit,
    LogitMeanLogConcentration,
    RefinedMaximum,
    refine,
)
from elbo_ref.mle.profile import IntervalBounds, Points, Profile, chord_excess, log_ratio, table

_BLOCK = 2**19
"""The most entries of a table of points by offsets."""

_Range: TypeAlias = tuple[FloatArray, FloatArray]
"""The least and the greatest value on each interval."""
_Rows = TypeVar("_Rows", Points, IntervalBounds)


class _Anchor(NamedTuple):
    """A point, its height, and the best mean there."""

    x: float
    height: float
    mean: FloatArray
    rest: FloatArray


@dataclass(frozen=True, eq=False)
class MeanProfile(Profile):
    """The profile over gamma or s.

    Parameters
    ----------
    sums : FactorialSums
        With a mixed latent at least.
    limit : BinomialLimit
        The mean and the slope at gamma = 0.
    free : bool
        Whether the best mean is taken, or that of the limit.
    grid : float64 ndarray
    """

    sums: FactorialSums
    limit: BinomialLimit
    free: bool
    grid: FloatArray
    anchor: _Anchor = field(default=_Anchor(1.0, 0.0, np.ones(1), np.ones(1)), repr=False)

    @property
    def num_terms(self) -> int:
        """The number of terms in each sum."""
        return sum(part.offset.size for part in self.sums[:4])

    @abstractmethod
    def scales(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """q and r of (E10) at x."""

    def best_mean(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """m and 1 - m at each x."""
        if not self.free:
            m, rest = float(self.limit.mean), float(1 - self.limit.mean)
            return np.full(x.shape, m), np.full(x.shape, rest)
        q, r = self.scales(x)
        return best_mean(self.sums, q / r, q / r)

    def _mean_ranges(self, low: FloatArray, high: FloatArray) -> tuple[_Range, _Range]:
        """The least and the greatest m, and 1 - m, between two values of x."""
        if not self.free:
            m, rest = self.best_mean(low)
            return (m, m), (rest, rest)
        (q0, r0), (q1, r1) = self.scales(low), self.scales(high)
        gamma, more = np.minimum(q0 / r0, q1 / r1), np.maximum(q0 / r0, q1 / r1)
        greatest, rest_least = best_mean(self.sums, gamma, more)
        least, rest_greatest = best_mean(self.sums, more, gamma)
        return (least, greatest), (rest_least, rest_greatest)

    def anchored(self, x: float, height: float) -> Self:
        """Measure heights from a point whose height is known otherwise."""
        return replace(self, anchor=_Anchor(x, height, *self.best_mean(np.array([x]))))

    def points(self, x: FloatArray) -> Points:
        """P and its slope in x."""
        return self._in_blocks(self._points, x)

    def _points(self, x: FloatArray) -> Points:
        up, down, _, excess, _ = self.sums
        (m, rest), (m0, rest0) = self.best_mean(x), (self.anchor.mean, self.anchor.rest)
        (q, r), (q0, r0) = self.scales(x), self.scales(np.array([self.anchor.x]))
        z, w, v, e = self._linear(m * r, rest * r, q, r)
        z0, w0, v0, e0 = self._linear(m0 * r0, rest0 * r0, q0, r0)
        p, p0 = (m * r)[:, None], (m0 * r0)[:, None]
        dp, dq, dr = p - p0, (q - q0)[:, None], (r - r0)[:, None]
        ups = log_ratio(z, z0, (dp + dq * up.offset) / z0)
        twist = (p0 * (dq * down.offset + dr) - dp * v0) / (v * w0)
        downs = log_ratio(w / v, w0 / v0, twist)
        sinks = log_ratio(e, e0, (dr + dq * excess.offset) / e0)
        height = self.anchor.height + ups @ up.weight + downs @ down.weight - sinks @ excess.weight
        noise = np.abs(ups) @ up.weight + np.abs(downs) @ down.weight
        noise = noise + np.abs(sinks) @ excess.weight
        noise = noise + p[:, 0] * ((1 / z) @ up.weight)
        slope, size = self._slope(m, r, z, (p / (w * v)) @ (down.weight * down.offset), e)
        return Points(x, height, 4 * EPS * noise, slope, 8 * EPS * size)

    def _linear(
        self, p: FloatArray, rest: FloatArray, q: FloatArray, r: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """p + t q over U, r - p + t q and r + t q over D, and r + t q over E; a row for each x."""
        up, down, _, excess, _ = self.sums
        return table(p, q, up), table(rest, q, down), table(r, q, down), table(r, q, excess)

    @abstractmethod
    def _slope(
        self, m: FloatArray, r: FloatArray, z: FloatArray, downs: FloatArray, e: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """P_x and the sum of its parts' sizes, from the parts of D, z over U and e over E."""

    def chord_excess(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """B' at the lower end less the slope of B's chord, and that less B' at the upper; >= 0."""
        t, length = self.sums.trials.offset, high - low
        (q0, r0), (q1, r1) = self.scales(low), self.scales(high)
        away = (r1 - r0)[:, None] + (q1 - q0)[:, None] * t
        return chord_excess(away / table(r0, q0, self.sums.trials), self.sums.trials, length)

    def bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        """Bound the slope and the second derivative on intervals, in v."""
        if not low.size:
            return IntervalBounds(low, low, low, low)
        return self._in_blocks(self._bounds, low, high)

    @abstractmethod
    def _bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds: ...

    def _in_blocks(self, function: Callable[..., _Rows], *arrays: FloatArray) -> _Rows:
        """A function of rows, a bounded number of them at a time."""
        length = max(1, _BLOCK // self.sums.trials.weight.size)
        starts = range(0, arrays[0].size, length)
        parts = [function(*(x[i : i + length] for x in arrays)) for i in starts]
        return type(parts[0])(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def prior(self, x: float) -> Beta:
        """The best prior at x > 0."""
        at = np.array([x])
        (m, rest), (q, r) = self.best_mean(at), self.scales(at)
        return Beta(float((m * r / q)[0]), float((rest * r / q)[0]))

    def refined(self, prior: Beta) -> RefinedMaximum:
        """The maximum near a prior, in the coordinates that leave it fewer doubts."""
        held = 0 if self.free else 1
        a, b = map(float, prior.arrays())
        maximum = refine(LogitMeanLogConcentration(a, b, self.sums, held), prior)
        if self.sums.successes.offset[-1] <= a and self.sums.failures.offset[-1] <= b:
            other = refine(FromBinomialLimit.of(prior, self.sums, self.limit, held), prior)
            maximum = min(maximum, other, key=lambda way: way.relative_error)
        return maximum


class GammaProfile(MeanProfile):
    """The profile over gamma = 1/(a + b), through the binomial limit at 0."""

    @property
    def sign_at_0(self) -> int:
        """The sign of the slope at the binomial limit."""
        return self.limit.sign

    def scales(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """q and r of (E10) at x."""
        return x, np.ones_like(x)

    def slope_in_v(self, x: FloatArray, slope: FloatArray) -> FloatArray:
        """A slope in x = v."""
        return slope

    def x_of(self, prior: Beta) -> float:
        """Gamma of a prior."""
        return 1 / float(sum(prior.arrays()))

    def _slope(
        self, m: FloatArray, r: FloatArray, z: FloatArray, downs: FloatArray, e: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        up, excess = self.sums.successes, self.sums.excess
        gains = (1 / z) @ (up.weight * up.offset)
        losses = (1 / e) @ (excess.weight * excess.offset)
        return gains + downs - losses, gains + downs + losses

    def _bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        (m0, m1), (rest0, rest1) = self._mean_ranges(low, high)
        up, down, _, excess, _ = self.sums
        one = np.ones_like(low)
        z0, w0, v0, e0 = self._linear(m0, rest0, low, one)
        z1, w1, v1, e1 = self._linear(m1, rest1, high, one)
        ut, dt, et = (part.weight * part.offset for part in (up, down, excess))
        greatest = (1 / z0) @ ut + m1 * ((1 / (w0 * v0)) @ dt) - (1 / e1) @ et
        least = (1 / z1) @ ut + m0 * ((1 / (w1 * v1)) @ dt) - (1 / e0) @ et
        rounding = 8 * EPS * ((1 / z0) @ ut + (1 / e0) @ et)
        plus = (1 / (e0 * e0)) @ (et * excess.offset)
        minus = (1 / (z1 * z1)) @ (ut * up.offset)
        minus = minus + m0 * ((1 / w1 + 1 / v1) / (w1 * v1) @ (dt * down.offset))
        curvature = plus - minus + 8 * EPS * (plus + minus)
        if self.free:
            cross1 = (1 / (w0 * w0)) @ dt - (1 / (z1 * z1)) @ ut
            cross0 = (1 / (w1 * w1)) @ dt - (1 / (z0 * z0)) @ ut
            steep = (1 / (z1 * z1)) @ up.weight + (1 / (w1 * w1)) @ down.weight
            curvature = curvature + np.maximum(cross1**2, cross0**2) / steep * (1 + 1e-12)
        return IntervalBounds(high - low, least - rounding, greatest + rounding, curvature)


class ConcentrationProfile(MeanProfile):
    """The profile over s = a + b, with v = log s."""

    def scales(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """q and r of (E10) at x."""
        return np.ones_like(x), x

    def slope_in_v(self, x: FloatArray, slope: FloatArray) -> FloatArray:
        """A slope in x, in v = log x."""
        return x * slope

    def x_of(self, prior: Beta) -> float:
        """The concentration of a prior."""
        return float(sum(prior.arrays()))

    def _slope(
        self, m: FloatArray, r: FloatArray, z: FloatArray, downs: FloatArray, e: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        up, excess = self.sums.successes.positive, self.sums.excess.positive
        gains = (1 / z[:, z.shape[1] - up.offset.size :]) @ up.weight * m
        losses = (1 / e[:, e.shape[1] - excess.offset.size :]) @ excess.weight
        extra = downs / r
        return self.sums.mixed / r + (gains - extra - losses), gains + extra + losses

    def _bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        (m0, m1), (rest0, rest1) = self._mean_ranges(low, high)
        all_up, down, _, excess, mixed = self.sums
        up, excess, one = all_up.positive, excess.positive, np.ones_like(low)
        a0, a1, b0, b1 = m0 * low, m1 * high, rest0 * low, rest1 * high
        z0, z1 = table(a0, one, up), table(a1, one, up)
        w0, w1 = table(b0, one, down), table(b1, one, down)
        v0, v1 = table(low, one, down), table(high, one, down)
        e0, e1 = table(low, one, excess), table(high, one, excess)
        t, d, g = up.offset, down.offset, excess.offset
        ut, dt = up.weight * t, down.weight * d

        gain0, gain1 = a0 * ((1 / z0) @ up.weight), a1 * ((1 / z1) @ up.weight)
        loss0, loss1 = a0 * ((1 / (w1 * v1)) @ dt), a1 * ((1 / (w0 * v0)) @ dt)
        sink0, sink1 = low * ((1 / e0) @ excess.weight), high * ((1 / e1) @ excess.weight)
        rounding = 8 * EPS * (mixed + gain1 + loss1 + sink1)
        least, greatest = mixed + (gain0 - loss1 - sink1), mixed + (gain1 - loss0 - sink0)

        hump = np.clip(t, a0[:, None], a1[:, None])  # where a t/(a + t)^2 is greatest
        plus = (hump * t / (hump + t) ** 2) @ up.weight
        forward = (high * b1)[:, None] - d * d
        bends = np.where(
            forward > 0,
            a1[:, None] * forward / (w0 * v0) ** 2,
            a0[:, None] * forward / (w1 * v1) ** 2,
        )
        minus = np.minimum(low[:, None] * g / (e0 * e0), high[:, None] * g / (e1 * e1))
        minus = minus @ excess.weight
        curvature = plus + bends @ dt - minus + 8 * EPS * (plus + np.abs(bends) @ dt + minus)
        if self.free:
            cross1 = high * ((1 / (z0 * z0)) @ ut) - low * ((1 / (w1 * w1)) @ dt)
            cross0 = low * ((1 / (z1 * z1)) @ ut) - high * ((1 / (w0 * w0)) @ dt)
            steep = low**2 * ((1 / (z1 * z1)) @ up.weight + (1 / (w1 * w1)) @ down.weight)
            steep = steep + all_up.weight[0] / m1**2 * (low / high) ** 2
            curvature = curvature + np.maximum(cross1**2, cross0**2) / steep * (1 + 1e-12)
        length = np.log(high / low)
        return IntervalBounds(length, least - rounding, greatest + rounding, curvature)


def profiles_over_concentration(
    sums: FactorialSums, limit: BinomialLimit, free: bool
) -> list[Profile]:
    """Profiles over gamma and s, on all of the half-line that may hold a maximum.

    The bounds of the first are close where s is beyond most offsets, of the second where it is not;
    they meet where both bend the logarithms of T alike. Toward s -> 0, with M mixed latents,

        s d/ds log evidence >= M - sum_{t >= 1} T_t s/(s + t)

    at any mean: there is no maximum below s = M / sum(T_t/t), and the evidence falls as M log s.
    """
    total = sums.trials
    least = sums.mixed / float((total.weight[1:] / total.offset[1:]).sum())
    s = np.geomspace(1e-3, 2 * total.offset[-1] + 1, 64)
    balance = ((s[:, None] - total.offset) / (s[:, None] + total.offset)) @ total.weight
    middle = max(float(s[np.argmax(balance > 0)]), least)
    grid = np.concatenate([[0.0], np.exp(-np.arange(4.0, -1, -1)) / middle])
    profiles: list[Profile] = [GammaProfile(sums, limit, free, grid)]
    if middle > least:
        grid = np.geomspace(middle, least, int(np.log(middle / least)) + 2)[::-1]
        profiles.append(ConcentrationProfile(sums, limit, free, grid))
    return profiles
