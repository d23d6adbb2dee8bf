"""The evidence of latents of very many trials, where sums over offsets would lose their digits.

A sum over N offsets changes by about N where s does by a factor, but for what cancels: of 1e15
trials its rounding would be 1e-2 of the density. So the rising factorials of these latents are
taken one by one, without their factors of offset 0,

    (a)_K (b)_F/(s)_N = m (1 - m) s/(s + 1) (a + 1)_(K-1) (b + 1)_(F-1)/(s + 2)_(N-2)     K, F > 0
                      = (1 - m) (b + 1)_(N-1)/(s + 1)_(N-1)                               K = 0

with s = a + b and F = N - K. Each last fraction is an evidence (E1), of K-1 of N-2 under
Beta(a + 1, b + 1), or of 0 of N-1 under Beta(a, b + 1), and has no singularity.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.counts import Counts
from elbo_ref.estimates.few_points import Points, few_points
from elbo_ref.evidence import latent_log_evidence, mixed_log_evidence
from elbo_ref.mle.factorial_sums import mixed_latents

_LARGE = 2**36
"""Trials of a latent from which it is taken by itself: there the rounding reaches 1e-6."""


class LargeLatents(NamedTuple):
    """Latents without the factors of offset 0.

    Attributes
    ----------
    points : Points or None
        Those that have both outcomes left, as few points: each with one success and one failure
        less.
    counts : Counts or None
        The others: successes and failures, each one less where there are any.
    more : (float64 ndarray, float64 ndarray), shape (G,)
        What is added to a and to b for these: 1 where there are successes, and failures.
    mixed : float
        The number of all latents with both.
    at_anchor : float
        The log evidence at the anchor, without a constant.
    """

    points: Points | None
    counts: Counts | None
    more: tuple[FloatArray, FloatArray]
    mixed: float
    at_anchor: float = 0.0

    @classmethod
    def of(cls, counts: Counts) -> LargeLatents:
        """Take off one success and one failure."""
        up, down = (counts.successes > 0, counts.failures > 0)
        k, f, w = counts.successes - up, counts.failures - down, counts.multiplicity
        many = (k > 0) & (f > 0)
        rest = None if many.all() else Counts(k[~many], (k + f)[~many], w[~many])
        points = few_points(k[many], f[many], w[many]) if many.any() else None
        more = up[~many].astype(np.float64), down[~many].astype(np.float64)
        return cls(points, rest, more, float(mixed_latents(counts)))

    @property
    def size(self) -> int:
        """The number of points and counts."""
        points = 0 if self.points is None else self.points.weight.size
        return points + (0 if self.counts is None else len(self.counts))

    def anchored(self, y: float, z: float) -> LargeLatents:
        """Measure from another anchor."""
        return self._replace(at_anchor=float(self._log_evidence(np.array([y]), np.array([z]))[0]))

    def change(self, y: tuple[float, FloatArray], z: tuple[float, FloatArray]) -> FloatArray:
        """Compute the change of the log evidence from the anchor, shape (P,).

        Parameters
        ----------
        y, z : (float, float64 ndarray of shape (P,))
            The anchor, and the distances from it.
        """
        (y0, dy), (z0, dz) = y, z
        there = self._log_evidence(y0 + dy, z0 + dz) - self.at_anchor
        return there + self.mixed * (sc.log_expit(z0 + dz) - sc.log_expit(z0))

    def _log_evidence(self, y: FloatArray, z: FloatArray) -> FloatArray:
        """Add up the log evidences of what is left of each latent."""
        s = np.exp(z)
        a, b = (sc.expit(y) * s)[:, None], (sc.expit(-y) * s)[:, None]
        value = np.zeros(y.size)
        if self.points is not None:
            k, f, beyond, weight = self.points
            value += mixed_log_evidence(a + 1, b + 1, k, f, beyond) @ weight
        if self.counts is not None:
            up, down = self.more
            each = latent_log_evidence(a + up, b + down, self.counts)
            value += each @ self.counts.multiplicity
        return value


def is_large(counts: Counts) -> BoolArray:
    """Tell which latents are to be taken one by one."""
    return np.asarray(counts.total_count >= _LARGE)


def chosen(counts: Counts, which: BoolArray) -> Counts:
    """Take some latents; of none, one without trials."""
    columns = counts.successes, counts.total_count, counts.multiplicity
    return Counts(*(x[which] for x in columns)) if which.any() else Counts(0, 0)
