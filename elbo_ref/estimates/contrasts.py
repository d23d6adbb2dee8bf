"""Two latents compared, and trials that are still to come.

Given the prior two latents are independent Betas; the prior is what they share. So for each node
the distribution of c1 - c2 is an integral over the quantiles of one of them,

    P(c1 - c2 <= d) = int_0^1 P(c2 >= Q1(u) - d) du,

by a double-exponential rule, and the whole is the sum over the nodes. n new trials of a latent
succeed k times with the probability of the Beta-Binomial (E1), summed over the nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts
from elbo_ref.estimates.mixture import Mixture
from elbo_ref.evidence import latent_log_evidence
from elbo_ref.special import root

MOST_TRIALS = 100_000
"""The most new trials that `predict` takes."""
_T = np.linspace(-3.0, 3.0, 41)
_U = sc.expit(np.pi * np.sinh(_T))
_SHARE = _U * _U[::-1] * np.pi * np.cosh(_T) * 0.15
_LIGHT = 1e-7
_BLOCK = 2**18


class LatentMixture(NamedTuple):
    """The posterior of one latent, Betas with weights."""

    concentration1: FloatArray
    concentration0: FloatArray
    weight: FloatArray

    @property
    def variance(self) -> float:
        """The variance, for comparison alone."""
        a, b, weight = self
        mean = a / (a + b)
        spread = (mean - weight @ mean) ** 2 + mean * (1 - mean) / (a + b + 1)
        return float(weight @ spread)


class Difference(NamedTuple):
    """The difference of two latents' success probabilities, c1 - c2.

    Attributes
    ----------
    label1, label2
    mean, lower, upper : float
        The posterior mean and the equal-tailed interval of c1 - c2.
    probability : float
        P(c1 > c2).
    """

    label1: Any
    label2: Any
    mean: float
    lower: float
    upper: float
    probability: float


@by_value
class Prediction(NamedTuple):
    """The number of successes in new trials.

    Attributes
    ----------
    successes : int64 ndarray, shape (n + 1,)
        0, 1, ..., n.
    probability : float64 ndarray, shape (n + 1,)
    mean : float
    lower, upper : int
        At most half of what is left of the level lies below `lower`, and above `upper`.
    """

    successes: IntArray
    probability: FloatArray
    mean: float
    lower: int
    upper: int


def difference_below(
    first: LatentMixture, second: LatentMixture, shared: bool
) -> Callable[[float], float]:
    """Return P(c1 - c2 <= d) as a function of d.

    Parameters
    ----------
    first, second : LatentMixture
    shared : bool
        Whether they are of the same nodes, so that these are averaged over once.
    """
    if first.variance > second.variance:
        mirrored = difference_below(second, first, shared)
        return lambda d: 1 - mirrored(-d)
    heavy = first.weight > _LIGHT * first.weight.max()
    a, b, outer = (x[heavy] for x in first)
    outer = outer / outer.sum()
    if shared:
        c = sc.betaincinv(a[:, None], b[:, None], _U)
        p, q, weight = (x[heavy, None] for x in second)
    else:
        nothing = np.zeros(1, np.int64)
        mixture = Mixture(a, b, outer, nothing, nothing)
        low = [mixture.lower_quantile(u)[0] for u in _U[: _U.size // 2]]
        high = [-mixture.mirrored.lower_quantile(u)[0] for u in _U[: _U.size // 2 + 1][::-1]]
        c, outer = sc.expit([low + high])[..., None], np.ones(1)
        p, q, weight = second

    def below(d: float) -> float:
        at = np.clip(c - d, 0.0, 1.0)
        share = sc.betainc(p, q, at)
        return float(outer @ ((1 - (share if shared else share @ weight)) @ _SHARE))

    return below


def difference_interval(below: Callable[[float], float], level: float) -> tuple[float, float]:
    """Find the equal-tailed interval of a difference."""

    def end(tail: float) -> float:
        if below(-1.0) >= tail or below(1.0) <= tail:
            return -1.0 if below(-1.0) >= tail else 1.0
        return root(lambda d: below(d) - tail, -1.0, 1.0, xtol=1e-10)

    return end((1 - level) / 2), end((1 + level) / 2)


def predicted(latent: LatentMixture | float, total_count: int, level: float) -> Prediction:
    """Compute the distribution of successes in new trials, of a latent or at a known c."""
    cells = Counts(np.arange(total_count + 1), total_count)
    if not isinstance(latent, LatentMixture):
        k, f = cells.successes, cells.failures
        likelihood = np.exp(cells.log_coefficient + sc.xlogy(k, latent) + sc.xlog1py(f, -latent))
        return _summed(likelihood, total_count * latent, level)
    probability = np.zeros(total_count + 1)
    length = max(1, _BLOCK // (total_count + 1))
    for start in range(0, latent.weight.size, length):
        a, b, weight = (x[start : start + length] for x in latent)
        probability += weight @ np.exp(latent_log_evidence(a[:, None], b[:, None], cells))
    a, b, weight = latent
    return _summed(probability, total_count * float(weight @ (a / (a + b))), level)


def _summed(probability: FloatArray, mean: float, level: float) -> Prediction:
    tail, last = (1 - level) / 2, probability.size - 1
    lower = int(np.searchsorted(np.cumsum(probability), tail, side="right"))
    upper = last - int(np.searchsorted(np.cumsum(probability[::-1]), tail, side="right"))
    return Prediction(np.arange(last + 1), probability, mean, min(lower, last), max(upper, 0))
