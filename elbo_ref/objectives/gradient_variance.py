r"""The noise of each estimator: the exact variance of one particle, by quadrature.

With f = log p(x, c) - log q(c) of a latent and its logit's derivative A (1 - c) - D c
(`elbo_ref.guides.base`), y the logit, S = d log q / d(own parameter) and v = dy / d(own
parameter) (E6), one particle's estimate of d ELBO / d(own) is

    pathwise                  (A (1 - c) - D c) v - S         (Trace_ELBO)
    sticking the landing      (A (1 - c) - D c) v             (for a Beta guide)
    gamma pair                (A (1 - c) - D c) w - S         (JAX, NumPyro)
    score function            S f
    score, best baseline      S (f - b),     b = E[S^2 f] / E[S^2]

The gamma pair draws c = g1/(g1 + g0) and differentiates each gamma draw: w = d log g1/da, which
given c has expectation v, so that

    Var = Var(pathwise) + E[(A (1 - c) - D c)^2 Var(w | c)].

w depends on g1 = c t alone, t a Gamma(a + b) draw independent of c: a second integral. It is the
derivative v of a Beta draw in the limit of the other concentration.

For a normal guide on the logit v = (1, z); the part S of `pathwise` cancels against that of z^2/2,
so that what is left is (A (1 - c) - D c) v + (0, 1/s), and sticking the landing adds (z, z^2)/s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from elbo_ref._format.result import Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray, float_in, underflow_is_zero
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.distributions.pathwise import logit_derivatives
from elbo_ref.distributions.quadrature import over_beta
from elbo_ref.guides.constraints import LARGEST, SMALLEST
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import (
    checked_task,
    in_shape,
    latent_values,
    one_particle_variance,
)
from elbo_ref.objectives.gradient_noise import STEPS, Distinct, Latents
from elbo_ref.objectives.mean_field import TraceMeanField
from elbo_ref.objectives.trace import Trace

_GAMMA_LIMIT = 1e13
_T_STEPS = 96
_ESTIMATORS = (
    "pathwise",
    "gamma_pair",
    "score_function",
    "best_baseline",
    "sticking_the_landing",
)

Pair: TypeAlias = tuple[float | FloatArray, float | FloatArray]
"""A number for each of the guide's two parameters, in the guide's shape."""


@by_value
class Noise(NamedTuple):
    """One estimator: its one-particle variances, and the particles for one digit.

    `variance` is that of the derivative by each of the guide's two parameters, in the guide's
    shape. `particles` is how many make the standard deviation a tenth of the gradient's size, over
    all latents; inf where the gradient is 0 and the noise is not.
    """

    variance: Pair
    particles: float


@by_value
@dataclass(frozen=True, eq=False)
class GradientVariance(Tabular):
    """A `Noise` for each estimator of the gradient of one ELBO; print it as a table.

    `gradient` is what all of them estimate; `objective` and `mean_field_objective` are the
    variances of one particle's value under ``trace`` and under ``trace_mean_field``.
    """

    parameters: tuple[str, str]
    gradient: Pair
    objective: float
    mean_field_objective: float
    pathwise: Noise
    gamma_pair: Noise | None
    score_function: Noise
    best_baseline: Noise
    sticking_the_landing: Noise

    def table(self) -> Table:
        """Lay out the variances, summed over latents, and the particles for one digit."""
        known = {name: getattr(self, name) for name in _ESTIMATORS}
        noises = {name.replace("_", " "): noise for name, noise in known.items() if noise}
        columns = [Column(list(noises), "estimator", "estimator", left=True)]
        for i, parameter in enumerate(self.parameters):
            summed = [float(np.sum(noise.variance[i])) for noise in noises.values()]
            text = [f"{value:.6g}" for value in summed].__getitem__
            name = f"variance_{parameter}"
            columns.append(Column(summed, name, f"Var d/d{parameter}", text=text))
        particles = [float(noise.particles) for noise in noises.values()]
        text = [f"{value:.4g}" for value in particles].__getitem__
        return Table(
            [*columns, Column(particles, "particles", "particles for one digit", text=text)]
        )


@underflow_is_zero
def gradient_variance(guide: Beta | LogitNormal, prior: Beta, counts: Counts) -> GradientVariance:
    """Exact variance of one particle's estimate of the ELBO's gradient, for each estimator.

    Parameters
    ----------
    guide : Beta or LogitNormal, shape () or (G,)
        One pair of parameters for all latents, or one for each; as they are, not their logarithms.
        Concentrations in [1e-12, 1e15], as in a run.
    prior : Beta, shape ()
    counts : Counts, G entries

    Returns
    -------
    GradientVariance
        To 1e-6 of each variance, for scales from 1e-8 on. Two terms nearly cancel in `pathwise`,
        and so in `gamma_pair`, where the guide is far narrower than the posterior: there they are
        off by up to 1e-15 times the larger concentration, and have no digits at 1e15. For a
        LogitNormal they are off by 1e-30 of the squared counts, which tells where nearly every
        draw is 0 or 1. Printed, its variances are summed over latents. Without `gamma_pair` for a
        LogitNormal.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape, or a concentration of the guide out of range.

    Notes
    -----
    The gradient by the prior's concentrations is the same in all of them, log c - E log c and its
    mirror image, but for the mean field's, which has no noise.

    Examples
    --------
    >>> print(gradient_variance(Beta(2.0, 3.0), Beta(1.0, 1.0), Counts(3, 10)))
    estimator             Var d/dconcentration1  Var d/dconcentration0  particles for one digit
    pathwise                            2.30287                1.28625                     1446
    gamma pair                          2.34357                1.31401                     1473
    score function                       7.5455                6.11228                     5501
    best baseline                       1.16019                1.32343                     1000
    sticking the landing               0.751894               0.514753                    510.2
    """
    task, p, params = checked_task(guide, prior, counts)
    if isinstance(guide, Beta):
        for name, value in zip(BETA.names, guide.arrays(), strict=True):
            float_in(f"guide.{name}", value, SMALLEST, LARGEST)
    tilts = task.guide.tilt(p, params, task.outcomes)
    distinct = Distinct.of(task, params, tilts)
    values = latent_values(task, prior, params)
    found = [
        _of_latents(task, p, mine, latents, values[entry])
        for entry, mine, latents in distinct.blocks(task, p, STEPS)
    ]
    each = {
        name: distinct.spread(np.concatenate([block[name] for block in found], axis=-1))
        for name in found[0]
    }
    gradient = in_shape(task.weights * each["gradient"], guide)
    size = sum(float(np.sum(np.square(x))) for x in gradient)
    noises = {}
    for name in _ESTIMATORS:
        if name in each:
            variance = in_shape(task.weights * each[name], guide)
            noises[name] = Noise(variance, _particles(sum(map(np.sum, variance)), size))
    first, second = task.guide.parameter_names
    return GradientVariance(
        (first, second),
        gradient,
        one_particle_variance(task, prior, params),
        float(task.weights @ TraceMeanField().latent_variances(task, prior, params)),
        noises["pathwise"],
        noises.get("gamma_pair"),
        *(noises[name] for name in _ESTIMATORS[2:]),
    )


def _of_latents(
    task: Task, prior: FloatArray, params: FloatArray, latents: Latents, values: FloatArray
) -> dict[str, FloatArray]:
    """Mean and variances of the gradient of each latent, given the value of its ELBO."""
    f = latents.form[:, None]
    f = f - latents.mean(f) + values
    score = latents.score()
    _, pathwise = Trace().gradient(task, latents, prior, params)
    _, sticking = Trace(keeps_score=False).gradient(task, latents, prior, params)
    squares = np.ldexp(score, -np.frexp(np.abs(score).max(axis=0))[1]) ** 2
    baseline = latents.mean(squares * f) / latents.mean(squares)
    found = {
        "gradient": latents.mean(pathwise),
        "pathwise": latents.variance(pathwise),
        "score_function": latents.variance(score * f),
        "best_baseline": latents.variance(score * (f - baseline)),
        "sticking_the_landing": latents.variance(sticking),
    }
    if task.guide.source.has_exponents:
        found["gamma_pair"] = found["pathwise"] + _gamma_noise(params, latents)
    return found


def _particles(variance: float, size: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(100 * np.divide(variance, size)) if variance > 1e-24 * (1 + size) else 0.0


def _gamma_noise(params: FloatArray, latents: Latents) -> FloatArray:
    """E[(A (1 - c) - D c)^2 Var(w | c)] for both concentrations, (2, L).

    t / `limit` is a draw of Beta(s, limit), as far as a float tells, and so is g1 / `limit`.
    """
    size = latents.constant.size
    extra = np.empty((2, size))
    params, logs, weights = (
        np.broadcast_to(x, (*x.shape[:-1], size)) for x in (params, latents.logs, latents.weights)
    )
    for i, pair in enumerate(params.T):
        limit = _GAMMA_LIMIT * (1 + pair.sum(keepdims=True))
        rule = over_beta(pair.sum(keepdims=True), limit, _T_STEPS)
        t_weights, by_slope = np.exp(rule.log_weights), weights[:, i] * latents.slope[:, i] ** 2
        for row, x in enumerate(pair):
            draws = rule.logit + logs[:, row, i]
            w = logit_derivatives(draws, np.array(x), limit)[0]
            spread = (t_weights * (w - (t_weights * w).sum(axis=0)) ** 2).sum(axis=0)
            extra[row, i] = by_slope @ spread
    return extra
