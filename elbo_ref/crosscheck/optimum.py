"""Whether parameters are where their objective is highest, and whether there is such a place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elbo_ref.adam import Adam
from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.climb import noise_floor
from elbo_ref.coordinates import Learned
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.diagnosis import ARRIVED
from elbo_ref.evidence import log_evidence, posterior
from elbo_ref.guides import GUIDES
from elbo_ref.guides.positive import LARGEST, SMALLEST
from elbo_ref.losses import destination_under
from elbo_ref.maximum import maximize_evidence
from elbo_ref.objectives import LossValue, Objective
from elbo_ref.objectives.exact import objective_value
from elbo_ref.objectives.protocol import Task
from elbo_ref.svi import begin
from elbo_ref.words import number

_ELBOS = ("beta", "beta_shared", "tied", "conjugate", "conjugate_detached", "normal")


class Place(NamedTuple):
    """One set of parameters of a guide under a loss, the prior's (2,) and its own (k, G)."""

    counts: Counts
    guide: str
    loss: Objective
    prior: FloatArray
    own: FloatArray
    learned: Learned
    optimizer: Adam | None
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
        allowance, reason = self._allowance()
        words = f"the objective is {number(max(short, 0.0))} nats below its "
        if not lead.attained:
            what = f"{words}supremum, which is not attained ({lead.place})"
            return Finding("drifting", what, here, lead.value, None, lead.reason, "optimum")
        where = lead.place
        if not self.learned and GUIDES[self.guide].has_prior:
            where = f"over the guide, for the prior {where}"
        what = f"{words}maximum ({where})"
        if short <= allowance:
            return Finding("at_optimum", what, here, lead.value, allowance, reason, "agrees")
        beyond = f"more than {number(allowance)}, {reason}"
        return Finding("not_converged", what, here, lead.value, allowance, beyond, "optimum")

    def _allowance(self) -> tuple[float, str]:
        floor = self._noise_floor()
        if floor is not None and 2 * floor > ARRIVED:
            return 2 * floor, "twice the noise floor of this learning rate and number of particles"
        return ARRIVED, "what counts as there"

    def _noise_floor(self) -> float | None:
        if self.optimizer is None or not self.loss.random:
            return None
        within = all(SMALLEST <= x <= LARGEST for x in self.prior)
        if not within or not (self.learned or self.own.size):
            return None
        setup = begin(
            self.counts,
            guide=self.guide,
            loss=self.loss if isinstance(self.loss, LossValue) else self.loss.name,
            prior=self.model,
            learn_prior=self.learned,
            optimizer=self.optimizer,
            num_particles=min(self.num_particles, 2),  # nothing is drawn
            rng=0,
        ).setup
        setup = setup._replace(
            own=GUIDES[self.guide].unconstrain(self.own), num_particles=self.num_particles
        )
        space = setup.space()
        return noise_floor(setup, space, space.start, 0)
