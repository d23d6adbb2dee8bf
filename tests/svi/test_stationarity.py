"""`elbo_ref.svi.stationarity`: the Newton decrement, against dense linear algebra.

The Hessian of all parameters comes from automatic differentiation of a textbook formula. What the
verdict must say is known where the maximum is: at the posterior and the evidence's maximiser
(E2), (E11), at K/N, or nowhere (E7), (E8), (E9).
"""

import autograd
import numpy as np
import pytest

import elbo_ref as er
import oracles
from elbo_ref import guides
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact
from elbo_ref.svi.parameters import ParameterVector
from elbo_ref.svi.stationarity import Stationarity, newton_decrement, stationarity
from kinds import OVERDISPERSED as PAIRS
from tiers import few

# (E11): two trials each, n_y latents with y successes; the maximiser in closed form.
M = (30 + 2 * 50) / (2 * 120)
S = 1 / (1 - 30 / (2 * 120 * M * (1 - M))) - 1
BEST = er.Beta(M * S, (1 - M) * S)
SEVERAL = er.Counts([3, 0, 7, 12, 1], [10, 4, 7, 40, 20], multiplicity=[1, 2, 3, 1, 2])


def space_at(name, counts, prior, learned, value=None):
    """ParameterVector whose `start` is the given prior and guide."""
    guide = guides.find(name)
    start = guide.start(value, len(counts))
    return ParameterVector(Task(guide, counts), prior, learned and guide.has_prior, start)


def dense(gradient, hessian):
    """Newton's gain and largest step by a solve with the whole Hessian; inf where it curves up."""
    if np.linalg.eigvalsh(hessian).max() >= 0:
        return Stationarity(np.inf, np.inf)
    step = -np.linalg.solve(hessian, gradient)
    return Stationarity(gradient @ step / 2, np.abs(step).max())


# -- against the dense Hessian -------------------------------------------------------------------


@pytest.mark.parametrize("seed", few(range(6), 2))
@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize(
    ("name", "learned", "counts", "prior"),
    [
        ("beta", True, PAIRS, BEST),
        ("beta", False, SEVERAL, er.Beta(2.0, 3.0)),
        ("tied", True, SEVERAL, er.Beta(40.0, 50.0)),
        ("empty", True, SEVERAL, er.Beta(0.6, 0.8)),
        ("none", False, SEVERAL, er.Beta(1.0, 1.0)),
    ],
)
def test_newton_with_the_dense_hessian(name, learned, counts, prior, scale, seed):
    """Near a maximum where there is one, and anywhere; at upward curvature inf."""
    start = {"beta": er.posterior(prior, counts)}.get(name)
    space = space_at(name, counts, prior, learned, start)
    vector = space.start + scale * np.random.default_rng(seed).normal(size=space.start.size)
    fixed = None if learned else prior
    gradient = autograd.grad(oracles.objective)(vector, name, counts, fixed and fixed.arrays())
    hessian = autograd.hessian(oracles.objective)(vector, name, counts, fixed and fixed.arrays())
    np.testing.assert_allclose(stationarity(space, vector), dense(gradient, hessian), rtol=1e-5)


@pytest.mark.parametrize("latents", [1, 4])
@pytest.mark.parametrize(("p", "k"), [(2, 2), (2, 1), (0, 2), (2, 0), (0, 1)])
@pytest.mark.parametrize("bend", ["none", "a corner", "a block"])
def test_any_quadratic(p, k, latents, bend):
    """An arrow-shaped Hessian, for which central differences are exact; at a saddle, inf."""
    rng = np.random.default_rng(7)
    size = p + k * latents
    hessian = np.zeros((size, size))
    for g in range(latents):
        place = [*range(p), *range(p + g, size, latents)] if k else [*range(p)]
        root = rng.normal(size=(len(place), len(place) + 2))
        hessian[np.ix_(place, place)] -= root @ root.T
    if bend == "a corner":
        hessian[0, 0] += 100.0
    elif bend == "a block":
        hessian[-1, -1] += 100.0
    optimum, at = rng.normal(size=(2, size))

    def gradient(prior, own):
        flat = hessian @ (np.concatenate([prior, own.ravel()]) - optimum)
        return flat[:p], flat[p:].reshape(k, latents)

    got = newton_decrement(gradient, at[:p], at[p:].reshape(k, latents), np.zeros(latents, bool))
    wanted = dense(hessian @ (at - optimum), hessian)
    assert np.isinf(wanted.step) == (bend != "none")
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_gradient_that_is_no_number():
    def gradient(prior, own):
        return prior * np.nan, own * np.nan

    assert newton_decrement(gradient, np.ones(2), np.ones((2, 3)), np.zeros(3, bool)) == (
        np.inf,
        np.inf,
    )


