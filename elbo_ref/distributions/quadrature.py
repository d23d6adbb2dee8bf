r"""Quadrature over the logit y of one draw, of a Beta or of a normal, for whole arrays of them.

The integrands are functions of the draw in which c = sigma(y) has its structure: log c,
log(1 - c), pathwise derivatives and their products. They vary at the scale 1 where both c and 1 - c
count, and are *polynomials* in y, but for e^-k, at a distance k from there. So the line is cut into
that zone and two tails:

* **The zone.** A trapezoidal rule of n steps h. It converges exponentially: to e^(-pi^2/h) where
  the density is like that of the logarithm of a gamma draw, e^(ay) exp(-e^y), and faster elsewhere.
  With k = pi (n/2)^(1/2) that is e^-k, as well. An end of the zone need not be one of the density:
  the last weights are corrected for that, as the integrand is smooth there.
* **The tails of a Beta,** e^(ay) and e^(-by), are the weights of Gauss-Laguerre rules, which are
  exact for polynomials, however long the tail.
* **The tails of a normal** are polynomials times its density: Gauss-Legendre in z.

A function of two draws that bends where they meet, like the absolute difference of two linear
forms, is no polynomial anywhere. For it a trapezoidal rule is even all along: of a normal in z, of
a Beta in a t that is y in the zone and about its logarithm in the tails. Its error falls with h^2.

The log density of a Beta's logit less that at the mode is, with p = a/(a + b) <= 1/2, the distance
d from the mode, and the mirror image for p > 1/2,

    a d - (a + b) log(1 + p (e^d - 1)),

where nothing of the size of the concentrations cancels but for their square root.

Sources: L. N. Trefethen & J. A. C. Weideman, "The exponentially convergent trapezoidal rule", SIAM
Review 56 (2014) 385; for the corrected weights, from the zeta function at the negative integers,
I. Navot, J. Math. and Phys. 40 (1961) 271.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray

_ORDER = 8
"""The number of weights that are corrected at an end."""
_FAR = 700.0
"""Beyond it the exponential is near the largest float."""
_NEAR = 0.005
"""Up to it from the mode the log density is a sum over six cumulants, right to 1e-15."""
_EVEN_REACH = 40.0
_BEYOND = 4.0
"""So much farther than its density demands a normal is followed."""


class Rule(NamedTuple):
    """Nodes of logits, (nodes, ...), and their log weights; the weights of a draw add to 1."""

    center: FloatArray
    """The mode of the logit, (...)."""
    away: FloatArray
    """The distance of each node from the mode, exactly."""
    log_weights: FloatArray

    @property
    def logit(self) -> FloatArray:
        """The logits log c - log(1 - c)."""
        return self.center + self.away

    def log_ratios(self) -> tuple[FloatArray, FloatArray]:
        """Return log c and log(1 - c) less their values at the center, exact near it."""
        return _log_ratio(self.center, self.away), _log_ratio(-self.center, -self.away)


class _Fixed(NamedTuple):
    """The part that all rules of n steps share."""

    steps: int
    reach: float
    """k."""
    zone: FloatArray
    """On [0, 1]."""
    log_ends: tuple[FloatArray, FloatArray]
    """Corrections of the weights near 0 and near 1."""
    laguerre: FloatArray
    log_laguerre: FloatArray
    """Without e^-x."""
    legendre: FloatArray
    """On [0, 1]."""
    log_legendre: FloatArray

    def thinned(self, every: int) -> _Fixed:
        """Leave each so manieth node of the zone."""
        ends = tuple(x[::every] for x in self.log_ends)
        return self._replace(zone=self.zone[::every], log_ends=(ends[0], ends[1]))

    def log_zone(self, length: FloatArray, *slopes: FloatArray) -> FloatArray:
        """Return log weights on a zone, given the slopes of the log density at its two ends.

        A density that is steep there is as good as zero at the end, and needs no correction.
        """
        log_weights = _log(length / self.steps)
        for log_end, slope in zip(self.log_ends, slopes, strict=True):
            log_weights = log_weights + log_end * (np.abs(slope) * length <= self.steps)
        return log_weights

    def panel(
        self, low: FloatArray | float, high: FloatArray | float
    ) -> tuple[FloatArray, FloatArray]:
        """Return nodes and log weights of a Gauss-Legendre rule; no weight where it is empty."""
        length = np.asarray(high - low)
        return low + length * self.legendre, self.log_legendre + _log(length)


@functools.cache
def _fixed(steps: int, ndim: int) -> _Fixed:
    """Make nodes and log weights, with so many axes after the first."""
    order = np.arange(_ORDER)
    sums = sc.bernoulli(_ORDER)[1:] / (order + 1)
    end = np.zeros(steps + 1)
    end[:_ORDER] = np.log1p(np.linalg.solve(np.vander(order, increasing=True).T, sums))
    x, by_x = np.polynomial.laguerre.laggauss(3 + steps // 32)
    t, by_t = np.polynomial.legendre.leggauss(16 + steps // 4)
    zone = np.linspace(0, 1, steps + 1)
    zone, end, other, x, log_x, t, log_t = (
        row.reshape(-1, *(1,) * ndim)
        for row in (zone, end, end[::-1], x, np.log(by_x) + x, (1 + t) / 2, np.log(by_t / 2))
    )
    reach = float(np.pi * np.sqrt(steps / 2))
    return _Fixed(steps, reach, zone, (end, other), x, log_x, t, log_t)


def over_beta(
    a: FloatArray, b: FloatArray, steps: int, inner: tuple[float, float] | None = None
) -> Rule:
    """Make a rule for Beta(a, b), arrays of one shape.

    For a function that is constant outside of `inner` and may have kinks inside, Gauss-Legendre
    rules serve between the zone and its ends.
    """
    fixed, mirrored = _fixed(steps, a.ndim), a > b
    small, large = np.minimum(a, b), np.maximum(a, b)
    s, mode, _, low, high, _ = _span(small, large, fixed.reach)
    parts = [
        (low + (high - low) * fixed.zone, fixed.log_zone(high - low, *_slopes(small, s, low, high)))
    ]
    if inner is not None:
        first, last = inner
        outer = np.minimum(low, np.where(mirrored, -last, first) - mode)
        parts.append(fixed.panel(outer, low))
        low, outer = outer, np.maximum(high, np.where(mirrored, -first, last) - mode)
        parts.append(fixed.panel(high, outer))
        high = outer
    for end, rate in ((low, -small), (high, large)):
        parts.append((end + fixed.laguerre / rate, fixed.log_laguerre - np.log(np.abs(rate))))
    away, by_length = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return _of_small(mirrored, mode, away, by_length + _log_density(small, s, away))


def over_normal(loc: FloatArray, scale: FloatArray, steps: int, every: int = 1) -> Rule:
    """Make a rule for a normal logit, arrays of one shape; of its zone each so manieth node."""
    fixed = _fixed(steps, loc.ndim).thinned(every)
    reach = np.sqrt(2 * fixed.reach) + _BEYOND
    low, high = (np.clip((k - loc) / scale, -reach, reach) for k in (-fixed.reach, fixed.reach))
    parts = [(low + (high - low) * fixed.zone, fixed.log_zone(high - low, low, high))]
    parts += [fixed.panel(-reach, low)] if np.any(low > -reach) else []
    parts += [fixed.panel(high, reach)] if np.any(high < reach) else []
    z, by_length = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return Rule(loc, scale * z, _normalized(by_length - z * z / 2))


def even_over_beta(a: FloatArray, b: FloatArray, steps: int) -> Rule:
    """Make a trapezoidal rule all along, for functions of two draws; arrays of one shape."""
    small, large = np.minimum(a, b), np.maximum(a, b)
    s, mode, left, low, high, right = _span(small, large, _EVEN_REACH)
    half, unit = (high - low) / 2, (high - low) / 8
    start = -half - unit * np.log1p((low - left) / unit)
    length = half + unit * np.log1p((right - high) / unit) - start
    t = start + length * np.linspace(0, 1, steps + 1).reshape(-1, *(1,) * s.ndim)
    up, down = np.exp((t - half) / unit), np.exp(-(t + half) / unit)
    away = low + half + t + unit * (up - down)
    return _of_small(a > b, mode, away, _log_density(small, s, away) + np.log1p(up + down))


def even_over_normal(loc: FloatArray, scale: FloatArray, steps: int) -> Rule:
    """Make the same for a normal logit."""
    z = np.linspace(-9.0, 9.0, steps + 1).reshape(-1, *(1,) * loc.ndim)
    return Rule(loc, scale * z, _normalized(-z * z / 2 + np.zeros_like(loc)))


class _Span(NamedTuple):
    """Place of a Beta with concentrations small <= large; the last four from its mode."""

    s: FloatArray
    mode: FloatArray
    left: FloatArray
    low: FloatArray
    """The lower end of the zone, inside the support."""
    high: FloatArray
    right: FloatArray


def _span(small: FloatArray, large: FloatArray, reach: float) -> _Span:
    """Find the zone where both c and 1 - c count, with so much reach, and the support."""
    s, mode = small + large, np.log(small) - np.log(large)
    left, right = _support(small, large, reach)
    low = np.maximum(np.log1p(small) - np.log1p(s) - mode - reach, left)
    high = np.minimum(np.log1p(s) - np.log1p(large) - mode + reach, right)
    return _Span(s, mode, left, low, high, right)


def _of_small(
    mirrored: BoolArray, mode: FloatArray, away: FloatArray, log_weights: FloatArray
) -> Rule:
    """Make a rule from one for concentrations small <= large, mirrored where they were not."""
    sign = np.where(mirrored, -1.0, 1.0)
    return Rule(sign * mode, sign * away, _normalized(log_weights))


def _log_density(small: FloatArray, s: FloatArray, d: FloatArray) -> FloatArray:
    """Return the log density at a distance from the mode, less that at the mode.

    Near the mode it is a sum over the cumulants of a Bernoulli(p), which does not cancel.
    """
    near = np.minimum(d, _FAR)
    away = small * d - s * (np.log1p(small / s * np.expm1(near)) + (d - near))
    p, q = small / s, (s - small) / s
    variance, x = p * q, np.clip(d, -_NEAR, _NEAR)
    fifth, sixth = (q - p) * (1 - 12 * variance), 1 - 30 * variance + 120 * variance**2
    series = 1 + x / 3 * (q - p + x / 4 * (1 - 6 * variance + x / 5 * (fifth + x / 6 * sixth)))
    return np.where(x == d, -s * variance * x * x / 2 * series, away)


def _support(small: FloatArray, large: FloatArray, drop: float) -> tuple[FloatArray, FloatArray]:
    """Find where the log density is `drop` below that at the mode, or a little farther out.

    By Newton's method, which overshoots a concave function, from ends that are about right.
    """
    s, most = small + large, drop / small
    p = small / s
    rise = p * (most + np.sqrt(2 * most))
    left = -most - np.sqrt(2 * most * (s / large))
    right = rise + np.log((p * np.exp(-rise) - np.expm1(-rise)) / p)
    for _ in range(2):
        left, right = (
            d - (_log_density(small, s, d) + drop) / slope
            for d, slope in zip((left, right), _slopes(small, s, left, right), strict=True)
        )
    return left, right


def _slopes(small: FloatArray, s: FloatArray, *distances: FloatArray) -> Iterator[FloatArray]:
    """Differentiate the log density at distances from the mode."""
    for d in distances:
        excess = np.expm1(np.minimum(d, _FAR))
        yield -small * excess * ((s - small) / (s + small * excess))


def _log_ratio(center: FloatArray, away: FloatArray) -> FloatArray:
    """Return log sigma(center + away) - log sigma(center); log sigma(y) = min(y, 0) - g(y)."""
    y = center + away
    ramp = np.where(center < 0, np.minimum(away, -center), np.minimum(y, 0.0))
    far = ramp + np.log1p(np.exp(-np.abs(center))) - np.log1p(np.exp(-np.abs(y)))
    near = np.clip(away, -1.0, 1.0)
    small = -np.log1p(sc.expit(-center) * np.expm1(-near))
    return np.where(near == away, small, far)


def _log(length: FloatArray) -> FloatArray:
    """Return the logarithm, minus infinity for what is empty."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(length))


def _normalized(log_weights: FloatArray) -> FloatArray:
    """Divide weights, of which the largest is near 1, by their sum."""
    return np.asarray(log_weights - np.log(np.exp(log_weights).sum(axis=0)))


def mean_square(weights: FloatArray, values: FloatArray) -> FloatArray:
    """Return the weighted mean of squares along the first axis; inf beyond the largest float.

    It is formed of numbers below 1, so that no square overflows on the way.
    """
    exponent = np.frexp(np.abs(values).max(axis=0, initial=0.0))[1]
    scaled = (weights * np.ldexp(values, -exponent) ** 2).sum(axis=0)
    with np.errstate(over="ignore"):
        return np.asarray(np.ldexp(scaled, 2 * exponent))
