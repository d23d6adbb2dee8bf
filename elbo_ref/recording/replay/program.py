r"""What Pyro computes from given draws: the terms of the loss, and its gradients in their parts.

Losses are computed in the arithmetic of the run, operation by operation as PyTorch does them:

* a Beta's log density is ``xlogy(a - 1, c) + xlogy(b - 1, 1 - c) + lgamma(a + b) - lgamma(a) -
  lgamma(b)``, with 1 - c rounded;
* a Binomial and a Bernoulli see c clamped to [eps, 1 - eps], eps that of the precision, take its
  logit, and clamp in float64 too; of a failure a Bernoulli then takes log sigmoid(x) - x, whose
  two terms cancel where c is small;
* a draw of a Beta is kept in [tiny, 1 - eps/2], one that a sigmoid makes in [tiny, 1 - eps]:
  a recorded draw has been through that already.

NumPyro has tiny where Pyro has eps, for the probability of a Binomial or Bernoulli.

What is left between theirs and ours is rounding, a few eps of the sum of all that a value is made
of without the signs, which is returned beside it as its *size*.

In a gradient, ``Binomial.log_prob`` adds half of total_count and takes it away again
(``_clamp_by_zero``), which in float32 leaves little of the derivative for many trials and a small
c: the sizes count it. PyTorch's trigamma is right to 5e-10 only, in float64 too.

A gradient is exact, at the draws as they are, and in two parts (`elbo_ref.objectives.trace`):
`density`, at fixed draws, and `through` the draws, in which the likelihood has no part where its
clamp holds. `score` is the score-function estimator of the same gradient.

All steps stand side by side: a column is one latent at one step. C is their number, P that of the
particles; `prior` is (2, C), `own` (k, C), draws are (P, C). Particles are averaged with weights,
those of a Renyi bound being unequal (`elbo_ref.recording.replay.bound`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import BETA
from elbo_ref.guides import Guide
from elbo_ref.special import trigamma

Floats = NDArray[Any]
"""In the precision of the run."""

_HALF_LOG_2PI = float(np.log(2 * np.pi) / 2)


class Columns(NamedTuple):
    """Draws, parameters and data of steps side by side."""

    c: Floats
    logit: FloatArray
    prior: FloatArray
    own: FloatArray
    outcomes: FloatArray
    log_coefficient: FloatArray
    coefficient_size: FloatArray
    """Of each latent: the log factorials that its coefficients are made of, without signs."""
    weights: FloatArray
    """Of the particles, (P, C) or (P, 1); their sum is 1."""
    excess: float | FloatArray = 0.0
    """What the number that particles make is above their mean, (C,)."""
    haze: float | FloatArray = 0.0
    """How far off a weight may be of itself, in units of eps."""

    def mean(self, values: FloatArray) -> FloatArray:
        """Over particles, which are the last axis but one."""
        return np.asarray((self.weights * values).sum(axis=-2))


class Term(NamedTuple):
    """Something in the loss, (P, C), and the sum of what it is made of without signs."""

    value: FloatArray
    size: FloatArray

    def __neg__(self) -> Term:
        return Term(-self.value, self.size)


class Terms(NamedTuple):
    """Of the objective: likelihood + coefficients + prior - own."""

    likelihood: Term
    coefficients: Term
    prior: Term
    own: Term

    def objective(self, likelihood_scale: float = 1.0) -> FloatArray:
        """f of each particle and latent."""
        data = self.likelihood.value + self.coefficients.value
        return likelihood_scale * data + self.prior.value - self.own.value

    @property
    def size(self) -> FloatArray:
        """Of all together."""
        return sum(term.size for term in self)  # type: ignore[return-value]


class Parts(NamedTuple):
    """Gradients of the objective for parameters as they are constrained, (rows, C).

    The rows are the prior's two concentrations and the guide's own parameters; of all particles.
    """

    density: FloatArray
    through: FloatArray
    score: FloatArray | None
    size: FloatArray
    """Of `density` and `through`, as that of a `Term`."""
    through_size: FloatArray
    """Of `through` alone, and of what the rounding of 1 - c does to it."""
    blur: FloatArray
    """That, in units of eps."""


def binomial(c: Floats, k: Floats, f: Floats, least: float) -> Term:
    """As ``Binomial.log_prob``, coefficients apart."""
    logit = _logit(c, least)
    softplus = np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit)))
    n = k + f
    value = (k * logit - n * softplus).astype(np.float64)
    return Term(value, (k * np.abs(logit) + n * softplus).astype(np.float64))


def single_trials(c: Floats, k: Floats, f: Floats, least: float) -> Term:
    """As ``Bernoulli.log_prob`` of each trial: of a failure log sigmoid(x) - x, which cancels."""
    logit = _logit(c, least)
    success = np.minimum(logit, 0) - np.log1p(np.exp(-np.abs(logit)))
    value = (k * success + f * (success - logit)).astype(np.float64)
    return Term(value, (k * np.abs(success) + f * (np.abs(success) + np.abs(logit))).astype(float))


def bare(c: Floats, k: Floats, f: Floats, least: float) -> Term:
    """k log c + f log(1 - c) as somebody writes it: nothing is clamped."""
    return _summed([sc.xlogy(k, c), sc.xlogy(f, 1 - c)])


def _logit(c: Floats, least: float) -> Floats:
    """Of the clamped probability."""
    p = np.clip(c, c.dtype.type(least), 1 - np.finfo(c.dtype).eps)
    return np.asarray(np.log(p) - np.log1p(-p))


Likelihood: TypeAlias = Callable[[Floats, Floats, Floats, float], Term]


@dataclass(frozen=True)
class Program:
    """A model and a guide under one of Pyro's losses.

    Attributes
    ----------
    guide : Guide
    dtype : str
    mean_field : bool
        Whether the loss is ``TraceMeanField_ELBO``.
    least : float
        What the probability of a Binomial or Bernoulli is kept above.
    likelihood : callable
        `binomial`, `single_trials` or `bare`.
    """

    guide: Guide
    dtype: str
    mean_field: bool = False
    least: float = float(np.finfo(np.float64).eps)
    likelihood: Likelihood = binomial

    @property
    def closed(self) -> bool:
        """Whether the divergence of guide and prior is taken in closed form."""
        return self.mean_field and self._beta is not None

    @property
    def _beta(self) -> Guide | None:
        """The guide, if it has a Beta for the latent."""
        guide = self.guide
        return guide if guide.source is BETA and guide.source_weight else None

    def terms(self, columns: Columns) -> Terms:
        """The terms of the loss at the draws."""
        kind = np.dtype(self.dtype).type
        c, prior, own = columns.c, columns.prior.astype(kind), columns.own.astype(kind)
        zero = Term(np.zeros(c.shape), np.zeros(c.shape))
        constant = np.broadcast_to(columns.log_coefficient, c.shape)
        size = np.broadcast_to(columns.coefficient_size, c.shape)
        k, f = columns.outcomes.astype(kind)
        likelihood = self.likelihood(c, k, f, self.least)
        data = likelihood, Term(constant, size)
        counted = _log_beta(c, *prior)
        if self._beta is not None:
            q = self._beta.source_parameters(prior, own)
            if self.closed:
                return Terms(*data, -_divergence(q, prior, c.shape), zero)
            return Terms(*data, counted, _log_beta(c, *q))
        if self.guide.name == "normal":
            y, (loc, scale) = columns.logit.astype(kind), own
            return Terms(*data, counted, _log_normal(y, loc, scale, self.mean_field))
        if self.guide.name == "laplace" and not self.mean_field:
            return Terms(*data, counted, _summed(_less_jacobian(columns.logit.astype(kind))))
        return Terms(*data, counted, zero)

    def parts(self, columns: Columns, pathwise: FloatArray, likelihood_scale: float) -> Parts:
        """The gradient, for derivatives of the logits of the draws that are given."""
        guide = self.guide.without_jacobian() if self.mean_field else self.guide
        prior, own, y = columns.prior, columns.own, columns.logit
        c, rest = columns.c.astype(np.float64), sc.expit(-y)
        eps = np.finfo(self.dtype).eps
        k, f = likelihood_scale * columns.outcomes
        free = (c >= self.least) & (c <= 1 - eps) | (self.likelihood is bare)
        data = np.where(free, k * rest - f * c, 0.0)
        logs = np.array((np.log(c), np.log1p(-c)))
        base = guide.tilt(prior, own, np.zeros_like(columns.outcomes))
        q = None if self._beta is None else self._beta.source_parameters(prior, own)
        if self.mean_field and q is not None:
            slope, slope_size = data, np.zeros_like(data)
            fixed = BETA.pull_back(base, q)
            seen = np.broadcast_to(BETA.expected_logs(q), base.shape)
            fixed_size = _pull_size(q, prior)
        else:
            slope = base[0] * rest - base[1] * c + data
            bounds = np.abs(prior) + 1
            if q is not None:
                bounds = bounds + q + 1
            slope_size = bounds[0] * rest + bounds[1] * c
            fixed_size = np.zeros((2, y.shape[1]))
            fixed = np.zeros((len(pathwise), y.shape[1]))
            seen = columns.mean(logs)
            if guide.density_weight:
                expected = guide.source.expected_logs(guide.source_parameters(prior, own))
                fixed = fixed + guide.density_weight * (seen - expected)
        slope_size = slope_size + k + 2 * (k + f)
        through = columns.mean(slope * pathwise)
        density = _rows(guide, fixed, seen, prior, own)
        whole = _rows(guide, fixed + through, seen, prior, own)
        sizes = np.abs(pathwise) * slope_size
        blur = columns.mean(sizes / rest)
        if self.guide.name == "normal":  # its own density's derivatives cancel; y is rounded
            sizes += 2 / own[1]
            sizes[1] += (np.abs(slope) + 1 / own[1]) * (np.abs(y) + np.abs(own[0])) / own[1]
        logs_size = columns.mean(np.abs(logs)) + _psi_sizes(prior)
        if q is not None:
            logs_size = logs_size + _psi_sizes(q)
        size = self._spread(logs_size, columns.mean(sizes) + fixed_size[: len(sizes)])
        return Parts(
            density=density,
            through=whole - density,
            score=self._score(columns, logs, likelihood_scale),
            size=size,
            through_size=self._spread(None, columns.mean(sizes)),
            blur=self._spread(None, blur) + columns.haze * size,
        )

    def _spread(self, logs: FloatArray | None, sizes: FloatArray) -> FloatArray:
        """Sizes of a source gradient in the rows of the gradient."""
        columns = sizes.shape[1]
        prior = np.zeros((2, columns)) if logs is None else logs
        own = np.zeros((len(self.guide.parameter_names), columns))
        if not len(own):
            return prior + sizes
        if logs is not None and self.guide.name in ("beta", "beta_shared"):
            own = own + logs
        if logs is not None and self.guide.name == "normal":
            own = own + 10
        return np.concatenate((prior, own + sizes))

    def _score(
        self, columns: Columns, logs: FloatArray, likelihood_scale: float
    ) -> FloatArray | None:
        if not self.guide.has_score or self.mean_field:
            return None
        f = self.terms(columns).objective(likelihood_scale)
        score = columns.mean(self.guide.source.score(columns.logit, logs, columns.own) * f)
        seen = columns.mean(logs)
        by_prior = self.guide.collect(np.zeros_like(score), seen, columns.prior, columns.own)[0]
        return np.concatenate((by_prior, score))


def _rows(
    guide: Guide, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
) -> FloatArray:
    by_prior, by_own = guide.collect(source, logs, prior, own)
    return np.concatenate((np.broadcast_to(by_prior, logs.shape), by_own))


_TRIGAMMA = 10.0
"""How much less exact PyTorch's trigamma is than the rest."""


