"""Latents that may be compared: Betas with common nodes, or their mixture.

Much of a distribution may be closer to 0 than floats are, as of Beta(1e-4, 1). There it is taken at
log c, in which I_c(a, b) = c^a/(a B(a, b)): two latents without successes are no tie.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.estimates.mixture import LatentMixture, Point, log_logit_density
from elbo_ref.special import beta_share

_SMALL_LOG = -600.0
_DEEP = 36.0
"""Minus the logarithm of a density of t that does not count."""
_POINTS, _MOST_POINTS = 257, 10_000
_CLOSE = 1e-7
"""A change of the distribution function at which a table is dense enough."""
_DEGREE = 5
_BLOCK = 500_000


@dataclass(frozen=True)
class Betas:
    """A latent given each node of its prior.

    Attributes
    ----------
    latent : LatentMixture
    """

    latent: LatentMixture

    @property
    def weight(self) -> FloatArray:
        """The weights of the nodes."""
        return self.latent.weight

    @property
    def logit(self) -> FloatArray:
        """The logit of each mean."""
        return np.asarray(np.log(self.latent.concentration1 / self.latent.concentration0))

    @property
    def rates(self) -> tuple[FloatArray, FloatArray]:
        """The two concentrations."""
        return self.latent.concentration1, self.latent.concentration0

    @property
    def mirrored(self) -> Betas:
        """The distributions of 1 - c."""
        return Betas(self.latent.mirrored)

    def at(self, rows: NDArray[np.intp]) -> Betas:
        """Take some of the nodes."""
        return Betas(LatentMixture(*(x[rows] for x in self.latent)))

    def log_density(self, at: Point) -> FloatArray:
        """Compute the log density of logit c, shape (R, T)."""
        a, b, _ = self.latent
        return log_logit_density(a[:, None], b[:, None], at)

    def below(self, at: Point) -> FloatArray:
        """Compute the distribution functions, shape (R, T)."""
        a, b, _ = self.latent
        return _below(a[:, None], b[:, None], at)


@dataclass(frozen=True, eq=False)
class Averaged:
    """A latent, its prior averaged over: in a table over t, logit c = middle + width sinh t.

    Attributes
    ----------
    latent : LatentMixture
    middle, width : float
    t, log_slope, share, rest : float64 ndarray, shape (M,)
        The points, the log density of t, and the probabilities below and above, to about 1e-8.
    """

    latent: LatentMixture
    middle: float
    width: float
    t: FloatArray
    log_slope: FloatArray
    share: FloatArray
    rest: FloatArray

    @classmethod
    def of(cls, latent: LatentMixture) -> Averaged:
        """Tabulate a mixture at points as dense as its distribution function needs."""
        a, b, weight = latent
        mean, rest = (float(weight @ (x / (a + b))) for x in (a, b))
        middle = float(np.log(mean / rest))
        width = min(float(np.sqrt(latent.variance)) / (mean * rest), 1.0)
        away, tilt = np.log(a / b) - middle, (a + b) / 2
        left = np.arcsinh((np.maximum(-away, 0) + _DEEP / a + tilt / b).max() / width)
        right = np.arcsinh((np.maximum(away, 0) + _DEEP / b + tilt / a).max() / width)
        t = np.linspace(-left, right, _POINTS)
        inside = np.flatnonzero(_log_slope(latent, middle, width, t) > -_DEEP)
        ends = t[max(inside[0] - 1, 0)], t[min(inside[-1] + 1, t.size - 1)]
        t = np.linspace(*ends, _POINTS)
        log_slope, change = _log_slope(latent, middle, width, t), np.inf
        share = _integral(t, np.exp(log_slope))
        while change > _CLOSE and t.size < _MOST_POINTS:
            between = (t[1:] + t[:-1]) / 2
            places, added = np.arange(1, t.size), _log_slope(latent, middle, width, between)
            t, log_slope = np.insert(t, places, between), np.insert(log_slope, places, added)
            before, share = share, _integral(t, np.exp(log_slope))
            change = np.abs(share[::2] - before).max()
        rest_of_it = _integral(-t[::-1], np.exp(log_slope[::-1]))[::-1]
        return cls(latent, middle, width, t, log_slope, share / share[-1], rest_of_it / share[-1])

    @property
    def weight(self) -> FloatArray:
        """That of the one node."""
        return np.ones(1)

    @property
    def logit(self) -> FloatArray:
        """The logit of the mean."""
        return np.array([self.middle])

    @property
    def rates(self) -> tuple[FloatArray, FloatArray]:
        """The least of the two concentrations."""
        a, b, _ = self.latent
        return np.array([a.min()]), np.array([b.min()])

    @property
    def mirrored(self) -> Averaged:
        """The distribution of 1 - c."""
        columns = -self.t, self.log_slope, self.rest, self.share
        return Averaged(self.latent.mirrored, -self.middle, self.width, *(x[::-1] for x in columns))

    def at(self, rows: NDArray[np.intp]) -> Averaged:  # noqa: ARG002
        """Take the one node."""
        return self

    def log_density(self, at: Point) -> FloatArray:
        """Compute the log density of logit c, shape (1, T)."""
        t = self._t(at)
        inside = (t >= self.t[0]) & (t <= self.t[-1])
        log = self._splines[0](np.clip(t, self.t[0], self.t[-1]))
        with np.errstate(over="ignore"):
            found = np.where(inside, log - np.log(self.width * np.cosh(t)), -np.inf)
        return np.asarray(found, np.float64)

    def below(self, at: Point) -> FloatArray:
        """Compute the distribution function, shape (1, T)."""
        t = np.clip(self._t(at), self.t[0], self.t[-1])
        return np.asarray(np.clip(self._splines[1](t), 0.0, 1.0))

    def _t(self, at: Point) -> FloatArray:
        return np.asarray(np.arcsinh((at.log_c - at.log_rest - self.middle) / self.width))

    @cached_property
    def _splines(self) -> tuple[Any, Any]:
        """Those of log density and distribution function."""
        spline = import_module("scipy.interpolate").make_interp_spline
        slope, share = (spline(self.t, x, _DEGREE) for x in (self.log_slope, self.share))
        return slope, share


def _log_slope(latent: LatentMixture, middle: float, width: float, t: FloatArray) -> FloatArray:
    """Compute the log density of t."""
    a, b, weight = latent
    log = np.empty(t.size)
    length = max(1, _BLOCK // a.size)
    for start in range(0, t.size, length):
        part = slice(start, start + length)
        w = middle + width * np.sinh(t[part, None])
        at = Point(sc.expit(w), sc.expit(-w), sc.log_expit(w), sc.log_expit(-w))
        log[part] = sc.logsumexp(log_logit_density(a, b, at), b=weight, axis=1)
    return log + np.log(width * np.cosh(t))


def _integral(t: FloatArray, slope: FloatArray) -> FloatArray:
    """Integrate from the first point to each."""
    spline = import_module("scipy.interpolate").make_interp_spline(t, slope, _DEGREE)
    return np.asarray(spline.antiderivative()(t) - spline.antiderivative()(t[0]))


def _below(a: FloatArray, b: FloatArray, at: Point) -> FloatArray:
    """Compute I_c(a, b), close to an end of (0, 1) by the distance from it, however small."""
    share = beta_share(a, b, at.c, at.rest)
    if (at.log_c < _SMALL_LOG).any():
        share = np.where(at.log_c < _SMALL_LOG, _tiny(a, b, at.log_c), share)
    if (at.log_rest < _SMALL_LOG).any():
        share = np.where(at.log_rest < _SMALL_LOG, 1 - _tiny(b, a, at.log_rest), share)
    return share


def _tiny(a: FloatArray, b: FloatArray, log_c: FloatArray) -> FloatArray:
    return np.asarray(np.exp(np.minimum(a * log_c - np.log(a) - sc.betaln(a, b), 0.0)))
