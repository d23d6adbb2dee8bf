"""The Monte Carlo objectives with pathwise gradients.

A particle draws c for every latent and evaluates f = A log c + D log(1 - c) + normalizer + logC
(`elbo_ref.guides.base`). Its gradient has two parts: through the draw,

    (A (1 - c) - D c) d logit(c) / d(parameter),                                              (E6)

and through the densities themselves, d f / d(parameter) at fixed c.

* ``trace`` keeps both, as Pyro's ``Trace_ELBO`` does: the second has expectation zero for a guide's
  parameters but is not zero draw by draw. ``TraceGraph_ELBO`` takes the same gradient, because a
  Beta and a normal can be reparameterized, and ``TraceEnum_ELBO`` has nothing to enumerate: under
  their names it is the same objective here. `elbo_ref.objectives.score_function` is what they do
  to a guide that cannot.
* ``sticking_the_landing`` drops the part of the guide's own density (Roeder, Wu & Duvenaud 2017):
  the same expectation, and no noise at all once the guide is the posterior.

w equal latents are w draws. A draw is carried as its logit, so that c may come as near to 0 or 1
as it likes; the densities stay with respect to c.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.objectives.base import Objective, Step, Task
from elbo_ref.objectives.exact import column, latent_variances
from elbo_ref.objectives.gradient_noise import GradientNoise, Latents

MOST_DRAWS = 10_000_000
"""A step that would take more is refused."""
_SIGNS, _NOTHING = np.array((1.0, -1.0))[:, None, None], np.array(0.0)


class Drawn(NamedTuple):
    """Draws for every latent, P particles of L latents."""

    logits: FloatArray
    logs: FloatArray
    """log c and log(1 - c), (2, P, L)."""
    tilt: FloatArray
    """The tilt of each entry, (2, G)."""
    slope: FloatArray
    """A (1 - c) - D c, (P, L)."""
    x: FloatArray
    """The source's parameters of each latent, (k, L) or (k, 1)."""

    @classmethod
    def of(
        cls,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        tilt: FloatArray,
        size: int,
        rng: np.random.Generator,
    ) -> Drawn:
        """Draw so many particles, for a tilt of each entry."""
        each = task.per_latent(params)
        x = task.guide.source_parameters(prior, each)
        logits = task.guide.source.sample_logits(x, (size, task.num_latents), rng)
        logs = _SIGNS * logits
        beyond = np.log1p(np.exp(-np.abs(logits)))
        np.minimum(logs, _NOTHING, out=logs)
        logs -= beyond
        terms = np.exp(logs)[::-1] * task.per_latent(tilt)[:, None]
        return cls(logits, logs, tilt, terms[0] - terms[1], x)

    def linear_form(self, task: Task) -> FloatArray:
        """Compute f of each particle and latent, but for what is the same for all particles."""
        up, down = task.per_latent(self.tilt)
        residual = task.guide.residual(self.logits, self.x)
        form: FloatArray = up * self.logs[0] + down * self.logs[1]
        return form if residual is None else form + residual


class Averages:
    """Averages over particles, for each entry; `Latents` has the same at nodes of a quadrature.

    Parameters
    ----------
    task : Task
    drawn : Drawn
    weights : ndarray, shape (P, L), optional
        Of each particle and latent; 1 in the mean.

    Attributes
    ----------
    through : ndarray, shape (rows, G)
        The part of the source gradient through the draw.
    logs : ndarray, shape (2, G)
        log c and log(1 - c).
    """

    def __init__(self, task: Task, drawn: Drawn, weights: FloatArray | None = None) -> None:
        self._task, self._drawn = task, drawn
        moved, expected = task.guide.source.pathwise_and_logs(drawn.logits, drawn.x)
        through, logs = drawn.slope * moved, drawn.logs
        if expected.shape[1] > 1:
            expected = task.per_entry(expected[:, None])
        if weights is not None:
            through, logs = weights * through, weights * logs
            expected = task.per_entry(weights[None]) * expected
        self.through, self.logs = task.per_entry(through), task.per_entry(logs)
        self._expected = expected

    def centered_logs(self) -> FloatArray:
        """Subtract from `logs` their expectation, (2, G)."""
        return self.logs - self._expected

    def score(self) -> FloatArray:
        """Average d log q(c) / d(own parameter), (k, G)."""
        drawn = self._drawn
        score = self._task.guide.source.score(drawn.logits, drawn.logs, drawn.x)
        return self._task.per_entry(score)


