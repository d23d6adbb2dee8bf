"""Tails by the saddlepoint formula, against distributions that SciPy knows exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy import special, stats

from elbo_ref.crosscheck.cumulants import ALL, Sum, Weighted
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.saddlepoint import (
    SaddlepointDistribution,
    SampledDistribution,
    p_values,
)
from tiers import few


def gamma(shape, scale=1.0, loc=0.0):
    """Cumulants of a gamma distribution; negative scales reflect it."""
    shape, scale, loc = np.broadcast_arrays(*map(np.atleast_1d, (shape, scale, loc)))
    return GammaCumulants(loc + shape * scale, shape * scale**2, 2 * shape * scale**3)


def exact_tail(frozen, mean, x):
    """The probability farther out."""
    return frozen.sf(x) if x > mean else frozen.cdf(x)


class Uniform(NamedTuple):
    """K(s) = log(sinh(s/2) / (s/2)) of a number uniform in (-1/2, 1/2)."""

    closed = True
    size: int

    @property
    def domain(self):
        return np.repeat([[-np.inf], [np.inf]], self.size, axis=1)

    def at(self, s, rows=ALL):
        s = np.where(np.abs(s) < 1e-3, 1e-3, s)
        half = s / 2
        k = np.abs(half) + np.log(-np.expm1(-np.abs(s))) - np.log(np.abs(s))
        return np.array((k, 0.5 / np.tanh(half) - 1 / s, 1 / s**2 - 0.25 / np.sinh(half) ** 2))


@pytest.mark.parametrize("shape", few([1.0, 0.3, 7.0, 200.0]))
@pytest.mark.parametrize("scale", [2.0, -2.0])
def test_gamma_tails(shape, scale):
    """Within Stirling's error of Gamma(shape), and 2%, to p = 1e-3 and for large shapes farther.

    Where the formula is not believed, and below all doubt, it is at most Chernoff's bound.
    """
    frozen, slack = stats.gamma(shape, scale=2), 0.02 + 1 / (12 * shape)
    found = SaddlepointDistribution(gamma(shape, scale))
    assert found.variance[0] == pytest.approx(4 * shape)
    for p in (0.4, 0.1, 1e-3, 1e-10, 1e-18, 1e-40):
        for x in (frozen.isf(p), frozen.ppf(p)):
            wanted = exact_tail(frozen, 2 * shape, x)
            tail = found.outer_tail(np.array([np.sign(scale) * x]))[0]
            chernoff = np.exp(shape - x / 2 + shape * np.log(x / 2 / shape))
            precise = p >= (1e-3 if shape <= 1 else 1e-18)
            most = wanted * (1 + slack) if precise else max(1.01 * chernoff, 1e-20)
            assert tail > wanted * (1 - slack), (p, x)
            assert tail < most or x < 1e-2, (p, x)  # the end of the distribution: weaker bounds


@pytest.mark.parametrize("scale", [1.0, -2.0])
def test_gamma_densities(scale):
    """Exact but for their integral's quadrature: that of Gamma(1/2) would be 1.17, untreated."""
    shapes = np.array([0.5, 1.0, 3.0, 200.0])
    found = SaddlepointDistribution(gamma(shapes, scale))
    law = stats.norm(shapes * scale, np.sqrt(shapes) * abs(scale))
    for x in (0.6 * shapes, shapes, 1.7 * shapes):
        wanted = stats.gamma(shapes, scale=abs(scale)).logpdf(abs(scale) * x)
        wanted = np.maximum(wanted, law.logpdf(scale * x) - 50)
        error = np.abs(found.log_density(scale * x) - wanted)
        assert (error < [3e-4, 1e-4, 5e-5, 3e-6]).all()


@pytest.mark.parametrize("scale", [1.0, -2.0, 1e-5, -1e4])
def test_tails_are_the_formula(scale):
    """Lugannani & Rice (1980), equation 3.5, where s is known: 1 - shape/x for a gamma."""
    shapes = np.array([0.5, 1.0, 3.0, 200.0])
    found = SaddlepointDistribution(gamma(shapes, scale))
    for ratio in (0.6, 0.9, 0.99, 1.01, 1.1, 1.7, 3.0):
        x = ratio * shapes
        away = np.abs(x - shapes) / np.sqrt(shapes)
        s = 1 - shapes / x
        r = np.sqrt(2 * (s * x + shapes * np.log1p(-s)))
        u = np.abs(s) * x / np.sqrt(shapes)
        wanted = stats.norm.sf(r) + stats.norm.pdf(r) * (1 / u - 1 / r)
        wanted = np.where(away < 1e-3, 0.5, wanted)
        precise = r * r / 2 < 40
        got = found.outer_tail(scale * x)
        rel = 3e-6 if abs(ratio - 1) > 0.05 else 2e-4  # where the terms cancel
        assert got[precise] == pytest.approx(wanted[precise], rel=rel, abs=0)
        assert (got[~precise] < np.exp(-40.0)).all()


