"""Digamma and trigamma, both from one evaluation, and their differences."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.special.arithmetic import blocks, constants, gauss_legendre, polynomial

_OneOrMany = TypeVar("_OneOrMany", float, FloatArray)

_LARGE = 64.0
_EXCESS = constants(0.0, 1 / 2, 1 / 6, 0.0, -1 / 30, 0.0, 1 / 42, 0.0, -1 / 30)
_GAUSS_ORDER = 10
SHIFT = 5
"""Steps of the recurrence in `digamma_remainders`."""
_STEPS = np.arange(SHIFT, 0.0, -1)[:, None, None]
_HALF, _ONE, _TWO, _BEYOND = constants(0.5, 1.0, 2.0, SHIFT + 1.0)
_GAP = constants(
    0.08333333333333294, -0.00833333333196673, 0.003968253174196778, -0.00416649213380119,
    0.007557240349829397, -0.02005781319935496, 0.0527835788020277,
)  # fmt: skip
"""The polynomial like `_DIGAMMA_TAIL` through its values at the Chebyshev points of y >= 6, where
it is right to 5e-16."""
_FEW = 200
"""As many values of both are quicker from SciPy."""
_BLOCK = 10_240
_DOWN = (7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0)
_SEVEN, _EIGHT = constants(7.0, 8.0)
_IN_PAIRS = tuple(constants(j * (7 - j), (7 - 2 * j) ** 2) for j in (3.0, 2.0, 1.0))
"""p and (7 - 2 j)^2 of the steps j and 7 - j, the smallest first."""
_DIGAMMA_TAIL = constants(
    0.08333333333333287, -0.008333333331168558, 0.003968252342841619,
    -0.004166217650696842, 0.007519088230747095, -0.017711160415846534,
)  # fmt: skip
"""log y - 1/(2y) - psi(y) in powers of 1/y^2, after the first: the polynomial through its values
at the Chebyshev points of y >= 8, where it is right to 1e-17."""
_TRIGAMMA_TAIL = constants(
    0.1666666666666603, -0.03333333330396469, 0.02380950174113664,
    -0.033327227198005537, 0.07498454186764437, -0.20667659543769643,
)  # fmt: skip
"""The same of psi_1(y) - 1/y - 1/(2y^2), after the third power of 1/y."""


def jensen_gap_difference(x: FloatArray, n: FloatArray) -> FloatArray:
    """Return g(x) - g(x + n) >= 0 for the gap g(x) = log x - psi(x), n >= 0 (DLMF 5.11.2).

    To nearly full relative precision, however small n is; -g' is `trigamma_excess`. Eight steps
    n / ((x + j)(x + n + j)), the smallest first, beside their logarithms in one; beyond them the
    difference of `_DIGAMMA_TAIL`, whose powers are subtracted by hand.
    """
    x, n = np.broadcast_arrays(x, n)
    values, flat_x, flat_n = np.zeros(x.size), x.ravel(), n.ravel()
    for part in blocks(x.size, _BLOCK):
        low, length, total = flat_x[part], flat_n[part], values[part]
        high = low + length
        for step in _DOWN:
            term = low + step
            term *= high + step
            np.divide(length, term, out=term)
            total += term
        t, beyond = 1 / (low + len(_DOWN)), high + len(_DOWN)
        total -= np.log1p(len(_DOWN) * length / (low * beyond))
        u = 1 / beyond
        total += length * t * u * (0.5 + (t + u) * _divided_difference(t * t, u * u))
    return values.reshape(x.shape)


def _divided_difference(t: FloatArray, u: FloatArray) -> FloatArray:
    """Return [p(t) - p(u)] / (t - u) for p(t) = t times the polynomial `_DIGAMMA_TAIL`."""
    symmetric, power = np.ones_like(t), u
    total = np.full_like(t, _DIGAMMA_TAIL[0])
    for coefficient in _DIGAMMA_TAIL[1:]:
        symmetric = symmetric * t + power
        power = power * u
        total += coefficient * symmetric
    return total


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
        nodes, weights = gauss_legendre(_GAUSS_ORDER)
        along = start + nodes[:, None] * length
        found[short] = length * (weights @ trigamma_difference(along, steps))
    return found


def digamma_remainders(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the rows D(a + 1, b) and D(b + 1, a), for arrays of one dimension.

    It is the difference of two digamma values beside the logarithm of the shifted arguments,

        D(x, n) = psi(x + n) - psi(x) - log((x + n + SHIFT)/(x + SHIFT)) > 0,       x >= 1,

    to full relative precision, however small n is: SHIFT steps n / ((x + j)(x + n + j)) and, beyond
    them, the difference of `_GAP`, by Horner's rule for the divided difference of a polynomial.
    """
    if a.size <= _BLOCK:
        return _remainders(a, b)
    rows = np.empty((2, a.size))
    for part in blocks(a.size, _BLOCK):
        rows[:, part] = _remainders(a[part], b[part])
    return rows


