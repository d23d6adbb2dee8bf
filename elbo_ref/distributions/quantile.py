"""Quantiles of a Beta distribution, as exact as its distribution function in SciPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.special import beta_share, bisected, blocks

_FARTHEST = 750.0
"""A logit whose probability is 0 or 1 in float64."""

_CLOSE = 1e-11
"""The tolerance of a quantile, in units of sqrt(1/a + 1/b) on the logit scale."""


def logit_quantile(a: FloatArray, b: FloatArray, tail: float) -> FloatArray:
    """Find the logit below which c ~ Beta(a, b) lies with probability `tail` < 1/2.

    It is SciPy's betaincinv where its betainc agrees, and else bisected: the inverse is off in its
    first digit at a = 1e3, b = 1e9. Blocks let an interrupt through.
    """
    logits = np.empty(a.size)
    for part in blocks(a.size):
        x, z = a.ravel()[part], b.ravel()[part]
        with np.errstate(divide="ignore"):
            low, high = sc.logit(sc.betaincinv(x, z, tail)), -sc.logit(sc.betainccinv(z, x, tail))
        guess = np.clip(np.where(low < 0, low, high), -_FARTHEST, _FARTHEST)
        away = _CLOSE * np.sqrt(1 / x + 1 / z) + 1e-15 * np.abs(guess)
        good = _is_below(guess - away, x, z, tail) & ~_is_below(guess + away, x, z, tail)
        guess[~good] = _bisected(x[~good], z[~good], tail)
        logits[part] = guess
    return logits.reshape(a.shape)


def _bisected(a: FloatArray, b: FloatArray, tail: FloatArray | float) -> FloatArray:
    return bisected(lambda logit: _is_below(logit, a, b, tail), a.size, _FARTHEST)


def _is_below(
    logit: FloatArray, a: FloatArray, b: FloatArray, tail: FloatArray | float
) -> NDArray[np.bool_]:
    """Tell whether less than `tail` lies below a logit."""
    return np.asarray(beta_share(a, b, sc.expit(logit), sc.expit(-logit)) < tail)
