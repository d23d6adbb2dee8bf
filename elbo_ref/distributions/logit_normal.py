r"""`LogitNormal`: c = sigma(y) with y normal. Its expectations have no closed form.

With y ~ N(l, s^2), c0 = sigma(l) and y = l + s z, what a guide needs of it are

    g = log c0 - E log c = E softplus(-y) - softplus(-l) = log(1 - c0) - E log(1 - c) >= 0

(the two gaps are one, as log(1 - c) = log c - y), E c, and E c (1 - c), which is dE c/dl and, by
Stein's identity E z h(y) = s E h'(y), gives all derivatives by s too.

**The rule** is the trapezoidal one, which converges exponentially for these integrands: they are
analytic but for sigma's poles at y = +-i pi, so that steps of h in y leave exp(-2 pi^2/h), and the
normal density alone leaves exp(-2 pi^2 s^2/h^2). Up to s = 4 it runs over |z| <= 9, on differences
to the value at l, which keep their digits however small s is. Gauss-Hermite nodes of a fixed number
cannot serve: for s = 4 the poles are at z = +-0.8 i.

**Beyond s = 4** a smooth step and a smooth ramp with known expectations are taken off first,

    E Phi(y/t) = Phi(l/r),    E [y Phi(y/t) + t phi(y/t)] = l Phi(l/r) + r phi(l/r),

with r^2 = s^2 + t^2. What is left of c and of softplus falls like e^-|y|, so that |y| <= 40 holds
it, whatever s.

Sources: L. N. Trefethen & J. A. C. Weideman, "The exponentially convergent trapezoidal rule", SIAM
Review 56 (2014) 385, theorem 5.1; J. Aitchison & S. M. Shen, Biometrika 67 (1980) 261, for the
distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import special as sc

from elbo_ref._validation.arguments import (
    FloatArray,
    finite,
    float_in,
    float_inside,
    plain,
    probability,
    underflow_is_zero,
)
from elbo_ref._validation.indexes import check_same_index
from elbo_ref.distributions.base import Center, Distribution, Interval, Source, logit_center
from elbo_ref.distributions.quadrature import mean_square, over_normal

SCALE_RANGE = 1e-100, 1e100
_WIDE = 4.0
_REACH = 9.0
_STEPS, _BLOCK = 160, 256
"""Nodes of the quadrature for a variance, and of how many entries at once."""
_FAR = 38.0
"""Beyond it a standard normal density counts as 0."""
_HALF_LOG_2PI = 0.9189385332046727
_HALF_LOG_2PI_E = _HALF_LOG_2PI + 0.5


def _trapezoid(reach: float, nodes: int) -> tuple[FloatArray, FloatArray]:
    """Make a rule in z on [-reach, reach], and its weights under the standard normal."""
    z = np.linspace(-reach, reach, nodes)
    weights = np.exp(-z * z / 2)
    return z, weights / weights.sum()


_NARROW_RULES = [(1.0, *_trapezoid(_REACH, 47)), (_WIDE, *_trapezoid(_REACH, 185))]
"""Up to which scale a rule serves."""
_Y = np.linspace(-40.0, 40.0, 201)
_STEP, _SOFT = 0.4, 1.7
_RAMP_REST = np.logaddexp(0, _Y) - (
    _Y * sc.ndtr(_Y / _SOFT) + _SOFT * np.exp(-((_Y / _SOFT) ** 2) / 2 - _HALF_LOG_2PI)
)
_STEP_REST = sc.expit(_Y) - sc.ndtr(_Y / _SOFT)
_SLOPE = sc.expit(_Y) * sc.expit(-_Y)


class Derivatives(NamedTuple):
    """E c, E (1 - c), and E of the first, second and third derivative of sigma at y.

    With dE h/dl = E h' and dE h/ds = s E h'' they are all that a Newton step by l and s needs.
    """

    c: FloatArray
    rest: FloatArray
    slope: FloatArray
    second: FloatArray
    third: FloatArray


def gap(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return the gap g of the module's opening, to 1e-13 or so, for arrays of one shape."""
    return np.asarray(_by_rules(1, _narrow_gap, _wide_gap, loc, scale)[0])


def derivatives(loc: FloatArray, scale: FloatArray) -> Derivatives:
    """Return expectations, the first three to 1e-13 or so, the last two to 1e-13 of a quarter."""
    return Derivatives(*_by_rules(5, _narrow_derivatives, _wide_derivatives, loc, scale))


_Rule: TypeAlias = Callable[..., FloatArray]