def _remainders(a: FloatArray, b: FloatArray) -> FloatArray:
    x = np.array((a, b, a + b))
    total = np.zeros((2, a.size))
    at_once = SHIFT if a.size <= _FEW else 1
    for first in range(0, SHIFT, at_once):
        steps = x + _STEPS[first : first + at_once]
        products = steps[:, :2] * steps[:, 2:]
        for terms in np.divide(_ONE, products, out=products):
            total += terms
    x += _BEYOND
    inverse = _ONE / x
    squares = inverse * inverse
    rows = _GAP[-1] * squares
    slope_a, slope_b, value = rows[0], rows[1], rows[2]
    value += _GAP[-2]
    slope_a += value
    slope_b += value
    for coefficient in _GAP[-3::-1]:
        rows *= squares
        value += coefficient
        slope_a += value
        slope_b += value
    t, u = inverse[:2], inverse[2]
    slope = rows[:2]
    slope *= t + u
    slope += _HALF
    slope *= t
    slope *= u
    total += slope
    for row, other in ((total[0], b), (total[1], a)):
        row *= other
    return total


def jensen_gaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the rows g(a) - g(a + b) and g(b) - g(a + b) for the gap g(x) = log x - psi(x).

    To D(x + 1, n) comes n / (x (x + n)), the step from x; of the two logarithms one is left.
    """
    pair = np.array(np.broadcast_arrays(a, b), dtype=np.float64)
    flat = pair.reshape(2, -1)
    gaps = np.empty_like(flat)
    for part in blocks(flat.shape[1], _BLOCK):
        x, n, s = flat[:, part], flat[::-1, part], flat[:, part].sum(axis=0)
        rows = digamma_remainders(x[0], x[1])
        rows += n / (x * s)
        rows -= np.log1p((SHIFT + 1) * n / (x * (s + (SHIFT + 1))))
        gaps[:, part] = rows
    return gaps.reshape(pair.shape)


def gap_slope(t: _OneOrMany, u: _OneOrMany) -> _OneOrMany:
    """Return [g(x) - g(z)] / (z - x) for g(x) = log x - psi(x), t = 1/x, u = 1/z, x >= 20."""
    product, squares = t * u, t * t + u * u
    square, squared = product * product, squares * squares
    tail = squares / 120 - (squared - square) / 252 + squares * (squared - 2 * square) / 240
    return product * (0.5 + (t + u) * (1 / 12 - tail))


def trigamma(x: FloatArray) -> FloatArray:
    """Return psi_1(x), the second derivative of log Gamma, for x > 0; to 1e-15 of itself."""
    values: FloatArray = _in_blocks(x, digammas=False)[0]
    return values


def digamma_trigamma(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return psi(x) and psi_1(x) for x > 0, the first to 1e-15 of the larger of itself and 1."""
    if x.size <= _FEW:
        return sc.psi(x), sc.zeta(_TWO, x)
    trigammas, digammas = _in_blocks(x, digammas=True)
    return digammas, trigammas


