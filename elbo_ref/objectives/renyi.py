r"""The Renyi bound, and the importance-weighted one, as Pyro's ``RenyiELBO`` estimates them.

With K samples c_1, ..., c_K of a latent and log weights f_k = log p(x, c_k) - log q(c_k),

    1/(1 - alpha) log[ (1/K) sum_k exp((1 - alpha) f_k) ],      alpha != 1

(Li & Turner 2016, eq. 11). alpha = 0 is the importance-weighted bound of Burda, Grosse &
Salakhutdinov (2016), below the evidence in expectation and rising with K; K = 1 is the ELBO,
whatever alpha. The gradient weights each sample's by exp((1 - alpha) f_k) over their sum.

For two samples, with h = (1 - alpha) (f_1 - f_2) / 2 and S the score of what is drawn from,

    bound = ELBO + E[log cosh h] / (1 - alpha),                                               (1)
    d (bound - ELBO) = 2 E[S_1 log cosh h] / (1 - alpha) + E[tanh(h) df_1],

where df = -S for a guide's own parameters, log c - E log c and its mirror image for the prior's,
and 0 for `tied`, whose density is that of the prior and cancels.

The mean over samples is taken for each latent, as Pyro does inside a plate. Outside one Pyro takes
it over the product of all latents' weights, which is a lower and noisier value.

Under an empty guide nothing is subtracted: the weights are log p(x, c) with c from the prior, and
what is maximised is neither (E7) nor a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elbo_ref._validation.arguments import FloatArray, count, scalar, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.objectives.base import Step, Task
from elbo_ref.objectives.exact import checked_task, column, objective_value
from elbo_ref.objectives.gradient_noise import TWO_DRAWS, Distinct, GradientNoise
from elbo_ref.objectives.trace import Averages, Drawn, MonteCarlo

_STEPS = (200, 400, 800, 1600)
"""Steps of the quadrature over each of two draws, until more of them change nothing."""


@dataclass(frozen=True)
class Renyi:
    """The Renyi bound, ``loss=Renyi(alpha, num_samples)``.

    Parameters
    ----------
    alpha : float
        Finite and not 1; 0 is the importance-weighted bound.
    num_samples : int
        K, at least 1; Pyro calls it `num_particles`. `num_particles` of a run averages so many
        independent estimates.

    Raises
    ------
    ValueError, TypeError
        If one is out of range.

    Examples
    --------
    >>> Renyi(alpha=0.5).num_samples
    2
    """

    alpha: float = 0.0
    num_samples: int = 2
    name = "renyi"

    def __post_init__(self) -> None:
        alpha = scalar("alpha", self.alpha, lambda x: x != 1, "must not be 1: that is the ELBO")
        object.__setattr__(self, "alpha", alpha)
        object.__setattr__(self, "num_samples", count("num_samples", self.num_samples, 1))


class RenyiBound(Renyi, MonteCarlo):
    """The estimator of a bound with these settings."""

    divisible = False

    @property
    def _rest(self) -> float:
        """1 - alpha; beyond 1e150 the bound is that of its largest, or least, sample."""
        return min(max(1 - self.alpha, -1e150), 1e150)

    def prepare(self, task: Task, num_particles: int) -> None:
        """Refuse a step of too many draws, `num_samples` for each particle."""
        super().prepare(task, num_particles * self.num_samples)

    def draw(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Average the gradients of samples, each with its share of their weights."""
        samples, rest = self.num_samples, self._rest
        tilt = task.guide.tilt(prior, params, task.outcomes)
        drawn = Drawn.of(task, prior, params, tilt, num_particles * samples, rng)
        powers = rest * drawn.linear_form(task).reshape(samples, num_particles, -1)
        highest = powers.max(axis=0)
        less = np.expm1(powers - highest)
        mean_less = less.mean(axis=0)
        bounds = (highest + np.log1p(mean_less)) / rest
        weights = ((1 + less) / (1 + mean_less)).reshape(drawn.logits.shape)

        averages = Averages(task, drawn, weights)
        gradient = task.summed(*self.gradient(task, averages, prior, params))
        return Step(*gradient, float(bounds.sum()) / num_particles)

    def variance(self, task: Task, prior: Beta, params: FloatArray) -> float | None:
        """Variance of one particle's estimate; None for more than two samples."""
        return None if self.num_samples > 2 else super().variance(task, prior, params)

    def latent_variances(self, task: Task, prior: Beta, params: FloatArray) -> FloatArray:
        """Variance for one latent of each entry; of at most two samples."""
        if self.num_samples == 1:
            return super().latent_variances(task, prior, params)
        rest, model = self._rest, column(prior)
        distinct = Distinct.of(task, params, self.tilt(task, model, params))
        found = []
        for _, _, latents in distinct.blocks(task, model, _STEPS[-1], TWO_DRAWS):
            f, weights = latents.form, latents.weights[:, None] * latents.weights
            bound = (f[:, None] + f) / 2 + log_cosh(rest / 2 * (f[:, None] - f)) / rest
            away = bound - (weights * bound).sum(axis=(0, 1))
            found.append((weights * away**2).sum(axis=(0, 1)))
        return distinct.spread(np.concatenate([np.zeros(0), *found]))

    def above_elbo(self, task: Task, prior: FloatArray, params: FloatArray, steps: int) -> Step:
        """Height of the expectation for two samples above the ELBO, with its gradient (1).

        For a guide that draws: from parameters of its own, or `tied`.
        """
        guide, rest = task.guide, self._rest
        distinct = Distinct.of(task, params, self.tilt(task, prior, params))
        found = [np.zeros((3 + len(params), 0))]
        for _, _, latents in distinct.blocks(task, prior, steps, TWO_DRAWS):
            half = rest / 2 * (latents.form[:, None] - latents.form)
            excess = (latents.weights * log_cosh(half)).sum(axis=1, keepdims=True) / rest
            share = (latents.weights * np.tanh(half)).sum(axis=1, keepdims=True)
            by_prior = latents.logs - BETA.expected_logs(prior)
            parts = [excess]
            if guide.parameter_names:
                parts += [share * by_prior, (2 * excess - share) * latents.score()]
            else:
                parts += [2 * excess * by_prior]
            found.append(np.concatenate([latents.mean(part) for part in parts]))
        rows = distinct.spread(np.concatenate(found, axis=1))
        return Step(*task.summed(rows[1:3], rows[3:]), float(task.weights @ rows[0]))

    def gradient_noise(
        self, task: Task, prior: FloatArray, params: FloatArray
    ) -> GradientNoise | None:
        """Mean and variance of the gradient; None for more than one sample."""
        return None if self.num_samples > 1 else super().gradient_noise(task, prior, params)


