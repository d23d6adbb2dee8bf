r"""How noisy each estimator is: the exact variance of one particle, by quadrature.

A latent's estimators are functions of its draw alone. With f = log p(x, c) - log q(c) and its
logit's derivative A (1 - c) - D c (`elbo_ref.guides.protocol`), y the logit, S = d log q / d(own
parameter) and v = dy / d(own parameter) (E6), one particle's estimate of d ELBO / d(own) is

    pathwise                  (A (1 - c) - D c) v - S         (Trace_ELBO)
    sticking the landing      (A (1 - c) - D c) v             (for a Beta guide)
    gamma pair                (A (1 - c) - D c) w - S         (JAX, NumPyro)
    score function            S f
    score, best baseline      S (f - b),     b = E[S^2 f] / E[S^2]

and a variance is an integral over y. The gamma pair draws c = g1/(g1 + g0) and differentiates each
gamma draw: w = d log g1/da, which given c has expectation v, so that

    Var = Var(pathwise) + E[(A (1 - c) - D c)^2 Var(w | c)].

w depends on g1 = c t alone, t a Gamma(a + b) draw independent of c: a second integral. It is the
derivative v of a Beta draw in the limit of the other concentration.

For a normal guide on the logit v = (1, z); the part S of `pathwise` cancels against that of z^2/2,
so that what is left is (A (1 - c) - D c) v + (0, 1/s), and sticking the landing adds (z, z^2)/s.

The integrals are trapezoidal in y (Beta) or z (normal), with both ends where the density is below
1e-17 of its peak: exponentially convergent, and compared with half the nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.counts import Counts
from elbo_ref.guides import find
from elbo_ref.logit_normal import LogitNormal
from elbo_ref.objectives.exact import check_model, column
from elbo_ref.objectives.protocol import Task
from elbo_ref.pathwise import logit_derivatives

NODES = 1601
_FEW_NODES = 161
"""For one latent of many, where three digits do."""
_GAMMA_LIMIT = 1e13
_T_NODES = 161


class OneLatent(NamedTuple):
    """One entry's latent at the nodes of a quadrature over its draw; rows are (.., nodes)."""

    weights: FloatArray
    logs: FloatArray
    """log c and log(1 - c)."""
    form: FloatArray
    """f, but for what is the same at all draws."""
    through: FloatArray
    """The part of the source gradient through the draw, under the guide's tilt."""
    logit: FloatArray
    slope: FloatArray
    """A (1 - c) - D c."""

    @classmethod
    def of(
        cls, task: Task, prior: FloatArray, column: FloatArray, entry: int, nodes: int
    ) -> OneLatent | None:
        """None if nothing is drawn; `column` are the guide's parameters (k, 1)."""
        guide = task.guide
        draw = guide.draw(Beta(*prior), column)
        if not isinstance(draw, Beta | LogitNormal):
            return None
        y, weights = _nodes(draw, nodes)
        logs = sc.log_expit(np.array((y, -y)))
        up, down = guide.tilt(prior, column, task.outcomes[:, entry : entry + 1])
        slope = up * np.exp(logs[1]) - down * np.exp(logs[0])
        form = up * logs[0] + down * logs[1] + guide.residual(y, column)
        through = slope * guide.pathwise(y[:, None], prior, column)[:, :, 0]
        return cls(weights, logs, form, through, y, slope)

    def trace_rows(
        self, task: Task, prior: FloatArray, column: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """The gradient that ``trace`` takes of each draw, for the prior and the own parameters."""
        guide, source = task.guide, self.through
        if guide.own_density:
            expected = guide.log_moments(prior, column)
            source = source + guide.own_density * (self.logs - expected)
        return guide.collect(source, self.logs, prior, column)


class Noise(NamedTuple):
    """One estimator: its one-particle variances, and the particles for one digit.

    `variance` has a number for each of the guide's own parameters, summed over latents where the
    guide is one for all. `particles` is how many make the standard deviation a tenth of the
    gradient's size, inf where the gradient is 0 and the noise is not.
    """

    variance: tuple[float, float]
    particles: float


class GradientVariance(NamedTuple):
    """A `Noise` for each estimator of the gradient of one ELBO; print it as a table.

    `gradient` is what all of them estimate; `objective` and `mean_field_objective` are the
    variances of one particle's value under ``trace`` and under ``trace_mean_field``.
    """

    parameters: tuple[str, str]
    gradient: tuple[float, float]
    objective: float
    mean_field_objective: float
    pathwise: Noise
    gamma_pair: Noise | None
    score_function: Noise
    best_baseline: Noise
    sticking_the_landing: Noise

    def __str__(self) -> str:
        head = f"{'estimator':22}" + "".join(f"{f'Var d/d{x}':>24}" for x in self.parameters)
        lines = [f"{head}{'particles for one digit':>26}"]
        for name in self._fields[4:]:
            noise = getattr(self, name)
            if noise is not None:
                cells = "".join(f"{x:24.6g}" for x in noise.variance)
                lines.append(f"{name.replace('_', ' '):22}{cells}{noise.particles:26.4g}")
        return "\n".join(lines)


def gradient_variance(guide: Beta | LogitNormal, prior: Beta, counts: Counts) -> GradientVariance:
    """Exact variance of one particle's estimate of the ELBO's gradient, for each estimator.

    Parameters
    ----------
    guide : Beta or LogitNormal, shape () or (1,)
        One latent's; its parameters as they are, not their logarithms.
    prior : Beta, shape ()
    counts : Counts
        One entry, of multiplicity 1.

    Returns
    -------
    GradientVariance
        To about 1e-6 of each variance. Without `gamma_pair` for a LogitNormal.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape.

    Examples
    --------
    >>> print(gradient_variance(Beta(2.0, 3.0), Beta(1.0, 1.0), Counts(3, 10)))
    ... # doctest: +NORMALIZE_WHITESPACE
    estimator              Var d/dconcentration1  Var d/dconcentration0  particles for one digit
    pathwise                             2.30287                1.28625                     1446
    gamma pair                           2.34357                1.31401                     1473
    score function                        7.5455                6.11228                     5501
    best baseline                        1.16019                1.32343                     1000
    sticking the landing                0.751894               0.514753                    510.2
    """
    check_model(counts, guide=guide, prior=prior)
    if len(counts) != 1 or counts.num_latents != 1:
        raise ValueError(f"counts must be one latent, not {counts.num_latents}")
    task, p, own = Task(find(guide), counts), column(prior), column(guide)
    latent = OneLatent.of(task, p, own, 0, NODES)
    assert latent is not None
    weights, logits = latent.weights, latent.logit[:, None]
    f = latent.form + (task.guide.normalizer(prior, own) + task.log_coefficient)
    score = task.guide.score(logits, latent.logs[:, :, None], own)[:, :, 0]
    stuck = latent.through + task.guide.stuck(logits, own)[:, :, 0]
    whole = latent.trace_rows(task, p, own)[1]
    gradient = whole @ weights
    squares = score**2
    baseline = (squares * f) @ weights / (squares @ weights)
    pair = None
    if isinstance(guide, Beta):
        extra = _gamma_noise(float(own[0, 0]), float(own[1, 0]), latent)
        pair = _noise(_variance(whole, weights) + extra, gradient)
    names = task.guide.parameter_names
    return GradientVariance(
        (names[0], names[1]),
        (float(gradient[0]), float(gradient[1])),
        float(_variance(f[None], weights)[0]),
        float(_variance((task.outcomes[:, 0] @ latent.logs)[None], weights)[0]),
        _noise(_variance(whole, weights), gradient),
        pair,
        _noise(_variance(score * f, weights), gradient),
        _noise(_variance(score * (f - baseline[:, None]), weights), gradient),
        _noise(_variance(stuck, weights), gradient),
    )


def trace_variance(task: Task, prior: FloatArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Variance of one particle's gradient under ``trace``: (2,) and the shape of the own part.

    For constrained parameters (2, 1) and (k, G), all latents of an entry together; to three digits.
    """
    guide, weights_of = task.guide, task.weights
    each = np.broadcast_to(own, (len(own), weights_of.size))
    by_prior = np.zeros((2, weights_of.size))
    by_own = np.zeros((len(guide.parameter_names), weights_of.size))
    for g in np.flatnonzero(weights_of):
        one = each[:, g : g + 1]
        latent = OneLatent.of(task, prior, one, int(g), _FEW_NODES)
        if latent is None:
            continue
        rows = latent.trace_rows(task, prior, one)
        by_prior[:, g], by_own[:, g] = (
            _variance(np.broadcast_to(x, (len(x), _FEW_NODES)), latent.weights) for x in rows
        )
    if guide.shared:
        return by_prior @ weights_of, (by_own @ weights_of)[:, None]
    return by_prior @ weights_of, by_own * weights_of


def _variance(rows: FloatArray, weights: FloatArray) -> FloatArray:
    away = rows - (rows @ weights)[:, None]
    variance: FloatArray = away**2 @ weights
    return variance


def _noise(variance: FloatArray, gradient: FloatArray) -> Noise:
    total, size = float(variance.sum()), float(gradient @ gradient)
    with np.errstate(divide="ignore", invalid="ignore"):
        particles = 100 * np.divide(total, size) if total > 1e-24 * (1 + size) else 0.0
    return Noise((float(variance[0]), float(variance[1])), float(particles))


def _nodes(guide: Beta | LogitNormal, nodes: int) -> tuple[FloatArray, FloatArray]:
    """Logits and weights of the trapezoidal rule under the guide."""
    first, second = (float(np.ravel(x)[0]) for x in guide.arrays())
    if isinstance(guide, LogitNormal):
        z = np.linspace(-9.0, 9.0, nodes)
        weights = np.exp(-z * z / 2)
        return first + second * z, weights / weights.sum()
    return _beta_nodes(first, second, nodes)


def _beta_nodes(a: float, b: float, nodes: int) -> tuple[FloatArray, FloatArray]:
    """y = log(a/b) + x: sinh-stretched, as far as the slower of the two tails."""
    center = np.log(a) - np.log(b)
    spread = np.sqrt(1 / a + 1 / b)
    low, high = (np.arcsinh(40 * (1 / x / spread + 1)) for x in (a, b))
    u = np.linspace(-low, high, nodes)
    y = center + spread * np.sinh(u)
    log_density = a * (sc.log_expit(y)) + b * sc.log_expit(-y)
    weights = np.exp(log_density - log_density.max()) * np.cosh(u)
    return y, weights / weights.sum()


def _gamma_noise(a: float, b: float, latent: OneLatent) -> FloatArray:
    """E[(A (1 - c) - D c)^2 Var(w | c)] for both concentrations."""
    s = a + b
    log_t, t_weights = _gamma_nodes(s)
    extras = []
    for x, log_share in zip((a, b), latent.logs, strict=True):
        log_g = log_share[:, None] + log_t
        limit = np.array(_GAMMA_LIMIT)
        w = logit_derivatives(log_g.ravel() - np.log(_GAMMA_LIMIT), np.array(x), limit)[0]
        w = w.reshape(log_g.shape)
        mean = w @ t_weights
        extras.append((latent.slope**2 * ((w - mean[:, None]) ** 2 @ t_weights)) @ latent.weights)
    return np.array(extras)


def _gamma_nodes(s: float) -> tuple[FloatArray, FloatArray]:
    """log t and weights for t ~ Gamma(s)."""
    spread = 1 / np.sqrt(s)
    low, high = np.arcsinh(40 * (1 / s + spread) / spread), np.arcsinh(9.0 + 4 / spread)
    u = np.linspace(-low, high, _T_NODES)
    log_t = np.log(s) + spread * np.sinh(u)
    log_density = s * log_t - np.exp(np.minimum(log_t, 700))
    weights = np.exp(log_density - log_density.max()) * np.cosh(u)
    return log_t, weights / weights.sum()
