"""`elbo_ref.evidence`: the evidence (E1), its derivatives, and the exact posterior (E2).

The wide ranges are held by the rows of reference/evidence.json (from mpmath, see make_evidence.py),
moderate values by the product form of (E1), by quadrature, by automatic and finite differences of
the textbook formula and by SciPy, and the structure (Bayes' rule, the chain rule, symmetries) by
properties of generated inputs.
"""

import itertools
import json
import re

import autograd
import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from scipy import integrate, stats

import oracles
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import (
    latent_log_evidence,
    log_evidence,
    log_evidence_gradient,
    log_evidence_hessian,
    log_evidence_terms,
    posterior,
)
from kinds import one_row
from places import REFERENCE

mp = mpmath.mp.clone()
mp.dps = 60

ROWS = json.loads((REFERENCE / "evidence.json").read_text(encoding="utf-8"))["evidence"]

WIDE = st.floats(-10, 15).map(lambda e: 10.0**e)
MODERATE = st.floats(0.1, 300.0)
ROW = one_row(st.integers(0, 30) | st.integers(0, 10**17))
TABLE = st.lists(ROW, min_size=1, max_size=6)
SOME = Counts([3, 0, 7, 12, 1], [10, 4, 7, 40, 200], multiplicity=[1, 2, 1, 3, 1])


def product_form(a, b, k, n):
    """(E1) factor by factor: sums over j < K, j < N - K and j < N."""
    rise = [mp.fsum(mp.log(mp.mpf(x) + j) for j in range(m)) for x, m in ((a, k), (b, n - k))]
    fall = mp.fsum(mp.log(mp.mpf(a) + b + j) for j in range(n))
    return sum(rise) - fall + mp.log(mp.binomial(n, k))


def close(got, wanted, rtol=1e-12, atol=1e-12):
    return got == pytest.approx(wanted, rel=rtol, abs=atol)


def of_rows(rows):
    k, n = zip(*rows, strict=True)
    return Counts(list(k), list(n))


# -- values ------------------------------------------------------------------------------------


def test_reference_rows():
    """Relative error above one nat and absolute below; relative throughout where one-sided."""
    bad = []
    for row in ROWS:
        k, n, wanted = row["successes"], row["total_count"], row["log_evidence"]
        got = log_evidence(Beta(row["a"], row["b"]), Counts(k, n))
        scale = abs(wanted) if k in (0, n) else max(1.0, abs(wanted))
        if not abs(got - wanted) <= row["tolerance"] * scale:
            bad.append(f"{row}: got {got!r}, wanted {wanted!r}, error {got - wanted:.1e}")
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("name", ["gradient", "hessian"])
def test_reference_rows_of_derivatives(name):
    """Errors of the larger of the two terms that are subtracted."""
    bad = []
    for row in ROWS:
        prior, counts = Beta(row["a"], row["b"]), Counts(row["successes"], row["total_count"])
        if name == "gradient":
            got = np.array(log_evidence_gradient(prior, counts))
        else:
            got = log_evidence_hessian(prior, counts)[[0, 0, 1], [0, 1, 1]]
        error = np.abs(got - row[name])
        if not (error <= row["derivative_tolerance"] * np.array(row[name + "_terms"])).all():
            bad.append(f"{row}: got {got}, wanted {row[name]}, error {error}")
    assert not bad, "\n".join(bad)


def test_under_a_uniform_prior_every_count_is_equally_probable():
    for n in (1, 10, 10**6, 10**18):
        for k in (0, 1, n // 3, n):
            assert close(log_evidence(Beta(1, 1), Counts(k, n)), -np.log(n + 1))


def test_one_trial_and_none():
    assert close(log_evidence(Beta(2, 6), Counts(1, 1)), np.log(0.25))
    assert close(log_evidence(Beta(2, 6), Counts(0, 1)), np.log(0.75))
    assert log_evidence(Beta(2, 6), Counts(0, 0)) == 0
    assert log_evidence_gradient(Beta(2, 6), Counts(0, 0)) == (0, 0)
    assert (log_evidence_hessian(Beta(2, 6), Counts(0, 0)) == 0).all()


@settings(max_examples=60)
@given(WIDE, WIDE, one_row(st.integers(0, 60)))
def test_product_form(a, b, row):
    """The slow twin; one-sided counts to full relative precision."""
    wanted = product_form(a, b, *row)
    scale = abs(wanted) if row[0] in (0, row[1]) else max(1, abs(wanted))
    got = log_evidence(Beta(a, b), Counts(*row))
    assert abs(got - wanted) <= 1e-13 * scale, f"{(a, b, row)}: got {got}, wanted {float(wanted)}"


@pytest.mark.parametrize("prior", [Beta(0.6, 3.0), Beta(5.0, 5.0), Beta(20.0, 1.5)])
def test_quadrature(prior):
    def joint(c):
        return np.exp(prior.log_prob(c) + stats.binom.logpmf(4, 11, c))

    wanted = np.log(integrate.quad(joint, 0, 1, epsabs=0, epsrel=1e-10)[0])
    assert close(log_evidence(prior, Counts(4, 11)), wanted, rtol=1e-9)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (2.0, 8.0), (60.0, 3.0)])
