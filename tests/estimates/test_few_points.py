"""`elbo_ref.estimates.few_points`: the evidence of many latents from few points.

Held against the sum over the latents themselves, against mpmath, and, as a whole, against estimates
that are made without points.
"""

import mpmath as mp
import numpy as np
import pytest
import scipy

import elbo_ref as er
from elbo_ref.estimates import few_points as module, quadrature
from elbo_ref.estimates.few_points import few_points
from elbo_ref.evidence import latent_log_evidence, mixed_log_evidence

SIZES = np.random.default_rng(4).integers(10**11, 10**13, 3000)
KINDS = {
    "one size": lambda rng: (rng.binomial(10**12, 0.3, 400), 10**12),
    "sizes": lambda rng: (rng.binomial(SIZES, 0.3), SIZES),
    "one size, apart": lambda rng: (rng.binomial(10**14, rng.beta(2, 8, 900)), 10**14),
    "above 2**53": lambda rng: (rng.binomial(10**18, 0.3, 200), 10**18),
    "equal": lambda rng: (np.full(50, 3 * 10**11), 10**12),
    "two": lambda rng: (np.array([3 * 10**11, 4 * 10**11]), 10**12),
}
FEW = {
    "one size": 40,
    "sizes": 1500,
    "one size, apart": 550,
    "above 2**53": 20,
    "equal": 1,
    "two": 2,
}
"""The most points that each kind may take."""


def latents(kind):
    rng = np.random.default_rng(3)
    k, n = KINDS[kind](rng)
    return k, np.broadcast_to(n, k.shape) - k, rng.integers(1, 4, k.size)


def priors(k, f):
    """Concentrations from far below 1 to beyond the trials, with means about the rates."""
    m, sd = k.mean() / (k + f).mean(), 1 / np.sqrt((k + f).mean() * k.size)
    means = np.array([m, m + 3 * sd, 0.9 * m, 1e-3])
    s = np.array([1e-3, 2.0, 1e4, 1e9, 1e12, 1e16])
    return np.ravel(means * s[:, None])[:, None], np.ravel((1 - means) * s[:, None])[:, None]


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_over_points_is_that_over_latents(kind):
    k, f, weight = latents(kind)
    points = few_points(k, f, weight)
    assert points.weight.size <= FEW[kind]
    assert points.weight.sum() == pytest.approx(weight.sum(), rel=1e-12)
    a, b = priors(k, f)
    got = mixed_log_evidence(a + 1, b + 1, *points[:3]) @ points.weight
    each = latent_log_evidence(a + 1, b + 1, er.Counts(k, k + f))
    error, wanted = np.abs(got - each @ weight), each @ weight
    seen = wanted > wanted.max() - 1e4
    assert np.max(error[seen]) < 1e-13 * -wanted.max()
    assert np.max(error / -wanted) < 1e-10


def test_points_against_mpmath():
    k, f, weight = latents("one size")
    k, f, weight = k[:60], f[:60], weight[:60]
    points = few_points(k, f, weight)
    assert points.weight.size < 30
    with mp.workdps(40):
        for a, b in ((1.5, 4.0), (3e5, 7e5), (3e11, 7e11), (3e15, 7e15)):
            wanted = mp.fsum(
                w
                * (
                    mp.log(mp.beta(a + x, b + y) / mp.beta(a, b))
                    + mp.log(mp.binomial(int(x + y), int(x)))
                )
                for x, y, w in zip(map(int, k), map(int, f), map(int, weight), strict=True)
            )
            pair = np.array([[a]]), np.array([[b]])
            got = float((mixed_log_evidence(*pair, *points[:3]) @ points.weight)[0])
            assert got == pytest.approx(float(wanted), rel=1e-13)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["one size", "one size, apart"])
def test_estimates_are_those_without_points(kind, monkeypatch):
    k, f, weight = latents(kind)
    counts = er.Counts(k[:150], (k + f)[:150], weight[:150])
    found = er.estimate(counts)
    monkeypatch.setattr(module, "_WORTH", 10**9)
    wanted = er.estimate(counts)
    width = wanted.upper - wanted.lower
    for name in ("mean", "lower", "upper"):
        assert np.max(np.abs(getattr(found, name) - getattr(wanted, name)) / width) < 1e-7
    for got, want in zip(found.prior_parameters, wanted.prior_parameters, strict=True):
        np.testing.assert_allclose(got[1:], want[1:], rtol=1e-8)


@pytest.mark.thorough
def test_an_end_that_is_looked_for_leaves_the_integrals(monkeypatch):
    k = np.random.default_rng(5).binomial(10**9, 0.3, 40)
    counts = er.Counts(k, 10**9)
    found = er.estimate(counts)
    monkeypatch.setattr(quadrature, "_MOST_STEPS", 10**9)
    wanted = er.estimate(counts)
    few, many = (x.posteriors.fits[0].grid.y.shape[1] for x in (found, wanted))
    assert few < 0.4 * many
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-13)
    for got, want in zip(found.prior_parameters, wanted.prior_parameters, strict=True):
        np.testing.assert_allclose(got[1:], want[1:], rtol=1e-10)


def test_latents_with_one_outcome_are_among_them():
    n = 10**11
    counts = er.Counts([0, n, 1, n - 1, *[3 * 10**10] * 40], n)
    found = er.estimate(counts, er.Beta(1.0, 2.0))
    averaged = er.estimate(counts)
    assert np.isfinite([averaged.mean, averaged.lower, averaged.upper]).all()
    np.testing.assert_allclose(averaged.mean, found.mean, atol=1e-10)


@pytest.mark.parametrize("tail", [0.025, 0.4])
@pytest.mark.parametrize("n", [10**9, 10**10])
def test_quantiles_that_start_at_the_normal(n, tail):
    """Of one Beta: betaincinv. With betainc of SciPy before 1.15 they err by 1e-6 of the width."""
    most = 1e-9 if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15) else 1e-5
    from scipy import special as sc

    k = np.array([n // 2, n // 3, n - n // 5])
    found = er.estimate(er.Counts(k, n), er.Beta(2.0, 3.0), level=1 - 2 * tail)
    width = found.upper - found.lower
    for end, share in ((found.lower, tail), (found.upper, 1 - tail)):
        wanted = sc.betaincinv(2.0 + k, 3.0 + n - k, share)
        assert np.max(np.abs(end - wanted) / width) < most
