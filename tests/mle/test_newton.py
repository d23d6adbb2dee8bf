"""`mle.newton`: derivatives in each of the coordinates by differences, and where the method ends.

The witness is `elbo_ref.log_evidence` at the priors that a step in the coordinates leads to.
"""

from fractions import Fraction

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle.binomial import BinomialLimit, totals
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.newton import (
    FromBinomialLimit,
    LogConcentration0,
    LogitMeanLogConcentration,
    NewtonCoordinates,
    refine,
)

DATA = {
    "overdispersed": er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12]),
    "two trials": er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]),
    "rare": er.Counts([1, 0, 6], [900, 700, 800]),
}


def coordinates_of(kind, prior, counts):
    """A prior in coordinates of a kind."""
    sums, (a, b) = FactorialSums.of(counts), map(float, prior.arrays())
    if kind is LogitMeanLogConcentration:
        return kind(a, b, sums)
    if kind is LogConcentration0:
        return kind(a, b, sums.failures, sums.excess)
    k, f = totals(counts)
    return kind.of(prior, sums, BinomialLimit.of(counts, Fraction(k, k + f)), 0)


KINDS = [LogitMeanLogConcentration, FromBinomialLimit, LogConcentration0]


def differences(at, counts, scale):
    """Gradient and information by central differences of (E1)."""
    dimensions = scale.size

    def height(step):
        covariance = np.eye(dimensions)
        return er.log_evidence(at.moved(step * scale).maximum(0.0, covariance).prior, counts)

    e = np.eye(dimensions)
    gradient = [(height(x) - height(-x)) / 2 for x in e]
    hessian = [
        [(height(x + y) - height(x - y) - height(y - x) + height(-x - y)) / 4 for y in e] for x in e
    ]
    return gradient / scale, -np.array(hessian) / np.outer(scale, scale)


@pytest.mark.parametrize("counts", DATA.values(), ids=DATA)
@pytest.mark.parametrize("kind", KINDS)
def test_derivatives(kind, counts):
    at = coordinates_of(kind, er.Beta(1.3, 4.0), counts)
    gradient, information, noise = at.derivatives()
    scale = np.array([1e-4, 1e-4 * 0.2]) if kind is FromBinomialLimit else np.full(noise.size, 1e-4)
    slow_gradient, slow_information = differences(at, counts, scale)
    size = np.abs(gradient).max() + 1
    np.testing.assert_allclose(gradient, slow_gradient, rtol=1e-5, atol=1e-6 * size)
    size = np.abs(information).max()
    np.testing.assert_allclose(information, slow_information, rtol=1e-3, atol=1e-4 * size)
    assert (noise >= 2.0**-53 * np.abs(gradient)).all()


def test_a_wrong_derivative_would_be_noticed():
    """Negative control: the comparison at a prior one percent away."""
    counts = DATA["overdispersed"]
    at = coordinates_of(LogitMeanLogConcentration, er.Beta(1.3, 4.0), counts)
    near = coordinates_of(LogitMeanLogConcentration, er.Beta(1.313, 4.0), counts)
    slow, _ = differences(near, counts, np.full(2, 1e-4))
    assert np.abs(at.derivatives()[0] - slow).max() > 1e-2


@pytest.mark.parametrize("kind", KINDS[:2])
def test_the_maximum_of_two_trials(kind):
    """(E11): a = 39/71, b = 33/71, from a start a third away, within the error that is stated."""
    counts = DATA["two trials"]
    start = er.Beta(0.7, 0.6)
    found = refine(coordinates_of(kind, start, counts), start)
    truth = np.array([39 / 71, 33 / 71])
    error = np.abs(np.array(found.prior.arrays()) / truth - 1).max()
    assert error <= found.relative_error < 1e-12
    maximum = er.maximize_evidence(counts)
    np.testing.assert_allclose(
        found.covariance, maximum.proof.candidates[0].covariance, rtol=1e-9, atol=1e-15
    )


def test_a_held_mean_stays():
    counts = DATA["two trials"]
    start = er.Beta(0.3, 0.9)
    sums = FactorialSums.of(counts)
    found = refine(LogitMeanLogConcentration(0.3, 0.9, sums, held=1), start)
    assert found.prior.mean == pytest.approx(0.25, rel=1e-15)
    assert found.covariance[:2] == (0.0, 0.0)
    wanted = er.maximize_evidence(counts, {"mean": 0.25}).prior
    np.testing.assert_allclose(found.prior.arrays(), wanted.arrays(), rtol=1e-13)


