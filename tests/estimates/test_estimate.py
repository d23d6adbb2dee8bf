"""`er.estimate`: averaged over the prior, at the evidence maximum, and under a given prior.

The averaged posterior is held by a slow quadrature in other coordinates (`oracle`), by what is
published of the rat tumours, and by what must hold of it: mirrored, permuted, repeated counts. No
counts at all raise.
"""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from estimates.oracle import Twin
from hypothesis import given, settings, strategies as st
from scipy import special as sc

import elbo_ref as er
from elbo_ref.estimates.density import LogDensity
from elbo_ref.estimates.fit import Fit
from elbo_ref.estimates.quadrature import STEP_Y, Nodes, over_y
from elbo_ref.estimates.reduction import reduced
from elbo_ref.mle.factorial_sums import FactorialSums, WeightedOffsets
from kinds import one_row
from tiers import few

TABLES = {
    "three": er.Counts([3, 4, 9], 10),
    "sizes": er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12], [1, 2, 1, 3, 1]),
    "zeros": er.Counts([0, 0, 0], [5, 10, 20]),
    "all_or_none": er.Counts([0, 6, 6], 6),
    "binomial": er.Counts([5, 5, 5, 5], 10),
    "one_latent": er.Counts(3, 10),
    "single_trials": er.Counts([0, 1, 1], 1),
}


@pytest.mark.parametrize("counts", few(TABLES.values(), first=2))
def test_against_a_slow_quadrature(counts):
    """Means and shrinkage to 1e-9, and tails of 2.5 % at the ends, as far as the twin is exact."""
    found = er.estimate(counts)
    n = counts.total_count
    trials = counts.multiplicity.sum() / (counts.multiplicity / n).sum()
    twin = Twin(counts, trials / 4)
    for i, k in enumerate(counts.successes):
        assert found.mean[i] == pytest.approx(twin.mean(k, n[i]), abs=1e-9)
        assert found.shrinkage[i] == pytest.approx(twin.shrinkage(n[i]), abs=1e-9)
        if found.lower[i] > 1e-20:
            assert twin.below(k, n[i], found.lower[i]) == pytest.approx(0.025, abs=2e-5)
        if found.upper[i] < 1 - 1e-12:
            assert twin.below(k, n[i], found.upper[i]) == pytest.approx(0.975, abs=2e-5)


def test_the_twin_sees_another_hyperprior():
    counts = TABLES["three"]
    other = Twin(counts, 2.5, weight=(1.0, 2.0))
    assert abs(er.estimate(counts).mean[2] - other.mean(9, 10)) > 1e-3


LEAST = {
    "failures": ([0, 0], [5, 4]),
    "successes": ([5, 4], [5, 4]),
    "no_trials": (0, 0),
    "single_trials": ([0, 1], 1),
    "all_or_none": ([0, 5, 0], [5, 5, 0]),
    "binomial": ([5, 5], 10),
}
PRIORS = {"averaged": "averaged", "mle": "mle", "given": er.Beta(2.0, 8.0)}


@pytest.mark.parametrize(("k", "n"), LEAST.values(), ids=LEAST)
@pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)
def test_nothing_raises(k, n, prior):
    found = er.estimate(er.Counts(k, n), prior)
    assert ((found.lower <= found.upper) & (found.lower >= 0) & (found.upper <= 1)).all()
    inside = (found.lower <= found.mean) & (found.mean <= found.upper)
    assert (inside | np.isnan(found.mean)).all()


