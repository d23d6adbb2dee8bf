"""Optima of the guides that draw c from the prior, over both concentrations or over one.

* `tied` maximises E_prior[log lik] (E8). Over both concentrations its supremum is the pooled
  likelihood's, as the concentration grows. Over a alone, with K and F the totals,

      d/da = K [psi_1(a) - psi_1(a + b)] - F psi_1(a + b)

  has one zero, as psi_1(a + b)/psi_1(a) rises from 0 to 1; with only failures or only successes the
  supremum is at an end.
* `empty` maximises J = E_prior[log lik] - H(prior) (E7), with G latents

      J = (K + G (a-1)) E log c + (F + G (b-1)) E log(1-c) - G log B(a, b) + logC,

  which over both concentrations is unbounded: the prior may collapse anywhere inside (0, 1). Over a
  alone, where

      dJ/da = (K + G (a-1)) [psi_1(a) - psi_1(a + b)] - (F + G (b-1)) psi_1(a + b),

  it may collapse to an end only. There J ~ (G - K)/a as a -> 0 and ~ (G - F) log a as
  a -> infinity: unbounded if K < G or F < G. With K >= G and F > G it falls to minus infinity at
  both ends (as G log a at a -> 0 where K = G) and has a maximum; with F = G it levels off instead,
  at G [b psi(b) - b - log Gamma(b)] + logC.

Over b alone all is mirrored (`elbo_ref.optima.find`).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.binomial import (
    as_totals,
    log_coefficient,
    pooled_log_likelihood,
    pooled_mean,
    totals,
)
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import elbo, empty_guide_objective
from elbo_ref.optima.optimum import Optimum, at_end, at_prior, unbounded
from elbo_ref.special import root, trigamma, trigamma_difference
from elbo_ref.svi.parameters import Learned


def stationary(slope: Callable[[float], float], low: float, high: float, held: float) -> Beta:
    """Find the prior at which a slope in log concentration1 is 0, with concentration0 held."""
    return Beta(float(np.exp(root(slope, low, high, xtol=1e-14))), held)


def of_tied(task: Task, prior: Beta, learned: Learned) -> Optimum:
    """Find the supremum of E_prior[log lik] over both concentrations, or concentration1 (E8)."""
    counts = task.counts
    k, f = totals(counts)
    coefficient = log_coefficient(counts)
    if not k + f:
        return Optimum("any_prior", "no_trials", coefficient, True)
    if learned is True:
        limit = Optimum(
            "mean_to_end", "collapse_to_mle", coefficient, False, mean=pooled_mean(counts)
        )
        if not (k and f):
            return limit
        return limit._replace(
            location="concentration_to_infinity", value=pooled_log_likelihood(counts),
            concentration1=np.inf, concentration0=np.inf,
        )  # fmt: skip
    b = float(prior.concentration0)
    if not (k and f):
        return at_end(np.inf if k else 0.0, b, coefficient, "one_outcome_only")

    def slope(log_a: float) -> float:
        a = np.asarray(np.exp(log_a))
        return float(k * trigamma_difference(a, np.asarray(b)) / trigamma(a + b) - f)

    best = stationary(slope, -150.0, 150.0, b)
    together, added = as_totals(counts)
    guides = Beta(*(np.full(len(together), float(x)) for x in best.arrays()))
    return at_prior(best, elbo(guides, best, together) + added, "no_collapse")


def of_empty(task: Task, prior: Beta, learned: Learned) -> Optimum:
    """Find the supremum of E_prior[log lik] - H(prior) over the same (E7)."""
    if learned is True:
        return unbounded("entropy_unbounded")
    counts, latents = task.counts, task.num_latents
    k, f = totals(counts)
    if not latents:
        return Optimum("any_prior", "no_latents", 0.0, True)
    b = float(prior.concentration0)
    if k < latents or f < latents:
        ends = tuple(end for end, few in ((0.0, k < latents), (np.inf, f < latents)) if few)
        return unbounded("few_of_an_outcome", b)._replace(
            location="one_concentration_to_end", numbers=ends
        )

    def slopes_at(log_a: FloatArray) -> FloatArray:
        a, others = np.exp(log_a), np.asarray(b)
        up, down = k - latents + latents * a, f - latents + latents * b
        return up * trigamma_difference(a, others) - down * trigamma(a + b)

    def slope(log_a: float) -> float:
        return float(slopes_at(np.array([log_a]))[0])

    grid = np.linspace(np.log(1e-12), np.log(1e6 * (k + f + b)), 500)
    slopes = slopes_at(grid)
    together, added = as_totals(counts)
    peaks = [
        stationary(slope, grid[i], grid[i + 1], b)
        for i in np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    ]
    heights = [empty_guide_objective(peak, together) + added for peak in peaks]
    height, best = max(
        zip(heights, peaks, strict=True), key=itemgetter(0), default=(-np.inf, prior)
    )
    if f == latents:
        level = latents * float(b * sc.psi(b) - b - sc.gammaln(b))
        level += log_coefficient(counts)
        if level >= height:
            return at_end(np.inf, b, level, "levels_off")
    return at_prior(best, height, "one_sided_collapse")
