"""Guides without parameters: c is drawn from the prior, inside the model.

`empty`: the guide contains no sample statement. Pyro then draws c in the model; its density is
counted and nothing is subtracted, so what is maximised is not an ELBO but

    J = E_prior[log lik] - H(prior),                                                          (E7)

which has no maximum: a prior that collapses to a point sends it to +infinity.

`tied`: the guide draws c from the prior's own two parameters. The densities cancel, and what is
maximised is

    E_prior[log lik],                                                                         (E8)

whose supremum is the pooled binomial likelihood, approached as the concentration grows: the
classical MLE, in the limit. The guide's density is subtracted, so this is an ELBO, and its gap is
KL(prior || posterior).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.beta_draws import BetaDraws


class _FromPrior(BetaDraws):
    origin = "prior"
    parameter_names: tuple[str, ...] = ()
    own_ranges: tuple[tuple[float, float], ...] = ()

    def start(self, value: object, size: int) -> FloatArray:
        return np.zeros((0, size))

    def constrain(self, unconstrained: FloatArray) -> FloatArray:
        return unconstrained

    def unconstrain(self, own: FloatArray) -> FloatArray:
        return own

    def optimum(self, prior: FloatArray, outcomes: FloatArray, weights: FloatArray) -> FloatArray:
        return np.zeros((0, outcomes.shape[1]))

    def slope(self, own: FloatArray) -> FloatArray:
        return own

    def concentrations(self, prior: FloatArray, own: FloatArray) -> FloatArray:
        return prior

    def draw(self, prior: Beta, own: FloatArray) -> Beta:
        return prior

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return source, own


class EmptyGuide(_FromPrior):
    """``guide="empty"``; ``run.guide`` is None."""

    name = "empty"
    source_weight = 0
    own_density = 1

    def value(self, prior: Beta, own: FloatArray) -> None:
        return None

    def counted_at_center(self, prior: Beta, draw: Beta) -> Any:
        return prior.log_prob_at_mean()

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        return prior + (outcomes - 1)

    def normalizer(self, prior: Beta, own: FloatArray) -> Any:
        return -prior.log_normalizer()


class TiedGuide(_FromPrior):
    """``guide="tied"``; ``run.guide`` is ``run.prior``."""

    name = "tied"
    own_density = 0

    def value(self, prior: Beta, own: FloatArray) -> Beta:
        return prior

    def counted_at_center(self, prior: Beta, draw: Beta) -> float:
        return 0.0

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        return outcomes

    def normalizer(self, prior: Beta, own: FloatArray) -> float:
        return 0.0