def test_where_it_is_not_concave_the_prior_is_given_back():
    """Beyond the maximum of two trials the log evidence is convex in log s."""
    counts, start = DATA["two trials"], er.Beta(600.0, 500.0)
    found = refine(coordinates_of(LogitMeanLogConcentration, start, counts), start)
    assert (found.prior, found.relative_error, found.covariance) == (start, np.inf, None)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_steps_errors_and_covariances(kind):
    """A step's size is how far it moves what is relative; the rest is the chain rule, by hand."""
    counts, prior = DATA["rare"], er.Beta(1.3, 400.0)
    at = coordinates_of(kind, prior, counts)
    size = at.derivatives()[0].size
    covariance = np.array([[0.04, 0.01], [0.01, 0.09]])[:size, :size]
    found = at.maximum(1e-9, covariance)
    np.testing.assert_allclose(found.prior.arrays(), prior.arrays(), rtol=1e-13)
    assert 1e-9 <= found.relative_error < 1e-9 + 1e-14
    m = 1.3 / 401.3
    if kind is LogConcentration0:
        wanted = 0.04, -0.04 * (1 - m), 0.04 * (1 - m) ** 2
    elif kind is FromBinomialLimit:
        scale = np.array([1 / (m * (1 - m)), -401.3])
        turned = scale[:, None] * covariance * scale
        wanted = turned[0, 0], turned[0, 1], turned[1, 1]
        m0 = 7 / 2400
        for step, moved in (([1e-5, 0.0], 1e-5 / (m0 * (1 - m0))), ([0.0, -1e-4], 1e-4 * 401.3)):
            assert at.relative_size(np.array(step)) == pytest.approx(moved, rel=1e-12)
        error = at.relative_error(np.array([1e-6, 1e-7]))
        assert error == pytest.approx(1e-7 * 401.3 + 1e-6 / m, rel=1e-12)
    else:
        wanted = 0.04, 0.01, 0.09
    np.testing.assert_allclose(found.covariance, wanted, rtol=1e-9)


# -- rounding, and how long a step may be ----------------------------------------------------------


def parts_of(counts, a, b):
    """Sizes of the terms that a gradient in (logit m, log s) is made of, term by term."""
    s, first, second = a + b, 0.0, 0.0
    for k, n, w in zip(counts.successes, counts.total_count, counts.multiplicity, strict=True):
        up, down, both = np.arange(k), np.arange(n - k), np.arange(n)
        first += w * (b / s * (a / (a + up)).sum() + a / s * (b / (b + down)).sum())
        second += w * ((a / (a + up)).sum() + (b / (b + down)).sum() + (s / (s + both)).sum())
    return first, second


@pytest.mark.parametrize("counts", DATA.values(), ids=DATA)
def test_the_rounding_of_a_gradient(counts):
    """Four of the sum of its terms' sizes; no term is counted that cancels on paper."""
    for a, b in ((0.7, 1.9), (30.0, 11.0)):
        prior = er.Beta(a, b)
        _, _, noise = coordinates_of(LogitMeanLogConcentration, prior, counts).derivatives()
        first, second = parts_of(counts, a, b)
        assert noise[0] == pytest.approx(4 * 2.0**-52 * first, rel=1e-12, abs=0.0)
        assert 0 < noise[1] <= 4 * 2.0**-52 * second
        gradient, _, noise = coordinates_of(LogConcentration0, prior, counts).derivatives()
        assert abs(gradient[0]) <= noise[0] / (4 * 2.0**-52) <= second


class Bowl(FromBinomialLimit):
    """A parabola in (shift, gamma), whose minimum is at (0, 2) and whose gamma is at least 0.1."""

    def derivatives(self):
        gradient = -np.array([self.shift, self.gamma - 2.0])
        return gradient, np.eye(2), np.array([0.0, 1e-12])