# -- where it holds ------------------------------------------------------------------------------


def test_at_the_evidence_s_maximiser_with_the_posterior_as_guide():
    """(E2), (E4), (E11): there the ELBO has its maximum too."""
    assert BEST.arrays() == pytest.approx((0.549296, 0.464789), abs=1e-6)
    reached = space_at("beta", PAIRS, BEST, True, er.posterior(BEST, PAIRS))
    verdict = stationarity(reached, reached.start)
    assert verdict.holds, verdict
    assert verdict.sentence().startswith("a maximum of its own objective (Newton would gain ")


@pytest.mark.parametrize("which", range(8))
def test_not_a_thousandth_away_from_it(which):
    space = space_at("beta", PAIRS, BEST, True, er.posterior(BEST, PAIRS))
    for off in (1e-3, -1e-3):
        assert not stationarity(space, space.start + off * (np.arange(8) == which)).holds


@pytest.mark.parametrize("counts", [SEVERAL, er.Counts([3, 0], [10, 0], [0, 5])], ids=str)
def test_with_a_fixed_prior_at_the_posterior(counts):
    """(E2); a latent of multiplicity 0 does not count, one without trials returns to the prior."""
    prior = er.Beta(2.0, 3.0)
    space = space_at("beta", counts, prior, False, er.posterior(prior, counts))
    assert stationarity(space, space.start).holds
    away = space.start + 0.1
    assert not stationarity(space, away).holds


def test_a_parameter_at_the_classical_estimate():
    """c = K/N, and anything where there are no trials."""
    counts = er.Counts([3, 5, 0], [10, 20, 0])
    value = er.Parameter(probs=[0.3, 0.25, 0.9])
    space = space_at("none", counts, er.Beta(1, 1), False, value)
    assert stationarity(space, space.start).holds
    assert not stationarity(space, space.start + np.array([0, 1e-3, 0])).holds


# -- where it does not ---------------------------------------------------------------------------

INFINITE = [er.Counts(3, 10), er.Counts([3, 3], 10), er.Counts([3, 0, 9], [10, 4, 20])]
POWERS = np.arange(1.0, 14.0, 0.25)


@pytest.mark.parametrize("counts", INFINITE, ids=str)
@pytest.mark.parametrize("name", ["beta", "tied", "empty"])
def test_on_the_way_to_a_supremum_at_infinity(name, counts):
    """(E7), (E8), (E9): nothing is a maximum however large the concentration has become."""
    m = counts.successes.sum() / counts.total_count.sum()
    held = []
    for power in POWERS:
        prior = er.Beta(m * 10**power, (1 - m) * 10**power)
        guide = er.posterior(prior, counts) if name == "beta" else None
        space = space_at(name, counts, prior, True, guide)
        if stationarity(space, space.start).holds:
            held.append(power)
    assert not held, f"holds at concentrations 10 to the powers {held}"


@pytest.mark.parametrize("name", ["beta", "tied"])
def test_an_exact_run_does_not_converge_there(name):
    run = er.maximize_elbo(
        er.Counts(3, 10), guide=name, loss="exact", optimizer=er.Adam(lr=0.1), num_steps=3000
    )
    assert run.prior.concentration1 > 20
    assert run.stopped == "completed"


@pytest.mark.parametrize("logit", [-30.0, -300.0, -700.0])
def test_newton_s_step_towards_infinity_does_not_shrink(logit):
    """None of 10: logit c -> -infinity gains hardly anything any more, but the step stays at 1."""
    space = space_at("none", er.Counts(0, 10), er.Beta(1, 1), False, er.Parameter(logits=logit))
    verdict = stationarity(space, space.start)
    assert not verdict.holds
    assert verdict.step == pytest.approx(1.0, rel=1e-6)
    assert verdict.sentence().startswith("drifting")