def log_cosh(h: FloatArray) -> FloatArray:
    """Compute log cosh h, to a few units of rounding of h itself."""
    size = np.abs(h)
    found: FloatArray = size + np.log1p(np.expm1(-2 * size) / 2)
    return found


@underflow_is_zero
def renyi_bound(
    guide: Beta | LogitNormal,
    prior: Beta,
    counts: Counts,
    *,
    alpha: float = 0.0,
    num_samples: int = 2,
) -> float:
    """Compute the expectation of the Renyi bound for one or two samples, by quadrature.

    Parameters
    ----------
    guide : Beta or LogitNormal, shape () or (G,)
    prior : Beta, shape ()
    counts : Counts, G entries
    alpha : float
        Finite and not 1.
    num_samples : int
        1, which gives the ELBO whatever alpha, or 2: an integral over two draws of each latent.

    Returns
    -------
    float
        In nats, summed over latents; to about 1e-9 for concentrations in [1e-12, 1e15], and to 2e-6
        of itself where the log weights of likely draws differ by hundreds.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or out of range.

    Examples
    --------
    >>> counts, prior = Counts(3, 10), Beta(1.0, 1.0)
    >>> [round(renyi_bound(Beta(2, 3), prior, counts, num_samples=k), 6) for k in (1, 2)]
    [-2.780748, -2.515654]
    """
    loss = RenyiBound(alpha, num_samples)
    if loss.num_samples > 2:
        raise ValueError(f"num_samples = {num_samples} must be 1 or 2 for an exact value")
    task, p, params = checked_task(guide, prior, counts)
    value = objective_value(task, prior, params)
    if loss.num_samples == 1:
        return value
    above = np.nan
    for steps in _STEPS:
        before, above = above, loss.above_elbo(task, p, params, steps).value
        if abs(above - before) <= 1e-10 * (1 + abs(value)):
            return value + above
    return value + above + (above - before) / 3  # as the error falls with the square of the steps