def _pull_size(q: FloatArray, p: FloatArray) -> FloatArray:
    """Of the derivative of a divergence by the concentrations of q."""
    both, total = p + q, (p + q).sum(axis=0)
    return np.asarray(_TRIGAMMA * (both * trigamma(q) + total * trigamma(q.sum(axis=0))))


def _psi_sizes(x: FloatArray) -> FloatArray:
    return np.asarray(2 + np.abs(sc.psi(x)) + np.abs(sc.psi(x.sum(axis=0))))


def _log_beta(c: Floats, a: Floats, b: Floats) -> Term:
    parts = [sc.xlogy(a - 1, c), sc.xlogy(b - 1, 1 - c)]
    parts += [np.broadcast_to(x, c.shape) for x in _log_gammas(a, b)]
    return _summed(parts)


def _log_normal(y: Floats, loc: Floats, scale: Floats, bare: bool) -> Term:
    """Of a logit, or unless `bare` of c with respect to c."""
    parts = [-((y - loc) ** 2) / (2 * scale**2), -np.log(scale) - y.dtype.type(_HALF_LOG_2PI)]
    if not bare:
        parts += _less_jacobian(y)
    return _summed([np.broadcast_to(x, y.shape) for x in parts])


def _less_jacobian(y: Floats) -> list[Floats]:
    """-log c and -log(1 - c), what a density of the logit is times as one of c."""
    zero = y.dtype.type(0)
    return [np.logaddexp(zero, -y), np.logaddexp(zero, y)]


def _divergence(q: Floats, p: Floats, shape: tuple[int, ...]) -> Term:
    """KL(q || p) as ``kl_divergence`` of two Betas."""
    parts = [*_log_gammas(*q), *(-x for x in _log_gammas(*p))]
    parts += [(q[0] - p[0]) * sc.psi(q[0]), (q[1] - p[1]) * sc.psi(q[1])]
    parts += [((p[0] + p[1]) - (q[0] + q[1])) * sc.psi(q[0] + q[1])]
    return _summed([np.broadcast_to(x, shape) for x in parts])


def _log_gammas(a: Floats, b: Floats) -> list[Floats]:
    return [sc.gammaln(a + b), -sc.gammaln(a), -sc.gammaln(b)]


def _summed(parts: list[Floats]) -> Term:
    wide = [x.astype(np.float64) for x in parts]
    return Term(np.sum(wide, axis=0), np.sum(np.abs(wide), axis=0))
