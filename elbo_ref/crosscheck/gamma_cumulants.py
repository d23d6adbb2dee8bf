"""Shifted gamma distributions, by the first three cumulants: those of losses, nearly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.cumulants import ALL, Rows, Weighted
from elbo_ref.crosscheck.saddlepoint import SaddlepointDistribution, normal_log_density
from elbo_ref.special import log_factorial_remainder

_BEYOND = 50.0
"""Nats below a normal density, of a number beyond the end of a distribution."""
_SYMMETRIC = 1e-7
"""Half a skewness below which a distribution is normal."""


class GammaCumulants(NamedTuple):
    r"""Cumulants of shifted gamma distributions, by the first three.

    With t = third/(2 variance) it is K(s) = mean s - variance (log(1 - t s) + t s)/t^2, Pearson's
    type III (1895), a normal distribution's where t = 0. A mean of P numbers has cumulants
    kappa_n/P^(n-1), of which the fourth is off by O(1/P^3).

    Attributes
    ----------
    mean, variance, third : ndarray of shape (T,)
    """

    mean: FloatArray
    variance: FloatArray
    third: FloatArray

    @property
    def closed(self) -> bool:
        """False: there is no closed form."""
        return False

    @property
    def _rate(self) -> FloatArray:
        return np.asarray(self.third / (2 * np.maximum(self.variance, 1e-300)))

    @property
    def domain(self) -> FloatArray:
        """Up to the pole of the logarithm."""
        rate = self._rate
        with np.errstate(divide="ignore"):
            pole = 1 / rate
        return np.array((np.where(rate < 0, pole, -np.inf), np.where(rate > 0, pole, np.inf)))

    def at(self, s: FloatArray, rows: Rows = ALL, /) -> FloatArray:
        """K, K' and K'', (3, T)."""
        mean, variance = self.mean[rows], self.variance[rows]
        x = self._rate[rows] * s
        left = np.maximum(1 - x, 1e-16)
        return np.array(
            (
                mean * s + variance * s * s * _logarithm(np.minimum(x, 1 - 1e-16)),
                mean + variance * s / left,
                variance / left**2,
            )
        )

    def outer_tail(self, x: FloatArray) -> FloatArray:
        """Probability of lying farther out than x, on the side of the mean where x is."""
        std = np.sqrt(np.maximum(self.variance, 1e-300))
        with np.errstate(all="ignore"):
            half_skewness, away = self._rate / std, (x - self.mean) / std
            shape = 1 / np.maximum(half_skewness**2, 1e-300)
            value = np.maximum(shape * (1 + half_skewness * away), 0.0)
            upper = half_skewness * away > 0
            tail = np.where(upper, sc.gammaincc(shape, value), sc.gammainc(shape, value))
        return np.where(np.abs(half_skewness) < _SYMMETRIC, sc.ndtr(-np.abs(away)), tail)

    def weighted(self, weights: FloatArray) -> SaddlepointDistribution:
        """Distribution of one weighted sum of the numbers."""
        return SaddlepointDistribution(Weighted(self, weights))

    def summed(self, weights: FloatArray) -> GammaCumulants:
        """Distribution of one weighted sum by its first three cumulants, at a tenth of the cost."""
        both = zip((1, 2, 3), self, strict=True)
        return GammaCumulants(*(np.array([weights**power @ x]) for power, x in both))

    def log_density(self, x: FloatArray) -> FloatArray:
        """Log density of each number; shapes broadcast.

        With y = t (x - mean)/variance it is -log(2 pi variance (1 + y)^2)/2 - (y - log(1 + y))
        variance/t^2, less the remainder of Stirling's formula at the shape variance/t^2. As losses
        have no such end as three cumulants give them, it is finite beyond: a normal density's, less
        50 nats.
        """
        away, variance = x - self.mean, np.maximum(self.variance, 1e-300)
        y = self._rate * away / variance
        shape = 1 / np.clip(self._rate**2 / variance, 1e-30, 1e300)
        stirling = log_factorial_remainder(shape) - np.log(2 * np.pi * shape) / 2
        with np.errstate(all="ignore"):
            exponent = away**2 / variance * _logarithm(-y)
            density = -np.log(2 * np.pi * variance) / 2 - np.log1p(y) - exponent - stirling
        least = normal_log_density(away / np.sqrt(variance), variance) - _BEYOND
        return np.maximum(np.where(y > -1, density, -np.inf), least)


def _logarithm(x: FloatArray) -> FloatArray:
    """Return -(log(1 - x) + x)/x^2, which is 1/2 at zero."""
    small = np.abs(x) < 1e-4
    far = np.where(small, 0.5, x)
    return np.where(small, 0.5 + x / 3 + x * x / 4, -(np.log1p(-far) + far) / far**2)
