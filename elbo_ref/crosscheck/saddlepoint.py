r"""Tail probabilities of random numbers, from their cumulants or from draws of them.

The loss of one step is far from normal: where a concentration is small it has a long exponential
tail. But its cumulant generating function K(s) = log E exp(s X) is known, and the saddlepoint
approximation turns that into tail probabilities with a *relative* error of some percent, however
far out x lies (Lugannani & Rice 1980, equation 10; Daniels 1987, section 4): with K'(s) = x,

    P(X > x) ~ 1 - Phi(r) + phi(r) (1/u - 1/r),    r = sign(s) sqrt(2 (s x - K(s))),
                                                   u = s sqrt(K''(s)).

A weighted sum of independent numbers has K(s) = sum_t K_t(w_t s), and so the same. Where
there is no such s, exp(K(s) - s x) at the last one tried is an upper bound (Chernoff); it stands in
as well where the formula gives far less, which happens where the distribution that s tilts X to is
far from normal; and where it is below any doubt, no better s is looked for.

The density of the same order, exp(K(s) - s x)/sqrt(2 pi K''(s)), does not integrate to one: that of
a Gamma(1/2), which a loss near the posterior is like, to 1.166. Divided by its integral it is exact
for gamma and normal distributions, and nearly so for others (Daniels 1980).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.crosscheck.cumulants import Cumulants, Weighted

if TYPE_CHECKING:
    from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants

_ROUNDS = 100
_CLOSE = 1e-6
"""Of the way from the mean to x, and of s: where Newton's method ends."""
_NO_DOUBT = -50.0
"""Logarithm of a tail probability below which no better bound is looked for."""
_LEAST = 0.1
"""Part of Chernoff's bound, over 1 + r, below which the formula is not believed."""
_NEAR = 1e-3
"""Distance from the mean, in standard deviations, within which the formula's terms cancel."""
_REACH = 0.5
"""Power of the number of draws that are neighbours."""
_MOST, _SUMMED = 4_000_000, 1000
"""Draws of numbers that share them in a weighted sum: of all, and of the sum at least."""
_STRIDE, _FARTHEST = 0.6, 12.0
"""Step of the quadrature over s, and the end of its nodes."""
_LEFT_OUT = 1e-5
"""Terms of that quadrature that count no more."""
_STEEP = 300.0
"""Largest logarithm of a power there."""
_POINT = 1e-6
"""Distance, in standard deviations, within which draws are the same."""


class LossDistribution(Protocol):
    """Distribution of T independent numbers."""

    @property
    def mean(self) -> FloatArray:
        """Mean of each loss, (T,)."""

    @property
    def variance(self) -> FloatArray:
        """Variance of each loss, (T,)."""

    @property
    def closed(self) -> bool:
        """True if it rests on a closed form."""

    def outer_tail(self, x: FloatArray) -> FloatArray:
        """Probability of lying farther out than x, on the side of the mean where x is."""

    def log_density(self, x: FloatArray) -> FloatArray:
        """Log density of each number, approximately."""

    def weighted(self, weights: FloatArray) -> LossDistribution:
        """Distribution of one weighted sum of the numbers."""


def p_values(distribution: LossDistribution, x: FloatArray, allowance: FloatArray) -> FloatArray:
    """Two-sided p-values of numbers that may be off by an allowance as well."""
    away = x - distribution.mean
    outside = np.abs(away) > allowance
    near = distribution.mean + np.sign(away) * np.maximum(np.abs(away) - allowance, 0.0)
    tail = distribution.outer_tail(near)
    return np.where(outside, np.minimum(1.0, 2 * tail), 1.0)


def normal_log_density(standardized: FloatArray, variance: FloatArray) -> FloatArray:
    """Log density of normal numbers; also the form of the saddlepoint's."""
    variance = np.maximum(variance, 1e-300)
    return np.asarray(-(standardized**2 + np.log(2 * np.pi * variance)) / 2)


