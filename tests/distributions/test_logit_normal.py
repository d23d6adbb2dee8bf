"""`distributions.logit_normal`: expectations against mpmath, symmetry, and the value's own face."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special as sc

import elbo_ref as er
from elbo_ref import (
    Beta,
    Counts,
    Delta,
    Parameter,
    elbo,
    elbo_variance,
    gradient_variance,
    maximize_elbo,
)
from elbo_ref.distributions import logit_normal
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL, LogitNormal, derivatives, gap
from tiers import few

ROWS = [
    (0.0, 1e-6), (1.3, 1e-3), (-0.9, 0.548), (3.0, 1.0), (-20.0, 0.5), (30.0, 0.8), (0.0, 1.001),
    (2.0, 3.99), (-10.0, 3.9), (1.0, 4.001), (-30.0, 5.0), (10.0, 30.0), (-500.0, 100.0),
    (3.0, 1000.0),
]  # fmt: skip


def by_mpmath(loc, scale):
    """The four expectations by adaptive quadrature in 30 digits, (E) by (E)."""
    with mp.workdps(30):
        center, s = mp.mpf(loc), mp.mpf(scale)
        ends = [center + x * s for x in (-14, -6, -2, 0, 2, 6, 14)]
        inner = [x for x in (-60, -20, -6, -2, 0, 2, 6, 20, 60) if ends[0] < x < ends[-1]]
        places = sorted({*ends, *map(mp.mpf, inner)})

        def expected(h):
            density = lambda y: mp.npdf(y, center, s)  # noqa: E731
            return float(mp.quad(lambda y: h(y) * density(y), places))

        softplus = lambda x: mp.log1p(mp.exp(-abs(x))) + max(x, 0)  # noqa: E731
        c = lambda y: 1 / (1 + mp.exp(-y))  # noqa: E731
        return (
            expected(lambda y: softplus(-y) - softplus(-center)),
            expected(c),
            expected(lambda y: c(-y)),
            expected(lambda y: c(y) * c(-y)),
            expected(lambda y: c(y) * c(-y) * (c(-y) - c(y))),
            expected(lambda y: c(y) * c(-y) * (1 - 6 * c(y) * c(-y))),
        )


@pytest.mark.parametrize(("loc", "scale"), few(sorted(ROWS, key=[(3.0, 1.0)].count, reverse=True)))
def test_moments(loc, scale):
    """To 1e-12 absolutely, and relatively as far as the tails let it; two derivatives may be 0."""
    at = np.array(loc), np.array(scale)
    got, wanted = np.array((gap(*at), *derivatives(*at))), by_mpmath(loc, scale)
    np.testing.assert_allclose(got[:4], wanted[:4], rtol=2e-12, atol=1e-20)
    np.testing.assert_allclose(got[4:], wanted[4:], rtol=2e-12, atol=1e-13)


def test_a_shorter_rule_would_show():
    """Negative control: the rule for narrow ones at scale 3 is off by more than the tolerance."""
    _, z, weights = logit_normal._NARROW_RULES[0]
    rough = logit_normal._narrow_derivatives(np.array([2.0]), np.array([3.5]), z, weights)
    assert abs(rough[0, 0] / derivatives(np.array(2.0), np.array(3.5)).c - 1) > 1e-11


@given(st.floats(-50, 50), st.floats(-6, 3))
@settings(max_examples=100)
def test_reflection_and_bounds(loc, log_scale):
    scale = np.array(10.0**log_scale)
    at, reflected = (np.array(loc), scale), (np.array(-loc), scale)
    there, back = derivatives(*at), derivatives(*reflected)
    np.testing.assert_allclose(there.c, back.rest, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(gap(*at), gap(*reflected), rtol=1e-9, atol=1e-13)
    assert gap(*at) >= 0 and there.c + there.rest == pytest.approx(1, rel=1e-14)
    assert 0 <= there.slope <= 0.25


def test_the_rules_meet():
    """Each at the last scale that it serves, against the next one there."""
    loc = np.linspace(-12, 12, 25)
    (one, *short), (four, *long) = logit_normal._NARROW_RULES
    ones, fours = np.full(25, one), np.full(25, four)
    for narrow, wide in (
        (logit_normal._narrow_gap, logit_normal._wide_gap),
        (logit_normal._narrow_derivatives, logit_normal._wide_derivatives),
    ):
        at_one = np.array((narrow(loc, ones, *short), narrow(loc, ones, *long)))
        at_four = np.array((narrow(loc, fours, *long), wide(loc, fours)))
        np.testing.assert_allclose(*at_one[..., :3, :], rtol=1e-13)
        np.testing.assert_allclose(*at_four[..., :3, :], rtol=1e-11)
        np.testing.assert_allclose(*at_one, rtol=1e-13, atol=1e-16)  # two derivatives have zeros
        np.testing.assert_allclose(*at_four, rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("scale", [0.05, 0.7, 7.0])
def test_draws_have_the_moments(scale):
    """z-scores of 2e5 draws, |z| < 5 (6e-7 each); (E5) with the square."""
    q = LogitNormal(0.3, scale)
    y = q.sample_logit(200_000, rng=1)
    z = (y - 0.3) / scale
    f = 2 * sc.log_expit(y) - 3 * sc.log_expit(-y) + 0.5 * z * z
    variance = float(LOGIT_NORMAL.variance((2.0, -3.0), np.array(q.arrays()), 1.0))
    spread = np.std((f - f.mean()) ** 2) / np.sqrt(f.size)
    assert abs(np.var(f) - variance) < 5 * spread
    c = sc.expit(y)
    assert abs(c.mean() - q.mean) < 5 * np.std(c) / np.sqrt(c.size)
    assert q.variance == pytest.approx(np.var(c), rel=0.02)
    low, high = q.interval(0.9)
    assert abs(np.mean((c > low) & (c < high)) - 0.9) < 5 * np.sqrt(0.09 / c.size)
    np.testing.assert_array_equal(sc.expit(y), q.sample(200_000, rng=1))


def test_density_integrates_to_one():
    c = (np.arange(200_000) + 0.5) / 200_000
    assert np.mean(np.exp(LogitNormal(0.4, 0.6).log_prob(c))) == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("loc", [-2.0, 0.0, 3.0])
def test_the_density_is_the_slope_of_the_distribution(loc):
    """Between neighbouring points the normal distribution of the logit grows by so much."""
    edges = np.linspace(0.001, 0.999, 20_001)
    grown = np.diff(sc.ndtr((sc.logit(edges) - loc) / 0.6))
    middle = (edges[1:] + edges[:-1]) / 2
    density = np.exp(LogitNormal(loc, 0.6).log_prob(middle))
    np.testing.assert_allclose(density * np.diff(edges), grown, rtol=2e-3, atol=1e-12)


def test_value():
    q = LogitNormal([0.0, 1.0], 2.0)
    assert q.shape == (2,) and q == LogitNormal([0.0, 1.0], [2.0, 2.0]) and q != 3
    assert len({q, LogitNormal([0.0, 1.0], 2.0)}) == 1
    with pytest.raises(ValueError, match=r"scale = 0.0 must lie in"):
        LogitNormal(0.0, 0.0)
    with pytest.raises(ValueError, match=r"loc\[1\] = nan is not finite"):
        LogitNormal([0.0, np.nan], 1.0)
    with pytest.raises(ValueError, match=r"c = 0.0 must be inside"):
        q.log_prob(0.0)
    assert er.Delta([0.25, 0.5]).sample(3, rng=0).shape == (3, 2)


@pytest.mark.parametrize("logit", [720.0, 746.0, -1e4, 1e20])
def test_values_where_c_is_too_near_an_end_for_a_float(logit):
    """log p(x, c) is linear in the logit there: K log c + F log(1 - c) and the prior's."""
    counts, prior, scale = Counts(3, 10), Beta(2.0, 3.0), 1e-2
    slope = 10.0 if logit > 0 else 5.0
    near = np.sign(logit) * 600.0
    step = slope * (abs(logit) - 600.0)
    expected = elbo(LogitNormal(near, scale), prior, counts) - step
    assert elbo(LogitNormal(logit, scale), prior, counts) == pytest.approx(expected, rel=1e-14)
    for guide, by_logit in (("delta", slope - 1), ("none", slope - (3 if logit > 0 else 2))):
        at = {}
        for y in (near, logit):
            point = Delta(logits=y) if guide == "delta" else Parameter(logits=y)
            run = maximize_elbo(counts, point, loss="exact", prior=prior, num_steps=1)
            at[y] = run.losses[0]
        expected = at[near] + by_logit * (abs(logit) - 600.0)
        assert at[logit] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("loc", [1e3, 1e16, -1e100, 1e300])
