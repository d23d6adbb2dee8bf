"""The binomial with one c for all latents: the limit of the evidence as a + b grows.

With totals K and F the pooled likelihood is highest at c = K/(K + F). In gamma = 1/(a + b) the
limit gamma = 0 is an ordinary point of the log evidence (E10), at which its slope is

    1/2 [sum K(K-1)/m + sum F(F-1)/(1-m) - sum N(N-1)],

a ratio of whole numbers for a rational mean m: its sign is exact.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import IntArray
from elbo_ref.counts import Counts
from elbo_ref.special import cross_difference, log_binomial


class BinomialLimit(NamedTuple):
    """The mean and the slope of the log evidence in gamma at gamma = 0, exactly."""

    mean: Fraction
    slope: Fraction

    @classmethod
    def of(cls, counts: Counts, mean: Fraction) -> BinomialLimit:
        """Compute the slope at a mean strictly between 0 and 1."""
        outcomes = counts.successes, counts.failures, counts.total_count
        up, down, together = (ordered_pairs(x, counts.multiplicity) for x in outcomes)
        return cls(mean, (up / mean + down / (1 - mean) - together) / 2)

    @property
    def sign(self) -> int:
        """The sign of the slope."""
        return (self.slope > 0) - (self.slope < 0)


def ordered_pairs(x: IntArray, w: IntArray) -> int:
    """Sum w x (x - 1) in whole numbers."""
    largest = float(x.max()) * float(x.max()) * float(w.sum())
    if largest >= 2**62:
        x, w = x.astype(object), w.astype(object)
    return int((w * x * (x - 1)).sum())


def totals(counts: Counts) -> tuple[int, int]:
    """Count the successes and failures of all latents, exactly."""
    w = counts.multiplicity.astype(object)
    return int(w @ counts.successes), int(w @ counts.failures)


def log_coefficient(counts: Counts) -> float:
    """Add up the log binomial coefficients of all latents, logC."""
    return float(counts.multiplicity @ counts.log_coefficient)


def as_totals(counts: Counts) -> tuple[Counts, float]:
    """Give one latent all trials and the others none; and what to add for logC.

    An objective that knows the counts through their totals only is the same for these, but for the
    binomial coefficients. Totals beyond 63 bits are left as they are.
    """
    k, f = totals(counts)
    if not counts.num_latents or k + f >= 2**63:
        return counts, 0.0
    together = Counts([k, 0], [k + f, 0], [1, counts.num_latents - 1])
    return together, log_coefficient(counts) - float(together.log_coefficient[0])


def pooled_mean(counts: Counts) -> float:
    """Divide sum K by sum N over all latents; nan without trials."""
    k, f = totals(counts)
    return k / (k + f) if k + f else np.nan


def pooled_log_likelihood(counts: Counts) -> float:
    """Compute the highest binomial log likelihood with one c for all latents, `pooled_mean`."""
    k, f = totals(counts)
    if not k + f:
        return 0.0
    split = float(counts.multiplicity @ counts.log_split)
    return binomial_log_likelihood(counts, Fraction(k, k + f)) + split


def binomial_log_likelihood(counts: Counts, mean: Fraction) -> float:
    """Sum log C(N, K) + K log c + (N - K) log(1 - c), with one c for all latents.

    It is 0 or 1 only where all outcomes are of one kind.
    """
    up, over = mean.numerator, mean.denominator
    m, rest = np.asarray(float(mean)), np.asarray(float(1 - mean))
    one, other, size = m, rest, 1.0
    if over < 2**63:
        one, other, size = np.asarray(up), np.asarray(over - up), float(over)
    difference = cross_difference(counts.successes, other, counts.failures, one) / size
    each = log_binomial(counts.successes, counts.total_count, (m, rest), difference)
    return float(counts.multiplicity @ each)


def saturated_log_likelihood(counts: Counts) -> float:
    """Compute the log likelihood with c = K/N for each latent."""
    size = np.maximum(counts.total_count, 1)
    mean = counts.successes / size, counts.failures / size
    best = log_binomial(counts.successes, counts.total_count, mean, np.zeros(len(counts)))
    return float(counts.multiplicity @ (best + counts.log_split))
