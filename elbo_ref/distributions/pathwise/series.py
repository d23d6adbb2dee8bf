r"""The pathwise derivatives as power series in c, from the end c = 0.

Put P = p(c) - R(c) log c into (1) of `elbo_ref.distributions.pathwise`, with R = F/f, for which R'
= 1 - (a - s c) R. As y' = c (1 - c) d/dc, comparing powers of c gives R_0 = 1/a and

    R_n = rho_n R_{n-1},          rho_n = (s + n - 1) / (a + n),
    p_n = rho_n p_{n-1} + R_n [1/(a + n) - 1/(s + n - 1)],     p_0 = [psi(a + 1) - psi(s)] / a,

and Q = q(c) - R(c) [psi(s) - psi(b)] with q_0 = 0 and

    (a + n) q_n = (s + n - 1) q_{n-1} + 1/n.

Both inhomogeneous recurrences are solved by a sum: p_n = R_n (a p_0 + H_n) and q_n = a R_n G_n,

    H_n = sum_{k <= n} (b - 1) / ((a + k)(s + k - 1)),     G_n = sum_{k <= n} 1 / (k (a + k) a R_k).

`reaches` says where TERMS terms suffice: where the twelfth ratio, which is about the geometric mean
of all of them, would make the last term 1e-17 of the first. Below the mode all terms of P have one
sign and Q = q - R [..] loses no more than a factor a^(1/2), which is small where TERMS suffice.
Above it, at s c > a, both cancel, the more the farther: up to s c = 1 they lose a factor of 30 at
most, and mostly far less.
"""

from __future__ import annotations

import itertools

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.pathwise.left import Left

TERMS = 32
_N = np.arange(1.0, TERMS + 1)[:, None]
_BEFORE = _N - 1
_ONES = np.ones(TERMS)
_MIDDLE = 12.0
_RATIO = 1e-17 ** (1 / TERMS)
_WIDE = 100
_FLOOR = np.where(_N == 1, 1e-25, 1e-9)
"""Ratios below it make no difference, but slow their products down, which would be subnormal."""


def reaches(draws: Left) -> BoolArray:
    """Tell where the series is short and does not cancel."""
    c, a, v = draws.c, draws.a, draws.v
    reached: BoolArray = v + _MIDDLE * c <= _RATIO * (a + _MIDDLE)
    reached &= v <= np.maximum(a, 1.0)
    return reached


def derivatives(draws: Left) -> FloatArray:
    """Return the rows P and Q."""
    a, less, s = draws.a, draws.b - 1, draws.s
    below, above = a + _N, s + _BEFORE
    r = _accumulated(np.multiply, np.maximum(draws.c * above / below, _FLOOR))
    g = _accumulated(np.multiply, below / above)
    g /= _N * below
    g = _accumulated(np.add, g)
    h = _accumulated(np.add, less / (above * below))
    total = 1 + _ONES.dot(r)
    p = ((draws.up + 1 / s) * total + _ONES.dot(h * r)) / a
    q = _ONES.dot(g * r) - (draws.rise / a + 1 / (s * draws.b)) * total
    return np.array((p, q))


def _accumulated(operation: np.ufunc, rows: FloatArray) -> FloatArray:
    """Accumulate down the rows, in place; row by row, if that is quicker."""
    if rows.shape[1] < _WIDE:
        operation.accumulate(rows, axis=0, out=rows)
    else:
        for before, after in itertools.pairwise(rows):
            operation(before, after, out=after)
    return rows
