r"""How a Beta draw moves when a concentration moves, to machine precision.

Write a = concentration1, b = concentration0. A draw c of Beta(a, b) is held as its logit y, whose
distribution function F and density f are

    F(y) = I_c(a, b),     f(y) = c^a (1 - c)^b / B(a, b),     c = sigma(y) = 1/(1 + e^-y).

A draw keeps its quantile while the concentrations move: F(y; a, b) = u with u fixed gives

    dy/da = -(dF/da) / f > 0,          dy/db = -(dF/db) / f < 0.                              (E6)

**Reflection.** 1 - c is a draw of Beta(b, a), so dy/db (y; a, b) = -dy/da (-y; b, a). The density
of y is log-concave with its mode at log(a/b), and reflection brings every draw below it:
y <= log(a/b), that is c <= a/(a + b), from here on. The lower tail is then the only tail.

**Tail integrals.** With d log f/da = log c - E, E = psi(a) - psi(a + b), and t = sigma(y - d),

    dy/da = int_0^inf (E - log t) e^-h dd,        e^-h = f(y - d) / f(y),                      (1)
    dy/db = int_0^inf (E' - log(1 - t)) e^-h dd,  E' = psi(b) - psi(a + b),

or the same over the upper tail with the opposite sign. Close to the mode the first integrand
changes sign, and for a << 1 it has two scales, 1 and 1/a. One step up in a cures both.

**One step up.** I_c(a, b) = I_c(a + 1, b) + f/a, differentiated, gives for P = dy/da, Q = dy/db

    P(a, b) = [psi(a + 1) - psi(a + b) - log c] / a + c (a + b)/a P(a + 1, b),                 (2)
    Q(a, b) = [psi(b) - psi(a + b) - log(1 - c)] / a + c (a + b)/a Q(a + 1, b).

The brackets are the whole answer far below the mode: there P is linear in y and Q is constant.
P and Q at (a + 1, b) are the integrals (1). At or below the mode of (a, b) every term and every
integrand in (2) has the sign of the result, so nothing cancels: psi(x + 1) - log x > 0 > psi(x) -
log x, the first falling and the second rising in x, settle each case. And h is convex with slope at
least b/(a + b) at d = 0 and a + 1 >= 1 far out, so one Gauss-Legendre rule on two panels, which end
where h is about 1.5 and about 38, serves the whole plane.

**Exponent and panels.** With u = log(c/t) and l = log((1 - t)/(1 - c)), so that d = u + l,

    h = (a + 1) u - b l,      u = log(1 + (1 - c)(e^d - 1)),      l = -log(1 - c (1 - e^-d)).

Of u and l the one with the smaller factor, 1 - c or c, is formed, and the other is the rest of d.
In terms of u, l = log(1 + e^y (1 - e^-u)) and h is convex with a concave slope, so a quadratic
start and one Newton step find the panel ends well enough.

**Accuracy**: the largest relative error of either derivative, measured against mpmath.

    both concentrations in [1e-3, 1e4], any logit        5e-14
    both in [1e-12, 1e8]                                 5e-12
    both in [1e-12, 1e15]                                1e-8

What is left is the rounding of (a + 1) u against b l, about 1e-16 min(a, b)^(1/2). That grows on
beyond 1e15, and near min(a, b) = 1e28 no digit is left; up to 1e15 signs are right and nothing
overflows that could be represented.

Sources: M. Figurnov, S. Mohamed & A. Mnih, "Implicit Reparameterization Gradients" (2018), section
3, for (E6); M. Jankowiak & F. Obermeyer, "Pathwise Derivatives Beyond the Reparameterization Trick"
(2018), who approximate the same derivative for PyTorch; NIST DLMF 8.17.20 for the step. The
integrals (1), the differentiated step (2) and the rule are worked out here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special as sc

from elbo_ref.arguments import FloatArray, float_array, require
from elbo_ref.special import digamma_difference

_BLOCK = 512


def _two_panels(order: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights on [0, e1] and [e1, e2] as coefficients of e1 and of e2."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    nodes, weights = (1 + nodes) / 2, weights / 2
    zero = np.zeros(order)
    return (
        np.block([[nodes, 1 - nodes], [zero, nodes]]),
        np.block([[weights, -weights], [zero, weights]]),
    )


_NODES, _WEIGHTS = _two_panels(32)
_LEVELS = np.array([1.5, 38.0])


class PathwiseGradient(NamedTuple):
    """Derivatives of the logit of a draw with respect to the two concentrations."""

    concentration1: float | FloatArray
    concentration0: float | FloatArray


def pathwise_gradient(
    logit: ArrayLike, concentration1: ArrayLike, concentration0: ArrayLike
) -> PathwiseGradient:
    """Move the logit of a Beta draw with the concentrations, its quantile held fixed (E6).

    Parameters
    ----------
    logit : float or array_like
        log(c / (1 - c)) of a draw c; any finite value.
    concentration1, concentration0 : float or array_like
        Positive and finite. The three arguments broadcast against each other.

    Returns
    -------
    PathwiseGradient
        `concentration1`, the derivative dlogit/dconcentration1 > 0, and `concentration0`, the
        derivative dlogit/dconcentration0 < 0: floats if every argument is a scalar, else arrays of
        the broadcast shape. Times c (1 - c) they are the derivatives of c itself.

    Raises
    ------
    ValueError
        If a concentration is not positive and finite, a logit is not finite, or the shapes do not
        broadcast.
    TypeError
        If an argument is not made of real numbers.

    Notes
    -----
    The derivative in the sense of Figurnov, Mohamed & Mnih (2018), section 3, on the logit scale.
    `torch.distributions.Beta.rsample` has an approximation of it.

    Examples
    --------
    Under Beta(a, 1) the quantile function is c = u^(1/a), so dlogit/da = -log(c) / (a (1 - c)):

    >>> from elbo_ref.pathwise import pathwise_gradient
    >>> gradient = pathwise_gradient(0.0, concentration1=2.0, concentration0=1.0)
    >>> round(gradient.concentration1, 12)  # log(2)
    0.69314718056
    >>> pathwise_gradient([-1e6, 0.0, 1e6], 2.0, 1.0).concentration1.round(6)
    array([5.00000e+05, 6.93147e-01, 5.00000e-01])
    """
    y = float_array("logit", logit)
    a = float_array("concentration1", concentration1)
    b = float_array("concentration0", concentration0)
    require("logit", y, np.isfinite(y), "is not finite")
    require("concentration1", a, (a > 0) & np.isfinite(a), "is not positive and finite")
    require("concentration0", b, (b > 0) & np.isfinite(b), "is not positive and finite")
    da, db = logit_derivatives(y, a, b)
    if da.ndim == 0:
        return PathwiseGradient(float(da), float(db))
    return PathwiseGradient(da, db)


def logit_derivatives(y: FloatArray, a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """dy/da and dy/db for float64 arrays that broadcast; unchecked, in blocks of bounded memory."""
    shape = np.broadcast(y, a, b).shape
    y = np.broadcast_to(y, shape).reshape(-1, 1)
    shared = a.size == b.size == 1
    pair = np.array([(x if shared else np.broadcast_to(x, shape)).reshape(-1, 1) for x in (a, b)])
    gradient = np.empty((2, y.size, 1))
    with np.errstate(over="ignore"):
        for start in range(0, y.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            gradient[:, block] = _either_side(y[block], pair if shared else pair[:, block])
    da, db = gradient.reshape(2, *shape)
    return da, db


def _either_side(y: FloatArray, pair: FloatArray) -> FloatArray:
    """Both derivatives at a column y, for pair = (a, b) of two columns as long or of length 1."""
    rise = digamma_difference(pair + 1, pair[::-1])
    upper = y > np.log(pair[0]) - np.log(pair[1])
    gradient = _lower_side(
        np.where(upper, -y, y),
        *np.where(upper, pair[::-1], pair),
        *np.where(upper, rise[::-1], rise),
    )
    return np.where(upper, -gradient[::-1], gradient)


def _lower_side(
    y: FloatArray, a: FloatArray, b: FloatArray, rise_a: FloatArray, rise_b: FloatArray
) -> FloatArray:
    """The step (2) for y <= log(a/b), given psi(a+b+1) - psi(a+1) and psi(a+b+1) - psi(b+1)."""
    s = a + b
    p1 = -sc.log_expit(y) - rise_a
    q0 = -sc.log_expit(-y) - rise_b - a / s / b
    mass, mass_u, mass_l = _tail_moments(y, a + 1, b)
    step = sc.expit(y) * s
    p = p1 + 1 / s + step * (p1 * mass + mass_u)
    q = q0 + step * ((q0 - 1 / s) * mass - mass_l)
    return np.array([p, q]) / a


def _tail_moments(
    y: FloatArray, a: FloatArray, b: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The integrals over d > 0 of e^-h, u e^-h and l e^-h for h = a u - b l, a >= 1."""
    ends = _panel_ends(y, a, b)
    first, second = ends[:, :1], ends[:, 1:]
    d = first * _NODES[0] + second * _NODES[1]
    weights = first * _WEIGHTS[0] + second * _WEIGHTS[1]
    right = y > 0
    sign = np.where(right, 1.0, -1.0)
    smaller = np.log1p(sc.expit(-np.abs(y)) * np.expm1(sign * d))
    weights *= np.exp(np.where(right, b, -a) * d - (a + b) * smaller)
    mass = weights.sum(axis=1, keepdims=True)
    mass_smaller = sign * (weights * smaller).sum(axis=1, keepdims=True)
    mass_larger = (weights * d).sum(axis=1, keepdims=True) - mass_smaller
    return (
        mass,
        np.where(right, mass_smaller, mass_larger),
        np.where(right, mass_larger, mass_smaller),
    )


def _panel_ends(y: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """The two d where h = a u - b l is about 1.5 and about 38."""
    odds = np.exp(y)
    drag = b * odds
    slope = a - drag
    u = 2 * _LEVELS / (slope + np.sqrt(slope * slope + 2 * _LEVELS * (drag * (1 + odds))))
    fall = np.expm1(-u)
    rise = -odds * fall
    u += (_LEVELS - a * u + b * np.log1p(rise)) / (a - drag * (1 + fall) / (1 + rise))
    ends: FloatArray = u + np.log1p(-odds * np.expm1(-u))
    return ends
