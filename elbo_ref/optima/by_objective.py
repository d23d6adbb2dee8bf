r"""Where SVI leads under a loss that changes the objective; `optima.by_guide` has the others.

**The mean field.** `TraceMeanField_ELBO` drops the Jacobian c (1 - c) of a guide on the logit.
`laplace` is then `delta`. With `normal` the exponents of c and 1 - c are A' - 1 and D' - 1: what is
maximised is the ELBO of a normal guide for counts with a success and a failure less in each latent.
Where a latent has none to give, and the prior does not make up for it, the exponent can be 0 or
less, the normal leaves for that end with a growing scale, and log s grows without bound.

**The Renyi bound.** For alpha >= 0 it is below the evidence in expectation, so that a guide that
can be the posterior leads where the evidence does; a point has no noise that it could weight; and
what a `conjugate` guide gives is the evidence, for each alpha. Between 0 and 1 it is above the
ELBO, for other guides somewhere between that and the evidence. For two samples it is an integral
over two draws, which `climbed` climbs from the ELBO's maximum or the evidence's; where that ends no
higher than the ELBO's supremum, it is the same supremum. Above 1 it is below the ELBO, and `tied`
leads where it does: all its weights become equal as the prior collapses. Under an empty guide the
log weights are log p(x, c), all of which grow without bound as the prior collapses.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy import optimize

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.guides import GUIDES
from elbo_ref.guides.optimum import normal_optimum
from elbo_ref.mle.solve import totals
from elbo_ref.objectives import Objective, Renyi
from elbo_ref.objectives.base import Step, Task
from elbo_ref.objectives.exact import Exact, column, objective_value
from elbo_ref.optima.by_guide import best_normal, destination
from elbo_ref.optima.prior import Destination, Learnable, at_prior
from elbo_ref.svi.parameters import Coordinates, Learned

_NODES, _WITHIN = 161, (-20.0, 20.0)
"""What a bound of two samples is climbed with: nodes for each draw, unconstrained parameters."""
_LEARNED: dict[str, Learned] = {
    "both": True,
    "nothing": False,
    "concentration1": "concentration1",
    "concentration0": "concentration0",
}
_NOT_KNOWN = "a Renyi bound, whose maximum is not known here"
_NO_JACOBIAN = "not an ELBO: without the Jacobian, as if each latent had a trial of each kind less"


def destination_under(
    loss: Objective,
    guide: str,
    counts: Counts,
    prior: Beta,
    learnable: Literal["nothing"] | Learnable,
) -> Destination:
    """`optima.by_guide.destination` under a loss; its value is nan where that is not known."""
    found = _sought(loss, guide, counts, prior, learnable)
    return found.not_known if isinstance(found, _Bracket) else found


def climbed(
    loss: Objective,
    guide: str,
    counts: Counts,
    prior: Beta,
    learnable: Literal["nothing"] | Learnable,
) -> Destination:
    """The same, and where a Renyi bound of two samples leads, which takes seconds."""
    found = _sought(loss, guide, counts, prior, learnable)
    return found.climbed(counts, learnable) if isinstance(found, _Bracket) else found


def _sought(
    loss: Objective,
    guide: str,
    counts: Counts,
    prior: Beta,
    learnable: Literal["nothing"] | Learnable,
) -> Destination | _Bracket:
    if loss.name == "trace_mean_field" and guide == "normal":
        return _normal_without_jacobian(counts, prior, learnable)
    if loss.name == "trace_mean_field" and guide == "laplace":
        return destination("delta", counts, prior, learnable)
    lead = destination(guide, counts, prior, learnable)
    return (
        _of_renyi(loss, guide, lead, counts, prior, learnable) if isinstance(loss, Renyi) else lead
    )


def _normal_without_jacobian(
    counts: Counts, prior: Beta, learnable: Literal["nothing"] | Learnable
) -> Destination:
    live = counts.multiplicity > 0
    k, f = counts.successes[live].astype(np.float64), counts.failures[live].astype(np.float64)
    n, w = counts.total_count[live], counts.multiplicity[live]
    a, b = map(float, prior.arrays())
    lost_a = k == 0 if learnable in ("both", "concentration1") else a + k <= 1
    lost_b = f == 0 if learnable in ("both", "concentration0") else b + f <= 1
    if (lost_a | lost_b).any():
        why = "not an ELBO: without the Jacobian the scale of a latent grows without bound"
        return Destination("nowhere", None, None, None, np.inf, False, why)
    if learnable == "nothing":
        best = normal_optimum(a + k - 1, b + f - 1)
        task = Task(GUIDES["normal"].without_jacobian(), Counts(counts.successes[live], n, w))
        split = float(w @ counts.log_split[live])
        value = objective_value(task, prior, np.array(best.arrays())) + split
        return at_prior(prior, value, _NO_JACOBIAN)
    if ((k == 0) | (f == 0)).any():
        why = "not an ELBO, without the Jacobian; its maximum is not known here"
        return Destination("not known", None, None, None, np.nan, False, why)
    fewer = Counts(counts.successes[live] - 1, n - 2, w)
    added = float(w @ (counts.log_coefficient[live] - fewer.log_coefficient))
    lead = destination("normal", fewer, prior, learnable)
    return lead._replace(value=lead.value + added, reason=_NO_JACOBIAN)


def _of_renyi(
    loss: Renyi,
    guide: str,
    lead: Destination,
    counts: Counts,
    prior: Beta,
    learnable: Literal["nothing"] | Learnable,
) -> Destination | _Bracket:
    known = guide in ("conjugate", "conjugate_detached", "none", "delta", "laplace")
    known |= guide == "beta" and loss.alpha >= 0
    known |= guide == "tied" and loss.alpha > 1 and learnable == "both"
    known |= guide == "empty" and learnable == "both"
    if known or loss.num_samples == 1:
        return lead
    if guide in ("tied", "beta_shared", "normal") and 0 <= loss.alpha < 1:
        evidence = destination("beta", counts, prior, learnable)
        if lead.value >= evidence.value - 1e-9 * (1 + abs(evidence.value)):
            return lead
        return _Bracket(loss, guide, lead, evidence)
    return Destination("not known", None, None, None, np.nan, False, _NOT_KNOWN)


class _Bracket(NamedTuple):
    """A Renyi bound of which only this is known: it lies above the ELBO and below the evidence."""

    loss: Renyi
    guide: str
    elbo: Destination
    evidence: Destination

    @property
    def words(self) -> str:
        elbo, evidence = number(self.elbo.value), number(self.evidence.value)
        return f"between the ELBO's, {elbo}, and the evidence's, {evidence}"

    @property
    def not_known(self) -> Destination:
        why = f"{_NOT_KNOWN}: {self.words}"
        return Destination("not known", None, None, None, np.nan, False, why)

    def climbed(self, counts: Counts, learnable: Literal["nothing"] | Learnable) -> Destination:
        """For two samples, from the maximum of one of the two; the ELBO's end if that is higher."""
        begin = self.elbo if self.elbo.attained else self.evidence
        a, b = begin.concentration1, begin.concentration0
        if self.loss.num_samples != 2 or not (begin.attained and a and b):
            return self.not_known
        best, height = _climb(self.loss, self.guide, counts, Beta(a, b), learnable)
        if height <= self.elbo.value:
            return self.elbo
        why = f"the Renyi bound of two samples, climbed and not proved: {self.words}"
        place = "Beta({:.3g}, {:.3g})".format(*best.arrays())
        return at_prior(best, height, why)._replace(place=place)


