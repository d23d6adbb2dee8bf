"""Two unknown probabilities compared: two latents, or the means of two groups' priors.

For d >= 0, with F the distribution function of Y and f the density of X,

    P(X - Y > d) = int_d^1 f(c) F(c - d) dc.

On the scale of w = logit[(c - d)/(1 - d)] nothing ends and the integrand is smooth with one peak
and exponential tails, as a normal density is after w = w0 + h sinh t; the trapezoidal rule
converges geometrically. Given the prior two latents of one group are independent Betas; the prior
is what they share, and the whole is the sum over its nodes. Of two groups each is averaged first,
and its density and distribution function are put into tables.

Since X - Y = (1 - Y) - (1 - X), the roles may be exchanged, so that f is the narrower of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._format.numbers import number
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.estimates.mixture import LatentMixture, Point
from elbo_ref.special import root

_STEP, _FINE_STEP = 0.2, 0.1
"""Of t, for a sum over nodes and for one pair alone."""
_STRETCH, _WIDE = 3.0, 1.5
"""h in standard deviations of the integrand, and at most."""
_DEEP = 23.0
"""Nats below the peak that nodes reach."""
_SCAN = np.sinh(np.linspace(-5.0, 5.0, 15))
_FINE = 0.5
"""Curvature times the square of a distance, of at most 1, at which a peak is known."""
_HIGH = 5.0
_MOST_ZOOMS = 40
_AS_WIDE = 4.0
"""Ratio of variances up to which the density of either is as good, to some 1e-8."""
_PARTS = 8
"""Of the rows, each with points of its own number."""
_LEAST, _NOTHING = -1e30, -60.0
"""Stands for the logarithm of 0, and the logarithm of what does not count."""


@dataclass(frozen=True)
class Difference(Tabular):
    """The difference of two latents' success probabilities, c1 - c2, or of two prior means.

    Attributes
    ----------
    label1, label2 : Hashable
    mean, lower, upper : float
        The posterior mean and the equal-tailed interval of the difference.
    probability : float
        That the first is above the second.
    level : float
        The coverage of the interval.
    groups : bool
        True if two prior means are compared.
    """

    label1: Any
    label2: Any
    mean: float
    lower: float
    upper: float
    probability: float
    level: float = 0.95
    groups: bool = False

    def table(self) -> Table:
        """Lay out the one row."""
        columns = [
            Column([getattr(self, name)], name, heading, left="label" in name)
            for name, heading in _HEADINGS.items()
        ]
        return Table(columns, key=2)

    def blocks(self) -> Sequence[Block]:
        """Return the difference with its interval, and the probability of its sign."""
        values = self.mean, self.lower, self.upper, self.probability
        mean, low, high, share = (number(x) if x == x else "open" for x in values)
        one, other = str(self.label1), str(self.label2)
        return [{f"{one} - {other}": f"{mean} ({low} to {high})", f"P({one} > {other})": share}]


_HEADINGS = {"label1": "first", "label2": "second", "mean": "difference"}
_HEADINGS |= {"lower": "from", "upper": "to", "probability": "P(first > second)"}


class Side(Protocol):
    """A distribution on (0, 1), or one for each of R nodes."""

    @property
    def latent(self) -> LatentMixture:
        """The posterior that it is of."""

    @property
    def weight(self) -> FloatArray:
        """The weights of the nodes, shape (R,), of sum 1."""

    @property
    def logit(self) -> FloatArray:
        """A logit of c where the distributions have much of their mass, shape (R,)."""

    @property
    def rates(self) -> tuple[FloatArray, FloatArray]:
        """The exponents of c and 1 - c at the ends of the densities, shape (R,)."""

    @property
    def mirrored(self) -> Side:
        """The distribution of 1 - c."""

    def at(self, rows: NDArray[np.intp]) -> Side:
        """Take some of the nodes."""

    def log_density(self, at: Point) -> FloatArray:
        """Compute the log density of logit c, shape (R, T)."""

    def below(self, at: Point) -> FloatArray:
        """Compute the distribution function, shape (R, T)."""


class Pair(NamedTuple):
    """Two distributions with common nodes, or one node each."""

    first: Side
    second: Side

    @property
    def reversed(self) -> Pair:
        """The pair with minus the difference."""
        return Pair(self.second, self.first)

    @property
    def narrower(self) -> Pair:
        """The pair whose first is the narrower one, with the same difference.

        Of two as wide, it is the one nearer to 0, where distribution functions are had sooner.
        """
        one, other = self.first.latent.variance, self.second.latent.variance
        low = sum(side.weight @ np.sign(side.logit) for side in self) <= 0
        if max(one, other) <= _AS_WIDE * min(one, other):
            return self if low else self.mirrored
        return self if one <= other else self.mirrored

    @property
    def mirrored(self) -> Pair:
        """The pair of 1 - Y and 1 - X, with the same difference."""
        return Pair(self.second.mirrored, self.first.mirrored)

    def above(self, d: float) -> float:
        """Compute P(X - Y > d), d >= 0."""
        first, second = self.narrower

        with np.errstate(divide="ignore"):
            ahead = np.log(np.maximum(sc.expit(first.logit) - d, 0.0))
        # beyond d there is no more than an exponential tail, of the rate of 1 - c
        least = np.minimum(-np.log(first.rates[1]), 0.0)
        start = np.maximum(ahead - sc.log_expit(-first.logit), least) if d else first.logit
        peak, top, scale = _peaks(lambda w: _log_integrand(first, second, d, w), start)
        # f is sharp near its own peak, from which that of a product with a slow F may be far
        height = _log_integrand(first, second, d, start[:, None])[:, 0]
        middle = np.where(height > top - _HIGH, start, peak)
        width = np.minimum(_STRETCH * scale, _WIDE)
        rates = second.rates[0] + (first.rates[0] if d == 0 else 1.0), first.rates[1]
        away = np.abs(peak - middle)
        left, right = (
            np.arcsinh((away + _DEEP / rate + rate * scale**2 / 2) / width) for rate in rates
        )
        total, step = 0.0, _STEP if start.size > 1 else _FINE_STEP
        for rows in _of_like_reach(left, right):
            ends = -int(left[rows].max() / step) - 1, int(right[rows].max() / step) + 2
            t = step * np.arange(*ends)
            w = middle[rows, None] + width[rows, None] * np.sinh(t)
            one, other = first.at(rows), second.at(rows)
            value = np.exp(_log_integrand(one, other, d, w)) @ np.cosh(t)
            total += float(first.weight[rows] @ (value * width[rows]))
        return total * step


def _log_integrand(first: Side, second: Side, d: float, w: FloatArray) -> FloatArray:
    """Compute the log of f(c) F(c - d) dc/dw at w = logit[(c - d)/(1 - d)], shape (R, T)."""
    at, beyond = _points(w, d)
    with np.errstate(divide="ignore"):
        log_below = np.log(second.below(beyond))
    log = first.log_density(at) + sc.log_expit(w) - at.log_c + log_below
    return np.maximum(np.nan_to_num(log, nan=_LEAST), _LEAST)


def _of_like_reach(left: FloatArray, right: FloatArray) -> list[NDArray[np.intp]]:
    """Put rows together that take about as many points to both sides."""
    order = np.argsort(left + right)
    return [x for x in np.array_split(order, min(_PARTS, order.size)) if x.size]


def _points(w: FloatArray, d: float) -> tuple[Point, Point]:
    """Return c and c - d at w = logit[(c - d)/(1 - d)]."""
    v, rest, log_v, log_rest = sc.expit(w), sc.expit(-w), sc.log_expit(w), sc.log_expit(-w)
    if d == 0:
        at = Point(v, rest, log_v, log_rest)
        return at, at
    less, more, shrunk = (1 - d) * v, (1 - d) * rest, np.log1p(-d)
    at = Point(d + less, more, np.log(d + less), shrunk + log_rest)
    return at, Point(less, d + more, shrunk + log_v, np.log(d + more))


def _peaks(
    integrand: Callable[[FloatArray], FloatArray], start: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Find the peak of each row of a log integrand, its height and 1/sqrt(-second derivative)."""
    w = start[:, None] + _SCAN
    row = np.arange(start.size)
    steps = np.linspace(0, 1, 6)
    for _ in range(_MOST_ZOOMS):
        height = integrand(w)
        i = np.clip(np.argmax(height, axis=1), 1, w.shape[1] - 2)
        left, middle, right = (w[row, i + k] for k in (-1, 0, 1))
        low, top, high = (height[row, i + k] for k in (-1, 0, 1))
        curvature = 2 * ((top - low) / (middle - left) - (high - top) / (right - middle))
        curvature = curvature / (right - left)
        gap = np.maximum(middle - left, right - middle)
        known = ((curvature * gap**2 < _FINE) & (gap < 1)) | (top < _NOTHING)
        if known.all():
            break
        size = np.where(known, steps.size - 1, 1)  # a known peak is looked at as before
        before, after = ((size * x)[:, None] for x in (middle - left, right - middle))
        parts = middle[:, None] - before * steps[::-1], middle[:, None] + after * steps[1:]
        w = np.concatenate(parts, axis=1)
    return middle, top, 1 / np.sqrt(np.where(top < _NOTHING, 1.0, np.maximum(curvature, 1e-12)))


