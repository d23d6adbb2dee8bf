"""The full guide: c ~ Beta(a, b), one pair of its own positive parameters per latent.

What is maximised is the ELBO (E3),

    E_q[log lik] - KL(q || prior),      at most the evidence, and equal to it at the posterior (E4).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elbo_ref._validation.arguments import FloatArray, check_fits
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.beta_draws import BetaDraws, log_moments
from elbo_ref.guides.positive import EXP, Positive


class BetaGuide(BetaDraws):
    """``guide="beta"``, or a `Beta` to start from; ``run.guide`` is a `Beta` of shape (G,)."""

    name = "beta"
    parameter_names: tuple[str, ...] = ("concentration1", "concentration0")
    own_density = -1
    has_score = True

    def __init__(self, positive: Positive = EXP) -> None:
        self.positive, self.own_ranges = positive, (positive.range, positive.range)

    def under(self, positive: Positive) -> BetaGuide:
        return type(self)(positive)

    def start(self, value: object, size: int) -> FloatArray:
        start = value if isinstance(value, Beta) else Beta(1.0, 1.0)
        check_fits("guide", start.shape, size)
        return self.unconstrain(np.array([np.broadcast_to(x, (size,)) for x in start.arrays()]))

    def constrain(self, unconstrained: FloatArray) -> FloatArray:
        return self.positive.constrain(unconstrained)

    def unconstrain(self, own: FloatArray) -> FloatArray:
        return self.positive.unconstrain(own)

    def optimum(self, prior: FloatArray, outcomes: FloatArray, weights: FloatArray) -> FloatArray:
        """The posterior's concentrations (E2)."""
        return prior + outcomes

    def slope(self, own: FloatArray) -> FloatArray:
        return self.positive.slope(own)

    def concentrations(self, prior: FloatArray, own: FloatArray) -> FloatArray:
        return own

    def draw(self, prior: Beta, own: FloatArray) -> Beta:
        return Beta(own[0], own[1])

    def value(self, prior: Beta, own: FloatArray) -> Beta:
        return self.draw(prior, own)

    def counted_at_center(self, prior: Beta, draw: Beta) -> Any:
        return -draw.log_ratio_at_mean(prior)

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        return (prior + outcomes) - own

    def normalizer(self, prior: Beta, own: FloatArray) -> Any:
        return self.draw(prior, own).log_normalizer() - prior.log_normalizer()

    def score(self, logit: FloatArray, logs: FloatArray, own: FloatArray) -> FloatArray:
        return logs - log_moments(own)[:, None]

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return logs - log_moments(prior), source


class SharedBetaGuide(BetaGuide):
    """``guide="beta_shared"``: one pair of parameters for all latents, amortised away.

    ``run.guide`` is a `Beta` of shape (1,). But for the coefficients what it maximises is G times
    the ELBO of one latent with the average counts.
    """

    name = "beta_shared"
    shared = True

    def optimum(self, prior: FloatArray, outcomes: FloatArray, weights: FloatArray) -> FloatArray:
        """The posterior's concentrations for the average counts."""
        mean: FloatArray = (outcomes @ weights / max(weights.sum(), 1.0))[:, None]
        return prior + mean

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        by_prior, by_own = super().collect(source, logs, prior, own)
        return np.broadcast_to(by_prior, by_own.shape), by_own
