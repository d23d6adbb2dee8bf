"""Quantiles of a Beta distribution, as exact as its distribution function in SciPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.special import bisected, blocks

_FARTHEST = 750.0
"""A logit whose probability is 0 or 1 in float64."""

_ALIKE = 1e-7
"""The relative error of a probability that is let pass."""

_LEAST = 1e-290
"""A quantile below which its logarithm is formed by itself."""

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


class Quantile(NamedTuple):
    """A quantile c by its distance from the nearer end of (0, 1), arrays of one shape.

    Attributes
    ----------
    from_0 : bool ndarray
        Where c <= 1/2.
    near, log : float64 ndarray
        c there, else 1 - c; and its logarithm, however small that is.
    """

    from_0: BoolArray
    near: FloatArray
    log: FloatArray

    def beyond(self, d: float) -> FloatArray:
        """Compute c - d, for d of (0, 1)."""
        return np.where(self.from_0, self.near - d, (1 - d) - self.near)


def quantile(a: FloatArray, b: FloatArray, below: FloatArray, above: FloatArray) -> Quantile:
    """Find c with P(Beta(a, b) < c) = below and P(Beta(a, b) > c) = above, of sum 1.

    Parameters
    ----------
    a, b : float64 ndarray, shape (J,)
    below, above : float64 ndarray, shape (T, J) or (T, 1)
        In (0, 1).
    """
    from_0 = below <= sc.betainc(a, b, 0.5)
    p, q, tail = np.where(from_0, a, b), np.where(from_0, b, a), np.where(from_0, below, above)
    near: FloatArray = np.asarray(sc.betaincinv(p, q, tail), np.float64)
    bad = ~(np.abs(sc.betainc(p, q, near) - tail) <= _ALIKE * tail)
    bad[bad] = sc.betainc(p[bad], q[bad], _LEAST) < tail[bad]
    near[bad] = sc.expit(_bisected(p[bad], q[bad], tail[bad]))
    with np.errstate(divide="ignore"):
        log: FloatArray = np.asarray(np.log(near), np.float64)
    far = near < _LEAST
    log[far] = (np.log(tail[far]) + np.log(p[far]) + sc.betaln(p[far], q[far])) / p[far]
    return Quantile(from_0, near, log)


def _bisected(a: FloatArray, b: FloatArray, tail: FloatArray | float) -> FloatArray:
    return bisected(lambda logit: _is_below(logit, a, b, tail), a.size, _FARTHEST)


def _is_below(
    logit: FloatArray, a: FloatArray, b: FloatArray, tail: FloatArray | float
) -> NDArray[np.bool_]:
    """Tell whether less than `tail` lies below a logit."""
    small = sc.expit(-np.abs(logit))
    below = logit < 0
    above = ~below
    share = np.empty(logit.shape)
    share[below] = sc.betainc(a[below], b[below], small[below])
    share[above] = sc.betaincc(b[above], a[above], small[above])
    return np.asarray(share < tail)