def _by_rules(
    rows: int, narrow: _Rule, wide: _Rule, loc: FloatArray, scale: FloatArray
) -> FloatArray:
    """Evaluate rows of expectations, each entry by the rule that serves its scale, in blocks."""
    shape = np.broadcast_shapes(loc.shape, scale.shape)
    flat_loc, flat_scale = (np.broadcast_to(x, shape).ravel() for x in (loc, scale))
    values = np.empty((rows, flat_loc.size))
    rules: list[_Rule] = [partial(narrow, z=z, weights=weights) for _, z, weights in _NARROW_RULES]
    which = np.searchsorted([highest for highest, *_ in _NARROW_RULES], flat_scale)
    for i, evaluate in enumerate((*rules, wide)):
        chosen = np.flatnonzero(which == i)
        for start in range(0, chosen.size, _BLOCK):
            some = chosen[start : start + _BLOCK]
            values[:, some] = evaluate(flat_loc[some], flat_scale[some])
    return values.reshape(rows, *shape)


def _narrow_gap(
    loc: FloatArray, scale: FloatArray, z: FloatArray, weights: FloatArray
) -> FloatArray:
    away = z[:, None] * scale  # as likely to one side of loc as to the other
    return np.asarray(weights @ np.log1p(sc.expit(-np.abs(loc)) * np.expm1(away)))


def _narrow_derivatives(
    loc: FloatArray, scale: FloatArray, z: FloatArray, weights: FloatArray
) -> FloatArray:
    c, rest = _sigma(loc + z[:, None] * scale)
    return np.array([weights @ x for x in (c, rest, *_derivatives(c, rest))])


