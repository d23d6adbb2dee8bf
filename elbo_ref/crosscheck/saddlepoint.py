r"""Tail probabilities of a random number, from its cumulants or from draws of it.

The loss of one step is far from normal: where a concentration is small it has a long exponential
tail. But its cumulant generating function K(s) = log E exp(s X) is known, and the saddlepoint
approximation turns that into tail probabilities with a *relative* error of some percent, however
far out x lies (Lugannani & Rice 1980, equation 10; Daniels 1987, section 4): with K'(s) = x,

    P(X > x) ~ 1 - Phi(r) + phi(r) (1/u - 1/r),    r = sign(s) sqrt(2 (s x - K(s))),
                                                   u = s sqrt(K''(s)).

A weighted sum of independent numbers has K(s) = sum_t K_t(w_t s), and so the same. Where
there is no such s, exp(K(s) - s x) at the last one tried is an upper bound (Chernoff); it stands in
as well where the formula gives far less, which happens where the law that s tilts X to is far from
normal; and where it is below any doubt, no better s is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray

_ROUNDS = 100
_NO_DOUBT, _LEAST = -50.0, 0.1
_REACH = 0.7
"""The power of the number of draws that are neighbours."""
_POINT = 1e-6
"""Draws that are closer, in standard deviations, are the same."""
_NEAR = 1e-3
"""Within so many standard deviations of the mean the two terms of the formula cancel."""


class Law(Protocol):
    """How T independent numbers are distributed."""

    @property
    def mean(self) -> FloatArray: ...

    @property
    def variance(self) -> FloatArray: ...

    @property
    def closed(self) -> bool:
        """Whether it rests on a closed form."""

    def outer_tail(self, x: FloatArray) -> FloatArray:
        """The probability to lie farther out than x, on the side of the mean where x is."""

    def log_density(self, x: FloatArray) -> FloatArray:
        """Of each number, approximately."""

    def weighted(self, weights: FloatArray) -> Law:
        """The law of one weighted sum of the numbers."""


def p_values(law: Law, x: FloatArray, allowance: FloatArray) -> FloatArray:
    """Two-sided, of numbers that may be off by an allowance beside."""
    away = x - law.mean
    outside = np.abs(away) > allowance
    near = law.mean + np.sign(away) * np.maximum(np.abs(away) - allowance, 0.0)
    p: FloatArray = np.where(outside, np.minimum(1.0, 2 * law.outer_tail(near)), 1.0)
    return p


class Cumulants(Protocol):
    """K of T numbers, with its first two derivatives, and where it is finite."""

    @property
    def closed(self) -> bool:
        """Whether it is a closed form; a quadrature does not know the very ends of a number."""

    @property
    def low(self) -> FloatArray: ...

    @property
    def high(self) -> FloatArray: ...

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """K, K' and K'' at s, (T,) each."""

    def only(self, rows: NDArray[np.bool_]) -> Cumulants:
        """Of some of the numbers."""


class GammaCumulants(NamedTuple):
    r"""Of numbers known by their first three cumulants: those of a gamma distribution, shifted.

    With t = third/(2 variance) it is K(s) = mean s - variance (log(1 - t s) + t s)/t^2, Pearson's
    type III (1895), a normal distribution's where t = 0. A mean of P numbers has cumulants
    kappa_n/P^(n-1), of which the fourth is off by O(1/P^3).

    Attributes
    ----------
    mean, variance, third : array, (T,)
    """

    mean: FloatArray
    variance: FloatArray
    third: FloatArray

    @property
    def closed(self) -> bool:
        return False

    @property
    def _rate(self) -> FloatArray:
        return np.asarray(self.third / (2 * np.maximum(self.variance, 1e-300)))

    @property
    def low(self) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.where(self._rate < 0, 1 / self._rate, -np.inf)

    @property
    def high(self) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.where(self._rate > 0, 1 / self._rate, np.inf)

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        x = self._rate * s
        small = np.abs(x) < 1e-4
        far = np.where(small, 0.5, np.minimum(x, 1 - 1e-16))
        form = np.where(small, 0.5 + x / 3 + x * x / 4, -(np.log1p(-far) + far) / far**2)
        left = np.maximum(1 - x, 1e-16)
        return (
            self.mean * s + self.variance * s * s * form,
            self.mean + self.variance * s / left,
            self.variance / left**2,
        )

    def only(self, rows: NDArray[np.bool_]) -> GammaCumulants:
        return GammaCumulants(*(x[rows] for x in self))