def _climb(
    loss: Renyi,
    guide: str,
    counts: Counts,
    start: Beta,
    learnable: Literal["nothing"] | Learnable,
) -> tuple[Beta, float]:
    """From a prior, with the guide that is best there by the ELBO, to a maximum of the bound."""
    task = Task(GUIDES[guide], counts)
    at: Beta | LogitNormal = start
    if guide == "normal":
        at = best_normal(start, counts)
    elif guide == "beta_shared":
        at = start.conjugate_update(*(x / counts.num_latents for x in totals(counts)))
    own = GUIDES[guide].start(at, 1 if GUIDES[guide].shared else len(counts))
    coarse, fine = (_BoundOfTwo(loss, nodes) for nodes in (_NODES, 4 * _NODES))
    rng, best = np.random.default_rng(0), start
    if own.size or learnable != "nothing":
        space = Coordinates(task, start, _LEARNED[learnable], own)

        def descent(vector: FloatArray) -> tuple[float, FloatArray]:
            gradient, value = space.gradient(coarse, vector, 1, rng)
            return -value, -gradient

        found = optimize.minimize(
            descent, space.start, jac=True, method="L-BFGS-B", bounds=[_WITHIN] * space.start.size,
            options={"ftol": 1e-14, "gtol": 1e-7, "maxiter": 500},
        )  # fmt: skip
        prior, own = space.split(found.x)
        best = Beta(*map(float, prior[:, 0]))
    return best, fine.step(task, column(best), own, 1, rng).value


class _BoundOfTwo(Exact):
    """The expectation of the bound of two samples, and its gradient."""

    def __init__(self, loss: Renyi, nodes: int) -> None:
        self._loss, self._nodes = loss, nodes

    def step(
        self,
        task: Task,
        prior: FloatArray,
        own: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        elbo = super().step(task, prior, own, num_particles, rng)
        more = self._loss.above_elbo(task, prior, own, self._nodes)
        value = objective_value(task, Beta(*prior[:, 0]), own) + more.value
        return Step(elbo.prior + more.prior, elbo.own + more.own, value)
