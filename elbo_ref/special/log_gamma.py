"""Log-gamma and log-beta without the part that cancels on paper."""

from __future__ import annotations

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.special.arithmetic import blocks, constants, deviance, polynomial

_HALF_LOG_2PI = 0.9189385332046727
_SERIES_FROM = 8.0
_BLOCK = 10_240
_TAIL_FROM = 2.0
_TAIL = constants(
    0.08333333333333333, -0.0027777777777701802, 0.0007936507906698021, -0.0005952376237490949,
    0.0008417107576869756, -0.0019154046025283422, 0.006333541571835572, -0.027526703197323997,
    0.1383647664836733, -0.7015639101186664, 3.2106829738723106, -12.262079324572642,
    36.86110696193616, -82.54317217873218, 128.35276457864174, -123.04419819836227,
    54.59812444736681,
)  # fmt: skip
"""The remainder of Stirling's formula times x, in powers of 1/x^2: the polynomial through its
values at 17 Chebyshev points of x >= 2, where it is right to 6e-17 of itself."""
_STEPS = 6
_ONE, _FOUR, _FIVE, _SIX = constants(1.0, 4.0, 5.0, 6.0)
_TAIL_FROM_6 = constants(
    0.08333333333333232, -0.0027777777751344535, 0.0007936496742199968, -0.000595063165821715,
    0.0008291957739417447, -0.0014860066665680393,
)  # fmt: skip
"""The same of x >= 6, through 6 points, by which the remainder is right to 2e-16."""
_FROM_3 = constants(
    0.9227843350984671, 0.19746703342410526, -0.025685634386147446, 0.004955808420416578,
    -0.0011355509538981015, 0.00028634320108844434, -7.668058025215247e-05, 2.1382792924233796e-05,
    -6.12938472893582e-06, 1.7833083522979076e-06, -5.157018223487557e-07, 1.4264043073403408e-07,
    -3.554483846839871e-08, 7.3767226245944525e-09, -1.1551268868804626e-09, 1.182531301262025e-10,
    -5.836439510091054e-12,
)  # fmt: skip
"""log Gamma(x + 3)/Gamma(3) over x: the polynomial through its values at 17 Chebyshev points of
[0, 2], where it is right to 6e-17 of itself."""
_TINY = 1e-300
_STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400,
    43867 / 244188, -174611 / 125400,
)  # fmt: skip


def _tail(x: FloatArray) -> FloatArray:
    """Return log Gamma(x) - [(x - 1/2) log x - x + log(2 pi)/2] for x >= 2."""
    return polynomial(_TAIL, 1 / (x * x)) / x


def _near_0(x: FloatArray) -> FloatArray:
    """Return R(x) for 0 <= x < 2, with log Gamma(x + 1) = log Gamma(x + 3) - log (x + 1)(x + 2)."""
    entropy = x * (np.log(np.maximum(x, _TINY)) - 1)
    return np.asarray(x * polynomial(_FROM_3, x) - np.log1p(x * (x + 3) / 2) - entropy)


def log_factorial_remainder(x: FloatArray) -> FloatArray:
    """Return R(x) = log Gamma(x + 1) - x log x + x for x >= 0, to a few units of 2**-53."""
    x = np.asarray(x)
    large = x >= _TAIL_FROM
    if large.all():
        return 0.5 * np.log(x) + _HALF_LOG_2PI + _tail(x)
    values, flat, far = np.empty(x.size), x.ravel(), np.flatnonzero(large)
    if far.size:
        values[far] = log_factorial_remainder(flat.take(far))
    near = np.flatnonzero(~large)
    values[near] = _near_0(flat.take(near))
    return values.reshape(x.shape)