class SaddlepointDistribution:
    """Distribution of numbers by their cumulants; numbers of one `law` are distributed alike."""

    def __init__(self, cumulants: Cumulants, law: IntArray | None = None) -> None:
        self.cumulants, self._law = cumulants, law
        self.closed = cumulants.closed
        self._low, self._high = cumulants.domain
        _, self.mean, self.variance = cumulants.at(np.zeros_like(self._low))

    def weighted(self, weights: FloatArray) -> SaddlepointDistribution:
        """Distribution of one weighted sum of the numbers."""
        return SaddlepointDistribution(Weighted(self.cumulants, weights))

    def log_density(self, x: FloatArray) -> FloatArray:
        """Log density of each number (Daniels 1954, equations 2.6 and 4.5)."""
        with np.errstate(all="ignore"):
            s, (k, _, curvature) = self._saddle(x)
            r = np.sqrt(np.maximum(2 * (s * x - k), 0.0))
            return normal_log_density(r, curvature) - self._log_mass

    @cached_property
    def _log_mass(self) -> FloatArray:
        """Log integral of each number's density before it is divided by that."""
        size = len(self.mean)
        law = np.arange(size) if self._law is None else self._law
        _, first, law = np.unique(law, return_index=True, return_inverse=True)
        chosen = np.zeros(size, bool)
        chosen[first] = True
        order = np.argsort(np.argsort(first))
        return _log_mass(self.cumulants, chosen, np.sqrt(self.variance[chosen]))[order][law]

    def outer_tail(self, x: FloatArray) -> FloatArray:
        """Probability of lying farther out than x, on the side of the mean where x is."""
        with np.errstate(all="ignore"):  # beyond the end of what X can be, s goes to infinity
            s, (k, slope, curvature) = self._saddle(x)
            std = np.sqrt(np.maximum(self.variance, 0.0))
            r = np.sqrt(np.maximum(2 * (s * x - k), 0.0))
            u = np.abs(s) * np.sqrt(np.maximum(curvature, 0.0))
            bound = np.exp(-r * r / 2)
            reached = np.abs(slope - x) <= 1e-3 * np.abs(x - self.mean)
            tail = sc.ndtr(-r) + bound / np.sqrt(2 * np.pi) * (1 / u - 1 / r)
            tail = np.where(reached & (tail > _LEAST * bound / (1 + r)), tail, bound)
            near = np.abs(x - self.mean) <= _NEAR * std
            return np.where(near, 0.5, np.clip(tail, 0.0, 1.0))

    def _saddle(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Solve K'(s) = x by Newton within a bracket; return s and K, K', K'' there.

        Where there is no such s, one close to the end of the domain.
        """
        std = np.sqrt(np.maximum(self.variance, 1e-300))
        close = _CLOSE * np.maximum(np.abs(x - self.mean), 1e-6 * std)
        up = x > self.mean
        inner, outer = np.zeros_like(std), np.where(up, self._high, self._low)
        s = (x - self.mean) / std**2
        values, tried = np.zeros((3, s.size)), s
        left = np.ones(s.size, bool)
        for _ in range(_ROUNDS):
            inside = (np.minimum(inner, outer) < s) & (s < np.maximum(inner, outer))
            s = np.where(inside | ~left, s, _farther(inner, outer, std))
            values[:, left], tried = self.cumulants.at(s[left], left), s
            off = x - values[1]
            hopeless = values[0] - s * x < _NO_DOUBT
            short = np.where(up, off > 0, off < 0)
            inner, outer = np.where(short, s, inner), np.where(short, outer, s)
            found = (np.abs(off) <= close) | (np.abs(outer - inner) < _CLOSE * np.abs(inner))
            left = left & ~found & ~hopeless
            if not left.any():
                break
            s = np.where(left, s + off / np.maximum(values[2], 1e-300), s)
        return tried, values


def _farther(inner: FloatArray, outer: FloatArray, std: FloatArray) -> FloatArray:
    """Most of the way to the end of a bracket, or twice as far if it has none."""
    open_ended = 2 * inner + np.sign(outer) / std
    return np.where(np.isfinite(outer), inner + 0.9 * (outer - inner), open_ended)


def _log_mass(cumulants: Cumulants, rows: NDArray[np.bool_], std: FloatArray) -> FloatArray:
    r"""Log integral of the saddlepoint density of the numbers that are chosen.

    With x = K'(s) it is that of sqrt(K''(s)/(2 pi)) exp(K(s) - s K'(s)) over s, whose logarithm
    falls to either side. A trapezoidal rule in w, with

        s = (e^(rw) - 1)/(p e^(rw) + q),    r = p + q,    p, -q the inverses of the ends of s,

    converges exponentially: for a gamma distribution w is its variance-stabilising coordinate.
    """
    low, high = cumulants.domain[:, rows] * std
    p, q, places = 1 / high, -1 / low, np.flatnonzero(rows)
    total = np.ones(std.size)
    for sign in (1, -1):
        left, depth = np.flatnonzero(std > 0), np.zeros(std.size)
        for x in sign * np.arange(_STRIDE, _FARTHEST, _STRIDE):
            chosen = np.zeros_like(rows)
            chosen[places[left]] = True
            s, slope = _towards_ends(2 * np.sinh(x / 2), p[left], q[left])
            k, mean, curvature = cumulants.at(s / std[left], chosen)
            before, depth[left] = depth[left], s / std[left] * mean - k
            term = np.sqrt(np.maximum(curvature, 0.0)) / std[left] * slope * np.cosh(x / 2)
            term = term * np.exp(-depth[left])
            sound = np.isfinite(term) & (depth[left] > before)
            total[left] += np.where(sound, term, 0.0)
            left = left[sound & (term > _LEFT_OUT)]
            if not left.size:
                break
    return np.where(std > 0, np.log(total * _STRIDE / np.sqrt(2 * np.pi)), 0.0)


def _towards_ends(w: float, p: FloatArray, q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (e^(rw) - 1)/(p e^(rw) + q), r = p + q, and its derivative with respect to w."""
    power = np.clip((p + q) * w, -_STEEP, _STEEP)
    top = w * sc.exprel(power)
    return top / (1 + p * top), np.exp(power) / (1 + p * top) ** 2


