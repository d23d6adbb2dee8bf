"""Mixtures of Betas with common weights: means, distribution functions and quantiles.

The posterior of a latent is a sum of Beta(a_j + K, b_j + N - K) with weights w_j. Its lower
quantile is the root in x = logit c of log F(x) = log tail, F = sum_j w_j I_c(A_j, B_j). log F is
concave wherever the density is log-concave in x, so that Halley's method from a quantile of the
Beta with the same mean and variance takes two or three steps; what does not settle is bisected. The
upper quantile is minus the lower one of the mirrored mixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._format.progress import Add
from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.counts import Counts
from elbo_ref.estimates.many_latents import interpolated
from elbo_ref.estimates.quadrature import Nodes
from elbo_ref.special import (
    beta_share,
    bisected,
    cross_difference,
    deviance,
    log_beta_remainder,
)  # fmt: skip

_FARTHEST = 740.0
"""A logit whose probability is nearly 0 or 1 in float64."""
_TINIEST = 700.0
"""Minus the logit of a quantile below which betainc underflows: it is 0."""
_LONGEST = 50.0
"""The longest step; where it is one down, a quantile may be 0."""
_CLOSE = 2e-3
"""A Halley step below so many deviations, 1 at most, is the last: the next is 0.02 its cube."""
_CLOSE_TO_ONE = 3.0
"""A logit from which on 1 - c, not c, is exact."""
_SMALL_TAIL = 1e-6
_STEPS = 8
_LARGE = 1e6
"""Densities of larger concentrations than this are formed by deviances."""
_BOTH_LARGE = 1e4
_NORMAL = 1e8
"""The least concentration from which a quantile of the normal is where to start."""
_BLOCK = 2**17


class Point(NamedTuple):
    """Points c of (0, 1), arrays of one shape, with what is known exactly beside them."""

    c: FloatArray
    rest: FloatArray
    log_c: FloatArray
    log_rest: FloatArray


def linear_moments(nodes: Nodes, counts: Counts) -> tuple[FloatArray, FloatArray]:
    """Compute the posterior means of c and of s/(s + N): sums over the nodes for each N.

    Returns
    -------
    mean, shrinkage : float64 ndarray, shape (P,)
    """
    a, _ = nodes.concentrations
    s, total = np.exp(nodes.z), np.unique(counts.total_count)
    values = np.empty((3, total.size))
    length = max(1, _BLOCK // s.size)
    for start in range(0, total.size, length):
        part = slice(start, start + length)
        share = nodes.weight / (s + total[part, None].astype(np.float64))
        values[:, part] = share @ a, share @ s, share.sum(axis=1)
    own, shrinkage, counted = values[:, np.searchsorted(total, counts.total_count)]
    mean = own + counts.successes * counted
    return np.minimum(mean, 1.0), np.minimum(shrinkage, 1.0)  # rounding may lead beyond


class LatentMixture(NamedTuple):
    """The posterior of one latent, Betas with weights."""

    concentration1: FloatArray
    concentration0: FloatArray
    weight: FloatArray

    @property
    def mirrored(self) -> LatentMixture:
        """The posterior of 1 - c."""
        return LatentMixture(self.concentration0, self.concentration1, self.weight)

    def kept(self, least: float) -> LatentMixture:
        """Drop the lightest nodes, of a total weight of at most `least`."""
        order = np.argsort(self.weight)
        keep = order[np.cumsum(self.weight[order]) >= least]
        a, b, weight = (x[keep] for x in self)
        return LatentMixture(a, b, weight / weight.sum())

    @property
    def key(self) -> tuple[bytes, bytes, bytes]:
        """The same for the same posterior, and an order of different ones."""
        return self.concentration1.tobytes(), self.concentration0.tobytes(), self.weight.tobytes()

    @property
    def variance(self) -> float:
        """The variance, for comparison alone."""
        a, b, weight = self
        mean = a / (a + b)
        spread = (mean - weight @ mean) ** 2 + mean * (b / (a + b)) / (a + b + 1)
        return float(weight @ spread)


class Mixture(NamedTuple):
    """One mixture of Betas for each of P latents, of J common nodes.

    Attributes
    ----------
    concentration1, concentration0, weight : float64 ndarray, shape (J,)
    successes, failures : int64 or float64 ndarray, shape (P,)
    """

    concentration1: FloatArray
    concentration0: FloatArray
    weight: FloatArray
    successes: IntArray | FloatArray
    failures: IntArray | FloatArray

    @property
    def mirrored(self) -> Mixture:
        """The mixture of 1 - c."""
        a, b, weight, k, f = self
        return Mixture(b, a, weight, f, k)

    def blocks(self) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Yield some latents at a time, with the two parameters of their Betas, (P', J)."""
        length = max(1, _BLOCK // self.weight.size)
        for start in range(0, self.successes.size, length):
            part = slice(start, start + length)
            k, f = (x[part].astype(np.float64)[:, None] for x in (self.successes, self.failures))
            yield part, self.concentration1 + k, self.concentration0 + f

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Compute the mean and the variance of each latent."""
        mean, variance = np.empty((2, self.successes.size))
        for part, a, b in self.blocks():
            s = a + b
            each = a / s
            mean[part] = each @ self.weight
            spread = (each - mean[part][:, None]) ** 2 + each * (b / s) / (s + 1)
            variance[part] = spread @ self.weight
        return mean, variance

    def above(self, c: float) -> FloatArray:
        """Compute the probability of each latent above c."""
        share = np.empty(self.successes.size)
        for part, a, b in self.blocks():
            share[part] = beta_share(b, a, np.array(1 - c), np.array(c)) @ self.weight
        return share

    def lower_quantile(self, tail: float, add: Add | None = None) -> FloatArray:
        """Find the logit of c below which each latent lies with probability `tail` < 1/2."""

        def solve(k: FloatArray, f: FloatArray) -> tuple[FloatArray, FloatArray]:
            return self._replace(successes=k, failures=f)._solved(tail)

        logits = interpolated(self.successes, self.failures, solve)
        alone = np.isnan(logits)
        if add:
            add(int((~alone).sum()))
        k, f = self.successes[alone], self.failures[alone]
        logits[alone], _ = self._replace(successes=k, failures=f)._solved(tail, add)
        return logits

    def _solved(self, tail: float, add: Add | None = None) -> tuple[FloatArray, FloatArray]:
        """Find the logits of the quantiles; and posterior deviations."""
        mean, variance = self.moments()
        logits, scales = np.empty((2, mean.size))
        for part, a, b in self.blocks():
            rest = (b / (a + b)) @ self.weight
            start, scales[part] = _start(tail, mean[part], rest, variance[part])
            logits[part] = _quantile(a, b, self.weight, tail, start, scales[part])
            if add:
                add(a.shape[0])
        return logits, scales


def _start(
    tail: float, mean: FloatArray, rest: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the logit of the quantile of the Beta with a mean and a variance; and a deviation."""
    total: FloatArray = np.maximum(mean * rest / variance - 1, 1e-3)
    scale = np.sqrt(1 / (total * mean) + 1 / (total * rest))
    p, q = total * mean, total * rest
    start = np.log(mean / rest) + sc.ndtri(tail) * scale
    few = np.minimum(p, q) < _NORMAL  # elsewhere betaincinv is slow
    with np.errstate(divide="ignore"):
        start[few] = sc.logit(sc.betaincinv(p[few], q[few], tail))
        close = few & (start > _CLOSE_TO_ONE)
        start[close] = -sc.logit(sc.betainccinv(q[close], p[close], tail))
    return np.clip(np.nan_to_num(start, nan=0.0), -_FARTHEST, _FARTHEST), scale


def _quantile(
    a: FloatArray,
    b: FloatArray,
    weight: FloatArray,
    tail: float,
    start: FloatArray,
    scale: FloatArray,
) -> FloatArray:
    """Find the logit of each quantile from a start, by posterior deviations of about `scale`."""
    x = np.asarray(start, np.float64).copy()
    todo, large = np.arange(x.size), bool(np.max(a) + np.max(b) > _LARGE)
    norm = _log_norm(a, b, large)

    def zero(some: IntArray) -> IntArray:
        share = _share(np.full(some.size, -_TINIEST), a[some], b[some], weight, tail)
        return np.asarray(some[share >= tail])

    for _ in range(_STEPS):
        step = _halley(x[todo], a[todo], b[todo], norm[todo], weight, tail, large)
        x[todo] = np.clip(x[todo] + step, -_FARTHEST, _FARTHEST)
        x[zero(todo[step == -_LONGEST])] = -np.inf
        settled = np.abs(step) < _CLOSE * np.minimum(scale[todo], 1.0) + 1e-15 * np.abs(x[todo])
        settled |= (np.abs(x[todo]) >= _FARTHEST) & (step * x[todo] > 0)
        todo = todo[~settled]
        if not todo.size:
            return x
    x[zero(todo)] = -np.inf
    todo = todo[np.isfinite(x[todo])]
    p, q = a[todo], b[todo]
    x[todo] = bisected(lambda z: _share(z, p, q, weight, tail) < tail, todo.size, _FARTHEST)
    return x


def _halley(
    x: FloatArray,
    a: FloatArray,
    b: FloatArray,
    norm: FloatArray,
    weight: FloatArray,
    tail: float,
    large: bool,
) -> FloatArray:
    """Make a step of Halley's method for log F(x) = log tail."""
    c, rest = sc.expit(x)[:, None], sc.expit(-x)[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = _share(x, a, b, weight, tail)
        log_c, log_rest = sc.log_expit(x)[:, None], sc.log_expit(-x)[:, None]
        log, tilt = _log_power(a, b, Point(c, rest, log_c, log_rest), large)
        density = np.exp(log - norm)
        slope = density @ weight / share
        bend = (density * tilt) @ weight / share / slope - slope
        step = np.log(tail / share) / slope
        step = step / np.clip(1 + step * bend / 2, 0.3, 3.0)
    return np.clip(
        np.where(np.isfinite(step), step, np.where(share < tail, 1.0, -1.0)), -_LONGEST, _LONGEST
    )


def log_logit_density(a: FloatArray, b: FloatArray, at: Point) -> FloatArray:
    """Compute the log density of logit c, c ~ Beta(a, b)."""
    direct = _log_power(a, b, at, False)[0] - _log_norm(a, b, False)
    large = np.minimum(a, b) > _BOTH_LARGE  # terms that cancel
    if not large.any():
        return np.asarray(direct)
    return np.where(large, _log_power(a, b, at, True)[0] - _log_norm(a, b, True), direct)


def _log_norm(a: FloatArray, b: FloatArray, large: bool) -> FloatArray:
    return np.asarray(log_beta_remainder(a, b) if large else sc.betaln(a, b))


def _log_power(
    a: FloatArray, b: FloatArray, at: Point, large: bool
) -> tuple[FloatArray, FloatArray]:
    """Compute a log c + b log(1 - c), or how far below the highest it is; and its slope."""
    c, rest, log_c, log_rest = at
    if large:
        s, tilt = a + b, cross_difference(a, rest, b, c)
        return -deviance(a, s * c, tilt) - deviance(b, s * rest, -tilt), tilt
    return a * log_c + b * log_rest, a * rest - b * c


def _share(
    x: FloatArray, a: FloatArray, b: FloatArray, weight: FloatArray, tail: float
) -> FloatArray:
    """Compute the distribution functions at x, about `tail`, from the nodes' I_c(a, b).

    Where c is near 1 the other side is had sooner; that costs digits of small I_c(a, b), which
    matter beside a small tail alone.
    """
    c, rest = sc.expit(x)[:, None], sc.expit(-x)[:, None]
    near = (x > _CLOSE_TO_ONE) & (tail > _SMALL_TAIL)
    if not near.any():
        return np.asarray(beta_share(a, b, c, rest) @ weight)
    share = np.empty(x.size)
    share[~near] = beta_share(a[~near], b[~near], c[~near], rest[~near]) @ weight
    share[near] = 1 - beta_share(b[near], a[near], rest[near], c[near]) @ weight
    return share
