r"""The score-function estimator, which Pyro takes for a guide that cannot be reparameterized.

With f = log p(x, c) - log q(c) of a latent and its score S = d log q(c) / d(parameter),

    E[S (f - b)] = d ELBO / d(parameter)      for any constant b, as E S = 0

(Ranganath, Gerrish & Blei 2014, eq. 3). b is a control variate: 0 in ``Trace_ELBO``; a running
average in ``TraceGraph_ELBO`` if asked for; here 0, a number, or the mean of the other particles
(``"leave_one_out"``, Kool, van Hoof & Welling 2019), which needs two. Each latent has its own f, as
inside a plate. The prior's gradient needs no score: it is d log p / d(parameter) at the draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elbo_ref._validation.arguments import FloatArray, scalar
from elbo_ref.objectives.base import Step, Task
from elbo_ref.objectives.gradient_noise import GradientNoise, Latents
from elbo_ref.objectives.trace import Averages, Drawn, MonteCarlo

LEAVE_ONE_OUT = "leave_one_out"


@dataclass(frozen=True)
class ScoreFunction:
    """The score-function estimator, ``loss=ScoreFunction(baseline)``.

    Parameters
    ----------
    baseline : float or str
        b, in nats per latent, or ``"leave_one_out"``.

    Examples
    --------
    >>> ScoreFunction(baseline=-2.5)
    ScoreFunction(baseline=-2.5)
    """

    baseline: float | str = 0.0
    name = "score_function"

    def __post_init__(self) -> None:
        if isinstance(self.baseline, str):
            if self.baseline != LEAVE_ONE_OUT:
                raise ValueError(f"baseline = {self.baseline!r} is not {LEAVE_ONE_OUT!r}")
            return
        number = scalar("baseline", self.baseline, lambda _: True, "")
        object.__setattr__(self, "baseline", number)


class ScoreFunctionGradient(ScoreFunction, MonteCarlo):
    """The estimator with this baseline."""

    @property
    def divisible(self) -> bool:  # type: ignore[override]
        """Return True if no particle needs to know the others."""
        return not isinstance(self.baseline, str)

    def prepare(self, task: Task, num_particles: int) -> None:
        """Refuse a guide without a score, and a baseline without a second particle."""
        super().prepare(task, num_particles)
        if not task.guide.has_score:
            raise ValueError(
                f"guide={task.guide.name!r} has no parameters that its density depends on, so no "
                'score function: use loss="trace"'
            )
        if self.baseline == LEAVE_ONE_OUT and num_particles < 2:
            raise ValueError('baseline="leave_one_out" needs at least 2 particles')

    def draw(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Average the scores of particles, each times f less the baseline."""
        guide, tilt = task.guide, task.guide.tilt(prior, params, task.outcomes)
        drawn = Drawn.of(task, prior, params, tilt, num_particles, rng)
        form = drawn.linear_form(task)
        constant = np.broadcast_to(guide.normalizer(prior, params), task.weights.shape)
        f = form + task.per_latent((constant + task.log_coefficient)[None])[0]
        if isinstance(self.baseline, str):
            away = (f - f.mean(axis=0)) * (num_particles / (num_particles - 1))
        else:
            away = f - self.baseline
        score = guide.source.score(drawn.logits, drawn.logs, drawn.x)
        logs = task.per_entry(drawn.logs)
        by_prior, _ = guide.collect(np.zeros_like(logs), logs, prior, params)
        by_params = task.per_entry(away * score)
        value = float(task.per_entry(form[None])[0].dot(task.weights))
        return Step(*task.summed(by_prior, by_params), value)

    def gradient_noise(
        self, task: Task, prior: FloatArray, params: FloatArray
    ) -> GradientNoise | None:
        """Mean and variance of the gradient; None for the leave-one-out baseline."""
        leave_one_out = isinstance(self.baseline, str)
        return None if leave_one_out else super().gradient_noise(task, prior, params)

    def gradient(
        self, task: Task, at: Averages | Latents, prior: FloatArray, params: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Gradient at the nodes."""
        assert isinstance(at, Latents)
        assert not isinstance(self.baseline, str)
        f = at.form + at.constant
        by_prior, _ = task.guide.collect(np.zeros_like(at.logs), at.logs, prior, params)
        return by_prior, (f - self.baseline)[:, None] * at.score()
