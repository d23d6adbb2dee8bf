"""The distribution function of a Beta, for concentrations of any size.

SciPy's is used where one of them is below 1e8. Beyond, where releases of SciPy lose digits or
return nan, it is the first two terms of the expansion that is uniform in c: with s = a + b,
m = a/s, d = (c - m) sqrt[s/(m (1 - m))] and z^2/2 the deviance of (a, b) from (s c, s (1 - c)), z
of the sign of d,

    I_c(a, b) = Phi(z) + phi(z) (1/z - 1/d),

in which 1/z - 1/d -> (b - a)/(3 sqrt(a b s)) at z = 0. What is left out is of the order of
min(a, b)^(-3/2).

Sources: Temme, SIAM J. Math. Anal. 13 (1982) 239; NIST DLMF 8.18(ii).
"""

from __future__ import annotations

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.special.arithmetic import cross_difference, deviance

_LARGE = 1e8
_NEAR = 0.05
"""1 - c below which it is exact, not c."""
_SMALL = 1e-3
"""A probability below which one minus that of the complement loses digits."""
_CENTRE = 3e-3
"""abs(z) below which 1/z - 1/d is its limit."""


def beta_share(a: FloatArray, b: FloatArray, c: FloatArray, rest: FloatArray) -> FloatArray:
    """Compute I_c(a, b), the probability of Beta(a, b) below c; rest = 1 - c.

    Examples
    --------
    >>> beta_share(*np.array([2.0, 1.0, 0.5, 0.5])).item()
    0.25
    >>> round(beta_share(*np.array([3e17, 7e17, 0.3, 0.7])).item(), 6)
    0.5
    """
    a, b, c, rest = np.broadcast_arrays(a, b, c, rest)
    share: FloatArray = np.empty(a.shape)
    large, near = np.minimum(a, b) > _LARGE, rest < _NEAR
    some = large.any()
    if not some and not near.any():
        return np.asarray(sc.betainc(a, b, c))
    sc.betainc(a, b, c, out=share, where=~(large | near))
    near &= ~large
    share[near] = 1 - sc.betainc(b[near], a[near], rest[near])
    near &= share < _SMALL
    sc.betaincc(b, a, rest, out=share, where=near)  # ten times slower
    if some:
        share[large] = _large(a[large], b[large], c[large], rest[large])
    return share


def _large(a: FloatArray, b: FloatArray, c: FloatArray, rest: FloatArray) -> FloatArray:
    s = a + b
    away = cross_difference(c, b, rest, a)
    with np.errstate(over="ignore"):  # infinite, where c is 0 to a float
        square = deviance(a, s * c, -away) + deviance(b, s * rest, away)
    z, d = np.sign(away) * np.sqrt(2 * square), away / np.sqrt(a * (b / s))
    centre = np.abs(z) < _CENTRE
    limit = (b - a) / (3 * np.sqrt(a * (b / s)) * s)
    gap = np.where(centre, limit, 1 / np.where(centre, 1.0, z) - 1 / np.where(centre, 1.0, d))
    share = sc.ndtr(z) + np.exp(-square) * gap / np.sqrt(2 * np.pi)
    return np.asarray(np.clip(share, 0.0, 1.0))  # far out the second term may be the larger one
