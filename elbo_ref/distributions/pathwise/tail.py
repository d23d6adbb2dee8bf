r"""The pathwise derivatives as integrals over the lower tail, for y <= log(a/b).

Variation of constants solves (1) of `elbo_ref.distributions.pathwise`: with t = sigma(y - d),
below the mode,

    P = int_0^inf [psi(a) - psi(s) - log t] e^-h dd,          e^-h = f(y - d) / f(y),          (2)
    Q = int_0^inf [psi(b) - psi(s) - log(1 - t)] e^-h dd.

Close to the mode the first integrand changes sign, and for a << 1 it has two scales, 1 and 1/a.
One step up in a cures both.

**One step up.** I_c(a, b) = I_c(a + 1, b) + f/a, differentiated, gives

    P(a, b) = [psi(a + 1) - psi(s) - log c] / a + (s c / a) P(a + 1, b),                       (3)
    Q(a, b) = [psi(b) - psi(s) - log(1 - c)] / a + (s c / a) Q(a + 1, b),

where P and Q at (a + 1, b) are the integrals (2). At or below the mode of (a, b) every term and
every integrand has the sign of the result, so nothing cancels: psi(x + 1) - log x > 0 > psi(x) -
log x, the first falling and the second rising in x, settle each case. And h is convex with slope at
least b/s at d = 0 and a + 1 >= 1 far out.

**Exponent and panel.** With l = log((1 - t)/(1 - c)) and u = log(c/t) = d - l, h = (a + 1) u - b l.
What is formed is log((1 - c)/(1 - t)) = log(1 + c (e^-d - 1)) for a draw below the mode, and with
e^d for one above it: c <= 1/2 is the smaller of c and 1 - c. The panel ends where h is about 37. In
terms of u, l = log(1 + e^y (1 - e^-u)) and h is convex with a concave slope, so a quadratic start
and one Newton step find the end well enough.

**Rule.** Gauss-Legendre in w on [0, 1] with d = e (w + w^2)/2, e the panel's end: between w, which
suits the exponential e^-h of a far tail, and w^2, which would crowd the nodes where the bell near a
mode does not need them. 36 nodes leave 1e-15, but for the plateau of a small b far above the mode,
along which e^-h is flat until it falls at once: there `series` reaches.
"""

from __future__ import annotations

import functools

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.pathwise.left import Left
from elbo_ref.special import gauss_legendre
from elbo_ref.special.arithmetic import blocks, constants

BLOCK, _INNER = 8192, 1024
"""Draws in all, and with their nodes."""
_LEVEL, _TWICE = constants(36.0, 72.0)
_ONE, _MINUS, _LOW, _QUARTER = constants(1.0, -1.0, 0.3, 0.25)


@functools.cache
def _rule(nodes: int) -> FloatArray:
    """Return the rows weights, weights times nodes, and nodes."""
    w, weights = gauss_legendre(nodes)
    d, weights = w * (1 + w) / 2, weights * (1 + 2 * w) / 2
    return np.array((weights, weights * d, d))


def plateau(c: FloatArray, v: FloatArray, a: FloatArray) -> BoolArray:
    """Tell where e^-h is so flat at first that 36 nodes would leave more than 4e-15."""
    flat: BoolArray = a < _LOW
    if np.count_nonzero(flat):
        flat &= v < _LOW
        flat &= v > a
        flat &= c < _QUARTER
    return flat


def derivatives(draws: Left, *, whole: bool = False) -> tuple[FloatArray, FloatArray]:
    """Return P and Q, by (3) below the mode and by its reflection above."""
    y, c, v, a, b, s, *_ = draws
    up, rise = draws.digammas()
    above = v > a
    sign = np.where(above, _ONE, _MINUS)
    last, other = np.where(above, b, a), np.where(above, a, b)
    end = _panel_end(-sign * y, last + _ONE, other)
    signed_end, slope, total = sign * end, a + ~above, s + _ONE
    moments = np.empty((3, y.size))
    rule = _rule(36 if whole else 28)
    for part in blocks(y.size, _INNER):
        found = moments[:, part]
        _integrate(found, rule, signed_end[part], slope[part], c[part], total[part])
    mass, mass_d, mass_ratio = moments[0], moments[1], moments[2]
    once = _ONE / s
    across = last / other * -once
    p, q = np.where(above, across, once), np.where(above, once, across)
    p += up
    q -= rise
    q -= np.log1p(-c)
    one_up, other_up = p - once, q - once
    for integral in (one_up, other_up):
        integral *= mass
        integral += mass_ratio
    one_up -= signed_end * mass_d
    weight, divisor = end * np.where(above, s - v, v), last * -sign
    for row, integral in ((p, one_up), (q, other_up)):
        integral *= weight
        row += integral
        row /= divisor
    return p, q


def _integrate(
    moments: FloatArray,
    rule: FloatArray,
    end: FloatArray,
    slope: FloatArray,
    c: FloatArray,
    total: FloatArray,
) -> None:
    """Integrate e^-h, and e^-h times d and the logarithm of (1 - t)/(1 - c), over [0, end]."""
    column = rule[2][:, None]  # whose products with rows are quickest from BLAS, and as exact
    log_ratio = column.dot(end[None])
    integrand = column.dot((slope * end)[None])
    np.expm1(log_ratio, out=log_ratio)
    log_ratio *= c
    np.log1p(log_ratio, out=log_ratio)
    log_ratio *= total
    integrand -= log_ratio
    np.exp(integrand, out=integrand)
    moments[:2] = rule[:2].dot(integrand)
    integrand *= log_ratio
    moments[2] = rule[0].dot(integrand)
    moments[2] /= total


def _panel_end(y: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Find a d where h = a u - b l is 37 or a little more."""
    odds = np.exp(y)
    drag = b * odds
    slope = a - drag
    u = _TWICE / (slope + np.sqrt(slope * slope + _TWICE * drag * (_ONE + odds)))
    rise = -odds * np.expm1(-u)
    u += (_LEVEL - a * u + b * np.log1p(rise)) / (a - b * (odds - rise) / (_ONE + rise))
    end: FloatArray = u + np.log1p(-odds * np.expm1(-u))
    return end
