"""Two latents compared.

Given the prior two latents are independent Betas; the prior is what they share. For each node, with
d >= 0,

    P(X - Y > d) = int_{F(d)}^1 G(Q(u) - d) du

where F and Q are distribution function and quantiles of X, and G is the distribution function of Y,
by a double-exponential rule over the part of [0, 1] that counts; the whole is the sum over the
nodes. Where G has a singular density at 0 that end is the only one at which the integrand is not
smooth. Since X - Y = (1 - Y) - (1 - X), the roles may be exchanged, which is better where Y is much
narrower, or where less of it lies beyond the end; and P(X - Y <= -d) is that of the mirrored pair.

A quantile may be too small for a float, as that of Beta(1e-4, 1). So it is carried with its
logarithm, in which I_c(a, b) = c^a/(a B(a, b)): two latents without successes are no tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._format.numbers import number
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.quantile import Quantile, quantile
from elbo_ref.estimates.mixture import LatentMixture, Mixture
from elbo_ref.special import root

_T = np.linspace(-3.1, 3.1, 49)
_U = sc.expit(np.pi * np.sinh(_T))
_SHARE = _U * _U[::-1] * np.pi * np.cosh(_T) * (_T[1] - _T[0])
_LIGHT = 1e-7
"""The weight of nodes that are left out."""
_SPLIT = 1e-11
"""The probability beyond the end that counts."""
_MUCH = 4.0
"""A ratio of deviations."""
_SMALL_LOG = -600.0


class _Difference(NamedTuple):
    label1: Any
    label2: Any
    mean: float
    lower: float
    upper: float
    probability: float


class Difference(_Difference, Tabular):
    """The difference of two latents' success probabilities, c1 - c2.

    Attributes
    ----------
    label1, label2
    mean, lower, upper : float
        The posterior mean and the equal-tailed interval of c1 - c2.
    probability : float
        P(c1 > c2).

    Notes
    -----
    It is a tuple of these; a frame of it has one row.
    """

    def table(self) -> Table:
        """Lay out the one row."""
        columns = [
            Column([getattr(self, name)], name, heading, left="label" in name)
            for name, heading in zip(self._fields, _HEADINGS, strict=True)
        ]
        return Table(columns, key=2)

    def blocks(self) -> Sequence[Block]:
        """Return the difference with its interval, and the probability of its sign."""
        mean, low, high, share = (number(x) if x == x else "open" for x in self[2:])
        one, other = str(self.label1), str(self.label2)
        return [{f"{one} - {other}": f"{mean} ({low} to {high})", f"P({one} > {other})": share}]


_HEADINGS = "first", "second", "difference", "from", "to", "P(first > second)"


class Pair:
    """P(X - Y > d) for d >= 0, of two mixtures of Betas, conditional on X.

    Parameters
    ----------
    first, second : LatentMixture
    shared : bool
        Whether they are of the same nodes, so that these are averaged over once.
    """

    def __init__(self, first: LatentMixture, second: LatentMixture, shared: bool) -> None:
        self.first, self.second, self.shared = first, second, shared

    @property
    def exchanged(self) -> Pair:
        """The pair of 1 - Y and 1 - X, with the same difference."""
        return Pair(self.second.mirrored, self.first.mirrored, self.shared)

    @property
    def negative(self) -> Pair:
        """The pair of 1 - X and 1 - Y, with minus the difference."""
        return Pair(self.first.mirrored, self.second.mirrored, self.shared)

    @cached_property
    def _whole(self) -> Quantile:
        return self._quantile(self.first, _U[:, None], _U[::-1, None])

    def _quantile(self, first: LatentMixture, below: FloatArray, above: FloatArray) -> Quantile:
        """Find quantiles of X: of each node, (T, J), or of the whole, (T, 1)."""
        if self.shared:
            return quantile(first.concentration1, first.concentration0, below, above)
        from_0 = below <= first.below(0.5)
        tails = zip(from_0.ravel(), below.ravel(), above.ravel(), strict=True)
        log = np.array(
            [
                _log_quantile(first, u) if x else _log_quantile(first.mirrored, v)
                for x, u, v in tails
            ]
        )
        return Quantile(from_0, np.exp(log)[:, None], log[:, None])

    def above_0(self) -> float:
        """Compute P(X > Y)."""
        (from_0, near, log), (p, q, weight) = self._whole, self.second
        if self.shared:
            p, q = np.where(from_0, p, q), np.where(from_0, q, p)
            share = _below(p, q, near, log)
            return float(self.first.weight @ (_SHARE @ np.where(from_0, share, 1 - share)))
        share = np.where(from_0, _below(p, q, near, log), 1 - _below(q, p, near, log))
        return float(_SHARE @ share @ weight)

    def above(self, d: float) -> float:
        """Compute P(X - Y > d), d > 0."""
        (a, b, outer), (p, q, weight) = self.first, self.second
        at = self._whole.beyond(d)
        if not self.shared:
            before = self.first.below(d)
            if before < _SPLIT:
                return float(_SHARE @ _share(p, q, at) @ weight)
            at = self._part(self.first, np.array(before), np.array(1 - before)).beyond(d)
            return (1 - before) * float(_SHARE @ _share(p, q, at) @ weight)
        start: FloatArray = np.asarray(sc.betainc(a, b, d))
        rest: FloatArray = np.asarray(sc.betaincc(a, b, d))
        some, split = outer * rest > _SPLIT * 1e-3, start > _SPLIT
        value = np.zeros(a.size)
        whole, part = some & ~split, some & split
        value[whole] = _SHARE @ _share(p[whole], q[whole], at[:, whole])
        first = LatentMixture(a[part], b[part], outer[part])
        at = self._part(first, start[part], rest[part]).beyond(d)
        value[part] = rest[part] * (_SHARE @ _share(p[part], q[part], at))
        return float(outer @ value)

    def _part(self, first: LatentMixture, start: FloatArray, rest: FloatArray) -> Quantile:
        """Find quantiles of the part of X that has `start` before it."""
        return self._quantile(first, start + rest * _U[:, None], rest * _U[::-1, None])


def _share(p: FloatArray, q: FloatArray, at: FloatArray) -> FloatArray:
    return np.asarray(sc.betainc(p, q, np.clip(at, 0.0, 1.0)))


def _below(p: FloatArray, q: FloatArray, c: FloatArray, log: FloatArray) -> FloatArray:
    """Compute I_c(p, q), for a tiny c by its logarithm."""
    tiny = np.exp(np.minimum(p * log - np.log(p) - sc.betaln(p, q), 0.0))
    return np.where(log < _SMALL_LOG, tiny, sc.betainc(p, q, c))


def _log_quantile(mixture: LatentMixture, u: float) -> float:
    """Find the logarithm of a lower quantile of a mixture, however small."""
    a, b, weight = mixture
    log_norm = np.log(a) + sc.betaln(a, b)

    def tiny(log: float) -> float:
        return float(np.exp(np.minimum(a * log - log_norm, 0.0)) @ weight) - u

    if tiny(_SMALL_LOG) > 0:
        far = 2 * _SMALL_LOG
        while tiny(far) > 0 and far > -1e18:
            far *= 2
        return root(tiny, far, _SMALL_LOG, xtol=0.0, rtol=1e-13) if tiny(far) < 0 else far
    nothing = np.zeros(1, np.int64)
    whole = Mixture(a, b, weight, nothing, nothing)
    return float(sc.log_expit(whole.lower_quantile(u)[0]))


def _chosen(pair: Pair, d: float) -> Pair:
    """Choose which of the two is conditioned on."""
    first, second = (np.sqrt(x.variance) for x in (pair.first, pair.second))
    if first > _MUCH * second or second > _MUCH * first:
        return pair if first < second else pair.exchanged
    beyond = pair.first.below(d), pair.second.mirrored.below(d)
    return pair if beyond[0] <= beyond[1] else pair.exchanged


def difference(
    first: LatentMixture, second: LatentMixture, shared: bool, mean: float, level: float
) -> tuple[float, float, float]:
    """Return the equal-tailed interval of X - Y, and P(X > Y).

    Those of Y - X are minus these, and 1 - P(X > Y), to the last digit.
    """
    if shared:
        keep = np.argsort(first.weight)
        keep = keep[np.cumsum(first.weight[keep]) >= _LIGHT]
        first, second = (LatentMixture(*(x[keep] for x in y)) for y in (first, second))
        first, second = (x._replace(weight=x.weight / x.weight.sum()) for x in (first, second))
    swapped = first.key > second.key
    if swapped:
        first, second, mean = second, first, -mean
    pair = Pair(first, second, shared)
    same = shared and first.key == second.key
    share = 0.5 if same else _above_0(pair)
    scale = float(np.sqrt(first.variance + second.variance))
    tail = (1 - level) / 2
    upper = _end(pair, share, tail, mean, scale)
    lower = -upper if same else -_end(pair.negative, 1 - share, tail, -mean, scale)
    return (-upper, -lower, 1 - share) if swapped else (lower, upper, share)


def _above_0(pair: Pair) -> float:
    narrow = pair.first.variance <= pair.second.variance
    return float(np.clip((pair if narrow else pair.exchanged).above_0(), 0.0, 1.0))


def _end(pair: Pair, share: float, tail: float, mean: float, scale: float) -> float:
    """Find d with P(X - Y > d) = tail."""
    if share <= tail:
        return -_positive(pair.negative, 1 - share, 1 - tail, -mean, scale)
    return _positive(pair, share, tail, mean, scale)


def _positive(pair: Pair, share: float, tail: float, mean: float, scale: float) -> float:
    """Find d >= 0 with P(X - Y > d) = tail, which is at most P(X > Y)."""
    if not share > tail:
        return 0.0
    pairs: dict[bool, Pair] = {}

    @cache
    def excess(d: float) -> float:
        if d <= 0 or d >= 1:
            return np.log(share / tail) if d <= 0 else -np.inf
        chosen = _chosen(pair, d)
        chosen = pairs.setdefault(chosen is pair, chosen)
        return float(np.log(max(chosen.above(d), 1e-300) / tail))

    guess = mean - sc.ndtri(tail) * scale
    here = float(np.clip(guess, scale / 8, 1 - 1e-9 * scale))
    low, high, step = 0.0, 1.0, scale / 4
    while True:
        found = excess(here)
        if found > 0:
            low, here = here, min(here + step, (here + 1) / 2)
        else:
            high, here = here, max(here - step, here / 2)
        step *= 2
        bracketed = low > 0 and high < 1
        if bracketed or high < 1e-12 * scale or low > 1 - 1e-12:
            break
    if not bracketed:
        return low
    return root(excess, low, high, xtol=1e-8 * scale, rtol=0.0)