@pytest.mark.thorough
@pytest.mark.parametrize("tenths", [[3], [6], [3, 2, 1], [5, 9]])
@pytest.mark.parametrize("n", [10**12, 10**15, 9 * 10**18])
def test_huge_counts(tenths, n):
    """So many trials say what their own rate is, whatever the prior; to the digits of a float."""
    k = np.array(tenths) * (n // 10)
    found = er.estimate(er.Counts(k, n))
    rate = np.array(tenths) / 10
    away = sc.ndtri(0.975) * np.sqrt(rate * (1 - rate) / n)
    close = 1e-5 if n > 2**60 else 1e-7
    np.testing.assert_allclose(found.mean, rate, rtol=0, atol=(100 * close * away).min())
    np.testing.assert_allclose((found.upper - found.lower) / 2, away, rtol=close)


def test_the_density_of_huge_counts():
    """1e-8 nats about its mode, against mpmath; by sums over offsets alone it is 1e-3 off."""
    mp = mpmath.mp.clone()
    mp.dps = 50
    n = 10**15
    k = n // 3

    def exact(y, z):
        s, m = mp.exp(z), 1 / (1 + mp.exp(-y))
        a, b, w = m * s, (1 - m) * s, 1 / (1 + 4 * s / n)
        high = mp.loggamma(a + k) + mp.loggamma(b + n - k) - mp.loggamma(s + n)
        low = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(s)
        return high - low + mp.log(m * (1 - m) * w * (1 - w))

    y, z = float(np.log(0.5)), float(np.log(n / 4))
    by_itself = LogDensity.of(er.Counts(k, n), er.Hyperprior()).anchored(y, z)
    up, down, _, excess, mixed = FactorialSums.of(er.Counts(k, n))
    offsets = [
        WeightedOffsets(x.positive.offset / n, x.positive.weight) for x in (up, down, excess)
    ]
    names = dict(zip(("up", "down", "excess"), offsets, strict=True))
    summed = replace(by_itself, **names, at_0=(1.0, 1.0, mixed), large=None)
    dy = np.array([1e-8, 5e-8, -3e-8, 7e-8, -9e-8, 2e-8])
    dz = np.array([0.1, -1.0, 2.0, 0.5, -0.7, 1.3])
    wanted = [
        float(exact(y + mp.mpf(p), z + mp.mpf(q)) - exact(y, z))
        for p, q in zip(dy, dz, strict=True)
    ]
    np.testing.assert_allclose(by_itself(dy, dz), wanted, rtol=0, atol=1e-8)
    assert np.abs(summed(dy, dz) - wanted).max() > 1e-3


@pytest.mark.thorough
@settings(max_examples=10, deadline=None)
@given(rows=st.lists(one_row(st.integers(0, 30)), min_size=1, max_size=5))
def test_symmetries(rows):
    """Successes and failures exchanged; another order; equal latents as one entry."""
    k, n = (np.array(x) for x in zip(*rows, strict=True))
    found = er.estimate(er.Counts(k, n))
    mirrored = er.estimate(er.Counts(n - k, n))
    np.testing.assert_allclose(mirrored.mean, 1 - found.mean, rtol=0, atol=1e-11)
    np.testing.assert_allclose(mirrored.lower, 1 - found.upper, rtol=0, atol=1e-8)
    turned = er.estimate(er.Counts(k[::-1], n[::-1]))
    np.testing.assert_array_equal(turned.mean, found.mean[::-1])
    twice = er.estimate(er.Counts([*k, *k], [*n, *n]))
    times = er.estimate(er.Counts(k, n, np.full(k.size, 2)))
    np.testing.assert_array_equal(twice.upper[: k.size], times.upper)


def test_rat_tumors_of_bayesian_data_analysis():
    """The mode of (log(a/b), log(a + b)) under (a + b)^(-5/2) is published as (-1.79, 2.74)."""
    counts, hyperprior = er.datasets.load("rat_tumors"), er.Hyperprior.power(-5 / 2)
    density = LogDensity.of(counts, hyperprior).anchored(-1.79, 2.74)
    steps = np.linspace(-0.1, 0.1, 81)
    height = density(np.tile(steps, 81), np.repeat(steps, 81))
    z, y = np.unravel_index(int(np.argmax(height)), (81, 81))
    assert abs(steps[y]) <= 0.005
    assert abs(steps[z]) <= 0.005


@pytest.mark.parametrize(
    "prior", [(1e-3, 1e-3), (0.01, 3.0), (2.0, 8.0), (3.0, 0.01), (1e-5, 1e5), (1e4, 1e-3)]
)
def test_bounds_under_a_given_prior(prior):
    """Those of one Beta by bisection, however small c or 1 - c is."""
    rng = np.random.default_rng(5)
    n = np.array(10 ** rng.uniform(0, 6, 60), np.int64)
    k = rng.binomial(n, rng.uniform(size=60))
    k[:20], k[20:40] = 0, n[20:40]
    counts, prior = er.Counts(k, n), er.Beta(*prior)
    found, twin = er.estimate(counts, prior), er.posterior_table(prior, counts)
    for name in ("mean", "lower", "upper", "shrinkage"):
        np.testing.assert_allclose(getattr(found, name), getattr(twin, name), rtol=1e-11, atol=0)


def test_tails_above_small_thresholds():
    """Under Beta(a, 1), P(c > t) = 1 - t^a."""
    found = er.estimate(er.Counts(0, 0), er.Beta(1e-3, 1.0))
    for t in (1e-300, 1e-20, 1e-3, 0.5):
        assert found.probability_above(t)[0] == pytest.approx(-np.expm1(1e-3 * np.log(t)), rel=1e-9)


@pytest.mark.parametrize(("latents", "most"), [(40, 80), (1000, 25), (100_000, 10)])
def test_few_nodes_are_enough(latents, most):
    """Distribution functions to 1e-9 of those on a finer grid; 1e-7 for 149 of 149, at odds."""
    rng = np.random.default_rng(latents)
    n = rng.integers(50, 150, latents)
    counts = er.Counts(rng.binomial(n, rng.beta(3.0, 9.0, latents)), n)
    fit = Fit.averaged(counts, er.Hyperprior())
    assert fit.nodes.weight.size <= most
    grid = fit.grid.halved()
    points, log_weight = over_y(grid.density, grid.z, grid.ridge, STEP_Y / 2)
    log_weight += np.log(np.cosh(grid.t))[:, None]
    weight = np.exp(log_weight - sc.logsumexp(log_weight)).ravel()
    y = points.y
    dense = Nodes(y.ravel(), np.repeat(grid.z, y.shape[1]), weight).kept(1e-15)
    (a, b), (p, q) = fit.nodes.concentrations, dense.concentrations
    for k, n in ((0, 50), (12, 50), (20, 149), (149, 149)):
        for c in (0.01, 0.1, 0.25, 0.5, 0.97):
            few_nodes = sc.betainc(a + k, b + n - k, c) @ fit.nodes.weight
            many = sc.betainc(p + k, q + n - k, c) @ dense.weight
            assert few_nodes == pytest.approx(many, abs=1e-7 if k == 149 else 1e-9)


FEW = {
    **TABLES,
    "one_success": er.Counts([1, 0, 0, 0, 0, 0], 20),
    "many_zeros": er.Counts(0, 20, 71),
    "no_trials": er.Counts(0, 0),
    "rare": er.Counts([0, 1, 2, 0], 10**6),
    "odd_sizes": er.Counts([0, 3, 500, 9], [1, 10, 10**5, 10]),
}


@pytest.mark.parametrize("counts", FEW.values(), ids=FEW)
def test_few_nodes_are_enough_for_few_latents(counts):
    """Distribution functions to 1e-6 of those of finer rules; those of a coarse one are not."""
    if counts.successes.sum() > counts.failures.sum():
        counts = counts.mirrored
    grid = Fit.averaged(counts, er.Hyperprior()).grid
    latents = [(0, 0), *zip(counts.successes, counts.failures, strict=True)]
    c = np.array([1e-6, 1e-3, 0.05, 0.3, 0.7])[:, None]
    found = []
    for goal in (5.0, 23.0, 27.0):
        nodes = reduced(grid, goal)
        a, b = nodes.concentrations
        found.append([sc.betainc(a + k, b + f, c) @ nodes.weight for k, f in latents])
    np.testing.assert_allclose(found[1], found[2], rtol=0, atol=1e-6)
    assert np.abs(np.subtract(found[0], found[2])).max() > 1e-5


@pytest.mark.thorough
def test_nodes_stay_few_where_the_prior_may_be_a_point():
    """No successes, and much weight on large s: a million nodes before, and the same intervals."""
    hyperprior = er.Hyperprior(er.Beta(0.5, 0.5), (0.5, 0.5))
    grid = Fit.averaged(er.Counts(0, 20, 20), hyperprior).grid
    c = np.array([1e-6, 1e-3, 0.01, 0.05])[:, None]
    found = []
    for goal in (21.0, 23.0):
        nodes = reduced(grid, goal)
        a, b = nodes.concentrations
        found.append(sc.betainc(a, b + 20, c) @ nodes.weight)
        assert nodes.weight.size < 100_000
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-6)
    twin = Twin(er.Counts([0] * 20, 20), 5.0, mean=(0.5, 0.5), weight=(0.5, 0.5))
    np.testing.assert_allclose(found[1], [twin.below(0, 20, x) for x in c[:, 0]], atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("k", [[0, 0, 0], [3, 4, 9]])
def test_a_hyperprior_without_much_of_an_end(k):
    """Much of its mass is where s is no float; nothing is lost, and nothing warns."""
    hyperprior = er.Hyperprior(er.Beta(0.5, 0.5), (0.02, 0.5))
    found = er.estimate(er.Counts(k, 10), hyperprior=hyperprior)
    assert ((found.lower < found.mean) & (found.mean < found.upper)).all()
    mean, concentration, rho = found.prior_parameters[None]
    assert 0 < mean.lower < mean.value < mean.upper < 1
    assert concentration.lower < concentration.value < concentration.upper
    assert 0 <= rho.lower < rho.upper < 1