@pytest.mark.parametrize("gamma", [0.2, 1.9, 30.0])
def test_a_step_is_no_longer_than_half_of_gamma(gamma):
    """So that gamma stays positive; the error is that of gamma and of m over the lesser mean."""
    start = Bowl(0.0, gamma, None, (0.25, 0.75, 0.0), 0)
    step = np.array([0.0, 2.0 - gamma])
    assert start.relative_size(step) == pytest.approx(abs(2.0 - gamma) / gamma)
    assert start.relative_size(np.array([0.3, 0.0])) == pytest.approx(0.3 / (0.25 * 0.75))
    found = refine(start, er.Beta(1.0, 1.0))
    np.testing.assert_allclose(found.prior.arrays(), (0.125, 0.375), rtol=1e-12)
    assert found.relative_error == pytest.approx(1e-12 / 2 + 2 * 2.0**-52, rel=1e-3, abs=0.0)
    logit = 1 / (0.25 * 0.75)
    np.testing.assert_allclose(found.covariance, (logit**2, 0.0, 0.25), rtol=1e-9, atol=1e-12)
    assert start.relative_error(np.array([0.1, 0.0])) == pytest.approx(0.1 / 0.25)


def test_where_the_information_is_not_positive_there_is_no_maximum():
    class Hill(Bowl):
        def derivatives(self):
            gradient, information, noise = super().derivatives()
            return gradient, -information + np.diag([2.0, 0.0]), noise

    prior = er.Beta(1.0, 2.0)
    found = refine(Hill(0.0, 1.0, None, (0.25, 0.75, 0.0), 0), prior)
    assert found == (prior, np.inf, None)


def test_what_is_held_does_not_move():
    counts = DATA["overdispersed"]
    sums = FactorialSums.of(counts)
    found = refine(LogitMeanLogConcentration(1.0, 3.0, sums, 1), er.Beta(1.0, 3.0))
    a, b = map(float, found.prior.arrays())
    assert a / (a + b) == pytest.approx(0.25, rel=1e-14)
    assert found.covariance[:2] == (0.0, 0.0) and found.covariance[2] > 0
    wanted = er.maximize_evidence(counts, {"mean": 0.25})
    assert a + b == pytest.approx(wanted.concentration, rel=1e-12)
    assert found.relative_error < 1e-13


EPS = 2.0**-52


def test_the_least_error_is_a_few_roundings():
    """Four of both concentrations, two near the limit."""
    counts, prior, none = DATA["overdispersed"], er.Beta(1.3, 4.0), np.eye(2)
    for kind, roundings in zip(KINDS, (4, 2, 4), strict=True):
        at = coordinates_of(kind, prior, counts)
        covariance = none[:1, :1] if kind is LogConcentration0 else none
        found = at.maximum(0.0, covariance)
        assert found.relative_error == roundings * EPS
        assert at.maximum(0.25, covariance).relative_error == pytest.approx(0.25)
        np.testing.assert_allclose(found.prior.arrays(), (1.3, 4.0), rtol=1e-14)


class Counted(NewtonCoordinates):
    """-(x - 1)^2 c/2 over x, of which the steps are counted."""

    seen: list = []  # noqa: RUF012

    def __init__(self, x, bend=1.0, noise=0.0):
        self.at = x, bend, noise

    def derivatives(self):
        x, bend, noise = self.at
        self.seen.append(x)
        return np.array([-bend * (x - 1)]), np.array([[bend]]), np.array([noise])

    def moved(self, step):
        return Counted(self.at[0] + step[0], *self.at[1:])

    def maximum(self, error, covariance):
        return error, covariance, self.at[0]


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_refining_ends_where_rounding_does(noise):
    """At a tenth of the error, or at a last digit; steps are no longer than 1."""
    Counted.seen.clear()
    error, covariance, x = refine(Counted(3.5, 4.0, noise), None)
    assert x == pytest.approx(1.0, abs=1e-14) and covariance == [[0.25]]
    assert error == noise / 4
    assert Counted.seen == pytest.approx([3.5, 2.5, 1.5, 1.0])
    near = 1 + 0.9e-1 * 2.5e-10 if noise else 1.0
    Counted.seen.clear()
    refine(Counted(near, 4.0, noise), None)
    assert len(Counted.seen) == 1, "one step that moves nothing is the last"


@pytest.mark.parametrize("bend", [0.0, -1.0])
def test_where_it_bends_up_the_prior_comes_back(bend):
    prior = er.Beta(1.0, 2.0)
    found = refine(Counted(3.5, bend), prior)
    assert found == (prior, np.inf, None)
