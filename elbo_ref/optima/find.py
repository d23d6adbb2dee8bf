"""`find_optimum`: the optimum of any guide under any loss, by the fields of the guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from elbo_ref.counts import Counts
from elbo_ref.distributions.base import Source
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.distributions.point import POINT
from elbo_ref.guides import Guide
from elbo_ref.objectives import OBJECTIVES, Objective, RenyiBound
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import column, objective_value
from elbo_ref.optima.from_prior import of_empty, of_tied
from elbo_ref.optima.normal import of_normal, of_normal_without_jacobian
from elbo_ref.optima.optimum import Maximised, Optimum, Reason, at_prior, mirrored, unbounded
from elbo_ref.optima.point import of_likelihood, of_point
from elbo_ref.optima.posterior import of_posterior, of_shared
from elbo_ref.optima.renyi import of_renyi
from elbo_ref.svi.parameters import Learned

Kind: TypeAlias = tuple[str, Source, tuple[int, int, int], bool]
OptimumOf: TypeAlias = Callable[[Task, Beta, Learned], Optimum]

OPTIMA: dict[Kind, tuple[Maximised, OptimumOf]] = {
    ("own", BETA, (1, 1, 0), False): ("elbo", of_posterior),
    ("posterior", BETA, (1, 1, 0), False): ("elbo", of_posterior),
    ("own", BETA, (1, 1, 0), True): ("elbo_shared", of_shared),
    ("prior", BETA, (1, 1, 0), False): ("expected_log_likelihood", of_tied),
    ("prior", BETA, (1, 0, 0), False): ("expected_log_likelihood_less_entropy", of_empty),
    ("own", LOGIT_NORMAL, (1, 1, 0), False): ("elbo_normal", of_normal),
    ("own", LOGIT_NORMAL, (1, 1, -1), False): (
        "elbo_normal_without_jacobian",
        of_normal_without_jacobian,
    ),
    ("own", POINT, (1, 0, 0), False): ("log_joint", of_point),
    ("own", POINT, (1, 0, 1), False): ("log_joint_of_logit", of_point),
    ("own", POINT, (0, 0, 0), False): ("log_likelihood", of_likelihood),
}
"""The objective and its optimum by a guide's origin, source, weights (of prior and source, and the
Jacobian's), and whether it is shared. Over both concentrations, over concentration1, or over no
prior; over concentration0 all is mirrored."""

_BEST_GUIDE: dict[Maximised, Reason] = {
    "elbo_shared": "average_counts",
    "elbo_normal": "family_gap",
    "elbo_normal_without_jacobian": "without_jacobian",
    "expected_log_likelihood": "nothing_learned",
    "expected_log_likelihood_less_entropy": "nothing_learned",
    "other": "best_guide",
}
"""Objectives whose optimum under a given prior is at the guide's best parameters, and why."""


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
    task = Task(loss.adapted(guide), counts)
    learned = learned if guide.has_prior else False
    maximised, optimum_of = OPTIMA.get(_kind(task.guide), ("other", _unknown))
    if not learned and maximised in _BEST_GUIDE:
        optimum = _at_best_guide(task, prior, _BEST_GUIDE[maximised])
    elif learned == "concentration0" and optimum_of is not of_posterior:
        other = Task(task.guide, counts.mirrored)
        swapped = Beta(prior.concentration0, prior.concentration1)
        optimum = mirrored(optimum_of(other, swapped, "concentration1"))
    else:
        optimum = optimum_of(task, prior, learned)
    optimum = optimum._replace(maximised=maximised)
    if isinstance(loss, RenyiBound):
        optimum = of_renyi(loss, guide, optimum, counts, prior, learned, search=search)
    return optimum._replace(maximised=maximised, learned=learned, name=guide.name)


def _kind(guide: Guide) -> Kind:
    weights = guide.prior_weight, guide.source_weight, guide.jacobian
    return guide.origin, guide.source, weights, guide.shared


def _unknown(_task: Task, _prior: Beta, _learned: Learned) -> Optimum:
    return Optimum("unknown", "guide_unknown", np.nan, False)


def _at_best_guide(task: Task, prior: Beta, reason: Reason) -> Optimum:
    """Evaluate the objective at the guide's best parameters; without any it is unbounded."""
    params = task.guide.optimum(column(prior), task.outcomes, task.weights)
    if not np.isfinite(params).all():
        return unbounded("scale_unbounded")
    return at_prior(prior, objective_value(task, prior, params), reason)