def log_choose_remainder(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return R(x + y) - R(x) - R(y), log C(x + y, x) without its entropy part.

    R(x + y) less the R of the larger is formed as a difference, so that what remains is no larger
    than the R of the smaller.
    """
    x, y = np.broadcast_arrays(x, y)
    values, pairs = np.empty(x.size), (x.ravel(), y.ravel())
    for part in blocks(x.size, _BLOCK):
        one, other = (z[part] for z in pairs)
        values[part] = _choose_remainder(np.maximum(one, other), np.minimum(one, other))
    return values.reshape(x.shape)


def _choose_remainder(more: FloatArray, less: FloatArray) -> FloatArray:
    r = log_factorial_remainder
    large = more >= _TAIL_FROM
    if large.all():
        return _rise(more, less) - r(less)
    values, far, near = np.empty(more.size), np.flatnonzero(large), np.flatnonzero(~large)
    values[far] = _rise(more.take(far), less.take(far))
    start = more.take(near)
    values[near] = r(start + less.take(near)) - r(start)
    return values - r(less)


def _rise(x: FloatArray, h: FloatArray) -> FloatArray:
    """Return R(x + h) - R(x) for x >= 2, h >= 0."""
    end, start = _tail(np.array((x + h, x)))
    return np.asarray(0.5 * np.log1p(h / x) + (end - start))


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
    choose = log_choose_remainder(
        successes.astype(np.float64), (total_count - successes).astype(np.float64)
    )
    return choose - binomial_deviance(successes, total_count, mean, difference)


def binomial_deviance(
    successes: IntArray,
    total_count: IntArray,
    mean: tuple[FloatArray, FloatArray],
    difference: FloatArray,
) -> FloatArray:
    """Return the part of `log_binomial` that depends on the mean, with the other sign."""
    k, n = successes.astype(np.float64), total_count.astype(np.float64)
    f = (total_count - successes).astype(np.float64)
    return deviance(k, n * mean[0], difference) + deviance(f, n * mean[1], -difference)


def log_beta_remainder(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return log B(a, b) - [a log m + b log(1 - m)], with m = a/(a + b)."""
    return -log_choose_remainder(a, b) - np.log(a * (b / (a + b)))


def log_beta(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return log B(a, b), to 4e-15 of the larger of itself and 1.

    With x = a + 6, y = b + 6, z = a + b + 6 and w = x y / z, six steps of the recurrence leave

        log prod_{j < 6} w (a + b + j)/((a + j)(b + j)) - (log w)/2 + a log x/z + b log y/z

    and, of Stirling's formula, a constant and three tails: nothing large cancels. The product is
    P(a + b)/(P(a) P(b)) with P(a) = prod_j (a + j)/x, which no float is too small for: with t =
    a (a + 5)/x^2 it is t (t + 4/x^2)(t + 6/x^2).
    """
    a, b = np.broadcast_arrays(a, b)
    values, flat_a, flat_b = np.empty(a.size), a.ravel(), b.ravel()
    for part in blocks(a.size, _BLOCK):
        values[part] = _log_beta(flat_a[part], flat_b[part])
    return values.reshape(a.shape)


def _log_beta(a: FloatArray, b: FloatArray) -> FloatArray:
    x = np.array((a, b, a + b))
    far = x + _SIX
    inverse = _ONE / far
    squares = inverse * inverse
    w = far[0] / far[2]
    w *= far[1]
    t = np.add(x, _FIVE, out=far)
    t *= x
    t *= squares
    other = np.multiply(squares, _SIX, out=x)
    other += t
    product = squares * _FOUR
    product += t
    product *= t
    product *= other
    product[0] *= product[1]
    product[0] *= np.sqrt(w, out=w)
    total: FloatArray = np.divide(product[2], product[0], out=product[0])
    np.log(total, out=total)
    total -= a * np.log1p(b * inverse[0])
    total -= b * np.log1p(a * inverse[1])
    tails = polynomial(_TAIL_FROM_6, squares)
    tails *= inverse
    total += _HALF_LOG_2PI - _STEPS
    total += tails[0]
    total += tails[1]
    total -= tails[2]
    return total


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
        """Return the tail at z less that at z + h, accurate however small h is."""
        step = np.log1p(h / z)
        orders = zip(_STIRLING, range(1, 2 * len(_STIRLING), 2), strict=True)
        with np.errstate(under="ignore"):
            terms = [-coefficient * np.expm1(-k * step) * z**-k for coefficient, k in orders]
        total: FloatArray = np.sum(terms, axis=0)
        return total

    remainder = 0.5 * np.log1p(excess / x) + drop(x) - drop(x + left)
    beyond = np.where(left > 0, independence + remainder, 0.0)
    return np.asarray(-(factors + beyond))
