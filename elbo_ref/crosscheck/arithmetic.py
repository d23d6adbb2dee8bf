r"""Pyro's floating point: what log densities and likelihoods are made of at a draw, and its ends.

Values are computed in the precision of the run, operation by operation as PyTorch does them:

* a Beta's log density is ``xlogy(a - 1, c) + xlogy(b - 1, 1 - c) + lgamma(a + b) - lgamma(a) -
  lgamma(b)``, with 1 - c rounded;
* a Binomial and a Bernoulli see c clamped to [eps, 1 - eps], eps that of the precision, take its
  logit, and clamp in float64 too; of a failure a Bernoulli then takes log sigmoid(x) - x, whose
  two terms cancel where c is small;
* a draw of a Beta is kept in [tiny, 1 - eps/2], one that a sigmoid makes in [tiny, 1 - eps].

(``torch.distributions``: ``dirichlet`` in its C++ kernels, ``transforms._clipped_sigmoid`` and
``utils.clamp_probs``.) NumPyro clamps the probability of a likelihood at tiny instead of eps. The
Jacobian of a sigmoid is never clamped.

The difference that is left is rounding, a few eps of the sum of all that a value is made of without
the signs: its *magnitude*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.base import Source
from elbo_ref.distributions.beta_source import BETA

Floats = NDArray[Any]
"""Numbers in the precision of the run."""

LikelihoodForm: TypeAlias = Literal["binomial", "trials", "logits", "by_hand"]
"""The ways in which a likelihood is computed: from counts, from single trials, from logits that
nothing clamps, and as a factor written by hand."""

CLAMPED: tuple[LikelihoodForm, ...] = ("binomial", "trials")
"""Those that clamp the probability."""

_NEAR = 1e4
"""Distance from 0 and 1, in eps, up to which the rounding of a draw is taken into account."""
_HALF_LOG_2PI = float(np.log(2 * np.pi) / 2)


class Ends(NamedTuple):
    """The least value, and the least distance from 1."""

    low: float
    gap: float

    @property
    def high(self) -> float:
        """The largest value."""
        return 1 - self.gap


def draw_ends(dtype: DTypeLike, source: Source = BETA) -> Ends:
    """Return the ends of draws from a Beta, or of those that a sigmoid makes.

    Examples
    --------
    >>> draw_ends("float32").high == 1 - 2.0**-24
    True
    """
    info = np.finfo(dtype)
    return Ends(float(info.tiny), float(info.eps) / (2 if source is BETA else 1))


def probability_ends(dtype: DTypeLike, *, numpyro: bool = False) -> Ends:
    """Return the ends of the probability of a likelihood.

    Examples
    --------
    >>> probability_ends("float32").low == probability_ends("float32").gap == 2.0**-23
    True
    """
    info = np.finfo(dtype)
    return Ends(float(info.tiny if numpyro else info.eps), float(info.eps))


class Term(NamedTuple):
    """A summand of the log weight of a particle, as the parts that it is computed from."""

    parts: tuple[Floats, ...] = ()

    @property
    def value(self) -> FloatArray | float:
        """The sum of the parts, in float64."""
        return sum(part.astype(np.float64) for part in self.parts)

    @property
    def magnitude(self) -> FloatArray | float:
        """The sum of the parts without their signs."""
        return sum(np.abs(part.astype(np.float64)) for part in self.parts)


def likelihood(c: Floats, k: Floats, f: Floats, form: LikelihoodForm, ends: Ends) -> Term:
    """List the parts of the log likelihood of k successes and f failures, without coefficients."""
    return Term(_LIKELIHOODS[form](c, k, f, ends))


def _binomial(c: Floats, k: Floats, f: Floats, ends: Ends | None) -> tuple[Floats, ...]:
    """List those of ``Binomial.log_prob``."""
    logit = _clamped_logit(c, ends)
    softplus = np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit)))
    return k * logit, -(k + f) * softplus


def _single_trials(c: Floats, k: Floats, f: Floats, ends: Ends | None) -> tuple[Floats, ...]:
    """List those of ``Bernoulli.log_prob``: of a failure log sigmoid(x) - x, which cancels."""
    logit = _clamped_logit(c, ends)
    success = np.minimum(logit, 0) - np.log1p(np.exp(-np.abs(logit)))
    return k * success, f * success, -f * logit


def _from_logits(c: Floats, k: Floats, f: Floats, _ends: Ends | None) -> tuple[Floats, ...]:
    """List those of ``Binomial(logits=logit(c))``, where nothing is clamped."""
    return _binomial(c, k, f, None)


def _by_hand(c: Floats, k: Floats, f: Floats, _ends: Ends | None) -> tuple[Floats, ...]:
    """List k log c and f log(1 - c)."""
    return sc.xlogy(k, c), sc.xlogy(f, 1 - c)


_LIKELIHOODS: dict[LikelihoodForm, Callable[..., tuple[Floats, ...]]] = {
    "binomial": _binomial,
    "trials": _single_trials,
    "logits": _from_logits,
    "by_hand": _by_hand,
}


def _clamped_logit(c: Floats, ends: Ends | None) -> Floats:
    p = c if ends is None else np.clip(c, *map(c.dtype.type, (ends.low, ends.high)))
    return np.asarray(np.log(p) - np.log1p(-p))


class LogsNearEnds(NamedTuple):
    """log c and log(1 - c) of the draws that are near 0 or 1.

    Attributes
    ----------
    near : ndarray of bool
        Which draws these are.
    density, likelihood : ndarray, shape (2, draws that are near)
        As densities of c, and as a likelihood from counts, see them.
    """

    near: BoolArray
    density: FloatArray
    likelihood: FloatArray


def logs_near_ends(
    logit: FloatArray, source: Source, dtype: DTypeLike, numpyro: bool
) -> LogsNearEnds:
    """Round the draws with these logits as the run does; farther from the ends nothing is to do.

    Examples
    --------
    >>> found = logs_near_ends(np.array([-200.0, 0.0, 200.0]), BETA, "float32", False)
    >>> found.near
    array([ True, False,  True])
    >>> np.exp(found.density[1]), np.exp(found.likelihood[0]).round(9)
    (array([1.00000000e+00, 5.96046448e-08]), array([1.19e-07, 1.00e+00]))
    """
    near = np.abs(logit) > -np.log(_NEAR * np.finfo(dtype).eps)
    ends = draw_ends(dtype, source)
    low, high = np.array((ends.low, ends.high), dtype)
    c = np.clip(sc.expit(logit[near]).astype(dtype), low, high)
    one, none = np.ones_like(c), np.zeros_like(c)
    seen, at = np.array((c, 1 - c), np.float64), probability_ends(dtype, numpyro=numpyro)
    data = [likelihood(c, *x, "binomial", at).value for x in ((one, none), (none, one))]
    return LogsNearEnds(near, np.log(seen), np.array(data))


def log_beta(c: Floats, a: Floats, b: Floats) -> Term:
    """List the parts of the log density of a Beta."""
    return Term((sc.xlogy(a - 1, c), sc.xlogy(b - 1, 1 - c), *_log_gammas(a, b)))


def log_normal(y: Floats, loc: Floats, scale: Floats) -> Term:
    """List the parts of the normal log density of a logit, with respect to the logit."""
    return Term((-((y - loc) ** 2) / (2 * scale**2), -np.log(scale) - y.dtype.type(_HALF_LOG_2PI)))


def minus_log_jacobian(y: Floats) -> Term:
    """List the parts of -log c - log(1 - c), the Jacobian of the logit."""
    zero = y.dtype.type(0)
    return Term((np.logaddexp(zero, -y), np.logaddexp(zero, y)))


def divergence(q: Floats, p: Floats) -> Term:
    """List the parts of KL(q || p), as ``kl_divergence`` of two Betas."""
    parts = [*_log_gammas(*q), *(-x for x in _log_gammas(*p))]
    parts += [(q[0] - p[0]) * sc.psi(q[0]), (q[1] - p[1]) * sc.psi(q[1])]
    parts += [((p[0] + p[1]) - (q[0] + q[1])) * sc.psi(q[0] + q[1])]
    return Term(tuple(parts))


def _log_gammas(a: Floats, b: Floats) -> list[Floats]:
    return [sc.gammaln(a + b), -sc.gammaln(a), -sc.gammaln(b)]
