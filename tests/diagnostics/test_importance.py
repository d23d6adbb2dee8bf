"""Pareto k: the estimate of arviz-stats against the shape that the closed form says."""

import sys

import numpy as np
import pytest

import elbo_ref as er

COUNTS, PRIOR = er.Counts(3, 10), er.Beta(1.0, 1.0)  # the posterior is Beta(4, 8)
UNBOUNDED = [
    (er.Beta(8.0, 8.0), 0.5),
    (er.Beta(4.0, 12.0), 1 / 3),
    (er.Beta(5.0, 32.0), 0.75),
]


@pytest.mark.parametrize(("guide", "k"), UNBOUNDED)
def test_the_estimate_tends_to_the_limit(guide, k):
    """At 200,000 draws within 0.12: its standard error is about 0.02, its bias not zero."""
    found = er.pareto_k(guide, PRIOR, COUNTS, num_samples=200_000, rng=1)
    assert found.limit == pytest.approx(k, rel=1e-15)
    assert found.estimate == pytest.approx(k, abs=0.12)


@pytest.mark.parametrize(
    ("guide", "k"),
    [
        (er.Beta(4.0, 8.0), -np.inf),
        (er.Beta(2.0, 3.0), -2.0),
        (er.Beta(4.0, 3.0), -1 / 4),
        (er.Beta(2.0, 8.0), -1 / 8),
        (er.LogitNormal(0.0, 1.0), 1.0),
    ],
)
def test_limits(guide, k):
    found = er.pareto_k(guide, PRIOR, COUNTS)
    assert found.limit == k
    if k <= -2:
        assert found.estimate < 0


@pytest.mark.thorough
@pytest.mark.parametrize(("guide", "exponent"), [(er.Beta(2.0, 3.0), 0.5), (er.Beta(4.0, 3.0), 4)])
def test_the_tail_of_bounded_weights(guide, exponent):
    """P(r > max - e) ~ e^exponent, counted in draws at two distances: k = -1/exponent."""
    c = guide.sample(4_000_000, rng=2)
    a, b = guide.arrays()
    r = c ** (4 - a) * (1 - c) ** (8 - b)
    best = (4 - a) / (12 - a - b)
    below = best ** (4 - a) * (1 - best) ** (8 - b) - r
    far, near = (0.2, 0.1) if exponent == 4 else (1e-3, 1e-4)
    counted = [np.count_nonzero(below < share * (below + r).max()) for share in (far, near)]
    assert np.log(counted[0] / counted[1]) / np.log(far / near) == pytest.approx(exponent, rel=0.25)


def test_each_latent_has_its_own():
    counts = er.Counts([3, 3, 5], [10, 10, 9])
    guide = er.Beta([4.0, 8.0, 3.0], [8.0, 8.0, 2.0])
    found = er.pareto_k(guide, PRIOR, counts)
    np.testing.assert_array_equal(found.limit, [-np.inf, 0.5, -2.0])
    assert np.isneginf(found.estimate[0]) and found.estimate[1] > 0.2 and found.estimate[2] < 0
    shared = er.pareto_k(er.Beta(8.0, 8.0), PRIOR, counts)
    assert shared.limit.shape == shared.estimate.shape == (3,)


def test_the_guide_that_a_run_reached():
    run = er.maximize_elbo(
        COUNTS, loss="exact", prior=PRIOR, learn_prior=False, optimizer=er.Adam(lr=0.1),
        num_steps=1000,
    )  # fmt: skip
    assert np.isneginf(er.pareto_k(run.guide, run.prior, COUNTS).estimate)


def test_what_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="num_samples = 99 must be at least 100"):
        er.pareto_k(er.Beta(2.0, 3.0), PRIOR, COUNTS, num_samples=99)
    with pytest.raises(TypeError, match="guide must be a Beta"):
        er.pareto_k(er.Delta(0.3), PRIOR, COUNTS)
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    monkeypatch.setitem(sys.modules, "arviz_stats.base.array", None)
    with pytest.raises(ImportError, match=r"pip install arviz-stats, or in a clone pip install '"):
        er.pareto_k(er.Beta(2.0, 3.0), PRIOR, COUNTS)