def test_where_the_formula_is_not_believed():
    """Less than a tenth of Chernoff's bound over 1 + r, which is taken then."""
    for shape, ratio, believed in (
        *((0.01, 3.0, False), (0.1, 10.0, False), (0.3, 30.0, False)),
        *((0.3, 10.0, True), (0.5, 30.0, True), (0.1, 0.01, True)),
    ):
        x = np.array([ratio * shape])
        bound = np.exp(shape - x - shape * np.log(1 / ratio))
        got = SaddlepointDistribution(gamma(shape)).outer_tail(x)
        assert np.allclose(got, bound, rtol=1e-5) != believed, (shape, ratio)


@pytest.mark.parametrize("scale", [3.0, 1e-4])
def test_tails_beside_the_mean(scale):
    """Half within a thousandth of the standard deviation; the formula beyond it is near."""
    found = SaddlepointDistribution(gamma([4.0] * 4, scale))
    x = scale * (4 + 2 * np.array([-0.999e-3, 0.999e-3, -1.1e-3, 1.1e-3]))
    tails = found.outer_tail(x)
    assert (tails[:2] == 0.5).all()
    assert tails[2:] == pytest.approx(0.5, abs=0.1)
    assert (tails[2:] != 0.5).all()


def test_a_number_without_spread():
    found = SaddlepointDistribution(GammaCumulants(*(np.full(2, v) for v in (1.0, 0.0, 0.0))))
    assert found.outer_tail(np.array([1.0, 1.0])).tolist() == [0.5, 0.5]
    density = found.log_density(np.array([1.0, 1.0]))
    assert density == pytest.approx(-np.log(2 * np.pi * 1e-300) / 2, rel=1e-12)


def test_a_p_value_is_at_most_one():
    """The tail below the mean is more than half there."""
    found = SaddlepointDistribution(gamma(0.5))
    assert found.outer_tail(np.array([0.4]))[0] > 0.55
    assert p_values(found, np.array([0.4]), np.zeros(1))[0] == 1.0


@pytest.mark.parametrize("scale", [1.0, -2.0])
def test_gamma_densities_in_closed_form(scale):
    """Of any shape to rounding, a normal's in the limit, and hardly any beyond the end."""
    shapes = np.array([0.5, 1.0, 3.0, 200.0, 1e5])
    law = stats.norm(shapes * scale, np.sqrt(shapes) * abs(scale))
    for x in (0.6 * shapes, shapes, 1.7 * shapes):
        wanted = stats.gamma(shapes, scale=abs(scale)).logpdf(abs(scale) * x)
        wanted = np.maximum(wanted, law.logpdf(scale * x) - 50)
        assert gamma(shapes, scale).log_density(scale * x) == pytest.approx(wanted, rel=1e-9)
    beyond = gamma(shapes, scale).log_density(-scale * shapes)
    assert beyond == pytest.approx(law.logpdf(-scale * shapes) - 50, rel=1e-9)
    x, normal = np.linspace(-9.0, 9.0, 7), stats.norm(1, 2).logpdf
    for third in (0.0, 1e-9):
        limit = GammaCumulants(np.array([1.0]), np.array([4.0]), np.array([third]))
        assert limit.log_density(x) == pytest.approx(normal(x), rel=1e-8)


def test_densities_integrate_to_one():
    """Sums of independent numbers with ends on both sides; and one law for several numbers."""
    x = np.linspace(-40.0, 40.0, 4001)
    parts = [gamma(shape + 0 * x, scale) for shape, scale in ((0.9, 1.0), (1.3, -0.7), (2.0, 0.4))]
    found = SaddlepointDistribution(Sum(tuple(parts)), np.zeros(x.size, int))
    assert np.exp(found.log_density(x)).sum() * (x[1] - x[0]) == pytest.approx(1.0, abs=1e-3)
    alone = SaddlepointDistribution(Sum(tuple(parts)))
    assert alone.log_density(x) == pytest.approx(found.log_density(x), abs=1e-12)


