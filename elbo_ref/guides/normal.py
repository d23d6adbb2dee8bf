"""Guides that are normal on the logit: Pyro's ``AutoNormal`` and ``AutoLaplaceApproximation``.

`normal`: y = l + s z with z standard normal. Its density with respect to c is that of y over
c (1 - c), so that with A' = a0 + K and D' = b0 + F

    log p - log q = A' log c + D' log(1 - c) + z^2/2 + log s + log(2 pi)/2 - log B(a0, b0) + logC.

z does not move with l and s, which is why z^2/2 needs no derivative, and the own density of Pyro's
estimate, whose two derivatives cancel draw by draw, counts 0. The entropy gives d/ds log s = 1/s.
The optimum of this ELBO over l and s is unique, the objective being concave in them; its gap to the
evidence is not zero, so that over the prior it is not the evidence that is maximised.

`laplace`: training finds the mode of the density of the *logit*, Jacobian included,
c = A'/(A' + D'); what is reached is the normal with that mode and curvature,
s = 1/sqrt((A' + D') c (1 - c)), which at the mode is sqrt((A' + D')/(A' D')).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, check_fits
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal, derivatives, gap
from elbo_ref.guides.beta_draws import log_moments
from elbo_ref.guides.delta import JointGuide, log_jacobian
from elbo_ref.guides.none import Parameter
from elbo_ref.guides.positive import SOFTPLUS
from elbo_ref.guides.protocol import ANY_REAL, GuideDefaults, bound
from elbo_ref.special import trigamma


class NormalGuide(GuideDefaults):
    """``guide="normal"``, or a `LogitNormal` to start from; ``run.guide`` is one of shape (G,)."""

    name = "normal"
    less = 0.0
    has_score = True
    parameter_names: tuple[str, ...] = ("loc", "scale")
    own_ranges = (ANY_REAL, SOFTPLUS.range)

    def start(self, value: object, size: int) -> FloatArray:
        start = value if isinstance(value, LogitNormal) else LogitNormal(0.0, 0.1)
        check_fits("guide", start.shape, size)
        loc, scale = start.arrays()
        return self.unconstrain(np.array([np.broadcast_to(x, (size,)) for x in (loc, scale)]))

    def constrain(self, unconstrained: FloatArray) -> FloatArray:
        return np.array((unconstrained[0], SOFTPLUS.constrain(unconstrained[1])))

    def unconstrain(self, own: FloatArray) -> FloatArray:
        return np.array((own[0], SOFTPLUS.unconstrain(own[1])))

    def optimum(self, prior: FloatArray, outcomes: FloatArray, weights: FloatArray) -> FloatArray:
        tilt = self.tilt(prior, np.zeros((2, 1)), outcomes)
        best = np.full(tilt.shape, np.nan)
        inside = (tilt > 0).all(axis=0)
        best[:, inside] = normal_optimum(*tilt[:, inside]).arrays()
        return best

    def slope(self, own: FloatArray) -> FloatArray:
        return np.array((np.ones_like(own[0]), SOFTPLUS.slope(own[1])))

    def draw(self, prior: Beta, own: FloatArray) -> LogitNormal:
        return LogitNormal(own[0], own[1])

    def value(self, prior: Beta, own: FloatArray) -> LogitNormal:
        return self.draw(prior, own)

    def without_jacobian(self) -> NormalGuide:
        return _NormalOnC()

    def counted_at_center(self, prior: Beta, draw: LogitNormal) -> Any:
        on_logit = prior.log_prob_of_logit(draw.center_logit()) + draw.entropy_of_logit()
        return on_logit - self.less * log_jacobian(draw.center_logit())

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        return prior + (outcomes - self.less)

    def normalizer(self, prior: Beta, own: FloatArray) -> Any:
        return self.draw(prior, own).entropy_of_logit() - prior.log_normalizer()

    def placed(
        self, center: FloatArray, away: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return away, np.array((np.zeros_like(own[0]), own[1]))

    def residual(self, logit: FloatArray, own: FloatArray) -> FloatArray:
        excess: FloatArray = ((logit - own[0]) / own[1]) ** 2 / 2 - 0.5
        return excess

    def stuck(self, logit: FloatArray, own: FloatArray) -> FloatArray:
        """d(z^2/2)/dy times dy/dl and dy/ds, less the 1/s that `collect` adds."""
        z = (logit - own[0]) / own[1]
        slopes: FloatArray = np.array((z, z * z - 1)) / own[1]
        return slopes

    def score(self, logit: FloatArray, logs: FloatArray, own: FloatArray) -> FloatArray:
        return self.stuck(logit, own)

    def variance(self, draw: LogitNormal, tilt: FloatArray) -> FloatArray:
        return draw.tilt_variance(tilt[0], tilt[1], square=0.5)

    def log_moments(self, prior: FloatArray, own: FloatArray) -> FloatArray:
        logs: FloatArray = np.array((sc.log_expit(own[0]), sc.log_expit(-own[0])))
        return logs - gap(own[0], own[1])

    def pull_back(self, tilt: FloatArray, prior: FloatArray, own: FloatArray) -> FloatArray:
        found = derivatives(own[0], own[1])
        by_loc = tilt[0] * found.rest - tilt[1] * found.c
        source: FloatArray = np.array((by_loc, -own[1] * (tilt[0] + tilt[1]) * found.slope))
        return source

    def sample_logit(
        self, prior: FloatArray, own: FloatArray, shape: tuple[int, int], rng: np.random.Generator
    ) -> FloatArray:
        logits: FloatArray = own[0] + own[1] * rng.standard_normal(shape)
        return logits

    def pathwise(self, logit: FloatArray, prior: FloatArray, own: FloatArray) -> FloatArray:
        return np.array((np.ones_like(logit), (logit - own[0]) / own[1]))

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        by_own = source.copy()
        by_own[..., 1, :] += 1 / own[1]
        return logs - log_moments(prior), by_own


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


class LaplaceGuide(JointGuide):
    """``guide="laplace"``; ``run.guide`` is a `LogitNormal` of shape (G,)."""

    name = "laplace"
    jacobian = 1
    less = 0.0
    _outcomes: FloatArray

    def on(self, outcomes: FloatArray) -> LaplaceGuide:
        return bound(self, outcomes)

    def without_jacobian(self) -> LaplaceGuide:
        return _LaplaceOnC()

    def start(self, value: object, size: int) -> FloatArray:
        if isinstance(value, LogitNormal):
            value = Parameter(logits=value.loc)
        return super().start(value, size)

    def value(self, prior: Beta, own: FloatArray) -> LogitNormal:
        a, b = prior.arrays()
        logits = own[0]
        total = (a + b)[..., None] if a.ndim else a + b
        curvature = (total + self._outcomes.sum(axis=0)) * sc.expit(logits) * sc.expit(-logits)
        return LogitNormal(logits, 1 / np.sqrt(np.maximum(curvature, 1e-200)))


class _NormalOnC(NormalGuide):
    jacobian = -1
    less = 1.0


class _LaplaceOnC(LaplaceGuide):
    jacobian = 0
    less = 1.0
