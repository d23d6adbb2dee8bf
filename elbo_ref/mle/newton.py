"""The last digits of a maximum: Newton's method with exact derivatives, and their rounding.

The step is I^-1 g with the gradient g and the observed information I = -(Hessian). What rounding of
g leaves open of the answer is |I^-1| (noise of g), at which the iteration ends. The coordinates are
those in which the digits exist: (logit m, log s) with mean m and concentration s = a + b, and
(m, gamma = 1/s) near the binomial limit, where the terms of the first cancel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.binomial import BinomialLimit
from elbo_ref.mle.factorial_sums import FactorialSums, WeightedOffsets

EPS = 2.0**-52


class RefinedMaximum(NamedTuple):
    """A maximiser, to the precision of the gradient.

    Attributes
    ----------
    prior : Beta
    relative_error : float
        Of both concentrations, estimated from the rounding of the gradient and the Hessian; inf
        where no maximum was found.
    covariance : tuple or None
        The inverse of the information in (logit m, log s): variance, covariance, variance.
    """

    prior: Beta
    relative_error: float
    covariance: tuple[float, float, float] | None


class NewtonCoordinates(ABC):
    """A prior in coordinates in which it is moved by Newton's method."""

    held: int = 0
    """The number of coordinates that may not change, the first ones."""
    caution = 1.0
    """A step is no longer than 1/caution in relative size."""

    @abstractmethod
    def derivatives(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Compute gradient, information, and the rounding of the gradient."""

    @abstractmethod
    def moved(self, step: FloatArray) -> NewtonCoordinates:
        """Take a step in these coordinates."""

    @abstractmethod
    def maximum(self, error: float, covariance: FloatArray) -> RefinedMaximum:
        """Return the prior as an answer."""

    def relative_size(self, step: FloatArray) -> float:
        """Compute the largest relative change by a step."""
        return float(np.abs(step).max())

    def relative_error(self, error: FloatArray) -> float:
        """Compute the error of both concentrations from that of the coordinates."""
        return float(error.sum())


def refine(start: NewtonCoordinates, prior: Beta) -> RefinedMaximum:
    """Move from near a maximum to it; give back the prior where the log evidence is not concave."""
    at, error = start, np.inf
    for _ in range(60):
        gradient, information, noise = at.derivatives()
        information = information[at.held :, at.held :]
        if not np.linalg.det(information) > 0:
            return RefinedMaximum(prior, np.inf, None)
        covariance = np.zeros((gradient.size, gradient.size))
        covariance[at.held :, at.held :] = np.linalg.inv(information)
        step = covariance @ gradient
        size = at.relative_size(step)
        at = at.moved(step * (1 / max(1.0, at.caution * size)))
        error = at.relative_error(np.abs(covariance) @ noise)
        if size <= max(1e-15, 0.1 * error):
            break
    return at.maximum(error, covariance)


@dataclass(frozen=True)
class LogitMeanLogConcentration(NewtonCoordinates):
    """(logit m, log s), at Beta(a, b).

    With z = a + t over U, w = b + t and y = s + t over D and e = s + t over E,

        d/d logit m        = b/s sum_U a/z - a/s sum_D b/w
        d/d log s          = mixed + sum_{U, t > 0} a/z - sum_D a t/(w y) - sum_{E, t > 0} s/e
        d2/d(logit m)2     = -(ab/s)^2 [sum_U 1/z^2 + sum_D 1/w^2] + (b - a)/s d/d logit m
        d2/dlogit m dlog s = ab/s [sum_U t/z^2 - sum_D t/w^2]
        d2/d(log s)2       = sum_U a t/z^2 + sum_D a t (s b - t^2)/(w y)^2 - sum_E s t/e^2
    """

    a: float
    b: float
    sums: FactorialSums
    held: int = 0

    def derivatives(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Compute gradient, information, and the rounding of the gradient."""
        a, b, (up, down, _, excess, mixed) = self.a, self.b, self.sums
        s, u, d, excess = a + b, up.positive, down.offset, excess.positive
        z, w, y, e = a + up.offset, b + d, s + d, s + excess.offset
        from_up = b / s * a * float((1 / z) @ up.weight)
        from_down = a / s * b * float((1 / w) @ down.weight)
        gain = a * float((1 / (a + u.offset)) @ u.weight)
        loss = a * float((1 / (w * y)) @ (down.weight * d))
        sink = s * float((1 / e) @ excess.weight)
        gradient = np.array([from_up - from_down, mixed + (gain - loss - sink)])
        noise = 4 * EPS * np.array([from_up + from_down, mixed + gain + loss + sink])
        ut, dt, part = up.weight * up.offset, down.weight * d, a * b / s
        square = float((1 / (z * z)) @ up.weight + (1 / (w * w)) @ down.weight)
        first = -(part**2) * square + (b - a) / s * gradient[0]
        cross = part * float((1 / (z * z)) @ ut - (1 / (w * w)) @ dt)
        second = a * float((1 / (z * z)) @ ut) + a * float(((s * b - d**2) / (w * y) ** 2) @ dt)
        second -= s * float((excess.offset / (e * e)) @ excess.weight)
        return gradient, -np.array([[first, cross], [cross, second]]), noise

    def moved(self, step: FloatArray) -> LogitMeanLogConcentration:
        """Take a step; 1 - m is formed without cancellation."""
        a, b = self.a, self.b
        m, rest, s = a / (a + b), b / (a + b), (a + b) * np.exp(step[1])
        odds = np.expm1(step[0])
        part = 1 + m * odds
        return replace(self, a=s * m * (1 + odds) / part, b=s * rest / part)

    def maximum(self, error: float, covariance: FloatArray) -> RefinedMaximum:
        """Return the prior as an answer."""
        (logit, both), (_, log) = covariance.tolist()
        return RefinedMaximum(Beta(self.a, self.b), error + 4 * EPS, (logit, both, log))


@dataclass(frozen=True)
class FromBinomialLimit(NewtonCoordinates):
    """(m, gamma), with m as its shift from the limit's m0.

    At the limit the gradient is (0, slope), exactly. Elsewhere it is that and the difference, which
    term by term is, for w log(base + d) with d = +-shift + gamma t,

        w/(base + d) - w/base = -w d/(base (base + d)),    times +-1 or t
    """

    shift: float
    gamma: float
    sums: FactorialSums
    limit: tuple[float, float, float]
    """m0, 1 - m0, and the slope in gamma."""
    held: int = 0
    caution = 2.0

    @classmethod
    def of(
        cls, prior: Beta, sums: FactorialSums, limit: BinomialLimit, held: int
    ) -> FromBinomialLimit:
        """Put a prior into these coordinates."""
        m0, f0 = float(limit.mean), float(1 - limit.mean)
        a, b = map(float, prior.arrays())
        gamma = 1 / (a + b)
        shift = (a * f0 - b * m0) * gamma if not held else 0.0
        return cls(shift, gamma, sums, (m0, f0, float(limit.slope)), held)

    def _terms(self) -> tuple[tuple[WeightedOffsets, FloatArray, float, float], ...]:
        """Give offsets, their weights, the sign of m in their terms, and the base at the limit."""
        (up, down, trials, *_), (m0, f0, _) = self.sums, self.limit
        return (
            (up, up.weight, 1.0, m0),
            (down, down.weight, -1.0, f0),
            (trials, -trials.weight, 0.0, 1.0),
        )

    def derivatives(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Compute gradient, information, and the rounding of the gradient."""
        gradient, noise = np.array([0.0, self.limit[2]]), np.zeros(2)
        information = np.zeros((2, 2))
        for offsets, weight, sign, base in self._terms():
            t = offsets.offset
            away = sign * self.shift + self.gamma * t
            z = base + away
            pull, square = weight / (base * z), weight / (z * z)
            gradient -= [sign * float(pull @ away), float(pull @ (away * t))]
            size = np.abs(pull), np.abs(away)
            noise += [abs(sign) * float(size[0] @ size[1]), float(size[0] @ (size[1] * t))]
            cross, bend = sign * float(square @ t), float(square @ (t * t))
            information += [[sign * sign * float(square.sum()), cross], [cross, bend]]
        return gradient, information, 4 * EPS * noise

    def moved(self, step: FloatArray) -> FromBinomialLimit:
        """Take a step in these coordinates."""
        return replace(self, shift=self.shift + step[0], gamma=self.gamma + step[1])

    def relative_size(self, step: FloatArray) -> float:
        """Compare a step with gamma and with m0 (1 - m0)."""
        m0, f0, _ = self.limit
        return float(max(abs(step[1]) / self.gamma, abs(step[0]) / (m0 * f0)))

    def relative_error(self, error: FloatArray) -> float:
        """Compute the error of both concentrations, m/gamma and (1 - m)/gamma."""
        m0, f0, _ = self.limit
        return float(error[1] / self.gamma + error[0] / min(m0 + self.shift, f0 - self.shift))

    def maximum(self, error: float, covariance: FloatArray) -> RefinedMaximum:
        """Return the prior as an answer, and the covariance as that of (logit m, log s)."""
        m, rest = self.limit[0] + self.shift, self.limit[1] - self.shift
        scale = np.array([1 / (m * rest), -1 / self.gamma])
        (logit, both), (_, log) = (scale[:, None] * covariance * scale).tolist()
        prior = Beta(m / self.gamma, rest / self.gamma)
        return RefinedMaximum(prior, error + 2 * EPS, (logit, both, log))


@dataclass(frozen=True)
class LogConcentration0(NewtonCoordinates):
    """log b, with a held: the derivatives of sum_D log[w/y] - sum_E log e.

    w = b + t and y = a + b + t over D, and e = a + b + t over E.
    """

    a: float
    b: float
    failures: WeightedOffsets
    excess: WeightedOffsets

    def derivatives(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Compute gradient, information, and the rounding of the gradient."""
        a, b, down, excess = self.a, self.b, self.failures, self.excess
        w, e = b + down.offset, a + b + excess.offset
        y = w + a
        each = b / w * (a / y) * down.weight
        gain, loss = float(each.sum()), b * float((1 / e) @ excess.weight)
        bend = float(each @ (down.offset / w - b / y))
        bend -= float((b / e * (a + excess.offset) / e) @ excess.weight)
        return np.array([gain - loss]), np.array([[-bend]]), np.array([4 * EPS * (gain + loss)])

    def moved(self, step: FloatArray) -> LogConcentration0:
        """Take a step in these coordinates."""
        return replace(self, b=self.b * float(np.exp(step[0])))

    def maximum(self, error: float, covariance: FloatArray) -> RefinedMaximum:
        """Return the prior as an answer: log b moves logit m by -1 and log s by 1 - m as much."""
        variance, rest = float(covariance[0, 0]), self.b / (self.a + self.b)
        spread = variance, -variance * rest, variance * rest * rest
        return RefinedMaximum(Beta(self.a, self.b), error + 4 * EPS, spread)
