"""The delta guide, Pyro's ``AutoDelta``: c is a point, and its prior density is counted.

What is maximised is the joint density log p(x, c) of the constrained c: under a fixed prior the MAP
of c, mode (A' - 1)/(A' + D' - 2) of the posterior where both are above 1. There is no entropy to
subtract, so this is not an ELBO; over a learnable prior it grows without bound wherever the prior
can collapse onto its latents.

Pyro starts c at a random median of prior draws; ours starts at 1/2 or where a `Delta` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import (
    FloatArray,
    Rng,
    generator,
    sample_shape,
    scalar,
    underflow_is_zero,
)
from elbo_ref.distributions.beta import Beta, Interval
from elbo_ref.guides.beta_draws import log_moments
from elbo_ref.guides.none import Parameter, PointGuide


@underflow_is_zero
class Delta(Parameter):
    """A latent at a point, or an array of them.

    Parameters
    ----------
    probs : array_like, optional
        The point c, strictly between 0 and 1.
    logits : array_like, optional
        Instead: its logit.

    Examples
    --------
    >>> Delta(0.25).interval(0.9)
    Interval(lower=0.25, upper=0.25)
    >>> Delta(0.25).sample(2, rng=0)
    array([0.25, 0.25])
    """

    def interval(self, prob: float) -> Interval:
        """The point itself, twice."""
        scalar("prob", prob, lambda p: 0 < p < 1, "must lie strictly between 0 and 1")
        return Interval(self.mean, self.mean)

    def sample(self, size: int | tuple[int, ...], rng: Rng) -> FloatArray:
        """The point, over and over."""
        generator(rng)
        return np.broadcast_to(self.mean, (*sample_shape(size), *self.shape)).copy()


def log_jacobian(logits: float | FloatArray) -> FloatArray:
    """log c + log(1 - c), the logarithm of dc/d(logit)."""
    y = np.asarray(logits)
    logs: FloatArray = sc.log_expit(y) + sc.log_expit(-y)
    return logs


class JointGuide(PointGuide):
    """The joint density of data and a point: of c if `less` is 1, of its logit if it is 0."""

    less: float

    def counted_at_center(self, prior: Beta, draw: Parameter) -> Any:
        on_logit = prior.log_prob_of_logit(draw.center_logit())
        return on_logit - self.less * log_jacobian(draw.center_logit())

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        return prior + (outcomes - self.less)

    def normalizer(self, prior: Beta, own: FloatArray) -> Any:
        return -prior.log_normalizer()

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return logs - log_moments(prior), source


class DeltaGuide(JointGuide):
    """``guide="delta"``, or a `Delta` to start from; ``run.guide`` is a `Delta` of shape (G,)."""

    name = "delta"
    less = 1.0

    def value(self, prior: Beta, own: FloatArray) -> Delta:
        return Delta(logits=own[0])
