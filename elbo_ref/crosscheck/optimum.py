"""Whether parameters are where their objective is highest, and whether there is such a place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence, posterior
from elbo_ref.guides import GUIDES
from elbo_ref.guides.constraints import LARGEST, SMALLEST
from elbo_ref.mle.result import maximize_evidence
from elbo_ref.objectives import Objective
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import objective_value
from elbo_ref.optima.by_objective import destination_under
from elbo_ref.svi.convergence import ARRIVED, NEGLIGIBLE, NoiseFloor, find_floor
from elbo_ref.svi.parameters import Coordinates, Learned

_ELBOS = ("beta", "beta_shared", "tied", "conjugate", "conjugate_detached", "normal")


class Place(NamedTuple):
    """One set of parameters of a guide under a loss, the prior's (2,) and its own (k, G)."""

    counts: Counts
    guide: str
    loss: Objective
    prior: FloatArray
    own: FloatArray
    learned: Learned
    rate: float | None
    """The learning rate of its last step, where that is known."""
    num_particles: int

    @property
    def task(self) -> Task:
        """The guide on the counts."""
        return Task(self.loss.adapted(GUIDES[self.guide]), self.counts)

    @property
    def model(self) -> Beta:
        """The prior as a value."""
        return Beta(*map(float, self.prior))

    @property
    def objective(self) -> float:
        """What is maximised, exactly."""
        return objective_value(self.task, self.model, self.own)

    def posterior(self) -> Beta | None:
        """The exact posterior of each latent; None without a prior."""
        return posterior(self.model, self.counts) if GUIDES[self.guide].has_prior else None

    def exact(self) -> dict[str, float | None]:
        """The exact numbers here, by name."""
        found: dict[str, float | None] = {"objective": self.objective}
        if GUIDES[self.guide].has_prior:
            evidence = float(log_evidence(self.model, self.counts))
            if self.guide in _ELBOS:
                elbo = objective_value(Task(GUIDES[self.guide], self.counts), self.model, self.own)
                found["elbo"], found["gap"] = elbo, evidence - elbo
            highest = maximize_evidence(self.counts).log_evidence
            found |= {"log_evidence": evidence, "highest_log_evidence": highest}
        return found

    def finding(self) -> Finding:
        """Whether it is a maximum."""
        learnable = "both" if self.learned is True else self.learned or "nothing"
        lead = destination_under(self.loss, self.guide, self.counts, self.model, learnable)
        here = self.objective
        if np.isnan(lead.value):
            return Finding("at_optimum", "the maximum", here, None, None, lead.reason, "untested")
        if np.isinf(lead.value):
            what = f"the objective has no maximum: {lead.reason}"
            return Finding("unbounded", what, here, None, None, "derived", "optimum")
        short = lead.value - here
        words = f"the objective is {number(max(short, 0.0))} nats below its "
        if not lead.attained:
            what = f"{words}supremum, which is not attained ({lead.place})"
            return Finding("drifting", what, here, lead.value, None, lead.reason, "optimum")
        where = lead.place
        if not self.learned and GUIDES[self.guide].has_prior:
            where = f"over the guide, for the prior {where}"
        what = f"{words}maximum ({where})"
        return self._nearness(what, short)._replace(theirs=here, ours=lead.value)

    def _nearness(self, what: str, short: float) -> Finding:
        """What being so many nats below a maximum comes to."""
        if short <= ARRIVED:
            reason = "what counts as there"
            return Finding("at_optimum", what, None, None, ARRIVED, reason, "agrees")
        floor = self._floor()
        if floor is None or not floor.allows(short):
            most, reason = ARRIVED, "what counts as there"
            if floor and floor.allowance > most:
                most = floor.allowance
                reason = f"what the noise floor allows, {_words(floor)}"
            beyond = f"more than {number(most)}, {reason}"
            return Finding("not_converged", what, None, None, most, beyond, "optimum")
        near = f"{what}, as near as the noise of its gradients lets it come"
        if short <= NEGLIGIBLE:
            most = min(floor.allowance, NEGLIGIBLE)
            return Finding("at_optimum", near, None, None, most, _words(floor), "agrees")
        beyond = f"more than {number(NEGLIGIBLE)}, what a maximum may lack; {_words(floor)}"
        return Finding("noise_floor", near, None, None, NEGLIGIBLE, beyond, "optimum")

    def _floor(self) -> NoiseFloor | None:
        """At the maximum."""
        within = all(SMALLEST <= x <= LARGEST for x in self.prior)
        if self.rate is None or not within or not (self.learned or self.own.size):
            return None
        guide = self.task.guide
        space = Coordinates(self.task, self.model, self.learned, guide.unconstrain(self.own))
        return find_floor(space, self.loss, space.start, self.num_particles, self.rate)


def _words(floor: NoiseFloor) -> str:
    mean = number(floor.nats)
    return f"{mean} in the mean at this learning rate and number of particles"
