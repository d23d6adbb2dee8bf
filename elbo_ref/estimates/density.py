"""The posterior density of the prior's parameters: evidence times hyperprior.

The coordinates are y = logit m and z = log s, so that nothing ends and tails are exponential. With
the weighted offsets t of `elbo_ref.mle.factorial_sums` and a typical number of trials T,
r = s/(T + s) and q = 1/(T + s), the log evidence is, up to a constant,

    U_0 log m + D_0 log(1 - m) + mixed log r
        + sum_U log(m r + t q) + sum_D log[((1 - m) r + t q)/(r + t q)] - sum_E log(r + t q),

t > 0, to which the hyperprior adds alpha log m + beta log(1 - m) + p log w + (1 - w)-terms. It is
computed as the change from an anchor, each term without cancellation. Latents of very many trials,
whose sums would cancel, are taken one by one (`elbo_ref.estimates.large`).

At a given z the derivative by y is (1 - m) U(m) - m D(m) with

    U = alpha + U_0 + sum_U m r/(m r + t q),   D = beta + D_0 + sum_D (1 - m) r/((1 - m) r + t q),

so that its root is that of h(y) = y - log U + log D, which rises with a slope in (0, 1]; and the
second derivative at the root is -(1 - m) U h'.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.counts import Counts
from elbo_ref.estimates.hyperprior import Hyperprior
from elbo_ref.estimates.large import LargeLatents, chosen, is_large
from elbo_ref.mle.factorial_sums import FactorialSums, WeightedOffsets
from elbo_ref.special import blocks

_FARTHEST = 600.0
"""The largest |y| and |z| that are looked at."""
_NEWTON_STEPS = 60
_BLOCK = 2**16
"""The most entries of a table of points by offsets."""


class Ridge(NamedTuple):
    """The best y at each z.

    Attributes
    ----------
    y, height, scale : float64 ndarray
        Where the density is highest, its logarithm there, and 1/sqrt(-second derivative).
    """

    y: FloatArray
    height: FloatArray
    scale: FloatArray

    def at(self, rows: BoolArray | NDArray[np.intp]) -> Ridge:
        """Take some of the z."""
        return Ridge(*(x[rows] for x in self))


@dataclass(frozen=True, eq=False)
class LogDensity:
    """The log posterior density of (y, z), up to a constant.

    Attributes
    ----------
    up, down, excess : WeightedOffsets
        Those beyond 0, in units of T; of latents that are not taken one by one.
    at_0 : (float, float, float)
        U_0, D_0, and the number of these latents with successes and failures.
    exponents : (float, float, float, float)
        alpha, beta, p and q of the hyperprior.
    log_trials : (float, float)
        log T and log s0.
    large : LargeLatents or None
        Those that are taken one by one.
    along : (WeightedOffsets, WeightedOffsets)
        `up` and `down` of all latents.
    anchor : (y, z)
        Where the log density is 0.
    """

    up: WeightedOffsets
    down: WeightedOffsets
    excess: WeightedOffsets
    at_0: tuple[float, float, float]
    exponents: tuple[float, float, float, float]
    log_trials: tuple[float, float]
    large: LargeLatents | None
    along: tuple[WeightedOffsets, WeightedOffsets]
    anchor: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, counts: Counts, hyperprior: Hyperprior) -> LogDensity:
        """Build the density."""
        alpha, beta = (float(x) for x in hyperprior.mean.arrays())
        exponents = alpha, beta, *hyperprior.weight
        w = np.maximum(counts.multiplicity, 1)
        typical = float(np.exp(np.average(np.log(np.maximum(counts.total_count, 1)), weights=w)))
        log_trials = float(np.log(typical)), float(np.log(hyperprior.trials_for(counts)))
        alone = is_large(counts)
        up, down, _, excess, mixed = FactorialSums.of(chosen(counts, ~alone))
        up, down, excess = (_scaled(x, typical) for x in (up, down, excess))
        u0, d0 = (float(counts.multiplicity @ (x > 0)) for x in (counts.successes, counts.failures))
        at_0 = u0, d0, float(mixed)
        if not alone.any():
            return cls(up, down, excess, at_0, exponents, log_trials, None, (up, down))
        large = chosen(counts, alone)
        more_up, more_down = (_scaled(x, typical) for x in FactorialSums.of(large)[:2])
        along = _joined(up, more_up), _joined(down, more_down)
        one_by_one = LargeLatents.of(large).anchored(0.0, 0.0)
        return cls(up, down, excess, at_0, exponents, log_trials, one_by_one, along)

    def anchored(self, y: float, z: float) -> LogDensity:
        """Measure from another point."""
        large = None if self.large is None else self.large.anchored(y, z)
        return replace(self, anchor=(y, z), large=large)

    @property
    def mixed(self) -> float:
        """The number of all latents with successes and failures."""
        return self.at_0[2] + (0.0 if self.large is None else self.large.mixed)

    @property
    def rates(self) -> tuple[float, float]:
        """The exponents of m and 1 - m at their ends, the rates of the tails in y."""
        alpha, beta, _, _ = self.exponents
        return alpha + self.at_0[0], beta + self.at_0[1]

    def __call__(self, dy: FloatArray, dz: FloatArray) -> FloatArray:
        """Compute the log density at distances from the anchor, less that at the anchor.

        Parameters
        ----------
        dy, dz : float64 ndarray, shape (P,)

        Returns
        -------
        float64 ndarray, shape (P,)
        """
        terms = 1 + self.up.offset.size + self.down.offset.size
        terms += 0 if self.large is None else self.large.size
        parts = blocks(dy.size, max(1, _BLOCK // terms))
        return np.concatenate([self._at(dy[part], dz[part]) for part in parts])

    def _at(self, dy: FloatArray, dz: FloatArray) -> FloatArray:
        (y0, z0), (alpha, beta, first, second) = self.anchor, self.exponents
        u0, d0, mixed = self.at_0
        x0, w0 = (z0 - trials for trials in self.log_trials)
        m0, r0, share = (float(sc.expit(x)) for x in (y0, x0, w0))
        rest0, q0, weight = (float(sc.expit(-x)) for x in (y0, x0, w0))
        log_rest, dm = _step(dy, m0, rest0)
        log_q, dr = _step(dz, r0, q0)
        log_weight, _ = _step(dz, share, weight)
        value = (alpha + u0) * dy + (alpha + beta + u0 + d0) * log_rest
        value += mixed * (log_q + dz) + (first + second) * log_weight + second * dz
        r, q = sc.expit(x0 + dz)[:, None], sc.expit(-x0 - dz)[:, None]
        m, rest = sc.expit(y0 + dy)[:, None], sc.expit(-y0 - dy)[:, None]
        dr = dr[:, None]
        dp = dm[:, None] * r + m0 * dr
        # each sum: the relative change of its terms, and their ratio for where they all but vanish
        t, weights = self.excess
        size = r0 + t * q0
        value -= _logs(dr * ((1 - t) / size), lambda: (r + t * q) / size) @ weights
        t, weights = self.up
        size = m0 * r0 + t * q0
        away = dp * (1 / size) - dr * (t / size)
        value += _logs(away, lambda: (m * r + t * q) / size) @ weights
        t, weights = self.down
        size, y = rest0 * r0 + t * q0, r + t * q
        growth = (r0 + t * q0) / size
        away = -(dm[:, None] * r * growth + dr * (m0 * t / size)) / y
        value += _logs(away, lambda: (rest * r + t * q) / y * growth) @ weights
        if self.large is not None:
            value += self.large.change((y0, dy), (z0, dz))
        return np.asarray(value)

    def ridge(self, z: FloatArray, start: FloatArray | None = None) -> Ridge:
        """Find the best y at each z, by Newton's method between bounds."""
        alpha, beta, _, _ = self.exponents
        u0, d0, _ = self.at_0
        low = np.full(z.shape, -_FARTHEST)
        high = -low
        x = z - self.log_trials[0]
        r, q = sc.expit(x)[:, None], sc.expit(-x)[:, None]
        alongside, against = self.along
        q_up, q_down = q * alongside.offset, q * against.offset
        all_up, all_down = u0 + alongside.weight.sum(), d0 + against.weight.sum()
        if start is None:  # exact in both limits, s -> 0 and s -> infinity
            start = q[:, 0] * np.log((alpha + u0) / (beta + d0))
            start = start + r[:, 0] * np.log((alpha + all_up) / (beta + all_down))
        y = start
        for _ in range(_NEWTON_STEPS):
            m, rest = sc.expit(y), sc.expit(-y)
            up, bend_up = _outcome(alpha + u0, m[:, None] * r, q_up, alongside.weight)
            down, bend_down = _outcome(beta + d0, rest[:, None] * r, q_down, against.weight)
            tilt = y - np.log(up) + np.log(down)
            slope = 1 - rest * bend_up / up - m * bend_down / down
            low, high = np.where(tilt < 0, y, low), np.where(tilt < 0, high, y)
            following = y - tilt / np.maximum(slope, 1e-12)
            following = np.where(
                (following >= low) & (following <= high), following, (low + high) / 2
            )
            curvature = rest * up * slope
            moved = np.abs(following - y) * np.sqrt(curvature)
            if (moved < 1e-2).all():
                break
            y = following
        height = self(y - self.anchor[0], z - self.anchor[1])
        return Ridge(y, height, 1 / np.sqrt(curvature))


