"""Log densities and likelihoods in the precision of a run, and the ends of draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck import arithmetic
from elbo_ref.crosscheck.arithmetic import Ends, Term
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL

TYPES = {"float32": (24, 126), "float64": (53, 1022)}
FORMS = ("binomial", "trials", "logits", "by_hand")
C = np.array([1e-3, 0.2, 0.5, 0.9, 0.9999])
K, F = np.array([3.0, 0.0, 7.0, 4.0, 1.0]), np.array([7.0, 5.0, 0.0, 2.0, 9.0])


@pytest.mark.parametrize("dtype", TYPES)
def test_ends(dtype):
    """As the widths of exponent and fraction say."""
    bits, least = TYPES[dtype]
    eps, tiny = 2.0 ** (1 - bits), 2.0**-least
    assert arithmetic.draw_ends(dtype) == (tiny, eps / 2)
    assert arithmetic.draw_ends(dtype, LOGIT_NORMAL) == (tiny, eps)
    assert arithmetic.probability_ends(dtype) == (eps, eps)
    assert arithmetic.probability_ends(dtype, numpyro=True) == (tiny, eps)
    assert Ends(0.25, 0.125).high == 0.875


def test_a_term_is_the_sum_of_its_parts():
    parts = np.array([1.5, -2.0], np.float32), np.array([-4.0, 0.5], np.float32)
    term = Term(parts)
    assert term.value.tolist() == [-2.5, -1.5] and term.magnitude.tolist() == [5.5, 2.5]
    assert term.value.dtype == term.magnitude.dtype == np.float64
    assert Term().value == Term().magnitude == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TYPES)
def test_likelihoods(form, dtype):
    """Without its coefficient it is SciPy's, to the precision of the run, whose parts it keeps."""
    c, k, f = (x.astype(dtype) for x in (C, K, F))
    term = arithmetic.likelihood(c, k, f, form, arithmetic.probability_ends(dtype))
    assert {x.dtype for x in term.parts} == {np.dtype(dtype)}
    wanted = stats.binom.logpmf(K, K + F, c) - np.log(special.binom(K + F, K))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(term.value, wanted, rtol=0, atol=8 * eps * np.max(term.magnitude))


AT_ENDS = {
    "binomial": lambda c, low, high: np.clip(c, low, high),
    "trials": lambda c, low, high: np.clip(c, low, high),
    "logits": lambda c, *_: c,
    "by_hand": lambda c, *_: c,
}


@pytest.mark.parametrize("form", FORMS)
def test_only_probabilities_are_clamped(form):
    c = np.array([1e-300, 1e-17, 1 - 2.0**-53])
    ends = arithmetic.probability_ends("float64")
    seen = AT_ENDS[form](c, ends.low, ends.high)
    one, none = np.ones(3), np.zeros(3)
    success = arithmetic.likelihood(c, one, none, form, ends)
    failure = arithmetic.likelihood(c, none, one, form, ends)
    np.testing.assert_allclose(success.value, np.log(seen), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(failure.value, np.log1p(-seen), rtol=1e-12, atol=1e-14)
    assert (form in arithmetic.CLAMPED) == (seen is not c)


def test_terms_of_single_trials_cancel():
    """Of a failure it is log sigmoid(x) - x, of which each is large where c is small."""
    c, one = np.array([1e-4]), np.ones(1)
    ends = arithmetic.probability_ends("float64")
    trials = arithmetic.likelihood(c, 0 * one, one, "trials", ends)
    assert trials.magnitude == pytest.approx(2 * np.log(1e4), rel=1e-4)
    binomial = arithmetic.likelihood(c, 0 * one, one, "binomial", ends)
    assert binomial.magnitude == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("source", [BETA, LOGIT_NORMAL])
@pytest.mark.parametrize("numpyro", [False, True])
def test_logs_near_ends(dtype, source, numpyro):
    """Near is within 1e4 eps of 0 or 1; there a draw is rounded, clamped, and clamped again."""
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    edge = -np.log(1e4 * eps)
    logit = np.array([-800.0, -edge - 0.01, -edge + 0.01, 0.0, edge - 0.01, edge + 0.01, 800.0])
    found = arithmetic.logs_near_ends(logit, source, dtype, numpyro)
    assert found.near.tolist() == [True, True, False, False, False, True, True]
    gap = eps / 2 if source is BETA else eps
    inner = special.expit(logit[[1, 5]])
    rounded = np.array([tiny, *inner, 1 - gap]).astype(dtype)
    wanted = np.log(np.array((rounded, 1 - rounded), float))
    np.testing.assert_allclose(found.density, wanted, rtol=1e-12, atol=1e-15)
    seen = np.clip(rounded.astype(float), tiny if numpyro else eps, 1 - eps)
    np.testing.assert_allclose(found.likelihood[0], np.log(seen), rtol=1e-5, atol=40 * eps)
    np.testing.assert_allclose(found.likelihood[1], np.log1p(-seen), rtol=1e-5, atol=40 * eps)


def test_densities():
    a, b, y = np.array([2.5]), np.array([0.7]), special.logit(C)
    np.testing.assert_allclose(arithmetic.log_beta(C, a, b).value, stats.beta.logpdf(C, a, b))
    loc, scale = np.array([-0.3]), np.array([1.7])
    normal = arithmetic.log_normal(y, loc, scale)
    np.testing.assert_allclose(normal.value, stats.norm.logpdf(y, loc, scale))
    jacobian = arithmetic.minus_log_jacobian(y)
    np.testing.assert_allclose(jacobian.value, -np.log(C) - np.log1p(-C))
    y, loc, scale = (x.astype("f4") for x in (y, loc, scale))
    both = arithmetic.log_normal(y, loc, scale), arithmetic.minus_log_jacobian(y)
    assert {x.dtype for term in both for x in term.parts} == {np.dtype("f4")}


def test_densities_at_the_ends_of_their_parameters():
    """Beta(1, 1) has no logarithm of a zero in it."""
    uniform = arithmetic.log_beta(np.array([0.0, 1.0]), np.ones(2), np.ones(2))
    assert uniform.value.tolist() == [0.0, 0.0]
    assert arithmetic.log_beta(C, np.array([2.0]), np.array([3.0])).magnitude == pytest.approx(
        -np.log(C) - 2 * np.log1p(-C) + np.log(24) + np.log(2)
    )


def test_divergence():
    q, p = np.array([[4.0, 0.3], [8.0, 2.0]]), np.array([[2.0], [3.0]])
    kl = er.Beta(*q).kl(er.Beta(*p))
    np.testing.assert_allclose(arithmetic.divergence(q, p).value, kl, rtol=1e-12)
    assert len(arithmetic.divergence(q, p).parts) == 9
