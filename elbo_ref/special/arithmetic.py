"""Sums, products and quadratures that keep their digits."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray, IntArray


def constants(*numbers: float) -> tuple[FloatArray, ...]:
    """Return numbers as arrays, by which NumPy multiplies fastest."""
    return tuple(map(np.array, numbers))


ODD_RECIPROCALS = constants(*(1 / odd for odd in range(3, 33, 2)))
"""1/3, 1/5, ...: the series of atanh, after its first term."""


@cache
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


def blocks(size: int, length: int = 2**15) -> Iterator[slice]:
    """Slice so many elements into parts, between which an interrupt is heard."""
    return (slice(first, first + length) for first in range(0, size, length))


def polynomial(coefficients: tuple[FloatArray, ...], x: FloatArray) -> FloatArray:
    """Evaluate a polynomial of degree one or more, by Horner's rule."""
    total = coefficients[-1] * x
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= x
    total += coefficients[0]
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


def _high_low(x: NDArray[Any]) -> tuple[FloatArray, FloatArray | float]:
    """Split an int64 into two exact floats, the second 0.0 if all are below 2**53, or floats."""
    if x.dtype.kind != "i":
        return x, 0.0
    if x.max(initial=0) < 2**53:
        return x.astype(np.float64), 0.0
    low = np.where(x < 2**53, 0, x & 2047)
    return (x - low).astype(np.float64), low.astype(np.float64)


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
    error = p_error - q_error
    if any(isinstance(low, np.ndarray) for low in (a2, b2, c2, d2)):
        middle = (a1 * d2 + a2 * d1) - (b1 * c2 + b2 * c1)
        error = error + (middle + (a2 * d2 - b2 * c2))
    difference: FloatArray = (p - q) + error
    return difference


def deviance(observed: FloatArray, expected: FloatArray, difference: FloatArray) -> FloatArray:
    """Return d(O, E) = O log(O/E) - (O - E), given the difference O - E; 0 where O = E = 0.

    With v = (O - E)/(O + E) it is (O - E) v + 2 O (v^3/3 + v^5/5 + ...), used for abs(v) < 1/4.
    """
    total = observed + expected
    v = difference / np.where(total == 0, 1.0, total)
    close = np.abs(v) < 0.25
    square = np.where(close, v * v, 0.0)
    near = difference * v + 2 * observed * v * square * polynomial(ODD_RECIPROCALS, square)
    ratio = observed / np.where(expected == 0, 1.0, expected)
    log_ratio = np.log(np.where(observed == 0, 1.0, ratio))
    return np.where(close, near, observed * log_ratio - difference)
