r"""Pyro's arithmetic at given draws: the terms of the loss, and its gradients in their parts.

Losses are computed in the arithmetic of the run, operation by operation as PyTorch does them:

* a Beta's log density is ``xlogy(a - 1, c) + xlogy(b - 1, 1 - c) + lgamma(a + b) - lgamma(a) -
  lgamma(b)``, with 1 - c rounded;
* a Binomial and a Bernoulli see c clamped to [eps, 1 - eps], eps that of the precision, take its
  logit, and clamp in float64 too; of a failure a Bernoulli then takes log sigmoid(x) - x, whose
  two terms cancel where c is small;
* a draw of a Beta is kept in [tiny, 1 - eps/2], one that a sigmoid makes in [tiny, 1 - eps]:
  a recorded draw has been through that already.

NumPyro has tiny where Pyro has eps, for the probability of a Binomial or Bernoulli.

The difference that is left is rounding, a few eps of the sum of all that a value is made of
without the signs, which is returned beside it as its *magnitude*.

In a gradient, ``Binomial.log_prob`` adds half of total_count and takes it away again
(``_clamp_by_zero``), which in float32 leaves little of the derivative for many trials and a small
c: the magnitudes count it. PyTorch's trigamma is right to 5e-10 only, in float64 too.

A gradient is exact, at the draws as they are, and in two parts (`elbo_ref.objectives.trace`):
`density`, at fixed draws, and `through` the draws, in which the likelihood has no part where its
clamp holds. `score` is the score-function estimator of the same gradient.

All steps stand side by side: a column is one latent at one step. C is their number, P that of the
particles; `prior` is (2, C), `guide_parameters` are (k, C), draws (P, C). Particles are averaged
with weights, those of a Renyi bound being unequal (`elbo_ref.recording.replay.trace.Bound`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.float_ends import Ends, probability_ends
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.guides import Guide
from elbo_ref.special import trigamma

Floats = NDArray[Any]
"""Numbers in the precision of the run."""

_ENDS = probability_ends("float64")
_HALF_LOG_2PI = float(np.log(2 * np.pi) / 2)

_TRIGAMMA = 10.0
"""Loss of accuracy of PyTorch's trigamma beside the other functions."""


class Columns(NamedTuple):
    """Draws, parameters and data of steps side by side.

    Attributes
    ----------
    c, logit : array, (P, C)
    prior, guide_parameters, outcomes : arrays, (2, C), (k, C), (2, C)
    log_coefficient, coefficient_magnitude : array, (C,)
        Log binomial coefficients, and the log factorials they are made of without signs.
    weights : array, (P, C) or (P, 1)
        Weights of the particles; their sum is 1.
    excess : float or array, (C,)
        A Renyi bound less the mean of its particles.
    weight_error : float or array, (C,)
        Relative rounding of the weights, in units of eps.
    """

    c: Floats
    logit: FloatArray
    prior: FloatArray
    guide_parameters: FloatArray
    outcomes: FloatArray
    log_coefficient: FloatArray
    coefficient_magnitude: FloatArray
    weights: FloatArray
    excess: float | FloatArray = 0.0
    weight_error: float | FloatArray = 0.0

    def mean(self, values: FloatArray) -> FloatArray:
        """Average over particles, which are the last axis but one."""
        return np.asarray((self.weights * values).sum(axis=-2))


class Term(NamedTuple):
    """A summand of the loss, (P, C), and the sum of all it is made of without signs."""

    value: FloatArray
    magnitude: FloatArray

    def __neg__(self) -> Term:
        return Term(-self.value, self.magnitude)


class Terms(NamedTuple):
    """Summands of the objective: likelihood + coefficients + prior - guide."""

    likelihood: Term
    coefficients: Term
    prior: Term
    guide: Term

    def objective(self, likelihood_scale: float = 1.0) -> FloatArray:
        """Add them up to the log weight of each particle and latent, (P, C)."""
        data = self.likelihood.value + self.coefficients.value
        return likelihood_scale * data + self.prior.value - self.guide.value

    @property
    def magnitude(self) -> FloatArray:
        """Sum of the magnitudes."""
        return sum(term.magnitude for term in self)  # type: ignore[return-value]


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


def binomial(c: Floats, k: Floats, f: Floats, ends: Ends | None) -> Term:
    """Compute ``Binomial.log_prob`` without its coefficient."""
    logit = _clamped_logit(c, ends)
    softplus = np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit)))
    n = k + f
    value = (k * logit - n * softplus).astype(np.float64)
    return Term(value, (k * np.abs(logit) + n * softplus).astype(np.float64))


