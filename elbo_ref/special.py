"""The few special-function pieces that SciPy does not give accurately.

Everything here exists because two large numbers were about to be subtracted. Log-gamma is split
into the part that cancels on paper and a small remainder,

    log Gamma(x + 1) = x log x - x + R(x),        R(0) = 0,   R(x) ~ log(2 pi x) / 2,

and the x log x parts of a whole expression are then collected into *deviances*

    d(O, E) = O log(O / E) - (O - E) >= 0,

whose sum has one sign and cannot cancel. A deviance is as accurate as the difference O - E that
it is given, and that difference always has the form (a d - b c) / total, so `cross_difference`
forms a d - b c without rounding. Differences of digamma and trigamma values are taken from the
asymptotic series where the values themselves would cancel.

Sources: C. Loader, "Fast and Accurate Computation of Binomial Probabilities" (2000), for the
deviance form of the binomial (his ``bd0`` subtracts O - E itself; ours is handed the difference);
T. J. Dekker, Numer. Math. 18 (1971) 224, for the error-free product; NIST DLMF 5.11.1, 5.11.2 and
5.15.8 for the asymptotic series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, IntArray


def gauss_legendre(order: int) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights on [0, 1], each to its last digit, by Newton steps in 34 digits.

    Those of NumPy and SciPy lose up to 1e-12 of themselves near the ends.
    """
    nodes, weights = [], []
    with localcontext() as context:
        context.prec = 34
        for start in np.polynomial.legendre.leggauss(order)[0]:
            x = Decimal(float(start))
            for _ in range(2):
                below, value = Decimal(1), x
                for k in range(2, order + 1):
                    below, value = value, ((2 * k - 1) * x * value - (k - 1) * below) / k
                slope = order * (below - x * value) / (1 - x * x)
                x -= value / slope
            nodes.append((1 + x) / 2)
            weights.append(1 / ((1 - x * x) * slope * slope))
    return np.array(nodes, dtype=np.float64), np.array(weights, dtype=np.float64)


_OneOrMany = TypeVar("_OneOrMany", float, FloatArray)

_HALF_LOG_2PI = 0.9189385332046727
_SERIES_FROM = 8.0
_BLOCK = 2**15
_STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400,
    43867 / 244188, -174611 / 125400,
)  # fmt: skip
_LARGE = 64.0
_GAP = (1 / 2, 1 / 12, 0.0, -1 / 120, 0.0, 1 / 252, 0.0, -1 / 240)
_EXCESS = (0.0, 1 / 2, 1 / 6, 0.0, -1 / 30, 0.0, 1 / 42, 0.0, -1 / 30)
_GAUSS_NODES, _GAUSS_WEIGHTS = gauss_legendre(10)
SHIFT = 20
"""Steps of the recurrence in `digamma_remainders`."""
_STEPS = np.arange(SHIFT + 1.0)
_TWO = np.array(2.0)
_ODD = tuple(1 / odd for odd in range(3, 33, 2))


def _polynomial(coefficients: tuple[float, ...], x: FloatArray) -> FloatArray:
    total = coefficients[-1] * x + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total = total * x + coefficient
    return total