def difference(first: Side, second: Side, mean: float, level: float) -> tuple[float, float, float]:
    """Return the equal-tailed interval of X - Y, and P(X > Y).

    Those of Y - X are minus these, and 1 - P(X > Y), to the last digit.
    """
    keys = first.latent.key, second.latent.key
    swapped = keys[0] > keys[1]
    pair = Pair(second, first) if swapped else Pair(first, second)
    mean = -mean if swapped else mean
    same = keys[0] == keys[1]
    share = 0.5 if same else float(np.clip(pair.above(0.0), 0.0, 1.0))
    scale = float(np.sqrt(first.latent.variance + second.latent.variance))
    tail = (1 - level) / 2
    upper = _end(pair, share, tail, mean, scale)
    lower = -upper if same else -_end(pair.reversed, 1 - share, tail, -mean, scale)
    return (-upper, -lower, 1 - share) if swapped else (lower, upper, share)


def _end(pair: Pair, share: float, tail: float, mean: float, scale: float) -> float:
    """Find d with P(X - Y > d) = tail."""
    if share <= tail:
        return -_positive(pair.reversed, 1 - share, 1 - tail, -mean, scale)
    return _positive(pair, share, tail, mean, scale)


def _positive(pair: Pair, share: float, tail: float, mean: float, scale: float) -> float:
    """Find d >= 0 with P(X - Y > d) = tail, which is at most P(X > Y)."""
    if not share > tail:
        return 0.0

    @cache
    def excess(d: float) -> float:
        if d <= 0 or d >= 1:
            return np.log(share / tail) if d <= 0 else -np.inf
        return float(np.log(max(pair.above(d), 1e-300) / tail))

    guess = mean - sc.ndtri(tail) * scale
    here = float(np.clip(guess, scale / 8, 1 - 1e-9 * scale))
    low, high, step, part = 0.0, 1.0, scale / 4, 2.0
    while True:
        found = excess(here)
        if found > 0:
            low, here = here, min(here + step, (here + 1) / 2)
        else:
            high, here = here, max(here - step, here / part)
            part = min(part * part, 1e18)  # the end may be far below the scale
        step *= 2
        bracketed = low > 0 and high < 1
        if bracketed or high < 1e-12 * scale or low > 1 - 1e-12:
            break
    if not bracketed:
        return low
    return root(excess, low, high, xtol=1e-8 * scale, rtol=0.0)
