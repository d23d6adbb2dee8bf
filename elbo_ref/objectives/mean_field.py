"""``trace_mean_field``: the expected log likelihood by draws, the divergence in closed form.

    average over particles of log lik(c)  -  KL(q || prior)

as Pyro's ``TraceMeanField_ELBO``: for a Beta guide the same expectation as ``trace``, with another
noise. Exactly, -KL is this guide's objective for a latent without trials.

For ``AutoNormal`` and ``AutoLaplaceApproximation`` Pyro's class takes the divergence of a point,
the draw, from the prior and so drops the Jacobian log c + log(1 - c) of the logit: what comes out
is *not an ELBO*, and all of it is drawn, as in ``trace``. It is reproduced: their tilt is that of a
prior with both concentrations smaller by 1, and `laplace` becomes `delta`. With an empty guide
Pyro's class fails, as it finds no guide to compare the prior with.
"""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.guides import Guide
from elbo_ref.objectives.base import Step, Task
from elbo_ref.objectives.exact import column
from elbo_ref.objectives.gradient_noise import Latents
from elbo_ref.objectives.trace import Averages, Drawn, Trace


class TraceMeanField(Trace):
    """The ELBO with a closed-form divergence, ``loss="trace_mean_field"``."""

    def __init__(self) -> None:
        super().__init__("trace_mean_field")

    def adapted(self, guide: Guide) -> Guide:
        """Return the guide without the Jacobian of its logit, as Pyro's class drops it."""
        return guide.without_jacobian()

    def prepare(self, task: Task, num_particles: int) -> None:
        """Refuse a step of too many draws, and a guide without a statement."""
        super().prepare(task, num_particles)
        if task.guide.origin == "prior" and not task.guide.source_weight:
            raise ValueError(
                "loss=\"trace_mean_field\" with guide='empty': there is no guide to compare the "
                'prior with, and Pyro\'s class fails; use loss="trace"'
            )

    def draw(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Average the likelihood's gradients over particles; add that of the divergence."""
        if _is_drawn(task.guide):
            return super().draw(task, prior, params, num_particles, rng)
        drawn = Drawn.of(task, prior, params, task.outcomes, num_particles, rng)
        averages = Averages(task, drawn)
        value = sum((task.outcomes * averages.logs).dot(task.weights).tolist())
        rest, slopes, expected = _divergence(task.guide, prior, params, task.weights.size)
        value += float(np.sum((rest * expected) @ task.weights))
        source = averages.through + slopes
        return Step(*task.summed(*task.guide.collect(source, expected, prior, params)), value)

    def tilt(self, task: Task, prior: FloatArray, params: FloatArray) -> FloatArray:
        """Tilt of the likelihood alone, the outcomes, where the divergence is not drawn."""
        return super().tilt(task, prior, params) if _is_drawn(task.guide) else task.outcomes

    def gradient(
        self, task: Task, at: Averages | Latents, prior: FloatArray, params: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Gradient at the nodes; that of the divergence is the same at all of them."""
        if _is_drawn(task.guide):
            return super().gradient(task, at, prior, params)
        _, slopes, expected = _divergence(task.guide, prior, params, at.through.shape[-1])
        return task.guide.collect(at.through + slopes, expected, prior, params)

    def latent_variances(self, task: Task, prior: Beta, params: FloatArray) -> FloatArray:
        """Variance of the likelihood's part, the only one that is drawn, or of all."""
        if _is_drawn(task.guide):
            return super().latent_variances(task, prior, params)
        x = task.guide.source_parameters(column(prior), params)
        return np.broadcast_to(task.guide.source.variance(task.outcomes, x), task.weights.shape)


def _is_drawn(guide: Guide) -> bool:
    """Return True for a guide on the logit, whose divergence Pyro's class draws."""
    return guide.source is LOGIT_NORMAL


def _divergence(
    guide: Guide, prior: FloatArray, params: FloatArray, size: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return tilt, source gradient and expected logarithms of -KL for so many latents."""
    tilt = guide.tilt(prior, params, np.zeros((2, size)))
    x = guide.source_parameters(prior, params)
    return tilt, *guide.source.pull_back(tilt, x)