def _scaled(sums: WeightedOffsets, typical: float) -> WeightedOffsets:
    """Take the offsets beyond 0, in units of a number of trials."""
    return WeightedOffsets(sums.positive.offset / typical, sums.positive.weight)


def _joined(one: WeightedOffsets, other: WeightedOffsets) -> WeightedOffsets:
    return WeightedOffsets(*(np.concatenate(x) for x in zip(one, other, strict=True)))


def _outcome(
    constant: float, p: FloatArray, q: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sum p/(p + q), and p q/(p + q)^2."""
    size = p + q
    share = p / size
    return constant + share @ weight, (share * (q / size)) @ weight


def _step(d: FloatArray, up: float, down: float) -> tuple[FloatArray, FloatArray]:
    """Move a logit whose two shares are `up` and `down` by d.

    Returns the change of log(1 - share), to which d is added for that of log(share), and the change
    of the share.
    """
    near, beyond = np.abs(d) < 0.5, np.maximum(d, 0.0)
    small = np.where(near, d, 0.0)
    scaled = down * np.exp(-beyond) + up * np.exp(d - beyond)  # both are at most 1
    log_down = -np.where(near, np.log1p(up * np.expm1(small)), beyond + np.log(scaled))
    return log_down, up * down * (np.exp(d - beyond) - np.exp(-beyond)) / scaled


def _logs(away: FloatArray, ratio: Callable[[], FloatArray]) -> FloatArray:
    """Compute log(1 + away) = log(ratio), from the first where it keeps its digits."""
    far = away < -0.9
    if not far.any():
        return np.asarray(np.log1p(away))
    return np.where(far, np.log(ratio()), np.log1p(np.where(far, 0.0, away)))
