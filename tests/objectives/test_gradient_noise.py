"""`gradient_variance`: against sample variances, the closed form (E5), and where it is zero.

z-scores of sample variances, their error from the fourth moment: |z| < 5.1, 3e-7 each.
"""

import numpy as np
import pytest
from scipy import special as sc

import elbo_ref as er
import oracles
from elbo_ref import guides, objectives
from elbo_ref.distributions.pathwise import logit_derivatives
from elbo_ref.objectives import gradient_variance as estimators
from elbo_ref.objectives.base import Task

CASES = [
    (er.Beta(2.0, 3.0), er.Beta(1.0, 1.0), er.Counts(3, 10)),
    (er.Beta(0.3, 40.0), er.Beta(1.0, 1.0), er.Counts(0, 50)),
    (er.Beta(200.0, 300.0), er.Beta(1.0, 1.0), er.Counts(3, 10)),
    (er.LogitNormal(-0.5, 0.9), er.Beta(2.0, 5.0), er.Counts(3, 10)),
    (er.LogitNormal(1.0, 5.0), er.Beta(2.0, 5.0), er.Counts(3, 10)),
]
ALL = pytest.mark.parametrize(("guide", "prior", "counts"), CASES)
SIZE = 100_000


def many(guide, prior, counts, loss):
    """Own gradients of one particle each: so many equal latents in one step."""
    name = "beta" if isinstance(guide, er.Beta) else "normal"
    repeated = er.Counts(np.full(SIZE, counts.successes[0]), np.full(SIZE, counts.total_count[0]))
    own = np.array([np.full(SIZE, x) for x in guide.arrays()], dtype=float)
    task, p = Task(guides.find(name), repeated), np.array([[x] for x in prior.arrays()])
    return objectives.find(loss).step(task, p, own, 1, np.random.default_rng(3)).params


@pytest.mark.thorough
@ALL
def test_against_samples(guide, prior, counts):
    found = er.gradient_variance(guide, prior, counts)
    exact = er.elbo_gradient(guide, prior, counts).guide
    np.testing.assert_allclose(found.gradient, exact, rtol=1e-9, atol=1e-12)
    for loss, row in (
        ("trace", found.pathwise),
        ("score_function", found.score_function),
        ("sticking_the_landing", found.sticking_the_landing),
    ):
        z = oracles.variance_scores(many(guide, prior, counts, loss).T, np.array(row.variance))
        assert (z < 5.1).all(), (loss, z)
    wrong = oracles.variance_scores(
        many(guide, prior, counts, "trace").T, 1.2 * np.array(found.pathwise.variance)
    )
    assert wrong.max() > 5.1  # negative control: a fifth too large shows


@ALL
def test_the_objective_s_own_variance(guide, prior, counts):
    """(E5), which is a closed form for a Beta guide."""
    found = er.gradient_variance(guide, prior, counts)
    assert found.objective == pytest.approx(er.elbo_variance(guide, prior, counts), rel=1e-9)


@pytest.mark.parametrize(("guide", "prior", "counts"), CASES[:3])
def test_the_gamma_pair(guide, prior, counts):
    """Two gamma draws, each differentiated, which the quadrature never makes."""
    rng, (a, b), far = np.random.default_rng(0), map(float, guide.arrays()), 1e13
    g1, g0 = (
        np.log(rng.standard_gamma(x + 1, SIZE)) - rng.standard_exponential(SIZE) / x for x in (a, b)
    )
    w1, w0 = (
        logit_derivatives(g - np.log(far), np.array(x), np.array(far))[0]
        for g, x in ((g1, a), (g0, b))
    )
    y = g1 - g0
    up = prior.concentration1 + counts.successes[0] - a
    down = prior.concentration0 + counts.failures[0] - b
    slope = up * sc.expit(-y) - down * sc.expit(y)
    total = sc.psi(a + b)
    rows = np.array([
        slope * w1 - (sc.log_expit(y) - sc.psi(a) + total),
        -slope * w0 - (sc.log_expit(-y) - sc.psi(b) + total),
    ])  # fmt: skip
    found = er.gradient_variance(guide, prior, counts)
    assert (oracles.variance_scores(rows.T, np.array(found.gamma_pair.variance)) < 5.1).all()
    assert found.gamma_pair.particles > found.pathwise.particles


