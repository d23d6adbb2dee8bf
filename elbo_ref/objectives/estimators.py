r"""How noisy each estimator is: the exact variance of one particle, by quadrature.

With f = log p(x, c) - log q(c) of a latent and its logit's derivative A (1 - c) - D c
(`elbo_ref.guides.protocol`), y the logit, S = d log q / d(own parameter) and v = dy / d(own
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

from typing import NamedTuple, TypeAlias

import numpy as np

from elbo_ref.arguments import FloatArray, check_fits, underflow_is_zero
from elbo_ref.beta import Beta
from elbo_ref.counts import Counts
from elbo_ref.guides import find
from elbo_ref.logit_normal import LogitNormal
from elbo_ref.objectives.exact import check_model, column, columns
from elbo_ref.objectives.noise import NODES, OneLatent
from elbo_ref.objectives.protocol import Task
from elbo_ref.objectives.trace import Trace
from elbo_ref.pathwise import logit_derivatives

_GAMMA_LIMIT = 1e13
_T_NODES = 161
_ESTIMATORS = (
    "pathwise",
    "gamma_pair",
    "score_function",
    "best_baseline",
    "sticking_the_landing",
)

Pair: TypeAlias = tuple[float | FloatArray, float | FloatArray]
"""For each of the guide's two parameters, in the guide's shape."""


class Noise(NamedTuple):
    """One estimator: its one-particle variances, and the particles for one digit.

    `variance` is that of the derivative by each of the guide's two parameters, in the guide's
    shape. `particles` is how many make the standard deviation a tenth of the gradient's size, over
    all latents; inf where the gradient is 0 and the noise is not.
    """

    variance: Pair
    particles: float


class GradientVariance(NamedTuple):
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

    def __str__(self) -> str:
        head = f"{'estimator':22}" + "".join(f"{f'Var d/d{x}':>24}" for x in self.parameters)
        lines = [f"{head}{'particles for one digit':>26}"]
        for name in _ESTIMATORS:
            noise = getattr(self, name)
            if noise is not None:
                cells = "".join(f"{np.sum(x):24.6g}" for x in noise.variance)
                lines.append(f"{name.replace('_', ' '):22}{cells}{noise.particles:26.4g}")
        return "\n".join(lines)


@underflow_is_zero
def gradient_variance(guide: Beta | LogitNormal, prior: Beta, counts: Counts) -> GradientVariance:
    """Exact variance of one particle's estimate of the ELBO's gradient, for each estimator.

    Parameters
    ----------
    guide : Beta or LogitNormal, shape () or (G,)
        One pair of parameters for all latents, or one for each; as they are, not their logarithms.
    prior : Beta, shape ()
    counts : Counts, G entries

    Returns
    -------
    GradientVariance
        To about 1e-6 of each variance. Printed, its variances are summed over latents. Without
        `gamma_pair` for a LogitNormal.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape.

    Notes
    -----
    The gradient by the prior's concentrations is the same in all of them, log c - E log c and its
    mirror image, but for the mean field's, which has no noise.

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
    check_fits("prior", prior.shape, 1)
    task, p, own = Task(find(guide), counts), column(prior), columns(guide, len(counts))
    tilts = task.guide.tilt(p, own, task.outcomes)
    found = []
    for g in range(len(counts)):
        one = slice(g, g + 1)
        latent = OneLatent.of(task, p, own[:, one], tilts[:, one], g, NODES)
        found.append(_of_latent(task, p, own[:, one], latent, task.outcomes[:, g]))
    each = {name: np.stack([row[name] for row in found], axis=-1) for name in found[0]}

    def shaped(rows: FloatArray) -> Pair:
        rows = rows * task.weights
        if guide.shape:
            return rows[0], rows[1]
        return float(rows[0].sum()), float(rows[1].sum())

    gradient = shaped(each["gradient"])
    size = sum(float(np.sum(np.square(x))) for x in gradient)
    noises = {}
    for name in _ESTIMATORS:
        if name in each:
            variance = shaped(each[name])
            noises[name] = Noise(variance, _particles(sum(map(np.sum, variance)), size))
    first, second = task.guide.parameter_names
    return GradientVariance(
        (first, second),
        gradient,
        float(task.weights @ each["objective"]),
        float(task.weights @ each["mean_field_objective"]),
        noises["pathwise"],
        noises.get("gamma_pair"),
        *(noises[name] for name in _ESTIMATORS[2:]),
    )


def _of_latent(
    task: Task, prior: FloatArray, own: FloatArray, latent: OneLatent, outcomes: FloatArray
) -> dict[str, FloatArray]:
    """Everything for one latent: mean and variances of its gradient, variances of its objective."""
    weights, logits = latent.weights, latent.logit[:, None]
    f = latent.form + latent.constant
    score = task.guide.score(logits, latent.logs[:, :, None], own)[:, :, 0]
    _, pathwise = Trace().gradient_rows(task, latent, prior, own)
    _, stuck = Trace(keeps_score=False).gradient_rows(task, latent, prior, own)
    squares = score**2
    baseline = (squares * f) @ weights / (squares @ weights)
    found = {
        "gradient": pathwise @ weights,
        "objective": latent.variance(f[None])[0],
        "mean_field_objective": latent.variance((outcomes @ latent.logs)[None])[0],
        "pathwise": latent.variance(pathwise),
        "score_function": latent.variance(score * f),
        "best_baseline": latent.variance(score * (f - baseline[:, None])),
        "sticking_the_landing": latent.variance(stuck),
    }
    if task.guide.name == "beta":
        extra = _gamma_noise(float(own[0, 0]), float(own[1, 0]), latent)
        found["gamma_pair"] = found["pathwise"] + extra
    return found


def _particles(variance: float, size: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(100 * np.divide(variance, size)) if variance > 1e-24 * (1 + size) else 0.0


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
