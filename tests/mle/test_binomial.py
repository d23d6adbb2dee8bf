"""The binomial with one c for all latents, in whole numbers and by SciPy."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.mle import binomial
from elbo_ref.mle.binomial import BinomialLimit, binomial_log_likelihood

K, N, W = [3, 7, 0], [10, 9, 4], [1, 2, 3]
COUNTS = er.Counts(K, N, multiplicity=W)
EACH = [(k, n) for k, n, w in zip(K, N, W, strict=True) for _ in range(w)]


@pytest.mark.parametrize("mean", [Fraction(1, 3), Fraction(17, 40), Fraction(99, 100)])
def test_the_slope_at_the_limit(mean):
    """By a difference of the log evidence in gamma, in fifty digits."""
    found = BinomialLimit.of(COUNTS, mean)

    def evidence(gamma):
        a, b = mpmath.mpf(mean.numerator) / mean.denominator / gamma, 0
        b = (1 - mpmath.mpf(mean.numerator) / mean.denominator) / gamma
        return sum(mpmath.log(mpmath.beta(a + k, b + n - k) / mpmath.beta(a, b)) for k, n in EACH)

    with mpmath.workdps(50):
        step = mpmath.mpf(10) ** -8
        slope = (4 * evidence(step) - 3 * _limit(mean) - evidence(2 * step)) / (2 * step)
    assert float(found.slope) == pytest.approx(float(slope), rel=1e-6)
    assert found.sign == np.sign(float(slope)) and found.mean == mean


def _limit(mean):
    m = mpmath.mpf(mean.numerator) / mean.denominator
    return sum(k * mpmath.log(m) + (n - k) * mpmath.log(1 - m) for k, n in EACH)


def test_the_sign_of_a_slope_is_exact():
    """Single trials have none; successes of two trials that are half of them too."""
    assert BinomialLimit.of(er.Counts([1, 0], 1), Fraction(1, 2)).sign == 0
    two = er.Counts([0, 1, 2], 2, multiplicity=[1, 2, 1])
    assert BinomialLimit.of(two, Fraction(1, 2)).sign == 0
    assert BinomialLimit.of(er.Counts([0, 2], 2), Fraction(1, 2)).sign == 1
    assert BinomialLimit.of(er.Counts([1, 1], 2), Fraction(1, 2)).sign == -1
    for third in (1, 0, -1):
        assert BinomialLimit(Fraction(1, 2), Fraction(third, 3)).sign == third


def test_ordered_pairs():
    """Also where they are more than 63 bits hold."""
    x, w = np.array([3, 0, 1, 5]), np.array([2, 1, 7, 1])
    assert binomial.ordered_pairs(x, w) == 2 * 6 + 20
    for large in (2**31 - 1, 2**31, 2**31 + 1, 2**40):
        found = binomial.ordered_pairs(np.array([large, 2]), np.array([1, 5]))
        assert found == large * (large - 1) + 10
    assert binomial.ordered_pairs(np.array([2**30]), np.array([2**10])) == 2**40 * (2**30 - 1)


def test_totals():
    assert binomial.totals(COUNTS) == (17, 7 + 4 + 12)
    huge = er.Counts([2**61], [2**62], multiplicity=[8])
    assert binomial.totals(huge) == (2**64, 2**64)


def test_log_coefficients():
    wanted = sum(w * np.log(special.binom(n, k)) for k, n, w in zip(K, N, W, strict=True))
    assert binomial.log_coefficient(COUNTS) == pytest.approx(wanted)


def test_all_trials_of_one_latent():
    """With as many latents, and the difference of the coefficients."""
    together, added = binomial.as_totals(COUNTS)
    assert together == er.Counts([17, 0], [40, 0], multiplicity=[1, 5])
    wanted = binomial.log_coefficient(COUNTS) - np.log(special.binom(40, 17))
    assert added == pytest.approx(wanted)
    one = er.Counts(3, 10)
    together, added = binomial.as_totals(one)
    assert (together.num_latents, added) == (1, 0.0)
    assert binomial.totals(together) == (3, 7)


def test_totals_that_are_no_count_are_left():
    for trials, left in ((2**62, True), (2**62 - 1, False)):
        counts = er.Counts([1, 1], [trials, 2**62])
        assert (binomial.as_totals(counts) == (counts, 0.0)) is left
    none = er.Counts(3, 10, multiplicity=0)
    assert binomial.as_totals(none) == (none, 0.0)


def test_the_pooled_likelihood():
    """At the mean of all trials, with the coefficients of the rows."""
    assert binomial.pooled_mean(COUNTS) == 17 / 40
    wanted = sum(stats.binom.logpmf(k, n, 17 / 40) for k, n in EACH)
    assert binomial.pooled_log_likelihood(COUNTS) == pytest.approx(wanted, rel=1e-13)
    half = er.Counts([2, 5], [6, 8])
    assert binomial.pooled_mean(half) == 0.5
    wanted = stats.binom.logpmf([2, 5], [6, 8], 0.5).sum()
    assert binomial.pooled_log_likelihood(half) == pytest.approx(wanted, rel=1e-13)
    nothing = er.Counts([0, 0], 0)
    assert np.isnan(binomial.pooled_mean(nothing))
    assert binomial.pooled_log_likelihood(nothing) == 0.0
    rows = er.Counts.shared([3, 7], [10, 9])
    wanted = stats.binom.logpmf([3, 7], [10, 9], 10 / 19).sum()
    assert binomial.pooled_log_likelihood(rows) == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize(
    "mean",
    [Fraction(1, 3), Fraction(0), Fraction(1), Fraction(2**62 + 1, 2**64), Fraction(1, 2**70)],
)
def test_likelihoods_of_one_mean(mean):
    """Also of one that is longer than a whole number may be, or at an end of all outcomes."""
    counts = er.Counts([0, 0], [4, 7]) if mean < Fraction(1, 2**60) else COUNTS
    counts = er.Counts([4, 7], [4, 7]) if mean == 1 else counts
    wanted = stats.binom.logpmf(counts.successes, counts.total_count, float(mean))
    found = binomial.binomial_log_likelihood(counts, mean)
    assert found == pytest.approx(float(counts.multiplicity @ wanted), rel=1e-12, abs=0.0)


def test_a_likelihood_near_its_best_keeps_its_digits():
    """Of a million million trials, against fifty digits."""
    k, n = 333_333_333_333, 10**12
    mean = Fraction(1, 3)
    with mpmath.workdps(50):
        exact = mpmath.log(mpmath.binomial(n, k)) + k * mpmath.log(mpmath.mpf(1) / 3)
        exact += (n - k) * mpmath.log(mpmath.mpf(2) / 3)
    found = binomial.binomial_log_likelihood(er.Counts(k, n), mean)
    assert found == pytest.approx(float(exact), rel=1e-12)


def test_the_saturated_likelihood():
    counts = er.Counts([3, 0, 4, 0], [10, 5, 4, 0], multiplicity=[2, 1, 1, 3])
    wanted = 2 * stats.binom.logpmf(3, 10, 0.3)
    assert binomial.saturated_log_likelihood(er.Counts([1, 0], 1)) == 0.0
    assert binomial.saturated_log_likelihood(counts) == pytest.approx(wanted)
    rows = er.Counts.shared([3, 7], [10, 9])
    wanted = stats.binom.logpmf([3, 7], [10, 9], 10 / 19).sum()
    assert binomial.saturated_log_likelihood(rows) == pytest.approx(wanted)


def test_means_of_more_than_63_bits():
    """A mean whose denominator is no 64-bit number is taken as a float: the same to rounding."""
    counts = er.Counts([3, 9, 1], [10, 10, 4])
    for over in (2**62 - 1, 2**63 - 25, 2**63, 2**63 + 29, 2**80, 3**63):
        mean = Fraction(over // 3, over)
        found = binomial_log_likelihood(counts, mean)
        wanted = binomial_log_likelihood(counts, Fraction(1, 3))
        assert found == pytest.approx(wanted, rel=1e-13)
