"""`mle.boundary`: an extreme prior has the threshold's height, and no neighbour of both more."""

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle import profile_likelihood
from elbo_ref.mle.boundary import Extreme, on_boundary, on_ellipse
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.intervals import PARAMETERS
from elbo_ref.mle.solve import solve

COUNTS = er.datasets.load("chromosome")
SUMS = FactorialSums.of(COUNTS)
EACH = pytest.mark.parametrize("of", PARAMETERS)


@EACH
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_extreme_prior(of, sign):
    (best,) = solve(COUNTS).candidates
    threshold = best.log_evidence - 1.5
    near = on_ellipse(best, SUMS, of, 1.5, sign)
    found = on_boundary(COUNTS, SUMS, of, threshold, near)
    assert er.log_evidence(found.prior, COUNTS) == pytest.approx(threshold, abs=1e-12)
    value = PARAMETERS[of](*found.prior.arrays())
    assert np.sign(value - PARAMETERS[of](*best.prior.arrays())) == sign
    a, b = map(float, found.prior.arrays())
    for turn in np.linspace(0, 2 * np.pi, 40):
        prior = er.Beta(a * np.exp(1e-3 * np.cos(turn)), b * np.exp(1e-3 * np.sin(turn)))
        inside = er.log_evidence(prior, COUNTS) >= threshold
        farther = sign * (PARAMETERS[of](*prior.arrays()) - value) > 0
        assert not (inside and farther)


def test_nowhere():
    """No prior has a log evidence so high."""
    threshold = solve(COUNTS).candidates[0].log_evidence + 1
    assert on_boundary(COUNTS, SUMS, "mean", threshold, er.Beta(5.0, 5.0)) is None


@EACH
def test_an_extreme_that_is_no_end_is_not_taken(monkeypatch, of):
    wanted = er.maximize_evidence(COUNTS).confidence_interval(of)

    def inner(counts, sums, parameter, threshold, near):
        found = on_boundary(counts, sums, parameter, threshold + 0.1, near)
        return found and Extreme(found.prior, found.error)

    monkeypatch.setattr(profile_likelihood, "on_boundary", inner)
    found = er.maximize_evidence(COUNTS).confidence_interval(of)
    np.testing.assert_allclose([*found], [*wanted], rtol=1e-11)
