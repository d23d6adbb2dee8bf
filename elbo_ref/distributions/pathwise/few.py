r"""The pathwise derivatives of few draws that share one pair of concentrations.

For ten draws the time goes into the number of array operations, not into their lengths. The power
series of `elbo_ref.distributions.pathwise.series` and `elbo_ref.distributions.pathwise.mode` have
coefficients that depend on the concentrations alone: here they are made once for the pair, all
draws are one product of them with a matrix of powers, and no more terms are taken than the
farthest of these draws needs.

**From the ends.** With R_n, P_n and Q_n the coefficients of c^n, `series` says

    R = sum R_n c^n,    P = sum P_n c^n - R log(k c),    Q = sum Q_n c^n,
    P_n = R_n (psi(a + 1) - psi(s) + log k + sum_{j <= n} [1/(a + j) - 1/(s + j - 1)]),
    Q_n = R_n (psi(b) - psi(s) + sum_{j <= n} 1/(j (a + j) R_j)),

for any k; the digamma differences come out of the same reciprocals. A draw above the middle, which
is the mode or, for a concentration below 1, where s c = 1, or c = 1/2 beside it, is seen from the
other end, c = 1. Where that end is too far a draw may be seen from across the middle: its terms
cancel by a factor that grows as 1/f, and `_is_near` keeps what is lost below 5e-13.

**From the mode**, for two concentrations from `_LARGE` on. In the downward recurrence of `mode` a
start at n = N is forgotten by the product of the factors (1 - m) n / (a + m (n - 2)) over every
second n. The neighbour's factor (1 - 2 m) n / a is kept below 1/3: where it comes to 1 the
recurrence diverges, whatever N.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.pathwise.table import on_lines
from elbo_ref.special import gap_slope

MOST = 1000
_MOST_POWERS = 20_000
"""More draws, or more of their powers, take longer than by the ways of single draws."""
_FAR = 700.0
"""Beyond this logit both derivatives are lines, to the last digit of any float."""
_LAST = math.log(1e-17)
"""The last term beside the first."""
_SIZES = [
    (terms, 0.375 * terms, math.exp(_LAST / terms))
    for terms in (20, 28, 40, 52, 64, 72, 80, 96, 112, 136, 160, 200, 240)
]
"""Numbers of terms, the index of about the mean ratio of two neighbours, and its largest value."""
_LONG = 80
"""The number of terms beyond which the other side of the middle is tried."""
_EVEN = 0.25
"""If log f falls by no more from the mode to c = 1/2, that is the middle."""
_MOST_GROWTH = 650.0
"""The largest logarithm of a coefficient."""
_LARGE, _FARTHEST, _LONGEST = 40.0, 0.4, 64
"""Concentrations, draws and terms that the series about the mode is for."""
_FORGOTTEN = 1e-17
"""The part of its recurrence's start that may be left."""


def derivatives(y: FloatArray, a: float, b: float) -> FloatArray | None:
    """Return the rows dy/da and dy/db for n draws y; None if they would need too many terms.

    Callers silence NumPy's warnings: to do it here takes longer than an operation.
    """
    draws = y.tolist()
    return _between(y, a, b, min(draws), max(draws))


def _between(y: FloatArray, a: float, b: float, low: float, high: float) -> FloatArray | None:
    if low < -_FAR or high > _FAR:
        near = np.minimum(np.maximum(y, -_FAR), _FAR)
        gradient = _between(near, a, b, min(max(low, -_FAR), _FAR), max(min(high, _FAR), -_FAR))
        return None if gradient is None else on_lines(gradient, near - y, a, b)
    gradient = _from_mode(y, a, b, low, high) if min(a, b) >= _LARGE else None
    return _from_ends(y, a, b, math.exp(low), math.exp(high)) if gradient is None else gradient


def _from_ends(y: FloatArray, a: float, b: float, low: float, high: float) -> FloatArray | None:
    """Differentiate draws whose odds lie between two."""
    middle = max(a, 1.0) / max(b, 1.0)
    one_end = other_end = both = math.inf
    if high <= middle:
        one_end = _terms(high, a, b)
    elif low >= middle:
        other_end = _terms(1 / low, b, a)
    else:
        if _drop(middle, 1.0, a, b) < _EVEN:
            middle = 1.0
        both = max(_terms(middle, a, b), _terms(1 / middle, b, a))
        if both > _LONG and _is_near(middle, high, a, b):
            one_end = _terms(high, a, b)
        if both > _LONG and _is_near(1 / middle, 1 / low, b, a):
            other_end = _terms(1 / low, b, a)
    terms = min(one_end, other_end, both)
    if terms * y.size > _MOST_POWERS:
        return None
    if terms == one_end:
        return _from_one_end(y, a, b, int(terms))
    if terms == other_end:
        return -_from_one_end(-y, b, a, int(terms))[::-1]
    return _from_both_ends(y, a, b, int(terms), y > math.log(middle))


def _terms(odds: float, a: float, b: float) -> float:
    """Count the terms that a draw with these odds needs; infinite if too many."""
    c, s = odds / (1 + odds), a + b
    for terms, index, ratio in _SIZES:
        if c * (s + index) <= ratio * (a + index):
            growth = terms * math.log((s + 1) / (a + 1)) - math.log(a)
            return terms if growth <= _MOST_GROWTH else math.inf
    return math.inf


def _is_near(middle: float, odds: float, a: float, b: float) -> bool:
    """Tell whether a draw above the middle may be seen from across it, from the end c = 0."""
    return _drop(middle, odds, a, b) <= 1 + 2 * min(a, 1.0)


