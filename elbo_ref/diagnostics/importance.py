r"""`pareto_k`: the distance of a guide from the posterior, as importance sampling sees it.

The importance weights r = p(x, c)/q(c) of draws from the guide have a tail like that of a
generalised Pareto distribution of shape k. Below 0 they are bounded, from 1/2 on they have no
variance, from 1 on no mean; the draws serve for k below about 0.7 (Vehtari, Simpson, Gelman, Yao &
Gabry 2024). The estimate is that paper's; the shape itself is known here. For a guide Beta(a, b)
and the posterior Beta(A', D'), r is c^(A' - a) (1 - c)^(D' - b) but for a factor:

* A' < a: r grows without bound as c -> 0, and P(r > t) ~ t^(-a/(a - A')), so k = 1 - A'/a, below 1
  whatever the guide; at the other end 1 - D'/b. The larger one counts.
* A' > a and D' > b: r has a quadratic maximum inside, P(r > max - e) ~ e^(1/2): k = -2.
* A' = a, D' > b: the maximum is at c = 0, P(r > max - e) ~ e^a: k = -1/a. The mirror image: -1/b.
* A' = a, D' = b: the posterior; r is constant, k = -inf.

For a normal on the logit, log r ~ z^2/2 - A' s |z| far out, and P(r > t) is 1/t times
exp(-A' s (2 log t)^(1/2)), which varies more slowly than any power: k = 1, always.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elbo_ref._format.result import Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import (
    FloatArray,
    Rng,
    count,
    generator,
    underflow_is_zero,
)
from elbo_ref._validation.extras import need
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.objectives.exact import checked_task

_FEWEST = 100
_CONSTANT = 1e-6


@by_value
@dataclass(frozen=True, eq=False)
class ParetoK(Tabular):
    """Pareto k of each entry's latent.

    Attributes
    ----------
    labels : sequence
        The groups of the counts, or the numbers of the entries, from 0.
    estimate : float64 ndarray, shape (G,)
        From draws; -inf where all weights are the same to 1e-6 of themselves.
    limit : float64 ndarray, shape (G,)
        The limit of many draws: not reached soon, where the tail is seldom drawn.
    """

    labels: Sequence[Any]
    estimate: FloatArray
    limit: FloatArray

    def table(self) -> Table:
        """Lay out the latents, a row for each."""
        return Table(
            [
                Column(self.labels, "label", "latent"),
                Column(self.estimate, "estimate", "Pareto k"),
                Column(self.limit, "limit", "of many draws"),
            ]
        )


@underflow_is_zero
def pareto_k(
    guide: Beta | LogitNormal,
    prior: Beta,
    counts: Counts,
    *,
    num_samples: int = 1000,
    rng: Rng = 0,
) -> ParetoK:
    """Compute Pareto k of a guide's importance weights: below 0.7 its draws can be reweighted.

    Parameters
    ----------
    guide : Beta or LogitNormal, shape () or (G,)
    prior : Beta, shape ()
    counts : Counts, G entries
    num_samples : int
        Draws for each latent, at least 100.
    rng : int, SeedSequence or Generator

    Returns
    -------
    ParetoK

    Raises
    ------
    ImportError
        Without ``arviz-stats``.
    TypeError, ValueError
        If an argument is of another kind or out of range.

    References
    ----------
    A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry (2024), "Pareto smoothed importance
    sampling", Journal of Machine Learning Research 25(72).

    Examples
    --------
    >>> k = pareto_k(Beta(8.0, 8.0), Beta(1.0, 1.0), Counts(3, 10), num_samples=4000)
    >>> k.estimate.round(1), k.limit                    # the posterior is Beta(4, 8)
    (array([0.5]), array([0.5]))
    """
    array_stats = need("arviz_stats.base.array", "pareto_k").array_stats
    task, p, params = checked_task(guide, prior, counts)
    num_samples = count("num_samples", num_samples, _FEWEST)
    tilt = task.guide.tilt(p, params, task.outcomes)
    logits = task.guide.source.sample_logits(params, (num_samples, len(counts)), generator(rng))
    logs = np.array((-np.logaddexp(0.0, -logits), -np.logaddexp(0.0, logits)))
    log_weights = tilt[0] * logs[0] + tilt[1] * logs[1]
    residual = task.guide.residual(logits, params)
    if residual is not None:
        log_weights = log_weights + residual
    smooth: Callable[[FloatArray], tuple[FloatArray, float]] = array_stats.psislw
    estimate = np.full(len(counts), -np.inf)
    for g in np.flatnonzero(np.ptp(log_weights, axis=0) > _CONSTANT):
        # it takes logarithms of inverse weights, and refuses constant ones
        estimate[g] = smooth(-log_weights[:, g])[1]
    labels = range(len(counts)) if counts.labels is None else counts.labels
    return ParetoK(labels, estimate, _limit(guide, params, tilt))


def _limit(guide: Beta | LogitNormal, params: FloatArray, tilt: FloatArray) -> FloatArray:
    if isinstance(guide, LogitNormal):
        return np.ones(params.shape[1])
    with np.errstate(divide="ignore"):
        unbounded = (-tilt / params).max(axis=0)
        at_end = np.where(tilt == 0, -1 / params, -np.inf).max(axis=0)
    bounded = np.where((tilt > 0).all(axis=0), -2.0, at_end)
    bounded = np.where((tilt == 0).all(axis=0), -np.inf, bounded)
    return np.where(unbounded > 0, unbounded, bounded)
