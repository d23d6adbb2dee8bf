r"""Guides that are a point: the mode of a joint density, or of the likelihood alone.

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

from collections.abc import Callable

import numpy as np
from scipy import optimize, special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import BETA, Beta
from elbo_ref.guides import Guide
from elbo_ref.mle.binomial import saturated_log_likelihood
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import latent_values
from elbo_ref.optima.optimum import Optimum, Reason
from elbo_ref.svi.parameters import Learned

_GRID = np.linspace(np.log(1e-9), np.log(1e9), 400)


def of_likelihood(_: Guide, counts: Counts, _prior: Beta, _learned: Learned) -> Optimum:
    """The optimum of the likelihood, each latent with a c of its own."""
    with np.errstate(invalid="ignore"):
        c = counts.successes / counts.total_count
    value = saturated_log_likelihood(counts)
    return Optimum("latents", "own_likelihood", value, True, c=c)


def of_point(guide: Guide, counts: Counts, prior: Beta, learned: Learned) -> Optimum:
    """The optimum of the joint density of c, or of its logit, over concentration1 or no prior."""
    live = counts.multiplicity > 0
    if not learned:
        return _mode(guide, counts, prior)
    if not live.any():
        return Optimum("any_prior", "no_latents", 0.0, True)
    if learned is True:
        return Optimum.unbounded("density_unbounded")
    less, b = 1 - guide.jacobian, float(prior.concentration0)
    k, f = counts.successes[live].astype(np.float64), counts.failures[live].astype(np.float64)
    w = counts.multiplicity[live].astype(np.float64)
    latents, failures = float(w.sum()), float(w @ f)
    unbounded: dict[Reason, bool] = {
        "latent_without_learned_outcome": bool((k == 0).any()),
        "latent_without_other_outcome": bool(b < 1 and (f == 0).any()),
        "few_of_other_outcome": failures < latents,
    }
    for reason, holds in unbounded.items():
        if less and holds:
            return Optimum.unbounded(reason, b)

    def height(log_a: float) -> float:
        return float(w @ _heights(float(np.exp(log_a)), b, k, f, less))

    best_a, best = _highest(height)
    added = float(counts.multiplicity @ counts.log_coefficient)
    if failures == less * latents:
        d = b - less + f
        level = float(w @ (sc.xlogy(d, d) - d - sc.gammaln(b)))
        if level >= best - 1e-9:
            reason = "levels_off" if less else "levels_off_without_other_outcome"
            return Optimum.at_end(np.inf, b, level + added, reason)
    return Optimum.at_prior(Beta(best_a, b), best + added, "one_sided_collapse")


def _mode(guide: Guide, counts: Counts, prior: Beta) -> Optimum:
    """The mode of the joint density under one prior, of each latent."""
    less = 1 - guide.jacobian
    a, b = map(float, prior.arrays())
    k, f = counts.successes.astype(np.float64), counts.failures.astype(np.float64)
    up, down, live = a - less + k, b - less + f, counts.multiplicity > 0
    inside, flat, both = (up > 0) & (down > 0), (up == 0) & (down == 0), (up < 0) & (down < 0)
    at0 = ~inside & ~flat & ~both & (up <= down)
    at1 = ~inside & ~flat & ~both & (up > down)
    y = np.log(np.where(inside, up, 1.0)) - np.log(np.where(inside, down, 1.0))
    at_mode = latent_values(Task(guide, counts), prior, y[None])
    at_end = np.where((up < 0) | (down < 0), np.inf, -float(BETA.log_normalizer(np.array((a, b)))))
    heights = np.where(live, np.where(inside, at_mode, at_end), 0.0)
    c = np.divide(up, up + down, where=inside, out=np.full(up.shape, np.nan))
    reason: Reason = "mode_of_logit" if guide.jacobian else "mode"
    return Optimum(
        "latents",
        reason if inside.all() else "mode_at_end",
        float(counts.multiplicity @ heights),
        bool((inside | flat)[live].all()),
        c=c,
        numbers=tuple(float(np.count_nonzero(x)) for x in (at0, at1, both, flat)),
    )


def _heights(a: float, b: float, k: FloatArray, f: FloatArray, less: int) -> FloatArray:
    """The highest joint log density of each latent, without coefficients."""
    up, down = a - less + k, b - less + f
    inside = (up > 0) & (down > 0)
    up_in, down_in = np.where(inside, up, 1.0), np.where(inside, down, 1.0)
    y = np.log(up_in) - np.log(down_in)
    at_mode = up_in * sc.log_expit(y) + down_in * sc.log_expit(-y)
    at_end = np.where((up < 0) | (down < 0), np.inf, 0.0)
    return np.where(inside, at_mode, at_end) - float(BETA.log_normalizer(np.array((a, b))))


def _highest(height: Callable[[float], float]) -> tuple[float, float]:
    """The highest point over log a, bracketed on a grid."""
    values = np.array([height(x) for x in _GRID])
    i = int(np.clip(np.argmax(values), 1, _GRID.size - 2))
    found = optimize.minimize_scalar(
        lambda x: -height(x), bounds=(_GRID[i - 1], _GRID[i + 1]), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    return float(np.exp(found.x)), float(-found.fun)
