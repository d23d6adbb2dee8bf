"""Where the evidence is highest over both concentrations, or that it is nowhere so.

In mean m = a/(a + b) and concentration s = a + b the answer is one of six kinds. Latents without
trials say nothing and are dropped; then the first that applies:

    no_information   nothing is left: the log evidence is 0 whatever the prior
    degenerate       only failures, or only successes: supremum 0 as m -> 0, or 1
    unidentified     every N = 1: the maximum is attained at m = sum K/sum N for every s
    all_or_none      every K is 0 or N: supremum as s -> 0, where a latent is full with
                     probability f, the fraction that are: G (f log f + (1 - f) log(1 - f))
    binomial         supremum as s -> infinity, the binomial at m = sum K/sum N
    interior         a finite maximiser

The last two are told apart by search. For a fixed s the log evidence is concave in m (E10), so its
best mean is unique; the profile over log s is scanned, and the best of its local maxima is polished
by Newton's method in both log concentrations. One latent never has an interior maximiser (E9). The
search is not a proof: on a profile with two maxima closer than the grid, or below 1e-10 in height,
it may take the lower; and what rises above the binomial limit by less than the rounding of the sum
counts as binomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize
from scipy import special as sc

from elbo_ref.arguments import IntArray
from elbo_ref.beta import Beta
from elbo_ref.counts import Counts, log_binomial
from elbo_ref.evidence import (
    log_evidence,
    log_evidence_gradient,
    log_evidence_hessian,
)

Kind = Literal[
    "no_information", "degenerate", "unidentified", "all_or_none", "binomial", "interior"
]


@dataclass(frozen=True)
class Supremum:
    """The highest log evidence that any Beta prior gives some counts, attained or not.

    Attributes
    ----------
    kind : str
        One of the six of the module's opening.
    log_evidence : float
        The maximum, or the supremum, in nats.
    mean : float or None
        Of the prior there, or in the limit; None where any will do.
    concentration : float or None
        a + b there: inf or 0.0 in the limit, None where any will do.
    prior : Beta or None
        The maximiser, where there is exactly one.
    """

    kind: Kind
    log_evidence: float
    mean: float | None
    concentration: float | None
    prior: Beta | None

    @property
    def attained(self) -> bool:
        """Whether some prior has this evidence."""
        return self.kind in ("interior", "unidentified", "no_information")


@lru_cache(maxsize=1)
def evidence_supremum(counts: Counts) -> Supremum:
    """Find the highest log evidence and where it is approached.

    The answer for the last counts is remembered: guides are compared on the same ones.

    Examples
    --------
    >>> evidence_supremum(Counts([0, 1, 2], [2, 2, 2], multiplicity=[40, 30, 50])).kind
    'interior'
    >>> evidence_supremum(Counts(3, 10)).kind
    'binomial'
    """
    informative = (counts.total_count > 0) & (counts.multiplicity > 0)
    k, f, w = (x[informative] for x in (counts.successes, counts.failures, counts.multiplicity))
    if not informative.any():
        return Supremum("no_information", 0.0, None, None, None)
    if not k.any() or not f.any():
        return Supremum("degenerate", 0.0, 1.0 if k.any() else 0.0, None, None)
    pooled = pooled_mean(counts)
    if (k + f == 1).all():
        return Supremum("unidentified", pooled_log_likelihood(counts), pooled, None, None)
    if ((k == 0) | (f == 0)).all():
        full, latents = float(w[k > 0].sum()), float(w.sum())
        fraction = full / latents
        height = sc.xlogy(full, fraction) + sc.xlog1py(latents - full, -fraction)
        return Supremum("all_or_none", float(height), fraction, 0.0, None)
    limit = pooled_log_likelihood(counts)
    best = _search(_distinct(k, k + f, w)) if w.sum() > 1 else None
    if best is not None and log_evidence(best, counts) > limit + 1e-10 + 1e-13 * abs(limit):
        a, b = best.arrays()
        return Supremum(
            "interior", log_evidence(best, counts), float(a / (a + b)), float(a + b), best
        )
    return Supremum("binomial", limit, pooled, np.inf, None)


def pooled_mean(counts: Counts) -> float:
    """sum K/sum N over all latents; nan without trials."""
    k, f = totals(counts)
    return k / (k + f) if k + f else np.nan


def pooled_log_likelihood(counts: Counts) -> float:
    """The binomial log likelihood with one c for all latents, at its maximum c = `pooled_mean`."""
    k, f = totals(counts)
    if not k + f:
        return 0.0
    mean = np.asarray(k / (k + f)), np.asarray(f / (k + f))
    difference = counts.successes * mean[1] - counts.failures * mean[0]
    each = log_binomial(counts.successes, counts.total_count, mean, difference)
    return float(counts.multiplicity @ (each + counts.log_split))


def totals(counts: Counts) -> tuple[int, int]:
    """Successes and failures of all latents, exactly."""
    w = counts.multiplicity.astype(object)
    return int(w @ counts.successes), int(w @ counts.failures)


def _distinct(k: IntArray, n: IntArray, w: IntArray) -> Counts:
    pairs, place = np.unique(np.stack([k, n]), axis=1, return_inverse=True)
    total = np.zeros(pairs.shape[1], np.int64)
    np.add.at(total, place.reshape(-1), w)
    return Counts(pairs[0], pairs[1], total)


def _search(counts: Counts) -> Beta | None:
    """The best finite local maximiser that a scan of the profile over log s finds."""
    pooled = pooled_mean(counts)
    if pooled > 0.5:
        mirrored = _search(Counts(counts.failures, counts.total_count, counts.multiplicity))
        return mirrored and Beta(mirrored.concentration0, mirrored.concentration1)
    trials = float(sum(totals(counts)))
    low, high = np.log(1e-4 / counts.num_latents), np.log(min(1e14, 1e3 * trials**2))
    grid = np.linspace(low, high, int(high - low) + 2)
    means, heights = np.empty(grid.size), np.empty(grid.size)
    mean = pooled
    for i in reversed(range(grid.size)):
        mean = means[i] = _best_mean(grid[i], counts, mean)
        heights[i] = _height(grid[i], mean, counts)
    inner = (heights[1:-1] >= heights[:-2]) & (heights[1:-1] >= heights[2:])
    found = [_polish(grid[i - 1], grid[i + 1], means[i], counts) for i in np.flatnonzero(inner) + 1]
    return max(found, key=lambda prior: log_evidence(prior, counts), default=None)


def _at(log_s: float, mean: float) -> Beta:
    s = np.exp(log_s)
    return Beta(s * mean, s * (1 - mean))


def _height(log_s: float, mean: float, counts: Counts) -> float:
    return log_evidence(_at(log_s, mean), counts)


def _best_mean(log_s: float, counts: Counts, mean: float) -> float:
    """The mean of highest evidence at one s: Newton's method on a concave function (E10)."""
    for _ in range(100):
        prior = _at(log_s, mean)
        d1, d0 = log_evidence_gradient(prior, counts)
        (h11, h10), (_, h00) = log_evidence_hessian(prior, counts)
        moved = mean - (d1 - d0) / (h11 - 2 * h10 + h00) / np.exp(log_s)
        moved = float(min(max(moved, mean / 4), 1 - (1 - mean) / 4))
        if abs(moved - mean) <= 1e-12 * min(mean, 1 - mean):
            break
        mean = moved
    return mean


def _polish(low: float, high: float, mean: float, counts: Counts) -> Beta:
    """The maximum between two values of log s, to the precision of the gradient."""
    result = optimize.minimize_scalar(
        lambda log_s: -_height(log_s, _best_mean(log_s, counts, mean), counts),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-4},
    )
    prior = _at(result.x, _best_mean(result.x, counts, mean))
    for _ in range(20):
        x = np.array(prior.arrays())
        gradient = x * np.array(log_evidence_gradient(prior, counts))
        hessian = x * log_evidence_hessian(prior, counts) * x[:, None] + np.diag(gradient)
        if not (np.linalg.eigvalsh(hessian) < 0).all():
            break
        step = -np.linalg.solve(hessian, gradient)
        if np.abs(step).max() > 1:
            break
        prior = Beta(*(x * np.exp(step)))
        if np.abs(step).max() < 1e-13:
            break
    return prior
