"""`er.estimate`: averaged over the prior, at the evidence maximum, and under a given prior.

The averaged posterior is held by a slow quadrature in other coordinates (`oracle`), by what is
published of the rat tumours, and by what must hold of it: mirrored, permuted, repeated counts. No
counts at all raise.
"""

import numpy as np
import pytest
from estimates.oracle import Twin
from hypothesis import given, settings, strategies as st

import elbo_ref as er
from elbo_ref.estimates.density import LogDensity
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
    twin = Twin(counts, trials)
    for i, k in enumerate(counts.successes):
        assert found.mean[i] == pytest.approx(twin.mean(k, n[i]), abs=1e-9)
        assert found.shrinkage[i] == pytest.approx(twin.shrinkage(n[i]), abs=1e-9)
        if found.lower[i] > 1e-20:
            assert twin.below(k, n[i], found.lower[i]) == pytest.approx(0.025, abs=2e-5)
        if found.upper[i] < 1 - 1e-12:
            assert twin.below(k, n[i], found.upper[i]) == pytest.approx(0.975, abs=2e-5)


def test_the_twin_sees_another_hyperprior():
    counts = TABLES["three"]
    other = Twin(counts, 10.0, weight=(1.0, 2.0))
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
@pytest.mark.parametrize("k", [[10**15 // 3], [3 * 10**14, 2 * 10**14, 10**14]])
def test_huge_counts(k):
    """1e15 trials say what their own rate is, whatever the prior."""
    k = np.array(k)
    found = er.estimate(er.Counts(k, 10**15))
    away = 1.959964 * np.sqrt(k / 1e15 * (1 - k / 1e15) / 1e15)
    np.testing.assert_array_less(np.abs(found.mean - k / 1e15), away / 100)
    np.testing.assert_allclose((found.upper - found.lower) / 2, away, rtol=1e-4)


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
    height = density(np.broadcast_to(steps, (81, 81)), steps)
    z, y = np.unravel_index(int(np.argmax(height)), height.shape)
    assert abs(steps[y]) <= 0.005
    assert abs(steps[z]) <= 0.005