def single_trials(c: Floats, k: Floats, f: Floats, ends: Ends | None) -> Term:
    """Compute ``Bernoulli.log_prob``: of a failure log sigmoid(x) - x, which cancels."""
    logit = _clamped_logit(c, ends)
    success = np.minimum(logit, 0) - np.log1p(np.exp(-np.abs(logit)))
    value = (k * success + f * (success - logit)).astype(np.float64)
    return Term(value, (k * np.abs(success) + f * (np.abs(success) + np.abs(logit))).astype(float))


def from_logits(c: Floats, k: Floats, f: Floats, _ends: Ends | None) -> Term:
    """Compute the same of ``Binomial(logits=logit(c))``, where nothing is clamped."""
    return binomial(c, k, f, None)


def unclamped(c: Floats, k: Floats, f: Floats, _ends: Ends | None) -> Term:
    """Compute k log c + f log(1 - c), as written by hand."""
    return _total([sc.xlogy(k, c), sc.xlogy(f, 1 - c)])


Likelihood: TypeAlias = Callable[[Floats, Floats, Floats, "Ends | None"], Term]


@dataclass(frozen=True)
class Program:
    """A model and a guide under one of Pyro's losses.

    Attributes
    ----------
    guide : Guide
    dtype : {"float32", "float64"}
    mean_field : bool
        Whether the loss is ``TraceMeanField_ELBO``.
    ends : Ends
        At which the probability of a Binomial or Bernoulli is clamped.
    likelihood : callable
        `binomial`, `single_trials` or `unclamped`.
    """

    guide: Guide
    dtype: str
    mean_field: bool = False
    ends: Ends = _ENDS
    likelihood: Likelihood = binomial

    @property
    def subtracts_beta(self) -> bool:
        """Tell whether the density subtracted is that of a Beta."""
        return self.guide.source is BETA and self.guide.source_weight != 0

    @property
    def _counted(self) -> Guide:
        """The guide with the densities that the loss counts."""
        return self.guide.without_jacobian() if self.mean_field else self.guide

    @property
    def closed(self) -> bool:
        """Tell whether the divergence of guide and prior is taken in closed form."""
        return self.mean_field and self.subtracts_beta

    def terms(self, columns: Columns) -> Terms:
        """Compute the terms of the loss at the draws."""
        kind, c = np.dtype(self.dtype).type, columns.c
        prior = columns.prior.astype(kind)
        params = columns.guide_parameters.astype(kind)
        k, f = columns.outcomes.astype(kind)
        constant = columns.log_coefficient, columns.coefficient_magnitude
        data = (
            self.likelihood(c, k, f, self.ends),
            Term(*(np.broadcast_to(x, c.shape) for x in constant)),
        )
        subtracted = []
        if self.subtracts_beta:
            q = self.guide.source_parameters(prior, params)
            if self.closed:
                zero = Term(np.zeros(c.shape), np.zeros(c.shape))
                return Terms(*data, -_divergence(q, prior, c.shape), zero)
            subtracted = _log_beta(c, *q)
        y = columns.logit.astype(kind)
        if self.guide.source is LOGIT_NORMAL:
            subtracted = _log_normal(y, *params)
        if self._counted.jacobian + (self.guide.source is LOGIT_NORMAL):
            subtracted += [np.logaddexp(kind(0), -y), np.logaddexp(kind(0), y)]
        return Terms(*data, _total(_log_beta(c, *prior)), _total(subtracted, c.shape))

    def parts(self, columns: Columns, pathwise: FloatArray, likelihood_scale: float) -> Parts:
        """Compute the gradient, given the derivatives of the draws' logits."""
        guide = self._counted
        prior, params, y = columns.prior, columns.guide_parameters, columns.logit
        c, failure = columns.c.astype(np.float64), sc.expit(-y)
        k, f = likelihood_scale * columns.outcomes
        free = (c >= self.ends.low) & (c <= self.ends.high)
        never = self.likelihood in (unclamped, from_logits)
        data = np.where(free | never, k * failure - f * c, 0.0)
        logs = np.array((np.log(c), np.log1p(-c)))
        tilt = guide.tilt(prior, params, np.zeros_like(columns.outcomes))
        logs_magnitude = columns.mean(np.abs(logs)) + _psi_magnitude(prior)
        exponents = np.abs(prior) + 1
        x = guide.source_parameters(prior, params)
        if self.subtracts_beta:
            logs_magnitude = logs_magnitude + _psi_magnitude(x)
            exponents = exponents + x + 1
        if self.closed:
            slope, slope_magnitude = data, np.zeros_like(data)
            fixed, fixed_magnitude = BETA.pull_back(tilt, x), _pull_magnitude(x, prior)
            seen = np.broadcast_to(BETA.expected_logs(x), tilt.shape)
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
        magnitude = self._by_row(through + fixed_magnitude[: len(through)], logs_magnitude)
        return Parts(
            density=density,
            through=rows(fixed + columns.mean(slope * pathwise)) - density,
            score=self._score(columns, logs, likelihood_scale),
            magnitude=magnitude,
            through_magnitude=self._by_row(through),
            rounding=self._by_row(rounding) + columns.weight_error * magnitude,
        )

    def _by_row(self, source: FloatArray, logs: FloatArray | None = None) -> FloatArray:
        """Spread the magnitudes of a source gradient and of the logarithms over the rows."""
        prior = np.zeros((2, source.shape[1])) if logs is None else logs
        params = np.zeros((len(self.guide.parameter_names), source.shape[1]))
        if not len(params):
            return prior + source
        if logs is not None and self.guide.source is LOGIT_NORMAL:
            params = params + 10
        elif logs is not None and self.guide.source is BETA:
            params = params + logs
        return np.concatenate((prior, params + source))

    def _score(self, columns: Columns, logs: FloatArray, likelihood_scale: float) -> FloatArray:
        prior, params = columns.prior, columns.guide_parameters
        if not self.guide.has_score or self.mean_field:
            return np.full((2 + len(self.guide.parameter_names), prior.shape[1]), np.nan)
        f = self.terms(columns).objective(likelihood_scale)
        score = columns.mean(self.guide.source.score(columns.logit, logs, params) * f)
        by_prior = self.guide.collect(np.zeros_like(score), columns.mean(logs), prior, params)[0]
        return np.concatenate((by_prior, score))


