"""The lines along which the evidence is profiled, with what holds on intervals of them.

    GammaProfile           x = v = gamma = 1/(a + b):  q = x, r = 1
    ConcentrationProfile   x = s = a + b, v = log s:   q = 1, r = x
    Concentration0Profile  x = v = b, for a given a:   q = 1, r = a + x, p = a

In the first two P is the best over the mean (or at a given one): the first two sums of (E10) are
jointly concave in (x, p), so that the best mean is unique and P a difference of two concave
functions. Where D and T are much alike tangents and chords are wide, and differences are formed on
paper: with z, w, y and e the linear functions of t over U, D, D and E in (E10),

    P_v = f_v,     P_vv = f_vv + f_vm^2/|f_mm|,

with the derivatives f of the log evidence in (v, m), which stand with each class. Every sum has
terms of one sign that are monotone in each of m, 1 - m and v, so that ranges of these (subscripts 0
and 1) bound the slope, and the second derivative from above, on an interval. In the third, with U
constant,

    P = sum_D log[(b + t)/(a + b + t)] - sum_E log(a + b + t),    again A - B.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.binomial import BinomialLimit
from elbo_ref.mle.factorial_sums import FactorialSums, WeightedOffsets
from elbo_ref.mle.newton import (
    EPS,
    FromBinomialLimit,
    LogConcentration0,
    LogitMeanLogConcentration,
    RefinedMaximum,
    refine,
)
from elbo_ref.mle.profile import IntervalBounds, Line, Profile, Tables, table

_Range: TypeAlias = tuple[FloatArray, FloatArray]
"""The least and the greatest value on each interval."""
_FARTHEST = 300.0
"""The largest logit of a mean."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MeanProfile(Profile):
    """The profile over gamma or s, of counts with a mixed latent at least.

    Parameters
    ----------
    limit : BinomialLimit
        The mean and the slope at gamma = 0.
    free : bool
        True for the best mean, False for that of the limit.
    """

    limit: BinomialLimit
    free: bool

    def line(self, x: FloatArray) -> Line:
        """Find the line of (E10) at x, at the best mean or the given one."""
        q, r = self._scales(x)
        m, rest = self._mean(q / r, q / r)
        return Line(m, m * r, rest * r, q, r)

    def _mean(self, gamma_up: FloatArray, gamma_down: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Find m and 1 - m, or bounds of them for a range of gamma."""
        if self.free:
            return best_mean(self.sums, gamma_up, gamma_down)
        m, rest = self._given
        return np.full(gamma_up.shape, m), np.full(gamma_up.shape, rest)

    @cached_property
    def _given(self) -> tuple[float, float]:
        """The mean of the limit, and 1 less that."""
        return float(self.limit.mean), float(1 - self.limit.mean)

    def _mean_ranges(self, low: FloatArray, high: FloatArray) -> tuple[_Range, _Range]:
        """Bound m, and 1 - m, between two values of x."""
        (q0, r0), (q1, r1) = self._scales(low), self._scales(high)
        gamma, more = np.minimum(q0 / r0, q1 / r1), np.maximum(q0 / r0, q1 / r1)
        greatest, rest_least = self._mean(gamma, more)
        least, rest_greatest = self._mean(more, gamma)
        return (least, greatest), (rest_least, rest_greatest)

    def refined(self, prior: Beta) -> RefinedMaximum:
        """Find the maximum near a prior, in the coordinates that leave it fewer doubts."""
        held = 0 if self.free else 1
        a, b = map(float, prior.arrays())
        maximum = refine(LogitMeanLogConcentration(a, b, self.sums, held), prior)
        if self.sums.successes.offset[-1] <= a and self.sums.failures.offset[-1] <= b:
            other = refine(FromBinomialLimit.of(prior, self.sums, self.limit, held), prior)
            maximum = min(maximum, other, key=lambda way: way.relative_error)
        return maximum


class GammaProfile(MeanProfile):
    """The profile over gamma = 1/(a + b), through the binomial limit at 0.

    z = m + t gamma over U, w = 1 - m + t gamma and y = 1 + t gamma over D, e = 1 + t gamma over E:

        f_v    = sum_U t/z + sum_D m t/(w y) - sum_E t/e
        f_vv   = sum_E t^2/e^2 - sum_U t^2/z^2 - sum_D m t^2 (1/w + 1/y)/(w y)
        f_vm   = sum_D t/w^2 - sum_U t/z^2
        |f_mm| = sum_U 1/z^2 + sum_D 1/w^2
    """

    @property
    def sign_at_0(self) -> int | None:
        """The sign of the slope at the binomial limit, if that is grid[0]; else None."""
        return None if self.grid[0] else self.limit.sign

    def _scales(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return x, np.ones_like(x)

    def along(self, x: FloatArray) -> FloatArray:
        """Turn gamma into a + b, or a + b into gamma."""
        with np.errstate(divide="ignore"):
            return 1 / x

    def x_of(self, prior: Beta) -> float:
        """Return gamma of a prior."""
        return 1 / float(sum(prior.arrays()))

    def _slope(self, line: Line, tables: Tables) -> tuple[FloatArray, FloatArray]:
        (up, down, _, excess, _), (z, w, y, e) = self.sums, tables
        gains = (1 / z) @ (up.weight * up.offset)
        extra = (line.p[:, None] / (w * y)) @ (down.weight * down.offset)
        losses = (1 / e) @ (excess.weight * excess.offset)
        return gains + extra - losses, gains + extra + losses

    def _bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        (m0, m1), (rest0, rest1) = self._mean_ranges(low, high)
        up, down, _, excess, _ = self.sums
        one = np.ones_like(low)
        z0, w0, y0, e0 = self._tables(Line(m0, m0, rest0, low, one))
        z1, w1, y1, e1 = self._tables(Line(m1, m1, rest1, high, one))
        ut, dt, et = (part.weight * part.offset for part in (up, down, excess))
        # f_v falls with each of z, w, y and rises with m and e
        greatest = (1 / z0) @ ut + m1 * ((1 / (w0 * y0)) @ dt) - (1 / e1) @ et
        least = (1 / z1) @ ut + m0 * ((1 / (w1 * y1)) @ dt) - (1 / e0) @ et
        rounding = 8 * EPS * ((1 / z0) @ ut + (1 / e0) @ et)
        # f_vv, the most of what is added less the least of what is subtracted
        plus = (1 / (e0 * e0)) @ (et * excess.offset)
        minus = (1 / (z1 * z1)) @ (ut * up.offset)
        minus = minus + m0 * ((1 / w1 + 1 / y1) / (w1 * y1) @ (dt * down.offset))
        curvature = plus - minus + 8 * EPS * (plus + minus)
        if self.free:
            cross1 = (1 / (w0 * w0)) @ dt - (1 / (z1 * z1)) @ ut
            cross0 = (1 / (w1 * w1)) @ dt - (1 / (z0 * z0)) @ ut
            steep = (1 / (z1 * z1)) @ up.weight + (1 / (w1 * w1)) @ down.weight
            curvature = curvature + np.maximum(cross1**2, cross0**2) / steep * (1 + 1e-12)
        return IntervalBounds(high - low, least - rounding, greatest + rounding, curvature)


class ConcentrationProfile(MeanProfile):
    """The profile over s = a + b, with derivatives in log s.

    z = a + t over U, w = b + t and y = s + t over D, e = s + t over E:

        f_v    = mixed + sum_{U, t > 0} a/z - sum_D a t/(w y) - sum_{E, t > 0} s/e
        f_vv   = sum_U a t/z^2 + sum_D a t (s b - t^2)/(w y)^2 - sum_E s t/e^2
        f_vm   = s (sum_U t/z^2 - sum_D t/w^2)
        |f_mm| = s^2 (sum_U 1/z^2 + sum_D 1/w^2)
    """

    def _scales(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.ones_like(x), x

    def slope_in_v(self, x: FloatArray, slope: FloatArray) -> FloatArray:
        """Turn a slope in x into that in v = log x."""
        return x * slope

    def x_of(self, prior: Beta) -> float:
        """Return the concentration of a prior."""
        return float(sum(prior.arrays()))

    def _slope(self, line: Line, tables: Tables) -> tuple[FloatArray, FloatArray]:
        (all_up, down, _, all_excess, mixed), (z, w, y, e) = self.sums, tables
        up, excess = all_up.positive, all_excess.positive
        gains = (1 / z[:, z.shape[1] - up.offset.size :]) @ up.weight * line.m
        extra = (line.p[:, None] / (w * y)) @ (down.weight * down.offset) / line.r
        losses = (1 / e[:, e.shape[1] - excess.offset.size :]) @ excess.weight
        return mixed / line.r + (gains - extra - losses), gains + extra + losses

    def _bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        (m0, m1), (rest0, rest1) = self._mean_ranges(low, high)
        all_up, down, _, excess, mixed = self.sums
        up, excess, one = all_up.positive, excess.positive, np.ones_like(low)
        a0, a1, b0, b1 = m0 * low, m1 * high, rest0 * low, rest1 * high
        z0, z1 = table(a0, one, up), table(a1, one, up)
        w0, w1 = table(b0, one, down), table(b1, one, down)
        y0, y1 = table(low, one, down), table(high, one, down)
        e0, e1 = table(low, one, excess), table(high, one, excess)
        t, d, g = up.offset, down.offset, excess.offset
        ut, dt = up.weight * t, down.weight * d

        # f_v: the first sum rises with a, the second falls with b, the third rises with s
        gain0, gain1 = a0 * ((1 / z0) @ up.weight), a1 * ((1 / z1) @ up.weight)
        loss0, loss1 = a0 * ((1 / (w1 * y1)) @ dt), a1 * ((1 / (w0 * y0)) @ dt)
        sink0, sink1 = low * ((1 / e0) @ excess.weight), high * ((1 / e1) @ excess.weight)
        rounding = 8 * EPS * (mixed + gain1 + loss1 + sink1)
        least, greatest = mixed + (gain0 - loss1 - sink1), mixed + (gain1 - loss0 - sink0)

        # f_vv: a t/z^2 is greatest at a = t or next to it, s t/e^2 least at an end
        hump = np.clip(t, a0[:, None], a1[:, None])
        plus = (hump * t / (hump + t) ** 2) @ up.weight
        forward = (high * b1)[:, None] - d * d
        bends = np.where(
            forward > 0,
            a1[:, None] * forward / (w0 * y0) ** 2,
            a0[:, None] * forward / (w1 * y1) ** 2,
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Concentration0Profile(Profile):
    """The log evidence over b, for a given a."""

    a: float

    @classmethod
    def of(cls, sums: FactorialSums, a: float) -> Self:
        """Span all values of b that may hold a maximum.

        b d/db log evidence = sum_D a b/[(b + t)(a + b + t)] - sum_E b/(a + b + t) is positive for
        b < a with b sum_E 1/(a + t) below half the number of latents with a failure, and negative
        for b > N with b > 2 a (failures)/(successes).
        """
        down, excess = sums.failures, sums.excess
        share = 0.5 * down.weight[0] / float((excess.weight / (a + excess.offset)).sum())
        low = 0.5 * min(a, share)
        most = max(down.offset[-1], excess.offset[-1]) + 1
        high = 2.0 * max(most, 2 * a * float(down.weight.sum()) / float(excess.weight.sum()))
        grid = np.geomspace(low, high, int(np.log(high / low)) + 2)
        constant = WeightedOffsets(np.zeros(0), np.zeros(0))
        return cls(sums._replace(successes=constant, trials=excess), grid, a=a)

    def line(self, x: FloatArray) -> Line:
        """Find the line of (E10) at b = x."""
        q, r = self._scales(x)
        return Line(self.a / r, np.full(x.shape, self.a), x, q, r)

    def _scales(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.ones_like(x), self.a + x

    def x_of(self, prior: Beta) -> float:
        """Return concentration0 of a prior."""
        return float(prior.arrays()[1])

    def _slope(self, _line: Line, tables: Tables) -> tuple[FloatArray, FloatArray]:
        _, w, y, e = tables
        gains = (self.a / w / y) @ self.sums.failures.weight
        losses = (1 / e) @ self.sums.excess.weight
        return gains - losses, gains + losses

    def _bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        down, excess, a = self.sums.failures.weight, self.sums.excess.weight, self.a
        (_, w0, y0, e0), (_, w1, y1, e1) = (self._tables(self.line(x)) for x in (low, high))
        gain0, gain1 = (a / w0 / y0) @ down, (a / w1 / y1) @ down
        loss0, loss1 = (1 / e0) @ excess, (1 / e1) @ excess
        rounding = 8 * EPS * (gain0 + loss0)
        plus, minus = (1 / e0**2) @ excess, (a / w1 / y1 * (1 / w1 + 1 / y1)) @ down
        curvature = plus - minus + 8 * EPS * (plus + minus)
        least, greatest = gain1 - loss0 - rounding, gain0 - loss1 + rounding
        return IntervalBounds(high - low, least, greatest, curvature)

    def refined(self, prior: Beta) -> RefinedMaximum:
        """Find the maximum near a prior, by Newton's method."""
        a, b = map(float, prior.arrays())
        return refine(LogConcentration0(a, b, self.sums.failures, self.sums.excess), prior)


def best_mean(
    sums: FactorialSums, gamma_up: FloatArray, gamma_down: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Maximise the log evidence over the mean, at given gamma = 1/(a + b).

    The derivative sum_U 1/(m + t gamma) - sum_D 1/(1 - m + t gamma) has one zero. The difference of
    the two sums' logarithms falls in logit m with a slope between -1 and 0: Newton's method, kept
    to the side that is known to hold the zero.

    Parameters
    ----------
    sums : FactorialSums
    gamma_up, gamma_down : float64 ndarray, shape (X,)
        gamma in the first and in the second sum. The zero falls in the one and rises in the other,
        so that the two ends of a range of gamma bound the best mean on all of it.

    Returns
    -------
    float64 ndarray, shape (X,)
        m, and 1 - m.
    """
    up, down = sums.successes, sums.failures
    theta = np.full(gamma_up.shape, np.log(up.weight[0] / down.weight[0]))
    low, high = np.full(theta.shape, -np.inf), np.full(theta.shape, np.inf)
    above, below = gamma_up[:, None] * up.offset, gamma_down[:, None] * down.offset
    for _ in range(100):
        m, rest = _logistic(theta)
        z, w = 1 / (above + m[:, None]), 1 / (below + rest[:, None])
        one, other = z @ up.weight, w @ down.weight
        unequal = np.log(one / other)
        steep = m * rest * ((z * z) @ up.weight / one + (w * w) @ down.weight / other)
        low = np.where(unequal > 0, theta, low)
        high = np.where(unequal < 0, theta, high)
        moved = theta + unequal / steep
        inside = (moved >= low) & (moved <= high)
        bounded = ~inside & np.isfinite(low) & np.isfinite(high)
        half = np.where(bounded, low, theta) / 2 + np.where(bounded, high, theta) / 2
        moved = np.where(inside, moved, np.where(bounded, half, theta + unequal))
        moved = np.clip(moved, -_FARTHEST, _FARTHEST)
        settled = np.abs(moved - theta) <= 1e-8 * (1 + np.abs(theta))
        theta = moved
        if settled.all():
            break
    return _logistic(theta)


def _logistic(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    small = np.exp(-np.abs(theta))
    large, small = 1 / (1 + small), small / (1 + small)
    return np.where(theta > 0, large, small), np.where(theta > 0, small, large)


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
    profiles: list[Profile] = [GammaProfile(sums, grid, limit=limit, free=free)]
    if middle > least:
        grid = np.geomspace(middle, least, int(np.log(middle / least)) + 2)[::-1]
        profiles.append(ConcentrationProfile(sums, grid, limit=limit, free=free))
    return profiles