def test_a_point_without_slope_that_curves_upwards():
    """(E7): without trials minus the entropy remains, which is least for a uniform prior."""
    space = space_at("empty", er.Counts(0, 0), er.Beta(1, 1), True)
    gradient, _ = space.gradient(Exact(), space.start, 1, np.random.default_rng(0))
    np.testing.assert_allclose(gradient, 0, atol=1e-15)
    assert stationarity(space, space.start) == (np.inf, np.inf)


@pytest.mark.parametrize(
    ("verdict", "holds", "sentence"),
    [
        ((1e-10, 1e-4), True, "a maximum of its own objective (Newton would gain 1e-10 nats)"),
        (
            (2e-10, 1e-4),
            False,
            "near a maximum of its own objective (Newton would gain 2e-10 nats)",
        ),
        (
            (1e-12, 0.9),
            False,
            "drifting: hardly anything to gain nearby, but Newton's step does not shrink",
        ),
        (
            (np.inf, np.inf),
            False,
            "not known to be at a maximum: its objective is too flat to tell, or curves upwards",
        ),
    ],
)
def test_the_verdict_in_words(verdict, holds, sentence):
    verdict = Stationarity(*verdict)
    assert (verdict.holds, verdict.sentence()) == (holds, sentence)


def test_where_c_underflows_nothing_is_claimed():
    """The same at a logit whose c is 0 in floats: no slope, no curvature, no verdict."""
    space = space_at("none", er.Counts(0, 10), er.Beta(1, 1), False, er.Parameter(logits=-800.0))
    assert not stationarity(space, space.start).holds


@pytest.mark.parametrize(
    ("decrement", "step", "kind"),
    [
        (0.0, 0.0, "maximum"),
        (1e-10, 1e-4, "maximum"),
        (1e-10, np.nextafter(1e-4, 1), "drifting"),
        (np.nextafter(1e-10, 1), 1e-4, "near"),
        (1e-3, 1.0, "near"),
        (np.nextafter(1e-3, 1), 0.0, "far"),
        (1e300, 1e300, "far"),
        (np.inf, np.inf, "unknown"),
    ],
)
def test_kinds_on_both_sides_of_their_bounds(decrement, step, kind):
    verdict = Stationarity(decrement, step)
    assert (verdict.kind, verdict.holds) == (kind, kind == "maximum")


@pytest.mark.parametrize(("share", "known"), [(0.5, False), (2.0, True)])
@pytest.mark.parametrize("part", ["corner", "block"])
def test_a_curvature_is_trusted_from_a_billionth_of_the_largest(part, share, known):
    """Of the matrix that it is in: what is flatter is not told from its error."""
    flat = share * 1e-9
    corner = np.diag([-1.0, -flat]) if part == "corner" else -np.eye(2)
    block = np.diag([-1.0, -flat]) if part == "block" else -np.eye(2)

    def gradient(prior, own):
        return corner @ (prior - 1e-7), block @ (own - 1e-7)

    found = newton_decrement(gradient, np.zeros(2), np.zeros((2, 3)), np.zeros(3, bool))
    assert np.isfinite(found.decrement) == known
    if known:
        assert found.step == pytest.approx(1e-7, rel=1e-3)
        one = 0.5e-14 * (1 + flat)
        two = 0.5e-14 * 2
        wanted = one + 3 * two if part == "corner" else two + 3 * one
        assert found.decrement == pytest.approx(wanted, rel=1e-3, abs=0.0)


def test_latents_that_count_for_nothing_have_any_gradient():
    def gradient(prior, own):
        return -prior, -own * np.array([1.0, 0.0])

    idle = np.array([False, True])
    found = newton_decrement(gradient, np.full(2, 0.1), np.full((1, 2), 0.3), idle)
    assert found == pytest.approx(((2 * 0.01 + 0.09) / 2, 0.3), rel=1e-9)
    assert np.isinf(newton_decrement(gradient, np.ones(2), np.ones((1, 2)), ~idle).decrement)