class _Tail(NamedTuple):
    """The farthest draws, an exponential beyond where they begin."""

    draws: int
    scale: float
    least: float
    """Distance within which draws are the same."""


class SampledDistribution:
    """Distribution of numbers by independent draws, exponential beyond them.

    Numbers that are distributed alike may share a row of draws, (U, M): `rows` has that of each.
    Their density may be that of a mixture of gamma distributions, cumulants (number of parts, T),
    which has no such noise as the distance of neighbouring draws.
    """

    closed = False

    def __init__(
        self,
        draws: FloatArray,
        rows: IntArray | None = None,
        parts: GammaCumulants | None = None,
    ) -> None:
        self._parts = parts
        self._unsorted, self._draws = draws, np.sort(draws, axis=1)
        self._rows = np.arange(len(draws)) if rows is None else rows
        self.mean, self.variance = draws.mean(axis=1)[self._rows], draws.var(axis=1)[self._rows]

    def weighted(self, weights: FloatArray) -> SampledDistribution:
        """Distribution of one weighted sum of the numbers; those that share draws are shifted."""
        if len(self._rows) == len(self._unsorted):
            return SampledDistribution((weights @ self._unsorted)[None])
        draws = self._unsorted[:, : max(_MOST // len(weights), len(weights), _SUMMED)]
        apart = max(1, draws.shape[1] // len(weights))
        total = np.zeros(draws.shape[1])
        for t, (weight, row) in enumerate(zip(weights, self._rows, strict=True)):
            total += weight * np.roll(draws[row], t * apart)
        return SampledDistribution(total[None])

    def uniform(self, x: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Rank of each number among its draws, a uniform number whatever the distribution."""
        size = self._draws.shape[1]
        below = [
            np.searchsorted(self._draws[row], value)
            for row, value in zip(self._rows, x, strict=True)
        ]
        return np.asarray((below + rng.random(len(x))) / (size + 1))

    def log_density(self, x: FloatArray) -> FloatArray:
        """Log density of each number, by the distance of neighbouring draws.

        n gaps around a number that is drawn as they are make log(gap) ~ psi(n + 1) - log(density)
        (Loftsgaarden & Quesenberry 1965).
        """
        if self._parts is not None:
            each = self._parts.log_density(x)
            return np.asarray(sc.logsumexp(each, axis=0) - np.log(len(each)))
        size, densities = self._draws.shape[1], np.empty(len(x))
        most = int(size**_REACH / 2)
        for t, (draws, away, beyond, tail) in enumerate(self._outward(x)):
            if beyond < tail.draws:
                densities[t] = np.log(tail.draws / size / tail.scale) - away / tail.scale
            else:
                rank = size - beyond
                reach = min(most, 1 + beyond // 4, rank)
                apart = max(draws[rank + reach] - draws[rank - reach], tail.least)
                densities[t] = sc.psi(2 * reach + 1) - np.log(size * apart)
        return densities

    def outer_tail(self, x: FloatArray) -> FloatArray:
        """Probability of lying farther out than x, on the side of the mean where x is."""
        size, tails = self._draws.shape[1], np.empty(len(x))
        for t, (_, away, beyond, tail) in enumerate(self._outward(x)):
            known = beyond >= tail.draws
            tails[t] = (beyond if known else tail.draws * np.exp(-away / tail.scale)) / size
        return tails

    def _outward(self, x: FloatArray) -> Iterator[tuple[FloatArray, float, int, _Tail]]:
        """Each number's draws, its distance from the tail, the draws beyond it, and the tail.

        A number below the mean of its draws is reflected, and so are they.
        """
        size = self._draws.shape[1]
        count = int(np.clip(size // 100, 5, 50))
        std = np.sqrt(self.variance)
        for row, value, mean, spread in zip(self._rows, x, self.mean, std, strict=True):
            draws = self._draws[row]
            if value < mean:
                draws, value = -draws[::-1], -value
            begin, least = float(draws[-count - 1]), _POINT * float(spread) + 1e-150
            scale = max(float(np.mean(draws[-count:])) - begin, least)
            beyond = size - int(np.searchsorted(draws, value, "left"))
            yield draws, value - begin, beyond, _Tail(count, scale, least)
