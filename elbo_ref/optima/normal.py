r"""Optima of the normal guide on the logit, with its Jacobian and without.

With A' = a + K, D' = b + F and T = A' + D' the optimum has E c = A'/T, the mean of the exact
posterior, and s^2 = 1/(T E c (1 - c)); the objective is concave in l and s. It is below the
evidence by the gap of the family, so that its maximiser over the prior is not the MLE. Where the
evidence only has a supremum as the concentration grows, so has this, and the same: the gap
vanishes.

`TraceMeanField_ELBO` drops the Jacobian c (1 - c). The exponents of c and 1 - c are then A' - 1 and
D' - 1: the ELBO of a normal guide for counts with a success and a failure less in each latent.
Where a latent has none to give, and the prior does not make up for it, the exponent can be 0 or
less, the normal leaves for that end with a growing scale, and log s grows without bound.
"""

from __future__ import annotations

import numpy as np
import scipy

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL, LogitNormal
from elbo_ref.evidence import log_evidence
from elbo_ref.guides.optimum import normal_optimum
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import column, elbo
from elbo_ref.optima.optimum import Optimum, at_prior, merged, unbounded
from elbo_ref.optima.posterior import of_evidence
from elbo_ref.svi.parameters import Learned

_LIMITS = (np.log(1e-9), np.log(1e9))


def best_normal(prior: Beta, counts: Counts) -> LogitNormal:
    """Find the best normal guide under one prior, for each entry."""
    a, b = prior.arrays()
    return normal_optimum(a + counts.successes, b + counts.failures)


def of_normal(task: Task, prior: Beta, learned: Learned) -> Optimum:
    """Find the optimum of the ELBO of a normal guide on the logit, over the prior."""
    counts, left_out = merged(task.counts)
    evidence = of_evidence(counts, prior, learned)
    if learned is True and not evidence.attained and evidence.concentration1 != 0.0:
        return evidence._replace(value=evidence.value + left_out, reason="family_gap_vanishes")
    size, held = 2 if learned is True else 1, prior.concentration0

    def prior_at(x: FloatArray) -> Beta:
        return Beta(*np.exp(x)) if size == 2 else Beta(np.exp(x[0]), held)

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        at = prior_at(x)
        q, p = best_normal(at, counts), column(at)
        expected = LOGIT_NORMAL.expected_logs(column(q)) - BETA.expected_logs(p)
        slopes = p[:, 0] * (expected @ counts.multiplicity)
        return -elbo(q, at, counts), -slopes[:size]

    start = evidence.prior or Beta(1.0, 1.0)
    result = scipy.optimize.minimize(
        loss, np.log(start.arrays())[:size], jac=True, method="L-BFGS-B", bounds=[_LIMITS] * size,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500},
    )  # fmt: skip
    best, height = prior_at(result.x), left_out - float(result.fun)
    return at_prior(best, height, "family_gap_moves_prior")._replace(
        attained=not any(np.isclose(x, end) for x in result.x for end in _LIMITS),
        numbers=(evidence.value - log_evidence(best, counts),),
        evidence=evidence,
    )


def of_normal_without_jacobian(task: Task, prior: Beta, learned: Learned) -> Optimum:
    """Find the optimum of what `TraceMeanField_ELBO` makes of it, over the prior."""
    counts, live = task.counts, task.weights > 0
    k, n, w = counts.successes[live], counts.total_count[live], counts.multiplicity[live]
    a, b = map(float, prior.arrays())
    lost_a = k == 0 if learned in (True, "concentration1") else a + k <= 1
    lost_b = k == n if learned in (True, "concentration0") else b + (n - k) <= 1
    if (lost_a | lost_b).any():
        return unbounded("scale_unbounded")
    if ((k == 0) | (k == n)).any():
        return Optimum("unknown", "without_jacobian_unknown", np.nan, False)
    fewer = Counts(k - 1, n - 2, w)
    added = float(w @ (counts.log_coefficient[live] - fewer.log_coefficient))
    best = of_normal(Task(task.guide, fewer), prior, learned)
    return best._replace(
        value=best.value + added, reason="without_jacobian", numbers=(), evidence=None
    )
