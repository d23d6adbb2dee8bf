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

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.base import Source
from elbo_ref.distributions.beta import BetaSource
from elbo_ref.distributions.logit_normal import LogitNormal, LogitNormalSource, derivatives
from elbo_ref.distributions.point import PointSource
from elbo_ref.special import trigamma


def best_parameters(source: Source, exponents: FloatArray) -> FloatArray:
    """The best parameters (k, G) of a source for the exponents (2, G) of each entry."""
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
    """The optimum for the exponents A' and D' > 0 of each entry, by Newton's method.

    The objective A' E log c + D' E log(1 - c) + log s is concave in l and s. A step is halved until
    the slope along it is smaller than before, whichever way. It begins at the moments of the logit
    of a Beta(A', D').
    """
    exponents = np.array((up, down))
    found = np.array((sc.psi(up) - sc.psi(down), np.sqrt(trigamma(up) + trigamma(down))))
    moving = np.arange(len(up))
    here = _Newton.at(exponents, found)
    for _ in range(100):
        step = here.step(found[1, moving])
        # after a step below 1e-7 the next would be below 1e-14
        last = np.abs(step).sum(axis=0) < 1e-7 * found[1, moving]
        found[:, moving[last]] += step[:, last]
        moving, step = moving[~last], step[:, ~last]
        if not moving.size:
            break
        here = _Newton(here.slope[:, ~last], here.bend[:, ~last])
        here, step = _shortened(exponents[:, moving], found[:, moving], here, step)
        found[:, moving] += step
    return LogitNormal(*found)


_FALLEN = 0.9
"""What a step may leave of the slope along it, downhill."""


class _Newton(NamedTuple):
    """Slope (2, n) and second derivatives (3, n) of each entry's objective, by l and s."""

    slope: FloatArray
    bend: FloatArray

    @classmethod
    def at(cls, exponents: FloatArray, place: FloatArray) -> _Newton:
        """At loc and scale."""
        (up, down), (loc, scale) = exponents, place
        total, around = up + down, derivatives(loc, scale)
        slope = (up * around.rest - down * around.c, 1 / scale - scale * total * around.slope)
        bend = (
            -total * around.slope,
            -total * scale * around.second,
            -total * (around.slope + scale**2 * around.third) - 1 / scale**2,
        )
        return cls(np.array(slope), np.array(bend))

    def step(self, scale: FloatArray) -> FloatArray:
        """Newton's, so that a scale keeps a tenth of itself."""
        (g1, g2), (h11, h12, h22) = self.slope * scale, self.bend * scale**2
        determinant = np.maximum(h11 * h22 - h12 * h12, 1e-6 * h11 * h22)
        step: FloatArray = -np.array((h22 * g1 - h12 * g2, h11 * g2 - h12 * g1)) / determinant
        step *= np.minimum(1.0, 0.9 / np.maximum(-step[1], 1e-300)) * scale
        return step


def _shortened(
    exponents: FloatArray, place: FloatArray, here: _Newton, step: FloatArray
) -> tuple[_Newton, FloatArray]:
    """Steps halved until the slope along them is no larger than before; and what is there."""
    there = _Newton.at(exponents, place + step)
    before = (here.slope * step).sum(axis=0)
    for _ in range(40):
        after = (there.slope * step).sum(axis=0)
        least = 1e-13 * (np.abs(there.slope * step).sum(axis=0) + 1)
        steep = np.flatnonzero(-after > _FALLEN * before + least)
        if not steep.size:
            break
        step[:, steep] /= 2
        before[steep] /= 2
        nearer = _Newton.at(exponents[:, steep], (place + step)[:, steep])
        there.slope[:, steep], there.bend[:, steep] = nearer
    return there, step


_OPTIMA = {
    BetaSource: _best_beta,
    PointSource: _best_point,
    LogitNormalSource: _best_logit_normal,
}