def _sigma(y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return c and 1 - c by one exponential."""
    small = np.exp(-np.abs(y))
    large = 1 / (1 + small)
    small *= large
    up = y >= 0
    return np.where(up, large, small), np.where(up, small, large)


def _derivatives(c: FloatArray, rest: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the first three derivatives of sigma."""
    slope = c * rest
    return slope, slope * (rest - c), slope * (1 - 6 * slope)


def _wide_gap(loc: FloatArray, scale: FloatArray) -> FloatArray:
    r = np.hypot(scale, _SOFT)
    u = loc / r
    ramp = loc * sc.ndtr(u) + r * _normal_density(u)
    rest: FloatArray = _RAMP_REST @ _wide_weights(loc, scale)
    return np.maximum(ramp + rest - np.logaddexp(0, loc), 0.0)


def _wide_derivatives(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Take the last two, by Stein's identity, as E sigma' z/s and E sigma' (z^2 - 1)/s^2.

    These do not cancel where the density hardly changes over a unit of y.
    """
    weights, u = _wide_weights(loc, scale), loc / np.hypot(scale, _SOFT)
    step, z = _STEP_REST @ weights, np.clip((_Y[:, None] - loc) / scale, -_FAR, _FAR)
    slopes = _SLOPE[:, None] * weights
    first, second, third = ((slopes * x).sum(axis=0) for x in (1.0, z, z * z - 1))
    c, rest = sc.ndtr(u) + step, sc.ndtr(-u) - step
    return np.array((c, rest, first, second / scale, third / scale**2))


def _wide_weights(loc: FloatArray, scale: FloatArray) -> FloatArray:
    return _normal_density((_Y[:, None] - loc) / scale) * (_STEP / scale)


def _normal_density(z: FloatArray) -> FloatArray:
    """Return the standard normal density, as good as 0 from `_FAR` on: no square overflows."""
    density: FloatArray = np.exp(-(np.clip(z, -_FAR, _FAR) ** 2) / 2 - _HALF_LOG_2PI)
    return density


class LogitNormalSource(Source):
    """The family of logit-normal distributions; the rows of `x` are loc and scale.

    z, the standardised logit, does not move with them.
    """

    names = ("loc", "scale")
    has_exponents = False

    def center(self, x: FloatArray) -> Center:
        """Return sigma(loc), where the two gaps are equal."""
        loc, scale = x
        return logit_center(loc, gap(loc, scale), self.log_normalizer(x))

    def log_normalizer(self, x: FloatArray) -> FloatArray:
        """Return the entropy of the logit."""
        entropy: FloatArray = np.log(x[1]) + _HALF_LOG_2PI_E
        return entropy

    def expected_logs(self, x: FloatArray) -> FloatArray:
        """Return log sigma(loc) and log sigma(-loc), less the gap."""
        loc, scale = x
        logs: FloatArray = np.array((sc.log_expit(loc), sc.log_expit(-loc)))
        return logs - gap(loc, scale)

    def pull_back(self, tilt: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Differentiate by quadrature and Stein's identity; return the logarithms too."""
        around = derivatives(x[0], x[1])
        by_loc = tilt[0] * around.rest - tilt[1] * around.c
        slopes: FloatArray = np.array((by_loc, -x[1] * (tilt[0] + tilt[1]) * around.slope))
        return slopes, self.expected_logs(x)

    def variance(self, tilt: FloatArray, x: FloatArray, weight: float = 0.0) -> FloatArray:
        """Return the variance by a quadrature of differences to the value at loc, in blocks."""
        arrays = np.broadcast_arrays(x[0], x[1], tilt[0], tilt[1])
        columns = np.array([array.ravel() for array in arrays])
        variances = np.empty(columns.shape[1])
        for start in range(0, variances.size, _BLOCK):
            some = slice(start, start + _BLOCK)
            loc, scale, up, down = columns[:, some]
            rule = over_normal(loc, scale, _STEPS)
            weights, (log_c, log_rest) = np.exp(rule.log_weights), rule.log_ratios()
            form = up * log_c + down * log_rest + weight / 2 * (rule.away / scale) ** 2
            variances[some] = mean_square(weights, form - (weights * form).sum(axis=0))
        return variances.reshape(arrays[0].shape)

    def sample_logits(
        self, x: FloatArray, shape: tuple[int, ...], rng: np.random.Generator
    ) -> FloatArray:
        """Draw loc + scale z."""
        logits: FloatArray = x[0] + x[1] * rng.standard_normal(shape)
        return logits

    def pathwise(self, logit: FloatArray, x: FloatArray) -> FloatArray:
        """Return 1 and z."""
        return np.array((np.ones_like(logit), (logit - x[0]) / x[1]))

    def score(self, logit: FloatArray, _logs: FloatArray, x: FloatArray) -> FloatArray:
        """Return z/s and (z^2 - 1)/s.

        That is (0, 1/s) less than the derivative of the residual through the draw, (z, z^2)/s.
        """
        z = (logit - x[0]) / x[1]
        slopes: FloatArray = np.array((z, z * z - 1)) / x[1]
        return slopes

    def residual(self, logit: FloatArray, x: FloatArray) -> FloatArray:
        """Return (z^2 - 1)/2."""
        excess: FloatArray = ((logit - x[0]) / x[1]) ** 2 / 2 - 0.5
        return excess

    def residual_gradient(self, x: FloatArray) -> FloatArray:
        """Return (0, 1/s), the gradient of the entropy."""
        return np.array((np.zeros_like(x[0]), 1 / x[1]))


LOGIT_NORMAL = LogitNormalSource()


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class LogitNormal(Distribution):
    """The distribution of c = 1/(1 + exp(-y)) with y normal, or an array of them.

    Pyro's ``AutoNormal`` and ``AutoLaplaceApproximation`` fit it to a latent in (0, 1).

    Parameters
    ----------
    loc : array_like
        Mean of the logit; finite.
    scale : array_like
        Standard deviation of the logit; in [1e-100, 1e100]. Broadcasts against `loc`.

    Raises
    ------
    ValueError, TypeError
        If one is out of range or not real, or the shapes do not broadcast.

    Examples
    --------
    >>> q = LogitNormal(0.0, 2.0)
    >>> round(q.mean, 12), round(q.variance, 6)
    (0.5, 0.098574)
    >>> lower, upper = q.interval(0.95)
    >>> round(lower, 6), round(upper, 6)
    (0.019456, 0.980544)
    """

    loc: float | FloatArray
    scale: float | FloatArray

    _names = ("loc", "scale")
    _source = LOGIT_NORMAL

    def __post_init__(self) -> None:
        check_same_index(loc=self.loc, scale=self.scale)
        loc = finite("loc", self.loc)
        scale = float_in("scale", self.scale, *SCALE_RANGE)
        self._hold(loc, scale)

    @property
    def mean(self) -> float | FloatArray:
        """The mean of c, E c."""
        return plain(derivatives(*self.arrays()).c)

    @property
    def variance(self) -> float | FloatArray:
        """Var c; not to full relative precision where it is below 1e-14."""
        expected = derivatives(*self.arrays())
        return plain(np.maximum(expected.c * expected.rest - expected.slope, 0.0))

    def log_prob(self, c: ArrayLike) -> float | FloatArray:
        """Return the log density at c inside (0, 1), with respect to c.

        Parameters
        ----------
        c : array_like
            Broadcasts against the shape of the distribution.

        Returns
        -------
        float or ndarray

        Raises
        ------
        ValueError
            If some c is not inside (0, 1).

        Examples
        --------
        >>> round(LogitNormal(0.0, 1.0).log_prob(0.5), 12)
        0.467355827915
        """
        c = float_inside("c", c)
        loc, scale = self.arrays()
        z = (sc.logit(c) - loc) / scale
        with np.errstate(over="ignore"):
            log_normal = -z * z / 2 - np.log(scale) - _HALF_LOG_2PI
        return plain(log_normal - np.log(c) - np.log1p(-c))

    def interval(self, prob: float) -> Interval:
        """Return the equal-tailed interval that holds c with probability `prob`.

        Parameters
        ----------
        prob : float
            Strictly between 0 and 1.

        Returns
        -------
        Interval
        """
        prob = probability("prob", prob)
        loc, scale = self.arrays()
        away = scale * sc.ndtri((1 + prob) / 2)
        return Interval(plain(sc.expit(loc - away)), plain(sc.expit(loc + away)))