class SaddlepointLaw:
    """A law by its cumulants."""

    def __init__(self, cumulants: Cumulants) -> None:
        self.cumulants = cumulants
        self.closed = cumulants.closed
        _, self.mean, self.variance = cumulants.at(np.zeros_like(cumulants.low))

    def weighted(self, weights: FloatArray) -> SaddlepointLaw:
        return SaddlepointLaw(_Weighted(self.cumulants, weights))

    def log_density(self, x: FloatArray) -> FloatArray:
        """Daniels 1954, equation 2.6."""
        with np.errstate(all="ignore"):
            s, (k, _, curvature) = self._saddle(x)
            away = np.sqrt(np.maximum(2 * (s * x - k), 0.0))
        return normal_log_density(away, curvature)

    def outer_tail(self, x: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):  # beyond the end of what X can be, s goes to infinity
            return self._outer_tail(x)

    def _outer_tail(self, x: FloatArray) -> FloatArray:
        s, (k, slope, curvature) = self._saddle(x)
        std = np.sqrt(np.maximum(self.variance, 0.0))
        r = np.sqrt(np.maximum(2 * (s * x - k), 0.0))
        u = np.abs(s) * np.sqrt(np.maximum(curvature, 0.0))
        bound = np.exp(-r * r / 2)
        near = np.abs(x - self.mean) <= _NEAR * std
        reached = np.abs(slope - x) <= 1e-3 * np.abs(x - self.mean)
        tail = sc.ndtr(-r) + bound / np.sqrt(2 * np.pi) * (1 / u - 1 / r)
        tail = np.where(reached & (tail > _LEAST * bound / (1 + r)), tail, bound)
        found: FloatArray = np.where(near, 0.5, np.clip(tail, 0.0, 0.5))
        return found

    def _saddle(self, x: FloatArray) -> tuple[FloatArray, tuple[FloatArray, ...]]:
        """s with K'(s) = x; where there is none, as far as it goes."""
        std = np.sqrt(np.maximum(self.variance, 1e-300))
        close = 1e-6 * np.maximum(np.abs(x - self.mean), 1e-6 * std)
        up = x > self.mean
        inner = np.zeros_like(std)
        outer = np.where(up, self.cumulants.high, self.cumulants.low)
        s = inner + (x - self.mean) / std**2
        found, tried = np.zeros((3, s.size)), s
        cumulants, left = self.cumulants, np.ones(s.size, bool)
        for _ in range(_ROUNDS):
            inside = (np.minimum(inner, outer) < s) & (s < np.maximum(inner, outer))
            s = np.where(inside | ~left, s, _farther(inner, outer, std))
            found[:, left], tried = cumulants.at(s[left]), s
            off = x - found[1]
            hopeless = found[0] - s * x < _NO_DOUBT
            going = left & ~(np.abs(off) <= close) & ~hopeless
            if not going.any():
                break
            if not np.array_equal(going, left):
                cumulants, left = cumulants.only(going[left]), going
            short = np.where(up, off > 0, off < 0)
            inner, outer = np.where(short, s, inner), np.where(short, outer, s)
            s = np.where(left, s + off / np.maximum(found[2], 1e-300), s)
        return tried, tuple(found)


def _farther(inner: FloatArray, outer: FloatArray, std: FloatArray) -> FloatArray:
    """Half of the way to the end of a bracket, or twice as far if it has none."""
    open_ended = 2 * inner + np.sign(outer) / std
    farther: FloatArray = np.where(np.isfinite(outer), (inner + outer) / 2, open_ended)
    return farther


