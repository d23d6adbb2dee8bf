r"""Optima of the guides that are a point: the mode of a joint density, or of the likelihood.

* `delta`: log p(x, c) at A = A' - 1, D = D' - 1, where A' = a + K and D' = b + F: the MAP
  c = A/(A + D) if both are positive; at 0 if A <= 0 < D, at 1 if D <= 0 < A, at both ends if both
  are negative, flat if both are 0; infinite where the exponent at that end is negative. Over both
  concentrations it is unbounded: the prior collapses onto equal c. Over a alone it is unbounded if
  a latent has no successes (a < 1, c -> 0), if b < 1 and one has no failures, or if F < G, with G
  latents and F failures in all, as it grows like (G - F) log a when a -> infinity; with F = G it
  levels off at sum [D log D - D - log Gamma(b)]; otherwise it has a maximum.
* `laplace`: the same with the density of the logit, A = A', D = D': always an interior mode. Over
  both concentrations unbounded, as for `delta`. Over a alone it is like -F log a as a -> infinity,
  so that it levels off where there are no failures, at G [b log b - b - log Gamma(b)], and like
  G log a as a -> 0: else it has a maximum.
* `none`: c = K/N, that of the likelihood. No prior plays a part.

Over b alone all is mirrored (`elbo_ref.optima.find`).
"""

from __future__ import annotations

import numpy as np
import scipy
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.binomial import log_coefficient, saturated_log_likelihood
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import column, latent_values
from elbo_ref.optima.optimum import Optimum, Reason, at_end, at_prior, merged, unbounded
from elbo_ref.svi.parameters import Learned

_GRID = np.linspace(np.log(1e-9), np.log(1e9), 400)


def of_likelihood(task: Task, _prior: Beta, _learned: Learned) -> Optimum:
    """Find the optimum of the likelihood, c = K/N for each latent."""
    counts = task.counts
    with np.errstate(invalid="ignore"):
        c = counts.successes / counts.total_count
    value = saturated_log_likelihood(counts)
    return Optimum("latents", "likelihood_of_each", value, True, c=c)


def of_point(task: Task, prior: Beta, learned: Learned) -> Optimum:
    """Find the optimum of the joint density of c, or of its logit, and over the prior."""
    if not learned:
        return _mode(task, prior)
    if not task.num_latents:
        return Optimum("any_prior", "no_latents", 0.0, True)
    if learned is True:
        return unbounded("density_unbounded")
    counts, left_out = merged(task.counts)
    task = Task(task.guide, counts)
    live = task.weights > 0
    b, k, f = float(prior.concentration0), counts.successes[live], counts.failures[live]
    failures, missing = int(task.weights @ task.outcomes[1]), 1 - task.guide.jacobian
    reasons: dict[Reason, bool] = {
        "latent_without_learned_outcome": bool((k == 0).any()),
        "latent_without_other_outcome": bool(b < 1 and (f == 0).any()),
        "few_of_other_outcome": failures < counts.num_latents,
    }
    for reason, holds in reasons.items():
        if missing and holds:
            return unbounded(reason, b)

    def height(log_a: FloatArray) -> FloatArray:
        return _density(task, Beta(np.exp(log_a), b))[0]

    rows = np.array_split(_GRID[:, None], min(_GRID.size, 1 + _GRID.size * len(counts) // 2**20))
    heights = np.concatenate([height(part) for part in rows])
    i = int(np.clip(np.argmax(heights), 1, _GRID.size - 2))
    top = scipy.optimize.minimize_scalar(
        lambda x: -float(height(x)), bounds=(_GRID[i - 1], _GRID[i + 1]), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    value = left_out - float(top.fun)
    if failures == missing * counts.num_latents:
        d = b - missing + f
        level = float(counts.multiplicity[live] @ (sc.xlogy(d, d) - d - sc.gammaln(b)))
        level += left_out + log_coefficient(counts)
        if level >= value - 1e-9:
            reason = "levels_off" if missing else "levels_off_without_other_outcome"
            return at_end(np.inf, b, level, reason)
    return at_prior(Beta(float(np.exp(top.x)), b), value, "one_sided_collapse")


def _mode(task: Task, prior: Beta) -> Optimum:
    """Find the mode of the joint density of each latent under one prior."""
    value, (up, down) = _density(task, prior)
    inside, flat, both = (up > 0) & (down > 0), (up == 0) & (down == 0), (up < 0) & (down < 0)
    at_end = ~(inside | flat | both)
    c = np.divide(up, up + down, where=inside, out=np.full(up.shape, np.nan))
    reason: Reason = "mode_of_logit" if task.guide.jacobian else "mode"
    attained = bool((inside | flat)[task.weights > 0].all())
    kinds = at_end & (up <= down), at_end & (up > down), both, flat
    numbers = tuple(float(task.weights @ kind) for kind in kinds)
    if np.isinf(value):
        reason = "mode_unbounded"
    elif not attained:
        everywhere = sum(numbers[:2]) == task.weights.sum()
        reason = "mode_at_end" if everywhere else "mode_at_end_for_some"
    elif numbers[3]:
        reason = "mode_flat"
    return Optimum("latents", reason, float(value), attained, c=c, numbers=numbers)


def _density(task: Task, prior: Beta) -> tuple[FloatArray, FloatArray]:
    """Evaluate the highest joint density under a prior, or under R of shape (R, 1).

    With the exponents A and D of each latent, (2, G) or (2, R, G). At an end it is finite for
    A = 0, so that a = 1 and K = 0, or for D = 0: -log B(1, b) = log b, or log a, exactly.
    """
    p = column(prior)
    outcomes = np.expand_dims(task.outcomes, tuple(range(1, p.ndim - 1)))
    exponents = np.array(task.guide.tilt(p, np.zeros((1, 1)), outcomes))
    inside = (exponents > 0).all(axis=0)
    up, down = np.where(inside, exponents, 1.0)
    at_mode = latent_values(task, prior, (np.log(up) - np.log(down))[None])
    at_end = np.log(np.where(exponents[0] == 0, p[1], p[0]))
    at_end = np.where((exponents < 0).any(axis=0), np.inf, at_end)
    live = task.weights > 0
    heights = np.where(inside, at_mode, at_end)[..., live]
    return np.asarray(heights @ task.weights[live]), exponents