def _clamped_logit(c: Floats, ends: Ends | None) -> Floats:
    p = c if ends is None else np.clip(c, *map(c.dtype.type, (ends.low, ends.high)))
    return np.asarray(np.log(p) - np.log1p(-p))


def _log_beta(c: Floats, a: Floats, b: Floats) -> list[Floats]:
    """List the summands of the log density of a Beta."""
    return [sc.xlogy(a - 1, c), sc.xlogy(b - 1, 1 - c), *_log_gammas(a, b)]


def _log_normal(y: Floats, loc: Floats, scale: Floats) -> list[Floats]:
    """List the summands of the normal log density of a logit, with respect to the logit."""
    return [-((y - loc) ** 2) / (2 * scale**2), -np.log(scale) - y.dtype.type(_HALF_LOG_2PI)]


def _divergence(q: Floats, p: Floats, shape: tuple[int, ...]) -> Term:
    """Compute KL(q || p) as ``kl_divergence`` of two Betas."""
    parts = [*_log_gammas(*q), *(-x for x in _log_gammas(*p))]
    parts += [(q[0] - p[0]) * sc.psi(q[0]), (q[1] - p[1]) * sc.psi(q[1])]
    parts += [((p[0] + p[1]) - (q[0] + q[1])) * sc.psi(q[0] + q[1])]
    return _total(parts, shape)


def _log_gammas(a: Floats, b: Floats) -> list[Floats]:
    return [sc.gammaln(a + b), -sc.gammaln(a), -sc.gammaln(b)]


def _total(parts: list[Floats], shape: tuple[int, ...] | None = None) -> Term:
    """Add up summands that broadcast to a shape, by default that of the first."""
    shape = parts[0].shape if shape is None else shape
    wide = np.array([np.broadcast_to(x, shape) for x in parts], dtype=np.float64)
    wide = wide.reshape(len(parts), *shape)
    return Term(wide.sum(axis=0), np.abs(wide).sum(axis=0))


def _psi_magnitude(x: FloatArray) -> FloatArray:
    return np.asarray(2 + np.abs(sc.psi(x)) + np.abs(sc.psi(x.sum(axis=0))))


def _pull_magnitude(q: FloatArray, p: FloatArray) -> FloatArray:
    """Bound the summands of the derivative of a divergence by the concentrations of q."""
    both, total = p + q, (p + q).sum(axis=0)
    return np.asarray(_TRIGAMMA * (both * trigamma(q) + total * trigamma(q.sum(axis=0))))
