r"""The end of a profile interval, by Newton's method on the boundary of the confidence region.

In x = (logit m, log s), with mean m and concentration s = a + b, let l be the log evidence, and f
one of logit m, log s, log a and log b: its slope is (1, 0), (0, 1), (b/s, 1) or (-a/s, 1). Among
the priors with l >= T it is extreme where l is highest at its value, and T:

    l(x) = T,        d(x) . grad l(x) = 0,

with d = (f_2, -f_1) for the slope (f_1, f_2), the direction in which f stays. An extreme may be
local: whoever wants an end has to prove that nothing lies beyond.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import CONCENTRATION_RANGE, FloatArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence
from elbo_ref.mle.binomial import BinomialLimit, totals
from elbo_ref.mle.candidates import Candidate
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.intervals import Parameter
from elbo_ref.mle.newton import EPS, LogitMeanLogConcentration

_MOST_STEPS = 12
_LONGEST, _LAST = 2.0, 1e-8
"""The longest step in a coordinate; and that after which the next would be its square."""


class Extreme(NamedTuple):
    """An extreme prior on the boundary, and how far rounding of l leaves f open."""

    prior: Beta
    error: float


def on_boundary(
    counts: Counts, sums: FactorialSums, parameter: Parameter, threshold: float, near: Beta
) -> Extreme | None:
    """Find where a parameter is extreme on the boundary, from a prior near it; None if nowhere."""
    a, b = map(float, near.arrays())
    at = LogitMeanLogConcentration(a, b, sums)
    for _ in range(_MOST_STEPS):
        gradient, information, _ = at.derivatives()
        away = log_evidence(Beta(at.a, at.b), counts) - threshold
        p, q = _slope(parameter, at.a, at.b)
        along = np.array((q, -p))
        jacobian = np.array((gradient, -information.dot(along)))
        if p and q:
            jacobian[1, 0] += gradient[1] * (at.a / (at.a + at.b)) * (at.b / (at.a + at.b))
        if not abs(np.linalg.det(jacobian)) > 0:
            return None
        step = -np.linalg.solve(jacobian, (away, gradient.dot(along)))
        size = float(np.abs(step).max())
        at = at.moved(step * min(1.0, _LONGEST / size) if size else step)
        low, high = CONCENTRATION_RANGE
        if not low <= min(at.a, at.b) <= max(at.a, at.b) <= high:
            return None
        if size <= _LAST:
            rise = abs(float(gradient[1 if q else 0]))
            return Extreme(Beta(at.a, at.b), 8 * EPS * (1 + abs(threshold)) / max(rise, EPS))
    return None


def on_ellipse(
    best: Candidate, sums: FactorialSums, parameter: Parameter, drop: float, sign: float
) -> Beta | None:
    """Return the extreme prior if l falls as a parabola from its maximum, by so much."""
    if best.prior is None or best.covariance is None:
        return None
    a, b = map(float, best.prior.arrays())
    logit, both, log = best.covariance
    slope = _slope(parameter, a, b)
    step = np.array(((logit, both), (both, log))).dot(slope)
    step *= sign * math.sqrt(2 * drop / step.dot(slope))
    step *= min(1.0, _LONGEST / float(np.abs(step).max()))
    moved = LogitMeanLogConcentration(a, b, sums).moved(step)
    return Beta(moved.a, moved.b)


def below_limit(counts: Counts, parameter: Parameter, drop: float, sign: float) -> Beta | None:
    """Guess the extreme prior where l has its top, so much higher, in the binomial limit.

    From there l falls with its slope in 1/s, and as K F/(K + F) u^2/2 in logit m. None where the
    extreme mean may be that of a binomial.
    """
    k, f = totals(counts)
    mean = Fraction(k, k + f)
    s = -float(BinomialLimit.of(counts, mean).slope) / drop
    if parameter == "mean":
        odds = Fraction(k / f * math.exp(sign * math.sqrt(2 * drop * (k + f) / k / f)))
        mean = odds / (1 + odds)
        if BinomialLimit.of(counts, mean).sign <= 0:
            return None
    a, b = s * float(mean), s * float(1 - mean)
    return Beta(a, b) if min(a, b) >= CONCENTRATION_RANGE[0] else None


def _slope(parameter: Parameter, a: float, b: float) -> FloatArray:
    """Return f_1 and f_2."""
    m, rest = a / (a + b), b / (a + b)
    slopes: dict[Parameter, tuple[float, float]] = {
        "mean": (1.0, 0.0),
        "concentration": (0.0, 1.0),
        "concentration1": (rest, 1.0),
        "concentration0": (-m, 1.0),
    }
    return np.array(slopes[parameter])