def _two_product(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return x y as an unevaluated sum of two floats, without error (Dekker)."""
    product = x * y
    scaled = 134217729.0 * x
    x_high = scaled - (scaled - x)
    x_low = x - x_high
    scaled = 134217729.0 * y
    y_high = scaled - (scaled - y)
    y_low = y - y_high
    error = ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low
    return product, error


def _high_low(x: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Split an int64 into two exact floats, the second 0 below 2**53; a float into itself and 0."""
    if x.dtype.kind == "i":
        low = np.where(x < 2**53, 0, x & 2047)
        return (x - low).astype(np.float64), low.astype(np.float64)
    return x, np.zeros(())


def cross_difference(
    a: FloatArray | IntArray,
    d: FloatArray | IntArray,
    b: FloatArray | IntArray,
    c: FloatArray | IntArray,
) -> FloatArray:
    """Return the determinant a d - b c as if rounded once, for float64 or int64 arrays.

    The leading products are exact pairs; what else is rounded is 2**-95 of them.
    """
    (a1, a2), (b1, b2), (c1, c2), (d1, d2) = map(_high_low, (a, b, c, d))
    p, p_error = _two_product(a1, d1)
    q, q_error = _two_product(b1, c1)
    middle = (a1 * d2 + a2 * d1) - (b1 * c2 + b2 * c1)
    return (p - q) + ((p_error - q_error) + (middle + (a2 * d2 - b2 * c2)))


def deviance(observed: FloatArray, expected: FloatArray, difference: FloatArray) -> FloatArray:
    """Return d(O, E) = O log(O/E) - (O - E), given the difference O - E; 0 where O = E = 0.

    With v = (O - E)/(O + E) it is (O - E) v + 2 O (v^3/3 + v^5/5 + ...), used for abs(v) < 1/4.
    """
    total = observed + expected
    v = difference / np.where(total == 0, 1.0, total)
    close = np.abs(v) < 0.25
    square = np.where(close, v * v, 0.0)
    near = difference * v + 2 * observed * v * square * _polynomial(_ODD, square)
    ratio = observed / np.where(expected == 0, 1.0, expected)
    return np.where(close, near, sc.xlogy(observed, ratio) - difference)


def _stirling_tail(x: FloatArray) -> FloatArray:
    """Return log Gamma(x) - [(x - 1/2) log x - x + log(2 pi)/2] for x >= 8 (DLMF 5.11.1)."""
    return _polynomial(_STIRLING, 1 / (x * x)) / x


def blocks(size: int) -> Iterator[slice]:
    """Slice so many elements into parts, between which an interrupt is heard."""
    return (slice(first, first + _BLOCK) for first in range(0, size, _BLOCK))


def log_factorial_remainder(x: FloatArray) -> FloatArray:
    """Return R(x) = log Gamma(x + 1) - x log x + x for x >= 0, to a few units of 2**-53.

    Between 2 and 8, where the terms are alike, it is R(x + 8) and eight steps
    R(y) - R(y + 1) = y log(1 + 1/y) - 1.
    """
    x = np.asarray(x)
    values = np.empty(x.shape)
    large, small = x >= _SERIES_FROM, x <= 2
    for chosen, formula in (
        (large, _remainder_series), (small, _remainder_by_gamma),
        (~(large | small), _remainder_by_steps),
    ):  # fmt: skip
        if chosen.any():
            values[chosen] = formula(x[chosen])
    return values


def _remainder_by_gamma(x: FloatArray) -> FloatArray:
    return np.asarray(sc.gammaln(x + 1) - sc.xlogy(x, x) + x)


def _remainder_by_steps(x: FloatArray) -> FloatArray:
    down = np.empty(x.shape)
    for part in blocks(x.size):
        steps = x[part, None] + np.arange(_SERIES_FROM)
        down[part] = (steps * np.log1p(1 / steps) - 1).sum(axis=-1)
    return _remainder_series(x + _SERIES_FROM) + down


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


def jensen_gap_difference(x: FloatArray, n: FloatArray) -> FloatArray:
    """Return g(x) - g(x + n) >= 0 for the gap g(x) = log x - psi(x), n >= 0 (DLMF 5.11.2).

    To nearly full relative precision, however small n is; -g' is `trigamma_excess`.
    """
    direct = (sc.psi(x + n) - sc.psi(x)) - np.log1p(n / x)
    return _without_cancellation(direct, _GAP, trigamma_excess, x, n)


def digamma_difference(x: FloatArray, n: FloatArray) -> FloatArray:
    """Return psi(x + n) - psi(x) for n >= 0, to full relative precision."""
    return np.log1p(n / x) + jensen_gap_difference(x, n)


def digamma_second_difference(x: FloatArray, h: FloatArray, n: FloatArray) -> FloatArray:
    """Return [psi(x + n) - psi(x)] - [psi(x + h + n) - psi(x + h)] >= 0, to nearly all digits.

    For h < x/2 it is the integral of a difference of trigamma values over [x, x + h].
    """
    x, h, n = np.broadcast_arrays(x, h, n)
    found = digamma_difference(x, n) - digamma_difference(x + h, n)
    short = h < 0.5 * x
    if short.any():
        start, length, steps = x[short], h[short], n[short]
        nodes = start + _GAUSS_NODES[:, None] * length
        found[short] = length * (_GAUSS_WEIGHTS @ trigamma_difference(nodes, steps))
    return found


def digamma_remainders(
    a: FloatArray | float, b: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Return D(a + 1, b) and D(b + 1, a), for two floats or two arrays of one dimension.

    It is the difference of two digamma values beside the logarithm of the shifted arguments,

        D(x, n) = psi(x + n) - psi(x) - log((x + n + SHIFT)/(x + SHIFT)) > 0.

    To full relative precision, however small n is, in a third of the time of `digamma_difference`:
    SHIFT steps n / ((x + j)(x + n + j)) and, beyond them, four terms of the series (DLMF 5.11.2),
    whose powers are subtracted by hand.
    """
    inverse = 1 / np.add.outer(_STEPS, np.array((a + 1, b + 1, a + b + 1)))
    d_a, d_b = (inverse[:-1, :2] * inverse[:-1, 2:]).sum(axis=0)
    t, t_b, u = inverse[-1] if inverse.ndim > 2 else inverse[-1].tolist()
    return b * (d_a + gap_slope(t, u)), a * (d_b + gap_slope(t_b, u))


def gap_slope(t: _OneOrMany, u: _OneOrMany) -> _OneOrMany:
    """Return [g(x) - g(z)] / (z - x) for g(x) = log x - psi(x), t = 1/x, u = 1/z, x >= 20."""
    product, squares = t * u, t * t + u * u
    square, squared = product * product, squares * squares
    tail = squares / 120 - (squared - square) / 252 + squares * (squared - 2 * square) / 240
    return product * (0.5 + (t + u) * (1 / 12 - tail))


def trigamma(x: FloatArray) -> FloatArray:
    """Return psi_1(x), the second derivative of log Gamma, for x > 0."""
    return _zeta(_TWO, x)


def _zeta(s: float | FloatArray, x: FloatArray) -> FloatArray:
    """Return sum_{j >= 0} (x + j)^-s."""
    if np.size(x) <= _BLOCK:
        values: FloatArray = sc.zeta(s, x)
        return values
    flat = x.ravel()
    return np.concatenate([sc.zeta(s, flat[part]) for part in blocks(x.size)]).reshape(x.shape)


def trigamma_excess(x: FloatArray) -> FloatArray:
    """Return psi_1(x) - 1/x > 0 (DLMF 5.15.8)."""
    t = 1 / np.maximum(x, _LARGE)
    far = t * _polynomial(_EXCESS, t)
    return np.where(x >= _LARGE, far, trigamma(x + 1) + (1 - x) / (x * x))


def trigamma_excess_difference(x: FloatArray, n: FloatArray) -> FloatArray:
    """Return the excess at x less that at x + n, for n >= 0, to full relative precision."""

    def slope(v: FloatArray) -> FloatArray:
        return 2 * _zeta(3.0, v) - 1 / (v * v)

    direct = trigamma_excess(x) - trigamma_excess(x + n)
    return _without_cancellation(direct, _EXCESS, slope, x, n)


def trigamma_difference(x: FloatArray, n: FloatArray) -> FloatArray:
    """Return psi_1(x) - psi_1(x + n) for n >= 0, to full relative precision."""
    return n / x / (x + n) + trigamma_excess_difference(x, n)


def _without_cancellation(
    direct: FloatArray,
    series: tuple[float, ...],
    slope: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    n: FloatArray,
) -> FloatArray:
    """Return f(x) - f(x + n) for f(x) ~ sum of series[m - 1] / x^m, given the `direct` difference.

    For large x the powers' differences are t^m - u^m = (t - u)(t^(m-1) + ... + u^(m-1)) with
    t - u = n t u; for smaller x and n < x/2 it is the integral of `slope`, for which ten
    Gauss-Legendre nodes are exact. Nothing cancels in the rest.
    """
    large = x >= _LARGE
    t, u = 1 / np.maximum(x, _LARGE), 1 / np.maximum(x + n, _LARGE)
    symmetric = power = np.ones(())
    total = np.asarray(series[0])
    for coefficient in series[1:]:
        power = power * u
        symmetric = symmetric * t + power
        if coefficient:
            total = total + coefficient * symmetric
    difference = np.where(large, n * t * u * total, direct)
    short = ~large & (n < 0.5 * x)
    if short.any():
        x, n, short = np.broadcast_arrays(x, n, short)
        start, length = x[short], n[short]
        nodes = start + _GAUSS_NODES[:, None] * length
        difference[short] = length * (_GAUSS_WEIGHTS @ slope(nodes))
    return difference
