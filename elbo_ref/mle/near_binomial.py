"""The profile over gamma = 1/(a + b) toward the binomial limit, latent by latent.

Where both concentrations are large the sums over U, D and T of (E10) cancel: nearly binomial
latents of N trials leave one part in N of them. Here the same profile, its derivatives and their
bounds are sums over latents of the terms of `elbo_ref.mle.stirling`, which do not cancel, in
interval arithmetic. On an interval of gamma, with m_0 the best mean in the middle of it, the best
mean is within

    |m - m_0| <= r (1 + t)^2/h,     r = max |f_m(m_0)|,   h = min -f_mm(m_0),

as long as that is at most t times the smaller of m_0 and 1 - m_0: where m is larger by a factor
1 + t, -f_mm = sum_U 1/(m + t gamma)^2 + ... is smaller by (1 + t)^2 at most. It moves by a part of
a standard error, and the slope P_gamma and P_gamma,gamma = f_gamma,gamma + f_gamma,m^2/|f_mm| are
bounded by the extremes of their terms. Toward gamma = 0 the slope is also that of the limit, a
ratio of whole numbers, and gamma times a value of P_gamma,gamma.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.interval_arithmetic import Enclosure
from elbo_ref.mle.lines import GammaProfile, MeanProfile, best_mean
from elbo_ref.mle.newton import EPS, RefinedMaximum
from elbo_ref.mle.profile import IntervalBounds, Line, Points
from elbo_ref.mle.stirling import Box, Latents

LARGE = 200.0
"""The least concentration for which latents are taken one by one,"""
MANY = 300_000
"""where there are latents with as many successes, and failures."""
_NEWTON = 40
_ARRAYS = 8
_FIRST = 0.05
"""gamma N at the end of the first interval, for the largest N."""
_STEP = 2.0
"""Between the logarithms of the others."""
_CLOSE = 1e-4
"""gamma N below which the slope is also known from the limit's."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NearBinomialProfile(GammaProfile):
    """The profile over gamma of latents, for a + b far beyond 1/m and 1/(1 - m).

    Parameters
    ----------
    latents : Latents
    """

    latents: Latents

    @classmethod
    def between(cls, low: float, high: float, profile: MeanProfile, latents: Latents) -> Self:
        """Make the profile for a + b in a range, the upper end of which may be inf."""
        first = 1 / min(high, max(float(latents.trials.max()) / _FIRST, low))
        grid = np.geomspace(first, 1 / low, int(-np.log(first * low) / _STEP) + 2)
        grid = np.unique([1 / high, *grid, 1 / low])
        return cls(profile.sums, grid, limit=profile.limit, free=profile.free, latents=latents)

    @property
    def row_size(self) -> int:
        """The number of entries of a table for each x."""
        return max(super().row_size, _ARRAYS * self.num_terms)

    @property
    def num_terms(self) -> int:
        """The number of latents."""
        return self.latents.weight.size

    def line(self, x: FloatArray) -> Line:
        """Find the line of (E10) at x, at the best mean or the given one."""
        m, rest = (part.middle[:, 0] for part in self._best(x).mean)
        return Line(m, m, rest, x, np.ones_like(x))

    def _box(self, gamma: Enclosure, shift: Enclosure) -> Box:
        return Box(self.latents, gamma, shift)

    def _sum(self, terms: Enclosure) -> Enclosure:
        return terms.total(self.latents.weight)

    def _best(self, x: FloatArray, steps: int = _NEWTON) -> Box:
        """Find the best mean at each x, by Newton's method."""
        gamma, away = x[:, None], self.latents.away
        share = self.latents.weight * self.latents.trials / (1 + gamma * self.latents.trials)
        shift = (share * away).sum(axis=-1, keepdims=True) / share.sum(axis=-1, keepdims=True)
        shift = shift if self.free else np.zeros_like(gamma)
        box = self._box(Enclosure.exact(gamma), Enclosure.exact(shift))
        for _ in range(steps if self.free else 0):
            slope, steep = self._sum(box.by_mean()), self._sum(box.steepness())
            step = slope.middle / steep.middle
            low, high = -box.mean[0].low[:, 0] / 2, box.mean[1].low[:, 0] / 2
            shift = shift + np.clip(step, low, high)[:, None]
            box = self._box(Enclosure.exact(gamma), Enclosure.exact(shift))
            if (np.abs(slope.middle) <= 2 * slope.radius).all():
                break
        return box

    def _points(self, x: FloatArray) -> Points:
        """Compute heights from the anchor's, and slopes with their enclosures as noise."""
        box, (start, start_size) = self._best(x), self._start_height
        height, size = box.heights()
        slope = self._sum(box.by_gamma())
        noise, doubt = 16 * EPS * (size + start_size), np.zeros_like(x)
        if self.free:
            left, steep = self._sum(box.by_mean()).size, self._sum(box.steepness()).low
            noise = noise + left**2 / steep
            doubt = left / steep * self._sum(box.by_gamma_and_mean()).size
        slope = self._from_limit(x, Enclosure(slope.low - doubt, slope.high + doubt))
        return Points(x, self.anchor[1] + (height - start), noise, slope.middle, slope.radius)

    @cached_property
    def _start_height(self) -> tuple[float, float]:
        """The height at the anchor, and the sum of its parts' sizes."""
        height, size = self._best(np.array([self.anchor[0]])).heights()
        return float(height[0]), float(size[0])

    def _from_limit(self, x: FloatArray, slope: Enclosure) -> Enclosure:
        """Narrow slopes near the limit by the exact one there and the second derivatives."""
        near = x * self.latents.trials.max() < _CLOSE
        if not near.any():
            return slope
        box, known = self._range(np.zeros_like(x[near]), x[near])
        near[near] = known
        at_0 = np.array(float(self.limit.slope))
        exact = Enclosure.outward(at_0, at_0)
        other = Enclosure.exact(x[near]) * self._curvature(box) + exact
        both = Enclosure(slope.low[near], slope.high[near]).meet(other)
        low, high = slope.low.copy(), slope.high.copy()
        low[near], high[near] = both.low, both.high
        return Enclosure(low, high)

    def _range(self, low: FloatArray, high: FloatArray) -> tuple[Box, BoolArray]:
        """Enclose the best means on those intervals of gamma that are known to be short enough."""
        gamma, known = Enclosure(low[:, None], high[:, None]), np.ones(low.size, bool)
        shift = self._best((low + high) / 2, steps=2).shift
        box = Box(self.latents, gamma, shift, reference=float(self.latents.trials.max()))
        if self.free:
            steep = self._sum(box.steepness()).low
            reach = self._sum(box.by_mean()).size / np.maximum(steep, 1e-300)
            part = 2 * reach / np.minimum(*(x.low[:, 0] for x in box.mean))
            known, reach = part < 0.4, (reach * (1 + part) ** 2)[:, None]
            shift = Enclosure((shift.low - reach)[known], (shift.high + reach)[known])
            gamma = Enclosure(gamma.low[known], gamma.high[known])
        return self._box(gamma, shift), known

    def _curvature(self, box: Box) -> Enclosure:
        """Bound the second derivative of P."""
        bend = self._sum(box.by_gamma_twice())
        if not self.free:
            return bend
        cross, steep = self._sum(box.by_gamma_and_mean()).size, self._sum(box.steepness()).low
        return Enclosure(bend.low, bend.high + cross**2 / steep * (1 + 8 * EPS))

    def _bounds(self, low: FloatArray, high: FloatArray) -> IntervalBounds:
        box, known = self._range(low, high)
        slope, bend = self._sum(box.by_gamma()), self._curvature(box)
        narrow = (high - low)[known], slope.low, slope.high, bend.high
        if known.all():
            return IntervalBounds(*narrow)
        parts = super()._bounds(low, high)
        for part, values in zip(parts, narrow, strict=True):
            part[known] = values
        return parts

    def refined(self, prior: Beta) -> RefinedMaximum:
        """Find the maximum near a prior, by Newton's method on the slope."""
        x, error = self.x_of(prior), np.inf
        for _ in range(_NEWTON):
            at, box = self.points(np.array([x])), self._best(np.array([x]))
            bend = float(self._curvature(box).high[0])
            if not bend < 0:
                return RefinedMaximum(prior, np.inf, None)
            step, error = -float(at.slope[0]) / bend, -float(at.slope_noise[0]) / bend / x
            moved = min(max(x + step, x / 1000), 2 * x)
            done, x = abs(moved - x) <= max(1e-15, 0.1 * error) * x, moved
            if done:
                break
        box = self._best(np.array([x]))
        m, rest = (float(part.middle[0, 0]) for part in box.mean)
        return RefinedMaximum(Beta(m / x, rest / x), error + 4 * EPS, self._covariance(box, x))

    def _covariance(self, box: Box, x: float) -> tuple[float, float, float]:
        """Invert the information in (m, gamma), and turn it into (logit m, log s)."""
        steep, cross, bend = (
            float(self._sum(terms()).middle[0])
            for terms in (box.steepness, box.by_gamma_and_mean, box.by_gamma_twice)
        )
        m, rest = (float(part.middle[0, 0]) for part in box.mean)
        if not self.free:
            return 0.0, 0.0, -1 / (bend * x * x)
        size = -steep * bend - cross * cross
        scale = 1 / (m * rest)
        return -bend / size * scale**2, -cross / size * scale / x, steep / size / (x * x)


def large_from(sums: FactorialSums, mean: float | None) -> float:
    """Find a + b from which on both concentrations are large, at the best mean or a given one."""
    s = 2 * LARGE * 2.0 ** np.arange(80)
    m, rest = best_mean(sums, 1 / s, 1 / s)
    least = np.minimum(m, rest) if mean is None else min(mean, 1 - mean)
    small = np.flatnonzero(s * least < LARGE)
    return float(s[min(small[-1] + 1, s.size - 1)] if small.size else s[0])