@pytest.mark.thorough
@ALL
def test_the_best_baseline_is_the_best_constant(guide, prior, counts):
    """Any constant does worse: E[S^2 (f - b)^2] is a parabola in b."""
    found = er.gradient_variance(guide, prior, counts)
    assert np.all(np.array(found.best_baseline.variance) <= np.array(found.score_function.variance))
    rng = np.random.default_rng(1)
    for baseline in rng.normal(-3, 3, 3):
        rows = many(guide, prior, counts, er.ScoreFunction(baseline=float(baseline)))
        spread = rows.var(axis=1)
        assert (spread > 0.93 * np.array(found.best_baseline.variance)).all()


@ALL
def test_half_the_nodes_would_do(guide, prior, counts, monkeypatch):
    whole = er.gradient_variance(guide, prior, counts)
    monkeypatch.setattr(estimators, "STEPS", 100)
    half = er.gradient_variance(guide, prior, counts)
    for name in ("pathwise", "score_function", "best_baseline", "sticking_the_landing"):
        got, wanted = (np.array(getattr(x, name).variance) for x in (half, whole))
        np.testing.assert_allclose(got, wanted, rtol=1e-7)


def test_at_the_posterior():
    """Sticking the landing has no noise, and a score function none if its baseline is f."""
    prior, counts = er.Beta(1.0, 1.0), er.Counts(3, 10)
    found = er.gradient_variance(er.Beta(4.0, 8.0), prior, counts)
    assert found.sticking_the_landing == estimators.Noise((0.0, 0.0), 0.0)
    assert found.objective < 1e-20 and max(found.best_baseline.variance) < 1e-20
    assert min(found.pathwise.variance) > 0.01 and found.pathwise.particles > 1e10
    assert "sticking the landing" in str(found)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((er.Beta([1, 1], 2), er.Beta(1, 1), er.Counts(1, 3)), ValueError, "shape"),
        ((er.Delta(0.5), er.Beta(1, 1), er.Counts(1, 3)), TypeError, "guide must be a Beta"),
        ((er.Beta(1, 1), 3, er.Counts(1, 3)), TypeError, "prior must be a Beta"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        er.gradient_variance(*arguments)


def test_several_latents():
    """Each has the variance it has alone; printed they are added; so is one pair for all."""
    guide = er.Beta([2.0, 4.0], [3.0, 1.5])
    counts, prior = er.Counts([3, 7], [10, 8], multiplicity=[1, 3]), er.Beta(1.0, 2.0)
    found = er.gradient_variance(guide, prior, counts)
    alone = [
        er.gradient_variance(er.Beta(*pair), prior, er.Counts(k, n, multiplicity=w))
        for pair, k, n, w in (((2.0, 3.0), 3, 10, 1), ((4.0, 1.5), 7, 8, 3))
    ]
    for name in estimators._ESTIMATORS:
        for i in range(2):
            each = [getattr(x, name).variance[i] for x in alone]
            np.testing.assert_allclose(getattr(found, name).variance[i], each, rtol=1e-12)
    exact = er.elbo_gradient(guide, prior, counts).guide
    np.testing.assert_allclose(found.gradient, exact, rtol=1e-9)
    size = np.sum(np.square(exact))
    noise = found.pathwise
    assert noise.particles == pytest.approx(100 * np.sum(noise.variance) / size, rel=1e-9)
    assert found.objective == pytest.approx(er.elbo_variance(guide, prior, counts), rel=1e-9)
    assert f"{np.sum(noise.variance[0]):.6g}" in str(found)
    shared = er.gradient_variance(er.Beta(2.0, 3.0), prior, counts)
    each = er.gradient_variance(er.Beta([2.0, 2.0], 3.0), prior, counts)
    for one, many in zip(shared.pathwise.variance, each.pathwise.variance, strict=True):
        assert one == pytest.approx(many.sum(), rel=1e-12)