def test_a_normal_is_exact():
    found = SaddlepointDistribution(GammaCumulants(*(np.full(3, v) for v in (1.0, 4.0, 0.0))))
    x = np.array([-9.0, 3.0, 41.0])
    assert found.outer_tail(x) == pytest.approx(stats.norm.sf(np.abs(x - 1) / 2), rel=1e-6, abs=0.0)
    assert found.log_density(x) == pytest.approx(stats.norm.logpdf(x, 1, 2))


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.5, 0.0, 3.0], [1.0, 2.0, -1.5]])
def test_weighted_sums(weights):
    """Against 400,000 draws, within 6% and their noise."""
    shapes, rng = np.array([0.5, 2.0, 1.0]), np.random.default_rng(0)
    found = SaddlepointDistribution(gamma(shapes)).weighted(np.array(weights))
    draws = rng.gamma(shapes, size=(400_000, 3)) @ weights
    assert found.mean[0] == pytest.approx(shapes @ weights)
    for q in (0.001, 0.05, 0.95, 0.999):
        x = np.quantile(draws, q)
        wanted = np.mean(draws > x) if q > 0.5 else np.mean(draws < x)
        slack = 0.06 + 5 / np.sqrt(400_000 * wanted)
        assert found.outer_tail(np.array([x]))[0] == pytest.approx(wanted, rel=slack)


def test_a_weighted_sum_is_finite_where_each_part_is():
    parts = Weighted(gamma([1.0, 1.0, 1.0], [1.0, 2.0, -4.0]), np.array([1.0, 0.0, 2.0]))
    assert parts.domain.tolist() == [[-1 / 8], [1.0]]


def test_a_sum_of_independent_parts():
    both = Sum((gamma([1.0, 2.0]), gamma([2.5, 0.5])))
    whole = gamma([3.5, 2.5])
    s = np.array([0.3, -2.0])
    assert both.at(s) == pytest.approx(whole.at(s))
    assert both.at(s[1:], np.array([False, True])) == pytest.approx(whole.at(s)[:, 1:])
    assert both.domain == pytest.approx(whole.domain)


def test_beyond_the_end_of_a_number():
    """Where no s has K'(s) = x the tail is as good as zero, and stays finite beside the end."""
    found = SaddlepointDistribution(Uniform(4))
    tails = found.outer_tail(np.array([0.6, -2.0, 0.25, -0.4]))
    assert tails[:2].max() < 1e-12
    assert tails[2:] == pytest.approx([0.25, 0.1], rel=0.2)


def test_p_values_allow_for_rounding():
    found = SaddlepointDistribution(gamma([4.0] * 3))
    x, none = np.array([9.0, 9.0, 4.1]), np.zeros(3)
    p = p_values(found, x, np.array([0.0, 1.0, 0.2]))
    assert p[0] == pytest.approx(2 * stats.gamma(4).sf(9), rel=0.05)
    assert p[1] == pytest.approx(2 * stats.gamma(4).sf(8), rel=0.05)
    assert p[2] == 1.0 > p_values(found, x, none)[2]


def test_negative_control_another_distribution_has_other_tails():
    found = SaddlepointDistribution(gamma(1.0))
    x = stats.gamma(2.0, scale=0.5).isf([1e-6])  # the same mean
    assert found.outer_tail(x)[0] > 20e-6


def test_sampled_tails():
    """By 40,000 draws, an exponential beyond them; reflected below the mean."""
    draws = stats.expon().rvs((2, 40_000), random_state=np.random.default_rng(0))
    found = SampledDistribution(draws * [[1.0], [-1.0]])
    for p, slack in ((0.2, 0.05), (0.01, 0.25), (1e-7, 3.0)):
        x = -np.log(p)
        tails = found.outer_tail(np.array([x, -x]))
        assert (tails < p * (1 + slack)).all()
        assert (tails > p / (1 + slack)).all()
    total = found.weighted(np.array([1.0, -1.0]))
    assert total.outer_tail(np.array([9.0]))[0] == pytest.approx(stats.gamma(2).sf(9), rel=0.3)


DRAWS = np.sort(np.random.default_rng(1).gamma(2.0, size=(2, 4000)) * [[1.0], [-3.0]], axis=1)


def farther(draws, x):
    """Draws and x on the side of the mean where x is; reflected if it is below."""
    return (-draws[::-1], -x) if x < draws.mean() else (draws, x)


