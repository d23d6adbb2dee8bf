"""`mle.boundary`: an extreme prior has the threshold's height, and no neighbour of both more."""

from fractions import Fraction

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle import profile_likelihood
from elbo_ref.mle.binomial import BinomialLimit
from elbo_ref.mle.boundary import Extreme, below_limit, on_boundary, on_ellipse
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.intervals import PARAMETERS
from elbo_ref.mle.solve import solve

COUNTS = er.datasets.load("chromosome")
SUMS = FactorialSums.of(COUNTS)
SMALL = er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12])
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


@EACH
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("counts", [er.Counts(6, 10), er.Counts([3, 4, 1], [10, 9, 8])])
def test_an_extreme_prior_below_a_binomial_limit(counts, of, sign):
    """Both ends of the mean are found from there, and the lower one of the others."""
    best = solve(counts).candidates[0]
    assert best.kind == "binomial"
    threshold = best.log_evidence - 1.92
    near = below_limit(counts, of, 1.92, sign)
    found = on_boundary(counts, FactorialSums.of(counts), of, threshold, near)
    assert er.log_evidence(found.prior, counts) == pytest.approx(threshold, abs=1e-12)
    region = er.maximize_evidence(counts).confidence_interval(of, level=0.95)
    end = region.upper if of == "mean" and sign > 0 else region.lower
    assert PARAMETERS[of](*map(float, found.prior.arrays())) == pytest.approx(end, rel=2e-3)


def test_the_guess_below_a_binomial_limit():
    """Logit m moves by the binomial's parabola, 1/s by the slope; a binomial has no guess."""
    counts = er.Counts([3, 4, 1], [10, 9, 8])
    slope = float(BinomialLimit.of(counts, Fraction(8, 27)).slope)
    for of in PARAMETERS:
        a, b = map(float, below_limit(counts, of, 1.5, 1).arrays())
        away = np.sqrt(2 * 1.5 * 27 / (8 * 19)) if of == "mean" else 0.0
        assert a + b == pytest.approx(-slope / 1.5, rel=1e-12)
        assert np.log(a / b) - np.log(8 / 19) == pytest.approx(away, abs=1e-12)
    assert below_limit(er.Counts([5, 5, 5], 10), "mean", 0.1, 1) is None
    assert below_limit(er.Counts([0, 1], 1), "concentration", 1.5, 1) is None  # no slope at all


def test_two_searches_for_each_interval_below_a_binomial_limit(monkeypatch):
    searched = []
    monkeypatch.setattr(
        profile_likelihood, "solve", lambda *given: searched.append(given) or solve(*given)
    )
    maximum = er.maximize_evidence(er.Counts(6, 10))
    for of in PARAMETERS:
        maximum.confidence_interval(of)
        assert len(searched) <= 2
        searched.clear()


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


def test_without_a_parabola_there_is_no_ellipse():
    (best,) = solve(COUNTS).candidates
    assert on_ellipse(best, SUMS, "mean", 1.5, 1) is not None
    for field in ("prior", "covariance"):
        assert on_ellipse(best._replace(**{field: None}), SUMS, "mean", 1.5, 1) is None


def test_the_ellipse_is_that_of_the_covariance():
    """A drop of half a square of standard deviations; no coordinate moves by more than two."""
    (best,) = solve(COUNTS).candidates
    a, b = map(float, best.prior.arrays())
    logit, _, log = best.covariance
    for of, variance in (("mean", logit), ("concentration", log)):
        for sign in (-1, 1):
            near = on_ellipse(best, SUMS, of, 1e-4, sign)
            value = PARAMETERS[of](*map(float, near.arrays()))
            if of == "mean":
                moved = np.log(value / (1 - value)) - np.log(a / b)
            else:
                moved = np.log(value / (a + b))
            assert moved == pytest.approx(sign * np.sqrt(2e-4 * variance), rel=1e-9)
    far = on_ellipse(best, SUMS, "concentration", 1e6, 1)
    assert np.log(sum(map(float, far.arrays())) / (a + b)) == pytest.approx(2.0)


@EACH
def test_the_error_of_an_extreme_is_the_rounding_of_its_height(of):
    """8 eps of 1 + |T|, over the slope of the log evidence where the parameter moves alone."""
    (best,) = solve(SMALL).candidates
    threshold, sums = best.log_evidence - 1.5, FactorialSums.of(SMALL)
    found = on_boundary(SMALL, sums, of, threshold, on_ellipse(best, sums, of, 1.5, 1))
    a, b = map(float, found.prior.arrays())
    h = 1e-6
    if of == "mean":

        def moved(x):
            m = 1 / (1 + np.exp(-np.log(a / b) - x))
            return er.Beta((a + b) * m, (a + b) * (1 - m))
    else:

        def moved(x):
            return er.Beta(a * np.exp(x), b * np.exp(x))

    slope = (er.log_evidence(moved(h), SMALL) - er.log_evidence(moved(-h), SMALL)) / (2 * h)
    wanted = 8 * 2.0**-52 * (1 + abs(threshold)) / abs(slope)
    assert found.error == pytest.approx(wanted, rel=1e-4, abs=0.0)
