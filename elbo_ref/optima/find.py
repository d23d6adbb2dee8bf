"""`find_optimum`: the optimum of any guide under any loss, by the fields of the guide."""

from __future__ import annotations

import numpy as np

from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.guides import Guide
from elbo_ref.objectives import OBJECTIVES, Objective, Renyi
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import objective_value
from elbo_ref.optima.from_prior import of_empty, of_tied
from elbo_ref.optima.normal import of_normal, of_normal_without_jacobian
from elbo_ref.optima.optimum import Maximised, Optimum, swapped
from elbo_ref.optima.point import of_likelihood, of_point
from elbo_ref.optima.posterior import of_evidence, of_shared
from elbo_ref.optima.renyi import of_renyi
from elbo_ref.svi.parameters import Learned


def find_optimum(
    guide: Guide,
    counts: Counts,
    prior: Beta,
    learned: Learned,
    loss: Objective = OBJECTIVES["exact"],
    *,
    climb: bool = False,
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
    climb : bool
        Whether to search for the optimum of a Renyi bound of two samples, for some seconds.

    Returns
    -------
    Optimum
        Its value is nan where it is not known.
    """
    seen = loss.adapted(guide)
    optimum = _of_guide(seen, counts, prior, learned if guide.has_prior else False)
    if isinstance(loss, Renyi):
        optimum = of_renyi(loss, guide, optimum, counts, prior, learned, climb)
    return optimum._replace(name=guide.name)


def _of_guide(guide: Guide, counts: Counts, prior: Beta, learned: Learned) -> Optimum:
    normal = guide.source is LOGIT_NORMAL
    if not guide.has_prior:
        return of_likelihood(counts)
    if guide.is_elbo and guide.origin != "prior" and not (guide.shared or normal):
        return of_evidence(counts, prior, learned)
    if learned == "concentration0":
        return _of_guide(guide, counts.mirrored, swapped(prior), "concentration1").mirrored
    if guide.is_point:
        return of_point(guide, counts, prior, learned)
    if guide.shared:
        return of_shared(counts, prior, learned)
    if normal:
        if guide.jacobian:
            return of_normal_without_jacobian(guide, counts, prior, learned)
        return of_normal(counts, prior, learned)
    if not learned:
        return _of_given_prior(guide, counts, prior)
    return (of_tied if guide.is_elbo else of_empty)(counts, prior, learned)


def _of_given_prior(guide: Guide, counts: Counts, prior: Beta) -> Optimum:
    """The value of a guide that draws from the prior and has nothing to learn."""
    maximised: Maximised = (
        "expected_log_likelihood" if guide.is_elbo else "expected_log_likelihood_less_entropy"
    )
    value = objective_value(Task(guide, counts), prior, np.zeros((0, len(counts))))
    return Optimum.at_prior(maximised, False, "nothing_learned", prior, value)
