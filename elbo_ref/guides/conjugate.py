"""The exact posterior as guide: Beta(a0 + K, b0 + F), without parameters of its own.

The ELBO is then the evidence, whatever the prior. `conjugate` has the prior's parameters in the
guide too: c cancels from log p(x, c) - log q(c) altogether (but on batches of observations), and
each step is an optimizer step on the exact gradient of the evidence, with zero variance.
`conjugate_detached` takes the posterior's concentrations as constants (``.detach()``): the gradient
is that of log p alone,

    log c - E_prior log c    and    log(1 - c) - E_prior log(1 - c),

which has the same expectation (Fisher's identity), and noise. Neither is the EM algorithm, which
would maximise over the prior under a posterior that is held.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.beta_draws import BetaDraws, log_moments
from elbo_ref.guides.protocol import bound


class ConjugateGuide(BetaDraws):
    """``guide="conjugate"``; ``run.guide`` is the posterior, a `Beta` of shape (G,).

    What it has for each latent, `own`, are the outcomes.
    """

    name = "conjugate"
    origin = "posterior"
    parameter_names: tuple[str, ...] = ()
    own_ranges: tuple[tuple[float, float], ...] = ()
    _outcomes: FloatArray

    def on(self, outcomes: FloatArray) -> ConjugateGuide:
        return bound(self, outcomes)

    def start(self, value: object, size: int) -> FloatArray:
        return np.zeros((0, size))

    def constrain(self, unconstrained: FloatArray) -> FloatArray:
        rows = np.expand_dims(self._outcomes, tuple(range(1, unconstrained.ndim - 1)))
        return np.broadcast_to(rows, (2, *unconstrained.shape[1:]))

    def unconstrain(self, own: FloatArray) -> FloatArray:
        return np.zeros((0, *own.shape[1:]))

    def optimum(self, prior: FloatArray, outcomes: FloatArray, weights: FloatArray) -> FloatArray:
        return outcomes

    def slope(self, own: FloatArray) -> FloatArray:
        return np.zeros((0, *own.shape[1:]))

    def concentrations(self, prior: FloatArray, own: FloatArray) -> FloatArray:
        return prior + own

    def draw(self, prior: Beta, own: FloatArray) -> Beta:
        a, b = prior.arrays()
        return Beta(a + own[0], b + own[1])

    def value(self, prior: Beta, own: FloatArray) -> Beta:
        a, b = prior.arrays()
        return self.draw(Beta(a[..., None], b[..., None]) if prior.shape else prior, own)

    def counted_at_center(self, prior: Beta, draw: Beta) -> Any:
        return -draw.log_ratio_at_mean(prior)

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        """0, unless the likelihood is of a batch only."""
        return np.broadcast_to(outcomes - own, np.broadcast_shapes(prior.shape, outcomes.shape))

    def normalizer(self, prior: Beta, own: FloatArray) -> Any:
        return self.draw(prior, own).log_normalizer() - prior.log_normalizer()

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        moved = source + (self.log_moments(prior, own) - log_moments(prior))
        return moved, moved[..., :0, :]


class DetachedConjugateGuide(ConjugateGuide):
    """``guide="conjugate_detached"``: the posterior, whose concentrations pass no gradient on."""

    name = "conjugate_detached"
    detached = True

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        by_prior = logs - log_moments(prior)
        return by_prior, by_prior[..., :0, :]
