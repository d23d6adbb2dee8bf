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

import math
from dataclasses import dataclass

import numpy as np

from elbo_ref.arguments import FloatArray, check_fits, count, scalar, underflow_is_zero
from elbo_ref.beta import Beta
from elbo_ref.counts import Counts
from elbo_ref.guides import find
from elbo_ref.guides.beta_draws import log_moments
from elbo_ref.logit_normal import LogitNormal
from elbo_ref.objectives.exact import check_model, column, columns, objective_value
from elbo_ref.objectives.noise import NODES, GradientNoise, each_latent
from elbo_ref.objectives.protocol import Step, Task
from elbo_ref.objectives.trace import Drawn, MonteCarlo

_LADDER = (201, 401, 801, NODES)
"""Nodes for each of two draws, until more of them change nothing."""


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
        """For K at most 2."""
        rest, found, model = 1 - self.alpha, np.zeros(task.weights.size), column(prior)
        tilt = self.tilt(task, model, own)
        for g, _, latent in each_latent(task, model, own, tilt, NODES):
            weights, bound = latent.weights, latent.form
            if self.num_samples == 2:
                bound = np.logaddexp(rest * bound[:, None], rest * bound) / rest
                weights = weights[:, None] * weights
            found[g] = np.sum(weights * (bound - np.sum(weights * bound)) ** 2)
        return found

    def above_elbo(self, task: Task, prior: FloatArray, own: FloatArray, nodes: int) -> Step:
        """How far the expectation for two samples lies above the ELBO, with its gradient (1).

        For a guide that draws: from parameters of its own, or `tied`.
        """
        guide, rest = task.guide, 1 - self.alpha
        value, rows = 0.0, np.zeros((2 + len(own), task.weights.size))
        for g, one, latent in each_latent(task, prior, own, self.tilt(task, prior, own), nodes):
            w = latent.weights
            half = rest / 2 * (latent.form[:, None] - latent.form)
            excess = (np.logaddexp(half, -half) - math.log(2)) @ w / rest
            share = np.tanh(half) @ w
            value += float(task.weights[g]) * float(w @ excess)
            by_prior = latent.logs - log_moments(prior)
            if guide.parameter_names:
                score = guide.score(latent.logit[:, None], latent.logs[:, :, None], one)[:, :, 0]
                rows[:2, g] = by_prior @ (w * share)
                rows[2:, g] = score @ (w * (2 * excess - share))
            else:
                rows[:2, g] = by_prior @ (2 * w * excess)
        return Step(*task.summed(rows[:2], rows[2:]), value)

    def gradient_noise(
        self, task: Task, prior: FloatArray, own: FloatArray
    ) -> GradientNoise | None:
        return None if self.num_samples > 1 else super().gradient_noise(task, prior, own)


@underflow_is_zero
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
        In nats, summed over latents; to about 1e-9, and to 1e-6 of itself where the log weights of
        likely draws differ by hundreds.

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
    value = objective_value(task, prior, own)
    if loss.num_samples == 1:
        return value
    above = np.nan
    for nodes in _LADDER:
        before, above = above, loss.above_elbo(task, p, own, nodes).value
        if abs(above - before) <= 1e-10 * (1 + abs(value)):
            break
    return value + above
