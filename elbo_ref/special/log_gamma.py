"""Log-gamma and log-beta without the part that cancels on paper."""

from __future__ import annotations

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.special.arithmetic import deviance, polynomial

_HALF_LOG_2PI = 0.9189385332046727
_SERIES_FROM = 8.0
_BETWEEN = (
    0.08333333333332463, -0.00277777777561761, 0.0007936505607995338, -0.0005952235293095935,
    0.0008411531234360269, -0.0019002284854662981, 0.006037932074506906, -0.023298356431125627,
    0.09323322175497706, -0.3391027807089718, 1.0177766829180153, -2.3331603225032445,
    3.762139094746337, -3.763420085726328, 1.7472029150091244,
)  # fmt: skip
"""What `_STIRLING` is from x = 8 on, between 2 and 8: the polynomial in 1/x^2 through the values at
15 Chebyshev points, where it is right to 9e-17 of itself."""
_STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400,
    43867 / 244188, -174611 / 125400,
)  # fmt: skip


def _stirling_tail(x: FloatArray) -> FloatArray:
    """Return log Gamma(x) - [(x - 1/2) log x - x + log(2 pi)/2] for x >= 8 (DLMF 5.11.1)."""
    return polynomial(_STIRLING, 1 / (x * x)) / x


def log_factorial_remainder(x: FloatArray) -> FloatArray:
    """Return R(x) = log Gamma(x + 1) - x log x + x for x >= 0, to a few units of 2**-53."""
    x = np.asarray(x)
    values = np.empty(x.shape)
    large, small = x >= _SERIES_FROM, x <= 2
    for chosen, formula in (
        (large, _remainder_series), (small, _remainder_by_gamma),
        (~(large | small), _remainder_between),
    ):  # fmt: skip
        if chosen.any():
            values[chosen] = formula(x[chosen])
    return values


def _remainder_by_gamma(x: FloatArray) -> FloatArray:
    return np.asarray(sc.gammaln(x + 1) - sc.xlogy(x, x) + x)


def _remainder_between(x: FloatArray) -> FloatArray:
    return np.asarray(0.5 * np.log(x) + _HALF_LOG_2PI + polynomial(_BETWEEN, 1 / (x * x)) / x)


def _remainder_series(x: FloatArray) -> FloatArray:
    return np.asarray(0.5 * np.log(x) + _HALF_LOG_2PI + _stirling_tail(x))


def log_choose_remainder(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return R(x + y) - R(x) - R(y), log C(x + y, x) without its entropy part.

    R(x + y) less the R of the larger is formed as a difference, so that what remains is no larger
    than the R of the smaller.
    """
    more, less = np.maximum(x, y), np.minimum(x, y)
    r = log_factorial_remainder
    large = more >= _SERIES_FROM
    base = np.where(large, more, _SERIES_FROM)
    rise = 0.5 * np.log1p(less / base) + (_stirling_tail(base + less) - _stirling_tail(base))
    if not large.all():
        near = np.where(large, 0.0, more)
        rise = np.where(large, rise, r(near + np.where(large, 0.0, less)) - r(near))
    return rise - r(less)


def log_choose(k: IntArray, n: IntArray) -> FloatArray:
    """Return log C(n, k), from its entropy and remainders: every large term is positive."""
    less = np.minimum(k, n - k).astype(np.float64)
    more = np.maximum(k, n - k).astype(np.float64)
    size = np.maximum(n, 1).astype(np.float64)
    entropy = -sc.xlogy(less, less / size) - sc.xlog1py(more, -less / size)
    return np.asarray(entropy + log_choose_remainder(less, more))


def log_binomial(
    successes: IntArray,
    total_count: IntArray,
    mean: tuple[FloatArray, FloatArray],
    difference: FloatArray,
) -> FloatArray:
    """Return log C(N, K) + K log c + (N - K) log(1 - c), with mean = (c, 1 - c).

    `difference` is K - N c, formed by the caller from what it knows exactly.
    """
    k, n = successes.astype(np.float64), total_count.astype(np.float64)
    f = (total_count - successes).astype(np.float64)
    away = deviance(k, n * mean[0], difference) + deviance(f, n * mean[1], -difference)
    return log_choose_remainder(k, f) - away


def log_beta_remainder(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return log B(a, b) - [a log m + b log(1 - m)], with m = a/(a + b)."""
    return -log_choose_remainder(a, b) - np.log(a * (b / (a + b)))


def log_rising_ratio(x: FloatArray, h: FloatArray, n: FloatArray) -> FloatArray:
    """Return log (x)_n / (x + h)_n = sum_{j < n} log (x + j)/(x + h + j), to full precision.

    Factors with x + j < 8 are taken one by one. Beyond them the four log-gammas are the deviances
    of the table ((x, h), (n, 0)) from independence and a second difference of Stirling remainders:
    every term has one sign.
    """
    j = np.arange(_SERIES_FROM).reshape(-1, *(1,) * np.ndim(x + h + n))
    taken = np.where(x < _SERIES_FROM, np.minimum(n, _SERIES_FROM), 0.0)
    factors = np.where(j < taken, np.log1p(h / (x + j)), 0.0).sum(axis=0)
    left = n - taken
    x = np.where(left > 0, x + taken, _SERIES_FROM)
    total = x + h + left
    excess = h * (left / total)
    independence = (
        deviance(x, x + excess, -excess)
        + deviance(h, h * ((x + h) / total), excess)
        + deviance(left, left * ((x + left) / total), excess)
        + excess
    )

    def drop(z: FloatArray) -> FloatArray:
        """Return _stirling_tail(z) - _stirling_tail(z + h), accurate however small h is."""
        step = np.log1p(h / z)
        orders = zip(_STIRLING, range(1, 2 * len(_STIRLING), 2), strict=True)
        with np.errstate(under="ignore"):
            terms = [-coefficient * np.expm1(-k * step) * z**-k for coefficient, k in orders]
        total: FloatArray = np.sum(terms, axis=0)
        return total

    remainder = 0.5 * np.log1p(excess / x) + drop(x) - drop(x + left)
    beyond = np.where(left > 0, independence + remainder, 0.0)
    return np.asarray(-(factors + beyond))