class _Weighted(NamedTuple):
    cumulants: Cumulants
    weights: FloatArray

    @property
    def closed(self) -> bool:
        return self.cumulants.closed

    @property
    def low(self) -> FloatArray:
        ends = self._ends()
        return np.array([ends[ends < 0].max(initial=-np.inf)])

    @property
    def high(self) -> FloatArray:
        ends = self._ends()
        return np.array([ends[ends > 0].min(initial=np.inf)])

    def _ends(self) -> FloatArray:
        moving = self.weights != 0
        ends = np.concatenate([self.cumulants.low[moving], self.cumulants.high[moving]])
        scaled: FloatArray = ends / np.tile(self.weights[moving], 2)
        return scaled

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        w = self.weights
        k, slope, curvature = self.cumulants.at(s * w)
        return k.sum(keepdims=True), (w @ slope)[None], (w**2 @ curvature)[None]

    def only(self, rows: NDArray[np.bool_]) -> _Weighted:
        return self


class SampledLaw:
    """A law by independent draws of each number, (T, M); exponential beyond the last of them."""

    def __init__(self, draws: FloatArray) -> None:
        self._draws = np.sort(draws, axis=1)
        self.mean, self.variance = draws.mean(axis=1), draws.var(axis=1)
        self._unsorted, self.closed = draws, False

    def log_density(self, x: FloatArray) -> FloatArray:
        """By how close neighbouring draws are (Loftsgaarden & Quesenberry 1965).

        n gaps around a number that is drawn as they are make log(gap) ~ psi(n + 1) - log(density).
        """
        size, found = self._draws.shape[1], np.empty(len(x))
        most = int(size**_REACH / 2)
        for t, (row, away, beyond, tail) in enumerate(self._outward(x)):
            if beyond < tail.draws:
                found[t] = np.log(tail.draws / size / tail.scale) - away / tail.scale
            else:
                place = size - beyond
                reach = min(most, 1 + beyond // 4, place)
                apart = max(row[place + reach] - row[place - reach], tail.least)
                found[t] = sc.psi(2 * reach + 1) - np.log(size * apart)
        return found

    def weighted(self, weights: FloatArray) -> SampledLaw:
        return SampledLaw((weights @ self._unsorted)[None])

    def outer_tail(self, x: FloatArray) -> FloatArray:
        size, found = self._draws.shape[1], np.empty(len(x))
        for t, (_, away, beyond, tail) in enumerate(self._outward(x)):
            known = beyond >= tail.draws
            found[t] = (beyond if known else tail.draws * np.exp(-away / tail.scale)) / size
        return found

    def _outward(self, x: FloatArray) -> Iterator[tuple[FloatArray, float, int, _Tail]]:
        """For each number its draws, both reflected where it lies below their mean; how far it lies
        beyond where the tail begins, and how many draws do; and the tail."""
        size = self._draws.shape[1]
        count = int(np.clip(size // 100, 5, 50))
        std = np.sqrt(self.variance)
        for row, value, mean, spread in zip(self._draws, x, self.mean, std, strict=True):
            if value < mean:
                row, value = -row[::-1], -value
            begin, least = float(row[-count - 1]), _POINT * float(spread) + 1e-150
            scale = max(float(np.mean(row[-count:])) - begin, least)
            beyond = size - int(np.searchsorted(row, value, "left"))
            yield row, value - begin, beyond, _Tail(count, scale, least)


class _Tail(NamedTuple):
    """The farthest draws, and how fast they thin out."""

    draws: int
    scale: float
    least: float
    """Draws that are closer are one."""


def normal_log_density(standardized: FloatArray, variance: FloatArray) -> FloatArray:
    """Of a normal number; also the form of the saddlepoint's."""
    found: FloatArray = -(standardized**2 + np.log(2 * np.pi * np.maximum(variance, 1e-300))) / 2
    return found
