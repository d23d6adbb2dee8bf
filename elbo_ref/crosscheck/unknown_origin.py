r"""Log marginal likelihood of losses whose origin is none of the known ones.

A mistake is named only if it beats this hypothesis: means and spreads that nobody knows. It is
broad, so that a loss model has to be right about everything that it says to be the better account,
and it is charged for its freedom as Laplace's approximation of a marginal likelihood charges: a
number known to a standard error se, out of a range R in which it may lie beforehand, costs
log(R/se) (MacKay 2003, chapter 28).

The losses are taken to be, whichever is likeliest,

* levels of their own, one for each of 1, 2, 4, 8 blocks of the run, with spreads of their own or
  those of the given model;
* those of the given model and a departure, one for each of as many blocks;
* a linear function of what the given model expects.

The noise is normal or, where that is likelier, a shifted
gamma distribution of the same three moments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.saddlepoint import normal_log_density

_BLOCKS = (1, 2, 4, 8)
_FEWEST = 5
"""Losses of a block."""
_SPREADS = 8.0
"""Natural logarithms of ratios between which a spread may lie beforehand."""
_MOST_SKEWED = 4.0
_FINEST = 1e-16
"""Relative precision of a float: no loss is known better."""


def log_marginal_likelihood(
    losses: FloatArray, allowance: FloatArray, expected: FloatArray, variance: FloatArray
) -> float:
    """Weigh losses of which nothing is known but how finely they are printed.

    Parameters
    ----------
    losses : ndarray of shape (T,)
    allowance : ndarray of shape (T,)
        Nats by which rounding may have moved each.
    expected, variance : ndarray of shape (T,)
        Those of the given model.
    """
    size, ones = losses.size, np.ones(losses.size)
    least = np.maximum(allowance, _FINEST * (1 + np.abs(losses)))
    noise = np.sqrt(np.maximum(variance, 0.0) + least**2)
    found = []
    for blocks in (x for x in _BLOCKS if x == 1 or size // x >= _FEWEST):
        parts = np.array_split(np.arange(size), blocks)
        for start, spread in ((np.zeros(size), least), (expected, noise)):
            levels = (_of_block(losses - start, ones[None], least, spread, x) for x in parts)
            found.append(sum(levels))
        found.append(sum(_of_level(losses[x], noise[x]) for x in parts))
    if size >= _FEWEST and np.ptp(expected) > 0:
        whole = np.arange(size)
        found.append(_of_block(losses, np.array((ones, expected)), least, noise, whole))
    return float(sc.logsumexp(found) - np.log(len(found)))


def _of_level(x: FloatArray, spread: FloatArray) -> float:
    """Weigh values of an unknown level and a known spread."""
    weights = 1 / spread**2
    level = weights @ x / weights.sum()
    height = float(normal_log_density((x - level) / spread, spread**2).sum())
    return height - float(np.log1p(4 * (1 + np.abs(x).max()) * np.sqrt(weights.sum())))


def _of_block(
    values: FloatArray,
    design: FloatArray,
    least: FloatArray,
    spread: FloatArray,
    rows: NDArray[np.intp],
) -> float:
    """Weigh values that are a linear function and noise, proportional to a spread."""
    x, unit, columns = values[rows], least[rows], design[:, rows]
    relative = np.array_equal(spread, least)
    sigma = np.sqrt(unit**2 + _typical(x, unit) ** 2) if relative else spread[rows]
    weighted = columns / sigma
    coefficients, *_ = np.linalg.lstsq(weighted.T, x / sigma, rcond=None)
    away = (x - coefficients @ columns) / sigma
    size, freedom = len(rows), max(len(rows) - len(columns), 1)
    scale = max(float(np.sqrt(away @ away / freedom)), float(np.max(unit / sigma)))
    if size <= len(columns):
        scale = 1.0
    z = away / scale
    height = -float(np.log(sigma * scale).sum()) + _density(z)
    errors = scale / np.sqrt((weighted**2).sum(axis=1))
    ranges = 4 * (1 + np.abs(x).max()) / np.abs(columns).max(axis=1)
    price = float(np.log1p(ranges / errors).sum())
    if size > len(columns):
        price += float(np.log1p(_SPREADS * np.sqrt(2 * size)))
    return height - price


def _typical(x: FloatArray, unit: FloatArray) -> float:
    """Spread of those values that are known most precisely."""
    return float(np.std(x[unit <= 2 * unit.min()]))


def _density(z: FloatArray) -> float:
    """Log density of standardized numbers, normal or gamma, whichever is likelier at its price."""
    zeros, ones = np.zeros(z.size), np.ones(z.size)
    normal = float(normal_log_density(z, ones).sum())
    if z.size < 2 * _FEWEST:
        return normal
    third = float(np.clip(np.mean(z**3), -_MOST_SKEWED, _MOST_SKEWED))
    gamma = GammaCumulants(zeros, ones, np.full(z.size, third))
    height = float(gamma.log_density(z).sum())
    skewed = height - float(np.log1p(_MOST_SKEWED * np.sqrt(z.size / 6)))
    return max(normal, skewed) if np.isfinite(skewed) else normal
