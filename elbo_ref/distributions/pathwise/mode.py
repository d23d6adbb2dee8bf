r"""The pathwise derivatives as power series about the mode, for two large concentrations.

With m = a/s and c = m (1 + r), equation (1) of `elbo_ref.distributions.pathwise` is

    (1 + r)(1 - m - m r) dP/dr = a r P + psi(a) - psi(s) - log m - log(1 + r),

and in powers of r it couples three neighbours, P = sum p_n r^n:

    (a + m (n - 1)) p_{n-1} = (1 - m)(n + 1) p_{n+1} + (1 - 2m) n p_n + l_n,    l_n = (-1)^(n+1)/n.

The same holds for Q with l_n = -(m/(1 - m))^n / n. Upwards the recurrence follows the solution 1/f,
which explodes; downwards each step divides by a, so that starting from 0 at n = TERMS forgets the
start (Miller's algorithm). The leading term of P is 1/a, that of Q is -1/b, and r enters only in
corrections of relative size r: close to the mode, where a tail integral is a small difference of
large numbers, nothing is lost.

`reaches` says where TERMS terms suffice; c <= 1/2 keeps m/(1 - m) near 1 or below.
"""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.pathwise.left import Left

TERMS = 12
BLOCK = 2048
SMALLEST = 1000.0
_FARTHEST = 1 / 24
_N = np.arange(1.0, TERMS + 1)[:, None]
_ALTERNATING = np.where(_N % 2, 1.0, -1.0)


def reaches(c: FloatArray, v: FloatArray, a: FloatArray) -> BoolArray:
    """Tell where the series is right to the last digits."""
    reached: BoolArray = a >= SMALLEST
    if np.count_nonzero(reached):
        reached &= np.abs(v - a) <= a * _FARTHEST
        reached &= c <= 0.5
    return reached


def derivatives(draws: Left) -> tuple[FloatArray, FloatArray]:
    """Return P and Q."""
    a, r = draws.a, draws.v / draws.a - 1
    m, rest = a / draws.s, draws.b / draws.s
    scale = 1 / (a + m * (_N - 1))
    sources = np.empty((TERMS, 2, r.size))
    sources[:, 0] = _ALTERNATING
    sources[:, 1] = -np.multiply.accumulate(np.broadcast_to(a / draws.b, (TERMS, r.size)))
    sources *= (scale / _N)[:, None]
    up, across = rest * (_N + 1) * scale, (rest - m) * _N * scale
    total = lower = here = np.zeros((2, r.size))
    for n in reversed(range(TERMS)):
        lower, here = up[n] * here + across[n] * lower + sources[n], lower
        total = total * r + lower
    return total[0], total[1]