def _in_blocks(x: FloatArray, digammas: bool) -> FloatArray:
    """Return psi_1(x), and psi(x) from the same reciprocals, in blocks that stay in the cache.

    Eight steps 1/(x + j) and their squares, and beyond them the two tails. But for the first and
    the last the steps j and 7 - j are one division: with (x + j)(x + 7 - j) = q + p, q = x (x + 7),

        1/(x + j) + 1/(x + 7 - j) = (2 x + 7)/(q + p),
        1/(x + j)^2 + 1/(x + 7 - j)^2 = 2/(q + p) + (7 - 2 j)^2/(q + p)^2.
    """
    rows, flat = np.zeros((1 + digammas, x.size)), x.ravel()
    kept = np.empty((4, min(x.size, _BLOCK)))
    for part in blocks(x.size, _BLOCK):
        some, values, squares = flat[part], rows[:, part], rows[0, part]
        y, q, total, inverse = kept[:, : some.size]
        np.add(some, _SEVEN, out=y)
        np.multiply(some, y, out=q)
        total[:] = 0.0
        for product, difference in _IN_PAIRS:
            np.add(q, product, out=inverse)
            np.divide(_ONE, inverse, out=inverse)
            total += inverse
            inverse *= inverse
            inverse *= difference
            squares += inverse
        squares += total
        squares += total
        if digammas:
            total *= some + y
            values[1] -= total
        for single in (y, some):
            np.divide(_ONE, single, out=inverse)
            if digammas:
                values[1] -= inverse
            inverse *= inverse
            squares += inverse
        np.add(some, _EIGHT, out=y)
        t = np.divide(_ONE, y, out=q)
        square = np.multiply(t, t, out=total)
        tail = polynomial(_TRIGAMMA_TAIL, square)
        tail *= t
        tail += _HALF
        tail *= square
        tail += t
        squares += tail
        if digammas:
            tail = polynomial(_DIGAMMA_TAIL, square)
            tail *= square
            t *= _HALF
            tail += t
            np.log(y, out=y)
            y -= tail
            values[1] += y
    return rows.reshape(len(rows), *x.shape)


def trigamma_excess(x: FloatArray) -> FloatArray:
    """Return psi_1(x) - 1/x > 0 (DLMF 5.15.8)."""
    t = 1 / np.maximum(x, _LARGE)
    far = t * polynomial(_EXCESS, t)
    return np.where(x >= _LARGE, far, trigamma(x + 1) + (1 - x) / (x * x))


def trigamma_excess_difference(x: FloatArray, n: FloatArray) -> FloatArray:
    """Return the excess at x less that at x + n, for n >= 0, to full relative precision.

    For large x the powers' differences are t^m - u^m = (t - u)(t^(m-1) + ... + u^(m-1)) with
    t - u = n t u; for smaller x and n < x/2 it is an integral, for which ten Gauss-Legendre nodes
    are exact. Nothing cancels in the rest.
    """
    large = x >= _LARGE
    t, u = 1 / np.maximum(x, _LARGE), 1 / np.maximum(x + n, _LARGE)
    symmetric = power = np.ones(())
    total = _EXCESS[0]
    for coefficient in _EXCESS[1:]:
        power = power * u
        symmetric = symmetric * t + power
        if coefficient:
            total = total + coefficient * symmetric
    direct = trigamma_excess(x) - trigamma_excess(x + n)
    difference = np.where(large, n * t * u * total, direct)
    short = ~large & (n < 0.5 * x)
    if short.any():
        x, n, short = np.broadcast_arrays(x, n, short)
        start, length = x[short], n[short]
        nodes, weights = gauss_legendre(_GAUSS_ORDER)
        along = start + nodes[:, None] * length
        slope = 2 * sc.zeta(3.0, along) - 1 / (along * along)
        difference[short] = length * (weights @ slope)
    return difference


def trigamma_difference(x: FloatArray, n: FloatArray) -> FloatArray:
    """Return psi_1(x) - psi_1(x + n) for n >= 0, to full relative precision."""
    return n / x / (x + n) + trigamma_excess_difference(x, n)
