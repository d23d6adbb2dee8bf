r"""Optima of the Renyi bound of several samples.

For alpha >= 0 it is below the evidence in expectation, so that under a guide that can be the
posterior its optimum is the evidence's; a point has no noise that it could weight; and a
`conjugate` guide gives the evidence, for each alpha. Between 0 and 1 it is above the ELBO, for
other guides somewhere between that and the evidence. For two samples it is an integral over two
draws, and is maximised from the ELBO's maximum or the evidence's; where that ends no higher than
the ELBO's supremum, it is the same supremum. Above 1 it is below the ELBO, and `tied` has the
ELBO's optimum: all its weights become equal as the prior collapses. Under an empty guide the log
weights are log p(x, c), all of which grow without bound as the prior collapses.
"""

from __future__ import annotations

import numpy as np
import scipy

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import Guide
from elbo_ref.objectives import RenyiBound
from elbo_ref.objectives.base import Step, Task
from elbo_ref.objectives.exact import Exact, column, objective_value
from elbo_ref.optima.optimum import Optimum, at_prior
from elbo_ref.optima.posterior import of_evidence
from elbo_ref.svi.parameters import Learned, ParameterVector

_NODES, _WITHIN = 161, (-20.0, 20.0)
"""Nodes for each of two draws, and the range of the unconstrained parameters."""
_POINTS = ("log_likelihood", "log_joint", "log_joint_of_logit")
_LOOSE = ("expected_log_likelihood", "elbo_shared", "elbo_normal")


def of_renyi(
    loss: RenyiBound,
    guide: Guide,
    elbo: Optimum,
    counts: Counts,
    prior: Beta,
    learned: Learned,
    *,
    search: bool,
) -> Optimum:
    """Find the optimum of the bound, given that of the objective for one sample.

    With `search` also that of two samples which is known from a search only, and takes seconds.
    """
    both, alpha, maximised = learned is True, loss.alpha, elbo.maximised
    known = loss.num_samples == 1 or maximised in _POINTS
    known |= maximised == "elbo" and (alpha >= 0 or guide.origin == "posterior")
    known |= maximised == "expected_log_likelihood" and alpha > 1 and both
    known |= maximised == "expected_log_likelihood_less_entropy" and both
    if known:
        return elbo
    unknown = Optimum("unknown", "renyi_unknown", np.nan, False)
    if maximised not in _LOOSE or not 0 <= alpha < 1:
        return unknown
    evidence = of_evidence(counts, prior, learned)
    if elbo.value >= evidence.value - 1e-9 * (1 + abs(evidence.value)):
        return elbo
    bounds = elbo.value, evidence.value
    start = elbo if elbo.attained else evidence
    if not (search and loss.num_samples == 2 and start.attained and start.prior):
        return unknown._replace(reason="renyi_between", numbers=bounds)
    best, height = maximize_bound(loss, guide, counts, start.prior, learned)
    if height <= elbo.value:
        return elbo
    return at_prior(best, height, "renyi_searched")._replace(numbers=bounds)


def maximize_bound(
    loss: RenyiBound, guide: Guide, counts: Counts, start: Beta, learned: Learned
) -> tuple[Beta, float]:
    """Maximise the bound of two samples, from a prior and the guide with the best ELBO there."""
    task, rng, best = Task(guide, counts), np.random.default_rng(0), start
    params = guide.unconstrain(guide.optimum(column(start), task.outcomes, task.weights))
    coarse, fine = (BoundOfTwo(loss, nodes) for nodes in (_NODES, 4 * _NODES))
    if params.size or learned:
        parameters = ParameterVector(task, start, learned, params)

        start_at = parameters.start

        def descent(vector: FloatArray) -> tuple[float, FloatArray]:
            gradient, value = parameters.gradient(coarse, vector, 1, rng)
            return -value, -gradient

        result = scipy.optimize.minimize(
            descent, start_at, jac=True, method="L-BFGS-B", bounds=[_WITHIN] * start_at.size,
            options={"ftol": 1e-14, "gtol": 1e-7, "maxiter": 500},
        )  # fmt: skip
        prior, params = parameters.split(result.x)
        best = Beta(*map(float, prior[:, 0]))
    return best, fine.step(task, column(best), params, 1, rng).value


class BoundOfTwo(Exact):
    """The expectation of the Renyi bound of two samples, and its gradient, by quadrature."""

    def __init__(self, loss: RenyiBound, nodes: int) -> None:
        self._loss, self._nodes = loss, nodes

    def step(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Evaluate value and gradient at constrained parameters."""
        elbo = super().step(task, prior, params, num_particles, rng)
        more = self._loss.above_elbo(task, prior, params, self._nodes)
        value = objective_value(task, Beta(*prior[:, 0]), params) + more.value
        return Step(elbo.prior + more.prior, elbo.params + more.params, value)
