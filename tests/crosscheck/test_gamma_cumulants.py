"""Distributions by three cumulants, beside SciPy's gamma distribution and draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants, _logarithm


def of(mean, std, skewness):
    return GammaCumulants(*(np.array([x]) for x in (mean, std**2, skewness * std**3)))


@pytest.mark.parametrize("skewness", [0.0, 1e-9, 1e-3, 0.02, 0.7, 2.0, 6.0, -0.7, -6.0])
@pytest.mark.parametrize("away", [-9.0, -2.0, -0.3, 0.0, 1e-5, 0.5, 3.0, 30.0])
def test_tails_and_densities_are_those_of_a_gamma(skewness, away):
    """By `scipy.stats.pearson3`; beyond the end there is no tail, and a density that is finite."""
    found, x = of(5.0, 3.0, skewness), np.array([5.0 + 3.0 * away])
    beside = stats.pearson3(skewness if abs(skewness) > 1e-6 else 0.0, loc=5.0, scale=3.0)
    wanted = (beside.sf if away > 0 else beside.cdf)(x)
    if away == 0:
        wanted = [beside.cdf(x)[0]] if skewness >= 0 else [beside.sf(x)[0]]
    assert found.outer_tail(x) == pytest.approx(np.asarray(wanted), rel=1e-7, abs=1e-290)
    least = stats.norm(5.0, 3.0).logpdf(x) - 50.0
    density = np.maximum(beside.logpdf(x), least)
    assert found.log_density(x) == pytest.approx(density, rel=1e-6, abs=1e-8)


def test_numbers_without_a_spread():
    still = GammaCumulants(np.ones(3), np.zeros(3), np.zeros(3))
    assert still.outer_tail(np.array([0.5, 1.0, 1.5])).tolist() == [0.0, 0.5, 0.0]


def test_a_weighted_sum():
    """One of gamma numbers of one scale is gamma; another has the tails of 1e6 draws."""
    shapes, weights = np.array([2.0, 5.0, 0.7]), np.array([1.0, -0.4, 2.0])
    each = GammaCumulants(3 * shapes, 9 * shapes, 54 * shapes)
    total, x = each.summed(np.ones(3)), np.array([50.0])
    assert total.outer_tail(x) == pytest.approx(stats.gamma(shapes.sum(), scale=3).sf(x), rel=1e-12)
    drawn = np.random.default_rng(0).gamma(shapes, 3.0, (1_000_000, 3)) @ weights
    by_three, by_all = each.summed(weights), each.weighted(weights)
    assert by_three.mean == pytest.approx(weights @ each.mean)
    assert by_three.third == pytest.approx(weights**3 @ each.third)
    for level in (0.3, 0.03, 1e-4):
        x = np.array([np.quantile(drawn, 1 - level)])
        assert by_all.outer_tail(x) == pytest.approx(level, rel=0.1)
        if level > 0.01:
            assert by_three.outer_tail(x) == pytest.approx(level, rel=0.15)


def test_the_logarithm_of_a_gamma():
    """-(log(1 - x) + x)/x^2 through 0, on either side of the change of formula."""
    for x in (-0.9, -1.01e-4, -0.99e-4, 1e-9, 0.99e-4, 1.01e-4, 0.7):
        series = sum(x**k / (k + 2) for k in range(400)) if x < 0.5 else None
        wanted = series if abs(x) < 1e-3 else -(np.log1p(-x) + x) / x**2
        assert _logarithm(np.array(x)) == pytest.approx(
            wanted, rel=1e-11 if abs(x) < 1e-4 else 1e-7
        )
    assert _logarithm(np.array(0.0)) == 0.5


@pytest.mark.parametrize("skewness", [0.7, -0.7])
def test_cumulants_are_finite_at_the_end_of_their_domain_and_beyond(skewness):
    """A search for a tilt may try it; within, K is -log(1 - t s) beside a line."""
    found, end = of(5.0, 3.0, skewness), 2 / (3.0 * skewness)
    low, high = found.domain[:, 0]
    assert (high if skewness > 0 else low) == pytest.approx(end, rel=1e-14)
    inside = end / 2
    shape = 4 / skewness**2
    wanted = 5.0 * inside + shape * (np.log(2) - 0.5)
    assert found.at(np.array([inside]))[0, 0] == pytest.approx(wanted, rel=1e-13)
    for share in (1.0, 1.5, 1.999, 3.0):
        assert np.isfinite(found.at(np.array([share * end]))).all()
