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
from elbo_ref.evidence import latent_log_evidence
from elbo_ref.mle.factorial_sums import mixed_latents

_LARGE = 2**36
"""Trials of a latent from which it is taken by itself: there the rounding reaches 1e-6."""


class LargeLatents(NamedTuple):
    """Latents without the factors of offset 0.

    Attributes
    ----------
    counts : Counts
        Successes and failures, each one less where there are any.
    more : (float64 ndarray, float64 ndarray), shape (G,)
        What is added to a and to b: 1 where there are successes, and failures.
    mixed : float
        The number of latents with both.
    """

    counts: Counts
    more: tuple[FloatArray, FloatArray]
    mixed: float

    @classmethod
    def of(cls, counts: Counts) -> LargeLatents:
        """Take off one success and one failure."""
        up, down = (counts.successes > 0, counts.failures > 0)
        k, f = counts.successes - up, counts.failures - down
        more = up.astype(np.float64), down.astype(np.float64)
        return cls(Counts(k, k + f, counts.multiplicity), more, float(mixed_latents(counts)))

    def change(self, y: tuple[float, FloatArray], z: tuple[float, FloatArray]) -> FloatArray:
        """Compute the change of the log evidence from an anchor, shape (P,).

        Parameters
        ----------
        y, z : (float, float64 ndarray of shape (P,))
            The anchor, and the distances from it.
        """
        (y0, dy), (z0, dz) = y, z
        there = self._log_evidence(y0 + dy, z0 + dz) - self._log_evidence(
            np.array([y0]), np.array([z0])
        )
        return there + self.mixed * (sc.log_expit(z0 + dz) - sc.log_expit(z0))

    def _log_evidence(self, y: FloatArray, z: FloatArray) -> FloatArray:
        """Add up the log evidences of what is left of each latent."""
        s = np.exp(z)
        up, down = self.more
        a, b = (sc.expit(y) * s)[:, None] + up, (sc.expit(-y) * s)[:, None] + down
        return np.asarray(latent_log_evidence(a, b, self.counts) @ self.counts.multiplicity)


def is_large(counts: Counts) -> BoolArray:
    """Tell which latents are to be taken one by one."""
    return np.asarray(counts.total_count >= _LARGE)


def chosen(counts: Counts, which: BoolArray) -> Counts:
    """Take some latents; of none, one without trials."""
    columns = counts.successes, counts.total_count, counts.multiplicity
    return Counts(*(x[which] for x in columns)) if which.any() else Counts(0, 0)
