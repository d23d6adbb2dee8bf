"""Any parameters of a guide, a run's end or somebody's, seen by the oracle.

Beside the objective there stand the evidence of the prior, the gap

    KL(guide || posterior) = evidence - ELBO,                                                 (E4)

the highest evidence that any prior has (`elbo_ref.mle.result`), and the optimum of the objective
itself (`elbo_ref.optima`). How far the parameters are below that, and what their noise allows
(`elbo_ref.svi.convergence`), decides which case it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from elbo_ref._validation.arguments import FloatArray, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.evidence import log_evidence, posterior
from elbo_ref.guides import GUIDES, Guide, GuideValue
from elbo_ref.guides.constraints import LARGEST, SMALLEST
from elbo_ref.mle.result import EvidenceMaximum
from elbo_ref.objectives import Objective, RenyiBound
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import elbo, objective_value
from elbo_ref.objectives.subsample import Subsampled
from elbo_ref.optima.find import find_optimum
from elbo_ref.optima.optimum import Optimum
from elbo_ref.optima.posterior import highest_evidence
from elbo_ref.svi.convergence import ARRIVED, NEGLIGIBLE, NoiseFloor, find_floor
from elbo_ref.svi.parameters import Learned, ParameterVector
from elbo_ref.svi.result import Run
from elbo_ref.svi.stationarity import Stationarity, stationarity

Case = Literal["converged", "noise_floor", "not_converged", "drifting", "unbounded", "unknown"]


@dataclass(frozen=True, eq=False)
class Point:
    """Somebody's parameters of a guide under a loss.

    Attributes
    ----------
    counts : Counts
    guide_name : str
    loss : Objective
    prior : Beta, shape ()
    guide_parameters : ndarray, shape (k, G)
        Constrained.
    learn_prior : bool or str
    rate : float or None
        The learning rate of the last step, where that is known.
    num_particles : int
    batch : int or None
        Latents, or single trials of one latent, that a step sees; None for all.
    of_adam : bool
        False if the steps are known to be another optimizer's, of whose noise nothing is known.
    """

    counts: Counts
    guide_name: str
    loss: Objective
    prior: Beta
    guide_parameters: FloatArray = field(repr=False)
    learn_prior: Learned
    rate: float | None
    num_particles: int
    batch: int | None = None
    of_adam: bool = True

    @cached_property
    def _task(self) -> Task:
        return Task(self.loss.adapted(GUIDES[self.guide_name]), self.counts)

    @cached_property
    def _parameters(self) -> ParameterVector | None:
        """The parameters that are learned; None if there are none, or the prior is out of range."""
        within = all(SMALLEST <= x <= LARGEST for x in self.prior.arrays())
        if not within or not (self.learn_prior or self._task.guide.parameter_names):
            return None
        unconstrained = self._task.guide.unconstrain(self.guide_parameters)
        return ParameterVector(self._task, self.prior, self.learn_prior, unconstrained)

    @property
    def guide(self) -> GuideValue | None:
        """The guide as a value; None if it is empty."""
        value: GuideValue | None = self._task.guide.value(self.prior, self.guide_parameters)
        return value

    @cached_property
    def objective(self) -> float:
        """The exact objective at the point, nats."""
        return objective_value(self._task, self.prior, self.guide_parameters)

    @cached_property
    def stationarity(self) -> Stationarity:
        """The distance from a maximum of the exact objective, by Newton."""
        if self._parameters is None:
            return Stationarity(np.inf, np.inf)
        with np.errstate(all="ignore"):
            return stationarity(self._parameters, self._parameters.start)

    @cached_property
    def floor(self) -> NoiseFloor | None:
        """The noise floor at the maximum; None where that or the learning rate is not known."""
        loss, parameters = self.loss, self._parameters
        if self.rate is None or parameters is None:
            return None
        if self.batch is not None and self.batch < self._whole:
            if isinstance(loss, RenyiBound):
                return None
            loss = Subsampled(loss, self.batch)
        return find_floor(parameters, loss, parameters.start, self.num_particles, self.rate)

    @property
    def _whole(self) -> int:
        """Latents, or single trials of one latent."""
        one = self.counts.num_latents == 1
        return int(self.counts.total_count[0]) if one else self.counts.num_latents


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class PointDiagnosis:
    """The oracle's view of a point.

    Attributes
    ----------
    point : Point or Run
    """

    point: Point | Run = field(repr=False)

    @cached_property
    def family(self) -> Guide:
        """The guide, whatever its parameters."""
        return GUIDES[self.point.guide_name]

    @cached_property
    def optimum(self) -> Optimum:
        """The optimum of the objective over what is learned."""
        at = self.point
        return find_optimum(self.family, at.counts, at.prior, at.learn_prior, at.loss)

    @cached_property
    def supremum(self) -> EvidenceMaximum:
        """The highest evidence over what is learned of the prior, or over all priors."""
        return highest_evidence(self.point.counts, self.point.prior, self.point.learn_prior)

    @property
    def objective(self) -> float:
        """The exact objective at the point."""
        return self.point.objective

    @cached_property
    def log_evidence(self) -> float | None:
        """The log evidence of the prior; None where the model has no prior."""
        if not self.family.has_prior:
            return None
        return log_evidence(self.point.prior, self.point.counts)

    @property
    def exact_posterior(self) -> Beta | None:
        """The exact posterior of each latent (E2); None without a prior."""
        if not self.family.has_prior:
            return None
        return posterior(self.point.prior, self.point.counts)

    @cached_property
    def gap(self) -> float | None:
        """KL(guide || posterior), in nats, summed over latents; None if there is no such guide."""
        at = self.point
        if isinstance(at.guide, Beta):
            each = at.guide.kl(posterior(at.prior, at.counts))
            return float(np.sum(at.counts.multiplicity * each))
        if isinstance(at.guide, LogitNormal) and self.log_evidence is not None:
            return max(self.log_evidence - elbo(at.guide, at.prior, at.counts), 0.0)
        return None

    @property
    def elbo(self) -> float | None:
        """The ELBO of the guide; None if it is no distribution of the latents."""
        if self.point.loss.adapted(self.family).is_elbo:
            return self.objective
        if self.log_evidence is None or self.gap is None:
            return None
        return self.log_evidence - self.gap

    @property
    def distance(self) -> float | None:
        """The evidence of the prior below the highest, in nats."""
        return None if self.log_evidence is None else self.supremum.log_evidence - self.log_evidence

    @property
    def shortfall(self) -> float:
        """The objective below its supremum, in nats."""
        return self.optimum.value - self.objective

    @cached_property
    def case(self) -> Case:
        """The case that holds.

        ``"converged"``: at a maximum of its own exact objective, or within 1e-3 nats of the
        highest; ``"unbounded"``: there is none; ``"drifting"``: to a supremum that is not attained;
        ``"noise_floor"``: as near its maximum as its learning rate and number of particles let it
        come (`Run.noise_floor`); ``"not_converged"``: farther from it; ``"unknown"``: the optimum
        is not known.
        """
        if np.isposinf(self.optimum.value):
            return "unbounded"
        if self.optimum.attained and self.shortfall <= ARRIVED:
            return "converged"
        if self.point.stationarity.holds:
            return "converged"
        if np.isnan(self.optimum.value):
            return "unknown"
        if not self.optimum.attained:
            return "drifting"
        floor = self.floor
        return "noise_floor" if floor and floor.allows(self.shortfall) else "not_converged"

    @property
    def floor(self) -> NoiseFloor | None:
        """The noise floor that the point may be at."""
        return self.point.floor

    @property
    def at_maximum(self) -> bool:
        """True if the point passes for a maximum: converged, or at a floor less than 1/2 below."""
        near = self.case == "noise_floor" and self.shortfall <= NEGLIGIBLE
        return near or self.case == "converged"
