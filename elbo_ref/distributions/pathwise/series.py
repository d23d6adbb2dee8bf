r"""The pathwise derivatives as power series in c, from the end c = 0.

Put P = p(c) - R(c) log c into (1) of `elbo_ref.distributions.pathwise`, with R = F/f, for which R'
= 1 - (a - s c) R. As y' = c (1 - c) d/dc, comparing powers of c gives R_0 = 1/a and

    R_n = rho_n R_{n-1},          rho_n = (s + n - 1) / (a + n),
    p_n = rho_n p_{n-1} + R_n [1/(a + n) - 1/(s + n - 1)],     p_0 = [psi(a + 1) - psi(s)] / a,

and Q = q(c) - R(c) [psi(s) - psi(b)] with q_0 = 0 and

    (a + n) q_n = (s + n - 1) q_{n-1} + 1/n.

Both inhomogeneous recurrences are solved by a sum: p_n = R_n (a p_0 + H_n) and q_n = a R_n G_n,

    H_n = sum_{k <= n} (b - 1) / ((a + k)(s + k - 1)),     G_n = sum_{k <= n} 1 / (k (a + k) a R_k).

It is taken where b is large beside a, c is not small beside a/b and the terms fall: where with N
terms the ratio at 0.375 N, which is about the geometric mean of all of them, would make the last
1e-17 of the first. Below the mode all terms of P have one sign and Q = q - R [..] loses no more
than a factor a^(1/2). Above it, at s c > a, both cancel, the more the farther: up to s c = 1 they
lose a factor of 30 at most, and mostly far less.
"""

from __future__ import annotations

import itertools

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.pathwise.left import Left

BLOCK = 1024
_SIZES = [(terms, 0.375 * terms, 1e-17 ** (1 / terms)) for terms in (8, 16, 24, 32, 44, 60)]
"""Numbers of terms, the index of about the mean ratio of two neighbours, and its largest value."""
_WIDE = 100
_FLOOR = 1e-9
"""Ratios below it make no difference, but slow their products down, which would be subnormal."""


def reaches(c: FloatArray, v: FloatArray, a: FloatArray) -> BoolArray:
    """Tell where the series is short and does not cancel."""
    reached = _falls(c, v, a, *_SIZES[-1][1:])
    reached &= v <= np.maximum(a, 1.0)
    reached &= c < 0.5
    return reached


def _falls(c: FloatArray, v: FloatArray, a: FloatArray, index: float, ratio: float) -> BoolArray:
    falls: BoolArray = v + index * c <= ratio * (a + index)
    return falls


def derivatives(draws: Left) -> tuple[FloatArray, FloatArray]:
    """Return P and Q, with as many terms as the draw needs that needs most."""
    _, c, v, a, b, s, *_ = draws
    terms = next(n for n, *size in _SIZES if n == _SIZES[-1][0] or _falls(c, v, a, *size).all())
    n = np.arange(1.0, terms + 1)[:, None]
    up, rise = draws.digammas()
    below, above = a + n, s + (n - 1)
    ratios = c * above / below
    np.maximum(ratios[1:], _FLOOR, out=ratios[1:])
    r = _accumulated(np.multiply, ratios)
    g = _accumulated(np.multiply, below / above)
    g /= n * below
    g = _accumulated(np.add, g)
    h = _accumulated(np.add, (b - 1) / (above * below))
    ones = np.ones(terms)
    total = 1 + ones.dot(r)
    p = ((up + 1 / s) * total + ones.dot(h * r)) / a
    q = ones.dot(g * r) - (rise / a + 1 / (s * b)) * total
    return p, q


def _accumulated(operation: np.ufunc, rows: FloatArray) -> FloatArray:
    """Accumulate down the rows, in place; row by row, if that is quicker."""
    if rows.shape[1] < _WIDE:
        operation.accumulate(rows, axis=0, out=rows)
    else:
        for before, after in itertools.pairwise(rows):
            operation(before, after, out=after)
    return rows