class MonteCarlo(Objective):
    """The base of the objectives that draw.

    Attributes
    ----------
    num_samples : int
        The draws of a particle for each latent.
    divisible : bool
        Whether the particles of a step may be drawn one after the other.
    """

    num_samples = 1
    divisible = True

    def step(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Add up the parts of a step, each of so few draws that they stay in the cache."""
        parts = task.parts(num_particles * self.num_samples, self.divisible)
        if len(parts) == 1:
            return self.draw(task, prior, params, num_particles, rng)
        by_prior, value = np.zeros(2), 0.0
        by_params = np.zeros((len(task.guide.parameter_names), params.shape[1]))
        for part, entries, draws in parts:
            columns = entries if params.shape[1] > 1 else slice(None)
            size = draws // self.num_samples
            found = self.draw(part, prior, params[:, columns], size, rng)
            by_prior += found.prior
            by_params[:, columns] += found.params
            value += found.value
        return Step(by_prior, by_params, value)

    def draw(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Evaluate the gradient at particles that are drawn together."""
        raise NotImplementedError

    def prepare(self, task: Task, num_particles: int) -> None:
        """Refuse a step of too many draws."""
        draws = task.num_latents * num_particles
        if draws > MOST_DRAWS:
            raise ValueError(
                f'loss="{self.name}" would take {draws} draws a step ({task.num_latents} '
                f"latents times {num_particles} particles), more than {MOST_DRAWS}; "
                'use loss="exact"'
            )

    def rest(self, task: Task, priors: Beta, param_rows: FloatArray) -> FloatArray:
        """Add up the normalizers and log coefficients."""
        constants = task.guide.normalizer(column(priors), param_rows) + task.log_coefficient
        return np.broadcast_to(np.sum(task.weights * constants, axis=-1), param_rows.shape[1:2])

    def variance(self, task: Task, prior: Beta, params: FloatArray) -> float | None:
        """Variance of one particle's estimate, over all latents."""
        return float(task.weights @ self.latent_variances(task, prior, params))

    def latent_variances(self, task: Task, prior: Beta, params: FloatArray) -> FloatArray:
        """Variance of one particle's estimate for one latent of each entry (E5)."""
        return latent_variances(task, prior, params)

    def gradient_variance(
        self, task: Task, prior: FloatArray, params: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        """Variance of one particle's gradient, over all latents."""
        noise = self.gradient_noise(task, prior, params)
        return None if noise is None else noise.summed(task)

    def gradient_noise(
        self, task: Task, prior: FloatArray, params: FloatArray
    ) -> GradientNoise | None:
        """Mean and variance of the gradient of one latent of each entry; None if not known."""

        def rows(latents: Latents, each: FloatArray) -> tuple[FloatArray, FloatArray]:
            return self.gradient(task, latents, prior, each)

        return GradientNoise.of(task, prior, params, self.tilt(task, prior, params), rows)

    def tilt(self, task: Task, prior: FloatArray, params: FloatArray) -> FloatArray:
        """Tilt (A, D) of the densities that are evaluated at the draws."""
        return task.guide.tilt(prior, params, task.outcomes)

    def gradient(
        self, task: Task, at: Averages | Latents, prior: FloatArray, params: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Gradient of one latent of each entry, or at the nodes, for prior and own parameters.

        By default that of ``trace``, to which a Renyi bound of one sample comes down.
        """
        guide, source = task.guide, at.through
        if guide.density_weight:
            source = source + guide.density_weight * at.centered_logs()
        return guide.collect(source, at.logs, prior, params)


class Trace(MonteCarlo):
    """``loss="trace"``: the average over particles, each drawing once per latent."""

    def __init__(self, name: str = "trace", keeps_score: bool = True) -> None:
        self.name, self.keeps_score = name, keeps_score

    def draw(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Average the gradients of particles, each through its draw and the densities."""
        tilt = task.guide.tilt(prior, params, task.outcomes)
        drawn = Drawn.of(task, prior, params, tilt, num_particles, rng)
        averages = Averages(task, drawn)
        value = sum((tilt * averages.logs).dot(task.weights).tolist())
        residual = task.guide.residual(drawn.logits, drawn.x)
        if residual is not None:
            value += float(task.per_entry(residual[None])[0].dot(task.weights))
        return Step(*task.summed(*self.gradient(task, averages, prior, params)), value)

    def gradient(
        self, task: Task, at: Averages | Latents, prior: FloatArray, params: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Gradient of ``trace``; without the part of the guide's density if that is dropped."""
        guide, source = task.guide, at.through
        if self.keeps_score or not guide.parameter_names:
            return super().gradient(task, at, prior, params)
        if guide.source.residual_gradient(params) is not None:
            source = source + guide.source_weight * at.score()
        return guide.collect(source, at.logs, prior, params)