def test_the_noise_of_an_estimate_does_not_depend_on_loc_far_out(loc):
    """The draw through the scale is z: its variance is the square of the slope."""
    counts, prior = Counts(3, 10), Beta(2.0, 3.0)
    slope = 10.0 if loc > 0 else 5.0
    found = gradient_variance(LogitNormal(loc, 1.0), prior, counts)
    assert found.pathwise.variance[1] == pytest.approx(slope**2, rel=1e-12)
    assert found.objective == pytest.approx(slope**2 + 0.5, rel=1e-12)
    assert elbo_variance(LogitNormal(loc, 1.0), prior, counts) == pytest.approx(found.objective)


def test_variances_beyond_the_largest_float_are_infinite():
    guide, prior = LogitNormal(0.0, 1e100), Beta(1e-80, 1e80)
    assert elbo_variance(guide, prior, Counts(3, 10)) == np.inf
    assert gradient_variance(guide, prior, Counts(3, 10)).objective == np.inf


@pytest.mark.parametrize("scale", [1e-10, 1e-8, 1e-6])
def test_a_variance_is_not_negative(scale):
    """Of a scale so small it is a difference that leaves rounding, of either sign."""
    loc = np.linspace(-3, 3, 41)
    found = LogitNormal(loc, scale).variance
    wanted = (scale * sc.expit(loc) * sc.expit(-loc)) ** 2
    assert (found >= 0).all()
    np.testing.assert_allclose(found, wanted, rtol=0.0, atol=1e-15)
