"""The parameters of a source at which the exact objective is highest, under one prior.

With *exponents* (A', D') of c and 1 - c in everything but the source's own density, the objective
of one latent is E[A' log c + D' log(1 - c)] plus the entropy of the logit, and

* a Beta source is best at the concentrations A' and D': the posterior's (E2);
* a point is best at logit c = log(A'/D'), the one zero of the slope;
* a logit-normal source has no closed form. Its objective is concave in l and s, so that the
  optimum is unique; with T = A' + D' it has E c = A'/T and s^2 = 1/(T E c (1 - c)).

nan stands where nothing attains the supremum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.base import Source
from elbo_ref.distributions.beta_source import BetaSource
from elbo_ref.distributions.logit_normal import LogitNormal, LogitNormalSource, derivatives
from elbo_ref.distributions.point import PointSource
from elbo_ref.special import trigamma


def best_parameters(source: Source, exponents: FloatArray) -> FloatArray:
    """Return the best parameters (k, G) of a source for the exponents (2, G) of each entry."""
    return next(best for kind, best in _OPTIMA.items() if isinstance(source, kind))(exponents)


def _best_beta(exponents: FloatArray) -> FloatArray:
    inside = (exponents > 0).all(axis=0)
    return exponents if inside.all() else np.where(inside, exponents, np.nan)


def _best_point(exponents: FloatArray) -> FloatArray:
    up, down = exponents
    inside = (up > 0) & (down > 0)
    ratio = np.divide(up, down, where=inside, out=np.ones_like(up))
    flat = (up == 0) & (down == 0)
    return np.where(inside | flat, np.log(ratio), np.nan)[None]


def _best_logit_normal(exponents: FloatArray) -> FloatArray:
    best = np.full(exponents.shape, np.nan)
    inside = (exponents > 0).all(axis=0)
    best[:, inside] = normal_optimum(*exponents[:, inside]).arrays()
    return best


def normal_optimum(up: FloatArray, down: FloatArray) -> LogitNormal:
    """Return the best logit-normal for the exponents A' and D' > 0 of each entry.

    By Newton's method, from the moments of the logit of a Beta(A', D'); a step is halved until the
    slope along it is smaller than before.
    """
    exponents = np.array((up, down))
    x = np.array((sc.psi(up) - sc.psi(down), np.sqrt(trigamma(up) + trigamma(down))))
    moving = np.arange(len(up))
    here = Derivatives.at(exponents, x)
    for _ in range(100):
        step = here.newton_step(x[1, moving])
        # after a step below 1e-7 the next would be below 1e-14
        last = np.abs(step).sum(axis=0) < 1e-7 * x[1, moving]
        x[:, moving[last]] += step[:, last]
        moving, step = moving[~last], step[:, ~last]
        if not moving.size:
            break
        here = Derivatives(here.gradient[:, ~last], here.hessian[:, ~last])
        here, step = _halved(exponents[:, moving], x[:, moving], here, step)
        x[:, moving] += step
    return LogitNormal(*x)


_FALLEN = 0.9
"""The share of the slope along a step that may be left after it, downhill."""


class Derivatives(NamedTuple):
    """Gradient (2, n) and second derivatives (3, n) of each entry's objective, by l and s."""

    gradient: FloatArray
    hessian: FloatArray

    @classmethod
    def at(cls, exponents: FloatArray, x: FloatArray) -> Derivatives:
        """Evaluate at loc and scale."""
        (up, down), (loc, scale) = exponents, x
        total, sigma = up + down, derivatives(loc, scale)
        gradient = (up * sigma.rest - down * sigma.c, 1 / scale - scale * total * sigma.slope)
        hessian = (
            -total * sigma.slope,
            -total * scale * sigma.second,
            -total * (sigma.slope + scale**2 * sigma.third) - 1 / scale**2,
        )
        return cls(np.array(gradient), np.array(hessian))

    def newton_step(self, scale: FloatArray) -> FloatArray:
        """Return Newton's step, so cut that a scale keeps a tenth of itself."""
        (g1, g2), (h11, h12, h22) = self.gradient * scale, self.hessian * scale**2
        determinant = np.maximum(h11 * h22 - h12 * h12, 1e-6 * h11 * h22)
        step: FloatArray = -np.array((h22 * g1 - h12 * g2, h11 * g2 - h12 * g1)) / determinant
        step *= np.minimum(1.0, 0.9 / np.maximum(-step[1], 1e-300)) * scale
        return step


def _halved(
    exponents: FloatArray, x: FloatArray, here: Derivatives, step: FloatArray
) -> tuple[Derivatives, FloatArray]:
    """Halve steps until the slope along them is no larger than before; return what is there."""
    there = Derivatives.at(exponents, x + step)
    before = (here.gradient * step).sum(axis=0)
    for _ in range(40):
        after = (there.gradient * step).sum(axis=0)
        least = 1e-13 * (np.abs(there.gradient * step).sum(axis=0) + 1)
        steep = np.flatnonzero(-after > _FALLEN * before + least)
        if not steep.size:
            break
        step[:, steep] /= 2
        before[steep] /= 2
        nearer = Derivatives.at(exponents[:, steep], (x + step)[:, steep])
        there.gradient[:, steep], there.hessian[:, steep] = nearer
    return there, step


_OPTIMA: dict[type, Callable[[FloatArray], FloatArray]] = {
    BetaSource: _best_beta,
    PointSource: _best_point,
    LogitNormalSource: _best_logit_normal,
}
