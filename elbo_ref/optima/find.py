"""`find_optimum`: the optimum of any guide under any loss, by the fields of the guide."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.guides import Guide
from elbo_ref.objectives import OBJECTIVES, Objective, Renyi
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import column, objective_value
from elbo_ref.optima.from_prior import of_empty, of_tied
from elbo_ref.optima.normal import of_normal, of_normal_without_jacobian
from elbo_ref.optima.optimum import Maximised, Optimum, Reason
from elbo_ref.optima.point import of_likelihood, of_point
from elbo_ref.optima.posterior import of_evidence, of_shared
from elbo_ref.optima.renyi import of_renyi
from elbo_ref.svi.parameters import Learned

_FIXED: dict[Maximised, Reason] = {
    "elbo_shared": "average_counts",
    "elbo_normal": "family_gap",
    "elbo_normal_without_jacobian": "without_jacobian",
    "expected_log_likelihood": "nothing_learned",
    "expected_log_likelihood_less_entropy": "nothing_learned",
}
"""Objectives whose optimum under a given prior is at the guide's best parameters."""


def find_optimum(
    guide: Guide,
    counts: Counts,
    prior: Beta,
    learned: Learned,
    loss: Objective = OBJECTIVES["exact"],
    *,
    search: bool = False,
) -> Optimum:
    """Find where a guide's exact objective is highest, or what it tends to.

    Parameters
    ----------
    guide : Guide
    counts : Counts
    prior : Beta, shape ()
        The prior where nothing of it is learned; it holds the other concentration where one is.
    learned : bool or str
        What of the prior is maximised over, as `elbo_ref.maximize_elbo` takes it.
    loss : Objective
        Most leave the optimum where it is.
    search : bool
        Whether to search for the optimum of a Renyi bound of two samples, for some seconds.

    Returns
    -------
    Optimum
        Its value is nan where it is not known.
    """
    seen, learned = loss.adapted(guide), learned if guide.has_prior else False
    maximised, of_kind = _kind(seen)
    if learned == "concentration0" and maximised != "elbo":
        swapped = Beta(prior.concentration0, prior.concentration1)
        optimum = of_kind(counts.mirrored, swapped, "concentration1").mirrored
    elif learned or maximised not in _FIXED:
        optimum = of_kind(counts, prior, learned)
    else:
        optimum = _of_given_prior(seen, counts, prior, _FIXED[maximised])
    optimum = optimum._replace(maximised=maximised)
    if isinstance(loss, Renyi):
        optimum = of_renyi(loss, guide, optimum, counts, prior, learned, search=search)
    return optimum._replace(maximised=maximised, learned=learned, name=guide.name)


def _kind(guide: Guide) -> tuple[Maximised, Callable[[Counts, Beta, Learned], Optimum]]:
    """Tell the objective of a guide, and the function that finds its optimum."""
    if not guide.has_prior:
        return "log_likelihood", of_likelihood
    if guide.is_point:
        return "log_joint_of_logit" if guide.jacobian else "log_joint", partial(of_point, guide)
    if guide.origin == "prior" and guide.is_elbo:
        return "expected_log_likelihood", of_tied
    if guide.origin == "prior":
        return "expected_log_likelihood_less_entropy", of_empty
    if guide.source is LOGIT_NORMAL and guide.jacobian:
        return "elbo_normal_without_jacobian", of_normal_without_jacobian
    if guide.source is LOGIT_NORMAL:
        return "elbo_normal", of_normal
    return ("elbo_shared", of_shared) if guide.shared else ("elbo", of_evidence)


def _of_given_prior(guide: Guide, counts: Counts, prior: Beta, reason: Reason) -> Optimum:
    """Evaluate the objective at the guide's best parameters; it is unbounded if there are none."""
    task = Task(guide, counts)
    own = guide.optimum(column(prior), task.outcomes, task.weights)
    if not guide.shared:
        own = np.where(task.weights > 0, own, 1.0)
    if not np.isfinite(own).all():
        return Optimum.unbounded("scale_unbounded")
    return Optimum.at_prior(prior, objective_value(task, prior, own), reason)
