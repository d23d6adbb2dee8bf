"""The exact gradient of a loss at given draws, in its parts.

It is exact, at the draws as they are, and in two parts (`elbo_ref.objectives.trace`): `density`, at
fixed draws, and `through` the draws, in which the likelihood has no part where its clamp holds.
`score` is the score-function estimator of the same gradient. The allowance is made of magnitudes,
as that of a loss is (`elbo_ref.crosscheck.arithmetic`): ``Binomial.log_prob`` adds half of
total_count and takes it away again (``_clamp_by_zero``), which in float32 leaves little of the
derivative for many trials and a small c: the magnitudes count it. PyTorch's trigamma is right to
5e-10 only, in float64 too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.arithmetic import CLAMPED, probability_ends
from elbo_ref.crosscheck.given_draws import Columns, terms_of
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.guides import Guide
from elbo_ref.special import trigamma

_TRIGAMMA = 10.0
"""Loss of accuracy of PyTorch's trigamma beside the other functions."""


class Parts(NamedTuple):
    """Gradients of the objective for parameters as they are constrained, (rows, C).

    Attributes
    ----------
    density, through : array
        The part at fixed draws, and the part through them. Rows are the prior's two concentrations
        and the guide's parameters; particles are averaged.
    score : array
        The score-function estimator; nan where there is none.
    magnitude, through_magnitude : array
        Magnitudes of both parts together, and of `through` alone.
    rounding : array
        Effect of the rounding of 1 - c and of the weights, in units of eps.
    """

    density: FloatArray
    through: FloatArray
    score: FloatArray
    magnitude: FloatArray
    through_magnitude: FloatArray
    rounding: FloatArray


def gradient_parts(model: LossModel, columns: Columns, pathwise: FloatArray) -> Parts:
    """Compute the gradient of each latent's objective, given the derivatives of draws' logits."""
    guide, closed = model.loss.adapted(model.guide), model.closed
    ends = probability_ends(model.dtype, numpyro=model.numpyro)
    counts_beta = guide.source is BETA and guide.source_weight != 0
    prior, params, y = columns.prior, columns.guide_parameters, columns.logit
    c, failure = columns.c.astype(np.float64), sc.expit(-y)
    k, f = columns.outcomes
    free = (c >= ends.low) & (c <= ends.high)
    data = np.where(free | (model.likelihood not in CLAMPED), k * failure - f * c, 0.0)
    logs = np.array((np.log(c), np.log1p(-c)))
    tilt = guide.tilt(prior, params, np.zeros_like(columns.outcomes))
    logs_magnitude = columns.mean(np.abs(logs)) + _psi_magnitude(prior)
    exponents = np.abs(prior) + 1
    x = guide.source_parameters(prior, params)
    if counts_beta:
        logs_magnitude = logs_magnitude + _psi_magnitude(x)
        exponents = exponents + x + 1
    if closed:
        slope, slope_magnitude = data, np.zeros_like(data)
        (fixed, seen), fixed_magnitude = BETA.pull_back(tilt, x), _pull_magnitude(x, prior)
        seen = np.broadcast_to(seen, tilt.shape)
    else:
        slope = tilt[0] * failure - tilt[1] * c + data
        slope_magnitude = exponents[0] * failure + exponents[1] * c
        fixed = np.zeros((len(pathwise), y.shape[1]))
        fixed_magnitude = np.zeros((2, y.shape[1]))
        seen = columns.mean(logs)
        if guide.density_weight:
            fixed = fixed + guide.density_weight * (seen - guide.source.expected_logs(x))
    slope_magnitude = slope_magnitude + k + 2 * (k + f)

    def rows(source: FloatArray) -> FloatArray:
        by_prior, by_params = guide.collect(source, seen, prior, params)
        return np.concatenate((np.broadcast_to(by_prior, seen.shape), by_params))

    density = rows(fixed)
    magnitudes = np.abs(pathwise) * slope_magnitude
    rounding = columns.mean(magnitudes / failure)
    if guide.source is LOGIT_NORMAL:  # its own density's derivatives cancel; y is rounded
        magnitudes += 2 / params[1]
        magnitudes[1] += (
            (np.abs(slope) + 1 / params[1]) * (np.abs(y) + np.abs(params[0])) / params[1]
        )
    through = columns.mean(magnitudes)
    magnitude = _by_row(guide, through + fixed_magnitude[: len(through)], logs_magnitude)
    return Parts(
        density=density,
        through=rows(fixed + columns.mean(slope * pathwise)) - density,
        score=_score(model, columns, logs),
        magnitude=magnitude,
        through_magnitude=_by_row(guide, through),
        rounding=_by_row(guide, rounding) + columns.weight_error * magnitude,
    )


def _by_row(guide: Guide, source: FloatArray, logs: FloatArray | None = None) -> FloatArray:
    """Spread the magnitudes of a source gradient and of the logarithms over the rows."""
    prior = np.zeros((2, source.shape[1])) if logs is None else logs
    params = np.zeros((len(guide.parameter_names), source.shape[1]))
    if not len(params):
        return prior + source
    if logs is not None and guide.source is LOGIT_NORMAL:
        params = params + 10
    elif logs is not None and guide.source is BETA:
        params = params + logs
    return np.concatenate((prior, params + source))


def _score(model: LossModel, columns: Columns, logs: FloatArray) -> FloatArray:
    """Compute the score-function estimator; nan where there is none."""
    guide = model.guide
    prior, params = columns.prior, columns.guide_parameters
    if not guide.has_score or model.loss.name == "trace_mean_field":
        return np.full((2 + len(guide.parameter_names), prior.shape[1]), np.nan)
    f = terms_of(model, columns).log_weight + columns.log_coefficient
    score = columns.mean(guide.source.score(columns.logit, logs, params) * f)
    by_prior = guide.collect(np.zeros_like(score), columns.mean(logs), prior, params)[0]
    return np.concatenate((by_prior, score))


def _psi_magnitude(x: FloatArray) -> FloatArray:
    return np.asarray(2 + np.abs(sc.psi(x)) + np.abs(sc.psi(x.sum(axis=0))))


def _pull_magnitude(q: FloatArray, p: FloatArray) -> FloatArray:
    """Bound the summands of the derivative of a divergence by the concentrations of q."""
    both, total = p + q, (p + q).sum(axis=0)
    return np.asarray(_TRIGAMMA * (both * trigamma(q) + total * trigamma(q.sum(axis=0))))
