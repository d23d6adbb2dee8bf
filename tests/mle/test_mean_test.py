"""`elbo_ref.mle.mean_test`: one mean for the priors of several groups.

Held by a search over all parameters at once, by cases that are known, and by how often it rejects:
where the means are equal and the concentrations differ, as often as it says, and seldom where the
means differ little; the test of one prior rejects both.
"""

import numpy as np
import pytest
from scipy import optimize, special as sc

import elbo_ref as er
from elbo_ref.mle.mean_test import _maximum, same_mean_test
from elbo_ref.mle.tests import same_prior_test


def maxima(groups, n=10):
    return [er.maximize_evidence(er.Counts(k, n)) for k in groups]


def searched(groups):
    """The statistic, by Nelder and Mead over the mean and all concentrations."""

    def loss(x):
        m, scales = sc.expit(x[0]), np.exp(np.clip(x[1:], -20, 25))
        priors = [er.Beta(m * s, (1 - m) * s) for s in scales]
        pairs = zip(priors, groups, strict=True)
        return -sum(er.log_evidence(prior, group.counts) for prior, group in pairs)

    starts = [[-1.0, *[z] * len(groups)] for z in (0.5, 4.0)]
    options = {"xatol": 1e-6, "fatol": 1e-10, "maxiter": 3000}
    lowest = min(
        optimize.minimize(loss, start, method="Nelder-Mead", options=options).fun
        for start in starts
    )
    return 2 * (sum(group.log_evidence for group in groups) + lowest)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "rows",
    [
        ([3, 4, 4, 3], [1, 9, 2, 6]),
        ([1, 2, 0, 3], [7, 9, 6, 8], [4, 5, 5, 0]),
        ([0, 0, 0], [1, 0, 2]),
        ([5, 5, 5], [2, 7, 9]),
    ],
)
def test_against_a_search(rows):
    groups = maxima(rows)
    assert same_mean_test(groups).statistic == pytest.approx(searched(groups), abs=1e-6)


def test_what_is_known():
    """Equal groups; only zeros; only ones beside only zeros, whose best common mean is 1/2."""
    for rows in (([3, 5], [3, 5]), ([0, 0], [0]), ([3, 5],)):
        found = same_mean_test(maxima(rows))
        assert (found.statistic, found.pvalue) == (0.0, 1.0)
    apart = same_mean_test(maxima(([10, 10], [0, 0])))
    assert apart.statistic == pytest.approx(8 * np.log(2), abs=1e-9)
    assert apart.pvalue == pytest.approx(sc.chdtrc(1, 8 * np.log(2)), abs=1e-9)


def test_a_group_without_trials_says_nothing():
    two = maxima(([10, 10], [0, 0]))
    with_none = [*two, er.maximize_evidence(er.Counts(0, 0))]
    assert same_mean_test(with_none) == same_mean_test(two)


@pytest.mark.slow
def test_how_often_it_rejects():
    """At 5 %, 200 data sets: 2 to 12 % where the means are equal (asymptotics; a true 7 % leaves
    this once in 300), and the test of one prior, the negative control, far more often."""
    rng = np.random.default_rng(22)
    rejected = np.zeros(2)
    for _ in range(200):
        rows = rng.binomial(20, rng.beta(2, 8, 30)), rng.binomial(20, rng.beta(20, 80, 30))
        groups = maxima(rows, 20)
        together = er.maximize_evidence(er.Counts(np.concatenate(rows), 20))
        found = same_mean_test(groups), same_prior_test(together, groups)
        rejected += [x.pvalue < 0.05 for x in found]
    assert 0.02 <= rejected[0] / 200 <= 0.12
    assert rejected[1] > 70


@pytest.mark.thorough
def test_groups_without_trials_count_for_nothing():
    """Neither in the degrees of freedom of this test nor of that of one prior."""
    groups = [
        *maxima(([1, 2, 0, 3], [7, 9, 6, 8])),
        er.maximize_evidence(er.Counts([0, 0], [0, 0])),
    ]
    together = er.maximize_evidence(er.Counts([1, 2, 0, 3, 7, 9, 6, 8], 10))
    for test in (same_mean_test, lambda x: same_prior_test(together, x)):
        one, two = test(groups[:2]), test(groups)
        assert one.dof == two.dof and one.statistic == pytest.approx(two.statistic, rel=1e-12)
    assert same_mean_test(groups[2:]).dof == same_mean_test([]).dof == 0
    assert same_prior_test(together, groups[2:]).dof == 0
    assert same_prior_test(together, groups[:2]).dof == 2
    held = [er.maximize_evidence(x.counts, {"mean": 0.5}) for x in (together, *groups[:2])]
    assert same_prior_test(held[0], held[1:]).dof == 1


def test_a_scan_of_nine_values_and_golden_sections():
    """The highest of a function with a narrow top beside a broad one, between its ends."""
    seen = []

    def height(x):
        seen.append(x)
        return max(1.0 - abs(x - 0.5), 1.2 - 8 * abs(x - 0.26))

    assert _maximum(height, 0.0, 1.0) == pytest.approx(1.2, abs=1e-5)
    assert seen[:9] == np.linspace(0, 1, 9).tolist()
    assert min(abs(x - 0.26) for x in seen) < 1e-6
    golden = (5**0.5 - 1) / 2
    assert seen[9:11] == pytest.approx([0.375 - golden * 0.25, 0.125 + golden * 0.25])


@pytest.mark.parametrize("width", [0.01, 1.0, 50.0])
def test_sections_end_at_a_millionth(width):
    """Of how far the ends are apart, or of one where that is more."""
    seen = []

    def height(x):
        seen.append(x)
        return -((x - 0.3 * width) ** 2)

    _maximum(height, 0.0, width)
    golden, most = (5**0.5 - 1) / 2, 1e-6 * min(width, 1.0)
    steps = np.ceil(np.log(width / 4 / most) / -np.log(golden))
    assert abs(len(seen) - (9 + 2 + steps)) <= 1