def test_scipy_at_moderate_values(a, b):
    wanted = stats.betabinom.logpmf(np.arange(21), 20, a, b)
    got = [log_evidence(Beta(a, b), Counts(k, 20)) for k in range(21)]
    np.testing.assert_allclose(got, wanted, rtol=1e-11)


@pytest.mark.parametrize("m", [0.1, 0.5, 0.9])
def test_the_binomial_limit(m):
    prior = Beta(m * 1e14, (1 - m) * 1e14)
    for k in range(8):
        assert close(log_evidence(prior, Counts(k, 7)), stats.binom.logpmf(k, 7, m), 1e-11, 1e-11)


@pytest.mark.parametrize("theta", [(0.3, 0.4), (2.0, 8.0), (35.0, 12.0), (150.0, 900.0)])
def test_derivatives_by_autograd_and_along_a_random_direction(theta):
    prior = Beta(*theta)
    gradient = np.array(log_evidence_gradient(prior, SOME))
    hessian = log_evidence_hessian(prior, SOME)
    theta = np.array(theta)
    assert close(log_evidence(prior, SOME), oracles.log_evidence(theta, SOME), rtol=1e-11)
    wanted = (
        autograd.grad(oracles.log_evidence)(theta, SOME),
        autograd.hessian(oracles.log_evidence)(theta, SOME),
    )
    np.testing.assert_allclose(gradient, wanted[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(hessian, wanted[1], rtol=1e-8, atol=1e-12)

    direction = np.random.default_rng(3).normal(size=2) * theta
    step = 1e-5
    ahead, behind = (Beta(*(theta + sign * step * direction)) for sign in (1, -1))
    slope = (log_evidence(ahead, SOME) - log_evidence(behind, SOME)) / (2 * step)
    assert close(gradient @ direction, slope, rtol=1e-6, atol=1e-6)
    turn = np.subtract(*(log_evidence_gradient(prior, SOME) for prior in (ahead, behind)))
    np.testing.assert_allclose(hessian @ direction, turn / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("a", "b"), [(1e-10, 1e15), (1e-10, 1.0), (1e-3, 1e9), (2.5, 1e12)])
@pytest.mark.parametrize("n", [1, 5, 10**6])
def test_one_sided_evidence_is_relatively_accurate_near_zero(a, b, n):
    """Also the sum over a million equal latents, and the mirror image."""
    terms = [mp.mpf(a) + b + n, mp.mpf(b), mp.mpf(a) + b, mp.mpf(b) + n]
    wanted = mp.loggamma(terms[2]) - mp.loggamma(terms[0])
    wanted += mp.loggamma(terms[3]) - mp.loggamma(terms[1])
    for got, weight in (
        (log_evidence(Beta(a, b), Counts(0, n)), 1),
        (log_evidence(Beta(b, a), Counts(n, n)), 1),
        (log_evidence(Beta(a, b), Counts(0, n, multiplicity=10**6)), 10**6),
    ):
        assert abs(got - weight * wanted) <= 1e-14 * weight * abs(wanted), (a, b, n, got)


# -- structure ---------------------------------------------------------------------------------


@pytest.mark.thorough
@settings(max_examples=60)
@given(WIDE, WIDE, TABLE)
def test_swapping_successes_and_failures_swaps_the_concentrations(a, b, rows):
    counts = of_rows(rows)
    prior, swapped = Beta(a, b), Beta(b, a)
    mirror = Counts(counts.failures, counts.total_count)
    assert close(log_evidence(prior, counts), log_evidence(swapped, mirror), rtol=1e-13)
    assert log_evidence_gradient(prior, counts) == log_evidence_gradient(swapped, mirror)[::-1]
    hessian, other = log_evidence_hessian(prior, counts), log_evidence_hessian(swapped, mirror)
    np.testing.assert_array_equal(hessian, other[::-1, ::-1])


@pytest.mark.thorough
@settings(max_examples=60)
@given(WIDE, WIDE, TABLE, st.randoms(use_true_random=False))
def test_the_order_of_the_latents_does_not_matter(a, b, rows, random):
    shuffled = of_rows(random.sample(rows, len(rows)))
    prior, counts = Beta(a, b), of_rows(rows)
    assert close(log_evidence(prior, shuffled), log_evidence(prior, counts), rtol=1e-13)


@pytest.mark.thorough
@settings(max_examples=60)
@given(WIDE, WIDE, st.lists(st.tuples(ROW, st.integers(0, 4)), min_size=1, max_size=4))
@example(1.0, 2.0, [((3, 10), 0)])
def test_multiplicity_is_repetition(a, b, weighted):
    prior = Beta(a, b)
    rows, weights = zip(*weighted, strict=True)
    k, n = zip(*rows, strict=True)
    counts = Counts(k, n, weights)
    repeated = [row for row, weight in weighted for _ in range(weight)]
    for function in (log_evidence, log_evidence_gradient, log_evidence_hessian):
        got = np.array(function(prior, counts))
        parts = [np.array(function(prior, Counts(*row))) for row in repeated]
        scale = sum(map(np.abs, parts), np.zeros_like(got))
        assert (np.abs(got - sum(parts, np.zeros_like(got))) <= 1e-14 * scale).all()


@pytest.mark.thorough
@settings(max_examples=60)
@given(WIDE, WIDE, st.integers(0, 40))
def test_probabilities_sum_to_one(a, b, n):
    total = sum(np.exp(log_evidence(Beta(a, b), Counts(k, n))) for k in range(n + 1))
    assert close(total, 1.0)


@pytest.mark.thorough
@settings(max_examples=60)
@given(MODERATE, MODERATE, st.lists(ROW, min_size=2, max_size=6))
def test_chain_rule(a, b, rows):
    """Evidence of all rows = evidence of the first + evidence of the rest under its posterior."""
    prior, (k, n) = Beta(a, b), zip(*rows, strict=True)
    whole = log_evidence(prior, Counts.shared(k, n))
    updated = posterior(prior, Counts(k[0], n[0]))
    rest = Counts.shared(k[1:], n[1:])
    parts = log_evidence(prior, Counts(k[0], n[0])), log_evidence(updated, rest)
    assert close(whole, sum(parts), rtol=1e-11, atol=1e-10)


@settings(max_examples=60)
@given(WIDE, WIDE, ROW, st.floats(0.01, 0.99))
def test_bayes_rule(a, b, row, c):
    """log p(K) = log p(K | c) + log p(c) - log p(c | K), whatever c is: (E1) and (E2)."""
    prior, counts = Beta(a, b), Counts(*row)
    k, f = row[0], row[1] - row[0]
    likelihood = counts.log_coefficient[0] + k * np.log(c) + f * np.log1p(-c)
    terms = likelihood, prior.log_prob(c), -posterior(prior, counts).log_prob(c)[0]
    scale = sum(map(abs, terms)) + row[1] + a + b
    assert abs(log_evidence(prior, counts) - sum(terms)) <= 1e-14 * scale + 1e-12


def test_the_posterior():
    """(E2), one for each latent."""
    assert posterior(Beta(2.0, 8.0), Counts([3, 0], [10, 4])) == Beta([5.0, 2.0], [15.0, 12.0])
    assert posterior(Beta([2.0, 1.0], 8.0), Counts([3, 0], 4)) == Beta([5.0, 1.0], [9.0, 12.0])


def test_a_prior_for_each_latent():
    prior = Beta([0.5, 2.0, 1e9, 4.0, 1.0], [1.5, 2.0, 3e9, 1e-5, 7.0])
    singles = [
        (Beta(*theta), Counts(k, n, w))
        for *theta, k, n, w in zip(
            *prior.arrays(), SOME.successes, SOME.total_count, SOME.multiplicity, strict=True
        )
    ]
    assert close(log_evidence(prior, SOME), sum(itertools.starmap(log_evidence, singles)))
    gradients = list(itertools.starmap(log_evidence_gradient, singles))
    np.testing.assert_array_equal(np.transpose(log_evidence_gradient(prior, SOME)), gradients)
    hessians = list(itertools.starmap(log_evidence_hessian, singles))
    np.testing.assert_array_equal(log_evidence_hessian(prior, SOME), hessians)


@pytest.mark.parametrize("shape", [(3, 1), (3, 5), (2, 3, 5)])
def test_many_priors_at_once(shape):
    """Each row of concentrations as if alone, those of entries with one outcome only too."""
    counts = Counts([3, 0, 7, 12, 1], [10, 4, 7, 40, 200])
    a, b = np.random.default_rng(5).uniform(0.5, 9.0, (2, *shape))
    got = latent_log_evidence(a, b, counts)
    assert got.shape == (*shape[:-1], 5)
    for place in np.ndindex(shape[:-1]):
        row = Beta(*(np.broadcast_to(x[place], 5) for x in (a, b)))
        np.testing.assert_allclose(got[place], log_evidence_terms(row, counts), rtol=1e-15)


def test_types_and_shapes():
    assert isinstance(log_evidence(Beta(1, 1), SOME), float)
    assert all(isinstance(x, float) for x in log_evidence_gradient(Beta(1, 1), SOME))
    assert log_evidence_hessian(Beta(1, 1), SOME).shape == (2, 2)
    each = Beta(np.ones(5), 1)
    assert log_evidence_gradient(each, SOME).concentration1.shape == (5,)
    assert log_evidence_hessian(each, SOME).shape == (5, 2, 2)


@pytest.mark.parametrize(
    "function", [log_evidence, log_evidence_gradient, log_evidence_hessian, posterior]
)
@pytest.mark.parametrize("shape", [(2,), (1,), (5, 1)])
def test_a_prior_that_does_not_fit(function, shape):
    message = f"prior of shape {shape} fits neither () nor the 5 entries of counts"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(Beta(np.ones(shape), 1), SOME)
