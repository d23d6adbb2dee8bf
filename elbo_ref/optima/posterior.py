r"""Optima of the guides that can be the posterior, and of one Beta for all latents.

* `beta` and `conjugate` are tight at their optimum: over the prior the ELBO's maximum is the
  evidence's, with no gap.
* `beta_shared`: one Beta(p, q) for all latents. With G latents and totals K and F the sum of their
  ELBOs is, but for coefficients, G times that of one latent with the average counts, so that the
  optimum is the conjugate update by K/G and F/G, and over the prior G times the evidence of the
  average counts is maximised: like one draw (E9) it has no interior maximum, but tends to the
  pooled likelihood, as `tied` does.
"""

from __future__ import annotations

import numpy as np

from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence
from elbo_ref.mle.binomial import totals
from elbo_ref.mle.result import EvidenceMaximum, maximize_evidence
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import elbo
from elbo_ref.optima.from_prior import of_tied, stationary
from elbo_ref.optima.optimum import Location, Optimum, at_prior
from elbo_ref.special import digamma_difference
from elbo_ref.svi.parameters import NAMES, Learned

_LOCATIONS: dict[str, Location] = {
    "no_information": "any_prior",
    "degenerate": "mean_to_end",
    "unidentified": "any_concentration",
    "all_or_none": "concentration_to_zero",
    "binomial": "concentration_to_infinity",
    "interior": "prior",
}
_LIMITS = {"binomial": np.inf, "all_or_none": 0.0}


def highest_evidence(counts: Counts, prior: Beta, learned: Learned) -> EvidenceMaximum:
    """Maximise the evidence over what is learned of the prior; over all priors if nothing is."""
    one = isinstance(learned, str)
    held = {name: float(getattr(prior, name)) for name in NAMES if one and name != learned}
    return maximize_evidence(counts, held or None)


def of_evidence(counts: Counts, prior: Beta, learned: Learned) -> Optimum:
    """Find the optimum of the evidence, over the prior or of a given one."""
    if not learned:
        return at_prior(prior, log_evidence(prior, counts), "exact_posterior")
    maximum = highest_evidence(counts, prior, learned)
    a = b = _LIMITS.get(maximum.kind)
    if maximum.kind == "degenerate" and learned is not True:
        a = b = np.inf if (maximum.mean == 1) == (learned == "concentration1") else 0.0
    if maximum.prior is not None:
        a, b = map(float, maximum.prior.arrays())
    a, b = maximum.fixed.get("concentration1", a), maximum.fixed.get("concentration0", b)
    return Optimum(
        _LOCATIONS[maximum.kind], "evidence", maximum.log_evidence, maximum.attained,
        a, b, maximum.mean, learned=learned,
    )  # fmt: skip


def of_posterior(task: Task, prior: Beta, learned: Learned) -> Optimum:
    """Find the optimum of the ELBO of a guide that can be the posterior."""
    return of_evidence(task.counts, prior, learned)


def of_shared(task: Task, prior: Beta, learned: Learned) -> Optimum:
    """Find the optimum of the ELBO of one Beta guide for all latents, over the prior."""
    counts, latents = task.counts, task.num_latents
    k, f = totals(counts)
    if learned is True or not latents or not k + f:
        return of_tied(task, prior, True)._replace(reason="one_draw")
    if not (k and f):
        return of_tied(task, prior, learned)
    mean_k, mean_f, b = k / latents, f / latents, float(prior.concentration0)

    def slope(log_a: float) -> float:
        a, n = np.asarray(np.exp(log_a)), np.asarray(mean_k + mean_f)
        up = digamma_difference(a, np.asarray(mean_k))
        return float(up - digamma_difference(a + b, n))

    best = stationary(slope, -60.0, 60.0, b)
    value = elbo(best.conjugate_update(mean_k, mean_f), best, counts)
    return at_prior(best, value, "average_counts")
