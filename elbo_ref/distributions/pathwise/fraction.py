r"""The pathwise derivatives by a continued fraction and its derivatives, from the end c = 0.

With R = F/f, and with digamma values from the derivatives of log f,

    P = R [psi(a) - psi(s) - log c] - dR/da,       Q = R [psi(b) - psi(s) - log(1 - c)] - dR/db.

R is hypergeometric, a R = S = 2F1(s, 1; a + 1; c), and has Gauss's continued fraction (NIST DLMF
8.17.22), here with whole denominators: S = t_1 / (t_1 - v) and, from t_2M = a + 2M downwards,

    t_{2m-1} = a + 2m - 1 + m (b - m) c / t_2m,
    t_2k = a + 2k - (a + k)(s + k) c / t_{2k+1}.

The derivatives of t by a and by b go down along with it, and each step divides their errors as well
as its own: nothing but numbers of the size of a and v is ever formed. A pair of levels costs 29
operations, two of them divisions, and serves where a power series would take four terms or more.

`pairs` counts the pairs that leave about 1e-14. In the limit of many levels a pair divides the
error by ((1 + r)/(1 - r))^2 = ((1 + r)^2/c)^2 with r = (1 - c)^(1/2), which decides at large c.
Else it is v/a, in the fourth root, and near the mode of a large a, which is (b c)^(1/2) wide, the
pairs grow as that, until v/a falls below 1 by about its inverse. The constants were fitted to
300,000 draws and are never more than one pair short of 1e-14; a pair is a factor of 8 or more.

In Q the logarithm of 1 - c cancels against dR/db, to psi(s) - psi(b) where a is small: `reaches`
keeps the loss below a factor of about 30.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.pathwise.left import Left

SingleArray: TypeAlias = NDArray[np.float32]
BLOCK = 10_240
MOST = 28
"""Pairs beyond which the integral over the tail is quicker."""
_LOSS = 3.0
_AT_ONCE = 1e-13
"""The size of c and of v/a below which no pair is needed."""
_TINY, _HUGE = 1e-37, 1e37
"""The range of single precision, in which pairs are counted."""


def reaches(c: FloatArray, a: FloatArray, b: FloatArray) -> BoolArray:
    """Tell where little is lost in Q."""
    reached: BoolArray = c * b * b <= _LOSS * a * (1 + b)
    return reached


def pairs(c: FloatArray, v: FloatArray, a: FloatArray) -> SingleArray:
    """Count the pairs of levels that a draw needs, as a number to be rounded down."""
    at_mode = v / np.maximum(a, 1.0)
    spread = np.minimum(v - 0.8 * a * c, _HUGE)
    return _pairs(*(z.astype(np.float32) for z in (c, a, at_mode, spread)))


def _pairs(c: SingleArray, a: SingleArray, x: SingleArray, spread: SingleArray) -> SingleArray:
    """Add the larger of those for x = v/a and those for c, and those for the mode; in place."""
    np.maximum(x, c, out=x)
    some = x > _AT_ONCE
    c += _TINY
    rate = 1 - c
    np.sqrt(rate, out=rate)
    rate += 1
    rate *= rate
    rate /= c
    np.log(rate, out=rate)
    a *= 0.03
    a += 1
    rate *= a
    from_end = np.divide(20.2, rate, out=rate)
    np.sqrt(np.abs(spread, out=spread), out=spread)
    near = 2.83 * spread
    near -= 3.0
    np.maximum(near, 0.0, out=near)
    spread *= -0.43
    spread *= 1 - x
    np.minimum(spread, 1.0, out=spread)
    near *= np.exp(spread, out=spread)
    np.sqrt(x, out=x)
    np.sqrt(x, out=x)
    x *= 6.3
    x += 1.9
    count = np.maximum(x, from_end, out=x)
    count += near
    count *= some
    return count


def derivatives(draws: Left, counts: NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
    """Return P and Q of draws in the order of their numbers of pairs."""
    _, c, v, a, b, s, *_ = draws
    up, rise = draws.digammas()
    t, t_a, t_b = _down(draws, counts)
    over = 1 / (t - v)
    r, once = t * over, 1 / s
    over *= over
    up += once
    up *= r
    t *= c
    t_a *= v
    np.subtract(t, t_a, out=t_a)
    t_a *= over
    up -= t_a
    up /= a
    once *= a / b
    rise += once
    rise += np.log1p(-c)
    rise *= r
    t_b *= v
    t -= t_b
    t *= over
    rise += t
    rise /= -a
    return up, rise


def _down(draws: Left, counts: NDArray[np.integer]) -> list[FloatArray]:
    """Return t_1 and its derivatives by a and by b; draws with fewer pairs of levels join later."""
    _, c, v, a, b, *_ = draws
    most, part = int(counts[-1]), 8 * (a.size // 64) or a.size
    joining = np.searchsorted(counts, np.arange(1, most + 1)) // part * part
    first = np.empty_like(a)
    first[:] = 0.5
    for m, start in enumerate(joining.tolist(), 1):
        first[start:] = m
    rows = [a + 2 * first, np.ones_like(a), np.zeros_like(a), b * c, c * first, a, v, c]
    rows += [np.empty_like(a) for _ in range(3)]
    start, now = 0, rows
    for m in range(most, 0, -1):
        if m == most or joining[m - 1] != start:
            start = joining[m - 1]
            now = [x[start:] for x in rows]
        _pair(m, *now)
    rows[2] *= c
    return rows[:3]


def _pair(
    m: int,
    t: FloatArray,
    t_a: FloatArray,
    t_b: FloatArray,
    b_c: FloatArray,
    c_m: FloatArray,
    a: FloatArray,
    v: FloatArray,
    c: FloatArray,
    q: FloatArray,
    r: FloatArray,
    p: FloatArray,
) -> None:
    """Go down in place from t_2m to t_{2m-2}, or for m = 1 to t_1."""
    inverse = np.divide(1.0, t, out=t)
    np.subtract(b_c, c_m, out=q)
    q *= m
    q *= inverse
    t_b *= q
    np.subtract(m, t_b, out=t_b)
    t_b *= inverse
    inverse *= q
    t_a *= inverse
    np.subtract(1.0, t_a, out=t_a)
    np.add(a, 2.0 * m - 1, out=t)
    t += q
    if m == 1:
        return
    inverse = np.divide(1.0, t, out=t)
    c_m -= c
    np.add(v, c_m, out=r)
    r *= inverse
    np.add(a, m - 1.0, out=p)
    np.multiply(p, r, out=q)
    p *= inverse
    inverse *= q
    t_b *= inverse
    t_b -= p
    p *= c
    r += p
    t_a *= inverse
    t_a -= r
    t_a += 1.0
    np.add(a, 2.0 * m - 2, out=t)
    t -= q
