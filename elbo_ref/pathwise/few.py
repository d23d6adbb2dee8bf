r"""The pathwise derivatives of few draws that share one pair of concentrations.

For ten draws the time goes into the number of array operations, not into their lengths. The power
series of `elbo_ref.pathwise.series` and `elbo_ref.pathwise.mode` have coefficients that depend on
the concentrations alone: here they are made once for the pair, all draws are one product of them
with a matrix of powers, and no more terms are taken than the farthest of these draws needs.

**From the ends.** With R_n, P_n and Q_n the coefficients of c^n, `series` says

    R = sum R_n c^n,    P = sum P_n c^n - R log(k c),    Q = sum Q_n c^n,
    P_n = R_n (psi(a + 1) - psi(s) + log k + sum_{j <= n} [1/(a + j) - 1/(s + j - 1)]),
    Q_n = R_n (psi(b) - psi(s) + sum_{j <= n} 1/(j (a + j) R_j)),

for any k; the digamma differences come out of the same reciprocals. A draw above the middle, which
is the mode or, for a concentration below 1, where s c = 1, is seen from the other end, c = 1. Where
that end is too far a draw may be seen from across the middle: its terms cancel by a factor that
grows as 1/f, and `_ACROSS` keeps what is lost below 6e-14.

**From the mode**, for concentrations from `_LARGE` on. In the downward recurrence of `mode` a start
at n = N is forgotten at least by the product of n/a over every second n, about (N/(e a))^(N/2).
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import special as sc

from elbo_ref.arguments import BoolArray, FloatArray
from elbo_ref.pathwise.table import on_lines
from elbo_ref.special import gap_slope

_FAR = 700.0
"""Beyond this logit both derivatives are lines, to the last digit of any float."""
_LAST = math.log(1e-17)
"""The last term beside the first."""
_SIZES = [
    (terms, 0.375 * terms, math.exp(_LAST / terms))
    for terms in (20, 28, 40, 52, 64, 72, 80, 96, 112, 136, 160, 200, 240)
]
"""Numbers of terms, the place of about the mean ratio of two neighbours, and what it may be."""
_LONG = 80
"""From more terms than that on it is worth a look across the middle."""
_ACROSS = 1.0
"""How much less than in the middle log f may be at a draw that is seen from across it."""
_MOST_GROWTH = 650.0
"""The largest logarithm of a coefficient."""
_LARGE = 250.0
_FARTHEST = 0.4
_FORGOTTEN = 78.0


def derivatives(y: FloatArray, a: float, b: float) -> FloatArray | None:
    """The rows dy/da and dy/db for n draws y; None if they would need too many terms."""
    draws = y.tolist()
    with np.errstate(over="ignore", under="ignore"):
        return _between(y, a, b, min(draws), max(draws))


def _between(y: FloatArray, a: float, b: float, low: float, high: float) -> FloatArray | None:
    if low < -_FAR or high > _FAR:
        near = np.minimum(np.maximum(y, -_FAR), _FAR)
        gradient = _between(near, a, b, min(max(low, -_FAR), _FAR), max(min(high, _FAR), -_FAR))
        return None if gradient is None else on_lines(gradient, near - y, a, b)
    if a >= _LARGE and b >= _LARGE:
        if a <= b:
            return _from_mode(y, a, b, low, high)
        gradient = _from_mode(-y, b, a, -high, -low)
        return None if gradient is None else -gradient[::-1]
    return _from_ends(y, a, b, math.exp(low), math.exp(high))


def _from_ends(y: FloatArray, a: float, b: float, low: float, high: float) -> FloatArray | None:
    """For draws whose odds lie between two."""
    middle = max(a, 1.0) / max(b, 1.0)
    one_end = other_end = both = math.inf
    if high <= middle:
        one_end = _terms(high, a, b)
    elif low >= middle:
        other_end = _terms(1 / low, b, a)
    else:
        both = max(_terms(middle, a, b), _terms(1 / middle, b, a))
        if both > _LONG and _drop(middle, high, a, b) <= _ACROSS:
            one_end = _terms(high, a, b)
        if both > _LONG and _drop(middle, low, a, b) <= _ACROSS:
            other_end = _terms(1 / low, b, a)
    terms = min(one_end, other_end, both)
    if math.isinf(terms):
        return None
    if terms == one_end:
        return _from_one_end(y, a, b, int(terms))
    if terms == other_end:
        return -_from_one_end(-y, b, a, int(terms))[::-1]
    return _from_both_ends(y, a, b, int(terms), y > math.log(middle))


def _terms(odds: float, a: float, b: float) -> float:
    """How many terms serve a draw with these odds; infinite if too many."""
    c, s = odds / (1 + odds), a + b
    for terms, place, ratio in _SIZES:
        if c * (s + place) <= ratio * (a + place):
            growth = terms * math.log((s + 1) / (a + 1)) - math.log(a)
            return terms if growth <= _MOST_GROWTH else math.inf
    return math.inf


def _drop(odds: float, other: float, a: float, b: float) -> float:
    """log f at the one less log f at the other."""
    return a * math.log(odds / other) + (a + b) * math.log((1 + other) / (1 + odds))


def _from_one_end(y: FloatArray, a: float, b: float, terms: int) -> FloatArray:
    inverse, factors, reciprocals, (d_a, d_b) = _steps(a, b, terms)
    s, after = a + b, a + 1 + terms
    to_k = d_a + math.log1p(-(b / (s + 1)) * (terms / after))
    rise_b = d_b + math.log1p(a / (b + 1 + terms))
    coefficients = np.empty((3, terms + 1))
    coefficients[:, 0] = 1 / a, 1 / s - to_k, -rise_b - a / s / b
    _fill(coefficients, inverse[0], factors, reciprocals)
    c = sc.expit(y)
    sums = coefficients.dot(_powers(c, terms))
    c *= (s + 1) / (a + 1)
    gradient: FloatArray = sums[1:]
    gradient[0] -= np.log(c) * sums[0]
    return gradient


def _from_both_ends(y: FloatArray, a: float, b: float, terms: int, upper: BoolArray) -> FloatArray:
    inverse, factors, reciprocals, (d_a, d_b) = _steps(a, b, terms)
    s, rise_a, rise_b = (
        a + b,
        d_a + math.log1p(b / (a + 1 + terms)),
        d_b + math.log1p(a / (b + 1 + terms)),
    )
    coefficients = np.empty((3, 2, terms + 1))
    coefficients[:, :, 0] = (
        (1 / a, 1 / b),
        (1 / s - rise_a, 1 / s - rise_b),
        (-rise_b - a / s / b, -rise_a - b / s / a),
    )
    _fill(coefficients, inverse, factors, reciprocals)
    c = sc.expit(np.where(upper, -y, y))
    sums = coefficients.reshape(6, -1).dot(_powers(c, terms))
    sums = np.where(upper, sums[1::2], sums[::2])
    gradient: FloatArray = sums[1:]
    gradient[0] -= np.log(c) * sums[0]
    return np.where(upper, -gradient[::-1], gradient)


def _steps(
    a: float, b: float, terms: int
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[float, float]]:
    """1/(x + n) for both x; s + n and 1/(s + n) from n = 0 on; and for both x

    D = psi(s + 1) - psi(x + 1) - log((s + 1 + terms) / (x + 1 + terms)).
    """
    from_0, from_1, _ = _counting(terms)
    s, factors = a + b, from_0 + (a + b)
    inverse, reciprocals = 1 / (np.array(((a,), (b,))) + from_1), 1 / factors
    sum_a, sum_b = inverse.dot(reciprocals[1:]).tolist()
    after_a, after_b, u = a + 1 + terms, b + 1 + terms, 1 / (s + 1 + terms)
    d_a = b * (sum_a + gap_slope(1 / after_a, u))
    d_b = a * (sum_b + gap_slope(1 / after_b, u))
    return inverse, factors, reciprocals, (d_a, d_b)


def _fill(
    coefficients: FloatArray, inverse: FloatArray, factors: FloatArray, reciprocals: FloatArray
) -> None:
    """R_n, P_n and Q_n, given R_0, P_0 / R_0 and Q_0 / R_0."""
    r, brackets, later = coefficients[0], coefficients[1:], coefficients[..., 1:]
    np.multiply(factors[:-1], inverse, later[0])
    np.multiply.accumulate(r, -1, None, r)
    np.subtract(inverse, reciprocals[:-1], later[1])
    np.divide(inverse * _counting(inverse.shape[-1])[2], later[0], later[2])
    np.add.accumulate(brackets, -1, None, brackets)
    brackets *= r


@functools.cache
def _counting(terms: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """n from 0 and from 1 on, and 1/n."""
    n = np.arange(terms + 1.0)
    return n, n[1:], 1 / n[1:]


def _powers(x: FloatArray, highest: int) -> FloatArray:
    powers = np.empty((highest + 1, x.size))
    powers[0] = 1.0
    powers[1:] = x
    np.multiply.accumulate(powers, 0, None, powers)
    return powers


def _from_mode(y: FloatArray, a: float, b: float, low: float, high: float) -> FloatArray | None:
    """For a <= b."""
    s, odds = a + b, a / b
    m, rest = a / s, b / s
    farthest = max(abs(1 / (1 + math.exp(-x)) / m - 1) for x in (low, high))
    if farthest > _FARTHEST:
        return None
    terms = 1 + max(9, math.ceil(_LAST / math.log(farthest + 1e-9)))
    while terms * (1 + math.log(a / terms)) < _FORGOTTEN:
        terms += 2
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
