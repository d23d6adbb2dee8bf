r"""The Renyi bound, and the importance-weighted one, as Pyro's ``RenyiELBO`` estimates them.

With K samples c_1, ..., c_K of a latent and log weights f_k = log p(x, c_k) - log q(c_k),

    1/(1 - alpha) log[ (1/K) sum_k exp((1 - alpha) f_k) ],      alpha != 1

(Li & Turner 2016, eq. 11). alpha = 0 is the importance-weighted bound of Burda, Grosse &
Salakhutdinov (2016), below the evidence in expectation and rising with K; K = 1 is the ELBO,
whatever alpha. The gradient weights each sample's by exp((1 - alpha) f_k) over their sum.

The mean over samples is taken for each latent, as Pyro does inside a plate. Outside one Pyro takes
it over the product of all latents' weights, which is a lower and noisier value.

Under an empty guide nothing is subtracted: the weights are log p(x, c) with c from the prior, and
what is maximised is neither (E7) nor a bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from elbo_ref.arguments import FloatArray, check_fits, count, scalar
from elbo_ref.beta import Beta
from elbo_ref.counts import Counts
from elbo_ref.guides import find
from elbo_ref.logit_normal import LogitNormal
from elbo_ref.objectives.exact import check_model, column, columns
from elbo_ref.objectives.noise import NODES, GradientNoise, each_latent
from elbo_ref.objectives.protocol import Step, Task
from elbo_ref.objectives.trace import Drawn, MonteCarlo


@dataclass(frozen=True)
class Renyi(MonteCarlo):
    """``loss=Renyi(alpha, num_samples)``.

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

    def prepare(self, task: Task, num_particles: int) -> None:
        super().prepare(task, num_particles * self.num_samples)

    def step(
        self,
        task: Task,
        prior: FloatArray,
        own: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        guide, samples, rest = task.guide, self.num_samples, 1 - self.alpha
        tilt = guide.tilt(prior, own, task.outcomes)
        drawn = Drawn.of(task, prior, own, tilt, num_particles * samples, rng)
        powers = rest * drawn.linear_form(task).reshape(samples, num_particles, -1)
        highest = powers.max(axis=0)
        weights = np.exp(powers - highest)
        total = weights.sum(axis=0)
        bounds = (highest + np.log(total) - math.log(samples)) / rest
        weights = (weights / total * samples).reshape(drawn.logits.shape)

        through_draw = drawn.slope * guide.pathwise(drawn.logits, prior, drawn.own)
        source, logs, share = (
            task.per_entry(weights * rows)
            for rows in (through_draw, drawn.logs, np.ones((1, *weights.shape)))
        )
        if guide.own_density:
            moments = guide.log_moments(prior, own)
            source = source + guide.own_density * (logs - share * moments)
        return Step(*task.gradient(source, logs, prior, own), float(bounds.sum()) / num_particles)

    def variance(self, task: Task, prior: Beta, own: FloatArray) -> float | None:
        return None if self.num_samples > 2 else super().variance(task, prior, own)

    def latent_variances(self, task: Task, prior: Beta, own: FloatArray) -> FloatArray:
        return self.latent_moments(task, column(prior), own)[1]

    def latent_moments(
        self, task: Task, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the bound of one latent of each entry, for K at most 2."""
        rest, size = 1 - self.alpha, task.weights.size
        mean, variance = np.zeros(size), np.zeros(size)
        for g, _, latent in each_latent(task, prior, own, self.tilt(task, prior, own), NODES):
            weights, bound = latent.weights, latent.form
            if self.num_samples == 2:
                powers = rest * latent.form
                bound = (np.logaddexp(powers[:, None], powers) - math.log(2)) / rest
                weights = weights[:, None] * weights
            expected = np.sum(weights * bound)
            mean[g] = expected + latent.constant
            variance[g] = np.sum(weights * (bound - expected) ** 2)
        return mean, variance

    def gradient_noise(
        self, task: Task, prior: FloatArray, own: FloatArray
    ) -> GradientNoise | None:
        return None if self.num_samples > 1 else super().gradient_noise(task, prior, own)


def renyi_bound(
    guide: Beta | LogitNormal,
    prior: Beta,
    counts: Counts,
    alpha: float = 0.0,
    num_samples: int = 2,
) -> float:
    """The expectation of the Renyi bound for one or two samples, by quadrature.

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
        In nats, summed over latents; to about 1e-9.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or out of range.

    Examples
    --------
    >>> counts, prior = Counts(3, 10), Beta(1.0, 1.0)
    >>> [round(renyi_bound(Beta(2, 3), prior, counts, 0.0, k), 6) for k in (1, 2)]
    [-2.780748, -2.515654]
    """
    loss = Renyi(alpha, num_samples)
    if loss.num_samples > 2:
        raise ValueError(f"num_samples = {num_samples} must be 1 or 2 for an exact value")
    check_model(counts, guide=guide, prior=prior)
    check_fits("prior", prior.shape, 1)
    task, p, own = Task(find(guide), counts), column(prior), columns(guide, len(counts))
    return float(task.weights @ loss.latent_moments(task, p, own)[0])