@pytest.mark.parametrize("rows", [[0, 1], [1, 0, 1]])
def test_sampled_tails_and_densities_are_the_formula(rows):
    """The share of draws up to the farthest forty, then their exponential; gaps of neighbours."""
    found = SampledDistribution(DRAWS[:, ::-1], np.array(rows))
    assert not found.closed
    np.testing.assert_allclose(found.mean, DRAWS.mean(axis=1)[rows], rtol=1e-13)
    np.testing.assert_allclose(found.variance, DRAWS.var(axis=1)[rows], rtol=1e-12)
    for q in (0.0, 1e-3, 0.02, 0.3, 0.5, 0.8, 0.9899, 0.9901, 0.999, 1.0):
        x = np.quantile(DRAWS, q, axis=1)[rows] + 1e-9
        for i, row in enumerate(rows):
            draws, value = farther(DRAWS[row], x[i])
            beyond, begin = int((draws >= value).sum()), draws[-41]
            scale = draws[-40:].mean() - begin
            if beyond < 40:
                tail = 40 * np.exp(-(value - begin) / scale) / 4000
                density = np.log(40 / 4000 / scale) - (value - begin) / scale
            else:
                tail, rank = beyond / 4000, 4000 - beyond
                reach = min(int(4000**0.5 / 2), 1 + beyond // 4, rank)
                gap = draws[rank + reach] - draws[rank - reach]
                density = special.psi(2 * reach + 1) - np.log(4000 * gap)
            assert found.outer_tail(x)[i] == pytest.approx(tail, rel=1e-12, abs=0), (q, row)
            assert found.log_density(x)[i] == pytest.approx(density, rel=1e-12), (q, row)


@pytest.mark.parametrize(("size", "count"), [(100, 5), (990, 9), (40_000, 50)])
def test_the_farthest_draws_are_a_hundredth(size, count):
    """At least five, at most fifty: beyond them the tail is an exponential."""
    draws = np.arange(1.0, size + 1)[None]
    found = SampledDistribution(draws)
    x = size + 0.5 - np.array([count, count - 1])
    known, smoothed = (found.outer_tail(x[i : i + 1])[0] for i in range(2))
    assert known == count / size
    scale = (count + 1) / 2
    assert smoothed == pytest.approx(count / size * np.exp(-1.5 / scale), rel=1e-12)


def test_ranks_are_uniform_numbers():
    """(rank + u) / (draws + 1), ties below."""
    found = SampledDistribution(
        np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), np.array([1, 0, 0])
    )
    u = np.random.default_rng(2).random(3)
    got = found.uniform(np.array([25.0, 0.5, 3.0]), np.random.default_rng(2))
    np.testing.assert_allclose(got, (np.array([2, 0, 2]) + u) / 4, rtol=1e-15)


def test_sums_of_draws():
    """Each number's own row; shared rows are shifted by as much as keeps them apart."""
    draws, weights = DRAWS[:, :12], np.array([1.0, -2.0])
    own = SampledDistribution(draws).weighted(weights)
    np.testing.assert_array_equal(own._unsorted, (weights @ draws)[None])
    weights = np.array([1.0, -2.0, 0.5])
    rows = np.array([0, 1, 0])
    shared = SampledDistribution(draws, rows).weighted(weights)
    wanted = draws[0] - 2 * np.roll(draws[1], 4) + 0.5 * np.roll(draws[0], 8)
    np.testing.assert_allclose(shared._unsorted, wanted[None], rtol=1e-13)


def test_a_density_by_parts_is_that_of_their_mixture():
    parts = gamma([[1.0, 2.0], [3.0, 5.0]])
    found = SampledDistribution(DRAWS, parts=parts)
    x = np.array([1.5, 2.5])
    wanted = (stats.gamma([1.0, 2.0]).pdf(x) + stats.gamma([3.0, 5.0]).pdf(x)) / 2
    np.testing.assert_allclose(found.log_density(x), np.log(wanted), rtol=1e-9)


class Counted(NamedTuple):
    """Cumulants that note how many are asked for."""

    cumulants: GammaCumulants
    asked: list[int]
    closed = True

    @property
    def domain(self):
        return self.cumulants.domain

    def at(self, s, rows=ALL):
        self.asked.append(len(s))
        return self.cumulants.at(s, rows)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_tails_do_not_depend_on_the_unit(scale):
    """And are found in a few steps of Newton's method, each of the numbers that are left."""
    deviations = np.array([-3.0, -1.0, -0.1, 0.1, 1.0, 4.0])
    shapes = np.full(6, 5.0)
    plain, counted = gamma(shapes), Counted(gamma(shapes, scale), [])
    found = SaddlepointDistribution(counted)
    x = shapes + deviations * np.sqrt(shapes)
    wanted = SaddlepointDistribution(plain).outer_tail(x)
    assert found.outer_tail(scale * x) == pytest.approx(wanted, rel=1e-9)
    assert sum(counted.asked) < 15 * len(x)
    assert counted.asked[-1] < len(x)


@pytest.mark.parametrize("shape", [1e-4, 1e-2, 0.3, 5.0])
def test_a_tail_is_a_probability(shape):
    """Below the mean of a distribution that is nearly a point the formula gives up to 26."""
    ratios = np.linspace(0.01, 3.0, 40)
    tails = SaddlepointDistribution(gamma(np.full(40, shape))).outer_tail(shape * ratios)
    assert ((tails >= 0) & (tails <= 1)).all()