def _drop(middle: float, odds: float, a: float, b: float) -> float:
    """Return log f at the middle less that at these odds."""
    log_ratio = math.log(middle) - math.log(odds)
    return a * log_ratio + (a + b) * (math.log1p(odds) - math.log1p(middle))


def _from_one_end(y: FloatArray, a: float, b: float, terms: int) -> FloatArray:
    steps, inverse, (d_a, d_b) = _steps(a, b, terms)
    s, after = a + b, a + 1 + terms
    to_k = d_a + math.log1p(-(b / (s + 1)) * (terms / after))
    rise_b = d_b + math.log1p(a / (b + 1 + terms))
    coefficients = np.empty((3, terms + 1))
    coefficients[:, 0] = 1 / a, 1 / s - to_k, -rise_b - a / s / b
    _fill(coefficients, steps[2], inverse[0], inverse[2])
    c = sc.expit(y)
    sums = coefficients.dot(_powers(c, terms))
    c *= (s + 1) / (a + 1)
    gradient: FloatArray = sums[1:]
    gradient[0] -= np.log(c) * sums[0]
    return gradient


def _from_both_ends(y: FloatArray, a: float, b: float, terms: int, upper: BoolArray) -> FloatArray:
    steps, inverse, (d_a, d_b) = _steps(a, b, terms)
    s = a + b
    rise_a = d_a + math.log1p(b / (a + 1 + terms))
    rise_b = d_b + math.log1p(a / (b + 1 + terms))
    coefficients = np.empty((3, 2, terms + 1))
    coefficients[:, :, 0] = (
        (1 / a, 1 / b),
        (1 / s - rise_a, 1 / s - rise_b),
        (-rise_b - a / s / b, -rise_a - b / s / a),
    )
    _fill(coefficients, steps[2], inverse[:2], inverse[2])
    c = sc.expit(np.where(upper, -y, y))
    sums = coefficients.reshape(6, -1).dot(_powers(c, terms))
    sums[2:4] -= np.log(c) * sums[:2]
    gradient: FloatArray = np.where(upper, -sums[5:2:-2], sums[2:5:2])
    return gradient


def _steps(a: float, b: float, terms: int) -> tuple[FloatArray, FloatArray, tuple[float, float]]:
    """Return the rows a + 1 + n, b + 1 + n and s + n, their reciprocals, and D of a and of b.

    D is psi(s + 1) - psi(x + 1) - log((s + 1 + terms) / (x + 1 + terms)) for x = a, b.
    """
    s = a + b
    steps = np.array((a + 1, b + 1, s))[:, None] + _counting(terms)[0]
    inverse = 1 / steps
    sum_a, sum_b = inverse[:2, :-1].dot(inverse[2, 1:]).tolist()
    u = 1 / (s + 1 + terms)
    d_a = b * (sum_a + gap_slope(1 / (a + 1 + terms), u))
    d_b = a * (sum_b + gap_slope(1 / (b + 1 + terms), u))
    return steps, inverse, (d_a, d_b)


def _fill(
    coefficients: FloatArray, up: FloatArray, inverse: FloatArray, reciprocals: FloatArray
) -> None:
    """Fill in R_n, P_n and Q_n, given R_0, P_0 / R_0 and Q_0 / R_0."""
    r, brackets, later = coefficients[0], coefficients[1:], coefficients[..., 1:]
    inverse = inverse[..., :-1]
    np.multiply(up[:-1], inverse, later[0])
    np.multiply.accumulate(r, -1, None, r)
    np.subtract(inverse, reciprocals[:-1], later[1])
    np.divide(inverse * _counting(inverse.shape[-1])[1], later[0], later[2])
    np.add.accumulate(brackets, -1, None, brackets)
    brackets *= r


@functools.cache
def _counting(terms: int) -> tuple[FloatArray, FloatArray]:
    """Count n from 0 to `terms`, and 1/n from 1 on."""
    n = np.arange(terms + 1.0)
    return n, 1 / n[1:]


def _powers(x: FloatArray, highest: int) -> FloatArray:
    powers = np.empty((x.size, highest + 1))
    powers[:, 0] = 1.0
    powers[:, 1:] = x[:, None]
    np.multiply.accumulate(powers, 1, None, powers)
    return powers.T


def _from_mode(y: FloatArray, a: float, b: float, low: float, high: float) -> FloatArray | None:
    if a > b:
        mirrored = _from_mode(-y, b, a, -high, -low)
        return None if mirrored is None else -mirrored[::-1]
    s, odds = a + b, a / b
    m, rest = a / s, b / s
    farthest = max(abs(1 / (1 + math.exp(-x)) / m - 1) for x in (low, high))
    if farthest > _FARTHEST:
        return None
    terms, kept = 0, 1.0
    while kept > _FORGOTTEN:
        terms += 2
        kept *= rest * terms / (a + m * (terms - 2))
        if terms > _LONGEST or 3 * (rest - m) * terms > a:
            return None
    terms = max(terms, 1 + math.ceil(_LAST / math.log(farthest + 1e-9)))
    p = later_p = q = later_q = 0.0
    coefficients = []
    for n in range(terms, 0, -1):
        scale = 1 / (a + m * (n - 1))
        up, across = rest * (n + 1), (rest - m) * n
        source = 1 / n if n % 2 else -1 / n
        p, later_p = scale * (up * later_p + across * p + source), p
        q, later_q = scale * (up * later_q + across * q - odds**n / n), q
        coefficients.append((p, q))
    r = s / a * sc.expit(y) - 1
    gradient: FloatArray = np.array(coefficients[::-1]).T.dot(_powers(r, terms - 1))
    return gradient
