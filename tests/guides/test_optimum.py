"""The best parameters of a logit-normal source."""

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.guides.optimum import Derivatives, normal_optimum
from elbo_ref.optima.normal import best_normal


@pytest.mark.parametrize("prior", [er.Beta(3e8, 1e-8), er.Beta(1e-9, 7e8)])
def test_the_normal_optimum_beside_an_end(prior):
    """A prior mean within 1e-16 of an end; the optimum is finite."""
    best = best_normal(prior, er.Counts([5, 0], [5, 0]))
    loc, scale = best.arrays()
    assert np.isfinite(loc).all() and (scale > 0).all() and np.isfinite(scale).all()


def test_the_normal_optimum_that_is_known():
    """3 of 10 under Beta(2, 5)."""
    counts, prior = er.Counts(3, 10), er.Beta(2, 5)
    best = best_normal(prior, counts)
    np.testing.assert_allclose([best.loc, best.scale], [[-0.933936], [0.548050]], atol=5e-7)
    assert er.elbo(best, prior, counts) == pytest.approx(-1.80686284, abs=5e-9)
    assert best.mean == pytest.approx(5 / 17, rel=1e-13)
    by_prior, by_guide = er.elbo_gradient(best, prior, counts)
    assert max(abs(by_guide.loc[0]), abs(by_guide.scale[0])) < 1e-12
    assert by_prior.concentration1 != pytest.approx(
        er.log_evidence_gradient(prior, counts).concentration1, rel=1e-3
    )


def test_the_normal_optimum_anywhere():
    """Newton's step there is none, for exponents from 1e-12 to 1e15, however far apart."""
    exponents = 10 ** np.random.default_rng(7).uniform(-12, 15, (2, 1000))
    best = normal_optimum(*exponents)
    x = np.array(best.arrays())
    step = Derivatives.at(exponents, x).newton_step(x[1])
    assert np.quantile(np.abs(step) / x[1], 0.999) < 1e-7
    assert (np.abs(step) / x[1]).max() < 1e-3  # tails of a rule that is changed
